//! The words of alerts, in Italian and English. They name the mailbox and say how much arrived; of a message they say
//! nothing, and each says that it exempts nobody from looking (ALR-08).

use crate::book::Tally;
use crate::host::{Error, Host};

/// The setting that the holder has.
const SETTING: &str = "alerts-language";

/// A language of alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Italian.
    Italian,
    /// English.
    English,
}

impl Language {
    /// The one that a mailbox chose.
    pub fn of(host: &impl Host, mailbox: &str) -> Result<Language, Error> {
        let chosen = host.setting(mailbox, SETTING)?;
        Ok(if chosen.as_deref() == Some("en") { Language::English } else { Language::Italian })
    }
}

/// ALR-08, also for whoever asks for the list.
pub fn no_exemption(language: Language) -> &'static str {
    match language {
        Language::Italian => {
            "Questo avviso è un servizio accessorio: non esonera il titolare dal controllare regolarmente la casella."
        }
        Language::English => {
            "This alert is an accessory service: it does not exempt the holder from checking the mailbox regularly."
        }
    }
}

/// `1 messaggio`, `2 messaggi`.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Kinds of which there are any, one for each line.
fn kinds(language: Language, tally: &Tally) -> Vec<String> {
    let (certified, receipts, ordinary) = match language {
        Language::Italian => (
            counted(tally.certified, "messaggio di posta certificata", "messaggi di posta certificata"),
            counted(tally.receipts, "ricevuta o avviso", "ricevute e avvisi"),
            counted(tally.ordinary, "altro messaggio", "altri messaggi"),
        ),
        Language::English => (
            counted(tally.certified, "certified message", "certified messages"),
            counted(tally.receipts, "receipt or notice", "receipts and notices"),
            counted(tally.ordinary, "other message", "other messages"),
        ),
    };
    let all = [(tally.certified, certified), (tally.receipts, receipts), (tally.ordinary, ordinary)];
    all.into_iter().filter(|(count, _)| *count > 0).map(|(_, words)| words).collect()
}

/// Subject and text of an alert by e-mail.
pub fn digest(language: Language, provider: &str, mailbox: &str, tally: &Tally, since: &str) -> (String, String) {
    let lines: String = kinds(language, tally).iter().map(|line| format!("  - {line}\n")).collect();
    let exemption = no_exemption(language);
    match language {
        Language::Italian => (
            format!("Nuovi messaggi nella casella {mailbox}"),
            format!(
                "Messaggi arrivati nella casella {mailbox} dal {}:\n\n{lines}\nPer leggerli, accedere alla casella come di \
                 consueto. Questo messaggio non contiene collegamenti e non chiede mai password o codici.\n\n\
                 {exemption}\n\n{provider}\n",
                since.replacen(' ', ", ore ", 1)
            ),
        ),
        Language::English => (
            format!("New messages in the mailbox {mailbox}"),
            format!(
                "Messages that arrived in the mailbox {mailbox} since {since}:\n\n{lines}\nTo read them, open the \
                 mailbox as usual. This message contains no links and never asks for a password or a code.\n\n{exemption}\n\n{provider}\n"
            ),
        ),
    }
}

/// Text of an alert by SMS: letters of the alphabet of GSM.
pub fn digest_sms(language: Language, provider: &str, mailbox: &str, tally: &Tally) -> String {
    let kinds = kinds(language, tally).join(", ");
    match language {
        Language::Italian => {
            format!("{provider}: casella {mailbox}: {kinds}. L'avviso non esonera dal controllare la casella.")
        }
        Language::English => {
            format!("{provider}: mailbox {mailbox}: {kinds}. This does not exempt you from checking the mailbox.")
        }
    }
}

/// Subject and text that bring a code by e-mail. The receiver may be anybody: it says what it is about and that nothing
/// needs to be done.
pub fn code(language: Language, provider: &str, mailbox: &str, code: &str, hours: u32) -> (String, String) {
    match language {
        Language::Italian => (
            "Codice di conferma".to_owned(),
            format!(
                "Il titolare della casella {mailbox} ha chiesto che a questo indirizzo arrivi un avviso quando la casella \
                 riceve messaggi.\n\nCodice di conferma: {code}\n\nIl codice vale {}. Finché non viene usato non \
                 arriverà altro: chi non sa di questa richiesta può ignorare il messaggio.\n\n{provider}\n",
                counted(hours.into(), "ora", "ore")
            ),
        ),
        Language::English => (
            "Confirmation code".to_owned(),
            format!(
                "The holder of the mailbox {mailbox} asked that this address be told when the mailbox receives \
                 messages.\n\nConfirmation code: {code}\n\nThe code is good for {}. Unless it is used nothing else will \
                 come: if you do not know of this request, ignore the message.\n\n{provider}\n",
                counted(hours.into(), "hour", "hours")
            ),
        ),
    }
}

/// The same by SMS.
pub fn code_sms(language: Language, provider: &str, mailbox: &str, code: &str) -> String {
    match language {
        Language::Italian => format!("{provider}: codice {code} per confermare gli avvisi della casella {mailbox}."),
        Language::English => format!("{provider}: code {code} to confirm the alerts of the mailbox {mailbox}."),
    }
}
