//! Traffic that is not usual: told once, to those whom it concerns; a mailbox suspended where the settings want it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use antispam::{incoming, traffic};
use world::{HOUR, SCANNER, Server, message, report, settings};

const ADA: &str = "ada@alfa.example";
const LOW: &str = r#","outgoing":{"standard":{"messages-per-hour":10}}"#;
const SUSPEND: &str = r#","outgoing":{"standard":{"messages-per-hour":10},"on-anomaly":"suspend"}"#;

fn burst(server: &Server, more: &str, messages: usize, recipients: &[&str]) {
    let settings = settings(more);
    for n in 0..messages {
        server.sends(&format!("t{n}.{}", server.now.get()), ADA, recipients);
        traffic::send(server, &settings).unwrap();
    }
    server.wakes(&settings);
}

fn told(server: &Server) -> Vec<String> {
    server.submitted.borrow().iter().flat_map(|(_, _, to, _)| to.clone()).collect()
}

#[test]
fn as_05_unusual_outgoing_traffic_is_told_to_postmaster_and_user_once() {
    let server = Server::default();
    burst(&server, LOW, 10, &["x@other.example"]);
    assert!(told(&server).is_empty(), "the limit is not passed");
    burst(&server, LOW, 1, &["x@other.example"]);
    assert_eq!(told(&server), ["postmaster@alfa.example", ADA]);
    assert_eq!(server.kinds(), ["traffic-anomaly"]);
    let (_, from, _, content) = server.submitted.borrow()[0].clone();
    assert_eq!(from, "antispam@alfa.example");
    for words in [
        "From: antispam@alfa.example\r\n",
        "\r\nAuto-Submitted: auto-generated\r\n",
        "\r\nDate: ",
        "- messaggi in un'ora: 11 (limite 10)\r\n",
        "- 11 messages in an hour (limit 10)\r\n",
    ] {
        assert!(content.contains(words), "{words}: {content}");
    }
    // Once in a period; then anew.
    burst(&server, LOW, 30, &["x@other.example"]);
    assert_eq!(told(&server).len(), 2);
    server.now.set(server.now.get() + 25 * HOUR);
    burst(&server, LOW, 11, &["x@other.example"]);
    assert_eq!(told(&server).len(), 4);
    assert!(server.suspended.borrow().is_empty(), "nobody is suspended unless the settings say so");
}

#[test]
fn as_06_a_mailbox_that_bursts_is_suspended_where_the_settings_want_it() {
    let server = Server::default();
    burst(&server, SUSPEND, 12, &["x@other.example"]);
    let suspended = server.suspended.borrow().clone();
    assert_eq!(suspended, [(ADA.to_owned(), "12 messages in an hour (limit 10)".to_owned())]);
    assert!(server.submitted.borrow()[0].3.contains("sospeso"));
    // Opened again, it begins anew: what it sent before does not count.
    burst(&server, SUSPEND, 3, &["x@other.example"]);
    assert_eq!(server.suspended.borrow().len(), 1);
    burst(&server, SUSPEND, 12, &["x@other.example"]);
    assert_eq!(server.suspended.borrow().len(), 2, "and is suspended again, whenever that is");
}

#[test]
fn as_06_nobody_is_told_of_a_suspension_that_could_not_be_made() {
    let server = Server::default();
    server.mailboxes.borrow_mut().insert(ADA.into(), "unknown".into());
    burst(&server, SUSPEND, 12, &["x@other.example"]);
    assert!(server.suspended.borrow().is_empty() && server.warnings.borrow()[0].contains("cannot be suspended"));
    let submitted = server.submitted.borrow().clone();
    assert!(submitted.iter().all(|(_, _, _, content)| !content.contains("sospeso") && !content.contains("suspended")));
    // Nor is it told again at each look.
    drop(submitted);
    burst(&server, SUSPEND, 12, &["x@other.example"]);
    assert_eq!(told(&server).len(), 2);
}

#[test]
fn as_06_unknown_recipients_and_bounces_count() {
    let server = Server::default();
    let more = r#","outgoing":{"standard":{"shares-from":10}}"#;
    burst(&server, more, 5, &["x@other.example", "no@alfa.example"]);
    assert_eq!(told(&server).len(), 2, "half of the recipients do not exist");
    assert!(server.submitted.borrow()[0].3.contains("50% recipients that do not exist or were refused, 5 of 10"));

    let server = Server::default();
    burst(&server, more, 10, &["x@other.example"]);
    assert!(told(&server).is_empty());
    server.properties.borrow_mut().insert("outcome.host".into(), "mx.other.example".into());
    for (n, status) in ["failed", "failed", "failed", "failed", "delivered"].into_iter().enumerate() {
        let mut facts = server.facts.borrow().clone();
        (facts.id, facts.status, facts.sender) = (format!("q{n}"), status.into(), ADA.into());
        *server.facts.borrow_mut() = facts;
        traffic::ended(&server, &settings(more)).unwrap();
    }
    server.wakes(&settings(more));
    assert!(server.submitted.borrow()[0].3.contains("40% recipients that do not exist or were refused, 4 of 10"));
}

/// Our own network may have been away for days: that closes nobody's mailbox.
#[test]
fn as_06_what_could_not_be_delivered_in_time_is_held_against_nobody() {
    let server = Server::default();
    let more = r#","outgoing":{"standard":{"shares-from":10},"on-anomaly":"suspend"}"#;
    burst(&server, more, 10, &["x@other.example"]);
    server.properties.borrow_mut().insert("outcome.host".into(), "mx.other.example".into());
    for n in 0..10 {
        let mut facts = server.facts.borrow().clone();
        (facts.id, facts.status, facts.sender) = (format!("q{n}"), "expired".into(), ADA.into());
        *server.facts.borrow_mut() = facts;
        traffic::ended(&server, &settings(more)).unwrap();
    }
    server.wakes(&settings(more));
    assert!(server.suspended.borrow().is_empty() && told(&server).is_empty());
}

#[test]
fn as_06_what_is_rated_as_unwanted_counts() {
    let server = Server::default();
    *server.report.borrow_mut() = report(15.0);
    burst(&server, SCANNER, 20, &["x@other.example"]);
    assert!(server.submitted.borrow()[0].3.contains("100% messages rated as unwanted, 20 of 20"));
}

#[test]
fn as_06_application_mailboxes_have_limits_of_their_own() {
    let more = r#","outgoing":{"standard":{"messages-per-hour":10},"application":{"messages-per-hour":20}}"#;
    for (sending, messages, told_to) in
        [("application", 20, 0), ("application", 21, 2), ("unwatched", 500, 0), ("standard", 11, 2)]
    {
        let server = Server::default();
        server.chosen.borrow_mut().insert((ADA.into(), traffic::SETTING.into()), sending.into());
        burst(&server, more, messages, &["x@other.example"]);
        assert_eq!(told(&server).len(), told_to, "{sending} {messages}");
    }
}

#[test]
fn as_05_unusual_incoming_traffic_is_told_to_postmaster_and_provider() {
    let server = Server::default();
    let settings = settings(
        r#","incoming":{"limits":{"messages-per-hour":10},"contacts":{"Other.Example":"abuse@other.example"}}"#,
    );
    for n in 0..11 {
        server.comes(&format!("t{n}"), &message("Ciao", "Come stai?"));
        incoming::receive(&server, &settings).unwrap();
    }
    server.wakes(&settings);
    assert_eq!(told(&server), ["postmaster@alfa.example", "abuse@other.example"]);
    assert!(server.submitted.borrow()[0].3.contains("Subject: Traffico anomalo in entrata: other.example"));
    assert!(server.suspended.borrow().is_empty());
}

#[test]
fn a_look_that_finds_nothing_new_changes_nothing() {
    let server = Server::default();
    burst(&server, LOW, 11, &["x@other.example"]);
    let before = (server.state.borrow().clone(), server.submitted.borrow().len());
    traffic::look(&server, &settings(LOW), &format!("look/1/sent/{ADA}")).unwrap();
    for odd in ["look/", "look/x", "look/1/other/x", "learn/1", ""] {
        traffic::look(&server, &settings(LOW), odd).unwrap();
    }
    assert_eq!((server.state.borrow().clone(), server.submitted.borrow().len()), before);
    assert!(server.state.borrow().keys().all(|key| key.starts_with("sum/")), "notes do not stay");
}

#[test]
fn as_06_a_mailbox_that_left_meanwhile_stops_nothing() {
    let server = Server::default();
    server.mailboxes.borrow_mut().insert(ADA.into(), "unknown".into());
    burst(&server, SUSPEND, 11, &["x@other.example"]);
    assert_eq!(server.warnings.borrow().len(), 1);
    assert_eq!(told(&server).len(), 2);
    let (_, _, _, content) = server.submitted.borrow()[0].clone();
    assert!(!content.contains("sospeso") && !content.contains("suspended"), "nobody is told of what did not happen");
    assert_eq!(server.events.borrow()[0].details[2], ("done", "told".to_owned()));
    burst(&server, SUSPEND, 11, &["x@other.example"]);
    assert_eq!(told(&server).len(), 2, "once in a period, as where nobody is suspended");
}

#[test]
fn as_06_what_a_clock_that_was_ahead_counted_is_held_against_nobody() {
    let server = Server::default();
    let now = server.now.get();
    server.now.set(now + 7 * 24 * HOUR);
    burst(&server, SUSPEND, 10, &["x@other.example"]);
    server.now.set(now);
    burst(&server, SUSPEND, 10, &["x@other.example"]);
    assert!(server.suspended.borrow().is_empty(), "ten in an hour are usual");
    // And an alert of that time does not keep others back until it comes.
    let server = Server::default();
    server.now.set(now + 70 * 24 * HOUR);
    burst(&server, LOW, 11, &["x@other.example"]);
    server.now.set(now);
    burst(&server, LOW, 11, &["x@other.example"]);
    assert_eq!(told(&server).len(), 4);
}
