//! Where a message came from: kept with it in the queue, so that a chain that runs later sees the same facts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sigillo_mail::structure::Structure;
use sigillo_mail::{Mailbox, ReversePath, Rope, Source};
use sigillo_plugin::Arrival;

/// The way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// From an authenticated user.
    Submission,
    /// From another server.
    Relay,
    /// Made by this server or one of its plugins, or carried from one of its domains to another.
    Internal,
}

/// How a message came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The way in.
    pub way: Way,
    /// The address of the mailbox whose user submitted it.
    pub identity: Option<String>,
    /// Facts of the session by name, as plugins see them.
    pub properties: BTreeMap<String, String>,
    /// `Message-ID` of the message as it came, without angle brackets; empty if it has none.
    pub message_id: String,
    /// `Subject`, decoded.
    pub subject: String,
    /// The trace field that is still to be put above the message, with its line end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl Origin {
    /// The property with the login of the user who submitted a message: of a multi-user mailbox, which of them (BOX-06).
    pub const USER: &str = "identity.user";

    /// Of something that this server made; `by` is `core` or the name of a plugin.
    pub fn internal(by: &str) -> Origin {
        Origin {
            way: Way::Internal,
            identity: None,
            properties: BTreeMap::from([("made.by".to_owned(), by.to_owned())]),
            message_id: String::new(),
            subject: String::new(),
            trace: None,
        }
    }

    /// The same with what the log needs of the message itself.
    pub fn of(mut self, structure: &Structure) -> Origin {
        let text = |name| structure.header().text(name, 0).unwrap_or_default();
        self.message_id = text("message-id").trim().trim_matches(['<', '>']).to_owned();
        self.subject = text("subject");
        self
    }

    /// The address that the message came from, empty for what the server made itself.
    pub fn peer(&self) -> String {
        let here = self.way == Way::Internal;
        self.properties.get("peer.ip").filter(|_| !here).cloned().unwrap_or_default()
    }

    /// The word of the plugin contract.
    pub fn arrival(&self) -> Arrival {
        match self.way {
            Way::Submission => Arrival::Submission,
            Way::Relay => Arrival::Relay,
            Way::Internal => Arrival::Internal,
        }
    }
}

/// A message with its envelope, in the hands of the server.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Unique in the world: the passage, and later the queue entry.
    pub id: String,
    /// How it came.
    pub origin: Origin,
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// Whom it is for.
    pub recipients: Vec<Mailbox>,
    /// Its bytes.
    pub content: Rope,
}

/// Messages up to this many octets are parsed at once: that takes less time than handing them to another thread.
const PARSED_AT_ONCE: u64 = 128 * 1024;

/// Parses a message's structure, off the threads that serve sockets when it is large.
pub async fn parse(content: Rope, source: std::sync::Arc<dyn Source>) -> Result<Structure, String> {
    if content.len() <= PARSED_AT_ONCE {
        return Structure::parse(&content, source.as_ref()).map_err(|error| error.to_string());
    }
    let work = move || Structure::parse(&content, source.as_ref()).map_err(|error| error.to_string());
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}

/// A new id: the instant and 64 random bits, of letters, digits and a dot.
pub fn new_id() -> String {
    format!("{:012x}.{:016x}", sigillo_store::commit::now(), rand::random::<u64>())
}
