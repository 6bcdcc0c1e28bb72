//! `passage`: what the server knows of a message's way, and the edits.

use wasmtime::component::Resource;

use super::{ContentHandle, MessageHandle, Refusal, invalid, limit};
use crate::check;
use crate::limits;
use crate::passage::Passage;
use crate::step::StepState;
use crate::world::mail::passage::{Host, HostDelivery, HostInspection, HostTransaction};

/// The transaction in hand: there is one per step.
pub struct TransactionHandle;

/// The delivery in hand: there is one per step.
pub struct DeliveryHandle;

/// The message that a command looks at: there is one per command.
pub struct InspectionHandle;

impl Host for StepState {}

impl HostTransaction for StepState {
    fn id(&mut self, _: Resource<TransactionHandle>) -> wasmtime::Result<String> {
        self.call()?;
        Ok(self.passage()?.id().to_owned())
    }

    fn arrival(&mut self, _: Resource<TransactionHandle>) -> wasmtime::Result<String> {
        self.call()?;
        match self.passage()? {
            Passage::Transaction { arrival, .. } => Ok(arrival.word().to_owned()),
            _ => Err(foreign()),
        }
    }

    fn identity(&mut self, _: Resource<TransactionHandle>) -> wasmtime::Result<Option<String>> {
        self.call()?;
        match self.passage()? {
            Passage::Transaction { identity, .. } => Ok(identity.clone()),
            _ => Err(foreign()),
        }
    }

    fn reverse_path(&mut self, _: Resource<TransactionHandle>) -> wasmtime::Result<String> {
        self.any_reverse_path()
    }

    fn recipients(&mut self, _: Resource<TransactionHandle>) -> wasmtime::Result<Vec<String>> {
        self.call()?;
        let recipients = match self.passage()? {
            Passage::Transaction { recipients, .. } => recipients.clone(),
            _ => return Err(foreign()),
        };
        self.reads(recipients.iter().map(|recipient| recipient.len() as u64).sum())?;
        Ok(recipients)
    }

    fn message(&mut self, _: Resource<TransactionHandle>) -> wasmtime::Result<Resource<MessageHandle>> {
        self.any_message()
    }

    fn property(&mut self, _: Resource<TransactionHandle>, name: String) -> wasmtime::Result<Option<String>> {
        self.any_property(&name)
    }

    fn prepend_header(&mut self, _: Resource<TransactionHandle>, name: String, value: Vec<u8>) -> Result<(), Refusal> {
        self.call()?;
        self.prepend(&name, &value)
    }

    fn replace_content(
        &mut self,
        _: Resource<TransactionHandle>,
        content: Resource<ContentHandle>,
    ) -> Result<(), Refusal> {
        self.call()?;
        self.replace(&content)
    }

    fn annotate(&mut self, _: Resource<TransactionHandle>, name: String, value: String) -> Result<(), Refusal> {
        self.call()?;
        self.leave(name, value)
    }

    fn drop(&mut self, this: Resource<TransactionHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl HostDelivery for StepState {
    fn id(&mut self, _: Resource<DeliveryHandle>) -> wasmtime::Result<String> {
        self.call()?;
        Ok(self.passage()?.id().to_owned())
    }

    fn reverse_path(&mut self, _: Resource<DeliveryHandle>) -> wasmtime::Result<String> {
        self.any_reverse_path()
    }

    fn recipient(&mut self, _: Resource<DeliveryHandle>) -> wasmtime::Result<String> {
        self.call()?;
        match self.passage()? {
            Passage::Delivery { recipient, .. } => Ok(recipient.clone()),
            _ => Err(foreign()),
        }
    }

    fn message(&mut self, _: Resource<DeliveryHandle>) -> wasmtime::Result<Resource<MessageHandle>> {
        self.any_message()
    }

    fn attempt(&mut self, _: Resource<DeliveryHandle>) -> wasmtime::Result<u32> {
        self.call()?;
        match self.passage()? {
            Passage::Delivery { attempt, .. } => Ok(*attempt),
            _ => Err(foreign()),
        }
    }

    fn status(&mut self, _: Resource<DeliveryHandle>) -> wasmtime::Result<String> {
        self.call()?;
        match self.passage()? {
            Passage::Delivery { status, .. } => Ok(status.clone()),
            _ => Err(foreign()),
        }
    }

    fn property(&mut self, _: Resource<DeliveryHandle>, name: String) -> wasmtime::Result<Option<String>> {
        self.any_property(&name)
    }

    fn prepend_header(&mut self, _: Resource<DeliveryHandle>, name: String, value: Vec<u8>) -> Result<(), Refusal> {
        self.call()?;
        self.at_delivery()?;
        self.prepend(&name, &value)
    }

    fn replace_content(
        &mut self,
        _: Resource<DeliveryHandle>,
        content: Resource<ContentHandle>,
    ) -> Result<(), Refusal> {
        self.call()?;
        self.at_delivery()?;
        self.replace(&content)
    }

    fn file_into(&mut self, _: Resource<DeliveryHandle>, folder: String) -> Result<(), Refusal> {
        self.call()?;
        self.at_delivery()?;
        if folder.is_empty() || folder.len() > limits::FOLDER_MAX || folder.chars().any(char::is_control) {
            return Err(invalid(format!("a folder's name has 1 to {} printable octets", limits::FOLDER_MAX)));
        }
        self.recorded.file_into = Some(folder);
        Ok(())
    }

    fn add_flag(&mut self, _: Resource<DeliveryHandle>, flag: String) -> Result<(), Refusal> {
        self.call()?;
        self.at_delivery()?;
        check::flag(&flag).map_err(invalid)?;
        if self.recorded.flags.iter().any(|set| set.eq_ignore_ascii_case(&flag)) {
            return Ok(());
        }
        if self.recorded.flags.len() >= limits::FLAGS_PER_STEP_MAX {
            return Err(limit(format!("a step sets at most {} flags", limits::FLAGS_PER_STEP_MAX)));
        }
        self.recorded.flags.push(flag);
        Ok(())
    }

    fn annotate(&mut self, _: Resource<DeliveryHandle>, name: String, value: String) -> Result<(), Refusal> {
        self.call()?;
        self.leave(name, value)
    }

    fn drop(&mut self, this: Resource<DeliveryHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl HostInspection for StepState {
    fn message(&mut self, _: Resource<InspectionHandle>) -> wasmtime::Result<Resource<MessageHandle>> {
        self.any_message()
    }

    fn property(&mut self, _: Resource<InspectionHandle>, name: String) -> wasmtime::Result<Option<String>> {
        self.any_property(&name)
    }

    fn drop(&mut self, this: Resource<InspectionHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl StepState {
    fn any_reverse_path(&mut self) -> wasmtime::Result<String> {
        self.call()?;
        match self.passage()? {
            Passage::Transaction { reverse_path, .. } | Passage::Delivery { reverse_path, .. } => {
                Ok(reverse_path.clone())
            }
            Passage::Inspection { .. } => Err(foreign()),
        }
    }

    fn any_message(&mut self) -> wasmtime::Result<Resource<MessageHandle>> {
        self.call()?;
        let view = self.message_in_hand()?.clone();
        Ok(self.table.push(MessageHandle(view))?)
    }

    fn any_property(&mut self, name: &str) -> wasmtime::Result<Option<String>> {
        self.call()?;
        // The server's own facts first: no plugin can put another in their place.
        let value = self.passage()?.property(name).or_else(|| self.annotation(name)).cloned();
        self.reads(value.as_ref().map_or(0, |value| value.len() as u64))?;
        Ok(value)
    }

    /// After the message is filed or has left, there is nothing to change.
    fn at_delivery(&self) -> Result<(), Refusal> {
        if self.edits_allowed() { Ok(()) } else { Err(invalid("only at the stage `delivery`")) }
    }

    fn prepend(&mut self, name: &str, value: &[u8]) -> Result<(), Refusal> {
        self.writes((name.len() + value.len()) as u64)?;
        let field = check::header_field(name, value).map_err(invalid)?;
        if self.recorded.fields.len() >= limits::FIELDS_PER_STEP_MAX {
            return Err(limit(format!("a step adds at most {} header fields", limits::FIELDS_PER_STEP_MAX)));
        }
        self.recorded.fields.push(field);
        Ok(())
    }

    fn leave(&mut self, name: String, value: String) -> Result<(), Refusal> {
        self.writes((name.len() + value.len()) as u64)?;
        check::annotation(&name, &value).map_err(invalid)?;
        let left = &mut self.recorded.annotations;
        if left.len() >= limits::ANNOTATIONS_PER_STEP_MAX && !left.contains_key(&name) {
            return Err(limit(format!("a step leaves at most {} facts", limits::ANNOTATIONS_PER_STEP_MAX)));
        }
        left.insert(name, value);
        Ok(())
    }

    fn replace(&mut self, content: &Resource<ContentHandle>) -> Result<(), Refusal> {
        let rope = self.mail_content(content)?;
        check::line_ends(&rope, &*self.source())?.map_err(invalid)?;
        if self.recorded.replacement.is_some() {
            return Err(invalid("the content was already replaced in this step"));
        }
        self.recorded.replacement = Some(rope);
        Ok(())
    }
}

/// A handle of the other kind cannot be had; if one is, the guest ends.
fn foreign() -> wasmtime::Error {
    wasmtime::Error::msg("a handle of another stage")
}
