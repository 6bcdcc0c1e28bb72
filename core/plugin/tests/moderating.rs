//! Suspended mailboxes and refiled messages: what a plugin may ask for, and what it is told.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{MESSAGE, delivery, load, one, submit};
use sigillo_plugin::{ChainRun, Outcome, Passage, Suspension};
use sigillo_policy::{Facts, Stage};

async fn suspend(mailbox: &str) -> ChainRun {
    let extra = format!("    config: {{ mailbox: {mailbox} }}\n    grants: {{ accounts: suspend }}");
    let (engine, _) = load(&one("moderates", "access", &extra, "on-failure: defer")).await;
    submit(&engine, MESSAGE).await
}

/// AS-06.
#[tokio::test]
async fn as_06_a_suspension_is_asked_for_and_recorded() {
    let run = suspend("ada@alfa.example").await;
    assert_eq!(run.outcome, Outcome::Continue, "{:?}", run.steps);
    let expected = Suspension { address: "ada@alfa.example".into(), reason: "t1 sent too much".into() };
    assert_eq!(run.change_sets[0].suspensions, [expected]);
    for (mailbox, words) in [("nobody@alfa.example", "NotFound"), ("many", "at most 16"), ("lines", "one line")] {
        let run = suspend(mailbox).await;
        let Outcome::Reject(reply) = run.outcome else { panic!("{mailbox}: {:?}", run.steps) };
        assert!(reply.text.contains(words), "{mailbox}: {}", reply.text);
    }
}

#[tokio::test]
async fn as_06_what_is_not_granted_is_not_loaded() {
    let text = one("moderates", "access", "    grants: {}", "on-failure: defer");
    let (manifests, _) = sigillo_plugin::manifests(&common::guests());
    let wrong = sigillo_policy::parse("policy.yaml", &text, &manifests).unwrap_err();
    assert!(wrong.iter().any(|error| error.to_string().contains("accounts: suspend")), "{}", wrong[0]);
}

#[tokio::test]
async fn a_refiled_message_is_shown_and_cannot_be_changed() {
    let extra = "    grants: { accounts: suspend }";
    let (engine, server) = load(&one("moderates", "refiled", extra, "on-failure: hold")).await;
    let Passage::Delivery { id, reverse_path, recipient, message, structure, attempt, .. } = delivery("refiled", 1)
    else {
        panic!("not a delivery")
    };
    let properties =
        BTreeMap::from([("refiled.from".to_owned(), "inbox".to_owned()), ("refiled.to".to_owned(), "junk".to_owned())]);
    let status = "refiled".into();
    let passage = Passage::Delivery { id, reverse_path, recipient, message, structure, attempt, status, properties };
    let run = engine.run(Stage::Refiled, &Facts::new(), passage).await;
    assert_eq!(run.outcome, Outcome::Continue, "{:?}", run.steps);
    let log = server.log.lock().unwrap();
    let said = format!("bruno@beta.example refiled {} octets from inbox to junk", MESSAGE.len());
    assert!(log[0].ends_with(&said), "{log:?}");
}
