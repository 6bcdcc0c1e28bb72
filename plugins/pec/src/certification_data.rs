//! Certification data, `daticert.xml`: what a certified message certifies, in the grammar of the rules
//! ([PEC §4.4]; `tests/pec/daticert-it.dtd`).

mod read;
mod words;
mod write;

pub use read::{DataError, Reading};
pub use words::{CertificationKind, DeliveryReceiptKind, ErrorKind, RecipientKind};

use crate::legal_time::LegalTime;

/// Longest certification data that are read, octets: 1,000 recipients with the longest addresses fit in.
pub const DATA_MAX: usize = 1024 * 1024;
/// Longest PEC message identifier, octets. Ours: real ones are under 100; keys of the state must hold it.
pub const IDENTIFIER_MAX: usize = 200;

/// A recipient of the original message and its kind, frozen at acceptance ([PEC §2.2.1]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Bare address.
    pub address: String,
    /// Whether its domain is a provider's.
    pub kind: RecipientKind,
}

/// The instant as certification data write it; another provider's is kept as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instant {
    /// `+hhmm`.
    pub zone: String,
    /// `dd/mm/yyyy`.
    pub day: String,
    /// `hh:mm:ss`.
    pub hour: String,
}

impl From<&LegalTime> for Instant {
    fn from(time: &LegalTime) -> Instant {
        Instant { zone: time.zone(), day: time.day(), hour: time.hour() }
    }
}

/// The data of one certified message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificationData {
    /// What the message is.
    pub kind: CertificationKind,
    /// What went wrong.
    pub error: ErrorKind,
    /// Sender of the original message.
    pub sender: String,
    /// Every recipient of the original message: the same list in every message of the transaction.
    pub recipients: Vec<Recipient>,
    /// `Reply-To:` of the original, or its sender.
    pub reply_to: String,
    /// Subject of the original, decoded.
    pub subject: Option<String>,
    /// Name of the provider that issues this message.
    pub provider: String,
    /// Instant of the event.
    pub instant: Instant,
    /// PEC message identifier, without brackets.
    pub identifier: String,
    /// Message-ID of the client, with brackets.
    pub message_id: Option<String>,
    /// Form of delivery receipt that the sender asked for.
    pub receipt_kind: Option<DeliveryReceiptKind>,
    /// The one recipient concerned.
    pub delivery: Option<String>,
    /// Recipients taken in charge.
    pub taken_in_charge: Vec<String>,
    /// `code - provider - description`.
    pub extended_error: Option<String>,
}

impl CertificationData {
    /// The document, UTF-8, without a document type.
    pub fn write(&self) -> String {
        write::write(self)
    }

    /// Reads a document; every byte of it is a stranger's.
    pub fn read(bytes: &[u8]) -> Result<Reading, DataError> {
        read::read(bytes)
    }

    /// The data of a later message of the same transaction: the same original, another event.
    pub fn for_event(&self, kind: CertificationKind, provider: &str, time: &LegalTime) -> CertificationData {
        CertificationData {
            kind,
            error: ErrorKind::None,
            provider: provider.to_owned(),
            instant: time.into(),
            receipt_kind: None,
            delivery: None,
            taken_in_charge: Vec::new(),
            extended_error: None,
            ..self.clone()
        }
    }

    /// The kind of a recipient, if it is one of the original message.
    pub fn recipient_kind(&self, address: &str) -> Option<RecipientKind> {
        self.recipients.iter().find(|r| crate::address::same(&r.address, address)).map(|r| r.kind)
    }

    /// The addresses of all recipients.
    pub fn recipient_addresses(&self) -> Vec<String> {
        self.recipients.iter().map(|r| r.address.clone()).collect()
    }
}
