//! Stamps made by the openssl command line: what each proves, and what is wrong with those that do not.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use openssl::sha::sha256;
use proptest::prelude::*;
use sigillo_trust::Anchors;
use sigillo_trust::timestamp::{Stamp, StampError, Wanted, examine, request};

const SETTINGS: &str = "
[req]
distinguished_name=dn
[dn]
[root]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
[stamping]
keyUsage=critical,digitalSignature
extendedKeyUsage=critical,timeStamping
[tsa]
default_tsa=t
[t]
serial=serial
crypto_device=builtin
signer_digest=sha256
default_policy=1.3.6.1.4.1.99999.1
other_policies=1.3.6.1.4.1.99999.2
digests=sha256,sha512
accuracy=secs:1
clock_precision_digits=3
ordering=yes
tsa_name=yes
ess_cert_id_chain=no
ess_cert_id_alg=sha256
";
const CONTENT: &[u8] = b"the log of a day\n";

struct Authority {
    dir: PathBuf,
}

fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("timestamp");
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("x.cnf"), SETTINGS).unwrap();
        std::fs::write(dir.join("serial"), "01").unwrap();
        let made = Authority { dir };
        for name in ["root", "stranger"] {
            made.run(&format!("genrsa -out {name}.key 2048"));
            made.run(&format!("req -x509 -key {name}.key -subj /CN={name} -days 30 -out {name}.pem -config x.cnf -extensions root"));
        }
        for (name, issuer) in [("tsa", "root"), ("foreign", "stranger")] {
            made.run(&format!("genrsa -out {name}.key 2048"));
            made.run(&format!("req -new -key {name}.key -subj /C=IT/CN={name} -out {name}.csr -config x.cnf"));
            made.run(&format!(
                "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -days 20 -out {name}.pem \
                 -extfile x.cnf -extensions stamping"
            ));
        }
        made
    })
}

impl Authority {
    fn run(&self, words: &str) {
        let done = Command::new("openssl").args(words.split_whitespace()).current_dir(&self.dir).output().unwrap();
        assert!(done.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn anchors(&self, name: &str) -> Anchors {
        Anchors::load(&std::fs::read(self.dir.join(name)).unwrap()).unwrap().with_sha1(false)
    }

    /// The answer of the authority `name` to a request.
    fn answer(&self, request: &[u8], name: &str, options: &str) -> Vec<u8> {
        let dir = tempdir(&self.dir);
        std::fs::write(dir.join("q.tsq"), request).unwrap();
        let dir_name = dir.file_name().unwrap().to_str().unwrap();
        std::fs::write(dir.join("serial"), "0A").unwrap();
        self.run(&format!(
            "ts -reply -config x.cnf -queryfile {dir_name}/q.tsq -signer {name}.pem -inkey {name}.key -out {dir_name}/r.tsr {options}"
        ));
        std::fs::read(dir.join("r.tsr")).unwrap()
    }
}

fn tempdir(parent: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let dir = parent.join(format!("answer{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

fn genuine() -> &'static (Vec<u8>, [u8; 32]) {
    static GENUINE: OnceLock<(Vec<u8>, [u8; 32])> = OnceLock::new();
    GENUINE.get_or_init(|| {
        let digest = sha256(CONTENT);
        (authority().answer(&request(&digest, 77, None).unwrap(), "tsa", ""), digest)
    })
}

fn words(result: Result<Stamp, StampError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_genuine_stamp_proves_its_time() {
    let (answer, digest) = genuine();
    let wanted = Wanted { nonce: Some(77), policy: Some("1.3.6.1.4.1.99999.1"), now: Some(now()) };
    let stamp = examine(answer, digest, &authority().anchors("root.pem"), wanted).unwrap();
    assert!(stamp.time.abs_diff(now()) < 60_000, "{stamp:?}");
    assert!(!stamp.serial.is_empty());
    assert_eq!((stamp.policy.as_str(), stamp.authority.as_str()), ("1.3.6.1.4.1.99999.1", "C=IT, CN=tsa"));
    // Looked at again later, without the request.
    examine(answer, digest, &authority().anchors("root.pem"), Wanted::default()).unwrap();
}

#[test]
fn large_and_small_nonces_and_a_policy_go_both_ways() {
    let digest = sha256(CONTENT);
    for nonce in [0, 1, 0x80, 0xff00_0000_0000_0001, u64::MAX] {
        let policy = "1.3.6.1.4.1.99999.2";
        let answer = authority().answer(&request(&digest, nonce, Some(policy)).unwrap(), "tsa", "");
        let wanted = Wanted { nonce: Some(nonce), policy: Some(policy), now: Some(now()) };
        let stamp = examine(&answer, &digest, &authority().anchors("root.pem"), wanted).unwrap();
        assert_eq!(stamp.policy, policy);
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let (answer, digest) = genuine();
    let anchors = authority().anchors("root.pem");
    let with = |wanted: Wanted<'_>| words(examine(answer, digest, &anchors, wanted));
    assert_eq!(
        words(examine(answer, &sha256(b"other"), &anchors, Wanted::default())),
        "the stamp belongs to other content: its digest is another"
    );
    assert!(with(Wanted { nonce: Some(78), ..Wanted::default() }).contains("nonce"));
    assert!(with(Wanted { policy: Some("1.2.3"), ..Wanted::default() }).contains("1.3.6.1.4.1.99999.1"));
    assert!(with(Wanted { policy: Some("gold"), ..Wanted::default() }).contains("not an object identifier"));
    assert!(with(Wanted { now: Some(now() + 3_600_000), ..Wanted::default() }).contains("away from the clock"));
    assert!(words(examine(b"<html>", digest, &anchors, Wanted::default())).contains("not the answer"));
}

#[test]
fn an_authority_that_is_not_trusted_proves_nothing() {
    let (answer, digest) = genuine();
    let strangers = authority().anchors("stranger.pem");
    assert!(words(examine(answer, digest, &strangers, Wanted::default())).contains("not trusted"));
    let foreign = authority().answer(&request(digest, 1, None).unwrap(), "foreign", "");
    assert!(
        words(examine(&foreign, digest, &authority().anchors("root.pem"), Wanted::default())).contains("not trusted")
    );
    examine(&foreign, digest, &strangers, Wanted::default()).unwrap();
}

/// RFC 3161 §2.3: a certificate for anything else stamps nothing, though it is by a trusted root.
#[test]
fn a_certificate_that_is_not_for_stamping_is_refused() {
    let made = authority();
    std::fs::write(made.dir.join("genuine.tsr"), &genuine().0).unwrap();
    made.run("ts -reply -in genuine.tsr -token_out -out genuine.der");
    made.run("cms -verify -noverify -inform DER -in genuine.der -out info");
    std::fs::write(made.dir.join("mail.cnf"), "keyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\n")
        .unwrap();
    made.run("genrsa -out mail.key 2048");
    made.run("req -new -key mail.key -subj /CN=mail -out mail.csr -config x.cnf");
    made.run(
        "x509 -req -in mail.csr -CA root.pem -CAkey root.key -CAcreateserial -days 20 -out mail.pem -extfile mail.cnf",
    );
    // The tool refuses to stamp with it, but signs the same content in the same form.
    let form = "-binary -nodetach -cades -nosmimecap -econtent_type 1.2.840.113549.1.9.16.1.4";
    made.run(&format!("cms -sign {form} -in info -signer mail.pem -inkey mail.key -outform DER -out mail.der"));
    let granted = [0x30, 3, 2, 1, 0];
    let content = [&granted[..], &std::fs::read(made.dir.join("mail.der")).unwrap()].concat();
    let answer = [&[0x30, 0x82, (content.len() >> 8) as u8, content.len() as u8], &content[..]].concat();
    let found = words(examine(&answer, &genuine().1, &made.anchors("root.pem"), Wanted::default()));
    assert!(found.contains("not trusted") && found.contains("purpose"), "{found}");
}

#[test]
fn a_refusal_says_its_status() {
    // The tool refuses a policy that it does not know.
    let answer = authority().answer(&request(&genuine().1, 1, Some("1.2.3.4")).unwrap(), "tsa", "");
    let found = words(examine(&answer, &genuine().1, &authority().anchors("root.pem"), Wanted::default()));
    assert_eq!(found, "the authority refused: status 2");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Attack C10: a changed answer never proves another time, another content, or another authority.
    #[test]
    fn a_changed_answer_proves_nothing_else(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let (answer, digest) = genuine();
        let anchors = authority().anchors("root.pem");
        let honest = examine(answer, digest, &anchors, Wanted::default()).unwrap();
        let mut changed = answer.clone();
        changed[at.index(answer.len())] ^= 1 << bit;
        if let Ok(stamp) = examine(&changed, digest, &anchors, Wanted::default()) {
            prop_assert_eq!(stamp, honest);
        }
    }
}
