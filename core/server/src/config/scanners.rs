//! `scanners:` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use sigillo_delivery::scan::{Address, Protocol, ScannerOptions};

use super::Config;

/// Seconds for one scan by default: what a scanner of today needs for the largest message, several times over.
const TIMEOUT: u64 = 60;
/// Most seconds: the wait for the reply to DATA ends after 600 (RFC 5321 §4.5.3.2.6).
const TIMEOUT_MAX: u64 = 600;
/// Connections at once by default: clamd answers ten at once unless it is told otherwise (`MaxThreads`).
const CONNECTIONS: usize = 8;
/// Most connections.
const CONNECTIONS_MAX: usize = 1000;

/// One scanner.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScannerConfig {
    /// What it speaks.
    pub protocol: ScannerProtocol,
    /// `host:port`, or the path of a socket.
    pub address: String,
    /// Path of the service; ICAP only.
    #[serde(default)]
    pub service: Option<String>,
    /// Seconds for one scan.
    #[serde(default = "default_timeout")]
    pub timeout: u64,
    /// Octets of content at most; the largest message if absent.
    #[serde(default)]
    pub size_max: Option<u64>,
    /// Scans at once.
    #[serde(default = "default_connections")]
    pub connections: usize,
}

/// What a scanner speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScannerProtocol {
    /// ClamAV's daemon.
    Clamd,
    /// ICAP (RFC 3507).
    Icap,
    /// Rspamd's normal worker.
    Rspamd,
    /// SpamAssassin's daemon.
    Spamd,
}

fn default_timeout() -> u64 {
    TIMEOUT
}

fn default_connections() -> usize {
    CONNECTIONS
}

impl ScannerConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let tcp = |address: &str| {
            address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        let path = self.address.starts_with('/');
        if !path && !tcp(&self.address) {
            return Err(format!("address '{}' is neither HOST:PORT nor the path of a socket", self.address));
        }
        match (self.protocol, &self.service) {
            (ScannerProtocol::Icap, _) if path => return Err("icap wants an address HOST:PORT".into()),
            (ScannerProtocol::Icap, None) => return Err("icap wants 'service', the path of the service".into()),
            (ScannerProtocol::Icap, Some(service)) if !is_service(service) => {
                return Err(format!("service '{service}' is not the path of a service, such as avscan"));
            }
            (ScannerProtocol::Icap, Some(_)) | (_, None) => {}
            (_, Some(_)) => return Err("'service' is for icap only".into()),
        }
        if !(1..=TIMEOUT_MAX).contains(&self.timeout) {
            return Err(format!("timeout wants 1 to {TIMEOUT_MAX} seconds"));
        }
        if self.size_max == Some(0) {
            return Err("size-max wants at least 1 octet".into());
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            return Err(format!("connections wants 1 to {CONNECTIONS_MAX}"));
        }
        Ok(())
    }
}

/// Letters of a URI's path and query: it stands in a request line.
fn is_service(text: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~/?=&%".contains(&octet);
    !text.is_empty() && !text.starts_with('/') && text.bytes().all(fits)
}

impl Config {
    /// The scanners as the delivery crate wants them.
    pub fn scanner_options(&self) -> Vec<ScannerOptions> {
        let options = |(name, scanner): (&String, &ScannerConfig)| ScannerOptions {
            name: name.clone(),
            protocol: match scanner.protocol {
                ScannerProtocol::Clamd => Protocol::Clamd,
                ScannerProtocol::Icap => Protocol::Icap { service: scanner.service.clone().unwrap_or_default() },
                ScannerProtocol::Rspamd => Protocol::Rspamd,
                ScannerProtocol::Spamd => Protocol::Spamd,
            },
            address: match scanner.address.starts_with('/') {
                true => Address::Unix(PathBuf::from(&scanner.address)),
                false => Address::Tcp(scanner.address.clone()),
            },
            timeout: Duration::from_secs(scanner.timeout),
            size_max: scanner.size_max.unwrap_or(self.limits.message_size),
            connections: scanner.connections,
        };
        self.scanners.iter().map(options).collect()
    }
}
