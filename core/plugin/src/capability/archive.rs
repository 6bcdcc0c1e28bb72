//! `archive`: copies of messages kept beside the folders of a mailbox.

use std::sync::Arc;

use sigillo_mail::{Mailbox, Rope};
use sigillo_policy::{Stage, is_identifier};
use wasmtime::component::Resource;

use super::{MessageHandle, Refusal, check_key, granted, invalid, limit, off_thread};
use crate::changes::{ArchiveOp, Direction, Kept};
use crate::limits;
use crate::passage::{Passage, with_return_path};
use crate::services::{ArchiveItem, MailboxStatus};
use crate::step::StepState;
use crate::view;
use crate::world::mail::archive::{Host, Item, Totals};
use crate::world::mail::types::Error;

/// What one item costs a guest beside its strings, octets.
const ITEM_COST: u64 = 96;

impl Host for StepState {
    async fn keep(
        &mut self,
        mailbox: String,
        key: String,
        direction: String,
        message: Resource<MessageHandle>,
        properties: Vec<(String, String)>,
    ) -> Result<String, Refusal> {
        self.may_use_archive()?;
        let words: usize = properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.writes((mailbox.len() + key.len() + words) as u64)?;
        check_key(&key)?;
        check_properties(&properties)?;
        let direction = Direction::of(&direction).ok_or_else(|| invalid("a direction is `received` or `sent`"))?;
        let mailbox = mailbox_of(&mailbox)?;
        let services = self.services();
        if matches!(services.mailbox_status(&mailbox).await?, MailboxStatus::Unknown | MailboxStatus::Remote) {
            return Err(Refusal::Told(Error::NotFound));
        }
        let own = |op: &ArchiveOp| match op {
            ArchiveOp::Keep(kept) if kept.mailbox == mailbox && kept.key == key => Some(kept.id.clone()),
            _ => None,
        };
        if let Some(id) = self.recorded.archive.iter().find_map(own) {
            return Ok(id);
        }
        if let Some(id) = services.archive_find(&mailbox, &key).await? {
            return Ok(id);
        }
        self.room(|op| matches!(op, ArchiveOp::Keep(_)), limits::KEEPS_PER_STEP_MAX, "keeps")?;
        let content = self.as_filed(&message)?;
        self.reads(content.len())?;
        let (bytes, source) = (content.clone(), self.source());
        let sha256 = off_thread(content.len(), move || bytes.sha256(&*source)).await??;
        let at_ms = self.now_ms();
        let id = format!("{at_ms:012x}.{}", self.derived_id("archive", &format!("{mailbox}\0{key}")));
        let kept = Kept { id: id.clone(), mailbox, key, direction, content, sha256, at_ms, properties };
        self.recorded.archive.push(ArchiveOp::Keep(kept));
        Ok(id)
    }

    async fn usage(&mut self, mailbox: String) -> Result<Totals, Refusal> {
        self.may_use_archive()?;
        let mailbox = mailbox_of(&mailbox)?;
        let found = self.services().archive_usage(&mailbox).await?;
        Ok(Totals { used: found.used, count: found.count, oldest: found.oldest_ms })
    }

    async fn items(
        &mut self,
        mailbox: String,
        before: u64,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Item>, Refusal> {
        self.may_use_archive()?;
        let mailbox = mailbox_of(&mailbox)?;
        let limit = limit.min(limits::ARCHIVE_PAGE_MAX);
        let items = self.services().archive_items(&mailbox, before, after.as_deref(), limit).await?;
        let cost = |item: &ArchiveItem| {
            let words: usize = item.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
            ITEM_COST + (item.id.len() + item.mailbox.len() + words) as u64
        };
        self.reads(items.iter().map(cost).sum())?;
        Ok(items.into_iter().map(told).collect())
    }

    async fn mailboxes(&mut self, after: Option<String>, limit: u32) -> Result<Vec<String>, Refusal> {
        self.may_use_archive()?;
        let limit = limit.min(limits::ARCHIVE_PAGE_MAX);
        let found = self.services().archive_mailboxes(after.as_deref(), limit).await?;
        self.reads(found.iter().map(|mailbox| mailbox.len() as u64).sum())?;
        Ok(found)
    }

    async fn open(&mut self, mailbox: String, id: String) -> Result<Resource<MessageHandle>, Refusal> {
        self.may_use_archive()?;
        let mailbox = mailbox_of(&mailbox)?;
        check_key(&id)?;
        let rope = self.services().archive_open(&mailbox, &id).await?;
        // Its structure is found by reading all of it.
        self.reads(rope.len())?;
        let view = view::parsed(rope, self.source()).await.map_err(|why| Refusal::Told(Error::Unavailable(why)))?;
        Ok(self.table.push(MessageHandle(Arc::new(view)))?)
    }

    async fn release(&mut self, mailbox: String, id: String) -> Result<(), Refusal> {
        self.may_use_archive()?;
        self.writes((mailbox.len() + id.len()) as u64)?;
        let mailbox = mailbox_of(&mailbox)?;
        check_key(&id)?;
        self.room(|op| matches!(op, ArchiveOp::Release { .. }), limits::RELEASES_PER_STEP_MAX, "lets go")?;
        self.recorded.archive.push(ArchiveOp::Release { mailbox, id });
        Ok(())
    }
}

impl StepState {
    fn may_use_archive(&mut self) -> Result<(), Refusal> {
        self.call()?;
        granted(self.grants().archive)
    }

    fn room(&self, which: impl Fn(&ArchiveOp) -> bool, max: usize, does: &str) -> Result<(), Refusal> {
        match self.recorded.archive.iter().filter(|op| which(op)).count() < max {
            true => Ok(()),
            false => Err(limit(format!("a step {does} at most {max} copies"))),
        }
    }

    /// The bytes of a message; of the one in hand at `delivery`, those that the mailbox gets.
    fn as_filed(&self, message: &Resource<MessageHandle>) -> Result<Rope, Refusal> {
        let view = self.view(message)?;
        let in_hand = self.message_in_hand().is_ok_and(|hand| Arc::ptr_eq(hand, &view));
        match (self.stage(), self.passage()) {
            (Some(Stage::Delivery), Ok(Passage::Delivery { reverse_path, .. })) if in_hand => {
                Ok(with_return_path(reverse_path, &view.rope))
            }
            _ => Ok(view.rope.clone()),
        }
    }
}

/// An address as mailboxes are named.
fn mailbox_of(text: &str) -> Result<String, Refusal> {
    if text.len() > limits::KEY_MAX {
        return Err(invalid("no address is so long"));
    }
    let mailbox: Mailbox = text.parse().map_err(|error| invalid(format!("the mailbox: {error}")))?;
    Ok(mailbox.key())
}

fn check_properties(properties: &[(String, String)]) -> Result<(), Refusal> {
    if properties.len() > limits::PROPERTIES_MAX {
        return Err(limit(format!("a copy has at most {} properties", limits::PROPERTIES_MAX)));
    }
    for (index, (name, value)) in properties.iter().enumerate() {
        if !is_identifier(name) {
            return Err(invalid(
                "the name of a property has 1 to 64 lower-case letters, digits and `-`, a letter first",
            ));
        }
        if properties[..index].iter().any(|(other, _)| other == name) {
            return Err(invalid(format!("the property `{name}` stands twice")));
        }
        if value.len() > limits::PROPERTY_MAX || value.chars().any(char::is_control) {
            return Err(invalid(format!("`{name}` is not one line of at most {} octets", limits::PROPERTY_MAX)));
        }
    }
    Ok(())
}

fn told(item: ArchiveItem) -> Item {
    Item {
        id: item.id,
        mailbox: item.mailbox,
        direction: item.direction.word().to_owned(),
        kept: item.at_ms,
        size: item.size,
        sha256: item.sha256.to_vec(),
        properties: item.properties,
    }
}
