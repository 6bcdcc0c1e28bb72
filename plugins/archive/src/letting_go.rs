//! Letting copies go (ARC-05 to ARC-08), and saying how an archive stands.

use serde_json::{Value, json};

use crate::host::{Error, Event, Host, Item};
use crate::settings::{Choices, Settings};
use crate::space;

/// Copies let go in one step, each with its event: below the contract's limits, and a short commit.
pub const PIECE: usize = 500;
/// Copies that can be named at once.
pub const NAMED_MAX: usize = 500;
/// Octets of a copy's name at most.
const ID_MAX: usize = 128;

/// Who asks, and for which mailbox.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// As the operating system or a login knows him.
    pub actor: &'a str,
    /// The mailbox, in lower case.
    pub mailbox: &'a str,
}

/// Says how the archive of a mailbox stands.
pub fn usage<H: Host>(host: &H, settings: &Settings, mailbox: &str) -> Result<Value, Error> {
    known(host, mailbox)?;
    let (choices, usage) = (Choices::of(host, settings, mailbox)?, host.usage(mailbox)?);
    Ok(json!({
        "mailbox": mailbox,
        "archive": if choices.archive { "on" } else { "off" },
        "used": usage.used,
        "limit": choices.limit,
        "percent": space::percent(usage.used, choices.limit),
        "copies": usage.count,
        "oldest": usage.oldest.map(instant),
        "alert-percent": settings.alert_percent,
        "deletion": match may_delete(mailbox, &choices) {
            Ok(()) => "allowed".to_owned(),
            Err(_) if choices.conservation => "never, with conservation".to_owned(),
            Err(_) => "denied".to_owned(),
        },
        "conservation": if choices.conservation { "on" } else { "off" },
    }))
}

/// ARC-06: deletes the copies that are named, all or none.
pub fn delete<H: Host>(host: &H, settings: &Settings, asked: Asked<'_>, ids: &str) -> Result<Value, Error> {
    let Asked { mailbox, .. } = asked;
    known(host, mailbox)?;
    let choices = Choices::of(host, settings, mailbox)?;
    may_delete(mailbox, &choices)?;
    let mut ids: Vec<&str> = ids.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() || ids.len() > NAMED_MAX {
        return Err(Error::Other(format!("id: name 1 to {NAMED_MAX} copies")));
    }
    alone(host, mailbox)?;
    let mut freed = 0;
    for id in &ids {
        let item = find(host, mailbox, id)?;
        let item = item.ok_or_else(|| Error::Other(format!("there is no copy {id} in the archive of {mailbox}")))?;
        let_go(host, asked, &item, "by hand")?;
        freed += item.size;
    }
    let left = host.usage(mailbox)?.used.saturating_sub(freed);
    space::made_room(host, settings, &choices, mailbox, left)?;
    Ok(json!({ "mailbox": mailbox, "deleted": ids.len(), "octets": freed, "used": left }))
}

/// The copy of this name. Names are in order, so it is the first one behind the name before it.
fn find<H: Host>(host: &H, mailbox: &str, id: &str) -> Result<Option<Item>, Error> {
    let plain = id.len() <= ID_MAX && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    let Some(last) = id.chars().next_back().filter(|_| plain) else { return Ok(None) };
    let shorter = &id[..id.len() - last.len_utf8()];
    let mut before = None;
    // Copies whose names begin alike: few, since a name ends with random digits.
    let mut after = Some(shorter.to_owned());
    while before.is_none() {
        let page = host.items(mailbox, u64::MAX, after.as_deref(), 16)?;
        let Some(end) = page.last().map(|item| item.id.clone()) else { return Ok(None) };
        if let Some(found) = page.into_iter().find(|item| item.id.as_str() >= id) {
            before = Some(found);
        }
        after = Some(end);
    }
    Ok(before.filter(|item| item.id == id))
}

/// How far a run of `free` has come; kept, so that nobody can make it go further than it began with.
struct Run {
    target: u64,
    freed: u64,
    count: u64,
}

impl Run {
    fn key(mailbox: &str) -> String {
        format!("free/{mailbox}")
    }

    fn read<H: Host>(host: &H, mailbox: &str) -> Result<Option<Run>, Error> {
        let Some(text) = host.get(&Run::key(mailbox))? else { return Ok(None) };
        let mut numbers = text.split(' ').map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        let run = (|| Some(Run { target: next()?, freed: next()?, count: next()? }))();
        run.map(Some).ok_or_else(|| Error::Other(format!("what is kept of the run for {mailbox} cannot be read")))
    }

    fn write<H: Host>(&self, host: &H, mailbox: &str) -> Result<(), Error> {
        host.set(&Run::key(mailbox), Some(&format!("{} {} {}", self.target, self.freed, self.count)))
    }
}

/// ARC-07: lets go the oldest copies until a quarter (by default) of what was used at its begin is free, in pieces.
pub fn free<H: Host>(
    host: &H,
    settings: &Settings,
    asked: Asked<'_>,
    goes_on: bool,
    preview: bool,
) -> Result<Value, Error> {
    let Asked { mailbox, .. } = asked;
    known(host, mailbox)?;
    let choices = Choices::of(host, settings, mailbox)?;
    may_delete(mailbox, &choices)?;
    let used = host.usage(mailbox)?.used;
    let begun = if goes_on { Run::read(host, mailbox)? } else { None };
    if goes_on && begun.is_none() {
        return Err(Error::Other(format!("no run for {mailbox} is under way: begin a new one")));
    }
    let target = (u128::from(used) * u128::from(settings.free_percent)).div_ceil(100) as u64;
    let mut run = begun.unwrap_or(Run { target, freed: 0, count: 0 });
    if preview {
        return previewed(host, mailbox, run.target);
    }
    alone(host, mailbox)?;
    let items = host.items(mailbox, u64::MAX, None, PIECE as u32)?;
    let before = run.freed;
    for item in &items {
        if run.freed >= run.target {
            break;
        }
        let_go(host, asked, item, "oldest first")?;
        run.freed += item.size;
        run.count += 1;
    }
    let left = used.saturating_sub(run.freed - before);
    let more = run.freed < run.target && !items.is_empty();
    if more {
        run.write(host, mailbox)?;
    } else {
        // Also of an earlier run that was ended half-way: nobody goes on with that one.
        host.set(&Run::key(mailbox), None)?;
        space::made_room(host, settings, &choices, mailbox, left)?;
    }
    let mut answer = json!({ "mailbox": mailbox, "deleted": run.count, "octets": run.freed, "used": left });
    if more {
        answer["more"] = true.into();
        answer["continue"] = "next".into();
        answer["progress"] = format!("{} of {} octets let go", run.freed, run.target).into();
    }
    Ok(answer)
}

fn previewed<H: Host>(host: &H, mailbox: &str, target: u64) -> Result<Value, Error> {
    let (mut octets, mut count, mut after, mut until) = (0, 0_u64, None, None);
    while octets < target {
        let page = host.items(mailbox, u64::MAX, after.as_deref(), 1000)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for item in &page {
            if octets >= target {
                break;
            }
            octets += item.size;
            count += 1;
            until = Some(item.kept);
        }
    }
    Ok(json!({ "mailbox": mailbox, "would-delete": count, "octets": octets, "kept-until": until.map(instant) }))
}

/// ARC-05, ARC-08: whether copies may go by hand, with the reason and what to do.
fn may_delete(mailbox: &str, choices: &Choices) -> Result<(), Error> {
    if choices.conservation {
        return Err(Error::Other(format!(
            "{mailbox} has legal preservation (conservazione): nothing is deleted from its archive by hand; what is \
             preserved leaves it by itself"
        )));
    }
    if !choices.deletion {
        return Err(Error::Other(format!(
            "the administrator of {mailbox} does not allow deletion from its archive; it is allowed by: \
             sigillo mailbox set {mailbox} archive-deletion allowed"
        )));
    }
    Ok(())
}

fn known<H: Host>(host: &H, mailbox: &str) -> Result<(), Error> {
    if host.exists(mailbox)? { Ok(()) } else { Err(Error::Other(format!("there is no mailbox {mailbox} here"))) }
}

/// Two who let go of the same copies at once would both say in the log that they did. What is read of the archive is not
/// looked at again at the commit, so they meet at this value, and the later one runs anew.
fn alone<H: Host>(host: &H, mailbox: &str) -> Result<(), Error> {
    let key = format!("turn/{mailbox}");
    host.get(&key)?;
    host.set(&key, Some(&host.unique()))
}

/// A copy goes, and that somebody let it go is in the message log under the message's own id.
fn let_go<H: Host>(host: &H, asked: Asked<'_>, item: &Item, how: &str) -> Result<(), Error> {
    host.release(asked.mailbox, &item.id)?;
    host.record(&Event {
        kind: "archive-deleted",
        message_id: item.property("message-id").trim_matches(['<', '>']).to_owned(),
        sender: item.property("from").to_owned(),
        mailbox: asked.mailbox.to_owned(),
        subject: item.property("subject").to_owned(),
        details: vec![
            ("actor", asked.actor.to_owned()),
            ("how", how.to_owned()),
            ("copy", item.id.clone()),
            ("direction", item.direction.clone()),
            ("kept", instant(item.kept)),
            ("size", item.size.to_string()),
            ("sha256", item.sha256.clone()),
        ],
    })
}

/// ISO 8601 in UTC.
fn instant(at: u64) -> String {
    let at = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or_else(String::new, |at| format!("{at:.0}"))
}
