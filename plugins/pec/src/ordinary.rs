//! Mail that is not certified ([PEC §2.2.2] leaves it to the provider): each mailbox may refuse it.
//!
//! | recipients of the transaction | what happens |
//! |---|---|
//! | every one refuses it, or is unknown | refused in the session (mail of this server itself: reported) |
//! | some refuse it | it goes on in an anomaly envelope; the delivery point refuses it for those, the server reports that |
//! | none refuses it | it goes on in an anomaly envelope |
//!
//! Reports of failure that this server makes are never refused: nobody would learn of them.

use crate::address;
use crate::anomaly;
use crate::evidence::Kind;
use crate::header;
use crate::host::{Arrival, Delivery, Failure, Level, Reply, Transaction, Verdict};
use crate::received::Judgement;
use crate::settings::OrdinaryMail;
use crate::step::Step;
use crate::wire;

/// Words of a real provider.
const REFUSED: Reply = Reply {
    code: 554,
    enhanced: "5.7.1",
    text: "Messaggio rifiutato dal sistema. Indirizzo destinatario sconosciuto o non abilitato alla ricezione di posta non certificata",
};
/// RFC 3463 §3.2.
const UNKNOWN_RECIPIENTS: Reply = Reply { code: 550, enhanced: "5.1.1", text: "No such mailbox" };

/// At the reception point.
pub fn receive(
    step: &Step,
    transaction: &Transaction,
    judgement: &Judgement,
    problem: &str,
) -> Result<Verdict, Failure> {
    let refusable = transaction.arrival == Arrival::Relay || is_answerable(step, &transaction.reverse_path);
    if let (true, Some(reply)) = (refusable, refusal(step, transaction)?) {
        let event = anomaly::event(step, transaction, Kind::Refusal, reply.text);
        judgement.describe(step, event)?.append(step)?;
        return Ok(Verdict::Reject(reply));
    }
    anomaly::wrap(step, transaction, judgement, problem, anomaly::Origin::Ordinary)
}

/// At the delivery point: ordinary mail that another recipient of its transaction wanted.
pub fn refuse_at_mailbox(step: &Step, delivery: &Delivery) -> Result<Option<Verdict>, Failure> {
    let is = |field: &str, value: &str| {
        let message = step.host.message();
        message.header_count(field) == 1 && message.header_text(field, 0).is_some_and(|text| text.trim() == value)
    };
    // After the reception point only envelopes of its own making carry this pair.
    let ordinary = is(wire::X_TRASPORTO, wire::ERRORE) && is(wire::X_ANOMALIA_ORIGINE, wire::POSTA_ORDINARIA);
    if !ordinary || delivery.status == "unknown" || !is_answerable(step, &delivery.reverse_path) {
        return Ok(None);
    }
    Ok(match wish(step, &delivery.recipient)? {
        OrdinaryMail::Reject => Some(Verdict::Reject(REFUSED)),
        OrdinaryMail::Accept => None,
    })
}

/// Whether a report of failure would reach somebody.
fn is_answerable(step: &Step, reverse_path: &str) -> bool {
    !reverse_path.is_empty() && !address::same(reverse_path, &step.settings.service_address)
}

/// The refusal of the whole transaction, where no recipient wants it. The session takes unknown recipients of certified
/// domains, for their non-delivery notices; ordinary mail for nobody is refused here.
fn refusal(step: &Step, transaction: &Transaction) -> Result<Option<Reply>, Failure> {
    let mut reply = None;
    for recipient in &transaction.recipients {
        let status = step.host.mailbox_status(recipient).map_err(|error| error.during("mailboxes"))?;
        match (status.as_str(), wish(step, recipient)?) {
            (_, OrdinaryMail::Reject) => reply = Some(REFUSED),
            ("unknown", OrdinaryMail::Accept) => reply = reply.or(Some(UNKNOWN_RECIPIENTS)),
            (_, OrdinaryMail::Accept) => return Ok(None),
        }
    }
    Ok(reply)
}

/// What a mailbox wants, or else the provider.
fn wish(step: &Step, recipient: &str) -> Result<OrdinaryMail, Failure> {
    let set = step.host.mailbox_setting(recipient, OrdinaryMail::SETTING).map_err(|error| error.during("mailboxes"))?;
    let Some(word) = set else { return Ok(step.settings.ordinary_mail) };
    Ok(OrdinaryMail::parse(&word).unwrap_or_else(|| {
        let word = header::one_line(&word);
        step.host.log(Level::Warn, &format!("{recipient}: setting {} is '{word}'", OrdinaryMail::SETTING));
        step.settings.ordinary_mail
    }))
}
