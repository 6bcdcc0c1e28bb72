//! Tags: under a key of the plugin alone, of data of bounded size, and only where the policy grants it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{MESSAGE, guests, load, one, submit};
use sigillo_plugin::Outcome;

async fn told(octets: usize) -> String {
    let extra = format!("    config: {{ octets: {octets} }}\n    grants: {{ mac: true }}");
    let (engine, _) = load(&one("tags", "access", &extra, "on-failure: defer")).await;
    let run = submit(&engine, MESSAGE).await;
    let Outcome::Reject(reply) = run.outcome else { panic!("{:?}", run.steps) };
    reply.text
}

#[tokio::test]
async fn a_tag_is_the_server_s_for_this_plugin_and_this_data() {
    // The server of the tests puts the lengths of the plugin's name and of the data into the tag.
    assert_eq!(told(5).await, format!("04{}", "05".repeat(31)));
    assert_eq!(told(0).await, format!("04{}", "00".repeat(31)));
    assert!(told(65536).await.starts_with("04"));
    assert!(told(65537).await.contains("at most 65536 octets"));
}

#[test]
fn without_the_grant_there_is_no_tag() {
    let (manifests, _) = sigillo_plugin::manifests(&guests());
    let text = one("tags", "access", "", "on-failure: defer");
    let wrong = sigillo_policy::parse("policy.yaml", &text, &manifests).unwrap_err();
    assert!(wrong.iter().any(|error| error.code == "E304" && error.to_string().contains("mac: true")), "{wrong:?}");
}
