//! `log seal`, `log status`, `log export`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use sigillo_store::Store;
use sigillo_store::evidence::sealing::StreamStatus;
use sigillo_store::evidence::{Stream, exported};
use sigillo_trust::timestamp::Stamp;

use super::super::{CommandError, instant, say, say_json};
use super::search::Which;
use super::{note_access, when};
use crate::config::Config;
use crate::evidence::stamping::Stamper;
use crate::evidence::{self, folder, sealing};

/// Files stamped by one command.
const STAMPED_AT_ONCE: usize = 1000;

pub async fn seal(config: &Config, store: &Store, as_json: bool) -> Result<(), CommandError> {
    let files = store.seal(&sealing(config), true).await?;
    let stamped = match Stamper::of(config)? {
        Some(stamper) => stamper.stamp_due(store, STAMPED_AT_ONCE).await?,
        None => Vec::new(),
    };
    let stamp_of = |id: i64| stamped.iter().find(|(file, _)| file.id == id).map(|(_, stamp)| stamp);
    // A running server may have been faster.
    let new = files.iter().map(|file| (file.stream, file.first)).collect::<Vec<_>>();
    let files = store
        .read(move |r| new.into_iter().map(|(log, first)| r.sealed_file_of(log, first)).collect::<Result<Vec<_>, _>>())
        .await?;
    let files: Vec<_> = files.into_iter().flatten().collect();
    if as_json {
        let files: Vec<_> = files
            .iter()
            .map(|file| {
                json!({
                    "name": file.name, "log": file.stream, "first": file.first, "last": file.last,
                    "sha256": evidence::case::hex(&file.sha256), "stamped": file.stamped.map(instant),
                })
            })
            .collect();
        return say_json(&files);
    }
    if files.is_empty() {
        say("there is nothing to seal: every record is in a file")?;
    }
    for file in &files {
        say(&format!("{}  records {} to {}", file.name, file.first, file.last))?;
        say(&match stamp_of(file.id) {
            Some(Stamp { time, serial, authority, .. }) => {
                format!("    stamped {} by {authority}, number {serial}", instant(*time))
            }
            None if file.stamped.is_some() => "    stamped by the running server".to_owned(),
            None if config.evidence.timestamps.is_none() => "    no authority is configured to stamp it".to_owned(),
            None => "    not stamped yet; a running server tries again".to_owned(),
        })?;
    }
    Ok(())
}

pub async fn status(store: &Store, as_json: bool) -> Result<(), CommandError> {
    let status = evidence::status(store).await?;
    if as_json {
        return say_json(&status);
    }
    status.iter().try_for_each(print)
}

fn print(log: &StreamStatus) -> Result<(), CommandError> {
    say(&format!("{}: {} records, {} files, {} not stamped", log.stream.word(), log.last, log.files, log.unstamped))?;
    if let Some(at) = log.next_rotation {
        say(&format!(
            "    {} records ({} octets) are in no file yet; sealed at {} at the latest",
            log.unsealed,
            log.unsealed_octets,
            instant(at)
        ))?;
    }
    if let Some(at) = log.unstamped_since {
        let problem = log.problem.as_deref().unwrap_or("not attempted yet");
        say(&format!("    the oldest file without a stamp was sealed {}: {problem}", instant(at)))?;
    }
    Ok(())
}

#[derive(Args)]
pub struct ExportArguments {
    /// From this day (2026-01-31, legal time) or instant on.
    #[arg(long)]
    since: Option<String>,
    /// To the end of this day, or to this instant.
    #[arg(long)]
    until: Option<String>,
    /// Only one of the logs.
    #[arg(long, value_enum)]
    log: Option<Which>,
    /// Where to; the folder must be empty or not there.
    #[arg(long)]
    dir: PathBuf,
}

pub async fn export(config: &Config, store: &Store, arguments: ExportArguments) -> Result<(), CommandError> {
    let since = arguments.since.as_deref().map_or(Ok(0), |text| when(text, false))?;
    let until = arguments.until.as_deref().map_or(Ok(u64::MAX), |text| when(text, true))?;
    let only = arguments.log.map(Stream::from);
    let mut files = Vec::new();
    for stream in Stream::ALL.into_iter().filter(|stream| only.is_none_or(|only| only == *stream)) {
        let all = store.read(move |r| r.sealed_files(stream)).await?;
        files.extend(all.into_iter().filter(|f| f.removed.is_none() && f.until > since && f.since <= until));
    }
    if files.is_empty() {
        return Err(CommandError::Other(
            "no sealed file is of this period; `sigillo log seal` closes the current one".into(),
        ));
    }
    let terms = format!("since={} until={}", arguments.since.unwrap_or_default(), arguments.until.unwrap_or_default());
    note_access(store, "export", terms).await?;
    let (from, to, count) = (folder(config), arguments.dir.clone(), files.len());
    let copied = tokio::task::spawn_blocking(move || {
        exported::export(&files, &from, &to)?;
        exported::verify(&to, |_| {})
    });
    let report = copied.await.map_err(|error| CommandError::Other(error.to_string()))?;
    let report = report.map_err(|error| CommandError::Other(error.to_string()))?;
    report.findings.iter().try_for_each(|finding| say(&format!("FOUND: {finding}")))?;
    if !report.findings.is_empty() {
        return Err(CommandError::Found);
    }
    let dir = arguments.dir.display();
    say(&format!(
        "{count} files are in {dir}; check them anywhere with: sigillo log verify --files {dir} --anchors ROOTS"
    ))
}
