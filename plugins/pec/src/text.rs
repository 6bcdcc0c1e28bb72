//! What people read in receipts, notices and envelopes: the Italian models of the rules ([PEC §3]), line by line.
//!
//! These texts are models for readers; programs read the certification data.

use crate::certification_data::{CertificationData, CertificationKind, DeliveryReceiptKind, RecipientKind};
use crate::settings::Deadlines;

/// The text of an acceptance receipt. PEC §3.1.4.
pub fn acceptance(data: &CertificationData) -> String {
    let recipients = data.recipients.iter().map(|recipient| match recipient.kind {
        RecipientKind::Certified => format!("{} (\"posta certificata\")", recipient.address),
        RecipientKind::External => format!("{} (\"posta ordinaria\")", recipient.address),
    });
    format!(
        "Ricevuta di accettazione\n{} il messaggio\n\"{}\" proveniente da \"{}\"\ned indirizzato a:\n{}\n\
         è stato accettato dal sistema ed inoltrato.\n{}",
        moment(data),
        subject(data),
        data.sender,
        recipients.collect::<Vec<_>>().join("\n"),
        identifier(data)
    )
}

/// The text of a non-acceptance notice. PEC §3.1.2.
pub fn non_acceptance(data: &CertificationData, error: &str) -> String {
    format!(
        "Errore nell'accettazione del messaggio\n{} nel messaggio\n\"{}\" proveniente da \"{}\"\ned indirizzato a:\n{}\n\
         è stato rilevato un problema che ne impedisce l'accettazione\na causa di {}.\nIl messaggio non è stato accettato.\n{}",
        moment(data),
        subject(data),
        data.sender,
        recipients(data),
        error,
        identifier(data)
    )
}

/// The text of a transport envelope. PEC §3.1.5.
pub fn transport_envelope(data: &CertificationData) -> String {
    format!(
        "Messaggio di posta certificata\n{} il messaggio\n\"{}\" è stato inviato da \"{}\"\nindirizzato a:\n{}\n\
         Il messaggio originale è incluso in allegato.\n{}",
        moment(data),
        subject(data),
        data.sender,
        recipients(data),
        identifier(data)
    )
}

/// The text of a take-charge receipt. PEC §3.2.1. The recipients are those taken in charge.
pub fn take_charge(data: &CertificationData) -> String {
    format!(
        "Ricevuta di presa in carico\n{} il messaggio\n\"{}\" proveniente da \"{}\"\ned indirizzato a:\n{}\n\
         è stato accettato dal sistema.\n{}",
        moment(data),
        subject(data),
        data.sender,
        data.taken_in_charge.join("\n"),
        identifier(data)
    )
}

/// What an anomaly envelope says; nothing of it is certified. PEC §3.2.2.
pub struct Anomaly<'a> {
    /// Day, hour and zone of arrival.
    pub instant: &'a crate::certification_data::Instant,
    /// As the message says it.
    pub subject: &'a str,
    /// As the message says it.
    pub sender: &'a str,
    /// Recipients of the transaction.
    pub recipients: &'a [String],
    /// What is wrong.
    pub error: &'a str,
}

/// The text of an anomaly envelope. PEC §3.2.2.
pub fn anomaly(anomaly: &Anomaly) -> String {
    let Anomaly { instant, subject, sender, recipients, error } = anomaly;
    format!(
        "Anomalia nel messaggio\nIl giorno {} alle ore {} ({}) è stato ricevuto\nil messaggio \"{subject}\" \
         proveniente da \"{sender}\"\ned indirizzato a:\n{}\n\
         Tali dati non sono stati certificati per il seguente errore:\n{error}\n\
         Il messaggio originale è incluso in allegato.",
        instant.day,
        instant.hour,
        instant.zone,
        recipients.join("\n")
    )
}

/// The text of a delivery receipt. PEC §3.3.2.
pub fn delivery(data: &CertificationData, recipient: &str) -> String {
    let title = match data.receipt_kind {
        Some(DeliveryReceiptKind::Brief) => "Ricevuta di avvenuta consegna breve",
        Some(DeliveryReceiptKind::Concise) => "Ricevuta sintetica di avvenuta consegna",
        Some(DeliveryReceiptKind::Complete) | None => "Ricevuta di avvenuta consegna",
    };
    format!(
        "{title}\n{} il messaggio\n\"{}\" proveniente da \"{}\"\ned indirizzato a \"{recipient}\"\n\
         è stato consegnato nella casella di destinazione.\n{}",
        moment(data),
        subject(data),
        data.sender,
        identifier(data)
    )
}

/// The text of a non-delivery notice. PEC §3.3.3.
pub fn non_delivery(data: &CertificationData, recipient: &str, error: &str) -> String {
    format!(
        "Avviso di mancata consegna\n{} nel messaggio\n\"{}\" proveniente da \"{}\"\n\
         e destinato all'utente \"{recipient}\"\nè stato rilevato un errore {error}.\n\
         Il messaggio è stato rifiutato dal sistema.\n{}",
        moment(data),
        subject(data),
        data.sender,
        identifier(data)
    )
}

/// The text of the notice at the first deadline. PEC §3.1.6.
pub fn timeout_warning(data: &CertificationData, recipient: &str, deadlines: &Deadlines) -> String {
    let (first, more) = (deadlines.take_charge_hours, deadlines.end_hours.saturating_sub(deadlines.take_charge_hours));
    format!(
        "Avviso di mancata consegna\n{} il messaggio\n\"{}\" proveniente da \"{}\"\n\
         e destinato all'utente \"{recipient}\"\n\
         non è stato consegnato nelle prime {} ore dal suo invio. Non escludendo\n\
         che questo possa avvenire in seguito, si ritiene utile considerare che\n\
         l'invio potrebbe non andare a buon fine. Il sistema provvederà comunque\n\
         ad inviare un ulteriore avviso di mancata consegna se nelle prossime\n\
         {} ore non vi sarà la conferma della ricezione da parte del destinatario.\n{}",
        moment(data),
        subject(data),
        data.sender,
        hours(first),
        hours(more),
        identifier(data)
    )
}

/// The text of the notice at the last deadline. PEC §3.1.6.
pub fn timeout(data: &CertificationData, recipient: &str, deadlines: &Deadlines) -> String {
    format!(
        "Avviso di mancata consegna\n{} il messaggio\n\"{}\" proveniente da \"{}\"\n\
         e destinato all'utente \"{recipient}\"\n\
         non è stato consegnato nelle {} ore successive al suo invio. Si ritiene\n\
         che la spedizione debba considerarsi non andata a buon fine.\n{}",
        moment(data),
        subject(data),
        data.sender,
        hours(deadlines.end_hours),
        identifier(data)
    )
}

/// A count of hours in words where the models of the rules have words.
pub fn hours(count: u32) -> String {
    match count {
        12 => "dodici".to_owned(),
        24 => "ventiquattro".to_owned(),
        _ => count.to_string(),
    }
}

/// The prefix of the subject of a message of this kind. PEC §3.
pub fn subject_prefix(kind: CertificationKind) -> Option<&'static str> {
    use crate::wire;
    match kind {
        CertificationKind::Acceptance => Some(wire::SUBJECT_ACCEPTANCE),
        CertificationKind::NonAcceptance => Some(wire::SUBJECT_NON_ACCEPTANCE),
        CertificationKind::TakeCharge => Some(wire::SUBJECT_TAKE_CHARGE),
        CertificationKind::Delivery => Some(wire::SUBJECT_DELIVERY),
        CertificationKind::TransportEnvelope => Some(wire::SUBJECT_TRANSPORT),
        CertificationKind::NonDelivery => Some(wire::SUBJECT_NON_DELIVERY),
        CertificationKind::Timeout => Some(wire::SUBJECT_TIMEOUT),
        CertificationKind::VirusDetection => None,
    }
}

fn moment(data: &CertificationData) -> String {
    format!("Il giorno {} alle ore {} ({})", data.instant.day, data.instant.hour, data.instant.zone)
}

fn subject(data: &CertificationData) -> &str {
    data.subject.as_deref().unwrap_or_default()
}

fn recipients(data: &CertificationData) -> String {
    data.recipient_addresses().join("\n")
}

fn identifier(data: &CertificationData) -> String {
    format!("Identificativo messaggio: {}", data.identifier)
}
