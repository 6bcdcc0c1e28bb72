//! The reception point ([PEC §2.2.2], [§3.2]): what other servers send, and what this one carries to its own domains,
//! is verified before it reaches anybody.
//!
//! | message | what happens |
//! |---|---|
//! | correct transport envelope | take-charge receipt to the sending provider, the envelope goes on |
//! | the same once more | dropped: the first commit queued the receipt |
//! | correct transport envelope, infected | take-charge receipt and virus detections to the sending provider; kept |
//! | correct receipt or notice | goes on as it is; dropped if seen before |
//! | signed by a provider, not correct | goes on in an anomaly envelope |
//! | ordinary mail | goes on in an anomaly envelope, or is refused |
//! | infected, and none of the above | kept from its recipients |
//! | a signature that cannot be judged now | asked for again later |

use crate::address;
use crate::anomaly::{self, Origin};
use crate::certification_data::CertificationKind;
use crate::classification::Treatment;
use crate::dispatch::{self, End, Ours, Relation};
use crate::evidence::{Event, Kind};
use crate::host::{Failure, Level, Reply, Transaction, Verdict};
use crate::ordinary;
use crate::progress::{self, EnvelopeRecord, Progress};
use crate::receipt::Receipt;
use crate::received::{self, FormProblem, Judgement, Received, VerifiedReceipt, VerifiedTransportEnvelope};
use crate::scan::Scan;
use crate::step::Step;
use crate::text;
use crate::virus;

/// RFC 3463 §3.8, a cryptographic failure that may pass.
const SIGNATURE_UNDECIDED: Reply =
    Reply { code: 451, enhanced: "4.7.5", text: "The signature cannot be verified now, try again later" };

/// An envelope taken in charge and the receipt that says so: one value, one change set.
pub struct TakenInCharge<'a> {
    envelope: &'a VerifiedTransportEnvelope,
    recipients: Vec<String>,
    receipt: Receipt,
}

/// The `reception` stage.
pub fn run(step: &Step, transaction: &Transaction) -> Result<Verdict, Failure> {
    let scan = Scan::of(step)?;
    let judgement = received::judge(step, transaction, scan.threat().is_some())?;
    match &judgement.received {
        Received::Envelope(envelope) => receive_envelope(step, transaction, &judgement, envelope, scan.threat()),
        Received::Receipt(receipt) => pass_receipt(step, transaction, &judgement, receipt),
        Received::Incorrect { provider, problem } => {
            step.host.log(Level::Warn, &format!("anomaly in a message signed by {provider}: {problem}"));
            anomaly::wrap(step, transaction, &judgement, problem, Origin::Provider)
        }
        Received::Ordinary { problem } => ordinary::receive(step, transaction, &judgement, problem),
        Received::Infected { problem } => {
            quarantine(step, transaction, &judgement, problem, scan.threat().unwrap_or_default())
        }
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
    judgement: &Judgement,
    envelope: &VerifiedTransportEnvelope,
    threat: Option<&str>,
) -> Result<Verdict, Failure> {
    let identifier = &envelope.data().identifier;
    let mut new = Vec::new();
    for recipient in address::distinct(&transaction.recipients) {
        match progress::envelope(step, identifier, &recipient)? {
            None => new.push(recipient),
            Some(record) if record.digest == envelope.digest() => {}
            // The identifier of one message on another: dropping it as a duplicate would lose it.
            Some(_) => {
                let problem = FormProblem::IdentifierUsed.to_string();
                return match threat {
                    Some(threat) => quarantine(step, transaction, judgement, &problem, threat),
                    None => anomaly::wrap(step, transaction, judgement, &problem, Origin::Provider),
                };
            }
        }
    }
    if new.is_empty() {
        let event = Event::certified(Kind::Duplicate, envelope.data()).concerning(&transaction.recipients);
        judgement.describe(step, event)?.append(step)?;
        return Ok(Verdict::Discard(format!("{identifier} was taken in charge before")));
    }
    let Some(threat) = threat else { return TakenInCharge::new(step, envelope, new)?.commit(step, judgement) };
    if step.settings.take_charge_of_infected {
        TakenInCharge::new(step, envelope, new.clone())?.commit(step, judgement)?;
    }
    virus::detected(step, envelope, &new, threat)
}

/// Infected, and no provider is to be told: for the operator to look at.
fn quarantine(
    step: &Step,
    transaction: &Transaction,
    judgement: &Judgement,
    problem: &str,
    threat: &str,
) -> Result<Verdict, Failure> {
    let event = anomaly::event(step, transaction, Kind::Quarantine, problem).detail("virus", threat);
    judgement.describe_as(Treatment::Quarantine, step, event)?.append(step)?;
    Ok(Verdict::Quarantine(format!("virus: {threat}")))
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
        let to = envelope.mail_receipt()?;
        let receipt = Receipt::compose(step, data, to, text, None)?;
        Ok(TakenInCharge { envelope, recipients, receipt })
    }

    fn commit(&self, step: &Step, judgement: &Judgement) -> Result<Verdict, Failure> {
        let data = self.envelope.data();
        self.receipt.submit(step)?;
        let record = EnvelopeRecord { progress: Progress::Taken, digest: self.envelope.digest().to_owned() };
        for recipient in &self.recipients {
            progress::set_envelope(step, &data.identifier, recipient, &record)?;
        }
        let event = Event::certified(Kind::TakeCharge, data)
            .concerning(&self.recipients)
            .made(&self.receipt)
            .detail("signed-by", &self.envelope.provider().name)
            .detail("digest", self.envelope.digest())
            .detail("warnings", &self.envelope.warnings().join(", "));
        judgement.describe(step, event)?.append(step)?;
        Ok(Verdict::Continue)
    }
}

/// PEC §2.2.2: a correct receipt goes on unmodified; seen before, it changes nothing.
fn pass_receipt(
    step: &Step,
    transaction: &Transaction,
    judgement: &Judgement,
    receipt: &VerifiedReceipt,
) -> Result<Verdict, Failure> {
    let data = receipt.data();
    let concerned = receipt.concerned();
    let about = concerned.iter().map(|recipient| address::key(recipient)).collect::<Vec<_>>().join(" ");
    let event = |kind| {
        let event = Event::certified(kind, data)
            .concerning(if concerned.is_empty() { &transaction.recipients } else { &concerned })
            .related(receipt.message_id().trim_matches(['<', '>']))
            .detail("receipt", data.kind.word())
            .detail("signed-by", &receipt.provider().name)
            .detail("error", data.extended_error.as_deref().unwrap_or_default());
        judgement.describe(step, event)
    };
    let relation = dispatch::relation(step, data, &concerned)?;
    if let Relation::Foreign = relation {
        step.host.log(Level::Warn, &format!("a receipt of {} is about somebody else's message", data.identifier));
        let problem = FormProblem::Concerned.to_string();
        return anomaly::wrap(step, transaction, judgement, &problem, Origin::Provider);
    }
    let parts = [&data.identifier, data.kind.word(), about.as_str(), receipt.message_id()];
    if !progress::first_sight(step, &parts)? {
        event(Kind::Duplicate)?.append(step)?;
        return Ok(Verdict::Discard(format!("{} of {} was received before", data.kind.word(), data.identifier)));
    }
    let relation = match relation {
        Relation::Ours(ours) => {
            note_progress(step, receipt, &concerned, &ours)?;
            "known"
        }
        Relation::Settled => "settled",
        Relation::Unknown | Relation::Foreign => {
            if !receipt.is_own() {
                let text = format!("{} of an original not accepted here: {}", data.kind.word(), data.identifier);
                step.host.log(Level::Warn, &text);
            }
            "unknown"
        }
    };
    event(Kind::ReceiptReceived)?.detail("original", relation).append(step)?;
    Ok(Verdict::Continue)
}

/// Notes what a receipt says of an original that was accepted here. What is final stays so.
fn note_progress(step: &Step, receipt: &VerifiedReceipt, concerned: &[String], ours: &Ours) -> Result<(), Failure> {
    if receipt.data().kind == CertificationKind::VirusDetection {
        return virus::tell_sender(step, receipt, ours);
    }
    for recipient in concerned {
        dispatch::note(step, &receipt.data().identifier, recipient, |known| match receipt.data().kind {
            CertificationKind::TakeCharge => known.taken = true,
            CertificationKind::Delivery => known.end = Some(End::Delivered),
            CertificationKind::NonDelivery => known.end = Some(End::NotDelivered),
            _ => {}
        })?;
    }
    Ok(())
}
