//! Signers whose path has held: a provider signs thousands of messages with one certificate, and neither parsing it nor
//! verifying its path comes out otherwise the next time.
//!
//! Only what led to a trusted root is remembered, so a stranger cannot fill this; a path counts only at instants at which
//! every certificate of it is in its time. The signature itself and revocation are looked at with each message.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use openssl::hash::MessageDigest;
use openssl::sha::Sha256;
use openssl::x509::{X509, X509Ref};

use crate::anchors::{TrustedPath, distinguished_name};
use crate::problem::Problem;
use crate::signature::{certificates, rfc822_names, serial};
use crate::signed_data::{SignedData, SignerId, SignerView};
use crate::time::milliseconds;

/// Signers remembered at once. The index has some dozens of providers with a few certificates each.
const KNOWN_MAX: usize = 1024;

/// By what a signer is known again: the certificates that came with a signature, octet for octet, and which of them it names.
pub(crate) type Name = [u8; 32];

/// A signer's certificate with what it says.
#[derive(Debug, Clone)]
pub(crate) struct SignerCertificate {
    pub certificate: X509,
    /// All that came with it.
    pub others: Vec<X509>,
    /// As it was sent.
    pub der: Vec<u8>,
    pub addresses: Vec<String>,
    /// By the names of [`crate::Verification::properties`].
    pub facts: BTreeMap<String, String>,
}

/// A path and the time in which all of it is valid, milliseconds since 1970, UTC.
#[derive(Debug, Clone)]
struct Held {
    path: TrustedPath,
    from: u64,
    until: u64,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<Name, (Arc<SignerCertificate>, Held)>>);

impl SignerCertificate {
    /// Reads the certificate that a signature names.
    pub fn read(signed: &SignedData<'_>, signer: &SignerView<'_>) -> Result<SignerCertificate, Problem> {
        let (certificate, others) = certificates(signed, signer)?;
        let (der, addresses, facts) = (certificate.to_der()?, rfc822_names(&certificate), facts(&certificate));
        Ok(SignerCertificate { certificate, others, der, addresses, facts })
    }
}

/// The name of the signer of a signature.
pub(crate) fn name(signed: &SignedData<'_>, signer: &SignerView<'_>) -> Name {
    let mut hash = Sha256::new();
    // With their lengths, so that no two lists of parts are the same octets.
    let mut part = |octets: &[u8]| {
        hash.update(&(octets.len() as u64).to_be_bytes());
        hash.update(octets);
    };
    match signer.id {
        SignerId::KeyId(id) => part(id),
        SignerId::IssuerAndSerial { issuer, serial } => {
            part(issuer);
            part(serial);
        }
    }
    signed.certificates.iter().for_each(|certificate| part(certificate));
    hash.finish()
}

impl Known {
    /// The signer of this name with its path, if that held before and all of it is in its time at `at`.
    pub fn find(&self, name: &Name, at: u64) -> Option<(Arc<SignerCertificate>, TrustedPath)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (signer, held) = known.get(name)?;
        (held.from <= at && at <= held.until).then(|| (signer.clone(), held.path.clone()))
    }

    /// Remembers a signer whose path held. What has a time that cannot be read is not remembered.
    pub fn remember(&self, name: Name, signer: Arc<SignerCertificate>, path: &TrustedPath) {
        let mut held = Held { path: path.clone(), from: 0, until: u64::MAX };
        for certificate in path.certificates() {
            let (Ok(from), Ok(until)) = (milliseconds(certificate.not_before()), milliseconds(certificate.not_after()))
            else {
                return;
            };
            (held.from, held.until) = (held.from.max(from), held.until.min(until));
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(name, (signer, held));
    }
}

fn facts(certificate: &X509Ref) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([
        ("subject".to_owned(), distinguished_name(certificate.subject_name())),
        ("issuer".to_owned(), distinguished_name(certificate.issuer_name())),
    ]);
    if let Ok(serial) = serial(certificate) {
        facts.insert("serial".into(), serial);
    }
    let times = [("valid-from", certificate.not_before()), ("valid-until", certificate.not_after())];
    facts.extend(times.into_iter().filter_map(|(name, time)| Some((name.to_owned(), crate::time::instant(time)?))));
    if let Ok(digest) = certificate.digest(MessageDigest::sha1()) {
        facts.insert("sha1".into(), digest.iter().map(|byte| format!("{byte:02x}")).collect());
    }
    facts
}
