//! The message log ("registro"): append-only, hash-chained, part of the commit.
//!
//! A record is JSON with its place in the chain and the seven data of LOG-01 (PEC §2.3): unique id of the original
//! message, instant, sender, recipients, subject, event, ids of the messages made for it. Its hash is
//! `SHA-256(previous hash ‖ record)`, the first with 32 zero octets before it, so that a record changed, dropped or
//! moved is found and named by [`Reader::verify_evidence`].

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params_from_iter};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Millis;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;

/// An event to be appended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Anything more, by name.
    pub details: Vec<(String, String)>,
    /// The passage or queue entry during which it happened.
    pub passage: String,
    /// Who says so: `core`, or the name of a plugin.
    pub source: String,
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Place in the chain, from 1 without gaps.
    pub sequence: u64,
    /// LOG-01 (2): milliseconds since 1970, UTC.
    pub at: Millis,
    /// The event.
    #[serde(flatten)]
    pub event: NewEvent,
}

/// What to look for; an absent field matches everything.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Id of the original message, exactly.
    pub message_id: Option<String>,
    /// What happened, exactly.
    pub kind: Option<String>,
    /// Sender, whatever its case.
    pub sender: Option<String>,
    /// A recipient, whatever its case.
    pub recipient: Option<String>,
    /// Not before.
    pub since: Option<Millis>,
    /// Not after.
    pub until: Option<Millis>,
    /// Records at most.
    pub limit: usize,
}

/// What a verification of the chain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Records read.
    pub records: u64,
    /// Hash of the last one, in hex: keep it elsewhere to detect a cut at the end.
    pub head: String,
    /// The first record at fault and why.
    pub fault: Option<Fault>,
}

/// Where the chain breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Sequence number of the record.
    pub sequence: u64,
    /// What is wrong with it.
    pub problem: String,
}

fn chain(previous: &[u8], record: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(record.as_bytes());
    hash.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Tx<'_> {
    /// Appends an event; returns its place in the chain.
    pub fn append_evidence(&mut self, event: NewEvent) -> Result<u64, StoreError> {
        let last: Option<(i64, Vec<u8>)> = self
            .db
            .prepare_cached("SELECT sequence, hash FROM evidence ORDER BY sequence DESC LIMIT 1")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (sequence, previous) = last.map_or((1, vec![0; 32]), |(last, hash)| (last + 1, hash));
        let record = Record { sequence: sequence as u64, at: self.now, event };
        let text = serde_json::to_string(&record).map_err(|e| StoreError::Invalid(e.to_string()))?;
        self.db
            .prepare_cached(
                "INSERT INTO evidence (sequence, at, message_id, kind, sender, record, hash)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                sequence,
                self.now as i64,
                &record.event.message_id,
                &record.event.kind,
                record.event.sender.to_ascii_lowercase(),
                &text,
                &chain(&previous, &text)[..],
            ))?;
        let mut statement =
            self.db.prepare_cached("INSERT INTO evidence_recipients (sequence, address) VALUES (?1, ?2)")?;
        for recipient in &record.event.recipients {
            statement.execute((sequence, recipient.to_ascii_lowercase()))?;
        }
        Ok(record.sequence)
    }
}

impl Reader<'_> {
    /// Records that match, the oldest first.
    pub fn search_evidence(&self, search: &Search) -> Result<Vec<Record>, StoreError> {
        let mut statement = String::from("SELECT record FROM evidence WHERE 1 = 1");
        let mut values: Vec<Value> = Vec::new();
        let mut condition = |text: &str, value: Option<Value>| {
            if let Some(value) = value {
                statement.push_str(text);
                values.push(value);
            }
        };
        let text = |value: &Option<String>| value.clone().map(Value::Text);
        let lower = |value: &Option<String>| value.as_ref().map(|v| Value::Text(v.to_ascii_lowercase()));
        let instant = |value: Option<Millis>| value.map(|v| Value::Integer(v as i64));
        condition(" AND message_id = ?", text(&search.message_id));
        condition(" AND kind = ?", text(&search.kind));
        condition(" AND sender = ?", lower(&search.sender));
        condition(
            " AND sequence IN (SELECT sequence FROM evidence_recipients WHERE address = ?)",
            lower(&search.recipient),
        );
        condition(" AND at >= ?", instant(search.since));
        condition(" AND at <= ?", instant(search.until));
        condition(" ORDER BY sequence LIMIT ?", Some(Value::Integer(search.limit as i64)));
        let mut statement = self.db.prepare_cached(&statement)?;
        let rows = statement.query_map(params_from_iter(values), |row| row.get::<_, String>(0))?;
        rows.map(|text| {
            let text = text?;
            serde_json::from_str(&text).map_err(|e| StoreError::Damaged(format!("evidence record: {e}")))
        })
        .collect()
    }

    /// Reads the whole chain and names the first record that does not fit.
    pub fn verify_evidence(&self) -> Result<Verified, StoreError> {
        let mut statement = self
            .db
            .prepare("SELECT sequence, at, message_id, kind, sender, record, hash FROM evidence ORDER BY sequence")?;
        let mut rows = statement.query([])?;
        let (mut previous, mut records) = (vec![0_u8; 32], 0_u64);
        while let Some(row) = rows.next()? {
            let sequence = row.get::<_, i64>(0)? as u64;
            let (text, hash): (String, Vec<u8>) = (row.get(5)?, row.get(6)?);
            let fault = |problem: &str| Verified {
                records,
                head: hex(&previous),
                fault: Some(Fault { sequence, problem: problem.to_owned() }),
            };
            if sequence != records + 1 {
                let missing =
                    format!("records {} to {} are missing before it", records + 1, sequence.saturating_sub(1));
                return Ok(fault(&missing));
            }
            if chain(&previous, &text)[..] != hash[..] {
                return Ok(fault("its hash does not cover its text and the record before it: one of them was changed"));
            }
            let columns = (
                row.get::<_, i64>(1)? as Millis,
                row.get::<_, String>(2)?,
                row.get::<_, String>(3)?,
                row.get::<_, String>(4)?,
            );
            let agrees = serde_json::from_str::<Record>(&text).is_ok_and(|record| {
                let e = &record.event;
                record.sequence == sequence
                    && columns == (record.at, e.message_id.clone(), e.kind.clone(), e.sender.to_ascii_lowercase())
            });
            if !agrees {
                return Ok(fault("its columns do not say what its text says"));
            }
            previous = hash;
            records += 1;
        }
        Ok(Verified { records, head: hex(&previous), fault: None })
    }
}
