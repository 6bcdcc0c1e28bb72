//! Where an edition comes from, and fetching it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sigillo_delivery::http::{Bounds, HttpClient};
use sigillo_trust::directory::INDEX_OCTETS_MAX;
use sigillo_trust::{Anchors, IndexSigner, Tolerance};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::ldap;
use super::settings::{IndexSettings, Ldap, SignerSettings, Source};
use crate::config::{Config, ConfigError, read_bytes, read_secret};

/// Longest time for one fetch: an index of the greatest length at 200 KiB/s.
const FETCH_TIME: Duration = Duration::from_secs(600);
/// How long a connection may take to be there.
const CONNECT_TIME: Duration = Duration::from_secs(30);

/// What the configuration says of the index, with the files that it names read.
pub struct Plan {
    /// Where it is.
    pub source: Source,
    /// The source in the operator's words.
    pub name: String,
    /// Whose signature it must bear; none if it needs none.
    pub signer: Option<IndexSigner>,
    /// What a new edition may differ in.
    pub tolerance: Tolerance,
    /// Time between two fetches.
    pub every: Duration,
    /// Whether the file is the operator's own (`trust.directory`): what it says is meant, however much of it is gone.
    pub own_file: bool,
    tls: Option<Arc<ClientConfig>>,
    shows_certificate: bool,
}

impl Plan {
    /// None if the configuration names no index.
    pub fn load(config: &Config) -> Result<Option<Plan>, ConfigError> {
        match (&config.trust.directory, &config.trust.index) {
            (Some(path), _) => Ok(Some(Plan::own(config.path(path)))),
            (None, Some(settings)) => Plan::of(config, settings).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn own(path: PathBuf) -> Plan {
        Plan {
            name: path.display().to_string(),
            source: Source::File(path),
            signer: None,
            tolerance: Tolerance { shrink: None, older: true },
            every: Duration::from_secs(24 * 3600),
            own_file: true,
            tls: None,
            shows_certificate: false,
        }
    }

    fn of(config: &Config, settings: &IndexSettings) -> Result<Plan, ConfigError> {
        let source = match Source::parse(&settings.source).map_err(ConfigError)? {
            Source::File(path) => Source::File(config.path(&path)),
            other => other,
        };
        Ok(Plan {
            name: match &source {
                Source::File(path) => path.display().to_string(),
                _ => settings.source.clone(),
            },
            tls: match &source {
                Source::File(_) | Source::Ldap(Ldap { tls: false, .. }) => None,
                _ => Some(tls(config, settings)?),
            },
            signer: settings.signer.as_ref().map(|signer| load_signer(config, signer)).transpose()?,
            tolerance: Tolerance { shrink: Some(settings.shrink_percent), older: false },
            every: settings.every,
            own_file: false,
            shows_certificate: settings.client_certificate.is_some(),
            source,
        })
    }

    /// Whether the source is a file of this machine.
    pub fn file(&self) -> Option<&Path> {
        match &self.source {
            Source::File(path) => Some(path),
            _ => None,
        }
    }

    /// What the source has now. The words of an error are for the operator.
    pub async fn fetch(&self) -> Result<Vec<u8>, String> {
        let fetch = async {
            match &self.source {
                Source::File(path) => read_index(path).await,
                Source::Https(url) => self.get(url).await,
                Source::Ldap(server) => self.search(server).await,
            }
        };
        let late = |_| format!("it did not come whole within {} s", FETCH_TIME.as_secs());
        tokio::time::timeout(FETCH_TIME, fetch).await.map_err(late)?
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let tls = self.tls.clone().ok_or("there is no TLS configuration")?;
        let bounds = Bounds { time: FETCH_TIME, octets: INDEX_OCTETS_MAX as u64 };
        let answer = HttpClient::new(tls).get(url, bounds).await.map_err(|error| error.to_string())?;
        Ok(answer.content.to_vec())
    }

    async fn search(&self, server: &Ldap) -> Result<Vec<u8>, String> {
        let connect = TcpStream::connect((server.host.as_str(), server.port));
        let late = |_| format!("no connection within {} s", CONNECT_TIME.as_secs());
        let stream = tokio::time::timeout(CONNECT_TIME, connect).await.map_err(late)?.map_err(|e| e.to_string())?;
        let Some(tls) = &self.tls else { return ldap::search(stream, &server.base, false).await };
        let name = ServerName::try_from(server.host.clone()).map_err(|error| error.to_string())?;
        let handshake = tokio_rustls::TlsConnector::from(tls.clone()).connect(name, stream);
        let stream = tokio::time::timeout(CONNECT_TIME, handshake).await.map_err(late)?.map_err(|e| e.to_string())?;
        ldap::search(stream, &server.base, self.shows_certificate).await
    }
}

/// A file of at most the length that an index may have.
pub async fn read_index(path: &Path) -> Result<Vec<u8>, String> {
    let at = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = tokio::fs::File::open(path).await.map_err(at)?;
    let mut octets = Vec::new();
    // One octet more, so that what is too long is seen to be.
    file.take(INDEX_OCTETS_MAX as u64 + 1).read_to_end(&mut octets).await.map_err(at)?;
    Ok(octets)
}

fn load_signer(config: &Config, signer: &SignerSettings) -> Result<IndexSigner, ConfigError> {
    let pem = |path: &PathBuf| {
        let path = config.path(path);
        read_bytes(&path).map(|pem| (pem, path.display().to_string()))
    };
    let at = |path: &str, error: &dyn std::fmt::Display| ConfigError(format!("{path}: {error}"));
    match (&signer.certificates, &signer.anchors, &signer.subject) {
        (Some(path), _, _) => {
            let (pem, path) = pem(path)?;
            IndexSigner::pinned(&pem).map_err(|error| at(&path, &error))
        }
        (None, Some(path), Some(subject)) => {
            let (pem, path) = pem(path)?;
            Ok(IndexSigner::named(Anchors::load(&pem).map_err(|error| at(&path, &error))?, subject))
        }
        _ => Err(ConfigError("trust.index.signer: wants certificates, or anchors with subject".into())),
    }
}

/// TLS towards the source's server: its own roots, and the provider's certificate ([PEC §5.6]).
fn tls(config: &Config, settings: &IndexSettings) -> Result<Arc<ClientConfig>, ConfigError> {
    let mut roots = RootCertStore::empty();
    let anchors = settings.tls_anchors.as_ref().or(config.delivery.tls_anchors.as_ref());
    if let Some(path) = anchors {
        for root in certificates(&config.path(path))? {
            roots.add(root).map_err(|error| ConfigError(format!("{}: {error}", path.display())))?;
        }
    }
    let other = |error: rustls::Error| ConfigError(format!("trust.index: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(other)?
        .with_root_certificates(roots);
    let tls = match (&settings.client_certificate, &settings.client_key) {
        (Some(certificate), Some(key)) => {
            let key = config.path(key);
            let secret = PrivateKeyDer::from_pem_slice(&read_secret(&key)?)
                .map_err(|error| ConfigError(format!("{}: {error}", key.display())))?;
            builder.with_client_auth_cert(certificates(&config.path(certificate))?, secret).map_err(other)?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(tls))
}

/// The certificates of a PEM file; at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let at = |error: &dyn std::fmt::Display| ConfigError(format!("{}: {error}", path.display()));
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&read_bytes(path)?).collect::<Result<_, _>>().map_err(|error| at(&error))?;
    if found.is_empty() { Err(at(&"there is no certificate in this file")) } else { Ok(found) }
}
