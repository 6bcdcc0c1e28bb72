//! Ordinary mail, mailbox by mailbox (PEC-16), and what the message log says of every message (LOG-06, LOG-07).
#![allow(clippy::unwrap_used, reason = "tests may")]

mod world;

use base64::Engine;
use pec::evidence::Event;
use pec::host::{Arrival, Verdict};
use world::look::*;
use world::{Done, World, world};

const BOTH: [&str; 2] = ["bruno@beta.example", "dora@beta.example"];

fn ordinary(world: &World, arrival: Arrival, from: &str, to: &[&str]) -> Done {
    world.reception(&world.beta, arrival, from, to, ORIGINAL)
}

fn code(done: &Done) -> Option<u16> {
    match &done.verdict {
        Ok(Verdict::Reject(reply)) => Some(reply.code),
        _ => None,
    }
}

#[test]
fn a_mailbox_may_refuse_ordinary_mail_and_no_other() {
    let world = world();
    world.beta.set_mailbox("bruno@beta.example", "ordinary-mail", "reject");
    let refused = ordinary(&world, Arrival::Relay, "x@posta.example", &["Bruno@beta.example"]);
    assert_eq!((code(&refused), refused.kinds()), (Some(554), vec!["refusal"]));
    assert!(
        ordinary(&world, Arrival::Relay, "x@posta.example", &["dora@beta.example"]).verdict == Ok(Verdict::Continue)
    );
    // Certified mail arrives, and what a provider sent amiss must be passed on.
    let envelope = accepted(&world).message;
    let incorrect =
        String::from_utf8(envelope.clone()).unwrap().replace("X-Trasporto: posta-certificata", "X-Trasporto: x");
    for message in [envelope.as_slice(), incorrect.as_bytes()] {
        let done = world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &["bruno@beta.example"], message);
        assert_eq!(done.verdict, Ok(Verdict::Continue));
        assert_eq!(header(&done.message, "X-Anomalia-Origine"), "");
        let delivered = world.delivery(&world.beta, "ada@alfa.example", "bruno@beta.example", &done.message);
        assert_eq!(delivered.verdict, Ok(Verdict::Continue));
    }
}

#[test]
fn a_mailbox_may_want_what_its_provider_refuses() {
    let mut world = world();
    world.beta.configure(r#"{"ordinary-mail":"reject"}"#);
    world.beta.set_mailbox("dora@beta.example", "ordinary-mail", "accept");
    assert_eq!(code(&ordinary(&world, Arrival::Relay, "x@posta.example", &["bruno@beta.example"])), Some(554));
    assert_eq!(ordinary(&world, Arrival::Relay, "x@posta.example", &["dora@beta.example"]).kinds(), ["anomaly"]);
    // A word that nobody knows: the provider's.
    world.beta.set_mailbox("dora@beta.example", "ordinary-mail", "perhaps");
    let done = ordinary(&world, Arrival::Relay, "x@posta.example", &["dora@beta.example"]);
    assert!(code(&done) == Some(554) && done.logged.iter().any(|line| line.contains("perhaps")));
}

#[test]
fn where_some_want_it_the_others_are_reported_as_failed() {
    let world = world();
    world.beta.set_mailbox("bruno@beta.example", "ordinary-mail", "reject");
    let done = ordinary(&world, Arrival::Relay, "x@posta.example", &BOTH);
    assert_eq!(
        (done.verdict.clone(), header(&done.message, "X-Anomalia-Origine")),
        (Ok(Verdict::Continue), "posta-ordinaria".into())
    );
    let at = |to: &str, from: &str| world.delivery(&world.beta, from, to, &done.message);
    assert_eq!(code(&at(BOTH[0], "x@posta.example")), Some(554));
    assert_eq!(at(BOTH[1], "x@posta.example").verdict, Ok(Verdict::Continue));
    assert_eq!(
        at(BOTH[0], "").verdict,
        Ok(Verdict::Continue),
        "a report is delivered: nobody would learn of its refusal"
    );
}

#[test]
fn nobody_s_mail_is_refused_in_the_session() {
    let world = world();
    assert_eq!(code(&ordinary(&world, Arrival::Relay, "x@posta.example", &["nessuno@beta.example"])), Some(550));
    world.beta.set_mailbox("bruno@beta.example", "ordinary-mail", "reject");
    let both = ["nessuno@beta.example", "bruno@beta.example"];
    assert_eq!(code(&ordinary(&world, Arrival::Relay, "x@posta.example", &both)), Some(554));
    // What the server itself carries for somebody can be reported; its own reports cannot.
    assert_eq!(code(&ordinary(&world, Arrival::Internal, "x@beta.example", &["bruno@beta.example"])), Some(554));
    assert_eq!(ordinary(&world, Arrival::Internal, "", &["bruno@beta.example"]).kinds(), ["anomaly"]);
}

fn detail<'a>(event: &'a Event, name: &str) -> &'a str {
    event.details.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
}

#[test]
fn the_log_has_what_was_found_and_what_was_done() {
    let world = world();
    let done = accepted(&world);
    let at_acceptance = &done.events[1];
    assert_eq!(detail(at_acceptance, "certification-data"), data_of(&done.message).write());
    assert!(signature(at_acceptance, "signature").starts_with("SIGNED BY Alfa "));
    assert_eq!(detail(at_acceptance, "sender-domain"), "alfa.example");
    assert_eq!(detail(at_acceptance, "recipient-domains"), "beta.example posta.example");
    let taken = taken(&world, &done.message);
    let event = &taken.events[0];
    assert_eq!(detail(event, "checks"), "existence=yes origin=yes validity=yes form=yes virus=no");
    assert_eq!(detail(event, "treatment"), "take-charge");
    assert!(signature(event, "signature").starts_with("SIGNED BY Beta "), "what we sign");
    assert!(signature(event, "received-signature").starts_with("SIGNED BY Alfa "), "what we verified");
    assert!(detail(event, "certification-data").contains("presa-in-carico"));
    assert!(detail(event, "received-certification-data").contains("tipo=\"posta-certificata\""));
    let received = world.reception(
        &world.alfa,
        Arrival::Relay,
        &taken.queued[0].from,
        &["casella@alfa.example"],
        &taken.queued[0].bytes,
    );
    assert_eq!(detail(&received.events[0], "treatment"), "pass");
    assert!(signature(&received.events[0], "signature").starts_with("SIGNED BY Beta "));
    let anomaly = ordinary(&world, Arrival::Relay, "x@posta.example", &BOTH);
    assert_eq!(detail(&anomaly.events[0], "checks"), "existence=no origin=no validity=no form=no virus=no");
    assert_eq!(detail(&anomaly.events[0], "treatment"), "ordinary");
}

fn signature(event: &Event, name: &str) -> String {
    let value = base64::engine::general_purpose::STANDARD.decode(detail(event, name)).unwrap();
    String::from_utf8(value).unwrap()
}

/// The world's host refuses events over 64 KiB.
#[test]
fn certification_data_that_are_too_long_stand_as_their_digest() {
    let world = world();
    let to: Vec<String> = (0..1000).map(|n| format!("{}{n}@beta.example", "u".repeat(50))).collect();
    let message = format!(
        "From: ada@alfa.example\r\nTo: {}\r\nDate: Tue, 14 Dec 2021 14:54:29 +0100\r\n\r\nx\r\n",
        to.join(",\r\n ")
    );
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let done = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &to, message.as_bytes());
    assert_eq!(done.verdict, Ok(Verdict::Continue));
    let of_envelope: Vec<&Event> =
        done.events.iter().filter(|event| event.kind.word() == "transport-envelope").collect();
    assert!(of_envelope.len() > 1, "in parts");
    assert_eq!(of_envelope.iter().flat_map(|event| event.recipients.clone()).collect::<Vec<_>>(), to);
    use sha2::Digest;
    let expected = world::hex(&sha2::Sha256::digest(data_of(&done.message).write().as_bytes()));
    assert_eq!(detail(of_envelope[0], "certification-data-sha256"), expected);
    assert!(!detail(of_envelope[0], "signature").is_empty());
    assert_eq!(detail(of_envelope[1], "signature"), "", "once");
}
