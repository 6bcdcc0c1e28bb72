//! Lists and answers that are handed in: which count, until when, and what a verification makes of them.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use sigillo_trust::revocation::{ListError, Question};
use sigillo_trust::{Anchors, Responders, Revocation, Verification, recheck};
use support::{CONTENT, in_days, message, moment, now, pki, verify_message};

struct World {
    folder: PathBuf,
    revocation: Arc<Revocation>,
    anchors: Anchors,
}

/// A folder of its own with anchors that know of it.
fn world(name: &str, responders: Responders) -> World {
    let folder = pki().dir.join(name);
    let _ = std::fs::remove_dir_all(&folder);
    open(folder, responders)
}

fn open(folder: PathBuf, responders: Responders) -> World {
    let revocation = Arc::new(Revocation::open(&folder, responders).unwrap());
    let anchors = pki().anchors().with_revocation(revocation.clone());
    World { folder, revocation, anchors }
}

/// A message signed by a certificate of the authority.
fn by(name: &str) -> Vec<u8> {
    let file = format!("r-{name}-{:?}.der", std::thread::current().id()).replace(['(', ')'], "");
    message(CONTENT, &pki().sign(&file, &format!("-signer {name}.pem -inkey {name}.key -certfile authority.pem")))
}

impl World {
    fn verify(&self, message: &[u8]) -> Verification {
        verify_message(message, &self.anchors, now())
    }

    /// (trusted, may pass, problem)
    fn verdict(&self, message: &[u8]) -> (bool, bool, String) {
        let found = self.verify(message);
        assert!(found.intact && found.path.is_some());
        (found.trusted, found.transient, found.problem.unwrap_or_default())
    }

    fn offer(&self, list: &[u8]) -> Result<usize, ListError> {
        self.revocation.offer_list(list, now()).map(|lists| lists.len())
    }

    /// The one question about a message.
    fn question(&self, message: &[u8]) -> Question {
        let path = self.verify(message).path.unwrap();
        let [question] = &self.anchors.questions(&path, now())[..] else { panic!("not one question") };
        question.clone()
    }
}

fn list(authority: &str, revoked: &[&str], options: &str) -> Vec<u8> {
    pki().revocation_list(authority, revoked, options)
}

fn der(pem: &[u8], name: &str) -> Vec<u8> {
    std::fs::write(pki().dir.join(format!("{name}.pem")), pem).unwrap();
    pki().run(&format!("crl -in {name}.pem -outform DER -out {name}.der"));
    pki().read(&format!("{name}.der"))
}

#[test]
fn a_list_counts_from_when_it_is_handed_in() {
    let world = world("r-in", Responders::Off);
    let message = by("provider");
    let (trusted, transient, problem) = world.verdict(&message);
    assert!(!trusted && transient && problem.contains("unable to get certificate CRL"), "{problem}");
    // In either form, one or several.
    assert_eq!(world.offer(&der(&list("root", &[], ""), "r-root")), Ok(1));
    assert_eq!(world.offer(&[list("authority", &["beta"], ""), list("root", &[], "")].concat()), Ok(2));
    assert_eq!(world.verdict(&message), (true, false, String::new()));
    assert_eq!(world.revocation.lists().len(), 2);
    // Found revoked from the next message on.
    assert_eq!(world.offer(&pki().numbered_list("authority", &["provider"], "02", "")), Ok(1));
    let (trusted, transient, problem) = world.verdict(&message);
    assert!(!trusted && !transient && problem.starts_with("the certificate is revoked"), "{problem}");
    // What is kept counts after a restart.
    let again = open(world.folder, Responders::Off);
    assert_eq!(again.verdict(&message), (false, false, problem));
}

#[test]
fn a_list_that_may_not_replace_the_one_in_use() {
    let world = world("r-refused", Responders::Off);
    let first = pki().numbered_list("authority", &["provider"], "05", "");
    assert!(matches!(world.offer(&first), Err(ListError::UnknownIssuer(name)) if name == "C=IT, O=Alfa, CN=authority"));
    world.verify(&by("beta"));
    assert_eq!(world.offer(&first), Ok(1), "its authority was learnt from a path");
    assert_eq!(world.offer(&first), Ok(1), "the same again is no harm");
    let offer = |list: &[u8]| world.offer(list).unwrap_err();
    assert_eq!(offer(&pki().numbered_list("authority", &[], "04", "")), ListError::Older);
    let before = format!("-crl_lastupdate {} -crl_nextupdate {}", moment(-2), moment(9));
    assert_eq!(offer(&pki().numbered_list("authority", &[], "06", &before)), ListError::Older);
    let ended = format!("-crl_lastupdate {} -crl_nextupdate {}", moment(-3), moment(-1));
    assert_eq!(offer(&list("root", &[], &ended)), ListError::Stale);
    assert_eq!(offer(&list("root", &[], &format!("-crl_lastupdate {}", moment(1)))), ListError::NotYet);
    let mut forged = der(&list("root", &[], ""), "r-forged");
    *forged.last_mut().unwrap() ^= 1;
    assert!(matches!(offer(&forged), ListError::Forged(_)));
    assert!(matches!(offer(&list("stranger", &[], "")), ListError::UnknownIssuer(_)));
    assert_eq!(offer(b"<html>not found</html>"), ListError::Malformed);
    assert_eq!(offer(&forged[..forged.len() / 2]), ListError::Malformed);
    assert_eq!(offer(b""), ListError::Malformed);
    assert_eq!(offer(&list("root", &[], "-crlexts partial")), ListError::Delta);
    let whole = world.revocation.lists();
    assert_eq!(whole.len(), 1, "nothing of it came in");
    assert_eq!(whole[0].number, Some(vec![5]));
}

#[test]
fn lists_of_several_distribution_points_stand_side_by_side() {
    let world = world("r-split", Responders::Off);
    let message = by("split");
    world.verify(&message);
    world.offer(&list("root", &[], "")).unwrap();
    world.offer(&list("authority", &["split"], "-crlexts scope2")).unwrap();
    let (trusted, transient, problem) = world.verdict(&message);
    assert!(!trusted && transient && problem.contains("different CRL scope"), "{problem}");
    world.offer(&list("authority", &[], "-crlexts scope1")).unwrap();
    assert_eq!(world.verdict(&message), (true, false, String::new()));
    assert_eq!(world.revocation.lists().len(), 3);
}

#[test]
fn after_its_end_a_list_is_not_known_and_a_new_one_is_wanted() {
    let world = world("r-end", Responders::Off);
    let message = by("responded");
    let path = world.verify(&message).path.unwrap();
    world.offer(&list("root", &[], "")).unwrap();
    let wanted = || world.anchors.wanted_lists(&path, now());
    assert_eq!(wanted(), [["http://crl.example/all"]]);
    world.offer(&pki().numbered_list("authority", &[], "01", &format!("-crl_nextupdate {}", moment(2)))).unwrap();
    assert!(wanted().is_empty());
    let later = verify_message(&message, &world.anchors, in_days(3));
    assert!(!later.trusted && later.transient && later.problem.unwrap().contains("CRL has expired"));
    assert_eq!(world.anchors.wanted_lists(&path, in_days(3)), [["http://crl.example/all"]]);
}

#[test]
fn a_damaged_kept_list_is_not_missed_silently() {
    let world = world("r-damaged", Responders::Off);
    world.offer(&list("root", &[], "")).unwrap();
    let file = world.revocation.lists()[0].file.clone();
    std::fs::write(&file, b"x").unwrap();
    let said = Revocation::open(&world.folder, Responders::Off).unwrap_err().to_string();
    assert!(said.contains("damaged; remove it"), "{said}");
}

#[test]
fn a_long_list_is_searched_whole() {
    let world = world("r-long", Responders::Off);
    let message = by("provider");
    world.verify(&message);
    world.offer(&list("root", &[], "")).unwrap();
    let long = pki().long_list(40_000);
    assert!(long.len() > 1_000_000);
    world.offer(&long).unwrap();
    assert_eq!(world.verdict(&message), (true, false, String::new()));
}

#[test]
fn an_answer_counts_before_the_list() {
    let world = world("r-answer", Responders::Prefer);
    let message = by("responded");
    let question = world.question(&message);
    assert_eq!(question.url, "http://ocsp.example/alfa");
    world.offer(&list("root", &[], "")).unwrap();
    // No answer, no list of the authority: not known.
    assert!(world.verdict(&message).1);
    let appointed = "-rsigner responder.pem -rkey responder.key -ndays 1";
    let good = pki().responder(&question.request, &["responded"], &[], appointed);
    world.revocation.offer_answer(&question, &good, now()).unwrap();
    assert_eq!(world.verdict(&message), (true, false, String::new()));
    let path = world.verify(&message).path.unwrap();
    assert!(world.anchors.questions(&path, now()).is_empty(), "it is not asked again");
    assert_eq!(world.anchors.questions(&path, in_days(2)).len(), 1, "before its end");
    // The authority itself may answer, without -ndays too.
    let own = "-rsigner authority.pem -rkey authority.key -nmin 10";
    let revoked = pki().responder(&question.request, &[], &["responded"], own);
    world.revocation.offer_answer(&question, &revoked, now()).unwrap();
    let (trusted, transient, problem) = world.verdict(&message);
    assert!(!trusted && !transient, "{problem}");
    assert_eq!(problem, "the certificate is revoked: its responder says so (C=IT, O=Alfa, CN=responded)");
    // What was looked at before is judged again without reading the message.
    let mut found = world.verify(&message);
    world.revocation.offer_answer(&question, &good, now()).unwrap();
    recheck(&mut found, &world.anchors, now());
    assert_eq!((found.trusted, found.problem), (true, None));
}

#[test]
fn without_an_answer_the_list_counts_or_nothing_does() {
    let prefer = world("r-prefer", Responders::Prefer);
    let require = world("r-require", Responders::Require);
    let message = by("responded");
    for world in [&prefer, &require] {
        world.verify(&message);
        world.offer(&list("root", &[], "")).unwrap();
        world.offer(&list("authority", &[], "")).unwrap();
    }
    assert_eq!(prefer.verdict(&message), (true, false, String::new()));
    let none = "revocation cannot be checked: no answer of its responder, http://ocsp.example/alfa";
    assert_eq!(require.verdict(&message), (false, true, none.into()));
    // A responder that does not know the certificate has not answered.
    let question = require.question(&message);
    let unknown = pki().responder(&question.request, &[], &[], "-rsigner responder.pem -rkey responder.key -ndays 1");
    require.revocation.offer_answer(&question, &unknown, now()).unwrap();
    assert_eq!(require.verdict(&message), (false, true, none.into()));
    // Certificates that name no responder have lists.
    assert_eq!(require.verdict(&by("provider")), (true, false, String::new()));
}

#[test]
fn answers_that_do_not_count() {
    let world = world("r-wrong", Responders::Prefer);
    let message = by("responded");
    let question = world.question(&message);
    let offer = |answer: &[u8], at| world.revocation.offer_answer(&question, answer, at).unwrap_err().to_string();
    let appointed = "-rsigner responder.pem -rkey responder.key -ndays 1";
    let good = pki().responder(&question.request, &["responded"], &[], appointed);
    assert_eq!(offer(&good, in_days(2)), "its time has passed or has not begun");

    // A certificate of the same authority without the extended key usage, and a stranger.
    let forged = "it is not signed by the certificate's issuer, or by whom that one appointed";
    for signer in ["provider", "forged"] {
        let by = format!("-rsigner {signer}.pem -rkey {signer}.key -ndays 1");
        let said = offer(&pki().responder(&question.request, &["responded"], &[], &by), now());
        assert!(said.starts_with(forged), "{signer}: {said}");
    }
    let mut altered = good.clone();
    let at = altered.windows(2).position(|w| w == [0x80, 0]).unwrap();
    altered[at] = 0x82;
    assert!(offer(&altered, now()).starts_with(forged));
    // About another certificate: the question of which is another.
    pki().run("ocsp -issuer authority.pem -cert provider.pem -no_nonce -reqout other.der");
    let other = pki().responder(&pki().read("other.der"), &["provider"], &[], appointed);
    assert_eq!(offer(&other, now()), "it is about another certificate");
    // RFC 6960 §4.2.1: tryLater (3), and what is no answer.
    assert_eq!(offer(&[0x30, 3, 0x0a, 1, 3], now()), "the responder says: error 3");
    assert_eq!(offer(b"<html>", now()), "it is no OCSP response");
    assert_eq!(offer(&good[..good.len() / 2], now()), "it is no OCSP response");
    assert!(world.verdict(&message).1, "none of it counts");
}
