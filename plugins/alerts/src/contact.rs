//! Whom a mailbox tells: addresses and numbers, parsed once.

use serde::{Deserialize, Serialize};

/// Octets of an address: RFC 5321 §4.5.3.1.3, without the angle brackets.
const ADDRESS_MAX: usize = 254;
/// Octets of a local part: RFC 5321 §4.5.3.1.1.
const LOCAL_MAX: usize = 64;
/// Digits of a number, country code included: ITU-T E.164 §6.2.1.
const DIGITS_MAX: usize = 15;
/// Fewer are no subscriber's number anywhere.
const DIGITS_MIN: usize = 8;

/// The way of telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// By e-mail.
    Email,
    /// By SMS.
    Sms,
}

impl Channel {
    /// Both.
    pub const ALL: [Channel; 2] = [Channel::Email, Channel::Sms];

    /// The word for it in keys, arguments and answers.
    pub fn word(self) -> &'static str {
        match self {
            Channel::Email => "email",
            Channel::Sms => "sms",
        }
    }

    /// The hours between two alerts that can be chosen (ALR-04, ALR-07).
    pub fn hours(self) -> [u32; 5] {
        match self {
            Channel::Email => [1, 12, 24, 36, 48],
            Channel::Sms => [2, 4, 6, 12, 24],
        }
    }
}

/// An address as it is kept: letters, digits and the marks of an atom (RFC 5322 §3.2.3), the domain in lower case. Quoted
/// local parts and address literals are not taken: nobody has such an address to be told at.
pub fn address(text: &str) -> Result<String, String> {
    let wrong = || "that is no e-mail address such as ada@example.com".to_owned();
    let (local, domain) = text.trim().rsplit_once('@').ok_or_else(wrong)?;
    let atom = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet);
    let dotted = |text: &str| text.split('.').all(|part| !part.is_empty() && part.bytes().all(atom));
    let label = |label: &str| {
        let fits = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let good = text.trim().len() <= ADDRESS_MAX
        && local.len() <= LOCAL_MAX
        && dotted(local)
        && domain.contains('.')
        && domain.split('.').all(label)
        && domain.rsplit('.').next().is_some_and(|top| top.bytes().any(|octet| octet.is_ascii_alphabetic()));
    if good { Ok(format!("{local}@{}", domain.to_ascii_lowercase())) } else { Err(wrong()) }
}

/// A number as it is kept: `+` and digits (E.164). Blanks, dots, dashes and brackets between them are taken away; `00` at
/// the beginning is the `+` of whoever dials from Italy.
pub fn number(text: &str, prefixes: &[String]) -> Result<String, String> {
    let wrong = || "that is no telephone number with its country, such as +393330000000".to_owned();
    let bare: String = text.chars().filter(|c| !matches!(c, ' ' | '.' | '-' | '(' | ')')).collect();
    let digits = bare.strip_prefix('+').or_else(|| bare.strip_prefix("00")).ok_or_else(wrong)?;
    let good = (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|octet| octet.is_ascii_digit())
        && !digits.starts_with('0');
    if !good {
        return Err(wrong());
    }
    let number = format!("+{digits}");
    if !prefixes.iter().any(|prefix| number.starts_with(prefix.as_str())) {
        return Err(format!("numbers must begin with {}", prefixes.join(" or ")));
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain() {
        assert_eq!(address(" Ada.L+x@Example.COM "), Ok("Ada.L+x@example.com".into()));
        for wrong in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@example",
            "ada@-x.com",
            "a..b@example.com",
            ".a@example.com",
            "\"a b\"@example.com",
            "ada@[127.0.0.1]",
            "ada@127.0.0.1",
            "ada@example.com\r\nBcc: x@y.zz",
            "a b@example.com",
            "ada@exa_mple.com",
            "perché@example.com",
            "a@b@example.com>",
        ] {
            assert!(address(wrong).is_err(), "{wrong:?}");
        }
        assert!(address(&format!("{}@example.com", "a".repeat(65))).is_err());
    }

    #[test]
    fn numbers_have_a_country_that_is_allowed() {
        let italy = ["+39".to_owned()];
        assert_eq!(number("+39 333 000-0000", &italy), Ok("+393330000000".into()));
        assert_eq!(number("0039 (06) 12345678", &italy), Ok("+390612345678".into()));
        for wrong in [
            "",
            "3330000000",
            "+39",
            "+39333",
            "+3933300000001234",
            "+39333000000a",
            "+0393330000000",
            "+441234567890",
            "+39;333000000",
        ] {
            assert!(number(wrong, &italy).is_err(), "{wrong:?}");
        }
        assert!(number("+441234567890", &italy).unwrap_err().contains("+39"));
        assert!(number("+441234567890", &["+".into()]).is_ok());
    }
}
