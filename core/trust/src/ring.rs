//! The keys under one name: while a certificate is renewed, the old one and the new one are both there, and the newest
//! that is valid signs ([PEC §5.5]; the index of providers lists every one of them, [PEC §4.5]).

use std::sync::Arc;

use crate::signing::{KeyCertificate, SigningKey};

/// Certificates under one name. Two overlap at a renewal; more than this is a mistake.
pub const RING_MAX: usize = 8;

/// One of the keys.
#[derive(Debug, Clone)]
pub struct RingKey {
    /// The key.
    pub key: Arc<SigningKey>,
    /// The instant before which it does not sign, milliseconds since 1970, UTC.
    pub from_ms: Option<u64>,
}

impl RingKey {
    /// Whether the certificate is in its time and the key's own instant has come.
    pub fn may_sign(&self, at: u64) -> bool {
        let certificate = self.key.certificate_facts();
        self.from_ms.is_none_or(|from| from <= at) && certificate.not_before_ms <= at && at <= certificate.not_after_ms
    }

    fn begins(&self) -> u64 {
        self.from_ms.unwrap_or(0).max(self.key.certificate_facts().not_before_ms)
    }
}

/// No key of the ring may sign at that instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no certificate of the key is valid now: {0}")]
pub struct NoneValid(pub String);

/// The keys under one name; at least one.
#[derive(Debug, Clone)]
pub struct KeyRing {
    keys: Vec<RingKey>,
}

impl KeyRing {
    /// None if there is no key, or more than [`RING_MAX`].
    pub fn new(keys: Vec<RingKey>) -> Option<KeyRing> {
        (1..=RING_MAX).contains(&keys.len()).then_some(KeyRing { keys })
    }

    /// Every key, as given.
    pub fn keys(&self) -> &[RingKey] {
        &self.keys
    }

    /// The key that signs at this instant: of those that may, the one whose time began last; of two, the later one of
    /// the list.
    pub fn signing(&self, at: u64) -> Result<&Arc<SigningKey>, NoneValid> {
        let may = self.keys.iter().filter(|key| key.may_sign(at));
        may.max_by_key(|key| key.begins()).map(|key| &key.key).ok_or_else(|| self.none_valid(at))
    }

    /// The last instant at which a key of the ring may sign.
    pub fn ends_ms(&self) -> u64 {
        self.keys.iter().map(|key| key.key.certificate_facts().not_after_ms).max().unwrap_or(0)
    }

    /// The addresses that the ring signs for: those of the key that signs now, or of the newest if none does.
    pub fn addresses(&self, at: u64) -> &[String] {
        let newest = || self.keys.iter().max_by_key(|key| key.begins()).map(|key| &key.key);
        self.signing(at).ok().or_else(newest).map_or(&[], |key| key.addresses())
    }

    /// The certificates of every key.
    pub fn certificates(&self) -> impl Iterator<Item = &KeyCertificate> {
        self.keys.iter().map(|key| key.key.certificate_facts())
    }

    fn none_valid(&self, at: u64) -> NoneValid {
        let words = self.keys.iter().map(|key| {
            let certificate = key.key.certificate_facts();
            let why = if at > certificate.not_after_ms {
                format!("expired at {}", instant(certificate.not_after_ms))
            } else {
                format!("begins at {}", instant(key.begins()))
            };
            format!("the one with serial number {} {why}", certificate.serial)
        });
        NoneValid(words.collect::<Vec<_>>().join("; "))
    }
}

/// An instant in words.
fn instant(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "no instant".into(), |at| format!("{at:.0}"))
}
