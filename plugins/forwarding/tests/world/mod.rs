//! A server in memory for the tests of this plugin: its settings, its state, its clock, and what it was asked to send.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use forwarding::host::{Error, Event, Host, Letter, Message, Part, Piece};
use forwarding::settings::Settings;
use hmac::{Hmac, KeyInit, Mac};
use mail_parser::MimeHeaders;
use sha2::Sha256;

pub const DAY: u64 = 24 * 3600 * 1000;
/// 1 July 2026, noon in Italy.
pub const NOON: u64 = 1_782_900_000_000;
pub const MAILBOX: &str = "bruno@pec.beta.example";
pub const DOMAIN: &str = "fwd.beta.example";

pub fn settings(more: &str) -> Settings {
    Settings::parse(&format!("{{\"domain\": \"{DOMAIN}\"{more}}}")).unwrap()
}

/// One server.
pub struct Server {
    pub secret: &'static [u8],
    pub now: Cell<u64>,
    pub ids: Cell<u64>,
    pub set: RefCell<BTreeMap<(String, String), String>>,
    pub certified: Vec<&'static str>,
    pub state: RefCell<BTreeMap<String, Vec<u8>>>,
    pub sent: RefCell<Vec<Letter>>,
    pub events: RefCell<Vec<Event>>,
    pub warnings: RefCell<Vec<String>>,
    pub broken: Cell<Option<&'static str>>,
}

impl Server {
    pub fn new(secret: &'static [u8]) -> Server {
        Server {
            secret,
            now: Cell::new(NOON),
            ids: Cell::default(),
            set: RefCell::default(),
            certified: vec!["pec.alfa.example", "pec.beta.example"],
            state: RefCell::default(),
            sent: RefCell::default(),
            events: RefCell::default(),
            warnings: RefCell::default(),
            broken: Cell::default(),
        }
    }

    /// A server whose mailbox has copies sent to these addresses.
    pub fn forwarding(to: &str) -> Server {
        let server = Server::new(b"beta");
        server.choose(MAILBOX, "allowed", to);
        server
    }

    pub fn choose(&self, mailbox: &str, forwarding: &str, to: &str) {
        self.set.borrow_mut().insert((mailbox.into(), "forwarding".into()), forwarding.into());
        self.set.borrow_mut().insert((mailbox.into(), "forward-to".into()), to.into());
    }

    pub fn kinds(&self) -> Vec<&'static str> {
        self.events.borrow().iter().map(|event| event.kind).collect()
    }

    fn answer<T>(&self, call: &'static str, answer: T) -> Result<T, Error> {
        match self.broken.get() {
            Some(broken) if broken == call => Err(Error::Unavailable(format!("{call} does not answer"))),
            _ => Ok(answer),
        }
    }
}

impl Host for Server {
    fn now(&self) -> u64 {
        self.now.get()
    }
    fn utc_offset(&self) -> Result<i32, Error> {
        self.answer("clock", 7200)
    }
    fn new_id(&self) -> String {
        self.ids.set(self.ids.get() + 1);
        format!("id.{}.{}", String::from_utf8_lossy(self.secret), self.ids.get())
    }
    fn mac(&self, data: &[u8]) -> Result<Vec<u8>, Error> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret).unwrap();
        mac.update(data);
        self.answer("mac", mac.finalize().into_bytes().to_vec())
    }
    fn setting(&self, mailbox: &str, name: &str) -> Result<Option<String>, Error> {
        self.answer("setting", self.set.borrow().get(&(mailbox.to_owned(), name.to_owned())).cloned())
    }
    fn is_certified(&self, domain: &str) -> Result<bool, Error> {
        self.answer("directory", self.certified.contains(&domain))
    }
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.answer("get", self.state.borrow().get(key).cloned())
    }
    fn set(&self, key: &str, value: &[u8], keep_days: u32) -> Result<(), Error> {
        assert!(keep_days > 0 && key.len() <= 512 && value.len() <= 65_536);
        self.answer("set", ())?;
        self.state.borrow_mut().insert(key.to_owned(), value.to_vec());
        Ok(())
    }
    fn keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        let state = self.state.borrow();
        let keys = state.keys().filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        self.answer("keys", keys.take(limit as usize).cloned().collect())
    }
    fn submit(&self, letter: &Letter) -> Result<String, Error> {
        self.answer("submit", ())?;
        assert!(self.sent.borrow().iter().all(|other| other.key != letter.key || other.content != letter.content));
        self.sent.borrow_mut().push(letter.clone());
        Ok(format!("q{}", self.sent.borrow().len()))
    }
    fn append(&self, event: &Event) -> Result<(), Error> {
        let texts = [&event.message_id, &event.sender, &event.subject].into_iter().chain(&event.recipients);
        let octets: usize = texts.map(String::len).chain(event.details.iter().map(|(_, value)| value.len())).sum();
        if octets > 64 * 1024 {
            return Err(Error::Other("an event has at most 65536 octets".into()));
        }
        self.events.borrow_mut().push(event.clone());
        self.answer("append", ())
    }
    fn warn(&self, text: &str) {
        self.warnings.borrow_mut().push(text.to_owned());
    }
}

/// The bytes of a letter about this message.
pub fn bytes(letter: &Letter, message: &[u8]) -> Vec<u8> {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Message => message.to_vec(),
    };
    letter.content.iter().flat_map(piece).collect()
}

/// A message, as a reader that is not ours sees it.
pub struct Mail(pub Vec<u8>);

impl Mail {
    pub fn of(text: &str) -> Mail {
        Mail(text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes())
    }

    /// None: there is nothing in it.
    fn parsed(&self) -> Option<mail_parser::Message<'_>> {
        mail_parser::MessageParser::new().parse(&self.0)
    }
}

impl Message for Mail {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
    fn header_text(&self, name: &str) -> Option<String> {
        let raw = self.parsed()?.header_raw(name)?.trim().to_owned();
        let unfolded = raw.replace("\r\n", "");
        let line = format!("X: {unfolded}\r\n\r\n");
        let message = mail_parser::MessageParser::new().header_text("X").parse(line.as_bytes()).unwrap();
        Some(message.header("X")?.as_text().unwrap_or_default().to_owned())
    }
    fn headers(&self, name: &str) -> Vec<Vec<u8>> {
        let Some(parsed) = self.parsed() else { return Vec::new() };
        let named = parsed.headers_raw().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim().as_bytes().to_vec()).collect()
    }
    fn parts(&self) -> Result<Vec<Part>, Error> {
        let parsed = self.parsed().ok_or_else(|| Error::Other("nothing in it".into()))?;
        let mut found = Vec::new();
        walk(&parsed, 0, None, &mut found);
        Ok(found)
    }
    fn parameter(&self, part: u32, name: &str) -> Option<String> {
        let whole = self.parts().unwrap()[part as usize].clone();
        let before = String::from_utf8_lossy(&self.0[..whole.body_offset as usize]).to_ascii_lowercase();
        let header = before.trim_end().rsplit("\r\n\r\n").next().unwrap_or_default().to_owned();
        let value = header.split(&format!("{name}=")).nth(1)?;
        Some(value.trim_start_matches('"').split(['"', ';', '\r', ' ']).next().unwrap_or_default().to_owned())
    }
    fn read(&self, offset: u64, max: u32) -> Result<Vec<u8>, Error> {
        let end = (offset as usize + max.min(65_536) as usize).min(self.0.len());
        Ok(self.0[offset as usize..end].to_vec())
    }
    fn decoded(&self, part: u32) -> Result<Vec<u8>, Error> {
        let part = self.parts().unwrap()[part as usize].clone();
        let body = &self.0[part.body_offset as usize..(part.body_offset + part.body_length) as usize];
        let message = [
            b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: ",
            part.transfer_encoding.as_bytes(),
            b"\r\n\r\n",
            body,
        ]
        .concat();
        let parsed = mail_parser::MessageParser::new().parse(&message).unwrap();
        Ok(parsed.parts[0].contents().to_vec())
    }
}

fn walk(message: &mail_parser::Message<'_>, base: u64, parent: Option<u32>, found: &mut Vec<Part>) {
    let first = found.len() as u32;
    let mut ids = BTreeMap::new();
    for (index, part) in message.parts.iter().enumerate() {
        let owner =
            message.parts.iter().position(|other| other.sub_parts().is_some_and(|list| list.contains(&(index as u32))));
        let parent = owner.and_then(|owner| ids.get(&owner).copied()).or(if index == 0 { parent } else { Some(first) });
        let own = found.len() as u32;
        ids.insert(index, own);
        let media = part
            .content_type()
            .map_or("text/plain".into(), |t| format!("{}/{}", t.ctype(), t.subtype().unwrap_or("plain")));
        found.push(Part {
            parent,
            media_type: media.to_ascii_lowercase(),
            transfer_encoding: part.content_transfer_encoding().unwrap_or("7bit").to_ascii_lowercase(),
            named: part.attachment_name().is_some(),
            body_offset: base + u64::from(part.raw_body_offset()),
            body_length: u64::from(part.raw_end_offset() - part.raw_body_offset()),
        });
        if let Some(inside) = part.message() {
            // Offsets of a message inside count from the outermost message's start where it is not encoded.
            walk(inside, base, Some(own), found);
        }
    }
}
