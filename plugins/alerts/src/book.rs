//! What is kept of a mailbox: whom it tells, and what arrived since it last told them.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::contact::Channel;
use crate::host::{Error, Host};
use crate::settings::Settings;

/// Milliseconds of an hour.
pub const HOUR: u64 = 3_600_000;
/// Milliseconds of the time in which codes are counted: absolute, so that no change of legal time matters.
pub const DAY: u64 = 24 * HOUR;
/// Days that a mailbox's book and counts are kept: for ever, as far as anybody here is concerned.
const KEEP: u32 = 36_500;
/// The setting that the administrator has.
const ALLOWED: &str = "alerts";

/// Whom a mailbox tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// In the order in which they were added.
    pub contacts: Vec<Contact>,
    /// Hours between two alerts, where they were chosen.
    #[serde(default)]
    pub email_hours: Option<u32>,
    /// See `email_hours`.
    #[serde(default)]
    pub sms_hours: Option<u32>,
    /// From when periods are counted.
    #[serde(default)]
    pub email_anchor: u64,
    /// See `email_anchor`.
    #[serde(default)]
    pub sms_anchor: u64,
    /// When codes were sent, of the last 24 hours.
    #[serde(default)]
    pub codes: Vec<u64>,
}

/// An address or a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Which.
    pub channel: Channel,
    /// Itself.
    pub to: String,
    /// Whether its owner confirmed it.
    pub confirmed: bool,
    /// The code under way.
    #[serde(default)]
    pub pending: Option<Pending>,
    /// How the last SMS ended.
    #[serde(default)]
    pub last: Option<Last>,
}

/// A code that was sent. The code itself is not kept: it is made anew to be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// What makes it another code than the one before.
    pub nonce: String,
    /// Until when it can be used.
    pub until: u64,
    /// How often it was got wrong.
    pub wrong: u32,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// When.
    pub at: u64,
    /// `done`, `refused` or `expired`.
    pub status: String,
    /// What the other side said.
    pub text: String,
}

/// What arrived since the last digest of a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Digests so far: the next one bears this number, whatever the clock says.
    pub digests: u64,
    /// Certified messages.
    pub certified: u64,
    /// Receipts and notices.
    pub receipts: u64,
    /// Everything else.
    pub ordinary: u64,
    /// When the first of them arrived.
    pub since: u64,
    /// For when the wake-up was asked.
    pub due: Option<u64>,
}

impl Tally {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.certified.saturating_add(self.receipts).saturating_add(self.ordinary)
    }

    /// Nothing arrived any more.
    pub fn cleared(&self) -> Tally {
        Tally { digests: self.digests, ..Tally::default() }
    }
}

impl Book {
    /// Those of a channel who are told.
    pub fn told(&self, channel: Channel) -> impl Iterator<Item = &Contact> {
        self.contacts.iter().filter(move |contact| contact.channel == channel && contact.confirmed)
    }

    /// Hours between two alerts.
    pub fn hours(&self, channel: Channel, settings: &Settings) -> u32 {
        let chosen = match channel {
            Channel::Email => self.email_hours,
            Channel::Sms => self.sms_hours,
        };
        chosen.filter(|hours| channel.hours().contains(hours)).unwrap_or(settings.hours(channel))
    }

    /// Periods begin anew now.
    pub fn anchor(&mut self, channel: Channel, now: u64) {
        match channel {
            Channel::Email => self.email_anchor = now,
            Channel::Sms => self.sms_anchor = now,
        }
    }

    /// Milliseconds of a period.
    pub fn period(&self, channel: Channel, settings: &Settings) -> u64 {
        u64::from(self.hours(channel, settings)) * u64::from(settings.hour) * 1000
    }

    /// The end of the period that an instant is in. Periods are counted from the anchor in absolute time, forwards and
    /// backwards, so that it is never further away than one of them, wherever the clock was set.
    pub fn end_of_period(&self, channel: Channel, settings: &Settings, now: u64) -> u64 {
        let length = i128::from(self.period(channel, settings));
        let anchor = i128::from(match channel {
            Channel::Email => self.email_anchor,
            Channel::Sms => self.sms_anchor,
        });
        let passed = (i128::from(now) - anchor).div_euclid(length);
        u64::try_from(anchor + (passed + 1) * length).unwrap_or(now)
    }

    /// Removes what can be used no more: codes that ended, and contacts that were never confirmed.
    pub fn tidy(&mut self, now: u64) {
        for contact in &mut self.contacts {
            contact.pending =
                contact.pending.take().filter(|pending| pending.until > now && pending.until <= now + 4 * DAY);
        }
        self.contacts.retain(|contact| contact.confirmed || contact.pending.is_some());
        self.codes.retain(|at| at.abs_diff(now) < DAY);
    }
}

/// The name of a mailbox as it is kept: its address in lower case.
pub fn mailbox(text: &str) -> String {
    text.trim().to_ascii_lowercase()
}

/// The key of a wake-up; [`of_wake_up`] reads it.
pub fn wake_up(channel: Channel, mailbox: &str) -> String {
    format!("{}/{mailbox}", channel.word())
}

/// Channel and mailbox of a wake-up.
pub fn of_wake_up(key: &str) -> Option<(Channel, &str)> {
    let (word, mailbox) = key.split_once('/')?;
    Channel::ALL.into_iter().find(|channel| channel.word() == word).map(|channel| (channel, mailbox))
}

/// Whether the administrator allows alerts.
pub fn is_allowed(host: &impl Host, mailbox: &str) -> Result<bool, Error> {
    Ok(host.setting(mailbox, ALLOWED)?.as_deref() == Some("allowed"))
}

/// Reads a mailbox's book; an empty one where there is none.
pub fn read(host: &impl Host, mailbox: &str) -> Result<Book, Error> {
    load(host, &format!("m/{mailbox}"))
}

/// Keeps a mailbox's book.
pub fn write(host: &impl Host, mailbox: &str, book: &Book) -> Result<(), Error> {
    let key = format!("m/{mailbox}");
    if *book == Book::default() { host.delete(&key) } else { save(host, &key, book, KEEP) }
}

/// Reads what arrived. Where that cannot be read the number of the next digest is not known: it begins at the instant, which
/// is above them all, because an SMS under a number that was there before would be no second request.
pub fn tally(host: &impl Host, channel: Channel, mailbox: &str) -> Result<Tally, Error> {
    let anew = || Tally { digests: host.now(), ..Tally::default() };
    Ok(kept(host, &format!("t/{}", wake_up(channel, mailbox)))?
        .map_or_else(Tally::default, |read| read.unwrap_or_else(anew)))
}

/// Keeps what arrived.
pub fn keep_tally(host: &impl Host, channel: Channel, mailbox: &str, tally: &Tally) -> Result<(), Error> {
    save(host, &format!("t/{}", wake_up(channel, mailbox)), tally, KEEP)
}

/// Reads a value; its default where there is none. One that cannot be read is told and begun anew: a count is no reason
/// to stop.
pub fn load<T: DeserializeOwned + Default>(host: &impl Host, key: &str) -> Result<T, Error> {
    Ok(kept(host, key)?.flatten().unwrap_or_default())
}

/// None where there is nothing; none within where it cannot be read.
fn kept<T: DeserializeOwned>(host: &impl Host, key: &str) -> Result<Option<Option<T>>, Error> {
    let Some(value) = host.get(key)? else { return Ok(None) };
    let told = |error| host.warn(&format!("what is kept under '{key}' cannot be read and begins anew: {error}"));
    Ok(Some(serde_json::from_slice(&value).map_err(told).ok()))
}

/// Keeps a value.
pub fn save<T: Serialize>(host: &impl Host, key: &str, value: &T, days: u32) -> Result<(), Error> {
    let json = serde_json::to_vec(value).map_err(|error| Error::Other(error.to_string()))?;
    host.set(key, &json, days)
}
