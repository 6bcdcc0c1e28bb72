//! SEARCH keys, compiled and evaluated ([RFC 3501 §6.4.4]).
//!
//! What the session knows (flags, dates, sizes, numbers) is looked at first; a message is read only where that does
//! not decide, and then no further than its header section where the key allows it.

pub(crate) mod decode;
pub(crate) mod text;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use imap_codec::imap_types::datetime::NaiveDate;
use imap_codec::imap_types::search::SearchKey;
use jiff::civil::{Date, date};
use mail_parser::{HeaderValue, parsers::MessageStream};
use sigillo_mail::{Rope, Source};

use crate::backend::{Message, ModSeq};
use crate::fetch::{Header, structure};
use crate::flags::Flags;
use crate::selected::Selected;
use text::Needle;

/// A compiled key.
#[derive(Debug)]
pub(crate) enum Key {
    Always,
    And(Vec<Key>),
    Or(Box<Key>, Box<Key>),
    Not(Box<Key>),
    Flag(u8),
    Keyword(String),
    Recent,
    Larger(u64),
    Smaller(u64),
    /// Days since 1970 of the internal date, from the first up to but not the second.
    Received(i64, i64),
    /// Seconds since 1970: received at or after, and before.
    Within(i64, i64),
    /// The same days of the Date field, in the time zone that it names.
    Sent(i64, i64),
    /// Sorted indices.
    Indices(Vec<usize>),
    ModSeq(ModSeq),
    Field(String, Needle),
    Body(Needle),
    Text(Needle),
}

/// Why a search has no answer.
#[derive(Debug)]
pub(crate) enum SearchError {
    /// It would read more than [`crate::limits::SEARCH_READ_MAX`].
    TooMuch,
    /// The bytes cannot be read.
    Read(io::Error),
}

impl From<io::Error> for SearchError {
    fn from(error: io::Error) -> SearchError {
        SearchError::Read(error)
    }
}

/// What is known of a message without reading it.
pub(crate) struct Known<'a> {
    pub index: usize,
    pub message: &'a Message,
    pub recent: bool,
}

/// Octets that a search may still read.
pub(crate) struct Budget(AtomicU64);

impl Budget {
    pub fn new(octets: u64) -> Budget {
        Budget(AtomicU64::new(octets))
    }

    pub fn spend(&self, octets: u64) -> Result<(), SearchError> {
        let spent = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(octets));
        spent.map(|_| ()).map_err(|_| SearchError::TooMuch)
    }
}

impl Key {
    /// All of `keys`. `now` is in seconds since 1970.
    pub fn compile(keys: &[SearchKey<'_>], selected: &Selected, now: i64) -> Key {
        let mut keys: Vec<Key> = keys.iter().map(|key| compile(key, selected, now)).collect();
        match keys.len() {
            1 => keys.swap_remove(0),
            _ => Key::And(keys),
        }
    }

    /// The answer, where what is known decides it.
    pub fn known(&self, known: &Known<'_>) -> Option<bool> {
        let message = known.message;
        Some(match self {
            Key::Always => true,
            Key::Flag(bits) => message.flags.has(*bits),
            Key::Keyword(word) => message.flags.has_keyword(word),
            Key::Recent => known.recent,
            Key::Larger(size) => message.size > *size,
            Key::Smaller(size) => message.size < *size,
            Key::Received(from, before) => {
                let day = message.internal_date.div_euclid(DAY);
                (*from..*before).contains(&day)
            }
            Key::Within(from, before) => (*from..*before).contains(&message.internal_date),
            Key::Indices(indices) => indices.binary_search(&known.index).is_ok(),
            Key::ModSeq(since) => message.mod_seq >= *since,
            Key::Not(key) => !key.known(known)?,
            Key::And(keys) => {
                let answers: Vec<Option<bool>> = keys.iter().map(|key| key.known(known)).collect();
                if answers.contains(&Some(false)) {
                    false
                } else if answers.contains(&None) {
                    return None;
                } else {
                    true
                }
            }
            Key::Or(a, b) => match (a.known(known), b.known(known)) {
                (Some(true), _) | (_, Some(true)) => true,
                (Some(false), Some(false)) => false,
                _ => return None,
            },
            Key::Sent(..) | Key::Field(..) | Key::Body(_) | Key::Text(_) => return None,
        })
    }

    /// The answer with the message's bytes. Reads: not for an async task.
    pub fn matches(&self, known: &Known<'_>, content: &mut Content<'_>) -> Result<bool, SearchError> {
        if let Some(answer) = self.known(known) {
            return Ok(answer);
        }
        match self {
            Key::Not(key) => Ok(!key.matches(known, content)?),
            Key::And(keys) => {
                for key in keys {
                    if !key.matches(known, content)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Key::Or(a, b) => Ok(a.matches(known, content)? || b.matches(known, content)?),
            Key::Sent(from, before) => {
                Ok(sent_day(content.header()?).is_some_and(|day| (*from..*before).contains(&day)))
            }
            Key::Field(name, needle) => Ok(field_contains(content.header()?, name, needle)),
            Key::Body(needle) => content.contains(needle, false),
            Key::Text(needle) => content.contains(needle, true),
            _ => Ok(false),
        }
    }
}

const DAY: i64 = 86_400;

fn compile(key: &SearchKey<'_>, selected: &Selected, now: i64) -> Key {
    let not = |key: Key| Key::Not(Box::new(key));
    let field = |name: &str, text: &[u8]| Key::Field(name.to_owned(), Needle::new(text));
    match key {
        SearchKey::And(keys) => Key::And(keys.as_ref().iter().map(|k| compile(k, selected, now)).collect()),
        SearchKey::Or(a, b) => Key::Or(Box::new(compile(a, selected, now)), Box::new(compile(b, selected, now))),
        SearchKey::Not(key) => not(compile(key, selected, now)),
        SearchKey::All => Key::Always,
        SearchKey::Answered => Key::Flag(Flags::ANSWERED),
        SearchKey::Deleted => Key::Flag(Flags::DELETED),
        SearchKey::Draft => Key::Flag(Flags::DRAFT),
        SearchKey::Flagged => Key::Flag(Flags::FLAGGED),
        SearchKey::Seen => Key::Flag(Flags::SEEN),
        SearchKey::Unanswered => not(Key::Flag(Flags::ANSWERED)),
        SearchKey::Undeleted => not(Key::Flag(Flags::DELETED)),
        SearchKey::Undraft => not(Key::Flag(Flags::DRAFT)),
        SearchKey::Unflagged => not(Key::Flag(Flags::FLAGGED)),
        SearchKey::Unseen => not(Key::Flag(Flags::SEEN)),
        SearchKey::Recent => Key::Recent,
        SearchKey::Old => not(Key::Recent),
        SearchKey::New => Key::And(vec![Key::Recent, not(Key::Flag(Flags::SEEN))]),
        SearchKey::Keyword(word) => Key::Keyword(word.inner().to_owned()),
        SearchKey::Unkeyword(word) => not(Key::Keyword(word.inner().to_owned())),
        SearchKey::Larger(size) => Key::Larger(u64::from(*size)),
        SearchKey::Smaller(size) => Key::Smaller(u64::from(*size)),
        SearchKey::Before(date) => Key::Received(i64::MIN, day(date)),
        SearchKey::On(date) => Key::Received(day(date), day(date) + 1),
        SearchKey::Since(date) => Key::Received(day(date), i64::MAX),
        SearchKey::SentBefore(date) => Key::Sent(i64::MIN, day(date)),
        SearchKey::SentOn(date) => Key::Sent(day(date), day(date) + 1),
        SearchKey::SentSince(date) => Key::Sent(day(date), i64::MAX),
        // RFC 5032 §3
        SearchKey::Older(seconds) => Key::Within(i64::MIN, now - i64::from(seconds.get()) + 1),
        SearchKey::Younger(seconds) => Key::Within(now - i64::from(seconds.get()), i64::MAX),
        // A number that is not there matches nothing; the rest of the set still counts.
        SearchKey::SequenceSet(set) => Key::Indices(selected.resolve_present(set)),
        SearchKey::Uid(set) => Key::Indices(selected.resolve(set, true).unwrap_or_default()),
        SearchKey::ModSequence { modseq, .. } => Key::ModSeq(*modseq),
        SearchKey::Bcc(text) => field("Bcc", text.as_ref()),
        SearchKey::Cc(text) => field("Cc", text.as_ref()),
        SearchKey::From(text) => field("From", text.as_ref()),
        SearchKey::To(text) => field("To", text.as_ref()),
        SearchKey::Subject(text) => field("Subject", text.as_ref()),
        SearchKey::Header(name, text) => field(&String::from_utf8_lossy(name.as_ref()), text.as_ref()),
        SearchKey::Body(text) => Key::Body(Needle::new(text.as_ref())),
        SearchKey::Text(text) => Key::Text(Needle::new(text.as_ref())),
    }
}

fn day(date: &NaiveDate) -> i64 {
    days(date.as_ref().to_string().parse().unwrap_or(EPOCH))
}

const EPOCH: Date = date(1970, 1, 1);

fn days(date: Date) -> i64 {
    EPOCH.until(date).map_or(0, |span| i64::from(span.get_days()))
}

/// The day that the Date field names, whatever its time zone. RFC 3501 §6.4.4, SENTON.
fn sent_day(header: &Header) -> Option<i64> {
    const DATE_FIELD_MAX: usize = 1024;
    let value = header.section.raw("Date", 0)?;
    let line = [&value[..value.len().min(DATE_FIELD_MAX)], b"\r\n"].concat();
    match MessageStream::new(&line).parse_date() {
        HeaderValue::DateTime(d) if d.is_valid() => {
            Date::new(i16::try_from(d.year).ok()?, d.month as i8, d.day as i8).ok().map(days)
        }
        _ => None,
    }
}

/// An empty needle asks only whether the field is there. RFC 3501 §6.4.4, HEADER.
fn field_contains(header: &Header, name: &str, needle: &Needle) -> bool {
    (0..header.section.count(name))
        .any(|i| needle.is_empty() || header.section.text(name, i).is_some_and(|text| needle.is_in(&text)))
}

/// A message that is read as far as the keys want.
pub(crate) struct Content<'a> {
    rope: &'a Rope,
    source: &'a dyn Source,
    budget: &'a Budget,
    header: Option<Header>,
}

impl<'a> Content<'a> {
    pub fn new(rope: &'a Rope, source: &'a dyn Source, budget: &'a Budget) -> Content<'a> {
        Content { rope, source, budget, header: None }
    }

    fn header(&mut self) -> Result<&Header, SearchError> {
        let header = match self.header.take() {
            Some(header) => header,
            None => {
                let header = Header::read(self.rope, self.source)?;
                self.budget.spend(header.end)?;
                header
            }
        };
        Ok(self.header.insert(header))
    }

    fn contains(&mut self, needle: &Needle, with_header: bool) -> Result<bool, SearchError> {
        if needle.is_empty() {
            return Ok(true);
        }
        self.budget.spend(self.rope.len())?;
        let structure = structure(self.rope, self.source)?;
        Ok(text::contains(self.rope, self.source, &structure, needle, with_header)?)
    }
}

#[cfg(test)]
mod tests;
