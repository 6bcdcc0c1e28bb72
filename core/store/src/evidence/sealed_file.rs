//! The form of a sealed file, which proves itself without the database.
//!
//! Lines of JSON. The first says what the file is, the last where the chain stands at its end, each between them is
//! `{"hash":"…","record":…}`: the record octet for octet as it was hashed, so that anybody can compute
//! `SHA-256(previous hash ‖ record)` again. The name of a file (LOG-08) has five parts: server, period, software
//! component, instance, and as extension the form of its content.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::chain::{FINDINGS_MAX, Finding, Follower, hex, unhex};
use super::{Head, Record, Stream, legal_time};
use crate::Millis;

/// Extension of sealed files.
pub const EXTENSION: &str = "jsonl";
/// Longest line that is read, octets: a record holds at most an event of a plugin (64 KiB) or an envelope of 1,000
/// recipients of 256 octets, either with every octet escaped.
const LINE_MAX: u64 = 4 * 1024 * 1024;
/// Version of this form.
const FORM: u32 = 1;

const BEFORE_HASH: &str = "{\"hash\":\"";
const BEFORE_RECORD: &str = "\",\"record\":";

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Header {
    /// Version of the form.
    pub sigillo_log: u32,
    /// The name that the file was given.
    pub name: String,
    /// The server.
    pub server: String,
    /// Which log: the software component.
    pub stream: Stream,
    /// The instance of the component.
    pub instance: String,
    /// Legal time from which on, with milliseconds.
    pub since: String,
    /// Legal time up to which.
    pub until: String,
    /// The first record.
    pub first: u64,
    /// Hash of the record before it, in hex; zeros before the first of all.
    pub previous: String,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Footer {
    end: End,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct End {
    last: u64,
    records: u64,
    head: String,
}

/// What a file is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub stream: Stream,
    /// Where the chain stands before the file.
    pub before: Head,
    /// The last record of the file.
    pub last: u64,
    pub since: Millis,
    pub until: Millis,
}

/// `mail.alfa.example_20261126T000000+0100_20261127T000000+0100_message-log_1.jsonl`. Characters of a server's name that
/// a file name should not have (a port, an address in brackets) become hyphens.
pub(crate) fn file_name(server: &str, plan: &Plan, instance: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '-' };
    let server: String = server.chars().map(plain).collect();
    let (since, until) = (legal_time::compact(plan.since), legal_time::compact(plan.until));
    format!("{server}_{since}_{until}_{}_{instance}.{EXTENSION}", plan.stream.word())
}

/// Writes a file line by line.
pub(crate) struct Writer {
    file: BufWriter<File>,
    sha256: Sha256,
    size: u64,
    records: u64,
    head: Head,
}

/// A file that was written and is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub size: u64,
    pub sha256: [u8; 32],
    pub head: Head,
}

impl Writer {
    pub(crate) fn begin(file: File, header: &Header, before: Head) -> io::Result<Writer> {
        let mut writer =
            Writer { file: BufWriter::new(file), sha256: Sha256::new(), size: 0, records: 0, head: before };
        writer.line(&serde_json::to_string(header)?)?;
        Ok(writer)
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        for bytes in [text.as_bytes(), b"\n"] {
            self.file.write_all(bytes)?;
            self.sha256.update(bytes);
            self.size += bytes.len() as u64;
        }
        Ok(())
    }

    /// A record as it stands in the chain, with its hash as it stands there.
    pub(crate) fn record(&mut self, sequence: u64, text: &str, hash: [u8; 32]) -> io::Result<()> {
        self.line(&format!("{BEFORE_HASH}{}{BEFORE_RECORD}{text}}}", hex(&hash)))?;
        self.records += 1;
        self.head = Head { sequence, at: self.head.at, hash };
        Ok(())
    }

    /// Writes the last line and waits for the disk.
    pub(crate) fn finish(mut self) -> io::Result<Written> {
        let end = End { last: self.head.sequence, records: self.records, head: hex(&self.head.hash) };
        self.line(&serde_json::to_string(&Footer { end })?)?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(Written { size: self.size, sha256: self.sha256.finalize().into(), head: self.head })
    }
}

impl Header {
    pub(crate) fn new(server: &str, name: &str, instance: &str, plan: &Plan) -> Header {
        Header {
            sigillo_log: FORM,
            name: name.to_owned(),
            server: server.to_owned(),
            stream: plan.stream,
            instance: instance.to_owned(),
            since: legal_time::readable(plan.since),
            until: legal_time::readable(plan.until),
            first: plan.before.sequence + 1,
            previous: hex(&plan.before.hash),
        }
    }
}

/// What reading a sealed file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Its name.
    pub name: String,
    /// Its first line, if it is one.
    pub header: Option<Header>,
    /// Where the chain stands at its end, as its lines say.
    pub head: Option<Head>,
    /// Records in it.
    pub records: u64,
    /// Octets.
    pub size: u64,
    /// Of the whole file.
    pub sha256: [u8; 32],
    /// Everything that is wrong in it, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
}

/// Reads a file through, hands each record that can be read to `each`, and names every record that does not fit. An
/// error only if the file cannot be read.
pub fn read(path: &Path, mut each: impl FnMut(Record, &str, [u8; 32])) -> io::Result<FileReport> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut lines = Lines { input: BufReader::new(File::open(path)?), sha256: Sha256::new(), size: 0, number: 0 };
    let mut reading = Reading { name: name.clone(), findings: Vec::new() };
    let header = reading.header(lines.next()?);
    let mut follower = header.as_ref().map(|header| {
        let hash = unhex(&header.previous).unwrap_or_default();
        Follower::new(header.stream, Head { sequence: header.first.saturating_sub(1), at: 0, hash })
    });
    let (mut records, mut end) = (0, None);
    while let Some(line) = lines.next()? {
        if end.is_some() {
            reading.note(format!("line {}: something follows the line that ends the file", lines.number));
            break;
        }
        let Some(follower) = &mut follower else { break };
        if let Some((hash, text)) = record_line(&line) {
            records += 1;
            match serde_json::from_str::<Record>(text) {
                Ok(record) => {
                    follower.follow(record.sequence, text, &hash);
                    each(record, text, hash);
                }
                Err(_) => follower.unreadable(format!("line {} is not a record any more", lines.number)),
            }
        } else if let Ok(footer) = serde_json::from_str::<Footer>(&line) {
            end = Some(footer.end);
        } else {
            follower.unreadable(format!("line {} is not a record any more", lines.number));
        }
    }
    lines.rest()?;
    let head = follower.as_ref().map(|follower| follower.head);
    if let Some(follower) = follower {
        reading.findings.extend(follower.findings.into_iter().map(|f| Finding { file: Some(name.clone()), ..f }));
        reading.ending(end, follower.head, records);
    }
    reading.findings.truncate(FINDINGS_MAX);
    let Reading { findings, .. } = reading;
    Ok(FileReport { name, header, head, records, size: lines.size, sha256: lines.sha256.finalize().into(), findings })
}

struct Reading {
    name: String,
    findings: Vec<Finding>,
}

impl Reading {
    fn note(&mut self, problem: impl Into<String>) {
        self.findings.push(Finding::file(&self.name, problem));
    }

    fn header(&mut self, line: Option<String>) -> Option<Header> {
        let header = line.and_then(|line| serde_json::from_str::<Header>(&line).ok());
        match &header {
            None => self.note("its first line is not that of a log file of this form: its records cannot be checked"),
            Some(header) if header.sigillo_log != FORM => self.note("it is of a form that this program does not know"),
            Some(header) => {
                if header.name != self.name {
                    self.note(format!("it was sealed under another name, {}", header.name));
                }
                if unhex(&header.previous).is_none() {
                    self.note("its first line has no hash of the record before it");
                }
            }
        }
        header
    }

    fn ending(&mut self, end: Option<End>, head: Head, records: u64) {
        match end {
            None => {
                self.note(format!("it is cut off after record {}: the line that ends it is missing", head.sequence))
            }
            Some(end) if end.last != head.sequence || end.records != records => self.note(format!(
                "it ends with record {} after {records} records; its last line says record {} after {}",
                head.sequence, end.last, end.records
            )),
            Some(end) if end.head != hex(&head.hash) => {
                self.note(format!("its last line has another hash than record {}", head.sequence));
            }
            Some(_) => {}
        }
    }
}

/// Hash and text of a line that holds a record.
fn record_line(line: &str) -> Option<([u8; 32], &str)> {
    let rest = line.strip_prefix(BEFORE_HASH)?;
    let (hash, rest) = rest.split_at_checked(64)?;
    let text = rest.strip_prefix(BEFORE_RECORD)?.strip_suffix('}')?;
    Some((unhex(hash)?, text))
}

/// The lines of a file, with the digest of all that was read.
struct Lines {
    input: BufReader<File>,
    sha256: Sha256,
    size: u64,
    number: u64,
}

impl Lines {
    /// The next line without its end; what is no text comes with replacement characters and so does not fit anything.
    fn next(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let read = (&mut self.input).take(LINE_MAX).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        self.sha256.update(&line);
        self.size += read as u64;
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else {
            line.push(b'?'); // a line without an end is not whole, whatever it says
        }
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }

    /// Reads on to the end, for the digest.
    fn rest(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = self.input.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            self.sha256.update(&buffer[..read]);
            self.size += read as u64;
        }
    }
}

/// Writes `bytes` under a name so that a crash leaves the whole file or none; waits for the disk.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = part_of(path);
    let mut file = create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    rename(&part, path)
}

/// The name under which a file is written until it is whole.
pub(crate) fn part_of(path: &Path) -> std::path::PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part");
    path.with_file_name(name)
}

/// A new empty file that its owner only may read, in the place of what a crash left.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Gives a file its name, on disk.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    sync_folder(to)
}

/// Makes the names in the folder of `path` durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
