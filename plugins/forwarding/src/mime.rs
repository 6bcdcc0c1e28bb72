//! What the plugin writes: fields, encoded words and a text part, all in ASCII with CRLF.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{Timestamp, tz};

use crate::host::{Error, Host};

/// Octets of text in an encoded word, so that the word stays within 75 (RFC 2047 §2).
const WORD: usize = 42;
/// Octets of one line of base64: 76 characters (RFC 2045 §6.8).
const LINE: usize = 57;
/// Octets of one text of an event: the log takes 64 KiB for all of them.
const LOG_MAX: usize = 1024;
/// Longest subject that is taken over, octets.
const SUBJECT_MAX: usize = 400;

/// `Date:` of this step, in the legal time of Italy (RFC 5322 §3.3).
pub fn date(host: &impl Host) -> Result<String, Error> {
    let offset = tz::Offset::from_seconds(host.utc_offset()?).map_err(|error| Error::Other(error.to_string()))?;
    let at =
        i64::try_from(host.now()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX);
    let zoned = at.to_zoned(tz::TimeZone::fixed(offset));
    jiff::fmt::rfc2822::to_string(&zoned).map_err(|error| Error::Other(error.to_string()))
}

/// A text of an unstructured field or a display name: as it is, or in encoded words.
pub fn words(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let plain = text.bytes().all(|b| matches!(b, b' '..=b'~')) && !text.contains("=?") && text.len() <= 200;
    if plain {
        return text;
    }
    let mut encoded = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = boundary(rest, WORD);
        encoded.push(format!("=?utf-8?B?{}?=", STANDARD.encode(&rest[..end])));
        rest = &rest[end..];
    }
    encoded.join("\r\n ")
}

/// A display name before an address: quoted where it is ASCII.
pub fn display_name(text: &str) -> String {
    let ascii = text.bytes().all(|b| matches!(b, b' '..=b'~'));
    if ascii { format!("\"{}\"", text.replace(['"', '\\'], "'")) } else { words(text) }
}

/// A subject that names another, within its bound.
pub fn subject(before: &str, other: &str) -> String {
    let other = other.trim();
    words(&format!("{before}{}", &other[..boundary(other, SUBJECT_MAX)]))
}

/// The begin of a stranger's subject or id for the message log. A header may have fields of many lines; an event that is
/// larger than the log takes would end the step, and with it the forward.
pub fn for_log(text: &str) -> String {
    text[..boundary(text, LOG_MAX)].to_owned()
}

/// The largest boundary of characters within so many octets; at least one character.
pub fn boundary(text: &str, most: usize) -> usize {
    let end = (0..=text.len().min(most)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    if end == 0 { text.chars().next().map_or(0, char::len_utf8) } else { end }
}

/// The fields of a text part and its body, from text with any line ends.
pub fn text_part(text: &str) -> Vec<u8> {
    let canonical = text.replace("\r\n", "\n").replace(['\r', '\n'], "\r\n");
    let mut part = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n".to_vec();
    for line in canonical.as_bytes().chunks(LINE) {
        part.extend_from_slice(STANDARD.encode(line).as_bytes());
        part.extend_from_slice(b"\r\n");
    }
    part
}

/// One line of printable ASCII of bounded length: a stranger's words in a field, a log or a notice.
pub fn ascii_line(text: &str, most: usize) -> String {
    text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).take(most).collect()
}
