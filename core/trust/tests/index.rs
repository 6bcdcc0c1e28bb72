//! Editions of the index: which are taken, and which are refused and why.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use sigillo_trust::edition::{IndexError, IndexSigner};
use sigillo_trust::{Anchors, Directory, Edition, Provider, SigningKey, Tolerance};
use support::{in_days, now, pki};

const STRICT: Tolerance = Tolerance { shrink: Some(10), older: false };

fn key(name: &str) -> SigningKey {
    let pki = pki();
    SigningKey::load(&pki.read(&format!("{name}.key")), &pki.read(&format!("{name}.pem")), &pki.read("authority.pem"))
        .unwrap()
}

/// An index of `count` providers with ten domains each.
fn text(count: usize) -> String {
    let providers = (0..count).map(|n| Provider {
        name: format!("Provider {n}"),
        mail_receipt: format!("ricevute@p{n}.example"),
        managed_domains: (0..10).map(|d| Arc::from(format!("d{d}.p{n}.example"))).collect(),
        certificates: vec![format!("certificate {n}").into_bytes()],
        ..Provider::default()
    });
    Directory::from_providers(providers).unwrap().to_ldif()
}

fn signer() -> IndexSigner {
    IndexSigner::pinned(&pki().read("provider.pem")).unwrap()
}

fn edition(text: &str, at: u64) -> Result<Edition, IndexError> {
    let file = key("provider").sign_attached(text.as_bytes(), at).unwrap();
    Edition::open(&file, Some(&signer()), "https://index.example/x.p7m", now())
}

#[test]
fn a_signed_edition_is_taken_and_tells_where_it_comes_from() {
    let at = now();
    let found = edition(&text(3), at).unwrap();
    assert_eq!((found.directory.providers().len(), found.domains()), (3, 30));
    assert_eq!(found.signed, Some(at / 1000 * 1000));
    assert_eq!(found.signer.as_deref(), Some("C=IT, O=Alfa, CN=provider"));
    assert_eq!(found.ldif(), text(3).as_bytes());
    assert_eq!(found.sha256.len(), 64);
}

/// What `openssl` signs we open, and what we sign `openssl` opens.
#[test]
fn signed_files_go_both_ways_between_openssl_and_us() {
    let pki = pki();
    std::fs::write(pki.dir.join("two.ldif"), text(2)).unwrap();
    pki.run(
        "cms -sign -binary -nodetach -in two.ldif -signer provider.pem -inkey provider.key -certfile authority.pem \
         -outform DER -out two.p7m",
    );
    let opened = Edition::open(&pki.read("two.p7m"), Some(&signer()), "two.p7m", now()).unwrap();
    assert_eq!(opened.ldif(), text(2).as_bytes());
    for name in ["provider", "curve"] {
        std::fs::write(pki.dir.join("own.p7m"), key(name).sign_attached(text(2).as_bytes(), now()).unwrap()).unwrap();
        let said = pki.run("cms -verify -binary -inform DER -in own.p7m -CAfile root.pem -out own.ldif");
        assert!(said.contains("CMS Verification successful"), "{said}");
        assert_eq!(pki.read("own.ldif"), text(2).as_bytes());
        let printed = pki.run("cms -cmsout -print -noout -inform DER -in own.p7m");
        assert!(printed.contains("eContentType: pkcs7-data (1.2.840.113549.1.7.1)"), "{printed}");
    }
}

#[test]
fn only_the_named_signer_counts() {
    let file = key("beta").sign_attached(text(2).as_bytes(), now()).unwrap();
    // Below the same authority, but not the one who publishes the index.
    let said = Edition::open(&file, Some(&signer()), "x", now()).unwrap_err();
    assert!(matches!(&said, IndexError::Signature(_)), "{said}");
    let roots = Anchors::load(&pki().read("root.pem")).unwrap();
    let named = |subject: &str| IndexSigner::named(roots.clone(), subject);
    let said = Edition::open(&file, Some(&named("C=IT, O=Alfa, CN=provider")), "x", now()).unwrap_err().to_string();
    assert_eq!(
        said,
        "the signature of the index does not hold: it is signed by C=IT, O=Alfa, CN=beta, not by C=IT, O=Alfa, CN=provider"
    );
    assert!(Edition::open(&file, Some(&named("C=IT, O=Alfa, CN=beta")), "x", now()).is_ok());
    let forged = key("forged").sign_attached(text(2).as_bytes(), now()).unwrap();
    let said = Edition::open(&forged, Some(&named("C=IT, O=Alfa, CN=forged")), "x", now()).unwrap_err();
    assert!(matches!(said, IndexError::Signature(_)), "{said}");
    let both = [pki().read("beta.pem"), pki().read("provider.pem")].concat();
    assert!(Edition::open(&file, Some(&IndexSigner::pinned(&both).unwrap()), "x", now()).is_ok());
    assert!(IndexSigner::pinned(b"").is_err());
}

#[test]
fn a_certificate_out_of_its_time_and_one_altered_octet_are_refused() {
    let file = key("provider").sign_attached(text(2).as_bytes(), now()).unwrap();
    let said = Edition::open(&file, Some(&signer()), "x", in_days(21)).unwrap_err().to_string();
    assert!(said.contains("certificate has expired"), "{said}");
    let at = file.windows(9).position(|w| w == b"p1.exampl").unwrap();
    let mut altered = file.clone();
    altered[at] = b'q';
    let said = Edition::open(&altered, Some(&signer()), "x", now()).unwrap_err().to_string();
    assert!(said.contains("the content was altered"), "{said}");
    for length in (0..file.len()).step_by(97) {
        assert!(Edition::open(&file[..length], Some(&signer()), "x", now()).is_err(), "cut at {length}");
    }
}

#[test]
fn a_signature_is_neither_forgone_nor_ignored() {
    let plain = text(2).into_bytes();
    assert_eq!(Edition::open(&plain, Some(&signer()), "x", now()).unwrap_err(), IndexError::NotSigned);
    let file = key("provider").sign_attached(&plain, now()).unwrap();
    assert_eq!(Edition::open(&file, None, "x", now()).unwrap_err(), IndexError::NoSigner);
    assert!(Edition::open(&plain, None, "x", now()).is_ok());
}

#[test]
fn wrong_content_is_refused_even_if_it_is_signed() {
    let duplicate = text(2).replace("d0.p1.example", "d0.p0.example");
    assert!(
        edition(&duplicate, now()).unwrap_err().to_string().contains("d0.p0.example is already managed by Provider 0")
    );
    let hash = text(2).replacen("providerCertificateHash: ", "providerCertificateHash: 00", 1);
    assert!(edition(&hash, now()).unwrap_err().to_string().contains("no certificate of the entry has this hash"));
    assert!(edition("<html>Service unavailable</html>", now()).unwrap_err().to_string().contains("line 1"));
    assert_eq!(edition("dn: o=postacert\nobjectClass: organization\n", now()).unwrap_err(), IndexError::Empty);
    assert_eq!(edition("", now()).unwrap_err(), IndexError::Empty);
    let future = edition(&text(2), now() + 7_200_000).unwrap_err();
    assert!(matches!(future, IndexError::Future(_)), "{future}");
}

#[test]
fn an_older_edition_does_not_follow() {
    let used = edition(&text(5), now()).unwrap();
    let older = edition(&text(6), now() - 60_000).unwrap();
    let said = older.follows(&used, STRICT).unwrap_err();
    assert!(matches!(&said, IndexError::Older(_)), "{said}");
    assert!(older.follows(&used, Tolerance { older: true, ..STRICT }).is_ok());
    assert!(used.follows(&older, Tolerance { shrink: Some(20), older: false }).is_ok());
    // One that says nothing of its date could be of any.
    let undated = Edition::open(text(5).as_bytes(), None, "x", now()).unwrap();
    assert!(matches!(undated.follows(&used, STRICT), Err(IndexError::Older(_))));
    assert!(used.follows(&undated, STRICT).is_ok());
}

#[test]
fn an_entry_that_goes_back_in_time_is_a_rollback_of_a_directory_server() {
    let dated = |time: &str, count| {
        let text = text(count)
            .replace("mailReceipt: ricevute@p0", &format!("modifyTimestamp: {time}\nmailReceipt: ricevute@p0"));
        Edition::open(text.as_bytes(), None, "x", now()).unwrap()
    };
    let (monday, tuesday) = (dated("20260105080000Z", 20), dated("20260106080000Z", 21));
    assert_eq!(tuesday.follows(&monday, STRICT).unwrap().providers_added, ["Provider 20"]);
    let said = monday.follows(&tuesday, STRICT).unwrap_err().to_string();
    assert_eq!(
        said,
        "the index is older than the one in use: entry 'Provider 0' of 2026-01-05T08:00:00Z, in the other of 2026-01-06T08:00:00Z"
    );
}

#[test]
fn a_share_of_the_index_does_not_vanish_in_a_day() {
    let used = edition(&text(20), now()).unwrap();
    let lost = |count| edition(&text(count), now()).unwrap().follows(&used, STRICT);
    assert_eq!(lost(18).unwrap().providers_removed.len(), 2);
    assert_eq!(lost(17).unwrap_err().to_string(), "the index lost 3 of 20 providers, more than 10 in a hundred");
    assert!(edition(&text(1), now()).unwrap().follows(&used, Tolerance { shrink: None, older: false }).is_ok());
    // All providers, but other domains in the place of a fifth of theirs.
    let fewer = (0..20).fold(text(20), |t, n| t.replace(&format!("d0.p{n}.example"), &format!("e0.p{n}.example")));
    let fewer = (0..20).fold(fewer, |t, n| t.replace(&format!("d1.p{n}.example"), &format!("e1.p{n}.example")));
    assert_eq!(
        edition(&fewer, now()).unwrap().follows(&used, STRICT).unwrap_err().to_string(),
        "the index lost 40 of 200 domains, more than 10 in a hundred"
    );
}

#[test]
fn what_changed_is_told() {
    let used = edition(&text(20), now()).unwrap();
    let new = text(21)
        .replace("ricevute@p3.example", "altre@p3.example")
        .replace("managedDomains: d4.p4.example\n", "")
        .replace("managedDomains: d5.p5.example\n", "managedDomains: d5.p5.example\nmanagedDomains: d4.p4.example\n")
        .replace("managedDomains: d6.p6.example\n", "");
    let changes = edition(&new, now()).unwrap().follows(&used, STRICT).unwrap();
    assert_eq!(changes.providers_added, ["Provider 20"]);
    assert_eq!(changes.providers_changed, ["Provider 3"]);
    assert_eq!(changes.domains_added.len(), 10);
    assert_eq!(changes.domains_removed, [Arc::from("d6.p6.example")]);
    assert_eq!(changes.domains_moved, [(Arc::from("d4.p4.example"), "Provider 5".to_owned())]);
    assert!(!changes.is_empty());
    assert!(edition(&text(20), now()).unwrap().follows(&used, STRICT).unwrap().is_empty());
}

#[test]
fn a_kept_copy_is_read_again_and_a_damaged_one_is_noticed() {
    let at = now();
    let bom = format!("\u{feff}{}", text(2));
    for one in [edition(&bom, at).unwrap(), Edition::open(bom.as_bytes(), None, "a\nb", at).unwrap()] {
        let file = one.to_file();
        let again = Edition::from_file(&file).unwrap();
        assert_eq!(again.directory.providers(), one.directory.providers());
        assert_eq!(
            (again.source, again.taken, again.signed, again.signer, again.sha256),
            (one.source.clone(), one.taken, one.signed, one.signer.clone(), one.sha256.clone())
        );
        for length in (0..file.len()).step_by(31) {
            assert!(matches!(Edition::from_file(&file[..length]), Err(IndexError::Damaged(_))), "cut at {length}");
        }
        let mut altered = file.clone();
        let last = altered.len() - 10;
        altered[last] ^= 1;
        assert!(matches!(Edition::from_file(&altered), Err(IndexError::Damaged(_))));
    }
}

#[test]
fn an_index_above_the_limit_is_refused_unread() {
    let long = vec![b'#'; sigillo_trust::directory::INDEX_OCTETS_MAX + 1];
    let said = Edition::open(&long, None, "x", now()).unwrap_err().to_string();
    assert!(said.contains("longer than"), "{said}");
}
