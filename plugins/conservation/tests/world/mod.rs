//! A server in memory: archive, state, outbox, log. A step's changes are kept whole or dropped whole.
#![allow(clippy::unwrap_used, dead_code)]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use conservation::answer::{self, Answer};
use conservation::daily;
use conservation::host::{Error, Event, Failure, Host, Item, Level, LogFile};
use conservation::operations::{self, Question};
use conservation::settings::Settings;
use sha2::{Digest, Sha256};

pub const DAY: u64 = 24 * 3600 * 1000;
/// 26 November 2026, 06:00 UTC.
pub const NOW: u64 = 1_795_672_800_000;
pub const MAILBOX: &str = "ada@pec.alfa.example";
/// From 29 March 2026, 02:00, to 25 October, 03:00.
const SUMMER: std::ops::Range<u64> = 1_774_746_000_000..1_792_890_000_000;

pub fn settings() -> Settings {
    settings_with("")
}

pub fn settings_with(more: &str) -> Settings {
    let json = format!(
        r#"{{ "target": "conservatore", "protocol": "sftp", "provider": "Alfa PEC S.p.A.",
            "provider-id": "VATIT-01234567890", "log-security-manager": "Livia Log"{more} }}"#
    );
    Settings::parse(&json).unwrap()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    pub target: String,
    pub key: String,
    pub parameters: Vec<(String, String)>,
    pub content: Vec<u8>,
}

/// What a commit keeps.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    pub archive: BTreeMap<(String, String), (Item, Vec<u8>)>,
    pub state: BTreeMap<String, Vec<u8>>,
    pub timers: BTreeMap<String, (u64, Vec<u8>)>,
    pub outbox: Vec<Queued>,
    /// Keys that the outbox knows: the same again would be no second request.
    pub keys: BTreeSet<String>,
    pub events: Vec<Event>,
}

#[derive(Default)]
pub struct World {
    pub kept: Kept,
    pub now: Cell<u64>,
    pub settings: BTreeMap<(String, String), String>,
    pub logs: Vec<(LogFile, Vec<u8>)>,
    pub lines: RefCell<Vec<(Level, String)>>,
    /// Octets that content may have.
    pub content_max: Cell<u64>,
    pub stamps: Cell<u32>,
    pub no_stamps: Cell<bool>,
    /// Copies that the disk does not give back, by id.
    pub unreadable: BTreeSet<String>,
    /// Octets that the target takes; 0: any number.
    pub target_max: u64,
    /// Whether Italy's clock changes as it does in 2026, or is that of winter.
    pub summer: bool,
    /// What lies at the target, by path.
    pub target: BTreeMap<String, Vec<u8>>,
}

/// One step: the world as it was, and what the step changes.
pub struct Step<'a> {
    world: &'a World,
    changes: RefCell<Kept>,
    touched: RefCell<BTreeSet<String>>,
}

pub fn message(number: usize) -> Vec<u8> {
    format!(
        "X-Trasporto: posta-certificata\r\nFrom: Bruno <bruno@beta.example>\r\nTo: {MAILBOX}\r\nSubject: numero {number} & <altro>\r\n\
         Message-ID: <m{number}@beta.example>\r\nDate: Wed, 26 Aug 2026 08:00:00 +0200\r\n\r\n{}\r\n",
        "x".repeat(number * 7 % 1500)
    )
    .into_bytes()
}

impl World {
    pub fn new() -> World {
        let world = World::default();
        world.now.set(NOW);
        world.content_max.set(256 << 20);
        world
    }

    pub fn set(&mut self, mailbox: &str, name: &str, value: &str) {
        self.settings.insert((mailbox.into(), name.into()), value.into());
    }

    pub fn on(mut self) -> World {
        self.set(MAILBOX, "archive", "on");
        self.set(MAILBOX, "conservation", "on");
        self.set(MAILBOX, "conservation-manager", "capo@pec.alfa.example");
        self.set(MAILBOX, "conservation-delegates", "uno@pec.alfa.example,due@pec.alfa.example");
        self
    }

    /// Keeps a message `days` ago.
    pub fn archive(&mut self, number: usize, days: u64) -> Vec<u8> {
        self.archive_for(MAILBOX, number, days)
    }

    pub fn archive_for(&mut self, mailbox: &str, number: usize, days: u64) -> Vec<u8> {
        let content = message(number);
        let kept = self.now.get() - days * DAY + number as u64;
        let item = Item {
            id: format!("{kept:014}-{number:06}"),
            direction: "received".into(),
            kept,
            size: content.len() as u64,
            sha256: Sha256::digest(&content).to_vec(),
        };
        self.kept.archive.insert((mailbox.into(), item.id.clone()), (item, content.clone()));
        content
    }

    /// Runs a step and keeps its changes if it ends well.
    pub fn step<T>(&mut self, work: impl FnOnce(&Step<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let (ended, changes) = self.try_step(work);
        if ended.is_ok() {
            self.kept = changes;
        }
        ended
    }

    /// Runs a step and drops its changes: a crash before the commit.
    pub fn crash<T>(&self, work: impl FnOnce(&Step<'_>) -> Result<T, Failure>) {
        let _ = self.try_step(work).0;
    }

    fn try_step<T>(&self, work: impl FnOnce(&Step<'_>) -> Result<T, Failure>) -> (Result<T, Failure>, Kept) {
        let step = Step { world: self, changes: RefCell::new(self.kept.clone()), touched: RefCell::default() };
        let ended = work(&step);
        (ended, step.changes.into_inner())
    }

    /// Runs every wake-up that is due, until none is.
    pub fn wake_all(&mut self, settings: &Settings) {
        for _ in 0..10_000 {
            let now = self.now.get();
            let due = self.kept.timers.iter().find(|(_, (at, _))| *at <= now);
            let Some((key, (_, payload))) = due.map(|(key, value)| (key.clone(), value.clone())) else { return };
            self.step(|host| {
                host.changes.borrow_mut().timers.remove(&key);
                daily::wake(host, settings, &key, &payload)
            })
            .unwrap();
        }
        panic!("the wake-ups do not end");
    }

    /// A whole daily run.
    pub fn daily(&mut self, settings: &Settings) {
        self.step(|host| host.wake("daily", host.now(), &[]).map_err(|error| error.during("test"))).unwrap();
        self.wake_all(settings);
    }

    pub fn answer(&mut self, settings: &Settings, key: &str, status: &str) {
        self.answer_with(settings, key, status, b"");
    }

    pub fn answer_with(&mut self, settings: &Settings, key: &str, status: &str, body: &[u8]) {
        let said = Answer {
            key: key.into(),
            status: status.into(),
            code: Some(200),
            text: "words".into(),
            body: body.to_vec(),
        };
        self.step(|host| answer::answer(host, settings, &said)).unwrap();
    }

    /// The target takes everything that waits.
    pub fn deposit_all(&mut self, settings: &Settings) {
        for queued in std::mem::take(&mut self.kept.outbox) {
            self.target.insert(queued.parameters[0].1.clone(), queued.content);
            self.answer(settings, &queued.key, "done");
        }
    }

    pub fn ask(
        &mut self,
        settings: &Settings,
        name: &str,
        arguments: &[(&str, &str)],
    ) -> Result<serde_json::Value, Failure> {
        self.ask_with_output(settings, name, arguments).map(|(value, _)| value)
    }

    pub fn ask_with_output(
        &mut self,
        settings: &Settings,
        name: &str,
        arguments: &[(&str, &str)],
    ) -> Result<(serde_json::Value, Option<Vec<u8>>), Failure> {
        let pairs = arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let question = Question { name: name.into(), actor: "root".into(), arguments: pairs.collect() };
        self.step(|host| operations::answer(host, settings, &question).map(|answer| (answer.value, answer.output)))
    }

    /// A whole run, as the command line makes it.
    pub fn run(&mut self, settings: &Settings, arguments: &[(&str, &str)]) -> serde_json::Value {
        let mut course: Option<String> = None;
        for _ in 0..10_000 {
            let mut all = arguments.to_vec();
            all.extend(course.as_deref().map(|course| ("continue", course)));
            let answer = self.ask(settings, "run", &all).unwrap();
            match answer["continue"].as_str() {
                Some(next) => course = Some(next.to_owned()),
                None => return answer,
            }
        }
        panic!("the run does not end");
    }

    pub fn kinds(&self) -> Vec<&'static str> {
        self.kept.events.iter().map(|event| event.kind).collect()
    }

    pub fn archived(&self) -> usize {
        self.kept.archive.len()
    }
}

impl Host for Step<'_> {
    type Message = Vec<u8>;
    type Content = Vec<u8>;

    fn now(&self) -> u64 {
        self.world.now.get()
    }

    fn legal_offset(&self, at: u64) -> Result<i32, Error> {
        Ok(if self.world.summer && SUMMER.contains(&at) { 7200 } else { 3600 })
    }

    fn setting(&self, mailbox: &str, name: &str) -> Result<Option<String>, Error> {
        Ok(self.world.settings.get(&(mailbox.to_owned(), name.to_owned())).cloned())
    }

    fn mailboxes(&self, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        let all: BTreeSet<&String> = self.world.kept.archive.keys().map(|(mailbox, _)| mailbox).collect();
        let all = all.into_iter().filter(|mailbox| after.is_none_or(|after| mailbox.as_str() > after));
        Ok(all.take(limit as usize).cloned().collect())
    }

    fn items(&self, mailbox: &str, before: u64, after: Option<&str>, limit: u32) -> Result<Vec<Item>, Error> {
        let all = self.world.kept.archive.iter().filter(|((of, id), (item, _))| {
            of == mailbox && item.kept < before && after.is_none_or(|after| id.as_str() > after)
        });
        Ok(all.map(|(_, (item, _))| item.clone()).take(limit as usize).collect())
    }

    fn open(&self, mailbox: &str, id: &str) -> Result<Vec<u8>, Error> {
        if self.world.unreadable.contains(id) {
            return Err(Error::Unavailable("input/output error".into()));
        }
        let found = self.world.kept.archive.get(&(mailbox.to_owned(), id.to_owned()));
        found.map(|(_, content)| content.clone()).ok_or(Error::NotFound)
    }

    fn release(&self, mailbox: &str, id: &str) -> Result<(), Error> {
        let gone = self.changes.borrow_mut().archive.remove(&(mailbox.to_owned(), id.to_owned()));
        gone.map(drop).ok_or(Error::NotFound)
    }

    fn size(&self, message: &Vec<u8>) -> u64 {
        message.len() as u64
    }

    fn header(&self, message: &Vec<u8>, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(message);
        text.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
    }

    fn addresses(&self, message: &Vec<u8>, name: &str) -> Vec<String> {
        let value = self.header(message, name).unwrap_or_default();
        let bare = |one: &str| one.rsplit('<').next().unwrap_or_default().trim_end_matches('>').to_owned();
        value.split(',').map(bare).filter(|bare| !bare.is_empty()).collect()
    }

    fn message_sha256(&self, message: &Vec<u8>) -> Result<Vec<u8>, Error> {
        Ok(Sha256::digest(message).to_vec())
    }

    fn content(&self) -> Vec<u8> {
        Vec::new()
    }

    fn append(&self, content: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Error> {
        if (content.len() + bytes.len()) as u64 > self.world.content_max.get() {
            return Err(Error::Limit("content".into()));
        }
        content.extend_from_slice(bytes);
        Ok(())
    }

    fn append_message(&self, content: &mut Vec<u8>, message: &Vec<u8>) -> Result<(), Error> {
        self.append(content, message)
    }

    fn append_content(&self, content: &mut Vec<u8>, other: &Vec<u8>) -> Result<(), Error> {
        self.append(content, other)
    }

    fn length(&self, content: &Vec<u8>) -> u64 {
        content.len() as u64
    }

    fn sha256(&self, content: &Vec<u8>) -> Result<Vec<u8>, Error> {
        Ok(Sha256::digest(content).to_vec())
    }

    fn stamp(&self, sha256: &[u8]) -> Result<Vec<u8>, Error> {
        if self.world.no_stamps.get() {
            return Err(Error::Unavailable("the authority does not answer".into()));
        }
        // Every stamp is another one.
        self.world.stamps.set(self.world.stamps.get() + 1);
        Ok([b"stamp ", sha256, &self.world.stamps.get().to_be_bytes()].concat())
    }

    fn log_files(&self, after: Option<&str>, limit: u32) -> Result<Vec<LogFile>, Error> {
        let begin = match after {
            None => 0,
            Some(name) => 1 + self.world.logs.iter().position(|(file, _)| file.name == name).ok_or(Error::NotFound)?,
        };
        Ok(self.world.logs[begin..].iter().take(limit as usize).map(|(file, _)| file.clone()).collect())
    }

    fn log_file(&self, name: &str) -> Result<Vec<u8>, Error> {
        let found = self.world.logs.iter().find(|(file, _)| file.name == name);
        let (file, content) = found.ok_or(Error::NotFound)?;
        match Sha256::digest(content).to_vec() == file.sha256 {
            true => Ok(content.clone()),
            false => Err(Error::Other(format!("{name} is not the file that was sealed"))),
        }
    }

    fn log_stamp(&self, name: &str) -> Result<Vec<u8>, Error> {
        Ok(format!("stamp of {name}").into_bytes())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.changes.borrow().state.get(key).cloned())
    }

    fn set(&self, key: &str, value: &[u8], _: u32) -> Result<(), Error> {
        assert!(key.len() <= 512 && value.len() <= 65_536, "{key}: {} octets", value.len());
        assert!(!key.chars().any(char::is_control));
        self.touched.borrow_mut().insert(key.to_owned());
        assert!(self.touched.borrow().len() <= 4096);
        self.changes.borrow_mut().state.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        self.changes.borrow_mut().state.remove(key);
        Ok(())
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        let state = &self.world.kept.state;
        let all = state.keys().filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        Ok(all.take(limit.min(1000) as usize).cloned().collect())
    }

    fn wake(&self, key: &str, at: u64, payload: &[u8]) -> Result<(), Error> {
        self.changes.borrow_mut().timers.insert(key.to_owned(), (at, payload.to_owned()));
        Ok(())
    }

    fn queue(&self, target: &str, key: &str, parameters: &[(String, String)], content: &Vec<u8>) -> Result<(), Error> {
        assert!(key.len() <= 128 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)), "{key}");
        if self.world.target_max > 0 && content.len() as u64 > self.world.target_max {
            return Err(Error::Limit("the content is more than this target takes".into()));
        }
        let queued = Queued {
            target: target.into(),
            key: key.into(),
            parameters: parameters.to_vec(),
            content: content.clone(),
        };
        assert!(self.changes.borrow_mut().keys.insert(key.to_owned()), "the outbox knows {key} already");
        self.changes.borrow_mut().outbox.push(queued);
        Ok(())
    }

    fn fetch(&self, _: &str, parameters: &[(String, String)], offset: u64, length: u64) -> Result<Vec<u8>, Error> {
        let lies = self.world.target.get(&parameters[0].1).ok_or(Error::NotFound)?;
        let range = lies.get(offset as usize..(offset + length) as usize);
        range.map(<[u8]>::to_vec).ok_or(Error::Unavailable("it ends too early".into()))
    }

    fn record(&self, event: &Event) -> Result<(), Error> {
        self.changes.borrow_mut().events.push(event.clone());
        Ok(())
    }

    fn log(&self, level: Level, text: &str) {
        self.world.lines.borrow_mut().push((level, text.to_owned()));
    }
}

/// The files of a package: name to content.
pub fn unpack(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let (mut files, mut at) = (BTreeMap::new(), 0);
    while tar[at] != 0 {
        let text = |from: usize, to: usize| {
            let field = &tar[at + from..at + to];
            String::from_utf8(field.split(|octet| *octet == 0).next().unwrap().to_vec()).unwrap()
        };
        let size = usize::from_str_radix(&text(124, 136), 8).unwrap();
        files.insert(text(0, 100), tar[at + 512..at + 512 + size].to_vec());
        at += 512 + size.next_multiple_of(512);
    }
    assert_eq!(tar.len() - at, 1024, "two empty blocks end it");
    files
}
