//! What can be wrong with a signed message, in the words that operators and evidence see.

use std::io;

/// The first thing found wrong with a signature.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Not a `multipart/signed` of two parts with a CMS signature as the second (RFC 1847 §2.1, RFC 8551 §3.5.3).
    #[error("not a signed message: {0}")]
    NotSigned(&'static str),
    /// Two readers could see different parts, so that what is signed may not be what is shown.
    #[error("the structure of the message is ambiguous")]
    Ambiguous,
    /// The message could not be read; it may be later.
    #[error("the message could not be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Above a limit of this crate.
    #[error("the signature is too large: {0}")]
    TooLarge(&'static str),
    /// The signature part is not the base64 of a CMS SignedData.
    #[error("the signature cannot be parsed: {0}")]
    Malformed(&'static str),
    /// Content inside the signature beside the content outside: which one is signed would be the reader's guess.
    #[error("the signature is not detached: it carries content of its own")]
    NotDetached,
    /// SignedData without any SignerInfo.
    #[error("the signature has no signer")]
    NoSigner,
    /// More than one SignerInfo: not foreseen for certified mail (PEC §2.1).
    #[error("the signature has {0} signers; exactly one is allowed")]
    ManySigners(usize),
    /// The signer's certificate is not embedded (PEC §2.1 demands it).
    #[error("the signer's certificate is not in the signature")]
    NoCertificate,
    /// The signed attributes break a rule of RFC 5652 §5.3, §5.4 or §11.
    #[error("the signed attributes are wrong: {0}")]
    Attributes(&'static str),
    /// A digest or signature algorithm that is unknown, too weak, or not allowed.
    #[error("the algorithm {0} is not accepted")]
    Algorithm(String),
    /// The signer's key is not one that may sign.
    #[error("the signer's key is not accepted: {0}")]
    Key(&'static str),
    /// The content's digest is not the signed one.
    #[error("the content was altered: its digest is not the signed one")]
    Altered,
    /// The signature was not made by the certificate's key.
    #[error("the signature does not fit the signer's certificate")]
    WrongSignature,
    /// The library failed where the input was not at fault.
    #[error("the signature could not be checked: {0}")]
    Library(#[from] openssl::error::ErrorStack),
    /// The path from the signer's certificate to a trusted root is broken.
    #[error("the signer's certificate is not trusted: {0}")]
    Untrusted(String),
    /// Known as revoked.
    #[error("the certificate is revoked: {0}")]
    Revoked(String),
    /// It cannot be known now whether a certificate is revoked: the list is missing, stale or damaged.
    #[error("revocation cannot be checked: {0}")]
    RevocationUnknown(String),
    /// keyUsage without digitalSignature (RFC 5280 §4.2.1.3, PEC §5.5.2).
    #[error("the signer's certificate does not allow digital signatures")]
    Usage,
}

impl Problem {
    /// Whether the same message may verify later without any change to it, so that the answer is to defer.
    pub fn is_transient(&self) -> bool {
        matches!(self, Problem::Unreadable(_) | Problem::Library(_) | Problem::RevocationUnknown(_))
    }
}
