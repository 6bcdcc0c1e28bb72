//! `outbox`: requests to targets that a guest names and never speaks to, and how they ended.

use wasmtime::component::Resource;

use super::{ContentHandle, Refusal, granted, invalid, limit};
use crate::changes::OutboxRequest;
use crate::limits;
use crate::passage::Answered;
use crate::services::ServiceError;
use crate::step::StepState;
use crate::world::mail::outbox::Host;
use crate::world::mail::passage::HostAnswer;
use crate::world::mail::types::Error;

/// How a request ended: there is one per `answer` step.
pub struct AnswerHandle(pub Answered);

impl Host for StepState {
    fn known(&mut self, target: String) -> wasmtime::Result<bool> {
        self.call()?;
        Ok(self.grants().allows_target(&target) && self.services().outbox_known(&target))
    }

    async fn queue(
        &mut self,
        target: String,
        key: String,
        parameters: Vec<(String, String)>,
        content: Option<Resource<ContentHandle>>,
    ) -> Result<(), Refusal> {
        self.call()?;
        let octets = parameters.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.writes((target.len() + key.len() + octets) as u64)?;
        granted(self.grants().allows_target(&target))?;
        if !is_key(&key) {
            let most = limits::OUTBOX_KEY_MAX;
            return Err(invalid(format!("a key has 1 to {most} letters, digits, '-', '.' and '_'")));
        }
        if octets > limits::OUTBOX_PARAMETERS_MAX || parameters.len() > limits::OUTBOX_PARAMETER_COUNT_MAX {
            return Err(limit(format!(
                "a request has at most {} parameters of {} octets together",
                limits::OUTBOX_PARAMETER_COUNT_MAX,
                limits::OUTBOX_PARAMETERS_MAX
            )));
        }
        let content = content.map(|content| self.content(&content)).transpose()?;
        let recorded = self.recorded.outbox.len();
        if recorded >= limits::OUTBOX_PER_STEP_MAX {
            return Err(limit(format!("a step queues at most {} requests", limits::OUTBOX_PER_STEP_MAX)));
        }
        let (services, plugin) = (self.services(), self.plugin_name());
        let size = content.as_ref().map(sigillo_mail::Rope::len);
        let life_ms = services.outbox_check(&target, &parameters, size).map_err(no_such_target)?;
        let waiting = services.outbox_waiting(&plugin).await?;
        if waiting.saturating_add(recorded as u64) >= limits::OUTBOX_WAITING_MAX {
            return Err(limit(format!("{} requests of this plugin wait already", limits::OUTBOX_WAITING_MAX)));
        }
        if !self.recorded.outbox.iter().any(|other| other.target == target && other.key == key) {
            self.recorded.outbox.push(OutboxRequest { target, key, parameters, content, life_ms });
        }
        Ok(())
    }

    async fn fetch(
        &mut self,
        target: String,
        parameters: Vec<(String, String)>,
        offset: u64,
        length: u64,
    ) -> Result<Resource<ContentHandle>, Refusal> {
        self.call()?;
        let octets = parameters.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.writes((target.len() + octets) as u64)?;
        granted(self.grants().allows_target(&target))?;
        if octets > limits::OUTBOX_PARAMETERS_MAX || length > limits::CONTENT_MAX {
            return Err(limit(format!("at most {} octets are read back at once", limits::CONTENT_MAX)));
        }
        self.reads(length)?;
        let rope = self.services().outbox_fetch(&target, parameters, offset, length).await?;
        Ok(self.table.push(ContentHandle::of(rope))?)
    }
}

/// Letters, digits and `-._`: a key stands in header fields and file names.
fn is_key(key: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"-._".contains(&octet);
    !key.is_empty() && key.len() <= limits::OUTBOX_KEY_MAX && key.bytes().all(fits)
}

/// A target that is granted and does not exist looks like one that is not granted.
fn no_such_target(error: ServiceError) -> Refusal {
    match error {
        ServiceError::NotFound => Refusal::Told(Error::Denied),
        error => error.into(),
    }
}

impl StepState {
    fn answered(&mut self, this: &Resource<AnswerHandle>) -> wasmtime::Result<Answered> {
        self.call()?;
        Ok(self.table.get(this)?.0.clone())
    }
}

impl HostAnswer for StepState {
    fn target(&mut self, this: Resource<AnswerHandle>) -> wasmtime::Result<String> {
        Ok(self.answered(&this)?.target)
    }

    fn key(&mut self, this: Resource<AnswerHandle>) -> wasmtime::Result<String> {
        Ok(self.answered(&this)?.key)
    }

    fn status(&mut self, this: Resource<AnswerHandle>) -> wasmtime::Result<String> {
        Ok(self.answered(&this)?.status)
    }

    fn code(&mut self, this: Resource<AnswerHandle>) -> wasmtime::Result<Option<u32>> {
        Ok(self.answered(&this)?.code)
    }

    fn text(&mut self, this: Resource<AnswerHandle>) -> wasmtime::Result<String> {
        let text = self.answered(&this)?.text;
        self.reads(text.len() as u64)?;
        Ok(text)
    }

    fn body(&mut self, this: Resource<AnswerHandle>) -> wasmtime::Result<Vec<u8>> {
        let body = self.answered(&this)?.body;
        self.reads(body.len() as u64)?;
        Ok(body.to_vec())
    }

    fn property(&mut self, this: Resource<AnswerHandle>, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.answered(&this)?.properties.get(&name).cloned())
    }

    fn drop(&mut self, this: Resource<AnswerHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_can_stand_in_a_header_field_and_a_file_name() {
        let longest = "x".repeat(limits::OUTBOX_KEY_MAX);
        assert!(is_key("digest-1a.2_B") && is_key(&longest));
        for wrong in ["", "a b", "a/b", "a\r\nb", "é", &format!("{longest}x")] {
            assert!(!is_key(wrong), "{wrong:?}");
        }
    }
}
