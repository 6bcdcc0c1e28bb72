//! Sealed and stamped log files on their way within 24 hours, each with its nine metadata (CON-07, LOG-15).

use crate::build::{self, Trouble};
use crate::entry::{Entry, Facts, LogFacts, hex};
use crate::host::{Error, Failure, Host, Level, LogFile};
use crate::legal_time::LegalTime;
use crate::pack::{self, Named, Packed};
use crate::settings::Settings;
use crate::store::{self, Progress};
use crate::tar;

/// Files of one package at most; a day has a few.
const FILES_MAX: u32 = 100;
/// Octets of a stamp, with its place in the package.
const STAMP_ROOM: u64 = 16 * 1024;
/// From the closing of a file that has no stamp yet to the alarm: what is left of the 24 hours is to mend it.
const UNSTAMPED_MS: u64 = 12 * 3600 * 1000;

/// Packs the files after the last one that was packed, in their order, and queues them: one step.
pub fn pack<H: Host>(host: &H, settings: &Settings) -> Result<Packed, Failure> {
    if !settings.logs {
        return Ok(Packed::Nothing);
    }
    // Their own alone: deposits of mailboxes that are refused must not keep the logs from leaving in time.
    if store::open(host, Some(""), None, settings.in_flight)?.len() >= settings.in_flight as usize {
        return Ok(Packed::Waits(format!("{} packages wait for their confirmation", settings.in_flight)));
    }
    let progress = store::progress(host, "")?;
    let files = match host.log_files(progress.after.as_deref(), FILES_MAX) {
        Err(Error::NotFound) => {
            let last = progress.after.unwrap_or_default();
            return Err(Failure::Permanent(format!(
                "the log no longer knows {last}, the last file that was deposited"
            )));
        }
        files => files.map_err(|error| error.during("message log"))?,
    };
    let (mut taken, mut octets) = (Vec::new(), 0);
    for file in &files {
        if file.stamped.is_none() {
            late(host, file);
            break; // stamped before it is sent, and none before the one that comes first
        }
        let room = tar::room(file.size) + STAMP_ROOM;
        if !taken.is_empty() && octets + room > settings.package_octets {
            break;
        }
        octets += room;
        taken.push(file);
    }
    let (Some(first), Some(last)) = (taken.first(), taken.last()) else { return Ok(Packed::Nothing) };
    let more = taken.len() < files.len() && files.get(taken.len()).is_some_and(|next| next.stamped.is_some())
        || files.len() >= FILES_MAX as usize;
    let day = LegalTime::of(host, first.closed)?.day();
    let mut entries: Vec<Entry> = taken.iter().enumerate().map(|(index, file)| entry(index, file)).collect();
    let progress = Progress { after: Some(last.name.clone()) };
    loop {
        let Some(first) = entries.first() else {
            store::set_progress(host, "", &progress)?;
            return Ok(Packed::Stuck);
        };
        let named = Named { mailbox: "", day: &day, first: &first.id, count: entries.len() };
        let (manager, holder) = (settings.log_security_manager.clone(), settings.provider.clone());
        let mut package = pack::package(host, settings, named, holder, settings.provider_id.clone(), manager)?;
        let (id, count) = (package.id.clone(), package.count);
        let built = build::build(host, &mut package, &mut entries);
        match built.and_then(|built| pack::send(host, settings, package, &entries, &built.content)) {
            Ok(()) => {
                store::set_progress(host, "", &progress)?;
                return Ok(Packed::Package { id, count, more });
            }
            // One that somebody changed does not keep the others from leaving in time.
            Err(Trouble::Damaged { name, why }) => {
                pack::cannot(host, "", &name, &why)?;
                entries.retain(|entry| entry.id != name);
            }
            Err(Trouble::Failed(failure)) => return Err(failure),
            Err(Trouble::TooMuch(why)) => return Err(Failure::Permanent(format!("a package of logs: {why}"))),
            Err(Trouble::Gone(name)) => return Err(Failure::Transient(format!("{name} left the log meanwhile"))),
        }
    }
}

fn late<H: Host>(host: &H, file: &LogFile) {
    let waits = host.now().saturating_sub(file.closed);
    if waits > UNSTAMPED_MS {
        let hours = waits / 3_600_000;
        host.log(Level::Error, &format!("{} has no stamp since {hours} hours, so it cannot be deposited", file.name));
    }
}

fn entry(index: usize, file: &LogFile) -> Entry {
    Entry {
        id: file.name.clone(),
        path: format!("logs/{:06}.jsonl", index + 1),
        size: file.size,
        sha256: hex(&file.sha256),
        kept: file.closed,
        facts: Facts::Log(LogFacts { log: file.log.clone(), since: file.since, until: file.until }),
        ..Entry::default()
    }
}
