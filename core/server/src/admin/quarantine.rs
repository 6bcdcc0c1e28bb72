//! `quarantine`: what is kept from its recipients.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sigillo_mail::{Rope, Source};
use sigillo_store::evidence::NewEvent;
use sigillo_store::quarantine::{QuarantineSearch, Quarantined};
use sigillo_store::{Store, StoreError};

use super::{CommandError, instant, readable, registry, say, say_json};

#[derive(Subcommand)]
#[command(after_help = "Examples:
  sigillo quarantine list --plugin antivirus --since 2026-01-01
  sigillo quarantine list --reason Eicar --json | jq -r '.[].id'
  sigillo quarantine show 019a5b.77
  sigillo quarantine export 019a5b.77 evidence.eml")]
pub enum QuarantineCommand {
    /// Print what is kept and matches everything given, the newest first.
    List(ListArguments),
    /// Print the envelope of one message and why it is kept.
    Show {
        /// The message.
        id: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write the bytes of one message, as they came, to a new file; the message log keeps who did it.
    Export {
        /// The message.
        id: String,
        /// The file; it must not be there yet.
        file: PathBuf,
        /// Say what was written as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub struct ListArguments {
    /// From this day (2026-01-31, UTC) or instant (2026-01-31T10:00:00Z) on.
    #[arg(long)]
    since: Option<String>,
    /// To the end of this day, or to this instant.
    #[arg(long)]
    until: Option<String>,
    /// Put there by this plugin.
    #[arg(long)]
    plugin: Option<String>,
    /// These words in the reason.
    #[arg(long)]
    reason: Option<String>,
    /// Messages at most.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub async fn quarantine(store: &Store, command: QuarantineCommand) -> Result<(), CommandError> {
    match command {
        QuarantineCommand::List(arguments) => list(store, arguments).await,
        QuarantineCommand::Show { id, json } => {
            let (found, _) = store.read(move |r| r.quarantined_message(&id)).await?;
            if json { say_json(&as_json(&found)?) } else { show(&found) }
        }
        QuarantineCommand::Export { id, file, json } => export(store, id, &file, json).await,
    }
}

async fn list(store: &Store, arguments: ListArguments) -> Result<(), CommandError> {
    let search = QuarantineSearch {
        since: arguments.since.map(|text| registry::when(&text, false)).transpose()?,
        until: arguments.until.map(|text| registry::when(&text, true)).transpose()?,
        plugin: arguments.plugin,
        reason: arguments.reason,
        limit: arguments.limit,
    };
    let found = store.read(move |r| r.quarantined(&search)).await?;
    let (mut good, mut damaged) = (Vec::new(), Vec::new());
    for record in found {
        match record.map_err(CommandError::from).and_then(|record| Ok((as_json(&record)?, record))) {
            Ok(record) => good.push(record),
            Err(error) => damaged.push(error.to_string()),
        }
    }
    if arguments.json {
        say_json(&good.iter().map(|(json, _)| json).collect::<Vec<_>>())?;
    } else if good.is_empty() && damaged.is_empty() {
        say("nothing in quarantine matches")?;
    } else {
        good.iter().try_for_each(|(json, record)| line(json, record))?;
    }
    // The others are printed: one bad record hides no other.
    if damaged.is_empty() { Ok(()) } else { Err(CommandError::Other(damaged.join("\n"))) }
}

fn line(json: &Value, record: &Quarantined) -> Result<(), CommandError> {
    let envelope = &json["envelope"];
    let (from, recipients) = (text(&envelope["reverse-path"]), texts(&envelope["recipients"]));
    say(&format!("{}  {}  {:>9} octets  by {}", record.id, instant(record.created), record.size, record.plugin))?;
    said(&format!("    from <{from}> to {recipients}"))?;
    said(&format!("    {}", record.reason))
}

/// A line with a stranger's words in it.
fn said(line: &str) -> Result<(), CommandError> {
    say(&readable::plain(line))
}

fn show(record: &Quarantined) -> Result<(), CommandError> {
    let json = as_json(record)?;
    line(&json, record)?;
    let origin = &json["envelope"]["origin"];
    said(&format!("    came as {}  message id {}", text(&origin["way"]), text(&origin["message_id"])))?;
    said(&format!("    subject «{}»", text(&origin["subject"])))?;
    let properties = origin["properties"].as_object().into_iter().flatten();
    properties.into_iter().try_for_each(|(name, value)| said(&format!("    {name}: {}", text(value))))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(value: &Value) -> String {
    let texts = value.as_array().into_iter().flatten().map(|item| format!("<{}>", text(item)));
    texts.collect::<Vec<_>>().join(", ")
}

/// The record with its envelope as an object.
fn as_json(record: &Quarantined) -> Result<Value, CommandError> {
    let envelope: Value = serde_json::from_str(&record.envelope)
        .map_err(|error| StoreError::Damaged(format!("quarantined message {}: envelope: {error}", record.id)))?;
    Ok(json!({
        "id": record.id,
        "since": instant(record.created),
        "plugin": record.plugin,
        "reason": record.reason,
        "size": record.size,
        "envelope": envelope,
    }))
}

async fn export(store: &Store, id: String, path: &Path, json: bool) -> Result<(), CommandError> {
    let wanted = id.clone();
    let (record, content) = store.read(move |r| r.quarantined_message(&wanted)).await?;
    let envelope = as_json(&record)?["envelope"].take();
    let failed = |error: std::io::Error| CommandError::Other(format!("{}: {error}", path.display()));
    // Infected, and a stranger's letter: nobody else reads it, nothing runs it, and no file is written over.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let source = store.segments().clone();
    let written = write(file, &content, source.as_ref()).map_err(failed);
    let logged = match written {
        Ok(digest) => log(store, &record, &envelope, &digest, path).await.map(|()| digest),
        Err(error) => Err(error),
    };
    let digest = logged.inspect_err(|_| {
        // Half a message, or one whose export is not on record, is not left behind.
        let _ = std::fs::remove_file(path);
    })?;
    if json {
        return say_json(&json!({ "id": id, "file": path, "size": record.size, "sha256": digest }));
    }
    say(&format!("{digest}  {}", path.display()))
}

/// Writes and syncs; returns the SHA-256, hexadecimal.
fn write(mut file: File, content: &Rope, source: &dyn Source) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    for chunk in content.chunks(source) {
        let chunk = chunk?;
        hash.update(&chunk);
        file.write_all(&chunk)?;
    }
    file.sync_all()?;
    Ok(hash.finalize().iter().map(|octet| format!("{octet:02x}")).collect())
}

async fn log(
    store: &Store,
    record: &Quarantined,
    envelope: &Value,
    digest: &str,
    path: &Path,
) -> Result<(), CommandError> {
    let uid = std::fs::metadata("/proc/self").map(|me| me.uid().to_string());
    let uid = uid.map_err(|error| CommandError::Other(format!("who runs this command is not known: {error}")))?;
    let recipients = envelope["recipients"].as_array().into_iter().flatten();
    let event = NewEvent {
        message_id: text(&envelope["origin"]["message_id"]).to_owned(),
        kind: "quarantine-exported".into(),
        sender: text(&envelope["reverse-path"]).to_owned(),
        recipients: recipients.map(|recipient| text(recipient).to_owned()).collect(),
        subject: text(&envelope["origin"]["subject"]).to_owned(),
        related: vec![record.id.clone()],
        details: vec![
            ("uid".into(), uid),
            ("file".into(), path.display().to_string()),
            ("sha256".into(), digest.to_owned()),
        ],
        passage: record.id.clone(),
        source: "core".into(),
        ..NewEvent::default()
    };
    Ok(store.write(move |tx| tx.append_evidence(event.clone()).map(drop)).await?)
}
