//! The delivery point ([PEC §2.2.3], [§3.3]): a transport envelope at the door of a mailbox, and the receipt or notice
//! that tells its sender.
//!
//! | message | mailbox | what happens |
//! |---|---|---|
//! | envelope taken in charge here | present | filed; delivery receipt, in the same commit |
//! | envelope taken in charge here | unknown, full or disabled | non-delivery notice; not filed |
//! | envelope settled before, or found infected | – | dropped, no second receipt |
//! | envelope never taken in charge | – | the step fails: a message must not pass by the reception point |
//! | ordinary mail, in an anomaly envelope | refuses ordinary mail | refused; the server reports it |
//! | anything else | – | goes on as it is, no receipt |

use crate::address;
use crate::brief;
use crate::certification_data::{CertificationData, CertificationKind, DeliveryReceiptKind, ErrorKind};
use crate::classification::TypeFields;
use crate::content::Content;
use crate::evidence::{Event, Kind};
use crate::host::{Delivery, Failure, Level, Message, Verdict};
use crate::ordinary;
use crate::progress::{self, EnvelopeRecord, Progress};
use crate::receipt::Receipt;
use crate::received::{self, CertifiedParts};
use crate::signed_message::Attached;
use crate::step::Step;
use crate::text;

/// An envelope that the reception point verified and took in charge for this recipient, and that is not settled yet:
/// made by [`recall`] alone, from the record of that step. A delivery receipt needs one.
struct Entrusted {
    data: CertificationData,
    parts: CertifiedParts,
    record: EnvelopeRecord,
}

enum Recalled {
    Entrusted(Box<Entrusted>),
    Settled(Box<CertificationData>),
}

/// The `delivery` stage.
pub fn run(step: &Step, delivery: &Delivery) -> Result<Verdict, Failure> {
    // After the reception point only envelopes that it verified carry these fields: all else is inside an anomaly
    // envelope, which says so in them.
    if received::type_fields(step.host.message()) != TypeFields::TransportEnvelope {
        return Ok(ordinary::refuse_at_mailbox(step, delivery)?.unwrap_or(Verdict::Continue));
    }
    let entrusted = match recall(step, delivery)? {
        Recalled::Entrusted(entrusted) => entrusted,
        Recalled::Settled(data) => {
            let recipient = std::slice::from_ref(&delivery.recipient);
            Event::certified(Kind::Duplicate, &data).concerning(recipient).append(step)?;
            return Ok(Verdict::Discard(format!("{} was settled before", data.identifier)));
        }
    };
    match delivery.status.as_str() {
        "present" => deliver(step, delivery, &entrusted),
        status => match undeliverable(status) {
            Some((error, code, description)) => {
                notify_undeliverable(step, delivery, &entrusted, error, code, description)
            }
            None => Err(Failure::Permanent(format!("a mailbox cannot be {status}"))),
        },
    }
}

/// What the sender is told of a mailbox that cannot take the message: codes of RFC 3463 §3.2 and §3.3 in the form of
/// the supervisor's note 12; `no-dest` only where the address itself is wrong (PEC §4.4).
fn undeliverable(status: &str) -> Option<(ErrorKind, &'static str, &'static str)> {
    match status {
        "unknown" => Some((ErrorKind::WrongRecipient, "5.1.1", "indirizzo non valido")),
        "full" => Some((ErrorKind::Other, "5.2.2", "casella piena")),
        "disabled" => Some((ErrorKind::Other, "5.2.1", "casella non abilitata alla ricezione")),
        _ => None,
    }
}

fn recall(step: &Step, delivery: &Delivery) -> Result<Recalled, Failure> {
    let message = step.host.message();
    let parts = CertifiedParts::locate(message, SIGNED_PART)?;
    let parts = parts.map_err(|problem| Failure::Permanent(format!("envelope at the delivery point: {problem}")))?;
    let (data, _) = parts
        .read_data(message)
        .map_err(|problem| Failure::Permanent(format!("envelope at the delivery point: {problem}")))?;
    let record = progress::envelope(step, &data.identifier, &delivery.recipient)?;
    let Some(record) = record.filter(|_| address::same(&data.sender, &delivery.reverse_path)) else {
        step.host.log(Level::Error, "an envelope was not taken in charge: does its chain have the reception point?");
        return Err(Failure::Permanent(format!("{} was not taken in charge here", data.identifier)));
    };
    Ok(match record.progress {
        Progress::Taken => Recalled::Entrusted(Box::new(Entrusted { data, parts, record })),
        Progress::Delivered | Progress::NotDelivered | Progress::Infected => Recalled::Settled(Box::new(data)),
    })
}

/// The first part of a top-level `multipart/signed`, in the order of the bytes.
const SIGNED_PART: u32 = 1;

fn deliver(step: &Step, delivery: &Delivery, entrusted: &Entrusted) -> Result<Verdict, Failure> {
    let requested = entrusted.data.receipt_kind.unwrap_or(DeliveryReceiptKind::Complete);
    let mut data = entrusted.data.for_event(CertificationKind::Delivery, &step.settings.provider_name, &step.time);
    // The form that was asked for, also where the rule of copies leaves the original out.
    data.receipt_kind = Some(requested);
    data.delivery = Some(delivery.recipient.clone());
    let text = text::delivery(&data, &delivery.recipient);
    let original = match (requested, is_primary(step.host.message(), &entrusted.parts, &delivery.recipient)) {
        (DeliveryReceiptKind::Concise, _) | (_, false) => None,
        (DeliveryReceiptKind::Complete, true) => Some(whole_original(&entrusted.parts)?),
        (DeliveryReceiptKind::Brief, true) => Some(brief::original(step, &entrusted.parts)?),
    };
    let receipt = Receipt::compose(step, data, &delivery.reverse_path, text, original)?;
    settle(step, delivery, entrusted, &receipt, Progress::Delivered, Kind::Delivery)?;
    Ok(Verdict::Continue)
}

fn notify_undeliverable(
    step: &Step,
    delivery: &Delivery,
    entrusted: &Entrusted,
    error: ErrorKind,
    code: &str,
    description: &str,
) -> Result<Verdict, Failure> {
    let notice = non_delivery_notice(step, &entrusted.data, delivery, error, code, description)?;
    settle(step, delivery, entrusted, &notice, Progress::NotDelivered, Kind::NonDelivery)?;
    Ok(Verdict::Discard(format!("non-delivery notice issued: {description}")))
}

/// A non-delivery notice (PEC §3.3.3); also made by the sender's own provider when the recipient's cannot be reached.
pub(crate) fn non_delivery_notice(
    step: &Step,
    envelope: &CertificationData,
    delivery: &Delivery,
    error: ErrorKind,
    code: &str,
    description: &str,
) -> Result<Receipt, Failure> {
    let extended = format!("{code} - {} - {description}", step.settings.provider_name);
    let mut data = envelope.for_event(CertificationKind::NonDelivery, &step.settings.provider_name, &step.time);
    data.error = error;
    data.delivery = Some(delivery.recipient.clone());
    data.extended_error = Some(extended.clone());
    let text = text::non_delivery(&data, &delivery.recipient, &extended);
    Receipt::compose(step, data, &envelope.sender, text, None)
}

/// Queues the receipt and closes the record, in the commit that settles the recipient.
fn settle(
    step: &Step,
    delivery: &Delivery,
    entrusted: &Entrusted,
    receipt: &Receipt,
    progress: Progress,
    kind: Kind,
) -> Result<(), Failure> {
    receipt.submit(step)?;
    let record = EnvelopeRecord { progress, digest: entrusted.record.digest.clone() };
    progress::set_envelope(step, &entrusted.data.identifier, &delivery.recipient, &record)?;
    Event::certified(kind, receipt.data())
        .concerning(std::slice::from_ref(&delivery.recipient))
        .made(receipt)
        .detail("receipt-kind", receipt.data().receipt_kind.map_or("", |kind| kind.word()))
        .detail("error", receipt.data().extended_error.as_deref().unwrap_or_default())
        .append(step)
}

/// Whether a recipient is a primary one. In `Cc:` and not in `To:` it is not; whatever is not clear counts as primary
/// (PEC §3.3.2.1), also where the unsigned header differs from the signed original's.
fn is_primary(message: &dyn Message, parts: &CertifiedParts, recipient: &str) -> bool {
    let named_in = |field: &str| {
        let list = message.addresses(field).unwrap_or_default();
        list.iter().any(|address| address::same(&address.mailbox, recipient))
    };
    let squeezed = |values: Vec<String>| values.iter().map(|v| v.split_whitespace().collect()).collect::<Vec<String>>();
    let outer = crate::header::Header::read(message, 0, message.header_size()).ok();
    let same = match (outer, parts.original_header(message)) {
        (Some(outer), Some(original)) => {
            ["To", "Cc"].iter().all(|field| squeezed(outer.values(field)) == squeezed(original.values(field)))
        }
        _ => false,
    };
    !same || named_in("To") || !named_in("Cc")
}

/// The original as the envelope holds it, by reference.
fn whole_original(parts: &CertifiedParts) -> Result<Attached, Failure> {
    let part = parts.original_part().ok_or_else(|| Failure::Permanent("the envelope has no original".to_owned()))?;
    let eight_bit = !matches!(part.transfer_encoding.as_str(), "7bit" | "");
    Ok(Attached { content: Content::of_range(part.body_offset, part.body_length), eight_bit })
}
