//! The field `Authentication-Results` ([RFC 8601 §2]), and those of it that somebody forged.

use sigillo_mail::header::HeaderSection;
use sigillo_mail::rope::Rope;

/// The field's name.
const NAME: &str = "Authentication-Results";
/// Longest line of a message without its line end (RFC 5322 §2.1.1).
const LINE_MAX: usize = 998;

/// The field with its line end, or none where `results` (as [`crate::Findings::results`]) could make another field of
/// it: its words come from strangers.
pub fn field(results: &str) -> Option<String> {
    if !results.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return None;
    }
    let field = format!("{NAME}: {}", results.replace("; ", ";\r\n "));
    let sound = |line: &str| line.len() <= LINE_MAX && !line.trim_ascii().is_empty();
    field.split("\r\n").all(sound).then(|| field + "\r\n")
}

/// The message without the fields that bear our name or could be read so (RFC 8601 §5): only we say what we found.
/// None if there is no such field.
pub fn without_forged(content: &Rope, header: &HeaderSection, authserv_id: &str) -> Option<Rope> {
    let named = |name: &str| name.eq_ignore_ascii_case(NAME);
    let forged: Vec<_> = header.fields().filter(|f| named(f.name) && speaks_as(f.value, authserv_id)).collect();
    if forged.is_empty() {
        return None;
    }
    let (mut rope, mut kept) = (Rope::new(), 0);
    for field in forged {
        rope.append(&content.slice(kept, field.offset as u64 - kept));
        kept = (field.offset + field.whole.len()) as u64;
    }
    rope.append(&content.slice(kept, content.len() - kept));
    Some(rope)
}

/// Whether the first word of a value is this name, without regard to case, comments, folds and quotes. A value that
/// cannot be read so counts if it has the name anywhere: some readers are lenient.
fn speaks_as(value: &[u8], authserv_id: &str) -> bool {
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let id = authserv_id.to_ascii_lowercase();
    match first_word(&text) {
        Some(word) => word == id,
        None => text.contains(&id),
    }
}

/// `[CFWS] value` of RFC 8601 §2.2: a token or a quoted string.
fn first_word(text: &str) -> Option<String> {
    let mut rest = text.chars();
    let mut depth = 0;
    let mut word = String::new();
    let mut quoted = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                let next = rest.next()?;
                if depth == 0 {
                    word.push(next);
                }
            }
            '(' if !quoted => depth += 1,
            ')' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            '"' if quoted || word.is_empty() => quoted = !quoted,
            ' ' | '\t' | '\r' | '\n' | ';' if !quoted && !word.is_empty() => return Some(word),
            ' ' | '\t' | '\r' | '\n' if !quoted => {}
            ';' if !quoted => return None,
            c => word.push(c),
        }
    }
    (depth == 0 && !quoted && !word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::Bytes;
    use sigillo_mail::rope::NoSource;

    const US: &str = "mx.alfa.example";

    fn cleaned(message: &str) -> Option<String> {
        let header = HeaderSection::parse(Bytes::copy_from_slice(message.as_bytes()));
        let rope = without_forged(&Rope::from_bytes(message.to_owned()), &header, US)?;
        Some(String::from_utf8(rope.to_bytes(&NoSource).unwrap().to_vec()).unwrap())
    }

    #[test]
    fn what_bears_our_name_goes_and_what_bears_another_s_stays() {
        let message = "Received: x\r\nAuthentication-Results: MX.alfa.example; spf=pass\r\n\tsmtp.mailfrom=a\r\n\
                       Authentication-Results: mx.beta.example; spf=fail\r\n\
                       authentication-results : (a (b) \\) c) \"mx.alfa.example\" 1; dkim=pass\r\nSubject: y\r\n\r\nAuthentication-Results: mx.alfa.example; z\r\n";
        let want = "Received: x\r\nAuthentication-Results: mx.beta.example; spf=fail\r\nSubject: y\r\n\r\n\
                    Authentication-Results: mx.alfa.example; z\r\n";
        assert_eq!(cleaned(message).as_deref(), Some(want));
        assert_eq!(cleaned(want), None);
    }

    #[test]
    fn a_name_that_only_begins_like_ours_is_another() {
        for (value, ours) in [
            ("mx.alfa.example", true),
            ("mx.alfa.example/1; none", false),
            ("mx.alfa.example.evil.example; spf=pass", false),
            ("notmx.alfa.example; spf=pass", false),
            (" (c)\r\n\tmx.alfa.example ; spf=pass", true),
            ("\"mx.alfa.example\"; spf=pass", true),
            ("; mx.alfa.example", true),
            ("(never closed mx.alfa.example; spf=pass", true),
            ("", false),
        ] {
            assert_eq!(speaks_as(value.as_bytes(), US), ours, "{value:?}");
        }
    }

    #[test]
    fn a_stranger_s_words_make_no_second_field() {
        assert_eq!(
            field("mx.alfa.example; spf=pass smtp.mailfrom=a@b; dkim=none").as_deref(),
            Some("Authentication-Results: mx.alfa.example;\r\n spf=pass smtp.mailfrom=a@b;\r\n dkim=none\r\n")
        );
        for results in ["a; spf=pass\r\nBcc: x", "a; spf=pass\n", "a; \u{e8}", &format!("a; {}", "x".repeat(998))] {
            assert_eq!(field(results), None, "{results:?}");
        }
    }
}
