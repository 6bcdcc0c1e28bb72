//! The access point ([PEC §2.2.1], [§3.1]): from what a user submits to an acceptance receipt and a transport envelope,
//! or to a non-acceptance notice and nothing else.
//!
//! | user | formal checks | virus | what happens |
//! |---|---|---|---|
//! | is not the sender | – | – | refused in the session, nothing is issued |
//! | is the sender | fail | none | non-acceptance notice to the sender, the original goes nowhere |
//! | is the sender | fail | found | the same notice; the original is kept from its recipients |
//! | is the sender | hold | found | non-acceptance notice for a virus to the sender, the original is kept from its recipients |
//! | is the sender | hold | none | acceptance receipt to the sender, transport envelope to every recipient |
//!
//! A scanner that should have run and did not leaves the message waiting with the client.

use crate::address;
use crate::certification_data::{CertificationKind, ErrorKind};
use crate::dispatch;
use crate::evidence::{Event, Kind};
use crate::formal_checks::{self, FormallyValid, Refused};
use crate::host::{Arrival, Failure, Reply, Transaction, Verdict};
use crate::original::OriginalMessage;
use crate::receipt::Receipt;
use crate::scan::Scan;
use crate::step::Step;
use crate::text;
use crate::transport_envelope::TransportEnvelope;
use crate::virus;

/// F8: an authenticated user sends as itself (PEC §5.2; RFC 6409 §6.1).
const NOT_THE_SENDER: Reply =
    Reply { code: 553, enhanced: "5.7.1", text: "Sender address rejected: not owned by the authenticated user" };

/// Code before the reasons in `errore-esteso`: a content error of RFC 3463 §3.7.
const NOT_CONFORMANT: &str = "5.6.0";

/// An accepted original: the envelope and the receipt that says so, one value and one change set, so that no crash
/// parts them.
pub struct Accepted {
    envelope: TransportEnvelope,
    receipt: Receipt,
}

/// The `access` stage.
pub fn run(step: &Step, transaction: &Transaction) -> Result<Verdict, Failure> {
    if transaction.arrival != Arrival::Submission {
        return Err(Failure::Permanent("the access point is for what authenticated users submit".to_owned()));
    }
    if !transaction.identity.as_deref().is_some_and(|user| address::same(user, &transaction.reverse_path)) {
        return Ok(Verdict::Reject(NOT_THE_SENDER));
    }
    let scan = Scan::of(step)?;
    let original = OriginalMessage::gather(step, transaction)?;
    match formal_checks::check(step.host.message(), step.settings, original) {
        Ok(valid) => match scan.threat() {
            Some(threat) => virus::refuse(step, &valid, threat),
            None => Accepted::new(step, &valid)?.commit(step, &valid),
        },
        Err(refused) => refuse(step, &refused, scan.threat()),
    }
}

impl Accepted {
    /// Makes both messages, at one instant and under one identifier.
    fn new(step: &Step, valid: &FormallyValid) -> Result<Accepted, Failure> {
        let envelope = TransportEnvelope::compose(step, valid)?;
        let data = valid.original().data(step, CertificationKind::Acceptance);
        let text = text::acceptance(&data);
        let receipt = Receipt::compose(step, data, &valid.original().sender, text, None)?;
        Ok(Accepted { envelope, receipt })
    }

    /// Records everything that acceptance is: the envelope in the place of the original, the receipt, the evidence.
    fn commit(&self, step: &Step, valid: &FormallyValid) -> Result<Verdict, Failure> {
        let data = self.envelope.data();
        step.host.replace_content(self.envelope.content()).map_err(|error| error.during("transport envelope"))?;
        self.receipt.submit(step)?;
        dispatch::accept(step, data)?;
        Event::certified(Kind::Acceptance, self.receipt.data())
            .made(&self.receipt)
            .detail("message-id", data.message_id.as_deref().unwrap_or_default())
            .detail("checks", "formal=yes virus=no")
            .detail("treatment", "accept")
            .detail("warnings", &valid.warnings().join(", "))
            .append(step)?;
        Event::certified(Kind::TransportEnvelope, data)
            .related(&data.identifier)
            .signature(self.envelope.signature())
            .certification_data(&data.write())
            .detail("receipt-kind", valid.original().receipt_kind.word())
            .append(step)?;
        Ok(Verdict::Continue)
    }
}

/// PEC §3.1.2: the sender learns why in a signed notice; nothing is sent on, and the notice never has the original.
/// With a virus in it it is kept all the same: whoever finds one keeps the message (PEC §2.2.4).
fn refuse(step: &Step, refused: &Refused, threat: Option<&str>) -> Result<Verdict, Failure> {
    let original = &refused.original;
    let reasons: Vec<String> = refused.exceptions.iter().map(ToString::to_string).collect();
    let reasons = reasons.join(", ");
    let mut data = original.data(step, CertificationKind::NonAcceptance);
    data.error = ErrorKind::Other;
    data.extended_error = Some(format!("{NOT_CONFORMANT} - {} - {reasons}", step.settings.provider_name));
    let text = text::non_acceptance(&data, &reasons);
    let notice = Receipt::compose(step, data, &original.sender, text, None)?;
    notice.submit(step)?;
    Event::certified(Kind::NonAcceptance, notice.data())
        .made(&notice)
        .detail("checks", "formal=no")
        .detail("treatment", "refuse")
        .detail("error", &reasons)
        .detail("virus", threat.unwrap_or_default())
        .append(step)?;
    Ok(match threat {
        Some(threat) => Verdict::Quarantine(format!("virus: {threat}")),
        None => Verdict::Discard(format!("not accepted: {reasons}")),
    })
}
