//! TLS towards other servers.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::session::Security;

/// How a delivery is secured.
#[derive(Debug, Clone)]
pub enum TlsPolicy {
    /// TLS with a certificate that `config` accepts for `name`, or no delivery.
    Required {
        /// The name in the certificate.
        name: ServerName<'static>,
        /// Anchors and versions.
        config: Arc<ClientConfig>,
    },
    /// TLS if it can be had, whoever the server is; in the clear otherwise (RFC 7435).
    Opportunistic,
    /// In the clear: for a next hop on the same machine.
    None,
}

impl TlsPolicy {
    pub(super) fn security(&self) -> Security {
        match self {
            TlsPolicy::Required { .. } => Security::Required,
            TlsPolicy::Opportunistic => Security::Opportunistic,
            TlsPolicy::None => Security::None,
        }
    }
}

/// The configuration of opportunistic TLS: any certificate will do.
///
/// Between servers that nothing has introduced to each other there is no name to check against: the MX record that led
/// here came over DNS without proof. Refusing an unverified certificate would mean sending in the clear instead, which
/// any listener can read; accepting it leaves only the active attacker, who could have stripped STARTTLS anyway
/// (RFC 7435 §3). Nothing secret but the message goes over such a connection: our client never authenticates itself.
/// Where the peer is known, [`TlsPolicy::Required`] is the policy.
pub fn opportunistic_config() -> Option<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    CONFIG
        .get_or_init(|| {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let verifier = Arc::new(AnyCertificate { algorithms: provider.signature_verification_algorithms });
            with_provider(provider, verifier).ok().map(Arc::new)
        })
        .clone()
}

fn with_provider(provider: Arc<CryptoProvider>, verifier: Arc<AnyCertificate>) -> Result<ClientConfig, Error> {
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// Believes any certificate, but not that its holder is somebody without the key.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
