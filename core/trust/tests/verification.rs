//! The verdict table: what each kind of wrong signature is called, and that nothing altered is ever intact.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::OnceLock;

use proptest::prelude::*;
use sigillo_mail::Rope;
use sigillo_mail::rope::NoSource;
use sigillo_trust::{Anchors, SigningKey, open_signed};
use support::{CONTENT, facts, in_days, indefinite, message, moment, now, pki, verify_message};

const BY_PROVIDER: &str = "-signer provider.pem -inkey provider.key -certfile authority.pem";

/// Facts and problem of a message around this signature.
fn verdict(signature: &[u8]) -> (String, String) {
    let found = verify_message(&message(CONTENT, signature), &pki().anchors(), now());
    assert!(!found.transient, "{found:?}");
    (facts(&found), found.problem.unwrap_or_default())
}

fn holds(signature: &[u8]) {
    assert_eq!(verdict(signature), ("pit".into(), String::new()));
}

fn fails(signature: &[u8], facts: &str, problem: &str) {
    assert_eq!(verdict(signature), (facts.into(), problem.into()));
}

#[test]
fn every_form_in_use_verifies() {
    for (name, options) in [
        ("sha1", "-md sha1"),
        ("sha256", "-md sha256"),
        ("sha384", "-md sha384"),
        ("sha512", "-md sha512"),
        ("keyid", "-keyid"),
        ("noattr", "-noattr"),
        ("smimecap", "-nosmimecap"),
    ] {
        holds(&pki().sign(&format!("{name}.der"), &format!("{BY_PROVIDER} {options}")));
    }
    holds(&pki().sign("ec.der", "-signer curve.pem -inkey curve.key -certfile authority.pem"));
}

#[test]
fn indefinite_lengths() {
    let der = pki().sign("definite.der", &format!("{BY_PROVIDER} -md sha256"));
    let ber = indefinite(&der, 0);
    assert_eq!(ber[..2], [0x30, 0x80]);
    std::fs::write(pki().dir.join("ber.der"), &ber).unwrap();
    pki().run("cms -verify -inform DER -in ber.der -content content -binary -CAfile root.pem -out /dev/null");
    holds(&ber);
    let embedded = pki().sign("embedded.der", &format!("{BY_PROVIDER} -stream -indef"));
    assert_eq!(embedded[..2], [0x30, 0x80]);
    fails(&embedded, "p--", "the signature is not detached: it carries content of its own");
}

#[test]
fn facts_about_the_signer() {
    let der = pki().sign("facts.der", &format!("{BY_PROVIDER} -md sha512"));
    let found = verify_message(&message(CONTENT, &der), &pki().anchors(), now());
    assert_eq!(found.addresses, ["posta-certificata@alfa.example", "altra@alfa.example"]);
    assert_eq!(found.signed_part, Some(1));
    assert_eq!(found.properties["digest"], "id-sha512");
    assert_eq!(found.properties["issuer"], "C=IT, O=Alfa, CN=authority");
    pki().run("x509 -in provider.pem -outform DER -out provider.der");
    assert_eq!(found.certificate.unwrap(), pki().read("provider.der"));
    let serial = pki().run("x509 -in provider.pem -noout -serial");
    assert_eq!(serial.trim().to_lowercase(), format!("serial={}", found.properties["serial"]));
}

#[test]
fn altered_content() {
    let der = pki().sign("altered.der", BY_PROVIDER);
    let whole = message(CONTENT, &der);
    let start = whole.windows(CONTENT.len()).position(|w| w == CONTENT).unwrap();
    for at in 46..CONTENT.len() - 2 {
        let mut altered = whole.clone();
        // Another printable octet: line ends stay, so that the structure does.
        if altered[start + at].is_ascii_graphic() {
            altered[start + at] = if altered[start + at] == b'x' { b'y' } else { b'x' };
            let found = verify_message(&altered, &pki().anchors(), now());
            assert_eq!(facts(&found), "p--", "octet {at}");
            // In the header of the part, its structure may be in doubt before its octets are.
            let said = found.problem.unwrap();
            let is_header = at < CONTENT.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
            let ambiguous = is_header && said == "the structure of the message is ambiguous";
            assert!(ambiguous || said == "the content was altered: its digest is not the signed one", "{said}");
        }
    }
    let without = pki().sign("altered2.der", &format!("{BY_PROVIDER} -noattr"));
    let altered = String::from_utf8_lossy(CONTENT).replace("no?", "si!").into_bytes();
    let found = verify_message(&message(&altered, &without), &pki().anchors(), now());
    assert_eq!(found.problem.unwrap(), "the signature does not fit the signer's certificate");
}

#[test]
fn a_signature_over_only_a_part_of_the_part() {
    let body = CONTENT.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    std::fs::write(pki().dir.join("body"), &CONTENT[body..]).unwrap();
    pki().run(&format!("cms -sign -binary -in body -outform DER -out body.der {BY_PROVIDER}"));
    fails(&pki().read("body.der"), "p--", "the content was altered: its digest is not the signed one");
}

#[test]
fn no_signer_two_signers_no_certificate() {
    pki().run("crl2pkcs7 -nocrl -certfile provider.pem -outform DER -out none.der");
    fails(&pki().read("none.der"), "p--", "the signature has no signer");
    let two = pki().sign("two.der", &format!("{BY_PROVIDER} -signer beta.pem -inkey beta.key"));
    fails(&two, "p--", "the signature has 2 signers; exactly one is allowed");
    let bare = pki().sign("bare.der", &format!("{BY_PROVIDER} -nocerts"));
    fails(&bare, "p--", "the signer's certificate is not in the signature");
}

#[test]
fn content_inside_beside_the_content_outside() {
    let both = pki().sign("both.der", &format!("{BY_PROVIDER} -nodetach"));
    fails(&both, "p--", "the signature is not detached: it carries content of its own");
}

#[test]
fn a_signed_index_is_opened_only_if_everything_holds() {
    let anchors = pki().anchors();
    for options in ["-nodetach", "-stream -indef"] {
        let file = pki().sign("index.p7m", &format!("{BY_PROVIDER} {options}"));
        let (found, content) = open_signed(&file, &anchors, now());
        assert_eq!((facts(&found).as_str(), content.as_deref()), ("pit", Some(CONTENT)), "{:?}", found.problem);
        let at = file.windows(6).position(|w| w == b"ultima").unwrap();
        let mut altered = file.clone();
        altered[at] = b'U';
        let (found, content) = open_signed(&altered, &anchors, now());
        assert_eq!((facts(&found).as_str(), content), ("p--", None));
        let (found, content) = open_signed(&file, &anchors, in_days(21));
        assert_eq!((facts(&found).as_str(), content), ("pi-", None));
    }
    let detached = pki().sign("index.p7s", BY_PROVIDER);
    let (found, content) = open_signed(&detached, &anchors, now());
    assert_eq!((found.problem.unwrap().as_str(), content), ("not a signed message: there is no content in it", None));
}

#[test]
fn a_key_that_is_not_the_certificate_s() {
    // A certificate with the provider's issuer and serial number over another key, as an attacker would embed it.
    let genuine = pki().sign("genuine.der", BY_PROVIDER);
    let other = pki().sign("other.der", "-signer beta.pem -inkey beta.key -certfile authority.pem");
    let (genuine_len, other_len) = (genuine.len(), other.len());
    // The last 256 octets of each are its RSA signature.
    let mixed = [&genuine[..genuine_len - 256], &other[other_len - 256..]].concat();
    fails(&mixed, "p--", "the signature does not fit the signer's certificate");
    let short = pki().sign("short.der", "-signer short.pem -inkey short.key -certfile authority.pem");
    fails(&short, "p--", "the signer's key is not accepted: RSA below 2048 bits");
}

#[test]
fn algorithms_that_do_not_count() {
    let md5 = pki().sign("md5.der", &format!("{BY_PROVIDER} -md md5"));
    fails(&md5, "p--", "the algorithm id-md5 is not accepted");
    let pss = pki().sign("pss.der", &format!("{BY_PROVIDER} -keyopt rsa_padding_mode:pss"));
    fails(&pss, "p--", "the algorithm id-RSASSA-PSS is not accepted");
    let sha1 = pki().sign("sha1off.der", &format!("{BY_PROVIDER} -md sha1"));
    let strict = pki().anchors().with_sha1(false);
    let found = verify_message(&message(CONTENT, &sha1), &strict, now());
    assert_eq!(
        (facts(&found).as_str(), found.problem.unwrap().as_str()),
        ("p--", "the algorithm id-sha1 is not accepted")
    );
}

#[test]
fn what_is_no_cms() {
    for junk in [&b""[..], b"0", &[0x30, 0x80], &[0x30; 64]] {
        fails(junk, "p--", "the signature cannot be parsed: it is not BER");
    }
    pki().run("cms -digest_create -md sha256 -in content -outform DER -out digest.der");
    fails(&pki().read("digest.der"), "p--", "the signature cannot be parsed: it is not SignedData");
    let whole = String::from_utf8_lossy(&message(b"A: b\r\n\r\nc", b"0000")).replace("MDAwMA==", "M?AwMA==");
    let found = verify_message(whole.as_bytes(), &pki().anchors(), now());
    assert_eq!(found.problem.unwrap(), "the signature cannot be parsed: it is not base64");
}

#[test]
fn paths_that_do_not_lead_to_the_root() {
    let unknown = pki().sign("unknown.der", "-signer forged.pem -inkey forged.key -certfile stranger.pem");
    let (facts, problem) = verdict(&unknown);
    assert_eq!(facts, "pi-");
    assert!(problem.starts_with("the signer's certificate is not trusted: self-signed certificate in"), "{problem}");
    let cut = pki().sign("cut.der", "-signer provider.pem -inkey provider.key");
    let (facts, problem) = verdict(&cut);
    assert_eq!(facts, "pi-");
    assert!(problem.contains("unable to get local issuer certificate"), "{problem}");
    for (name, facts_, words) in [
        ("outside", "pi-", "permitted subtree violation"),
        ("cannot", "pi-", "unsuitable certificate purpose"),
        ("web", "pi-", "unsuitable certificate purpose"),
        ("binding", "pi-", "does not allow digital signatures"),
    ] {
        let der = pki()
            .sign(&format!("{name}.der"), &format!("-signer {name}.pem -inkey {name}.key -certfile authority.pem"));
        let (facts, problem) = verdict(&der);
        assert!(facts == facts_ && problem.contains(words), "{name}: {facts} {problem}");
    }
}

#[test]
fn times_of_the_certificates() {
    let der = pki().sign("time.der", BY_PROVIDER);
    let at = |at| verify_message(&message(CONTENT, &der), &pki().anchors(), at);
    let late = at(in_days(21));
    assert_eq!(facts(&late), "pi-");
    assert_eq!(
        late.problem.unwrap(),
        "the signer's certificate is not trusted: certificate has expired (C=IT, O=Alfa, CN=authority)"
    );
    let early = at(now() - 86_400_000);
    assert!(early.problem.unwrap().contains("not yet valid"));
}

#[test]
fn an_authority_below_the_root_may_be_the_anchor() {
    let der = pki().sign("partial.der", "-signer provider.pem -inkey provider.key");
    let anchors = Anchors::load(&pki().read("authority.pem")).unwrap();
    assert_eq!(facts(&verify_message(&message(CONTENT, &der), &anchors, now())), "pit");
}

#[test]
fn revocation() {
    let der = pki().sign("revocation.der", BY_PROVIDER);
    let of_root = pki().revocation_list("root", &[], "");
    let none = pki().revocation_list("authority", &["beta"], "");
    let some = pki().revocation_list("authority", &["beta", "provider"], "");
    let path = pki().dir.join("lists.pem");
    std::fs::write(&path, [of_root.clone(), none.clone()].concat()).unwrap();
    let anchors = pki().anchors().with_revocation_lists(&path).unwrap();
    let check = |lists: &[u8], at| {
        std::fs::write(&path, lists).unwrap();
        let found = verify_message(&message(CONTENT, &der), &anchors, at);
        assert!(found.intact);
        (found.trusted, found.transient, found.problem.unwrap_or_default())
    };
    assert_eq!(check(&[of_root.clone(), none.clone()].concat(), now()), (true, false, String::new()));
    assert_eq!(
        check(&[of_root.clone(), some.clone()].concat(), now()),
        (false, false, "the certificate is revoked: certificate revoked (C=IT, O=Alfa, CN=provider)".into())
    );
    let mut damaged = none.clone();
    damaged.truncate(none.len() / 2);
    let ending = pki().revocation_list("authority", &[], &format!("-crl_nextupdate {}", moment(2)));
    let coming = pki().revocation_list("authority", &[], &format!("-crl_lastupdate {}", moment(1)));
    for (lists, at, words) in [
        (of_root.clone(), now(), "unable to get certificate CRL"),
        ([of_root.clone(), ending].concat(), in_days(3), "CRL has expired"),
        ([of_root.clone(), coming].concat(), now(), "CRL is not yet valid"),
        (damaged, now(), "the lists cannot be read"),
        (Vec::new(), now(), "the lists cannot be read"),
    ] {
        let (trusted, transient, problem) = check(&lists, at);
        assert!(!trusted && transient && problem.contains(words), "{words}: {trusted} {transient} {problem}");
    }
    // What is wrong for good is said first: nobody waits for the list of a certificate that has expired.
    let (_, transient, problem) = check(&of_root, in_days(21));
    assert!(!transient && problem.contains("certificate has expired"), "{problem}");
    assert!(pki().anchors().with_revocation_lists(&pki().dir.join("none.pem")).is_err());
}

#[test]
fn a_list_counts_only_for_its_distribution_point() {
    let der = pki().sign("split.der", "-signer split.pem -inkey split.key -certfile authority.pem");
    let of_root = pki().revocation_list("root", &[], "");
    let path = pki().dir.join("split-lists.pem");
    for (scope, revoked, trusted, transient) in [
        ("scope1", &[][..], true, false),
        ("scope1", &["split"], false, false),
        ("scope2", &[], false, true),
        ("scope2", &["split"], false, true),
    ] {
        let list = pki().revocation_list("authority", revoked, &format!("-crlexts {scope}"));
        std::fs::write(&path, [of_root.clone(), list].concat()).unwrap();
        let anchors = pki().anchors().with_revocation_lists(&path).unwrap();
        let found = verify_message(&message(CONTENT, &der), &anchors, now());
        assert_eq!((found.trusted, found.transient), (trusted, transient), "{scope} {revoked:?} {:?}", found.problem);
    }
}

#[test]
fn a_signature_part_that_is_too_long() {
    let (facts, problem) = verdict(&vec![0x30; 200 * 1024]);
    assert_eq!(
        (facts.as_str(), problem.as_str()),
        ("p--", "the signature is too large: its part is longer than 256 KiB")
    );
}

#[test]
fn messages_that_are_not_signed() {
    let der = pki().sign("shape.der", BY_PROVIDER);
    let text = |from: &str, to: &str| {
        let ascii = b"Content-Type: text/plain\r\n\r\nciao\r\n";
        let whole = String::from_utf8(message(ascii, &der)).unwrap();
        assert!(whole.contains(from));
        let found = verify_message(whole.replace(from, to).as_bytes(), &pki().anchors(), now());
        (facts(&found), found.problem.unwrap())
    };
    let not = |why: &str| ("---".to_string(), format!("not a signed message: {why}"));
    assert_eq!(text("multipart/signed", "multipart/mixed"), not("it is not multipart/signed"));
    assert_eq!(
        text("\"application/pkcs7-signature\"", "application/pgp-signature"),
        not("its protocol is not that of S/MIME")
    );
    assert_eq!(
        text("application/pkcs7-signature; name", "text/plain; name"),
        not("its second part is not a CMS signature")
    );
    assert_eq!(text("--=_x--", "--=_x\r\n\r\nmore\r\n--=_x--"), not("it does not have exactly two parts"));
    assert_eq!(
        text("MIME-Version", "Content-Type: multipart/mixed; boundary=y\r\nMIME-Version").1,
        "not a signed message: it is not multipart/signed"
    );
    assert_eq!(
        text(
            "MIME-Version: 1.0\r\nContent-Type: ",
            "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=\"=_x\"\r\nContent-Type: "
        ),
        ("p--".into(), "the structure of the message is ambiguous".into())
    );
}

#[test]
fn somebody_s_signed_attributes_are_not_content() {
    // What a genuine signature is over (the attributes as SET OF) presented as content signed without attributes.
    let pki = pki();
    let key = SigningKey::load(&pki.read("provider.key"), &pki.read("provider.pem"), b"").unwrap();
    let set = b"1: abc\r\n\r\nde";
    std::fs::write(pki.dir.join("set"), set).unwrap();
    pki.run(&format!("cms -sign -binary -noattr -in set -outform DER -out set.der {BY_PROVIDER}"));
    let found = verify_message(&message(set, &pki.read("set.der")), &pki.anchors(), now());
    assert_eq!(facts(&found), "p--");
    assert!(found.problem.unwrap().contains("passes for signed attributes"));
    assert!(key.sign_detached(&Rope::from_bytes(&set[..]), &NoSource, now()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// One changed octet anywhere in the signature: never a panic, and what stays intact is the same signer's
    /// signature over the same content (octets outside what is signed may change: unsigned parts, other
    /// certificates).
    #[test]
    fn a_damaged_signature_never_vouches_for_somebody_else(at in 0usize..4000, octet in any::<u8>(), cut in any::<bool>()) {
        static DER: OnceLock<Vec<u8>> = OnceLock::new();
        let genuine = DER.get_or_init(|| pki().sign("damaged.der", BY_PROVIDER));
        let mut der = genuine.clone();
        let at = at % der.len();
        if cut { der.truncate(at) } else { der[at] = octet }
        let found = verify_message(&message(CONTENT, &der), &pki().anchors(), now());
        let good = verify_message(&message(CONTENT, genuine), &pki().anchors(), now());
        if found.trusted {
            prop_assert_eq!(found.certificate, good.certificate);
            prop_assert_eq!(found.addresses, good.addresses);
        }
    }
}

#[test]
fn a_signer_who_is_known_is_judged_like_one_who_is_not() {
    let der = pki().sign("known.der", BY_PROVIDER);
    let sha1 = pki().sign("known-sha1.der", &format!("{BY_PROVIDER} -md sha1"));
    let (whole, anchors) = (message(CONTENT, &der), pki().anchors());
    let first = verify_message(&whole, &anchors, now());
    assert_eq!(facts(&first), "pit");
    assert_eq!(verify_message(&whole, &anchors, now()), first, "the second time, in every fact");
    let mut other = CONTENT.to_vec();
    other[50] ^= 1;
    let altered = verify_message(&message(&other, &der), &anchors, now());
    assert!(!altered.intact && !altered.trusted, "its certificate says nothing of another content");
    for at in [in_days(21), now() - 86_400_000] {
        let (known, unknown) = (verify_message(&whole, &anchors, at), verify_message(&whole, &pki().anchors(), at));
        assert_eq!((facts(&known).as_str(), &known), ("pi-", &unknown), "out of its time");
    }
    // What is remembered is of these roots and of this answer about SHA-1.
    assert_eq!(facts(&verify_message(&message(CONTENT, &sha1), &anchors, now())), "pit");
    let strict = anchors.clone().with_sha1(false);
    assert!(!verify_message(&message(CONTENT, &sha1), &strict, now()).trusted);
    assert!(!verify_message(&whole, &Anchors::none(), now()).trusted, "no roots");
}
