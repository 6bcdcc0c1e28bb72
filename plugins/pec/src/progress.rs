//! How far each certified message has come, in the plugin's own state: what makes every effect happen once.
//!
//! | key | value | written when |
//! |---|---|---|
//! | `envelope/ID/RECIPIENT` | `taken`, `delivered`, `not-delivered` or `infected`, and the digest of the signed part | our reception point takes it in charge, our delivery point settles it |
//! | `receipt/DIGEST` | `seen` | a receipt or notice is passed on |
//!
//! What our access point sent on is followed in `dispatch.rs`.
//!
//! Every value is written in the commit of the step that makes it true, and what a step read is checked again there:
//! of two runs at the same moment one runs anew and finds what the other did.

use sha2::{Digest, Sha256};

use crate::address;
use crate::host::Failure;
use crate::step::Step;

/// How long seen messages are remembered, days: 30 months, as long as the message log can tell of them (PEC §2.3).
pub const SEEN_DAYS: u32 = 915;

/// How far a message has come towards one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The recipient's provider has taken it in charge.
    Taken,
    /// It is in the mailbox and the delivery receipt was issued.
    Delivered,
    /// It was given up and the non-delivery notice issued.
    NotDelivered,
    /// A threat was found in it and its provider told.
    Infected,
}

impl Progress {
    const ALL: [Progress; 4] = [Progress::Taken, Progress::Delivered, Progress::NotDelivered, Progress::Infected];

    fn word(self) -> &'static str {
        match self {
            Progress::Taken => "taken",
            Progress::Delivered => "delivered",
            Progress::NotDelivered => "not-delivered",
            Progress::Infected => "infected",
        }
    }
}

/// A transport envelope that our reception point took in charge for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeRecord {
    /// How far it came.
    pub progress: Progress,
    /// SHA-256 of its signed part, hexadecimal.
    pub digest: String,
}

/// The record of an envelope; none if it was never taken in charge here.
pub fn envelope(step: &Step, identifier: &str, recipient: &str) -> Result<Option<EnvelopeRecord>, Failure> {
    let Some(value) = get(step, &recipient_key("envelope", identifier, recipient))? else { return Ok(None) };
    let text = String::from_utf8_lossy(&value).into_owned();
    let (word, digest) = text.split_once(' ').unwrap_or((&text, ""));
    let progress = Progress::ALL.into_iter().find(|progress| progress.word() == word);
    let progress = progress.ok_or_else(|| Failure::Permanent(format!("state: unknown progress of {identifier}")))?;
    Ok(Some(EnvelopeRecord { progress, digest: digest.to_owned() }))
}

/// Writes the record of an envelope.
pub fn set_envelope(step: &Step, identifier: &str, recipient: &str, record: &EnvelopeRecord) -> Result<(), Failure> {
    let value = format!("{} {}", record.progress.word(), record.digest);
    set(step, &recipient_key("envelope", identifier, recipient), value.as_bytes(), SEEN_DAYS)
}

/// Whether this receipt is seen for the first time; it is remembered from now on.
///
/// `parts` tell receipts apart: identifier, kind, recipients concerned, the receipt's own Message-ID.
pub fn first_sight(step: &Step, parts: &[&str]) -> Result<bool, Failure> {
    let mut digest = Sha256::new();
    for part in parts {
        // The length first, so that no two lists of parts run into the same bytes.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let key = format!("receipt/{}", hexadecimal(&digest.finalize()));
    if get(step, &key)?.is_some() {
        return Ok(false);
    }
    set(step, &key, b"seen", SEEN_DAYS).map(|()| true)
}

/// Two digits an octet, lower case.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Identifiers are compared without case along a transaction, as addresses are.
fn recipient_key(space: &str, identifier: &str, recipient: &str) -> String {
    format!("{space}/{}/{}", identifier.to_ascii_lowercase(), address::key(recipient))
}

/// The value under a key.
pub(crate) fn get(step: &Step, key: &str) -> Result<Option<Vec<u8>>, Failure> {
    step.host.state_get(key).map_err(|error| error.during("state"))
}

/// Sets a value.
pub(crate) fn set(step: &Step, key: &str, value: &[u8], keep_days: u32) -> Result<(), Failure> {
    step.host.state_set(key, value, keep_days).map_err(|error| error.during("state"))
}

/// Removes a value.
pub(crate) fn delete(step: &Step, key: &str) -> Result<(), Failure> {
    step.host.state_delete(key).map_err(|error| error.during("state"))
}
