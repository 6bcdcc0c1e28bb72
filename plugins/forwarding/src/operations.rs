//! What operators ask: `sigillo forwarding status` and `resume`.

use serde::Serialize;

use crate::destination;
use crate::host::{Error, Event, Host};
use crate::record::{PREFIX, Record, Suspension};
use crate::return_address;
use crate::settings::Settings;

/// Forwards looked at in one step.
const PAGE: u32 = 500;
/// Octets of an answer's list: the server takes 4 MiB.
const ANSWER_MAX: usize = 1024 * 1024;

/// One forward as the answer says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Line {
    mailbox: String,
    to: String,
    sent: u64,
    last: u64,
    failures: usize,
    suspended: Option<Suspension>,
}

#[derive(Serialize)]
struct Status {
    forwards: Vec<Line>,
    more: bool,
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    progress: String,
}

#[derive(Serialize)]
struct Resumed {
    resumed: Vec<String>,
    valid: bool,
}

/// Every forward that is remembered, page by page; `after` is where the last page ended.
pub fn status(host: &impl Host, mailbox: Option<&str>, after: Option<&str>) -> Result<String, Error> {
    let keys = host.keys(PREFIX, after, PAGE)?;
    let (mut lines, mut size, mut last) = (Vec::new(), 0, None);
    for key in &keys {
        last = Some(key.clone());
        let Some(record) = Record::read(host, key.trim_start_matches(PREFIX))? else { continue };
        if mailbox.is_some_and(|mailbox| !record.mailbox.eq_ignore_ascii_case(mailbox)) {
            continue;
        }
        let (failures, suspended) = (record.failures.len(), record.suspended);
        let line =
            Line { mailbox: record.mailbox, to: record.to, sent: record.sent, last: record.last, failures, suspended };
        size += 200 + line.mailbox.len() + line.to.len() + line.suspended.as_ref().map_or(0, |s| s.why.len());
        lines.push(line);
        if size > ANSWER_MAX {
            break;
        }
    }
    let more = keys.len() == PAGE as usize || last != keys.last().cloned();
    let progress = format!("{} forwards", lines.len());
    answer(&Status { forwards: lines, more, after: last.filter(|_| more), progress })
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
    answer(&Resumed { valid: !resumed.is_empty(), resumed })
}

fn answer(answer: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(answer).map_err(|error| Error::Other(error.to_string()))
}
