//! LDIF content records (RFC 2849), read one attribute at a time and written.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest value, octets after unfolding: far above any certificate.
const VALUE_OCTETS_MAX: usize = 256 * 1024;
/// Width at which written lines are folded (RFC 2849 note 2 folds for the reader's sake; its examples use 76).
const WIDTH: usize = 76;

/// What is wrong, and in which line (from 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct LdifError {
    /// Number of the line, from 1; of a folded line, its first.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

impl LdifError {
    pub(crate) fn new(line: usize, what: impl Into<String>) -> LdifError {
        LdifError { line, what: what.into() }
    }
}

/// A piece of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// One attribute with one value; its name in lower case, without options such as `;binary`.
    Attribute { line: usize, name: String, value: Cow<'a, [u8]> },
    /// The blank line, or the end, after a record.
    EndOfRecord,
}

/// A line with its number.
type Line<'a> = (usize, Cow<'a, [u8]>);

/// Reads records in order. Change records (`changetype`) and values by URL (`:<`) are refused: an index is content,
/// and a file that makes its reader open others is an attack.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Number of the next line.
    line: usize,
    in_record: bool,
    /// The `dn` that ended the record before it.
    waiting: Option<Item<'a>>,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a [u8]) -> Reader<'a> {
        // A byte order mark is no part of the format, but editors leave it.
        Reader { rest: text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text), line: 1, in_record: false, waiting: None }
    }

    /// The next physical line without its end (LF or CRLF, RFC 2849 SEP).
    fn physical(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = match self.rest.iter().position(|b| *b == b'\n') {
            Some(at) => (&self.rest[..at], &self.rest[at + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        self.line += 1;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// The next line with its continuations: those that begin with one space (RFC 2849 note 2).
    fn logical(&mut self) -> Result<Option<Line<'a>>, LdifError> {
        let number = self.line;
        let Some(first) = self.physical() else { return Ok(None) };
        let mut whole = Cow::Borrowed(first);
        while !first.is_empty() && self.rest.first() == Some(&b' ') {
            let more = self.physical().unwrap_or_default();
            whole.to_mut().extend_from_slice(&more[1..]);
            if whole.len() > VALUE_OCTETS_MAX {
                return Err(LdifError::new(number, format!("longer than {VALUE_OCTETS_MAX} octets")));
            }
        }
        Ok(Some((number, whole)))
    }

    fn next_item(&mut self) -> Result<Option<Item<'a>>, LdifError> {
        if let Some(item) = self.waiting.take() {
            self.in_record = true;
            return Ok(Some(item));
        }
        while let Some((line, text)) = self.logical()? {
            if text.is_empty() {
                if std::mem::take(&mut self.in_record) {
                    return Ok(Some(Item::EndOfRecord));
                }
            } else if text[0] == b' ' {
                return Err(LdifError::new(line, "a continuation of nothing"));
            } else if text[0] != b'#' {
                let (name, value) = attribute(line, text)?;
                if name == "version" && !self.in_record {
                    check_version(line, &value)?;
                    continue;
                }
                if name == "changetype" {
                    return Err(LdifError::new(line, "change records are not accepted"));
                }
                let begins = name == "dn";
                let item = Item::Attribute { line, name, value };
                // The examples of PEC §4.5.10 have records without the blank line between them.
                if std::mem::replace(&mut self.in_record, true) && begins {
                    self.waiting = Some(item);
                    return Ok(Some(Item::EndOfRecord));
                }
                return Ok(Some(item));
            }
        }
        Ok(std::mem::take(&mut self.in_record).then_some(Item::EndOfRecord))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Item<'a>, LdifError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.next_item().transpose();
        if matches!(item, Some(Err(_))) {
            self.rest = &[];
        }
        item
    }
}

/// RFC 2849 version-spec: this is version 1, and so is a file that does not say.
fn check_version(line: usize, value: &[u8]) -> Result<(), LdifError> {
    if value == b"1" { Ok(()) } else { Err(LdifError::new(line, "only version 1 is known")) }
}

/// `name[;option]: value` or `name[;option]:: base64` (RFC 2849 attrval-spec).
fn attribute<'a>(line: usize, text: Cow<'a, [u8]>) -> Result<(String, Cow<'a, [u8]>), LdifError> {
    let colon = text.iter().position(|b| *b == b':').ok_or_else(|| LdifError::new(line, "there is no colon"))?;
    let description = &text[..colon];
    let name = description.split(|b| *b == b';').next().unwrap_or_default();
    let named = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'.';
    if name.is_empty() || !name.iter().all(named) {
        return Err(LdifError::new(line, "the attribute's name is malformed"));
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let fill = |from: usize| from + text[from..].iter().take_while(|b| **b == b' ').count();
    match text.get(colon + 1) {
        Some(b':') => {
            let decoded = STANDARD.decode(&text[fill(colon + 2)..]);
            Ok((name, Cow::Owned(decoded.map_err(|e| LdifError::new(line, format!("not base64: {e}")))?)))
        }
        Some(b'<') => Err(LdifError::new(line, "values by URL are not accepted")),
        _ => {
            let from = fill(colon + 1);
            Ok((
                name,
                match text {
                    Cow::Borrowed(text) => Cow::Borrowed(&text[from..]),
                    Cow::Owned(mut text) => Cow::Owned(text.split_off(from)),
                },
            ))
        }
    }
}

/// Appends a record: its `dn` and its attributes in order, after a blank line. A name that is no attribute description
/// (RFC 4512 §2.5), as only a hostile server would send one, is left out with its value.
pub fn write_record<'a>(out: &mut String, dn: &str, attributes: impl IntoIterator<Item = (&'a str, &'a [u8])>) {
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';');
    out.push('\n');
    write(out, "dn", dn.as_bytes());
    for (name, value) in attributes {
        if name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(named) {
            write(out, name, value);
        }
    }
}

/// Writes `name: value`, in base64 where RFC 2849 SAFE-STRING demands it, folded.
pub(crate) fn write(out: &mut String, name: &str, value: &[u8]) {
    let safe = |b: &u8| b.is_ascii() && !matches!(*b, 0 | b'\n' | b'\r');
    let unsafe_first = matches!(value.first(), Some(b' ' | b':' | b'<'));
    let plain = value.iter().all(safe) && !unsafe_first && value.last() != Some(&b' ');
    let mut line = String::new();
    // Writing into a string cannot fail.
    let _ = match std::str::from_utf8(value) {
        Ok(text) if plain => write!(line, "{name}: {text}"),
        _ => write!(line, "{name}:: {}", STANDARD.encode(value)),
    };
    let (mut rest, mut width) = (line.as_str(), WIDTH);
    while rest.len() > width {
        out.push_str(&rest[..width]);
        out.push_str("\n ");
        rest = &rest[width..];
        width = WIDTH - 1;
    }
    out.push_str(rest);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn items(text: &[u8]) -> Result<Vec<(usize, String, Vec<u8>)>, LdifError> {
        let mut out = Vec::new();
        for item in Reader::new(text) {
            out.push(match item? {
                Item::Attribute { line, name, value } => (line, name, value.into_owned()),
                Item::EndOfRecord => (0, String::new(), Vec::new()),
            });
        }
        Ok(out)
    }

    fn row(line: usize, name: &str, value: &[u8]) -> (usize, String, Vec<u8>) {
        (line, name.into(), value.to_vec())
    }

    #[test]
    fn folded_lines_base64_options_comments_and_both_line_ends() {
        let text = b"version: 1\r\n\r\n# a comment\r\n  that goes on\r\ndn: o=\r\n postacert\r\nO:postacert\n\n\
            dn:: bz1w\ncert;binary:: AAEC\n Aw==\ndescription:\n";
        let end = row(0, "", b"");
        assert_eq!(
            items(text).unwrap(),
            [
                row(5, "dn", b"o=postacert"),
                row(7, "o", b"postacert"),
                end.clone(),
                row(9, "dn", b"o=p"),
                row(10, "cert", &[0, 1, 2, 3]),
                row(12, "description", b""),
                end
            ]
        );
    }

    #[test]
    fn a_dn_begins_a_record_even_without_a_blank_line() {
        let end = row(0, "", b"");
        assert_eq!(
            items(b"dn: a\nx: 1\nDN: b\ndn: c\n").unwrap(),
            [
                row(1, "dn", b"a"),
                row(2, "x", b"1"),
                end.clone(),
                row(3, "dn", b"b"),
                end.clone(),
                row(4, "dn", b"c"),
                end
            ]
        );
    }

    #[test]
    fn what_is_refused_names_its_line() {
        for (text, line, what) in [
            (&b"dn: a\nno colon here\n"[..], 2, "there is no colon"),
            (b"dn: a\n\n\n x: y\n", 4, "a continuation of nothing"),
            (b"dn: a\ncert:: ???\n", 2, "not base64: Invalid symbol 63, offset 0."),
            (b"dn: a\ncert:< file:///etc/passwd\n", 2, "values by URL are not accepted"),
            (b"dn: a\nchangetype: delete\n", 2, "change records are not accepted"),
            (b"version: 2\ndn: a\n", 1, "only version 1 is known"),
            (b"dn: a\nna me: x\n", 2, "the attribute's name is malformed"),
        ] {
            assert_eq!(items(text).unwrap_err(), LdifError::new(line, what));
        }
    }

    #[test]
    fn a_value_without_end_is_cut_off() {
        let mut text = b"dn: a\n".to_vec();
        for _ in 0..VALUE_OCTETS_MAX / 32 + 2 {
            text.extend_from_slice(b" 0123456789abcdef0123456789abcdef\n");
        }
        assert_eq!(items(&text).unwrap_err().line, 1);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut text = String::new();
            write(&mut text, "description", &value);
            prop_assert!(text.lines().all(|l| l.len() <= WIDTH));
            prop_assert_eq!(items(text.as_bytes()).unwrap(), [row(1, "description", &value), row(0, "", b"")]);
        }

        #[test]
        fn a_record_of_any_bytes_comes_back(
            dn in "\\PC{0,90}", values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..5)
        ) {
            let mut text = String::from("version: 1\n");
            let attributes = values.iter().map(|value| ("certificate;binary", value.as_slice()));
            write_record(&mut text, &dn, attributes.chain([("bad name", &b"x"[..]), (";x", b"x"), ("a\n b", b"x")]));
            let mut expected = vec![row(3, "dn", dn.as_bytes())];
            expected.extend(values.iter().map(|value| row(0, "certificate", value)));
            expected.push(row(0, "", b""));
            let found = items(text.as_bytes()).unwrap();
            prop_assert!(found.iter().map(|r| (&r.1, &r.2)).eq(expected.iter().map(|r| (&r.1, &r.2))));
        }

        #[test]
        fn no_bytes_make_it_panic(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = items(&text);
        }
    }
}
