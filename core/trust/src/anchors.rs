//! Trusted roots and revocation lists, and the path from a signer's certificate to a root (RFC 5280 §6).

use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::ssl::SslFiletype;
use openssl::stack::Stack;
use openssl::x509::store::{X509Lookup, X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509KeyUsage, X509PurposeId, X509Ref, X509StoreContext, X509StoreContextRef};

use crate::problem::Problem;
use crate::signing::stack;

/// Longest path, certificates between the signer's and the root. The genuine hierarchy has one.
const DEPTH_MAX: i32 = 8;
/// OpenSSL's level of strength at which a certificate signed with SHA-1 breaks the path.
const LEVEL_WITHOUT_SHA1: i32 = 1;
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

/// What is trusted: roots, where revocation lists lie, and whether SHA-1 still counts.
#[derive(Debug, Clone)]
pub struct Anchors {
    roots: Vec<X509>,
    lists: Option<PathBuf>,
    accept_sha1: bool,
}

impl Anchors {
    /// Trusts the certificates of a PEM text: roots, or authorities below one (RFC 5280 §6.1.1 (d) lets a trust
    /// anchor be any authority). SHA-1 is accepted, as certified mail of before 2024 still has it.
    pub fn load(pem: &[u8]) -> Result<Anchors, AnchorsError> {
        let roots = stack(pem).map_err(AnchorsError::Roots)?;
        if roots.is_empty() {
            return Err(AnchorsError::Empty);
        }
        Ok(Anchors { roots, lists: None, accept_sha1: true })
    }

    /// Trusts nobody: for a server that has no certified mail.
    pub fn none() -> Anchors {
        Anchors { roots: Vec::new(), lists: None, accept_sha1: false }
    }

    /// Demands that no certificate of a path is on the PEM revocation lists in this file; every authority of the path
    /// needs its list there. The file is read anew at each verification, so that a list that was renewed (by a
    /// rename over the old one) counts from the next message on.
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

    /// Says whether signatures and certificates made with SHA-1 are accepted.
    pub fn with_sha1(mut self, accept: bool) -> Anchors {
        self.accept_sha1 = accept;
        self
    }

    /// Whether SHA-1 is accepted.
    pub fn accepts_sha1(&self) -> bool {
        self.accept_sha1
    }

    /// Checks the path from `certificate` to a root at an instant (milliseconds since 1970, UTC), over any of
    /// `others`: signatures, times, name constraints, extensions, revocation, and the use for S/MIME.
    pub(crate) fn check(&self, certificate: &X509Ref, others: &[X509], at: u64) -> Result<(), Problem> {
        let mut chain = Stack::new()?;
        for other in others {
            chain.push(other.clone())?;
        }
        let store = self.store(at)?;
        let mut context = X509StoreContext::new()?;
        context.init(&store, certificate, &chain, |context| {
            let holds = context.verify_cert()?;
            Ok(if holds { Ok(()) } else { Err(verdict(context)) })
        })??;
        // RFC 5280 §4.2.1.3. S/MIME would be content with nonRepudiation alone; PEC §5.5.2 asks for this bit.
        match certificate.key_usage() {
            Some(usage) if !usage.contains(X509KeyUsage::DIGITAL_SIGNATURE) => Err(Problem::Usage),
            _ => Ok(()),
        }
    }

    fn store(&self, at: u64) -> Result<X509Store, Problem> {
        let mut builder = X509StoreBuilder::new()?;
        for root in &self.roots {
            builder.add_cert(root.clone())?;
        }
        let mut flags = X509VerifyFlags::PARTIAL_CHAIN;
        if let Some(path) = &self.lists {
            flags |= X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL;
            // Lists that an authority splits by distribution point are matched by it (RFC 5280 §5.2.5).
            flags |= X509VerifyFlags::EXTENDED_CRL_SUPPORT;
            load_lists(&mut builder, path)
                .map_err(|_| Problem::RevocationUnknown("the lists cannot be read".into()))?;
        }
        let mut parameters = X509VerifyParam::new()?;
        parameters.set_flags(flags)?;
        parameters.set_purpose(X509PurposeId::SMIME_SIGN)?;
        parameters.set_time(i64::try_from(at / 1000).unwrap_or(i64::MAX));
        parameters.set_depth(DEPTH_MAX);
        if !self.accept_sha1 {
            parameters.set_auth_level(LEVEL_WITHOUT_SHA1);
        }
        builder.set_param(&parameters)?;
        Ok(builder.build())
    }
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
/// certificate and ends in logs. A comma or backslash within a value has a backslash before it (RFC 4514 §2.4), so that
/// two names that differ are never the same text unless they are longer than that.
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
        for c in value.chars() {
            if matches!(c, ',' | '\\') {
                text.push('\\');
            }
            text.push(if c.is_control() { '?' } else { c });
        }
        if text.len() > LENGTH_MAX {
            text.truncate(text.floor_char_boundary(LENGTH_MAX));
            text.push('…');
            break;
        }
    }
    text
}
