//! The same texts in English, for providers that add them below the Italian: after the words of RFC 6109.

use super::{Anomaly, subject};
use crate::certification_data::{CertificationData, DeliveryReceiptKind, RecipientKind};
use crate::settings::Deadlines;

pub(super) fn acceptance(data: &CertificationData) -> String {
    let recipients = data.recipients.iter().map(|recipient| match recipient.kind {
        RecipientKind::Certified => format!("{} (\"certified mail\")", recipient.address),
        RecipientKind::External => format!("{} (\"ordinary mail\")", recipient.address),
    });
    let recipients = recipients.collect::<Vec<_>>().join("\n");
    let about = about(data);
    format!(
        "Acceptance receipt\n{about}\nand addressed to:\n{recipients}\n\
         was accepted by the system and forwarded.\n{}",
        identifier(data)
    )
}

pub(super) fn non_acceptance(data: &CertificationData, error: &str) -> String {
    format!(
        "Error in the acceptance of the message\n{}\nand addressed to:\n{}\n\
         was found to have a problem that prevents its acceptance: {error}.\nThe message was not accepted.\n{}",
        about(data),
        recipients(data),
        identifier(data)
    )
}

pub(super) fn transport_envelope(data: &CertificationData) -> String {
    format!(
        "Certified mail message\n{}\nwas sent, addressed to:\n{}\nThe original message is attached.\n{}",
        about(data),
        recipients(data),
        identifier(data)
    )
}

pub(super) fn take_charge(data: &CertificationData) -> String {
    format!(
        "Take-charge receipt\n{}\nand addressed to:\n{}\nwas accepted by the system.\n{}",
        about(data),
        data.taken_in_charge.join("\n"),
        identifier(data)
    )
}

pub(super) fn anomaly(anomaly: &Anomaly) -> String {
    let Anomaly { instant, subject, sender, recipients, error } = anomaly;
    format!(
        "Message anomaly\nOn {} at {} ({}) the message \"{subject}\"\nsent by \"{sender}\"\nand addressed to:\n{}\n\
         was received. These data were not certified because of the following error:\n{error}\n\
         The original message is attached.",
        instant.day,
        instant.hour,
        instant.zone,
        recipients.join("\n")
    )
}

pub(super) fn delivery(data: &CertificationData, recipient: &str) -> String {
    let title = match data.receipt_kind {
        Some(DeliveryReceiptKind::Brief) => "Brief delivery receipt",
        Some(DeliveryReceiptKind::Concise) => "Concise delivery receipt",
        Some(DeliveryReceiptKind::Complete) | None => "Delivery receipt",
    };
    format!(
        "{title}\n{}\nand addressed to \"{recipient}\"\nwas placed in the destination mailbox.\n{}",
        about(data),
        identifier(data)
    )
}

pub(super) fn non_delivery(data: &CertificationData, recipient: &str, error: &str) -> String {
    format!(
        "Non-delivery notice\n{}\nand addressed to the user \"{recipient}\"\n\
         was found to have an error: {error}.\nThe message was refused by the system.\n{}",
        about(data),
        identifier(data)
    )
}

pub(super) fn timeout_warning(data: &CertificationData, recipient: &str, deadlines: &Deadlines) -> String {
    let (first, more) = (deadlines.take_charge_hours, deadlines.end_hours.saturating_sub(deadlines.take_charge_hours));
    format!(
        "Non-delivery notice\n{}\nand addressed to the user \"{recipient}\"\n\
         was not delivered within {first} hours of its dispatch. This may still happen, and the message may also\n\
         not arrive. Another notice follows if within the next {more} hours there is no confirmation of receipt.\n{}",
        about(data),
        identifier(data)
    )
}

pub(super) fn timeout(data: &CertificationData, recipient: &str, deadlines: &Deadlines) -> String {
    format!(
        "Non-delivery notice\n{}\nand addressed to the user \"{recipient}\"\n\
         was not delivered within {} hours of its dispatch. It must be considered as not delivered.\n{}",
        about(data),
        deadlines.end_hours,
        identifier(data)
    )
}

pub(super) fn virus_non_acceptance(data: &CertificationData, threat: &str) -> String {
    format!(
        "Error in the acceptance of the message because of a virus\n{}\nand addressed to:\n{}\n\
         was found to have a security problem: {threat}.\nThe message was not accepted.\n{}",
        about(data),
        recipients(data),
        identifier(data)
    )
}

pub(super) fn virus_detection(data: &CertificationData, recipient: &str, threat: &str) -> String {
    format!(
        "Virus detection notice\n{}\nand addressed to the user \"{recipient}\"\n\
         was found to have a security problem: {threat}.\n{}",
        about(data),
        identifier(data)
    )
}

pub(super) fn virus_non_delivery(data: &CertificationData, recipient: &str, threat: &str) -> String {
    format!(
        "Non-delivery notice because of a virus\n{}\nand addressed to the user \"{recipient}\"\n\
         was found to have a security problem: {threat}.\nThe message was not delivered.\n{}",
        about(data),
        identifier(data)
    )
}

fn about(data: &CertificationData) -> String {
    let instant = &data.instant;
    let subject = subject(data);
    format!(
        "On {} at {} ({}) the message\n\"{subject}\" sent by \"{}\"",
        instant.day, instant.hour, instant.zone, data.sender
    )
}

fn recipients(data: &CertificationData) -> String {
    data.recipient_addresses().join("\n")
}

fn identifier(data: &CertificationData) -> String {
    format!("Message identifier: {}", data.identifier)
}
