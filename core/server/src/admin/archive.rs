//! `archive`: copies of messages kept beside the folders of mailboxes, read beside a server that may be running. What
//! changes them is an operation of the plugin that keeps them, which knows who may: `sigillo archive free MAILBOX`.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sigillo_mail::{Mailbox, Source};
use sigillo_store::archive::{ArchiveSearch, Copy};
use sigillo_store::evidence::{NewEvent, Stream, legal_time};
use sigillo_store::{Store, StoreError};

use super::{CommandError, instant, registry, say, say_json};
use crate::evidence::case::{hex, operator};

/// Copies looked at in one go.
const PAGE: usize = 1000;
/// What an export says of its copies, one JSON object a line.
const INDEX: &str = "index.jsonl";

#[derive(Subcommand)]
#[command(after_help = "Examples:
  sigillo archive list
  sigillo archive search ada@pec.alfa.example --since 2026-01-01 --word bruno@pec.beta.example
  sigillo archive show ada@pec.alfa.example 019a5b77c0de.5f1c --out message.eml
  sigillo archive export ada@pec.alfa.example --until 2026-06-30 --dir /media/ada
  sigillo archive usage mailbox=ada@pec.alfa.example
  sigillo archive free mailbox=ada@pec.alfa.example

Changes and limits belong to the plugin `archive`: `sigillo archive usage`, `delete` and `free` ask
it through the running server.")]
pub enum ArchiveCommand {
    /// Print which mailboxes have anything in the archive, and how much.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print copies of a mailbox that match everything given, the oldest first.
    Search(SearchArguments),
    /// Print what is known of one copy.
    Show {
        /// The mailbox.
        mailbox: Mailbox,
        /// The copy.
        id: String,
        /// Write its bytes, as they came, to a new file.
        #[arg(long)]
        out: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write copies of a mailbox into a folder, one .eml for each; the same command again goes on where it ended.
    Export(ExportArguments),
    /// An operation of the plugin `archive`.
    #[command(external_subcommand)]
    Operation(Vec<OsString>),
}

#[derive(Args)]
pub struct Period {
    /// From this day (2026-01-31, legal time) or instant (2026-01-31T10:00:00Z) on.
    #[arg(long)]
    since: Option<String>,
    /// To the end of this day, or to this instant.
    #[arg(long)]
    until: Option<String>,
    /// Only `received` or `sent`.
    #[arg(long, value_parser = ["received", "sent"])]
    direction: Option<String>,
}

impl Period {
    fn search(&self) -> Result<ArchiveSearch, CommandError> {
        Ok(ArchiveSearch {
            since: self.since.as_deref().map(|text| registry::when(text, false)).transpose()?,
            until: self.until.as_deref().map(|text| registry::when(text, true)).transpose()?,
            direction: self.direction.clone(),
            limit: PAGE,
            ..ArchiveSearch::default()
        })
    }

    /// In words, for the log.
    fn terms(&self) -> Vec<(String, String)> {
        let given = [("since", &self.since), ("until", &self.until), ("direction", &self.direction)];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
    }
}

#[derive(Args)]
pub struct SearchArguments {
    /// The mailbox.
    mailbox: Mailbox,
    #[command(flatten)]
    period: Period,
    /// Words in what is known of a copy (sender, recipients, subject, ids); several must all be there.
    #[arg(long = "word")]
    words: Vec<String>,
    /// Words in the subject.
    #[arg(long)]
    subject: Option<String>,
    /// Words in the sender.
    #[arg(long)]
    from: Option<String>,
    /// Words in the recipients.
    #[arg(long)]
    to: Option<String>,
    /// Copies at most.
    #[arg(long, default_value_t = PAGE)]
    limit: usize,
    /// Go on behind this copy: the last one of the page before.
    #[arg(long)]
    after: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct ExportArguments {
    /// The mailbox.
    mailbox: Mailbox,
    #[command(flatten)]
    period: Period,
    /// Where to: a folder, which is made if it is not there.
    #[arg(long)]
    dir: PathBuf,
    /// Say what was written as JSON.
    #[arg(long)]
    json: bool,
}

pub async fn archive(store: &Store, command: ArchiveCommand) -> Result<(), CommandError> {
    match command {
        ArchiveCommand::List { json } => list(store, json).await,
        ArchiveCommand::Search(arguments) => search(store, arguments).await,
        ArchiveCommand::Show { mailbox, id, out, json } => show(store, &mailbox.key(), id, out.as_deref(), json).await,
        ArchiveCommand::Export(arguments) => export(store, arguments).await,
        ArchiveCommand::Operation(_) => Ok(()), // of the plugin: it needs no store of this process
    }
}

/// LOG-23: who looks into an archive is in the log, before he sees anything.
async fn note(store: &Store, what: &str, mailbox: &str, terms: Vec<(String, String)>) -> Result<(), CommandError> {
    let who = operator();
    let event = NewEvent {
        kind: "archive-access".into(),
        sender: who.name.clone(),
        recipients: vec![mailbox.to_owned()].into_iter().filter(|mailbox| !mailbox.is_empty()).collect(),
        result: what.to_owned(),
        details: [who.details(), terms].concat(),
        source: "operator".into(),
        ..NewEvent::default()
    };
    store.write(move |tx| tx.append_to(Stream::FrontEnd, event)).await?;
    Ok(())
}

async fn list(store: &Store, as_json: bool) -> Result<(), CommandError> {
    note(store, "list", "", Vec::new()).await?;
    let all = store.read(|r| {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = r.archive_mailboxes(after.as_deref(), PAGE as u32)?;
            let Some(last) = page.last().cloned() else { return Ok(all) };
            for mailbox in page {
                all.push(r.archive_usage(&mailbox)?);
            }
            after = Some(last);
        }
    });
    let all = all.await?;
    if as_json {
        return say_json(&all);
    }
    if all.is_empty() {
        return say("the archive is empty");
    }
    all.iter().try_for_each(|usage| {
        let oldest = usage.oldest.map_or_else(|| "-".to_owned(), instant);
        say(&format!("{:<40} {:>9} copies {:>15} octets  since {oldest}", usage.mailbox, usage.count, usage.used))
    })
}

async fn search(store: &Store, arguments: SearchArguments) -> Result<(), CommandError> {
    let named = [("subject", &arguments.subject), ("from", &arguments.from), ("to", &arguments.to)];
    let named = named.into_iter().filter_map(|(name, text)| Some((Some(name.to_owned()), text.clone()?)));
    let words: Vec<_> = named.chain(arguments.words.iter().map(|text| (None, text.clone()))).collect();
    let said = words.iter().map(|(name, text)| (name.clone().unwrap_or_else(|| "word".into()), text.clone()));
    let terms = [arguments.period.terms(), said.collect()].concat();
    let (mailbox, limit) = (arguments.mailbox.key(), arguments.limit);
    let search = ArchiveSearch { words, after: arguments.after, limit, ..arguments.period.search()? };
    note(store, "search", &mailbox, terms).await?;
    let found = store.read(move |r| r.archive_search(&mailbox, &search)).await?;
    if let Some(last) = found.last().filter(|_| found.len() == limit) {
        // Not on standard output: that is for the copies.
        eprintln!("there may be more: --after {}", last.id);
    }
    if arguments.json {
        return say_json(&found.iter().map(as_json).collect::<Vec<_>>());
    }
    if found.is_empty() {
        return say("nothing in the archive matches");
    }
    found.iter().try_for_each(line)
}

fn line(copy: &Copy) -> Result<(), CommandError> {
    say(&format!("{}  {}  {:<8} {:>11} octets", copy.id, instant(copy.kept), copy.direction, copy.size))?;
    copy.properties.iter().try_for_each(|(name, value)| say(&format!("    {name}: {value:?}")))
}

fn as_json(copy: &Copy) -> Value {
    let properties: serde_json::Map<_, _> =
        copy.properties.iter().map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect();
    json!({
        "id": copy.id,
        "mailbox": copy.mailbox,
        "direction": copy.direction,
        "kept": instant(copy.kept),
        "size": copy.size,
        "sha256": hex(&copy.sha256),
        "properties": properties,
    })
}

async fn show(
    store: &Store,
    mailbox: &str,
    id: String,
    out: Option<&Path>,
    as_json_text: bool,
) -> Result<(), CommandError> {
    let terms = [Some(("id", id.clone())), out.map(|path| ("file", path.display().to_string()))];
    let terms = terms.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect();
    note(store, if out.is_some() { "export" } else { "show" }, mailbox, terms).await?;
    let whose = mailbox.to_owned();
    let (copy, _) = store.read(move |r| r.archive_message(&whose, &id)).await?;
    if let Some(path) = out {
        let file = create(path)?;
        write(store, &copy, file, path).inspect_err(|_| {
            let _ = fs::remove_file(path); // half a message is none
        })?;
    }
    if as_json_text {
        return say_json(&as_json(&copy));
    }
    line(&copy)?;
    say(&format!("    sha256: {}", hex(&copy.sha256)))
}

/// A stranger's letter: nobody else reads it, and no file is written over.
fn create(path: &Path) -> Result<File, CommandError> {
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    options.map_err(|error| CommandError::Other(format!("{}: {error}", path.display())))
}

/// Writes the bytes of a copy; an error if they are not those that were kept.
fn write(store: &Store, copy: &Copy, mut file: File, path: &Path) -> Result<(), CommandError> {
    use sha2::{Digest, Sha256};
    let failed = |error: std::io::Error| CommandError::Other(format!("{}: {error}", path.display()));
    let content = store.look(|r| r.message(copy.message))?;
    // Held open: a copy that is let go meanwhile is still written whole.
    let source = store.segments().pin(&content).map_err(failed)?;
    let mut hash = Sha256::new();
    for chunk in content.chunks(&*source as &dyn Source) {
        let chunk = chunk.map_err(failed)?;
        hash.update(&chunk);
        file.write_all(&chunk).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    let digest: [u8; 32] = hash.finalize().into();
    if digest != copy.sha256 {
        return Err(StoreError::Damaged(format!("copy {}: its bytes are not those that were kept", copy.id)).into());
    }
    Ok(())
}

/// What an export did.
#[derive(Default, serde::Serialize)]
struct Exported {
    written: u64,
    /// From an earlier run.
    already: u64,
    octets: u64,
    /// Let go by somebody while the export ran.
    gone: u64,
}

async fn export(store: &Store, arguments: ExportArguments) -> Result<(), CommandError> {
    let mailbox = arguments.mailbox.key();
    let place = ("dir".to_owned(), arguments.dir.display().to_string());
    note(store, "export", &mailbox, [arguments.period.terms(), vec![place]].concat()).await?;
    let total = store.look(|r| r.archive_usage(&mailbox))?.count;
    let mut search = arguments.period.search()?;
    let mut done = Exported::default();
    fs::create_dir_all(&arguments.dir).map_err(|error| failed(&arguments.dir, &error))?;
    let index_path = arguments.dir.join(INDEX);
    let part = arguments.dir.join(format!(".{INDEX}.part"));
    // Senders and subjects: for nobody else, like the copies.
    let mut options = OpenOptions::new();
    let index = options.write(true).create(true).truncate(true).mode(0o600).open(&part);
    let mut index = index.map_err(|error| failed(&part, &error))?;
    loop {
        let (whose, page) = (mailbox.clone(), search.clone());
        let copies = store.read(move |r| r.archive_search(&whose, &page)).await?;
        let Some(last) = copies.last() else { break };
        search.after = Some(last.id.clone());
        for copy in &copies {
            if let Some(name) = export_one(store, &arguments.dir, copy, &mut done)? {
                let mut said = as_json(copy);
                said["file"] = name.into();
                writeln!(index, "{said}").map_err(|error| failed(&part, &error))?;
            }
            progress(&format!("{} of {total} copies, {} octets", done.written + done.already, done.octets));
        }
    }
    index.sync_all().and_then(|()| fs::rename(&part, &index_path)).map_err(|error| failed(&index_path, &error))?;
    progress("");
    if arguments.json {
        return say_json(&done);
    }
    let dir = arguments.dir.display();
    say(&format!(
        "{} copies in {dir}, {} of them from before; {INDEX} lists them",
        done.written + done.already,
        done.already
    ))
}

fn failed(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::Other(format!("{}: {error}", path.display()))
}

/// The name of the file below the folder; none if the copy is gone. A file with its whole name is a whole copy.
fn export_one(store: &Store, dir: &Path, copy: &Copy, done: &mut Exported) -> Result<Option<String>, CommandError> {
    let name = format!("{}/{}/{}.eml", legal_time::month(copy.kept), copy.direction, copy.id);
    let path = dir.join(&name);
    if fs::metadata(&path).is_ok_and(|file| file.len() == copy.size) {
        done.already += 1;
        return Ok(Some(name));
    }
    let folder = path.parent().unwrap_or(dir);
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let part = path.with_extension("part");
    let _ = fs::remove_file(&part); // of a run that was ended
    let written = create(&part).and_then(|file| write(store, copy, file, &part));
    if let Err(error) = written {
        let _ = fs::remove_file(&part);
        let there = store.look(|r| r.archive_copy(&copy.mailbox, &copy.id))?.is_some();
        if there {
            return Err(error);
        }
        done.gone += 1;
        return Ok(None);
    }
    fs::rename(&part, &path).map_err(|error| failed(&path, &error))?;
    done.written += 1;
    done.octets += copy.size;
    Ok(Some(name))
}

/// One line that is written over, for whoever waits at a terminal.
fn progress(text: &str) {
    let mut out = std::io::stderr().lock();
    if out.is_terminal() {
        let _ = write!(out, "\r\x1b[K{text}");
        let _ = out.flush();
    }
}
