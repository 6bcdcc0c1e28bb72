//! What a step asks for comes whole and the same each time; what a chain keeps depends on how it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{MESSAGE, delivery, load, one, submission, submit, text};
use sigillo_mail::{Mailbox, ReversePath};
use sigillo_plugin::{Outcome, Passage, TimerOp};
use sigillo_policy::{Facts, Stage};

const GRANTS: &str =
    "    grants: { submit: { from: [clerk@alfa.example] }, state: true, timers: true, evidence: true }";

#[tokio::test]
async fn everything_that_a_step_asks_for_is_in_its_change_set() {
    let (engine, server) = load(&one("keeps-books", "access", GRANTS, "on-failure: defer")).await;
    server.state.lock().unwrap().insert("keeps-books/count".into(), (vec![4], 7));
    server.state.lock().unwrap().insert("keeps-books/entry.0".into(), (vec![], 1));
    server.state.lock().unwrap().insert("keeps-books/entry.3".into(), (vec![], 1));
    let run = submit(&engine, MESSAGE).await;

    assert_eq!(run.outcome, Outcome::Continue, "{:?}", run.steps);
    assert_eq!(run.chain.as_deref(), Some("access"));
    assert_eq!(text(&run.message), format!("X-Booked: first\r\n\tand second line\r\n{MESSAGE}"));
    assert_eq!(run.structure.unwrap().header().count("X-Booked"), 1);
    let [changes] = &run.change_sets[..] else { panic!("{:?}", run.change_sets) };
    assert_eq!((changes.plugin.as_str(), changes.step.as_str()), ("keeps-books", "access/0"));
    assert_eq!(changes.state_reads, [("count".to_owned(), 7)], "its own write is no read");
    let writes: Vec<_> = changes.state_writes.iter().map(|w| (w.key.as_str(), w.value.as_deref())).collect();
    assert_eq!(writes, [("count", Some(&[5][..])), ("entry.0", None), ("entry.5", Some(b"t1"))]);

    let [copy] = &changes.submissions[..] else { panic!() };
    let clerk: Mailbox = "clerk@alfa.example".parse().unwrap();
    assert_eq!((&copy.key[..], &copy.reverse_path), ("copy", &ReversePath::Mailbox(clerk)));
    assert_eq!(copy.recipients, ["archive@alfa.example".parse().unwrap()]);
    let content = text(&copy.content);
    assert!(
        content.ends_with(&format!("Subject: booked\r\n\r\n{MESSAGE}")),
        "a step sees the message without its own edits"
    );

    let [event] = &changes.evidence[..] else { panic!() };
    assert_eq!(event.subject, "perché");
    assert_eq!(event.sender, "ada@alfa.example");
    assert_eq!(event.recipients, ["bruno@beta.example", "carla@beta.example"]);
    assert_eq!(event.related.first(), Some(&copy.id));
    assert_eq!(event.details, [("entries".to_owned(), "entry.3,entry.5".to_owned())], "own writes and deletions show");
    assert!(content.contains(&format!("<{}@alfa.example>", event.message_id)));
    let [TimerOp::Set { key, at_ms, .. }] = &changes.timers[..] else { panic!() };
    assert_eq!((key.as_str(), *at_ms), ("look.5", 1_750_000_001_000));
    assert_eq!(server.log.lock().unwrap()[..], ["Info keeps-books t1: booked 5, 7200 s from UTC"]);

    let step = &run.steps[0];
    assert_eq!((step.verdict.as_str(), step.failure.as_ref()), ("continue", None));
    assert!(step.host_calls > 20 && step.bytes_written > 100 && step.memory_peak > 0 && step.cpu_us > 0);
}

#[tokio::test]
async fn the_same_step_run_anew_asks_for_the_same() {
    let (engine, _) = load(&one("keeps-books", "access", GRANTS, "on-failure: defer")).await;
    let (first, again) = (submit(&engine, MESSAGE).await, submit(&engine, MESSAGE).await);
    assert_eq!(first.change_sets, again.change_sets);
    assert_eq!(first.message, again.message);

    let (engine, _) = load(&one("keeps-books", "delivery", GRANTS, "on-failure: defer")).await;
    let attempt =
        async |attempt| engine.run(Stage::Delivery, &Facts::new(), delivery("present", attempt)).await.change_sets;
    let (first, again, second) = (attempt(1).await, attempt(1).await, attempt(2).await);
    assert_eq!(first, again);
    assert_ne!(first[0].submissions[0].id, second[0].submissions[0].id);
}

#[tokio::test]
async fn a_delivery_may_be_filed_elsewhere_and_a_stored_message_may_not() {
    let (engine, _) = load(&one("keeps-books", "delivery", GRANTS, "on-failure: defer")).await;
    let run = engine.run(Stage::Delivery, &Facts::new(), delivery("present", 1)).await;
    assert_eq!(run.change_sets[0].file_into.as_deref(), Some("Books"));
    assert_eq!(run.change_sets[0].flags, ["$Booked"]);
    let (engine, _) = load(&one("keeps-books", "stored", GRANTS, "on-failure: hold")).await;
    let run = engine.run(Stage::Stored, &Facts::new(), delivery("filed", 1)).await;
    assert_eq!(run.outcome, Outcome::Continue, "{:?}", run.steps);
    assert!(run.change_sets.is_empty());
}

#[tokio::test]
async fn a_plugin_may_report_a_failed_delivery_itself() {
    let (engine, _) = load(&one("keeps-books", "outcome", GRANTS, "on-failure: defer, may: [discard]")).await;
    let ended = async |status| engine.run(Stage::Outcome, &Facts::new(), delivery(status, 1)).await.outcome;
    assert_eq!(ended("failed").await, Outcome::Discard("told".into()));
    assert_eq!(ended("delivered").await, Outcome::Continue);
}

#[tokio::test]
async fn a_wake_up_runs_without_a_message() {
    let (engine, _) = load(&one("keeps-books", "access", GRANTS, "on-failure: defer")).await;
    let run = engine.run_timer("keeps-books", "look.1", b"go".to_vec(), "w1").await;
    assert_eq!(run.outcome, Outcome::Continue);
    assert_eq!(run.change_sets[0].timers, [TimerOp::Cancel { key: "look.1".into() }]);
    let run = engine.run_timer("keeps-books", "look.1", b"trouble".to_vec(), "w1").await;
    assert_eq!(run.outcome.word(), "defer");
    assert!(run.change_sets.is_empty());
    assert_eq!(engine.run_timer("gone", "look.1", vec![], "w1").await.outcome.word(), "hold");
}

#[tokio::test]
async fn a_wake_up_that_traps_is_tried_again_or_held_as_the_grant_says() {
    for (timers, word) in [("true", "defer"), ("{ on-failure: hold }", "hold")] {
        let grants = format!("    grants: {{ submit: {{ from: [] }}, state: true, timers: {timers}, evidence: true }}");
        let (engine, _) = load(&one("traps", "access", &grants, "on-failure: defer")).await;
        let run = engine.run_timer("traps", "k", vec![], "w1").await;
        assert_eq!(run.outcome.word(), word);
        assert!(run.steps[0].failure.as_ref().unwrap().contains("unreachable"));
    }
}

/// Two plugins, the second of which says what `kind` is.
fn two(kind: &str) -> String {
    format!(
        "apiVersion: sigillo/v1
kind: Policy
plugins:
  keeps-books:
    component: keeps-books@0.1
{GRANTS}
  bad-output:
    component: bad-output@0.1
    config: {{ kind: {kind} }}
    grants: {{ submit: {{ from: [clerk@alfa.example] }} }}
chains:
  - name: access
    stage: access
    steps:
      - {{ plugin: keeps-books, on-failure: defer }}
      - {{ plugin: bad-output, on-failure: defer, may: [accept, discard] }}
"
    )
}

#[tokio::test]
async fn what_remains_of_earlier_steps_depends_on_how_the_chain_ends() {
    for (kind, word, sets, edited) in [
        ("accept", "accept", 1, true),
        ("discard", "discard", 1, true),
        ("quarantine-line-end", "quarantine", 1, true),
        ("header-nul", "reject", 0, false),
        ("failure", "defer", 0, false),
    ] {
        let (engine, _) = load(&two(kind)).await;
        let run = submit(&engine, MESSAGE).await;
        assert_eq!(run.outcome.word(), word);
        assert_eq!(run.change_sets.len(), sets, "{kind}");
        assert_eq!(text(&run.message).starts_with("X-Booked: "), edited, "{kind}");
        assert_eq!(run.steps.len(), 2);
    }
}

#[tokio::test]
async fn the_next_step_sees_the_changed_message() {
    let policy = "apiVersion: sigillo/v1
kind: Policy
plugins:
  looks: { component: null@0.1 }
  copies: { component: copies@0.1 }
chains:
  - name: access
    stage: access
    steps:
      - { plugin: looks, on-failure: defer }
      - { plugin: copies, on-failure: defer }
      - { plugin: looks, on-failure: defer }
";
    let (engine, _) = load(policy).await;
    let run = submit(&engine, MESSAGE).await;
    assert_eq!(run.outcome, Outcome::Continue, "{:?}", run.steps);
    let message = text(&run.message);
    assert_eq!(message.matches("X-Null: ").count(), 2);
    assert!(message.ends_with(MESSAGE));
    assert_eq!(run.structure.unwrap().header().count("X-Null"), 2);
}

/// A plugin that leaves facts, one that fails after it left some, and one that reads.
fn three(liar: &str) -> String {
    format!(
        "apiVersion: sigillo/v1
kind: Policy
plugins:
  keeps-books:
    component: keeps-books@0.1
{GRANTS}
  liar:
    component: bad-output@0.1
    config: {{ kind: {liar} }}
    grants: {{ submit: {{ from: [] }} }}
  reader:
    component: bad-output@0.1
    config: {{ kind: read }}
    grants: {{ submit: {{ from: [] }} }}
chains:
  - name: access
    stage: access
    steps:
      - {{ plugin: keeps-books, on-failure: defer }}
      - {{ plugin: liar, on-failure: skip, advisory: true }}
      - {{ plugin: reader, on-failure: defer }}
"
    )
}

async fn read_after(liar: &str) -> (String, Vec<sigillo_plugin::StepRecord>) {
    let (engine, _) = load(&three(liar)).await;
    let mut passage = submission(MESSAGE);
    if let Passage::Transaction { properties, .. } = &mut passage {
        properties.insert("peer.ip".into(), "192.0.2.1".into());
    }
    let run = engine.run(Stage::Access, &Facts::new(), passage).await;
    let Outcome::Reject(reply) = run.outcome else { panic!("{:?}", run.steps) };
    (reply.text, run.steps)
}

#[tokio::test]
async fn a_fact_is_read_by_later_steps_under_the_name_of_the_plugin_that_left_it() {
    let (read, steps) = read_after("annotate").await;
    assert!(read.contains(r#"keeps-books.count is Some("1"); liar.ip is Some("203.0.113.9");"#), "{read}");
    assert!(read.contains(r#"peer.ip is Some("192.0.2.1"); ip is None; reader.ip is None"#), "{read}");
    let left: Vec<_> = steps.iter().map(|step| step.annotations.clone()).collect();
    let one = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
    assert_eq!(left, [one("count", "1"), one("ip", "203.0.113.9"), [].into()], "the last value of a name is kept");
}

#[tokio::test]
async fn a_step_that_failed_leaves_no_fact() {
    let (read, steps) = read_after("annotate-and-fail").await;
    assert!(read.contains(r#"keeps-books.count is Some("1"); liar.ip is None;"#), "{read}");
    assert!(steps[1].annotations.is_empty() && steps[1].failure.is_some());
}

#[tokio::test]
async fn without_a_chain_a_message_goes_on_as_it_came() {
    let (engine, _) = load(&one("null", "access", "", "on-failure: defer")).await;
    let run = engine.run(Stage::Reception, &Facts::new(), submission(MESSAGE)).await;
    assert_eq!((run.chain, run.outcome), (None, Outcome::Continue));
    assert_eq!(text(&run.message), MESSAGE);
    assert!(run.steps.is_empty() && run.change_sets.is_empty());
}
