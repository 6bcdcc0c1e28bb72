//! How much a mailbox sends, and how much comes from a domain (AS-05, AS-06).
//!
//! A message only leaves a note and asks for a look soon: messages that pass at the same moment never wait for each other.
//! The look gathers the notes into sums of five minutes, kept for a day, and compares them with the limits.
//!
//! | key | value | written when |
//! |---|---|---|
//! | `sent/MAILBOX/COUNTS/ID` | | a user's message passes, or a recipient of it was refused; removed by the look |
//! | `came/DOMAIN/COUNTS/ID` | | a message from another server passes; removed by the look |
//! | `sum/sent/MAILBOX`, `sum/came/DOMAIN` | sums, when it was last told | a look |
//! | wake-ups `look/INSTANT/sent/MAILBOX`, `look/INSTANT/came/DOMAIN` | | the same as the notes |

use serde::{Deserialize, Serialize};

use crate::alert;
use crate::host::{Error, Event, Facts, Host};
use crate::incoming;
use crate::rating::Rated;
use crate::score::Band;
use crate::settings::{Limits, OnAnomaly, Settings};

/// Milliseconds of one sum.
const SLOT_MS: u64 = 5 * 60 * 1000;
/// Sums of an hour and of a day.
const HOUR: u64 = 12;
const DAY: u64 = 288;
/// Days that a note and a sum are kept.
const NOTE_DAYS: u32 = 2;
/// Notes that one look takes at most; then it looks again.
const NOTES_MAX: usize = 3000;
/// How the keys of wake-ups begin.
pub const WAKE: &str = "look/";
/// The setting of a mailbox: `standard`, `application` or `unwatched`.
pub const SETTING: &str = "sending";

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From a mailbox of this server.
    Sent,
    /// From a domain elsewhere.
    Came,
}

impl Way {
    /// The word in keys.
    pub fn word(self) -> &'static str {
        match self {
            Way::Sent => "sent",
            Way::Came => "came",
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Messages.
    pub messages: u64,
    /// Their recipients.
    pub recipients: u64,
    /// Recipients that do not exist or were refused.
    pub bad: u64,
    /// Messages that are rated as unwanted.
    pub spam: u64,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.messages = self.messages.saturating_add(other.messages);
        self.recipients = self.recipients.saturating_add(other.recipients);
        self.bad = self.bad.saturating_add(other.bad);
        self.spam = self.spam.saturating_add(other.spam);
    }
}

/// What is kept of a sender.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Number of the slot since 1970, and what it counted; the newest last.
    slots: Vec<(u64, Counts)>,
    /// When it was last told, milliseconds since 1970.
    told: u64,
}

impl Sums {
    fn add(&mut self, slot: u64, counts: Counts) {
        match self.slots.iter_mut().find(|(at, _)| *at == slot) {
            Some((_, sum)) => sum.add(counts),
            None => self.slots.push((slot, counts)),
        }
        // What a clock that was ahead counted would stand in every hour until that time comes.
        self.slots.retain(|(at, _)| at + DAY > slot && *at <= slot);
    }

    /// What the last so many slots counted.
    pub fn within(&self, slots: u64, now: u64) -> Counts {
        let (mut sum, slot) = (Counts::default(), now / SLOT_MS);
        let recent = self.slots.iter().filter(|(at, _)| at + slots > slot && *at <= slot);
        recent.for_each(|(_, counts)| sum.add(*counts));
        sum
    }

    /// What the last hour counted.
    pub fn hour(&self, now: u64) -> Counts {
        self.within(HOUR, now)
    }

    /// What the last day counted.
    pub fn day(&self, now: u64) -> Counts {
        self.within(DAY, now)
    }
}

/// The `access` stage: the message is rated and counted, never changed or refused (AS-01).
pub fn send<H: Host>(host: &H, settings: &Settings) -> Result<(), Error> {
    let facts = host.facts();
    let mut counts = Counts { messages: 1, recipients: facts.recipients.len() as u64, ..Counts::default() };
    match incoming::rated(host, settings) {
        Rated::Certified => {}
        Rated::Unknown(problem) => incoming::note_problem(host, problem.as_deref())?,
        Rated::Rating(rating, problem) => {
            incoming::note_problem(host, problem.as_deref())?;
            incoming::annotate(host, &rating)?;
            if let Some(band) = Band::of(rating.percent, &settings.bands) {
                host.annotate("band", band.word())?;
                counts.spam = 1;
            }
        }
    }
    for recipient in &facts.recipients {
        if host.mailbox_status(recipient)? == "unknown" {
            counts.bad += 1;
        }
    }
    let sender = facts.identity.as_deref().unwrap_or(&facts.sender).to_lowercase();
    if sender.is_empty() { Ok(()) } else { note(host, settings, Way::Sent, &sender, &facts.id, counts) }
}

/// The `outcome` stage: a recipient elsewhere that was refused for good. One whose time was over says more of a network,
/// perhaps of ours, than of who sends: it would close many mailboxes at once.
pub fn ended<H: Host>(host: &H, settings: &Settings) -> Result<(), Error> {
    let facts = host.facts();
    // One of this server was counted when the message was sent.
    let elsewhere = host.property("outcome.host").is_some();
    if !elsewhere || facts.status != "failed" || facts.sender.is_empty() {
        return Ok(());
    }
    let sender = facts.sender.to_lowercase();
    if !matches!(host.mailbox_status(&sender)?.as_str(), "present" | "full" | "disabled") {
        return Ok(());
    }
    let id = format!("{}.{}", facts.id, facts.recipients.join(","));
    note(host, settings, Way::Sent, &sender, &id, Counts { bad: 1, ..Counts::default() })
}

/// At reception: one message from another server.
pub fn came<H: Host>(host: &H, settings: &Settings, facts: &Facts, spam: bool) -> Result<(), Error> {
    let Some((_, domain)) = facts.sender.rsplit_once('@') else { return Ok(()) };
    if !settings.incoming.watch || facts.arrival != "relay" {
        return Ok(());
    }
    let mut counts = Counts { messages: 1, recipients: facts.recipients.len() as u64, ..Counts::default() };
    counts.spam = u64::from(spam);
    for recipient in &facts.recipients {
        if host.mailbox_status(recipient)? == "unknown" {
            counts.bad += 1;
        }
    }
    note(host, settings, Way::Came, &domain.to_lowercase(), &facts.id, counts)
}

fn note<H: Host>(host: &H, settings: &Settings, way: Way, who: &str, id: &str, counts: Counts) -> Result<(), Error> {
    if who.len() > 320 {
        return Ok(());
    }
    let Counts { messages, recipients, bad, spam } = counts;
    let id: String = id.chars().filter(|c| !c.is_control()).take(100).collect();
    let key = format!("{}/{who}/{messages}.{recipients}.{bad}.{spam}/{id}", way.word());
    host.set(&key, b"", NOTE_DAYS)?;
    let every = settings.outgoing.watch_every * 1000;
    let at = (host.now() / every + 1) * every;
    host.wake(&format!("{WAKE}{at}/{}/{who}", way.word()), at)
}

/// The `timer` stage: the key of the wake-up says at whom to look.
pub fn look<H: Host>(host: &H, settings: &Settings, key: &str) -> Result<(), Error> {
    let Some((way, who)) = key.strip_prefix(WAKE).and_then(|rest| rest.split_once('/')?.1.split_once('/')) else {
        return Ok(());
    };
    let way = match way {
        "sent" => Way::Sent,
        "came" => Way::Came,
        _ => return Ok(()),
    };
    let (counts, more) = gather(host, way, who)?;
    if counts == Counts::default() {
        return Ok(());
    }
    if more {
        host.wake(&format!("{WAKE}{}/{}/{who}", host.now(), way.word()), host.now() + 1)?;
    }
    let now = host.now();
    let mut sums = sums(host, way, who)?;
    sums.add(now / SLOT_MS, counts);
    let found = limits(host, settings, way, who)?.map_or_else(Vec::new, |limits| beyond(&sums, now, &limits));
    if !found.is_empty() {
        tell(host, settings, way, who, &mut sums, &found)?;
    }
    let value = serde_json::to_vec(&sums).map_err(|error| Error::Other(error.to_string()))?;
    host.set(&sum_key(way, who), &value, NOTE_DAYS)
}

fn gather<H: Host>(host: &H, way: Way, who: &str) -> Result<(Counts, bool), Error> {
    let prefix = format!("{}/{who}/", way.word());
    let (mut sum, mut taken, mut after): (_, _, Option<String>) = (Counts::default(), 0, None);
    loop {
        let keys = host.keys(&prefix, after.as_deref())?;
        let Some(last) = keys.last().cloned() else { return Ok((sum, false)) };
        for key in &keys {
            if taken >= NOTES_MAX {
                return Ok((sum, true));
            }
            taken += 1;
            sum.add(key.strip_prefix(&prefix).and_then(counts).unwrap_or_default());
            host.delete(key)?;
        }
        after = Some(last);
    }
}

fn counts(rest: &str) -> Option<Counts> {
    let mut numbers = rest.split('/').next()?.split('.').map(|number| number.parse().ok());
    let mut next = || numbers.next().flatten();
    Some(Counts { messages: next()?, recipients: next()?, bad: next()?, spam: next()? })
}

/// What is kept of a sender.
pub fn sums<H: Host>(host: &H, way: Way, who: &str) -> Result<Sums, Error> {
    let value = host.get(&sum_key(way, who))?;
    Ok(value.and_then(|value| serde_json::from_slice(&value).ok()).unwrap_or_default())
}

fn sum_key(way: Way, who: &str) -> String {
    format!("sum/{}/{who}", way.word())
}

/// What is usual for a sender; none where nobody looks.
fn limits<H: Host>(host: &H, settings: &Settings, way: Way, who: &str) -> Result<Option<Limits>, Error> {
    if way == Way::Came {
        return Ok(Some(settings.incoming.limits));
    }
    Ok(match host.mailbox_setting(who, SETTING)?.as_deref() {
        Some("unwatched") => None,
        Some("application") => Some(settings.outgoing.application),
        _ => Some(settings.outgoing.standard),
    })
}

/// A limit that is passed, in words: what was counted, and the limit.
pub struct Excess {
    /// For people.
    pub italian: String,
    /// For people and for the log.
    pub english: String,
}

/// Which limits are passed.
fn beyond(sums: &Sums, now: u64, limits: &Limits) -> Vec<Excess> {
    let (hour, day) = (sums.hour(now), sums.day(now));
    let mut found = Vec::new();
    for (italian, english, counted, limit) in [
        ("messaggi in un'ora", "messages in an hour", hour.messages, limits.messages_per_hour),
        ("messaggi in un giorno", "messages in a day", day.messages, limits.messages_per_day),
        ("destinatari in un'ora", "recipients in an hour", hour.recipients, limits.recipients_per_hour),
        ("destinatari in un giorno", "recipients in a day", day.recipients, limits.recipients_per_day),
    ] {
        if limit > 0 && counted > limit {
            found.push(Excess {
                italian: format!("{italian}: {counted} (limite {limit})"),
                english: format!("{counted} {english} (limit {limit})"),
            });
        }
    }
    let refused = ("destinatari inesistenti o rifiutati", "recipients that do not exist or were refused");
    let unwanted = ("messaggi valutati come indesiderati", "messages rated as unwanted");
    for ((italian, english), part, whole, limit) in [
        (refused, day.bad, day.recipients, limits.bad_recipients_percent),
        (unwanted, day.spam, day.messages, limits.spam_percent),
    ] {
        let percent = part.saturating_mul(100) / whole.max(1);
        if limit > 0 && whole >= limits.shares_from.max(1) && percent > limit {
            found.push(Excess {
                italian: format!("{italian}: {percent}%, {part} su {whole} (limite {limit}%)"),
                english: format!("{percent}% {english}, {part} of {whole} (limit {limit}%)"),
            });
        }
    }
    found
}

fn tell<H: Host>(
    host: &H,
    settings: &Settings,
    way: Way,
    who: &str,
    sums: &mut Sums,
    found: &[Excess],
) -> Result<(), Error> {
    let now = host.now();
    let list = found.iter().map(|excess| excess.english.as_str()).collect::<Vec<_>>().join("; ");
    let period = settings.outgoing.alert_every * 3_600_000;
    let suspended =
        way == Way::Sent && settings.outgoing.on_anomaly == OnAnomaly::Suspend && suspend(host, who, &list)?;
    if suspended {
        // Whoever opens it again begins anew.
        sums.slots.clear();
    } else if sums.told > 0 && now.abs_diff(sums.told) < period {
        return Ok(());
    }
    sums.told = now;
    let details = vec![
        ("way", way.word().to_owned()),
        ("found", list),
        ("done", if suspended { "suspended" } else { "told" }.to_owned()),
    ];
    host.record(&Event {
        kind: "traffic-anomaly",
        message_id: String::new(),
        sender: who.to_owned(),
        recipients: vec![settings.postmaster.clone()],
        subject: String::new(),
        details,
    })?;
    alert::send(host, settings, way, who, found, suspended)
}

/// Whether the mailbox is suspended now: nobody is told so of one that is not. One that left meanwhile needs no suspension.
fn suspend<H: Host>(host: &H, who: &str, found: &str) -> Result<bool, Error> {
    match host.suspend(who, &found.chars().take(400).collect::<String>()) {
        Ok(()) => Ok(true),
        Err(Error::Unavailable(why)) => Err(Error::Unavailable(why)),
        Err(Error::Other(why)) => {
            host.warn(&format!("{who} cannot be suspended: {why}"));
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        messages_per_hour: 10,
        messages_per_day: 100,
        recipients_per_hour: 0,
        recipients_per_day: 50,
        bad_recipients_percent: 30,
        spam_percent: 50,
        shares_from: 20,
    };

    fn sums(slots: &[(u64, Counts)]) -> Sums {
        let mut sums = Sums::default();
        slots.iter().for_each(|(slot, counts)| sums.add(*slot, *counts));
        sums
    }

    fn messages(messages: u64) -> Counts {
        Counts { messages, ..Counts::default() }
    }

    #[test]
    fn as_06_limits_are_passed_and_not_reached() {
        let now = 1000 * SLOT_MS;
        let found = |counts| beyond(&sums(&[(1000, counts)]), now, &LIMITS).len();
        assert_eq!(found(messages(10)), 0);
        assert_eq!(found(messages(11)), 1);
        assert_eq!(found(Counts { recipients: 50, ..Counts::default() }), 0);
        assert_eq!(found(Counts { recipients: 51, ..Counts::default() }), 1);
        assert_eq!(found(Counts { recipients: 19, bad: 19, ..Counts::default() }), 0, "too few for a share");
        assert_eq!(found(Counts { recipients: 20, bad: 6, ..Counts::default() }), 0);
        assert_eq!(found(Counts { recipients: 20, bad: 7, ..Counts::default() }), 1);
        assert_eq!(found(Counts { messages: 20, spam: 11, ..Counts::default() }), 2);
        let none = Limits { messages_per_hour: 0, messages_per_day: 0, spam_percent: 0, ..LIMITS };
        assert!(beyond(&sums(&[(1000, messages(1_000_000))]), now, &none).is_empty(), "zero is without limit");
    }

    #[test]
    fn what_is_past_does_not_count() {
        let sums = sums(&[(700, messages(1)), (720, messages(2)), (990, messages(4)), (1000, messages(8))]);
        assert_eq!(sums.hour(1000 * SLOT_MS).messages, 12);
        assert_eq!(sums.day(1000 * SLOT_MS).messages, 14);
        assert_eq!(sums.slots.len(), 3, "older than a day is forgotten");
        assert_eq!(sums.hour(1013 * SLOT_MS).messages, 0);
    }

    #[test]
    fn counts_stand_in_the_key() {
        assert_eq!(counts("1.2.3.4/id/x"), Some(Counts { messages: 1, recipients: 2, bad: 3, spam: 4 }));
        assert_eq!((counts("1.2.3/id"), counts(""), counts("a.b.c.d/e")), (None, None, None));
    }
}
