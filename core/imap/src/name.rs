//! Folder names: modified UTF-7 on the wire, UTF-8 everywhere else; what a name may be; LIST patterns.

use crate::limits::{FOLDER_DEPTH_MAX, FOLDER_LEVEL_MAX, FOLDER_NAME_MAX, WILDCARDS_MAX};

/// Between the levels of a name.
pub const SEPARATOR: char = '/';
/// The folder that every account has, in any case of letters ([RFC 3501 §5.1]).
pub const INBOX: &str = "INBOX";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// The name on the wire. RFC 3501 §5.1.3.
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted = Vec::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            close_shift(&mut out, &mut shifted);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            shifted.extend(c.encode_utf16(&mut [0; 2]).iter());
        }
    }
    close_shift(&mut out, &mut shifted);
    out
}

fn close_shift(out: &mut String, units: &mut Vec<u16>) {
    if units.is_empty() {
        return;
    }
    out.push('&');
    let (mut bits, mut count) = (0u32, 0);
    for unit in units.drain(..) {
        bits = bits << 16 | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            out.push(ALPHABET[(bits >> count & 63) as usize] as char);
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        out.push(ALPHABET[(bits << (6 - count) & 63) as usize] as char);
    }
    out.push('-');
}

/// The name that the wire form stands for. What no encoder makes (a shift that is not closed or needless, odd bits,
/// lone surrogates, 8-bit octets) is refused, so that a name has one wire form only.
pub fn decode(wire: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(wire.len());
    let mut rest = wire;
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'&' {
            if !matches!(first, b' '..=b'~') {
                return None;
            }
            out.push(first as char);
            rest = tail;
            continue;
        }
        let end = tail.iter().position(|b| *b == b'-')?;
        if end == 0 {
            out.push('&');
        } else {
            out.push_str(&decode_shift(&tail[..end])?);
        }
        rest = &tail[end + 1..];
    }
    (encode(&out).as_bytes() == wire).then_some(out)
}

fn decode_shift(coded: &[u8]) -> Option<String> {
    let (mut bits, mut count, mut units) = (0u32, 0, Vec::new());
    for byte in coded {
        bits = bits << 6 | ALPHABET.iter().position(|b| b == byte)? as u32;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push((bits >> count) as u16);
            bits &= (1 << count) - 1;
        }
    }
    String::from_utf16(&units).ok()
}

/// Checks a decoded name: `INBOX` in any case becomes [`INBOX`]. Control characters, empty levels, `.` and `..`,
/// wildcards and backslashes are refused: names become paths in other people's programs.
pub fn check(name: &str) -> Result<String, &'static str> {
    let name = match name.get(..INBOX.len()) {
        Some(head)
            if head.eq_ignore_ascii_case(INBOX) && matches!(name.as_bytes().get(INBOX.len()), None | Some(b'/')) =>
        {
            format!("{INBOX}{}", &name[INBOX.len()..])
        }
        _ => name.to_owned(),
    };
    if name.is_empty() || name.len() > FOLDER_NAME_MAX {
        return Err("folder name empty or too long");
    }
    if name.chars().any(|c| c.is_control() || matches!(c, '*' | '%' | '\\' | '\u{2028}' | '\u{2029}')) {
        return Err("folder name holds a character that is not allowed");
    }
    let mut levels = 0;
    for level in name.split(SEPARATOR) {
        levels += 1;
        if level.is_empty() || level == "." || level == ".." || level.len() > FOLDER_LEVEL_MAX {
            return Err("folder name has a level that is empty, too long or a dot");
        }
    }
    if levels > FOLDER_DEPTH_MAX {
        return Err("folder name has too many levels");
    }
    Ok(name)
}

/// The names above this one, nearest last: `a`, `a/b` for `a/b/c`.
pub fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices(SEPARATOR).map(|(at, _)| &name[..at])
}

/// A LIST pattern: `*` matches anything, `%` anything but the separator ([RFC 3501 §6.3.8]).
#[derive(Debug, Clone)]
pub struct Pattern(Vec<char>);

impl Pattern {
    /// Runs of wildcards become one; more than [`WILDCARDS_MAX`] are refused.
    pub fn new(text: &str) -> Result<Pattern, &'static str> {
        let mut chars: Vec<char> = Vec::new();
        for c in text.chars() {
            match (chars.last(), c) {
                (Some('*'), '*' | '%') => {}
                (Some('%'), '%') => {}
                (Some('%'), '*') => *chars.last_mut().unwrap_or(&mut '*') = '*',
                _ => chars.push(c),
            }
        }
        if chars.iter().filter(|c| matches!(c, '*' | '%')).count() > WILDCARDS_MAX {
            return Err("too many wildcards");
        }
        // INBOX is the same in any case of letters. RFC 3501 §5.1.
        let head: String = chars.iter().take(INBOX.len()).collect();
        if head.eq_ignore_ascii_case(INBOX) && matches!(chars.get(INBOX.len()), None | Some('/' | '*' | '%')) {
            chars.splice(..INBOX.len(), INBOX.chars());
        }
        Ok(Pattern(chars))
    }

    /// Whether the name matches. Time grows with the product of the lengths, not exponentially: the set of reachable
    /// pattern positions is carried along.
    pub fn matches(&self, name: &str) -> bool {
        let mut at = vec![false; self.0.len() + 1];
        at[0] = true;
        self.skip_wildcards(&mut at);
        for c in name.chars() {
            let mut next = vec![false; self.0.len() + 1];
            for (i, p) in self.0.iter().enumerate().filter(|(i, _)| at[*i]) {
                match p {
                    '*' => next[i] = true,
                    '%' => next[i] |= c != SEPARATOR,
                    p => next[i + 1] |= *p == c,
                }
            }
            self.skip_wildcards(&mut next);
            at = next;
        }
        at[self.0.len()]
    }

    fn skip_wildcards(&self, at: &mut [bool]) {
        for (i, p) in self.0.iter().enumerate() {
            if at[i] && matches!(p, '*' | '%') {
                at[i + 1] = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_standard_comes_back() {
        // RFC 3501 §5.1.3
        assert_eq!(decode(b"~peter/mail/&U,BTFw-/&ZeVnLIqe-").unwrap(), "~peter/mail/台北/日本語");
        assert_eq!(encode("~peter/mail/台北/日本語"), "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
        assert_eq!(encode("Ricevute & già"), "Ricevute &- gi&AOA-");
    }

    #[test]
    fn what_no_encoder_makes_is_refused() {
        for wire in ["&", "&U,BTFw", "&AGE-", "&U,B-", "&ZeVnLIqe-&U,BTFw-", "caff\u{e8}", "&2AA-", "a\0b"] {
            assert_eq!(decode(wire.as_bytes()), None, "{wire}");
        }
    }

    #[test]
    fn names_that_could_be_paths_elsewhere_are_refused() {
        for name in
            ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\0", "a\r\nb", "a*", "a%", "a\\b", &"x/".repeat(40)]
        {
            assert!(check(name).is_err(), "{name:?}");
        }
        assert_eq!(check("inbox").unwrap(), "INBOX");
        assert_eq!(check("Inbox/Ricevute").unwrap(), "INBOX/Ricevute");
        assert_eq!(check("Inboxes").unwrap(), "Inboxes");
    }

    #[test]
    fn percent_stops_at_the_separator_and_star_does_not() {
        let yes = [
            ("*", "a/b"),
            ("%", "a"),
            ("a/%", "a/b"),
            ("a*c", "a/b/c"),
            ("inbox", "INBOX"),
            ("%/%", "a/b"),
            ("inb*", "inbX"),
            ("", ""),
        ];
        let no = [("%", "a/b"), ("a/%", "a/b/c"), ("a", "ab"), ("a%c", "a/c"), ("*x", "a")];
        for (pattern, name) in yes {
            assert!(Pattern::new(pattern).unwrap().matches(name), "{pattern} {name}");
        }
        for (pattern, name) in no {
            assert!(!Pattern::new(pattern).unwrap().matches(name), "{pattern} {name}");
        }
        assert!(Pattern::new(&"a*".repeat(100)).is_err());
    }

    proptest! {
        #[test]
        fn every_name_comes_back_from_the_wire(name in "\\PC{0,40}") {
            prop_assert_eq!(decode(encode(&name).as_bytes()), Some(name));
        }

        #[test]
        fn any_bytes_decode_without_panic(wire in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&wire);
        }
    }
}
