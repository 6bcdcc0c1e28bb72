//! Signatures that we make: the peers' own tools must find them good.
#![allow(clippy::unwrap_used)]

mod support;

use std::io;

use sigillo_mail::rope::{NoSource, Range};
use sigillo_mail::{Rope, Segment, Source};
use sigillo_trust::{KeyError, SigningKey, is_private};
use support::{CONTENT, message, now, pki, verify_message, verify_rope};

fn key(name: &str) -> SigningKey {
    let pki = pki();
    SigningKey::load(&pki.read(&format!("{name}.key")), &pki.read(&format!("{name}.pem")), &pki.read("authority.pem"))
        .unwrap()
}

#[test]
fn openssl_verifies_the_message_and_gives_the_same_content() {
    for name in ["provider", "curve"] {
        let signature = key(name).sign_detached(&Rope::from_bytes(CONTENT), &NoSource, now()).unwrap();
        let whole = message(CONTENT, &signature);
        std::fs::write(pki().dir.join(format!("{name}.eml")), &whole).unwrap();
        let said = pki().run(&format!("cms -verify -in {name}.eml -CAfile root.pem -out {name}.out"));
        assert!(said.contains("CMS Verification successful"), "{said}");
        assert_eq!(pki().read(&format!("{name}.out")), CONTENT);
        // The older tool, and the one altered octet.
        pki().run(&format!("smime -verify -in {name}.eml -CAfile root.pem -out /dev/null"));
        let altered = String::from_utf8_lossy(&whole).replace("ultima", "prima_");
        std::fs::write(pki().dir.join("altered.eml"), altered).unwrap();
        assert!(!pki().try_run("cms -verify -in altered.eml -CAfile root.pem -out /dev/null").0);
    }
}

#[test]
fn what_we_sign_we_verify() {
    for name in ["provider", "curve"] {
        let at = now();
        let signature = key(name).sign_detached(&Rope::from_bytes(CONTENT), &NoSource, at).unwrap();
        let found = verify_message(&message(CONTENT, &signature), &pki().anchors(), at);
        assert_eq!((found.present, found.intact, found.trusted, &found.problem), (true, true, true, &None));
        assert_eq!(found.addresses, key(name).addresses());
        assert_eq!(found.certificate, Some(key(name).certificate().unwrap()));
        assert_eq!(found.properties["digest"], "id-sha256");
        assert_eq!(found.properties["subject"], format!("C=IT, O=Alfa, CN={name}"));
        assert_eq!(found.properties["signing-time"].parse::<jiff::Timestamp>().unwrap().as_second(), at as i64 / 1000);
    }
}

#[test]
fn the_structures_are_those_of_the_standard() {
    // A time after 2050 is GeneralizedTime (RFC 5652 §11.3); the openssl tool prints what it decoded.
    let signature = key("provider").sign_detached(&Rope::from_bytes(CONTENT), &NoSource, 2_600_000_000_000).unwrap();
    std::fs::write(pki().dir.join("s.der"), signature).unwrap();
    let text = pki().run("cms -cmsout -print -noout -inform DER -in s.der");
    let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "contentType: pkcs7-signedData",
        "version: 1 digestAlgorithms: algorithm: sha256 (2.16.840.1.101.3.4.2.1) parameter: <ABSENT>",
        "eContentType: pkcs7-data (1.2.840.113549.1.7.1) eContent: <ABSENT>",
        "GENERALIZEDTIME:May 22 14:13:20 2052 GMT",
        "signatureAlgorithm: algorithm: rsaEncryption (1.2.840.113549.1.1.1) parameter: NULL",
    ] {
        assert!(squeezed.contains(expected), "{expected} is not there");
    }
}

/// A source of any length that is nowhere in memory.
struct Pattern;

impl Source for Pattern {
    fn read_exact_at(&self, _: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        for (i, b) in buffer.iter_mut().enumerate() {
            *b = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n"[(offset as usize + i) % 64];
        }
        Ok(())
    }
}

#[test]
fn long_content_is_streamed() {
    let mut content = Rope::from_bytes("Content-Type: text/plain\r\n\r\n");
    content.push(Segment::Range(Range { file: 0, offset: 0, length: 40 << 20 }));
    let signature = key("provider").sign_detached(&content, &Pattern, now()).unwrap();
    let frame = message(b"\r\n", &signature);
    // The part of the frame begins after its first boundary and is one line end long.
    let at = frame.windows(7).position(|w| w == b"--=_x\r\n").unwrap() + 7;
    let mut whole = Rope::from_bytes(frame[..at].to_vec());
    whole.append(&content);
    whole.append(&Rope::from_bytes(frame[at + 2..].to_vec()));
    let found = verify_rope(&whole, &Pattern, &pki().anchors(), now());
    assert_eq!((found.intact, found.trusted, found.problem), (true, true, None));
}

#[test]
fn keys_that_cannot_sign_are_refused_when_they_are_loaded() {
    let load = |key: &str, certificate: &str, chain: &str| {
        let pki = pki();
        let chain = if chain.is_empty() { Vec::new() } else { pki.read(chain) };
        SigningKey::load(&pki.read(key), &pki.read(certificate), &chain).err().map(|e| e.to_string())
    };
    assert_eq!(load("provider.key", "provider.pem", ""), None);
    assert_eq!(load("provider.key", "beta.pem", "").unwrap(), KeyError::Mismatch.to_string());
    assert_eq!(load("cannot.key", "cannot.pem", "").unwrap(), KeyError::Usage.to_string());
    assert_eq!(load("short.key", "short.pem", "").unwrap(), KeyError::Short(1024).to_string());
    assert!(load("provider.pem", "provider.pem", "").unwrap().starts_with("the key is not an unencrypted PEM"));
    assert!(load("provider.key", "provider.key", "").unwrap().starts_with("the certificate is not a PEM"));
    assert!(load("provider.key", "provider.pem", "provider.key").unwrap().starts_with("the chain is not a PEM"));
    pki().run("pkcs8 -topk8 -v2 aes-256-cbc -passout pass:segreto -in provider.key -out locked.key");
    assert!(load("locked.key", "provider.pem", "").unwrap().starts_with("the key is not an unencrypted PEM"));
}

#[test]
fn a_key_file_that_others_may_read_is_noticed() {
    use std::os::unix::fs::PermissionsExt;
    let path = pki().dir.join("mode.key");
    std::fs::write(&path, "").unwrap();
    for (mode, private) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(is_private(&path).unwrap(), private, "{mode:o}");
    }
    assert!(is_private(&pki().dir.join("none")).is_err());
}

#[test]
fn the_key_is_not_in_its_debug_form() {
    let shown = format!("{:?}", key("provider"));
    assert!(shown.contains("posta-certificata@alfa.example") && !shown.contains("PRIVATE"), "{shown}");
}
