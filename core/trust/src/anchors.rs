//! Trusted roots, and the path from a signer's certificate to a root (RFC 5280 §6), with what is known of
//! the revocation of its certificates (RFC 5280 §6.3, RFC 6960).

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::sha::Sha256;
use openssl::ssl::SslFiletype;
use openssl::stack::Stack;
use openssl::x509::store::{X509Lookup, X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509KeyUsage, X509PurposeId, X509Ref, X509StoreContext, X509StoreContextRef};

use crate::known::Known;
use crate::problem::Problem;
use crate::revocation::{Question, Responders, Revocation, Status, list_locations};
use crate::signing::stack;

/// Longest path, certificates between the signer's and the root. The genuine hierarchy has one.
const DEPTH_MAX: i32 = 8;
/// OpenSSL's level of strength at which a certificate signed with SHA-1 breaks the path.
const LEVEL_WITHOUT_SHA1: i32 = 1;
/// How long parsed lists are used again, seconds: a list of 1 MB takes some milliseconds to parse, and messages come many
/// a second. The library keeps the instant of a check beside the lists, so that they are parsed anew with each step.
const STEP: u64 = 10;
/// Certificates remembered as being on none of the lists of a step.
const LISTED_MAX: usize = 4096;
/// A file changed more recently than this may change again without a trace in its time.
const SETTLED: Duration = Duration::from_secs(2);
/// `X509_V_ERR_CERT_REVOKED` of `<openssl/x509_vfy.h>`.
const CERT_REVOKED: i32 = 23;
/// The `X509_V_ERR_…` of the same header that say something of a revocation list and nothing of the certificate: no
/// list (3), unreadable or forged (5, 8, 33, 35, 54), out of its time (11, 12, 15, 16), of another scope (36, 44).
const LIST_UNUSABLE: [i32; 12] = [3, 5, 8, 11, 12, 15, 16, 33, 35, 36, 44, 54];

/// Why roots or lists cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnchorsError {
    /// The roots are not PEM certificates.
    #[error("the trusted roots cannot be read: {0}")]
    Roots(String),
    /// There is no certificate: nothing would ever be trusted, which is not what a file is for.
    #[error("there is no trusted root in the file")]
    Empty,
    /// The file of revocation lists is missing or not PEM.
    #[error("the revocation lists in {0} cannot be read")]
    Lists(PathBuf),
}

/// What is trusted: roots, what is known of revocation, and whether SHA-1 still counts.
#[derive(Debug, Clone)]
pub struct Anchors {
    roots: Vec<X509>,
    lists: Option<PathBuf>,
    revocation: Option<Arc<Revocation>>,
    accept_sha1: bool,
    parsed: Arc<Mutex<Option<Parsed>>>,
    known: Arc<Known>,
}

/// A path that was verified: the signer's certificate first, the anchor last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedPath(Vec<X509>);

/// By what parsed lists are known to be those that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    step: u64,
    generation: u64,
    file: Option<(SystemTime, u64)>,
}

/// Roots and lists at an instant, and the certificates that were found on none of these lists, by the digest of their path:
/// with the same lists and the same instant it comes out the same.
struct Lists(X509Store, Mutex<HashSet<[u8; 32]>>);

/// What was parsed last.
type Parsed = (Stamp, Arc<Lists>);

impl std::fmt::Debug for Lists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lists")
    }
}

impl Anchors {
    /// Trusts the certificates of a PEM text: roots, or authorities below one (RFC 5280 §6.1.1 (d) lets a trust
    /// anchor be any authority). SHA-1 is accepted, as certified mail of before 2024 still has it.
    pub fn load(pem: &[u8]) -> Result<Anchors, AnchorsError> {
        let roots = stack(pem).map_err(AnchorsError::Roots)?;
        if roots.is_empty() {
            return Err(AnchorsError::Empty);
        }
        Ok(Anchors {
            roots,
            lists: None,
            revocation: None,
            accept_sha1: true,
            parsed: Arc::default(),
            known: Arc::default(),
        })
    }

    /// Trusts nobody: for a server that has no certified mail.
    pub fn none() -> Anchors {
        Anchors {
            roots: Vec::new(),
            lists: None,
            revocation: None,
            accept_sha1: false,
            parsed: Arc::default(),
            known: Arc::default(),
        }
    }

    /// Demands that no certificate of a path is on the PEM revocation lists in this file; every authority of the path
    /// needs its list there. The file is looked at with each verification, so that a list that was renewed (by a rename
    /// over the old one) counts from the next message on.
    pub fn with_revocation_lists(mut self, path: &Path) -> Result<Anchors, AnchorsError> {
        let failure = || AnchorsError::Lists(path.to_path_buf());
        // The library's loader takes the path as a C string.
        if path.to_str().is_none_or(|text| text.contains('\0')) {
            return Err(failure());
        }
        let mut builder = X509StoreBuilder::new().map_err(|_| failure())?;
        load_lists(&mut builder, path).map_err(|_| failure())?;
        self.lists = Some(path.to_path_buf());
        Ok(self)
    }

    /// Demands that no certificate of a path is known as revoked, by the lists and answers that are handed to `revocation`.
    pub fn with_revocation(mut self, revocation: Arc<Revocation>) -> Anchors {
        revocation.learn(&self.roots);
        self.revocation = Some(revocation);
        self
    }

    /// Says whether signatures and certificates made with SHA-1 are accepted.
    pub fn with_sha1(mut self, accept: bool) -> Anchors {
        self.accept_sha1 = accept;
        self.known = Arc::default(); // a path that held with SHA-1 may not hold without
        self
    }

    /// Whether SHA-1 is accepted.
    pub fn accepts_sha1(&self) -> bool {
        self.accept_sha1
    }

    /// The signers whose path held under these roots.
    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// The path from `certificate` to a root at an instant (milliseconds since 1970, UTC), over any of `others`:
    /// signatures, times, name constraints, extensions, and the use for S/MIME. Revocation is another question.
    pub(crate) fn path(&self, certificate: &X509Ref, others: &[X509], at: u64) -> Result<TrustedPath, Problem> {
        let path = verified(&self.store_for(at, X509PurposeId::SMIME_SIGN)?, certificate, others)??;
        // RFC 5280 §4.2.1.3. S/MIME would be content with nonRepudiation alone; PEC §5.5.2 asks for this bit.
        if certificate.key_usage().is_some_and(|usage| !usage.contains(X509KeyUsage::DIGITAL_SIGNATURE)) {
            return Err(Problem::Usage);
        }
        if let Some(revocation) = &self.revocation {
            revocation.learn(path.get(1..).unwrap_or_default());
        }
        Ok(TrustedPath(path))
    }

    /// The path of the certificate of a timestamp authority, whose extendedKeyUsage must be timeStamping alone, and
    /// critical (RFC 3161 §2.3).
    pub(crate) fn check_authority(&self, certificate: &X509Ref, others: &[X509], at: u64) -> Result<(), Problem> {
        verified(&self.store_for(at, X509PurposeId::TIMESTAMP_SIGN)?, certificate, others)?.map(drop)
    }

    fn store_for(&self, at: u64, purpose: X509PurposeId) -> Result<X509Store, Problem> {
        let mut builder = self.roots()?;
        let mut parameters = parameters(at / 1000, X509VerifyFlags::PARTIAL_CHAIN)?;
        parameters.set_purpose(purpose)?;
        if !self.accept_sha1 {
            parameters.set_auth_level(LEVEL_WITHOUT_SHA1);
        }
        builder.set_param(&parameters)?;
        Ok(builder.build())
    }

    /// Whether any certificate of a path, but for the anchor, is revoked.
    pub(crate) fn revoked(&self, path: &TrustedPath, at: u64) -> Result<(), Problem> {
        path.links().try_for_each(|(certificate, issuer)| self.link_revoked(path, certificate, issuer, at))
    }

    fn link_revoked(&self, path: &TrustedPath, certificate: &X509, issuer: &X509, at: u64) -> Result<(), Problem> {
        let revocation = self.revocation.as_deref();
        let question = revocation.and_then(|r| Some((r, r.question(certificate, issuer)?)));
        if let Some((revocation, question)) = question {
            match revocation.answer(&question, at).map(|answer| answer.status) {
                Some(Status::Good) => return Ok(()),
                Some(Status::Revoked) => {
                    let subject = distinguished_name(certificate.subject_name());
                    return Err(Problem::Revoked(format!("its responder says so ({subject})")));
                }
                Some(Status::Unknown) | None if revocation.responders() == Responders::Require => {
                    return Err(Problem::RevocationUnknown(format!("no answer of its responder, {}", question.url)));
                }
                Some(Status::Unknown) | None => {}
            }
        }
        self.link_listed(path, certificate, at)
    }

    /// Whether a certificate of a path is on the list of its issuer.
    fn link_listed(&self, path: &TrustedPath, certificate: &X509, at: u64) -> Result<(), Problem> {
        if self.lists.is_none() && self.revocation.is_none() {
            return Ok(());
        }
        let lists = self.lists(at)?;
        let name = path.name_of(certificate)?;
        if lists.1.lock().unwrap_or_else(PoisonError::into_inner).contains(&name) {
            return Ok(());
        }
        verified(&lists.0, certificate, &path.0)??;
        let mut found = lists.1.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() < LISTED_MAX {
            found.insert(name);
        }
        Ok(())
    }

    /// The questions to responders about a path that are not answered yet.
    pub fn questions(&self, path: &TrustedPath, at: u64) -> Vec<Question> {
        let Some(revocation) = &self.revocation else { return Vec::new() };
        let asked = path.links().filter_map(|(c, issuer)| revocation.question(c, issuer));
        asked.filter(|question| revocation.answer(question, at).is_none()).collect()
    }

    /// Where the lists are that would tell of a path what is not known: for each certificate, its locations, any of which
    /// will do. Responders' answers that are there already count.
    pub fn wanted_lists(&self, path: &TrustedPath, at: u64) -> Vec<Vec<String>> {
        if self.revocation.is_none() {
            return Vec::new();
        }
        let unknown = path.links().filter(|(certificate, issuer)| {
            matches!(self.link_revoked(path, certificate, issuer, at), Err(Problem::RevocationUnknown(_)))
        });
        unknown.map(|(certificate, _)| list_locations(certificate)).filter(|found| !found.is_empty()).collect()
    }

    /// Makes a certificate known before there is a message by it: its authorities are learnt if its path holds. Returns
    /// where the lists of the path are.
    pub fn introduce(&self, certificate: &[u8], others: &[Vec<u8>], at: u64) -> Vec<String> {
        let others: Vec<X509> = others.iter().filter_map(|der| X509::from_der(der).ok()).collect();
        let path = X509::from_der(certificate).ok().and_then(|own| self.path(&own, &others, at).ok());
        path.iter().flat_map(TrustedPath::links).flat_map(|(certificate, _)| list_locations(certificate)).collect()
    }

    fn roots(&self) -> Result<X509StoreBuilder, ErrorStack> {
        let mut builder = X509StoreBuilder::new()?;
        self.roots.iter().try_for_each(|root| builder.add_cert(root.clone()))?;
        Ok(builder)
    }

    /// Roots and lists at an instant: those of before where nothing has changed.
    fn lists(&self, at: u64) -> Result<Arc<Lists>, Problem> {
        let unreadable = || Problem::RevocationUnknown("the lists cannot be read".into());
        let (generation, files) = self.revocation.as_ref().map_or_else(Default::default, |r| r.files());
        let file = match &self.lists {
            None => None,
            Some(path) => {
                let metadata = std::fs::metadata(path).map_err(|_| unreadable())?;
                Some((metadata.modified()?, metadata.len()))
            }
        };
        // Upwards: a list that began this second counts at once, and none a second too long.
        let stamp = Stamp { step: (at / 1000).div_ceil(STEP), generation, file };
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, lists)) = &*parsed
            && *of == stamp
        {
            return Ok(lists.clone());
        }
        let mut builder = self.roots()?;
        if let Some(path) = &self.lists {
            load_lists(&mut builder, path).map_err(|_| unreadable())?;
        }
        for path in files {
            let lookup = builder.add_lookup(X509Lookup::file())?;
            lookup.load_crl_file(&path, SslFiletype::ASN1).map_err(|_| unreadable())?;
        }
        // Lists that an authority splits by distribution point are matched by it (RFC 5280 §5.2.5). Without a purpose: an
        // authority's own certificate is looked at like any other.
        let flags = X509VerifyFlags::PARTIAL_CHAIN | X509VerifyFlags::CRL_CHECK | X509VerifyFlags::EXTENDED_CRL_SUPPORT;
        let parameters = parameters(stamp.step * STEP, flags)?;
        builder.set_param(&parameters)?;
        let lists = Arc::new(Lists(builder.build(), Mutex::default()));
        let settled = |(modified, _): (SystemTime, u64)| modified.elapsed().is_ok_and(|age| age > SETTLED);
        *parsed = file.is_none_or(settled).then(|| (stamp, lists.clone()));
        Ok(lists)
    }
}

impl TrustedPath {
    /// Every certificate, the signer's first.
    pub(crate) fn certificates(&self) -> &[X509] {
        &self.0
    }

    /// Names a certificate together with the path that it is judged over.
    fn name_of(&self, certificate: &X509) -> Result<[u8; 32], ErrorStack> {
        let mut hash = Sha256::new();
        for certificate in std::iter::once(certificate).chain(&self.0) {
            hash.update(&certificate.digest(MessageDigest::sha256())?);
        }
        Ok(hash.finish())
    }

    /// Each certificate but the anchor, with its issuer's.
    fn links(&self) -> impl Iterator<Item = (&X509, &X509)> {
        self.0.iter().zip(self.0.iter().skip(1))
    }
}

fn parameters(second: u64, flags: X509VerifyFlags) -> Result<X509VerifyParam, ErrorStack> {
    let mut parameters = X509VerifyParam::new()?;
    parameters.set_flags(flags)?;
    parameters.set_time(i64::try_from(second).unwrap_or(i64::MAX));
    parameters.set_depth(DEPTH_MAX);
    Ok(parameters)
}

/// The path that the library finds and holds for good.
fn verified(
    store: &X509Store,
    certificate: &X509Ref,
    others: &[X509],
) -> Result<Result<Vec<X509>, Problem>, ErrorStack> {
    let mut chain = Stack::new()?;
    for other in others {
        chain.push(other.clone())?;
    }
    X509StoreContext::new()?.init(store, certificate, &chain, |context| {
        if !context.verify_cert()? {
            return Ok(Err(verdict(context)));
        }
        Ok(Ok(context.chain().into_iter().flatten().map(ToOwned::to_owned).collect()))
    })
}

fn load_lists(builder: &mut X509StoreBuilder, path: &Path) -> Result<(), ErrorStack> {
    let lookup = builder.add_lookup(X509Lookup::file())?;
    lookup.load_crl_file(path, SslFiletype::PEM).map(drop)
}

/// What the library found wrong, and with which certificate.
fn verdict(context: &X509StoreContextRef) -> Problem {
    let error = context.error();
    let subject =
        context.current_cert().map_or_else(String::new, |c| format!(" ({})", distinguished_name(c.subject_name())));
    let text = format!("{}{subject}", error.error_string());
    match error.as_raw() {
        CERT_REVOKED => Problem::Revoked(text),
        code if LIST_UNUSABLE.contains(&code) => Problem::RevocationUnknown(text),
        _ => Problem::Untrusted(text),
    }
}

/// A name as `C=IT, O=…, CN=…`, without control characters, at most 512 octets: it comes from whoever made the
/// certificate and ends in logs.
pub(crate) fn distinguished_name(name: &openssl::x509::X509NameRef) -> String {
    const LENGTH_MAX: usize = 512;
    let mut text = String::new();
    for entry in name.entries() {
        let key = entry.object().nid().short_name().unwrap_or("?");
        let value = entry.data().to_string().unwrap_or_default();
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(key);
        text.push('=');
        text.extend(value.chars().map(|c| if c.is_control() { '?' } else { c }));
        if text.len() > LENGTH_MAX {
            text.truncate(text.floor_char_boundary(LENGTH_MAX));
            text.push('…');
            break;
        }
    }
    text
}
