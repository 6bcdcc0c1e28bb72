//! Questions to OCSP responders and their answers (RFC 6960).

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::ocsp::{OcspCertId, OcspCertStatus, OcspFlag, OcspRequest, OcspResponse, OcspResponseStatus};
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509PurposeId};

use super::{CLOCK_SKEW_MS, responder, sha256};

/// Longest answer, octets; genuine ones have half to five thousand.
pub const ANSWER_OCTETS_MAX: u64 = 64 * 1024;
/// How long an answer counts at most, milliseconds, whatever its nextUpdate: a certificate that is revoked today must
/// not pass for a week.
const ANSWER_KEPT_MAX_MS: u64 = 12 * 3600 * 1000;
/// How long an answer without nextUpdate counts: newer information is always available then (RFC 6960 §4.2.2.1).
const ANSWER_KEPT_MIN_MS: u64 = 5 * 60 * 1000;

/// A question about one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Where to POST it, as `application/ocsp-request`.
    pub url: String,
    /// OCSPRequest, DER, without a nonce: responders answer with what they have signed already.
    pub request: Vec<u8>,
    pub(super) id: [u8; 32],
    certificate: X509,
    issuer: X509,
}

/// Why an answer does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not an OCSPResponse.
    #[error("it is no OCSP response")]
    Malformed,
    /// The responder gave an error instead (RFC 6960 §2.3).
    #[error("the responder says: error {0}")]
    Refused(i32),
    /// Not signed by the issuer or a delegate of it.
    #[error("it is not signed by the certificate's issuer, or by whom that one appointed: {0}")]
    Forged(String),
    /// It says nothing about the certificate.
    #[error("it is about another certificate")]
    Other,
    /// Out of its time.
    #[error("its time has passed or has not begun")]
    Stale,
}

/// What a responder said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: Status,
    pub until_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Good,
    Revoked,
    /// The responder does not know the certificate.
    Unknown,
}

impl Question {
    /// None if the certificate names no responder.
    pub(super) fn new(certificate: &X509, issuer: &X509) -> Option<Question> {
        let url = responder(certificate)?;
        let mut request = OcspRequest::new().ok()?;
        request.add_id(id(certificate, issuer).ok()?).ok()?;
        let request = request.to_der().ok()?;
        let (certificate, issuer) = (certificate.clone(), issuer.clone());
        Some(Question { url, id: sha256(&request), request, certificate, issuer })
    }
}

/// RFC 5019 §2.1.1: SHA-1 is what every responder knows; it only names the issuer here.
fn id(certificate: &X509, issuer: &X509) -> Result<OcspCertId, ErrorStack> {
    OcspCertId::from_cert(MessageDigest::sha1(), certificate, issuer)
}

/// Checks an answer (RFC 6960 §3.2): signature, certificate, time.
pub(super) fn check(question: &Question, octets: &[u8], at: u64) -> Result<Answer, AnswerError> {
    let response = OcspResponse::from_der(octets).map_err(|_| AnswerError::Malformed)?;
    if response.status() != OcspResponseStatus::SUCCESSFUL {
        return Err(AnswerError::Refused(response.status().as_raw()));
    }
    let basic = response.basic().map_err(|_| AnswerError::Malformed)?;
    let forged = |error: ErrorStack| AnswerError::Forged(error.to_string());
    let mut builder = X509StoreBuilder::new().map_err(forged)?;
    // The issuer is trusted for this: its path was verified. OpenSSL checks that the signer is it, or has its certificate
    // with the extended key usage for OCSP (RFC 6960 §4.2.2.2).
    builder.add_cert(question.issuer.clone()).map_err(forged)?;
    let mut parameters = X509VerifyParam::new().map_err(forged)?;
    parameters.set_flags(X509VerifyFlags::PARTIAL_CHAIN).map_err(forged)?;
    parameters.set_purpose(X509PurposeId::OCSP_HELPER).map_err(forged)?;
    parameters.set_time(i64::try_from(at / 1000).unwrap_or(i64::MAX));
    builder.set_param(&parameters).map_err(forged)?;
    let mut certificates = Stack::new().map_err(forged)?;
    // Only the issuer: the signer is looked for by name, here before among what the responder sent, and the certificate
    // in question may have the responder's name.
    certificates.push(question.issuer.clone()).map_err(forged)?;
    basic.verify(&certificates, &builder.build(), OcspFlag::empty()).map_err(forged)?;
    let id = id(&question.certificate, &question.issuer).map_err(forged)?;
    let found = basic.find_status(&id).ok_or(AnswerError::Other)?;
    let this = milliseconds(&found.this_update.to_string()).ok_or(AnswerError::Malformed)?;
    let next = match found.next_update() {
        Some(time) => milliseconds(&time.to_string()).ok_or(AnswerError::Malformed)?,
        None => this.saturating_add(ANSWER_KEPT_MIN_MS),
    };
    if this > at + CLOCK_SKEW_MS || next <= at {
        return Err(AnswerError::Stale);
    }
    let status = match found.status {
        OcspCertStatus::GOOD => Status::Good,
        OcspCertStatus::REVOKED => Status::Revoked,
        _ => Status::Unknown,
    };
    Ok(Answer { status, until_ms: next.min(at.saturating_add(ANSWER_KEPT_MAX_MS)) })
}

/// An instant as the library prints it: `Nov  6 03:03:12 2026 GMT`.
fn milliseconds(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [month, day, time, year, "GMT"] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let at: jiff::Timestamp = format!("{year}-{month:02}-{:02}T{time}Z", day.parse::<u8>().ok()?).parse().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}
