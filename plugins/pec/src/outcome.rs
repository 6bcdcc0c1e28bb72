//! A remote delivery that ended ([PEC §2.2.2], [§3.3.3]): where the provider of a certified recipient did not take the
//! envelope, the sender's own provider tells the sender.
//!
//! | message | recipient | ended | what happens |
//! |---|---|---|---|
//! | our envelope | certified, nothing heard, or warned at the first deadline | failed or expired | non-delivery notice; no report of the server |
//! | our envelope | certified, settled | failed or expired | nothing: the sender has the final word |
//! | our envelope | certified, given up at the last deadline | failed or expired | nothing: the sender was told that it counts as not delivered |
//! | our envelope | certified, taken in charge by its provider | failed or expired | nothing: its provider answers for it, or the last deadline will |
//! | our envelope | external | failed or expired | the server's report, as for any mail |
//! | anything else, or delivered | – | – | goes on |

use crate::certification_data::{CertificationData, CertificationKind, ErrorKind, RecipientKind};
use crate::classification::TypeFields;
use crate::delivery_point::non_delivery_notice;
use crate::dispatch::{self, Dispatch, End};
use crate::evidence::{Event, Kind};
use crate::header;
use crate::host::{Delivery, Failure, Verdict};
use crate::received::{self, CertifiedParts};
use crate::step::Step;

/// Most characters of a stranger's words in a notice. Ours.
const REASON_MAX: usize = 200;
/// RFC 3463 §3.5: delivery time expired.
const EXPIRED: &str = "5.4.7";
/// RFC 3463 §3.1, where the failure came without a code.
const UNSPECIFIED: &str = "5.0.0";

/// The `outcome` stage.
pub fn run(step: &Step, delivery: &Delivery) -> Result<Verdict, Failure> {
    if delivery.status == "delivered" || received::type_fields(step.host.message()) != TypeFields::TransportEnvelope {
        return Ok(Verdict::Continue);
    }
    let Some(data) = own_envelope(step)? else { return Ok(Verdict::Continue) };
    if data.recipient_kind(&delivery.recipient) != Some(RecipientKind::Certified) {
        return Ok(Verdict::Continue);
    }
    let known = dispatch::of(step, &data.identifier, &delivery.recipient)?;
    if let Some(answer) = answered(&known) {
        let recipient = std::slice::from_ref(&delivery.recipient);
        Event::certified(Kind::RemoteEnd, &data)
            .concerning(recipient)
            .detail("status", &delivery.status)
            .detail("error", delivery.reason.as_deref().unwrap_or_default())
            .detail("answer", answer)
            .append(step)?;
        return Ok(Verdict::Discard(answer.to_owned()));
    }
    let (error, code, description) = cause(delivery);
    let notice = non_delivery_notice(step, &data, delivery, error, &code, &description)?;
    notice.submit(step)?;
    dispatch::note(step, &data.identifier, &delivery.recipient, |known| known.end = Some(End::NotDelivered))?;
    Event::certified(Kind::NonDelivery, notice.data())
        .concerning(std::slice::from_ref(&delivery.recipient))
        .made(&notice)
        .detail("error", notice.data().extended_error.as_deref().unwrap_or_default())
        .append(step)?;
    Ok(Verdict::Discard("non-delivery notice issued".to_owned()))
}

/// Why the sender needs no notice of this end, by what is known of the recipient.
fn answered(known: &Dispatch) -> Option<&'static str> {
    if known.end.is_some() {
        Some("the sender has a final receipt or notice")
    } else if known.given_up {
        // A second notice of the same failure, hours later, would only ask which of them counts.
        Some("the sender was told at the last deadline")
    } else if known.taken {
        // The reply to DATA can be lost after the other side's commit.
        Some("its provider took it in charge and answers for it")
    } else {
        None
    }
}

/// The data of the envelope in hand, if our access point made it: a forwarded one of another provider is not ours to
/// certify anything of.
fn own_envelope(step: &Step) -> Result<Option<CertificationData>, Failure> {
    let message = step.host.message();
    let Ok(parts) = CertifiedParts::locate(message, 1)? else { return Ok(None) };
    let Ok((data, _)) = parts.read_data(message) else { return Ok(None) };
    let named = message.header_text("Message-ID", 0).is_some_and(|id| id.trim() == format!("<{}>", data.identifier));
    let ours = data.kind == CertificationKind::TransportEnvelope
        && named
        && dispatch::accepted(step, &data.identifier)?.is_some();
    Ok(ours.then_some(data))
}

/// Kind, code and words of a failure. RFC 3463: X.1.1 is a mailbox that is not there, X.1.2 a domain.
fn cause(delivery: &Delivery) -> (ErrorKind, String, String) {
    if delivery.status == "expired" {
        return (ErrorKind::Other, EXPIRED.to_owned(), "tempo massimo per la consegna superato".to_owned());
    }
    let code =
        delivery.enhanced.clone().filter(|code| is_enhanced_code(code)).unwrap_or_else(|| UNSPECIFIED.to_owned());
    match code.as_str() {
        "5.1.1" => (ErrorKind::WrongRecipient, code, "indirizzo non valido".to_owned()),
        "5.1.2" => (ErrorKind::WrongDomain, code, "dominio non valido".to_owned()),
        _ => {
            let words: String =
                header::one_line(delivery.reason.as_deref().unwrap_or_default()).chars().take(REASON_MAX).collect();
            let colon = if words.is_empty() { "" } else { ": " };
            (ErrorKind::Other, code, format!("messaggio rifiutato dal gestore destinatario{colon}{words}"))
        }
    }
}

fn is_enhanced_code(code: &str) -> bool {
    let mut parts = code.split('.');
    let number =
        |part: Option<&str>| part.is_some_and(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()));
    parts.next() == Some("5") && number(parts.next()) && number(parts.next()) && parts.next().is_none()
}
