//! Targets outside that plugins ask through the outbox: one module for each protocol, behind one trait.
//!
//! An attempt ends with what the target said of the request, or with [`Attempt::Later`]. Nothing between the two is ever
//! taken for «done»: not half an answer, not garbage, not silence. A target that is away does not eat places: after
//! [`AWAY_MAX`] attempts in a row that did not reach it, its circuit opens, and one attempt at a time looks whether it is
//! back.

pub mod egress;
pub mod fetch;
pub mod http;
pub mod s3;
pub mod sftp;
pub mod smpp;
mod upload;
mod web;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use sigillo_mail::{Rope, Source};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::schedule::Schedule;
pub use fetch::{FETCH_MAX, Fetch, FetchError, Pieces};
pub use upload::{Progress, Upload};
pub use web::{Web, WebAddress, WebAnswer, WebError, WebRequest};

/// Attempts in a row that did not reach a target before its circuit opens.
pub const AWAY_MAX: u32 = 3;
/// Longest wait that a target may ask for.
pub const ASKED_WAIT_MAX: Duration = Duration::from_secs(3600);
/// Octets of a target's answer that are kept (1 MiB, as the contract says).
pub const BODY_MAX: usize = 1 << 20;
/// Octets of a target's words.
pub const TEXT_MAX: usize = 512;
/// Longest time of one attempt, however well it goes on.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(6 * 3600);

/// What a target is asked, once.
#[derive(Clone)]
pub struct Request {
    /// Unique for this target, and the same for every attempt: where the protocol has a place for an idempotency key.
    pub key: String,
    /// What the protocol wants, as [`Protocol::check`] took it.
    pub parameters: Vec<(String, String)>,
    /// The body or the file.
    pub content: Option<Rope>,
    /// Where its bytes are read.
    pub source: Arc<dyn Source>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

impl Request {
    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The content from an offset on, streamed: memory holds some pieces of 64 KiB.
    pub fn upload(&self, offset: u64) -> Upload {
        let content = self.content.clone().unwrap_or_default();
        let length = content.len().saturating_sub(offset);
        Upload::open(content.slice(offset, length), self.source.clone())
    }

    /// Octets of the content.
    pub fn size(&self) -> u64 {
        self.content.as_ref().map_or(0, Rope::len)
    }
}

/// What a target said; a stranger's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Its code.
    pub code: Option<u32>,
    /// One line, printable ASCII, at most [`TEXT_MAX`].
    pub text: String,
    /// The body of its answer, at most [`BODY_MAX`].
    pub body: Bytes,
}

impl Said {
    /// Words without a code, ours or the target's.
    pub fn words(text: impl AsRef<[u8]>) -> Said {
        Said { text: words(text.as_ref()), ..Said::default() }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The target took the request.
    Done(Said),
    /// It will not, however often it is asked.
    Refused(Said),
    /// It is not known whether it did, or it may later.
    Later {
        /// What it said, or why it said nothing.
        said: Said,
        /// The target was not reached or gave no answer of its protocol: the next request fares no better.
        away: bool,
        /// How long it asks to be left alone.
        wait: Option<Duration>,
    },
}

impl Attempt {
    /// The target could not be reached, or did not speak its protocol.
    pub fn away(text: impl AsRef<[u8]>) -> Attempt {
        Attempt::Later { said: Said::words(text), away: true, wait: None }
    }

    /// The word for logs and figures.
    pub fn word(&self) -> &'static str {
        match self {
            Attempt::Done(_) => "done",
            Attempt::Refused(_) => "refused",
            Attempt::Later { away: true, .. } => "away",
            Attempt::Later { .. } => "later",
        }
    }
}

/// A protocol spoken with one target.
#[async_trait]
pub trait Protocol: Send + Sync {
    /// Whether a request with these parameters and content of this size (none: without content) can be made; the words
    /// say what is wrong. Run when the plugin queues it, before anything is kept.
    fn check(&self, parameters: &[(String, String)], size: Option<u64>) -> Result<(), String>;

    /// Asks the target once. It bounds its own waiting: a peer that makes no progress within the target's time is away.
    /// To drop the future ends the attempt.
    async fn attempt(&self, request: &Request) -> Attempt;

    /// Reads back a part of what lies at the target, now: exactly what was asked for, or an error.
    async fn fetch(&self, _fetch: &Fetch, _pieces: Pieces) -> Result<(), FetchError> {
        Err(FetchError::unsupported())
    }
}

/// What holds for a target whatever it speaks.
#[derive(Debug, Clone)]
pub struct TargetOptions {
    /// The operator's name for it.
    pub name: String,
    /// Attempts at once.
    pub connections: usize,
    /// Octets of content that it takes at most.
    pub size_max: u64,
    /// Waits between attempts, and the time after which a request has expired.
    pub schedule: Schedule,
}

/// One target.
pub struct Target {
    options: TargetOptions,
    protocol: Box<dyn Protocol>,
    places: Arc<Semaphore>,
    circuit: Mutex<Circuit>,
}

/// How the target was found lately.
#[derive(Debug, Default)]
struct Circuit {
    /// Attempts in a row that did not reach it.
    away: u32,
    /// Until then nothing is tried.
    closed_until: Option<Instant>,
}

/// A place for one attempt, given back when it is dropped.
pub struct Place(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Target {
    /// Opens nothing yet.
    pub fn new(options: TargetOptions, protocol: Box<dyn Protocol>) -> Target {
        let places = Arc::new(Semaphore::new(options.connections.max(1)));
        Target { options, protocol, places, circuit: Mutex::default() }
    }

    /// What holds for it.
    pub fn options(&self) -> &TargetOptions {
        &self.options
    }

    /// Whether it takes such a request.
    pub fn check(&self, parameters: &[(String, String)], size: Option<u64>) -> Result<(), String> {
        if size.is_some_and(|size| size > self.options.size_max) {
            return Err(format!(
                "the content has more than the {} octets that this target takes",
                self.options.size_max
            ));
        }
        self.protocol.check(parameters, size)
    }

    /// How many attempts may begin now; while it is away one at a time, after a wait.
    pub fn free(&self) -> usize {
        let circuit = self.circuit.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.places.available_permits();
        match circuit.closed_until {
            Some(until) if Instant::now() < until => 0,
            Some(_) => free.min(usize::from(free == self.options.connections.max(1))),
            None => free,
        }
    }

    /// A place for an attempt, if there is one.
    pub fn place(&self) -> Option<Place> {
        if self.free() == 0 {
            return None;
        }
        self.places.clone().try_acquire_owned().ok().map(Place)
    }

    /// Whether it was found away several times in a row.
    pub fn is_away(&self) -> bool {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner).closed_until.is_some()
    }

    /// How long nothing is tried.
    pub fn wakes_in(&self) -> Option<Duration> {
        let circuit = self.circuit.lock().unwrap_or_else(PoisonError::into_inner);
        circuit.closed_until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Asks it once, and remembers whether it was there.
    pub async fn attempt(&self, request: &Request) -> Attempt {
        let attempt = tokio::time::timeout(ATTEMPT_MAX, self.protocol.attempt(request)).await;
        let attempt =
            attempt.unwrap_or_else(|_| Attempt::away(format!("no answer within {} s", ATTEMPT_MAX.as_secs())));
        let mut circuit = self.circuit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Attempt::Later { away: true, .. } = attempt {
            circuit.away = circuit.away.saturating_add(1);
            if circuit.away >= AWAY_MAX {
                let wait = self.options.schedule.wait(circuit.away - AWAY_MAX + 1, u64::from(circuit.away));
                circuit.closed_until = Some(Instant::now() + wait);
            }
        } else {
            *circuit = Circuit::default();
        }
        attempt
    }

    /// Reads back a part of what lies there.
    pub async fn fetch(&self, fetch: &Fetch, pieces: Pieces) -> Result<(), FetchError> {
        self.protocol.fetch(fetch, pieces).await
    }

    /// An operator says that it is back: the next attempt begins at once.
    pub fn forgive(&self) {
        *self.circuit.lock().unwrap_or_else(PoisonError::into_inner) = Circuit::default();
    }
}

/// Every target of a server, by its name.
#[derive(Default)]
pub struct Targets {
    by_name: BTreeMap<String, Arc<Target>>,
}

impl Targets {
    /// Under their names.
    pub fn new(targets: impl IntoIterator<Item = Target>) -> Targets {
        let named = targets.into_iter().map(|target| (target.options.name.clone(), Arc::new(target)));
        Targets { by_name: named.collect() }
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Target>> {
        self.by_name.get(name)
    }

    /// Each of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.by_name.values()
    }
}

/// A stranger's octets as words: printable ASCII on one line, at most [`TEXT_MAX`].
pub fn words(octets: &[u8]) -> String {
    let printable = octets.iter().take(TEXT_MAX).map(|octet| match octet {
        b' '..=b'~' => char::from(*octet),
        _ => ' ',
    });
    printable.collect::<String>().trim().to_owned()
}
