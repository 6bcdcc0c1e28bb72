//! The answers. They are written as JSON in this order, with these names: other programs read them.

use serde::Serialize;

/// The answer to `decode`.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Decoded {
    /// What the message is: a word of [`super::words::Type`].
    pub r#type: &'static str,
    /// The same for people.
    pub title: &'static str,
    /// The fields that matter, decoded.
    pub header: Vec<Field>,
    /// The certification data, if they can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certification_data: Option<Data>,
    /// The message inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<Original>,
    /// Parts that the rules do not ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_parts: Vec<PartFacts>,
    /// What deviates, and what to know of it.
    pub notes: Vec<String>,
}

/// A header field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// As the rules write it.
    pub name: &'static str,
    /// Unfolded and decoded, at most 16 KiB.
    pub value: String,
}

/// Certification data: names in English, values as on the wire.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Data {
    /// `tipo`.
    pub kind: &'static str,
    /// `errore`.
    pub error: &'static str,
    /// `identificativo`.
    pub identifier: String,
    /// `mittente`.
    pub sender: String,
    /// `destinatari`.
    pub recipients: Vec<Recipient>,
    /// `risposte`.
    pub reply_to: String,
    /// `oggetto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `gestore-emittente`.
    pub provider: String,
    /// `giorno`, `ora` and `zona`.
    pub instant: String,
    /// `msgid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// `ricevuta`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt_kind: Option<&'static str>,
    /// `consegna`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// `ricezione`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taken_in_charge: Vec<String>,
    /// `errore-esteso`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extended_error: Option<String>,
}

/// A recipient of the original.
#[derive(Debug, Clone, Serialize)]
pub struct Recipient {
    /// The bare address.
    pub address: String,
    /// `certificato` or `esterno`.
    pub kind: &'static str,
}

/// The message inside.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Original {
    /// File name of the part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Octets.
    pub size: u64,
    /// Of these octets.
    pub sha256: String,
    /// Its fields.
    pub header: Vec<Field>,
    /// What is attached to it.
    pub attachments: Vec<PartFacts>,
    /// Attachments that a brief receipt replaced by their digests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<Hash>,
}

/// A part that could be saved as a file.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PartFacts {
    /// File name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Type and subtype.
    pub media_type: String,
    /// Octets of the file; of the encoded body where it cannot be decoded.
    pub size: u64,
    /// SHA-256 of the file; none where it cannot be decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What stands for an attachment in a brief receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hash {
    /// Name of the attachment.
    pub name: String,
    /// SHA-1 of the body of its part as it was transmitted.
    pub sha1: String,
}

/// The answer to `verify`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verified {
    /// No check failed, and something given says whose the signature is.
    pub valid: bool,
    /// The same in a sentence.
    pub result: String,
    /// As in [`Decoded`].
    pub r#type: &'static str,
    /// As in [`Decoded`].
    pub title: &'static str,
    /// In the order of the rules.
    pub checks: Vec<Check>,
    /// The signature, if there is one that can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signer>,
    /// The provider of the index that signed, or why it is not known.
    pub provider: String,
    /// Where the header, which nothing signs, is not what is certified.
    pub differences: Vec<Difference>,
    /// As in [`Decoded`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certification_data: Option<Data>,
    /// How many digests a brief receipt has in the place of attachments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashes: Option<usize>,
    /// As in [`Decoded`].
    pub notes: Vec<String>,
    /// What was not checked, and why.
    pub not_checked: Vec<String>,
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// `C1` to `C4`.
    pub check: &'static str,
    /// What is checked.
    pub name: &'static str,
    /// What came out.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
}

/// What came out of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// It could not be made.
    NotChecked,
}

/// Whose signature it is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Signer {
    /// rfc822 names of the certificate.
    pub addresses: Vec<String>,
    /// Distinguished name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Distinguished name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// As `2026-01-31T10:00:00Z`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<String>,
    /// As `2026-01-31T10:00:00Z`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
    /// `providerCertificateHash`: of the DER certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha1: Option<String>,
    /// Name of the algorithm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Name of the algorithm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The signer's own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_time: Option<String>,
}

/// A field of the header that is not what is certified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The field.
    pub field: &'static str,
    /// What the header says.
    pub header: String,
    /// What is certified.
    pub certified: String,
}
