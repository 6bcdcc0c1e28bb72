//! A server in memory whose commits may be lost, for the tests of every step.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use alerts::book::HOUR;
use alerts::host::{Arrived, Error, Host};
use alerts::operation::Request;
use alerts::outcome::Answer;
use alerts::settings::Settings;
use alerts::{arrival, digest, operation, outcome};
use serde_json::Value;

pub const ADA: &str = "ada@pec.alfa.example";
pub const PHONE: &str = "+393330000001";
pub const NOON: u64 = 1_780_000_000_000;

pub fn settings() -> Settings {
    Settings::parse(r#"{"provider":"Alfa PEC S.p.A.","from":"avvisi@alfa.example","sms-target":"sms"}"#).unwrap()
}

/// A message that left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub to: String,
    pub message: Vec<u8>,
}

impl Mail {
    pub fn text(&self) -> String {
        let parsed = mail_parser::MessageParser::default().parse(&self.message).unwrap();
        parsed.body_text(0).unwrap().into_owned()
    }

    pub fn header(&self, name: &str) -> String {
        let parsed = mail_parser::MessageParser::default().parse(&self.message).unwrap();
        parsed.header(name).and_then(|value| value.as_text()).unwrap_or_default().to_owned()
    }
}

/// A request of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sms {
    pub key: String,
    pub to: String,
    pub text: String,
}

/// What is on disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    pub state: BTreeMap<String, Vec<u8>>,
    pub timers: BTreeMap<String, u64>,
    pub mails: Vec<Mail>,
    /// Each key once, as the server's outbox keeps them.
    pub sms: Vec<Sms>,
    pub keys: BTreeSet<String>,
}

/// A server.
pub struct Server {
    pub disk: RefCell<Disk>,
    /// What the step under way has recorded.
    pub step: RefCell<Disk>,
    pub now: Cell<u64>,
    pub ids: Cell<u64>,
    pub settings: RefCell<BTreeMap<(String, String), String>>,
    pub gone: Cell<bool>,
    pub also_certified: RefCell<Vec<String>>,
    pub warnings: RefCell<Vec<String>>,
    pub config: Settings,
}

pub fn server() -> Server {
    let server = Server {
        disk: RefCell::default(),
        step: RefCell::default(),
        now: Cell::new(NOON),
        ids: Cell::new(0),
        settings: RefCell::default(),
        gone: Cell::new(false),
        also_certified: RefCell::default(),
        warnings: RefCell::default(),
        config: settings(),
    };
    server.set(ADA, "alerts", "allowed");
    server
}

impl Server {
    pub fn set(&self, mailbox: &str, name: &str, value: &str) {
        self.settings.borrow_mut().insert((mailbox.into(), name.into()), value.into());
    }

    /// Runs a step and commits what it recorded, or loses it. A step that fails records nothing.
    pub fn step<T>(&self, lost: bool, run: impl FnOnce(&Server) -> Result<T, Error>) -> Result<T, Error> {
        *self.step.borrow_mut() = self.disk.borrow().clone();
        let result = run(self);
        if result.is_ok() && !lost {
            *self.disk.borrow_mut() = self.step.borrow().clone();
        }
        result
    }

    pub fn ask(&self, name: &str, arguments: &[(&str, &str)]) -> Result<Value, String> {
        let arguments = arguments.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let request = Request { name: name.into(), arguments };
        self.step(false, |server| operation::run(server, &server.config, &request)).map_err(|error| match error {
            Error::Refused(why) => why,
            other => panic!("{other:?}"),
        })
    }

    /// Adds and confirms a contact; what was sent for that is forgotten.
    pub fn tell(&self, field: &str, to: &str) {
        self.ask("add", &[("mailbox", ADA), (field, to)]).unwrap();
        let code = if field == "number" { self.sms_code() } else { self.mail_code() };
        let answer = self.ask("confirm", &[("mailbox", ADA), (field, to), ("code", &code)]).unwrap();
        assert_eq!(answer["state"], "confirmed", "{answer}");
        self.forget();
    }

    fn six(text: &str) -> String {
        text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6).unwrap().to_owned()
    }

    pub fn mail_code(&self) -> String {
        Server::six(&self.disk.borrow().mails.last().unwrap().text())
    }

    pub fn sms_code(&self) -> String {
        Server::six(&self.disk.borrow().sms.last().unwrap().text)
    }

    /// Looks no more at what left so far.
    pub fn forget(&self) {
        self.disk.borrow_mut().mails.clear();
        self.disk.borrow_mut().sms.clear();
    }

    pub fn arrived(&self, receipt: Option<&str>, transport: Option<&str>) -> Arrived {
        Arrived {
            mailbox: "Ada@PEC.alfa.example".into(),
            receipt: receipt.map(str::to_owned),
            transport: transport.map(str::to_owned),
            message_id: Some("<opec1.2@pec.beta.example>".into()),
        }
    }

    pub fn file(&self, arrived: &Arrived, lost: bool) {
        self.step(lost, |server| arrival::run(server, &server.config, arrived)).unwrap();
    }

    pub fn certified(&self) {
        self.file(&self.arrived(None, Some("posta-certificata")), false);
    }

    /// Runs the wake-ups that are due; each leaves in the commit of its step.
    pub fn wake_due(&self, lost: bool) {
        let now = self.now.get();
        let due: Vec<String> =
            self.disk.borrow().timers.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            self.step(lost, |server| {
                server.step.borrow_mut().timers.remove(&key);
                digest::run(server, &server.config, &key)
            })
            .unwrap();
        }
    }

    pub fn pass(&self, hours: u64) {
        self.now.set(self.now.get() + hours * HOUR);
    }

    pub fn answer(&self, key: &str, status: &str, text: &str) {
        let answer = Answer { key: key.into(), status: status.into(), text: text.into() };
        self.step(false, |server| outcome::run(server, &answer)).unwrap();
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.disk.borrow().mails.clone()
    }

    pub fn sms(&self) -> Vec<Sms> {
        self.disk.borrow().sms.clone()
    }
}

impl Host for Server {
    fn now(&self) -> u64 {
        self.now.get()
    }

    fn offset(&self, _: u64) -> i32 {
        7200
    }

    fn setting(&self, mailbox: &str, name: &str) -> Result<Option<String>, Error> {
        Ok(self.settings.borrow().get(&(mailbox.to_owned(), name.to_owned())).cloned())
    }

    fn status(&self, mailbox: &str) -> Result<String, Error> {
        Ok(match mailbox {
            _ if self.gone.get() => "unknown",
            _ if mailbox.ends_with("@pec.alfa.example") => "present",
            _ => "remote",
        }
        .into())
    }

    fn is_certified(&self, domain: &str) -> Result<bool, Error> {
        Ok(domain.starts_with("pec.") || self.also_certified.borrow().iter().any(|other| other == domain))
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.step.borrow().state.get(key).cloned())
    }

    fn set(&self, key: &str, value: &[u8], days: u32) -> Result<(), Error> {
        assert!(key.len() <= 512 && value.len() <= 65_536 && days > 0);
        self.step.borrow_mut().state.insert(key.into(), value.into());
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        self.step.borrow_mut().state.remove(key);
        Ok(())
    }

    fn wake(&self, key: &str, at: u64) -> Result<(), Error> {
        self.step.borrow_mut().timers.insert(key.into(), at);
        Ok(())
    }

    fn cancel(&self, key: &str) -> Result<(), Error> {
        self.step.borrow_mut().timers.remove(key);
        Ok(())
    }

    fn submit(&self, _: &str, to: &str, message: &[u8]) -> Result<(), Error> {
        self.step.borrow_mut().mails.push(Mail { to: to.into(), message: message.into() });
        Ok(())
    }

    fn queue(
        &self,
        target: &str,
        key: &str,
        parameters: &[(String, String)],
        content: Option<&str>,
    ) -> Result<(), Error> {
        assert!(target == "sms" && content.is_none());
        assert!(key.len() <= 128 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)), "{key}");
        let mut step = self.step.borrow_mut();
        if step.keys.insert(key.to_owned()) {
            let value = |name: &str| parameters.iter().find(|(n, _)| n == name).unwrap().1.clone();
            step.sms.push(Sms { key: key.into(), to: value("to"), text: value("text") });
        }
        Ok(())
    }

    fn tag(&self, data: &[u8]) -> Result<Vec<u8>, Error> {
        // No secret: different for different data is all that a test needs.
        let mut sum = 0xcbf2_9ce4_8422_2325_u64;
        let mut tag = Vec::new();
        for round in 0..4_u8 {
            for octet in data.iter().chain(&[round]) {
                sum = (sum ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
            }
            tag.extend_from_slice(&sum.to_be_bytes());
        }
        Ok(tag)
    }

    fn id(&self) -> String {
        self.ids.set(self.ids.get() + 1);
        format!("id.{}", self.ids.get())
    }

    fn warn(&self, text: &str) {
        self.warnings.borrow_mut().push(text.into());
    }
}
