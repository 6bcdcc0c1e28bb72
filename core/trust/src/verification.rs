//! What the signature of a message proves ([PEC §2.2.2], RFC 8551 §3.5).

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use bytes::Bytes;
use cms::cert::x509::der::oid::db::rfc5911;
use cms::cert::x509::der::{Decode, Encode};
use cms::cert::x509::time::Time;
use sigillo_mail::rope::NoSource;
use sigillo_mail::structure::{Part, Structure};
use sigillo_mail::{Rope, Source};

use crate::anchors::{Anchors, TrustedPath};
use crate::directory::INDEX_OCTETS_MAX;
use crate::known::{self, SignerCertificate};
use crate::problem::Problem;
use crate::signature::{check, name, only_signer};
use crate::signed_data::{SignedData, SignerView, normalise};

/// Longest signature part, octets as transmitted; genuine ones have 5 to 12 thousand. Taking it apart can need forty
/// times as much memory.
pub const SIGNATURE_OCTETS_MAX: u64 = 256 * 1024;

/// What a verification found. The facts grow in this order, each only if those before hold: `present`, `intact`,
/// `trusted`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// The message is a top-level `multipart/signed` with a CMS signature as its second part.
    pub present: bool,
    /// Digest and signature are those of the signed part, octet for octet, by the key of `certificate`.
    pub intact: bool,
    /// The path leads to a trusted root, every certificate is in its time and not known as revoked, and the key may
    /// sign.
    pub trusted: bool,
    /// The first thing found wrong, in words (see [`Problem`]).
    pub problem: Option<String>,
    /// Whether the problem may pass by itself, so that the answer is to defer.
    pub transient: bool,
    /// The signer's certificate, DER, as it was sent.
    pub certificate: Option<Vec<u8>>,
    /// The rfc822 names of that certificate. They say something of the sender only where `trusted` holds.
    pub addresses: Vec<String>,
    /// The path from that certificate to a trusted root, if it holds but for revocation.
    pub path: Option<TrustedPath>,
    /// Index of the signed part in [`Structure::parts`].
    pub signed_part: Option<usize>,
    /// More facts by name: `digest`, `algorithm`, `subject`, `issuer`, `serial`, `valid-from`, `valid-until`, `sha1` (of
    /// the certificate), `signing-time`.
    pub properties: BTreeMap<String, String>,
}

/// Verifies the top-level signature of a message at an instant (milliseconds since 1970, UTC). Blocking: it reads
/// the signed part once, and computes.
pub fn verify(
    message: &Rope,
    structure: &Structure,
    source: &dyn Source,
    anchors: &Anchors,
    at_ms: u64,
) -> Verification {
    let mut found = Verification::default();
    if let Err(problem) = examine(message, structure, source, anchors, at_ms, &mut found) {
        found.transient = problem.is_transient();
        found.problem = Some(problem.to_string());
    }
    found
}

fn examine(
    message: &Rope,
    structure: &Structure,
    source: &dyn Source,
    anchors: &Anchors,
    at_ms: u64,
    found: &mut Verification,
) -> Result<(), Problem> {
    let (content, signature) = signed_parts(structure)?;
    found.present = true;
    found.signed_part = Some(content);
    if [0, content, signature].iter().any(|part| structure.parts[*part].ambiguous) {
        return Err(Problem::Ambiguous);
    }
    let octets = signature_octets(message, &structure.parts[signature], source)?;
    let content = signed_octets(message, &structure.parts[content]);
    examine_signature(&octets, &content, source, anchors, at_ms, found)
}

/// The CMS side: the same for any detached content.
fn examine_signature(
    octets: &[u8],
    content: &Rope,
    source: &dyn Source,
    anchors: &Anchors,
    at_ms: u64,
    found: &mut Verification,
) -> Result<(), Problem> {
    let der = normalise(octets)?;
    let signed = SignedData::parse(&der).map_err(|_| Problem::Malformed("it is not SignedData"))?;
    if signed.content.is_some() {
        return Err(Problem::NotDetached);
    }
    examine_signer(&signed, content, source, anchors, at_ms, found)
}

/// Opens a signed file (`.p7m`, DER or BER): SignedData with its content inside, as the index of providers is
/// exchanged ([PEC §4.5]). The content is given out only where everything holds.
pub fn open_signed(octets: &[u8], anchors: &Anchors, at_ms: u64) -> (Verification, Option<Bytes>) {
    let mut found = Verification::default();
    let opened = open(octets, anchors, at_ms, &mut found);
    match opened {
        Ok(content) => (found, Some(content)),
        Err(problem) => {
            found.transient = problem.is_transient();
            found.problem = Some(problem.to_string());
            (found, None)
        }
    }
}

fn open(octets: &[u8], anchors: &Anchors, at_ms: u64, found: &mut Verification) -> Result<Bytes, Problem> {
    if octets.len() > INDEX_OCTETS_MAX {
        return Err(Problem::TooLarge("the file is longer than an index may be"));
    }
    let der = normalise(octets)?;
    let signed = SignedData::parse(&der).map_err(|_| Problem::Malformed("it is not SignedData"))?;
    let content = signed.content.ok_or(Problem::NotSigned("there is no content in it"))?;
    found.present = true;
    let content = Bytes::copy_from_slice(content);
    examine_signer(&signed, &Rope::from_bytes(content.clone()), &NoSource, anchors, at_ms, found)?;
    Ok(content)
}

fn examine_signer(
    signed: &SignedData<'_>,
    content: &Rope,
    source: &dyn Source,
    anchors: &Anchors,
    at_ms: u64,
    found: &mut Verification,
) -> Result<(), Problem> {
    let signer = only_signer(signed)?;
    let name = known::name(signed, signer);
    let (own, path) = match anchors.known().find(&name, at_ms) {
        Some((own, path)) => (own, Some(path)),
        None => (Arc::new(SignerCertificate::read(signed, signer)?), None),
    };
    found.certificate = Some(own.der.clone());
    found.addresses = own.addresses.clone();
    found.properties = properties(signer, &own);
    check(signed, signer, &own.certificate, content, source, anchors.accepts_sha1())?;
    found.intact = true;
    let path = match path {
        Some(path) => path,
        None => {
            let path = anchors.path(&own.certificate, &own.others, at_ms)?;
            anchors.known().remember(name, own, &path);
            path
        }
    };
    let revoked = anchors.revoked(&path, at_ms);
    found.path = Some(path);
    revoked?;
    found.trusted = true;
    Ok(())
}

/// Judges the revocation of a path again, after lists or answers have come in; nothing else is looked at anew.
pub fn recheck(found: &mut Verification, anchors: &Anchors, at_ms: u64) {
    let Some(path) = &found.path else { return };
    let judged = anchors.revoked(path, at_ms);
    found.trusted = judged.is_ok();
    found.transient = judged.as_ref().is_err_and(Problem::is_transient);
    found.problem = judged.err().map(|problem| problem.to_string());
}

/// Places of the signed part and of the signature: a `multipart/signed` has exactly these two (RFC 1847 §2.1).
fn signed_parts(structure: &Structure) -> Result<(usize, usize), Problem> {
    let root = structure.root();
    if root.media_type() != "multipart/signed" {
        return Err(Problem::NotSigned("it is not multipart/signed"));
    }
    // RFC 1847 §2.1 makes `protocol` a must, but genuine messages are told by the part; another protocol is another
    // kind of signature.
    if root.parameter("protocol").is_some_and(|protocol| !is_cms(protocol)) {
        return Err(Problem::NotSigned("its protocol is not that of S/MIME"));
    }
    let children: Vec<usize> = structure.children(0).collect();
    let [content, signature] = children[..] else {
        return Err(Problem::NotSigned("it does not have exactly two parts"));
    };
    if !is_cms(&structure.parts[signature].media_type()) {
        return Err(Problem::NotSigned("its second part is not a CMS signature"));
    }
    Ok((content, signature))
}

/// Both names are in use: with `x-` before 2021, without since (RFC 8551 §3.2.1, note of §3.5.3.2).
fn is_cms(media_type: &str) -> bool {
    ["application/pkcs7-signature", "application/x-pkcs7-signature"].iter().any(|t| media_type.eq_ignore_ascii_case(t))
}

/// The signed octets: the part with its header section, without the line end that belongs to the boundary after it
/// (RFC 1847 §2.1 (4), RFC 2046 §5.1.1). They are taken as transmitted; the session let no bare CR or LF in.
fn signed_octets(message: &Rope, part: &Part) -> Rope {
    let end = part.body_offset.saturating_add(part.body_length);
    message.slice(part.header_offset, end.saturating_sub(part.header_offset))
}

/// The decoded body of the signature part.
fn signature_octets(message: &Rope, part: &Part, source: &dyn Source) -> Result<Vec<u8>, Problem> {
    if part.body_length > SIGNATURE_OCTETS_MAX {
        return Err(Problem::TooLarge("its part is longer than 256 KiB"));
    }
    let body = message.slice(part.body_offset, part.body_length).to_bytes(source)?;
    match part.transfer_encoding.to_ascii_lowercase().as_str() {
        "base64" => {
            let text: Vec<u8> = body.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
            STANDARD_PAD_INDIFFERENT.decode(text).map_err(|_| Problem::Malformed("it is not base64"))
        }
        "binary" | "8bit" | "7bit" | "" => Ok(body.to_vec()),
        _ => Err(Problem::Malformed("its transfer encoding is not base64")),
    }
}

fn properties(signer: &SignerView<'_>, own: &SignerCertificate) -> BTreeMap<String, String> {
    let mut facts = own.facts.clone();
    facts.insert("digest".into(), name(signer.digest));
    facts.insert("algorithm".into(), name(signer.algorithm));
    // The signer's own word, and not demanded (RFC 5652 §11.3).
    if let Some(time) = signing_time(signer) {
        facts.insert("signing-time".into(), time);
    }
    facts
}

fn signing_time(signer: &SignerView<'_>) -> Option<String> {
    let value = signer.attribute(rfc5911::ID_SIGNING_TIME).ok()??;
    let second = Time::from_der(&value.to_der().ok()?).ok()?.to_unix_duration().as_secs();
    Some(jiff::Timestamp::from_second(i64::try_from(second).ok()?).ok()?.to_string())
}
