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
    /// The signature cannot be judged now.
    Undecided {
        /// For the operator.
        problem: String,
    },
}

/// Judges the message in hand.
pub fn judge(step: &Step, transaction: &Transaction) -> Result<Received, Failure> {
    let message = step.host.message();
    let fields = type_fields(message);
    let mut checks = Checks { existence: false, origin: false, validity: false, fields, form: false };
    let signature = match signature::verify(step, &mut checks)? {
        Ok(signature) => signature,
        Err(SignatureProblem::Passing(problem)) => return Ok(Received::Undecided { problem }),
        // Every row of the table with a failed check of the signature is ordinary mail.
        Err(SignatureProblem::Standing(problem)) => return Ok(Received::Ordinary { problem: problem.to_owned() }),
    };
    let provider = signature.provider().name.clone();
    let certified = match fields {
        TypeFields::Other => Err(FormProblem::TypeFields),
        TypeFields::TransportEnvelope => form::envelope(step, transaction, signature)?,
        TypeFields::Receipt => form::receipt(step, transaction, signature)?,
    };
    checks.form = certified.is_ok();
    Ok(match (treatment(&checks), certified) {
        (Treatment::TakeInCharge, Ok(Certified::Envelope(envelope))) => Received::Envelope(envelope),
        (Treatment::PassReceipt, Ok(Certified::Receipt(receipt))) => Received::Receipt(receipt),
        (_, Err(problem)) => Received::Incorrect { provider, problem: problem.to_string() },
        (_, Ok(_)) => Received::Incorrect { provider, problem: FormProblem::TypeFields.to_string() },
    })
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
