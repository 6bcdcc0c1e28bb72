//! Viruses ([PEC §3.1.3], [§3.2.3], [§3.2.4]): the notices about them, who gets which, and that the message is kept
//! ([PEC §2.2.4]).
//!
//! | found by | in | notice | to | the message |
//! |---|---|---|---|---|
//! | access point | an original that is formally correct | non-acceptance for a virus | sender | kept from its recipients |
//! | reception point | a correct transport envelope | take-charge receipt, and a virus detection for each recipient | sender's provider | kept from its recipients |
//! | reception point | anything else but receipts | none | – | kept from its recipients |
//! | sender's provider | – (it gets a virus detection) | non-delivery for a virus | sender | – |
//!
//! A virus detection is believed of a recipient of an original that was accepted here, from the provider that manages
//! the recipient; each recipient gets at most one final notice.

use crate::certification_data::{CertificationKind, ErrorKind};
use crate::dispatch::{self, End, Ours};
use crate::evidence::{Event, Kind};
use crate::formal_checks::FormallyValid;
use crate::header;
use crate::host::{Failure, Verdict};
use crate::progress::{self, EnvelopeRecord, Progress};
use crate::receipt::Receipt;
use crate::received::{VerifiedReceipt, VerifiedTransportEnvelope};
use crate::step::Step;
use crate::text;

/// What a provider in service writes before the words.
const CODE: &str = "5.5.1";
/// Most characters of another provider's words in a notice. Ours.
const WORDS_MAX: usize = 200;

/// At the access point: the sender learns why, nothing is sent on, the original is kept for the operator.
pub fn refuse(step: &Step, valid: &FormallyValid, threat: &str) -> Result<Verdict, Failure> {
    let original = valid.original();
    let mut data = original.data(step, CertificationKind::NonAcceptance);
    data.error = ErrorKind::Virus;
    data.extended_error = Some(extended(step, threat));
    let text = text::virus_non_acceptance(&data, threat);
    let notice = Receipt::compose(step, data, &original.sender, text, None)?;
    notice.submit(step)?;
    Event::certified(Kind::VirusNonAcceptance, notice.data())
        .made(&notice)
        .detail("checks", "formal=yes virus=yes")
        .detail("treatment", "quarantine")
        .detail("virus", threat)
        .append(step)?;
    Ok(Verdict::Quarantine(format!("virus: {threat}")))
}

/// At the reception point: what was taken in charge for `recipients` is not delivered to them, for good.
pub fn detected(
    step: &Step,
    envelope: &VerifiedTransportEnvelope,
    recipients: &[String],
    threat: &str,
) -> Result<Verdict, Failure> {
    let identifier = &envelope.data().identifier;
    for recipient in recipients {
        let provider = &step.settings.provider_name;
        let mut data = envelope.data().for_event(CertificationKind::VirusDetection, provider, &step.time);
        data.error = ErrorKind::Virus;
        data.delivery = Some(recipient.clone());
        data.extended_error = Some(extended(step, threat));
        let text = text::virus_detection(&data, recipient, threat);
        let notice = Receipt::compose(step, data, envelope.mail_receipt()?, text, None)?;
        notice.submit(step)?;
        let record = EnvelopeRecord { progress: Progress::Infected, digest: envelope.digest().to_owned() };
        progress::set_envelope(step, identifier, recipient, &record)?;
        Event::certified(Kind::VirusDetection, notice.data())
            .concerning(std::slice::from_ref(recipient))
            .made(&notice)
            .detail("virus", threat)
            .append(step)?;
    }
    Ok(Verdict::Quarantine(format!("virus: {threat}")))
}

/// At the sender's provider: a virus detection came for recipients of an original that was accepted here.
pub fn tell_sender(step: &Step, receipt: &VerifiedReceipt, ours: &Ours) -> Result<(), Failure> {
    let words = receipt.data().extended_error.as_deref().unwrap_or_default();
    let words: String = header::one_line(words).chars().take(WORDS_MAX).collect();
    for recipient in receipt.concerned() {
        let identifier = &ours.data.identifier;
        if dispatch::of(step, identifier, &recipient)?.end.is_some() {
            continue;
        }
        let provider = &step.settings.provider_name;
        // What we certify of the original is what we know of it, not what another provider says.
        let mut data = ours.data.for_event(CertificationKind::NonDelivery, provider, &step.time);
        data.error = ErrorKind::Virus;
        data.delivery = Some(recipient.clone());
        // In the form of the rules as it comes: it names who found it.
        data.extended_error = Some(if words.starts_with("5.") { words.clone() } else { extended(step, &words) });
        let text = text::virus_non_delivery(&data, &recipient, &words);
        let notice = Receipt::compose(step, data, &ours.data.sender, text, None)?;
        notice.submit(step)?;
        dispatch::note(step, identifier, &recipient, |known| known.end = Some(End::NotDelivered))?;
        Event::certified(Kind::VirusNonDelivery, notice.data())
            .concerning(std::slice::from_ref(&recipient))
            .made(&notice)
            .detail("virus", &words)
            .append(step)?;
    }
    Ok(())
}

/// `code - provider - words`.
fn extended(step: &Step, threat: &str) -> String {
    let provider = &step.settings.provider_name;
    let words = if threat.is_empty() { String::new() } else { format!(": {threat}") };
    format!("{CODE} - {provider} - presenza di un virus nel messaggio{words}")
}
