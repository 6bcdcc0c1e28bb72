//! Whether the header of a certified message, which no signature covers, says what the signed certification data say.
//!
//! A field that says something else is a difference. A field that is missing, or a deviation that genuine providers
//! have, is a note.

use super::Exhibit;
use super::date;
use super::decode::Opened;
use super::report::Difference;
use super::words::{Type, cut, decoded, squeezed};
use crate::address;
use crate::certification_data::{CertificationData, CertificationKind, ErrorKind};
use crate::header::{self, Header};
use crate::host::{Address, Error, Message};
use crate::wire;

/// How far `Date:` may be from the certified instant, seconds. Ours: the rules make them equal, and a provider's own
/// delay between two steps is no forgery.
const DATE_TOLERANCE: i64 = 600;
/// What shows that a security problem was found.
const X_VERIFICA_SICUREZZA: &str = "X-VerificaSicurezza";

/// What was found.
#[derive(Default)]
pub struct Agreement {
    /// Fields that say something else.
    pub differences: Vec<Difference>,
    /// Deviations that prove nothing.
    pub notes: Vec<String>,
    /// What there was nothing to compare with.
    pub not_checked: Vec<String>,
}

/// Compares the header with the data, and the message inside with both.
pub fn compare(exhibit: &dyn Exhibit, opened: &Opened, data: &CertificationData) -> Agreement {
    let message = exhibit.message();
    let mut found = Agreement::default();
    subject(message, opened.kind, data, &mut found);
    let original = opened.original_header(message);
    match opened.kind {
        Type::Certified(CertificationKind::TransportEnvelope) => envelope(message, data, original.as_ref(), &mut found),
        _ => receipt(exhibit, data, &mut found),
    }
    client_id(message, data, &mut found);
    date(message, data, &mut found);
    security(message, data, &mut found);
    if let Some(original) = &original {
        inside(original, data, &mut found);
    }
    text(message, opened, data, &mut found);
    found
}

impl Agreement {
    fn differs(&mut self, field: &'static str, header: &str, certified: &str) {
        self.differences.push(Difference {
            field,
            header: cut(header.to_owned()),
            certified: cut(certified.to_owned()),
        });
    }
}

fn field(message: &dyn Message, name: &str) -> Option<String> {
    message.header_text(name, 0).map(|text| squeezed(&header::one_line(&text)))
}

/// Every address of a field in lower case, in order; none where it cannot be read.
fn mailboxes(list: Result<Vec<Address>, Error>) -> Option<Vec<String>> {
    list.ok().map(|list| list.into_iter().map(|one| address::key(&one.mailbox)).collect())
}

fn subject(message: &dyn Message, kind: Type, data: &CertificationData, found: &mut Agreement) {
    let shown = field(message, "Subject").unwrap_or_default();
    let subject = squeezed(&header::one_line(data.subject.as_deref().unwrap_or_default()));
    let expected: Vec<String> = kind.subject_prefixes().iter().map(|p| squeezed(&format!("{p}{subject}"))).collect();
    if !expected.contains(&shown) {
        found.differs("Subject", &shown, expected.first().map_or("", String::as_str));
    }
}

fn envelope(message: &dyn Message, data: &CertificationData, original: Option<&Header>, found: &mut Agreement) {
    let from = message.addresses("From").unwrap_or_default();
    let shown = from.first().map(|a| a.display_name.clone()).unwrap_or_default();
    let expected = format!("{}{}", wire::ON_BEHALF_OF, data.sender);
    if !squeezed(&shown).eq_ignore_ascii_case(&expected) {
        found.differs("From", &shown, &expected);
    }
    for name in ["To", "Cc"] {
        let shown: Vec<String> = (0..message.header_count(name)).filter_map(|i| message.header_text(name, i)).collect();
        let signed = original.map(|header| header.values(name)).unwrap_or_default();
        let signed: Vec<String> = signed.iter().map(|value| decoded(value)).collect();
        let squeeze = |values: &[String]| squeezed(&values.join(", "));
        if original.is_some() && squeeze(&shown) != squeeze(&signed) {
            found.differs(name, &squeeze(&shown), &squeeze(&signed));
        }
    }
    match mailboxes(message.addresses("Reply-To")) {
        Some(list) if list.is_empty() || list.contains(&address::key(&data.reply_to)) => {}
        list => found.differs("Reply-To", &list.unwrap_or_default().join(", "), &data.reply_to),
    }
    let wanted = data.receipt_kind.map(|kind| kind.word());
    match field(message, wire::X_TIPO_RICEVUTA) {
        Some(word) if wanted.is_none_or(|wanted| !word.eq_ignore_ascii_case(wanted)) => {
            found.differs(wire::X_TIPO_RICEVUTA, &word, wanted.unwrap_or_default());
        }
        None => found.notes.push(format!("the field {} is missing", wire::X_TIPO_RICEVUTA)),
        Some(_) => {}
    }
}

/// Receipts go to the sender of the original alone, those between providers to `mailReceipt` (PEC §2.2.5).
fn receipt(exhibit: &dyn Exhibit, data: &CertificationData, found: &mut Agreement) {
    let to = mailboxes(exhibit.message().addresses("To")).unwrap_or_default();
    let addressee = match data.kind {
        CertificationKind::TakeCharge | CertificationKind::VirusDetection => {
            exhibit.provider_of_domain(&address::domain(&data.sender)).ok().flatten().map(|entry| entry.mail_receipt)
        }
        _ => Some(data.sender.clone()),
    };
    match addressee {
        None => found.not_checked.push("To: the mailbox for receipts between providers stands in the index".to_owned()),
        Some(addressee) if to == [address::key(&addressee)] => {}
        Some(addressee) => found.differs("To", &to.join(", "), &addressee),
    }
}

fn client_id(message: &dyn Message, data: &CertificationData, found: &mut Agreement) {
    let name = wire::X_RIFERIMENTO_MESSAGE_ID;
    match (field(message, name), &data.message_id) {
        (Some(shown), certified) if certified.as_deref() != Some(shown.as_str()) => {
            found.differs(name, &shown, certified.as_deref().unwrap_or_default());
        }
        (None, Some(_)) => found.notes.push(format!("the field {name} is missing")),
        _ => {}
    }
}

fn date(message: &dyn Message, data: &CertificationData, found: &mut Agreement) {
    let shown = field(message, "Date").unwrap_or_default();
    let certified = format!("{} {} ({})", data.instant.day, data.instant.hour, data.instant.zone);
    match (date::of_field(&shown), date::of_data(&data.instant)) {
        (_, None) => found.notes.push(format!("the certified instant is none: {certified}")),
        (Some(one), Some(other)) if one == other => {}
        (Some(one), Some(other)) if (one - other).abs() <= DATE_TOLERANCE => {
            found.notes.push(format!("Date and the certified instant differ by {} seconds", (one - other).abs()));
        }
        (_, Some(_)) => found.differs("Date", &shown, &certified),
    }
}

fn security(message: &dyn Message, data: &CertificationData, found: &mut Agreement) {
    let virus = data.error == ErrorKind::Virus;
    match field(message, X_VERIFICA_SICUREZZA) {
        Some(word) if !virus => found.differs(X_VERIFICA_SICUREZZA, &word, data.error.word()),
        None if virus && data.kind != CertificationKind::VirusDetection => {
            found.notes.push(format!("the field {X_VERIFICA_SICUREZZA} is missing"));
        }
        _ => {}
    }
}

/// The message inside lies under the signature: what differs there is the provider's doing.
fn inside(original: &Header, data: &CertificationData, found: &mut Agreement) {
    let subject = original.value("Subject").map(|value| squeezed(&decoded(&value)));
    if subject.unwrap_or_default() != squeezed(&header::one_line(data.subject.as_deref().unwrap_or_default())) {
        found.notes.push("the subject of the message inside is not the certified one".to_owned());
    }
    let identifier = format!("<{}>", data.identifier);
    if original.value("Message-ID").as_deref() != Some(&identifier) {
        found.notes.push("the Message-ID of the message inside is not the identifier".to_owned());
    }
    if original.value("From").is_none_or(|from| !from.to_ascii_lowercase().contains(&address::key(&data.sender))) {
        found.notes.push("From of the message inside does not name the certified sender".to_owned());
    }
}

/// The text for people is a provider's own wording; only the identifier is looked for.
fn text(message: &dyn Message, opened: &Opened, data: &CertificationData, found: &mut Agreement) {
    let Some(index) = opened.text else {
        found.notes.push("there is no text for people".to_owned());
        return;
    };
    let bytes = message.read_decoded(index as u32).unwrap_or_default();
    let readable: String = String::from_utf8_lossy(&bytes).split_whitespace().collect();
    if !readable.contains(&data.identifier) {
        found.notes.push("the text for people does not name the identifier".to_owned());
    }
}
