//! What crates hand each other when something could not be done for a peer: for good or for now, with the words
//! that the peer may read and the source that only the log may show.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Enhanced mail system status code, `class.subject.detail` ([RFC 3463 §2]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

impl EnhancedCode {
    /// Other undefined status, permanent. RFC 3463 §3.1.
    pub const UNDEFINED: EnhancedCode = EnhancedCode(5, 0, 0);
    /// Bad destination mailbox address. RFC 3463 §3.2.
    pub const BAD_DESTINATION_MAILBOX: EnhancedCode = EnhancedCode(5, 1, 1);
    /// Bad destination system address. RFC 3463 §3.2.
    pub const BAD_DESTINATION_SYSTEM: EnhancedCode = EnhancedCode(5, 1, 2);
    /// Mailbox disabled, not accepting messages. RFC 3463 §3.3.
    pub const MAILBOX_DISABLED: EnhancedCode = EnhancedCode(5, 2, 1);
    /// Mailbox full. RFC 3463 §3.3.
    pub const MAILBOX_FULL: EnhancedCode = EnhancedCode(5, 2, 2);
    /// Message too big for system. RFC 3463 §3.4.
    pub const MESSAGE_TOO_BIG: EnhancedCode = EnhancedCode(5, 3, 4);
    /// Other undefined mail system status: try later. RFC 3463 §3.4.
    pub const SYSTEM_TRANSIENT: EnhancedCode = EnhancedCode(4, 3, 0);
    /// No answer from host. RFC 3463 §3.5.
    pub const NO_ANSWER: EnhancedCode = EnhancedCode(4, 4, 1);
    /// Delivery time expired. RFC 3463 §3.5.
    pub const EXPIRED: EnhancedCode = EnhancedCode(5, 4, 7);
    /// Delivery not authorised, message refused. RFC 3463 §3.8.
    pub const REFUSED: EnhancedCode = EnhancedCode(5, 7, 1);
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for EnhancedCode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' is not an enhanced status code such as 5.1.1");
        let mut parts = text.split('.');
        let mut next = || parts.next().and_then(|p| p.parse::<u16>().ok());
        match (next(), next(), next()) {
            (Some(class @ (2 | 4 | 5)), Some(subject @ ..=999), Some(detail @ ..=999)) if parts.next().is_none() => {
                Ok(EnhancedCode(class as u8, subject, detail))
            }
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for EnhancedCode {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<EnhancedCode> for String {
    fn from(code: EnhancedCode) -> String {
        code.to_string()
    }
}

/// Whether trying again can help ([RFC 5321 §4.2.1], 4yz and 5yz).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permanence {
    /// 4yz: the same request may succeed later.
    Transient,
    /// 5yz: it will not.
    Permanent,
}

/// Something that could not be done, as one crate tells another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code} {words}")]
pub struct Failure {
    /// For now or for good.
    pub permanence: Permanence,
    /// The class digit agrees with `permanence`.
    pub code: EnhancedCode,
    /// The reply code that whoever refuses chose (RFC 5321 §4.2.3), of the class of `permanence`; none if it follows
    /// from `code`.
    pub reply: Option<u16>,
    /// What the peer may read: one line, no internals.
    pub words: String,
    /// What only the log may show.
    pub detail: Option<String>,
}

impl Failure {
    /// A failure for good.
    pub fn permanent(code: EnhancedCode, words: impl Into<String>) -> Failure {
        Failure { permanence: Permanence::Permanent, code, reply: None, words: words.into(), detail: None }
    }

    /// A failure for now.
    pub fn transient(code: EnhancedCode, words: impl Into<String>) -> Failure {
        Failure { permanence: Permanence::Transient, code, reply: None, words: words.into(), detail: None }
    }

    /// Our own fault, for now: the words say nothing of it, the log all.
    pub fn internal(detail: impl fmt::Display) -> Failure {
        Failure {
            detail: Some(detail.to_string()),
            ..Failure::transient(EnhancedCode::SYSTEM_TRANSIENT, "Local error, try again later")
        }
    }

    /// Whether trying again is useless.
    pub fn is_permanent(&self) -> bool {
        self.permanence == Permanence::Permanent
    }
}
