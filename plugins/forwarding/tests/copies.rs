//! The copy: who gets one, what it says, and that the message inside is the one that was received (FWD-01 to FWD-04).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use forwarding::forward::{self, Filed};
use forwarding::host::{Error, Letter};
use forwarding::record::Record;
use forwarding::settings::Settings;
use mail_parser::{MessageParser, MimeHeaders};
use world::{DAY, DOMAIN, MAILBOX, Mail, NOON, Server, bytes, settings};

const ENVELOPE: &str = "Received: from mx.alfa.example\nFrom: \"Per conto di: ada@pec.alfa.example\" <posta-certificata@alfa.example>\n\
To: bruno@pec.beta.example\nSubject: =?utf-8?q?POSTA_CERTIFICATA=3A_perch=C3=A9_no?=\nMessage-ID: <envelope@alfa.example>\nX-Trasporto: posta-certificata\n\
Date: Wed, 1 Jul 2026 12:00:00 +0200\nContent-Type: multipart/signed; boundary=s\n\n--s\nContent-Type: multipart/mixed; boundary=m\n\n\
--m\nContent-Type: text/plain\n\nMessaggio di posta certificata\n--m\nContent-Type: message/rfc822; name=postacert.eml\n\n\
From: ada@pec.alfa.example\nSubject: x\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n\
Buongiorno, cos=EC va bene.\n--m--\n--s\nContent-Type: application/pkcs7-signature\n\nAAAA\n--s--\n";

fn filed() -> Filed {
    Filed { mailbox: MAILBOX.into(), reverse_path: "posta-certificata@alfa.example".into() }
}

fn copies(server: &Server, message: &Mail, settings: &Settings) -> Vec<Letter> {
    forward::run(server, message, settings, &filed()).unwrap();
    server.sent.borrow().clone()
}

fn sent(to: &str) -> (Server, Vec<Letter>) {
    let server = Server::forwarding(to);
    let sent = copies(&server, &Mail::of(ENVELOPE), &settings(""));
    (server, sent)
}

#[test]
fn fwd_01_everything_received_goes_to_the_address_that_was_chosen() {
    let (server, sent) = sent("Bruno@Mail.example");
    let [copy] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(copy.recipient, "Bruno@mail.example", "RFC 5321 §2.4");
    assert!(copy.reverse_path.starts_with("SRS0=") && copy.reverse_path.ends_with("@fwd.beta.example"), "{copy:?}");
    assert!(copy.reverse_path.split('@').next().unwrap().len() <= 64, "RFC 5321 §4.5.3.1.1");
    assert_eq!(server.kinds(), ["forwarded"]);
    let event = server.events.borrow()[0].clone();
    assert_eq!(
        (event.message_id.as_str(), event.recipients[0].as_str()),
        ("envelope@alfa.example", "Bruno@mail.example")
    );
    // Receipts and ordinary mail are received traffic too; so is what has no sender.
    for (from, message) in
        [("", "From: a@b.example\nX-Ricevuta: accettazione\n\nx\n"), ("a@b.example", "\nno header at all\n")]
    {
        let filed = Filed { reverse_path: from.into(), ..filed() };
        forward::run(&server, &Mail::of(message), &settings(""), &filed).unwrap();
    }
    assert_eq!(server.sent.borrow().len(), 3);
}

#[test]
fn fwd_01_the_message_inside_is_the_one_received_byte_for_byte() {
    let message = Mail::of(ENVELOPE);
    let (_, sent) = sent("bruno@mail.example");
    let copy = bytes(&sent[0], &message.0);
    let at = copy.windows(message.0.len()).position(|window| window == message.0).unwrap();
    assert_eq!(&copy[at - 4..at], b"\r\n\r\n");
    let parsed = MessageParser::new().parse(&copy).unwrap();
    let inside = parsed.attachments().find(|part| part.attachment_name() == Some("messaggio.eml")).unwrap();
    assert_eq!(inside.message().unwrap().raw_message(), &message.0[..]);
    assert!(!copy.windows(2).any(|pair| pair[0] != b'\r' && pair[1] == b'\n'), "a bare LF");
    let encodings: Vec<_> = parsed.parts.iter().filter_map(|part| part.content_transfer_encoding()).collect();
    assert_eq!(encodings, ["8bit", "base64", "8bit"], "RFC 2045 §6.4: what has a part of 8 bits in it says so");
}

/// The log takes events of 64 KiB: what a stranger writes into a header must not keep a message from being forwarded.
#[test]
fn fwd_01_a_message_with_an_endless_subject_is_forwarded_too() {
    let server = Server::forwarding("bruno@mail.example");
    let long = "perché ".repeat(12).trim().to_owned();
    let long = vec![long; 1000].join("\n ");
    let message = Mail::of(&format!("Subject: {long}\nMessage-ID: <{}@a.example>\n\nx\n", "x".repeat(70_000)));
    assert_eq!(copies(&server, &message, &settings("")).len(), 1);
    let event = server.events.borrow()[0].clone();
    assert!(event.subject.starts_with("perch") && event.subject.len() <= 1024 && event.message_id.len() <= 1024);
}

#[test]
fn fwd_02_two_addresses_and_no_third() {
    let (server, sent) = sent("a@one.example, b@two.example, A@One.example, c@three.example");
    let recipients: Vec<_> = sent.iter().map(|letter| letter.recipient.as_str()).collect();
    assert_eq!(recipients, ["a@one.example", "b@two.example"]);
    assert_ne!(sent[0].reverse_path, sent[1].reverse_path);
    assert!(
        server.warnings.borrow().iter().any(|line| line.contains("c@three.example") && line.contains("2 addresses"))
    );
}

#[test]
fn fwd_03_every_copy_says_that_it_has_no_legal_value() {
    let message = Mail::of(ENVELOPE);
    let (_, sent) = sent("bruno@mail.example");
    let copy = bytes(&sent[0], &message.0);
    let parsed = MessageParser::new().parse(&copy).unwrap();
    let text = parsed.body_text(0).unwrap();
    for words in ["NON HA VALORE LEGALE", "NO LEGAL VALUE", MAILBOX, "posta-certificata@alfa.example", "perché no"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(text.contains("Buongiorno, così va bene."), "the original's text, not the envelope's: {text}");
    assert_eq!(parsed.subject(), Some("I: POSTA CERTIFICATA: perché no"));
    let from = parsed.from().unwrap().first().unwrap();
    assert_eq!((from.name(), from.address()), (Some("Inoltro automatico"), Some("inoltro@fwd.beta.example")));
    assert_eq!(parsed.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
    assert_eq!(parsed.header_raw("Date").map(str::trim), Some("Wed, 1 Jul 2026 12:00:00 +0200"));
    assert!(parsed.header_raw("Reply-To").is_none());
    // The copy is none of those things that it copies.
    for field in ["X-Trasporto", "X-Ricevuta", "X-Riferimento-Message-ID"] {
        assert!(parsed.header_raw(field).is_none());
    }
}

/// What is attached is not what was written.
#[test]
fn fwd_03_the_text_of_an_ordinary_message_is_its_own() {
    let server = Server::forwarding("bruno@mail.example");
    let message = Mail::of(
        "From: a@b.example\nSubject: x\nContent-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: text/plain\n\n\
         Guarda che cosa mi hanno scritto.\n--m\nContent-Type: message/rfc822\n\nFrom: c@d.example\nSubject: y\n\n\
         Parole di un altro.\n--m--\n",
    );
    let sent = copies(&server, &message, &settings(""));
    let copy = bytes(&sent[0], &message.0);
    let text = MessageParser::new().parse(&copy).unwrap().body_text(0).unwrap().into_owned();
    assert!(text.contains("Guarda che cosa") && !text.contains("Parole di un altro"), "{text}");
}

#[test]
fn fwd_04_ordinary_addresses_of_any_provider_but_no_certified_ones() {
    for (to, reason) in [
        ("ada@pec.alfa.example", "certified"),
        (MAILBOX, "itself"),
        ("x@fwd.beta.example", "domain of forwards"),
        ("nobody", "no address"),
        ("a b@c.example", "no address"),
        ("a@[127.0.0.1]", "no address"),
        ("a@localhost", "no address"),
    ] {
        let (server, sent) = sent(to);
        assert_eq!(sent, [], "{to}");
        assert!(server.warnings.borrow()[0].contains(reason), "{to}: {:?}", server.warnings.borrow());
    }
    let (server, sent) = sent("ada@pec.alfa.example, ok@mail.example");
    assert_eq!((sent.len(), server.warnings.borrow().len()), (1, 1), "one that cannot be does not stop the other");
}

#[test]
fn adm_10_nothing_goes_where_the_administrator_has_not_allowed_it() {
    for forwarding in ["denied", "", "yes", "Allowed"] {
        let server = Server::new(b"beta");
        server.choose(MAILBOX, forwarding, "bruno@mail.example");
        assert_eq!(copies(&server, &Mail::of(ENVELOPE), &settings("")), []);
    }
    let server = Server::new(b"beta");
    assert_eq!(copies(&server, &Mail::of(ENVELOPE), &settings("")), []);
    assert!(server.state.borrow().is_empty() && server.events.borrow().is_empty());
}

#[test]
fn a_message_of_any_kind_makes_a_sound_copy() {
    for text in [
        "Subject: \r\n injected: yes\n\nx\n",
        "Subject: =?utf-8?b?DQpCY2M6IG1hbGxvcnlAZXZpbC5leGFtcGxl?=\n\nx\n",
        "Subject: =?x\nFrom: \"a\n b\" <c@d.example>\nContent-Type: text/plain; charset=utf-7\n\n+AGE-\n",
        "Subject: \u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\n\n\u{e8}\n",
        "Content-Type: multipart/mixed; boundary=b\n\nnever closed\n--b\n\ntext\n",
    ] {
        let server = Server::forwarding("bruno@mail.example");
        let message = Mail::of(text);
        let sent = copies(&server, &message, &settings(""));
        let copy = bytes(&sent[0], &message.0);
        let head = String::from_utf8(copy[..copy.windows(4).position(|w| w == b"\r\n\r\n").unwrap()].to_vec()).unwrap();
        assert!(head.is_ascii() && head.lines().all(|line| line.len() <= 998), "{head}");
        for line in head.split("\r\n").filter(|line| !line.starts_with(' ')) {
            let name = line.split(':').next().unwrap();
            assert!(
                [
                    "From",
                    "To",
                    "Subject",
                    "Date",
                    "Message-ID",
                    "Auto-Submitted",
                    "X-Sigillo-Forward",
                    "MIME-Version",
                    "Content-Type",
                    "Content-Transfer-Encoding"
                ]
                .contains(&name),
                "{line}"
            );
        }
        assert!(copy.windows(message.0.len()).any(|window| window == message.0));
    }
}

#[test]
fn what_the_server_cannot_do_is_a_failure_and_no_copy_is_half_sent() {
    for call in ["setting", "directory", "mac", "get", "submit", "set", "append", "clock"] {
        let server = Server::forwarding("bruno@mail.example");
        server.broken.set(Some(call));
        let ended = forward::run(&server, &Mail::of(ENVELOPE), &settings(""), &filed());
        assert!(matches!(ended, Err(Error::Unavailable(_))), "{call}: {ended:?}");
    }
}

#[test]
fn too_many_copies_in_a_day_suspend_the_forward_and_tell_the_user_once() {
    let server = Server::forwarding("bruno@mail.example");
    let settings = settings(", \"per-day\": 3");
    for _ in 0..6 {
        forward::run(&server, &Mail::of(ENVELOPE), &settings, &filed()).unwrap();
    }
    let sent = server.sent.borrow();
    let to: Vec<_> = sent.iter().map(|letter| letter.recipient.as_str()).collect();
    assert_eq!(to, ["bruno@mail.example", "bruno@mail.example", "bruno@mail.example", MAILBOX]);
    assert_eq!(sent[3].reverse_path, "", "nobody reports about a notice");
    let notice = bytes(&sent[3], b"");
    let notice = MessageParser::new().parse(&notice).unwrap().body_text(0).unwrap().into_owned();
    assert!(
        notice.contains("sospeso") && notice.contains("suspended") && notice.contains("bruno@mail.example"),
        "{notice}"
    );
    assert_eq!(server.kinds(), ["forwarded", "forwarded", "forwarded", "forward-suspended"]);
    drop(sent);
    server.now.set(NOON + DAY);
    forward::run(&server, &Mail::of(ENVELOPE), &settings, &filed()).unwrap();
    assert_eq!(server.sent.borrow().len(), 4, "another day does not resume it");
    let handle = forwarding::return_address::handle(&server, MAILBOX, "bruno@mail.example").unwrap();
    assert_eq!(Record::read(&server, &handle).unwrap().unwrap().suspended.unwrap().word, "rate");
}

#[test]
fn the_count_of_a_day_begins_anew_with_the_next() {
    let server = Server::forwarding("bruno@mail.example");
    let settings = settings(", \"per-day\": 1");
    for day in 0..5 {
        server.now.set(NOON + day * DAY);
        forward::run(&server, &Mail::of(ENVELOPE), &settings, &filed()).unwrap();
    }
    assert_eq!(server.sent.borrow().len(), 5);
}

#[test]
fn settings_are_checked_and_their_defaults_are_those_of_the_readme() {
    let defaults = settings("");
    let readme = include_str!("../README.md");
    for (name, value) in [
        ("addresses", defaults.addresses.to_string()),
        ("report-days", defaults.report_days.to_string()),
        ("failures", defaults.failures.to_string()),
        ("failure-days", defaults.failure_days.to_string()),
        ("per-day", defaults.per_day.to_string()),
        ("hops", defaults.hops.to_string()),
        ("text", defaults.text.to_string()),
        ("name", defaults.name.clone()),
    ] {
        assert!(readme.contains(&format!("| `{name}` | `{value}` |")), "{name} {value}");
    }
    assert_eq!(defaults.address, format!("inoltro@{DOMAIN}"));
    for (wrong, word) in [
        ("{}", "domain"),
        ("{\"domain\": \"\"}", "address"),
        ("{\"domain\": \"a b\"}", "address"),
        ("{\"domain\": \"b.example\", \"address\": \"a@c.example\"}", "not in the domain"),
        ("{\"domain\": \"b.example\", \"addresses\": 3}", "addresses: wants 1 to 2"),
        ("{\"domain\": \"b.example\", \"failures\": 0}", "failures: wants 1"),
        ("{\"domain\": \"b.example\", \"name\": \"a\\nb\"}", "name"),
        ("{\"domain\": \"b.example\", \"more\": 1}", "more"),
    ] {
        let problem = Settings::parse(wrong).unwrap_err();
        assert!(problem.contains(word), "{wrong}: {problem}");
    }
}
