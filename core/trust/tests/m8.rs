//! Attack M8: the exact verdict on each kind of wrong signature, certificate and revocation list.
#![allow(clippy::unwrap_used)]

mod support;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509Builder};
use sigillo_trust::Anchors;
use support::{CONTENT, facts, indefinite, message, moment, now, pki, verify_message};

const BY_PROVIDER: &str = "-signer provider.pem -inkey provider.key -certfile authority.pem";

/// One row: what it is, the message, who is trusted, and the verdict: facts, whether it may pass, the problem.
struct Row {
    name: &'static str,
    message: Vec<u8>,
    anchors: Anchors,
    verdict: (&'static str, bool, &'static str),
}

fn row(name: &'static str, signature: Vec<u8>, verdict: (&'static str, bool, &'static str)) -> Row {
    Row { name, message: message(CONTENT, &signature), anchors: pki().anchors(), verdict }
}

fn signed(name: &str, options: &str) -> Vec<u8> {
    pki().sign(&format!("m8-{name}.der"), options)
}

/// Signed by the key of a certificate of the infrastructure.
fn by(name: &str) -> Vec<u8> {
    signed(name, &format!("-signer {name}.pem -inkey {name}.key -certfile authority.pem"))
}

/// Each row is wrong, or right, in its own way; all that differ are told at once.
fn check(rows: Vec<Row>) {
    let mut wrong = Vec::new();
    for row in rows {
        let found = verify_message(&row.message, &row.anchors, now());
        let facts = facts(&found);
        let verdict = (facts.as_str(), found.transient, found.problem.as_deref().unwrap_or_default());
        if verdict != row.verdict {
            wrong.push(format!("{}: {verdict:?}\n    instead of {:?}", row.name, row.verdict));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn m8_signatures() {
    const ALTERED: &str = "the content was altered: its digest is not the signed one";
    pki().run("crl2pkcs7 -nocrl -certfile provider.pem -outform DER -out m8-none.der");
    let body = CONTENT.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    std::fs::write(pki().dir.join("m8-body"), &CONTENT[body..]).unwrap();
    pki().run(&format!("cms -sign -binary -in m8-body -outform DER -out m8-part.der {BY_PROVIDER}"));
    let sha1 = signed("sha1", &format!("{BY_PROVIDER} -md sha1"));
    let good = signed("good", BY_PROVIDER);
    let x_type = String::from_utf8_lossy(&message(b"Content-Type: text/plain\r\n\r\nciao\r\n", &good)).into_owned();
    let altered = String::from_utf8_lossy(CONTENT).replace("ultima", "prima_").into_bytes();
    let x_type = x_type.replace("application/pkcs7-signature", "application/x-pkcs7-signature").into_bytes();
    let old = pki().anchors().with_sha1(false);
    let wrong_length = [&good[..], b"more"].concat();
    check(vec![
        row("good", good.clone(), ("pit", false, "")),
        row("BER, indefinite lengths", indefinite(&good, 0), ("pit", false, "")),
        row("no signer", pki().read("m8-none.der"), ("p--", false, "the signature has no signer")),
        row(
            "two signers",
            signed("two", &format!("{BY_PROVIDER} -signer beta.pem -inkey beta.key")),
            ("p--", false, "the signature has 2 signers; exactly one is allowed"),
        ),
        Row { message: message(&altered, &good), ..row("wrong digest", Vec::new(), ("p--", false, ALTERED)) },
        Row { message: x_type, ..row("the x- type is recognised", Vec::new(), ("p--", false, ALTERED)) },
        row("signature over a part only", pki().read("m8-part.der"), ("p--", false, ALTERED)),
        row(
            "eContent beside the detached content",
            signed("both", &format!("{BY_PROVIDER} -nodetach")),
            ("p--", false, "the signature is not detached: it carries content of its own"),
        ),
        row(
            "no certificate",
            signed("bare", &format!("{BY_PROVIDER} -nocerts")),
            ("p--", false, "the signer's certificate is not in the signature"),
        ),
        row("something behind it, which no signature covers", wrong_length, ("pit", false, "")),
        row("nothing", Vec::new(), ("p--", false, "the signature cannot be parsed: it is not BER")),
        row("SHA-1 where it counts", sha1.clone(), ("pit", false, "")),
        Row {
            anchors: old,
            ..row("SHA-1 where it does not", sha1, ("p--", false, "the algorithm id-sha1 is not accepted"))
        },
        row(
            "MD5",
            signed("md5", &format!("{BY_PROVIDER} -md md5")),
            ("p--", false, "the algorithm id-md5 is not accepted"),
        ),
        row(
            "RSA-PSS",
            signed("pss", &format!("{BY_PROVIDER} -keyopt rsa_padding_mode:pss")),
            ("p--", false, "the algorithm id-RSASSA-PSS is not accepted"),
        ),
    ]);
}

#[test]
fn m8_certificates() {
    let between = |name: &str, from: i64, to: i64| {
        pki().certificate_between("provider", name, &moment(from), &moment(to));
        signed(name, &format!("-signer {name}.pem -inkey provider.key -certfile authority.pem"))
    };
    const NOT: &str = "the signer's certificate is not trusted: ";
    let not = |words: &str| -> &'static str { Box::leak(format!("{NOT}{words}").into_boxed_str()) };
    check(vec![
        row("beta, which is trusted as itself", by("beta"), ("pit", false, "")),
        row("an elliptic curve", by("curve"), ("pit", false, "")),
        row("RSA of 1024 bits", by("short"), ("p--", false, "the signer's key is not accepted: RSA below 2048 bits")),
        row("RSA of 16 Kbit", monstrous(), ("p--", false, "the signer's key is not accepted: RSA above 8192 bits")),
        row(
            "expired",
            between("m8-expired", -20, -1),
            ("pi-", false, not("certificate has expired (C=IT, O=Alfa, CN=m8-expired)")),
        ),
        row(
            "not yet valid",
            between("m8-coming", 2, 9),
            ("pi-", false, not("certificate is not yet valid (C=IT, O=Alfa, CN=m8-coming)")),
        ),
        row(
            "by an authority that nobody trusts",
            signed("forged", "-signer forged.pem -inkey forged.key -certfile stranger.pem"),
            ("pi-", false, not("self-signed certificate in certificate chain (CN=stranger)")),
        ),
        row(
            "an address that its authority may not give",
            by("outside"),
            ("pi-", false, not("permitted subtree violation (C=IT, O=Alfa, CN=outside)")),
        ),
        row(
            "a name that its authority may not give",
            signed("misnamed", "-signer misnamed.pem -inkey misnamed.key -certfile named.pem"),
            ("pi-", false, not("permitted subtree violation (C=IT, O=Alfa, CN=misnamed)")),
        ),
        row(
            "an unknown critical extension",
            by("critical"),
            ("pi-", false, not("unhandled critical extension (C=IT, O=Alfa, CN=critical)")),
        ),
        row(
            "an extended key usage without e-mail",
            by("web"),
            ("pi-", false, not("unsuitable certificate purpose (C=IT, O=Alfa, CN=web)")),
        ),
        row("no keyUsage at all: every use (RFC 5280 §4.2.1.3)", by("silent"), ("pit", false, "")),
        row(
            "keyUsage for encipherment only",
            by("cannot"),
            ("pi-", false, not("unsuitable certificate purpose (C=IT, O=Alfa, CN=cannot)")),
        ),
        row(
            "keyUsage without digitalSignature",
            by("binding"),
            ("pi-", false, "the signer's certificate does not allow digital signatures"),
        ),
    ]);
    let found = verify_message(&message(CONTENT, &by("beta")), &pki().anchors(), now());
    assert_eq!(found.addresses, ["posta-certificata@beta.example"], "another provider is never taken for this one");
}

#[test]
fn m8_revocation_lists() {
    let list = |authority: &str, revoked: &[&str], options: &str| pki().revocation_list(authority, revoked, options);
    let of_root = list("root", &[], "");
    let whole = list("authority", &[], "");
    let scope = |scope: &str| list("authority", &["beta"], &format!("-crlexts {scope}"));
    let with = |name: &'static str, signer: &str, lists: Vec<u8>, verdict| {
        let path = pki().dir.join(format!("{}.lists", name.replace(' ', "-")));
        std::fs::write(&path, &of_root).unwrap();
        let anchors = pki().anchors().with_revocation_lists(&path).unwrap();
        std::fs::write(&path, [&of_root[..], &lists].concat()).unwrap();
        Row { anchors, ..row(name, by(signer), verdict) }
    };
    const UNKNOWN: &str = "revocation cannot be checked: unable to get certificate CRL (C=IT, O=Alfa, CN=provider)";
    let mut forged = list("authority", &[], "");
    let at = forged.len() - 60;
    forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
    check(vec![
        with("not on the list", "provider", whole.clone(), ("pit", false, "")),
        with(
            "revoked",
            "provider",
            list("authority", &["provider"], ""),
            ("pi-", false, "the certificate is revoked: certificate revoked (C=IT, O=Alfa, CN=provider)"),
        ),
        with(
            "stale list",
            "provider",
            list("authority", &[], &format!("-crl_lastupdate {} -crl_nextupdate {}", moment(-3), moment(-1))),
            ("pi-", true, "revocation cannot be checked: CRL has expired (C=IT, O=Alfa, CN=provider)"),
        ),
        with("list of another issuer", "provider", list("stranger", &[], ""), ("pi-", true, UNKNOWN)),
        with("no list", "provider", Vec::new(), ("pi-", true, UNKNOWN)),
        with(
            "malformed list",
            "provider",
            b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n".to_vec(),
            ("pi-", true, "revocation cannot be checked: the lists cannot be read"),
        ),
        with(
            "forged list",
            "provider",
            forged,
            ("pi-", true, "revocation cannot be checked: CRL signature failure (C=IT, O=Alfa, CN=provider)"),
        ),
        with("list of the certificate's own point", "split", scope("scope1"), ("pit", false, "")),
        with(
            "list of another distribution point",
            "split",
            scope("scope2"),
            ("pi-", true, "revocation cannot be checked: different CRL scope (C=IT, O=Alfa, CN=split)"),
        ),
    ]);
}

/// Provider's signature with a certificate of the same issuer and serial number whose key has 16,384 bits.
fn monstrous() -> Vec<u8> {
    let genuine = X509::from_pem(&pki().read("provider.pem")).unwrap();
    let authority = PKey::private_key_from_pem(&pki().read("authority.key")).unwrap();
    let mut modulus = BigNum::new().unwrap();
    modulus.rand(16_384, MsbOption::TWO_ONES, true).unwrap();
    let key = Rsa::from_public_components(modulus, BigNum::from_u32(65_537).unwrap()).unwrap();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(genuine.serial_number()).unwrap();
    builder.set_issuer_name(genuine.issuer_name()).unwrap();
    builder.set_subject_name(genuine.subject_name()).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
    builder.set_pubkey(&PKey::from_rsa(key).unwrap()).unwrap();
    builder.sign(&authority, MessageDigest::sha256()).unwrap();
    let certificate = builder.build().to_der().unwrap();
    with_certificates(&signed("monstrous", "-signer provider.pem -inkey provider.key -nocerts"), &certificate)
}

/// SignedData without certificates, given these.
fn with_certificates(der: &[u8], certificates: &[u8]) -> Vec<u8> {
    let [kind, wrapped] = &children(content(der))[..] else { panic!("not ContentInfo") };
    let parts = children(content(content(wrapped)));
    let [version, digests, contained, signers] = &parts[..] else { panic!("not SignedData without certificates") };
    let data = tlv(0x30, &[version, digests, contained, &tlv(0xa0, &[certificates]), signers]);
    tlv(0x30, &[kind, &tlv(0xa0, &[&data])])
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match content.len() {
        short @ 0..=0x7f => vec![short as u8],
        middle @ 0x80..=0xff => vec![0x81, middle as u8],
        long => [&[0x82][..], &(long as u16).to_be_bytes()].concat(),
    };
    [&[tag][..], &length, &content].concat()
}

/// Length of the head of an element and of its content.
fn measure(der: &[u8]) -> (usize, usize) {
    match der[1] {
        short @ 0..=0x7f => (2, short as usize),
        long => {
            let head = 2 + (long & 0x7f) as usize;
            (head, der[2..head].iter().fold(0, |n, octet| n << 8 | *octet as usize))
        }
    }
}

fn content(der: &[u8]) -> &[u8] {
    let (head, length) = measure(der);
    &der[head..head + length]
}

fn children(mut der: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    while !der.is_empty() {
        let (head, length) = measure(der);
        let (child, rest) = der.split_at(head + length);
        out.push(child);
        der = rest;
    }
    out
}
