//! What a message is and holds, as far as it can be told.

use super::Exhibit;
use super::report::{Data, Decoded, Field, Hash, Original, PartFacts, Recipient};
use super::words::{Type, cut, decoded};
use crate::certification_data::{CertificationData, DataError};
use crate::header::Header;
use crate::host::{Message, Part};
use crate::progress::hexadecimal;
use crate::wire;

/// Fields of a certified message that matter.
const FIELDS: [&str; 15] = [
    wire::X_TRASPORTO,
    wire::X_RICEVUTA,
    "X-VerificaSicurezza",
    wire::X_TIPO_RICEVUTA,
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    wire::X_RIFERIMENTO_MESSAGE_ID,
    "X-Mittente",
    "Return-Path",
];
/// Fields of the message inside.
const ORIGINAL_FIELDS: [&str; 8] =
    ["From", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", wire::X_RIFERIMENTO_MESSAGE_ID];

/// The parts of a message by their meaning, found leniently: wherever they stand outside the message inside.
pub struct Opened {
    /// All parts.
    pub parts: Vec<Part>,
    /// `daticert.xml`: index.
    pub data_part: Option<usize>,
    /// The message inside: index.
    pub original: Option<usize>,
    /// The text for people: index.
    pub text: Option<usize>,
    /// What the certification data say.
    pub data: Option<CertificationData>,
    /// What the message is.
    pub kind: Type,
    /// What deviates.
    pub notes: Vec<String>,
}

impl Opened {
    /// Opens the message.
    pub fn open(exhibit: &dyn Exhibit) -> Opened {
        let message = exhibit.message();
        let mut notes = file_notes(exhibit);
        let parts = message.parts().unwrap_or_else(|error| {
            notes.push(format!("the structure of the message cannot be told: {error:?}"));
            Vec::new()
        });
        let outside = |index: &usize| !is_inside_message(&parts, *index);
        let places: Vec<usize> = (0..parts.len()).filter(outside).collect();
        let named = |name: &str| places.iter().copied().filter(|i| parts[*i].is_named(name)).collect::<Vec<_>>();
        let (data_parts, mut originals) = (named(wire::DATICERT_XML), named(wire::POSTACERT_EML));
        originals.retain(|index| is_message(&parts[*index]));
        if originals.is_empty() {
            originals = places.iter().copied().filter(|i| is_message(&parts[*i])).collect();
        }
        for (name, found) in [(wire::DATICERT_XML, &data_parts), ("message inside", &originals)] {
            if found.len() > 1 {
                notes.push(format!("{} parts pass for {name}; the first is shown", found.len()));
            }
        }
        let data = data_parts.first().and_then(|index| read_data(message, *index, &mut notes));
        let kind = Type::of(message, data.as_ref().map(|data| data.kind));
        if parts.iter().any(|part| part.ambiguous) {
            notes.push("readers may disagree about the structure of the message".to_owned());
        }
        let wrapped = places.iter().any(|i| *i > 0 && parts[*i].media_type == "multipart/signed");
        if wrapped && parts.first().is_some_and(|root| root.media_type != "multipart/signed") {
            notes.push("a signed message lies within this one: a mailing list or a relay has wrapped it".to_owned());
        }
        let text =
            places.iter().copied().find(|i| parts[*i].media_type == "text/plain" && parts[*i].filename.is_none());
        let (data_part, original) = (data_parts.first().copied(), originals.first().copied());
        Opened { data_part, original, text, data, kind, notes, parts }
    }

    /// The header section of the message inside.
    pub fn original_header(&self, message: &dyn Message) -> Option<Header> {
        let root =
            self.parts.iter().find(|part| part.parent.is_some() && part.parent.map(|i| i as usize) == self.original)?;
        Header::read(message, root.header_offset, root.body_offset).ok()
    }

    /// Digests that stand for attachments in a brief delivery receipt.
    pub fn hashes(&self, message: &dyn Message) -> Vec<Hash> {
        let Some(original) = self.original else { return Vec::new() };
        let below = (0..self.parts.len()).filter(|index| is_attachment(&self.parts, *index, original));
        below.filter_map(|index| hash(message, &self.parts[index], index)).collect()
    }
}

fn hash(message: &dyn Message, part: &Part, index: usize) -> Option<Hash> {
    let name = part.filename.as_deref()?.strip_suffix(wire::HASH_SUFFIX)?;
    // 40 digits, and what line ends a provider may put around them.
    if part.media_type != "text/plain" || part.body_length > 100 {
        return None;
    }
    let text = String::from_utf8(message.read_decoded(index as u32).ok()?).ok()?;
    let digits = text.trim();
    let is_digest = digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_digest.then(|| Hash { name: name.to_owned(), sha1: digits.to_ascii_lowercase() })
}

/// The answer.
pub fn decode(exhibit: &dyn Exhibit) -> Result<Decoded, String> {
    let opened = Opened::open(exhibit);
    let message = exhibit.message();
    let original = opened.original.map(|index| original(exhibit, &opened, index)).transpose()?;
    let others = (0..opened.parts.len()).filter(|index| is_other(&opened, *index));
    let other_parts = others.map(|index| part_facts(exhibit, &opened.parts, index)).collect();
    Ok(Decoded {
        r#type: opened.kind.word(),
        title: opened.kind.title(),
        header: header_fields(message),
        certification_data: opened.data.as_ref().map(Data::from),
        original,
        other_parts,
        notes: opened.notes,
    })
}

fn header_fields(message: &dyn Message) -> Vec<Field> {
    let values = |name: &'static str| {
        let text = move |index| message.header_text(name, index);
        (0..message.header_count(name).min(8)).filter_map(text).map(move |value| Field { name, value: cut(value) })
    };
    FIELDS.into_iter().flat_map(values).collect()
}

fn original(exhibit: &dyn Exhibit, opened: &Opened, index: usize) -> Result<Original, String> {
    let message = exhibit.message();
    let part = &opened.parts[index];
    let digest = message.sha256(part.body_offset, part.body_length).map_err(|error| format!("{error:?}"))?;
    let header = opened.original_header(message);
    let field = |name: &'static str| {
        let values = header.as_ref().map(|header| header.values(name)).unwrap_or_default();
        values.into_iter().map(move |value| Field { name, value: cut(decoded(&value)) })
    };
    let attached = (0..opened.parts.len()).filter(|at| is_attachment(&opened.parts, *at, index));
    Ok(Original {
        name: part.filename.clone(),
        size: part.body_length,
        sha256: hexadecimal(&digest),
        header: ORIGINAL_FIELDS.into_iter().flat_map(field).collect(),
        attachments: attached.map(|at| part_facts(exhibit, &opened.parts, at)).collect(),
        hashes: opened.hashes(message),
    })
}

fn part_facts(exhibit: &dyn Exhibit, parts: &[Part], index: usize) -> PartFacts {
    let part = &parts[index];
    let (name, media_type) = (part.filename.clone(), part.media_type.clone());
    match exhibit.decoded_sha256(index as u32) {
        Ok((size, digest)) => PartFacts { name, media_type, size, sha256: Some(hexadecimal(&digest)) },
        Err(_) => PartFacts { name, media_type, size: part.body_length, sha256: None },
    }
}

fn read_data(message: &dyn Message, index: usize, notes: &mut Vec<String>) -> Option<CertificationData> {
    let reading = message.read_decoded(index as u32).map_err(|_| DataError::NotWellFormed);
    match reading.and_then(|bytes| CertificationData::read(&bytes)) {
        Ok(reading) => {
            if !reading.in_order {
                notes.push("the certification data are not in the order of their grammar".to_owned());
            }
            Some(reading.data)
        }
        Err(problem) => {
            notes.push(format!("{}: {}", wire::DATICERT_XML, data_problem(&problem)));
            None
        }
    }
}

/// Why certification data cannot be used.
pub fn data_problem(problem: &DataError) -> String {
    match problem {
        DataError::NotWellFormed => "it is not XML that may be read (size, encoding, syntax, document type)".to_owned(),
        DataError::Invalid(name) => format!("'{name}' is missing, empty, repeated or has a word that is not known"),
    }
}

/// What the file itself deviates in.
fn file_notes(exhibit: &dyn Exhibit) -> Vec<String> {
    let mut notes = Vec::new();
    match exhibit.property("line-ends").as_deref() {
        Some("lf") => notes.push(
            "the file has bare LF line ends, as mail programs save them; it is read with CRLF, over which signatures are \
             made"
            .to_owned(),
        ),
        Some("mixed") => {
            notes.push("the file mixes CRLF and bare LF line ends; it is read with CRLF throughout".to_owned())
        }
        _ => {}
    }
    if exhibit.property("mbox").is_some() {
        notes.push("a 'From ' line of a mailbox file stood above the message and is left out".to_owned());
    }
    notes
}

// === the tree ===

/// The parts that contain a part, from the inside out.
fn ancestors(parts: &[Part], index: usize) -> impl Iterator<Item = usize> {
    let parent = |at: usize| parts[at].parent.map(|parent| parent as usize).filter(|parent| *parent < at);
    std::iter::successors(parent(index), move |at| parent(*at))
}

fn is_message(part: &Part) -> bool {
    part.media_type == "message/rfc822"
}

fn is_inside_message(parts: &[Part], index: usize) -> bool {
    ancestors(parts, index).any(|at| is_message(&parts[at]))
}

fn is_leaf(part: &Part) -> bool {
    !part.media_type.starts_with("multipart/")
}

/// A file of the message inside; what lies in an attached message goes with it.
fn is_attachment(parts: &[Part], index: usize, original: usize) -> bool {
    let is_file = is_leaf(&parts[index]) && (parts[index].filename.is_some() || is_message(&parts[index]));
    is_file && ancestors(parts, index).find(|at| is_message(&parts[*at])) == Some(original)
}

fn is_other(opened: &Opened, index: usize) -> bool {
    let part = &opened.parts[index];
    let known = [opened.data_part, opened.original, opened.text].contains(&Some(index));
    let signature = part.media_type.ends_with("pkcs7-signature");
    let text = part.media_type.starts_with("text/") && part.filename.is_none();
    is_leaf(part) && !known && !signature && !text && !is_inside_message(&opened.parts, index)
}

impl From<&CertificationData> for Data {
    fn from(data: &CertificationData) -> Data {
        let recipient =
            |r: &crate::certification_data::Recipient| Recipient { address: r.address.clone(), kind: r.kind.word() };
        Data {
            kind: data.kind.word(),
            error: data.error.word(),
            identifier: data.identifier.clone(),
            sender: data.sender.clone(),
            recipients: data.recipients.iter().map(recipient).collect(),
            reply_to: data.reply_to.clone(),
            subject: data.subject.clone().map(cut),
            provider: data.provider.clone(),
            instant: format!("{} {} ({})", data.instant.day, data.instant.hour, data.instant.zone),
            message_id: data.message_id.clone(),
            receipt_kind: data.receipt_kind.map(|kind| kind.word()),
            delivery: data.delivery.clone(),
            taken_in_charge: data.taken_in_charge.clone(),
            extended_error: data.extended_error.clone().map(cut),
        }
    }
}
