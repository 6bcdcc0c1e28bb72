//! Whether a CMS signature is one over this content, by the certificate it carries (RFC 5652 §5.4 to §5.6).

use std::io;

use cms::cert::x509::der::asn1::{AnyRef, ObjectIdentifier};
use cms::cert::x509::der::oid::db::{rfc5911, rfc5912};
use cms::cert::x509::der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use openssl::bn::BigNum;
use openssl::error::ErrorStack;
use openssl::hash::{Hasher, MessageDigest};
use openssl::pkey::Id;
use openssl::sign::Verifier;
use openssl::x509::{X509, X509Name, X509Ref};
use sigillo_mail::{Rope, Source};

use crate::problem::Problem;
use crate::signed_data::{CERTIFICATES_MAX, SignedData, SignerId, SignerView};

/// Shortest RSA key accepted, bits: RFC 8551 §4.3 lets a verifier refuse less, and genuine keys have at least this.
const RSA_BITS_MIN: u32 = 2048;
/// Longest RSA key accepted, bits: the time to verify grows with the square of it, and the sender chooses it.
const RSA_BITS_MAX: u32 = 8192;
/// Smallest elliptic curve accepted, bits: RFC 8551 §4.3 has P-256 as the one every verifier knows.
const EC_BITS_MIN: u32 = 256;
/// CMSAlgorithmProtection (RFC 6211 §2).
const ALGORITHM_PROTECTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.52");
/// ecdsa-with-SHA1 (RFC 3279 §2.2.3).
const ECDSA_WITH_SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");

/// The digest of content, streamed.
pub(crate) fn digest(content: &Rope, source: &dyn Source, algorithm: MessageDigest) -> io::Result<Vec<u8>> {
    let mut hasher = Hasher::new(algorithm)?;
    for chunk in content.chunks(source) {
        hasher.update(&chunk?)?;
    }
    Ok(hasher.finish()?.to_vec())
}

/// The rfc822 names of a certificate's subjectAltName (RFC 5280 §4.2.1.6). A name with a control character in it
/// is left out: it could pass for another one where it is printed or compared.
pub(crate) fn rfc822_names(certificate: &X509Ref) -> Vec<String> {
    let names = certificate.subject_alt_names();
    let emails = names.iter().flatten().filter_map(|name| name.email());
    emails.filter(|e| e.is_ascii() && !e.bytes().any(|b| b.is_ascii_control())).map(String::from).collect()
}

/// The serial number of a certificate in hexadecimal.
pub(crate) fn serial(certificate: &X509Ref) -> Result<String, ErrorStack> {
    Ok(certificate.serial_number().to_bn()?.to_hex_str()?.to_ascii_lowercase())
}

/// A digest algorithm by its object identifier.
pub(crate) fn message_digest(oid: ObjectIdentifier, accept_sha1: bool) -> Result<MessageDigest, Problem> {
    match oid {
        rfc5912::ID_SHA_1 if accept_sha1 => Ok(MessageDigest::sha1()),
        rfc5912::ID_SHA_256 => Ok(MessageDigest::sha256()),
        rfc5912::ID_SHA_384 => Ok(MessageDigest::sha384()),
        rfc5912::ID_SHA_512 => Ok(MessageDigest::sha512()),
        _ => Err(Problem::Algorithm(name(oid))),
    }
}

/// A name for evidence and messages: the registered one, or the number.
pub(crate) fn name(oid: ObjectIdentifier) -> String {
    use cms::cert::x509::der::oid::db::DB;
    DB.by_oid(&oid).map_or_else(|| oid.to_string(), String::from)
}

/// The one signer: none or several are refused.
pub(crate) fn only_signer<'a, 'b>(signed: &'b SignedData<'a>) -> Result<&'b SignerView<'a>, Problem> {
    match signed.signers.as_slice() {
        [] => Err(Problem::NoSigner),
        [one] => Ok(one),
        many => Err(Problem::ManySigners(many.len())),
    }
}

/// The signer's certificate, and all that came with it (for the path; the signer's own may be among them).
pub(crate) fn certificates(signed: &SignedData<'_>, signer: &SignerView<'_>) -> Result<(X509, Vec<X509>), Problem> {
    if signed.certificates.len() > CERTIFICATES_MAX {
        return Err(Problem::TooLarge("it carries too many certificates"));
    }
    // Attribute certificates and the like are no X.509 certificates and may be among them (RFC 5652 §10.2.2).
    let all: Vec<X509> = signed.certificates.iter().filter_map(|der| X509::from_der(der).ok()).collect();
    let own = all.iter().find(|certificate| is_named(certificate, signer.id)).cloned();
    Ok((own.ok_or(Problem::NoCertificate)?, all))
}

/// Whether this is the certificate that a SignerIdentifier names (RFC 5652 §5.3).
fn is_named(certificate: &X509Ref, id: SignerId<'_>) -> bool {
    match id {
        SignerId::KeyId(id) => certificate.subject_key_id().is_some_and(|key| key.as_slice() == id),
        SignerId::IssuerAndSerial { issuer, serial } => {
            let Ok(issuer) = X509Name::from_der(issuer) else { return false };
            // RFC 5280 §4.1.2.2: serial numbers are positive; one that begins with a set bit is not.
            let negative = serial.first().is_none_or(|first| first & 0x80 != 0);
            let (Ok(serial), Ok(own)) = (BigNum::from_slice(serial), certificate.serial_number().to_bn()) else {
                return false;
            };
            !negative && serial == own && certificate.issuer_name().try_cmp(&issuer).is_ok_and(|order| order.is_eq())
        }
    }
}

/// Checks digest and signature; `Ok` means that the certificate's key signed exactly this content.
pub(crate) fn check(
    signed: &SignedData<'_>,
    signer: &SignerView<'_>,
    certificate: &X509Ref,
    content: &Rope,
    source: &dyn Source,
    accept_sha1: bool,
) -> Result<(), Problem> {
    let algorithm = message_digest(signer.digest, accept_sha1)?;
    check_algorithms(signer, certificate)?;
    let Some(octets) = signer.signed_octets() else {
        return check_without_attributes(signer, certificate, algorithm, content, source);
    };
    check_attributes(signed, signer)?;
    let wanted = signer.attribute(rfc5911::ID_MESSAGE_DIGEST)?;
    let wanted = wanted.ok_or(Problem::Attributes("there is no message-digest"))?;
    if wanted.tag() != Tag::OctetString {
        return Err(Problem::Attributes("message-digest is no octet string"));
    }
    if digest(content, source, algorithm)? != wanted.value() {
        return Err(Problem::Altered);
    }
    let octets = octets.map_err(|_| Problem::Attributes("they are not DER"))?;
    let key = certificate.public_key()?;
    let mut verifier = Verifier::new(algorithm, &key)?;
    verifier.update(&octets)?;
    conclude(&verifier, signer)
}

/// A signature straight over the content (RFC 5652 §5.4, no signed attributes).
fn check_without_attributes(
    signer: &SignerView<'_>,
    certificate: &X509Ref,
    algorithm: MessageDigest,
    content: &Rope,
    source: &dyn Source,
) -> Result<(), Problem> {
    // Somebody else's signed attributes can be presented as content that was signed without attributes: the same
    // octets, the same signature. They begin with the tag of SET OF, and no header section begins with '1'.
    if content.read(source, 0, 1)?.first() == Some(&0x31) {
        return Err(Problem::Attributes("the content passes for signed attributes"));
    }
    let key = certificate.public_key()?;
    let mut verifier = Verifier::new(algorithm, &key)?;
    for chunk in content.chunks(source) {
        verifier.update(&chunk?)?;
    }
    conclude(&verifier, signer)
}

/// A signature that the library cannot even decode is a wrong one, not a fault of the library.
fn conclude(verifier: &Verifier<'_>, signer: &SignerView<'_>) -> Result<(), Problem> {
    if verifier.verify(signer.signature).unwrap_or(false) { Ok(()) } else { Err(Problem::WrongSignature) }
}

/// The signature algorithm must be of the key's kind, and where it names a digest, the signer's (RFC 5754 §3).
fn check_algorithms(signer: &SignerView<'_>, certificate: &X509Ref) -> Result<(), Problem> {
    let (kind, digest) = match signer.algorithm {
        rfc5912::RSA_ENCRYPTION => (Id::RSA, None),
        rfc5912::SHA_1_WITH_RSA_ENCRYPTION => (Id::RSA, Some(rfc5912::ID_SHA_1)),
        rfc5912::SHA_256_WITH_RSA_ENCRYPTION => (Id::RSA, Some(rfc5912::ID_SHA_256)),
        rfc5912::SHA_384_WITH_RSA_ENCRYPTION => (Id::RSA, Some(rfc5912::ID_SHA_384)),
        rfc5912::SHA_512_WITH_RSA_ENCRYPTION => (Id::RSA, Some(rfc5912::ID_SHA_512)),
        rfc5912::ID_EC_PUBLIC_KEY => (Id::EC, None),
        ECDSA_WITH_SHA_1 => (Id::EC, Some(rfc5912::ID_SHA_1)),
        rfc5912::ECDSA_WITH_SHA_256 => (Id::EC, Some(rfc5912::ID_SHA_256)),
        rfc5912::ECDSA_WITH_SHA_384 => (Id::EC, Some(rfc5912::ID_SHA_384)),
        rfc5912::ECDSA_WITH_SHA_512 => (Id::EC, Some(rfc5912::ID_SHA_512)),
        other => return Err(Problem::Algorithm(name(other))),
    };
    if digest.is_some_and(|digest| digest != signer.digest) {
        return Err(Problem::Algorithm(format!("{} over another digest", name(signer.algorithm))));
    }
    let key = certificate.public_key().map_err(|_| Problem::Key("it cannot be decoded"))?;
    match key.id() {
        id if id != kind => Err(Problem::Key("it is of another kind than the signature")),
        Id::RSA if key.bits() < RSA_BITS_MIN => Err(Problem::Key("RSA below 2048 bits")),
        Id::RSA if key.bits() > RSA_BITS_MAX => Err(Problem::Key("RSA above 8192 bits")),
        Id::EC if key.bits() < EC_BITS_MIN => Err(Problem::Key("elliptic curve below 256 bits")),
        _ => Ok(()),
    }
}

/// The attributes other than message-digest that RFC 5652 §5.3 and RFC 6211 §3 bind to the signature.
fn check_attributes(signed: &SignedData<'_>, signer: &SignerView<'_>) -> Result<(), Problem> {
    let kind = signer.attribute(rfc5911::ID_CONTENT_TYPE)?;
    let kind = kind.ok_or(Problem::Attributes("there is no content-type"))?;
    if kind.decode_as::<ObjectIdentifier>().ok() != Some(signed.content_type) {
        return Err(Problem::Attributes("content-type is another than that of the content"));
    }
    let Some(protection) = signer.attribute(ALGORITHM_PROTECTION)? else { return Ok(()) };
    let protected = protected_algorithms(protection);
    let (digest, signature) = protected.ok_or(Problem::Attributes("algorithm protection is malformed"))?;
    if digest != signer.digest || signature.is_some_and(|oid| oid != signer.algorithm) {
        return Err(Problem::Attributes("the algorithms are not the protected ones"));
    }
    Ok(())
}

/// Digest and signature algorithm of CMSAlgorithmProtection: `SEQUENCE { digest, [1] signature OPTIONAL, … }`.
fn protected_algorithms(value: AnyRef<'_>) -> Option<(ObjectIdentifier, Option<ObjectIdentifier>)> {
    let first = |content: &[u8]| ObjectIdentifier::decode(&mut SliceReader::new(content).ok()?).ok();
    let mut reader = SliceReader::new(value.value()).ok()?;
    let digest = first(AnyRef::decode(&mut reader).ok()?.value())?;
    if reader.is_finished() {
        return Some((digest, None));
    }
    let next = AnyRef::decode(&mut reader).ok()?;
    let is_signature = matches!(next.tag(), Tag::ContextSpecific { number: TagNumber::N1, .. });
    Some((digest, if is_signature { Some(first(next.value())?) } else { None }))
}
