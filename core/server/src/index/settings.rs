//! `trust.index` and `trust.own` of the configuration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use sigillo_mail::Mailbox;

use crate::config::Config;

/// Longest time between two fetches: the index must be taken daily ([PEC §4.5]).
const EVERY_MAX: Duration = Duration::from_secs(24 * 3600);
/// Shortest: below it the publisher is only burdened.
const EVERY_MIN: Duration = Duration::from_secs(10);
/// Share of providers or domains that one fetch may take away, in a hundred, where nothing else is said.
const SHRINK_PERCENT: u8 = 10;

/// Where the index of providers comes from, and what it must prove.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IndexSettings {
    /// A file, `https://…`, `ldaps://HOST[:PORT][/BASE]` or `ldap://…`; without a name and password.
    pub source: String,
    /// Time between two fetches.
    #[serde(default = "daily", deserialize_with = "duration")]
    pub every: Duration,
    /// Whether the index must be signed.
    #[serde(default = "yes")]
    pub signed: bool,
    /// By whom.
    #[serde(default)]
    pub signer: Option<SignerSettings>,
    /// PEM: roots for the TLS certificate of the source's server; those of `delivery.tls-anchors` if absent.
    #[serde(default)]
    pub tls_anchors: Option<PathBuf>,
    /// PEM: the certificate shown to that server.
    #[serde(default)]
    pub client_certificate: Option<PathBuf>,
    /// PEM, readable by the owner only.
    #[serde(default)]
    pub client_key: Option<PathBuf>,
    /// Share of providers, or of domains, that may vanish at once, in a hundred.
    #[serde(default = "shrink")]
    pub shrink_percent: u8,
}

/// Whose signature counts: exactly these certificates, or a name under these roots.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SignerSettings {
    /// PEM: the signer's certificate; several while it is renewed.
    #[serde(default)]
    pub certificates: Option<PathBuf>,
    /// PEM: roots.
    #[serde(default)]
    pub anchors: Option<PathBuf>,
    /// Subject of the signer's certificate under them, as `sigillo index verify` prints it.
    #[serde(default)]
    pub subject: Option<String>,
}

/// What this provider publishes of itself ([PEC §4.5.6]).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OwnSettings {
    /// `providerName`.
    pub provider_name: String,
    /// `providerUnit`, if this server is a second environment.
    #[serde(default)]
    pub provider_unit: Option<String>,
    /// `mailReceipt`.
    pub mail_receipt: String,
    /// `LDIFLocationURL`; not for a second environment ([PEC §4.5.6]).
    #[serde(default)]
    pub location_url: Option<String>,
    /// `description`.
    #[serde(default)]
    pub description: Option<String>,
    /// The key, by its name in `keys`, whose certificate is published and which signs what is published.
    pub key: String,
    /// PEM files: more certificates to publish, such as the next one before it is used.
    #[serde(default)]
    pub certificates: Vec<PathBuf>,
    /// Second environments that are published with the main one.
    #[serde(default)]
    pub environments: Vec<Environment>,
}

/// A second environment ([PEC §4.5.7]), with a `mailReceipt`, domains and certificates of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Environment {
    /// `providerUnit`.
    pub provider_unit: String,
    /// `mailReceipt`.
    pub mail_receipt: String,
    /// `managedDomains`: they are not among those of the main environment.
    pub domains: Vec<String>,
    /// PEM files: `providerCertificate`.
    pub certificates: Vec<PathBuf>,
    /// `description`.
    #[serde(default)]
    pub description: Option<String>,
}

fn daily() -> Duration {
    EVERY_MAX
}

fn yes() -> bool {
    true
}

fn shrink() -> u8 {
    SHRINK_PERCENT
}

/// `24h`, `90m`, `30s`.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    parsed.ok_or_else(|| serde::de::Error::custom(format!("'{text}' is no time such as 24h or 30m")))
}

/// Where an index can come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of this machine.
    File(PathBuf),
    /// An address.
    Https(String),
    /// A directory server.
    Ldap(Ldap),
}

/// A directory server (RFC 4516: `ldap://HOST[:PORT][/BASE]`, without attributes, scope and filter).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ldap {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS begins with the first byte.
    pub tls: bool,
    /// The entry below which all are taken.
    pub base: String,
}

impl Source {
    /// Reads a `source`; paths are taken as they stand.
    pub fn parse(text: &str) -> Result<Source, String> {
        let authority = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
        if authority.is_some_and(|authority| authority.contains('@')) {
            // The source stands in logs and in the evidence; for the same reason it is not repeated here.
            return Err("has a name or password before '@': it would stand in logs. Wants SCHEME://HOST[:PORT]/…; \
                        client-certificate and client-key say who asks"
                .into());
        }
        match text.split_once("://") {
            None if text.is_empty() => Err("is empty".into()),
            None => Ok(Source::File(text.into())),
            Some(("https", rest)) if !rest.starts_with('/') && !rest.is_empty() => Ok(Source::Https(text.to_owned())),
            Some((scheme @ ("ldap" | "ldaps"), rest)) => Ldap::parse(scheme == "ldaps", rest).map(Source::Ldap),
            Some(_) => Err(format!("'{text}' is no file, https://, ldaps:// or ldap:// address")),
        }
    }
}

impl Ldap {
    fn parse(tls: bool, rest: &str) -> Result<Ldap, String> {
        let (authority, base) = rest.split_once('/').unwrap_or((rest, ""));
        if base.contains(['?', '%']) {
            return Err("wants ldaps://HOST[:PORT][/BASE], without '?' and percent signs".into());
        }
        let bracketed = authority.starts_with('[').then(|| authority[1..].split_once(']')).flatten();
        let (host, port) = match bracketed {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(if tls { 636 } else { 389 }), |port| port.parse::<u16>());
        let port = port.map_err(|_| format!("'{authority}' has no port number"))?;
        if host.is_empty() {
            return Err("names no server".into());
        }
        let base = if base.is_empty() { sigillo_trust::directory::BASE } else { base };
        Ok(Ldap { host: host.into(), port, tls, base: base.into() })
    }
}

impl IndexSettings {
    /// What contradicts itself.
    pub fn check(&self) -> Result<(), String> {
        let source = Source::parse(&self.source).map_err(|problem| format!("trust.index.source {problem}"))?;
        if !(EVERY_MIN..=EVERY_MAX).contains(&self.every) {
            return Err("trust.index.every: wants 10s to 24h; the index must be taken daily".into());
        }
        if self.client_certificate.is_some() != self.client_key.is_some() {
            return Err("trust.index: client-certificate and client-key go together".into());
        }
        if self.shrink_percent > 100 {
            return Err("trust.index.shrink-percent: wants 0 to 100".into());
        }
        if self.signed && matches!(source, Source::Ldap(_)) {
            return Err("trust.index: a directory server signs nothing; say signed: false to take its word".into());
        }
        match (&self.signer, self.signed) {
            (None, true) => Err("trust.index.signer: is missing; or say signed: false".into()),
            (Some(_), false) => Err("trust.index: signer contradicts signed: false".into()),
            (Some(signer), true) => signer.check(),
            (None, false) => Ok(()),
        }
    }
}

impl SignerSettings {
    fn check(&self) -> Result<(), String> {
        match (&self.certificates, &self.anchors, &self.subject) {
            (Some(_), None, None) | (None, Some(_), Some(_)) => Ok(()),
            _ => Err("trust.index.signer: wants certificates, or anchors with subject".into()),
        }
    }
}

impl OwnSettings {
    /// What contradicts itself, or the rest of the configuration.
    pub fn check(&self, config: &Config) -> Result<(), String> {
        if !config.keys.contains_key(&self.key) {
            return Err(format!("trust.own.key: there is no key '{}' under keys", self.key));
        }
        let second = self.provider_unit.is_some();
        if second && (self.location_url.is_some() || !self.environments.is_empty()) {
            return Err(
                "trust.own: location-url and environments belong to the main environment (no provider-unit)".into()
            );
        }
        if self.location_url.as_ref().is_some_and(|url| !url.starts_with("https://")) {
            return Err("trust.own.location-url: wants an https:// address".into());
        }
        let addresses = self.environments.iter().map(|environment| &environment.mail_receipt);
        for address in addresses.chain([&self.mail_receipt]) {
            address.parse::<Mailbox>().map_err(|e| format!("trust.own: mail-receipt '{address}': {e}"))?;
        }
        Ok(())
    }
}

/// The file of a source, relative to the configuration's folder.
pub fn file(config: &Config, path: &Path) -> PathBuf {
    config.path(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ldap(host: &str, port: u16, tls: bool, base: &str) -> Source {
        Source::Ldap(Ldap { host: host.into(), port, tls, base: base.into() })
    }

    #[test]
    fn sources_are_told_apart() {
        for (text, expected) in [
            ("index.p7m", Source::File("index.p7m".into())),
            ("https://x.example/a", Source::Https("https://x.example/a".into())),
            ("ldaps://x.example", ldap("x.example", 636, true, "o=postacert")),
            ("ldap://127.0.0.1:1389/o=a,c=it", ldap("127.0.0.1", 1389, false, "o=a,c=it")),
            ("ldaps://[::1]:1636/", ldap("::1", 1636, true, "o=postacert")),
            ("ldaps://[::1]", ldap("::1", 636, true, "o=postacert")),
        ] {
            assert_eq!(Source::parse(text), Ok(expected), "{text}");
        }
        for text in
            ["", "http://x.example/a", "https://", "https:///a", "ftp://x", "ldap:///o=x", "ldap://x:y", "ldap://x/?a"]
        {
            assert!(Source::parse(text).is_err(), "{text}");
        }
        assert_eq!(Source::parse("https://x.example/a@b"), Ok(Source::Https("https://x.example/a@b".into())));
    }
}
