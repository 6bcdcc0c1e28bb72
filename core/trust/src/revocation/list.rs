//! One revocation list: what its head says, without taking its entries apart.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use cms::cert::x509::der::asn1::{AnyRef, ObjectIdentifier};
use cms::cert::x509::der::{self, Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};
use cms::cert::x509::time::Time;
use openssl::x509::X509Name;

use super::{CLOCK_SKEW_MS, sha256};
use crate::anchors::distinguished_name;

/// Longest file of lists, octets: the lists of the largest public authorities are below this.
pub const LIST_OCTETS_MAX: u64 = 32 * 1024 * 1024;
/// Lists in one PEM file.
const BLOCKS_MAX: usize = 64;
/// cRLNumber (RFC 5280 §5.2.3).
const NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
/// deltaCRLIndicator (RFC 5280 §5.2.4).
const DELTA: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.27");
/// issuingDistributionPoint (RFC 5280 §5.2.5).
const SCOPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.28");

/// Why a list is not taken; the one in use stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// Above [`LIST_OCTETS_MAX`].
    #[error("longer than {LIST_OCTETS_MAX} octets")]
    TooLong,
    /// Neither DER nor PEM of a revocation list with thisUpdate and nextUpdate.
    #[error("it is no revocation list, or it has no nextUpdate")]
    Malformed,
    /// Only a part of a list.
    #[error("it is a delta list; only whole lists are used")]
    Delta,
    /// No known authority has its issuer's name.
    #[error("its issuer is not known: {0}; the authority is learnt from the first message under it")]
    UnknownIssuer(String),
    /// The signature is not the issuer's.
    #[error("it is not signed by its issuer: {0}")]
    Forged(String),
    /// Its nextUpdate is past.
    #[error("it has expired")]
    Stale,
    /// Its thisUpdate is to come.
    #[error("its time has not begun")]
    NotYet,
    /// The list in use is newer.
    #[error("it is older than the list in use")]
    Older,
    /// Above the number of lists kept.
    #[error("there are too many lists")]
    Many,
    /// It could not be written down.
    #[error("{0}: {1}")]
    Kept(String, String),
}

/// A list in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFacts {
    /// Its issuer, as `C=IT, O=…, CN=…`.
    pub issuer: String,
    /// thisUpdate, milliseconds since 1970.
    pub this_ms: u64,
    /// nextUpdate: until then it counts.
    pub next_ms: u64,
    /// cRLNumber, the octets of a positive number without leading zeros.
    pub number: Option<Vec<u8>>,
    /// Where it is kept.
    pub file: PathBuf,
    /// Octets.
    pub size: usize,
}

/// The head of a list.
pub(super) struct Header {
    issuer: Vec<u8>,
    pub this_ms: u64,
    next_ms: u64,
    pub number: Option<Vec<u8>>,
    scope: Vec<u8>,
    pub is_delta: bool,
}

impl Header {
    /// Reads a CertificateList; nothing if it is none, or has no nextUpdate (RFC 5280 §5.1.2.5 demands it).
    pub fn read(der: &[u8]) -> Option<Header> {
        let list = AnyRef::from_der(der).ok()?;
        list.sequence(|r| {
            let read = AnyRef::decode(r)?.sequence(Header::read_head)?;
            AnyRef::decode(r)?;
            AnyRef::decode(r)?;
            Ok(read)
        })
        .ok()
    }

    fn read_head(r: &mut SliceReader<'_>) -> der::Result<Header> {
        if r.peek_header()?.tag == Tag::Integer {
            AnyRef::decode(r)?;
        }
        let _algorithm = AnyRef::decode(r)?;
        let issuer = r.tlv_bytes()?.to_vec();
        let this_ms = milliseconds(Time::decode(r)?);
        let next_ms = milliseconds(Time::decode(r)?);
        let mut header = Header { issuer, this_ms, next_ms, number: None, scope: Vec::new(), is_delta: false };
        while !r.is_finished() {
            let element = AnyRef::decode(r)?;
            if matches!(element.tag(), Tag::ContextSpecific { number: TagNumber::N0, .. }) {
                AnyRef::from_der(element.value())?.sequence(|r| header.read_extensions(r))?;
            }
        }
        Ok(header)
    }

    fn read_extensions(&mut self, r: &mut SliceReader<'_>) -> der::Result<()> {
        while !r.is_finished() {
            AnyRef::decode(r)?.sequence(|r| {
                let kind = ObjectIdentifier::decode(r)?;
                let mut value = AnyRef::decode(r)?;
                if value.tag() == Tag::Boolean {
                    value = AnyRef::decode(r)?;
                }
                match kind {
                    NUMBER => self.number = Some(number(AnyRef::from_der(value.value())?.value())),
                    SCOPE => self.scope = value.to_der()?,
                    DELTA => self.is_delta = true,
                    _ => {}
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Tells lists apart: an authority has one for each scope.
    pub fn key(&self) -> String {
        let digest = sha256(&[&self.issuer[..], &self.scope].concat());
        digest[..16].iter().map(|octet| format!("{octet:02x}")).collect()
    }

    pub fn check_time(&self, at: u64) -> Result<(), ListError> {
        if self.next_ms <= at {
            return Err(ListError::Stale);
        }
        if self.this_ms > at + CLOCK_SKEW_MS { Err(ListError::NotYet) } else { Ok(()) }
    }

    /// By number where both have one, else by time: an old list may not come back, in which somebody is not yet revoked.
    pub fn is_older_than(&self, current: &ListFacts) -> bool {
        let by_number = match (&self.number, &current.number) {
            (Some(own), Some(other)) => (own.len(), own) < (other.len(), other),
            _ => false,
        };
        by_number || self.this_ms < current.this_ms
    }

    pub fn facts(&self, file: PathBuf, size: usize) -> ListFacts {
        let issuer = X509Name::from_der(&self.issuer).map_or_else(|_| "?".into(), |name| distinguished_name(&name));
        ListFacts { issuer, this_ms: self.this_ms, next_ms: self.next_ms, number: self.number.clone(), file, size }
    }
}

fn milliseconds(time: Time) -> u64 {
    u64::try_from(time.to_unix_duration().as_millis()).unwrap_or(u64::MAX)
}

fn number(octets: &[u8]) -> Vec<u8> {
    octets.iter().copied().skip_while(|octet| *octet == 0).collect()
}

/// The lists of a file in DER: itself, or its PEM blocks.
pub(super) fn blocks(octets: &[u8]) -> Result<Vec<Vec<u8>>, ListError> {
    const BEGIN: &str = "-----BEGIN X509 CRL-----";
    const END: &str = "-----END X509 CRL-----";
    let text = match std::str::from_utf8(octets) {
        Ok(text) if text.contains(BEGIN) => text,
        _ => return Ok(vec![octets.to_vec()]),
    };
    let block = |piece: &str| {
        let body = piece.split_once(END).ok_or(ListError::Malformed)?.0;
        let letters: Vec<u8> = body.bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
        STANDARD_PAD_INDIFFERENT.decode(letters).map_err(|_| ListError::Malformed)
    };
    text.split(BEGIN).skip(1).take(BLOCKS_MAX).map(block).collect()
}

/// Puts a file in its place whole, or not at all.
pub(super) fn write(path: &Path, octets: &[u8]) -> io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(octets)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}
