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
fn what_directory_servers_and_editors_add_is_taken_or_passed_over() {
    let text = format!(
        "\u{feff}# exported\r\ndn: o=postacert\r\nobjectclass: organization\r\n{}",
        ALFA.replace("ALFA", "Alfa")
            .replace("alfa.example\n", "alfa.example \n")
            .replace("89D\n", "89D\nentryUUID: 1\ncreatorsName;x-a;x-b:: AAD/\nmodifyTimestamp: 20260131120000.5Z\n")
            .replace("providerCertificateHash: ", "providerCertificateHash:\n ")
            .replace('\n', "\r\n")
    );
    let directory = index(&text).unwrap();
    let [alfa] = directory.providers() else { panic!("{directory:?}") };
    assert_eq!(alfa.managed_domains.iter().map(|d| &**d).collect::<Vec<_>>(), ["alfa.example", "pec.alfa.example"]);
    assert_eq!(alfa.mail_receipt, "ricevute@alfa.example");
    assert_eq!(alfa.modified, Some(1_769_860_800_000));
    for odd in ["", "2026", "20261331120000Z", "20260131120000+0100", "20260131120000è"] {
        assert_eq!(generalized_time(odd), None, "{odd}");
    }
}

/// The second example of PEC §4.5.10 as its indentation, page breaks and missing blank lines leave it: two
/// environments of one provider share a certificate, `dn` has a blank after a comma, records follow without a blank.
#[test]
fn the_form_of_the_published_example() {
    let certificate = "providerCertificateHash:\n A9993E364706816ABA3E25717850C26C9CD0D89D\n\
        providerCertificate;binary::\n YW\n Jj\n";
    let text = format!(
        "dn: o=postacert\nobjectclass: top\nobjectclass: organization\nobjectClass: LDIFLocationURLObject\n\
         o: postacert\nLDIFLocationURL: https://igpec.rupa.example.com/igpec.ldif.p7m\n\
         description: Base root for the PEC providers directory\n\
         dn: providerName=Anonymous Certified Mail S.p.A.,o=postacert\nobjectclass: top\nobjectclass: provider\n\
         providerName: Anonymous Certified Mail S.p.A.\n{certificate}mailReceipt: notifications@anpocert.it.example\n\
         LDIFLocationURL: http://anpocert.example.com/anpocert.ldif.p7m\nmanagedDomains: mail.anpocert.example.com\n\
         dn: providerUnit=Secondary Environment, providerName=Anonymous\n  Certified Mail S.p.A.,o=postacert\n\
         objectclass: top\nobjectclass: provider\nproviderName: Certified Mail S.p.A.\n\
         providerUnit: Secondary Environment\n{certificate}mailReceipt: notifications@secondary.anpocert.example.com\n\
         managedDomains: management.anpocert.example.com\n"
    );
    let directory = index(&text).unwrap();
    assert_eq!(directory.providers().len(), 2);
    let second = directory.find_by_domain("management.anpocert.example.com").unwrap();
    assert_eq!((second.unit.as_deref(), second.location_url.as_deref()), (Some("Secondary Environment"), None));
}

#[test]
fn what_a_provider_publishes_has_no_base_and_is_read_like_an_index() {
    let written = Directory::from_providers([provider("Alfa", &["alfa.example"], &[b"abc"])]).unwrap();
    let text = written.entries_to_ldif();
    assert!(text.starts_with("version: 1\n\ndn: providerName=Alfa,o=postacert\n"), "{text}");
    assert_eq!(index(&text).unwrap().providers(), written.providers());
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
    fn no_bytes_make_it_panic(
        text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b':'), Just(b' '), any::<u8>()], 0..300),
        cut in 0usize..400, at in 0usize..400, byte in any::<u8>()
    ) {
        let _ = Directory::from_ldif(&text);
        // And a genuine one that was cut off, and altered in one octet.
        let mut altered = ALFA.as_bytes().to_vec();
        let _ = Directory::from_ldif(&altered[..cut.min(altered.len())]);
        let at = at % altered.len();
        altered[at] = byte;
        let _ = Directory::from_ldif(&altered);
    }

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
