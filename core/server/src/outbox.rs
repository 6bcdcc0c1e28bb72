//! The outbox: due request → target → commit, and ended request → plugin → commit. The server's own requests (codes for
//! lost passwords) end with their target's answer: the log and the figures have it, and nobody is told.
//!
//! Beside the queue, with places of its own: a target that is slow or away holds its own places and no others. Nothing is
//! kept here that a restart could lose; whether a target is away is found out anew.

use std::sync::Arc;
use std::time::Duration;

use sigillo_delivery::outbox::{Attempt, Place, Request, Said, Target};
use sigillo_plugin::{Answered, Outcome};
use sigillo_policy::Stage;
use sigillo_store::outbox::{Reply, Request as Kept, RequestName, RequestState};
use sigillo_store::{Millis, SERVER, StoreError};
use tokio::sync::{Semaphore, watch};

use crate::apply;
use crate::dispatch::{InFlight, PAUSE, ROUND, SLEEP_MAX, held};
use crate::evidence::front_end::Happening;
use crate::passage::CONFLICTS_MAX;
use crate::server::Server;
use crate::text_messages;

/// `answer` steps at once.
const ANSWERS: usize = 8;
/// A request that waits for longer than this was put off by a clock that has been set back since: no wait is as long
/// (the longest that a target or the schedule can ask for, and a tenth).
const HORIZON_MS: Millis = 25 * 3600 * 1000;

impl Server {
    /// Works on the outbox until `shutdown`, then lets what was begun end.
    pub async fn work_outbox(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let in_flight = Arc::new(InFlight::default());
        let answers = Arc::new(Semaphore::new(ANSWERS));
        let mut changes = self.store().queue_changes();
        while !*shutdown.borrow() {
            changes.mark_unchanged();
            let ended = in_flight.ended();
            let sleep = match self.outbox_round(&in_flight, &answers).await {
                Ok(sleep) => sleep,
                Err(error) => {
                    tracing::error!(%error, "the outbox cannot be read");
                    PAUSE
                }
            };
            tokio::select! {
                _ = changes.changed() => {}
                () = ended => {}
                () = tokio::time::sleep(sleep) => {}
                _ = shutdown.changed() => {}
            }
        }
        // What was sent should be known as sent; what has not ended by then is asked again after the start.
        let _ = tokio::time::timeout(GRACE, in_flight.empty()).await;
    }

    /// Begins all that is due and has a place; returns how long nothing else will be.
    async fn outbox_round(
        self: &Arc<Self>,
        in_flight: &Arc<InFlight>,
        answers: &Arc<Semaphore>,
    ) -> Result<Duration, StoreError> {
        let now = sigillo_store::commit::now();
        let targets: Vec<Arc<Target>> = self.facilities().targets().all().cloned().collect();
        let free: Vec<(String, usize)> = targets
            .iter()
            .map(|target| (target.options().name.clone(), target.free()))
            .filter(|(_, free)| *free > 0)
            .collect();
        let busy = in_flight.count();
        let (expired, ended, due, next) = self
            .store()
            .read(move |r| {
                let mut due = Vec::new();
                for (target, free) in &free {
                    due.push(r.due_requests(target, now, HORIZON_MS, free + busy)?);
                }
                let ended = r.due_answers(now, HORIZON_MS, ROUND + busy)?;
                Ok((r.expired_requests(now, ROUND + busy)?, ended, due, r.next_request(now)?))
            })
            .await?;
        for name in expired {
            let Some(guard) = in_flight.enter(name.to_string()) else { continue };
            self.expire_request(&name).await?;
            drop(guard);
        }
        for name in due.into_iter().flatten() {
            let Some(target) = self.facilities().targets().get(&name.target).cloned() else { continue };
            let Some(guard) = in_flight.enter(name.to_string()) else { continue };
            let Some(place) = target.place() else { continue };
            let server = self.clone();
            tokio::spawn(async move {
                let _guard = guard;
                server.ask(&name, &target, place).await;
            });
        }
        for name in ended {
            let server = self.clone();
            in_flight
                .start(answers, name.to_string(), |place| held(place, async move { server.tell(name).await }))
                .await;
        }
        let next = next.map_or(SLEEP_MAX, |at| Duration::from_millis(at.saturating_sub(now)));
        let wakes = targets.iter().filter_map(|target| target.wakes_in()).filter(|wait| !wait.is_zero()).min();
        Ok(next.min(wakes.unwrap_or(SLEEP_MAX)).min(SLEEP_MAX))
    }

    /// An operator says that the target of a request is back: it is asked at once, however long it was away.
    pub(crate) async fn retry_request(&self, name: &RequestName) -> Result<(), StoreError> {
        if let Some(target) = self.facilities().targets().get(&name.target) {
            target.forgive();
        }
        let life = self.config().target_life(&name.target).unwrap_or_default();
        let name = name.clone();
        self.store().write(move |tx| tx.retry_request(&name, life.as_millis() as u64)).await
    }

    async fn expire_request(&self, name: &RequestName) -> Result<(), StoreError> {
        let wanted = name.clone();
        let request = match self.store().read(move |r| r.request(&wanted)).await {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error @ StoreError::Damaged(_)) => return self.hold(name, error).await,
            Err(error) => return Err(error),
        };
        let last = request.reply.text;
        let text = if last.is_empty() { "never asked".to_owned() } else { last };
        let reply = Reply { status: "expired".into(), code: request.reply.code, text, body: Vec::new() };
        self.end(name, reply, request.attempts).await
    }

    /// Asks a target once and commits what came of it.
    async fn ask(&self, name: &RequestName, target: &Target, place: Place) {
        let result = self.try_ask(name, target).await;
        if let Err(error) = result {
            tracing::error!(request = %name, %error, "work on a request of the outbox failed; it is tried again later");
            // Still due: without a pause the target would be asked over and over.
            tokio::time::sleep(PAUSE).await;
        }
        drop(place);
    }

    async fn try_ask(&self, name: &RequestName, target: &Target) -> Result<(), StoreError> {
        let wanted = name.clone();
        let loaded = self.store().read(move |r| {
            let Some(request) = r.request(&wanted)? else { return Ok(None) };
            let content = request.message.map(|message| r.message(message)).transpose()?;
            Ok(Some((request, content)))
        });
        let (request, content) = match loaded.await {
            Ok(Some(loaded)) => loaded,
            Ok(None) => return Ok(()),
            Err(error @ (StoreError::Damaged(_) | StoreError::NotFound(_))) => return self.hold(name, error).await,
            Err(error) => return Err(error),
        };
        if request.state != RequestState::Waiting {
            return Ok(());
        }
        if !self.may_ask(name) {
            let said = Said::words(match name.plugin == SERVER {
                true => "the configuration does not name this target for text messages any more",
                false => "the policy does not grant this target to the plugin any more",
            });
            return self.ask_later(target, &request, said, None).await;
        }
        let source: Arc<dyn sigillo_mail::Source> = match &content {
            Some(content) => self.store().segments().pin(content)?,
            None => self.store().segments().clone(),
        };
        let asked = Request {
            // Two plugins may call different things by one key; no name of a plugin has a dot in it.
            key: format!("{}.{}", name.plugin, name.key),
            parameters: request.parameters.clone(),
            content,
            source,
            attempt: request.attempts + 1,
        };
        let attempt = target.attempt(&asked).await;
        let attempt = if name.plugin == SERVER { text_messages::silenced(attempt) } else { attempt };
        self.metrics().outbox_attempt(&name.target, attempt.word());
        match attempt {
            Attempt::Done(said) => self.end(name, reply("done", said), request.attempts + 1).await,
            Attempt::Refused(said) => self.end(name, reply("refused", said), request.attempts + 1).await,
            Attempt::Later { said, wait, .. } => self.ask_later(target, &request, said, wait).await,
        }
    }

    /// One damaged request stops one request.
    async fn hold(&self, name: &RequestName, error: StoreError) -> Result<(), StoreError> {
        tracing::error!(request = %name, %error, "a request of the outbox cannot be read; it is held");
        let (name, why) = (name.clone(), error.to_string());
        self.store().write(move |tx| tx.hold_request(&name, &why)).await
    }

    fn may_ask(&self, name: &RequestName) -> bool {
        if name.plugin == SERVER {
            let gateway = &self.config().provisioning.text_messages;
            return gateway.as_ref().is_some_and(|gateway| gateway.target == name.target);
        }
        let plugin = self.engine().policy().plugins.get(&name.plugin);
        plugin.is_some_and(|plugin| plugin.grants.allows_target(&name.target))
    }

    async fn ask_later(
        &self,
        target: &Target,
        request: &Kept,
        said: Said,
        wait: Option<Duration>,
    ) -> Result<(), StoreError> {
        let now = sigillo_store::commit::now();
        let own = target.options().schedule.wait(request.attempts + 1, request.created ^ now);
        let wait = own.max(wait.unwrap_or_default());
        tracing::info!(request = %request.name, code = said.code, words = said.text, seconds = wait.as_secs(), "asked, will ask again");
        let due = (now + wait.as_millis() as u64).min(request.expires);
        let (name, reply) = (request.name.clone(), reply("", said));
        let written = self.store().write(move |tx| tx.postpone_request(&name, due, &reply)).await;
        settled(written)
    }

    async fn end(&self, name: &RequestName, reply: Reply, attempts: u32) -> Result<(), StoreError> {
        tracing::info!(request = %name, status = reply.status, code = reply.code, words = reply.text, attempts, "a request of the outbox ended");
        self.metrics().outbox_attempt(&name.target, &format!("ended-{}", reply.status));
        self.front_end().note(Happening {
            kind: "outbox",
            component: &name.plugin,
            message_id: &name.key,
            recipients: std::slice::from_ref(&name.target),
            result: &format!("{} {}", reply.status, reply.code.map(|code| code.to_string()).unwrap_or_default()),
            ..Happening::default()
        });
        let name = name.clone();
        let written = self.store().write(move |tx| tx.end_request(&name, &reply)).await;
        settled(written)
    }

    /// Tells the plugin how its request ended; the request leaves in the commit of what the plugin made of it.
    async fn tell(&self, name: RequestName) {
        if let Err(error) = self.try_tell(&name).await {
            tracing::error!(request = %name, %error, "an answer of the outbox could not be handed on; it is tried again");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_tell(&self, name: &RequestName) -> Result<(), StoreError> {
        for _ in 0..=CONFLICTS_MAX {
            let wanted = name.clone();
            let Some(request) = self.store().read(move |r| r.request(&wanted)).await? else { return Ok(()) };
            if request.state != RequestState::Ended {
                return Ok(());
            }
            // The instant is a part of the id: a key that is used again after it was forgotten makes new ids.
            let passage = format!("outbox.{}.{}.{:x}.{}", name.plugin, name.target, request.created, name.key);
            let attempts = request.attempts;
            let run = self.engine().run_answer(&name.plugin, answered(request), &passage).await;
            self.metrics().chain(Stage::Answer, &run);
            let (name, life) = (name.clone(), self.schedule().expire);
            let done = match run.outcome {
                Outcome::Continue => {
                    let commit = move |tx: &mut sigillo_store::Tx<'_>| {
                        tx.finish_request(&name)?;
                        apply::apply(tx, &run, &passage, life)
                    };
                    self.store().write(commit).await
                }
                _ => {
                    let wait = self.schedule().wait(attempts + 1, 0);
                    let due = sigillo_store::commit::now() + wait.as_millis() as u64;
                    let commit = move |tx: &mut sigillo_store::Tx<'_>| {
                        apply::record(tx, &run, &passage)?;
                        tx.postpone_answer(&name, due)
                    };
                    return self.store().write(commit).await;
                }
            };
            match done {
                Err(StoreError::Conflict(_)) => {} // read something that changed: look again
                ended => return ended,
            }
        }
        // Others keep changing what it reads: it comes again, not at once.
        let (name, due) = (name.clone(), sigillo_store::commit::now() + PAUSE.as_millis() as u64);
        self.store().write(move |tx| tx.postpone_answer(&name, due)).await
    }
}

/// How long attempts under way may take to end at a stop.
const GRACE: Duration = Duration::from_secs(10);

fn reply(status: &str, said: Said) -> Reply {
    Reply { status: status.to_owned(), code: said.code, text: said.text, body: said.body.to_vec() }
}

fn answered(request: Kept) -> Answered {
    let attempts = request.ended.map(|at| at.to_string()).map(|at| ("ended".to_owned(), at));
    Answered {
        target: request.name.target,
        key: request.name.key,
        status: request.reply.status,
        code: request.reply.code,
        text: request.reply.text,
        body: request.reply.body.into(),
        properties: attempts.into_iter().collect(),
    }
}

/// An operator was quicker: the request has ended already, and nothing is to be done.
fn settled(written: Result<(), StoreError>) -> Result<(), StoreError> {
    match written {
        Err(StoreError::Conflict(_)) => Ok(()),
        other => other,
    }
}
