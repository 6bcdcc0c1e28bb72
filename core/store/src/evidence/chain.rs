//! The chain of hashes in the database, and what its verification finds.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Head, Record, Stream, terms};
use crate::Millis;
use crate::commit::Reader;
use crate::error::StoreError;

/// Findings kept for one chain or file: whoever destroys more than this has not hidden it.
pub const FINDINGS_MAX: usize = 100;

/// The hash of a record: `SHA-256(hash of the record before it ‖ record)`.
pub fn link(previous: &[u8; 32], record: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(record);
    hash.finalize().into()
}

/// Octets as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a string cannot fail
        text
    })
}

/// The octets of a hash written by [`hex`].
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let text = text.as_bytes();
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which log.
    pub stream: Option<Stream>,
    /// The record, if it is one.
    pub sequence: Option<u64>,
    /// The file, if it is in one.
    pub file: Option<String>,
    /// What is wrong.
    pub problem: String,
}

impl Finding {
    pub(crate) fn record(stream: Stream, sequence: u64, problem: impl Into<String>) -> Finding {
        Finding { stream: Some(stream), sequence: Some(sequence), file: None, problem: problem.into() }
    }

    /// About a file as a whole.
    pub fn file(name: &str, problem: impl Into<String>) -> Finding {
        Finding { stream: None, sequence: None, file: Some(name.to_owned()), problem: problem.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        if let Some(sequence) = self.sequence {
            write!(f, "record {sequence}")?;
            if let Some(stream) = self.stream.filter(|_| self.file.is_none()) {
                write!(f, " of {}", stream.word())?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.problem)
    }
}

/// What a verification of a chain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// Which log.
    pub stream: Stream,
    /// Records read.
    pub records: u64,
    /// The record before the first one that is still here; 0 if none was removed.
    pub begins_after: u64,
    /// The last record.
    pub last: u64,
    /// Its hash, in hex: keep it elsewhere to detect a cut at the end.
    pub head: String,
    /// Every record at fault, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
}

/// Follows a chain record by record.
pub(crate) struct Follower {
    pub(crate) stream: Stream,
    pub(crate) head: Head,
    /// Whether the hash of `head` is known: not after something that could not be read.
    known: bool,
    pub(crate) findings: Vec<Finding>,
}

impl Follower {
    pub(crate) fn new(stream: Stream, head: Head) -> Follower {
        Follower { stream, head, known: true, findings: Vec::new() }
    }

    /// The next record cannot be read.
    pub(crate) fn unreadable(&mut self, problem: impl Into<String>) {
        let sequence = self.head.sequence + 1;
        self.note(sequence, problem);
        self.head.sequence = sequence;
        self.known = false;
    }

    pub(crate) fn note(&mut self, sequence: u64, problem: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding::record(self.stream, sequence, problem));
        }
    }

    /// The next record as it stands; returns it if it can be read. After a fault the chain is followed from the hash that
    /// stands there, so that each record at fault is named once.
    pub(crate) fn follow(&mut self, sequence: u64, text: &str, hash: &[u8]) -> Option<Record> {
        let wanted = self.head.sequence + 1;
        if sequence > wanted {
            self.note(sequence, format!("records {wanted} to {} are missing before it", sequence - 1));
        } else if sequence < wanted {
            self.note(sequence, format!("it stands where record {wanted} belongs"));
        }
        let linked = link(&self.head.hash, text.as_bytes()) == hash[..];
        // After a gap the hash before this record is not known.
        if !linked && self.known && sequence == wanted {
            self.note(sequence, "its hash does not cover its text and the record before it: one of them was changed");
        }
        let record = serde_json::from_str::<Record>(text).ok();
        match &record {
            None => self.note(sequence, "its text is not a record"),
            Some(record) if record.sequence != sequence => {
                self.note(sequence, format!("its text says that it is record {}", record.sequence));
            }
            Some(record) => self.head.at = record.at,
        }
        self.head.sequence = sequence;
        match hash.try_into() {
            Ok(hash) => (self.head.hash, self.known) = (hash, true),
            Err(_) => {
                self.known = false;
                self.note(sequence, "its hash has not 32 octets");
            }
        }
        record
    }
}

impl Reader<'_> {
    /// Reads a whole chain and names every record that does not fit. `seen` is told the number of records now and then.
    pub fn verify_chain(&self, stream: Stream, mut seen: impl FnMut(u64)) -> Result<ChainReport, StoreError> {
        let begin = self.cut(stream)?;
        let mut follower = Follower::new(stream, begin);
        let (mut records, mut expected_terms) = (0_u64, 0_i64);
        let mut statement =
            self.db.prepare("SELECT sequence, at, record, hash FROM evidence WHERE stream = ?1 ORDER BY sequence")?;
        let mut term = self.db.prepare(
            "SELECT 1 FROM evidence_terms WHERE stream = ?1 AND field = ?2 AND value = ?3 AND at = ?4 AND sequence = ?5",
        )?;
        let mut rows = statement.query([stream.number()])?;
        while let Some(row) = rows.next()? {
            let (sequence, at) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
            let (text, hash) = (text(row, 2)?, row.get::<_, Vec<u8>>(3)?);
            records += 1;
            if records.is_multiple_of(4096) {
                seen(records);
            }
            let Some(record) = follower.follow(sequence as u64, &text, &hash) else { continue };
            if record.at != at as Millis {
                follower.note(record.sequence, "its columns do not say what its text says");
            }
            let mut found = true;
            for (field, value) in terms(&record.event) {
                expected_terms += 1;
                found &= term.exists((stream.number(), field.number(), value, at, sequence))?;
            }
            if !found {
                follower.note(record.sequence, "it is not found by everything that its text says");
            }
        }
        let counted: i64 =
            self.db.query_row("SELECT COUNT(*) FROM evidence_terms WHERE stream = ?1", [stream.number()], |row| {
                row.get(0)
            })?;
        if counted > expected_terms && follower.findings.is_empty() {
            let problem = "records are found by what their texts do not say";
            follower.findings.push(Finding {
                stream: Some(stream),
                sequence: None,
                file: None,
                problem: problem.into(),
            });
        }
        let Follower { head, findings, .. } = follower;
        let (last, head) = (head.sequence, hex(&head.hash));
        Ok(ChainReport { stream, records, begins_after: begin.sequence, last, head, findings })
    }
}

/// A text column, whatever stands in it: a record that is no text any more is a finding, not an error.
fn text(row: &rusqlite::Row<'_>, column: usize) -> Result<String, StoreError> {
    Ok(match row.get_ref(column)? {
        rusqlite::types::ValueRef::Text(bytes) | rusqlite::types::ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        _ => String::new(),
    })
}
