//! `BODY[section]`: which octets a section specification names ([RFC 3501 §6.4.5]).

use bytes::{Bytes, BytesMut};
use imap_codec::imap_types::core::AString;
use imap_codec::imap_types::fetch::Section;
use sigillo_mail::header::HeaderSection;
use sigillo_mail::structure::{Part, Structure};

use super::Header;

/// What a section is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Octets {
    /// A range of the message.
    Span { offset: u64, length: u64 },
    /// Fields picked out of a header section.
    Picked(Bytes),
}

/// Whether a section is of a header, of the message or of a part of it.
pub(crate) fn is_of_header(section: &Section<'_>) -> bool {
    matches!(section, Section::Header(_) | Section::HeaderFields(..) | Section::HeaderFieldsNot(..) | Section::Mime(_))
}

/// Whether the section can be told from the message's header section alone.
pub(crate) fn needs_only_header(section: Option<&Section<'_>>) -> bool {
    matches!(
        section,
        Some(
            Section::Header(None)
                | Section::HeaderFields(None, _)
                | Section::HeaderFieldsNot(None, _)
                | Section::Text(None)
        )
    )
}

/// A section that needs no structure.
pub(crate) fn of_message(section: &Section<'_>, header: &Header, size: u64) -> Octets {
    match section {
        Section::HeaderFields(_, names) => Octets::Picked(pick(&header.section, names.as_ref(), true)),
        Section::HeaderFieldsNot(_, names) => Octets::Picked(pick(&header.section, names.as_ref(), false)),
        Section::Text(_) => Octets::Span { offset: header.end, length: size - header.end },
        _ => Octets::Span { offset: 0, length: header.end },
    }
}

/// A section of a part; none when there is no such part.
pub(crate) fn of_part(section: &Section<'_>, structure: &Structure) -> Option<Octets> {
    let numbers: Vec<usize> = match section {
        Section::Part(part) | Section::Mime(part) => path(part),
        Section::Header(part) | Section::Text(part) => path(part.as_ref()?),
        Section::HeaderFields(part, _) | Section::HeaderFieldsNot(part, _) => path(part.as_ref()?),
    };
    let index = find(structure, &numbers)?;
    let part = &structure.parts[index];
    let nested = || {
        let child = structure.children(index).next()?;
        // HEADER and TEXT are of the message inside, so only a message has them.
        (part.content_type.kind == "message").then_some(&structure.parts[child])
    };
    Some(match section {
        Section::Part(_) => Octets::Span { offset: part.body_offset, length: part.body_length },
        Section::Mime(_) => header_of(part),
        Section::Header(_) => header_of(nested()?),
        Section::Text(_) => {
            let message = nested()?;
            Octets::Span { offset: message.body_offset, length: message.body_length }
        }
        Section::HeaderFields(_, names) => Octets::Picked(pick(&nested()?.header, names.as_ref(), true)),
        Section::HeaderFieldsNot(_, names) => Octets::Picked(pick(&nested()?.header, names.as_ref(), false)),
    })
}

fn path(part: &imap_codec::imap_types::fetch::Part) -> Vec<usize> {
    part.0.as_ref().iter().map(|n| n.get() as usize).collect()
}

fn header_of(part: &Part) -> Octets {
    Octets::Span { offset: part.header_offset, length: part.body_offset - part.header_offset }
}

/// Walks the part numbers. A message that is no multipart has one part, number 1, which is its body.
fn find(structure: &Structure, numbers: &[usize]) -> Option<usize> {
    let mut at = 0;
    for (i, number) in numbers.iter().enumerate() {
        // Below a message the numbers are those of the message inside.
        if i > 0 && structure.parts[at].content_type.kind == "message" {
            at = structure.children(at).next()?;
        } else if i > 0 && structure.parts[at].content_type.kind != "multipart" {
            return None;
        }
        let is_multipart = structure.parts[at].content_type.kind == "multipart";
        match structure.children(at).nth(number - 1) {
            Some(child) if is_multipart => at = child,
            _ if *number == 1 && (!is_multipart || structure.children(at).next().is_none()) => {}
            _ => return None,
        }
    }
    Some(at)
}

/// The fields with (or without) these names as they stand, and the empty line. RFC 3501 §6.4.5.
fn pick(header: &HeaderSection, names: &[AString<'_>], with: bool) -> Bytes {
    let mut picked = BytesMut::new();
    for field in header.fields() {
        let named = names.iter().any(|n| n.as_ref().eq_ignore_ascii_case(field.name.as_bytes()));
        if named == with {
            picked.extend_from_slice(field.whole);
            if !field.whole.ends_with(b"\n") {
                picked.extend_from_slice(b"\r\n");
            }
        }
    }
    picked.extend_from_slice(b"\r\n");
    picked.freeze()
}

/// The specification as the response repeats it: `HEADER.FIELDS (DATE FROM)`.
pub(crate) fn write_specification(section: Option<&Section<'_>>) -> Vec<u8> {
    let mut text = Vec::new();
    let Some(section) = section else { return text };
    let (part, word, names) = match section {
        Section::Part(part) => (Some(part), "", None),
        Section::Mime(part) => (Some(part), "MIME", None),
        Section::Header(part) => (part.as_ref(), "HEADER", None),
        Section::Text(part) => (part.as_ref(), "TEXT", None),
        Section::HeaderFields(part, names) => (part.as_ref(), "HEADER.FIELDS", Some(names)),
        Section::HeaderFieldsNot(part, names) => (part.as_ref(), "HEADER.FIELDS.NOT", Some(names)),
    };
    if let Some(part) = part {
        let numbers: Vec<String> = part.0.as_ref().iter().map(|n| n.to_string()).collect();
        text.extend_from_slice(numbers.join(".").as_bytes());
        text.extend_from_slice(if word.is_empty() { b"" } else { b"." });
    }
    text.extend_from_slice(word.as_bytes());
    if let Some(names) = names {
        text.extend_from_slice(b" (");
        for (i, name) in names.as_ref().iter().enumerate() {
            text.extend_from_slice(if i > 0 { b" " } else { b"" });
            write_name(name.as_ref(), &mut text);
        }
        text.push(b')');
    }
    text
}

/// A field name as an `astring`: nobody needs more than the characters of a quoted string.
fn write_name(name: &[u8], text: &mut Vec<u8>) {
    let atom = !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if atom {
        return text.extend_from_slice(name);
    }
    text.push(b'"');
    for byte in name.iter().filter(|b| matches!(b, b' '..=b'~')) {
        if matches!(byte, b'"' | b'\\') {
            text.push(b'\\');
        }
        text.push(*byte);
    }
    text.push(b'"');
}
