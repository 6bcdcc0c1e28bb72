//! What the log says of a message or a person, assembled for whoever may ask for it (LOG-18 to LOG-21): one archive with
//! the records and what proves them, sent by the mail system itself to the requester alone.
//!
//! A log file holds what happened to everybody, and a requester may see what concerns him. So the archive holds his
//! records with their hashes, and of the files only digest and stamp; the whole files go along where an authority may have
//! them. Whoever has the files can check that the records are in them, and nobody can exchange the files afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use mail_builder::MessageBuilder;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use sigillo_mail::{Mailbox, ReversePath};
use sigillo_store::evidence::sealed_file::write_whole;
use sigillo_store::evidence::sealing::SealedFile;
use sigillo_store::evidence::{NewEvent, Record, Search, legal_time};
use sigillo_store::{Reader, StoreError, Tx};

use super::folder;
use crate::apply;
use crate::origin::{Letter, Origin, Way, new_id};
use crate::server::Server;

pub use sigillo_store::evidence::chain::hex;

/// Records in one archive: whoever needs more asks for shorter periods.
pub const RECORDS_MAX: usize = 10_000;
/// Ids under which one message is looked for.
const IDS_MAX: usize = 16;
/// Where archives wait that a command made, until the server sends them.
const OUTGOING: &str = "outgoing";
/// Archives sent in one round.
const SENT_AT_ONCE: usize = 8;

const README: &str = include_str!("case/README.txt");

/// Whoever runs a command (LOG-23).
pub struct Operator {
    /// Login name, or the number where it has none.
    pub name: String,
    uid: u32,
}

impl Operator {
    /// His number.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Whom sudo says he was before: the operator's own word, as root could say anything.
    pub fn before(&self) -> Option<String> {
        std::env::var("SUDO_USER").ok()
    }

    /// For a record of the log.
    pub fn details(&self) -> Vec<(String, String)> {
        let mut details = vec![("uid".to_owned(), self.uid.to_string())];
        // What sudo says of who came before: the operator's own word, as root could say anything.
        if let Ok(before) = std::env::var("SUDO_USER") {
            details.push(("sudo-user".to_owned(), before.chars().take(64).collect()));
        }
        details
    }
}

/// The user of this process, as the system knows him.
pub fn operator() -> Operator {
    use std::os::unix::fs::MetadataExt;
    let uid = std::fs::metadata("/proc/self").map_or(u32::MAX, |process| process.uid());
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    Operator { name: name.unwrap_or_else(|| uid.to_string()), uid }
}

/// Who asks, and for what.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Request {
    /// Where the answer goes.
    pub requester: String,
    /// Why he may ask, in the operator's words.
    pub reason: String,
    /// What was searched for, in words.
    pub terms: String,
    /// Whether the files go along whole.
    pub whole_files: bool,
    /// When it was answered, in legal time.
    pub answered: String,
    /// Who answered it.
    pub operator: String,
}

/// One record with its place.
struct Found {
    record: Record,
    text: String,
    hash: [u8; 32],
    previous: [u8; 32],
    file: Option<SealedFile>,
}

/// An archive, ready: the files that it holds, by name.
pub struct Case {
    parts: Vec<(String, Vec<u8>)>,
    /// SHA-256 of `records.jsonl` in hex.
    pub sha256: String,
    /// Records in it.
    pub records: usize,
    /// Files that they come from.
    pub files: usize,
    /// Of these, without a stamp.
    pub unstamped: usize,
}

/// Records that match; of a message, all that bear the ids under which those speak of it: the client gave it one, and
/// the provider another.
fn find(r: &Reader<'_>, search: &Search) -> Result<Vec<Found>, StoreError> {
    let mut records: BTreeMap<u64, Record> =
        r.search_evidence(search)?.into_iter().map(|record| (record.sequence, record)).collect();
    if search.message_id.is_some() {
        let ids: BTreeSet<String> = records.values().map(|record| record.event.message_id.clone()).collect();
        for id in ids.into_iter().filter(|id| !id.is_empty()).take(IDS_MAX) {
            let same = Search { message_id: Some(id), ..search.clone() };
            records.extend(r.search_evidence(&same)?.into_iter().map(|record| (record.sequence, record)));
        }
    }
    records
        .into_values()
        .map(|record| {
            let (text, hash, previous) = r.record_as_hashed(search.stream, record.sequence)?;
            let file = r.sealed_file_of(search.stream, record.sequence)?;
            Ok(Found { record, text, hash, previous, file })
        })
        .collect()
}

/// Assembles an archive. Blocking: call it where that is allowed.
pub fn assemble(r: &Reader<'_>, folder: &Path, search: &Search, request: &Request) -> Result<Case, StoreError> {
    let found = find(r, search)?;
    let mut files: Vec<&SealedFile> = found.iter().filter_map(|found| found.file.as_ref()).collect();
    files.sort_by_key(|file| file.first);
    files.dedup_by_key(|file| file.id);
    let records = provable(&found);
    let sha256 = hex(&Sha256::digest(&records));
    let mut parts: Vec<(String, Vec<u8>)> = vec![
        ("README.txt".into(), README.into()),
        ("request.json".into(), serde_json::to_vec_pretty(request).map_err(invalid)?),
        ("records.txt".into(), readable(&found, request).into()),
        ("records.jsonl".into(), records.into()),
    ];
    let mut list = Vec::new();
    for file in &files {
        let stamp = r.stamp(file.id)?;
        list.push(json!({
            "name": file.name, "sha256": hex(&file.sha256), "octets": file.size,
            "first": file.first, "last": file.last, "previous": hex(&file.before), "head": hex(&file.head),
            "stamp": stamp.as_ref().map(|_| file.stamp_name()),
        }));
        if let Some(stamp) = stamp {
            parts.push((file.stamp_name(), stamp));
        }
        if request.whole_files {
            parts.push((file.name.clone(), std::fs::read(folder.join(&file.name))?));
        }
    }
    parts.push(("files.json".into(), serde_json::to_vec_pretty(&list).map_err(invalid)?));
    let unstamped = files.iter().filter(|file| file.stamped.is_none()).count();
    Ok(Case { sha256, parts, records: found.len(), files: files.len(), unstamped })
}

fn invalid(error: serde_json::Error) -> StoreError {
    StoreError::Invalid(error.to_string())
}

/// The minimum that the law asks for (LOG-01), for people. Every value is on one line, whatever is in it.
fn readable(found: &[Found], request: &Request) -> String {
    let mut text = format!(
        "Estratto del registro dei messaggi / Extract of the message log\n\
         Richiedente / requester: {}\nMotivo / reason: {}\nRicerca / search: {}\nEvaso / answered: {}\n\
         Registrazioni / records: {}\n",
        line(&request.requester),
        line(&request.reason),
        line(&request.terms),
        request.answered,
        found.len()
    );
    for Found { record, hash, file, .. } in found {
        let event = &record.event;
        let provider =
            event.details.iter().find(|(name, _)| name == "provider").map_or("", |(_, value)| value.as_str());
        let lines = [
            ("registrazione / record", record.sequence.to_string()),
            ("data e ora / date and time", legal_time::readable(record.at)),
            ("evento / event", line(&event.kind)),
            ("identificativo / message id", line(&event.message_id)),
            ("mittente / sender", line(&event.sender)),
            ("destinatari / recipients", line(&event.recipients.join(", "))),
            ("oggetto / subject", line(&event.subject)),
            ("messaggi correlati / related", line(&event.related.join(", "))),
            ("gestore / provider", line(provider)),
            ("file", file.as_ref().map_or("-", |file| file.name.as_str()).to_owned()),
            ("SHA-256", hex(hash)),
        ];
        text.push('\n');
        for (name, value) in lines {
            let value = if value.is_empty() { "-" } else { &value };
            text += &format!("{name}: {value}\n");
        }
    }
    text
}

/// A value as people read it, on one line and in the direction in which it is written: it may be a stranger's.
fn line(value: &str) -> String {
    let harmful = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    value.chars().map(|c| if harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// Each record octet for octet as it was hashed, with the hash before it and its own.
fn provable(found: &[Found]) -> String {
    let mut text = String::new();
    for Found { text: record, hash, previous, file, .. } in found {
        let file = serde_json::Value::from(file.as_ref().map(|file| file.name.clone()));
        let (previous, hash) = (hex(previous), hex(hash));
        text += &format!("{{\"file\":{file},\"previous\":\"{previous}\",\"hash\":\"{hash}\",\"record\":{record}}}\n");
    }
    text
}

/// The record that a request was made and answered.
pub fn request_event(request: &Request, case: &Case, who: &Operator) -> NewEvent {
    let mut details = who.details();
    details.push(("terms".into(), request.terms.clone()));
    details.push(("reason".into(), request.reason.clone()));
    details.push(("records-sha256".into(), case.sha256.clone()));
    NewEvent {
        kind: "log-request".into(),
        sender: who.name.clone(),
        recipients: vec![request.requester.clone()],
        result: format!("{} records", case.records),
        details,
        source: "operator".into(),
        ..NewEvent::default()
    }
}

/// A message that waits for the server, beside its content in `ID.eml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outgoing {
    id: String,
    from: String,
    to: String,
}

/// The archive: one message with a file in each attachment, which every mail program and every office can open. It is
/// what is sent, and without a sender what is handed over in another way.
pub fn message(hostname: &str, from: &str, to: &Mailbox, case: &Case) -> io::Result<Vec<u8>> {
    let text = format!(
        "In allegato l'estratto del registro dei messaggi richiesto: {records} registrazioni.\r\n\
         Il file README.txt dice come verificarlo.\r\n\r\n\
         Attached is the extract of the message log that was asked for: {records} records.\r\n\
         The file README.txt says how to verify it.\r\n\r\n\
         SHA-256 (records.jsonl) {sha256}\r\n",
        records = case.records,
        sha256 = case.sha256
    );
    let mut message = MessageBuilder::new()
        .from(from.to_owned())
        .to(to.to_string())
        .subject("Estratto del registro dei messaggi")
        .message_id(format!("{}@{hostname}", new_id()))
        .date(i64::try_from(sigillo_store::commit::now() / 1000).unwrap_or(i64::MAX))
        .text_body(text);
    for (name, content) in &case.parts {
        message = message.attachment("application/octet-stream", name.as_str(), content.as_slice());
    }
    message.write_to_vec()
}

/// Hands a message to the server that runs, or will. A command has no place of its own for content in the store, so it
/// leaves it in a folder; the order of the files makes it whole or not there.
pub fn hand_over(folder: &Path, from: &Mailbox, to: &Mailbox, message: &[u8]) -> io::Result<String> {
    let outgoing = folder.join(OUTGOING);
    std::fs::create_dir_all(&outgoing)?;
    let id = new_id();
    write_whole(&outgoing.join(format!("{id}.eml")), message)?;
    let note = Outgoing { id: id.clone(), from: from.to_string(), to: to.to_string() };
    write_whole(&outgoing.join(format!("{id}.json")), &serde_json::to_vec(&note)?)?;
    Ok(id)
}

fn waiting(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder.join(OUTGOING)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
    found.truncate(SENT_AT_ONCE);
    Ok(found)
}

impl Server {
    /// Sends what commands left: each goes through the access chain like a message of its mailbox's user.
    pub(crate) async fn send_cases(&self) {
        let notes = match waiting(&folder(self.config())) {
            Ok(notes) => notes,
            Err(error) => return tracing::error!(%error, "what waits to be sent cannot be read"),
        };
        for note in notes {
            match self.send_case(&note).await {
                Ok(id) => tracing::info!(id, "an extract of the log is on its way"),
                Err(error) => tracing::error!(file = %note.display(), %error, "an extract of the log cannot be sent"),
            }
        }
    }

    async fn send_case(&self, note: &Path) -> Result<String, StoreError> {
        let damaged = |error: String| StoreError::Damaged(error);
        let outgoing: Outgoing =
            serde_json::from_slice(&std::fs::read(note)?).map_err(|error| damaged(error.to_string()))?;
        let from: Mailbox = outgoing.from.parse().map_err(|_| damaged(format!("sender '{}'", outgoing.from)))?;
        let to: Mailbox = outgoing.to.parse().map_err(|_| damaged(format!("recipient '{}'", outgoing.to)))?;
        let content = note.with_extension("eml");
        let mut spool = self.store().spool();
        spool.write(&std::fs::read(&content)?)?;
        let letter = Letter {
            id: outgoing.id.clone(),
            origin: Origin { way: Way::Submission, identity: Some(from.key()), ..Origin::internal("core") },
            reverse_path: ReversePath::Mailbox(from),
            recipients: vec![to],
            content: spool.finish()?,
        };
        let life = self.schedule().expire;
        self.store().write(move |tx| enqueue_once(tx, &letter, life)).await?;
        // The note first: a crash in between leaves content that nothing names, and not a note without content.
        std::fs::remove_file(note)?;
        std::fs::remove_file(content)?;
        Ok(outgoing.id)
    }
}

/// A crash between the commit and the removal of the note must not send it twice: the log remembers.
fn enqueue_once(tx: &mut Tx<'_>, letter: &Letter, life: std::time::Duration) -> Result<(), StoreError> {
    let before =
        Search { message_id: Some(letter.id.clone()), kind: Some("log-sent".into()), limit: 1, ..Search::default() };
    if !tx.reader().search_evidence(&before)?.is_empty() {
        return Ok(());
    }
    let recipients = letter.recipients.iter().map(ToString::to_string).collect();
    apply::enqueue_for_access(tx, letter, life)?;
    apply::log_event(tx, "log-sent", letter, recipients, &[])
}
