//! The message log ("registro"): append-only, hash-chained, part of the commit.
//!
//! A record is JSON with its place in the chain and the seven data of LOG-01 (PEC §2.3): unique id of the original
//! message, instant, sender, recipients, subject, event, ids of the messages made for it; beside them what LOG-05 asks
//! of the doors: our server, the external server, the software component, the result. Its hash is
//! `SHA-256(previous hash ‖ record)`, the first with 32 zero octets before it, so that a record changed, dropped or
//! moved is found and named by [`Reader::verify_chain`].
//!
//! There are three chains ([`Stream`]): the message log itself; what happens at the doors (logins, TLS, relay attempts),
//! whose volume strangers choose; and what administrators did, which nobody may crowd out. Chains are cut into files ([`sealing`]), stamped by an authority, and leave
//! when they are past their time ([`retention`]).

pub mod chain;
pub mod exported;
pub mod legal_time;
pub mod listing;
pub mod retention;
pub mod sealed_file;
pub mod sealing;
pub mod search;

use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};

use crate::Millis;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;

pub use search::Search;

/// How far an instant may lie behind that of the record before it without being noted as a step of the clock: batches
/// of two processes may differ by the time that a commit takes, and a disciplined clock is slewed, not set.
pub const CLOCK_STEP: Millis = 1000;
/// Octets of a value by which a record is found; longer ones are found by their beginning. The longest address has 254
/// (RFC 5321 §4.5.3.1.3), a Message-ID is on one line of at most 998 (RFC 5322 §2.1.1).
const TERM_MAX: usize = 998;

/// One of the chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// What became of messages: written in the commit that makes it true.
    #[default]
    MessageLog,
    /// What happened at the doors: written soon after, and bounded in volume.
    FrontEnd,
    /// What administrators did, or were refused: written in the commit that does it (ORG-03, LOG-23).
    Audit,
}

impl Stream {
    /// Every chain.
    pub const ALL: [Stream; 3] = [Stream::MessageLog, Stream::FrontEnd, Stream::Audit];

    /// The word in names of files.
    pub fn word(self) -> &'static str {
        match self {
            Stream::MessageLog => "message-log",
            Stream::FrontEnd => "front-end",
            Stream::Audit => "audit",
        }
    }

    /// The number in the database.
    pub(crate) fn number(self) -> i64 {
        match self {
            Stream::MessageLog => 1,
            Stream::FrontEnd => 2,
            Stream::Audit => 3,
        }
    }

    pub(crate) fn from_number(number: i64) -> Result<Stream, StoreError> {
        Stream::ALL
            .into_iter()
            .find(|stream| stream.number() == number)
            .ok_or_else(|| StoreError::Damaged(format!("there is no log number {number}")))
    }
}

/// An event to be appended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEvent {
    /// LOG-01 (1): unique id of the original message.
    pub message_id: String,
    /// LOG-01 (6): what happened.
    pub kind: String,
    /// LOG-01 (3).
    pub sender: String,
    /// LOG-01 (4).
    pub recipients: Vec<String>,
    /// LOG-01 (5).
    pub subject: String,
    /// LOG-01 (7): ids of the messages made for it.
    pub related: Vec<String>,
    /// LOG-05: the system outside of the platform that took part, by name or address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub peer: String,
    /// LOG-05: how it ended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub result: String,
    /// Anything more, by name. `provider`, and `client-id` or `message-id` (the client's own), are found by
    /// [`Search`] too.
    pub details: Vec<(String, String)>,
    /// The passage or queue entry during which it happened.
    pub passage: String,
    /// Who says so, the software component: `core`, the name of a plugin, or a service of the front end.
    pub source: String,
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Place in the chain, from 1 without gaps.
    pub sequence: u64,
    /// LOG-01 (2): milliseconds since 1970, UTC.
    pub at: Millis,
    /// LOG-05: our server.
    #[serde(default)]
    pub server: String,
    /// The event.
    #[serde(flatten)]
    pub event: NewEvent,
}

/// What a record is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Id,
    Sender,
    Recipient,
    Kind,
    Provider,
    Peer,
}

impl Field {
    pub(crate) fn number(self) -> i64 {
        match self {
            Field::Id => 1,
            Field::Sender => 2,
            Field::Recipient => 3,
            Field::Kind => 4,
            Field::Provider => 5,
            Field::Peer => 6,
        }
    }
}

/// A value as it is compared: ids octet for octet without angle brackets, the rest whatever its case.
pub(crate) fn term(field: Field, value: &str) -> String {
    let value = value.trim().trim_matches(['<', '>']);
    let value = &value[..value.floor_char_boundary(TERM_MAX)];
    if field == Field::Id { value.to_owned() } else { value.to_ascii_lowercase() }
}

/// Everything that a record is found by, each once.
pub(crate) fn terms(event: &NewEvent) -> Vec<(Field, String)> {
    let detail = |name: &'static str| event.details.iter().filter(move |(n, _)| n == name).map(|(_, value)| value);
    let mut terms = Vec::with_capacity(4 + event.recipients.len() + event.related.len());
    let mut add = |field, value: &str| {
        let value = term(field, value);
        if !value.is_empty() {
            terms.push((field, value));
        }
    };
    add(Field::Id, &event.message_id);
    event.related.iter().chain(detail("client-id")).chain(detail("message-id")).for_each(|id| add(Field::Id, id));
    add(Field::Sender, &event.sender);
    event.recipients.iter().for_each(|recipient| add(Field::Recipient, recipient));
    add(Field::Kind, &event.kind);
    detail("provider").for_each(|provider| add(Field::Provider, provider));
    add(Field::Peer, &event.peer);
    terms.sort_unstable_by(|a, b| (a.0.number(), &a.1).cmp(&(b.0.number(), &b.1)));
    terms.dedup();
    terms
}

/// Where a chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last record; 0 before the first.
    pub sequence: u64,
    /// Its instant.
    pub at: Millis,
    /// Its hash.
    pub hash: [u8; 32],
}

impl Tx<'_> {
    /// Appends an event to the message log; returns its place in the chain.
    pub fn append_evidence(&mut self, event: NewEvent) -> Result<u64, StoreError> {
        self.append_to(Stream::MessageLog, event)
    }

    /// Appends an event to a chain; returns its place. An instant that lies behind that of the record before it is kept
    /// as it is, after a record `clock-step` that says so.
    pub fn append_to(&mut self, stream: Stream, event: NewEvent) -> Result<u64, StoreError> {
        let head = self.reader().evidence_head(stream)?;
        if head.at <= self.now.saturating_add(CLOCK_STEP) {
            return Ok(self.append_after(stream, head, event)?.sequence);
        }
        let details = vec![("before".to_owned(), head.at.to_string()), ("after".to_owned(), self.now.to_string())];
        let step = NewEvent { kind: "clock-step".into(), source: "core".into(), details, ..NewEvent::default() };
        let head = self.append_after(stream, head, step)?;
        Ok(self.append_after(stream, head, event)?.sequence)
    }

    fn append_after(&mut self, stream: Stream, head: Head, event: NewEvent) -> Result<Head, StoreError> {
        let record = Record { sequence: head.sequence + 1, at: self.now, server: self.server.clone(), event };
        let text = serde_json::to_string(&record).map_err(|e| StoreError::Invalid(e.to_string()))?;
        let hash = chain::link(&head.hash, text.as_bytes());
        self.db
            .prepare_cached("INSERT INTO evidence (stream, sequence, at, record, hash) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute((stream.number(), record.sequence as i64, self.now as i64, &text, &hash[..]))?;
        let mut statement = self.db.prepare_cached(
            "INSERT INTO evidence_terms (stream, field, value, at, sequence) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for (field, value) in terms(&record.event) {
            statement.execute((stream.number(), field.number(), value, self.now as i64, record.sequence as i64))?;
        }
        Ok(Head { sequence: record.sequence, at: self.now, hash })
    }

    /// What this server is called in its records from now on, also in those that commands beside it write.
    pub fn name_server(&mut self, name: &str) -> Result<(), StoreError> {
        if self.server != name {
            crate::commit::set_meta(self.db, "server", name)?;
            name.clone_into(self.server);
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// Where a chain stands. After all its records were removed, that is where they ended.
    pub fn evidence_head(&self, stream: Stream) -> Result<Head, StoreError> {
        let row = self
            .db
            .prepare_cached("SELECT sequence, at, hash FROM evidence WHERE stream = ?1 ORDER BY sequence DESC LIMIT 1")?
            .query_row([stream.number()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get(2)?)))
            .optional()?;
        match row {
            Some((sequence, at, hash)) => Ok(Head { sequence: sequence as u64, at: at as Millis, hash }),
            None => self.cut(stream),
        }
    }
}
