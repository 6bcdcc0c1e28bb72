//! `log verify`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use sigillo_store::Store;
use sigillo_store::evidence::Stream;
use sigillo_store::evidence::chain::{ChainReport, Finding};
use sigillo_store::evidence::exported;
use sigillo_store::evidence::sealing::SealedFile;
use sigillo_trust::Anchors;
use sigillo_trust::timestamp::{Wanted, examine};

use super::super::{CommandError, instant, say, say_json};
use crate::config::Config;
use crate::evidence::{folder, stamping};

#[derive(Args)]
pub struct VerifyArguments {
    /// A folder of exported files: the database is not looked at.
    #[arg(long)]
    files: Option<PathBuf>,
    /// PEM: roots of the timestamp authority; those of the configuration by default.
    #[arg(long)]
    anchors: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What was looked at.
#[derive(Default)]
struct Report {
    chains: Vec<ChainReport>,
    files: usize,
    /// Stamped files by the time of the stamp.
    stamped: usize,
    unstamped: usize,
    /// Whether stamps could be checked.
    anchors: bool,
    findings: Vec<Finding>,
    notes: Vec<String>,
}

pub async fn verify(config: &Config, store: &Store, arguments: VerifyArguments) -> Result<(), CommandError> {
    let anchors = match (&arguments.anchors, &config.evidence.timestamps) {
        (Some(path), _) => Some(stamping::load_anchors(path)?),
        (None, Some(settings)) => Some(stamping::anchors(config, settings)?),
        (None, None) => None,
    };
    let report = match arguments.files {
        Some(folder) => {
            let work = move || verify_folder(&folder, anchors.as_ref());
            let done = tokio::task::spawn_blocking(work).await;
            done.map_err(|error| CommandError::Other(error.to_string()))??
        }
        None => verify_store(config, store, anchors).await?,
    };
    print(&report, arguments.json)?;
    if report.findings.is_empty() { Ok(()) } else { Err(CommandError::Found) }
}

async fn verify_store(config: &Config, store: &Store, anchors: Option<Anchors>) -> Result<Report, CommandError> {
    let folder = folder(config);
    let mut report = Report { anchors: anchors.is_some(), ..Report::default() };
    for stream in Stream::ALL {
        let chain = store
            .read(move |r| r.verify_chain(stream, |count| progress(&format!("{}: {count} records", stream.word()))))
            .await?;
        report.findings.extend(chain.findings.clone());
        report.chains.push(chain);
        let own = folder.clone();
        let files = store.read(move |r| r.verify_files(stream, &own, progress)).await?;
        for (file, findings) in files {
            report.findings.extend(findings);
            if file.removed.is_some() {
                continue;
            }
            report.files += 1;
            let id = file.id;
            let kept = store.read(move |r| r.stamp(id)).await?;
            check_kept_stamp(&file, kept, &folder, anchors.as_ref(), &mut report);
        }
    }
    progress("");
    Ok(report)
}

/// A stamp beside its file must be the one that was kept, and prove the file's digest.
fn check_kept_stamp(
    file: &SealedFile,
    kept: Option<Vec<u8>>,
    folder: &Path,
    anchors: Option<&Anchors>,
    report: &mut Report,
) {
    let Some(kept) = kept else {
        report.unstamped += 1;
        return;
    };
    report.stamped += 1;
    let name = file.stamp_name();
    match std::fs::read(folder.join(&name)) {
        Err(error) => report.findings.push(Finding::file(&name, format!("the stamp cannot be read: {error}"))),
        Ok(stamp) if stamp != kept => report.findings.push(Finding::file(&name, "it is not the stamp that was kept")),
        Ok(_) => {}
    }
    check_stamp(&name, &kept, &file.sha256, anchors, report);
}

fn check_stamp(name: &str, stamp: &[u8], sha256: &[u8; 32], anchors: Option<&Anchors>, report: &mut Report) {
    let Some(anchors) = anchors else { return };
    if let Err(error) = examine(stamp, sha256, anchors, Wanted::default()) {
        report.findings.push(Finding::file(name, error.to_string()));
    }
}

/// Only what lies in a folder.
fn verify_folder(folder: &Path, anchors: Option<&Anchors>) -> Result<Report, CommandError> {
    let unreadable = |error: std::io::Error| CommandError::Other(format!("{}: {error}", folder.display()));
    let found = exported::verify(folder, progress).map_err(unreadable)?;
    progress("");
    let mut report =
        Report { files: found.files.len(), anchors: anchors.is_some(), findings: found.findings, ..Report::default() };
    for file in &found.files {
        let name = format!("{}.tsr", file.name);
        match std::fs::read(folder.join(&name)) {
            Err(_) => report.unstamped += 1,
            Ok(stamp) => {
                report.stamped += 1;
                check_stamp(&name, &stamp, &file.sha256, anchors, &mut report);
            }
        }
    }
    let mut ranges: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for file in &found.files {
        let (Some(header), Some(head)) = (&file.header, file.head) else { continue };
        let range = ranges.entry(header.stream.word()).or_insert((header.first, head.sequence));
        *range = (range.0.min(header.first), range.1.max(head.sequence));
    }
    let words = |(log, (first, last)): (&&str, &(u64, u64))| format!("{log}: records {first} to {last}");
    report.notes.extend(ranges.iter().map(words));
    if !found.listed {
        report
            .notes
            .push("there is no manifest: files missing before the first or behind the last cannot be noticed".into());
    }
    if found.files.is_empty() {
        report.findings.push(Finding::file(&folder.display().to_string(), "there is no log file in it"));
    }
    Ok(report)
}

fn print(report: &Report, as_json: bool) -> Result<(), CommandError> {
    if as_json {
        return say_json(&json!({
            "chains": report.chains,
            "files": report.files,
            "stamped": report.stamped,
            "unstamped": report.unstamped,
            "stamps-checked": report.anchors,
            "notes": report.notes,
            "findings": report.findings,
            "whole": report.findings.is_empty(),
        }));
    }
    for chain in &report.chains {
        let word = if chain.findings.is_empty() { "the chain is whole" } else { "the chain is broken" };
        say(&format!("{}: {} records, {word}; its head is {}", chain.stream.word(), chain.records, chain.head))?;
        if chain.begins_after > 0 {
            say(&format!("    records up to {} are past their time and were removed", chain.begins_after))?;
        }
    }
    report.notes.iter().try_for_each(|note| say(note))?;
    let checked = if report.anchors { "checked" } else { "not checked: no roots of an authority are given" };
    say(&format!(
        "{} sealed files, {} with a stamp ({checked}), {} without",
        report.files, report.stamped, report.unstamped
    ))?;
    for finding in &report.findings {
        say(&format!("FOUND: {finding}"))?;
    }
    if report.findings.is_empty() {
        say(&format!("nothing is wrong ({})", instant(sigillo_store::commit::now())))
    } else {
        Ok(())
    }
}

/// One line that is written over, at a terminal only.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}
