//! The index from a directory server: one search of the whole tree, page by page, written as LDIF.
//!
//! A client of three operations: bind, search, unbind (RFC 4511 §4.2, §4.3, §4.5) with simple paging (RFC 2696). It is
//! ours because the server on the other side is not: every length is bounded before it is believed and nothing is
//! parsed by recursion, so that no reply can exhaust memory or stack (core/decisions/0007). No filter or name is ever
//! built from data.

use std::time::Duration;

use sigillo_trust::directory::{INDEX_OCTETS_MAX, PROVIDERS_MAX};
use sigillo_trust::write_record;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest message, octets: one entry with a few hundred thousand domains.
const MESSAGE_OCTETS_MAX: usize = 32 * 1024 * 1024;
/// Entries asked for at once; a server may give fewer.
const PAGE: u8 = 100;
/// Most pages: a server that gives one entry each comes to this.
const PAGES_MAX: usize = PROVIDERS_MAX + 16;
/// How long the server may say nothing.
const SILENCE: Duration = Duration::from_secs(60);
/// Control of simple paging (RFC 2696 §2).
const PAGED_RESULTS: &[u8] = b"1.2.840.113556.1.4.319";
/// What is asked for: the attributes of [PEC §4.5], and the date of each entry.
const ATTRIBUTES: [&str; 10] = [
    "objectClass",
    "providerName",
    "providerUnit",
    "providerCertificateHash",
    "providerCertificate;binary",
    "mailReceipt",
    "managedDomains",
    "LDIFLocationURL",
    "description",
    "modifyTimestamp",
];

// Tags of BER (X.690) and of LDAP's operations (RFC 4511 §4).
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BIND_REQUEST: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const UNBIND_REQUEST: u8 = 0x42;
const SEARCH_REQUEST: u8 = 0x63;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SEARCH_REFERENCE: u8 = 0x73;
const CONTROLS: u8 = 0xa0;

/// Takes everything below `base` from a server on this connection, as LDIF. With `external` it asks to be known by its
/// TLS certificate (SASL EXTERNAL, RFC 4513 §5.2.3), else it is anonymous.
pub async fn search<S>(stream: S, base: &str, external: bool) -> Result<Vec<u8>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut session = Session { stream, id: 0 };
    session.bind(external).await?;
    let mut found = Found::default();
    let mut cookie = Vec::new();
    for _ in 0..PAGES_MAX {
        cookie = session.page(base, &cookie, &mut found).await?;
        if cookie.is_empty() {
            // The server need not answer an unbind, nor need it hear it.
            let _ = session.send(UNBIND_REQUEST, &[], None).await;
            return Ok(found.into_ldif());
        }
    }
    Err("the server has more pages than an index can have".into())
}

/// The records so far.
#[derive(Default)]
struct Found {
    records: Vec<(String, String)>,
    octets: usize,
}

impl Found {
    /// Takes a SearchResultEntry: `objectName, SEQUENCE OF SEQUENCE { type, SET OF value }`.
    fn take(&mut self, entry: &[u8]) -> Option<Result<(), String>> {
        let mut entry = Ber(entry);
        let name = std::str::from_utf8(entry.expect(OCTET_STRING)?).ok()?;
        let mut attributes = Ber(entry.expect(SEQUENCE)?);
        let mut values = Vec::new();
        while !attributes.0.is_empty() {
            let mut attribute = Ber(attributes.expect(SEQUENCE)?);
            let kind = std::str::from_utf8(attribute.expect(OCTET_STRING)?).ok()?;
            let mut set = Ber(attribute.expect(SET)?);
            while !set.0.is_empty() {
                values.push((kind, set.expect(OCTET_STRING)?));
            }
        }
        let mut record = String::new();
        write_record(&mut record, name, values);
        self.octets += record.len();
        self.records.push((name.to_owned(), record));
        if self.octets > INDEX_OCTETS_MAX || self.records.len() > PROVIDERS_MAX {
            return Some(Err("the server has more than an index can have".into()));
        }
        Some(Ok(()))
    }

    /// In the order of their names: servers give none, and the same index should be the same text.
    fn into_ldif(mut self) -> Vec<u8> {
        self.records.sort();
        let mut ldif = String::from("version: 1\n");
        self.records.iter().for_each(|(_, record)| ldif.push_str(record));
        ldif.into_bytes()
    }
}

struct Session<S> {
    stream: S,
    id: u8,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn bind(&mut self, external: bool) -> Result<(), String> {
        let credentials =
            if external { element(0xa3, &element(OCTET_STRING, b"EXTERNAL")) } else { element(0x80, b"") };
        let request = [element(INTEGER, &[3]), element(OCTET_STRING, b""), credentials].concat();
        self.send(BIND_REQUEST, &request, None).await?;
        let message = self.receive().await?;
        let (tag, operation, _) = self.operation(&message)?;
        match tag {
            BIND_RESPONSE => result(operation, "bind"),
            _ => Err(strange()),
        }
    }

    /// One page; returns the cookie of the next one, empty after the last.
    async fn page(&mut self, base: &str, cookie: &[u8], found: &mut Found) -> Result<Vec<u8>, String> {
        let asked: Vec<u8> = ATTRIBUTES.iter().flat_map(|name| element(OCTET_STRING, name.as_bytes())).collect();
        let request = [
            element(OCTET_STRING, base.as_bytes()),
            element(ENUMERATED, &[2]), // wholeSubtree
            element(ENUMERATED, &[0]), // neverDerefAliases
            element(INTEGER, &[0]),    // no limit of entries
            element(INTEGER, &[0]),    // nor of time
            element(BOOLEAN, &[0]),    // types and values
            element(0x87, b"objectClass"),
            element(SEQUENCE, &asked),
        ];
        let value = element(SEQUENCE, &[element(INTEGER, &[PAGE]), element(OCTET_STRING, cookie)].concat());
        let control = [element(OCTET_STRING, PAGED_RESULTS), element(OCTET_STRING, &value)].concat();
        self.send(SEARCH_REQUEST, &request.concat(), Some(element(SEQUENCE, &control))).await?;
        loop {
            let message = self.receive().await?;
            let (tag, operation, controls) = self.operation(&message)?;
            match tag {
                SEARCH_ENTRY => found.take(operation).ok_or_else(strange)??,
                // Entries that are elsewhere would be somebody else's word.
                SEARCH_REFERENCE => {}
                SEARCH_DONE => {
                    result(operation, "search")?;
                    return next_cookie(controls).ok_or_else(strange);
                }
                _ => return Err(strange()),
            }
        }
    }

    async fn send(&mut self, tag: u8, operation: &[u8], control: Option<Vec<u8>>) -> Result<(), String> {
        // Operations follow each other, so that a small number that comes round again is one of its own.
        self.id = self.id % 100 + 1;
        let mut message = [element(INTEGER, &[self.id]), element(tag, operation)].concat();
        message.extend(control.map(|control| element(CONTROLS, &control)).unwrap_or_default());
        self.stream.write_all(&element(SEQUENCE, &message)).await.map_err(|error| error.to_string())?;
        self.stream.flush().await.map_err(|error| error.to_string())
    }

    /// The content of the next LDAPMessage (RFC 4511 §5.1: definite lengths only).
    async fn receive(&mut self) -> Result<Vec<u8>, String> {
        tokio::time::timeout(SILENCE, self.read()).await.map_err(|_| "the server says nothing".to_owned())?
    }

    async fn read(&mut self) -> Result<Vec<u8>, String> {
        let io = |error: std::io::Error| error.to_string();
        if self.stream.read_u8().await.map_err(io)? != SEQUENCE {
            return Err("the server does not speak LDAP".into());
        }
        let mut length = usize::from(self.stream.read_u8().await.map_err(io)?);
        if length >= 0x80 {
            let count = length & 0x7f;
            if !(1..=8).contains(&count) {
                return Err(strange());
            }
            length = 0;
            for _ in 0..count {
                length = (length & (usize::MAX >> 8)) << 8 | usize::from(self.stream.read_u8().await.map_err(io)?);
            }
        }
        if length > MESSAGE_OCTETS_MAX {
            return Err("a message of the server is longer than an entry can be".into());
        }
        let mut message = Vec::new(); // it grows with what comes, not with what is announced
        (&mut self.stream).take(length as u64).read_to_end(&mut message).await.map_err(io)?;
        if message.len() == length { Ok(message) } else { Err("the server ended the connection".into()) }
    }

    /// Tag and content of the operation, and the controls.
    fn operation<'a>(&self, message: &'a [u8]) -> Result<(u8, &'a [u8], &'a [u8]), String> {
        let mut message = Ber(message);
        let id = message.expect(INTEGER).ok_or_else(strange)?;
        let (tag, content) = message.next().ok_or_else(strange)?;
        if id != [self.id] {
            // RFC 4511 §4.4.1: number 0 tells that the server ends the session.
            return Err("the server answers what was not asked, or ends the session".into());
        }
        let controls = message.next().filter(|(tag, _)| *tag == CONTROLS).map_or(&[][..], |(_, content)| content);
        Ok((tag, content, controls))
    }
}

fn strange() -> String {
    "the server's answer is malformed".into()
}

/// LDAPResult (RFC 4511 §4.1.9): anything but success is a failure of the whole, a part of an index above all.
fn result(operation: &[u8], what: &str) -> Result<(), String> {
    let mut operation = Ber(operation);
    let code = operation.expect(ENUMERATED).ok_or_else(strange)?;
    let _matched = operation.expect(OCTET_STRING).ok_or_else(strange)?;
    let words = operation.expect(OCTET_STRING).ok_or_else(strange)?;
    if code == [0] {
        return Ok(());
    }
    let code = code.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let words: String =
        String::from_utf8_lossy(&words[..words.len().min(200)]).chars().filter(|c| !c.is_control()).collect();
    Err(format!("the server refuses the {what} with code {code} (RFC 4511 §4.1.9): {words}"))
}

/// The cookie of the paging control, empty if there is no such control: then the answer was whole.
fn next_cookie(controls: &[u8]) -> Option<Vec<u8>> {
    let mut controls = Ber(controls);
    while !controls.0.is_empty() {
        let mut control = Ber(controls.expect(SEQUENCE)?);
        let kind = control.expect(OCTET_STRING)?;
        let mut value = control.next();
        if value.is_some_and(|(tag, _)| tag == BOOLEAN) {
            value = control.next();
        }
        if kind == PAGED_RESULTS {
            let (_, value) = value?;
            let mut value = Ber(Ber(value).expect(SEQUENCE)?);
            value.expect(INTEGER)?;
            return value.expect(OCTET_STRING).map(<[u8]>::to_vec);
        }
    }
    Some(Vec::new())
}

/// Elements of BER with definite lengths, one after the other.
struct Ber<'a>(&'a [u8]);

impl<'a> Ber<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let [tag, first, rest @ ..] = self.0 else { return None };
        let (length, rest) = if *first < 0x80 {
            (usize::from(*first), rest)
        } else {
            let count = usize::from(first & 0x7f);
            let (octets, rest) = rest.split_at_checked(count).filter(|_| (1..=8).contains(&count))?;
            (usize::try_from(octets.iter().fold(0u64, |n, b| n << 8 | u64::from(*b))).ok()?, rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|b| **b == 0).count();
    match content.len() {
        short @ 0..0x80 => out.push(short as u8),
        _ => {
            out.push(0x80 | (length.len() - zeros) as u8);
            out.extend_from_slice(&length[zeros..]);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests;
