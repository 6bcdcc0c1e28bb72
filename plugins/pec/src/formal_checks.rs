//! Formal checks of the access point, F1 to F9 ([PEC §3.1.1]): all must hold, or nothing is sent on.

use std::collections::BTreeSet;
use std::fmt;

use crate::address;
use crate::header::{Header, Malformed};
use crate::host::{Address, Message, Part};
use crate::original::OriginalMessage;
use crate::settings::Settings;

/// Most exceptions that a notice names; the rest is the like of them.
const EXCEPTIONS_MAX: usize = 10;

/// Fields that may stand at most once. RFC 5322 §3.6.
const AT_MOST_ONCE: [&str; 11] =
    ["Date", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References", "Subject"];

/// An original message that passed every formal check: made by [`check`] alone. An acceptance needs one.
pub struct FormallyValid {
    original: OriginalMessage,
    header: Header,
    warnings: Vec<String>,
}

impl FormallyValid {
    /// The message.
    pub fn original(&self) -> &OriginalMessage {
        &self.original
    }

    /// Its header section.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What was noticed and does not stop it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// An original message that did not pass, and why.
pub struct Refused {
    /// The message.
    pub original: OriginalMessage,
    /// At least one.
    pub exceptions: Vec<FormalException>,
}

/// A formal exception; its text completes the sentence *a causa di …* of the notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormalException {
    /// F1: the header section is too large to be read.
    HeaderSize,
    /// F1: the header section is not of RFC 5322.
    Header(Malformed),
    /// F1: the field stands more than once.
    Repeated(&'static str),
    /// F1: the field is missing (RFC 5322 §3.6 requires it).
    Missing(&'static str),
    /// F1, F2, F3: the field has no valid address, or one that is not valid.
    Addresses(&'static str),
    /// F1: `Message-ID:` is not one.
    MessageId,
    /// F1: the MIME structure cannot be read.
    Structure,
    /// F1: readers may disagree about a part: what one of them shows, a scanner may not have seen.
    Ambiguous,
    /// F2: not exactly one sender.
    Senders,
    /// F4: the reverse path is not the address of `From:`.
    SenderDiffers,
    /// F5: the recipient is neither in `To:` nor in `Cc:`.
    HiddenRecipient(String),
    /// F5, where the operator asks for it: the address is in `To:` or `Cc:` and not a recipient.
    MissingRecipient(String),
    /// F6: `Bcc:` has a value.
    Bcc,
    /// F7: too many recipients.
    Recipients(u32),
    /// F7: size times recipients is over the limit.
    Size(u64),
    /// F9: `Sender:` is not `From:`.
    SenderField,
    /// F9: the message was resent by its client.
    Resent,
    /// F9: the field names a group.
    Group(&'static str),
}

impl fmt::Display for FormalException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderSize => write!(f, "intestazione del messaggio troppo grande"),
            Self::Header(Malformed::Line) => write!(f, "intestazione del messaggio con righe non valide"),
            Self::Header(Malformed::LongLine) => write!(f, "intestazione del messaggio con righe troppo lunghe"),
            Self::Header(Malformed::Byte) => write!(f, "intestazione del messaggio con caratteri non ammessi"),
            Self::Repeated(field) => write!(f, "campo {field} ripetuto"),
            Self::Missing(field) => write!(f, "campo {field} mancante"),
            Self::Addresses(field) => write!(f, "campo {field} senza un indirizzo valido"),
            Self::MessageId => write!(f, "campo Message-ID non valido"),
            Self::Structure => write!(f, "struttura MIME del messaggio non valida"),
            Self::Ambiguous => write!(f, "struttura MIME del messaggio ambigua"),
            Self::Senders => write!(f, "campo From con più di un mittente"),
            Self::SenderDiffers => write!(f, "mittente della trasmissione diverso dal campo From"),
            Self::HiddenRecipient(address) => write!(f, "destinatario {address} assente dai campi To e Cc"),
            Self::MissingRecipient(address) => write!(f, "indirizzo {address} dei campi To e Cc non tra i destinatari"),
            Self::Bcc => write!(f, "campo Bcc valorizzato"),
            Self::Recipients(limit) => write!(f, "numero dei destinatari superiore a {limit}"),
            Self::Size(limit) => {
                write!(f, "dimensione del messaggio per numero dei destinatari superiore a {limit} byte")
            }
            Self::SenderField => write!(f, "campo Sender diverso dal campo From"),
            Self::Resent => write!(f, "campi Resent non ammessi"),
            Self::Group(field) => write!(f, "campo {field} con un gruppo di indirizzi"),
        }
    }
}

/// Runs every check. F8, whether the user is the sender, is settled in the session before it.
pub fn check(
    message: &dyn Message,
    settings: &Settings,
    original: OriginalMessage,
) -> Result<FormallyValid, Box<Refused>> {
    let Some(header) = original.header.clone() else {
        return Err(Box::new(Refused { original, exceptions: vec![FormalException::HeaderSize] }));
    };
    let mut found = Findings::default();
    check_form(message, &header, &original, &mut found);
    check_sender(message, &header, &original.sender, &mut found);
    check_recipients(message, &header, &original, settings, &mut found);
    check_size(settings, &original, &mut found);
    found.exceptions.truncate(EXCEPTIONS_MAX);
    match found.exceptions.is_empty() {
        true => Ok(FormallyValid { original, header, warnings: found.warnings }),
        false => Err(Box::new(Refused { original, exceptions: found.exceptions })),
    }
}

#[derive(Default)]
struct Findings {
    exceptions: Vec<FormalException>,
    warnings: Vec<String>,
}

impl Findings {
    fn add(&mut self, when: bool, exception: FormalException) {
        if when && !self.exceptions.contains(&exception) {
            self.exceptions.push(exception);
        }
    }
}

/// F1: RFC 5322, and a structure that can be read.
fn check_form(message: &dyn Message, header: &Header, original: &OriginalMessage, found: &mut Findings) {
    for malformed in header.malformed() {
        found.add(true, FormalException::Header(*malformed));
    }
    for field in AT_MOST_ONCE {
        found.add(header.count(field) > 1, FormalException::Repeated(field));
    }
    for field in ["Date", "From", "To"] {
        found.add(header.count(field) == 0, FormalException::Missing(field));
    }
    found.add(header.count("Message-ID") > 0 && original.message_id.is_none(), FormalException::MessageId);
    match message.parts() {
        Ok(parts) => check_structure(&parts, found),
        Err(_) => found.add(true, FormalException::Structure),
    }
    // F9: a client that resends asks for a sender and recipients that no certificate would name.
    found.add(header.names().any(|name| name.to_ascii_lowercase().starts_with("resent-")), FormalException::Resent);
}

/// An attached message is as somebody else wrote it, and often cut off in a report: there it is only noted.
fn check_structure(parts: &[Part], found: &mut Findings) {
    let attached = |part: &Part| {
        let mut parent = part.parent.and_then(|index| parts.get(index as usize));
        while let Some(above) = parent {
            if above.media_type == "message/rfc822" {
                return true;
            }
            parent = above.parent.and_then(|index| parts.get(index as usize));
        }
        false
    };
    let (inside, outside): (Vec<&Part>, Vec<&Part>) =
        parts.iter().filter(|part| part.ambiguous).partition(|p| attached(p));
    found.add(!outside.is_empty(), FormalException::Ambiguous);
    if !inside.is_empty() {
        found.warnings.push("ambiguous structure of an attached message".to_owned());
    }
}

/// F2, F4 and the `Sender:` of F9.
fn check_sender(message: &dyn Message, header: &Header, reverse_path: &str, found: &mut Findings) {
    if header.count("From") > 0 {
        let from = addresses(message, header, "From", found);
        found.add(from.len() > 1, FormalException::Senders);
        found.add(from.first().is_some_and(|from| !address::same(from, reverse_path)), FormalException::SenderDiffers);
    }
    if header.count("Sender") > 0 {
        let sender = addresses(message, header, "Sender", found);
        found.add(sender.iter().any(|sender| !address::same(sender, reverse_path)), FormalException::SenderField);
    }
    if header.count("Reply-To") > 0 {
        addresses(message, header, "Reply-To", found);
    }
}

/// F3, F5, F6.
fn check_recipients(
    message: &dyn Message,
    header: &Header,
    original: &OriginalMessage,
    settings: &Settings,
    found: &mut Findings,
) {
    let mut named = Vec::new();
    for field in ["To", "Cc"] {
        // RFC 5322 §3.6.3 wants an address in `Cc:` too; clients that leave the field empty do no harm.
        let empty_cc = field == "Cc" && header.value(field).is_some_and(|value| value.is_empty());
        if header.count(field) > 0 && !empty_cc {
            named.extend(addresses(message, header, field, found));
        }
    }
    let in_header: BTreeSet<String> = named.iter().map(|address| address::key(address)).collect();
    let in_envelope: BTreeSet<String> = original.recipients.iter().map(|r| address::key(&r.address)).collect();
    for recipient in original.recipients.iter().filter(|r| !in_header.contains(&address::key(&r.address))) {
        found.add(true, FormalException::HiddenRecipient(recipient.address.clone()));
    }
    for missing in address::distinct(&named).into_iter().filter(|a| !in_envelope.contains(&address::key(a))) {
        match settings.strict_recipients {
            true => found.add(true, FormalException::MissingRecipient(missing)),
            false if found.warnings.len() < EXCEPTIONS_MAX => {
                found.warnings.push(format!("not a recipient: {missing}"))
            }
            false => {}
        }
    }
    found.add(header.values("Bcc").iter().any(|value| !value.is_empty()), FormalException::Bcc);
}

/// F7.
fn check_size(settings: &Settings, original: &OriginalMessage, found: &mut Findings) {
    let (limits, count) = (&settings.limits, original.recipients.len() as u64);
    found.add(count > u64::from(limits.recipients_max), FormalException::Recipients(limits.recipients_max));
    let product = original.size.saturating_mul(count);
    found.add(product > limits.size_times_recipients, FormalException::Size(limits.size_times_recipients));
}

/// The addresses of a field, each of them valid and none in a group; what is not is noted.
fn addresses(message: &dyn Message, header: &Header, field: &'static str, found: &mut Findings) -> Vec<String> {
    let grouped = header.values(field).iter().any(|value| address::has_group_syntax(value));
    found.add(grouped, FormalException::Group(field));
    let list: Vec<Address> = message.addresses(field).unwrap_or_default();
    let valid = !list.is_empty() && list.iter().all(|a| address::is_address(&a.mailbox));
    found.add(!valid, FormalException::Addresses(field));
    list.into_iter().map(|a| a.mailbox).collect()
}
