//! Timestamps of an authority over a SHA-256 digest (RFC 3161): the request, and what an answer proves.
//!
//! The types of the RustCrypto crate `x509-tsp` do not read a `genTime` with a fraction of a second, which RFC 3161
//! §2.4.2 allows and authorities use; so the few fields that matter are read here, like the rest of CMS in this crate.

use cms::cert::x509::der::asn1::{AnyRef, Null, ObjectIdentifier, OctetStringRef, UintRef};
use cms::cert::x509::der::oid::db::rfc5912;
use cms::cert::x509::der::{self, Decode, Encode, Reader, SliceReader, Tag, Tagged};
use openssl::hash::MessageDigest;
use openssl::x509::X509Ref;
use sigillo_mail::Rope;
use sigillo_mail::rope::NoSource;

use crate::anchors::{Anchors, distinguished_name};
use crate::problem::Problem;
use crate::signature::{certificates, check, message_digest, only_signer};
use crate::signed_data::{SignedData, SignerView, normalise};

/// Longest answer taken apart, octets; genuine ones have 2 to 8 thousand.
pub const ANSWER_OCTETS_MAX: u64 = 256 * 1024;
/// Content types of a request and of an answer over HTTP (RFC 3161 §3.4).
pub const REQUEST_TYPE: &str = "application/timestamp-query";
/// See [`REQUEST_TYPE`].
pub const ANSWER_TYPE: &str = "application/timestamp-reply";
/// How far the time of a fresh stamp may lie from our own, milliseconds: more means that one of the clocks is wrong.
pub const CLOCKS_APART_MAX: u64 = 10 * 60 * 1000;

/// id-ct-TSTInfo (RFC 3161 §2.4.2).
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
/// id-aa-signingCertificate (RFC 3161 §2.4.2 by RFC 2634).
const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
/// id-aa-signingCertificateV2 (RFC 5816 §2.2.1).
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

/// Why an answer is no proof.
#[derive(Debug, thiserror::Error)]
pub enum StampError {
    /// Not a TimeStampResp, or not one with a token of the right form.
    #[error("it is not the answer of a timestamp authority: {0}")]
    Malformed(&'static str),
    /// The authority refused (RFC 3161 §2.4.2 PKIStatusInfo).
    #[error("the authority refused: status {0}")]
    Refused(u8),
    /// The stamp is of other content.
    #[error("the stamp belongs to other content: its digest is another")]
    OtherContent,
    /// An answer to another request.
    #[error("the stamp answers another request: its nonce is another")]
    Nonce,
    /// Made under another policy than the one asked for.
    #[error("the stamp was made under policy {0}, which was not asked for")]
    Policy(String),
    /// The time in it is far from ours.
    #[error("the time of the stamp is {0} s away from the clock of this machine")]
    Time(u64),
    /// The token does not bind the certificate of its signer (RFC 3161 §2.4.1, RFC 5816 §2.2.1).
    #[error("the stamp does not name the certificate that signed it")]
    Certificate,
    /// The signature, the certificate, or the path to a trusted root.
    #[error("{0}")]
    Signature(#[from] Problem),
    /// The policy in the configuration is no object identifier.
    #[error("'{0}' is not an object identifier")]
    BadPolicy(String),
    /// The request could not be written.
    #[error("the request cannot be encoded: {0}")]
    Encoding(der::Error),
}

impl From<der::Error> for StampError {
    fn from(error: der::Error) -> StampError {
        StampError::Encoding(error)
    }
}

/// What a stamp proves: that its content was there at `time`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Milliseconds since 1970, UTC.
    pub time: u64,
    /// The authority's number of it, in hex (TIM-04).
    pub serial: String,
    /// The policy under which it was made.
    pub policy: String,
    /// The subject of the authority's certificate.
    pub authority: String,
}

/// What an answer must fit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The nonce of the request; none where an answer is looked at again later.
    pub nonce: Option<u64>,
    /// The policy that was asked for.
    pub policy: Option<&'a str>,
    /// Our own time, milliseconds since 1970; none where an answer is looked at again later.
    pub now: Option<u64>,
}

fn policy_identifier(policy: &str) -> Result<ObjectIdentifier, StampError> {
    ObjectIdentifier::new(policy).map_err(|_| StampError::BadPolicy(policy.to_owned()))
}

/// DER of a SEQUENCE around these elements.
fn sequence(elements: &[&[u8]]) -> der::Result<Vec<u8>> {
    AnyRef::new(Tag::Sequence, &elements.concat())?.to_der()
}

/// A TimeStampReq for a SHA-256 digest, which asks for the authority's certificate (RFC 3161 §2.4.1).
pub fn request(sha256: &[u8; 32], nonce: u64, policy: Option<&str>) -> Result<Vec<u8>, StampError> {
    let algorithm = sequence(&[&rfc5912::ID_SHA_256.to_der()?, &Null.to_der()?])?;
    let imprint = sequence(&[&algorithm, &OctetStringRef::new(sha256)?.to_der()?])?;
    let policy = match policy {
        Some(policy) => policy_identifier(policy)?.to_der()?,
        None => Vec::new(),
    };
    let nonce = UintRef::new(&nonce.to_be_bytes())?.to_der()?;
    Ok(sequence(&[&1_u8.to_der()?, &imprint, &policy, &nonce, &true.to_der()?])?)
}

/// What a TimeStampResp proves about content of this digest. The authority's certificate must be trusted at the time of
/// the stamp: it is looked at again long after it has expired.
pub fn examine(answer: &[u8], sha256: &[u8; 32], anchors: &Anchors, wanted: Wanted<'_>) -> Result<Stamp, StampError> {
    if answer.len() as u64 > ANSWER_OCTETS_MAX {
        return Err(StampError::Malformed("it is too long"));
    }
    let (status, token) = parts(answer).map_err(|_| StampError::Malformed("it is not DER of a TimeStampResp"))?;
    // RFC 3161 §2.4.2: 0 is granted, 1 granted with modifications; whatever else comes has no token.
    if status > 1 {
        return Err(StampError::Refused(status));
    }
    let token = normalise(token.ok_or(StampError::Malformed("there is no token in it"))?)?;
    let signed = SignedData::parse(&token).map_err(|_| StampError::Malformed("the token is not SignedData"))?;
    if signed.content_type != TST_INFO {
        return Err(StampError::Malformed("the token holds something else"));
    }
    let content = signed.content.ok_or(StampError::Malformed("the token is empty"))?;
    let info = Info::parse(content).map_err(|_| StampError::Malformed("the token's content is not TSTInfo"))?;
    let signer = only_signer(&signed)?;
    let (certificate, others) = certificates(&signed, signer)?;
    check(&signed, signer, &certificate, &Rope::from_bytes(content.to_vec()), &NoSource, false)?;
    check_names_certificate(signer, &certificate)?;
    let time = info.time().ok_or(StampError::Malformed("its time is not one"))?;
    anchors.check_authority(&certificate, &others, time)?;
    check_wanted(&info, sha256, time, wanted)?;
    Ok(Stamp {
        time,
        serial: info.serial.iter().map(|byte| format!("{byte:02x}")).collect(),
        policy: info.policy.to_string(),
        authority: distinguished_name(certificate.subject_name()),
    })
}

fn check_wanted(info: &Info<'_>, sha256: &[u8; 32], time: u64, wanted: Wanted<'_>) -> Result<(), StampError> {
    if info.algorithm != rfc5912::ID_SHA_256 || info.digest != sha256 {
        return Err(StampError::OtherContent);
    }
    // RFC 3161 §2.4.2: where the request had a nonce, the answer must have the same.
    if let Some(nonce) = wanted.nonce {
        let sent = nonce.to_be_bytes();
        let significant = |octets: &[u8]| octets.iter().position(|&o| o != 0).map_or(octets.len(), |first| first);
        let told = info.nonce.ok_or(StampError::Nonce)?;
        if told[significant(told)..] != sent[significant(&sent)..] {
            return Err(StampError::Nonce);
        }
    }
    if let Some(policy) = wanted.policy
        && info.policy != policy_identifier(policy)?
    {
        return Err(StampError::Policy(info.policy.to_string()));
    }
    match wanted.now.map(|now| now.abs_diff(time)) {
        Some(apart) if apart > CLOCKS_APART_MAX => Err(StampError::Time(apart / 1000)),
        _ => Ok(()),
    }
}

/// Status, and the token if there is one.
fn parts(answer: &[u8]) -> der::Result<(u8, Option<&[u8]>)> {
    AnyRef::from_der(answer)?.sequence(|r| {
        let status = AnyRef::decode(r)?.sequence(|r| {
            let status = u8::decode(r)?;
            while !r.is_finished() {
                AnyRef::decode(r)?;
            }
            Ok(status)
        })?;
        let token = if r.is_finished() { None } else { Some(r.tlv_bytes()?) };
        Ok((status, token))
    })
}

/// What matters of TSTInfo.
struct Info<'a> {
    policy: ObjectIdentifier,
    algorithm: ObjectIdentifier,
    digest: &'a [u8],
    /// Content octets of the number.
    serial: &'a [u8],
    /// Text of the GeneralizedTime.
    time: &'a [u8],
    /// Content octets of the number.
    nonce: Option<&'a [u8]>,
}

impl<'a> Info<'a> {
    fn parse(octets: &'a [u8]) -> der::Result<Info<'a>> {
        AnyRef::from_der(octets)?.sequence(|r| {
            let version = u8::decode(r)?;
            if version != 1 {
                return Err(Tag::Integer.value_error());
            }
            let policy = ObjectIdentifier::decode(r)?;
            let (algorithm, digest) = AnyRef::decode(r)?.sequence(imprint)?;
            let serial = typed(AnyRef::decode(r)?, Tag::Integer)?;
            let time = typed(AnyRef::decode(r)?, Tag::GeneralizedTime)?;
            let mut nonce = None;
            while !r.is_finished() {
                // accuracy, ordering, tsa and extensions have other tags.
                let field = AnyRef::decode(r)?;
                if field.tag() == Tag::Integer {
                    nonce = Some(field.value());
                }
            }
            Ok(Info { policy, algorithm, digest, serial, time, nonce })
        })
    }

    fn time(&self) -> Option<u64> {
        let text = std::str::from_utf8(self.time).ok()?.strip_suffix('Z')?;
        let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S%.f", text).ok()?;
        let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
        u64::try_from(time).ok()
    }
}

fn typed(element: AnyRef<'_>, tag: Tag) -> der::Result<&[u8]> {
    element.tag().assert_eq(tag)?;
    Ok(element.value())
}

fn imprint<'a>(r: &mut SliceReader<'a>) -> der::Result<(ObjectIdentifier, &'a [u8])> {
    let algorithm = identifier(AnyRef::decode(r)?)?;
    Ok((algorithm, typed(AnyRef::decode(r)?, Tag::OctetString)?))
}

/// The object identifier of an AlgorithmIdentifier.
fn identifier(element: AnyRef<'_>) -> der::Result<ObjectIdentifier> {
    element.sequence(|r| {
        let identifier = ObjectIdentifier::decode(r)?;
        while !r.is_finished() {
            AnyRef::decode(r)?;
        }
        Ok(identifier)
    })
}

/// The signed attributes must name the signer's certificate by its digest, so that no other one with the same key can
/// be put in its place: ESSCertIDv2 (RFC 5816 §2.2.1), or ESSCertID, which has SHA-1 (RFC 3161 §2.4.2).
fn check_names_certificate(signer: &SignerView<'_>, certificate: &X509Ref) -> Result<(), StampError> {
    let (value, second) = match signer.attribute(SIGNING_CERTIFICATE_V2)? {
        Some(value) => (value, true),
        None => (signer.attribute(SIGNING_CERTIFICATE)?.ok_or(StampError::Certificate)?, false),
    };
    let (algorithm, named) = first_certificate(value, second).map_err(|_| StampError::Certificate)?;
    let algorithm = match (second, algorithm) {
        (true, Some(algorithm)) => message_digest(algorithm, false)?,
        (true, None) => MessageDigest::sha256(),
        (false, _) => MessageDigest::sha1(),
    };
    let digest = certificate.digest(algorithm).map_err(Problem::from)?;
    if *digest == *named { Ok(()) } else { Err(StampError::Certificate) }
}

/// Digest algorithm, where it is not the default, and digest of the first certificate that is named.
fn first_certificate(value: AnyRef<'_>, second: bool) -> der::Result<(Option<ObjectIdentifier>, &[u8])> {
    let mut all = SliceReader::new(typed(value, Tag::Sequence)?)?;
    let mut certificates = SliceReader::new(typed(AnyRef::decode(&mut all)?, Tag::Sequence)?)?;
    let mut first = SliceReader::new(typed(AnyRef::decode(&mut certificates)?, Tag::Sequence)?)?;
    let element = AnyRef::decode(&mut first)?;
    if second && element.tag() == Tag::Sequence {
        let algorithm = identifier(element)?;
        return Ok((Some(algorithm), typed(AnyRef::decode(&mut first)?, Tag::OctetString)?));
    }
    Ok((None, typed(element, Tag::OctetString)?))
}
