//! What is known of revocation: lists (RFC 5280 §5) and answers of responders (RFC 6960), each checked before it counts.
//!
//! Nothing here fetches: whoever verifies asks what is wanted ([`Anchors::questions`], [`Anchors::wanted_lists`]), brings
//! it, and hands it in ([`Revocation::offer_list`], [`Revocation::offer_answer`]). A list counts until its nextUpdate;
//! after it, or without any, it is not known whether a certificate is revoked, which passes by itself.
//!
//! [`Anchors::questions`]: crate::Anchors::questions
//! [`Anchors::wanted_lists`]: crate::Anchors::wanted_lists

mod answer;
mod list;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::x509::{X509, X509Crl, X509KeyUsage, X509Ref};

pub(crate) use answer::Status;
pub use answer::{ANSWER_OCTETS_MAX, AnswerError, Question};
pub use list::{LIST_OCTETS_MAX, ListError, ListFacts};

use answer::Answer;
use list::Header;

use crate::anchors::distinguished_name;

/// Lists kept: an authority has one, or a few by distribution point.
pub const LISTS_MAX: usize = 256;
/// Authorities remembered from paths that were verified, to check their lists by.
const AUTHORITIES_MAX: usize = 256;
/// Answers kept; the oldest goes when there are more. Providers have some dozens of certificates.
const ANSWERS_MAX: usize = 4096;
/// Locations taken from one certificate.
const LOCATIONS_MAX: usize = 4;
/// How far the clock of an authority may be ahead of ours, milliseconds.
pub(crate) const CLOCK_SKEW_MS: u64 = 5 * 60 * 1000;

/// Whether responders are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Responders {
    /// Never.
    Off,
    /// Where a certificate names one; its list counts where there is no answer.
    #[default]
    Prefer,
    /// Where a certificate names one, and nothing else counts for it.
    Require,
}

/// Lists and answers in use.
#[derive(Debug)]
pub struct Revocation {
    folder: PathBuf,
    responders: Responders,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lists: BTreeMap<String, ListFacts>,
    authorities: Vec<X509>,
    answers: BTreeMap<[u8; 32], Answer>,
    /// Changes with every list that comes in.
    generation: u64,
}

impl Revocation {
    /// With the lists that are kept in this folder, which is made for the first one. A file that is no list is an error: a
    /// list that was damaged must not be missed silently.
    pub fn open(folder: &Path, responders: Responders) -> io::Result<Revocation> {
        let mut state = State::default();
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => entries?.collect(),
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "crl") {
                continue;
            }
            let damaged = || io::Error::other(format!("{}: damaged; remove it, it is fetched anew", path.display()));
            let der = std::fs::read(&path)?;
            let header = Header::read(&der).ok_or_else(damaged)?;
            state.lists.insert(header.key(), header.facts(path.clone(), der.len()));
        }
        Ok(Revocation { folder: folder.to_owned(), responders, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is inside is whole after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether responders are asked.
    pub fn responders(&self) -> Responders {
        self.responders
    }

    /// The lists in use.
    pub fn lists(&self) -> Vec<ListFacts> {
        self.state().lists.values().cloned().collect()
    }

    /// Files of the lists in use, and what changes when they do.
    pub(crate) fn files(&self) -> (u64, Vec<PathBuf>) {
        let state = self.state();
        (state.generation, state.lists.values().map(|list| list.file.clone()).collect())
    }

    /// Remembers the authorities of a path that was verified.
    pub(crate) fn learn(&self, authorities: &[X509]) {
        let mut state = self.state();
        for authority in authorities {
            if state.authorities.len() < AUTHORITIES_MAX && !state.authorities.contains(authority) {
                state.authorities.push(authority.clone());
            }
        }
    }

    /// Takes revocation lists, DER or PEM (then there may be several), as a server or a file gave them. Each must be
    /// signed by an authority that is known (a root, or one seen in a verified path), be in its time, and not be older
    /// than the one in use. Returns what is in use afterwards for each; `at` is milliseconds since 1970.
    pub fn offer_list(&self, octets: &[u8], at: u64) -> Result<Vec<ListFacts>, ListError> {
        if octets.len() as u64 > LIST_OCTETS_MAX {
            return Err(ListError::TooLong);
        }
        list::blocks(octets)?.iter().map(|der| self.take_list(der, at)).collect()
    }

    fn take_list(&self, der: &[u8], at: u64) -> Result<ListFacts, ListError> {
        let malformed = || ListError::Malformed;
        let header = Header::read(der).ok_or_else(malformed)?;
        if header.is_delta {
            return Err(ListError::Delta);
        }
        let parsed = X509Crl::from_der(der).map_err(|_| malformed())?;
        let mut state = self.state();
        check_signature(&parsed, &state.authorities)?;
        header.check_time(at)?;
        let key = header.key();
        if let Some(current) = state.lists.get(&key) {
            if header.is_older_than(current) {
                return Err(ListError::Older);
            }
            if header.this_ms == current.this_ms && header.number == current.number {
                return Ok(current.clone());
            }
        } else if state.lists.len() >= LISTS_MAX {
            return Err(ListError::Many);
        }
        let file = self.folder.join(format!("{key}.crl"));
        list::write(&file, der).map_err(|error| ListError::Kept(file.display().to_string(), error.to_string()))?;
        let facts = header.facts(file, der.len());
        state.lists.insert(key, facts.clone());
        state.generation += 1;
        Ok(facts)
    }

    /// Takes a responder's answer to a question. It must be signed by the issuer of the certificate or by whom the issuer
    /// appointed, be about that certificate, and be in its time (RFC 6960 §3.2).
    pub fn offer_answer(&self, question: &Question, octets: &[u8], at: u64) -> Result<(), AnswerError> {
        let answer = answer::check(question, octets, at)?;
        let mut state = self.state();
        if state.answers.len() >= ANSWERS_MAX {
            let oldest = state.answers.iter().min_by_key(|(_, answer)| answer.until_ms).map(|(id, _)| *id);
            oldest.and_then(|id| state.answers.remove(&id));
        }
        state.answers.insert(question.id, answer);
        Ok(())
    }

    /// What a responder said of a certificate, as long as that counts.
    pub(crate) fn answer(&self, question: &Question, at: u64) -> Option<Answer> {
        self.state().answers.get(&question.id).filter(|answer| at <= answer.until_ms).cloned()
    }

    /// The question about a certificate, if it names a responder and responders are asked.
    pub(crate) fn question(&self, certificate: &X509, issuer: &X509) -> Option<Question> {
        match self.responders {
            Responders::Off => None,
            Responders::Prefer | Responders::Require => Question::new(certificate, issuer),
        }
    }
}

/// Any of the authorities with the name of the list's issuer, that may sign lists (RFC 5280 §6.3.3 (f), (g)).
fn check_signature(list: &X509Crl, authorities: &[X509]) -> Result<(), ListError> {
    let issuer = list.issuer_name();
    let named = |c: &&X509| c.subject_name().try_cmp(issuer).is_ok_and(|order| order.is_eq());
    let may = |c: &&X509| c.key_usage().is_none_or(|usage| usage.contains(X509KeyUsage::CRL_SIGN));
    let mut candidates = authorities.iter().filter(named).filter(may).peekable();
    if candidates.peek().is_none() {
        return Err(ListError::UnknownIssuer(distinguished_name(issuer)));
    }
    let signed = |c: &X509| c.public_key().is_ok_and(|key| list.verify(&key).unwrap_or(false));
    if candidates.any(signed) { Ok(()) } else { Err(ListError::Forged(distinguished_name(issuer))) }
}

/// Where a certificate says that its list is (RFC 5280 §4.2.1.13); only what HTTP fetches.
pub(crate) fn list_locations(certificate: &X509Ref) -> Vec<String> {
    let points = certificate.crl_distribution_points();
    let mut found = Vec::new();
    for point in points.iter().flatten() {
        let names = point.distpoint().and_then(|name| name.fullname());
        found.extend(
            names.into_iter().flatten().filter_map(|name| name.uri()).filter(|uri| is_http(uri)).map(String::from),
        );
    }
    found.truncate(LOCATIONS_MAX);
    found
}

/// Where a certificate says that its responder is (RFC 5280 §4.2.2.1).
fn responder(certificate: &X509Ref) -> Option<String> {
    let access = certificate.authority_info()?;
    let ocsp = access.iter().filter(|entry| entry.method().nid() == Nid::AD_OCSP);
    ocsp.filter_map(|entry| entry.location().uri()).find(|uri| is_http(uri)).map(String::from)
}

fn is_http(uri: &str) -> bool {
    let scheme = uri.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"))
}

/// SHA-256, for names of files and of answers.
fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    if let Ok(digest) = hash(MessageDigest::sha256(), octets) {
        out.copy_from_slice(&digest);
    }
    out
}
