//! The reception point ([PEC §2.2.2], [§3.2]): what other servers send, and what this one carries to its own domains,
//! is verified before it reaches anybody.
//!
//! | message | what happens |
//! |---|---|
//! | correct transport envelope | take-charge receipt to the sending provider, the envelope goes on |
//! | the same once more | dropped: the first commit queued the receipt |
//! | correct receipt or notice | goes on as it is; dropped if seen before |
//! | signed by a provider, not correct | goes on in an anomaly envelope |
//! | ordinary mail | goes on in an anomaly envelope, or is refused |
//! | a signature that cannot be judged now | asked for again later |

use crate::address;
use crate::anomaly;
use crate::certification_data::CertificationKind;
use crate::dispatch::{self, End};
use crate::evidence::{Event, Kind};
use crate::host::{Arrival, Failure, Level, Reply, Transaction, Verdict};
use crate::progress::{self, EnvelopeRecord, Progress};
use crate::receipt::Receipt;
use crate::received::{self, FormProblem, Received, VerifiedReceipt, VerifiedTransportEnvelope};
use crate::settings::OrdinaryMail;
use crate::step::Step;
use crate::text;

/// RFC 3463 §3.8, a cryptographic failure that may pass.
const SIGNATURE_UNDECIDED: Reply =
    Reply { code: 451, enhanced: "4.7.5", text: "The signature cannot be verified now, try again later" };
/// Words of a real provider.
const ORDINARY_REFUSED: Reply = Reply {
    code: 554,
    enhanced: "5.7.1",
    text: "Messaggio rifiutato dal sistema. Indirizzo destinatario sconosciuto o non abilitato alla ricezione di posta non certificata",
};
/// RFC 3463 §3.2.
const UNKNOWN_RECIPIENTS: Reply = Reply { code: 550, enhanced: "5.1.1", text: "No such mailbox" };

/// An envelope taken in charge and the receipt that says so: one value, one change set.
pub struct TakenInCharge<'a> {
    envelope: &'a VerifiedTransportEnvelope,
    recipients: Vec<String>,
    receipt: Receipt,
}

/// The `reception` stage.
pub fn run(step: &Step, transaction: &Transaction) -> Result<Verdict, Failure> {
    match received::judge(step, transaction)? {
        Received::Envelope(envelope) => receive_envelope(step, transaction, &envelope),
        Received::Receipt(receipt) => pass_receipt(step, transaction, &receipt),
        Received::Incorrect { provider, problem } => {
            step.host.log(Level::Warn, &format!("anomaly in a message signed by {provider}: {problem}"));
            anomaly::wrap(step, transaction, &problem)
        }
        Received::Ordinary { problem } => receive_ordinary(step, transaction, &problem),
        Received::Undecided { problem } => {
            step.host.log(Level::Error, &format!("a signature cannot be judged: {problem}"));
            Ok(Verdict::Defer(SIGNATURE_UNDECIDED))
        }
    }
}

/// Takes an envelope in charge for the recipients that it was not yet taken in charge for.
fn receive_envelope(
    step: &Step,
    transaction: &Transaction,
    envelope: &VerifiedTransportEnvelope,
) -> Result<Verdict, Failure> {
    let identifier = &envelope.data().identifier;
    let mut new = Vec::new();
    for recipient in address::distinct(&transaction.recipients) {
        match progress::envelope(step, identifier, &recipient)? {
            None => new.push(recipient),
            Some(record) if record.digest == envelope.digest() => {}
            // The identifier of one message on another: dropping it as a duplicate would lose it.
            Some(_) => return anomaly::wrap(step, transaction, &FormProblem::IdentifierUsed.to_string()),
        }
    }
    if new.is_empty() {
        Event::certified(Kind::Duplicate, envelope.data()).concerning(&transaction.recipients).append(step)?;
        return Ok(Verdict::Discard(format!("{identifier} was taken in charge before")));
    }
    TakenInCharge::new(step, envelope, new)?.commit(step)
}

impl<'a> TakenInCharge<'a> {
    /// PEC §3.2.1: one receipt for all recipients of the transaction.
    fn new(
        step: &Step,
        envelope: &'a VerifiedTransportEnvelope,
        recipients: Vec<String>,
    ) -> Result<TakenInCharge<'a>, Failure> {
        let mut data =
            envelope.data().for_event(CertificationKind::TakeCharge, &step.settings.provider_name, &step.time);
        data.taken_in_charge = recipients.clone();
        let text = text::take_charge(&data);
        let to = &envelope.provider().mail_receipt;
        if !address::is_address(to) {
            return Err(Failure::Permanent(format!("the index has no mailReceipt for {}", envelope.provider().name)));
        }
        let receipt = Receipt::compose(step, data, to, text, None)?;
        Ok(TakenInCharge { envelope, recipients, receipt })
    }

    fn commit(&self, step: &Step) -> Result<Verdict, Failure> {
        let data = self.envelope.data();
        self.receipt.submit(step)?;
        let record = EnvelopeRecord { progress: Progress::Taken, digest: self.envelope.digest().to_owned() };
        for recipient in &self.recipients {
            progress::set_envelope(step, &data.identifier, recipient, &record)?;
        }
        Event::certified(Kind::TakeCharge, data)
            .concerning(&self.recipients)
            .related(self.receipt.message_id())
            .detail("signed-by", &self.envelope.provider().name)
            .detail("digest", self.envelope.digest())
            .detail("warnings", &self.envelope.warnings().join(", "))
            .append(step)?;
        Ok(Verdict::Continue)
    }
}

/// PEC §2.2.2: a correct receipt goes on unmodified; seen before, it changes nothing.
fn pass_receipt(step: &Step, transaction: &Transaction, receipt: &VerifiedReceipt) -> Result<Verdict, Failure> {
    let data = receipt.data();
    let concerned = receipt.concerned();
    let about = concerned.iter().map(|recipient| address::key(recipient)).collect::<Vec<_>>().join(" ");
    let event = |kind| {
        Event::certified(kind, data)
            .concerning(if concerned.is_empty() { &transaction.recipients } else { &concerned })
            .related(receipt.message_id().trim_matches(['<', '>']))
            .detail("receipt", data.kind.word())
            .detail("signed-by", &receipt.provider().name)
            .detail("error", data.extended_error.as_deref().unwrap_or_default())
    };
    let parts = [&data.identifier, data.kind.word(), about.as_str(), receipt.message_id()];
    if !progress::first_sight(step, &parts)? {
        event(Kind::Duplicate).append(step)?;
        return Ok(Verdict::Discard(format!("{} of {} was received before", data.kind.word(), data.identifier)));
    }
    let ours = dispatch::accepted(step, &data.identifier)?.is_some();
    if ours {
        note_progress(step, receipt, &concerned)?;
    } else if !receipt.is_own() {
        step.host
            .log(Level::Warn, &format!("{} of an original not accepted here: {}", data.kind.word(), data.identifier));
    }
    event(Kind::ReceiptReceived).detail("original", if ours { "known" } else { "unknown" }).append(step)?;
    Ok(Verdict::Continue)
}

/// Notes what a receipt says of an original that was accepted here. What is final stays so.
fn note_progress(step: &Step, receipt: &VerifiedReceipt, concerned: &[String]) -> Result<(), Failure> {
    for recipient in concerned {
        dispatch::note(step, &receipt.data().identifier, recipient, |known| match receipt.data().kind {
            CertificationKind::TakeCharge => known.taken = true,
            CertificationKind::Delivery => known.end = Some(End::Delivered),
            CertificationKind::NonDelivery | CertificationKind::VirusDetection => known.end = Some(End::NotDelivered),
            _ => {}
        })?;
    }
    Ok(())
}

/// PEC §2.2.2 leaves ordinary mail to the provider.
fn receive_ordinary(step: &Step, transaction: &Transaction, problem: &str) -> Result<Verdict, Failure> {
    // What the server itself carries (reports of failure) has no session left to be refused in.
    if transaction.arrival == Arrival::Relay {
        let refusal = match step.settings.ordinary_mail {
            OrdinaryMail::Reject => Some(ORDINARY_REFUSED),
            OrdinaryMail::Anomaly if all_unknown(step, transaction)? => Some(UNKNOWN_RECIPIENTS),
            OrdinaryMail::Anomaly => None,
        };
        if let Some(reply) = refusal {
            anomaly::event(step, transaction, Kind::Refusal, reply.text).append(step)?;
            return Ok(Verdict::Reject(reply));
        }
    }
    anomaly::wrap(step, transaction, problem)
}

/// The session takes unknown recipients of certified domains, for their non-delivery notices; ordinary mail for
/// nobody is refused here.
fn all_unknown(step: &Step, transaction: &Transaction) -> Result<bool, Failure> {
    for recipient in &transaction.recipients {
        let status = step.host.mailbox_status(recipient).map_err(|error| error.during("mailboxes"))?;
        if status != "unknown" {
            return Ok(false);
        }
    }
    Ok(!transaction.recipients.is_empty())
}
