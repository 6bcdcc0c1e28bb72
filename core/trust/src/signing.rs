//! Signing keys, and the signatures that a provider makes: the detached one under everything it sends ([PEC §2.1]), and
//! the one around its entry of the index ([PEC §4.5]).
//!
//! OpenSSL's own CMS call takes the whole content in memory, and a transport envelope around a 100 MB message is
//! larger than a session may hold: so the content is hashed as it streams, and only the signed attributes, a few
//! hundred octets, are signed.

use std::io;
use std::path::Path;
use std::time::Duration;

use cms::cert::x509::der::asn1::{GeneralizedTime, SetOfVec, UtcTime};
use cms::cert::x509::der::oid::ObjectIdentifier;
use cms::cert::x509::der::oid::db::{rfc5911, rfc5912};
use cms::cert::x509::der::{self, Any, Decode, Encode, asn1::OctetString};
use cms::cert::x509::spki::AlgorithmIdentifierOwned;
use cms::cert::x509::{Certificate, attr::Attribute};
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedAttributes, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Private};
use openssl::sign::{Signer, Verifier};
use openssl::x509::{X509, X509KeyUsage};
use sigillo_mail::{Rope, Source};

use crate::anchors::distinguished_name;
use crate::signature::{digest, rfc822_names, serial};
use crate::time::milliseconds;
use crate::token::{TokenError, TokenKey, TokenKind, TokenPlace};

/// Shortest RSA key that signs, bits. RFC 8551 §4.2 has 2048 as the least that is SHOULD- for new messages; every
/// genuine certified-mail key has that or more.
pub const RSA_BITS_MIN: u32 = 2048;
/// Certificates sent along above the signer's own: a path of more is a mistake in the file.
pub const CHAIN_MAX: usize = 8;
/// First second for which RFC 5652 §11.3 demands GeneralizedTime: 2050-01-01T00:00:00Z.
const GENERALIZED_TIME_FROM: u64 = 2_524_608_000;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key is no PEM private key, or it is encrypted: a server starts without anybody to ask for a passphrase.
    #[error("the key is not an unencrypted PEM private key: {0}")]
    Key(ErrorStack),
    /// Only RSA and elliptic-curve keys sign mail.
    #[error("the key is neither RSA nor elliptic-curve")]
    Kind,
    /// An RSA key below [`RSA_BITS_MIN`].
    #[error("the RSA key has {0} bits; at least {RSA_BITS_MIN} are needed")]
    Short(u32),
    /// The certificate or the chain is not PEM, or not strictly DER inside.
    #[error("the {0} is not a PEM certificate: {1}")]
    Certificate(&'static str, String),
    /// The certificate's public key is another.
    #[error("the certificate does not belong to the key")]
    Mismatch,
    /// The certificate says what its key is for, and signing messages is not among it (RFC 5280 §4.2.1.3).
    #[error("the certificate's keyUsage does not allow digital signatures")]
    Usage,
    /// More than [`CHAIN_MAX`] certificates.
    #[error("the chain has more than {CHAIN_MAX} certificates")]
    Chain,
    /// The module of the key's token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Why a signature could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The content could not be read.
    #[error("the content to sign could not be read: {0}")]
    Content(#[from] io::Error),
    /// The library failed.
    #[error("the key could not sign: {0}")]
    Library(#[from] ErrorStack),
    /// The structures could not be written: a time out of range, for instance.
    #[error("the signature could not be encoded: {0}")]
    Encoding(der::Error),
    /// The token did not sign.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token signed with another key than the certificate's.
    #[error("the key in the token is not the certificate's: its signature does not verify")]
    WrongKey,
}

/// A signature that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Detached CMS SignedData, DER.
    pub der: Vec<u8>,
    /// SHA-256 of the content that is signed.
    pub content_sha256: Vec<u8>,
}

/// What a key's certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCertificate {
    /// DER.
    pub der: Vec<u8>,
    /// As `C=IT, O=…, CN=…`.
    pub subject: String,
    /// Serial number in hexadecimal.
    pub serial: String,
    /// SHA-1 of the DER in hexadecimal, the name that the index of providers gives it ([PEC §5.6]).
    pub sha1: String,
    /// First instant of its time, milliseconds since 1970, UTC.
    pub not_before_ms: u64,
    /// Last instant of its time.
    pub not_after_ms: u64,
}

enum Secret {
    Here(PKey<Private>),
    Token(TokenKey),
}

impl From<der::Error> for SignError {
    fn from(error: der::Error) -> SignError {
        SignError::Encoding(error)
    }
}

/// A private key with the certificates that go with it into every signature.
pub struct SigningKey {
    secret: Secret,
    /// The signer's certificate first, then its chain.
    certificates: Vec<Certificate>,
    certificate: X509,
    facts: KeyCertificate,
    addresses: Vec<String>,
}

impl std::fmt::Debug for SigningKey {
    /// Names the key without showing it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a private key, its certificate, and the certificates between that one and a root (PEM; the chain may be
    /// empty), and checks that they belong together.
    pub fn load(key_pem: &[u8], certificate_pem: &[u8], chain_pem: &[u8]) -> Result<SigningKey, KeyError> {
        // The callback answers for the terminal: OpenSSL would ask whoever started the server for a passphrase.
        let key = PKey::private_key_from_pem_callback(key_pem, |_| Ok(0)).map_err(KeyError::Key)?;
        kind(key.id(), key.bits())?;
        let certificate = leaf(certificate_pem)?;
        if !certificate.public_key().map_err(unusable)?.public_eq(&key) {
            return Err(KeyError::Mismatch);
        }
        SigningKey::new(Secret::Here(key), certificate, chain_pem)
    }

    /// A key that stays in a token, with its certificate and chain from PEM. The module is loaded here; whether the
    /// token is there, and holds the certificate's key, [`SigningKey::probe`] finds.
    pub fn in_token(place: TokenPlace, certificate_pem: &[u8], chain_pem: &[u8]) -> Result<SigningKey, KeyError> {
        let certificate = leaf(certificate_pem)?;
        let public = certificate.public_key().map_err(unusable)?;
        let key = TokenKey::new(place, kind(public.id(), public.bits())?)?;
        SigningKey::new(Secret::Token(key), certificate, chain_pem)
    }

    fn new(secret: Secret, certificate: X509, chain_pem: &[u8]) -> Result<SigningKey, KeyError> {
        if certificate.key_usage().is_some_and(|usage| !usage.contains(X509KeyUsage::DIGITAL_SIGNATURE)) {
            return Err(KeyError::Usage);
        }
        let mut certificates = vec![strict(&certificate, "certificate")?];
        let chain = stack(chain_pem).map_err(|e| KeyError::Certificate("chain", e))?;
        if chain.len() > CHAIN_MAX {
            return Err(KeyError::Chain);
        }
        for link in chain {
            let link = strict(&link, "chain")?;
            if !certificates.contains(&link) {
                certificates.push(link);
            }
        }
        let addresses = rfc822_names(&certificate);
        let facts = facts(&certificate).map_err(unusable)?;
        Ok(SigningKey { secret, certificates, certificate, facts, addresses })
    }

    /// Signs something and verifies it by the certificate: whether the key is the certificate's, and works now. May
    /// block for as long as a token's module does.
    pub fn probe(&self) -> Result<(), SignError> {
        self.sign_octets(b"Is this the key of the certificate?").map(drop)
    }

    /// Where the key is, if it is in a token.
    pub fn token(&self) -> Option<&TokenPlace> {
        match &self.secret {
            Secret::Here(_) => None,
            Secret::Token(key) => Some(key.place()),
        }
    }

    /// What the certificate says.
    pub fn certificate_facts(&self) -> &KeyCertificate {
        &self.facts
    }

    /// The certificates between the signer's and the root that go into each signature, DER.
    pub fn chain(&self) -> Result<Vec<Vec<u8>>, SignError> {
        Ok(self.certificates[1..].iter().map(Encode::to_der).collect::<Result<_, _>>()?)
    }

    /// The rfc822 names of the certificate: the addresses this key may sign for ([PEC §5.5.2]).
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The signer's certificate, DER.
    pub fn certificate(&self) -> Result<Vec<u8>, SignError> {
        Ok(self.certificate.to_der()?)
    }

    /// A detached CMS SignedData (RFC 5652 §5) over the content, in DER: SHA-256, the attributes content-type,
    /// signing-time and message-digest, and all certificates. `at` is milliseconds since 1970, UTC. Whether the
    /// certificate is in its time then, the caller knows ([`crate::KeyRing`]).
    ///
    /// The content is signed as it stands: for S/MIME its lines must already end in CRLF (RFC 8551 §3.1.1).
    pub fn sign_detached(&self, content: &Rope, source: &dyn Source, at: u64) -> Result<Vec<u8>, SignError> {
        Ok(self.sign(content, source, at)?.der)
    }

    /// The same with the content inside (RFC 5652 §5.2 eContent), as the index of providers is exchanged
    /// ([PEC §4.5]). The content is held in memory, and once more in what comes back.
    pub fn sign_attached(&self, content: &[u8], at: u64) -> Result<Vec<u8>, SignError> {
        let digest = openssl::hash::hash(MessageDigest::sha256(), content)?;
        self.sign_digest(&digest, at, Some(Any::new(der::Tag::OctetString, content)?))
    }

    /// The same, with the digest of what was signed.
    pub fn sign(&self, content: &Rope, source: &dyn Source, at: u64) -> Result<Signature, SignError> {
        let content_sha256 = digest(content, source, MessageDigest::sha256())?;
        Ok(Signature { der: self.sign_digest(&content_sha256, at, None)?, content_sha256 })
    }

    fn sign_digest(&self, digest: &[u8], at: u64, content: Option<Any>) -> Result<Vec<u8>, SignError> {
        let attributes = signed_attributes(digest, at)?;
        // RFC 5652 §5.4: what is signed is the DER of the attributes with the tag of SET OF, not [0] IMPLICIT.
        let signature = self.sign_octets(&attributes.to_der()?)?;
        self.signed_data(attributes, signature, content)
    }

    fn sign_octets(&self, octets: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.secret {
            Secret::Here(key) => {
                let mut signer = Signer::new(MessageDigest::sha256(), key)?;
                signer.update(octets)?;
                Ok(signer.sign_to_vec()?)
            }
            Secret::Token(key) => {
                let signature = key.sign(octets)?;
                // A module that answers with something else must not put it under a message.
                let public = self.certificate.public_key()?;
                let mut verifier = Verifier::new(MessageDigest::sha256(), &public)?;
                let holds = verifier.verify_oneshot(&signature, octets).unwrap_or(false);
                if holds { Ok(signature) } else { Err(SignError::WrongKey) }
            }
        }
    }

    fn signed_data(
        &self,
        attributes: SignedAttributes,
        signature: Vec<u8>,
        content: Option<Any>,
    ) -> Result<Vec<u8>, SignError> {
        let tbs = &self.certificates[0].tbs_certificate;
        // RFC 5754 §2: SHA-2 identifiers are written without parameters.
        let sha256 = AlgorithmIdentifierOwned { oid: rfc5912::ID_SHA_256, parameters: None };
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: tbs.issuer.clone(),
                serial_number: tbs.serial_number.clone(),
            }),
            digest_alg: sha256.clone(),
            signed_attrs: Some(attributes),
            signature_algorithm: self.signature_algorithm(),
            signature: OctetString::new(signature)?,
            unsigned_attrs: None,
        };
        let certificates = self.certificates.iter().cloned().map(CertificateChoices::Certificate);
        let signed = SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::try_from(vec![sha256])?,
            encap_content_info: EncapsulatedContentInfo { econtent_type: rfc5911::ID_DATA, econtent: content },
            certificates: Some(CertificateSet(SetOfVec::try_from(certificates.collect::<Vec<_>>())?)),
            crls: None,
            signer_infos: SignerInfos(SetOfVec::try_from(vec![signer])?),
        };
        let content = Any::encode_from(&signed)?;
        Ok(ContentInfo { content_type: rfc5911::ID_SIGNED_DATA, content }.to_der()?)
    }

    /// `rsaEncryption` is the name that every verifier must know (RFC 3370 §3.2) and that most providers write.
    fn signature_algorithm(&self) -> AlgorithmIdentifierOwned {
        let is_rsa = self.certificate.public_key().is_ok_and(|key| key.id() == Id::RSA);
        if is_rsa {
            AlgorithmIdentifierOwned { oid: rfc5912::RSA_ENCRYPTION, parameters: Some(Any::null()) }
        } else {
            AlgorithmIdentifierOwned { oid: rfc5912::ECDSA_WITH_SHA_256, parameters: None }
        }
    }
}

/// The kinds of keys that sign mail, and their least size.
fn kind(id: Id, bits: u32) -> Result<TokenKind, KeyError> {
    match id {
        Id::RSA if bits < RSA_BITS_MIN => Err(KeyError::Short(bits)),
        Id::RSA => Ok(TokenKind::Rsa),
        Id::EC => Ok(TokenKind::Curve),
        _ => Err(KeyError::Kind),
    }
}

fn unusable(error: ErrorStack) -> KeyError {
    KeyError::Certificate("certificate", error.to_string())
}

fn leaf(pem: &[u8]) -> Result<X509, KeyError> {
    X509::from_pem(pem).map_err(unusable)
}

fn facts(certificate: &X509) -> Result<KeyCertificate, ErrorStack> {
    let der = certificate.to_der()?;
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    Ok(KeyCertificate {
        subject: distinguished_name(certificate.subject_name()),
        serial: serial(certificate)?,
        sha1: hex(&certificate.digest(MessageDigest::sha1())?),
        not_before_ms: milliseconds(certificate.not_before())?,
        not_after_ms: milliseconds(certificate.not_after())?,
        der,
    })
}

/// The attributes of RFC 5652 §11.1 to §11.3.
fn signed_attributes(digest: &[u8], at: u64) -> Result<SignedAttributes, der::Error> {
    let attribute = |oid: ObjectIdentifier, value: Any| -> Result<Attribute, der::Error> {
        Ok(Attribute { oid, values: SetOfVec::try_from(vec![value])? })
    };
    let second = Duration::from_secs(at / 1000);
    let time = if second.as_secs() < GENERALIZED_TIME_FROM {
        Any::encode_from(&UtcTime::from_unix_duration(second)?)?
    } else {
        Any::encode_from(&GeneralizedTime::from_unix_duration(second)?)?
    };
    SetOfVec::try_from(vec![
        attribute(rfc5911::ID_CONTENT_TYPE, Any::encode_from(&rfc5911::ID_DATA)?)?,
        attribute(rfc5911::ID_SIGNING_TIME, time)?,
        attribute(rfc5911::ID_MESSAGE_DIGEST, Any::encode_from(&OctetString::new(digest)?)?)?,
    ])
}

/// The certificate in the types we write, octet for octet: one that would come out differently is refused here
/// rather than sent broken.
fn strict(certificate: &X509, what: &'static str) -> Result<Certificate, KeyError> {
    let der = certificate.to_der().map_err(|e| KeyError::Certificate(what, e.to_string()))?;
    let parsed = Certificate::from_der(&der).map_err(|e| KeyError::Certificate(what, e.to_string()))?;
    match parsed.to_der() {
        Ok(again) if again == der => Ok(parsed),
        _ => Err(KeyError::Certificate(what, "it is not DER".into())),
    }
}

/// All certificates of a PEM text, none if there are none; a damaged one is an error and not the end of the list.
pub(crate) fn stack(pem: &[u8]) -> Result<Vec<X509>, String> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let announced = pem.windows(BEGIN.len()).filter(|w| *w == BEGIN).count();
    if announced == 0 {
        return if pem.trim_ascii().is_empty() { Ok(Vec::new()) } else { Err("no PEM block in it".into()) };
    }
    let found = X509::stack_from_pem(pem).map_err(|e| e.to_string())?;
    if found.len() == announced {
        Ok(found)
    } else {
        Err(format!("only {} of {announced} PEM blocks are certificates", found.len()))
    }
}

/// Whether nobody but its owner may read the file, as a key file must be ([PEC §5.1] recommends a hardware module).
#[cfg(unix)]
pub fn is_private(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o077 == 0)
}
