//! Scanners: what a guest is told, that scans overlap, and that they end with their step.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::Ordering;

use common::{MESSAGE, Server, load, one, submit};
use sigillo_plugin::{ChainRun, Outcome};

const GRANTED: &str = "[clean, finds, down, small, left, right, hangs]";

async fn run(kind: &str, step: &str) -> (ChainRun, std::sync::Arc<Server>) {
    let extra = format!("    config: {{ kind: {kind} }}\n    grants: {{ scan: {GRANTED} }}");
    let (engine, server) = load(&one("scans", "access", &extra, step)).await;
    (submit(&engine, MESSAGE).await, server)
}

async fn told(kind: &str) -> String {
    let (run, _) = run(kind, "on-failure: defer").await;
    let Outcome::Reject(reply) = run.outcome else { panic!("{kind}: {:?}", run.steps) };
    reply.text
}

#[tokio::test]
async fn a_guest_is_told_what_the_scanner_said_and_nothing_else_is_clean() {
    let size = MESSAGE.len();
    let body = MESSAGE.split("\r\n\r\n").nth(1).unwrap().len();
    for (kind, words) in [
        ("clean", "clean None by clean (Test 1)".to_owned()),
        ("finds", format!("found Some(\"{size} None\") by finds (Test 1)")),
        ("parts", format!("found Some(\"{body} Some(\\\"7bit\\\")\") by finds (Test 1), found")),
        ("parts", format!("found Some(\"{body} Some(\\\"base64\\\")\") by finds (Test 1)")),
        ("down", "Error::Unavailable(\"cannot be reached\")".to_owned()),
        ("small", "Error::Limit(\"does not take content of this size\")".to_owned()),
        ("known", "true false".to_owned()),
        ("told", "[(\\\"ip\\\", \\\"192.0.2.1\\\"), (\\\"rcpt\\\", \\\"bruno@beta.example\\\"), (\\\"rcpt\\\", \\\"carla@beta.example\\\")]".to_owned()),
        ("told", ": test -0.100 15.000 no action A,B".to_owned()),
        ("unknown-fact", "there is no fact 'password'".to_owned()),
        ("two-lines", "ip: one line of at most 1024 octets".to_owned()),
        ("too-many-facts", "at most 1100 facts".to_owned()),
        ("not-granted", "Error::Denied".to_owned()),
        ("no-part", "Error::NotFound".to_owned()),
        ("twice", "waited for already".to_owned()),
        ("one-after-the-other", "done".to_owned()),
    ] {
        let told = told(kind).await;
        assert!(told.contains(&words), "{kind}: {told}");
    }
}

#[tokio::test]
async fn two_scanners_look_at_once() {
    assert_eq!(told("together").await, "clean None by left (Test 1), clean None by right (Test 1)");
}

#[tokio::test]
async fn scans_are_bounded_and_end_with_their_step() {
    assert!(told("many").await.contains("at most 8 scans under way"));
    let (run, server) = run("hangs", "on-failure: defer, limits: { wall: 100ms }").await;
    assert_eq!(run.outcome.word(), "defer");
    assert!(run.steps[0].failure.as_ref().unwrap().contains("limit `wall`"), "{:?}", run.steps);
    while server.scans_alive.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_scanner_is_shown_counts_as_read() {
    let (run, _) = run("clean", "on-failure: defer, limits: { read: 10B }").await;
    assert!(run.steps[0].failure.as_ref().unwrap().contains("limit `read`"), "{:?}", run.steps);
}
