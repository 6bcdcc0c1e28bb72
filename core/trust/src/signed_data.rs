//! A reading view of CMS SignedData (RFC 5652 §5.1): only what verification needs, borrowed from the bytes as sent.
//!
//! The signed attributes must be hashed exactly as their signer wrote them, and genuine certificates are not always
//! what strict types accept; so nothing is decoded here that is not looked at.

use std::borrow::Cow;

use cms::cert::x509::der::asn1::{AnyRef, ObjectIdentifier};
use cms::cert::x509::der::oid::db::rfc5911;
use cms::cert::x509::der::{self, Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};

use crate::ber;
use crate::problem::Problem;

/// Most certificates looked at; genuine signatures carry two to four.
pub(crate) const CERTIFICATES_MAX: usize = 32;
/// Most signed attributes looked at; genuine signatures carry three to six.
const ATTRIBUTES_MAX: usize = 32;

/// The signature in DER: as it came if it is that, else rewritten from BER (RFC 5652 §5 allows both).
pub(crate) fn normalise(octets: &[u8]) -> Result<Cow<'_, [u8]>, Problem> {
    if SignedData::parse(octets).is_ok() {
        return Ok(Cow::Borrowed(octets));
    }
    ber::to_der(octets).map(Cow::Owned).ok_or(Problem::Malformed("it is not BER"))
}

/// How a signer is named (RFC 5652 §5.3 SignerIdentifier).
#[derive(Debug, Clone, Copy)]
pub(crate) enum SignerId<'a> {
    /// DER of the issuer's name; content octets of the serial number.
    IssuerAndSerial { issuer: &'a [u8], serial: &'a [u8] },
    /// The subject key identifier.
    KeyId(&'a [u8]),
}

/// One SignerInfo.
#[derive(Debug)]
pub(crate) struct SignerView<'a> {
    pub id: SignerId<'a>,
    pub digest: ObjectIdentifier,
    /// Content octets of the signed attributes, in the order as sent.
    pub attributes: Option<&'a [u8]>,
    pub algorithm: ObjectIdentifier,
    pub signature: &'a [u8],
}

/// SignedData.
#[derive(Debug)]
pub(crate) struct SignedData<'a> {
    pub content_type: ObjectIdentifier,
    /// Content octets of eContent, if there is any.
    pub content: Option<&'a [u8]>,
    /// DER of each certificate.
    pub certificates: Vec<&'a [u8]>,
    pub signers: Vec<SignerView<'a>>,
}

fn context(tag: Tag, number: TagNumber) -> bool {
    matches!(tag, Tag::ContextSpecific { number: n, .. } if n == number)
}

/// Every element of the content of a SET, each whole.
fn elements(content: &[u8]) -> der::Result<Vec<&[u8]>> {
    let mut reader = SliceReader::new(content)?;
    let mut out = Vec::new();
    while !reader.is_finished() {
        out.push(reader.tlv_bytes()?);
    }
    Ok(out)
}

/// The next element if it has this context-specific tag.
fn optional<'a>(reader: &mut SliceReader<'a>, number: TagNumber) -> der::Result<Option<AnyRef<'a>>> {
    if !reader.is_finished() && context(reader.peek_header()?.tag, number) {
        AnyRef::decode(reader).map(Some)
    } else {
        Ok(None)
    }
}

/// The object identifier of an AlgorithmIdentifier; its parameters do not matter to the algorithms accepted here.
fn algorithm(element: AnyRef<'_>) -> der::Result<ObjectIdentifier> {
    element.sequence(|r| {
        let oid = ObjectIdentifier::decode(r)?;
        while !r.is_finished() {
            AnyRef::decode(r)?;
        }
        Ok(oid)
    })
}

impl<'a> SignedData<'a> {
    /// Reads DER; the whole input must be one ContentInfo with SignedData.
    pub fn parse(octets: &'a [u8]) -> der::Result<SignedData<'a>> {
        AnyRef::from_der(octets)?.sequence(|r| {
            let kind = ObjectIdentifier::decode(r)?;
            if kind != rfc5911::ID_SIGNED_DATA {
                return Err(der::ErrorKind::OidUnknown { oid: kind }.into());
            }
            let wrapped = AnyRef::decode(r)?;
            if !context(wrapped.tag(), TagNumber::N0) {
                return Err(wrapped.tag().unexpected_error(None));
            }
            AnyRef::from_der(wrapped.value())?.sequence(Self::read)
        })
    }

    fn read(r: &mut SliceReader<'a>) -> der::Result<SignedData<'a>> {
        let _version = u8::decode(r)?;
        let _digest_algorithms = AnyRef::decode(r)?;
        let (content_type, content) = AnyRef::decode(r)?.sequence(|r| {
            let kind = ObjectIdentifier::decode(r)?;
            let content = match optional(r, TagNumber::N0)? {
                Some(explicit) => Some(AnyRef::from_der(explicit.value())?.value()),
                None => None,
            };
            Ok((kind, content))
        })?;
        let certificates = match optional(r, TagNumber::N0)? {
            Some(set) => elements(set.value())?,
            None => Vec::new(),
        };
        let _revocation_lists = optional(r, TagNumber::N1)?;
        let signers = AnyRef::decode(r)?;
        signers.tag().assert_eq(Tag::Set)?;
        let signers = elements(signers.value())?;
        let signers = signers.into_iter().map(SignerView::parse).collect::<der::Result<_>>()?;
        Ok(SignedData { content_type, content, certificates, signers })
    }
}

impl<'a> SignerView<'a> {
    fn parse(octets: &'a [u8]) -> der::Result<SignerView<'a>> {
        AnyRef::from_der(octets)?.sequence(|r| {
            let _version = u8::decode(r)?;
            let id = signer_id(AnyRef::decode(r)?)?;
            let digest = algorithm(AnyRef::decode(r)?)?;
            let attributes = optional(r, TagNumber::N0)?.map(AnyRef::value);
            let algorithm = algorithm(AnyRef::decode(r)?)?;
            let signature = AnyRef::decode(r)?;
            signature.tag().assert_eq(Tag::OctetString)?;
            let _unsigned_attributes = optional(r, TagNumber::N1)?;
            Ok(SignerView { id, digest, attributes, algorithm, signature: signature.value() })
        })
    }

    /// The one value of a signed attribute; it must be there once, with one value (RFC 5652 §11.1, §11.2).
    pub fn attribute(&self, oid: ObjectIdentifier) -> Result<Option<AnyRef<'a>>, Problem> {
        let Some(content) = self.attributes else { return Ok(None) };
        let attributes = elements(content).map_err(|_| Problem::Attributes("they are not DER"))?;
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(Problem::Attributes("there are too many"));
        }
        let mut found = None;
        for attribute in attributes {
            let (kind, values) =
                attribute_parts(attribute).map_err(|_| Problem::Attributes("one of them is malformed"))?;
            if kind != oid {
                continue;
            }
            let value = AnyRef::from_der(values);
            let value = value.map_err(|_| Problem::Attributes("one of them has not exactly one value"))?;
            if found.replace(value).is_some() {
                return Err(Problem::Attributes("one of them is there twice"));
            }
        }
        Ok(found)
    }

    /// What the signature is over when there are signed attributes: their octets as sent, under the tag of SET OF in
    /// place of `[0] IMPLICIT` (RFC 5652 §5.4).
    pub fn signed_octets(&self) -> Option<der::Result<Vec<u8>>> {
        self.attributes.map(|content| AnyRef::new(Tag::Set, content)?.to_der())
    }
}

/// Type and content octets of the values of an Attribute.
fn attribute_parts(octets: &[u8]) -> der::Result<(ObjectIdentifier, &[u8])> {
    AnyRef::from_der(octets)?.sequence(|r| {
        let kind = ObjectIdentifier::decode(r)?;
        let values = AnyRef::decode(r)?;
        values.tag().assert_eq(Tag::Set)?;
        Ok((kind, values.value()))
    })
}

fn signer_id(element: AnyRef<'_>) -> der::Result<SignerId<'_>> {
    if context(element.tag(), TagNumber::N0) {
        return Ok(SignerId::KeyId(element.value()));
    }
    element.sequence(|r| {
        let issuer = r.tlv_bytes()?;
        let serial = AnyRef::decode(r)?;
        serial.tag().assert_eq(Tag::Integer)?;
        Ok(SignerId::IssuerAndSerial { issuer, serial: serial.value() })
    })
}
