//! What users moved into and out of the folder for unwanted mail: note → chain → commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use sigillo_plugin::{Outcome, Passage};
use sigillo_policy::{Facts, Stage};
use sigillo_store::StoreError;
use sigillo_store::refiled::{ATTEMPTS_MAX, Refiled};

use crate::apply;
use crate::origin::parse;
use crate::passage::CONFLICTS_MAX;
use crate::server::Server;

impl Server {
    /// Tells one note; it leaves in the commit of what the plugins made of it.
    pub(crate) async fn tell_refiled(&self, note: Refiled) {
        match self.try_to_tell(&note).await {
            Ok(()) | Err(StoreError::Conflict(_)) => {}
            Err(error) => {
                tracing::error!(mailbox = note.account, %error, "a note of a refiled message failed");
                let again = self.later(&note).await;
                if let Err(error) = again {
                    tracing::error!(mailbox = note.account, %error, "and cannot be postponed");
                }
            }
        }
    }

    async fn try_to_tell(&self, note: &Refiled) -> Result<(), StoreError> {
        let id = note.message;
        let content = self.store().look(|r| r.message(id))?;
        let source = self.store().segments().clone();
        let structure = match parse(content.clone(), source).await {
            Ok(structure) => Arc::new(structure),
            // Nothing can be learned of it, now or later.
            Err(_) => return self.give_up_note(note, "it is no message").await,
        };
        // The instant is a part of the id: a row's number comes again, and what a plugin makes must have new ids.
        let passage_id = format!("refiled.{:x}.{}", note.created, note.id);
        let facts = self.refiled_facts(note, content.len())?;
        for _ in 0..=CONFLICTS_MAX {
            let passage = Passage::Delivery {
                id: passage_id.clone(),
                reverse_path: String::new(),
                recipient: note.account.clone(),
                message: content.clone(),
                structure: structure.clone(),
                attempt: note.attempts + 1,
                status: "refiled".to_owned(),
                properties: BTreeMap::from([
                    ("refiled.from".to_owned(), note.from.clone()),
                    ("refiled.to".to_owned(), note.to.clone()),
                ]),
            };
            let run = self.run_chain(Stage::Refiled, &facts, passage).await;
            if !matches!(run.outcome, Outcome::Continue | Outcome::Accept) {
                let id = passage_id.clone();
                self.store().write(move |tx| apply::record(tx, &run, &id)).await?;
                return self.later(note).await;
            }
            let (told, id, life) = (note.clone(), passage_id.clone(), self.schedule().expire);
            let commit = move |tx: &mut sigillo_store::Tx<'_>| {
                tx.finish_refiled(&told)?;
                apply::apply(tx, &run, &id, life)
            };
            match self.store().write(commit).await {
                Err(StoreError::Conflict(_)) => {} // read something that changed: look again
                ended => return ended,
            }
        }
        self.later(note).await
    }

    fn refiled_facts(&self, note: &Refiled, size: u64) -> Result<Facts, StoreError> {
        let mut facts = Facts::new();
        let domain = note.account.rsplit_once('@').map_or("", |(_, domain)| domain);
        if let Some(domain) = self.store().look(|r| r.domain(domain))? {
            facts.set("domain.class", domain.class.as_str()).set("mailbox.class", domain.class.as_str());
        }
        facts
            .set("recipient", note.account.clone())
            .set("recipient.domain", domain.to_owned())
            .set("attempt", u64::from(note.attempts) + 1)
            .set("status", "refiled")
            .set("size", size);
        Ok(facts)
    }

    async fn later(&self, note: &Refiled) -> Result<(), StoreError> {
        if note.attempts + 1 >= ATTEMPTS_MAX {
            return self.give_up_note(note, "the plugins could not be told").await;
        }
        let due = sigillo_store::commit::now() + self.schedule().wait(note.attempts + 1, 0).as_millis() as u64;
        let note = note.clone();
        self.store().write(move |tx| tx.postpone_refiled(&note, due)).await
    }

    async fn give_up_note(&self, note: &Refiled, why: &str) -> Result<(), StoreError> {
        tracing::warn!(mailbox = note.account, why, "a refiled message teaches nothing");
        let note = note.clone();
        self.store().write(move |tx| tx.finish_refiled(&note)).await
    }
}
