//! A world of providers in memory: the imports of the contract over a parser and a signature of its own, so that what
//! the plugin makes is read by something else than the plugin.
//!
//! Three providers, Alfa, Beta and Gamma, each with its own state, timers and mailboxes. A test calls the stages of a
//! house ([`World::access`], [`World::reception`], [`World::delivery`], [`World::outcome`]) and carries what they queue
//! to the next one itself; [`World::pass`] moves the clock and [`World::fire_due`] runs what a house wanted to do by
//! then. A step that fails changes nothing, as in the server.
//!
//! ```text
//! let world = world();
//! let done = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &["bruno@beta.example"], ORIGINAL);
//! world.pass(12 * HOUR);
//! let notices = world.fire_due(&world.alfa);
//! ```
#![allow(dead_code, missing_docs)]

pub mod exhibit;
pub mod look;
pub mod parse;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use pec::content::{Content, Piece};
use pec::evidence::Event;
use pec::host::*;
use pec::settings::Settings;
use pec::step::Step;
use sha2::{Digest, Sha256};

/// Milliseconds of an hour.
pub const HOUR: u64 = 3_600_000;
/// When a wake-up that failed comes again.
const AGAIN: u64 = 60_000;
/// Wake-ups that one call of `fire_due` runs before it takes them for endless.
const WAKES_MAX: usize = 10_000;

/// A provider of the index, and what it keeps.
pub struct House {
    /// `alfa`, `beta` or `gamma`; its domain is NAME.example.
    pub name: &'static str,
    pub settings: Settings,
    pub domains: Vec<&'static str>,
    /// Where take-charge receipts and virus detection notices for it go.
    pub mail_receipt: &'static str,
    pub state: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Address to `present`, `full` or `disabled`; every other one is unknown.
    pub mailboxes: RefCell<BTreeMap<String, &'static str>>,
    /// Settings of mailboxes, by address and name.
    pub mailbox_settings: RefCell<BTreeMap<(String, String), String>>,
    /// What a step before ours says of every message in hand: `antivirus.verdict`, …
    pub facts: RefCell<BTreeMap<String, String>>,
    /// Wake-ups by key: instant and payload.
    pub timers: RefCell<BTreeMap<String, (u64, Vec<u8>)>>,
}

impl House {
    /// From now on a step before ours says this of every message; none takes it back.
    pub fn says(&self, name: &str, value: Option<&str>) {
        let mut facts = self.facts.borrow_mut();
        match value {
            Some(value) => facts.insert(name.to_owned(), value.to_owned()),
            None => facts.remove(name),
        };
    }

    /// Sets a setting of a mailbox.
    pub fn set_mailbox(&self, address: &str, name: &str, value: &str) {
        let key = (address.to_ascii_lowercase(), name.to_owned());
        self.mailbox_settings.borrow_mut().insert(key, value.to_owned());
    }

    /// Changes the settings: `change` is JSON such as `{"ordinary-mail":"reject"}`, laid over the house's own.
    pub fn configure(&mut self, change: &str) {
        let mut settings = basic_settings(self.name);
        let serde_json::Value::Object(change) = serde_json::from_str(change).unwrap() else { panic!("an object") };
        settings.as_object_mut().unwrap().extend(change);
        self.settings = Settings::parse(&settings.to_string()).unwrap();
    }
}

/// Providers, time, and what is wrong with the day.
pub struct World {
    pub alfa: House,
    pub beta: House,
    pub gamma: House,
    /// Milliseconds since 1970.
    pub now: Cell<u64>,
    pub ids: Cell<u64>,
    /// Set: keys and signatures cannot be reached.
    pub keys_down: Cell<bool>,
    /// Set: every chain ends in a revocation list that is stale.
    pub lists_stale: Cell<bool>,
    /// Set: the next step runs, and its commit is lost.
    pub power_cut: Cell<bool>,
}

/// Alfa has Ada and Carla, Beta has Bruno and Dora, Gamma has Gina and Igor; each has its two mailboxes of service.
pub fn world() -> World {
    World {
        alfa: house("alfa", &["ada", "carla"]),
        beta: house("beta", &["bruno", "dora"]),
        gamma: house("gamma", &["gina", "igor"]),
        // 2021-12-14 14:54:32 +0100.
        now: Cell::new(1_639_490_072_000),
        ids: Cell::new(0),
        keys_down: Cell::new(false),
        lists_stale: Cell::new(false),
        power_cut: Cell::new(false),
    }
}

fn basic_settings(name: &str) -> serde_json::Value {
    let (first, rest) = name.split_at(1);
    let title = format!("{}{rest}", first.to_uppercase());
    serde_json::json!({
        "provider-name": format!("{title} PEC S.p.A."),
        "service-address": format!("posta-certificata@{name}.example"),
        "signing-key": title,
    })
}

fn house(name: &'static str, users: &[&str]) -> House {
    let domain: &'static str = Box::leak(format!("{name}.example").into_boxed_str());
    let mailboxes =
        users.iter().chain(&["posta-certificata", "casella"]).map(|user| (format!("{user}@{domain}"), "present"));
    House {
        name,
        settings: Settings::parse(&basic_settings(name).to_string()).unwrap(),
        domains: vec![domain],
        mail_receipt: Box::leak(format!("casella@{domain}").into_boxed_str()),
        state: RefCell::default(),
        mailboxes: RefCell::new(mailboxes.collect()),
        mailbox_settings: RefCell::default(),
        facts: RefCell::default(),
        timers: RefCell::default(),
    }
}

/// A message that a step queued.
#[derive(Debug, Clone)]
pub struct Queued {
    pub from: String,
    pub to: Vec<String>,
    pub bytes: Vec<u8>,
}

/// What one step did; nothing of it counts where the step failed.
#[derive(Debug)]
pub struct Done {
    pub verdict: Result<Verdict, Failure>,
    pub message: Vec<u8>,
    pub queued: Vec<Queued>,
    pub events: Vec<Event>,
    pub logged: Vec<String>,
    /// How many octets of the content that it made are its own, not ranges of the message.
    pub own_octets: usize,
}

impl Done {
    pub fn kinds(&self) -> Vec<&'static str> {
        self.events.iter().map(|event| event.kind.word()).collect()
    }
}

struct Run<'a> {
    world: &'a World,
    house: &'a House,
    /// None during a wake-up.
    message: Option<parse::Parsed>,
    changes: RefCell<Changes>,
}

#[derive(Default)]
struct Changes {
    replaced: Option<Vec<u8>>,
    queued: Vec<Queued>,
    keys: Vec<String>,
    /// None removes the key.
    state: BTreeMap<String, Option<Vec<u8>>>,
    /// None forgets the wake-up.
    timers: BTreeMap<String, Option<(u64, Vec<u8>)>>,
    signatures: usize,
    events: Vec<Event>,
    logged: Vec<String>,
    own_octets: usize,
}

impl World {
    pub fn access(&self, house: &House, identity: &str, from: &str, to: &[&str], message: &[u8]) -> Done {
        let transaction = self.transaction(Arrival::Submission, Some(identity), from, to);
        self.run(house, Some(message), |step| pec::access_point::run(step, &transaction))
    }

    pub fn reception(&self, house: &House, arrival: Arrival, from: &str, to: &[&str], message: &[u8]) -> Done {
        let transaction = self.transaction(arrival, None, from, to);
        self.run(house, Some(message), |step| pec::reception_point::run(step, &transaction))
    }

    pub fn delivery(&self, house: &House, from: &str, to: &str, message: &[u8]) -> Done {
        let status = house.mailboxes.borrow().get(&to.to_ascii_lowercase()).copied().unwrap_or("unknown");
        let delivery = self.to_one(from, to, status);
        self.run(house, Some(message), |step| pec::delivery_point::run(step, &delivery))
    }

    pub fn outcome(
        &self,
        house: &House,
        from: &str,
        to: &str,
        status: &str,
        code: Option<&str>,
        message: &[u8],
    ) -> Done {
        let mut delivery = self.to_one(from, to, status);
        delivery.enhanced = code.map(String::from);
        delivery.reason = Some("<mx.beta.example> says\r\nno".to_owned());
        self.run(house, Some(message), |step| pec::outcome::run(step, &delivery))
    }

    fn transaction(&self, arrival: Arrival, identity: Option<&str>, from: &str, to: &[&str]) -> Transaction {
        Transaction {
            id: "T1".to_owned(),
            arrival,
            identity: identity.map(String::from),
            reverse_path: from.to_owned(),
            recipients: to.iter().map(|to| (*to).to_owned()).collect(),
        }
    }

    fn to_one(&self, from: &str, to: &str, status: &str) -> Delivery {
        Delivery {
            id: "Q1".to_owned(),
            reverse_path: from.to_owned(),
            recipient: to.to_owned(),
            status: status.to_owned(),
            enhanced: None,
            reason: None,
        }
    }

    /// Moves the clock.
    pub fn pass(&self, milliseconds: u64) {
        self.now.set(self.now.get() + milliseconds);
    }

    /// Runs every wake-up of a house that is due, in the order of their instants, and those that they ask for at once
    /// (they move the clock by a millisecond). One that fails comes again later.
    pub fn fire_due(&self, house: &House) -> Vec<Done> {
        let mut done = Vec::new();
        while let Some((key, (at, payload))) = self.next_due(house) {
            assert!(done.len() < WAKES_MAX, "endless wake-ups: {key}");
            house.timers.borrow_mut().remove(&key);
            let ran = self.wake(house, &key, &payload);
            if ran.verdict.is_err() {
                house.timers.borrow_mut().insert(key, (self.now.get().max(at) + AGAIN, payload));
            } else if self.next_due(house).is_none()
                && house.timers.borrow().get(&key).is_some_and(|t| t.0 == self.now.get() + 1)
            {
                self.pass(1);
            }
            done.push(ran);
        }
        done
    }

    /// Runs one wake-up, whatever the clock says.
    pub fn wake(&self, house: &House, key: &str, payload: &[u8]) -> Done {
        self.run(house, None, |step| pec::deadlines::run(step, key, payload).map(|()| Verdict::Continue))
    }

    fn next_due(&self, house: &House) -> Option<(String, (u64, Vec<u8>))> {
        let timers = house.timers.borrow();
        let due = timers.iter().filter(|(_, (at, _))| *at <= self.now.get());
        due.min_by_key(|(_, (at, _))| *at).map(|(key, timer)| (key.clone(), timer.clone()))
    }

    fn run(&self, house: &House, message: Option<&[u8]>, run: impl FnOnce(&Step) -> Result<Verdict, Failure>) -> Done {
        let parsed = message.map(parse::Parsed::new);
        let message = message.unwrap_or_default();
        let host = Run { world: self, house, message: parsed, changes: RefCell::default() };
        let mut verdict = Step::begin(&host, &house.settings).and_then(|step| run(&step));
        if self.power_cut.take() {
            verdict = Err(Failure::Transient("the power was cut before the commit".to_owned()));
        }
        let changes = host.changes.into_inner();
        if verdict.is_err() {
            let (message, queued, events) = (message.to_vec(), Vec::new(), Vec::new());
            return Done { verdict, message, queued, events, logged: changes.logged, own_octets: 0 };
        }
        apply(&mut house.state.borrow_mut(), changes.state);
        apply(&mut house.timers.borrow_mut(), changes.timers);
        Done {
            verdict,
            message: changes.replaced.unwrap_or_else(|| message.to_vec()),
            queued: changes.queued,
            events: changes.events,
            logged: changes.logged,
            own_octets: changes.own_octets,
        }
    }

    /// Every provider.
    pub fn houses(&self) -> [&House; 3] {
        [&self.alfa, &self.beta, &self.gamma]
    }

    /// A look at a message that is on no way.
    fn looking_at(&self, message: parse::Parsed) -> Run<'_> {
        Run { world: self, house: &self.alfa, message: Some(message), changes: RefCell::default() }
    }

    /// The provider that manages a domain.
    pub fn house_of(&self, domain: &str) -> Option<&House> {
        self.houses().into_iter().find(|house| house.domains.iter().any(|d| d.eq_ignore_ascii_case(domain)))
    }

    fn house_named(&self, key: &str) -> Option<&House> {
        self.houses().into_iter().find(|house| house.settings.signing_key == key)
    }
}

fn apply<T>(kept: &mut BTreeMap<String, T>, changes: BTreeMap<String, Option<T>>) {
    for (key, value) in changes {
        match value {
            Some(value) => kept.insert(key, value),
            None => kept.remove(&key),
        };
    }
}

/// The signature of this world: the key's name and the digest of what was signed.
pub fn sign(key: &str, content: &[u8]) -> Vec<u8> {
    format!("SIGNED BY {key} {}", hex(&Sha256::digest(content))).into_bytes()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Run<'_> {
    fn bytes_of(&self, content: &Content) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        for piece in content.pieces() {
            match piece {
                Piece::Bytes(own) => bytes.extend_from_slice(own),
                Piece::Range { offset, length } => {
                    let range = *offset as usize..(*offset + *length) as usize;
                    let message = self.message.as_ref().ok_or(Error::NotFound)?;
                    bytes.extend_from_slice(message.bytes.get(range).ok_or(Error::Invalid("range".into()))?);
                }
            }
        }
        Ok(bytes)
    }
}

impl Host for Run<'_> {
    fn message(&self) -> &dyn Message {
        match &self.message {
            Some(message) => message,
            None => &NoMessage,
        }
    }

    fn fact(&self, name: &str) -> Option<String> {
        self.message.as_ref().and_then(|_| self.house.facts.borrow().get(name).cloned())
    }

    fn replace_content(&self, content: &Content) -> Result<(), Error> {
        assert!(self.message.is_some(), "nothing in hand");
        self.changes.borrow_mut().own_octets += content.own_octets();
        self.changes.borrow_mut().replaced = Some(self.bytes_of(content)?);
        Ok(())
    }

    fn submit(&self, key: &str, reverse_path: &str, recipients: &[String], content: &Content) -> Result<String, Error> {
        let bytes = self.bytes_of(content)?;
        let mut changes = self.changes.borrow_mut();
        if changes.keys.iter().any(|other| other == key) {
            return Err(Error::Invalid("the same key twice".into()));
        }
        if reverse_path != self.house.settings.service_address {
            return Err(Error::Denied);
        }
        changes.keys.push(key.to_owned());
        changes.queued.push(Queued { from: reverse_path.to_owned(), to: recipients.to_vec(), bytes });
        Ok(format!("Q{}", changes.queued.len()))
    }

    fn sign(&self, key: &str, content: &Content) -> Result<Vec<u8>, Error> {
        match (self.world.keys_down.get(), key == self.house.settings.signing_key) {
            (true, _) => Err(Error::Unavailable("key store".into())),
            (_, false) => Err(Error::Denied),
            _ => {
                self.changes.borrow_mut().signatures += 1;
                assert!(self.changes.borrow().signatures <= 4096, "the host's limit");
                Ok(sign(key, &self.bytes_of(content)?))
            }
        }
    }

    fn verify(&self) -> Result<Verification, Error> {
        let message = self.message.as_ref().ok_or(Error::NotFound)?;
        let parts = message.parts()?;
        let of_root: Vec<usize> = (0..parts.len()).filter(|&i| parts[i].parent == Some(0)).collect();
        let (true, [signed, signature]) = (parts[0].media_type == "multipart/signed", of_root.as_slice()) else {
            return Ok(Verification::default());
        };
        let value = String::from_utf8(message.read_decoded(*signature as u32)?).unwrap_or_default();
        let Some((key, digest)) = value.strip_prefix("SIGNED BY ").and_then(|rest| rest.split_once(' ')) else {
            return Ok(Verification { present: true, problem: Some("no CMS".into()), ..Verification::default() });
        };
        let range = parts[*signed].header_offset as usize..parts[*signed].end() as usize;
        let intact = hex(&Sha256::digest(&message.bytes[range])) == digest;
        let stale = self.world.lists_stale.get();
        Ok(Verification {
            present: true,
            intact,
            trusted: !stale,
            problem: stale.then(|| "the revocation list is stale".to_owned()),
            transient: stale,
            certificate: Some(key.as_bytes().to_vec()),
            addresses: self
                .world
                .house_named(key)
                .map(|house| house.settings.service_address.clone())
                .into_iter()
                .collect(),
            signed_part: Some(*signed as u32),
        })
    }

    fn is_certified(&self, domain: &str) -> Result<bool, Error> {
        Ok(self.world.house_of(domain).is_some())
    }

    fn provider_of_domain(&self, domain: &str) -> Result<Option<Provider>, Error> {
        Ok(self.world.house_of(domain).map(entry))
    }

    fn provider_of_certificate(&self, certificate: &[u8]) -> Result<Option<Provider>, Error> {
        Ok(self.world.house_named(&String::from_utf8_lossy(certificate)).map(entry))
    }

    fn mailbox_status(&self, address: &str) -> Result<String, Error> {
        Ok(self.house.mailboxes.borrow().get(&address.to_ascii_lowercase()).copied().unwrap_or("unknown").to_owned())
    }

    fn mailbox_setting(&self, address: &str, name: &str) -> Result<Option<String>, Error> {
        let key = (address.to_ascii_lowercase(), name.to_owned());
        Ok(self.house.mailbox_settings.borrow().get(&key).cloned())
    }

    fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.changes.borrow().state.get(key) {
            Some(own) => Ok(own.clone()),
            None => Ok(self.house.state.borrow().get(key).cloned()),
        }
    }

    fn state_set(&self, key: &str, value: &[u8], keep_days: u32) -> Result<(), Error> {
        assert!(key.len() <= 512 && value.len() <= 65_536 && keep_days > 0, "the contract's limits: {key}");
        self.changes.borrow_mut().state.insert(key.to_owned(), Some(value.to_vec()));
        assert!(self.changes.borrow().state.len() <= 4096, "the host's limit");
        Ok(())
    }

    fn state_delete(&self, key: &str) -> Result<(), Error> {
        self.changes.borrow_mut().state.insert(key.to_owned(), None);
        Ok(())
    }

    fn set_timer(&self, key: &str, at_ms: u64, payload: &[u8]) -> Result<(), Error> {
        assert!(key.len() <= 512 && payload.len() <= 65_536, "the contract's limits: {key}");
        self.changes.borrow_mut().timers.insert(key.to_owned(), Some((at_ms, payload.to_vec())));
        Ok(())
    }

    fn cancel_timer(&self, key: &str) -> Result<(), Error> {
        self.changes.borrow_mut().timers.insert(key.to_owned(), None);
        Ok(())
    }

    fn append_event(&self, event: &Event) -> Result<(), Error> {
        let texts = [&event.message_id, &event.sender, &event.subject].into_iter().chain(&event.recipients);
        let octets = texts.chain(&event.related).chain(event.details.iter().flat_map(|(n, v)| [n, v])).map(String::len);
        assert!(octets.sum::<usize>() <= 65_536, "the host's limit");
        self.changes.borrow_mut().events.push(event.clone());
        Ok(())
    }

    fn now(&self) -> u64 {
        self.world.now.get()
    }

    fn utc_offset(&self, zone: &str, _at: u64) -> Result<i32, Error> {
        assert_eq!(zone, "Europe/Rome");
        Ok(3600)
    }

    fn next_id(&self) -> String {
        self.world.ids.set(self.world.ids.get() + 1);
        format!("7f3a.{}", self.world.ids.get())
    }

    fn log(&self, _level: Level, text: &str) {
        self.changes.borrow_mut().logged.push(text.to_owned());
    }
}

fn entry(house: &House) -> Provider {
    Provider { name: house.settings.provider_name.clone(), mail_receipt: house.mail_receipt.to_owned() }
}
