//! What happens at the doors (LOG-04, LOG-05): TLS, logins, mail from other servers, attempts to relay.
//!
//! Events are handed over without waiting and written together, at most once a second, in a chain of their own. Who has
//! not logged in decides how many there are, so these are bounded: so many a minute for each peer and for all; the rest
//! is counted and written as one record `suppressed` each minute. An attacker's connections neither fill the disk nor
//! slow the commit of messages.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sigillo_store::Store;
use sigillo_store::evidence::{NewEvent, Stream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Events by strangers that are written for one peer in a minute.
const STRANGER_EVENTS_PER_PEER: u32 = 20;
/// Events by strangers that are written in a minute for all peers together: at 600 octets each under 200 MB a day.
const STRANGER_EVENTS: u32 = 200;
/// Events that wait to be written; more are counted only.
const WAITING_MAX: usize = 4096;
/// Events written in one transaction.
const BATCH_MAX: usize = 512;
/// Between two writes.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// The time in which events are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// Longest text of a stranger that is kept, octets.
const TEXT_MAX: usize = 320;

/// Something that happened.
#[derive(Debug, Clone, Default)]
pub struct Happening<'a> {
    /// What: `tls`, `login`, `reception`, `relay-refused`, `clock-step`.
    pub kind: &'static str,
    /// The software component: `smtp-submission`, `smtp-relay`, `imap`, …
    pub component: &'a str,
    /// The external server or client.
    pub peer: Option<IpAddr>,
    /// The message, if there is one: its `Message-ID`.
    pub message_id: &'a str,
    /// Login or sender.
    pub sender: &'a str,
    /// Recipients.
    pub recipients: &'a [String],
    /// How it ended.
    pub result: &'a str,
    /// Whether anybody in the world can make it happen, without having proved who he is.
    pub by_stranger: bool,
}

/// Takes events; cheap to call from anywhere.
pub struct FrontEnd {
    events: mpsc::Sender<NewEvent>,
    waiting: Mutex<Option<mpsc::Receiver<NewEvent>>>,
    counts: Mutex<Counts>,
}

/// Of the running minute.
struct Counts {
    since: Instant,
    strangers: u32,
    peers: HashMap<Option<IpAddr>, u32>,
    /// What was not written, by kind.
    suppressed: BTreeMap<&'static str, u64>,
}

impl Default for FrontEnd {
    fn default() -> FrontEnd {
        let (events, waiting) = mpsc::channel(WAITING_MAX);
        let counts = Counts { since: Instant::now(), strangers: 0, peers: HashMap::new(), suppressed: BTreeMap::new() };
        FrontEnd { events, waiting: Mutex::new(Some(waiting)), counts: Mutex::new(counts) }
    }
}

impl Counts {
    /// Whether an event of a stranger may still be written in this minute.
    fn admits(&mut self, peer: Option<IpAddr>) -> bool {
        if self.strangers >= STRANGER_EVENTS {
            return false;
        }
        // At most one entry for each event that is written: the map is as bounded as they are.
        let of_peer = self.peers.entry(peer).or_default();
        if *of_peer >= STRANGER_EVENTS_PER_PEER {
            return false;
        }
        *of_peer += 1;
        self.strangers += 1;
        true
    }
}

fn text(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_MAX)].to_owned()
}

impl FrontEnd {
    /// Notes an event. Never waits.
    pub fn note(&self, what: Happening<'_>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = !what.by_stranger || counts.admits(what.peer.map(|peer| network(peer.to_canonical())));
        let event = || NewEvent {
            message_id: text(what.message_id),
            kind: what.kind.to_owned(),
            sender: text(what.sender),
            recipients: what.recipients.iter().take(100).map(|recipient| text(recipient)).collect(),
            peer: what.peer.map(|peer| peer.to_canonical().to_string()).unwrap_or_default(),
            result: text(what.result),
            source: what.component.to_owned(),
            ..NewEvent::default()
        };
        if !admitted || self.events.try_send(event()).is_err() {
            *counts.suppressed.entry(what.kind).or_default() += 1;
        }
    }

    /// What was counted only, once a minute and at the end.
    fn suppressed(&self, at_once: bool) -> Option<NewEvent> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if !at_once && counts.since.elapsed() < WINDOW {
            return None;
        }
        counts.since = Instant::now();
        counts.strangers = 0;
        counts.peers = HashMap::new();
        let suppressed = std::mem::take(&mut counts.suppressed);
        (!suppressed.is_empty()).then(|| NewEvent {
            kind: "suppressed".into(),
            source: "front-end".into(),
            result: suppressed.values().sum::<u64>().to_string(),
            details: suppressed.into_iter().map(|(kind, count)| (kind.to_owned(), count.to_string())).collect(),
            ..NewEvent::default()
        })
    }

    /// Writes what comes until `shutdown`, and then the rest.
    pub(crate) async fn write(&self, store: Store, mut shutdown: watch::Receiver<bool>) {
        let taken = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut waiting) = taken else { return };
        loop {
            // Whoever would say so is gone: it is the end too.
            let stopping = *shutdown.borrow() || shutdown.has_changed().is_err();
            let mut events = Vec::new();
            while events.len() < BATCH_MAX
                && let Ok(event) = waiting.try_recv()
            {
                events.push(event);
            }
            let more = events.len() == BATCH_MAX;
            events.extend(self.suppressed(stopping));
            if !events.is_empty()
                && let Err(error) = store
                    .write(move |tx| {
                        events.into_iter().try_for_each(|event| tx.append_to(Stream::FrontEnd, event).map(drop))
                    })
                    .await
            {
                tracing::error!(%error, "what happened at the doors cannot be written");
            }
            if more {
                continue;
            }
            if stopping {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(WRITE_EVERY) => {}
                _ = shutdown.changed() => {}
            }
        }
    }
}

/// A peer with IPv6 has at least a /64 of addresses for itself.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => std::net::Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigillo_store::evidence::{Record, Search};

    fn login(peer: IpAddr) -> Happening<'static> {
        Happening {
            kind: "login",
            component: "imap",
            peer: Some(peer),
            result: "refused",
            by_stranger: true,
            ..Happening::default()
        }
    }

    async fn written(front_end: FrontEnd) -> Vec<Record> {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (_stop, stopped) = watch::channel(true);
        front_end.write(store.clone(), stopped).await;
        let search = Search { stream: Stream::FrontEnd, limit: 10_000, ..Search::default() };
        store.read(move |r| r.search_evidence(&search)).await.unwrap()
    }

    #[tokio::test]
    async fn a_crowd_of_strangers_is_counted_and_not_written() {
        let front_end = FrontEnd::default();
        for number in 0..10_000_u32 {
            front_end.note(login(std::net::Ipv4Addr::from_bits(number % 50).into()));
        }
        // Who has logged in is written all the same.
        front_end.note(Happening { kind: "login", component: "imap", result: "accepted", ..Happening::default() });
        let records = written(front_end).await;
        assert_eq!(records.len() as u32, STRANGER_EVENTS + 2);
        let last = records.last().map(|record| record.event.clone()).unwrap();
        assert_eq!((last.kind.as_str(), last.result.as_str()), ("suppressed", "9800"));
        assert_eq!(last.details, [("login".to_owned(), "9800".to_owned())]);
    }

    #[tokio::test]
    async fn one_peer_does_not_use_up_what_others_may() {
        let front_end = FrontEnd::default();
        for number in 0..1000_u128 {
            front_end.note(login(std::net::Ipv6Addr::from_bits((0x2001 << 112) | number).into()));
        }
        front_end.note(login(std::net::Ipv4Addr::LOCALHOST.into()));
        let records = written(front_end).await;
        let peers = |peer: &str| records.iter().filter(|record| record.event.peer.starts_with(peer)).count() as u32;
        assert_eq!((peers("2001:"), peers("127.0.0.1")), (STRANGER_EVENTS_PER_PEER, 1));
    }

    #[tokio::test]
    async fn long_texts_of_strangers_are_cut() {
        let front_end = FrontEnd::default();
        let long = "ù".repeat(100_000);
        front_end.note(Happening { sender: &long, kind: "login", ..Happening::default() });
        assert!(written(front_end).await[0].event.sender.len() <= TEXT_MAX);
    }
}
