//! C4: header, parts, certification data and transaction agree ([PEC §2.2.2], *formal correctness*).
//!
//! What decides anything here (whom to answer, for whom, about what) must hold, or the message is not correct. What only
//! a reader sees is noted as a warning: providers vary it.

use std::collections::BTreeSet;

use super::parts::{CertifiedParts, FormProblem};
use super::signature::VerifiedSignature;
use crate::address;
use crate::certification_data::{CertificationData, CertificationKind, ErrorKind};
use crate::header::{self, Header};
use crate::host::{Arrival, Failure, Provider, Transaction};
use crate::progress;
use crate::step::Step;
use crate::text;
use crate::wire;

/// A transport envelope whose signature, origin and form were verified in this step: made here alone. A take-charge
/// receipt needs one.
pub struct VerifiedTransportEnvelope {
    data: CertificationData,
    provider: Provider,
    digest: String,
    warnings: Vec<&'static str>,
}

impl VerifiedTransportEnvelope {
    /// What it certifies.
    pub fn data(&self) -> &CertificationData {
        &self.data
    }

    /// The provider that signed it.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Where receipts about it go: the service mailbox of the provider that signed it.
    pub fn mail_receipt(&self) -> Result<&str, Failure> {
        match address::is_address(&self.provider.mail_receipt) {
            true => Ok(&self.provider.mail_receipt),
            false => Err(Failure::Permanent(format!("the index has no mailReceipt for {}", self.provider.name))),
        }
    }

    /// SHA-256 of the signed part, hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What was noticed and does not stop it.
    pub fn warnings(&self) -> &[&'static str] {
        &self.warnings
    }
}

/// A receipt or notice whose signature, origin and form were verified in this step: made here alone.
pub struct VerifiedReceipt {
    data: CertificationData,
    provider: Provider,
    own: bool,
    message_id: String,
}

impl VerifiedReceipt {
    /// What it certifies.
    pub fn data(&self) -> &CertificationData {
        &self.data
    }

    /// The provider that signed it.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Whether it is this provider's own.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// Its own Message-ID, as written.
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// The recipients that it is about; none for those about the original as a whole.
    pub fn concerned(&self) -> Vec<String> {
        concerned(&self.data)
    }
}

pub(super) enum Certified {
    Envelope(Box<VerifiedTransportEnvelope>),
    Receipt(Box<VerifiedReceipt>),
}

type Judged = Result<Certified, FormProblem>;

/// What both kinds have in common: one header to read, the parts, the data, and a sender that the signature covers.
struct Opened {
    header: Header,
    parts: CertifiedParts,
    data: CertificationData,
    in_order: bool,
}

/// Judges the form of an envelope.
pub(super) fn envelope(
    step: &Step,
    transaction: &Transaction,
    signature: VerifiedSignature,
) -> Result<Judged, Failure> {
    let opened = match open(step, &signature)? {
        Ok(opened) => opened,
        Err(problem) => return Ok(Err(problem)),
    };
    let message = step.host.message();
    let (data, provider) = (&opened.data, signature.provider());
    let identifier = format!("<{}>", data.identifier);
    let Some(original) = opened.parts.original_header(message) else {
        return Ok(Err(FormProblem::Parts(wire::POSTACERT_EML)));
    };
    let has =
        |header: &Header| header.count("Message-ID") == 1 && header.value("Message-ID").as_deref() == Some(&identifier);
    let problem = if data.kind != CertificationKind::TransportEnvelope {
        Some(FormProblem::Kind)
    } else if !has(&opened.header) || !has(&original) {
        Some(FormProblem::Identifier)
    } else if !address::is_address(&data.sender) || !step.manages(provider, &address::domain(&data.sender))? {
        // A certified provider must not speak for another's users.
        Some(FormProblem::Sender)
    } else if !address::same(&data.sender, &transaction.reverse_path) {
        // Receipts go to the reverse path: who replays an envelope must not choose where they go.
        Some(FormProblem::ReversePath)
    } else if transaction.recipients.iter().any(|recipient| data.recipient_kind(recipient).is_none()) {
        Some(FormProblem::Recipient)
    } else {
        None
    };
    if let Some(problem) = problem {
        return Ok(Err(problem));
    }
    let warnings = warnings(step, &opened, &original, provider);
    let digest = digest(step, &opened.parts, signature.signed_part())?;
    let Opened { data, .. } = opened;
    let provider = signature.provider().clone();
    Ok(Ok(Certified::Envelope(Box::new(VerifiedTransportEnvelope { data, provider, digest, warnings }))))
}

/// Judges the form of a receipt or notice.
pub(super) fn receipt(step: &Step, transaction: &Transaction, signature: VerifiedSignature) -> Result<Judged, Failure> {
    let opened = match open(step, &signature)? {
        Ok(opened) => opened,
        Err(problem) => return Ok(Err(problem)),
    };
    let Opened { header, data, .. } = opened;
    let provider = signature.provider().clone();
    let said = header.value(wire::X_RICEVUTA).and_then(|word| CertificationKind::parse(&word));
    let problem = if said != Some(data.kind) {
        Some(FormProblem::Kind)
    } else if !is_admitted(data.kind, signature.is_own(), transaction.arrival)
        || !is_addressed(step, &data, transaction)?
    {
        Some(FormProblem::Route)
    } else if !speaks_for_concerned(step, &data, &signature)? {
        Some(FormProblem::Concerned)
    } else {
        None
    };
    if let Some(problem) = problem {
        return Ok(Err(problem));
    }
    let message_id = header.value("Message-ID").unwrap_or_default();
    Ok(Ok(Certified::Receipt(Box::new(VerifiedReceipt { data, provider, own: signature.is_own(), message_id }))))
}

fn open(step: &Step, signature: &VerifiedSignature) -> Result<Result<Opened, FormProblem>, Failure> {
    let message = step.host.message();
    let Ok(header) = Header::read(message, 0, message.header_size()) else {
        return Ok(Err(FormProblem::Parts("intestazione")));
    };
    for field in ["From", "Date", "Subject"] {
        if header.count(field) != 1 {
            return Ok(Err(FormProblem::Field(field)));
        }
    }
    // PEC §7: the signer's address, under a domain of the signer.
    let from = message.addresses("From").unwrap_or_default();
    let [from] = from.as_slice() else { return Ok(Err(FormProblem::From)) };
    if !signature.names(&from.mailbox) || !step.manages(signature.provider(), &address::domain(&from.mailbox))? {
        return Ok(Err(FormProblem::From));
    }
    let parts = match CertifiedParts::locate(message, signature.signed_part())? {
        Ok(parts) => parts,
        Err(problem) => return Ok(Err(problem)),
    };
    Ok(parts.read_data(message).map(|(data, in_order)| Opened { header, parts, data, in_order }))
}

/// Which receipts may come from where: those between a provider and its own user never travel from outside.
fn is_admitted(kind: CertificationKind, own: bool, arrival: Arrival) -> bool {
    match kind {
        CertificationKind::Acceptance | CertificationKind::NonAcceptance | CertificationKind::Timeout => {
            own && arrival == Arrival::Internal
        }
        CertificationKind::TakeCharge
        | CertificationKind::Delivery
        | CertificationKind::NonDelivery
        | CertificationKind::VirusDetection => true,
        CertificationKind::TransportEnvelope => false,
    }
}

/// Receipts between providers go to the service mailbox alone (PEC §2.2.5), all others to the sender of the original
/// alone: a receipt of somebody else's message is nobody else's.
fn is_addressed(step: &Step, data: &CertificationData, transaction: &Transaction) -> Result<bool, Failure> {
    let addressee = match data.kind {
        CertificationKind::TakeCharge | CertificationKind::VirusDetection => {
            step.own_entry()?.map(|entry| entry.mail_receipt)
        }
        _ => Some(data.sender.clone()),
    };
    Ok(addressee.is_some_and(|addressee| transaction.recipients.iter().all(|r| address::same(r, &addressee))))
}

fn concerned(data: &CertificationData) -> Vec<String> {
    match data.kind {
        CertificationKind::TakeCharge => data.taken_in_charge.clone(),
        // Older providers list the recipient of a virus detection as taken in charge.
        CertificationKind::VirusDetection if data.delivery.is_none() => data.taken_in_charge.clone(),
        CertificationKind::Delivery | CertificationKind::NonDelivery | CertificationKind::VirusDetection => {
            data.delivery.iter().cloned().collect()
        }
        _ => Vec::new(),
    }
}

/// A receipt is about recipients of its original that the signer's domains hold; our own may also say that we could
/// not reach another provider's.
fn speaks_for_concerned(step: &Step, data: &CertificationData, signature: &VerifiedSignature) -> Result<bool, Failure> {
    let concerned = concerned(data);
    let about_recipients = matches!(
        data.kind,
        CertificationKind::TakeCharge
            | CertificationKind::Delivery
            | CertificationKind::NonDelivery
            | CertificationKind::VirusDetection
    );
    if concerned.is_empty() == about_recipients || concerned.iter().any(|r| data.recipient_kind(r).is_none()) {
        return Ok(false);
    }
    if data.kind == CertificationKind::NonDelivery && data.error == ErrorKind::None {
        return Ok(false);
    }
    if signature.is_own() && data.kind == CertificationKind::NonDelivery {
        return Ok(true);
    }
    let domains: BTreeSet<String> = concerned.iter().map(|recipient| address::domain(recipient)).collect();
    for domain in domains {
        if !step.manages(signature.provider(), &domain)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// SHA-256 of the signed part: two envelopes with one identifier are the same message only if it is the same.
fn digest(step: &Step, parts: &CertifiedParts, signed_part: u32) -> Result<String, Failure> {
    let part =
        parts.all.get(signed_part as usize).ok_or_else(|| Failure::Permanent("signed part is gone".to_owned()))?;
    let length = part.end().saturating_sub(part.header_offset);
    let digest = step.host.message().sha256(part.header_offset, length).map_err(|error| error.during("digest"))?;
    Ok(progress::hexadecimal(&digest))
}

/// What of an envelope's header differs from what the signature covers. The header itself is not signed.
fn warnings(step: &Step, opened: &Opened, original: &Header, provider: &Provider) -> Vec<&'static str> {
    let Opened { header, data, in_order, .. } = opened;
    let message = step.host.message();
    let display = message.addresses("From").ok().and_then(|list| list.into_iter().next()).map(|a| a.display_name);
    let prefix = text::subject_prefix(data.kind, data.error);
    let expected_subject = format!("{prefix}{}", data.subject.as_deref().unwrap_or_default());
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let differs = |field: &str| {
        header.values(field).iter().map(|v| squeezed(v)).ne(original.values(field).iter().map(|v| squeezed(v)))
    };
    let receipt_kind = header.value(wire::X_TIPO_RICEVUTA);
    let word = data.receipt_kind.map(|kind| kind.word());
    let candidates = [
        (!in_order, "certification data out of order"),
        (display != Some(format!("{}{}", wire::ON_BEHALF_OF, data.sender)), "From does not name the sender"),
        (
            step.subject().map(|s| squeezed(&s)) != Some(squeezed(&header::one_line(&expected_subject))),
            "Subject differs",
        ),
        (differs("To"), "To differs"),
        (differs("Cc"), "Cc differs"),
        (
            receipt_kind.is_some_and(|value| word.is_none_or(|word| !value.eq_ignore_ascii_case(word))),
            "X-TipoRicevuta differs",
        ),
        (header.value(wire::X_RIFERIMENTO_MESSAGE_ID) != data.message_id, "X-Riferimento-Message-ID differs"),
        (!data.provider.eq_ignore_ascii_case(&provider.name), "gestore-emittente is not the name in the index"),
    ];
    candidates.into_iter().filter(|(found, _)| *found).map(|(_, words)| words).collect()
}
