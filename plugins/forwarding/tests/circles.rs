//! Mail that comes back: every circle ends, and nobody can stop a forward from outside.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use forwarding::forward::{self, Filed};
use forwarding::loops::{self, FIELD};
use proptest::prelude::*;
use world::{MAILBOX, Mail, Server, bytes, settings};

const ORIGINAL: &str = "From: ada@pec.alfa.example\nSubject: x\nMessage-ID: <1@alfa.example>\n\nBuongiorno\n";

fn filed(mailbox: &str, from: &str) -> Filed {
    Filed { mailbox: mailbox.into(), reverse_path: from.into() }
}

/// Forwards and gives back the copy as it travels, if there is one.
fn next(server: &Server, mailbox: &str, message: &Mail, from: &str, hops: &str) -> Option<Mail> {
    let before = server.sent.borrow().len();
    forward::run(server, message, &settings(hops), &filed(mailbox, from)).unwrap();
    let sent = server.sent.borrow();
    sent.get(before).map(|letter| Mail(bytes(letter, &message.0)))
}

fn wrapped(message: &Mail, how: u8) -> Mail {
    let inside = String::from_utf8(message.0.clone()).unwrap();
    match how % 5 {
        0 => Mail(message.0.clone()),
        // As another server passes it on, with a trace above.
        1 => Mail::of(&format!("Received: from x\nX-Other: y\n{inside}")),
        // An anomaly envelope, or another's copy with the message inside.
        2 => Mail::of(&format!(
            "From: p@beta.example\nSubject: ANOMALIA MESSAGGIO: x\nContent-Type: multipart/mixed; boundary=\"=_{}\"\n\n--=_{0}\n\ntext\n\
             --=_{0}\nContent-Type: message/rfc822\n\n{inside}\n--=_{0}--\n",
            inside.len()
        )),
        // A report with the header of what it is about, where the token is in it; deeper it would be lost.
        3 if inside.split("\r\n\r\n").next().unwrap().contains(FIELD) => Mail::of(&format!(
            "From: p@beta.example\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"=_{}\"\n\n--=_{0}\n\ntext\n\
             --=_{0}\nContent-Type: text/rfc822-headers\n\n{}\n\n--=_{0}--\n",
            inside.len(),
            inside.split("\r\n\r\n").next().unwrap()
        )),
        // Folded anew.
        _ => Mail::of(&inside.replacen("; day=", ";\n\tday=", 1).replacen(
            &format!("{FIELD}:"),
            &format!("{}:\n ", FIELD.to_uppercase()),
            1,
        )),
    }
}

#[test]
fn a_copy_that_comes_back_is_not_copied_again_however_it_is_wrapped() {
    for how in 0..5 {
        let server = Server::forwarding("bruno@mail.example");
        let copy = next(&server, MAILBOX, &Mail::of(ORIGINAL), "ada@pec.alfa.example", "").unwrap();
        let back = wrapped(&copy, how);
        assert!(next(&server, MAILBOX, &back, "someone@mail.example", "").is_none(), "{how}");
        assert_eq!(server.kinds(), ["forwarded", "forward-loop"], "{how}");
    }
}

#[test]
fn a_copy_that_comes_back_from_its_return_address_is_not_copied_again() {
    let server = Server::forwarding("bruno@mail.example");
    next(&server, MAILBOX, &Mail::of(ORIGINAL), "ada@pec.alfa.example", "").unwrap();
    let from = server.sent.borrow()[0].reverse_path.clone();
    assert!(next(&server, MAILBOX, &Mail::of("Subject: nothing left of it\n\nx\n"), &from, "").is_none());
}

#[test]
fn a_return_address_that_somebody_made_up_stops_nothing() {
    let server = Server::forwarding("bruno@mail.example");
    let other = Server::forwarding("bruno@mail.example");
    next(&other, MAILBOX, &Mail::of(ORIGINAL), "ada@pec.alfa.example", "").unwrap();
    let old = other.sent.borrow()[0].reverse_path.clone();
    for from in ["SRS0=x@fwd.beta.example", "SRS0=0123456789abcdef=AA=forward=0123456789abcdef@fwd.beta.example"] {
        assert!(next(&server, MAILBOX, &Mail::of(ORIGINAL), from, "").is_some(), "{from}");
    }
    server.now.set(world::NOON + 22 * world::DAY);
    assert!(next(&server, MAILBOX, &Mail::of(ORIGINAL), &old, "").is_some(), "one whose time is over");
}

#[test]
fn two_providers_that_forward_to_each_other_end_after_one_round() {
    let (one, two) = (Server::forwarding("x@two.example"), Server::new(b"gamma"));
    two.choose("x@two.example", "allowed", "y@one.example");
    let mut message = Mail::of(ORIGINAL);
    let mut rounds = 0;
    while let Some(copy) = next(&one, MAILBOX, &message, "ada@pec.alfa.example", "") {
        let Some(back) = next(&two, "x@two.example", &wrapped(&copy, 2), "z@x.example", "") else { break };
        message = wrapped(&back, 2);
        rounds += 1;
        assert!(rounds < 3, "it goes on and on");
    }
    assert_eq!((rounds, one.sent.borrow().len(), two.sent.borrow().len()), (1, 1, 1));
}

#[test]
fn a_chain_of_mailboxes_of_one_server_is_as_long_as_the_setting_says() {
    let server = Server::new(b"beta");
    let mut message = Mail::of(ORIGINAL);
    let mut copies = 0;
    for index in 0..6 {
        let mailbox = format!("box{index}@pec.beta.example");
        server.choose(&mailbox, "allowed", &format!("to{index}@mail.example"));
        let Some(copy) = next(&server, &mailbox, &wrapped(&message, 2), "a@b.example", ", \"hops\": 3") else { break };
        message = copy;
        copies += 1;
    }
    assert_eq!(copies, 3);
}

#[test]
fn a_token_that_somebody_else_made_stops_nothing() {
    let (server, other) = (Server::forwarding("bruno@mail.example"), Server::new(b"mallory"));
    let foreign = loops::token(&other, MAILBOX, 99).unwrap();
    let real = loops::token(&server, "other@pec.beta.example", 1).unwrap();
    let raised = real.replacen("hops=1", "hops=99", 1);
    for token in [
        foreign.as_str(),
        &raised,
        "hops=99; day=1; id=x; tag=; box=",
        "hops=; day=; id=; tag=0; box=0",
        "\u{0}",
        "hops=1",
    ] {
        let message = Mail::of(&format!("{FIELD}: {token}\nSubject: x\n\n{FIELD}: {token}\n"));
        assert!(next(&server, MAILBOX, &message, "a@b.example", "").is_some(), "{token}");
    }
    let old = loops::token(&server, MAILBOX, 1).unwrap();
    server.now.set(world::NOON + 22 * world::DAY);
    assert!(
        next(&server, MAILBOX, &Mail::of(&format!("{FIELD}: {old}\nSubject: x\n\nx\n")), "a@b.example", "").is_some(),
        "an old one"
    );
    // A real one in the body is no field.
    let mine = loops::token(&server, MAILBOX, 1).unwrap();
    assert!(
        next(&server, MAILBOX, &Mail::of(&format!("Subject: x\n\n{FIELD}: {mine}\n")), "a@b.example", "").is_some()
    );
}

#[test]
fn a_notice_that_a_forward_is_suspended_is_not_forwarded() {
    let server = Server::forwarding("bruno@mail.example, carla@mail.example");
    let settings = settings(", \"per-day\": 1");
    for _ in 0..2 {
        forward::run(&server, &Mail::of(ORIGINAL), &settings, &filed(MAILBOX, "a@b.example")).unwrap();
    }
    let notice = server.sent.borrow().iter().find(|letter| letter.recipient == MAILBOX).cloned().unwrap();
    let before = server.sent.borrow().len();
    forward::run(&server, &Mail(bytes(&notice, b"")), &settings, &filed(MAILBOX, "")).unwrap();
    assert_eq!(server.sent.borrow().len(), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is done to a copy on its way round, of the things that servers do, it is copied once. (What loses the
    /// token ends at the bound of a day: `copies.rs`.)
    #[test]
    fn every_circle_ends(ways in proptest::collection::vec(any::<u8>(), 1..6)) {
        let server = Server::forwarding("bruno@mail.example");
        let mut message = next(&server, MAILBOX, &Mail::of(ORIGINAL), "ada@pec.alfa.example", "").unwrap();
        for how in ways {
            message = wrapped(&message, how);
            prop_assert!(next(&server, MAILBOX, &message, "someone@mail.example", "").is_none());
        }
    }
}
