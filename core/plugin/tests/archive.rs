//! The archive as plugins use it: what they ask for is recorded whole, bounded, and kept only of a message that goes on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{MESSAGE, delivery, load, one, submit, text};
use sigillo_plugin::{ArchiveOp, ChainRun, Direction, Kept, Outcome};
use sigillo_policy::{Facts, Stage};

const GRANTS: &str = "    grants: { archive: true }";

async fn access(subject: &str) -> (ChainRun, Vec<String>) {
    let policy = one("keeps-copies", "access", GRANTS, "on-failure: defer, may: [discard]");
    let (engine, server) = load(&policy).await;
    let run = submit(&engine, MESSAGE.replace("=?utf-8?q?perch=C3=A9?=", subject)).await;
    let log = server.log.lock().unwrap().clone();
    (run, log)
}

fn changes(run: &ChainRun) -> Vec<ArchiveOp> {
    run.change_sets.iter().flat_map(|set| set.archive.clone()).collect()
}

#[tokio::test]
async fn arc_01_a_copy_is_recorded_with_its_digest_and_once_for_its_key() {
    let (run, log) = access("go on").await;
    assert_eq!(run.outcome, Outcome::Continue, "{:?}", run.steps);
    let ops = changes(&run);
    let [ArchiveOp::Keep(kept), ArchiveOp::Release { mailbox, id }] = &ops[..] else { panic!("{ops:?}") };
    let Kept { mailbox: whose, key, direction, content, at_ms, .. } = kept;
    assert_eq!((whose.as_str(), key.as_str(), *direction), ("ada@alfa.example", "k", Direction::Sent));
    assert_eq!(text(content), text(&run.message), "the message as the step saw it");
    assert_eq!(kept.sha256, content.sha256(&sigillo_mail::rope::NoSource).unwrap());
    assert_eq!(kept.properties, [("subject".to_owned(), "x".to_owned())]);
    assert!(kept.id.starts_with(&format!("{at_ms:012x}.")), "names are in the order of time");
    assert_eq!((mailbox.as_str(), id.as_str()), ("ada@alfa.example", "000000000001.known"));
    assert_eq!(
        log,
        [
            "Info keeps-copies t1: same true known 000000000001.known",
            "Info keeps-copies t1: 1 of 5 octets, 5 opened, ada@alfa.example",
        ]
    );
    let (again, _) = access("go on").await;
    assert_eq!(changes(&again), ops, "the same step run anew asks for the same");
}

/// ARC-01: a copy tells that a message was taken; of one that was not there is none.
#[tokio::test]
async fn arc_01_a_message_that_does_not_go_on_leaves_no_copy() {
    for (subject, released) in [("discard", 1), ("quarantine", 1), ("reject", 1), ("defer", 0)] {
        let (run, _) = access(subject).await;
        assert_eq!(run.outcome.word(), subject);
        let ops = changes(&run);
        assert!(ops.iter().all(|op| matches!(op, ArchiveOp::Release { .. })), "{subject}: {ops:?}");
        assert_eq!(ops.len(), released, "{subject}");
    }
}

/// Attack E4: what a step lets the server read counts, also where no octet of it comes to the guest.
#[tokio::test]
async fn what_is_opened_counts_as_read() {
    let policy = one("keeps-copies", "access", GRANTS, "on-failure: defer, limits: { read: 2MiB }");
    let (engine, server) = load(&policy).await;
    assert_eq!(submit(&engine, MESSAGE).await.outcome, Outcome::Continue);
    server.state.lock().unwrap().insert("keeps-copies/large".into(), (Vec::new(), 1));
    let run = submit(&engine, MESSAGE).await;
    assert!(matches!(run.outcome, Outcome::Defer(_)), "{:?}", run.outcome);
    assert!(run.steps[0].failure.as_deref().unwrap().contains("limit `read`"), "{:?}", run.steps);
}

#[tokio::test]
async fn at_delivery_the_copy_is_what_is_filed() {
    let (engine, _) = load(&one("keeps-copies", "delivery", GRANTS, "on-failure: defer")).await;
    let run = engine.run(Stage::Delivery, &Facts::default(), delivery("present", 1)).await;
    let ops = changes(&run);
    let [ArchiveOp::Keep(kept)] = &ops[..] else { panic!("{ops:?} {:?}", run.steps) };
    assert_eq!(text(&kept.content), format!("Return-Path: <ada@alfa.example>\r\n{MESSAGE}"));
    assert_eq!((kept.mailbox.as_str(), kept.direction), ("bruno@beta.example", Direction::Received));
}

/// Attack E7: names and values that would break what shows them, and copies without end, are refused in the call.
#[tokio::test]
async fn what_a_copy_may_be_has_bounds() {
    let (run, log) = access("misuse").await;
    assert_eq!(run.outcome, Outcome::Continue, "{:?}", run.steps);
    let all = format!("Info keeps-copies t1: refused {:?}", [true; 12]);
    assert_eq!(log, [all, "Info keeps-copies t1: kept 64".to_owned()]);
    assert_eq!(changes(&run).len(), 64);
}
