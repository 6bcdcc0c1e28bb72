//! Events for the message log ([PEC §2.3]): the seven data that the rules ask for, one constructor for each event.
//!
//! The instant, and the place in the log's chain, are the host's.

use crate::certification_data::CertificationData;
use crate::host::Failure;
use crate::step::Step;

/// Octets of recipients in one event. The host takes events of 64 KiB.
const RECIPIENTS_MAX: usize = 32 * 1024;
/// Octets of any other text in an event.
const TEXT_MAX: usize = 2048;

/// What happened: the word in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An original was accepted and its acceptance receipt issued.
    Acceptance,
    /// The transport envelope of an accepted original was made.
    TransportEnvelope,
    /// An original was not accepted.
    NonAcceptance,
    /// A transport envelope was verified and taken in charge.
    TakeCharge,
    /// A transport envelope is in a mailbox and its delivery receipt issued.
    Delivery,
    /// A transport envelope could not be delivered and its notice issued.
    NonDelivery,
    /// Nothing was heard of a recipient at the first deadline, and the sender was told.
    TimeoutWarning,
    /// Nothing final was heard of a recipient at the last deadline, and the sender was told.
    Timeout,
    /// A message was put in an anomaly envelope.
    Anomaly,
    /// A remote delivery ended when the sender needed no word of it any more.
    RemoteEnd,
    /// A message was refused in the session.
    Refusal,
    /// A receipt or notice was verified and passed on.
    ReceiptReceived,
    /// A message that had been seen before was dropped.
    Duplicate,
}

impl Kind {
    /// The word in the log.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Acceptance => "acceptance",
            Kind::TransportEnvelope => "transport-envelope",
            Kind::NonAcceptance => "non-acceptance",
            Kind::TakeCharge => "take-charge",
            Kind::Delivery => "delivery",
            Kind::NonDelivery => "non-delivery",
            Kind::TimeoutWarning => "timeout-warning",
            Kind::Timeout => "timeout",
            Kind::Anomaly => "anomaly",
            Kind::RemoteEnd => "remote-end",
            Kind::Refusal => "refusal",
            Kind::ReceiptReceived => "receipt-received",
            Kind::Duplicate => "duplicate",
        }
    }
}

/// One event of the message log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The unique id of the original message.
    pub message_id: String,
    /// What happened.
    pub kind: Kind,
    /// Sender of the original.
    pub sender: String,
    /// Recipients of the original, or those concerned by the event.
    pub recipients: Vec<String>,
    /// Subject of the original.
    pub subject: String,
    /// Ids of the messages made for it.
    pub related: Vec<String>,
    /// Anything more, by name.
    pub details: Vec<(String, String)>,
}

impl Event {
    /// An event of a certified transaction.
    pub fn certified(kind: Kind, data: &CertificationData) -> Event {
        Event {
            message_id: data.identifier.clone(),
            kind,
            sender: data.sender.clone(),
            recipients: data.recipient_addresses(),
            subject: data.subject.clone().unwrap_or_default(),
            related: Vec::new(),
            details: Vec::new(),
        }
        .detail("provider", &data.provider)
    }

    /// For these recipients only.
    pub fn concerning(mut self, recipients: &[String]) -> Event {
        self.recipients = recipients.to_vec();
        self
    }

    /// A message made by this event.
    pub fn related(mut self, message_id: &str) -> Event {
        self.related.push(message_id.to_owned());
        self
    }

    /// One more fact; an empty one is left out.
    pub fn detail(mut self, name: &str, value: &str) -> Event {
        if !value.is_empty() {
            self.details.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Appends to the message log, in the same commit as the step: as one event, or as several with a share of the
    /// recipients each where one could not hold them.
    pub fn append(mut self, step: &Step) -> Result<(), Failure> {
        // Strangers choose these; what is cut off stands in the message itself.
        let texts = [&mut self.message_id, &mut self.sender, &mut self.subject];
        texts.into_iter().chain(self.related.iter_mut()).for_each(shorten);
        self.details.iter_mut().for_each(|(_, value)| shorten(value));
        let shares = shares(std::mem::take(&mut self.recipients));
        let count = shares.len();
        for (index, recipients) in shares.into_iter().enumerate() {
            let mut event = Event { recipients, ..self.clone() };
            if count > 1 {
                event = event.detail("part", &format!("{} of {count}", index + 1));
            }
            step.host.append_event(&event).map_err(|error| error.during("message log"))?;
        }
        Ok(())
    }
}

fn shorten(text: &mut String) {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        text.push('…');
    }
}

/// The recipients in their order, in shares that an event can hold; at least one share.
fn shares(recipients: Vec<String>) -> Vec<Vec<String>> {
    let mut shares = vec![Vec::new()];
    let mut octets = 0;
    for recipient in recipients {
        octets += recipient.len();
        if octets > RECIPIENTS_MAX {
            octets = recipient.len();
            shares.push(Vec::new());
        }
        if let Some(share) = shares.last_mut() {
            share.push(recipient);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_long_addresses_are_shared_out_whole_and_in_order() {
        let all: Vec<String> = (0..1000).map(|n| format!("{n:0>200}@beta.example")).collect();
        let shares = shares(all.clone());
        assert!(
            shares.len() > 1
                && shares.iter().all(|share| share.iter().map(String::len).sum::<usize>() <= RECIPIENTS_MAX)
        );
        assert_eq!(shares.concat(), all);
        assert_eq!(super::shares(Vec::new()), [Vec::<String>::new()]);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut text = "è".repeat(TEXT_MAX);
        shorten(&mut text);
        assert!(text.len() <= TEXT_MAX + 3 && text.ends_with("è…"));
    }
}
