//! The `reception` stage: what comes to this plugin's addresses. Reports about copies are counted and end here; nothing is
//! ever passed on, least of all to whoever sent the message that was copied.

use crate::host::{Error, Event, Host, Message, is_of_inner_message};
use crate::mime::{ascii_line, for_log};
use crate::notice;
use crate::record::Record;
use crate::return_address::{self, Reading};
use crate::settings::Settings;

/// Recipients of one report that are looked at.
const GROUPS_MAX: usize = 100;
/// Octets of a stranger's words that are kept.
const WORDS_MAX: usize = 160;

/// What came, and from whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrived {
    /// The sender on the envelope.
    pub reverse_path: String,
    /// Recipients on the envelope.
    pub recipients: Vec<String>,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is not for this plugin.
    Continue,
    /// Taken, and gone.
    Discard(String),
    /// Refused for good: code of RFC 3463, words.
    Reject(&'static str, &'static str),
}

/// What a report says of the copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It did not arrive, for this reason.
    Failed(String),
    /// It did not arrive because of itself, not of the address: too large, or its content, or a rule of the other side's.
    NotTaken(String),
    /// Anything else: it is late, it arrived, nobody is there today.
    Nothing,
}

/// Takes a message for the plugin's addresses.
pub fn run(host: &impl Host, message: &impl Message, settings: &Settings, arrived: &Arrived) -> Result<Verdict, Error> {
    // The server brings them one by one; a message that is also for somebody else would be lost to him.
    let [to] = arrived.recipients.as_slice() else { return Ok(Verdict::Continue) };
    if to.eq_ignore_ascii_case(&settings.address) {
        return Ok(match arrived.reverse_path.is_empty() {
            true => Verdict::Discard("an automatic message to the address that copies are from".into()),
            false => Verdict::Reject(
                "5.7.1",
                "This address only sends copies without legal value. Answer from the certified mailbox, to the sender there",
            ),
        });
    }
    let handle = match return_address::read(host, settings, to)? {
        Reading::Other => return Ok(Verdict::Continue),
        Reading::Refused => return Ok(Verdict::Reject("5.1.1", "No such address, or its time is over")),
        Reading::Ours(handle) => handle,
    };
    if !arrived.reverse_path.is_empty() {
        let automatic =
            message.header_text("Auto-Submitted").is_some_and(|value| !value.trim().eq_ignore_ascii_case("no"));
        return Ok(match automatic {
            true => Verdict::Discard("an automatic answer to a copy".into()),
            false => Verdict::Reject("5.7.1", "This address takes reports about copies only"),
        });
    }
    let Some(mut record) = Record::read(host, &handle)? else {
        return Ok(Verdict::Discard("a report about a forward of which nothing is known any more".into()));
    };
    match said(message) {
        Said::Nothing => Ok(Verdict::Discard(format!("a message about a copy for {}, which is no failure", record.to))),
        Said::NotTaken(words) => {
            let told = record.refuse(settings, host.now());
            append(host, message, &record, "forward-failed", &words, Vec::new())?;
            if told {
                let notice = notice::not_taken(host, settings, &record, &words)?;
                append(host, message, &record, "forward-not-taken", &words, vec![notice])?;
            }
            record.write(host, &handle)?;
            Ok(Verdict::Discard(format!("a copy that {} did not take for what it is", record.to)))
        }
        Said::Failed(words) => {
            let suspended = record.fail(settings, host.now(), &words);
            append(host, message, &record, "forward-failed", &words, Vec::new())?;
            if suspended {
                let notice = notice::suspended(host, settings, &record)?;
                let why = record.suspended.clone().unwrap_or_default().why;
                append(host, message, &record, "forward-suspended", &why, vec![notice])?;
            }
            record.write(host, &handle)?;
            Ok(Verdict::Discard(format!("a report of failure about a copy for {}", record.to)))
        }
    }
}

/// Reads a report (RFC 3464 §2), or the field by which Exim says the same. What is neither says nothing: an automatic
/// answer is no failure.
pub fn said(message: &impl Message) -> Said {
    let parts = message.parts().unwrap_or_default();
    // One inside a message that is inside speaks of something else: the copy may be of a report itself.
    let status = (0..parts.len()).find(|index| {
        let kind = parts[*index].media_type.as_str();
        matches!(kind, "message/delivery-status" | "message/global-delivery-status")
            && !is_of_inner_message(&parts, *index)
    });
    let Some(status) = status else {
        return match message.header_text("X-Failed-Recipients") {
            Some(_) => Said::Failed("no code".into()),
            None => Said::Nothing,
        };
    };
    let Ok(body) = message.decoded(status as u32) else { return Said::Nothing };
    let text = String::from_utf8_lossy(&body).replace("\r\n", "\n");
    // The first group is of the report, the others of one recipient each (RFC 3464 §2.1).
    let groups = text.split("\n\n").skip(1).take(GROUPS_MAX);
    let mut found = Said::Nothing;
    for group in groups {
        let field = |name: &str| field(group, name);
        if !field("Action").is_some_and(|action| action.eq_ignore_ascii_case("failed")) {
            continue;
        }
        let code = field("Status").unwrap_or_default();
        let code: String = code.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let diagnostic = field("Diagnostic-Code").unwrap_or_default();
        let words = ascii_line(format!("{code} {diagnostic}").trim(), WORDS_MAX);
        if !is_of_the_message(&code) {
            return Said::Failed(words);
        }
        found = Said::NotTaken(words);
    }
    found
}

/// Whether a code speaks of the message and not of the address. RFC 3463 §3.3 and §3.4: the mailbox, or its system, takes
/// no messages of this size; §3.7 and §3.8: what is in it cannot be passed on, or a rule forbids it. Who sends something
/// that a filter refuses, some times, must not end the forward of all that others send.
fn is_of_the_message(code: &str) -> bool {
    matches!(code, "5.2.3" | "5.3.4") || code.starts_with("5.6.") || code.starts_with("5.7.")
}

/// The value of a field of a group, unfolded.
fn field(group: &str, name: &str) -> Option<String> {
    let mut lines = group
        .split('\n')
        .skip_while(|line| !line.split_once(':').is_some_and(|(found, _)| found.trim().eq_ignore_ascii_case(name)));
    let mut value = lines.next()?.split_once(':')?.1.trim().to_owned();
    for line in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        value.push(' ');
        value.push_str(line.trim());
    }
    Some(value)
}

fn append(
    host: &impl Host,
    message: &impl Message,
    record: &Record,
    kind: &'static str,
    reason: &str,
    related: Vec<String>,
) -> Result<(), Error> {
    let header = |name: &str| message.header_text(name).unwrap_or_default();
    host.append(&Event {
        kind,
        message_id: for_log(header("Message-ID").trim().trim_matches(['<', '>'])),
        sender: String::new(),
        recipients: vec![record.to.clone()],
        subject: for_log(&header("Subject")),
        related,
        details: vec![("mailbox", record.mailbox.clone()), ("reason", reason.to_owned())],
    })
}
