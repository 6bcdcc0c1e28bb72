//! The servers around the plugin, in memory: queues, mailboxes, the wire between the houses, and what can go wrong there.
//!
//! Alfa and Beta are honest: what they queued they keep and try for 24 hours, what they answered 250 to they process until
//! it ends. A step whose commit was lost runs anew. Gamma runs the same plugin, but things get lost on the way to and
//! from it, and somebody there has its key and forges.

use std::collections::BTreeMap;

use pec::certification_data::CertificationData;
use pec::evidence::Event;
use pec::host::{Arrival, Message, Verdict};

use crate::world::look::header;
use crate::world::parse::Parsed;
use crate::world::{Done, HOUR, House, World};

/// How long a queue tries. PEC §2.2.2 wants an answer within 24 hours.
const QUEUE_LIFE: u64 = 24 * HOUR;
/// Steps of one conversation: one that never comes to rest is a finding.
const STEPS_MAX: usize = 10_000;

/// A message on its way.
#[derive(Debug, Clone)]
pub struct Item {
    /// Whose queue it is in; none if it comes from outside.
    pub origin: Option<&'static str>,
    pub from: String,
    pub to: Vec<String>,
    pub bytes: Vec<u8>,
    pub queued_at: u64,
    /// Past the reception point of the house of its recipient, at the door of the mailbox.
    pub at_door: bool,
    /// Made by nobody's plugin: it must not change what anybody knows.
    pub forged: bool,
    /// The next scanner finds something in it.
    pub infected: bool,
}

/// What a house has beside the plugin's state.
#[derive(Default)]
pub struct Books {
    /// The message log.
    pub events: Vec<Event>,
    /// Mailboxes, by address: messages as they were filed.
    pub filed: BTreeMap<String, Vec<Vec<u8>>>,
    /// Its own envelopes, as they left the access point.
    pub envelopes: Vec<Vec<u8>>,
    /// Whether it takes connections.
    pub away: bool,
}

/// The houses and everything on its way between them.
pub struct Network {
    pub world: World,
    pub books: BTreeMap<&'static str, Books>,
    pub queue: Vec<Item>,
    /// What was carried once, to be carried again.
    pub carried: Vec<Item>,
    /// What reached recipients outside.
    pub outside: Vec<Item>,
    steps: usize,
}

impl Network {
    /// Every house has a scanner.
    pub fn new(mut world: World) -> Network {
        for house in [&mut world.alfa, &mut world.beta, &mut world.gamma] {
            house.configure(r#"{"virus-check":"antivirus"}"#);
            house.says("antivirus.verdict", Some("clean"));
        }
        let books = world.houses().map(|house| (house.name, Books::default())).into();
        Network { world, books, queue: Vec::new(), carried: Vec::new(), outside: Vec::new(), steps: 0 }
    }

    pub fn house(&self, name: &str) -> &House {
        self.world.houses().into_iter().find(|house| house.name == name).unwrap()
    }

    /// A user sends; a client that got no answer sends once more.
    pub fn submit(&mut self, sender: &str, recipients: &[String], message: &[u8]) {
        let name = self.world.house_of(domain(sender)).unwrap().name;
        let to: Vec<&str> = recipients.iter().map(String::as_str).collect();
        for _ in 0..2 {
            let done = self.world.access(self.house(name), sender, sender, &to, message);
            self.record(name, &done);
            match &done.verdict {
                Err(_) => continue,
                Ok(Verdict::Continue) => {
                    self.books.get_mut(name).unwrap().envelopes.push(done.message.clone());
                    self.enqueue(Some(name), sender, recipients, &done.message, false);
                }
                Ok(_) => {}
            }
            return;
        }
    }

    /// Queues a message, one item for each domain.
    pub fn enqueue(&mut self, origin: Option<&'static str>, from: &str, to: &[String], bytes: &[u8], forged: bool) {
        let mut by_domain: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for recipient in to {
            by_domain.entry(domain(recipient).to_ascii_lowercase()).or_default().push(recipient.clone());
        }
        for to in by_domain.into_values() {
            let queued_at = self.world.now.get();
            let (from, bytes) = (from.to_owned(), bytes.to_vec());
            self.queue.push(Item { origin, from, to, bytes, queued_at, at_door: false, forged, infected: false });
        }
    }

    /// Whether an item passes over the wire that loses things.
    pub fn is_on_the_bad_wire(item: &Item) -> bool {
        !item.at_door && (item.origin == Some("gamma")) != (domain(&item.to[0]) == "gamma.example")
    }

    /// Takes the next step of an item; says whether it came any further.
    pub fn carry(&mut self, index: usize) -> bool {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "a conversation that does not end");
        let item = self.queue.remove(index);
        let Some(name) = self.world.house_of(domain(&item.to[0])).map(|house| house.name) else {
            if !item.forged {
                self.outside.push(item);
            }
            return true;
        };
        match item.at_door {
            true => self.deliver(name, item),
            false if self.books[name].away => self.wait(item),
            false => self.receive(name, item),
        }
    }

    /// The other side does not answer: later, or never. What stays in the house has all the time in the world.
    fn wait(&mut self, item: Item) -> bool {
        let own = self.world.house_of(domain(&item.to[0])).map(|house| house.name);
        match item.origin.filter(|origin| own != Some(*origin)) {
            Some(origin) if self.world.now.get() >= item.queued_at + QUEUE_LIFE => {
                self.end(origin, &item, "expired", None)
            }
            _ => {
                self.queue.push(item);
                false
            }
        }
    }

    /// A remote delivery ended: the stage `outcome` of the house whose queue it was in; says whether it went well.
    fn end(&mut self, origin: &'static str, item: &Item, status: &str, code: Option<&str>) -> bool {
        let mut well = true;
        for recipient in &item.to {
            let done = self.world.outcome(self.house(origin), &item.from, recipient, status, code, &item.bytes);
            self.record(origin, &done);
            if done.verdict.is_err() {
                self.queue.push(Item { to: vec![recipient.clone()], ..item.clone() });
                well = false;
            }
        }
        well
    }

    fn receive(&mut self, name: &'static str, item: Item) -> bool {
        let arrival = if item.origin == Some(name) { Arrival::Internal } else { Arrival::Relay };
        let to: Vec<&str> = item.to.iter().map(String::as_str).collect();
        let before = self.house(name).state.borrow().clone();
        let house = self.house(name);
        house.says("antivirus.verdict", Some(if item.infected { "infected" } else { "clean" }));
        let done = self.world.reception(house, arrival, &item.from, &to, &item.bytes);
        house.says("antivirus.verdict", Some("clean"));
        if item.forged {
            assert_eq!(*self.house(name).state.borrow(), before, "what was forged changed what {name} knows");
            assert!(done.queued.is_empty(), "{name} answered a forgery");
        }
        self.record(name, &done);
        match &done.verdict {
            Err(_) | Ok(Verdict::Defer(_)) => return self.wait(item),
            Ok(Verdict::Continue) => {
                for recipient in &item.to {
                    let (to, bytes) = (vec![recipient.clone()], done.message.clone());
                    self.queue.push(Item { to, bytes, at_door: true, ..item.clone() });
                }
            }
            Ok(Verdict::Reject(reply)) => {
                if let Some(origin) = item.origin.filter(|origin| *origin != name) {
                    self.end(origin, &item, "failed", Some(reply.enhanced));
                }
            }
            Ok(_) => {}
        }
        self.carried.push(item);
        true
    }

    fn deliver(&mut self, name: &'static str, item: Item) -> bool {
        let recipient = &item.to[0];
        let done = self.world.delivery(self.house(name), &item.from, recipient, &item.bytes);
        self.record(name, &done);
        let there = self.house(name).mailboxes.borrow().get(&recipient.to_ascii_lowercase()) == Some(&"present");
        match &done.verdict {
            Err(_) => {
                self.queue.push(item);
                return false;
            }
            // A queue that came back from a copy delivers once more.
            Ok(_) if header(&item.bytes, "X-Trasporto") == "posta-certificata" => self.carried.push(item.clone()),
            Ok(_) => {}
        }
        match &done.verdict {
            Ok(Verdict::Continue) if there => {
                let key = recipient.to_ascii_lowercase();
                self.books.get_mut(name).unwrap().filed.entry(key).or_default().push(done.message);
            }
            _ => {}
        }
        true
    }

    /// The commit of a step: its events and what it queued.
    fn record(&mut self, name: &'static str, done: &Done) {
        self.books.get_mut(name).unwrap().events.extend(done.events.iter().cloned());
        for queued in &done.queued {
            self.enqueue(Some(name), &queued.from, &queued.to, &queued.bytes, false);
        }
    }

    /// Time passes; the wake-ups that are due run.
    pub fn pass(&mut self, milliseconds: u64) {
        self.world.pass(milliseconds);
        for name in ["alfa", "beta", "gamma"] {
            for done in self.world.fire_due(self.house(name)) {
                self.record(name, &done);
            }
        }
    }

    /// Carries everything until nothing moves any more.
    pub fn settle(&mut self) {
        loop {
            let mut moved = false;
            for _ in 0..self.queue.len() {
                moved |= self.carry(0);
            }
            if !moved {
                return;
            }
        }
    }

    /// Everybody honest is there again, and two days pass.
    pub fn end_of_the_story(&mut self) {
        self.world.power_cut.set(false);
        self.world.keys_down.set(false);
        self.world.lists_stale.set(false);
        for name in ["alfa", "beta"] {
            self.books.get_mut(name).unwrap().away = false;
        }
        self.settle();
        for _ in 0..52 {
            self.pass(HOUR);
            self.settle();
        }
    }
}

/// The domain of an address.
pub fn domain(address: &str) -> &str {
    address.rsplit('@').next().unwrap_or_default()
}

/// What a filed message is.
pub struct Filed {
    /// The word of `X-Trasporto`, of `X-Ricevuta`, or nothing.
    pub word: String,
    pub from: String,
    pub data: Option<CertificationData>,
    pub original: Option<Vec<u8>>,
    pub id: String,
}

impl Filed {
    pub fn read(message: &[u8]) -> Filed {
        let parsed = Parsed::new(message);
        let field = |name: &str| parsed.header_text(name, 0).unwrap_or_default().trim().to_owned();
        let parts = parsed.parts().unwrap();
        let named = |name: &str| parts.iter().position(|part| part.parent == Some(1) && part.is_named(name));
        let data = named("daticert.xml").and_then(|index| parsed.read_decoded(index as u32).ok());
        let from = parsed.addresses("From").unwrap().into_iter().next().map(|a| a.mailbox).unwrap_or_default();
        let original = named("postacert.eml").map(|index| &parts[index]);
        Filed {
            word: [field("X-Trasporto"), field("X-Ricevuta")].concat(),
            from,
            data: data.and_then(|data| CertificationData::read(&data).ok()).map(|reading| reading.data),
            original: original.map(|part| message[part.body_offset as usize..part.end() as usize].to_vec()),
            id: field("Message-ID"),
        }
    }
}
