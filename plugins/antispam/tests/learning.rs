//! Lessons: each message once, in any order, certified mail never; and what the classifier says after them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use antispam::host::Signer;
use antispam::learning::{self, Taken};
use antispam::model::Class;
use antispam::rating::{Rated, rate};
use antispam::{incoming, words};
use proptest::prelude::*;
use world::{Server, message, settings};

const FEW: &str = r#","minimum-lessons":5,"lessons-per-day":10000"#;

fn spam(n: usize) -> String {
    let offers = ["cheap pills", "free casino bonus", "lottery winner", "replica watches", "instant loan approved"];
    message(
        &format!("Offer {n}: {}", offers[n % 5]),
        &format!("Click here now and win, {} only today. Order {}.", offers[n % 5], n + 100),
    )
}

fn ham(n: usize) -> String {
    let topics =
        ["riunione del consiglio", "fattura allegata", "verbale dell'assemblea", "preventivo", "bozza del contratto"];
    message(
        &format!("{} {n}", topics[n % 5]),
        &format!("Buongiorno, in allegato {} di cui abbiamo parlato, pratica {}.", topics[n % 5], n + 100),
    )
}

fn refile(server: &Server, message: &str, from: &str, to: &str) {
    server.refiles(message, from, to);
    learning::refiled(server, &settings(FEW)).unwrap();
}

fn taught(count: usize) -> Server {
    let server = Server::default();
    for n in 0..count {
        refile(&server, &spam(n), "inbox", "junk");
        refile(&server, &ham(n), "junk", "inbox");
    }
    server.wakes(&settings(FEW));
    server
}

fn percent(server: &Server, message: &str) -> Option<f64> {
    server.properties.borrow_mut().clear();
    server.comes("t", message);
    match rate(server, &settings(FEW)).unwrap() {
        Rated::Rating(rating, None) => Some(rating.percent),
        Rated::Unknown(None) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_that_users_refile_teach() {
    let server = taught(40);
    let (bad, good) = (percent(&server, &spam(101)).unwrap(), percent(&server, &ham(101)).unwrap());
    assert!(bad > 75.0 && good < 25.0, "{bad} {good}");
    // And the whole way: into Junk, with a mark.
    server.comes("t9", &spam(102));
    incoming::receive(&server, &settings(FEW)).unwrap();
    server.arrives("ada@alfa.example");
    incoming::deliver(&server, &settings(FEW)).unwrap();
    assert_eq!(server.folder.borrow().as_deref(), Some("Junk"));
    assert!(server.fields.borrow()[0].1.ends_with("engine=builtin"));
}

#[test]
fn as_08_a_classifier_that_has_not_learned_enough_says_nothing() {
    let server = taught(4);
    assert_eq!(percent(&server, &spam(101)), None);
    assert!(server.events.borrow().is_empty(), "that is no failure");
    assert!(percent(&taught(5), &spam(101)).is_some());
}

#[test]
fn what_a_refiling_says_depends_on_where_it_goes() {
    for (from, to, class) in [
        ("inbox", "junk", Some(Class::Spam)),
        ("trash", "junk", Some(Class::Spam)),
        ("junk", "inbox", Some(Class::Ham)),
        ("junk", "other", Some(Class::Ham)),
        ("junk", "trash", None),
        ("inbox", "trash", None),
    ] {
        let server = Server::default();
        refile(&server, &spam(1), from, to);
        let state = server.state.borrow();
        let learned = state.iter().find(|(key, _)| key.starts_with("learned/")).map(|(_, value)| value.clone());
        assert_eq!(learned, class.map(|class| class.word().as_bytes().to_vec()), "{from} to {to}");
    }
}

#[test]
fn a_message_teaches_once_and_can_be_taken_back() {
    let server = taught(20);
    let before = server.model();
    for _ in 0..3 {
        refile(&server, &spam(3), "inbox", "junk");
        server.wakes(&settings(FEW));
    }
    assert_eq!(server.model(), before, "learned before");
    let rating = percent(&server, &spam(3)).unwrap();
    refile(&server, &spam(3), "junk", "inbox");
    server.wakes(&settings(FEW));
    assert_ne!(server.model(), before);
    assert!(percent(&server, &spam(3)).unwrap() < rating, "taken back, it weighs the other way");
}

#[test]
fn as_02_nothing_is_learned_of_certified_mail() {
    let server = Server::default();
    server.signer.set(Signer::Provider);
    refile(&server, &format!("X-Trasporto: posta-certificata\r\n{}", spam(1)), "inbox", "junk");
    assert!(server.state.borrow().is_empty() && server.timers.borrow().is_empty());
    assert_eq!(learning::take(&server, &settings(FEW), Class::Spam).unwrap(), Taken::Nothing);
    // What an anomaly envelope holds is ordinary mail: its words count, not those of the envelope.
    *server.inner.borrow_mut() = Some(spam(1));
    refile(&server, &format!("X-Trasporto: errore\r\n{}", message("ANOMALIA", "busta")), "inbox", "junk");
    let wrapped: Vec<_> = server.state.borrow().keys().cloned().collect();
    let plain = Server::default();
    refile(&plain, &spam(1), "inbox", "junk");
    assert_eq!(wrapped, plain.state.borrow().keys().cloned().collect::<Vec<_>>());
}

/// Who forges an anomaly envelope chooses what is inside: all of it is rated.
#[test]
fn as_02_an_envelope_that_no_provider_signed_hides_nothing() {
    let server = taught(40);
    let forged = format!("X-Trasporto: errore\r\n{}", spam(101));
    *server.inner.borrow_mut() = Some(ham(101));
    assert!(percent(&server, &forged).unwrap() > 75.0);
    server.signer.set(Signer::Provider);
    assert!(percent(&server, &forged).unwrap() < 25.0, "of one that is real, what is inside");
}

#[test]
fn one_mailbox_teaches_so_many_messages_a_day_and_no_more() {
    let server = Server::default();
    let few = settings(r#","minimum-lessons":5,"lessons-per-day":7"#);
    let refile = |mailbox: &str, n: usize| {
        server.refiles(&spam(n), "inbox", "junk");
        server.facts.borrow_mut().recipients = vec![mailbox.to_owned()];
        learning::refiled(&server, &few).unwrap();
    };
    let learned = || {
        server.wakes(&few);
        learning::totals(&server).unwrap().spam
    };
    for n in 0..20 {
        refile("mallory@alfa.example", n);
        refile("Mallory@alfa.example", n); // known, and so not counted
    }
    assert_eq!(learned(), 7);
    for n in 20..23 {
        refile("ada@alfa.example", n);
    }
    assert_eq!(learned(), 10, "others teach as before");
    server.now.set(server.now.get() + 24 * world::HOUR);
    refile("mallory@alfa.example", 30);
    assert_eq!(learned(), 11, "and the next day is another");
    // A message that goes to and fro is a lesson each time.
    let server = Server::default();
    for n in 0..20 {
        let (from, to) = if n % 2 == 0 { ("inbox", "junk") } else { ("junk", "inbox") };
        server.refiles(&spam(1), from, to);
        learning::refiled(&server, &few).unwrap();
        server.wakes(&few);
    }
    let totals = learning::totals(&server).unwrap();
    assert_eq!(totals.spam + totals.ham, 7);
}

#[test]
fn what_is_kept_holds_no_word_of_a_message() {
    let server = Server::default();
    refile(&server, &message("Segretissimo", "parola riservatissima"), "inbox", "junk");
    server.wakes(&settings(FEW));
    for (key, value) in server.state.borrow().iter() {
        let kept = format!("{key} {}", String::from_utf8_lossy(value)).to_lowercase();
        assert!(!kept.contains("segretissimo") && !kept.contains("riservatissima"), "{key}");
    }
}

#[test]
fn more_lessons_than_a_batch_are_all_learned() {
    let server = taught(150);
    assert_eq!(learning::totals(&server).unwrap().spam, 150);
    assert!(server.state.borrow().keys().all(|key| !key.starts_with("lesson/")));
}

#[test]
fn features_are_bounded_for_any_message() {
    let long = message("x", &(0..200_000).map(|n| format!("word{n} ")).collect::<String>());
    assert!(words::features(long.as_bytes()).len() <= words::FEATURES_MAX + 64);
    assert!(words::features(b"").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The lessons of one batch may come in any order, and any of them any number of times.
    #[test]
    fn lessons_commute_and_are_idempotent(order in Just((0..24_usize).collect::<Vec<_>>()).prop_shuffle(), twice in prop::collection::vec(0..24_usize, 0..12)) {
        let learn = |order: &[usize]| {
            let server = Server::default();
            for n in order {
                let (text, from, to) = if n % 2 == 0 { (spam(*n), "inbox", "junk") } else { (ham(*n), "junk", "inbox") };
                refile(&server, &text, from, to);
            }
            server.wakes(&settings(FEW));
            server.model()
        };
        let shuffled: Vec<usize> = order.into_iter().chain(twice).collect();
        prop_assert_eq!(learn(&shuffled), learn(&(0..24).collect::<Vec<_>>()));
    }

    /// No octets make the reader of words fail.
    #[test]
    fn any_octets_have_features(octets in prop::collection::vec(any::<u8>(), 0..2000)) {
        let features = words::features(&octets);
        prop_assert!(features.is_sorted());
        prop_assert!(features.iter().all(|feature| *feature < antispam::model::PLACES));
    }
}
