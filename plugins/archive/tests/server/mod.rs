//! A server in memory: what a step asks for becomes true when it is committed, or never.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use archive::host::{Direction, Error, Event, Host, Item, Usage};

pub const ADA: &str = "ada@pec.alfa.example";

/// What a step has asked for.
#[derive(Default)]
pub struct Step {
    /// Keys that were read, with what was there.
    read: BTreeMap<String, Option<u64>>,
    kept: Vec<Item>,
    released: Vec<String>,
    state: BTreeMap<String, Option<String>>,
    sent: Vec<(String, String, String)>,
    events: Vec<Event>,
}

#[derive(Default)]
pub struct Server {
    pub settings: Vec<(String, String)>,
    pub items: RefCell<Vec<Item>>,
    /// With the count of the commit that wrote it.
    state: RefCell<BTreeMap<String, (u64, String)>>,
    commits: Cell<u64>,
    pub sent: RefCell<Vec<(String, String, String)>>,
    pub events: RefCell<Vec<Event>>,
    /// Number and octets of the message in hand.
    pub in_hand: Cell<(u64, u64)>,
    step: RefCell<Step>,
    clock: Cell<u64>,
}

impl Server {
    pub fn with(settings: &[(&str, &str)]) -> Server {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Server { settings, ..Server::default() }
    }

    pub fn used(&self) -> u64 {
        self.items.borrow().iter().map(|item| item.size).sum()
    }

    /// Puts a copy there.
    pub fn put(&self, number: u64, size: u64) {
        self.items.borrow_mut().push(item(number, "received", size, &[]));
    }

    pub fn commit(&self) {
        assert!(self.commit_of(self.take()), "a conflict");
    }

    /// What the step under way has asked for; another one may begin.
    pub fn take(&self) -> Step {
        self.step.take()
    }

    /// Commits a step; false where something that it read was written since, so that it must run anew.
    pub fn commit_of(&self, step: Step) -> bool {
        let mut state = self.state.borrow_mut();
        if step.read.iter().any(|(key, version)| state.get(key).map(|(version, _)| *version) != *version) {
            return false;
        }
        self.commits.set(self.commits.get() + 1);
        let mut items = self.items.borrow_mut();
        items.retain(|item| !step.released.contains(&item.id));
        items.extend(step.kept);
        for (key, value) in step.state {
            match value {
                Some(value) => drop(state.insert(key, (self.commits.get(), value))),
                None => drop(state.remove(&key)),
            }
        }
        self.sent.borrow_mut().extend(step.sent);
        self.events.borrow_mut().extend(step.events);
        true
    }

    pub fn roll_back(&self) {
        self.step.take();
    }

    /// A later step let the message not go on: the copy is dropped, the rest stays.
    pub fn roll_back_copies(&self) {
        self.step.borrow_mut().kept.clear();
        self.commit();
    }
}

fn item(number: u64, direction: &str, size: u64, properties: &[(String, String)]) -> Item {
    Item {
        id: format!("{number:012x}.{:032x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        direction: direction.to_owned(),
        kept: number,
        size,
        sha256: "00".repeat(32),
        properties: properties.to_vec(),
    }
}

impl Host for Server {
    fn now(&self) -> u64 {
        1_795_000_000_000
    }

    fn utc_offset(&self) -> i32 {
        3600
    }

    fn unique(&self) -> String {
        "id.1".into()
    }

    fn setting(&self, mailbox: &str, name: &str) -> Result<Option<String>, Error> {
        assert_eq!(mailbox, ADA);
        Ok(self.settings.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()))
    }

    fn exists(&self, mailbox: &str) -> Result<bool, Error> {
        Ok(mailbox == ADA)
    }

    fn usage(&self, _: &str) -> Result<Usage, Error> {
        let items = self.items.borrow();
        Ok(Usage { used: self.used(), count: items.len() as u64, oldest: items.first().map(|item| item.kept) })
    }

    fn items(&self, _: &str, before: u64, after: Option<&str>, limit: u32) -> Result<Vec<Item>, Error> {
        let items = self.items.borrow();
        let after = after.unwrap_or("");
        Ok(items.iter().filter(|i| i.kept < before && i.id.as_str() > after).take(limit as usize).cloned().collect())
    }

    fn keep(&self, _: &str, _: &str, direction: Direction, properties: &[(String, String)]) -> Result<(), Error> {
        let (_, size) = self.in_hand.get();
        self.clock.set(self.clock.get() + 1);
        self.step.borrow_mut().kept.push(item(self.clock.get(), direction.word(), size, properties));
        Ok(())
    }

    fn release(&self, _: &str, id: &str) -> Result<(), Error> {
        self.step.borrow_mut().released.push(id.to_owned());
        Ok(())
    }

    fn get(&self, key: &str) -> Result<Option<String>, Error> {
        let mut step = self.step.borrow_mut();
        if let Some(own) = step.state.get(key) {
            return Ok(own.clone());
        }
        let found = self.state.borrow().get(key).cloned();
        step.read.entry(key.to_owned()).or_insert(found.as_ref().map(|(version, _)| *version));
        Ok(found.map(|(_, value)| value))
    }

    fn set(&self, key: &str, value: Option<&str>) -> Result<(), Error> {
        self.step.borrow_mut().state.insert(key.to_owned(), value.map(str::to_owned));
        Ok(())
    }

    fn submit(&self, _: &str, from: &str, to: &str, content: &str) -> Result<(), Error> {
        self.step.borrow_mut().sent.push((from.to_owned(), to.to_owned(), content.to_owned()));
        Ok(())
    }

    fn record(&self, event: &Event) -> Result<(), Error> {
        self.step.borrow_mut().events.push(event.clone());
        Ok(())
    }
}
