//! Due entry → chain → delivery → commit.
//!
//! The dispatcher looks at what is due in the queue, works on a bounded number of entries at once, and sleeps until the
//! next instant, a change of the queue, or the end of some work. It keeps nothing that a restart could lose: what was not
//! committed is due again. What waits for another server has places of its own (`lines`).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sigillo_mail::structure::Structure;
use sigillo_mail::{EnhancedCode, Failure};
use sigillo_policy::Stage;
use sigillo_store::queue::{Recipient, RecipientState};
use sigillo_store::{Entry, EntryId, Phase, StoreError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use crate::lines::Lines;
use crate::origin::{Letter, Origin, parse};
use crate::passage::{Ending, Waiting, check_loop};
use crate::server::Server;

/// Entries and timers looked at in one round.
pub(crate) const ROUND: usize = 256;
/// The longest sleep: a clock that was set forward is noticed within it.
pub(crate) const SLEEP_MAX: Duration = Duration::from_secs(30);
/// How long to wait after the store could not be read.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// How long deliveries to other servers may take to end at a stop; what has not ended then is tried again.
const GRACE: Duration = Duration::from_secs(10);

/// What is being worked on, so that no entry is taken twice at once.
#[derive(Default)]
pub(crate) struct InFlight {
    names: Mutex<HashSet<String>>,
    ended: Notify,
}

/// An entry loaded for work.
pub(crate) struct Work {
    pub(crate) entry: Entry,
    pub(crate) letter: Letter,
    pub(crate) structure: Arc<Structure>,
}

impl Server {
    /// Works on the queue until `shutdown`, then lets what was begun end.
    pub async fn dispatch(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let in_flight = Arc::new(InFlight::default());
        let places = Arc::new(Semaphore::new(self.config().limits.dispatch));
        let lines = Arc::new(Lines::new(self.config().limits.dispatch));
        let mut changes = self.store().queue_changes();
        while !*shutdown.borrow() {
            changes.mark_unchanged();
            let ended = in_flight.ended.notified();
            let sleep = match self.round(&in_flight, &places, &lines).await {
                Ok(sleep) => sleep,
                Err(error) => {
                    tracing::error!(%error, "the queue cannot be read");
                    PAUSE
                }
            };
            tokio::select! {
                _ = changes.changed() => {}
                () = ended => {}
                () = lines.freed() => {}
                () = tokio::time::sleep(sleep) => {}
                _ = shutdown.changed() => {}
            }
        }
        let _all = places.acquire_many(self.config().limits.dispatch as u32).await;
        let _ = tokio::time::timeout(GRACE, in_flight.empty()).await;
    }

    /// Starts work on all that is due; returns how long nothing else will be.
    async fn round(
        self: &Arc<Self>,
        in_flight: &Arc<InFlight>,
        places: &Arc<Semaphore>,
        lines: &Arc<Lines>,
    ) -> Result<Duration, StoreError> {
        let now = sigillo_store::commit::now();
        let busy = in_flight.count();
        let (server, full) = (self.clone(), lines.any_full().then(|| lines.clone()));
        let (entries, timers, notes, next) = self
            .store()
            .read(move |r| {
                let most = ROUND + busy;
                let entries = match full {
                    None => r.due_entries(now, most)?,
                    Some(lines) => {
                        let ours: HashSet<String> = r.domains()?.into_iter().map(|domain| domain.name).collect();
                        let mut waits = HashMap::new();
                        r.due_entries_but(now, most, |domain| match waits.get(domain) {
                            Some(waits) => *waits,
                            None => {
                                let full = !ours.contains(domain) && server.has_no_place(&lines, domain);
                                waits.insert(domain.to_owned(), full);
                                full
                            }
                        })?
                    }
                };
                Ok((entries, r.due_timers(now, most)?, r.due_refiled(now, most)?, r.next_due(now)?))
            })
            .await?;
        for id in entries {
            let work = format!("entry {id}");
            let (server, lines) = (self.clone(), lines.clone());
            in_flight.start(places, work, |place| async move { server.work_on(id, lines, place).await }).await;
        }
        for timer in timers {
            let work = format!("timer {} {}", timer.plugin, timer.key);
            let server = self.clone();
            in_flight.start(places, work, |place| held(place, async move { server.wake(timer).await })).await;
        }
        for note in notes {
            let work = format!("refiled {}", note.id);
            let server = self.clone();
            in_flight.start(places, work, |place| held(place, async move { server.tell_refiled(note).await })).await;
        }
        let next = next.map_or(SLEEP_MAX, |at| Duration::from_millis(at.saturating_sub(now)));
        Ok(next.min(SLEEP_MAX))
    }

    /// Whether mail for a domain of others would find no place.
    fn has_no_place(&self, lines: &Lines, domain: &str) -> bool {
        let Ok(domain) = domain.parse() else { return false };
        lines.is_full(&self.courier().router().group(&domain))
    }

    async fn work_on(self: &Arc<Self>, id: EntryId, lines: Arc<Lines>, place: OwnedSemaphorePermit) {
        let work = match self.load_work(&id).await {
            Ok(Some(work)) => work,
            Ok(None) => return,
            Err(error) => {
                // One damaged entry stops one message: it is held, and the rest flows.
                tracing::error!(%id, %error, "a queue entry cannot be read; it is held");
                self.hold_all(&id, error.to_string()).await;
                return;
            }
        };
        let result = match work.entry.phase {
            Phase::Access => self.work_on_chain(work, Stage::Access).await,
            Phase::Reception => self.work_on_chain(work, Stage::Reception).await,
            Phase::Delivery => self.work_on_recipients(work, &lines, place).await,
        };
        match result {
            Ok(()) | Err(StoreError::Conflict(_)) => {}
            Err(error) => {
                tracing::error!(%id, %error, "work on a queue entry failed; it is tried again later");
                self.postpone_all(&id, error.to_string()).await;
            }
        }
    }

    async fn load_work(&self, id: &str) -> Result<Option<Work>, StoreError> {
        let found = self.store().look(|r| {
            let Some(entry) = r.entry(id)? else { return Ok(None) };
            let content = r.message(entry.message)?;
            Ok(Some((entry, content)))
        })?;
        let Some((entry, content)) = found else { return Ok(None) };
        let damaged = |error: String| StoreError::Damaged(format!("queue entry {id}: {error}"));
        let origin: Origin = serde_json::from_str(&entry.arrival).map_err(|error| damaged(error.to_string()))?;
        let structure = parse(content.clone(), self.store().segments().clone()).await.map_err(damaged)?;
        let origin = if origin.message_id.is_empty() { origin.of(&structure) } else { origin };
        let letter = Letter {
            id: entry.id.clone(),
            origin,
            reverse_path: entry.reverse_path.clone(),
            recipients: entry.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
            content,
        };
        Ok(Some(Work { entry, letter, structure: Arc::new(structure) }))
    }

    /// A message that the server itself carries to one of its domains, or one that an operator released.
    async fn work_on_chain(&self, work: Work, stage: Stage) -> Result<(), StoreError> {
        let Work { entry, letter, structure } = work;
        if let Err(failure) = check_loop(&structure) {
            for recipient in &entry.recipients {
                self.give_up(&entry, recipient, &letter, &structure, failure.clone(), None, "failed").await?;
            }
            return Ok(());
        }
        let origin = Origin { way: crate::origin::Way::Internal, ..letter.origin.clone() };
        let letter = if stage == Stage::Reception { Letter { origin, ..letter } } else { letter };
        let ending = self.pass(letter.clone(), structure.clone(), stage, Waiting::Queue(entry.phase)).await;
        let ending = match ending {
            // A submission that was held, and that its mailbox's rules do not let go now (BOX-09, BOX-14): it waits, and in
            // the end its sender hears of it.
            Err(StoreError::InUse(why) | StoreError::Limit(why)) => {
                Ending::Deferred(Failure::transient(EnhancedCode(4, 7, 1), why))
            }
            ended => ended?,
        };
        if let Ending::Deferred(failure) = ending {
            for recipient in &entry.recipients {
                self.retry_or_give_up(&entry, recipient, &letter, &structure, failure.clone(), None).await?;
            }
        }
        Ok(())
    }

    async fn work_on_recipients(
        self: &Arc<Self>,
        work: Work,
        lines: &Arc<Lines>,
        place: OwnedSemaphorePermit,
    ) -> Result<(), StoreError> {
        let now = sigillo_store::commit::now();
        let due = |recipient: &&Recipient| recipient.state != RecipientState::Held && recipient.due <= now;
        let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
        for recipient in work.entry.recipients.iter().filter(due) {
            if self.domain_class(recipient.address.domain())?.is_some() {
                here.push(recipient)
            } else {
                elsewhere.push(recipient.clone())
            }
        }
        for recipient in here {
            if recipient.state == RecipientState::Filed {
                self.after_filing(&work, recipient).await?;
            } else {
                self.deliver_here(&work, recipient).await?;
            }
        }
        drop(place); // what waits for others holds nobody's work up
        self.deliver_elsewhere(Arc::new(work), elsewhere, lines).await
    }

    /// A transient failure: another attempt later, or the end if the time is over.
    pub(crate) async fn retry_or_give_up(
        &self,
        entry: &Entry,
        recipient: &Recipient,
        letter: &Letter,
        structure: &Arc<Structure>,
        failure: Failure,
        host: Option<String>,
    ) -> Result<(), StoreError> {
        let now = sigillo_store::commit::now();
        let wait = self.schedule().wait(recipient.attempts + 1, recipient.id as u64 ^ now);
        let due = now + wait.as_millis() as u64;
        if due >= entry.expires {
            let code = sigillo_mail::EnhancedCode::EXPIRED;
            let words =
                format!("Given up after {} attempts; the last one ended with: {failure}", recipient.attempts + 1);
            let failure = Failure { detail: failure.detail, ..Failure::permanent(code, words) };
            return self.give_up(entry, recipient, letter, structure, failure, host, "expired").await;
        }
        tracing::info!(id = %entry.id, recipient = %recipient.address, %failure, detail = failure.detail, seconds = wait.as_secs(), "tried, will try again");
        self.metrics().attempt("deferred");
        let (name, id) = (entry.id.clone(), recipient.id);
        self.store().write(move |tx| tx.reschedule(&name, id, due, &failure.to_string())).await
    }

    async fn hold_all(&self, id: &str, reason: String) {
        let name = id.to_owned();
        let held = self.store().write(move |tx| tx.hold_entry(&name, &reason)).await;
        if let Err(error) = held {
            tracing::error!(id, %error, "cannot hold a queue entry");
        }
    }

    async fn postpone_all(&self, id: &str, reason: String) {
        let name = id.to_owned();
        let due = sigillo_store::commit::now() + self.schedule().wait(1, 0).as_millis() as u64;
        let postponed = self.store().write(move |tx| tx.postpone_entry(&name, due, &reason)).await;
        if let Err(error) = postponed {
            tracing::error!(id, %error, "cannot postpone a queue entry");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Work that holds its place to its end.
pub(crate) async fn held(place: OwnedSemaphorePermit, work: impl Future<Output = ()>) {
    work.await;
    drop(place);
}

impl InFlight {
    /// Told when work ends.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + '_ {
        self.ended.notified()
    }

    /// Waits until nothing is worked on.
    pub(crate) async fn empty(&self) {
        loop {
            let ended = self.ended.notified();
            if self.count() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Takes a name until the guard is dropped, unless work of that name is going on.
    pub(crate) fn enter(self: &Arc<Self>, name: String) -> Option<Guard> {
        let new = self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        new.then(|| Guard { in_flight: self.clone(), name })
    }

    pub(crate) fn count(&self) -> usize {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Runs `work` in a task of its own unless work of that name is going on; waits for a free place, which the work
    /// gets and may give back before its end.
    pub(crate) async fn start<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        places: &Arc<Semaphore>,
        name: String,
        work: impl FnOnce(OwnedSemaphorePermit) -> F,
    ) {
        let Some(guard) = self.enter(name) else { return };
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let work = work(place);
        tokio::spawn(async move {
            let _guard = guard;
            work.await;
        });
    }
}

/// Gives the name back however the work ends, also by a panic.
pub(crate) struct Guard {
    in_flight: Arc<InFlight>,
    name: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.in_flight.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        self.in_flight.ended.notify_one();
    }
}
