//! Sealed log files on their way.
#![allow(clippy::unwrap_used)]

mod world;

use conservation::entry::hex;
use conservation::host::{Level, LogFile};
use sha2::{Digest, Sha256};
use world::{DAY, World, settings, settings_with, unpack};

fn sealed(world: &mut World, number: u64, stamped: bool) -> Vec<u8> {
    let content = format!("{{\"record\":{number}}}\n").into_bytes();
    let closed = world.now.get() - DAY / 2 - DAY + number * 1000;
    world.logs.push((
        LogFile {
            name: format!("mail.alfa.example_{number}_message-log_1.jsonl"),
            log: "message-log".into(),
            size: content.len() as u64,
            sha256: Sha256::digest(&content).to_vec(),
            since: closed - DAY,
            until: closed,
            closed,
            stamped: stamped.then_some(closed + 1000),
        },
        content.clone(),
    ));
    content
}

fn start(world: &mut World) {
    world.step(|host| conservation::daily::wake(host, &settings(), "logs", &[])).unwrap();
}

#[test]
fn log_15_each_file_goes_once_with_its_nine_metadata_and_its_stamp() {
    let mut world = World::new();
    let contents = [sealed(&mut world, 1, true), sealed(&mut world, 2, true)];
    start(&mut world);
    assert_eq!(world.kept.outbox.len(), 1);
    let queued = world.kept.outbox[0].clone();
    assert!(queued.parameters[0].1.starts_with("logs/2026/"), "{:?}", queued.parameters);
    let files = unpack(&queued.content);
    assert_eq!([&files["logs/000001.jsonl"], &files["logs/000002.jsonl"]], [&contents[0], &contents[1]]);
    assert!(files.contains_key("logs/000001.jsonl.tsr") && files.contains_key("PIndex.xml.tsr"));
    let index = String::from_utf8(files["PIndex.xml"].clone()).unwrap();
    let digest = hex(&Sha256::digest(&contents[0]));
    for expected in [
        "<m:file-id>mail.alfa.example_1_message-log_1.jsonl</m:file-id>",
        "<m:closing-date>2026-11-24T",
        &format!("<m:hash>{digest}</m:hash>"),
        "<m:provider>Alfa PEC S.p.A.</m:provider>",
        "<m:subject>message-log</m:subject>",
        "<m:format>application/jsonl</m:format>",
        "<m:addressee>Livia Log</m:addressee>",
        "<m:period-start>2026-11-23T",
        "<m:period-end>2026-11-24T",
    ] {
        assert!(index.contains(expected), "{expected}");
    }
    // An hour later there is nothing new; then there is.
    start(&mut world);
    assert_eq!(world.kept.outbox.len(), 1);
    sealed(&mut world, 3, true);
    start(&mut world);
    assert_eq!(world.kept.outbox.len(), 2);
    assert!(world.kept.timers["logs"].0 <= world.now.get() + 3600 * 1000, "well within 24 hours");
}

#[test]
fn log_15_a_file_without_its_stamp_waits_and_is_an_alarm() {
    let mut world = World::new();
    sealed(&mut world, 1, false);
    sealed(&mut world, 2, true);
    start(&mut world);
    assert!(world.kept.outbox.is_empty(), "in their order, and stamped before");
    assert!(world.lines.borrow().iter().any(|(level, line)| *level == Level::Error && line.contains("no stamp")));
    world.logs[0].0.stamped = Some(world.now.get());
    start(&mut world);
    assert_eq!(unpack(&world.kept.outbox[0].content).len(), 7);
}

/// One file that somebody changed on the disk does not keep those after it from leaving in time.
#[test]
fn log_15_a_file_that_was_changed_is_told_and_holds_up_no_other() {
    let mut world = World::new();
    (1..=3).for_each(|number| drop(sealed(&mut world, number, true)));
    world.logs[1].1[0] ^= 1;
    start(&mut world);
    let files = unpack(&world.kept.outbox[0].content);
    let packed: Vec<&Vec<u8>> = files.iter().filter(|(name, _)| name.ends_with(".jsonl")).map(|(_, c)| c).collect();
    assert_eq!(packed, [&world.logs[0].1, &world.logs[2].1]);
    assert!(world.lines.borrow().iter().any(|(level, line)| *level == Level::Error && line.contains("_2_")));
    let status = world.ask(&settings(), "status", &[]).unwrap();
    assert!(status["cannot-be-packed"][0]["message"].as_str().unwrap().contains("_2_"), "{status}");
    // The only new one is changed: it is told, and the next one goes.
    sealed(&mut world, 4, true);
    world.logs[3].1[0] ^= 1;
    start(&mut world);
    sealed(&mut world, 5, true);
    world.now.set(world.now.get() + 3600 * 1000);
    start(&mut world);
    assert_eq!(world.kept.outbox.len(), 2);
    assert_eq!(world.kinds().iter().filter(|kind| **kind == "conservation-failed").count(), 2);
}

/// LOG-15: within 24 hours, whatever a preservation system says of the mailboxes' packages.
#[test]
fn log_15_deposits_of_mailboxes_that_are_refused_do_not_keep_the_logs_here() {
    let mut world = World::new().on();
    let settings = settings_with(r#", "in-flight": 2"#);
    (0..4).for_each(|number| drop(world.archive(number, 50 + number as u64)));
    world.daily(&settings);
    for queued in std::mem::take(&mut world.kept.outbox) {
        world.answer(&settings, &queued.key, "refused");
    }
    sealed(&mut world, 1, true);
    world.step(|host| conservation::daily::wake(host, &settings, "logs", &[])).unwrap();
    assert_eq!(world.kept.outbox.len(), 1);
}

#[test]
fn con_07_a_refused_package_of_logs_is_sent_again_and_found() {
    let mut world = World::new();
    sealed(&mut world, 1, true);
    start(&mut world);
    let first = world.kept.outbox.remove(0);
    world.answer(&settings(), &first.key, "refused");
    world.run(&settings(), &[]);
    let second = world.kept.outbox.remove(0);
    assert_eq!(second.content, first.content);
    world.answer(&settings(), &second.key, "done");
    let found = world.ask(&settings(), "search", &[("mailbox", "logs")]).unwrap();
    assert_eq!((found["found"].as_u64(), found["results"][0]["deposited"].as_bool()), (Some(1), Some(true)));
    assert_eq!(world.logs.len(), 1, "the file stays as long as the law wants it here");
}

/// LOG-19: what somebody changed here is shown as it was preserved.
#[test]
fn log_19_a_log_file_that_was_changed_here_comes_back_from_the_preservation_system() {
    let mut world = World::new();
    let content = sealed(&mut world, 1, true);
    let name = world.logs[0].0.name.clone();
    start(&mut world);
    let export = [("mailbox", "logs"), ("id", name.as_str())];
    world.logs[0].1[0] ^= 1;
    let (answer, output) = world.ask_with_output(&settings(), "export", &export).unwrap();
    assert!(output.is_none() && answer["valid"] == false, "it is nowhere else yet: {answer}");
    world.deposit_all(&settings());
    let (answer, output) = world.ask_with_output(&settings(), "export", &export).unwrap();
    assert_eq!((answer["from-where"].as_str(), output), (Some("target"), Some(content)));
}

#[test]
fn con_07_logs_may_be_left_out() {
    let mut world = World::new();
    sealed(&mut world, 1, true);
    let without = settings_with(r#", "logs": false"#);
    world.step(|host| conservation::daily::wake(host, &without, "start", &[])).unwrap();
    assert!(!world.kept.timers.contains_key("logs"));
}
