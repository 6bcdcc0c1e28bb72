//! A server in memory: one message in hand, and what the plugin did to it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use antispam::host::{Error, Event, Facts, Host, Report, Signer};
use antispam::settings::Settings;
use antispam::{learning, traffic};

pub const HOUR: u64 = 3_600_000;

/// A message that was queued: key, sender, recipients, content.
pub type Submitted = (String, String, Vec<String>, String);

pub struct Server {
    pub now: Cell<u64>,
    pub facts: RefCell<Facts>,
    pub properties: RefCell<BTreeMap<String, String>>,
    pub message: RefCell<String>,
    pub inner: RefCell<Option<String>>,
    pub signer: Cell<Signer>,
    pub unreadable: Cell<bool>,
    pub report: RefCell<Result<Report, Error>>,
    pub scanned: RefCell<Vec<Vec<(String, String)>>>,
    pub annotations: RefCell<BTreeMap<String, String>>,
    pub fields: RefCell<Vec<(String, String)>>,
    pub folder: RefCell<Option<String>>,
    pub flags: RefCell<Vec<String>>,
    pub state: RefCell<BTreeMap<String, Vec<u8>>>,
    pub timers: RefCell<BTreeMap<String, u64>>,
    pub events: RefCell<Vec<Event>>,
    pub submitted: RefCell<Vec<Submitted>>,
    pub mailboxes: RefCell<BTreeMap<String, String>>,
    pub chosen: RefCell<BTreeMap<(String, String), String>>,
    pub suspended: RefCell<Vec<(String, String)>>,
    pub warnings: RefCell<Vec<String>>,
    pub ids: Cell<u32>,
}

impl Default for Server {
    fn default() -> Server {
        let mailboxes =
            [("ada@alfa.example", "present"), ("bruno@alfa.example", "present"), ("no@alfa.example", "unknown")];
        Server {
            now: Cell::new(500_000 * HOUR),
            facts: RefCell::default(),
            properties: RefCell::default(),
            message: RefCell::default(),
            inner: RefCell::default(),
            signer: Cell::new(Signer::Nobody),
            unreadable: Cell::new(false),
            report: RefCell::new(Err(Error::Unavailable("scanner 'rspamd' cannot be reached".into()))),
            scanned: RefCell::default(),
            annotations: RefCell::default(),
            fields: RefCell::default(),
            folder: RefCell::default(),
            flags: RefCell::default(),
            state: RefCell::default(),
            timers: RefCell::default(),
            events: RefCell::default(),
            submitted: RefCell::default(),
            mailboxes: RefCell::new(mailboxes.map(|(name, word)| (name.to_owned(), word.to_owned())).into()),
            chosen: RefCell::default(),
            suspended: RefCell::default(),
            warnings: RefCell::default(),
            ids: Cell::new(0),
        }
    }
}

/// Settings with more than the least.
pub fn settings(more: &str) -> Settings {
    let least = r#""postmaster":"postmaster@alfa.example","sender":"antispam@alfa.example""#;
    Settings::parse(&format!("{{{least}{more}}}")).unwrap()
}

pub const SCANNER: &str = r#","engine":"scanner","scanner":"rspamd""#;

pub fn report(score: f64) -> Result<Report, Error> {
    Ok(Report { protocol: "rspamd".into(), score, threshold: 15.0, action: "x".into(), symbols: "A,B".into() })
}

pub fn message(subject: &str, text: &str) -> String {
    format!(
        "From: Mallory <m@other.example>\r\nTo: ada@alfa.example\r\nSubject: {subject}\r\nMessage-ID: <1@other.example>\r\n\
         Date: Thu, 26 Nov 2026 09:00:00 +0000\r\n\r\n{text}\r\n"
    )
}

impl Server {
    /// A message from another server comes to hand.
    pub fn comes(&self, id: &str, message: &str) {
        *self.message.borrow_mut() = message.to_owned();
        self.annotations.borrow_mut().clear();
        self.fields.borrow_mut().clear();
        *self.facts.borrow_mut() = Facts {
            id: id.into(),
            arrival: "relay".into(),
            sender: "m@other.example".into(),
            recipients: vec!["ada@alfa.example".into()],
            message_id: "1@other.example".into(),
            ..Facts::default()
        };
    }

    /// The same message at the door of a mailbox.
    pub fn arrives(&self, recipient: &str) {
        let mut facts = self.facts.borrow_mut();
        facts.arrival.clear();
        facts.recipients = vec![recipient.to_owned()];
        facts.status = "present".into();
        *self.folder.borrow_mut() = None;
        self.flags.borrow_mut().clear();
    }

    /// A user sends.
    pub fn sends(&self, id: &str, user: &str, recipients: &[&str]) {
        *self.facts.borrow_mut() = Facts {
            id: id.into(),
            arrival: "submission".into(),
            identity: Some(user.into()),
            sender: user.into(),
            recipients: recipients.iter().map(|recipient| (*recipient).to_owned()).collect(),
            ..Facts::default()
        };
        *self.message.borrow_mut() = message("Ciao", "Come stai?");
    }

    pub fn refiles(&self, message: &str, from: &str, to: &str) {
        *self.message.borrow_mut() = message.to_owned();
        *self.properties.borrow_mut() = [("refiled.from", from), ("refiled.to", to)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    }

    pub fn annotation(&self, name: &str) -> Option<String> {
        self.annotations.borrow().get(name).cloned()
    }

    pub fn marked(&self) -> bool {
        !self.fields.borrow().is_empty() || self.folder.borrow().is_some() || !self.flags.borrow().is_empty()
    }

    pub fn kinds(&self) -> Vec<&'static str> {
        self.events.borrow().iter().map(|event| event.kind).collect()
    }

    /// Time passes until every wake-up has run.
    pub fn wakes(&self, settings: &Settings) {
        loop {
            let Some((key, at)) = self.timers.borrow_mut().pop_first() else { return };
            self.now.set(self.now.get().max(at));
            match key.starts_with(learning::WAKE) {
                true => learning::learn(self).unwrap(),
                false => traffic::look(self, settings, &key).unwrap(),
            }
        }
    }

    /// Everything that is kept, but for when it was.
    pub fn model(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.state.borrow();
        state.iter().filter(|(key, _)| key.starts_with("model/")).map(|(k, v)| (k.clone(), v.clone())).collect()
    }
}

impl Host for Server {
    fn now(&self) -> u64 {
        self.now.get()
    }

    fn facts(&self) -> Facts {
        self.facts.borrow().clone()
    }

    fn property(&self, name: &str) -> Option<String> {
        self.properties.borrow().get(name).cloned()
    }

    fn header_count(&self, name: &str) -> u32 {
        let message = self.message.borrow();
        let head = message.split("\r\n\r\n").next().unwrap_or_default();
        head.lines().filter(|line| line.to_lowercase().starts_with(&format!("{}:", name.to_lowercase()))).count() as u32
    }

    fn header_text(&self, name: &str) -> Option<String> {
        let message = self.message.borrow();
        let head = message.split("\r\n\r\n").next().unwrap_or_default();
        let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{}:", name.to_lowercase())))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    }

    fn octets(&self, max: u64) -> Result<Vec<u8>, Error> {
        Ok(self.message.borrow().bytes().take(max as usize).collect())
    }

    fn inner_octets(&self, max: u64) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.inner.borrow().as_ref().map(|inner| inner.bytes().take(max as usize).collect()))
    }

    fn signer(&self) -> Result<Signer, Error> {
        if self.unreadable.get() {
            return Err(Error::Other("the signature is larger than anybody looks at".into()));
        }
        Ok(self.signer.get())
    }

    fn scan(&self, _: &str, facts: Vec<(String, String)>) -> Result<Report, Error> {
        self.scanned.borrow_mut().push(facts);
        self.report.borrow().clone()
    }

    fn annotate(&self, name: &str, value: &str) -> Result<(), Error> {
        assert!(!value.is_empty() && value.len() <= 512 && !value.chars().any(char::is_control));
        self.annotations.borrow_mut().insert(name.into(), value.into());
        Ok(())
    }

    fn header_section(&self) -> Result<Vec<u8>, Error> {
        let message = self.message.borrow();
        let end = message.find("\r\n\r\n").map_or(message.len(), |at| at + 4);
        Ok(message.as_bytes()[..end].to_vec())
    }

    fn replace_header_section(&self, section: &[u8]) -> Result<(), Error> {
        let old = self.header_section()?.len();
        let changed = format!("{}{}", String::from_utf8_lossy(section), &self.message.borrow()[old..]);
        *self.message.borrow_mut() = changed;
        Ok(())
    }

    fn prepend_header(&self, name: &str, value: &str) -> Result<(), Error> {
        assert!(value.is_ascii() && !value.chars().any(char::is_control));
        self.fields.borrow_mut().push((name.into(), value.into()));
        Ok(())
    }

    fn file_into(&self, folder: &str) -> Result<(), Error> {
        *self.folder.borrow_mut() = Some(folder.into());
        Ok(())
    }

    fn add_flag(&self, flag: &str) -> Result<(), Error> {
        self.flags.borrow_mut().push(flag.into());
        Ok(())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.state.borrow().get(key).cloned())
    }

    fn set(&self, key: &str, value: &[u8], days: u32) -> Result<(), Error> {
        assert!(key.len() <= 512 && value.len() <= 64 * 1024 && days > 0, "{key}: {}", value.len());
        self.state.borrow_mut().insert(key.into(), value.into());
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        self.state.borrow_mut().remove(key);
        Ok(())
    }

    fn keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, Error> {
        let state = self.state.borrow();
        let keys = state.keys().filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        Ok(keys.take(1000).cloned().collect())
    }

    fn wake(&self, key: &str, at: u64) -> Result<(), Error> {
        self.timers.borrow_mut().insert(key.into(), at);
        Ok(())
    }

    fn record(&self, event: &Event) -> Result<(), Error> {
        let texts = [&event.message_id, &event.sender, &event.subject].into_iter().chain(&event.recipients);
        let octets: usize = texts.map(String::len).chain(event.details.iter().map(|(_, value)| value.len())).sum();
        if octets > 64 * 1024 {
            return Err(Error::Other("an event has at most 65536 octets".into()));
        }
        self.events.borrow_mut().push(event.clone());
        Ok(())
    }

    fn submit(&self, key: &str, from: &str, to: &[String], content: &str) -> Result<(), Error> {
        assert!(!content.replace("\r\n", "").contains(['\r', '\n']), "{content:?}");
        self.submitted.borrow_mut().push((key.into(), from.into(), to.to_vec(), content.into()));
        Ok(())
    }

    fn new_id(&self) -> String {
        self.ids.set(self.ids.get() + 1);
        format!("id{}", self.ids.get())
    }

    fn mailbox_status(&self, address: &str) -> Result<String, Error> {
        Ok(self.mailboxes.borrow().get(address).cloned().unwrap_or_else(|| "remote".into()))
    }

    fn mailbox_setting(&self, address: &str, name: &str) -> Result<Option<String>, Error> {
        Ok(self.chosen.borrow().get(&(address.to_owned(), name.to_owned())).cloned())
    }

    fn suspend(&self, address: &str, reason: &str) -> Result<(), Error> {
        if self.mailbox_status(address)? != "present" {
            return Err(Error::Other("is not there".into()));
        }
        self.suspended.borrow_mut().push((address.into(), reason.into()));
        Ok(())
    }

    fn warn(&self, line: &str) {
        self.warnings.borrow_mut().push(line.into());
    }
}
