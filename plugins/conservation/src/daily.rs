//! What is done without being asked: the daily run over the archives (CON-04), and the logs every hour (LOG-15).
//!
//! | wake-up | what it does |
//! |---|---|
//! | `start` | a server begins: asks for the others; a run that was missed is made up for |
//! | `daily` | asks for the next one, for `walk` and for `retry` |
//! | `walk` | asks for `pack/MAILBOX` of each mailbox with the service, some at a time |
//! | `pack/MAILBOX` | one package, then again until there is nothing |
//! | `retry` | asks for `resend/ID` of each package that had expired |
//! | `resend/ID` | queues a package again |
//! | `logs` | packages of log files, then again in an hour |

use crate::host::{Failure, Host, Level};
use crate::legal_time::{self, LegalTime};
use crate::logs;
use crate::pack::{self, Age, Packed};
use crate::package::State;
use crate::run;
use crate::settings::Settings;
use crate::store;

/// Mailboxes that one `walk` looks at, and packages that one `retry` does.
const AT_ONCE: u32 = 200;
/// How long is waited where too many packages wait for their confirmation.
const BUSY_MS: u64 = 10 * 60 * 1000;
/// Between two looks at the log files: what was sealed at midnight is on its way within the day (LOG-15).
const LOGS_MS: u64 = 3600 * 1000;
/// The payload of the first `pack` of a run.
const BEGIN: &[u8] = b"begin";

/// A wake-up is due.
pub fn wake<H: Host>(host: &H, settings: &Settings, key: &str, payload: &[u8]) -> Result<(), Failure> {
    match key.split_once('/').unwrap_or((key, "")) {
        ("start", "") => start(host, settings),
        ("daily", "") => daily(host, settings),
        ("walk", "") => walk(host, &String::from_utf8_lossy(payload)),
        ("pack", mailbox) => pack(host, settings, mailbox, payload == BEGIN),
        ("retry", "") => retry(host, &String::from_utf8_lossy(payload)),
        ("resend", id) => resend(host, settings, id),
        ("logs", "") => pack_logs(host, settings),
        _ => {
            host.log(Level::Warn, &format!("a wake-up that nobody of this version asked for: {key}"));
            Ok(())
        }
    }
}

fn ask<H: Host>(host: &H, key: &str, at: u64, payload: &[u8]) -> Result<(), Failure> {
    host.wake(key, at, payload).map_err(|error| error.during("wake-up"))
}

fn start<H: Host>(host: &H, settings: &Settings) -> Result<(), Failure> {
    ask(host, "daily", next(host, settings)?, &[])?;
    if settings.logs { ask(host, "logs", host.now(), &[]) } else { Ok(()) }
}

/// When the next daily run is: today's if it was not yet, be it over its time; otherwise tomorrow's.
pub fn next<H: Host>(host: &H, settings: &Settings) -> Result<u64, Failure> {
    let today = LegalTime::of(host, host.now())?.day_number();
    let ran = store::last_run(host)?.is_some_and(|day| day >= today);
    legal_time::instant_of(host, today + i64::from(ran), settings.minute())
}

fn daily<H: Host>(host: &H, settings: &Settings) -> Result<(), Failure> {
    let today = LegalTime::of(host, host.now())?.day_number();
    store::set_last_run(host, today)?;
    ask(host, "daily", legal_time::instant_of(host, today + 1, settings.minute())?, &[])?;
    ask(host, "walk", host.now(), &[])?;
    ask(host, "retry", host.now(), &[])
}

fn walk<H: Host>(host: &H, after: &str) -> Result<(), Failure> {
    let after = Some(after).filter(|after| !after.is_empty());
    let mailboxes = host.mailboxes(after, AT_ONCE).map_err(|error| error.during("archive"))?;
    for mailbox in &mailboxes {
        match pack::is_on(host, mailbox)? {
            Ok(()) => ask(host, &format!("pack/{mailbox}"), host.now(), BEGIN)?,
            Err(why) if why.contains("CON-02") => host.log(Level::Warn, &format!("{mailbox}: {why}")),
            Err(_) => {}
        }
    }
    match mailboxes.last() {
        Some(last) if mailboxes.len() >= AT_ONCE as usize => ask(host, "walk", host.now(), last.as_bytes()),
        _ => Ok(()),
    }
}

fn pack<H: Host>(host: &H, settings: &Settings, mailbox: &str, begin: bool) -> Result<(), Failure> {
    let again = |at, payload: &[u8]| ask(host, &format!("pack/{mailbox}"), at, payload);
    match pack::pack(host, settings, mailbox, Age::Settings, begin)? {
        Packed::Package { more: true, .. } | Packed::Stuck => again(host.now(), b"more"),
        Packed::Package { more: false, .. } | Packed::Nothing => Ok(()),
        Packed::Waits(_) => again(host.now() + BUSY_MS, if begin { BEGIN } else { b"more" }),
    }
}

fn retry<H: Host>(host: &H, after: &str) -> Result<(), Failure> {
    let after = Some(after).filter(|after| !after.is_empty());
    let open = store::open(host, None, after, AT_ONCE)?;
    for name in &open {
        let id = name.rsplit_once('/').map_or(name.as_str(), |(_, id)| id);
        if store::package(host, id)?.is_some_and(|package| package.state == State::Expired) {
            ask(host, &format!("resend/{id}"), host.now(), &[])?;
        }
    }
    match open.last() {
        Some(last) if open.len() >= AT_ONCE as usize => ask(host, "retry", host.now(), last.as_bytes()),
        _ => Ok(()),
    }
}

fn resend<H: Host>(host: &H, settings: &Settings, id: &str) -> Result<(), Failure> {
    if let Err(why) = run::resend(host, settings, id)? {
        host.log(Level::Warn, &format!("package {id} is not deposited again: {why}"));
    }
    Ok(())
}

fn pack_logs<H: Host>(host: &H, settings: &Settings) -> Result<(), Failure> {
    let at = match logs::pack(host, settings)? {
        Packed::Package { more: true, .. } => host.now(),
        Packed::Waits(_) => host.now() + BUSY_MS,
        _ => host.now() + LOGS_MS,
    };
    ask(host, "logs", at, &[])
}
