//! The signed message that every envelope, receipt and notice is ([PEC §4.3], [RFC 1847 §2.1], [RFC 8551 §3.5.3]):
//! text, certification data and original in a `multipart/mixed`, and the provider's signature over it.

use crate::content::Content;
use crate::host::{Failure, Message};
use crate::mime;
use crate::step::Step;
use crate::wire;

/// Longest boundary, characters. RFC 2046 §5.1.1 allows 70; each of ours adds a prefix to one id.
const BOUNDARY_ID_MAX: usize = 60;
/// How many ids are tried for a boundary that does not occur in the original. Ours: the first one fits, unless somebody
/// foresaw it.
const BOUNDARY_TRIES: usize = 4;
/// How much of a message is looked through for 8-bit bytes, octets; beyond it is labelled `8bit` unseen, which is
/// always true enough: the label is an upper bound (RFC 2045 §6.2).
const EIGHT_BIT_SCAN_MAX: u64 = 4 * 1024 * 1024;

/// The original message, or another that goes in its place.
pub struct Attached {
    /// Its bytes.
    pub content: Content,
    /// Whether it has bytes over 127, so that its part is `8bit`.
    pub eight_bit: bool,
}

/// What a signed message says.
pub struct Body {
    /// For people.
    pub text: String,
    /// Certification data; an anomaly envelope has none.
    pub data: Option<String>,
    /// `postacert.eml`.
    pub original: Option<Attached>,
}

/// A signed message.
pub struct Signed {
    /// The message.
    pub content: Content,
    /// The signature value in it, DER.
    pub signature: Vec<u8>,
}

/// Signs a body and puts the fields above it. `fields` are whole header fields, without those of MIME.
pub fn compose(step: &Step, fields: &[u8], body: &Body) -> Result<Signed, Failure> {
    let id = boundary_id(step, body.original.is_some())?;
    let (outer, inner) = (format!("=_signed.{id}"), format!("=_mixed.{id}"));
    let encoding = match &body.original {
        Some(original) if original.eight_bit => "8bit",
        _ => "7bit",
    };
    let entity = signed_entity(body, &inner, encoding);
    let signature = step.host.sign(&step.settings.signing_key, &entity).map_err(|error| error.during("signature"))?;
    let mut message = Content::new();
    message
        .bytes(fields)
        .bytes("MIME-Version: 1.0\r\n")
        .bytes("Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n")
        .bytes(format!(" micalg=\"sha-256\"; boundary=\"{outer}\"\r\n"))
        .bytes(format!("Content-Transfer-Encoding: {encoding}\r\n\r\n"))
        .bytes(format!("{}\r\n\r\n--{outer}\r\n", wire::PREAMBLE))
        .content(&entity)
        .bytes(format!("\r\n--{outer}\r\n"))
        .bytes(part_header("application/pkcs7-signature", wire::SMIME_P7S, "attachment", "base64"))
        .bytes(mime::base64_lines(&signature))
        .bytes(format!("\r\n--{outer}--\r\n"));
    Ok(Signed { content: message, signature })
}

/// What is signed: from its first header byte to before the line end that belongs to the outer boundary.
fn signed_entity(body: &Body, inner: &str, encoding: &str) -> Content {
    let mut entity = Content::new();
    entity
        .bytes(format!("Content-Type: multipart/mixed; boundary=\"{inner}\"\r\n"))
        .bytes(format!("Content-Transfer-Encoding: {encoding}\r\n\r\n--{inner}\r\n"))
        .bytes("Content-Type: text/plain; charset=\"iso-8859-1\"\r\nContent-Disposition: inline\r\n")
        .bytes("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
        .bytes(mime::quoted_printable_latin1(&body.text));
    if let Some(data) = &body.data {
        entity
            .bytes(format!("\r\n--{inner}\r\n"))
            .bytes(part_header("application/xml", wire::DATICERT_XML, "inline", "base64"))
            .bytes(mime::base64_lines(data.as_bytes()));
    }
    if let Some(original) = &body.original {
        entity
            .bytes(format!("\r\n--{inner}\r\n"))
            .bytes(part_header("message/rfc822", wire::POSTACERT_EML, "inline", encoding))
            .content(&original.content);
    }
    entity.bytes(format!("\r\n--{inner}--\r\n"));
    entity
}

fn part_header(media_type: &str, name: &str, disposition: &str, encoding: &str) -> String {
    format!(
        "Content-Type: {media_type}; name=\"{name}\"\r\nContent-Disposition: {disposition}; filename=\"{name}\"\r\n\
         Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
}

/// An id for the boundaries that does not occur in the message in hand, which may go between them: who could foresee
/// it could end our part inside the original and add parts of their own under our signature.
fn boundary_id(step: &Step, with_original: bool) -> Result<String, Failure> {
    let message = step.host.message();
    for _ in 0..BOUNDARY_TRIES {
        let mut id = step.host.next_id();
        id.truncate(BOUNDARY_ID_MAX);
        let found = match with_original {
            true => message.find(id.as_bytes(), 0, message.size()).map_err(|error| error.during("boundary"))?,
            false => None,
        };
        if found.is_none() {
            return Ok(id);
        }
    }
    Err(Failure::Permanent("every boundary occurs in the message".to_owned()))
}

/// Whether a message has bytes over 127 where its structure allows them.
pub fn is_eight_bit(message: &dyn Message) -> Result<bool, Failure> {
    // A structure that cannot be told gets the label that is always true enough.
    let Ok(parts) = message.parts() else { return Ok(true) };
    let mut scanned = message.header_size();
    if range_is_eight_bit(message, 0, message.header_size().min(EIGHT_BIT_SCAN_MAX))? {
        return Ok(true);
    }
    for (index, part) in parts.iter().enumerate() {
        let is_leaf = !parts.iter().any(|other| other.parent == Some(index as u32));
        match part.transfer_encoding.as_str() {
            "8bit" | "binary" => return Ok(true),
            "base64" | "quoted-printable" => continue,
            _ if !is_leaf => continue,
            _ => scanned = scanned.saturating_add(part.body_length),
        }
        if scanned > EIGHT_BIT_SCAN_MAX || range_is_eight_bit(message, part.body_offset, part.body_length)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn range_is_eight_bit(message: &dyn Message, offset: u64, length: u64) -> Result<bool, Failure> {
    let mut at = offset;
    let end = offset.saturating_add(length);
    while at < end {
        let chunk = message.read(at, (end - at).min(64 * 1024) as u32).map_err(|error| error.during("message"))?;
        if chunk.is_empty() {
            break;
        }
        if !chunk.is_ascii() {
            return Ok(true);
        }
        at += chunk.len() as u64;
    }
    Ok(false)
}

/// The raw fields of these names, as they stand in the message in hand, in the order of the names.
pub fn inherited(message: &dyn Message, names: &[&str]) -> Vec<u8> {
    let fields = |name: &&str| {
        let name = (*name).to_owned();
        (0..message.header_count(&name)).filter_map(move |index| message.header_field(&name, index))
    };
    names.iter().flat_map(fields).flatten().collect()
}
