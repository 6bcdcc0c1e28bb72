//! What our access point sent on, and how far each certified recipient's copy has come: the sender's side of a
//! transaction ([PEC §3.1.6]).
//!
//! | key | value | written when |
//! |---|---|---|
//! | `accepted/ID` | instant of acceptance (ms), chunks of `original/ID`, recipients still open | our access point accepts an original |
//! | `original/ID/N` | certification data of the envelope, in chunks | the same; removed when nothing is followed any more |
//! | `dispatch/ID/RECIPIENT` | words of [`Dispatch`] | a receipt for it came, or the sender got a notice of ours |
//! | timers `deadline/WHICH/ID` | see `deadlines.rs` | the same |

use crate::address;
use crate::certification_data::{CertificationData, RecipientKind};
use crate::deadlines;
use crate::host::Failure;
use crate::progress::{delete, get, set};
use crate::step::Step;

/// How long what we sent is followed, days. Ours: well over the 24 hours of PEC §3.1.6, for late receipts and servers
/// that were away.
pub const DISPATCH_DAYS: u32 = 30;
/// Octets of certification data under one key. The contract takes values of 64 KiB.
const CHUNK: usize = 64 * 1024;
/// Up to this many certified recipients are counted down, so that the last receipt ends the wait for all. Ours: beyond
/// it receipts that come at the same moment would hinder each other, and two wake-ups cost less.
const COUNTED_MAX: usize = 10;

/// How the way to one recipient ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A delivery receipt says so.
    Delivered,
    /// A notice says so: of its provider, or ours.
    NotDelivered,
}

/// What is known of one recipient of an original that was accepted here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dispatch {
    /// Its provider has taken the envelope in charge.
    pub taken: bool,
    /// A final receipt or notice.
    pub end: Option<End>,
    /// The sender got the notice of the first deadline.
    pub warned: bool,
    /// The sender got the notice of the last deadline.
    pub given_up: bool,
}

const TAKEN: &str = "taken";
const DELIVERED: &str = "delivered";
const NOT_DELIVERED: &str = "not-delivered";
const WARNED: &str = "warned";
const GIVEN_UP: &str = "given-up";

impl Dispatch {
    fn read(value: &[u8]) -> Option<Dispatch> {
        let mut dispatch = Dispatch::default();
        for word in std::str::from_utf8(value).ok()?.split(' ') {
            match word {
                TAKEN => dispatch.taken = true,
                DELIVERED => dispatch.end = Some(End::Delivered),
                NOT_DELIVERED => dispatch.end = Some(End::NotDelivered),
                WARNED => dispatch.warned = true,
                GIVEN_UP => dispatch.given_up = true,
                _ => return None,
            }
        }
        Some(dispatch)
    }

    fn write(self) -> String {
        let end = match self.end {
            Some(End::Delivered) => Some(DELIVERED),
            Some(End::NotDelivered) => Some(NOT_DELIVERED),
            None => None,
        };
        let words =
            [self.taken.then_some(TAKEN), self.warned.then_some(WARNED), self.given_up.then_some(GIVEN_UP), end];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// An original that our access point accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Milliseconds since 1970.
    pub at: u64,
    chunks: usize,
    open: Option<usize>,
}

impl Accepted {
    fn read(value: &[u8]) -> Option<Accepted> {
        let text = std::str::from_utf8(value).ok()?;
        let mut words = text.split(' ');
        let at = words.next()?.parse().ok()?;
        let chunks = words.next()?.parse().ok()?;
        let open = words.next().and_then(|open| open.parse().ok());
        Some(Accepted { at, chunks, open })
    }

    fn write(self, step: &Step, identifier: &str) -> Result<(), Failure> {
        let open = self.open.map_or_else(|| "-".to_owned(), |open| open.to_string());
        set(step, &accepted_key(identifier), format!("{} {} {open}", self.at, self.chunks).as_bytes(), DISPATCH_DAYS)
    }
}

/// Notes an acceptance, in its commit: the instant, what later notices must repeat, and the wake-ups for them.
pub fn accept(step: &Step, data: &CertificationData) -> Result<(), Failure> {
    let certified = data.recipients.iter().filter(|r| r.kind == RecipientKind::Certified).count();
    let document = data.write();
    let chunks = if certified == 0 { 0 } else { document.len().div_ceil(CHUNK) };
    let open = (certified <= COUNTED_MAX).then_some(certified);
    Accepted { at: step.host.now(), chunks, open }.write(step, &data.identifier)?;
    for (index, chunk) in document.as_bytes().chunks(CHUNK).take(chunks).enumerate() {
        set(step, &original_key(&data.identifier, index), chunk, DISPATCH_DAYS)?;
    }
    match certified {
        // Nobody will tell of recipients that are not certified.
        0 => Ok(()),
        _ => deadlines::set(step, &data.identifier),
    }
}

/// The acceptance of an original; none if it was not accepted here, or too long ago.
pub fn accepted(step: &Step, identifier: &str) -> Result<Option<Accepted>, Failure> {
    let Some(value) = get(step, &accepted_key(identifier))? else { return Ok(None) };
    Accepted::read(&value).map(Some).ok_or_else(|| Failure::Permanent(format!("state: acceptance of {identifier}")))
}

/// The certification data of the envelope; none where nothing is followed any more.
pub fn envelope_data(step: &Step, identifier: &str, accepted: &Accepted) -> Result<Option<CertificationData>, Failure> {
    let mut document = Vec::new();
    for index in 0..accepted.chunks {
        let Some(chunk) = get(step, &original_key(identifier, index))? else { return Ok(None) };
        document.extend(chunk);
    }
    match CertificationData::read(&document) {
        _ if document.is_empty() => Ok(None),
        Ok(reading) => Ok(Some(reading.data)),
        Err(error) => Err(Failure::Permanent(format!("state: certification data of {identifier}: {error:?}"))),
    }
}

/// An original that was accepted here, as a receipt about it needs it.
pub struct Ours {
    /// The certification data of its envelope.
    pub data: CertificationData,
}

/// How a receipt stands to what we accepted.
pub enum Relation {
    /// Nothing under this identifier was accepted here, or too long ago.
    Unknown,
    /// It is about our original, and about certified recipients of it.
    Ours(Box<Ours>),
    /// It is about our original, every recipient of which is settled.
    Settled,
    /// It names our original and is about somebody else: another sender, or recipients that it does not have.
    Foreign,
}

/// Compares what a receipt says of the original with what we know of it: a provider speaks for its own domains, and
/// still must not speak of recipients that were never there.
pub fn relation(step: &Step, said: &CertificationData, concerned: &[String]) -> Result<Relation, Failure> {
    let Some(accepted) = accepted(step, &said.identifier)? else { return Ok(Relation::Unknown) };
    let Some(data) = envelope_data(step, &said.identifier, &accepted)? else { return Ok(Relation::Settled) };
    let certified = |recipient: &String| data.recipient_kind(recipient) == Some(RecipientKind::Certified);
    match address::same(&data.sender, &said.sender) && concerned.iter().all(certified) {
        true => Ok(Relation::Ours(Box::new(Ours { data }))),
        false => Ok(Relation::Foreign),
    }
}

/// What is known of a recipient.
pub fn of(step: &Step, identifier: &str, recipient: &str) -> Result<Dispatch, Failure> {
    let Some(value) = get(step, &dispatch_key(identifier, recipient))? else { return Ok(Dispatch::default()) };
    Dispatch::read(&value).ok_or_else(|| Failure::Permanent(format!("state: unknown progress of {identifier}")))
}

/// Notes what is known of a recipient. The first end that became known stays the end; the last one of a counted
/// transaction ends the wait.
pub fn note(step: &Step, identifier: &str, recipient: &str, change: impl FnOnce(&mut Dispatch)) -> Result<(), Failure> {
    let before = of(step, identifier, recipient)?;
    let mut after = before;
    change(&mut after);
    after.end = before.end.or(after.end);
    if after == before {
        return Ok(());
    }
    set(step, &dispatch_key(identifier, recipient), after.write().as_bytes(), DISPATCH_DAYS)?;
    if after.end.is_some() && before.end.is_none() {
        count_down(step, identifier)?;
    }
    Ok(())
}

fn count_down(step: &Step, identifier: &str) -> Result<(), Failure> {
    let Some(accepted) = accepted(step, identifier)? else { return Ok(()) };
    let Some(open) = accepted.open.map(|open| open.saturating_sub(1)) else { return Ok(()) };
    let accepted = Accepted { open: Some(open), ..accepted };
    match open {
        0 => forget(step, identifier, accepted),
        _ => accepted.write(step, identifier),
    }
}

/// Ends the wait: no wake-up is needed any more, nor what it would have told.
pub fn forget(step: &Step, identifier: &str, accepted: Accepted) -> Result<(), Failure> {
    deadlines::cancel(step, identifier)?;
    for index in 0..accepted.chunks {
        delete(step, &original_key(identifier, index))?;
    }
    Accepted { chunks: 0, ..accepted }.write(step, identifier)
}

/// Identifiers are compared without case along a transaction, as addresses are.
fn accepted_key(identifier: &str) -> String {
    format!("accepted/{}", identifier.to_ascii_lowercase())
}

fn original_key(identifier: &str, index: usize) -> String {
    format!("original/{}/{index}", identifier.to_ascii_lowercase())
}

fn dispatch_key(identifier: &str, recipient: &str) -> String {
    format!("dispatch/{}/{}", identifier.to_ascii_lowercase(), address::key(recipient))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for bits in 0..8u8 {
            for end in [None, Some(End::Delivered), Some(End::NotDelivered)] {
                let [taken, warned, given_up] = [0, 1, 2].map(|bit| bits >> bit & 1 == 1);
                let dispatch = Dispatch { taken, end, warned, given_up };
                let expected = (dispatch != Dispatch::default()).then_some(dispatch);
                assert_eq!(Dispatch::read(dispatch.write().as_bytes()), expected);
            }
        }
        assert_eq!(Dispatch::read(b"lost"), None);
        assert_eq!(Accepted::read(b"5 2 -"), Some(Accepted { at: 5, chunks: 2, open: None }));
        assert_eq!(Accepted::read(b"5 0 3"), Some(Accepted { at: 5, chunks: 0, open: Some(3) }));
        assert_eq!(Accepted::read(b"5"), None);
    }
}
