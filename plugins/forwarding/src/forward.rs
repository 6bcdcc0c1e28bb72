//! The `stored` stage: a message is in its mailbox; copies of it go where its user wants them (FWD-01, FWD-04).

use crate::copy;
use crate::destination;
use crate::host::{Error, Event, Host, Letter, Message};
use crate::loops;
use crate::mime;
use crate::notice;
use crate::record::Record;
use crate::return_address::{self, Reading};
use crate::settings::Settings;

/// The message that was filed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filed {
    /// The mailbox.
    pub mailbox: String,
    /// The sender on the envelope.
    pub reverse_path: String,
}

/// Queues a copy for each address; the same commit ends the message's way, so none is sent twice.
pub fn run(host: &impl Host, message: &impl Message, settings: &Settings, filed: &Filed) -> Result<(), Error> {
    let mailbox = filed.mailbox.as_str();
    let mut wanted = Vec::new();
    for destination in destination::of(host, settings, mailbox)? {
        match destination {
            Ok(address) => wanted.push(address),
            Err(problem) => host.warn(&format!("{mailbox}: not forwarded to {problem}")),
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let trail = loops::trail(host, message, mailbox, settings.report_days)?;
    // One that was made up, or whose time is over, says nothing: whoever sends chooses his reverse-path.
    let came_back = matches!(return_address::read(host, settings, &filed.reverse_path)?, Reading::Ours(_));
    if trail.here_before || came_back || trail.hops >= settings.hops {
        let why =
            if trail.here_before || came_back { "it is a copy that came back" } else { "it was forwarded too often" };
        return append(host, message, filed, "forward-loop", wanted, vec![("reason", why.to_owned())], Vec::new());
    }
    for to in wanted {
        forward(host, message, settings, filed, &to, trail.hops + 1)?;
    }
    Ok(())
}

fn forward(
    host: &impl Host,
    message: &impl Message,
    settings: &Settings,
    filed: &Filed,
    to: &str,
    hops: u32,
) -> Result<(), Error> {
    let mailbox = filed.mailbox.as_str();
    let handle = return_address::handle(host, mailbox, to)?;
    let mut record = Record::read(host, &handle)?.unwrap_or_else(|| Record {
        mailbox: mailbox.to_owned(),
        to: to.to_owned(),
        ..Record::default()
    });
    if record.suspended.is_some() {
        return Ok(());
    }
    if !record.count(settings, host.now()) {
        let notice = notice::suspended(host, settings, &record)?;
        record.write(host, &handle)?;
        let why = record.suspended.map(|suspension| suspension.why).unwrap_or_default();
        return append(
            host,
            message,
            filed,
            "forward-suspended",
            vec![to.to_owned()],
            vec![("reason", why)],
            vec![notice],
        );
    }
    let token = loops::token(host, mailbox, hops)?;
    let letter = Letter {
        key: format!("copy {to}"),
        reverse_path: return_address::make(host, settings, &handle)?,
        recipient: to.to_owned(),
        content: copy::build(host, message, settings, mailbox, to, &token)?,
    };
    let id = host.submit(&letter)?;
    record.write(host, &handle)?;
    append(host, message, filed, "forwarded", vec![to.to_owned()], vec![("mailbox", mailbox.to_owned())], vec![id])
}

fn append(
    host: &impl Host,
    message: &impl Message,
    filed: &Filed,
    kind: &'static str,
    recipients: Vec<String>,
    details: Vec<(&'static str, String)>,
    related: Vec<String>,
) -> Result<(), Error> {
    let header = |name: &str| message.header_text(name).unwrap_or_default();
    host.append(&Event {
        kind,
        message_id: mime::for_log(header("Message-ID").trim().trim_matches(['<', '>'])),
        sender: filed.reverse_path.clone(),
        recipients,
        subject: mime::for_log(&header("Subject")),
        related,
        details,
    })
}
