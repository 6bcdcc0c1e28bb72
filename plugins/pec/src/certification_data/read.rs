//! Reading certification data: tolerant of what real providers vary (child order, stray text, case), strict on what
//! decides anything.

use roxmltree::{Document, Node, ParsingOptions};

use super::*;
use crate::wire::xml;

/// Most nodes in a document: 1,000 recipients listed twice, with their texts and line ends, several times over.
const NODES_MAX: u32 = 20_000;

/// Why certification data cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataError {
    /// Too large, not UTF-8, not well-formed, or with a document type (entities are how readers are attacked).
    NotWellFormed,
    /// The element or attribute is missing, empty, repeated or has a word that the rules do not know.
    Invalid(&'static str),
}

/// Certification data as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The data.
    pub data: CertificationData,
    /// Whether the elements stand in the order of the DTD.
    pub in_order: bool,
}

const HEADER_ORDER: [&str; 4] = [xml::MITTENTE, xml::DESTINATARI, xml::RISPOSTE, xml::OGGETTO];
const DATA_ORDER: [&str; 8] = [
    xml::GESTORE_EMITTENTE,
    xml::DATA,
    xml::IDENTIFICATIVO,
    xml::MSGID,
    xml::RICEVUTA,
    xml::CONSEGNA,
    xml::RICEZIONE,
    xml::ERRORE_ESTESO,
];

pub(super) fn read(bytes: &[u8]) -> Result<Reading, DataError> {
    if bytes.len() > DATA_MAX {
        return Err(DataError::NotWellFormed);
    }
    let document_text = std::str::from_utf8(bytes).map_err(|_| DataError::NotWellFormed)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..Default::default() };
    let document = Document::parse_with_options(document_text.trim_start_matches('\u{feff}'), options)
        .map_err(|_| DataError::NotWellFormed)?;
    let root = document.root_element();
    if root.tag_name().name() != xml::POSTACERT {
        return Err(DataError::Invalid(xml::POSTACERT));
    }
    let header = one(root, xml::INTESTAZIONE)?;
    let dati = one(root, xml::DATI)?;
    let data = CertificationData {
        kind: attribute(root, xml::TIPO)
            .and_then(|word| CertificationKind::parse(word).ok_or(DataError::Invalid(xml::TIPO)))?,
        error: defaulted(root, xml::ERRORE, ErrorKind::None, ErrorKind::parse)?,
        sender: text_of(header, xml::MITTENTE)?,
        recipients: recipients(header)?,
        reply_to: text_of(header, xml::RISPOSTE)?,
        subject: optional(header, xml::OGGETTO)?,
        provider: text_of(dati, xml::GESTORE_EMITTENTE)?,
        instant: instant(dati)?,
        identifier: identifier(dati)?,
        message_id: optional(dati, xml::MSGID)?,
        receipt_kind: receipt_kind(dati)?,
        delivery: optional(dati, xml::CONSEGNA)?,
        taken_in_charge: children(dati, xml::RICEZIONE).map(text).collect(),
        extended_error: optional(dati, xml::ERRORE_ESTESO)?,
    };
    let in_order = is_in_order(header, &HEADER_ORDER) && is_in_order(dati, &DATA_ORDER);
    Ok(Reading { data, in_order })
}

fn recipients(header: Node) -> Result<Vec<Recipient>, DataError> {
    let recipients: Vec<Recipient> = children(header, xml::DESTINATARI)
        .map(|node| {
            let kind = defaulted(node, xml::TIPO, RecipientKind::Certified, RecipientKind::parse)?;
            Ok(Recipient { address: text(node), kind })
        })
        .collect::<Result<_, DataError>>()?;
    if recipients.is_empty() { Err(DataError::Invalid(xml::DESTINATARI)) } else { Ok(recipients) }
}

fn instant(dati: Node) -> Result<Instant, DataError> {
    let node = one(dati, xml::DATA)?;
    let zone = attribute(node, xml::ZONA)?.trim().to_owned();
    Ok(Instant { zone, day: text_of(node, xml::GIORNO)?, hour: text_of(node, xml::ORA)? })
}

/// The identifier is compared, logged and a key: one word of printable ASCII of bounded length.
fn identifier(dati: Node) -> Result<String, DataError> {
    let identifier = text_of(dati, xml::IDENTIFICATIVO)?;
    let allowed = |b: u8| (33..=126).contains(&b) && b != b'<' && b != b'>';
    match identifier.len() <= IDENTIFIER_MAX && identifier.bytes().all(allowed) {
        true => Ok(identifier),
        false => Err(DataError::Invalid(xml::IDENTIFICATIVO)),
    }
}

fn receipt_kind(dati: Node) -> Result<Option<DeliveryReceiptKind>, DataError> {
    let Some(node) = at_most_one(dati, xml::RICEVUTA)? else { return Ok(None) };
    let word = attribute(node, xml::TIPO)?;
    DeliveryReceiptKind::parse(word).map(Some).ok_or(DataError::Invalid(xml::RICEVUTA))
}

// === leaves ===

fn children<'a>(node: Node<'a, 'a>, name: &'static str) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

fn at_most_one<'a>(node: Node<'a, 'a>, name: &'static str) -> Result<Option<Node<'a, 'a>>, DataError> {
    let mut found = children(node, name);
    let first = found.next();
    // Two of what should be one is how two readers are made to see two different messages.
    if found.next().is_some() { Err(DataError::Invalid(name)) } else { Ok(first) }
}

fn one<'a>(node: Node<'a, 'a>, name: &'static str) -> Result<Node<'a, 'a>, DataError> {
    at_most_one(node, name)?.ok_or(DataError::Invalid(name))
}

/// All text below a node: a comment must not cut it short for one reader and not for another.
fn text(node: Node) -> String {
    node.descendants().filter(Node::is_text).filter_map(|n| n.text()).collect::<String>().trim().to_owned()
}

fn text_of(node: Node, name: &'static str) -> Result<String, DataError> {
    let text = text(one(node, name)?);
    if text.is_empty() { Err(DataError::Invalid(name)) } else { Ok(text) }
}

fn optional(node: Node, name: &'static str) -> Result<Option<String>, DataError> {
    Ok(at_most_one(node, name)?.map(text).filter(|text| !text.is_empty()))
}

fn attribute<'a>(node: Node<'a, 'a>, name: &'static str) -> Result<&'a str, DataError> {
    node.attribute(name).ok_or(DataError::Invalid(name))
}

fn defaulted<T>(node: Node, name: &'static str, default: T, parse: fn(&str) -> Option<T>) -> Result<T, DataError> {
    node.attribute(name).map_or(Ok(default), |word| parse(word).ok_or(DataError::Invalid(name)))
}

fn is_in_order(node: Node, order: &[&str]) -> bool {
    let places = node.children().filter(Node::is_element).map(|n| order.iter().position(|o| *o == n.tag_name().name()));
    let mut last = Some(0);
    places.into_iter().all(|place| {
        let fits = place.is_some() && place >= last;
        last = place;
        fits
    })
}
