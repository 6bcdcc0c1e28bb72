//! What a step asks the server to change: recorded while it runs, handed on whole when it ends well, dropped whole
//! when it does not.

use serde::{Deserialize, Serialize};
use sigillo_mail::{Mailbox, ReversePath, Rope};

/// The changes of one step, for one commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// The plugin whose step it was.
    pub plugin: String,
    /// The step's place in its chain, such as `access/0`; the key of the wake-up for a timer.
    pub step: String,
    /// Messages to queue.
    pub submissions: Vec<Submission>,
    /// Keys of `state` that were read, each with the version that was seen. If one has changed at the commit, the
    /// chain must run anew.
    pub state_reads: Vec<(String, u64)>,
    /// Changes of `state`, one for a key.
    pub state_writes: Vec<StateWrite>,
    /// Changes of the wake-ups, in order.
    pub timers: Vec<TimerOp>,
    /// Requests to targets outside, in order; no two of one target and key.
    pub outbox: Vec<OutboxRequest>,
    /// Events for the message log, in order.
    pub evidence: Vec<Event>,
    /// Folder for the message instead of INBOX.
    pub file_into: Option<String>,
    /// Flags for the filed message.
    pub flags: Vec<String>,
    /// Signatures that the step made: each becomes a record of the register of signatures (LOG-17) in the commit that
    /// uses it.
    pub signatures: Vec<SignatureMade>,
    /// Changes of the archive, in order.
    pub archive: Vec<ArchiveOp>,
    /// Mailboxes to suspend.
    pub suspensions: Vec<Suspension>,
}

impl ChangeSet {
    /// Whether nothing is to be changed; what was only read needs no commit.
    pub fn is_empty(&self) -> bool {
        self.submissions.is_empty()
            && self.state_writes.is_empty()
            && self.timers.is_empty()
            && self.outbox.is_empty()
            && self.evidence.is_empty()
            && self.file_into.is_none()
            && self.flags.is_empty()
            && self.signatures.is_empty()
            && self.archive.is_empty()
            && self.suspensions.is_empty()
    }
}

/// A mailbox that a plugin suspends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Its address.
    pub address: String,
    /// For the operator, one line.
    pub reason: String,
}

/// A message that a plugin queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Derived from the step and the key: the same step run anew gives the same.
    pub id: String,
    /// What tells the messages of one step apart.
    pub key: String,
    /// One of the granted addresses, or null.
    pub reverse_path: ReversePath,
    /// At least one, at most [`crate::limits::RECIPIENTS_MAX`], without repetitions.
    pub recipients: Vec<Mailbox>,
    /// Checked: every line ends with CRLF.
    pub content: Rope,
}

/// A signature that was made: what the register says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureMade {
    /// Name of the key.
    pub key: String,
    /// Serial number of its certificate, hexadecimal.
    pub serial: String,
    /// SHA-1 of its certificate, hexadecimal: its name in the index of providers.
    pub certificate_sha1: String,
    /// SHA-256 of the signed content, hexadecimal.
    pub content_sha256: String,
    /// Octets of the signed content.
    pub content_size: u64,
    /// When, milliseconds since 1970, UTC.
    pub at_ms: u64,
}

/// A change of one key of a plugin's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateWrite {
    /// At most [`crate::limits::KEY_MAX`] octets.
    pub key: String,
    /// The new value; none removes the key.
    pub value: Option<Vec<u8>>,
    /// Days after which the value is gone.
    pub keep_days: u32,
}

/// A change of one wake-up of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimerOp {
    /// Asks for one, or moves it.
    Set {
        /// The plugin's own name for it.
        key: String,
        /// Milliseconds since 1970, UTC.
        at_ms: u64,
        /// Given back when it is due.
        payload: Vec<u8>,
    },
    /// Forgets one.
    Cancel {
        /// The plugin's own name for it.
        key: String,
    },
}

/// A request to a target outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRequest {
    /// One of the granted targets.
    pub target: String,
    /// The plugin's own name for it: the same again is no second request.
    pub key: String,
    /// What the target's protocol wants, checked by the server.
    pub parameters: Vec<(String, String)>,
    /// The body or the file.
    pub content: Option<Rope>,
    /// Milliseconds after which it has expired, as the server says of this target.
    pub life_ms: u64,
}

/// An event for the message log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The unique id of the original message.
    pub message_id: String,
    /// What happened, a word such as `acceptance`.
    pub kind: String,
    /// Sender of the original message.
    pub sender: String,
    /// Recipients of the original message, or those concerned.
    pub recipients: Vec<String>,
    /// Subject of the original message.
    pub subject: String,
    /// Ids of the messages made for it.
    pub related: Vec<String>,
    /// Anything more, by name.
    pub details: Vec<(String, String)>,
}

/// A change of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveOp {
    /// Keeps a copy.
    Keep(Kept),
    /// Lets one go.
    Release {
        /// Whose, in lower case.
        mailbox: String,
        /// Its name.
        id: String,
    },
}

/// A copy to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The instant of the step and what the key gives: names are in the order of time.
    pub id: String,
    /// Whose, in lower case.
    pub mailbox: String,
    /// The plugin's own name for it; the same for the same mailbox again is the first copy.
    pub key: String,
    /// Which way it went.
    pub direction: Direction,
    /// Its bytes.
    pub content: Rope,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// The instant of the step, milliseconds since 1970, UTC.
    pub at_ms: u64,
    /// What the plugin says of it.
    pub properties: Vec<(String, String)>,
}

/// Which way an archived message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the mailbox.
    Received,
    /// From it.
    Sent,
}

impl Direction {
    /// The word of the contract.
    pub fn word(self) -> &'static str {
        match self {
            Direction::Received => "received",
            Direction::Sent => "sent",
        }
    }

    /// From the word.
    pub fn of(word: &str) -> Option<Direction> {
        [Direction::Received, Direction::Sent].into_iter().find(|direction| direction.word() == word)
    }
}
