//! Bare addresses, compared as certified mail compares them.
//!
//! Addresses reach this plugin as texts that the host has parsed (SMTP arguments) or that a message claims (header
//! fields, certification data). Neither is trusted where it is written into a header line.

/// Longest address that is written anywhere, octets. RFC 5321 §4.5.3.1.3.
pub const ADDRESS_MAX: usize = 254;

/// Whether a text is one address that may stand in a header line: printable ASCII, a local part and a domain.
pub fn is_address(text: &str) -> bool {
    let Some((local_part, domain)) = text.rsplit_once('@') else { return false };
    text.len() <= ADDRESS_MAX && is_local_part(local_part) && is_domain(domain)
}

/// RFC 5321 §4.1.2, `Dot-string / Quoted-string`.
fn is_local_part(text: &str) -> bool {
    if let Some(inside) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        let mut escaped = false;
        let well_formed = inside.bytes().all(|b| {
            let fits = (0x20..=0x7e).contains(&b) && (escaped || b != b'"');
            escaped = !escaped && b == b'\\';
            fits
        });
        return well_formed && !escaped && !inside.is_empty();
    }
    let atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atext))
}

/// A host name or an address literal, by its characters.
fn is_domain(text: &str) -> bool {
    if let Some(inside) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-".contains(&b));
    }
    let label = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    text.split('.').all(label)
}

/// Whether two addresses are the same: along a transaction providers change their case.
pub fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// The form by which an address is a key.
pub fn key(address: &str) -> String {
    address.to_ascii_lowercase()
}

/// The domain of an address, in lower case; empty if there is none.
pub fn domain(address: &str) -> String {
    address.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase()).unwrap_or_default()
}

/// The list without repetitions, in its order (PEC practice: a recipient named twice is one recipient).
pub fn distinct(addresses: &[String]) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    addresses.iter().filter(|address| seen.insert(key(address))).cloned().collect()
}

/// Whether a field of addresses uses the syntax of groups (`name: a, b;`), obsolete routes included
/// ([RFC 5322 §3.4]). Quoted strings, comments and domain literals do not count.
pub fn has_group_syntax(value: &str) -> bool {
    let (mut quoted, mut comment, mut literal, mut escaped) = (false, 0u32, false, false);
    for c in value.chars() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match c {
            '\\' if quoted || comment > 0 => escaped = true,
            '"' if comment == 0 => quoted = !quoted,
            _ if quoted => {}
            '(' => comment = comment.saturating_add(1),
            ')' => comment = comment.saturating_sub(1),
            _ if comment > 0 => {}
            '[' => literal = true,
            ']' => literal = false,
            ':' | ';' if !literal => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_cannot_break_a_header_line() {
        for text in ["ada@alfa.example", "a+b@x", "\"a b\"@x.y", "u@[127.0.0.1]"] {
            assert!(is_address(text), "{text}");
        }
        for text in [
            "",
            "ada",
            "@x",
            "a@",
            "a b@x",
            "a@x\r\nBcc: b@y",
            "a@b@c",
            "<a@b>",
            "a@b,c@d",
            "à@b",
            "\"a@b",
            "\"a\"b\"@c",
        ] {
            assert!(!is_address(text), "{text:?}");
        }
        assert!(!is_address(&format!("{}@x", "a".repeat(254))));
    }

    #[test]
    fn groups_are_seen_outside_quotes_and_comments() {
        for value in ["undisclosed-recipients:;", "gruppo: a@x, b@y;", "<@relay.x:a@y>"] {
            assert!(has_group_syntax(value), "{value}");
        }
        for value in ["a@x, \"Rossi: Ada; x\" <b@y>", "a@x (nota: uno; due)", "u@[IPv6:::1]", "\"\\\":\" <a@b>"] {
            assert!(!has_group_syntax(value), "{value}");
        }
    }

    #[test]
    fn repeated_recipients_are_one() {
        let list = ["A@x.y", "b@x.y", "a@X.Y"].map(String::from);
        assert_eq!(distinct(&list), ["A@x.y", "b@x.y"]);
    }
}
