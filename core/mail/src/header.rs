//! The header section of a message or of a part: raw bytes, fields in order with their duplicates, and the decoded
//! views of a field ([RFC 5322 §2.2], [RFC 2047]).
//!
//! Parsing never fails and never changes a byte. One view is taken of what readers see differently, and the section
//! says that it had to: a line that is neither a field nor a continuation is kept in the raw bytes, is no field, and
//! does not end the section; only an empty line does. So the signer, the scanner, the store and the mail client see
//! the same seam between header and body (others cut at the odd line, and then a check reads as header what the
//! recipient reads as body).

mod address;
mod parameters;

use bytes::Bytes;
use mail_parser::{HeaderValue, parsers::MessageStream};

pub use address::Address;
pub use parameters::RawParameters;

/// Longest header section that is looked at, octets. RFC 5322 sets none; Postfix's `header_size_limit` is 100 KiB per
/// field and large lists of recipients are real.
pub const HEADER_SECTION_MAX: usize = 1024 * 1024;
/// Fields of one section that are kept. Beyond it the section counts as malformed (Dovecot, CVE-2024-23185).
pub const HEADER_FIELDS_MAX: usize = 10_000;
/// Longest field whose encoded words are decoded, octets. The decoder of encoded words looks ahead from every `=?`,
/// which is quadratic in a field made for it; at this length that costs milliseconds.
pub const DECODED_FIELD_MAX: usize = 8 * 1024;
/// Longest date field that is read, octets: a date with its comments is under 100.
const DATE_FIELD_MAX: usize = 1024;

/// Why a field could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The field is not a list of addresses that every reader would read alike.
    #[error("field '{name}': {reason}")]
    Malformed {
        /// Name of the field as asked for.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
}

/// One field, borrowed from its section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as written, without a blank before the colon.
    pub name: &'a str,
    /// The raw value: folds kept, without the blanks after the colon and without the final line end.
    pub value: &'a [u8],
    /// The whole field with its line end (the last field of a section may have none).
    pub whole: &'a [u8],
    /// Where the field begins, octets from the start of the section.
    pub offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    name_end: u32,
    value: u32,
    end: u32,
}

/// A header section. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderSection {
    raw: Bytes,
    fields: Vec<Span>,
    malformed: bool,
}

impl HeaderSection {
    /// Finds the fields of `raw`, up to the first empty line or to [`HEADER_SECTION_MAX`] octets.
    pub fn parse(raw: Bytes) -> HeaderSection {
        let mut section = HeaderSection { malformed: raw.len() > HEADER_SECTION_MAX, ..HeaderSection::default() };
        let looked_at = &raw[..raw.len().min(HEADER_SECTION_MAX)];
        let mut start = 0;
        let mut open = false;
        for line in looked_at.split_inclusive(|b| *b == b'\n') {
            if matches!(line, b"\r\n" | b"\n") {
                section.malformed |= line == b"\n";
                break;
            }
            open = section.line(line, start, open);
            start += line.len();
        }
        section.raw = raw;
        section
    }

    /// Takes one line; `open` tells whether a field can be continued, the answer whether the next line can.
    fn line(&mut self, line: &[u8], start: usize, open: bool) -> bool {
        let text = line.strip_suffix(b"\n").map_or(line, |l| l.strip_suffix(b"\r").unwrap_or(l));
        // A bare CR or LF and a NUL end or hide a line for some readers.
        self.malformed |= line.ends_with(b"\n") && !line.ends_with(b"\r\n");
        self.malformed |= memchr::memchr2(b'\r', 0, text).is_some();
        if matches!(text.first(), Some(b' ' | b'\t')) {
            // RFC 5322 §4.2: a fold of blanks only is obsolete, and some take it for the empty line.
            self.malformed |= !open || text.trim_ascii().is_empty();
            if let (true, Some(field)) = (open, self.fields.last_mut()) {
                field.end += line.len() as u32;
            }
            return open;
        }
        match field_of(text, start, line.len()) {
            Some(_) if self.fields.len() == HEADER_FIELDS_MAX => {
                self.malformed = true;
                false
            }
            Some((field, sound)) => {
                self.malformed |= !sound;
                self.fields.push(field);
                true
            }
            None => {
                self.malformed = true;
                false
            }
        }
    }

    /// All bytes, with the empty line where the section has one.
    pub fn as_bytes(&self) -> &Bytes {
        &self.raw
    }

    /// Every field from the top.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields.iter().map(|span| self.field(span))
    }

    fn field(&self, span: &Span) -> Field<'_> {
        let (start, end) = (span.start as usize, span.end as usize);
        let whole = &self.raw[start..end];
        let value = &self.raw[span.value as usize..end];
        let value = value.strip_suffix(b"\n").map_or(value, |v| v.strip_suffix(b"\r").unwrap_or(v));
        let name = std::str::from_utf8(&self.raw[start..span.name_end as usize]).unwrap_or_default();
        Field { name, value, whole, offset: start }
    }

    /// Names are compared as octets: chains of plugins look up fields by the hundred.
    fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = Field<'a>> {
        let is_named = move |span: &&Span| {
            self.raw[span.start as usize..span.name_end as usize].eq_ignore_ascii_case(name.as_bytes())
        };
        self.fields.iter().filter(is_named).map(|span| self.field(span))
    }

    /// How many fields have this name, without regard to case.
    pub fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }

    /// The raw value of the `index`-th field of that name from the top, as [`Field::value`].
    pub fn raw(&self, name: &str, index: usize) -> Option<&[u8]> {
        self.named(name).nth(index).map(|field| field.value)
    }

    /// The same unfolded and decoded ([RFC 2047]). A field over [`DECODED_FIELD_MAX`] is unfolded only.
    pub fn text(&self, name: &str, index: usize) -> Option<String> {
        self.raw(name, index).map(decode_text)
    }

    /// Every address of every field of that name, in order, groups flattened ([RFC 5322 §3.4]). An error where
    /// readers could find other addresses than these, or where one is no address of RFC 5321 §4.1.2.
    pub fn addresses(&self, name: &str) -> Result<Vec<Address>, HeaderError> {
        let mut found = Vec::new();
        for field in self.named(name) {
            address::strict(field.value, &mut found)
                .map_err(|reason| HeaderError::Malformed { name: name.to_owned(), reason })?;
        }
        Ok(found)
    }

    /// What can be read as addresses in the fields of that name, for display only: nothing here is checked.
    pub fn addresses_for_display(&self, name: &str) -> Vec<Address> {
        let mut found = Vec::new();
        for field in self.named(name) {
            address::loose(field.value, &mut found);
        }
        found
    }

    /// The instant that the first field of that name says ([RFC 5322 §3.3]), seconds since 1970 in UTC.
    pub fn date(&self, name: &str) -> Option<i64> {
        let value = self.raw(name, 0)?;
        let line = terminated(&value[..value.len().min(DATE_FIELD_MAX)]);
        match MessageStream::new(&line).parse_date() {
            HeaderValue::DateTime(date) if date.is_valid() => Some(date.to_timestamp()),
            _ => None,
        }
    }

    /// Whether a line is neither field nor continuation, has a bare CR, a bare LF or a NUL, folds nothing but
    /// blanks, or has a blank before the colon; or whether a limit of this module was passed.
    pub fn has_malformed_line(&self) -> bool {
        self.malformed
    }
}

/// `field-name ":" …` of RFC 5322 §3.6.8, and whether no blank stands before the colon (§4.5 calls that obsolete).
fn field_of(text: &[u8], start: usize, length: usize) -> Option<(Span, bool)> {
    let colon = memchr::memchr(b':', text)?;
    let name = text[..colon].trim_ascii_end();
    // RFC 5322 §2.2: printable US-ASCII without the colon.
    if name.is_empty() || !name.iter().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let blanks = text[colon + 1..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let span = Span {
        start: start as u32,
        name_end: (start + name.len()) as u32,
        value: (start + colon + 1 + blanks) as u32,
        end: (start + length) as u32,
    };
    Some((span, name.len() == colon))
}

fn decode_text(value: &[u8]) -> String {
    if value.len() > DECODED_FIELD_MAX {
        let text: String = String::from_utf8_lossy(value).chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        return text.trim().to_owned();
    }
    match MessageStream::new(&terminated(value)).parse_unstructured() {
        HeaderValue::Text(text) => text.trim().to_owned(),
        _ => String::new(),
    }
}

/// The value as the field parsers want it: ended by one line end.
pub(crate) fn terminated(value: &[u8]) -> Vec<u8> {
    [value, b"\r\n"].concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
