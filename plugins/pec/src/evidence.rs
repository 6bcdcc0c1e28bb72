//! Events for the message log ([PEC §2.3]): the seven data that the rules ask for, one constructor for each event.
//!
//! The instant, and the place in the log's chain, are the host's.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::address;
use crate::certification_data::CertificationData;
use crate::host::Failure;
use crate::progress::hexadecimal;
use crate::receipt::Receipt;
use crate::step::Step;

/// Octets of one event: the host takes 64 KiB; the rest is for what it adds.
const EVENT_MAX: usize = 60 * 1024;
/// Octets of certification data that stand whole in an event; of longer ones the SHA-256 does.
const DOCUMENT_MAX: usize = 32 * 1024;
/// Octets that are kept free for recipients beside documents.
const RECIPIENTS_MIN: usize = 8 * 1024;
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
    /// An original was not accepted because of a virus.
    VirusNonAcceptance,
    /// A virus was found in a transport envelope, and its provider told.
    VirusDetection,
    /// A recipient's provider found a virus, and the sender was told.
    VirusNonDelivery,
    /// An infected message was kept, and nobody told.
    Quarantine,
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
            Kind::VirusNonAcceptance => "non-acceptance-virus",
            Kind::VirusDetection => "virus-detection",
            Kind::VirusNonDelivery => "non-delivery-virus",
            Kind::Quarantine => "quarantine",
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
    /// Documents by name: certification data, signature values. They stand in the first of several events.
    pub documents: Vec<(String, String)>,
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
            documents: Vec::new(),
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

    /// A receipt or notice made by this event.
    pub fn made(self, receipt: &Receipt) -> Event {
        let document = receipt.data().write();
        self.related(receipt.message_id()).signature(receipt.signature()).certification_data(&document)
    }

    /// A signature value, DER: of what we sign, then of what was received.
    pub fn signature(self, value: &[u8]) -> Event {
        self.document("signature", STANDARD.encode(value))
    }

    /// Certification data: of what we make, then of what was received.
    pub fn certification_data(self, document: &str) -> Event {
        self.document("certification-data", document.to_owned())
    }

    fn document(mut self, name: &str, text: String) -> Event {
        let taken = self.documents.iter().any(|(other, _)| other == name);
        let name = if taken { format!("received-{name}") } else { name.to_owned() };
        self.documents.push((name, text));
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
        let domains: BTreeSet<String> = self.recipients.iter().map(|recipient| address::domain(recipient)).collect();
        let domains = domains.into_iter().collect::<Vec<_>>().join(" ");
        let sender_domain = address::domain(&self.sender);
        self = self.detail("sender-domain", &sender_domain).detail("recipient-domains", &domains);
        // Strangers choose these; what is cut off stands in the message itself.
        let texts = [&mut self.message_id, &mut self.sender, &mut self.subject];
        texts.into_iter().chain(self.related.iter_mut()).for_each(shorten);
        self.details.iter_mut().for_each(|(_, value)| shorten(value));
        let documents = self.take_documents();
        let room = EVENT_MAX.saturating_sub(self.octets() + octets(&documents)).max(RECIPIENTS_MIN);
        let shares = shares(std::mem::take(&mut self.recipients), room);
        let count = shares.len();
        for (index, recipients) in shares.into_iter().enumerate() {
            let mut event = Event { recipients, ..self.clone() };
            if index == 0 {
                event.details.extend(documents.iter().cloned());
            }
            if count > 1 {
                event = event.detail("part", &format!("{} of {count}", index + 1));
            }
            step.host.append_event(&event).map_err(|error| error.during("message log"))?;
        }
        Ok(())
    }

    /// The documents as far as there is room for them; the largest first gives way to its SHA-256.
    fn take_documents(&mut self) -> Vec<(String, String)> {
        let mut documents = std::mem::take(&mut self.documents);
        let room = EVENT_MAX.saturating_sub(self.octets() + RECIPIENTS_MIN);
        loop {
            let too_much = octets(&documents) > room;
            let largest =
                documents.iter_mut().filter(|(name, _)| !name.ends_with(DIGESTED)).max_by_key(|(_, t)| t.len());
            match largest {
                Some((name, text)) if too_much || text.len() > DOCUMENT_MAX => {
                    *text = hexadecimal(&Sha256::digest(text.as_bytes()));
                    name.push_str(DIGESTED);
                }
                _ => return documents,
            }
        }
    }

    /// Of everything but recipients and documents.
    fn octets(&self) -> usize {
        let texts = [&self.message_id, &self.sender, &self.subject].into_iter().chain(&self.related);
        texts.map(String::len).sum::<usize>() + octets(&self.details)
    }
}

/// End of the name of a document that only its digest stands for.
const DIGESTED: &str = "-sha256";

fn octets(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, text)| name.len() + text.len()).sum()
}

fn shorten(text: &mut String) {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        text.push('…');
    }
}

/// The recipients in their order, in shares that an event can hold; at least one share.
fn shares(recipients: Vec<String>, room: usize) -> Vec<Vec<String>> {
    let mut shares = vec![Vec::new()];
    let mut octets = 0;
    for recipient in recipients {
        octets += recipient.len();
        if octets > room {
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
        let room = RECIPIENTS_MIN;
        let shares = shares(all.clone(), room);
        assert!(shares.len() > 1 && shares.iter().all(|share| share.iter().map(String::len).sum::<usize>() <= room));
        assert_eq!(shares.concat(), all);
        assert_eq!(super::shares(Vec::new(), room), [Vec::<String>::new()]);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut text = "è".repeat(TEXT_MAX);
        shorten(&mut text);
        assert!(text.len() <= TEXT_MAX + 3 && text.ends_with("è…"));
    }
}
