//! `passage.request`: what somebody asks of a plugin, beside all mail.

use wasmtime::component::Resource;

use super::{ContentHandle, MessageHandle, Refusal, invalid};
use crate::operation::Request;
use crate::step::StepState;
use crate::world::mail::passage::HostRequest;

/// The request in hand: there is one per step.
pub struct RequestHandle;

impl HostRequest for StepState {
    fn name(&mut self, _: Resource<RequestHandle>) -> wasmtime::Result<String> {
        self.call()?;
        Ok(self.asked()?.operation.clone())
    }

    fn actor(&mut self, _: Resource<RequestHandle>) -> wasmtime::Result<String> {
        self.call()?;
        Ok(self.asked()?.actor.clone())
    }

    fn argument(&mut self, _: Resource<RequestHandle>, name: String) -> wasmtime::Result<Option<String>> {
        self.call()?;
        let value = self.asked()?.arguments.iter().find(|(given, _)| *given == name).map(|(_, value)| value.clone());
        self.reads(value.as_ref().map_or(0, |value| value.len() as u64))?;
        Ok(value)
    }

    fn arguments(&mut self, _: Resource<RequestHandle>) -> wasmtime::Result<Vec<(String, String)>> {
        self.call()?;
        let arguments = self.asked()?.arguments.clone();
        self.reads(arguments.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum())?;
        Ok(arguments)
    }

    fn message(&mut self, _: Resource<RequestHandle>) -> wasmtime::Result<Option<Resource<MessageHandle>>> {
        self.call()?;
        let Some(view) = self.message_if_any().cloned() else { return Ok(None) };
        Ok(Some(self.table.push(MessageHandle(view))?))
    }

    fn output(&mut self, _: Resource<RequestHandle>, content: Resource<ContentHandle>) -> Result<(), Refusal> {
        self.call()?;
        let rope = self.content(&content)?;
        if self.recorded.output.is_some() {
            return Err(invalid("an answer has at most one output"));
        }
        self.recorded.output = Some(rope);
        Ok(())
    }

    fn property(&mut self, _: Resource<RequestHandle>, name: String) -> wasmtime::Result<Option<String>> {
        self.call()?;
        let value = self.asked()?.properties.get(&name).cloned();
        self.reads(value.as_ref().map_or(0, |value| value.len() as u64))?;
        Ok(value)
    }

    fn drop(&mut self, this: Resource<RequestHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl StepState {
    fn asked(&self) -> wasmtime::Result<&Request> {
        self.request().ok_or_else(|| wasmtime::Error::msg("no request in hand"))
    }
}
