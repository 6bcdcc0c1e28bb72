//! `submit`: new messages.

use sigillo_mail::{Mailbox, ReversePath};
use wasmtime::component::Resource;

use super::{ContentHandle, Refusal, check_key, granted, invalid, limit};
use crate::changes::Submission;
use crate::check;
use crate::limits;
use crate::step::StepState;
use crate::world::mail::submit::Host;
use crate::world::mail::types::Error;

impl Host for StepState {
    fn submit(
        &mut self,
        key: String,
        reverse_path: String,
        recipients: Vec<String>,
        content: Resource<ContentHandle>,
    ) -> Result<String, Refusal> {
        self.call()?;
        self.writes((key.len() + reverse_path.len() + recipients.iter().map(String::len).sum::<usize>()) as u64)?;
        check_key(&key)?;
        let reverse_path = self.granted_reverse_path(&reverse_path)?;
        let recipients = parsed(&recipients)?;
        let content = self.mail_content(&content)?;
        check::line_ends(&content, &*self.source())?.map_err(invalid)?;
        if self.recorded.submissions.iter().any(|other| other.key == key) {
            return Err(invalid(format!("a message was already submitted under the key '{key}'")));
        }
        if self.recorded.submissions.len() >= limits::SUBMISSIONS_PER_STEP_MAX {
            return Err(limit(format!("a step submits at most {} messages", limits::SUBMISSIONS_PER_STEP_MAX)));
        }
        let id = self.derived_id("submit", &key);
        self.recorded.submissions.push(Submission { id: id.clone(), key, reverse_path, recipients, content });
        Ok(id)
    }
}

impl StepState {
    /// Null, or one of the granted addresses.
    fn granted_reverse_path(&self, text: &str) -> Result<ReversePath, Refusal> {
        let path = match text.parse::<Mailbox>() {
            Ok(mailbox) => ReversePath::Mailbox(mailbox),
            Err(_) if text.is_empty() => ReversePath::Null,
            // What is no address is no granted one.
            Err(_) => return Err(Refusal::Told(Error::Denied)),
        };
        granted(self.grants().submit.as_ref().is_some_and(|grant| grant.allows(&path)))?;
        Ok(path)
    }
}

/// Addresses of an envelope, without repetitions.
fn parsed(recipients: &[String]) -> Result<Vec<Mailbox>, Refusal> {
    if recipients.is_empty() {
        return Err(invalid("a message has at least one recipient"));
    }
    if recipients.len() > limits::RECIPIENTS_MAX {
        return Err(limit(format!("a message has at most {} recipients", limits::RECIPIENTS_MAX)));
    }
    let mut seen = std::collections::HashSet::new();
    let mut mailboxes = Vec::with_capacity(recipients.len());
    for (index, text) in recipients.iter().enumerate() {
        // The text itself is not repeated: it is what could not be trusted.
        let mailbox: Mailbox = text.parse().map_err(|error| invalid(format!("recipient {index}: {error}")))?;
        if seen.insert(mailbox.key()) {
            mailboxes.push(mailbox);
        }
    }
    Ok(mailboxes)
}
