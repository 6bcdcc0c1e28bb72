//! The outbox: what a guest may ask of targets outside, and how it learns what became of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{MESSAGE, load, one, policy, submit, text};
use sigillo_plugin::{Answered, ChainRun, Engine};

const GRANTS: &str = "    grants: { outbox: [gateway, full, nowhere], state: true }";

async fn run(kind: &str) -> ChainRun {
    let extra = format!("    config: {{ kind: {kind} }}\n{GRANTS}");
    let (engine, _) = load(&one("asks-outside", "access", &extra, "on-failure: defer")).await;
    submit(&engine, MESSAGE).await
}

/// What the guest was told.
fn told(run: &ChainRun) -> String {
    let writes = run.change_sets.iter().flat_map(|set| &set.state_writes);
    let value = writes.filter_map(|write| write.value.clone()).next().unwrap();
    String::from_utf8(value).unwrap()
}

#[tokio::test]
async fn a_request_is_recorded_once_with_its_content() {
    let run = run("once").await;
    assert_eq!(told(&run), "queued");
    let [first, second] = &run.change_sets[0].outbox[..] else { panic!("{:?}", run.change_sets) };
    assert_eq!((first.target.as_str(), first.key.as_str()), ("gateway", "a.1"));
    assert_eq!(first.parameters, [("path".to_owned(), "/x".to_owned())], "the first one counts");
    assert_eq!(text(first.content.as_ref().unwrap()), MESSAGE);
    assert_eq!((second.key.as_str(), second.life_ms), ("a.2", 60_000));
    assert!(second.content.is_none());
}

#[tokio::test]
async fn what_cannot_be_asked_is_said_in_the_call() {
    for (kind, words) in [
        ("known", "true false"),
        ("elsewhere", "Error::Denied"),
        ("nowhere", "Error::Denied"), // granted, and the server has no such target
        ("bad-key", "letters, digits"),
        ("bad-parameter", "takes no colour"),
        ("long", "at most 64 parameters"),
        ("many", "at most 256 requests"),
        ("full", "10000 requests of this plugin wait"),
    ] {
        let extra = format!("    config: {{ kind: {kind} }}\n{GRANTS}");
        let (engine, server) = load(&one("asks-outside", "access", &extra, "on-failure: defer")).await;
        if kind == "full" {
            server.state.lock().unwrap().insert("asks-outside/full".into(), (Vec::new(), 1));
        }
        let run = submit(&engine, MESSAGE).await;
        assert!(told(&run).contains(words), "{kind}: {}", told(&run));
        let queued = run.change_sets[0].outbox.len();
        assert_eq!(queued, if kind == "many" { 256 } else { 0 }, "{kind}");
    }
}

fn answered(key: &str) -> Answered {
    Answered {
        target: "gateway".into(),
        key: key.into(),
        status: "done".into(),
        code: Some(202),
        text: "Accepted".into(),
        body: "0: ok".into(),
        properties: BTreeMap::from([("ended".into(), "17".into())]),
    }
}

async fn engine() -> std::sync::Arc<Engine> {
    load(&one("asks-outside", "access", GRANTS, "on-failure: defer")).await.0
}

#[tokio::test]
async fn an_answer_reaches_its_plugin_and_is_never_dropped() {
    let engine = engine().await;
    let run = engine.run_answer("asks-outside", answered("a.1"), "outbox.1").await;
    assert_eq!(run.outcome.word(), "continue");
    assert_eq!(run.change_sets[0].step, "answer/a.1");
    assert_eq!(told(&run), "gateway done Some(202) Accepted 0: ok 17");
    for (plugin, key) in [("asks-outside", "fails"), ("gone", "a.1")] {
        let run = engine.run_answer(plugin, answered(key), "outbox.1").await;
        assert_eq!(run.outcome.word(), "defer", "{plugin} {key}: it comes again");
        assert!(run.change_sets.is_empty());
    }
}

#[tokio::test]
async fn the_grant_names_targets_and_limits_and_wants_the_stage() {
    let grant = |text: &str| {
        let extra = format!("    grants: {{ outbox: {text}, state: true }}");
        policy(&one("asks-outside", "access", &extra, "on-failure: defer")).plugins["asks-outside"].grants.clone()
    };
    let plain = grant("[gateway]").outbox.unwrap();
    let full = grant("{ targets: [gateway], limits: { cpu: 3s } }").outbox.unwrap();
    assert_eq!(plain.targets[0].0, full.targets[0].0);
    assert_ne!(plain.limits, full.limits);
    assert!(grant("[]").outbox.unwrap().targets.is_empty(), "a plugin that can do without");
    // A guest without the stage: the answers would wait for ever.
    let (manifests, _) = sigillo_plugin::manifests(&common::guests());
    let text = one("null", "access", "    grants: { outbox: [gateway] }", "on-failure: defer");
    let (policy, _) = sigillo_policy::parse("policy.yaml", &text, &manifests).unwrap();
    let server = std::sync::Arc::new(common::Server::default());
    let wrong = Engine::load(common::host(), policy, &common::guests(), server).await.err().unwrap();
    assert!(wrong.iter().any(|error| error.to_string().contains("stage 'answer'")), "{}", wrong[0]);
}
