//! The index of certified-mail providers ([PEC §4.5]): which domains are certified, and whose a certificate is.
//!
//! The index is imported whole or not at all: one wrong entry is an error that names its line, and the copy in use
//! stays as it was.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use sha1::{Digest, Sha1};
use sigillo_mail::{Domain, Mailbox};

use crate::ldif::{Item, LdifError, Reader, write};

/// Longest index, octets: some twenty providers and a few hundred thousand domains of thirty octets come to a
/// tenth of it.
pub const INDEX_OCTETS_MAX: usize = 128 * 1024 * 1024;
/// Most entries; there have never been a hundred.
pub const PROVIDERS_MAX: usize = 4096;
/// The base under which all entries lie ([PEC §4.5]).
pub const BASE: &str = "o=postacert";

/// Why an index is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Longer than [`INDEX_OCTETS_MAX`].
    #[error("the index is longer than {INDEX_OCTETS_MAX} octets")]
    TooLong,
    /// A line, or the entry that begins there, is wrong.
    #[error("the index is wrong at {0}")]
    Entry(#[from] LdifError),
}

/// One entry of the index: a provider, or a second environment of one ([PEC §4.5.7]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provider {
    /// `providerName` ([PEC §4.5.3]).
    pub name: String,
    /// `providerUnit`: the name of a second environment; none for the main one.
    pub unit: Option<String>,
    /// `mailReceipt`: where receipts between providers go ([PEC §4.5.4]).
    pub mail_receipt: String,
    /// `managedDomains`, in lower case ([PEC §4.5.5]).
    pub managed_domains: Vec<Arc<str>>,
    /// `providerCertificate`, DER; several while one is renewed ([PEC §4.5.2]).
    pub certificates: Vec<Vec<u8>>,
    /// `LDIFLocationURL`: where the provider publishes its own part of the index ([PEC §4.5.6]).
    pub location_url: Option<String>,
    /// `description`.
    pub description: Option<String>,
    /// `modifyTimestamp`, where a directory server tells it (RFC 4512 §3.4): milliseconds since 1970, UTC. It is not
    /// written.
    pub modified: Option<u64>,
}

impl Provider {
    /// Whether the domain is one of `managedDomains`; case does not matter.
    pub fn manages(&self, domain: &str) -> bool {
        self.managed_domains.iter().any(|managed| managed.eq_ignore_ascii_case(domain))
    }

    /// `providerCertificateHash`: SHA-1 of each certificate, in lower-case hexadecimal ([PEC §4.5.1]).
    pub fn certificate_hashes(&self) -> impl Iterator<Item = String> {
        self.certificates.iter().map(|der| hex(&sha1(der)))
    }

    /// The entry's name (RFC 4514).
    fn distinguished_name(&self) -> String {
        let unit = self.unit.iter().map(|unit| format!("providerUnit={},", escape(unit))).collect::<String>();
        format!("{unit}providerName={},{BASE}", escape(&self.name))
    }
}

/// The whole index, searched by domain and by certificate.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    providers: Vec<Provider>,
    by_domain: HashMap<Arc<str>, u32>,
    by_hash: HashMap<[u8; 20], Vec<u32>>,
}

impl Directory {
    /// An index without entries: no domain is certified.
    pub fn empty() -> Directory {
        Directory::default()
    }

    /// Reads an index (RFC 2849, UTF-8). Entries that are no providers, such as the base, are passed over.
    pub fn from_ldif(text: &[u8]) -> Result<Directory, DirectoryError> {
        if text.len() > INDEX_OCTETS_MAX {
            return Err(DirectoryError::TooLong);
        }
        let mut directory = Directory::empty();
        let mut entry = Entry::default();
        for item in Reader::new(text) {
            match item? {
                Item::Attribute { line, name, value } => entry.take(line, &name, &value)?,
                Item::EndOfRecord => {
                    let entry = std::mem::take(&mut entry);
                    let line = entry.line;
                    if let Some(provider) = entry.finish()? {
                        directory.add(line, provider)?;
                    }
                }
            }
        }
        Ok(directory)
    }

    /// An index of these entries; an error names the number of the entry, from 1, as its line.
    pub fn from_providers(providers: impl IntoIterator<Item = Provider>) -> Result<Directory, DirectoryError> {
        let mut directory = Directory::empty();
        for (index, provider) in providers.into_iter().enumerate() {
            let line = index + 1;
            check(line, &provider)?;
            directory.add(line, provider)?;
        }
        Ok(directory)
    }

    /// Enters a checked provider; a domain has one provider only, or it could not be said who answers for it.
    fn add(&mut self, line: usize, provider: Provider) -> Result<(), LdifError> {
        if self.providers.len() >= PROVIDERS_MAX {
            return Err(LdifError::new(line, format!("more than {PROVIDERS_MAX} entries")));
        }
        let place = self.providers.len() as u32;
        for domain in &provider.managed_domains {
            if let Some(other) = self.by_domain.insert(domain.clone(), place) {
                let other = self.providers.get(other as usize).map_or(provider.name.as_str(), |p| p.name.as_str());
                return Err(LdifError::new(line, format!("{domain} is already managed by {other}")));
            }
        }
        for der in &provider.certificates {
            self.by_hash.entry(sha1(der)).or_default().push(place);
        }
        self.providers.push(provider);
        Ok(())
    }

    /// The entries, in the order of the index.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// Whether any provider manages this domain, exactly; case does not matter.
    pub fn is_certified(&self, domain: &str) -> bool {
        self.find_by_domain(domain).is_some()
    }

    /// The provider that manages this domain. Domains below a managed one are not managed by it.
    pub fn find_by_domain(&self, domain: &str) -> Option<&Provider> {
        let place = self.by_domain.get(domain.to_ascii_lowercase().as_str())?;
        self.providers.get(*place as usize)
    }

    /// The provider to which this certificate (DER) belongs. SHA-1 only finds the entry; the certificate itself is
    /// compared, because other certificates with the same SHA-1 can be made.
    pub fn find_by_certificate(&self, der: &[u8]) -> Option<&Provider> {
        let places = self.by_hash.get(&sha1(der))?;
        let mut candidates = places.iter().filter_map(|place| self.providers.get(*place as usize));
        candidates.find(|provider| provider.certificates.iter().any(|own| own == der))
    }

    /// Writes the index, as [`Directory::from_ldif`] reads it.
    pub fn to_ldif(&self) -> String {
        let mut out = String::from("version: 1\n\n");
        for (name, value) in [("dn", BASE), ("objectClass", "top"), ("objectClass", "organization"), ("o", "postacert")]
        {
            write(&mut out, name, value.as_bytes());
        }
        self.write_entries(out)
    }

    /// Writes the entries alone, without the base: what a provider publishes of itself ([PEC §4.5.6]).
    pub fn entries_to_ldif(&self) -> String {
        self.write_entries(String::from("version: 1\n"))
    }

    fn write_entries(&self, mut out: String) -> String {
        for provider in &self.providers {
            out.push('\n');
            write_provider(&mut out, provider);
        }
        out
    }
}

fn write_provider(out: &mut String, provider: &Provider) {
    write(out, "dn", provider.distinguished_name().as_bytes());
    write(out, "objectClass", b"top");
    write(out, "objectClass", b"provider");
    if provider.location_url.is_some() {
        write(out, "objectClass", b"LDIFLocationURLObject");
    }
    write(out, "providerName", provider.name.as_bytes());
    let optional = [
        ("providerUnit", &provider.unit),
        ("description", &provider.description),
        ("LDIFLocationURL", &provider.location_url),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            write(out, name, value.as_bytes());
        }
    }
    write(out, "mailReceipt", provider.mail_receipt.as_bytes());
    for domain in &provider.managed_domains {
        write(out, "managedDomains", domain.as_bytes());
    }
    for (hash, der) in provider.certificate_hashes().zip(&provider.certificates) {
        write(out, "providerCertificateHash", hash.as_bytes());
        write(out, "providerCertificate;binary", der);
    }
}

/// An entry while its attributes come in.
#[derive(Default)]
struct Entry {
    /// Line of its `dn`; 0 before it.
    line: usize,
    is_provider: bool,
    hashes: Vec<(usize, String)>,
    provider: Provider,
}

impl Entry {
    /// Takes one attribute; names and hashes are compared without case ([PEC §4.5.1]).
    fn take(&mut self, line: usize, name: &str, value: &[u8]) -> Result<(), LdifError> {
        if (self.line == 0) != (name == "dn") {
            return Err(LdifError::new(line, "an entry begins with its dn and has no other"));
        }
        if name == "providercertificate" {
            self.provider.certificates.push(value.to_vec());
            return Ok(());
        }
        let text = std::str::from_utf8(value).map_err(|_| LdifError::new(line, format!("{name} is not UTF-8")));
        // Blanks at either end do not count where values are compared (RFC 4518 §2.6.1).
        let word = text.as_ref().map(|text| text.trim_matches(' ')).map_err(Clone::clone);
        let provider = &mut self.provider;
        match name {
            "dn" => self.line = line,
            "objectclass" => self.is_provider |= word?.eq_ignore_ascii_case("provider"),
            "providername" => single(line, name, &mut provider.name, text?)?,
            "providerunit" => single(line, name, provider.unit.get_or_insert_default(), text?)?,
            "mailreceipt" => single(line, name, &mut provider.mail_receipt, word?)?,
            "ldiflocationurl" => single(line, name, provider.location_url.get_or_insert_default(), text?)?,
            "description" => provider.description = Some(text?.to_string()),
            "manageddomains" => provider.managed_domains.push(managed_domain(line, word?)?),
            "modifytimestamp" => provider.modified = word.ok().and_then(generalized_time),
            "providercertificatehash" => self.hashes.push((line, word?.to_ascii_lowercase())),
            _ => {}
        }
        Ok(())
    }

    /// The provider, if the entry is one.
    fn finish(self) -> Result<Option<Provider>, LdifError> {
        if !self.is_provider {
            return Ok(None);
        }
        check(self.line, &self.provider)?;
        let certificates: Vec<String> = self.provider.certificate_hashes().collect();
        for (line, hash) in &self.hashes {
            if !certificates.contains(hash) {
                return Err(LdifError::new(*line, "no certificate of the entry has this hash"));
            }
        }
        if let Some(missing) = certificates.iter().find(|hash| !self.hashes.iter().any(|(_, h)| h == *hash)) {
            return Err(LdifError::new(self.line, format!("there is no providerCertificateHash {missing}")));
        }
        Ok(Some(self.provider))
    }
}

/// What every entry must have (object class `provider`, [PEC §4.5.9]).
fn check(line: usize, provider: &Provider) -> Result<(), LdifError> {
    let missing = |what: &str| Err(LdifError::new(line, format!("the entry has no {what}")));
    if provider.name.is_empty() {
        return missing("providerName");
    }
    if provider.managed_domains.is_empty() {
        return missing("managedDomains");
    }
    if provider.certificates.is_empty() {
        return missing("providerCertificate");
    }
    for domain in &provider.managed_domains {
        if managed_domain(line, domain)? != *domain {
            return Err(LdifError::new(line, format!("{domain} is not in lower case")));
        }
    }
    match provider.mail_receipt.parse::<Mailbox>() {
        Ok(_) => Ok(()),
        Err(e) => Err(LdifError::new(line, format!("mailReceipt of the entry: {e}"))),
    }
}

fn managed_domain(line: usize, text: &str) -> Result<Arc<str>, LdifError> {
    match text.parse::<Domain>() {
        Ok(domain) if !domain.is_literal() => Ok(domain.as_str().into()),
        _ => Err(LdifError::new(line, "managedDomains is not a domain name")),
    }
}

/// Sets an attribute that may be there once.
fn single(line: usize, name: &str, place: &mut String, value: &str) -> Result<(), LdifError> {
    if value.is_empty() || !place.is_empty() {
        return Err(LdifError::new(line, format!("{name} is empty or there twice")));
    }
    place.push_str(value);
    Ok(())
}

/// `20260131120000Z`, with or without a fraction that does not matter here (RFC 4517 §3.3.13); other forms tell
/// nothing.
fn generalized_time(text: &str) -> Option<u64> {
    let (digits, rest) = text.split_at_checked(14)?;
    let zone = rest.trim_start_matches(|c: char| c == '.' || c == ',' || c.is_ascii_digit());
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", digits).ok()?;
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).ok().filter(|_| zone == "Z")?;
    u64::try_from(zoned.timestamp().as_millisecond()).ok()
}

fn sha1(octets: &[u8]) -> [u8; 20] {
    Sha1::digest(octets).into()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, b| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{b:02x}");
        text
    })
}

/// An attribute value within a distinguished name (RFC 4514 §2.4).
fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::new();
    for (i, c) in value.chars().enumerate() {
        let edge = (i == 0 && matches!(c, ' ' | '#')) || (i == last && c == ' ');
        if c == '\0' {
            out.push_str("\\00");
            continue;
        }
        if edge || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests;
