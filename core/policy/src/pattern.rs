//! Addresses as grants name them: one, or all that begin and end in a certain way.

use std::str::FromStr;

use sigillo_mail::{Domain, Mailbox};

/// An address, or with one `*` in the local part every address that has anything in its place. The domain is always one
/// domain, and `*` alone is not enough: a plugin never gets a whole domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressPattern {
    /// In lower case.
    prefix: String,
    /// What follows the `*`, in lower case; none: `prefix` is the whole local part.
    suffix: Option<String>,
    domain: Domain,
}

impl AddressPattern {
    /// Whether an address is one of these. Case does not matter: addresses of mailboxes are compared so too.
    pub fn matches(&self, address: &Mailbox) -> bool {
        if *address.domain() != self.domain {
            return false;
        }
        let local_part = address.local_part().to_ascii_lowercase();
        match &self.suffix {
            None => local_part == self.prefix,
            // Something stands in the place of the star.
            Some(suffix) => local_part
                .strip_prefix(self.prefix.as_str())
                .and_then(|rest| rest.strip_suffix(suffix.as_str()))
                .is_some_and(|middle| !middle.is_empty()),
        }
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }
}

impl FromStr for AddressPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<AddressPattern, String> {
        // A star is a character of a local part (RFC 5321 §4.1.2, RFC 5322 §3.2.3); here it is never meant as one.
        let address: Mailbox = text.parse().map_err(|error: sigillo_mail::AddressError| error.to_string())?;
        let (local_part, domain) = (address.local_part().to_ascii_lowercase(), address.domain().clone());
        let Some((prefix, suffix)) = local_part.split_once('*') else {
            return Ok(AddressPattern { prefix: local_part, suffix: None, domain });
        };
        if suffix.contains('*') {
            return Err("a '*' stands there twice".into());
        }
        if local_part.starts_with('"') {
            return Err("a '*' cannot stand in a quoted local part".into());
        }
        if prefix.is_empty() {
            return Err("something must stand before the '*'".into());
        }
        Ok(AddressPattern { prefix: prefix.into(), suffix: Some(suffix.into()), domain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, address: &str) -> bool {
        pattern.parse::<AddressPattern>().unwrap().matches(&address.parse().unwrap())
    }

    #[test]
    fn a_pattern_is_one_address_or_those_around_its_star() {
        assert!(matches("inoltro@fwd.alfa.example", "Inoltro@FWD.alfa.example"));
        assert!(!matches("inoltro@fwd.alfa.example", "inoltro2@fwd.alfa.example"));
        assert!(matches("SRS0=*@fwd.alfa.example", "srs0=AbC=xy=forward=h@fwd.alfa.example"));
        assert!(matches("a*z@b.example", "amz@b.example"));
        for address in ["SRS0=@fwd.alfa.example", "xSRS0=1@fwd.alfa.example", "SRS1=1@fwd.alfa.example"] {
            assert!(!matches("SRS0=*@fwd.alfa.example", address), "{address}");
        }
        assert!(!matches("SRS0=*@fwd.alfa.example", "SRS0=1@alfa.example"));
        assert!(!matches("SRS0=*@fwd.alfa.example", "SRS0=1@sub.fwd.alfa.example"));
        assert!(!matches("aa*aa@b.example", "aaa@b.example"), "prefix and suffix do not overlap");
    }

    #[test]
    fn a_pattern_never_takes_a_whole_domain() {
        for text in ["*@b.example", "*x@b.example", "a*@*.example", "a*@*", "a*b*@b.example", "\"a*\"@b.example", "a*"]
        {
            assert!(text.parse::<AddressPattern>().is_err(), "{text}");
        }
    }
}
