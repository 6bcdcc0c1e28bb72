//! Header sections as bytes: read strictly, because what is certified must mean the same to every reader.

use std::ops::Range;

use crate::host::{Error, Message};

/// Longest header section that is read, octets. Ours: generous beside real mail, small beside the memory of a step.
pub const HEADER_SECTION_MAX: u64 = 512 * 1024;
/// Longest header section of an original, octets. Ours: half, so that an envelope, which inherits its fields and adds
/// its own, can be read by who receives it.
pub const ORIGINAL_HEADER_MAX: u64 = HEADER_SECTION_MAX / 2;
/// Longest line without its end, octets. RFC 5322 §2.1.1.
pub const LINE_MAX: usize = 998;
/// Longest message identifier with its brackets, octets. Ours: it must fit a line beside the name of its field.
pub const MESSAGE_ID_MAX: usize = 900;

/// What is wrong with a header section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A line is no field, no continuation and not the end.
    Line,
    /// A line is over [`LINE_MAX`].
    LongLine,
    /// A byte outside ASCII, or a NUL (RFC 5322 §2.2; internationalised headers of RFC 6532 are not offered).
    Byte,
}

/// A field and where it stands, octets from the start of the section.
#[derive(Debug, Clone)]
struct Field {
    name: String,
    value: Range<usize>,
    whole: Range<usize>,
}

/// A header section: fields in order, duplicates kept.
#[derive(Debug, Clone)]
pub struct Header {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    end: usize,
    malformed: Vec<Malformed>,
}

impl Header {
    /// Reads the header section that begins at `offset` and ends before `end` of a message.
    pub fn read(message: &dyn Message, offset: u64, end: u64) -> Result<Header, Error> {
        let length = end.saturating_sub(offset);
        if length > HEADER_SECTION_MAX {
            return Err(Error::Limit(format!("header section over {HEADER_SECTION_MAX} octets")));
        }
        read_range(message, offset, length).map(Header::parse)
    }

    /// Parses; never fails, notes what is malformed.
    pub fn parse(bytes: Vec<u8>) -> Header {
        let mut header = Header { bytes: Vec::new(), fields: Vec::new(), end: 0, malformed: Vec::new() };
        let mut at = 0;
        while at < bytes.len() {
            let line_end = bytes[at..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| at + n + 1);
            let line = &bytes[at..line_end];
            let content = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n")).unwrap_or(line);
            if content.is_empty() {
                break;
            }
            header.add_line(content, at..line_end);
            at = line_end;
        }
        header.end = at;
        header.bytes = bytes;
        header
    }

    fn add_line(&mut self, line: &[u8], place: Range<usize>) {
        if line.len() > LINE_MAX {
            self.malformed.push(Malformed::LongLine);
        }
        if line.iter().any(|&b| b == 0 || b >= 0x80) {
            self.malformed.push(Malformed::Byte);
        }
        let content_end = place.start + line.len();
        if line[0] == b' ' || line[0] == b'\t' {
            match self.fields.last_mut() {
                Some(field) => (field.value.end, field.whole.end) = (content_end, place.end),
                None => self.malformed.push(Malformed::Line),
            }
            return;
        }
        // RFC 5322 §3.6.8: a name is printable ASCII without a colon. Blanks before the colon are obsolete syntax.
        let colon = line.iter().position(|&b| b == b':').unwrap_or(0);
        let name = &line[..colon];
        if name.is_empty() || !name.iter().all(|b| (33..=126).contains(b)) {
            self.malformed.push(Malformed::Line);
            return;
        }
        let name = String::from_utf8_lossy(name).into_owned();
        self.fields.push(Field { name, value: place.start + colon + 1..content_end, whole: place });
    }

    /// What was found malformed.
    pub fn malformed(&self) -> &[Malformed] {
        &self.malformed
    }

    /// Octets of the fields, without the empty line that ends them.
    pub fn end(&self) -> usize {
        self.end
    }

    /// How many fields have this name.
    pub fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }

    /// Names of all fields, as written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }

    /// The first value of this name: unfolded, blanks at the ends removed.
    pub fn value(&self, name: &str) -> Option<String> {
        self.named(name).next().map(|field| unfolded(&self.bytes[field.value.clone()]))
    }

    /// All values of this name, unfolded.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.named(name).map(|field| unfolded(&self.bytes[field.value.clone()])).collect()
    }

    /// Where the fields of this name stand, line ends included.
    pub fn places(&self, name: &str) -> Vec<Range<usize>> {
        self.named(name).map(|field| field.whole.clone()).collect()
    }

    /// The raw fields whose names are not in `names`, in order.
    pub fn without(&self, names: &[&str]) -> Vec<u8> {
        let kept = |field: &&Field| !names.iter().any(|name| field.name.eq_ignore_ascii_case(name));
        self.fields.iter().filter(kept).flat_map(|field| self.bytes[field.whole.clone()].iter().copied()).collect()
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name))
    }
}

/// Removes the folding ([RFC 5322 §2.2.3]) and the blanks around a value.
fn unfolded(value: &[u8]) -> String {
    let text: Vec<u8> = value.iter().copied().filter(|&b| b != b'\r' && b != b'\n').collect();
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// Reads a whole range: the host may give less than asked at once.
pub fn read_range(message: &dyn Message, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        let rest = length - bytes.len() as u64;
        let chunk = message.read(offset + bytes.len() as u64, rest.min(64 * 1024) as u32)?;
        if chunk.is_empty() {
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Whether a value is one message identifier in its brackets that fits a line ([RFC 5322 §3.6.4], by its characters).
pub fn is_message_id(value: &str) -> bool {
    let Some(inside) = value.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else { return false };
    value.len() <= MESSAGE_ID_MAX
        && !inside.is_empty()
        && inside.bytes().all(|b| (33..=126).contains(&b) && b != b'<' && b != b'>')
}

/// Text that can stand in one line: every control character becomes a blank.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_duplicates_and_places() {
        let raw = b"Received: one\r\n two\r\nMessage-ID:\r\n <a@b>\r\nreceived: three\r\n\r\nbody".to_vec();
        let header = Header::parse(raw.clone());
        assert_eq!(header.malformed(), []);
        assert_eq!(header.values("Received"), ["one two", "three"]);
        assert_eq!(header.value("message-id").as_deref(), Some("<a@b>"));
        let place = header.places("Message-ID").remove(0);
        assert_eq!(&raw[place], b"Message-ID:\r\n <a@b>\r\n");
        assert_eq!(&raw[header.end()..], b"\r\nbody");
        assert_eq!(header.without(&["received"]), b"Message-ID:\r\n <a@b>\r\n");
    }

    #[test]
    fn notes_what_readers_would_read_differently() {
        let cases: [(&[u8], Malformed); 5] = [
            (b" continued: x\r\n", Malformed::Line),
            (b"no colon here\r\n", Malformed::Line),
            (b"Subject : x\r\n", Malformed::Line),
            (b"Subject: caff\xc3\xa8\r\n", Malformed::Byte),
            (b"A: \0\r\n", Malformed::Byte),
        ];
        for (raw, expected) in cases {
            assert_eq!(Header::parse(raw.to_vec()).malformed(), [expected], "{}", String::from_utf8_lossy(raw));
        }
        let long = format!("A: {}\r\n", "x".repeat(LINE_MAX));
        assert_eq!(Header::parse(long.into_bytes()).malformed(), [Malformed::LongLine]);
    }

    #[test]
    fn a_message_identifier_is_one_word_in_brackets() {
        for value in ["<a@b>", "<R43YMM$D7F793@pec.it>", "<no-at-sign>"] {
            assert!(is_message_id(value), "{value}");
        }
        for value in ["", "a@b", "<>", "<a@b", "<a b@c>", "<a@b> <c@d>", "<a@b>\r\nX: y", "<à@b>"] {
            assert!(!is_message_id(value), "{value:?}");
        }
        assert!(!is_message_id(&format!("<{}>", "a".repeat(10_000))));
    }
}
