//! What a chain has in hand: a message on its way through the server.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sigillo_mail::Rope;
use sigillo_mail::structure::Structure;

/// How a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// From an authenticated user.
    Submission,
    /// From another server.
    Relay,
    /// Queued on this server.
    Internal,
}

impl Arrival {
    /// The word of the contract.
    pub fn word(self) -> &'static str {
        match self {
            Arrival::Submission => "submission",
            Arrival::Relay => "relay",
            Arrival::Internal => "internal",
        }
    }
}

/// How a request of the outbox ended: what the stage `answer` has in hand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// The target that was asked.
    pub target: String,
    /// The plugin's name for the request.
    pub key: String,
    /// `done`, `refused` or `expired`.
    pub status: String,
    /// The other side's code.
    pub code: Option<u32>,
    /// Its words, one line.
    pub text: String,
    /// The body of its answer.
    pub body: Bytes,
    /// Long-tail facts by name.
    pub properties: BTreeMap<String, String>,
}

/// A message, with what the server knows of its passage.
#[derive(Debug, Clone)]
pub enum Passage {
    /// At `access` and `reception`: one message with all its recipients.
    Transaction {
        /// Unique in the world, and the same if this message's chain runs anew.
        id: String,
        /// How it came.
        arrival: Arrival,
        /// The mailbox whose user sends.
        identity: Option<String>,
        /// Argument of MAIL without angle brackets.
        reverse_path: String,
        /// Arguments of RCPT.
        recipients: Vec<String>,
        /// The message.
        message: Rope,
        /// Its structure: of exactly these bytes.
        structure: Arc<Structure>,
        /// Long-tail facts by name.
        properties: BTreeMap<String, String>,
    },
    /// At `delivery`, `stored` and `outcome`: one message for one recipient.
    Delivery {
        /// The queue entry.
        id: String,
        /// Argument of MAIL without angle brackets.
        reverse_path: String,
        /// The recipient.
        recipient: String,
        /// The message.
        message: Rope,
        /// Its structure: of exactly these bytes.
        structure: Arc<Structure>,
        /// From 1. A part of every id that is derived, so that a new attempt makes new messages.
        attempt: u32,
        /// The word of the contract for the mailbox or the attempt.
        status: String,
        /// Long-tail facts by name.
        properties: BTreeMap<String, String>,
    },
    /// At a command: a message in a file, on no way at all.
    Inspection {
        /// The message.
        message: Rope,
        /// Its structure: of exactly these bytes.
        structure: Arc<Structure>,
        /// Facts about the file and about what there is to judge it by.
        properties: BTreeMap<String, String>,
    },
}

impl Passage {
    /// The id of the transaction or of the queue entry; a word for what has none.
    pub fn id(&self) -> &str {
        match self {
            Passage::Transaction { id, .. } | Passage::Delivery { id, .. } => id,
            Passage::Inspection { .. } => "inspection",
        }
    }

    /// The message as it came to this chain.
    pub fn message(&self) -> &Rope {
        match self {
            Passage::Transaction { message, .. }
            | Passage::Delivery { message, .. }
            | Passage::Inspection { message, .. } => message,
        }
    }

    /// The structure of [`Passage::message`].
    pub fn structure(&self) -> &Arc<Structure> {
        match self {
            Passage::Transaction { structure, .. }
            | Passage::Delivery { structure, .. }
            | Passage::Inspection { structure, .. } => structure,
        }
    }

    /// A long-tail fact.
    pub fn property(&self, name: &str) -> Option<&String> {
        match self {
            Passage::Transaction { properties, .. }
            | Passage::Delivery { properties, .. }
            | Passage::Inspection { properties, .. } => properties.get(name),
        }
    }
}

/// The message as final delivery files it, with the field that it adds (RFC 5321 §4.4).
pub fn with_return_path(reverse_path: &str, content: &Rope) -> Rope {
    let mut rope = Rope::from_bytes(format!("Return-Path: <{reverse_path}>\r\n"));
    rope.append(content);
    rope
}
