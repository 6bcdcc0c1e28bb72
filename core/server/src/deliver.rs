//! One recipient reached: in a mailbox here, or at another server; and what follows when it cannot be.

use std::collections::BTreeMap;
use std::sync::Arc;

use sigillo_delivery::Failed;
use sigillo_mail::structure::Structure;
use sigillo_mail::{EnhancedCode, Envelope, Failure};
use sigillo_plugin::{ChainRun, MailboxStatus, Outcome, Passage, with_return_path};
use sigillo_policy::Stage;
use sigillo_store::queue::Recipient;
use sigillo_store::{Entry, StoreError, Tx};
use tokio::task::JoinSet;

use crate::dispatch::{PAUSE, Work};
use crate::lines::Lines;
use crate::origin::Letter;
use crate::passage::CONFLICTS_MAX;
use crate::quota::Warnings;
use crate::server::Server;
use crate::{apply, report};

/// How often it is tried to note what another server took, most of them with a pause of a second before: then it is noted
/// without what the plugins make of it.
const NOTING_MAX: usize = 60;

impl Server {
    /// The delivery chain and the filing, in one commit: what a plugin says of the delivery is true or is not said.
    pub(crate) async fn deliver_here(&self, work: &Work, recipient: &Recipient) -> Result<(), StoreError> {
        let (mut tries, mut full) = (0, false);
        loop {
            let status = match self.mailbox_status(&recipient.address, work.letter.content.len())? {
                MailboxStatus::Present if full => MailboxStatus::Full,
                status => status,
            };
            let facts = self.recipient_facts(&work.letter, recipient, status.word())?;
            let passage = self.delivery_passage(work, recipient, status.word());
            let run = self.run_chain(Stage::Delivery, &facts, passage).await;
            let filing = Filing {
                letter: work.letter.clone(),
                recipient: recipient.clone(),
                status,
                stored_follows: self.engine().policy().chains.iter().any(|chain| chain.stage == Stage::Stored),
                life: self.schedule().expire,
                warnings: Warnings {
                    marks: self.config().limits.quota_warnings.clone(),
                    hostname: self.hostname().to_owned(),
                },
            };
            let filed = self.store().write(move |tx| filing.conclude(tx, run)).await;
            match filed {
                // The mailbox filled meanwhile, or what the chain made of the message has no room: the chain must know.
                Err(StoreError::Full) if !full => full = true,
                Err(StoreError::Conflict(_)) if tries < CONFLICTS_MAX => tries += 1,
                Err(error) => return Err(error),
                Ok(Filed::Done) => {
                    self.metrics().attempt("filed");
                    return Ok(());
                }
                Ok(Filed::Failed(failure)) if failure.is_permanent() => {
                    let Work { entry, letter, structure } = work;
                    return self.give_up(entry, recipient, letter, structure, failure, None, "failed").await;
                }
                Ok(Filed::Failed(failure)) => {
                    let Work { entry, letter, structure } = work;
                    return self.retry_or_give_up(entry, recipient, letter, structure, failure, None).await;
                }
            }
        }
    }

    /// The `stored` chain, after the commit that filed the message.
    pub(crate) async fn after_filing(&self, work: &Work, recipient: &Recipient) -> Result<(), StoreError> {
        let facts = self.recipient_facts(&work.letter, recipient, "filed")?;
        let passage = self.delivery_passage(work, recipient, "filed");
        let run = self.run_chain(Stage::Stored, &facts, passage).await;
        let entry = &work.entry;
        let now = sigillo_store::commit::now();
        let wait = self.schedule().wait(recipient.attempts + 1, recipient.id as u64 ^ now);
        let due = now + wait.as_millis() as u64;
        // The message is in the mailbox: whatever becomes of this chain, nobody is told that it is not.
        let again = match &run.outcome {
            Outcome::Defer(reply) if due < entry.expires => Some(Failure::from(reply).to_string()),
            Outcome::Hold(reason) => Some(reason.clone()),
            _ => None,
        };
        if let Some(words) = again {
            tracing::warn!(id = %entry.id, recipient = %recipient.address, words, seconds = wait.as_secs(), "the stored chain did not end well; it runs again");
            let (name, id) = (entry.id.clone(), recipient.id);
            return self.store().write(move |tx| tx.reschedule(&name, id, due, &words)).await;
        }
        match &run.outcome {
            Outcome::Continue | Outcome::Accept => {}
            Outcome::Defer(reply) => {
                let words = &reply.text;
                tracing::error!(id = %entry.id, recipient = %recipient.address, words, "the stored chain never ended well; the message is in the mailbox");
            }
            other => {
                tracing::warn!(id = %entry.id, verdict = other.word(), "a verdict that means nothing after filing")
            }
        }
        let (id, life, recipient) = (entry.id.clone(), self.schedule().expire, recipient.id);
        self.store()
            .write(move |tx| {
                tx.settle(&id, recipient)?;
                apply::apply(tx, &run, &id, life)
            })
            .await
    }

    /// Other servers: recipients that share a next hop share a transaction, and no hop waits for another. What finds no
    /// place at its hop stays due.
    pub(crate) async fn deliver_elsewhere(
        self: &Arc<Self>,
        work: Arc<Work>,
        recipients: Vec<Recipient>,
        lines: &Arc<Lines>,
    ) -> Result<(), StoreError> {
        let mut groups: BTreeMap<String, Vec<Recipient>> = BTreeMap::new();
        for recipient in recipients {
            groups.entry(self.courier().router().group(recipient.address.domain())).or_default().push(recipient);
        }
        let mut attempts = JoinSet::new();
        for (hop, group) in groups {
            let Some(place) = lines.enter(hop) else { continue };
            let (server, work) = (self.clone(), work.clone());
            attempts.spawn(async move {
                let _place = place;
                server.hand_over(&work, group).await
            });
        }
        let mut done = Ok(());
        while let Some(ended) = attempts.join_next().await {
            done = done.and(ended.unwrap_or_else(|error| Err(StoreError::Undone(error.to_string()))));
        }
        done
    }

    /// One attempt at one next hop, and what became of each recipient.
    async fn hand_over(&self, work: &Work, group: Vec<Recipient>) -> Result<(), StoreError> {
        let envelope = Envelope {
            reverse_path: work.letter.reverse_path.clone(),
            recipients: group.iter().map(|recipient| recipient.address.clone()).collect(),
            eight_bit: true,
        };
        let source = self.store().segments().clone();
        // PEC §5.3: between providers nothing goes in clear.
        let directory = self.directory();
        let encrypted = group.iter().any(|to| directory.is_certified(to.address.domain().as_str()));
        let attempt = self.courier().attempt(&envelope, &work.letter.content, source, encrypted).await;
        let mut done = Ok(());
        for (recipient, result) in group.iter().zip(attempt.results) {
            let Work { entry, letter, structure } = work;
            let host = attempt.host.clone();
            let settled = match result {
                Ok(words) => self.handed_over(work, recipient, host, words).await,
                Err(failure) if failure.is_permanent() => {
                    self.give_up(entry, recipient, letter, structure, failure, host, "failed").await
                }
                Err(failure) => self.retry_or_give_up(entry, recipient, letter, structure, failure, host).await,
            };
            // What the other side has taken is settled also where something of another recipient went wrong.
            done = done.and(settled);
        }
        done
    }

    /// Another server has the message, which cannot be undone: what the chain reads may change meanwhile as often as it
    /// likes, this is noted before anything else is done with the recipient, or the message would go out a second time.
    async fn handed_over(
        &self,
        work: &Work,
        recipient: &Recipient,
        host: Option<String>,
        words: String,
    ) -> Result<(), StoreError> {
        tracing::info!(id = %work.entry.id, recipient = %recipient.address, host, "delivered");
        self.metrics().attempt("delivered");
        let mut tries = 0;
        loop {
            let outcome = Ended { status: "delivered", code: None, words: &words, host: host.as_deref() };
            let run = self.outcome_chain(&work.letter, &work.structure, recipient, &outcome).await?;
            let (letter, recipient, life) = (work.letter.clone(), recipient.clone(), self.schedule().expire);
            let details = [("host", host.clone().unwrap_or_default()), ("reply", words.clone())];
            let id = recipient.id;
            let settled = self.store().write(move |tx| {
                tx.settle(&letter.id, recipient.id)?;
                if tries < NOTING_MAX {
                    apply::apply(tx, &run, &letter.id, life)?;
                } else {
                    apply::record(tx, &run, &letter.id)?;
                }
                apply::log_event(tx, "delivered", &letter, vec![recipient.address.to_string()], &details)
            });
            match settled.await {
                Err(StoreError::Conflict(_)) if tries < NOTING_MAX && self.is_queued(&work.entry.id, id)? => {}
                Err(StoreError::Undone(_)) if tries < NOTING_MAX => {}
                ended => return ended,
            }
            tries += 1;
            if tries >= CONFLICTS_MAX {
                tokio::time::sleep(PAUSE).await;
            }
            if tries == NOTING_MAX {
                tracing::error!(id = %work.entry.id, "a delivery is settled without what the plugins made of it: what they read keeps changing");
            }
        }
    }

    /// Whether a recipient of an entry still waits.
    fn is_queued(&self, entry: &str, recipient: i64) -> Result<bool, StoreError> {
        let entry = self.store().look(|r| r.entry(entry))?;
        Ok(entry.is_some_and(|entry| entry.recipients.iter().any(|one| one.id == recipient)))
    }

    /// The end of a recipient that cannot be reached. The `outcome` chain may tell the sender in its own way; otherwise
    /// the server reports.
    #[expect(clippy::too_many_arguments, reason = "the facts of one failed recipient")]
    pub(crate) async fn give_up(
        &self,
        entry: &Entry,
        recipient: &Recipient,
        letter: &Letter,
        structure: &Arc<Structure>,
        failure: Failure,
        host: Option<String>,
        status: &'static str,
    ) -> Result<(), StoreError> {
        tracing::info!(id = %entry.id, recipient = %recipient.address, %failure, detail = failure.detail, host, status, "given up");
        self.metrics().attempt(status);
        let mut tries = 0;
        loop {
            let outcome = Ended { status, code: Some(failure.code), words: &failure.words, host: host.as_deref() };
            let run = self.outcome_chain(letter, structure, recipient, &outcome).await?;
            if let Outcome::Defer(reply) = &run.outcome {
                // The plugin that tells the sender could not work: the recipient stays until it can.
                let due =
                    sigillo_store::commit::now() + self.schedule().wait(recipient.attempts + 1, 0).as_millis() as u64;
                let (name, id) = (entry.id.clone(), recipient.id);
                let words = format!("{failure}; not reported yet: {}", reply.text);
                return self.store().write(move |tx| tx.reschedule(&name, id, due, &words)).await;
            }
            if let Outcome::Hold(reason) = &run.outcome {
                // Nor is anybody told by this server what the plugin would have told in its way.
                let (name, id, words) = (entry.id.clone(), recipient.id, format!("{failure}; not reported: {reason}"));
                return self.store().write(move |tx| tx.hold(&name, id, &words)).await;
            }
            let ending = GivingUp {
                letter: letter.clone(),
                header: structure.header().as_bytes().clone(),
                failed: Failed { recipient: recipient.address.clone(), failure: failure.clone(), host: host.clone() },
                recipient: recipient.id,
                hostname: self.hostname().to_owned(),
                life: self.schedule().expire,
            };
            match self.store().write(move |tx| ending.conclude(tx, &run)).await {
                Err(StoreError::Conflict(_)) if tries < CONFLICTS_MAX => tries += 1,
                ended => return ended,
            }
        }
    }

    async fn outcome_chain(
        &self,
        letter: &Letter,
        structure: &Arc<Structure>,
        recipient: &Recipient,
        ended: &Ended<'_>,
    ) -> Result<ChainRun, StoreError> {
        let facts = self.recipient_facts(letter, recipient, ended.status)?;
        let mut properties = letter.origin.properties.clone();
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                properties.insert(format!("outcome.{name}"), value);
            }
        };
        set("enhanced", ended.code.map(|code| code.to_string()));
        set("text", Some(ended.words.to_owned()));
        set("host", ended.host.map(str::to_owned));
        let passage = Passage::Delivery {
            id: letter.id.clone(),
            reverse_path: letter.reverse_path.to_string(),
            recipient: recipient.address.to_string(),
            message: letter.content.clone(),
            structure: structure.clone(),
            attempt: recipient.attempts + 1,
            status: ended.status.to_owned(),
            properties,
        };
        let run = self.run_chain(Stage::Outcome, &facts, passage).await;
        Ok(run)
    }

    fn delivery_passage(&self, work: &Work, recipient: &Recipient, status: &str) -> Passage {
        Passage::Delivery {
            id: work.letter.id.clone(),
            reverse_path: work.letter.reverse_path.to_string(),
            recipient: recipient.address.to_string(),
            message: work.letter.content.clone(),
            structure: work.structure.clone(),
            attempt: recipient.attempts + 1,
            status: status.to_owned(),
            properties: work.letter.origin.properties.clone(),
        }
    }
}

/// How a remote delivery ended.
struct Ended<'a> {
    status: &'static str,
    code: Option<EnhancedCode>,
    words: &'a str,
    host: Option<&'a str>,
}

/// What the filing transaction needs, owned.
struct Filing {
    letter: Letter,
    recipient: Recipient,
    status: MailboxStatus,
    stored_follows: bool,
    life: std::time::Duration,
    warnings: Warnings,
}

enum Filed {
    Done,
    Failed(Failure),
}

impl Filing {
    fn conclude(&self, tx: &mut Tx<'_>, run: ChainRun) -> Result<Filed, StoreError> {
        let letter = &self.letter;
        let address = || vec![self.recipient.address.to_string()];
        match &run.outcome {
            Outcome::Continue | Outcome::Accept => match self.status {
                MailboxStatus::Present => self.file(tx, &run)?,
                status => return Ok(Filed::Failed(undeliverable(status))),
            },
            Outcome::Discard(reason) => {
                tx.settle(&letter.id, self.recipient.id)?;
                apply::apply(tx, &run, &letter.id, self.life)?;
                apply::log_event(tx, "discarded", letter, address(), &[("reason", reason.clone())])?;
            }
            Outcome::Quarantine(reason) => {
                let message = tx.put_message(&letter.content)?;
                tx.settle(&letter.id, self.recipient.id)?;
                apply::apply_unless_failed(tx, &run, &letter.id, self.life)?;
                let plugin = run.steps.last().map_or("core", |step| step.plugin.as_str());
                let envelope = serde_json::json!({
                    "reverse-path": letter.reverse_path.to_string(),
                    "recipients": address(),
                    "origin": letter.origin,
                });
                let id = format!("{}.{}", letter.id, self.recipient.id);
                tx.quarantine(&id, message, &envelope.to_string(), plugin, reason)?;
                apply::log_event(tx, "quarantined", letter, address(), &[("reason", reason.clone())])?;
            }
            Outcome::Hold(reason) => {
                apply::record(tx, &run, &letter.id)?;
                tx.hold(&letter.id, self.recipient.id, reason)?;
            }
            Outcome::Reject(reply) => {
                apply::record(tx, &run, &letter.id)?;
                return Ok(Filed::Failed(reply.into()));
            }
            Outcome::Defer(reply) => {
                apply::record(tx, &run, &letter.id)?;
                return Ok(Filed::Failed(reply.into()));
            }
        }
        Ok(Filed::Done)
    }

    fn file(&self, tx: &mut Tx<'_>, run: &ChainRun) -> Result<(), StoreError> {
        let letter = &self.letter;
        let account = self.recipient.address.key();
        let wanted = run.change_sets.iter().rev().find_map(|set| set.file_into.as_deref()).unwrap_or("INBOX");
        let folder = tx.folder_for_filing(&account, wanted)?;
        let flags: Vec<String> = run.change_sets.iter().flat_map(|set| set.flags.iter().cloned()).collect();
        let message = tx.put_message(&with_return_path(&letter.reverse_path.to_string(), &run.message))?;
        let now = tx.now();
        let uid = tx.file(&account, folder.id, message, &flags, now)?;
        tx.name_message(&account, folder.id, uid, &letter.origin.message_id)?;
        if let Some(inbox) = tx.reader().folder(&account, "INBOX")? {
            self.warnings.tell(tx, &account, inbox.id)?;
        }
        if self.stored_follows {
            tx.mark_filed(&letter.id, self.recipient.id)?;
        } else {
            tx.settle(&letter.id, self.recipient.id)?;
        }
        apply::apply(tx, run, &letter.id, self.life)?;
        let details = [("folder", folder.name), ("uid", uid.to_string())];
        apply::log_event(tx, "filed", letter, vec![self.recipient.address.to_string()], &details)
    }
}

/// What the server says of a mailbox that takes no mail.
pub(crate) fn undeliverable(status: MailboxStatus) -> Failure {
    match status {
        MailboxStatus::Full => Failure::permanent(EnhancedCode::MAILBOX_FULL, "The mailbox is full"),
        MailboxStatus::Disabled => Failure::permanent(EnhancedCode::MAILBOX_DISABLED, "The mailbox takes no mail"),
        _ => Failure::permanent(EnhancedCode::BAD_DESTINATION_MAILBOX, "No such mailbox here"),
    }
}

struct GivingUp {
    letter: Letter,
    header: bytes::Bytes,
    failed: Failed,
    recipient: i64,
    hostname: String,
    life: std::time::Duration,
}

impl GivingUp {
    fn conclude(&self, tx: &mut Tx<'_>, run: &ChainRun) -> Result<(), StoreError> {
        tx.settle(&self.letter.id, self.recipient)?;
        apply::apply(tx, run, &self.letter.id, self.life)?;
        let address = self.failed.recipient.to_string();
        apply::log_event(tx, "failed", &self.letter, vec![address], &[("reason", self.failed.failure.to_string())])?;
        // `discard` at the outcome stage: the plugin has told the sender.
        if matches!(run.outcome, Outcome::Discard(_)) {
            return Ok(());
        }
        report::enqueue(tx, &self.hostname, &self.letter, &self.header, std::slice::from_ref(&self.failed), self.life)
    }
}
