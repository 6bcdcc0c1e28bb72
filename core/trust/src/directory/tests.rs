use super::*;
use proptest::prelude::*;

fn provider(name: &str, domains: &[&str], certificates: &[&[u8]]) -> Provider {
    Provider {
        name: name.into(),
        mail_receipt: format!("ricevute@{}", domains[0]),
        managed_domains: domains.iter().map(|d| Arc::from(*d)).collect(),
        certificates: certificates.iter().map(|c| c.to_vec()).collect(),
        ..Provider::default()
    }
}

fn index(text: &str) -> Result<Directory, String> {
    Directory::from_ldif(text.as_bytes()).map_err(|e| e.to_string())
}

/// An entry with the certificate `abc`, whose SHA-1 is FIPS 180's example.
const ALFA: &str = "dn: providerName=Alfa,o=postacert\nobjectClass: top\nobjectclass: Provider\nproviderName: Alfa\n\
    mailReceipt: ricevute@alfa.example\nmanagedDomains: alfa.example\nmanageddomains: PEC.Alfa.example\n\
    providerCertificateHash: A9993E364706816ABA3E25717850C26C9CD0D89D\nproviderCertificate;binary:: YWJj\n";

#[test]
fn domains_and_certificates_find_their_provider() {
    let text = format!("version: 1\r\n\r\ndn: o=postacert\r\nobjectClass: organization\r\no: postacert\r\n\r\n{ALFA}");
    let directory = index(&text).unwrap();
    assert_eq!(directory.providers().len(), 1);
    for domain in ["alfa.example", "ALFA.EXAMPLE", "pec.alfa.example"] {
        assert!(directory.is_certified(domain), "{domain}");
        assert!(directory.find_by_domain(domain).unwrap().manages(domain));
    }
    for domain in ["beta.example", "x.alfa.example", "example", ""] {
        assert!(!directory.is_certified(domain), "{domain}");
    }
    assert_eq!(directory.find_by_certificate(b"abc").unwrap().name, "Alfa");
    assert_eq!(directory.find_by_certificate(b"abd"), None);
    assert!(!Directory::empty().is_certified("alfa.example"));
}

#[test]
fn the_same_hash_is_not_the_same_certificate() {
    let mut directory = index(ALFA).unwrap();
    // As if another certificate with the same SHA-1 had been made.
    directory.by_hash.insert(sha1(b"forged"), vec![0]);
    assert_eq!(directory.find_by_certificate(b"forged"), None);
}

#[test]
fn wrong_entries_are_refused() {
    let refused = |from: &str, to: &str| {
        let text = ALFA.replace(from, to);
        assert_ne!(text, ALFA, "nothing replaced");
        index(&text).err().unwrap_or_default()
    };
    let at = "the index is wrong at line";
    assert_eq!(refused("89D\n", "89E\n"), format!("{at} 8: no certificate of the entry has this hash"));
    assert_eq!(
        refused("providerCertificateHash: A9993E364706816ABA3E25717850C26C9CD0D89D\n", ""),
        format!("{at} 1: there is no providerCertificateHash a9993e364706816aba3e25717850c26c9cd0d89d")
    );
    assert_eq!(
        refused("mailReceipt: ricevute@", "mailReceipt: ricevute"),
        format!("{at} 1: mailReceipt of the entry: the address has no '@'")
    );
    assert_eq!(refused("providerName: Alfa\n", ""), format!("{at} 1: the entry has no providerName"));
    assert_eq!(
        refused("providerName: Alfa\n", "providerName: Alfa\nproviderName: Beta\n"),
        format!("{at} 5: providername is empty or there twice")
    );
    assert_eq!(refused("PEC.Alfa.example", "alfa..example"), format!("{at} 7: managedDomains is not a domain name"));
    assert_eq!(refused("PEC.Alfa.example", "Alfa.example"), format!("{at} 1: alfa.example is already managed by Alfa"));
    assert_eq!(
        refused("dn: providerName=Alfa,o=postacert\n", ""),
        format!("{at} 1: an entry begins with its dn and has no other")
    );
}

#[test]
fn a_domain_has_one_provider() {
    let text = format!("{ALFA}\n{}", ALFA.replace("Alfa\n", "Beta\n").replace("alfa.example\n", "ALFA.example\n"));
    let said = index(&text).unwrap_err();
    assert_eq!(said, "the index is wrong at line 11: alfa.example is already managed by Alfa");
}

#[test]
fn the_written_index_is_that_which_was_read() {
    let mut second = provider("Beta \"PEC\", S.p.A. ", &["beta.example"], &[b"x", b"y"]);
    second.unit = Some("#test".into());
    second.description = Some("posta elettronica certificata, già attiva".into());
    second.location_url = Some("https://beta.example/index.ldif.p7m".into());
    let written = Directory::from_providers([provider("Alfa", &["alfa.example"], &[&[0; 900]]), second]).unwrap();
    let text = written.to_ldif();
    assert!(text.contains("dn:: ") || text.contains("dn: providerUnit=\\#test"), "{text}");
    let read = Directory::from_ldif(text.as_bytes()).unwrap();
    assert_eq!(read.providers(), written.providers());
}

#[test]
fn names_are_escaped_in_distinguished_names() {
    assert_eq!(escape("Alfa PEC S.p.A."), "Alfa PEC S.p.A.");
    assert_eq!(escape(" #a,b+c\"d;e<f>g\\ "), "\\ #a\\,b\\+c\\\"d\\;e\\<f\\>g\\\\\\ ");
    assert_eq!(escape("#a"), "\\#a");
}

proptest! {
    #[test]
    fn any_name_and_certificates_survive(
        name in "\\PC{1,40}", certificates in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..99), 1..4)
    ) {
        let mut one = provider("x", &["alfa.example"], &[]);
        one.name = name;
        one.certificates = certificates;
        let written = Directory::from_providers([one]).unwrap();
        let read = Directory::from_ldif(written.to_ldif().as_bytes()).unwrap();
        prop_assert_eq!(read.providers(), written.providers());
    }
}
