//! Every word that crosses the wire, once ([PEC §2.1], [§3], [§8]).
//!
//! The Italian rules are the authority: where the English of RFC 6109 prints another word (`certdata.xml`,
//! `certified-mail@`, `On behalf of:`, `X-Trasplorto`), the word here is the one of the Italian text and of the
//! messages that providers really exchange.

// --- Header fields. PEC §8.1 ---------------------------------------------------------------------------------------

/// Kind of a receipt or notice.
pub const X_RICEVUTA: &str = "X-Ricevuta";
/// Kind of an envelope.
pub const X_TRASPORTO: &str = "X-Trasporto";
/// Form of delivery receipt that the sender asks for.
pub const X_TIPO_RICEVUTA: &str = "X-TipoRicevuta";
/// A security problem was found.
pub const X_VERIFICA_SICUREZZA: &str = "X-VerificaSicurezza";
/// Ours: an anomaly envelope with this field holds ordinary mail; one without it, a provider's message that is not
/// correct.
pub const X_ANOMALIA_ORIGINE: &str = "X-Anomalia-Origine";
/// Its value.
pub const POSTA_ORDINARIA: &str = "posta-ordinaria";
/// Sender of the original, in a virus detection notice.
pub const X_MITTENTE: &str = "X-Mittente";
/// The Message-ID that the sender's client had put.
pub const X_RIFERIMENTO_MESSAGE_ID: &str = "X-Riferimento-Message-ID";

/// `X-Trasporto` of a transport envelope; also its kind in the certification data.
pub const POSTA_CERTIFICATA: &str = "posta-certificata";
/// `X-Trasporto` of an anomaly envelope, `X-VerificaSicurezza` of what is about a virus. PEC §8.1.4.
pub const ERRORE: &str = "errore";

// --- Kinds of receipts and notices, in `X-Ricevuta` and in the certification data. PEC §8.1.2 ----------------------

/// Acceptance receipt. PEC §3.1.4.
pub const ACCETTAZIONE: &str = "accettazione";
/// Non-acceptance notice. PEC §3.1.2.
pub const NON_ACCETTAZIONE: &str = "non-accettazione";
/// Take-charge receipt. PEC §3.2.1.
pub const PRESA_IN_CARICO: &str = "presa-in-carico";
/// Delivery receipt. PEC §3.3.2.
pub const AVVENUTA_CONSEGNA: &str = "avvenuta-consegna";
/// Non-delivery notice. PEC §3.3.3.
pub const ERRORE_CONSEGNA: &str = "errore-consegna";
/// Notice that a time limit passed. PEC §3.1.6.
pub const PREAVVISO_ERRORE_CONSEGNA: &str = "preavviso-errore-consegna";
/// Virus detection notice between providers. PEC §3.2.3.
pub const RILEVAZIONE_VIRUS: &str = "rilevazione-virus";

// --- Forms of delivery receipts. PEC §8.1.5 ------------------------------------------------------------------------

/// Complete. PEC §3.3.2.1.
pub const COMPLETA: &str = "completa";
/// Brief. PEC §3.3.2.2.
pub const BREVE: &str = "breve";
/// Concise. PEC §3.3.2.3.
pub const SINTETICA: &str = "sintetica";

// --- Subjects: each ends in a colon and one blank ------------------------------------------------------------------

/// Acceptance receipt. PEC §3.1.4.
pub const SUBJECT_ACCEPTANCE: &str = "ACCETTAZIONE: ";
/// Non-acceptance notice for formal exceptions. PEC §3.1.2.
pub const SUBJECT_NON_ACCEPTANCE: &str = "AVVISO DI NON ACCETTAZIONE: ";
/// Transport envelope. PEC §3.1.5.
pub const SUBJECT_TRANSPORT: &str = "POSTA CERTIFICATA: ";
/// Take-charge receipt. PEC §3.2.1.
pub const SUBJECT_TAKE_CHARGE: &str = "PRESA IN CARICO: ";
/// Anomaly envelope. PEC §3.2.2.
pub const SUBJECT_ANOMALY: &str = "ANOMALIA MESSAGGIO: ";
/// Delivery receipt, all forms. PEC §3.3.2.
pub const SUBJECT_DELIVERY: &str = "CONSEGNA: ";
/// Non-delivery notice. PEC §3.3.3.
pub const SUBJECT_NON_DELIVERY: &str = "AVVISO DI MANCATA CONSEGNA: ";
/// Non-acceptance notice for a virus. PEC §3.1.3.
pub const SUBJECT_VIRUS_NON_ACCEPTANCE: &str = "AVVISO DI NON ACCETTAZIONE PER VIRUS: ";
/// Virus detection notice between providers. PEC §3.2.3.
pub const SUBJECT_VIRUS_DETECTION: &str = "PROBLEMA DI SICUREZZA: ";
/// Non-delivery notice for a virus. PEC §3.2.4.
pub const SUBJECT_VIRUS_NON_DELIVERY: &str = "AVVISO DI MANCATA CONSEGNA PER VIRUS: ";
/// Notice that a time limit passed, both of them. PEC §3.1.6.
pub const SUBJECT_TIMEOUT: &str = "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: ";

/// What stands before the sender's address in the display name of an envelope. PEC §3.1.5.
pub const ON_BEHALF_OF: &str = "Per conto di: ";

// --- Parts. PEC §4.3 -----------------------------------------------------------------------------------------------

/// File name of the certification data. PEC §4.3.3.
pub const DATICERT_XML: &str = "daticert.xml";
/// File name of the original message. PEC §4.3.2.
pub const POSTACERT_EML: &str = "postacert.eml";
/// File name of the signature.
pub const SMIME_P7S: &str = "smime.p7s";
/// Suffix of a file that holds the digest of an attachment. PEC §3.3.2.2.
pub const HASH_SUFFIX: &str = ".hash";
/// What a reader without S/MIME sees before the parts.
pub const PREAMBLE: &str = "This is an S/MIME signed message";

// --- Certification data. PEC §4.4 ----------------------------------------------------------------------------------

/// Names of elements and attributes.
pub mod xml {
    /// Root.
    pub const POSTACERT: &str = "postacert";
    /// Attribute: kind of the message, of a recipient or of a delivery receipt.
    pub const TIPO: &str = "tipo";
    /// Attribute: kind of error.
    pub const ERRORE: &str = "errore";
    /// Data of the original message.
    pub const INTESTAZIONE: &str = "intestazione";
    /// Sender.
    pub const MITTENTE: &str = "mittente";
    /// A recipient.
    pub const DESTINATARI: &str = "destinatari";
    /// Where replies go.
    pub const RISPOSTE: &str = "risposte";
    /// Subject.
    pub const OGGETTO: &str = "oggetto";
    /// Data of the certified message.
    pub const DATI: &str = "dati";
    /// Provider that issues this message.
    pub const GESTORE_EMITTENTE: &str = "gestore-emittente";
    /// Instant of the event.
    pub const DATA: &str = "data";
    /// Attribute: distance from UTC.
    pub const ZONA: &str = "zona";
    /// Day.
    pub const GIORNO: &str = "giorno";
    /// Hour.
    pub const ORA: &str = "ora";
    /// PEC message identifier.
    pub const IDENTIFICATIVO: &str = "identificativo";
    /// Message-ID of the client.
    pub const MSGID: &str = "msgid";
    /// Form of delivery receipt asked for.
    pub const RICEVUTA: &str = "ricevuta";
    /// The recipient concerned.
    pub const CONSEGNA: &str = "consegna";
    /// A recipient taken in charge.
    pub const RICEZIONE: &str = "ricezione";
    /// Description of an error.
    pub const ERRORE_ESTESO: &str = "errore-esteso";
}

/// Recipient whose domain is in the index of providers.
pub const CERTIFICATO: &str = "certificato";
/// Any other recipient.
pub const ESTERNO: &str = "esterno";

/// No error.
pub const NESSUNO: &str = "nessuno";
/// Wrong recipient.
pub const NO_DEST: &str = "no-dest";
/// Wrong domain.
pub const NO_DOMINIO: &str = "no-dominio";
/// Virus.
pub const VIRUS: &str = "virus";
/// Any other error.
pub const ALTRO: &str = "altro";
