//! One message through one chain of the `access` or `reception` stage, and the commit that ends it.
//!
//! A session waits for it before the reply to DATA; the dispatcher runs it for what the server carries itself. The
//! chain and the commit are repeated when something the chain read has changed meanwhile.

use std::sync::Arc;
use std::time::Duration;

use sigillo_delivery::Failed;
use sigillo_mail::structure::Structure;
use sigillo_mail::{EnhancedCode, Failure, ReversePath, Rope};
use sigillo_plugin::{ChainRun, Outcome, Passage};
use sigillo_policy::{Facts, Stage};
use sigillo_store::{Phase, StoreError, Tx};

use crate::answers::Answers;
use crate::apply;
use crate::origin::Letter;
use crate::report;
use crate::server::Server;

/// How often a chain is run anew because what it read had changed: more means that something is wrong.
pub const CONFLICTS_MAX: usize = 5;

/// Who waits for the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// An SMTP session, which gives the answer to its peer.
    Session,
    /// An entry of the queue in this phase.
    Queue(Phase),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The server has taken responsibility, and that is on disk.
    Taken,
    /// Nothing was taken; from the queue, the sender was told.
    Refused(Failure),
    /// Nothing was taken yet.
    Deferred(Failure),
}

impl Server {
    /// Runs the chain of `stage` over a letter and commits what came of it.
    pub async fn pass(
        &self,
        letter: Letter,
        structure: Arc<Structure>,
        stage: Stage,
        waiting: Waiting,
    ) -> Result<Ending, StoreError> {
        let letter = Arc::new(letter);
        let mut tries = 0;
        loop {
            let facts = self.letter_facts(&letter)?;
            let run = self.run_chain(stage, &facts, passage(&letter, &structure)).await;
            let commit = Commit {
                letter: letter.clone(),
                header: structure.header().as_bytes().clone(),
                stage,
                waiting,
                life: self.schedule().expire,
                hostname: self.hostname().to_owned(),
                answers: Answers::of(&letter, &structure),
            };
            match self.store().write(move |tx| commit.conclude(tx, &run)).await {
                Err(StoreError::Conflict(what)) if tries < CONFLICTS_MAX => {
                    tries += 1;
                    tracing::debug!(id = %letter.id, %what, tries, "the chain runs anew");
                }
                ended => return ended,
            }
        }
    }
}

impl Server {
    /// Runs the chain of a stage, counts its cost, and holds the message if the steps that ran are not exactly those
    /// that the policy declares (attack E5): a step that was left out by a fault must not go unnoticed.
    pub(crate) async fn run_chain(&self, stage: Stage, facts: &Facts, passage: Passage) -> ChainRun {
        let mut run = self.engine().run(stage, facts, passage).await;
        self.metrics().chain(stage, &run);
        let declared: Vec<&str> = match self.engine().policy().chain(stage, facts) {
            Some(chain) => chain.steps.iter().map(|step| step.plugin.as_str()).collect(),
            None => Vec::new(),
        };
        let ran: Vec<&str> = run.steps.iter().map(|step| step.plugin.as_str()).collect();
        let complete = match run.outcome {
            Outcome::Continue => ran == declared,
            // Every other outcome ends the chain where it was given.
            _ => declared.starts_with(&ran),
        };
        if !complete {
            tracing::error!(%stage, ?declared, ?ran, "the steps that ran are not those that the policy declares");
            run.outcome = Outcome::Hold("the steps that ran are not those that the policy declares".into());
        }
        run
    }
}

fn passage(letter: &Letter, structure: &Arc<Structure>) -> Passage {
    Passage::Transaction {
        id: letter.id.clone(),
        arrival: letter.origin.arrival(),
        identity: letter.origin.identity.clone(),
        reverse_path: letter.reverse_path.to_string(),
        recipients: letter.recipients.iter().map(ToString::to_string).collect(),
        message: letter.content.clone(),
        structure: structure.clone(),
        properties: letter.origin.properties.clone(),
    }
}

/// What the transaction needs, owned.
struct Commit {
    letter: Arc<Letter>,
    header: bytes::Bytes,
    stage: Stage,
    waiting: Waiting,
    life: Duration,
    hostname: String,
    answers: Option<Answers>,
}

impl Commit {
    fn conclude(&self, tx: &mut Tx<'_>, run: &ChainRun) -> Result<Ending, StoreError> {
        let letter = self.letter.as_ref();
        if let Outcome::Defer(reply) = &run.outcome {
            apply::record(tx, run, &letter.id)?;
            return Ok(Ending::Deferred(reply.into()));
        }
        if let Waiting::Queue(phase) = self.waiting {
            tx.take_entry(&letter.id, phase)?;
        }
        let recipients = || letter.recipients.iter().map(ToString::to_string).collect();
        match &run.outcome {
            Outcome::Continue | Outcome::Accept => {
                if let Some(answers) = &self.answers {
                    answers.conclude(tx, letter)?;
                }
                apply::apply(tx, run, &letter.id, self.life)?;
                let result = traced(letter, run);
                match self.stage {
                    Stage::Access => apply::enqueue(tx, &result, self.life)?,
                    _ => apply::enqueue_for_delivery(tx, &result, self.life)?,
                }
                if self.waiting == Waiting::Session {
                    let details =
                        [("size", letter.content.len().to_string()), ("client-id", letter.origin.message_id.clone())];
                    apply::log_event(tx, "accepted", &result, recipients(), &details)?;
                }
            }
            Outcome::Discard(reason) => {
                apply::apply(tx, run, &letter.id, self.life)?;
                apply::log_event(tx, "discarded", letter, recipients(), &[("reason", reason.clone())])?;
            }
            Outcome::Quarantine(reason) => {
                self.quarantine(tx, run, reason)?;
                apply::log_event(tx, "quarantined", letter, recipients(), &[("reason", reason.clone())])?;
            }
            Outcome::Hold(reason) => {
                apply::record(tx, run, &letter.id)?;
                let phase = if self.stage == Stage::Access { Phase::Access } else { Phase::Reception };
                apply::enqueue_held(tx, letter, phase, self.life)?;
                apply::log_event(tx, "held", letter, recipients(), &[("reason", reason.clone())])?;
            }
            Outcome::Reject(reply) => {
                let failure = Failure::from(reply);
                self.refuse(tx, run, &failure)?;
                return Ok(Ending::Refused(failure));
            }
            Outcome::Defer(_) => {}
        }
        Ok(Ending::Taken)
    }

    fn quarantine(&self, tx: &mut Tx<'_>, run: &ChainRun, reason: &str) -> Result<(), StoreError> {
        apply::apply_unless_failed(tx, run, &self.letter.id, self.life)?;
        let plugin = run.steps.last().map_or("core", |step| step.plugin.as_str());
        let envelope = serde_json::json!({
            "reverse-path": self.letter.reverse_path.to_string(),
            "recipients": self.letter.recipients,
            "origin": self.letter.origin,
        });
        let message = tx.put_message(&self.letter.content)?;
        tx.quarantine(&self.letter.id, message, &envelope.to_string(), plugin, reason)
    }

    fn refuse(&self, tx: &mut Tx<'_>, run: &ChainRun, failure: &Failure) -> Result<(), StoreError> {
        // Of a refusal the run holds only what the refusing step itself asked for.
        apply::apply(tx, run, &self.letter.id, self.life)?;
        let reason = [("reason", failure.to_string())];
        let recipients = self.letter.recipients.iter().map(ToString::to_string).collect();
        apply::log_event(tx, "refused", &self.letter, recipients, &reason)?;
        if self.waiting == Waiting::Session || self.letter.reverse_path == ReversePath::Null {
            return Ok(()); // the peer tells its user, or nobody is to be told
        }
        let failed = |recipient: &sigillo_mail::Mailbox| Failed {
            recipient: recipient.clone(),
            failure: failure.clone(),
            host: None,
        };
        let failed: Vec<Failed> = self.letter.recipients.iter().map(failed).collect();
        report::enqueue(tx, &self.hostname, &self.letter, &self.header, &failed, self.life)
    }
}

/// RFC 5321 §4.4: the trace goes above everything, also above what a plugin put in the message's place, so that what a
/// plugin signs or certifies is the message as it was handed in, byte for byte.
fn traced(letter: &Letter, run: &ChainRun) -> Letter {
    let mut origin = letter.origin.clone();
    let content = match origin.trace.take() {
        None => run.message.clone(),
        Some(trace) => {
            let mut rope = Rope::from_bytes(trace);
            rope.append(&run.message);
            rope
        }
    };
    // A chain may have made another message of it, with an id and a subject of its own.
    let origin = match &run.structure {
        Some(structure) => origin.of(structure),
        None => origin,
    };
    Letter { origin, content, ..letter.clone() }
}

/// More trace fields than this mean a loop (RFC 5321 §6.3 wants at least 100).
pub const HOPS_MAX: usize = 100;

/// Refuses a message that goes in circles.
pub fn check_loop(structure: &Structure) -> Result<(), Failure> {
    if structure.header().count("received") > HOPS_MAX {
        // RFC 3463 §3.5: 5.4.6, routing loop detected.
        return Err(Failure::permanent(EnhancedCode(5, 4, 6), "Too many hops: the message goes in circles"));
    }
    Ok(())
}
