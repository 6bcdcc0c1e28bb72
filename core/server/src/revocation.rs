//! Fetches what the trust crate wants to know of revocation: lists in time, and answers of responders when a signature is
//! verified that needs one.
//!
//! What is asked for stands in certificates whose path to a trusted root was verified, or in the configuration: a message
//! by a stranger makes this server fetch nothing (attack E12).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sigillo_delivery::HttpClient;
use sigillo_delivery::http::Bounds;
use sigillo_trust::revocation::{ANSWER_OCTETS_MAX, LIST_OCTETS_MAX, Question};
use sigillo_trust::{Anchors, Revocation, TrustedPath};
use tokio::sync::watch;

use crate::config::{Config, ConfigError};

/// How long a responder may take. A message waits for it.
const ANSWER_TIME: Duration = Duration::from_secs(3);
/// How long a list may take.
const LIST_TIME: Duration = Duration::from_secs(60);
/// How long a message waits for a list that is fetched for it; the list counts for the next attempt.
const LIST_PATIENCE: Duration = Duration::from_secs(5);
/// How long what could not be fetched is left alone.
const REST: Duration = Duration::from_secs(30);
/// Locations remembered; above it new ones are not fetched, which is logged.
const LOCATIONS_MAX: usize = 256;
/// How often the lists are looked at for those that will end.
const LOOK: Duration = Duration::from_secs(10);
/// How often an operator is told of the same list.
const TELL: Duration = Duration::from_secs(3600);

/// Keeps the knowledge about revocation fresh.
pub struct Watch {
    client: HttpClient,
    anchors: Arc<Anchors>,
    revocation: Arc<Revocation>,
    distribution_points: bool,
    every: Duration,
    files: Vec<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where lists are fetched from.
    locations: BTreeSet<String>,
    /// What failed lately, until when it is left alone.
    resting: BTreeMap<String, Instant>,
    /// Of which lists the operator was told, whether they had ended, and when.
    told: BTreeMap<(PathBuf, bool), Instant>,
}

/// The part of [`Facilities`](crate::services::Facilities) that fetches: none where the configuration has no
/// `trust.revocation`.
pub fn load(config: &Config, anchors: Anchors) -> Result<(Arc<Anchors>, Option<Arc<Watch>>), ConfigError> {
    let anchors = anchors.with_sha1(config.trust.accept_sha1.unwrap_or(true));
    let Some(settings) = &config.trust.revocation else { return Ok((Arc::new(anchors), None)) };
    let folder = config.data_dir().join("revocation");
    let revocation = Revocation::open(&folder, settings.responders());
    let revocation = revocation.map_err(|error| ConfigError(format!("{}: {error}", folder.display())))?;
    let revocation = Arc::new(revocation);
    let anchors = Arc::new(anchors.with_revocation(revocation.clone()));
    let (urls, files): (Vec<String>, Vec<String>) =
        settings.lists.iter().cloned().partition(|list| list.contains("://"));
    let state = State { locations: urls.into_iter().collect(), ..State::default() };
    let watch = Watch {
        client: HttpClient::new(crate::tls::client(config)?),
        anchors: anchors.clone(),
        revocation,
        distribution_points: settings.distribution_points,
        every: settings.every,
        files: files.iter().map(|file| config.path(file.as_ref())).collect(),
        state: Mutex::new(state),
    };
    Ok((anchors, Some(Arc::new(watch))))
}

impl Watch {
    fn state(&self) -> MutexGuard<'_, State> {
        // What is inside is whole after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes certificates known, so that their lists are there before the first message.
    pub fn introduce(&self, certificate: &[u8], others: &[Vec<u8>]) {
        let found = self.anchors.introduce(certificate, others, sigillo_store::commit::now());
        if self.distribution_points {
            self.remember(found);
        }
    }

    fn remember(&self, urls: Vec<String>) {
        let mut state = self.state();
        for url in urls {
            if state.locations.len() < LOCATIONS_MAX {
                state.locations.insert(url);
            } else if !state.locations.contains(&url) {
                tracing::warn!(url, "too many locations of revocation lists; this one is not fetched");
            }
        }
    }

    /// Whether something may be tried, or failed a moment ago.
    fn rested(&self, url: &str) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        state.resting.retain(|_, until| *until > now);
        !state.resting.contains_key(url)
    }

    fn rest(&self, url: &str) {
        let mut state = self.state();
        if state.resting.len() < LOCATIONS_MAX {
            state.resting.insert(url.to_owned(), Instant::now() + REST);
        }
    }

    /// Fetches what is not known of a path. True if something came, so that it is worth to look again.
    pub async fn complete(self: &Arc<Self>, path: TrustedPath, at: u64) -> bool {
        let mut came = false;
        for question in self.anchors.questions(&path, at) {
            came |= self.ask(&question).await;
        }
        if !self.distribution_points {
            return came;
        }
        let anchors = self.anchors.clone();
        // Lists may have to be parsed for it.
        let wanted = tokio::task::spawn_blocking(move || anchors.wanted_lists(&path, at)).await.unwrap_or_default();
        for locations in wanted {
            self.remember(locations.clone());
            for url in locations.into_iter().filter(|url| self.rested(url)) {
                let watch = self.clone();
                let fetch = tokio::spawn(async move { watch.fetch(&url).await });
                if matches!(tokio::time::timeout(LIST_PATIENCE, fetch).await, Ok(Ok(true))) {
                    came = true;
                    break;
                }
            }
        }
        came
    }

    async fn ask(&self, question: &Question) -> bool {
        if !self.rested(&question.url) {
            return false;
        }
        let bounds = Bounds { time: ANSWER_TIME, octets: ANSWER_OCTETS_MAX };
        let request = Bytes::from(question.request.clone());
        let answer = self.client.post(&question.url, "application/ocsp-request", request, bounds).await;
        let taken = match answer {
            Ok(answer) => self
                .revocation
                .offer_answer(question, &answer.content, sigillo_store::commit::now())
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = &taken {
            tracing::warn!(url = question.url, error, "a responder gave no answer that counts");
            self.rest(&question.url);
        }
        taken.is_ok()
    }

    /// Fetches a list. True if one of this location is in use now.
    async fn fetch(&self, url: &str) -> bool {
        let bounds = Bounds { time: LIST_TIME, octets: LIST_OCTETS_MAX };
        let fetched = self.client.get(url, bounds).await;
        let taken = match fetched {
            Ok(answer) => self.take(answer.content).await,
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = &taken {
            tracing::warn!(url, error, "a revocation list was not taken; the one in use stays");
            self.rest(url);
        }
        taken.is_ok()
    }

    /// Checking a list computes and writes.
    async fn take(&self, octets: Bytes) -> Result<(), String> {
        let revocation = self.revocation.clone();
        let work = move || revocation.offer_list(&octets, sigillo_store::commit::now());
        let taken = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?;
        for list in taken.map_err(|error| error.to_string())? {
            tracing::debug!(issuer = list.issuer, size = list.size, "a revocation list is in use");
        }
        Ok(())
    }

    /// Fetches every list in time, and tells of those that will end.
    pub async fn run(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let mut due = Instant::now();
        while !*shutdown.borrow() {
            if Instant::now() >= due {
                self.refresh().await;
                due = Instant::now() + self.every;
            }
            self.tell(sigillo_store::commit::now());
            tokio::select! {
                () = tokio::time::sleep(LOOK.min(self.every)) => {}
                _ = shutdown.changed() => {}
            }
        }
    }

    async fn refresh(&self) {
        for path in &self.files {
            let taken = match tokio::fs::read(path).await {
                Ok(octets) => self.take(octets.into()).await,
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = taken {
                tracing::warn!(file = %path.display(), error, "a revocation list was not taken; the one in use stays");
            }
        }
        let urls = self.state().locations.clone();
        for url in urls {
            self.fetch(&url).await;
        }
    }

    /// Milliseconds for which each list in use still counts, by its issuer; negative when it counts no more. Of several
    /// lists of one issuer, the one that ends first.
    pub fn expiry(&self, at: u64) -> BTreeMap<String, i64> {
        let mut found = BTreeMap::new();
        for list in self.revocation.lists() {
            let left = list.next_ms as i64 - at as i64;
            found.entry(list.issuer).and_modify(|other: &mut i64| *other = left.min(*other)).or_insert(left);
        }
        found
    }

    /// Tells the operator of a list that ends soon, and once more when it has ended.
    fn tell(&self, at: u64) {
        for list in self.revocation.lists() {
            let life = list.next_ms.saturating_sub(list.this_ms);
            // A new list should have come by now: a quarter of its time is left, or two looks at it (but not half).
            let margin = (life / 4).max(2 * self.every.as_millis() as u64).min(life / 2);
            let over = at >= list.next_ms;
            if !over && at + margin < list.next_ms {
                continue;
            }
            let key = (list.file.clone(), over);
            let mut state = self.state();
            if state.told.get(&key).is_some_and(|when| when.elapsed() < TELL) {
                continue;
            }
            state.told.insert(key, Instant::now());
            drop(state);
            let end = jiff::Timestamp::from_millisecond(list.next_ms as i64).unwrap_or_default();
            let words = match over {
                true => "a revocation list has ended; messages signed under it wait",
                false => "a revocation list ends soon and no newer one has come",
            };
            tracing::error!(issuer = list.issuer, %end, "{words}");
        }
    }
}
