//! Bytes from a guest, before they go anywhere: none of them may be taken for what they are not (a second header
//! field, a second reply, the end of the data of an SMTP session).

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use sigillo_mail::rope::Segment;
use sigillo_mail::{EnhancedCode, Rope, Source};

use crate::limits;
use crate::run::Reply;
use crate::world::mail::types;

/// The field as it stands in a message, with its line end.
///
/// The value may be folded: a CRLF is taken only before a line that begins with a blank and has something else too
/// (RFC 5322 §2.2.3; a line of blanks only is obsolete, and some readers take it for the end of the header).
pub fn header_field(name: &str, value: &[u8]) -> Result<Bytes, String> {
    // RFC 5322 §2.2: printable US-ASCII except the colon.
    if name.is_empty()
        || name.len() > limits::FIELD_NAME_MAX
        || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
    {
        return Err(format!("a field's name has 1 to {} printable characters, no colon", limits::FIELD_NAME_MAX));
    }
    if value.len() > limits::FIELD_MAX {
        return Err(format!("a header field has at most {} octets", limits::FIELD_MAX));
    }
    let mut field = BytesMut::with_capacity(name.len() + value.len() + 4);
    field.put_slice(name.as_bytes());
    field.put_slice(b": ");
    field.put_slice(value);
    for (number, line) in lines(&field).enumerate() {
        header_line(number, line)?;
    }
    field.put_slice(b"\r\n");
    Ok(field.freeze())
}

fn header_line(number: usize, line: &[u8]) -> Result<(), String> {
    if line.len() > limits::LINE_MAX {
        return Err(format!("a line of a header field has at most {} octets", limits::LINE_MAX));
    }
    if !line.iter().all(|b| matches!(b, b' '..=b'~' | b'\t')) {
        return Err("a header field is printable ASCII; a CR, a LF, a NUL or an 8-bit octet is none".into());
    }
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    if number > 0 && (!line.first().is_some_and(blank) || line.iter().all(blank)) {
        return Err(
            "a line end in a header field must be followed by a blank and more: this would begin another".into()
        );
    }
    Ok(())
}

/// Pieces between CRLFs.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let all = rest?;
        match memchr::memmem::find(all, b"\r\n") {
            Some(at) => {
                rest = Some(&all[at + 2..]);
                Some(&all[..at])
            }
            None => rest.take(),
        }
    })
}

/// Whether a message is one for SMTP and for the disk: every CR and LF stands in a CRLF, and it ends with one. A bare
/// one would be a line end for the next server and not for this one (smuggling; RFC 5321 §2.3.8).
pub fn line_ends(rope: &Rope, source: &dyn Source) -> io::Result<Result<(), String>> {
    if let Err(why) = canonical(rope, source)? {
        return Ok(Err(why));
    }
    let end = rope.read(source, rope.len().saturating_sub(2), 2)?;
    Ok(if end[..] == *b"\r\n" { Ok(()) } else { Err("a message ends with CRLF".into()) })
}

/// Whether every CR and LF stands in a CRLF.
///
/// Bytes of the guest are looked at one by one; of a range only the ends, where the guest cut: what lies between came
/// through the door, which lets no bare CR or LF in.
pub fn canonical(rope: &Rope, source: &dyn Source) -> io::Result<Result<(), String>> {
    let mut after_cr = false;
    for segment in rope.segments() {
        let sound = match segment {
            Segment::Literal(bytes) => seam(after_cr, bytes.first()) && inner(bytes),
            Segment::Range(range) => {
                let mut first = [0];
                source.read_exact_at(range.file, range.offset, &mut first)?;
                seam(after_cr, first.first())
            }
        };
        if !sound {
            return Ok(Err("every line of content ends with CRLF: it has a bare CR or LF".into()));
        }
        let mut last = [0];
        match segment {
            Segment::Literal(bytes) => last[0] = bytes.last().copied().unwrap_or_default(),
            Segment::Range(range) => source.read_exact_at(range.file, range.offset + range.length - 1, &mut last)?,
        }
        after_cr = last == *b"\r";
    }
    Ok(if after_cr { Err("content ends within a CRLF".into()) } else { Ok(()) })
}

fn seam(after_cr: bool, next: Option<&u8>) -> bool {
    after_cr == (next == Some(&b'\n'))
}

fn inner(bytes: &[u8]) -> bool {
    memchr::memchr2_iter(b'\r', b'\n', bytes).all(|at| match bytes[at] {
        b'\r' => bytes.get(at + 1).is_none_or(|next| *next == b'\n'),
        _ => at == 0 || bytes[at - 1] == b'\r',
    })
}

/// A reply of a class (4 or 5), as a peer may read it.
pub fn reply(reply: types::Reply, class: u16) -> Result<Reply, String> {
    // RFC 5321 §4.2.1, RFC 3463 §2.
    if reply.code / 100 != class {
        return Err(format!("the reply code {} does not agree with the verdict", reply.code));
    }
    let enhanced: EnhancedCode = reply.enhanced.parse()?;
    if u16::from(enhanced.0) != class {
        return Err(format!("the enhanced code {enhanced} does not agree with the verdict"));
    }
    if !reply.text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Err("the text of the reply is not printable ASCII".into());
    }
    let line = format!("{} {enhanced} {}\r\n", reply.code, reply.text);
    if line.len() > limits::REPLY_LINE_MAX {
        return Err(format!("the reply is longer than {} octets", limits::REPLY_LINE_MAX));
    }
    Ok(Reply { code: reply.code, enhanced, text: reply.text })
}

/// A reason for the operator: one line of bounded length, whatever the guest wrote. It is not refused: what matters
/// is the verdict that it explains.
pub fn reason(text: &str) -> String {
    let mut end = text.len().min(limits::REASON_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace(char::is_control, " ")
}

/// A fact for later steps: a name such as plugins have, so that `PLUGIN.NAME` is read one way only, and one line that
/// can stand in a header field, a log and a notice.
pub fn annotation(name: &str, value: &str) -> Result<(), String> {
    if !sigillo_policy::is_identifier(name) {
        return Err("a name has 1 to 64 lower-case letters, digits and '-', beginning with a letter".into());
    }
    if value.is_empty() || value.len() > limits::ANNOTATION_MAX || !value.chars().all(in_a_line) {
        return Err(format!("a value is one printable line of 1 to {} octets", limits::ANNOTATION_MAX));
    }
    Ok(())
}

/// Not a control character and none of Unicode's other line ends.
fn in_a_line(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// A system flag other than `\Recent`, or a keyword (RFC 3501 §2.3.2, §9: an atom).
pub fn flag(flag: &str) -> Result<(), String> {
    const SYSTEM: [&str; 5] = ["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"];
    if SYSTEM.iter().any(|system| system.eq_ignore_ascii_case(flag)) {
        return Ok(());
    }
    let atom = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
    if flag.is_empty() || flag.len() > limits::FLAG_MAX || !flag.bytes().all(atom) {
        return Err(format!("a flag is a system flag or an atom of at most {} octets", limits::FLAG_MAX));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigillo_mail::rope::{NoSource, Range};

    #[test]
    fn a_field_cannot_make_another() {
        assert_eq!(&header_field("X-A", b"one\r\n two").unwrap()[..], b"X-A: one\r\n two\r\n");
        for (name, value) in [
            ("X-A", &b"one\r\nBcc: two"[..]),
            ("X-A", b"one\r\n\r\nbody"),
            ("X-A", b"one\r\n"),
            ("X-A", b"one\r\n \t"),
            ("X-A", b"one\ntwo"),
            ("X-A", b"one\rtwo"),
            ("X-A", b"one\0"),
            ("X-A", b"\xc3\xa8"),
            ("X-A:", b"one"),
            ("X A", b"one"),
            ("X-A: b\r\nY", b"one"),
            ("", b"one"),
        ] {
            assert!(header_field(name, value).is_err(), "{name:?} {value:?}");
        }
        assert!(header_field("X-A", &[b'a'; limits::LINE_MAX - 5]).is_ok());
        assert!(header_field("X-A", &[b'a'; limits::LINE_MAX - 4]).is_err());
    }

    #[test]
    fn content_is_lines_however_it_is_cut() {
        let rope = |pieces: &[&str]| {
            let mut rope = Rope::new();
            pieces.iter().for_each(|piece| rope.push_bytes(piece.to_string()));
            line_ends(&rope, &NoSource).unwrap()
        };
        assert!(rope(&["a\r\nb\r\n"]).is_ok());
        assert!(rope(&["a\r", "\nb\r", "\n"]).is_ok());
        for pieces in [
            &["a\nb\r\n"][..],
            &["a\rb\r\n"],
            &["a\r", "b\r\n"],
            &["a", "\nb\r\n"],
            &["a\r\r\n"],
            &["a\r\n\n"],
            &["a"],
            &["a\r"],
            &[],
        ] {
            assert!(rope(pieces).is_err(), "{pieces:?}");
        }
    }

    #[test]
    fn the_ends_of_ranges_are_looked_at() {
        struct Lines;
        impl Source for Lines {
            fn read_exact_at(&self, _: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
                let at = offset as usize;
                buffer.copy_from_slice(&b"one\r\ntwo\r\n"[at..at + buffer.len()]);
                Ok(())
            }
        }
        let cut = |ranges: &[(u64, u64)]| {
            let mut rope = Rope::new();
            for (offset, length) in ranges {
                rope.push(Segment::Range(Range { file: 1, offset: *offset, length: *length }));
            }
            line_ends(&rope, &Lines).unwrap()
        };
        assert!(cut(&[(0, 10)]).is_ok());
        assert!(cut(&[(5, 5), (0, 5)]).is_ok());
        assert!(cut(&[(0, 4), (5, 5)]).is_err(), "a CR without its LF");
        assert!(cut(&[(0, 3), (4, 6)]).is_err(), "a LF without its CR");
        assert!(cut(&[(0, 3)]).is_err());
    }

    #[test]
    fn a_reply_is_one_line_of_its_class() {
        let from = |code, enhanced: &str, text: &str| {
            reply(types::Reply { code, enhanced: enhanced.into(), text: text.into() }, 5)
        };
        assert!(from(550, "5.7.1", "no").is_ok());
        assert!(from(550, "5.7.1", "no\r\n250 yes").is_err());
        assert!(from(550, "5.7.1", "perché").is_err());
        assert!(from(450, "5.7.1", "no").is_err());
        assert!(from(550, "4.7.1", "no").is_err());
        assert!(from(550, "5.7.1 x", "no").is_err());
        assert!(from(550, "5.7.1", &"x".repeat(500)).is_ok());
        assert!(from(550, "5.7.1", &"x".repeat(501)).is_err());
    }

    #[test]
    fn a_fact_is_a_name_and_a_line() {
        assert!(annotation("verdict", "clean").is_ok() && annotation("a-1", "perché no").is_ok());
        let long = "x".repeat(limits::ANNOTATION_MAX + 1);
        for (name, value) in [
            ("", "clean"),
            ("Verdict", "clean"),
            ("a.b", "clean"),
            ("1", "clean"),
            ("verdict", ""),
            ("verdict", "clean\r\nBcc: mallory@evil.example"),
            ("verdict", "a\u{2028}b"),
            ("verdict", "a\0"),
            ("verdict", &long),
        ] {
            assert!(annotation(name, value).is_err(), "{name:?} {value:?}");
        }
        assert!(annotation("verdict", &long[1..]).is_ok());
    }

    #[test]
    fn flags_are_atoms() {
        assert!(flag("$Booked").is_ok() && flag("\\seen").is_ok());
        assert!(flag("\\Recent").is_err() && flag("a b").is_err() && flag("a)").is_err() && flag("").is_err());
    }
}
