//! What the holder asks for: whom to tell, how often, and the code by which an owner says yes.
//!
//! Nobody is told who did not give back a code that came to him, and no mailbox can make anybody get many: codes are
//! counted by mailbox and by address or number, over all mailboxes. A code is not kept: it is made anew from a key that
//! is the server's, to be compared.

use serde_json::{Value, json};

use crate::book::{self, Book, Contact, DAY, HOUR, Pending, is_allowed, keep_tally};
use crate::contact::{self, Channel};
use crate::digest;
use crate::host::{Error, Host};
use crate::mail;
use crate::settings::Settings;
use crate::text::{self, Language};

/// Days that it is remembered when a contact got codes.
const SENT_DAYS: u32 = 2;

/// What was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `add`, `confirm`, `remove`, `list` or `frequency`.
    pub name: String,
    /// By name.
    pub arguments: Vec<(String, String)>,
}

impl Request {
    fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The address or the number that it is about.
    fn contact(&self, prefixes: &[String]) -> Result<(Channel, String), Error> {
        match (self.argument("address"), self.argument("number")) {
            (Some(text), None) => Ok((Channel::Email, contact::address(text).map_err(Error::Refused)?)),
            (None, Some(text)) => Ok((Channel::Sms, contact::number(text, prefixes).map_err(Error::Refused)?)),
            _ => Err(refused("say either address=… or number=…")),
        }
    }
}

fn refused(why: impl Into<String>) -> Error {
    Error::Refused(why.into())
}

/// Runs the operation; the answer is a JSON object.
pub fn run(host: &impl Host, settings: &Settings, request: &Request) -> Result<Value, Error> {
    let mailbox = book::mailbox(request.argument("mailbox").unwrap_or_default());
    contact::address(&mailbox).map_err(|why| refused(format!("mailbox: {why}")))?;
    match host.status(&mailbox)?.as_str() {
        "unknown" | "remote" => return Err(refused(format!("there is no mailbox {mailbox} here"))),
        _ => {}
    }
    let mut kept = book::read(host, &mailbox)?;
    kept.tidy(host.now());
    let asked = Asked { host, settings, request, mailbox: &mailbox };
    let answer = match request.name.as_str() {
        "add" => asked.add(&mut kept)?,
        "confirm" => asked.confirm(&mut kept)?,
        "remove" => asked.remove(&mut kept)?,
        "frequency" => asked.frequency(&mut kept)?,
        "list" => return asked.list(&kept),
        other => return Err(refused(format!("there is no operation '{other}'"))),
    };
    book::write(host, &mailbox, &kept)?;
    Ok(answer)
}

struct Asked<'a, H: Host> {
    host: &'a H,
    settings: &'a Settings,
    request: &'a Request,
    mailbox: &'a str,
}

impl<H: Host> Asked<'_, H> {
    fn must_be_allowed(&self) -> Result<(), Error> {
        if is_allowed(self.host, self.mailbox)? {
            return Ok(());
        }
        let mailbox = self.mailbox;
        Err(refused(format!("alerts are not allowed for {mailbox}: `sigillo mailbox set {mailbox} alerts allowed`")))
    }

    fn add(&self, kept: &mut Book) -> Result<Value, Error> {
        self.must_be_allowed()?;
        let (channel, to) = self.request.contact(&self.settings.prefixes)?;
        self.may_be_told(channel, &to)?;
        let known = kept.contacts.iter().position(|contact| contact.channel == channel && same(&contact.to, &to));
        if known.is_some_and(|index| kept.contacts[index].confirmed) {
            return Err(refused(format!("{to} is told already")));
        }
        let (of_channel, most) = (
            kept.contacts.iter().filter(|contact| contact.channel == channel).count(),
            self.settings.contacts_max(channel),
        );
        if known.is_none() && of_channel >= most {
            return Err(refused(format!("a mailbox has at most {most} of these; remove one first")));
        }
        let left = self.count_code(kept, &to)?;
        let nonce = self.host.id();
        let until = self.host.now() + u64::from(self.settings.code_hours) * HOUR;
        self.send_code(channel, &to, &nonce)?;
        let pending = Some(Pending { nonce, until, wrong: 0 });
        match known {
            // In the spelling to which this code goes.
            Some(index) => (kept.contacts[index].to, kept.contacts[index].pending) = (to.clone(), pending),
            None => kept.contacts.push(Contact { channel, to: to.clone(), confirmed: false, pending, last: None }),
        }
        Ok(json!({
            "mailbox": self.mailbox,
            field(channel): to,
            "state": "pending",
            "code-until": mail::local(self.host, until),
            "codes-left": left,
        }))
    }

    /// ALR-02: ordinary addresses. A certified one would make of an alert a certified message or an anomaly, and two of
    /// them that tell each other would do so for ever.
    fn may_be_told(&self, channel: Channel, to: &str) -> Result<(), Error> {
        match channel {
            Channel::Email => {
                if same(to, self.mailbox) || digest::is_certified(self.host, to)? {
                    return Err(refused(format!("{to} is an address of certified mail: name an ordinary one")));
                }
                if same(to, &self.settings.from) {
                    return Err(refused(format!("{to} is where alerts come from")));
                }
            }
            Channel::Sms if self.settings.sms_target.is_none() => {
                return Err(refused("this provider sends no SMS: name an address"));
            }
            Channel::Sms => {}
        }
        Ok(())
    }

    /// Counts a code for the mailbox and for the contact, or refuses; returns how many the mailbox has left.
    fn count_code(&self, kept: &mut Book, to: &str) -> Result<u32, Error> {
        let now = self.host.now();
        let key = format!("n/{}", digest::name(self.host, "", &to.to_ascii_lowercase())?);
        let mut sent: Vec<u64> = book::load(self.host, &key)?;
        sent.retain(|at| at.abs_diff(now) < DAY);
        if sent.len() >= self.settings.codes_per_contact as usize {
            return Err(refused(format!("{to} got {} codes within 24 hours: try again later", sent.len())));
        }
        if kept.codes.len() >= self.settings.codes_per_mailbox as usize {
            return Err(refused(format!(
                "this mailbox sent {} codes within 24 hours: try again later",
                kept.codes.len()
            )));
        }
        sent.push(now);
        kept.codes.push(now);
        book::save(self.host, &key, &sent, SENT_DAYS)?;
        Ok(self.settings.codes_per_mailbox - kept.codes.len() as u32)
    }

    fn send_code(&self, channel: Channel, to: &str, nonce: &str) -> Result<(), Error> {
        let language = Language::of(self.host, self.mailbox)?;
        let code = self.code(channel, to, nonce)?;
        let (provider, hours) = (&self.settings.provider, self.settings.code_hours);
        match (channel, &self.settings.sms_target) {
            (Channel::Sms, Some(target)) => {
                let words = text::code_sms(language, provider, self.mailbox, &code);
                let key = format!("code.{nonce}");
                digest::ask(self.host, self.settings, target, &key, self.mailbox, to, &words)
            }
            _ => {
                let (subject, body) = text::code(language, provider, self.mailbox, &code, hours);
                self.host.submit("code", to, &mail::message(self.host, self.settings, to, &subject, &body)?)
            }
        }
    }

    /// Six digits that only this server can make.
    fn code(&self, channel: Channel, to: &str, nonce: &str) -> Result<String, Error> {
        let data = format!("code\0{}\0{}\0{}\0{nonce}", self.mailbox, channel.word(), to.to_ascii_lowercase());
        let tag = self.host.tag(data.as_bytes())?;
        let number = tag.iter().take(8).fold(0_u64, |sum, octet| sum << 8 | u64::from(*octet));
        Ok(format!("{:06}", number % 1_000_000))
    }

    fn confirm(&self, kept: &mut Book) -> Result<Value, Error> {
        self.must_be_allowed()?;
        let (channel, to) = self.request.contact(&self.settings.prefixes)?;
        let nothing = || refused(format!("no code is under way for {to}: ask for one with add"));
        let first = kept.told(channel).next().is_none();
        let index = kept.contacts.iter().position(|contact| contact.channel == channel && same(&contact.to, &to));
        let contact = index.map(|index| &mut kept.contacts[index]).ok_or_else(nothing)?;
        if contact.confirmed {
            return Err(refused(format!("{to} is confirmed already")));
        }
        let pending = contact.pending.as_mut().ok_or_else(nothing)?;
        let given: String =
            self.request.argument("code").unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        if given != self.code(channel, &contact.to, &pending.nonce)? {
            // Counted in the commit of this step, so it is an answer and no error.
            pending.wrong += 1;
            let left = self.settings.code_tries.saturating_sub(pending.wrong);
            if left == 0 {
                kept.contacts.remove(index.unwrap_or_default());
            }
            let state = if left == 0 { "removed" } else { "pending" };
            return Ok(json!({
                "mailbox": self.mailbox, field(channel): to, "state": state, "tries-left": left, "valid": false,
                "problem": "that is not the code",
            }));
        }
        (contact.confirmed, contact.pending) = (true, None);
        let to = contact.to.clone();
        if first {
            kept.anchor(channel, self.host.now());
            keep_tally(self.host, channel, self.mailbox, &book::tally(self.host, channel, self.mailbox)?.cleared())?;
        }
        Ok(json!({
            "mailbox": self.mailbox,
            field(channel): to,
            "state": "confirmed",
            "every-hours": kept.hours(channel, self.settings),
            "valid": true,
        }))
    }

    fn remove(&self, kept: &mut Book) -> Result<Value, Error> {
        // Also a number that could not be added any more.
        let (channel, to) = self.request.contact(&["+".to_owned()])?;
        let before = kept.contacts.len();
        kept.contacts.retain(|contact| !(contact.channel == channel && same(&contact.to, &to)));
        if kept.contacts.len() == before {
            return Err(refused(format!("{to} is not among those of {}", self.mailbox)));
        }
        if kept.told(channel).next().is_none() {
            let tally = book::tally(self.host, channel, self.mailbox)?;
            if tally.due.is_some() {
                self.host.cancel(&book::wake_up(channel, self.mailbox))?;
            }
            keep_tally(self.host, channel, self.mailbox, &tally.cleared())?;
        }
        Ok(json!({ "mailbox": self.mailbox, field(channel): to, "state": "removed" }))
    }

    fn frequency(&self, kept: &mut Book) -> Result<Value, Error> {
        self.must_be_allowed()?;
        let chosen: Vec<(Channel, &str)> = Channel::ALL
            .into_iter()
            .filter_map(|channel| self.request.argument(channel.word()).map(|hours| (channel, hours)))
            .collect();
        if chosen.is_empty() {
            return Err(refused("say email=HOURS, sms=HOURS, or both"));
        }
        for (channel, text) in chosen {
            let hours: Option<u32> = text.trim().parse().ok().filter(|hours| channel.hours().contains(hours));
            let words = channel.hours().map(|hours| hours.to_string()).join(", ");
            let hours = hours.ok_or_else(|| refused(format!("{}={text}: choose {words} hours", channel.word())))?;
            match channel {
                Channel::Email => kept.email_hours = Some(hours),
                Channel::Sms => kept.sms_hours = Some(hours),
            }
            self.begin_anew(kept, channel)?;
        }
        Ok(json!({
            "mailbox": self.mailbox,
            "email-hours": kept.hours(Channel::Email, self.settings),
            "sms-hours": kept.hours(Channel::Sms, self.settings),
        }))
    }

    /// A new length of the period counts from now; what arrived already waits for its end.
    fn begin_anew(&self, kept: &mut Book, channel: Channel) -> Result<(), Error> {
        let now = self.host.now();
        kept.anchor(channel, now);
        let mut tally = book::tally(self.host, channel, self.mailbox)?;
        if tally.due.is_some() {
            let due = kept.end_of_period(channel, self.settings, now);
            self.host.wake(&book::wake_up(channel, self.mailbox), due)?;
            tally.due = Some(due);
            keep_tally(self.host, channel, self.mailbox, &tally)?;
        }
        Ok(())
    }

    fn list(&self, kept: &Book) -> Result<Value, Error> {
        let contact = |contact: &Contact| {
            let mut entry = json!({
                field(contact.channel): contact.to,
                "state": if contact.confirmed { "confirmed" } else { "pending" },
            });
            if let Some(last) = &contact.last {
                entry["last"] = json!({
                    "at": mail::local(self.host, last.at), "status": last.status, "text": last.text,
                });
            }
            entry
        };
        let language = Language::of(self.host, self.mailbox)?;
        Ok(json!({
            "mailbox": self.mailbox,
            "alerts": if is_allowed(self.host, self.mailbox)? { "allowed" } else { "denied" },
            "contacts": kept.contacts.iter().map(contact).collect::<Vec<_>>(),
            "email-hours": kept.hours(Channel::Email, self.settings),
            "sms-hours": kept.hours(Channel::Sms, self.settings),
            "note": text::no_exemption(language),
        }))
    }
}

fn field(channel: Channel) -> &'static str {
    match channel {
        Channel::Email => "address",
        Channel::Sms => "number",
    }
}

/// Whoever owns an address in two spellings is one.
fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}
