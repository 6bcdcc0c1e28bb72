//! Commands of plugins: what they are given, what they are not, and what counts as an answer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Server, guests, host, rope};
use sigillo_mail::rope::NoSource;
use sigillo_mail::structure::Structure;
use sigillo_plugin::{Answer, Commands, Inspected};

const MESSAGE: &str = "Content-Transfer-Encoding: base64\r\n\r\nY2lhbw==\r\n";

async fn run(command: &str) -> Result<Answer, String> {
    let message = rope(MESSAGE);
    let inspected = Inspected {
        structure: Arc::new(Structure::parse(&message, &NoSource).unwrap()),
        message,
        properties: BTreeMap::from([("line-ends".into(), "lf".into())]),
    };
    let commands = Commands::load(host(), &guests(), "answers").unwrap();
    commands.run(command, inspected, Arc::new(Server::default())).await
}

#[tokio::test]
async fn a_command_sees_the_message_and_the_facts_about_it() {
    let answer = run("facts").await.unwrap();
    let value: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
    let wanted = serde_json::json!({
        "size": MESSAGE.len(), "octets": 4, "first": 0xb1, "line-ends": "lf", "valid": false, "certified": false,
        "settings": {}
    });
    assert_eq!((value, answer.valid), (wanted, Some(false)));
}

#[tokio::test]
async fn a_command_gets_no_state_and_no_key_though_its_manifest_asks() {
    let answer = run("denied").await.unwrap();
    assert_eq!((answer.text.as_str(), answer.valid), (r#"{"denied":true}"#, None));
}

#[tokio::test]
async fn what_is_no_answer_is_told() {
    assert!(run("words").await.unwrap_err().contains("not JSON"));
    assert_eq!(run("fails").await.unwrap_err(), "cannot  answer");
}

#[tokio::test]
async fn commands_stand_in_the_manifest_and_in_the_component_or_in_neither() {
    let without = |text: &str| {
        let (start, end) = (text.find("commands:").unwrap(), text.find("description: Answers commands").unwrap());
        [&text[..start], &text[end..]].concat()
    };
    let with = |text: &str| format!("{text}commands: {{ look: {{ description: Looks. }} }}\n");
    for guest in ["answers", "null"] {
        let folder = tempfile::tempdir().unwrap();
        let (wasm, yaml) = (format!("{guest}.wasm"), format!("{guest}.plugin.yaml"));
        std::fs::copy(guests().join(&wasm), folder.path().join(wasm)).unwrap();
        let manifest = std::fs::read_to_string(guests().join(&yaml)).unwrap();
        let changed = if guest == "answers" { without(&manifest) } else { with(&manifest) };
        std::fs::write(folder.path().join(yaml), changed).unwrap();
        let Err(wrong) = Commands::load(host(), folder.path(), guest) else { panic!("{guest} loaded") };
        assert_eq!(wrong[0].code, "E509", "{}", wrong[0]);
    }
    let Err(wrong) = Commands::load(host(), &guests(), "nobody") else { panic!("loaded") };
    assert_eq!(wrong[0].code, "E501", "{}", wrong[0]);
}
