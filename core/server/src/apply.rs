//! Turns what a chain wants into rows: the one place where a plugin's wishes meet the store.
//!
//! Everything here runs inside one transaction together with the progress of the message, so that an effect and the
//! step that caused it are durable together or not at all.

use std::collections::BTreeMap;
use std::time::Duration;

use sigillo_mail::Mailbox;
use sigillo_plugin::{ArchiveOp, ChainRun, ChangeSet, Suspension, TimerOp};
use sigillo_store::archive::NewCopy;
use sigillo_store::evidence::NewEvent;
use sigillo_store::outbox::{NewRequest, RequestName};
use sigillo_store::{DomainClass, MessageId, NewEntry, Phase, StoreError, Tx};

use crate::origin::{Letter, Origin, Way};

/// Where recipients of one letter live, so that each kind goes its own way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Home {
    Certified,
    Ordinary,
    /// In an ordinary domain, and no mailbox: it may be a plugin's, which takes the whole message for its own, so each
    /// such recipient goes alone.
    Stray(String),
    Remote,
}

impl Home {
    /// What tells the entries of one letter apart.
    fn word(&self, index: usize) -> String {
        match self {
            Home::Certified => "certified".into(),
            Home::Ordinary => "ordinary".into(),
            Home::Stray(_) => format!("stray{index}"),
            Home::Remote => "remote".into(),
        }
    }
}

/// Records the steps of a run and does what its change sets ask.
pub fn apply(tx: &mut Tx<'_>, run: &ChainRun, passage: &str, life: Duration) -> Result<(), StoreError> {
    for set in &run.change_sets {
        apply_set(tx, set, passage, life)?;
    }
    record(tx, run, passage)
}

/// For a chain that ended before its last step: does what its change sets ask, unless it ended because a step failed.
/// Then the chain did not come to its end, and promises that earlier steps made would be false.
pub fn apply_unless_failed(tx: &mut Tx<'_>, run: &ChainRun, passage: &str, life: Duration) -> Result<(), StoreError> {
    if run.steps.last().is_some_and(|step| step.failure.is_some()) {
        return record(tx, run, passage);
    }
    apply(tx, run, passage, life)
}

/// Records the steps of a run whose change sets do not apply (the message was refused).
pub fn record(tx: &mut Tx<'_>, run: &ChainRun, passage: &str) -> Result<(), StoreError> {
    for step in &run.steps {
        let mut record = serde_json::to_value(step).map_err(|error| StoreError::Invalid(error.to_string()))?;
        record["epoch"] = run.epoch.clone().into();
        record["chain"] = run.chain.clone().into();
        tx.record_step(passage, &record.to_string())?;
    }
    Ok(())
}

fn apply_set(tx: &mut Tx<'_>, set: &ChangeSet, passage: &str, life: Duration) -> Result<(), StoreError> {
    let plugin = set.plugin.as_str();
    for (key, version) in &set.state_reads {
        tx.check_plugin_state(plugin, key, *version)?;
    }
    for write in &set.state_writes {
        tx.set_plugin_state(plugin, &write.key, write.value.as_deref(), write.keep_days)?;
    }
    for timer in &set.timers {
        match timer {
            TimerOp::Set { key, at_ms, payload } => tx.set_timer(plugin, key, *at_ms, payload)?,
            TimerOp::Cancel { key } => tx.cancel_timer(plugin, key)?,
        }
    }
    for request in &set.outbox {
        tx.queue_request(&NewRequest {
            name: RequestName { plugin: plugin.to_owned(), target: request.target.clone(), key: request.key.clone() },
            parameters: request.parameters.clone(),
            content: request.content.clone(),
            expires: tx.now().saturating_add(request.life_ms),
        })?;
    }
    for event in &set.evidence {
        tx.append_evidence(NewEvent {
            message_id: event.message_id.clone(),
            kind: event.kind.clone(),
            sender: event.sender.clone(),
            recipients: event.recipients.clone(),
            subject: event.subject.clone(),
            related: event.related.clone(),
            details: event.details.clone(),
            passage: passage.to_owned(),
            source: plugin.to_owned(),
            ..NewEvent::default()
        })?;
    }
    crate::signatures::append(tx, set, passage)?;
    set.archive.iter().try_for_each(|op| change_archive(tx, op))?;
    for suspension in &set.suspensions {
        suspend(tx, suspension, plugin, passage)?;
    }
    for submission in &set.submissions {
        let letter = Letter {
            id: submission.id.clone(),
            origin: Origin::internal(plugin),
            reverse_path: submission.reverse_path.clone(),
            recipients: submission.recipients.clone(),
            content: submission.content.clone(),
        };
        enqueue(tx, &letter, life)?;
    }
    Ok(())
}

fn change_archive(tx: &mut Tx<'_>, op: &ArchiveOp) -> Result<(), StoreError> {
    match op {
        ArchiveOp::Keep(kept) => {
            let copy = NewCopy {
                id: kept.id.clone(),
                mailbox: kept.mailbox.clone(),
                key: kept.key.clone(),
                direction: kept.direction.word().to_owned(),
                sha256: kept.sha256,
                kept: kept.at_ms,
                properties: kept.properties.clone(),
            };
            tx.archive_keep(&copy, &kept.content)
        }
        ArchiveOp::Release { mailbox, id } => tx.archive_release(mailbox, id).map(drop),
    }
}

/// AS-06: the mailbox is closed to its user in the commit of the step that found it abused. One that has left meanwhile
/// needs no suspension.
fn suspend(tx: &mut Tx<'_>, suspension: &Suspension, plugin: &str, passage: &str) -> Result<(), StoreError> {
    let (address, reason) = (&suspension.address, format!("{plugin}: {}", suspension.reason));
    match tx.suspend_account(address, &reason) {
        Ok(true) => {}
        Ok(false) | Err(StoreError::NotFound(_)) => return Ok(()),
        Err(error) => return Err(error),
    }
    tracing::warn!(mailbox = address, reason, "suspended; `sigillo mailbox enable` opens it again");
    tx.append_evidence(NewEvent {
        kind: "suspended".to_owned(),
        sender: address.clone(),
        result: reason,
        passage: passage.to_owned(),
        source: plugin.to_owned(),
        ..NewEvent::default()
    })?;
    Ok(())
}

/// Puts a letter on its way: to other servers at once, to domains of this server through the reception chain
/// (PEC §3.4: mail within one provider takes every step).
pub fn enqueue(tx: &mut Tx<'_>, letter: &Letter, life: Duration) -> Result<(), StoreError> {
    let mut homes: BTreeMap<Home, Vec<Mailbox>> = BTreeMap::new();
    for recipient in &letter.recipients {
        homes.entry(home(tx, recipient)?).or_default().push(recipient.clone());
    }
    let several = homes.len() > 1;
    let message = tx.put_message(&letter.content)?;
    for (index, (home, recipients)) in homes.into_iter().enumerate() {
        let id = if several { format!("{}.{}", letter.id, home.word(index)) } else { letter.id.clone() };
        let phase = if home == Home::Remote { Phase::Delivery } else { Phase::Reception };
        put_entry(tx, letter, id, recipients, message, phase, life, false)?;
    }
    Ok(())
}

/// Takes a letter of a user that did not come by a session: the access chain runs over it next.
pub fn enqueue_for_access(tx: &mut Tx<'_>, letter: &Letter, life: Duration) -> Result<(), StoreError> {
    let message = tx.put_message(&letter.content)?;
    put_entry(tx, letter, letter.id.clone(), letter.recipients.clone(), message, Phase::Access, life, false)
}

/// Takes a letter whose recipients are all here and whose reception chain has run.
pub fn enqueue_for_delivery(tx: &mut Tx<'_>, letter: &Letter, life: Duration) -> Result<(), StoreError> {
    let message = tx.put_message(&letter.content)?;
    put_entry(tx, letter, letter.id.clone(), letter.recipients.clone(), message, Phase::Delivery, life, false)
}

/// Keeps a letter until an operator releases it; then the chain of `phase` runs anew.
pub fn enqueue_held(tx: &mut Tx<'_>, letter: &Letter, phase: Phase, life: Duration) -> Result<(), StoreError> {
    let message = tx.put_message(&letter.content)?;
    put_entry(tx, letter, letter.id.clone(), letter.recipients.clone(), message, phase, life, true)
}

fn home(tx: &Tx<'_>, recipient: &Mailbox) -> Result<Home, StoreError> {
    let reader = tx.reader();
    Ok(match reader.domain(recipient.domain().as_str())?.map(|domain| domain.class) {
        Some(DomainClass::Certified) => Home::Certified,
        Some(DomainClass::Ordinary) if reader.account(&recipient.key())?.is_none() => Home::Stray(recipient.key()),
        Some(DomainClass::Ordinary) => Home::Ordinary,
        None => Home::Remote,
    })
}

#[expect(clippy::too_many_arguments, reason = "each is one column of the row")]
fn put_entry(
    tx: &mut Tx<'_>,
    letter: &Letter,
    id: String,
    recipients: Vec<Mailbox>,
    message: MessageId,
    phase: Phase,
    life: Duration,
    held: bool,
) -> Result<(), StoreError> {
    let arrival = serde_json::to_string(&letter.origin).map_err(|error| StoreError::Invalid(error.to_string()))?;
    let expires = tx.now().saturating_add(life.as_millis() as u64);
    let reverse_path = letter.reverse_path.clone();
    tx.enqueue(&NewEntry { id, reverse_path, recipients, message, phase, arrival, expires, held })
}

/// Appends an event of the server itself, with the seven data of LOG-01 and the external server of LOG-05: the one that
/// `details` name as `host`, or else the one that the letter came from. Of a submission the login stands there too
/// (BOX-06).
pub fn log_event(
    tx: &mut Tx<'_>,
    kind: &str,
    letter: &Letter,
    recipients: Vec<String>,
    details: &[(&str, String)],
) -> Result<(), StoreError> {
    let user = letter.origin.properties.get(Origin::USER).filter(|_| letter.origin.way == Way::Submission);
    let user = user.map(|login| ("user".to_owned(), login.clone()));
    let detail = |name| details.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
    tx.append_evidence(NewEvent {
        peer: detail("host").unwrap_or_else(|| letter.origin.peer()),
        result: detail("reply").or_else(|| detail("reason")).unwrap_or_default(),
        message_id: letter.origin.message_id.clone(),
        kind: kind.to_owned(),
        sender: letter.reverse_path.to_string(),
        recipients,
        subject: letter.origin.subject.clone(),
        related: vec![letter.id.clone()],
        details: details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).chain(user).collect(),
        passage: letter.id.clone(),
        source: "core".to_owned(),
    })?;
    Ok(())
}
