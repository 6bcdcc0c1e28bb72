//! A period is over: whoever is to be told is told how much arrived, once.

use serde::{Deserialize, Serialize};

use crate::book::{self, Book, Tally, is_allowed, keep_tally};
use crate::contact::Channel;
use crate::host::{Error, Host, short_tag};
use crate::mail;
use crate::settings::Settings;
use crate::text::{self, Language};

/// Days that it is remembered whom a request of the outbox told: longer than a target may take.
const REQUEST_DAYS: u32 = 40;

/// Whom a request of the outbox tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The mailbox.
    pub mailbox: String,
    /// The number.
    pub to: String,
}

/// Runs the step; `key` is what the wake-up was asked for with.
pub fn run(host: &impl Host, settings: &Settings, key: &str) -> Result<(), Error> {
    let Some((channel, mailbox)) = book::of_wake_up(key) else {
        return Err(Error::Other(format!("a wake-up '{key}' that nobody asked for")));
    };
    let kept = book::read(host, mailbox)?;
    let tally = book::tally(host, channel, mailbox)?;
    let gone = matches!(host.status(mailbox)?.as_str(), "unknown" | "remote");
    let nobody = kept.told(channel).next().is_none();
    if tally.total() == 0 || gone || nobody || !is_allowed(host, mailbox)? {
        if gone {
            book::write(host, mailbox, &Book::default())?;
        }
        return keep_tally(host, channel, mailbox, &tally.cleared());
    }
    let language = Language::of(host, mailbox)?;
    match channel {
        Channel::Email => by_mail(host, settings, mailbox, &kept, &tally, language)?,
        Channel::Sms => by_sms(host, settings, mailbox, &kept, &tally, language)?,
    }
    keep_tally(host, channel, mailbox, &Tally { digests: tally.digests + 1, ..tally.cleared() })
}

fn by_mail(
    host: &impl Host,
    settings: &Settings,
    mailbox: &str,
    kept: &Book,
    tally: &Tally,
    language: Language,
) -> Result<(), Error> {
    let since = mail::local(host, tally.since);
    let (subject, body) = text::digest(language, &settings.provider, mailbox, tally, &since);
    for (index, contact) in kept.told(Channel::Email).enumerate() {
        if is_certified(host, &contact.to)? {
            host.warn(&format!(
                "mailbox {mailbox}: an address whose domain is one of certified mail by now is not told"
            ));
            continue;
        }
        // One message for each: none of them reads the others' addresses.
        let message = mail::message(host, settings, &contact.to, &subject, &body)?;
        host.submit(&format!("digest.{index}"), &contact.to, &message)?;
    }
    Ok(())
}

fn by_sms(
    host: &impl Host,
    settings: &Settings,
    mailbox: &str,
    kept: &Book,
    tally: &Tally,
    language: Language,
) -> Result<(), Error> {
    let Some(target) = &settings.sms_target else {
        host.warn("there are numbers to be told and no 'sms-target'");
        return Ok(());
    };
    let words = text::digest_sms(language, &settings.provider, mailbox, tally);
    for contact in kept.told(Channel::Sms) {
        if !settings.prefixes.iter().any(|prefix| contact.to.starts_with(prefix.as_str())) {
            host.warn(&format!("mailbox {mailbox}: a number with none of the 'prefixes' of today is not told"));
            continue;
        }
        // The number of the digest and no instant: a clock that is set makes no second one.
        let key = format!("digest.{}.{}", name(host, mailbox, &contact.to)?, tally.digests);
        ask(host, settings, target, &key, mailbox, &contact.to, &words)?;
    }
    Ok(())
}

/// Queues an SMS and remembers whom it tells.
pub fn ask(
    host: &impl Host,
    settings: &Settings,
    target: &str,
    key: &str,
    mailbox: &str,
    to: &str,
    words: &str,
) -> Result<(), Error> {
    let (parameters, content) = settings.sms(to, words);
    host.queue(target, key, &parameters, content.as_deref())?;
    let asked = Asked { mailbox: mailbox.to_owned(), to: to.to_owned() };
    book::save(host, &format!("o/{key}"), &asked, REQUEST_DAYS)
}

/// A name for a contact of a mailbox that tells nobody which: it leaves this server.
pub fn name(host: &impl Host, mailbox: &str, to: &str) -> Result<String, Error> {
    short_tag(host, &format!("name\0{mailbox}\0{to}"))
}

/// Whether an address is one of certified mail: such a mailbox would take an alert for an anomaly.
pub fn is_certified(host: &impl Host, address: &str) -> Result<bool, Error> {
    host.is_certified(address.rsplit_once('@').map_or("", |(_, domain)| domain))
}
