//! `evidence`: events for the message log.

use super::{Refusal, granted, invalid, limit};
use crate::changes;
use crate::limits;
use crate::step::StepState;
use crate::world::mail::evidence::{Event, Host};

impl Host for StepState {
    fn append(&mut self, event: Event) -> Result<(), Refusal> {
        self.call()?;
        granted(self.grants().evidence)?;
        let size = size(&event);
        self.writes(size as u64)?;
        if size > limits::EVENT_MAX {
            return Err(limit(format!("an event has at most {} octets", limits::EVENT_MAX)));
        }
        if event.kind.is_empty() || !event.kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err(invalid("the kind of an event is a word of letters, digits, '-', '_' and '.'"));
        }
        if self.recorded.evidence.len() >= limits::EVENTS_PER_STEP_MAX {
            return Err(limit(format!("a step appends at most {} events", limits::EVENTS_PER_STEP_MAX)));
        }
        self.recorded.evidence.push(recorded(event));
        Ok(())
    }
}

fn size(event: &Event) -> usize {
    let single = [&event.message_id, &event.kind, &event.sender, &event.subject];
    let details = event.details.iter().flat_map(|(name, value)| [name, value]);
    single.into_iter().chain(&event.recipients).chain(&event.related).chain(details).map(String::len).sum()
}

/// The log writes one record for an event; a line end or another control character in a subject (which any sender
/// chooses) must not make two of it for whoever reads it as text.
fn recorded(event: Event) -> changes::Event {
    let all = |texts: Vec<String>| texts.into_iter().map(plain).collect();
    changes::Event {
        message_id: plain(event.message_id),
        kind: event.kind,
        sender: plain(event.sender),
        recipients: all(event.recipients),
        subject: plain(event.subject),
        related: all(event.related),
        details: event.details.into_iter().map(|(name, value)| (plain(name), plain(value))).collect(),
    }
}

fn plain(text: String) -> String {
    if text.chars().any(char::is_control) { text.replace(char::is_control, " ") } else { text }
}
