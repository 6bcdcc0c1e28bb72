//! Mail that comes: rated, marked, filed; certified mail left alone; no failure of an engine stops anything.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use antispam::host::{Error, Signer};
use antispam::{incoming, traffic};
use proptest::prelude::*;
use world::{SCANNER, Server, message, report, settings};

/// What becomes of a message with this score of rspamd's.
fn filed(score: f64, more: &str) -> Server {
    let (server, settings) = (Server::default(), settings(&format!("{SCANNER}{more}")));
    *server.report.borrow_mut() = report(score);
    server.comes("t1", &message("Ciao", "Come stai?"));
    incoming::receive(&server, &settings).unwrap();
    assert!(server.fields.borrow().is_empty(), "nothing is changed before other steps have seen it");
    server.arrives("ada@alfa.example");
    incoming::deliver(&server, &settings).unwrap();
    server
}

#[test]
fn as_01_the_scanner_hears_where_a_message_comes_from() {
    let (server, settings) = (Server::default(), settings(SCANNER));
    *server.report.borrow_mut() = report(0.0);
    server.comes("t1", &message("Ciao", "Come stai?"));
    server.properties.borrow_mut().insert("peer.ip".into(), "192.0.2.1".into());
    incoming::receive(&server, &settings).unwrap();
    let scanned = server.scanned.borrow();
    let expected = [("ip", "192.0.2.1"), ("from", "m@other.example"), ("rcpt", "ada@alfa.example"), ("queue-id", "t1")];
    assert_eq!(scanned[0], expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

/// Both directions; what goes out is never marked or refused.
#[test]
fn as_01_what_users_send_is_rated_too() {
    let (server, settings) = (Server::default(), settings(SCANNER));
    *server.report.borrow_mut() = report(15.0);
    server.sends("t1", "ada@alfa.example", &["x@other.example"]);
    traffic::send(&server, &settings).unwrap();
    assert_eq!(server.annotation("band").as_deref(), Some("high"));
    assert_eq!(server.scanned.borrow()[0].iter().filter(|(name, _)| name == "user").count(), 1);
    assert!(!server.marked());
}

#[test]
fn as_03_a_mark_says_band_and_percentage() {
    for (score, value) in [
        (4.0, "bassa (low), 50%; engine=scanner"),
        (6.0, "media (medium), 75%; engine=scanner"),
        (15.0, "alta (high), 95%; engine=scanner"),
        (9000.0, "alta (high), 99%; engine=scanner"),
    ] {
        assert_eq!(*filed(score, "").fields.borrow(), [("X-Spam-Band".to_owned(), value.to_owned())], "{score}");
    }
    assert!(!filed(3.9, "").marked(), "what is below every band is left alone");
    let own = filed(15.0, r#","header":"X-Livello-Spam","bands":{"high":99}"#);
    assert_eq!(own.fields.borrow()[0].0, "X-Livello-Spam");
    assert!(own.fields.borrow()[0].1.starts_with("media"));
}

#[test]
fn as_04_unwanted_mail_lies_in_a_folder_of_its_own() {
    for (more, score, junk) in [
        ("", 4.0, false),
        ("", 6.0, true),
        (r#","junk-from":"low""#, 4.0, true),
        (r#","junk-from":"high""#, 6.0, false),
        (r#","junk-from":"high""#, 15.0, true),
        (r#","junk-from":"never""#, 15.0, false),
    ] {
        let server = filed(score, more);
        assert_eq!(server.folder.borrow().as_deref(), junk.then_some("Junk"), "{more} {score}");
        assert_eq!(server.flags.borrow().len(), usize::from(junk));
        assert_eq!(server.fields.borrow().len(), 1, "marked in any case");
    }
}

#[test]
fn as_04_a_user_chooses_what_goes_there() {
    let (server, settings) = (Server::default(), settings(SCANNER));
    *server.report.borrow_mut() = report(15.0);
    server.comes("t1", &message("Ciao", "Come stai?"));
    incoming::receive(&server, &settings).unwrap();
    server.chosen.borrow_mut().insert(("ada@alfa.example".into(), "junk-from".into()), "never".into());
    for (recipient, folder) in [("ada@alfa.example", None), ("bruno@alfa.example", Some("Junk"))] {
        server.arrives(recipient);
        incoming::deliver(&server, &settings).unwrap();
        assert_eq!(server.folder.borrow().as_deref(), folder, "{recipient}");
    }
}

/// AS-08: the message goes on unmarked, and the log says so.
#[test]
fn as_08_an_engine_that_fails_lets_mail_pass_unmarked() {
    for error in [
        Error::Unavailable("scanner 'rspamd' cannot be reached".into()),
        Error::Unavailable("scanner 'rspamd' gave an answer that is none".into()),
        Error::Other("scanner 'rspamd' does not take content of this size".into()),
    ] {
        let (server, settings) = (Server::default(), settings(SCANNER));
        *server.report.borrow_mut() = Err(error.clone());
        server.comes("t1", &message("Ciao", "Come stai?"));
        incoming::receive(&server, &settings).unwrap();
        server.arrives("ada@alfa.example");
        incoming::deliver(&server, &settings).unwrap();
        assert!(!server.marked());
        assert_eq!(server.kinds(), ["spam-unrated"]);
        assert_eq!(server.events.borrow()[0].details, [("reason", error.words().to_owned())]);
        server.sends("t2", "ada@alfa.example", &["x@other.example"]);
        traffic::send(&server, &settings).unwrap();
        assert_eq!(server.kinds(), ["spam-unrated", "spam-unrated"], "what is sent, too");
    }
}

const CERTIFIED: &str = "X-Trasporto: posta-certificata\r\n";
const RECEIPT: &str = "X-Ricevuta: avvenuta-consegna\r\n";
const ANOMALY: &str = "X-Trasporto: errore\r\n";

#[test]
fn as_02_certified_mail_is_not_shown_to_anybody() {
    for (fields, signer, certified) in [
        (CERTIFIED, Signer::Provider, true),
        (RECEIPT, Signer::Provider, true),
        (CERTIFIED, Signer::Undecided, true),
        // Who only claims it is marked like anybody else.
        (CERTIFIED, Signer::Nobody, false),
        (RECEIPT, Signer::Nobody, false),
        // An anomaly envelope holds what is not certified, whoever signed it.
        (ANOMALY, Signer::Provider, false),
        (ANOMALY, Signer::Nobody, false),
        // A provider's signature on a message that is neither is no certification.
        ("", Signer::Provider, false),
    ] {
        let (server, settings) = (Server::default(), settings(SCANNER));
        *server.report.borrow_mut() = report(15.0);
        server.signer.set(signer);
        server.comes("t1", &format!("{fields}{}", message("POSTA CERTIFICATA: Ciao", "Viagra")));
        incoming::receive(&server, &settings).unwrap();
        assert_eq!(server.scanned.borrow().is_empty(), certified, "{fields} {signer:?}");
        assert_eq!(server.annotation("class").is_some(), certified);
        server.arrives("ada@alfa.example");
        incoming::deliver(&server, &settings).unwrap();
        assert_eq!(server.marked(), !certified, "{fields} {signer:?}");
    }
}

/// An ordinary message for a certified domain: rated as it came, marked in the envelope that the provider made of it.
#[test]
fn as_02_the_envelope_of_an_ordinary_message_is_marked() {
    let (server, settings) = (Server::default(), settings(SCANNER));
    *server.report.borrow_mut() = report(15.0);
    server.comes("t1", &message("Ciao", "Viagra"));
    incoming::receive(&server, &settings).unwrap();
    *server.message.borrow_mut() = format!("{ANOMALY}{}", message("ANOMALIA MESSAGGIO: Ciao", "..."));
    server.signer.set(Signer::Provider);
    server.arrives("ada@alfa.example");
    incoming::deliver(&server, &settings).unwrap();
    assert!(server.marked());
}

/// The log takes events of 64 KiB: nobody is rid of the mark by what he writes into the header.
#[test]
fn as_08_a_long_subject_or_many_recipients_keep_no_message_from_being_marked() {
    for (subject, recipients) in [(70_000, 1), (9, 1000)] {
        let (server, settings) = (Server::default(), settings(SCANNER));
        *server.report.borrow_mut() = report(15.0);
        server.comes("t1", &message("Ciao", "Viagra"));
        let name = |n| format!("{}{n}@alfa.example", "a".repeat(60));
        let mut facts = server.facts.borrow().clone();
        (facts.subject, facts.recipients) = ("è".repeat(subject / 2), (0..recipients).map(name).collect());
        facts.message_id = "x".repeat(70_000);
        *server.facts.borrow_mut() = facts;
        incoming::receive(&server, &settings).unwrap();
        assert_eq!(server.kinds(), ["spam"]);
        server.arrives("ada@alfa.example");
        incoming::deliver(&server, &settings).unwrap();
        assert!(server.marked());
    }
}

#[test]
fn as_03_a_mark_that_the_sender_wrote_is_taken_out() {
    const FORGED: &str = "X-Spam-Band: nessuna (none), 0%;\r\n engine=both\r\nx-spam-band: alta\r\n";
    for (score, marked) in [(0.0, false), (15.0, true)] {
        let (server, settings) = (Server::default(), settings(SCANNER));
        *server.report.borrow_mut() = report(score);
        let plain = message("Ciao", "X-Spam-Band: alta");
        server.comes("t1", &format!("{FORGED}{plain}"));
        incoming::receive(&server, &settings).unwrap();
        server.arrives("ada@alfa.example");
        incoming::deliver(&server, &settings).unwrap();
        assert_eq!(*server.message.borrow(), plain, "and nothing else of it");
        assert_eq!(server.fields.borrow().len(), usize::from(marked));
    }
    // AS-02: certified mail stays as it came, whatever somebody added on its way.
    let (server, settings) = (Server::default(), settings(SCANNER));
    server.signer.set(Signer::Provider);
    let certified = format!("{FORGED}{CERTIFIED}{}", message("POSTA CERTIFICATA: Ciao", "Viagra"));
    server.comes("t1", &certified);
    server.arrives("ada@alfa.example");
    incoming::deliver(&server, &settings).unwrap();
    assert_eq!(*server.message.borrow(), certified);
}

#[test]
fn as_08_a_message_that_cannot_be_looked_at_goes_on_and_is_counted() {
    let (server, settings) = (Server::default(), settings(SCANNER));
    server.unreadable.set(true);
    server.comes("t1", &format!("{CERTIFIED}{}", message("Ciao", "Viagra")));
    incoming::receive(&server, &settings).unwrap();
    let from = message("Ciao", "Viagra");
    server.sends("t2", "ada@alfa.example", &["x@other.example"]);
    *server.message.borrow_mut() = format!("{CERTIFIED}{from}");
    traffic::send(&server, &settings).unwrap();
    assert_eq!(server.kinds(), ["spam-unrated", "spam-unrated"]);
    let notes = server.state.borrow().keys().filter(|key| key.starts_with("came/") || key.starts_with("sent/")).count();
    assert_eq!(notes, 2, "AS-06: a message is counted, whatever is in it");
}

#[test]
fn what_the_server_makes_itself_is_not_rated() {
    let (server, settings) = (Server::default(), settings(SCANNER));
    *server.report.borrow_mut() = report(15.0);
    server.comes("t1", &message("Report", "failed"));
    server.properties.borrow_mut().insert("made.by".into(), "core".into());
    incoming::receive(&server, &settings).unwrap();
    assert!(server.scanned.borrow().is_empty() && server.state.borrow().is_empty());
}

proptest! {
    /// AS-02: whatever stood in the state, whatever the engines say, a certified message is never marked.
    #[test]
    fn as_02_certified_mail_is_never_marked(
        score in -100.0..10_000.0,
        noted in "[0-9]{1,3}(\\.[0-9]{1,3})? (both|scanner|builtin|other)",
        receipt in any::<bool>(),
        undecided in any::<bool>(),
        junk in prop::sample::select(vec!["low", "medium", "high", "never"]),
    ) {
        let (server, settings) = (Server::default(), settings(&format!(r#"{SCANNER},"junk-from":"{junk}""#)));
        *server.report.borrow_mut() = report(score);
        server.signer.set(if undecided { Signer::Undecided } else { Signer::Provider });
        server.comes("t1", &format!("{}{}", if receipt { RECEIPT } else { CERTIFIED }, message("Ciao", "Viagra")));
        incoming::receive(&server, &settings).unwrap();
        server.state.borrow_mut().insert("score/t1".into(), noted.into_bytes());
        server.arrives("ada@alfa.example");
        incoming::deliver(&server, &settings).unwrap();
        prop_assert!(!server.marked());
    }
}
