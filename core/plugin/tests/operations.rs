//! Operations of plugins: what is asked, what is answered, and what a failure leaves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{Server, guests, load, rope, text};
use sigillo_mail::rope::NoSource;
use sigillo_mail::structure::Structure;
use sigillo_plugin::{Engine, Operated, Request, manifests};

const POLICY: &str = "apiVersion: sigillo/v1\nkind: Policy\nplugins:\n  sums:\n    component: does-as-asked@0.1\n    \
                      grants: { state: true }\nchains:\n  - { name: a, stage: access, steps: [{ plugin: looks, \
                      on-failure: defer }] }\n";

async fn engine() -> (Arc<Engine>, Arc<Server>) {
    load(&POLICY.replace("chains:", "  looks: { component: null@0.1 }\nchains:")).await
}

fn request(operation: &str, arguments: &[(&str, &str)]) -> Request {
    Request {
        operation: operation.into(),
        actor: "root".into(),
        arguments: arguments.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        ..Request::default()
    }
}

async fn run(engine: &Engine, operation: &str, arguments: &[(&str, &str)]) -> Result<Operated, String> {
    engine.run_operation("does-as-asked", request(operation, arguments), "operation.1").await
}

#[tokio::test]
async fn what_an_operation_changes_is_in_its_change_set() {
    let (engine, server) = engine().await;
    server.state.lock().unwrap().insert("sums/sum".into(), (40u64.to_be_bytes().to_vec(), 7));
    let done = run(&engine, "add", &[("by", "2"), ("word", "hush")]).await.unwrap();
    assert_eq!(done.answer.unwrap().text, r#"{"sum":42,"actor":"root"}"#);
    let [changes] = &done.run.change_sets[..] else { panic!("{:?}", done.run.change_sets) };
    assert_eq!((changes.plugin.as_str(), changes.step.as_str()), ("sums", "operation/add"));
    assert_eq!(changes.state_reads, [("sum".to_owned(), 7)], "another one's change makes it run anew");
    assert_eq!(changes.state_writes[0].value.as_deref(), Some(&42u64.to_be_bytes()[..]));
    let step = &done.run.steps[0];
    assert_eq!((step.stage.as_str(), step.verdict.as_str(), step.failure.as_ref()), ("operation", "add", None));
    let logged = [("argument.by".to_owned(), "2".to_owned()), ("argument.word".to_owned(), "(secret)".to_owned())];
    assert_eq!(done.arguments, logged, "the log has no secrets");
}

#[tokio::test]
async fn a_failed_operation_leaves_its_record_and_nothing_else() {
    let (engine, _) = engine().await;
    for (operation, words) in [("fail", "cannot do that"), ("babble", "not JSON")] {
        let done = run(&engine, operation, &[]).await.unwrap();
        assert!(done.answer.unwrap_err().contains(words), "{operation}");
        assert!(done.run.change_sets.is_empty() && done.output.is_none(), "{operation}");
        assert!(done.run.steps[0].failure.as_ref().unwrap().contains(words), "{operation}");
    }
}

#[tokio::test]
async fn a_message_goes_along_and_content_comes_back() {
    let (engine, _) = engine().await;
    let message = rope("Subject: x\r\n\r\nCiao\r\n");
    let structure = Arc::new(Structure::parse(&message, &NoSource).unwrap());
    let asked = Request { message: Some((message.clone(), structure)), ..request("give-back", &[]) };
    let done = engine.run_operation("sums", asked, "operation.2").await.unwrap();
    assert_eq!(text(&done.output.unwrap()), text(&message));
    assert_eq!(done.answer.unwrap().text, r#"{"size":20,"second-refused":true}"#);
    let without = run(&engine, "give-back", &[]).await.unwrap();
    assert_eq!((without.answer.unwrap().valid, without.output), (Some(false), None));
}

#[tokio::test]
async fn a_request_that_the_manifest_does_not_know_runs_nothing() {
    let (engine, _) = engine().await;
    for (operation, arguments, words) in [
        ("multiply", &[][..], "has add, babble, fail, give-back, in-pieces"),
        ("add", &[], "needs by=…: A number."),
        ("add", &[("by", "1"), ("bye", "2")], "takes no argument 'bye'; it takes by, word"),
        ("add", &[("by", "1"), ("by", "2")], "stands twice"),
        ("fail", &[("by", "1")], "takes none"),
    ] {
        let refused = run(&engine, operation, arguments).await.unwrap_err();
        assert!(refused.contains(words), "{operation} {arguments:?}: {refused}");
    }
    let other = engine.run_operation("nobody", request("add", &[]), "operation.3").await.unwrap_err();
    assert_eq!(other, "the policy has no plugin 'nobody'");
}

#[tokio::test]
async fn a_component_under_two_names_must_be_asked_by_one_of_them() {
    let two = POLICY.replace(
        "chains:",
        "  more:\n    component: does-as-asked@0.1\n    grants: { state: true }\n  looks: { component: null@0.1 }\nchains:",
    );
    let (engine, _) = load(&two).await;
    let refused = run(&engine, "add", &[("by", "1")]).await.unwrap_err();
    assert!(refused.contains("more, sums"), "{refused}");
    let done = engine.run_operation("more", request("add", &[("by", "1")]), "operation.4").await.unwrap();
    assert_eq!(done.run.change_sets[0].plugin, "more");
}

#[tokio::test]
async fn long_work_goes_in_pieces() {
    let (engine, _) = engine().await;
    let first = run(&engine, "in-pieces", &[("pieces", "2")]).await.unwrap().answer.unwrap();
    assert!(first.text.starts_with(r#"{"more":true,"continue":"1","progress":"1 of 2""#), "{}", first.text);
    let last = run(&engine, "in-pieces", &[("pieces", "2"), ("continue", "1")]).await.unwrap().answer.unwrap();
    assert!(last.text.starts_with(r#"{"more":false"#), "{}", last.text);
}

#[test]
fn operations_of_a_manifest_are_read() {
    let (manifests, wrong) = manifests(&guests());
    assert!(wrong.is_empty(), "{wrong:?}");
    let add = &manifests["does-as-asked"].operations["add"];
    assert!(add.arguments["by"].required && add.arguments["word"].secret && !add.arguments["word"].required);
}
