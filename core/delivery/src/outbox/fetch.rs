//! Reading back what lies at a target: at once, by whoever waits for it, and not through the outbox.

use bytes::Bytes;
use tokio::sync::mpsc::Sender;

/// Octets that are read back at once at most: what content of a plugin has (`plugin::limits::CONTENT_MAX`).
pub const FETCH_MAX: u64 = 256 << 20;

/// Where the pieces go, in order; each has some hundred kilobytes at most. What does not take them slows the reading.
pub type Pieces = Sender<Bytes>;

/// What is read back.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Where it lies, in the words of the target's protocol.
    pub parameters: Vec<(String, String)>,
    /// The first octet.
    pub offset: u64,
    /// How many: exactly as many come, or an error.
    pub length: u64,
}

/// Why nothing was read back, or not all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Nothing lies there.
    #[error("nothing lies there")]
    NotFound,
    /// Not a place of this protocol.
    #[error("{0}")]
    Invalid(String),
    /// The target did not give it: it may later.
    #[error("{0}")]
    Unavailable(String),
}

impl FetchError {
    /// For a protocol that brings nothing back.
    pub fn unsupported() -> FetchError {
        FetchError::Invalid("nothing can be read back from a target of this protocol".into())
    }
}
