//! Guests that misbehave: each ends as its policy declares, leaves nothing behind, and does not hold up the others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{MESSAGE, load, one, submit, text};
use sigillo_plugin::{ChainRun, Outcome};

const TRAPS_GRANTS: &str =
    "    grants: { submit: { from: [a@alfa.example] }, state: true, timers: true, evidence: true }";

/// The step failed, for this reason, and nothing of it remains.
fn failed(run: &ChainRun, reason: &str) {
    assert_eq!(text(&run.message), MESSAGE);
    assert!(run.change_sets.is_empty(), "{:?}", run.change_sets);
    let failure = run.steps.last().and_then(|step| step.failure.clone()).unwrap_or_default();
    assert!(failure.contains(reason), "'{failure}' does not say '{reason}'");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_ends_as_the_policy_declares_it() {
    for (choice, word) in [
        ("on-failure: defer", "defer"),
        ("on-failure: reject", "reject"),
        ("on-failure: quarantine", "quarantine"),
        ("on-failure: hold", "hold"),
        ("on-failure: skip, advisory: true", "continue"),
    ] {
        let (engine, _) = load(&one("spins-forever", "access", "", &format!("{choice}, limits: {{ cpu: 5ms }}"))).await;
        let run = submit(&engine, MESSAGE).await;
        assert_eq!(run.outcome.word(), word);
        failed(&run, "processor time (limit `cpu`)");
        assert_eq!(run.steps[0].verdict, if word == "continue" { "skip" } else { word });
    }
}

#[tokio::test]
async fn an_endless_loop_on_the_only_thread_lets_others_run_and_is_cut() {
    let (spins, _) = load(&one("spins-forever", "access", "", "on-failure: defer, limits: { cpu: 300ms }")).await;
    let (null, _) = load(&one("null", "access", "", "on-failure: defer")).await;
    let spinning = tokio::spawn(async move { submit(&spins, MESSAGE).await });
    // A task like the other: the executor polls the test itself only once for many tasks.
    let passing = tokio::spawn(async move {
        let mut passed = 0;
        while !spinning.is_finished() {
            assert_eq!(submit(&null, MESSAGE).await.outcome, Outcome::Continue);
            passed += 1;
            tokio::task::yield_now().await;
        }
        (spinning.await.unwrap(), passed)
    });
    let (run, passed) = passing.await.unwrap();
    failed(&run, "processor time");
    assert!(passed > 50, "only {passed} messages passed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_on_the_wall_cuts_too() {
    let (engine, _) =
        load(&one("spins-forever", "access", "", "on-failure: defer, limits: { cpu: 30s, wall: 50ms }")).await;
    failed(&submit(&engine, MESSAGE).await, "took more than 50ms (limit `wall`)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_ends_at_its_limit() {
    let (engine, _) = load(&one("eats-memory", "access", "", "on-failure: defer, limits: { memory: 8MiB }")).await;
    let run = submit(&engine, MESSAGE).await;
    failed(&run, "8388608 octets of memory (limit `memory`)");
    assert!(run.steps[0].memory_peak <= 8 << 20 && run.steps[0].memory_peak > 6 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_bytes_end_at_their_limits() {
    for (config, limit, reason) in [
        ("{}", "host-calls: 5000", "more than 5000 times (limit `host-calls`)"),
        ("{ kind: reads }", "read: 1MiB", "more than 1048576 octets (limit `read`)"),
        ("{ kind: writes }", "write: 1MiB", "more than 1048576 octets (limit `write`)"),
    ] {
        let extra = format!("    config: {config}");
        // The message is short: a read of it counts what it gives, so the budget of calls must not end it first.
        let step = format!("on-failure: defer, limits: {{ cpu: 20s, host-calls: 1000000, {limit} }}");
        let step = step.replace("host-calls: 1000000, host-calls", "host-calls");
        let (engine, _) = load(&one("floods-host-calls", "access", &extra, &step)).await;
        failed(&submit(&engine, MESSAGE).await, reason);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_after_any_change_leaves_the_message_as_it_was() {
    for changes in 0..=6 {
        let (engine, server) = load(&one(
            "traps",
            "access",
            &format!("    config: {{ changes: {changes} }}\n{TRAPS_GRANTS}"),
            "on-failure: hold",
        ))
        .await;
        let run = submit(&engine, MESSAGE).await;
        assert_eq!(run.outcome.word(), "hold");
        failed(&run, "unreachable");
        assert!(server.state.lock().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_that_overflows_is_a_trap_of_the_guest() {
    let extra = format!("    config: {{ kind: recurse }}\n{TRAPS_GRANTS}");
    let (engine, _) = load(&one("traps", "access", &extra, "on-failure: defer")).await;
    failed(&submit(&engine, MESSAGE).await, "trapped: ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_traps_at_once_leave_the_host_whole() {
    let extra = format!("    config: {{ changes: 3 }}\n{TRAPS_GRANTS}");
    let (traps, _) = load(&one("traps", "access", &extra, "on-failure: defer")).await;
    let (null, _) = load(&one("null", "access", "", "on-failure: defer")).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..400 {
        let engine = if number % 2 == 0 { traps.clone() } else { null.clone() };
        tasks.spawn(async move { (number % 2, submit(&engine, MESSAGE).await.outcome.word()) });
    }
    while let Some(done) = tasks.join_next().await {
        let (kind, word) = done.unwrap();
        assert_eq!(word, if kind == 0 { "defer" } else { "continue" });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_that_are_dropped_half_way_give_their_slots_back() {
    let (spins, _) = load(&one("spins-forever", "access", "", "on-failure: defer, limits: { cpu: 30s }")).await;
    for _ in 0..3 {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let engine = spins.clone();
            tasks.spawn(async move { submit(&engine, MESSAGE).await });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        tasks.shutdown().await;
    }
    let (null, _) = load(&one("null", "access", "", "on-failure: defer")).await;
    assert_eq!(submit(&null, MESSAGE).await.outcome, Outcome::Continue);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_break_a_protocol_is_refused_in_the_call() {
    for (kind, reason) in [
        ("header-line-end", "this would begin another"),
        ("header-bare-lf", "printable ascii"),
        ("header-nul", "printable ascii"),
        ("header-8bit", "printable ascii"),
        ("header-name", "a field's name has"),
        ("header-long", "a line of a header field has at most 998 octets"),
        ("content-bare-lf", "bare cr or lf"),
        ("content-open-end", "a message ends with crlf"),
        ("content-split", "bare cr or lf"),
        ("reverse-path", "denied"),
        ("recipient", "recipient 0: the part after '@' is not a valid domain"),
        ("no-recipient", "at least one recipient"),
        ("annotate-line-end", "one printable line"),
        ("annotate-name", "a name has 1 to 64"),
        ("annotate-many", "at most 16 facts"),
        ("same-key", "already submitted under the key 'one'"),
    ] {
        let extra = format!("    config: {{ kind: {kind} }}\n    grants: {{ submit: {{ from: [a@alfa.example] }} }}");
        let (engine, _) = load(&one("bad-output", "access", &extra, "on-failure: defer")).await;
        let run = submit(&engine, MESSAGE).await;
        let Outcome::Reject(reply) = &run.outcome else { panic!("{kind}: {:?}", run.outcome) };
        assert!(reply.text.to_lowercase().contains(reason), "{kind}: {}", reply.text);
        assert_eq!(text(&run.message), MESSAGE);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verdict_that_is_none_is_a_failure_of_the_step() {
    for (kind, reason) in [
        ("reply-line-end", "not printable ASCII"),
        ("reply-8bit", "not printable ASCII"),
        ("reply-long", "longer than 512 octets"),
        ("reply-code", "250 does not agree"),
        ("reply-class", "4.7.1 does not agree"),
        ("reply-enhanced", "is not an enhanced status code"),
        ("accept", "`accept`, which its policy does not grant"),
        ("discard", "`discard`, which its policy does not grant"),
        ("failure", "cannot  work"),
    ] {
        let extra = format!("    config: {{ kind: {kind} }}\n    grants: {{ submit: {{ from: [a@alfa.example] }} }}");
        let (engine, _) = load(&one("bad-output", "access", &extra, "on-failure: defer")).await;
        let run = submit(&engine, MESSAGE).await;
        assert_eq!(run.outcome.word(), "defer", "{kind}");
        failed(&run, reason);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_policy_allows_is_taken() {
    for (kind, outcome) in [
        ("accept", Outcome::Accept),
        ("discard", Outcome::Discard("because".into())),
        ("quarantine-line-end", Outcome::Quarantine("bad  thing".into())),
    ] {
        let extra = format!("    config: {{ kind: {kind} }}\n    grants: {{ submit: {{ from: [a@alfa.example] }} }}");
        let (engine, _) = load(&one("bad-output", "access", &extra, "on-failure: defer, may: [accept, discard]")).await;
        assert_eq!(submit(&engine, MESSAGE).await.outcome, outcome);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_not_granted_and_one_that_does_not_exist_look_alike() {
    for (key, answer) in [
        ("provider", "signed: 19 octets"),
        ("other", "refused: Error::Denied"),
        ("", "refused: Error::Denied"),
        ("missing", "refused: Error::Denied"),
    ] {
        let extra = format!("    config: {{ key: '{key}' }}\n    grants: {{ signer: [provider, missing] }}");
        let (engine, _) = load(&one("asks-ungranted", "access", &extra, "on-failure: defer")).await;
        let run = submit(&engine, MESSAGE).await;
        let Outcome::Reject(reply) = &run.outcome else { panic!("{key}: {:?}", run.outcome) };
        assert_eq!(reply.text, answer);
        // What was signed, and nothing else, is in what the server is to record.
        let made: Vec<_> = run.change_sets.iter().flat_map(|set| &set.signatures).map(|made| &made.key[..]).collect();
        assert_eq!(made, if key == "provider" { vec!["provider"] } else { vec![] });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_of_a_step_that_is_undone_is_not_recorded() {
    // The guest signs and refuses; where its policy lets it, a refusal is a deferral, and nothing of a deferral stays.
    let grants = "    config: { key: provider, then: trap }\n    grants: { signer: [provider] }";
    let (engine, _) = load(&one("asks-ungranted", "access", grants, "on-failure: defer")).await;
    let run = submit(&engine, MESSAGE).await;
    assert!(matches!(run.outcome, Outcome::Defer(_)), "{:?}", run.outcome);
    assert!(run.change_sets.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_finds_nothing_of_the_one_before() {
    let (engine, _) = load(&one("remembers", "access", "", "on-failure: defer")).await;
    for _ in 0..100 {
        let run = submit(&engine, MESSAGE).await;
        let Outcome::Reject(reply) = &run.outcome else { panic!("{:?}", run.steps) };
        assert_eq!(reply.text, "runs: 1, pages with a trace: 0");
    }
}
