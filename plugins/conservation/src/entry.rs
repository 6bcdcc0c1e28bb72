//! What is in a package: a message or a log file, with what it is found by.

use serde::{Deserialize, Serialize};

use crate::host::{Host, Item};

/// Octets of each text that is kept of a message: what a search shows, not the message.
const TEXT_MAX: usize = 512;
/// Addresses of recipients that are kept; the message has them all.
const RECIPIENTS_MAX: usize = 20;
/// Octets of an entry beside the words of strangers.
const ENTRY_ROOM: u64 = 2048;
/// Octets of a character at most, escaped.
const ESCAPED_MAX: u64 = 6;

/// One file of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// The archive's name of the message, or the name of the log file.
    pub id: String,
    /// Its name in the package.
    pub path: String,
    /// Where its octets begin in the package.
    pub offset: u64,
    /// Octets.
    pub size: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// When it was kept, or closed: milliseconds since 1970, UTC.
    pub kept: u64,
    /// What is known of it.
    #[serde(flatten)]
    pub facts: Facts,
}

/// What is known of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Facts {
    /// A message of a mailbox.
    Message(MessageFacts),
    /// A sealed file of the message log.
    Log(LogFacts),
}

impl Default for Facts {
    fn default() -> Facts {
        Facts::Message(MessageFacts::default())
    }
}

/// A message; the words are strangers'.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MessageFacts {
    /// `received` or `sent`.
    pub direction: String,
    /// The kind of certified message, from `X-Ricevuta` or `X-Trasporto`; empty for others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Address of `From`.
    pub from: String,
    /// Addresses of `To` and `Cc`, the first ones.
    pub to: Vec<String>,
    /// Decoded.
    pub subject: String,
    /// Without angle brackets.
    pub message_id: String,
    /// As written.
    pub date: String,
}

/// A log file (LOG-15); instants are milliseconds since 1970, UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LogFacts {
    /// Kind of the log.
    pub log: String,
    /// Begin of its period.
    pub since: u64,
    /// End of its period.
    pub until: u64,
}

impl Entry {
    /// Octets that it may take in the index, and in what is remembered: a character may need six (`&quot;`, `\u0000`).
    pub fn weight(&self) -> u64 {
        let texts = match &self.facts {
            Facts::Message(facts) => {
                let single = [&facts.kind, &facts.from, &facts.subject, &facts.message_id, &facts.date];
                single.into_iter().chain(&facts.to).map(String::len).sum()
            }
            Facts::Log(facts) => facts.log.len(),
        };
        ENTRY_ROOM + ESCAPED_MAX * texts as u64
    }
}

impl MessageFacts {
    /// Reads them off a message.
    pub fn read<H: Host>(host: &H, message: &H::Message, item: &Item) -> MessageFacts {
        let text = |name| short(host.header(message, name).unwrap_or_default().trim());
        let kind = ["X-Ricevuta", "X-Trasporto"].into_iter().map(text).find(|kind| !kind.is_empty());
        let mut to = host.addresses(message, "To");
        to.extend(host.addresses(message, "Cc"));
        to.truncate(RECIPIENTS_MAX);
        MessageFacts {
            direction: item.direction.clone(),
            kind: kind.unwrap_or_default(),
            from: host.addresses(message, "From").into_iter().next().map(|address| short(&address)).unwrap_or_default(),
            to: to.iter().map(|address| short(address)).collect(),
            subject: text("Subject"),
            message_id: text("Message-ID").trim_matches(['<', '>']).to_owned(),
            date: text("Date"),
        }
    }
}

fn short(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_MAX)].to_owned()
}

/// Octets in hexadecimal.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// And back.
pub fn unhex(text: &str) -> Vec<u8> {
    let pair = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).map_while(pair).collect()
}
