//! Signed attributes that a signer may write and those that only an attacker would: SignedData put together octet by
//! octet, under genuine signatures of the provider's key.
#![allow(clippy::unwrap_used)]

mod support;

use openssl::hash::{MessageDigest, hash};
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::x509::X509;
use support::{CONTENT, message, now, pki, verify_message};

const DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
const SIGNED_DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
const CONTENT_TYPE: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
const MESSAGE_DIGEST: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
const PROTECTION: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 52];
const SHA256: &[u8] = &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA512: &[u8] = &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];
const RSA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const SHA512_WITH_RSA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13];

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match content.len() {
        short @ 0..=0x7f => vec![short as u8],
        long => [&[0x82][..], &(long as u16).to_be_bytes()].concat(),
    };
    [&[tag][..], &length, &content].concat()
}

fn attribute(kind: &[u8], values: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &[kind, &tlv(0x31, values)])
}

fn content_type() -> Vec<u8> {
    attribute(CONTENT_TYPE, &[DATA])
}

fn digest_value() -> Vec<u8> {
    tlv(4, &[&hash(MessageDigest::sha256(), CONTENT).unwrap()])
}

fn message_digest() -> Vec<u8> {
    attribute(MESSAGE_DIGEST, &[&digest_value()])
}

/// SignedData with these attributes, in this order, signed as they stand.
fn signed(attributes: &[&[u8]], digest: &[u8], algorithm: &[u8]) -> Vec<u8> {
    let certificate = X509::from_pem(&pki().read("provider.pem")).unwrap();
    let key = PKey::private_key_from_pem(&pki().read("provider.key")).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    signer.update(&tlv(0x31, attributes)).unwrap();
    let signature = signer.sign_to_vec().unwrap();
    let serial = certificate.serial_number().to_bn().unwrap().to_vec();
    let zero: &[u8] = if serial[0] & 0x80 == 0 { &[] } else { &[0] };
    let id = tlv(0x30, &[&certificate.issuer_name().to_der().unwrap(), &tlv(2, &[zero, &serial])]);
    let info = tlv(
        0x30,
        &[
            &[2, 1, 1],
            &id,
            &tlv(0x30, &[digest]),
            &tlv(0xa0, attributes),
            &tlv(0x30, &[algorithm, &[5, 0]]),
            &tlv(4, &[&signature]),
        ],
    );
    let authority = X509::from_pem(&pki().read("authority.pem")).unwrap().to_der().unwrap();
    let certificates = tlv(0xa0, &[&certificate.to_der().unwrap(), &authority]);
    let algorithms = tlv(0x31, &[&tlv(0x30, &[digest])]);
    let data = tlv(0x30, &[&[2, 1, 1], &algorithms, &tlv(0x30, &[DATA]), &certificates, &tlv(0x31, &[&info])]);
    tlv(0x30, &[SIGNED_DATA, &tlv(0xa0, &[&data])])
}

/// The problem of a message signed so; nothing if it is trusted.
fn problem(attributes: &[&[u8]]) -> String {
    outcome(&signed(attributes, SHA256, RSA))
}

fn outcome(signature: &[u8]) -> String {
    let found = verify_message(&message(CONTENT, signature), &pki().anchors(), now());
    assert_eq!(found.trusted, found.problem.is_none());
    assert_eq!(found.intact, found.trusted);
    found.problem.unwrap_or_default()
}

#[test]
fn the_least_that_is_allowed_and_any_order() {
    assert_eq!(problem(&[&content_type(), &message_digest()]), "");
    // Not the order of DER, but the order that was signed.
    assert_eq!(problem(&[&message_digest(), &content_type()]), "");
    let unknown = attribute(&[0x06, 3, 0x2a, 3, 4], &[&[5, 0], &[1, 1, 0xff]]);
    assert_eq!(problem(&[&message_digest(), &unknown, &content_type()]), "");
}

#[test]
fn what_must_be_there_once() {
    let wrong = |what: &str| format!("the signed attributes are wrong: {what}");
    let (kind, digest) = (content_type(), message_digest());
    assert_eq!(problem(&[&digest]), wrong("there is no content-type"));
    assert_eq!(problem(&[&kind]), wrong("there is no message-digest"));
    assert_eq!(problem(&[&kind, &digest, &digest]), wrong("one of them is there twice"));
    assert_eq!(problem(&[&kind, &kind, &digest]), wrong("one of them is there twice"));
    let two = attribute(MESSAGE_DIGEST, &[&digest_value(), &tlv(4, &[&[0; 32]])]);
    assert_eq!(problem(&[&kind, &two]), wrong("one of them has not exactly one value"));
    let none = attribute(MESSAGE_DIGEST, &[]);
    assert_eq!(problem(&[&kind, &none]), wrong("one of them has not exactly one value"));
    let another = attribute(CONTENT_TYPE, &[SIGNED_DATA]);
    assert_eq!(problem(&[&another, &digest]), wrong("content-type is another than that of the content"));
    let no_string = attribute(MESSAGE_DIGEST, &[&tlv(0x13, &[&[b'a'; 32]])]);
    assert_eq!(problem(&[&kind, &no_string]), wrong("message-digest is no octet string"));
    assert_eq!(problem(&[&kind, b"\x30\x00", &digest]), wrong("one of them is malformed"));
    let many = vec![attribute(&[0x06, 3, 0x2a, 3, 4], &[]); 40];
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).chain([&kind[..], &digest]).collect();
    assert_eq!(problem(&many), wrong("there are too many"));
    let other = attribute(MESSAGE_DIGEST, &[&tlv(4, &[&[0; 32]])]);
    assert_eq!(problem(&[&kind, &other]), "the content was altered: its digest is not the signed one");
}

#[test]
fn protected_algorithms_must_be_the_used_ones() {
    let protected = |digest: &[u8], signature: &[u8]| {
        let value = tlv(0x30, &[&tlv(0x30, &[digest]), &tlv(0xa1, &[signature, &[5, 0]])]);
        problem(&[&content_type(), &message_digest(), &attribute(PROTECTION, &[&value])])
    };
    assert_eq!(protected(SHA256, RSA), "");
    let wrong = "the signed attributes are wrong: the algorithms are not the protected ones";
    assert_eq!(protected(SHA512, RSA), wrong);
    assert_eq!(protected(SHA256, SHA512_WITH_RSA), wrong);
    let malformed = attribute(PROTECTION, &[&[5, 0]]);
    assert_eq!(
        problem(&[&content_type(), &message_digest(), &malformed]),
        "the signed attributes are wrong: algorithm protection is malformed"
    );
}

#[test]
fn an_algorithm_that_names_another_digest() {
    let signature = signed(&[&content_type(), &message_digest()], SHA256, SHA512_WITH_RSA);
    assert_eq!(outcome(&signature), "the algorithm sha512WithRSAEncryption over another digest is not accepted");
}

#[test]
fn more_certificates_than_anybody_sends() {
    let genuine = signed(&[&content_type(), &message_digest()], SHA256, RSA);
    assert_eq!(outcome(&genuine), "");
    let certificate = X509::from_pem(&pki().read("beta.pem")).unwrap().to_der().unwrap();
    let own = X509::from_pem(&pki().read("provider.pem")).unwrap().to_der().unwrap();
    let authority = X509::from_pem(&pki().read("authority.pem")).unwrap().to_der().unwrap();
    let few = tlv(0xa0, &[&own, &authority]);
    let at = genuine.windows(few.len()).position(|w| w == few).unwrap();
    let many = tlv(0xa0, &[&own, &certificate.repeat(40)]);
    // The lengths around are rewritten by giving them as indefinite.
    let inner = [&[2, 1, 1][..], &tlv(0x31, &[&tlv(0x30, &[SHA256])]), &tlv(0x30, &[DATA])].concat();
    let end = &genuine[at + few.len()..];
    let data = [&[0x30, 0x80][..], &inner, &many, end, &[0, 0]].concat();
    let whole = [&[0x30, 0x80][..], SIGNED_DATA, &[0xa0, 0x80], &data, &[0, 0, 0, 0]].concat();
    assert_eq!(outcome(&whole), "the signature is too large: it carries too many certificates");
}
