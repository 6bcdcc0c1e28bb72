//! The anomaly envelope ([PEC §3.2.2]): what is not certified reaches the user in one, so that nobody takes it for
//! certified mail.

use crate::address;
use crate::classification::Treatment;
use crate::content::Content;
use crate::evidence::{Event, Kind};
use crate::header;
use crate::host::{Failure, Transaction, Verdict};
use crate::mime;
use crate::received::Judgement;
use crate::signed_message::{self, Attached, Body, Signed};
use crate::step::Step;
use crate::text;
use crate::wire;

/// What stands for a sender that the message does not name.
const NO_SENDER: &str = "mittente sconosciuto";

/// What an anomaly envelope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A message that a provider signed, not as it should be.
    Provider,
    /// Ordinary mail.
    Ordinary,
}

/// Puts the message in hand into an anomaly envelope; it goes on to its recipients, the envelope of the transaction
/// unchanged, so that reports of failure reach whoever sent it.
pub fn wrap(
    step: &Step,
    transaction: &Transaction,
    judgement: &Judgement,
    problem: &str,
    origin: Origin,
) -> Result<Verdict, Failure> {
    let sender = sender(step, transaction);
    let subject = step.subject().unwrap_or_default();
    let signed = compose(step, transaction, &sender, &subject, problem, origin)?;
    step.host.replace_content(&signed.content).map_err(|error| error.during("anomaly envelope"))?;
    let treatment = match origin {
        Origin::Provider => Treatment::Anomaly,
        Origin::Ordinary => Treatment::Ordinary,
    };
    let event = event(step, transaction, Kind::Anomaly, problem).signature(&signed.signature);
    judgement.describe_as(treatment, step, event)?.append(step)?;
    Ok(Verdict::Continue)
}

/// An event about a message that is not certified: what it says of itself.
pub fn event(step: &Step, transaction: &Transaction, kind: Kind, problem: &str) -> Event {
    let id =
        step.host.message().header_text("Message-ID", 0).map(|id| header::one_line(&id)).filter(|id| !id.is_empty());
    Event {
        message_id: id.unwrap_or_else(|| transaction.id.clone()),
        kind,
        sender: sender(step, transaction).unwrap_or_default(),
        recipients: address::distinct(&transaction.recipients),
        subject: step.subject().unwrap_or_default(),
        related: Vec::new(),
        details: Vec::new(),
        documents: Vec::new(),
    }
    .detail("reverse-path", &transaction.reverse_path)
    .detail("error", problem)
}

/// The sender that a reader would see, or else the one of the transaction.
fn sender(step: &Step, transaction: &Transaction) -> Option<String> {
    let from = step.host.message().addresses("From").unwrap_or_default();
    let named = from.into_iter().map(|a| a.mailbox).chain([transaction.reverse_path.clone()]);
    named.into_iter().find(|mailbox| address::is_address(mailbox))
}

fn compose(
    step: &Step,
    transaction: &Transaction,
    sender: &Option<String>,
    subject: &str,
    problem: &str,
    origin: Origin,
) -> Result<Signed, Failure> {
    let message = step.host.message();
    let shown = sender.as_deref().unwrap_or(NO_SENDER);
    let text = text::anomaly(&text::Anomaly {
        instant: &(&step.time).into(),
        subject,
        sender: shown,
        recipients: &address::distinct(&transaction.recipients),
        error: problem,
    })
    .written(step.settings);
    let mut fields = signed_message::inherited(message, &["Return-Path", "Received"]);
    fields.extend(
        format!("{}: {}\r\nDate: {}\r\n", wire::X_TRASPORTO, wire::ERRORE, step.time.date_field()).into_bytes(),
    );
    if origin == Origin::Ordinary {
        fields.extend(format!("{}: {}\r\n", wire::X_ANOMALIA_ORIGINE, wire::POSTA_ORDINARIA).into_bytes());
    }
    fields.extend(mime::unstructured_field("Subject", wire::SUBJECT_ANOMALY, subject));
    let display_name = format!("{}{shown}", wire::ON_BEHALF_OF);
    fields.extend(mime::from_field(&display_name, &step.settings.service_address).into_bytes());
    fields.extend(signed_message::inherited(message, &["To", "Cc"]));
    match (message.header_count("Reply-To"), sender) {
        (0, Some(sender)) => fields.extend(format!("Reply-To: {sender}\r\n").into_bytes()),
        (0, None) => {}
        // "Only if not already present": one that is there stays.
        _ => fields.extend(signed_message::inherited(message, &["Reply-To"])),
    }
    // PEC §3.2.2: the original's own, which is no PEC identifier.
    fields.extend(signed_message::inherited(message, &["Message-ID"]));
    let original =
        Attached { content: Content::of_range(0, message.size()), eight_bit: signed_message::is_eight_bit(message)? };
    signed_message::compose(step, &fields, &Body { text, data: None, original: Some(original) })
}
