//! One edition of the index of providers as it came from its publisher: opened, compared with the edition in use, and
//! kept ([PEC §4.5], [PEC §5.6]).
//!
//! An index is what a provider believes about all others, so a wrong one is worse than yesterday's (attack C11). An
//! edition is taken whole or not at all: its signature by the named signer, every entry, that it is not older than the
//! one in use, and that it has not lost a share of it that no ordinary day explains.

use std::sync::Arc;

use bytes::Bytes;

use crate::anchors::{Anchors, AnchorsError};
use crate::changes::Changes;
use crate::directory::{Directory, DirectoryError, INDEX_OCTETS_MAX};
use crate::signing::stack;
use crate::verification::{Verification, open_signed};

/// How far the signer's clock may be ahead of ours, milliseconds. An edition from the future would make every later one
/// look old.
const AHEAD_MAX: u64 = 3_600_000;
/// First octet of BER SEQUENCE: so begins a signed file, and no LDIF.
const SEQUENCE: u8 = 0x30;

/// Whose signature an index must bear.
#[derive(Debug, Clone)]
pub struct IndexSigner {
    anchors: Anchors,
    /// The signer's certificate is one of these, DER; or, if there are none, has this subject.
    pinned: Vec<Vec<u8>>,
    subject: String,
}

impl IndexSigner {
    /// Exactly these certificates (PEM), each within its time: several while the signer's is renewed.
    pub fn pinned(pem: &[u8]) -> Result<IndexSigner, AnchorsError> {
        let certificates = stack(pem).map_err(AnchorsError::Roots)?;
        let pinned = certificates.iter().map(|c| c.to_der()).collect::<Result<Vec<_>, _>>();
        let pinned = pinned.map_err(|error| AnchorsError::Roots(error.to_string()))?;
        Ok(IndexSigner { anchors: Anchors::load(pem)?, pinned, subject: String::new() })
    }

    /// Any certificate under these roots with exactly this subject, in the form `C=IT, O=…, CN=…`. The roots alone
    /// would not do: every provider's certificate is below the same ones, and none of them may speak for the index.
    pub fn named(anchors: Anchors, subject: &str) -> IndexSigner {
        IndexSigner { anchors, pinned: Vec::new(), subject: subject.to_owned() }
    }

    fn problem_with(&self, found: &Verification) -> Option<String> {
        let subject = found.properties.get("subject").map_or("", String::as_str);
        let is_pinned = || found.certificate.as_ref().is_some_and(|own| self.pinned.contains(own));
        if self.pinned.is_empty() {
            (subject != self.subject).then(|| format!("it is signed by {subject}, not by {}", self.subject))
        } else {
            (!is_pinned()).then(|| format!("it is signed by {subject}, whose certificate is none of those named"))
        }
    }
}

/// Why an edition is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// It is LDIF where a signature is demanded.
    #[error("the index is not signed; only a configuration that says so takes one without a signature")]
    NotSigned,
    /// It is signed where the configuration names no signer.
    #[error("the index is signed, and the configuration names no signer to hold it against")]
    NoSigner,
    /// The signature does not hold, or is not the named signer's.
    #[error("the signature of the index does not hold: {0}")]
    Signature(String),
    /// The text.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// It has no provider at all.
    #[error("there is no provider in the index")]
    Empty,
    /// Signed in the future.
    #[error("the index says that it was signed at {0}, which is in the future")]
    Future(String),
    /// Older than the one in use, or part of it is.
    #[error("the index is older than the one in use: {0}")]
    Older(String),
    /// Too much of the one in use is gone.
    #[error("the index lost {lost} of {of} {what}, more than {limit} in a hundred")]
    Shrunk {
        /// `providers` or `domains`.
        what: &'static str,
        /// How many are gone.
        lost: usize,
        /// How many there were.
        of: usize,
        /// The share that may go, in a hundred.
        limit: u8,
    },
    /// A kept copy that is not what was written.
    #[error("the kept copy is damaged: {0}")]
    Damaged(&'static str),
}

/// What an edition may differ from the one in use in.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// Share of providers, and of domains, that may be gone, in a hundred; none for any.
    pub shrink: Option<u8>,
    /// Whether it may be older.
    pub older: bool,
}

/// An index with where it came from.
#[derive(Debug, Clone)]
pub struct Edition {
    /// What it says.
    pub directory: Arc<Directory>,
    /// Where it came from, in the operator's words: an address or a file.
    pub source: String,
    /// When it was taken, milliseconds since 1970, UTC.
    pub taken: u64,
    /// When it was signed, as its signer says.
    pub signed: Option<u64>,
    /// Subject of the signer's certificate.
    pub signer: Option<String>,
    /// SHA-256, in hexadecimal, of what came: of the whole signed file where it is one.
    pub sha256: String,
    ldif: Bytes,
}

impl Edition {
    /// Opens what came from `source` at an instant (milliseconds since 1970, UTC): a signed file (`.p7m`, DER or BER)
    /// if there is a signer, LDIF if there is none. Blocking: it computes.
    pub fn open(octets: &[u8], signer: Option<&IndexSigner>, source: &str, at: u64) -> Result<Edition, IndexError> {
        if octets.len() > INDEX_OCTETS_MAX {
            return Err(DirectoryError::TooLong.into());
        }
        let sha256 = hex(&openssl::sha::sha256(octets));
        let is_signed = octets.first() == Some(&SEQUENCE);
        let (ldif, found) = match signer {
            None if is_signed => return Err(IndexError::NoSigner),
            None => (Bytes::copy_from_slice(octets), None),
            Some(_) if !is_signed => return Err(IndexError::NotSigned),
            Some(signer) => {
                let (found, content) = open_signed(octets, &signer.anchors, at);
                let problem = found.problem.clone().or_else(|| signer.problem_with(&found));
                match content {
                    Some(content) if problem.is_none() => (content, Some(found)),
                    _ => return Err(IndexError::Signature(problem.unwrap_or_default())),
                }
            }
        };
        let property = |name: &str| found.as_ref().and_then(|found| found.properties.get(name)).cloned();
        let signed = property("signing-time").and_then(|time| milliseconds(&time));
        if let Some(future) = signed.filter(|signed| *signed > at + AHEAD_MAX) {
            return Err(IndexError::Future(instant(future)));
        }
        let directory = Directory::from_ldif(&ldif)?;
        if directory.providers().is_empty() {
            return Err(IndexError::Empty);
        }
        let signer = property("subject");
        Ok(Edition {
            directory: Arc::new(directory),
            source: one_line(source),
            taken: at,
            signed,
            signer,
            sha256,
            ldif,
        })
    }

    /// Whether the other is this one again: the same octets, or, where no signature tells its date, the same entries.
    pub fn is_same(&self, other: &Edition) -> bool {
        let unsigned = self.signed.is_none() && other.signed.is_none();
        self.sha256 == other.sha256 || unsigned && self.directory.providers() == other.directory.providers()
    }

    /// Whether this one may take the place of `used`, and what would change.
    pub fn follows(&self, used: &Edition, tolerance: Tolerance) -> Result<Changes, IndexError> {
        if !tolerance.older {
            self.check_age(used)?;
        }
        let changes = Changes::between(&used.directory, &self.directory);
        if let Some(limit) = tolerance.shrink {
            changes.check_losses(limit)?;
        }
        Ok(changes)
    }

    /// Rollback: an attacker who has an old genuine edition would bring back certificates that were withdrawn.
    fn check_age(&self, used: &Edition) -> Result<(), IndexError> {
        match (used.signed, self.signed) {
            (Some(used), Some(new)) if new < used => {
                return Err(IndexError::Older(format!("signed {}, the other {}", instant(new), instant(used))));
            }
            (Some(used), None) => {
                return Err(IndexError::Older(format!(
                    "it does not say when it was signed; the other: {}",
                    instant(used)
                )));
            }
            _ => {}
        }
        // A directory server has no date of the whole, but one of each entry; an entry that was changed last may be
        // gone, so that the latest of all proves nothing.
        for (name, before, now) in Changes::dates(&used.directory, &self.directory) {
            if now < before {
                let (now, before) = (instant(now), instant(before));
                return Err(IndexError::Older(format!("entry '{name}' of {now}, in the other of {before}")));
            }
        }
        Ok(())
    }

    /// The LDIF as its publisher wrote it.
    pub fn ldif(&self) -> &[u8] {
        &self.ldif
    }

    /// Number of managed domains.
    pub fn domains(&self) -> usize {
        self.directory.providers().iter().map(|provider| provider.managed_domains.len()).sum()
    }

    /// The file that keeps the edition: its LDIF, with the rest in comments before it.
    pub fn to_file(&self) -> Vec<u8> {
        let mut head = format!("{MAGIC}\n# source: {}\n# taken: {}\n", self.source, self.taken);
        if let Some(signed) = self.signed {
            head.push_str(&format!("# signed: {signed}\n"));
        }
        if let Some(signer) = &self.signer {
            head.push_str(&format!("# signer: {}\n", one_line(signer)));
        }
        head.push_str(&format!("# sha256: {}\n", self.sha256));
        head.push_str(&format!("# ldif: {}\n\n", hex(&openssl::sha::sha256(&self.ldif))));
        let mut file = head.into_bytes();
        file.extend_from_slice(&self.ldif);
        file
    }

    /// Reads such a file again; a torn or altered one is refused.
    pub fn from_file(file: &[u8]) -> Result<Edition, IndexError> {
        let end =
            file.windows(2).position(|two| two == b"\n\n").ok_or(IndexError::Damaged("it has no end of its head"))?;
        let head = std::str::from_utf8(&file[..end]).map_err(|_| IndexError::Damaged("its head is no text"))?;
        let mut lines = head.lines();
        if lines.next() != Some(MAGIC) {
            return Err(IndexError::Damaged("its first line is another"));
        }
        let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.strip_prefix("# ")?.split_once(": ")).collect();
        let field = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let ldif = Bytes::copy_from_slice(&file[end + 2..]);
        if field("ldif") != Some(hex(&openssl::sha::sha256(&ldif))) {
            return Err(IndexError::Damaged("its text is not the one that was written"));
        }
        Ok(Edition {
            directory: Arc::new(Directory::from_ldif(&ldif)?),
            source: field("source").unwrap_or_default(),
            taken: field("taken").and_then(|t| t.parse().ok()).ok_or(IndexError::Damaged("it has no date"))?,
            signed: field("signed").and_then(|t| t.parse().ok()),
            signer: field("signer"),
            sha256: field("sha256").ok_or(IndexError::Damaged("it has no SHA-256"))?,
            ldif,
        })
    }
}

/// First line of a kept copy.
const MAGIC: &str = "# sigillo: a copy of the index of providers";

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn milliseconds(time: &str) -> Option<u64> {
    u64::try_from(time.parse::<jiff::Timestamp>().ok()?.as_millisecond()).ok()
}

fn instant(at: u64) -> String {
    let time = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    time.map_or_else(|| at.to_string(), |time| format!("{time:.0}"))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|b| format!("{b:02x}")).collect()
}
