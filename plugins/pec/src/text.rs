//! What people read in receipts, notices and envelopes: the Italian models of the rules ([PEC §3]), line by line.
//!
//! These texts are models for readers; programs read the certification data. A provider may add the same in English.

mod english;

use crate::certification_data::{CertificationData, CertificationKind, DeliveryReceiptKind, ErrorKind, RecipientKind};
use crate::settings::{Deadlines, Language, Settings};

/// A text in each language.
pub struct Text {
    italian: String,
    english: String,
}

impl Text {
    /// The Italian text, and below it the second language where the operator asks for one.
    pub fn written(self, settings: &Settings) -> String {
        match settings.second_language {
            None => self.italian,
            Some(Language::En) => format!("{}\n\n{}", self.italian, self.english),
        }
    }
}

/// The text of an acceptance receipt. PEC §3.1.4.
pub fn acceptance(data: &CertificationData) -> Text {
    let recipients = data.recipients.iter().map(|recipient| match recipient.kind {
        RecipientKind::Certified => format!("{} (\"posta certificata\")", recipient.address),
        RecipientKind::External => format!("{} (\"posta ordinaria\")", recipient.address),
    });
    let italian = format!(
        "Ricevuta di accettazione\n{} il messaggio\n\"{}\" proveniente da \"{}\"\ned indirizzato a:\n{}\n\
         è stato accettato dal sistema ed inoltrato.\n{}",
        moment(data),
        subject(data),
        data.sender,
        recipients.collect::<Vec<_>>().join("\n"),
        identifier(data)
    );
    Text { italian, english: english::acceptance(data) }
}

/// The text of a non-acceptance notice. PEC §3.1.2.
pub fn non_acceptance(data: &CertificationData, error: &str) -> Text {
    let italian = format!(
        "Errore nell'accettazione del messaggio\n{} nel messaggio\n\"{}\" proveniente da \"{}\"\ned indirizzato a:\n{}\n\
         è stato rilevato un problema che ne impedisce l'accettazione\na causa di {}.\nIl messaggio non è stato accettato.\n{}",
        moment(data),
        subject(data),
        data.sender,
        recipients(data),
        error,
        identifier(data)
    );
    Text { italian, english: english::non_acceptance(data, error) }
}

/// The text of a transport envelope. PEC §3.1.5.
pub fn transport_envelope(data: &CertificationData) -> Text {
    let italian = format!(
        "Messaggio di posta certificata\n{} il messaggio\n\"{}\" è stato inviato da \"{}\"\nindirizzato a:\n{}\n\
         Il messaggio originale è incluso in allegato.\n{}",
        moment(data),
        subject(data),
        data.sender,
        recipients(data),
        identifier(data)
    );
    Text { italian, english: english::transport_envelope(data) }
}

/// The text of a take-charge receipt. PEC §3.2.1. The recipients are those taken in charge.
pub fn take_charge(data: &CertificationData) -> Text {
    let italian = format!(
        "Ricevuta di presa in carico\n{} il messaggio\n\"{}\" proveniente da \"{}\"\ned indirizzato a:\n{}\n\
         è stato accettato dal sistema.\n{}",
        moment(data),
        subject(data),
        data.sender,
        data.taken_in_charge.join("\n"),
        identifier(data)
    );
    Text { italian, english: english::take_charge(data) }
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
pub fn anomaly(anomaly: &Anomaly) -> Text {
    let Anomaly { instant, subject, sender, recipients, error } = anomaly;
    let italian = format!(
        "Anomalia nel messaggio\nIl giorno {} alle ore {} ({}) è stato ricevuto\nil messaggio \"{subject}\" \
         proveniente da \"{sender}\"\ned indirizzato a:\n{}\n\
         Tali dati non sono stati certificati per il seguente errore:\n{error}\n\
         Il messaggio originale è incluso in allegato.",
        instant.day,
        instant.hour,
        instant.zone,
        recipients.join("\n")
    );
    Text { italian, english: english::anomaly(anomaly) }
}

/// The text of a delivery receipt. PEC §3.3.2.
pub fn delivery(data: &CertificationData, recipient: &str) -> Text {
    let title = match data.receipt_kind {
        Some(DeliveryReceiptKind::Brief) => "Ricevuta di avvenuta consegna breve",
        Some(DeliveryReceiptKind::Concise) => "Ricevuta sintetica di avvenuta consegna",
        Some(DeliveryReceiptKind::Complete) | None => "Ricevuta di avvenuta consegna",
    };
    let italian = format!(
        "{title}\n{} il messaggio\n\"{}\" proveniente da \"{}\"\ned indirizzato a \"{recipient}\"\n\
         è stato consegnato nella casella di destinazione.\n{}",
        moment(data),
        subject(data),
        data.sender,
        identifier(data)
    );
    Text { italian, english: english::delivery(data, recipient) }
}

/// The text of a non-delivery notice. PEC §3.3.3.
pub fn non_delivery(data: &CertificationData, recipient: &str, error: &str) -> Text {
    let italian = format!(
        "Avviso di mancata consegna\n{} nel messaggio\n\"{}\" proveniente da \"{}\"\n\
         e destinato all'utente \"{recipient}\"\nè stato rilevato un errore {error}.\n\
         Il messaggio è stato rifiutato dal sistema.\n{}",
        moment(data),
        subject(data),
        data.sender,
        identifier(data)
    );
    Text { italian, english: english::non_delivery(data, recipient, error) }
}

/// The text of the notice at the first deadline. PEC §3.1.6.
pub fn timeout_warning(data: &CertificationData, recipient: &str, deadlines: &Deadlines) -> Text {
    let (first, more) = (deadlines.take_charge_hours, deadlines.end_hours.saturating_sub(deadlines.take_charge_hours));
    let italian = format!(
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
    );
    Text { italian, english: english::timeout_warning(data, recipient, deadlines) }
}

/// The text of the notice at the last deadline. PEC §3.1.6.
pub fn timeout(data: &CertificationData, recipient: &str, deadlines: &Deadlines) -> Text {
    let italian = format!(
        "Avviso di mancata consegna\n{} il messaggio\n\"{}\" proveniente da \"{}\"\n\
         e destinato all'utente \"{recipient}\"\n\
         non è stato consegnato nelle {} ore successive al suo invio. Si ritiene\n\
         che la spedizione debba considerarsi non andata a buon fine.\n{}",
        moment(data),
        subject(data),
        data.sender,
        hours(deadlines.end_hours),
        identifier(data)
    );
    Text { italian, english: english::timeout(data, recipient, deadlines) }
}

/// A count of hours in words where the models of the rules have words.
pub fn hours(count: u32) -> String {
    match count {
        12 => "dodici".to_owned(),
        24 => "ventiquattro".to_owned(),
        _ => count.to_string(),
    }
}

/// The text of a non-acceptance notice for a virus. PEC §3.1.3.
pub fn virus_non_acceptance(data: &CertificationData, threat: &str) -> Text {
    let italian = format!(
        "Errore nell'accettazione del messaggio per presenza di virus\n{} nel messaggio\n\"{}\" \
         proveniente da \"{}\"\ned indirizzato a:\n{}\n\
         è stato rilevato un problema di sicurezza {threat}.\nIl messaggio non è stato accettato.\n{}",
        moment(data),
        subject(data),
        data.sender,
        recipients(data),
        identifier(data)
    );
    Text { italian, english: english::virus_non_acceptance(data, threat) }
}

/// The text of a virus detection notice. PEC §3.2.3.
pub fn virus_detection(data: &CertificationData, recipient: &str, threat: &str) -> Text {
    let italian = format!(
        "Avviso di rilevazione virus informatico\n{} nel messaggio\n\"{}\" proveniente da \"{}\"\n\
         e destinato all'utente \"{recipient}\"\nè stato rilevato un problema di sicurezza {threat}.\n{}",
        moment(data),
        subject(data),
        data.sender,
        identifier(data)
    );
    Text { italian, english: english::virus_detection(data, recipient, threat) }
}

/// The text of a non-delivery notice for a virus. PEC §3.2.4.
pub fn virus_non_delivery(data: &CertificationData, recipient: &str, threat: &str) -> Text {
    let italian = format!(
        "Avviso di mancata consegna per virus\n{} nel messaggio\n\"{}\" destinato all'utente \"{recipient}\"\n\
         è stato rilevato un problema di sicurezza {threat}.\nIl messaggio non è stato consegnato.\n{}",
        moment(data),
        subject(data),
        identifier(data)
    );
    Text { italian, english: english::virus_non_delivery(data, recipient, threat) }
}

/// The prefix of the subject of a message of this kind. PEC §3.
pub fn subject_prefix(kind: CertificationKind, error: ErrorKind) -> &'static str {
    use crate::wire;
    match (kind, error) {
        (CertificationKind::Acceptance, _) => wire::SUBJECT_ACCEPTANCE,
        (CertificationKind::NonAcceptance, ErrorKind::Virus) => wire::SUBJECT_VIRUS_NON_ACCEPTANCE,
        (CertificationKind::NonAcceptance, _) => wire::SUBJECT_NON_ACCEPTANCE,
        (CertificationKind::TakeCharge, _) => wire::SUBJECT_TAKE_CHARGE,
        (CertificationKind::Delivery, _) => wire::SUBJECT_DELIVERY,
        (CertificationKind::TransportEnvelope, _) => wire::SUBJECT_TRANSPORT,
        (CertificationKind::NonDelivery, ErrorKind::Virus) => wire::SUBJECT_VIRUS_NON_DELIVERY,
        (CertificationKind::NonDelivery, _) => wire::SUBJECT_NON_DELIVERY,
        (CertificationKind::Timeout, _) => wire::SUBJECT_TIMEOUT,
        (CertificationKind::VirusDetection, _) => wire::SUBJECT_VIRUS_DETECTION,
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
