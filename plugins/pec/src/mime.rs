//! Writing header fields and parts ([RFC 5322], [RFC 2045], [RFC 2047], [RFC 1847]).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Preferred longest line, octets. RFC 5322 §2.1.1, RFC 2045 §6.7.
const LINE: usize = 76;
/// Octets of text in one encoded word: 12 of `=?UTF-8?B?` and `?=`, 60 of base64. RFC 2047 §2 allows 75 in all.
const ENCODED_WORD_TEXT: usize = 45;

/// Longest text of a field, octets. Ours: a subject may fill a header section; whole it stands in the certification data.
const TEXT_MAX: usize = 4096;

/// A field of unstructured text such as `Subject:`, folded, encoded where it must be. The ASCII words of `prefix` stay
/// plain, so that rules of mail clients can match them in the raw field.
pub fn unstructured_field(name: &str, prefix: &str, text: &str) -> Vec<u8> {
    let text = text[..text.floor_char_boundary(TEXT_MAX)].trim();
    // Text that looks like an encoded word would be decoded by readers; a word longer than a line cannot be folded.
    let plain = text.bytes().all(|b| (0x20..=0x7e).contains(&b))
        && !text.contains("=?")
        && !text.contains("  ")
        && text.split(' ').all(|word| word.len() < LINE - 1);
    let mut words: Vec<String> = prefix.split_ascii_whitespace().map(String::from).collect();
    match plain {
        true => words.extend(text.split_ascii_whitespace().map(String::from)),
        false => words.extend(encoded_words(text)),
    }
    let mut field = format!("{name}:");
    let mut column = field.len();
    for (index, word) in words.iter().enumerate() {
        if index > 0 && column + 1 + word.len() > LINE {
            field.push_str("\r\n");
            column = 0;
        }
        field.push(' ');
        field.push_str(word);
        column += 1 + word.len();
    }
    field.push_str("\r\n");
    field.into_bytes()
}

/// RFC 2047 §4.1 and §5: UTF-8, base64, no character split between words.
fn encoded_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chunk = String::new();
    for c in text.chars() {
        if chunk.len() + c.len_utf8() > ENCODED_WORD_TEXT {
            words.push(encoded_word(&chunk));
            chunk.clear();
        }
        chunk.push(c);
    }
    if !chunk.is_empty() {
        words.push(encoded_word(&chunk));
    }
    words
}

fn encoded_word(text: &str) -> String {
    format!("=?UTF-8?B?{}?=", STANDARD.encode(text))
}

/// `"text"` with quotes and backslashes escaped ([RFC 5322 §3.2.4]); the text must be printable ASCII.
pub fn quoted_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// `From:` of an envelope: the service address under the sender's name.
pub fn from_field(display_name: &str, address: &str) -> String {
    let name = quoted_string(display_name);
    let separator = if name.len() + address.len() + 9 > LINE { "\r\n " } else { " " };
    format!("From: {name}{separator}<{address}>\r\n")
}

/// Base64 in lines of 76 characters ([RFC 2045 §6.8]), the last one ended too.
pub fn base64_lines(bytes: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(bytes);
    text.as_bytes().chunks(LINE).flat_map(|line| [line, b"\r\n"].concat()).collect()
}

/// Text in ISO-8859-1 and quoted-printable ([PEC §4.3.1], [RFC 2045 §6.7]), lines ended by CRLF.
///
/// What ISO-8859-1 does not have becomes `?`: the certification data, in UTF-8, are the authority.
pub fn quoted_printable_latin1(text: &str) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len() + text.len() / 8);
    for line in text.split('\n') {
        let line: Vec<u8> = line.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
        quoted_printable_line(&line, &mut encoded);
        encoded.extend_from_slice(b"\r\n");
    }
    encoded
}

fn quoted_printable_line(line: &[u8], encoded: &mut Vec<u8>) {
    let mut column = 0;
    for (index, &byte) in line.iter().enumerate() {
        let last = index + 1 == line.len();
        // A blank at the end of a line would be lost on the way; a dot alone ends a message in SMTP.
        let literal = matches!(byte, b'!'..=b'<' | b'>'..=b'~') || (matches!(byte, b' ' | b'\t') && !last);
        let token = if literal { vec![byte] } else { format!("={byte:02X}").into_bytes() };
        if column + token.len() > LINE - 1 {
            encoded.extend_from_slice(b"=\r\n");
            column = 0;
        }
        column += token.len();
        encoded.extend_from_slice(&token);
    }
}

/// A parameter of `Content-Type:` or `Content-Disposition:`, encoded where it must be ([RFC 2231 §4]).
pub fn parameter(name: &str, value: &str) -> String {
    if value.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
        return format!("{name}={}", quoted_string(value));
    }
    let encoded: String = value
        .bytes()
        .map(|b| match b {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'.' | b'-' | b'_' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect();
    format!("{name}*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_does_not_fill_the_header_section() {
        assert!(unstructured_field("Subject", "CONSEGNA: ", &"è".repeat(1_000_000)).len() < 8000);
    }

    fn decoded(field: &[u8]) -> String {
        let message = [field, b"\r\n"].concat();
        let parsed = mail_parser::MessageParser::default().parse(&message).unwrap();
        parsed.subject().unwrap_or_default().to_owned()
    }

    #[test]
    fn subjects_survive_encoding_and_folding() {
        let long = "parola ".repeat(60);
        for text in [
            "prova",
            "Perché no? € 10",
            "日本語の件名 ".repeat(20).trim(),
            "=?x?= finta",
            &"x".repeat(3000),
            long.trim(),
        ] {
            let field = unstructured_field("Subject", "POSTA CERTIFICATA: ", text);
            assert_eq!(decoded(&field), format!("POSTA CERTIFICATA: {text}"));
            for line in field.split(|&b| b == b'\n') {
                assert!(line.len() <= 78 && line.is_ascii(), "{}", String::from_utf8_lossy(line));
            }
        }
        assert_eq!(unstructured_field("Subject", "ACCETTAZIONE: ", "prova"), b"Subject: ACCETTAZIONE: prova\r\n");
        assert_eq!(unstructured_field("Subject", "ACCETTAZIONE: ", ""), b"Subject: ACCETTAZIONE:\r\n");
    }

    #[test]
    fn text_is_latin1_and_what_it_lacks_is_substituted() {
        assert_eq!(quoted_printable_latin1("è stato 10 €"), b"=E8 stato 10 ?\r\n");
        assert_eq!(quoted_printable_latin1("a=b \nc"), b"a=3Db=20\r\nc\r\n");
        for line in quoted_printable_latin1(&"è".repeat(200)).split(|&b| b == b'\n') {
            assert!(line.len() <= 77);
        }
    }

    #[test]
    fn quotes_cannot_end_a_display_name() {
        let field = from_field("Per conto di: \"a\\\"b\"@x.y", "s@x.y");
        assert_eq!(field, "From: \"Per conto di: \\\"a\\\\\\\"b\\\"@x.y\" <s@x.y>\r\n");
    }

    #[test]
    fn names_of_files_beyond_ascii_are_encoded() {
        assert_eq!(parameter("name", "a \"b\".pdf"), "name=\"a \\\"b\\\".pdf\"");
        assert_eq!(parameter("name", "caffè.pdf"), "name*=UTF-8''caff%C3%A8.pdf");
    }
}
