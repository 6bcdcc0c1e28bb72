//! What another server sends: who signed it, and whether it is a correct envelope or receipt ([PEC §2.2.2]).
//!
//! The values made here are the proofs that receipts are made from: a [`VerifiedTransportEnvelope`] or a
//! [`VerifiedReceipt`] exists only where signature, origin and form were verified in this step.

mod form;
mod parts;
mod signature;

pub use form::{VerifiedReceipt, VerifiedTransportEnvelope};
pub use parts::{CertifiedParts, FormProblem};
pub use signature::VerifiedSignature;

use crate::certification_data::CertificationKind;
use crate::classification::{Checks, Treatment, TypeFields, treatment};
use crate::evidence::Event;
use crate::host::{Failure, Message, Transaction};
use crate::step::Step;
use crate::wire;
use form::Certified;
use signature::SignatureProblem;

/// A message of another server, judged.
pub enum Received {
    /// A correct transport envelope.
    Envelope(Box<VerifiedTransportEnvelope>),
    /// A correct receipt or notice.
    Receipt(Box<VerifiedReceipt>),
    /// Signed by a provider and not correct, for this reason.
    Incorrect {
        /// The provider that signed it.
        provider: String,
        /// For people, Italian.
        problem: String,
    },
    /// Ordinary mail, for this reason.
    Ordinary {
        /// For people, Italian.
        problem: String,
    },
    /// Infected and no correct envelope or receipt.
    Infected {
        /// For people, Italian.
        problem: String,
    },
    /// The signature cannot be judged now.
    Undecided {
        /// For the operator.
        problem: String,
    },
}

/// A message of another server, what was found out of it and what is to be done.
pub struct Judgement {
    /// What it is.
    pub received: Received,
    /// What was found out of it.
    pub checks: Checks,
    /// What is done with it.
    pub treatment: Treatment,
}

impl Judgement {
    /// Adds to an event what was found out of the message in hand and what the table does with it, with its signature
    /// value and its certification data where it has them.
    pub fn describe(&self, step: &Step, event: Event) -> Result<Event, Failure> {
        self.describe_as(self.treatment, step, event)
    }

    /// The same, where what is done depends on more than the table.
    pub fn describe_as(&self, treatment: Treatment, step: &Step, event: Event) -> Result<Event, Failure> {
        let Checks { existence, origin, validity, form, virus, .. } = self.checks;
        let word = |holds: bool| if holds { "yes" } else { "no" };
        let checks = format!(
            "existence={} origin={} validity={} form={} virus={}",
            word(existence),
            word(origin),
            word(validity),
            word(form),
            word(virus)
        );
        let mut event = event.detail("checks", &checks).detail("treatment", treatment.word());
        let message = step.host.message();
        let (true, Ok(parts)) = (existence, message.parts()) else { return Ok(event) };
        let signature = (0..parts.len()).rfind(|&index| parts[index].parent == Some(0));
        let data = parts.iter().position(|part| part.parent == Some(SIGNED_PART) && part.is_named(wire::DATICERT_XML));
        // What cannot be decoded is not evidence of anything.
        let decoded = |index: Option<usize>| index.and_then(|index| message.read_decoded(index as u32).ok());
        if let Some(value) = decoded(signature) {
            event = event.signature(&value);
        }
        if let Some(document) = decoded(data).and_then(|bytes| String::from_utf8(bytes).ok()) {
            event = event.certification_data(&document);
        }
        Ok(event)
    }
}

/// The first part of a top-level `multipart/signed`, in the order of the bytes.
const SIGNED_PART: u32 = 1;

/// Judges the message in hand; `virus` is what the scanner found.
pub fn judge(step: &Step, transaction: &Transaction, virus: bool) -> Result<Judgement, Failure> {
    let fields = type_fields(step.host.message());
    let mut checks = Checks { existence: false, origin: false, validity: false, fields, form: false, virus };
    let received = match signature::verify(step, &mut checks)? {
        Err(SignatureProblem::Passing(problem)) => Received::Undecided { problem },
        Err(SignatureProblem::Standing(problem)) => Received::Ordinary { problem: problem.to_owned() },
        Ok(signature) => {
            let provider = signature.provider().name.clone();
            let certified = match fields {
                TypeFields::Other => Err(FormProblem::TypeFields),
                TypeFields::TransportEnvelope => form::envelope(step, transaction, signature)?,
                TypeFields::Receipt => form::receipt(step, transaction, signature)?,
            };
            checks.form = certified.is_ok();
            match certified {
                Ok(Certified::Envelope(envelope)) => Received::Envelope(envelope),
                Ok(Certified::Receipt(receipt)) => Received::Receipt(receipt),
                Err(problem) => Received::Incorrect { provider, problem: problem.to_string() },
            }
        }
    };
    let treatment = treatment(&checks);
    Ok(Judgement { received: treated(received, treatment), checks, treatment })
}

/// The value that the treatment is made from: the table decides, and a value that does not go with its row is not used.
fn treated(received: Received, treatment: Treatment) -> Received {
    match (treatment, received) {
        (_, undecided @ Received::Undecided { .. }) => undecided,
        (Treatment::Quarantine, Received::Incorrect { problem, .. } | Received::Ordinary { problem }) => {
            Received::Infected { problem }
        }
        (Treatment::Quarantine, _) => Received::Infected { problem: FormProblem::TypeFields.to_string() },
        (Treatment::TakeInCharge | Treatment::DetectVirus, envelope @ Received::Envelope(_)) => envelope,
        (Treatment::PassReceipt, receipt @ Received::Receipt(_)) => receipt,
        (Treatment::Anomaly, incorrect @ Received::Incorrect { .. }) => incorrect,
        (_, Received::Ordinary { problem } | Received::Incorrect { problem, .. }) => Received::Ordinary { problem },
        (_, _) => Received::Ordinary { problem: FormProblem::TypeFields.to_string() },
    }
}

/// What the header fields say that a message is.
pub fn type_fields(message: &dyn Message) -> TypeFields {
    let word = |name: &str| message.header_text(name, 0).unwrap_or_default();
    match (message.header_count(wire::X_TRASPORTO), message.header_count(wire::X_RICEVUTA)) {
        (1, 0) if word(wire::X_TRASPORTO).trim().eq_ignore_ascii_case(wire::POSTA_CERTIFICATA) => {
            TypeFields::TransportEnvelope
        }
        (0, 1) if receipt_kind(message).is_some() => TypeFields::Receipt,
        _ => TypeFields::Other,
    }
}

/// The kind that `X-Ricevuta` says; an envelope's word is no receipt.
fn receipt_kind(message: &dyn Message) -> Option<CertificationKind> {
    let word = message.header_text(wire::X_RICEVUTA, 0)?;
    CertificationKind::parse(&word).filter(|kind| *kind != CertificationKind::TransportEnvelope)
}
