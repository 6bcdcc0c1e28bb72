//! The SMTP envelope ([RFC 5321 §2.3.1]).

use serde::{Deserialize, Serialize};

use crate::address::{Mailbox, ReversePath};

/// Who sends, to whom, and what the sender said of the content. Never a PEC envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Argument of MAIL.
    pub reverse_path: ReversePath,
    /// Arguments of RCPT, in order, without repetitions.
    pub recipients: Vec<Mailbox>,
    /// `BODY=8BITMIME` was given ([RFC 6152]).
    pub eight_bit: bool,
}
