//! A plugin that puts a message together again from its pieces gives back the same octets, whatever they are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{load, one, rope, submission};
use proptest::prelude::*;
use sigillo_mail::rope::NoSource;
use sigillo_plugin::{Engine, Outcome};
use sigillo_policy::{Facts, Stage};

/// Lines of any octets but CR and LF, of any length.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let octet = any::<u8>().prop_map(|b| if b == b'\r' || b == b'\n' { b' ' } else { b });
    let line = prop::collection::vec(octet, 0..200);
    prop::collection::vec(line, 1..120)
        .prop_map(|lines| lines.into_iter().flat_map(|line| line.into_iter().chain(*b"\r\n")).collect())
}

#[test]
fn a_copy_is_the_message_octet_for_octet() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (engine, _): (Arc<Engine>, _) = runtime.block_on(load(&one("copies", "access", "", "on-failure: reject")));
    proptest!(ProptestConfig::with_cases(500), |(octets in message())| {
        let run = runtime.block_on(engine.run(Stage::Access, &Facts::new(), submission(&octets)));
        prop_assert_eq!(run.outcome, Outcome::Continue, "{:?}", run.steps);
        let copy = run.message.to_bytes(&NoSource).unwrap();
        prop_assert_eq!(&copy[..], &octets[..]);
        prop_assert_eq!(run.message.sha256(&NoSource).unwrap(), rope(&octets).sha256(&NoSource).unwrap());
    });
}
