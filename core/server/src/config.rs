//! The server's configuration, `sigillo.yaml`. Every key stands with its default in `config/sigillo.yaml`.

mod authentication;
mod keys;
mod offers;
mod revocation;
mod scanners;
mod smpp;
mod targets;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use sigillo_delivery::{Route, Schedule, Security};

use crate::index::settings::{IndexSettings, OwnSettings};
pub use authentication::Authentication;
pub use keys::{Key, KeyEntries, Token};
pub use offers::Offer;
pub use revocation::{Ocsp, Revocation};
pub use scanners::{ScannerConfig, ScannerProtocol};
pub use smpp::SmppConfig;
pub use targets::{AnswerWord, HttpAuth, HttpConfig, TargetConfig, TargetLimits};

/// Largest message by default, octets (QUO-06: 100 MB in every offer).
pub const MESSAGE_SIZE: u64 = 100 * 1024 * 1024;

/// Days in quarantine by default: the 30 months that the rules ask for infected messages (AV-04, PEC §2.2.4), the
/// longest there are (July 2026 to January 2029).
pub const QUARANTINE_DAYS: u64 = 915;
/// Days of history of multi-user mailboxes by default: as long as the message log, 30 months (LOG-09).
pub const HISTORY_DAYS: u64 = 915;
/// Most days: a century.
const DAYS_MAX: u64 = 36_525;

/// What is wrong with a configuration, in words for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The name that the server gives itself in greetings and trace fields.
    pub hostname: String,
    /// Where queue, mailboxes and evidence are kept.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// Where `NAME.wasm` and `NAME.plugin.yaml` lie.
    #[serde(default = "default_plugins_dir")]
    pub plugins_dir: PathBuf,
    /// The policy.
    pub policy: PathBuf,
    /// What to listen to.
    pub listeners: Vec<Listener>,
    /// The endpoint of `/metrics` and `/healthz`.
    #[serde(default)]
    pub metrics: Option<Metrics>,
    /// The certificate of the listeners.
    pub tls: Tls,
    /// Signing keys by name.
    #[serde(default)]
    pub keys: std::collections::BTreeMap<String, KeyEntries>,
    /// Whom to believe about certified mail.
    #[serde(default)]
    pub trust: Trust,
    /// Scanners for viruses, by the names that policies grant to plugins.
    #[serde(default)]
    pub scanners: std::collections::BTreeMap<String, ScannerConfig>,
    /// Whom the outbox asks, by the names that policies grant to plugins.
    #[serde(default)]
    pub targets: std::collections::BTreeMap<String, TargetConfig>,
    /// How the senders of mail from other servers are checked; not at all if absent.
    #[serde(default)]
    pub authentication: Option<Authentication>,
    /// What mailboxes are made by, by name; those of the configuration come before the built-in ones.
    #[serde(default)]
    pub offers: std::collections::BTreeMap<String, Offer>,
    /// How mail leaves.
    #[serde(default)]
    pub delivery: Delivery,
    /// How the message log is kept.
    #[serde(default)]
    pub evidence: crate::evidence::settings::Evidence,
    /// Contracts, first passwords, deletion.
    #[serde(default)]
    pub provisioning: sigillo_provisioning::Settings,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// The operator's log.
    #[serde(default)]
    pub log: Log,
    /// The folder of the file: relative paths begin here.
    #[serde(skip)]
    pub base: PathBuf,
}

/// One listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Listener {
    /// What is spoken.
    pub protocol: Protocol,
    /// Address and port.
    pub address: SocketAddr,
    /// When TLS begins.
    pub tls: TlsMode,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// SMTP from users, with authentication (RFC 6409).
    Submission,
    /// SMTP from other servers (RFC 5321).
    Relay,
    /// IMAP4rev1 (RFC 3501).
    Imap,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// With the first byte (RFC 8314).
    Implicit,
    /// At the client's STARTTLS.
    Starttls,
}

/// The endpoint for monitoring.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Metrics {
    /// Address and port; it has no authentication, so keep it on loopback or a closed network.
    pub address: SocketAddr,
}

/// A certificate with its key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// PEM, the leaf first.
    pub certificate: PathBuf,
    /// PEM, readable by the owner only.
    pub key: PathBuf,
}

/// Whom to believe about certified mail.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trust {
    /// PEM: the roots of the providers' signing certificates.
    #[serde(default)]
    pub anchors: Option<PathBuf>,
    /// LDIF: the index of providers as a file of the operator's own.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// The index of providers as its publisher gives it out.
    #[serde(default)]
    pub index: Option<IndexSettings>,
    /// What this provider publishes of itself.
    #[serde(default)]
    pub own: Option<OwnSettings>,
    /// PEM: revocation lists of every authority between those certificates and the roots, which the operator renews.
    #[serde(default)]
    pub revocation_lists: Option<PathBuf>,
    /// Lists and answers of responders that the server fetches.
    #[serde(default)]
    pub revocation: Option<Revocation>,
    /// Whether signatures and certificates made with SHA-1 count; true if absent.
    #[serde(default)]
    pub accept_sha1: Option<bool>,
}

impl Trust {
    fn check(&self, config: &Config) -> Result<(), String> {
        if self.directory.is_some() && self.index.is_some() {
            return Err("trust: directory and index are two sources of one thing; keep one".into());
        }
        self.revocation.iter().try_for_each(Revocation::check)?;
        self.index.as_ref().map_or(Ok(()), IndexSettings::check)?;
        self.own.as_ref().map_or(Ok(()), |own| own.check(config))
    }
}

/// How mail leaves.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Delivery {
    /// PEM: roots for other servers' TLS certificates.
    #[serde(default)]
    pub tls_anchors: Option<PathBuf>,
    /// Routes that come before MX look-ups.
    #[serde(default)]
    pub routes: Vec<RouteConfig>,
    /// Seconds between attempts; the last one repeats.
    #[serde(default)]
    pub retry: Option<Vec<u64>>,
    /// Hours until giving up.
    #[serde(default)]
    pub expire_hours: Option<u64>,
}

/// One route.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RouteConfig {
    /// The domain; `*` for every domain without a route of its own.
    pub domain: String,
    /// `host:port`.
    pub to: String,
    /// The name that the certificate must show; the host of `to` if absent.
    #[serde(default)]
    pub server_name: Option<String>,
    /// What the connection must be.
    #[serde(default = "default_route_tls")]
    pub tls: RouteTls,
}

/// What the connection of a route must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteTls {
    /// TLS with a verified certificate.
    Required,
    /// TLS where offered.
    Opportunistic,
    /// In clear.
    None,
}

/// Bounds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// Octets of one message.
    pub message_size: u64,
    /// Sessions at once over all listeners; more wait in the kernel.
    pub sessions: usize,
    /// Queue entries worked on at once, and deliveries at once to each next hop.
    pub dispatch: usize,
    /// Days that a message stays in quarantine, at least and not much longer.
    pub quarantine_days: u64,
    /// Days that the history of messages of multi-user mailboxes is kept.
    pub history_days: u64,
    /// Percentages of a mailbox's quota at which its holder is told, ascending.
    pub quota_warnings: Vec<u8>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_size: MESSAGE_SIZE,
            sessions: 10_000,
            dispatch: 32,
            quarantine_days: QUARANTINE_DAYS,
            history_days: HISTORY_DAYS,
            quota_warnings: vec![80, 95],
        }
    }
}

/// The operator's log, on standard error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,sigillo_smtp=debug`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Log {
        Log { format: LogFormat::Text, level: "info".into() }
    }
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// A line a record.
    Text,
    /// A JSON object a record.
    Json,
}

fn default_data_dir() -> PathBuf {
    "data".into()
}

fn default_plugins_dir() -> PathBuf {
    "plugins".into()
}

fn default_route_tls() -> RouteTls {
    RouteTls::Opportunistic
}

impl Config {
    /// Reads and checks a file; the error names the place.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = read(path)?;
        let mut config: Config =
            serde_saphyr::from_str(&text).map_err(|error| ConfigError(format!("{}: {error}", path.display())))?;
        config.base = path.parent().map(Path::to_owned).unwrap_or_default();
        config.check().map_err(|problem| ConfigError(format!("{}: {problem}", path.display())))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        self.hostname.parse::<sigillo_mail::Domain>().map_err(|e| format!("hostname '{}': {e}", self.hostname))?;
        if self.listeners.is_empty() {
            return Err("listeners: there is none, so nobody could reach the server".into());
        }
        for (index, listener) in self.listeners.iter().enumerate() {
            if self.listeners[..index].iter().any(|other| other.address == listener.address) {
                return Err(format!("listeners: {} stands there twice", listener.address));
            }
        }
        self.keys.iter().try_for_each(|(name, entries)| entries.check(name))?;
        for route in &self.delivery.routes {
            if route.domain != "*" {
                route.domain.parse::<sigillo_mail::Domain>().map_err(|e| format!("route '{}': {e}", route.domain))?;
            }
            if !route.to.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
                return Err(format!("route '{}': '{}' is not HOST:PORT", route.domain, route.to));
            }
        }
        if self.delivery.retry.as_ref().is_some_and(|retry| !targets::are_waits(retry)) {
            let most = targets::RETRY_WAIT_MAX;
            return Err(format!("delivery.retry: wants at least one wait, each of 1 to {most} seconds"));
        }
        self.trust.check(self)?;
        self.evidence.check()?;
        self.authentication.as_ref().map_or(Ok(()), Authentication::check)?;
        self.provisioning.check()?;
        if !(1024..=4 * 1024 * 1024 * 1024).contains(&self.limits.message_size) {
            return Err("limits.message-size: wants 1 KiB to 4 GiB, in octets".into());
        }
        if !(1..=DAYS_MAX).contains(&self.limits.quarantine_days) {
            return Err(format!("limits.quarantine-days: wants 1 to {DAYS_MAX}"));
        }
        if !(1..=DAYS_MAX).contains(&self.limits.history_days) {
            return Err(format!("limits.history-days: wants 1 to {DAYS_MAX}"));
        }
        let marks = &self.limits.quota_warnings;
        if !marks.is_sorted_by(|a, b| a < b) || marks.iter().any(|mark| !(1..=100).contains(mark)) {
            return Err("limits.quota-warnings: wants percentages from 1 to 100, ascending".into());
        }
        offers::check(&self.offers).map_err(|problem| format!("offers.{problem}"))?;
        for (name, scanner) in &self.scanners {
            scanner.check().map_err(|problem| format!("scanners.{name}: {problem}"))?;
        }
        for (name, target) in &self.targets {
            if !sigillo_policy::is_identifier(name) {
                return Err(format!(
                    "targets: '{name}' is no name: lower-case letters, digits and '-', a letter first"
                ));
            }
            target.check().map_err(|problem| format!("targets.{name}: {problem}"))?;
        }
        self.check_text_messages().map_err(|problem| format!("provisioning.text-messages.target: {problem}"))?;
        if self.limits.sessions == 0 || self.limits.dispatch == 0 {
            return Err("limits: sessions and dispatch must be at least 1".into());
        }
        Ok(())
    }

    /// Whether codes for lost passwords have a target that takes them to telephones.
    fn check_text_messages(&self) -> Result<(), String> {
        let Some(gateway) = &self.provisioning.text_messages else { return Ok(()) };
        let name = &gateway.target;
        match self.targets.get(name) {
            Some(TargetConfig::Http(_) | TargetConfig::Smpp(_)) => Ok(()),
            Some(_) => Err(format!("target '{name}' sends no text messages: name one that speaks http or smpp")),
            None if self.targets.is_empty() => Err(format!("there is no target '{name}': 'targets' is empty")),
            None => {
                let names = self.targets.keys().cloned().collect::<Vec<_>>().join(", ");
                Err(format!("there is no target '{name}' in 'targets', which has: {names}"))
            }
        }
    }

    /// What a server with certified domains must keep to besides: infected messages stay thirty months (PEC §2.2.4).
    pub fn check_certified(&self) -> Result<(), ConfigError> {
        match self.limits.quarantine_days {
            days if days < QUARANTINE_DAYS => Err(ConfigError(format!(
                "limits.quarantine-days: {days}, but infected certified mail is kept 30 months: {QUARANTINE_DAYS} or more"
            ))),
            _ => Ok(()),
        }
    }

    /// A path of the file, relative to its folder.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path).components().collect()
    }

    /// The folder of the store.
    pub fn data_dir(&self) -> PathBuf {
        self.path(&self.data_dir)
    }

    /// The routes as the router wants them.
    pub fn routes(&self) -> Vec<Route> {
        let route = |route: &RouteConfig| Route {
            domain: route.domain.parse().ok(),
            to: route.to.clone(),
            server_name: route.server_name.clone(),
            security: match route.tls {
                RouteTls::Required => Security::Required,
                RouteTls::Opportunistic => Security::Opportunistic,
                RouteTls::None => Security::None,
            },
        };
        self.delivery.routes.iter().map(route).collect()
    }

    /// When to try again and when to give up.
    pub fn schedule(&self) -> Schedule {
        let default = Schedule::default();
        Schedule {
            waits: match &self.delivery.retry {
                Some(seconds) => seconds.iter().copied().map(Duration::from_secs).collect(),
                None => default.waits,
            },
            expire: self.delivery.expire_hours.map_or(default.expire, |hours| Duration::from_secs(hours * 3600)),
        }
    }
}

/// A file's text, with an error that names it.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| ConfigError(format!("{}: {error}", path.display())))
}

/// A file's bytes, with an error that names it.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|error| ConfigError(format!("{}: {error}", path.display())))
}

/// A secret file's bytes; refused if others than the owner may read it.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, ConfigError> {
    use std::os::unix::fs::PermissionsExt;
    let mode =
        std::fs::metadata(path).map_err(|e| ConfigError(format!("{}: {e}", path.display())))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(ConfigError(format!(
            "{}: others may read this key (mode {:o}); run: chmod 600 {0}",
            path.display(),
            mode & 0o777
        )));
    }
    read_bytes(path)
}
