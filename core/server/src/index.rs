//! The index of providers while the server runs: which edition is in use, and how another takes its place.
//!
//! An edition is fetched ([`source`]), opened and held against the one in use (`sigillo_trust::edition`), kept
//! on disk ([`copy`]) and only then put in the place of the other, at one instant for everybody. Whatever goes wrong
//! before that leaves everything as it was, and is said in the operator's log, in the figures and in the message log.
//! A command beside a running server does the same under the same lock; the server sees the new copy and takes it
//! ([`keeper`]). [`own`] is what this provider says of itself there.

pub mod check;
pub mod copy;
pub mod keeper;
mod ldap;
pub mod own;
pub mod settings;
pub mod source;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use sigillo_store::evidence::NewEvent;
use sigillo_store::{Store, commit::now};
use sigillo_trust::{Changes, Directory, Edition, IndexSigner, Tolerance};

use crate::config::{Config, ConfigError};
use copy::{Copies, Stamp, stamp};
use source::Plan;

/// Kind of the event in the message log.
const EVENT: &str = "index-update";

/// The index in use, shared by all who ask it.
pub struct Index {
    plan: Option<Plan>,
    copies: Copies,
    state: RwLock<State>,
    /// When an edition was last found good, milliseconds since 1970: a new one, or the one in use again.
    last_success: AtomicU64,
}

#[derive(Clone)]
struct State {
    edition: Option<Arc<Edition>>,
    directory: Arc<Directory>,
    /// Of the copy on disk that this is.
    stamp: Option<Stamp>,
}

/// What came of a good edition.
#[derive(Debug)]
pub struct Update {
    /// The edition now in use.
    pub edition: Arc<Edition>,
    /// What it changed; none if it is the one that was in use.
    pub changes: Option<Changes>,
}

impl Index {
    /// Loads what was last in use; where there is nothing kept, a source that is a file of this machine. It changes
    /// nothing. The operator's own file is always read, and an error if it cannot be; of any other source that cannot
    /// be used, [`keeper::begin`] tells.
    pub fn open(config: &Config) -> Result<Index, ConfigError> {
        let plan = Plan::load(config)?;
        let copies = Copies::of(&config.data_dir());
        let index = Index {
            state: RwLock::new(State { edition: None, directory: Arc::new(Directory::empty()), stamp: None }),
            last_success: AtomicU64::new(0),
            copies,
            plan,
        };
        let Some(plan) = &index.plan else { return Ok(index) };
        if !plan.own_file && index.reload() {
            return Ok(index);
        }
        if let Some(path) = plan.file() {
            match open_file(plan, path) {
                Ok(edition) => {
                    let directory = edition.directory.clone();
                    index.set(State { directory, edition: Some(Arc::new(edition)), stamp: None });
                }
                Err(error) if plan.own_file => return Err(error),
                Err(_) => {}
            }
        }
        Ok(index)
    }

    /// Where the index comes from; none if the configuration names no index.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// The index in use. Whoever holds it goes on with it while another takes its place.
    pub fn directory(&self) -> Arc<Directory> {
        self.state().directory
    }

    /// The edition in use.
    pub fn edition(&self) -> Option<Arc<Edition>> {
        self.state().edition
    }

    /// When an edition was last found good, milliseconds since 1970; 0 for never.
    pub fn last_success(&self) -> u64 {
        self.last_success.load(Ordering::Relaxed)
    }

    /// Milliseconds since the edition in use was signed, or taken where it is not signed.
    pub fn age(&self) -> Option<u64> {
        self.edition().map(|edition| now().saturating_sub(edition.signed.unwrap_or(edition.taken)))
    }

    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: State) {
        let taken = state.edition.as_ref().map_or(0, |edition| edition.taken);
        self.last_success.fetch_max(taken.max(self.copies.checked().unwrap_or(0)), Ordering::Relaxed);
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Takes the copy on disk if it is another than the one in use; says whether it did.
    pub fn reload(&self) -> bool {
        let seen = stamp(&self.copies.current());
        if seen.is_none() || seen == self.state().stamp {
            return false;
        }
        match self.copies.read() {
            Ok(Some(edition)) => {
                let edition = Arc::new(edition);
                self.set(State { directory: edition.directory.clone(), edition: Some(edition), stamp: seen });
                true
            }
            Ok(None) => false,
            Err(problem) => {
                tracing::error!(problem, "the copy of the index of providers cannot be used");
                // Not again until it changes.
                let state = State { stamp: seen, ..self.state() };
                self.set(state);
                false
            }
        }
    }

    /// Fetches from the source and takes what comes, or says why not; both are in the message log then.
    pub async fn fetch(self: &Arc<Self>, store: &Store, accept: Accept) -> Result<Update, String> {
        let plan = self.plan.as_ref().ok_or_else(not_configured)?;
        let result = match plan.fetch().await {
            Ok(octets) => self.clone().take(octets, plan.name.clone(), accept).await,
            Err(problem) => Err(problem),
        };
        self.record(store, &plan.name, result).await
    }

    /// Takes these octets, which the operator says come from `source`.
    pub async fn import(
        self: &Arc<Self>,
        store: &Store,
        octets: Vec<u8>,
        source: &str,
        accept: Accept,
    ) -> Result<Update, String> {
        let result = self.clone().take(octets, source.to_owned(), accept).await;
        self.record(store, source, result).await
    }

    async fn take(self: Arc<Self>, octets: Vec<u8>, source: String, accept: Accept) -> Result<Update, String> {
        let taken = tokio::task::spawn_blocking(move || self.take_now(&octets, &source, accept)).await;
        taken.map_err(|error| error.to_string())?
    }

    fn take_now(&self, octets: &[u8], source: &str, accept: Accept) -> Result<Update, String> {
        let plan = self.plan.as_ref().ok_or_else(not_configured)?;
        let edition = Edition::open(octets, plan.signer.as_ref(), source, now()).map_err(|error| error.to_string())?;
        let io = |error: std::io::Error| format!("the copy cannot be kept: {error}");
        let _lock = self.copies.lock().map_err(io)?;
        // Somebody else may have taken one in the meantime.
        self.reload();
        let used = self.state();
        if let Some(same) = used.edition.clone().filter(|used| used.is_same(&edition))
            && used.stamp.is_some()
        {
            self.good();
            return Ok(Update { edition: same, changes: None });
        }
        let changes = match &used.edition {
            Some(used) => edition.follows(used, accept.within(plan.tolerance)).map_err(|error| error.to_string())?,
            None => Changes::between(&Directory::empty(), &edition.directory),
        };
        self.copies.write(&edition).map_err(io)?;
        let edition = Arc::new(edition);
        let stamp = stamp(&self.copies.current());
        self.set(State { directory: edition.directory.clone(), edition: Some(edition.clone()), stamp });
        self.good();
        Ok(Update { edition, changes: Some(changes) })
    }

    fn good(&self) {
        self.copies.note_checked();
        self.last_success.store(now(), Ordering::Relaxed);
    }

    /// Writes down what came of it, in the operator's log and in the message log (LOG-04).
    async fn record(&self, store: &Store, source: &str, result: Result<Update, String>) -> Result<Update, String> {
        let mut details = vec![("source".to_owned(), source.to_owned())];
        let mut detail = |name: &str, value: String| details.push((name.to_owned(), value));
        match &result {
            Ok(Update { edition, changes }) => {
                detail("code", "OK".into());
                detail("providers", edition.directory.providers().len().to_string());
                detail("domains", edition.domains().to_string());
                detail("sha256", edition.sha256.clone());
                let none = Changes::default();
                let changes = changes.as_ref().unwrap_or(&none);
                detail("domains-added", changes.domains_added.len().to_string());
                detail("domains-removed", changes.domains_removed.len().to_string());
                note_success(edition, changes);
            }
            Err(problem) => {
                detail("code", "ERR".into());
                detail("problem", problem.clone());
                tracing::error!(source, problem, "the index of providers is not updated; the edition in use stays");
            }
        }
        let event = NewEvent { kind: EVENT.into(), details, source: "core".into(), ..NewEvent::default() };
        if let Err(error) = store.write(move |tx| tx.append_evidence(event)).await {
            tracing::error!(%error, "the update of the index of providers is not in the message log");
        }
        result
    }

    /// The signer that the configuration names.
    pub fn signer(&self) -> Option<&IndexSigner> {
        self.plan.as_ref()?.signer.as_ref()
    }
}

fn open_file(plan: &Plan, path: &std::path::Path) -> Result<Edition, ConfigError> {
    let octets = crate::config::read_bytes(path)?;
    let edition = Edition::open(&octets, plan.signer.as_ref(), &plan.name, now());
    edition.map_err(|error| ConfigError(format!("{}: {error}", path.display())))
}

fn not_configured() -> String {
    "the configuration names no index of providers (trust.index)".into()
}

fn note_success(edition: &Edition, changes: &Changes) {
    tracing::info!(
        source = edition.source,
        providers = edition.directory.providers().len(),
        domains = edition.domains(),
        sha256 = edition.sha256,
        domains_added = changes.domains_added.len(),
        domains_removed = changes.domains_removed.len(),
        domains_moved = changes.domains_moved.len(),
        "the index of providers is up to date"
    );
}

/// What the operator said of this edition.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accept {
    /// However much is gone.
    pub shrink: bool,
    /// However old.
    pub older: bool,
}

impl Accept {
    /// Tolerance with what the operator accepts.
    pub fn within(self, tolerance: Tolerance) -> Tolerance {
        Tolerance { shrink: tolerance.shrink.filter(|_| !self.shrink), older: tolerance.older || self.older }
    }
}
