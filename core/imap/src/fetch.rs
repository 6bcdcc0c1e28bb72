//! What FETCH says of a message: parts of its bytes, ENVELOPE, BODYSTRUCTURE.

pub(crate) mod address;
pub(crate) mod body_structure;
pub(crate) mod envelope;
pub(crate) mod section;

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sigillo_mail::header::HeaderSection;
use sigillo_mail::rope::CHUNK;
use sigillo_mail::structure::{ContentType, Part, Structure, StructureError};
use sigillo_mail::{Rope, Source};

use crate::limits::HEADER_MAX;

/// The header section of a message and where its body begins.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub section: HeaderSection,
    pub end: u64,
}

impl Header {
    /// Reads no further than the empty line, so that a list of a folder does not read its messages.
    pub fn read(rope: &Rope, source: &dyn Source) -> io::Result<Header> {
        let mut raw = BytesMut::new();
        let mut scanned = 0;
        while (raw.len() as u64) < rope.len() && raw.len() < HEADER_MAX {
            raw.extend_from_slice(&rope.read(source, raw.len() as u64, CHUNK)?);
            match end_of_header(&raw, scanned) {
                Ok(end) => {
                    raw.truncate(end);
                    break;
                }
                Err(resume) => scanned = resume,
            }
        }
        let end = raw.len() as u64;
        Ok(Header { section: HeaderSection::parse(raw.freeze()), end })
    }

    /// From a structure that was parsed already.
    pub fn of(structure: &Structure) -> Header {
        Header { section: structure.header().clone(), end: structure.root().body_offset }
    }
}

/// The octet after the empty line, or from where to look on when more has come.
fn end_of_header(raw: &[u8], from: usize) -> Result<usize, usize> {
    let mut start = from;
    while let Some(at) = memchr::memchr(b'\n', &raw[start..]) {
        let end = start + at + 1;
        if matches!(&raw[start..end], b"\n" | b"\r\n") {
            return Ok(end);
        }
        start = end;
    }
    Err(start)
}

/// The structure of a message. One that is beyond the limits of [`sigillo_mail::structure`] is shown as a single part
/// of octets, so that its reader can still fetch it whole.
pub(crate) fn structure(rope: &Rope, source: &dyn Source) -> io::Result<Arc<Structure>> {
    match Structure::parse(rope, source) {
        Ok(structure) => Ok(Arc::new(structure)),
        Err(StructureError::Read(error)) => Err(error),
        Err(_) => opaque(rope, source).map(Arc::new),
    }
}

fn opaque(rope: &Rope, source: &dyn Source) -> io::Result<Structure> {
    let header = Header::read(rope, source)?;
    let part = Part {
        parent: None,
        header_offset: 0,
        body_offset: header.end,
        body_length: rope.len() - header.end,
        lines: 0,
        content_type: ContentType {
            kind: "application".to_owned(),
            subtype: "octet-stream".to_owned(),
            parameters: Vec::new(),
        },
        transfer_encoding: "8bit".to_owned(),
        disposition: None,
        header: header.section,
        ambiguous: true,
    };
    Ok(Structure { parts: vec![part], size: rope.len() })
}

/// A field's value on one line. RFC 5322 §2.2.3.
pub(crate) fn unfold(value: &[u8]) -> Bytes {
    let clean: Vec<u8> = value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n' | 0)).collect();
    Bytes::copy_from_slice(clean.trim_ascii())
}

#[cfg(test)]
mod tests;
