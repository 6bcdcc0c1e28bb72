//! TLS of the listeners and of the connections that the server makes. One provider of algorithms, TLS 1.2 and up
//! (PEC §5.3; the providers switched older versions off in 2019).

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::config::{Config, ConfigError, read_bytes, read_secret};

fn at(path: &std::path::Path) -> impl Fn(&dyn std::fmt::Display) -> ConfigError + '_ {
    move |error| ConfigError(format!("{}: {error}", path.display()))
}

/// The listeners' certificate and key.
pub fn server(config: &Config) -> Result<Arc<ServerConfig>, ConfigError> {
    let (certificate, key) = (config.path(&config.tls.certificate), config.path(&config.tls.key));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read_bytes(&certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|error| at(&certificate)(&error))?;
    if chain.is_empty() {
        return Err(at(&certificate)(&"there is no certificate in this file"));
    }
    let secret = PrivateKeyDer::from_pem_slice(&read_secret(&key)?).map_err(|error| at(&key)(&error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| at(&certificate)(&error))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| at(&certificate)(&error))?;
    Ok(Arc::new(config))
}

/// Roots for other servers' certificates.
pub fn client(config: &Config) -> Result<Arc<ClientConfig>, ConfigError> {
    client_trusting(config.delivery.tls_anchors.as_ref().map(|path| config.path(path)).as_deref())
}

/// A client that believes the roots in a file.
pub fn client_trusting(anchors: Option<&Path>) -> Result<Arc<ClientConfig>, ConfigError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = anchors {
        for root in CertificateDer::pem_slice_iter(&read_bytes(path)?) {
            let root = root.map_err(|error| at(path)(&error))?;
            roots.add(root).map_err(|error| at(path)(&error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
