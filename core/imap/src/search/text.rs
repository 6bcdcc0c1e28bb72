//! Looks for a string in the text of a message, decoded, piece by piece.

use std::io;

use encoding_rs::{CoderResult, Encoding, UTF_8};
use memchr::memmem::Finder;
use sigillo_mail::header::HeaderSection;
use sigillo_mail::rope::CHUNK;
use sigillo_mail::structure::{Part, Structure};
use sigillo_mail::{Rope, Source};

use super::decode::Decoder;

/// What is looked for, without regard to case ([RFC 3501 §6.4.4]).
pub(crate) struct Needle {
    lower: String,
    finder: Finder<'static>,
}

impl std::fmt::Debug for Needle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Needle({:?})", self.lower)
    }
}

impl Needle {
    /// UTF-8; US-ASCII is a part of it.
    pub fn new(text: &[u8]) -> Needle {
        let lower = String::from_utf8_lossy(text).to_lowercase();
        Needle { finder: Finder::new(lower.as_bytes()).into_owned(), lower }
    }

    pub fn is_empty(&self) -> bool {
        self.lower.is_empty()
    }

    pub fn is_in(&self, text: &str) -> bool {
        self.finder.find(text.to_lowercase().as_bytes()).is_some()
    }
}

/// Whether the text parts of the message, or the header sections of messages within it, contain the needle; with
/// `with_header` also its own header section.
pub(crate) fn contains(
    rope: &Rope,
    source: &dyn Source,
    structure: &Structure,
    needle: &Needle,
    with_header: bool,
) -> io::Result<bool> {
    for (index, part) in structure.parts.iter().enumerate() {
        let is_message = match part.parent {
            None => with_header,
            Some(parent) => structure.parts[parent].content_type.kind == "message",
        };
        if is_message && header_contains(&part.header, needle) {
            return Ok(true);
        }
        let is_text = part.content_type.kind == "text" && structure.children(index).next().is_none();
        if is_text && part_contains(rope, source, part, needle)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn header_contains(header: &HeaderSection, needle: &Needle) -> bool {
    let mut seen: std::collections::BTreeMap<String, usize> = Default::default();
    header.fields().any(|field| {
        let index = seen.entry(field.name.to_ascii_lowercase()).or_default();
        *index += 1;
        let text = header.text(field.name, *index - 1).unwrap_or_default();
        needle.is_in(&format!("{}: {text}", field.name))
    })
}

fn part_contains(rope: &Rope, source: &dyn Source, part: &Part, needle: &Needle) -> io::Result<bool> {
    let label = part.parameter("charset").unwrap_or("utf-8");
    let encoding = Encoding::for_label(label.as_bytes()).unwrap_or(UTF_8);
    let mut window = Window { needle, encoding: encoding.new_decoder(), text: String::new() };
    let mut transfer = Decoder::new(&part.transfer_encoding);
    let body = rope.slice(part.body_offset, part.body_length);
    let mut octets = Vec::with_capacity(CHUNK);
    for chunk in body.chunks(source) {
        octets.clear();
        transfer.push(&chunk?, &mut octets);
        if window.push(&octets) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The last characters seen, so that a needle is found across pieces.
struct Window<'a> {
    needle: &'a Needle,
    encoding: encoding_rs::Decoder,
    text: String,
}

impl Window<'_> {
    /// Looks at the next octets; true when the needle is there.
    fn push(&mut self, octets: &[u8]) -> bool {
        let mut rest = octets;
        let mut piece = String::with_capacity(CHUNK);
        loop {
            piece.clear();
            let (result, used, _) = self.encoding.decode_to_string(rest, &mut piece, false);
            rest = &rest[used..];
            self.text.push_str(&piece.to_lowercase());
            if self.needle.finder.find(self.text.as_bytes()).is_some() {
                return true;
            }
            self.forget();
            if result == CoderResult::InputEmpty {
                return false;
            }
        }
    }

    fn forget(&mut self) {
        let mut from = self.text.len().saturating_sub(self.needle.lower.len());
        while !self.text.is_char_boundary(from) {
            from -= 1;
        }
        self.text.drain(..from);
    }
}
