//! Addresses of the SMTP envelope, parsed once at the edge ([RFC 5321 §4.1.2]).
//!
//! The local part keeps its case and its quoting exactly as it came: only its own host may interpret it
//! ([RFC 5321 §2.4]). Domains are compared without regard to case and kept in lower case.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest local part, octets. RFC 5321 §4.5.3.1.1.
pub const LOCAL_PART_MAX: usize = 64;
/// Longest domain, octets. RFC 5321 §4.5.3.1.2.
pub const DOMAIN_MAX: usize = 255;
/// Longest path without its angle brackets, octets. RFC 5321 §4.5.3.1.3.
pub const PATH_MAX: usize = 254;

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@` separates a local part from a domain.
    #[error("the address has no '@'")]
    NoAt,
    /// The local part is empty, too long or has a character that RFC 5321 §4.1.2 does not allow.
    #[error("the part before '@' is not a valid local part")]
    LocalPart,
    /// The domain is empty, too long or has a malformed label.
    #[error("the part after '@' is not a valid domain")]
    Domain,
    /// The whole address is over [`PATH_MAX`] octets.
    #[error("the address is longer than {PATH_MAX} octets")]
    TooLong,
    /// The address has a byte outside ASCII; internationalised addresses (RFC 6531) are not offered.
    #[error("the address has a character outside ASCII")]
    NotAscii,
}

/// A domain name or an address literal, in lower case ([RFC 5321 §4.1.2], [§4.1.3]).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);

impl Domain {
    /// The name in lower case, without a trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is an address literal such as `[127.0.0.1]` (RFC 5321 §4.1.3).
    pub fn is_literal(&self) -> bool {
        self.0.starts_with('[')
    }
}

impl FromStr for Domain {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() || text.len() > DOMAIN_MAX {
            return Err(AddressError::Domain);
        }
        if let Some(inside) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            // RFC 5321 §4.1.3: the tag is a word of the grammar, so its case does not matter; kept as `IPv6:`.
            let tagged = inside.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")).map(|_| &inside[5..]);
            return match (tagged.unwrap_or(inside).parse::<std::net::IpAddr>(), tagged) {
                (Ok(ip), Some(_)) if ip.is_ipv6() => Ok(Domain(format!("[IPv6:{ip}]"))),
                (Ok(ip), None) if ip.is_ipv4() => Ok(Domain(format!("[{ip}]"))),
                _ => Err(AddressError::Domain),
            };
        }
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if text.split('.').all(label) { Ok(Domain(text.to_ascii_lowercase())) } else { Err(AddressError::Domain) }
    }
}

impl TryFrom<String> for Domain {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> String {
        domain.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `local-part@domain` ([RFC 5321 §2.3.11]): an address, not an IMAP folder.
///
/// Equality and hashing take the local part exactly and the domain without case; [`Mailbox::key`] is the form by
/// which a provider finds its own mailboxes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    local_part: String,
    domain: Domain,
}

impl Mailbox {
    /// The local part as it was written, with its quotes if it had any.
    pub fn local_part(&self) -> &str {
        &self.local_part
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The address in lower case: how local mailboxes are named and found (PEC practice compares addresses
    /// without case).
    pub fn key(&self) -> String {
        format!("{}@{}", self.local_part.to_ascii_lowercase(), self.domain)
    }

    /// Whether two addresses name the same mailbox when case is ignored.
    pub fn same_as(&self, other: &Mailbox) -> bool {
        self.domain == other.domain && self.local_part.eq_ignore_ascii_case(&other.local_part)
    }
}

impl FromStr for Mailbox {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if !text.is_ascii() {
            return Err(AddressError::NotAscii);
        }
        if text.len() > PATH_MAX {
            return Err(AddressError::TooLong);
        }
        // The last '@' separates: a quoted local part may hold others (RFC 5321 §4.1.2, Quoted-string).
        let (local_part, domain) = text.rsplit_once('@').ok_or(AddressError::NoAt)?;
        if !is_local_part(local_part) {
            return Err(AddressError::LocalPart);
        }
        Ok(Mailbox { local_part: local_part.to_owned(), domain: domain.parse()? })
    }
}

/// `Dot-string / Quoted-string` of RFC 5321 §4.1.2.
fn is_local_part(text: &str) -> bool {
    if text.is_empty() || text.len() > LOCAL_PART_MAX {
        return false;
    }
    if let Some(inside) = text.strip_prefix('"') {
        let Some(inside) = inside.strip_suffix('"') else { return false };
        if inside.is_empty() {
            return false; // `""@d` crashed others (CVE-2020-10967) and names nobody.
        }
        let mut escaped = false;
        for b in inside.bytes() {
            match (escaped, b) {
                (true, 0x20..=0x7e) => escaped = false,
                (false, b'\\') => escaped = true,
                (false, b'"') => return false,
                (false, 0x20..=0x7e) => {}
                _ => return false,
            }
        }
        return !escaped;
    }
    let atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atext))
}

impl TryFrom<String> for Mailbox {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Mailbox> for String {
    fn from(mailbox: Mailbox) -> String {
        mailbox.to_string()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain)
    }
}

/// The argument of MAIL: where reports of failure go ([RFC 5321 §4.1.2]). Null for reports themselves
/// ([§4.5.5]).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ReversePath {
    /// `<>`: nobody is to be told.
    Null,
    /// The sender's mailbox.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The mailbox, if there is one.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

impl FromStr for ReversePath {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() { Ok(ReversePath::Null) } else { text.parse().map(ReversePath::Mailbox) }
    }
}

impl TryFrom<String> for ReversePath {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<ReversePath> for String {
    fn from(path: ReversePath) -> String {
        path.to_string()
    }
}

/// The path without angle brackets; empty for the null path.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReversePath::Null => Ok(()),
            ReversePath::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_rfc_5321_allows() {
        for text in
            ["ada@alfa.example", "a.b+c@x", "\"a b\"@alfa.example", "\"a@b\"@x.y", "u@[127.0.0.1]", "u@[IPv6:::1]"]
        {
            assert_eq!(text.parse::<Mailbox>().map(|m| m.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn refuses_what_would_split_a_line_or_name_nobody() {
        for text in [
            "",
            "@",
            "a@",
            "@b",
            "a..b@c",
            ".a@c",
            "\"\"@d",
            "a\r\n@c",
            "a b@c",
            "a@b..c",
            "a@-b",
            "à@b.c",
            "a@[1.2.3]",
            "\"a\\\"@c",
        ] {
            assert!(text.parse::<Mailbox>().is_err(), "{text:?}");
        }
        assert!(format!("{}@x", "a".repeat(65)).parse::<Mailbox>().is_err());
    }

    #[test]
    fn domains_ignore_case_local_parts_do_not() {
        let a: Mailbox = "Ada@ALFA.example".parse().unwrap();
        let b: Mailbox = "ada@alfa.example".parse().unwrap();
        assert_ne!(a, b);
        assert!(a.same_as(&b));
        assert_eq!(a.key(), b.key());
    }
}
