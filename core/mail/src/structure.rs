//! The MIME tree of a message with offsets, found in one pass over its bytes ([RFC 2045], [RFC 2046]).
//!
//! Where readers disagree a choice is made, written here, and the part is marked [`Part::ambiguous`]: the structure
//! is one view, the mark says that it is not the only one.
//!
//! - The first of repeated fields counts. The first of repeated parameters counts, as the library decodes it.
//! - A delimiter is a whole line: `--`, the boundary, `--` at the end of a multipart, blanks. A line that only begins
//!   so is text ([RFC 2046 §5.1.1] lets a reader take it) and marks the multipart.
//! - Of open multiparts with the same boundary the innermost takes the line.
//! - A multipart ends at its end boundary, at a boundary of one that contains it, or at the end of the message; the
//!   latter two mark it. After the end boundary its own boundary is text and marks it.
//! - A multipart without a boundary, and a `message/rfc822` that is encoded against [RFC 2046 §5.2.1], are leaves. An
//!   encoded multipart, forbidden too ([RFC 2045 §6.4]), is descended as it stands. All are marked.
//! - A boundary in a header section ends the section and marks the part; so does not a line that is no field (see
//!   [`crate::header`]), but it marks it too.
//! - The message may end in its header section: it then has no body, which [RFC 5322 §3.5] allows.

mod content;
mod scanner;

use crate::header::HeaderSection;
use crate::rope::{Rope, Source};

pub use content::ContentType;
pub use scanner::Scanner;

/// Deepest nesting of parts, the root included. Mail in use stays under 10; every parser that had no limit was
/// stopped by one message (Dovecot CVE-2020-12100).
pub const DEPTH_MAX: usize = 100;
/// Most parts of one message. Dovecot's limit.
pub const PARTS_MAX: usize = 10_000;
/// All header sections of one message together, octets: what a structure may hold in memory.
pub const HEADERS_MAX: usize = crate::header::HEADER_SECTION_MAX;

/// Why a message has no structure.
#[derive(Debug, thiserror::Error)]
pub enum StructureError {
    /// Its bytes could not be read.
    #[error("the message could not be read: {0}")]
    Read(#[from] std::io::Error),
    /// More than [`HEADERS_MAX`].
    #[error("the header sections are longer than {HEADERS_MAX} octets")]
    HeadersTooLarge,
    /// More than [`DEPTH_MAX`].
    #[error("the parts are nested more than {DEPTH_MAX} deep")]
    TooDeep,
    /// More than [`PARTS_MAX`].
    #[error("there are more than {PARTS_MAX} parts")]
    TooManyParts,
}

/// One part. Offsets count octets from the start of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Index of the part that contains this one.
    pub parent: Option<usize>,
    /// First octet of the header section.
    pub header_offset: u64,
    /// First octet of the body.
    pub body_offset: u64,
    /// Octets of the body, without the line end that belongs to the following boundary (RFC 2046 §5.1.1).
    pub body_length: u64,
    /// Line ends in the body.
    pub lines: u64,
    /// The media type; `text/plain`, or `message/rfc822` in a digest, where the part says nothing usable.
    pub content_type: ContentType,
    /// In lower case; `7bit` where the part says nothing (RFC 2045 §6.1).
    pub transfer_encoding: String,
    /// Word and parameters of Content-Disposition ([RFC 2183]), names in lower case.
    pub disposition: Option<(String, Vec<(String, String)>)>,
    /// The part's own header section.
    pub header: HeaderSection,
    /// Whether readers may see this part, or where it ends, differently.
    pub ambiguous: bool,
}

impl Part {
    /// `type/subtype` in lower case.
    pub fn media_type(&self) -> String {
        format!("{}/{}", self.content_type.kind, self.content_type.subtype)
    }

    /// `filename` of the disposition ([RFC 2183 §2.3]) or `name` of the type, decoded.
    pub fn filename(&self) -> Option<String> {
        let disposition = self.disposition.iter().flat_map(|(_, parameters)| parameters);
        let named = disposition.filter(|(name, _)| name == "filename").map(|(_, value)| value.as_str()).next();
        named.or_else(|| self.parameter("name")).map(str::to_owned)
    }

    /// The first parameter of the type under this name, decoded ([RFC 2231]).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.content_type.parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// First octet after the body.
    pub fn end(&self) -> u64 {
        self.body_offset + self.body_length
    }
}

/// The tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    /// In the order of the bytes; the first is the root. The root of a message in a `message/rfc822` is its child.
    pub parts: Vec<Part>,
    /// Octets of the message.
    pub size: u64,
}

impl Structure {
    /// Scans a message; memory holds one chunk and the header sections.
    pub fn parse(rope: &Rope, source: &dyn Source) -> Result<Structure, StructureError> {
        let mut scanner = Scanner::new();
        for chunk in rope.chunks(source) {
            scanner.push(&chunk?);
        }
        scanner.finish()
    }

    /// The message itself.
    pub fn root(&self) -> &Part {
        &self.parts[0]
    }

    /// Its header section.
    pub fn header(&self) -> &HeaderSection {
        &self.root().header
    }

    /// Parts directly inside this one, in order.
    pub fn children(&self, index: usize) -> impl Iterator<Item = usize> {
        (index + 1..self.parts.len()).filter(move |child| self.parts[*child].parent == Some(index))
    }

    /// Whether any part is ambiguous.
    pub fn is_ambiguous(&self) -> bool {
        self.parts.iter().any(|part| part.ambiguous)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
