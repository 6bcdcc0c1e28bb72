//! A world of providers in memory: the imports of the contract over a parser and a signature of its own, so that what
//! the plugin makes is read by something else than the plugin.
#![allow(dead_code, missing_docs)]

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

/// A provider of the index, and what it keeps.
pub struct House {
    pub settings: Settings,
    pub domains: Vec<&'static str>,
    pub mail_receipt: &'static str,
    pub state: RefCell<BTreeMap<String, Vec<u8>>>,
    pub mailboxes: RefCell<BTreeMap<String, &'static str>>,
}

/// Providers, time, and what is wrong with the day.
pub struct World {
    pub alfa: House,
    pub beta: House,
    pub now: Cell<u64>,
    pub ids: Cell<u64>,
    /// Set: keys and signatures cannot be reached.
    pub keys_down: Cell<bool>,
    /// Set: every chain ends in a revocation list that is stale.
    pub lists_stale: Cell<bool>,
}

pub fn world() -> World {
    let house = |name: &str, domain: &'static str, users: &[&str]| {
        House {
        settings: Settings::parse(&format!(
            r#"{{"provider-name":"{name} PEC S.p.A.","service-address":"posta-certificata@{domain}","signing-key":"{name}"}}"#
        ))
        .unwrap(),
        domains: vec![domain],
        mail_receipt: Box::leak(format!("casella@{domain}").into_boxed_str()),
        state: RefCell::default(),
        mailboxes: RefCell::new(users.iter().map(|user| (format!("{user}@{domain}"), "present")).collect()),
    }
    };
    World {
        alfa: house("Alfa", "alfa.example", &["ada", "carla", "posta-certificata", "casella"]),
        beta: house("Beta", "beta.example", &["bruno", "dora", "posta-certificata", "casella"]),
        // 2021-12-14 14:54:32 +0100.
        now: Cell::new(1_639_490_072_000),
        ids: Cell::new(0),
        keys_down: Cell::new(false),
        lists_stale: Cell::new(false),
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
    message: parse::Parsed,
    changes: RefCell<Changes>,
}

#[derive(Default)]
struct Changes {
    replaced: Option<Vec<u8>>,
    queued: Vec<Queued>,
    keys: Vec<String>,
    state: BTreeMap<String, Vec<u8>>,
    events: Vec<Event>,
    logged: Vec<String>,
    own_octets: usize,
}

impl World {
    pub fn access(&self, house: &House, identity: &str, from: &str, to: &[&str], message: &[u8]) -> Done {
        let transaction = self.transaction(Arrival::Submission, Some(identity), from, to);
        self.run(house, message, |step| pec::access_point::run(step, &transaction))
    }

    pub fn reception(&self, house: &House, arrival: Arrival, from: &str, to: &[&str], message: &[u8]) -> Done {
        let transaction = self.transaction(arrival, None, from, to);
        self.run(house, message, |step| pec::reception_point::run(step, &transaction))
    }

    pub fn delivery(&self, house: &House, from: &str, to: &str, message: &[u8]) -> Done {
        let status = house.mailboxes.borrow().get(&to.to_ascii_lowercase()).copied().unwrap_or("unknown");
        let delivery = self.to_one(from, to, status);
        self.run(house, message, |step| pec::delivery_point::run(step, &delivery))
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
        self.run(house, message, |step| pec::outcome::run(step, &delivery))
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

    fn run(&self, house: &House, message: &[u8], run: impl FnOnce(&Step) -> Result<Verdict, Failure>) -> Done {
        let host = Run { world: self, house, message: parse::Parsed::new(message), changes: RefCell::default() };
        let verdict = Step::begin(&host, &house.settings).and_then(|step| run(&step));
        let changes = host.changes.into_inner();
        if verdict.is_err() {
            let (message, queued, events) = (message.to_vec(), Vec::new(), Vec::new());
            return Done { verdict, message, queued, events, logged: changes.logged, own_octets: 0 };
        }
        house.state.borrow_mut().extend(changes.state);
        Done {
            verdict,
            message: changes.replaced.unwrap_or_else(|| message.to_vec()),
            queued: changes.queued,
            events: changes.events,
            logged: changes.logged,
            own_octets: changes.own_octets,
        }
    }

    pub fn house_of(&self, domain: &str) -> Option<&House> {
        [&self.alfa, &self.beta].into_iter().find(|house| house.domains.iter().any(|d| d.eq_ignore_ascii_case(domain)))
    }

    fn house_named(&self, key: &str) -> Option<&House> {
        [&self.alfa, &self.beta].into_iter().find(|house| house.settings.signing_key == key)
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
                    bytes.extend_from_slice(self.message.bytes.get(range).ok_or(Error::Invalid("range".into()))?);
                }
            }
        }
        Ok(bytes)
    }
}

impl Host for Run<'_> {
    fn message(&self) -> &dyn Message {
        &self.message
    }

    fn replace_content(&self, content: &Content) -> Result<(), Error> {
        let own = content.pieces().iter().map(|p| if let Piece::Bytes(b) = p { b.len() } else { 0 });
        self.changes.borrow_mut().own_octets += own.sum::<usize>();
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
            _ => Ok(sign(key, &self.bytes_of(content)?)),
        }
    }

    fn verify(&self) -> Result<Verification, Error> {
        let parts = self.message.parts()?;
        let of_root: Vec<usize> = (0..parts.len()).filter(|&i| parts[i].parent == Some(0)).collect();
        let (true, [signed, signature]) = (parts[0].media_type == "multipart/signed", of_root.as_slice()) else {
            return Ok(Verification::default());
        };
        let value = String::from_utf8(self.message.read_decoded(*signature as u32)?).unwrap_or_default();
        let Some((key, digest)) = value.strip_prefix("SIGNED BY ").and_then(|rest| rest.split_once(' ')) else {
            return Ok(Verification { present: true, problem: Some("no CMS".into()), ..Verification::default() });
        };
        let range = parts[*signed].header_offset as usize..parts[*signed].end() as usize;
        let intact = hex(&Sha256::digest(&self.message.bytes[range])) == digest;
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

    fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let own = self.changes.borrow().state.get(key).cloned();
        Ok(own.or_else(|| self.house.state.borrow().get(key).cloned()))
    }

    fn state_set(&self, key: &str, value: &[u8], keep_days: u32) -> Result<(), Error> {
        assert!(key.len() <= 512 && value.len() <= 65_536 && keep_days > 0, "the contract's limits: {key}");
        self.changes.borrow_mut().state.insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    fn append_event(&self, event: &Event) -> Result<(), Error> {
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
