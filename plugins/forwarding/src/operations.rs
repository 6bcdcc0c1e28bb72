//! What operators ask: `sigillo forwarding status` and `resume`.

use jiff::Timestamp;
use serde::Serialize;

use crate::destination;
use crate::host::{Error, Event, Host};
use crate::record::{PREFIX, Record};
use crate::return_address;
use crate::settings::Settings;

/// Forwards looked at in one step.
const PAGE: u32 = 500;
/// Pages in which the forwards of one mailbox are looked for in one step.
const PAGES_OF_ONE: usize = 20;
/// Octets of an answer's list: the server takes 4 MiB.
const ANSWER_MAX: usize = 1024 * 1024;

/// One forward as the answer says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Line {
    mailbox: String,
    to: String,
    sent: u64,
    last: Option<String>,
    failures: usize,
    suspended: Option<Suspended>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Suspended {
    since: Option<String>,
    word: String,
    why: String,
}

#[derive(Serialize)]
struct Status {
    forwards: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct Resumed {
    resumed: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    valid: bool,
}

/// An instant of the record (milliseconds since 1970; 0 is none) in UTC.
fn instant(at: u64) -> Option<String> {
    let at = i64::try_from(at).ok().filter(|at| *at > 0)?;
    Timestamp::from_millisecond(at).ok().map(|at| at.to_string())
}

/// A page of the forwards that are remembered; `after` is the `next` of the page before. A page is an answer of its own
/// and no piece of long work, of which only the last answer is shown.
pub fn status(host: &impl Host, mailbox: Option<&str>, after: Option<&str>) -> Result<String, Error> {
    let (mut forwards, mut size, mut next) = (Vec::new(), 0, after.map(str::to_owned));
    for _ in 0..if mailbox.is_some() { PAGES_OF_ONE } else { 1 } {
        let keys = host.keys(PREFIX, next.as_deref(), PAGE)?;
        for key in &keys {
            if size > ANSWER_MAX {
                return answer(&Status { forwards, next });
            }
            next = Some(key.clone());
            let Some(record) = Record::read(host, key.trim_start_matches(PREFIX))? else { continue };
            if mailbox.is_none_or(|mailbox| record.mailbox.eq_ignore_ascii_case(mailbox)) {
                let line = line(record);
                size += 200 + line.mailbox.len() + line.to.len() + line.suspended.as_ref().map_or(0, |s| s.why.len());
                forwards.push(line);
            }
        }
        if keys.len() < PAGE as usize {
            return answer(&Status { forwards, next: None });
        }
    }
    answer(&Status { forwards, next })
}

fn line(record: Record) -> Line {
    let suspended = record.suspended.map(|suspension| Suspended {
        since: instant(suspension.since),
        word: suspension.word,
        why: suspension.why,
    });
    Line {
        mailbox: record.mailbox,
        to: record.to,
        sent: record.sent,
        last: instant(record.last),
        failures: record.failures.len(),
        suspended,
    }
}

/// Lets the suspended forwards of a mailbox to the addresses that it has now, or to one of them, go on.
pub fn resume(host: &impl Host, settings: &Settings, mailbox: &str, to: Option<&str>) -> Result<String, Error> {
    let mut resumed = Vec::new();
    for address in destination::of(host, settings, mailbox)?.into_iter().flatten() {
        if to.is_some_and(|to| !to.eq_ignore_ascii_case(&address)) {
            continue;
        }
        let handle = return_address::handle(host, mailbox, &address)?;
        let Some(mut record) = Record::read(host, &handle)? else { continue };
        if record.suspended.is_none() && record.failures.is_empty() {
            continue;
        }
        (record.suspended, record.today) = (None, 0);
        record.failures.clear();
        record.write(host, &handle)?;
        host.append(&Event {
            kind: "forward-resumed",
            recipients: vec![address.clone()],
            details: vec![("mailbox", mailbox.to_owned())],
            ..Event::default()
        })?;
        resumed.push(address);
    }
    // Nothing to resume is worth an exit status of its own.
    let why = resumed.is_empty().then(|| format!("no forward of {mailbox} is suspended or has failures"));
    answer(&Resumed { valid: why.is_none(), why, resumed })
}

fn answer(answer: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(answer).map_err(|error| Error::Other(error.to_string()))
}
