//! Whatever dies when, in whatever order the target answers: every message is in the archive or in a confirmed package,
//! and in at most one.
#![allow(clippy::unwrap_used)]

mod world;

use std::collections::{BTreeMap, BTreeSet};

use conservation::answer::{self, Answer};
use conservation::daily;
use proptest::prelude::*;
use world::{MAILBOX, Queued, World, settings_with, unpack};

#[derive(Debug, Clone)]
enum Act {
    Arrive(usize, u64),
    /// A step dies before its commit.
    CrashOfTheRun,
    Daily,
    Run,
    /// The `n`-th waiting deposit ends so; a crash before the commit of the answer may come first, and the target may
    /// be asked twice.
    Ends(usize, &'static str, bool),
    /// An answer comes once more.
    Again(usize),
    Later,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..1400_usize, 40..70_u64).prop_map(|(size, days)| Act::Arrive(size, days)),
        1 => Just(Act::CrashOfTheRun),
        3 => Just(Act::Daily),
        1 => Just(Act::Run),
        6 => (0..8_usize, prop_oneof![3 => Just("done"), 1 => Just("refused"), 1 => Just("expired")], any::<bool>())
            .prop_map(|(n, how, crash)| Act::Ends(n, how, crash)),
        1 => (0..20_usize).prop_map(Act::Again),
        1 => Just(Act::Later),
    ]
}

/// Where each message is: in the archive, and in how many confirmed packages.
fn check(world: &World, all: &BTreeMap<Vec<u8>, usize>, confirmed: &BTreeMap<String, Vec<u8>>) {
    let archived: BTreeSet<&Vec<u8>> = world.kept.archive.values().map(|(_, content)| content).collect();
    let mut deposited: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for package in confirmed.values() {
        for (name, content) in unpack(package) {
            if name.starts_with("messages/") {
                *deposited.entry(content).or_default() += 1;
            }
        }
    }
    for content in all.keys() {
        let times = deposited.get(content).copied().unwrap_or(0);
        assert!(times <= 1, "a message is in two confirmed packages");
        assert!(archived.contains(content) != (times == 1), "a message is in the archive or in a confirmed package");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn con_01_every_message_is_in_the_archive_or_in_one_confirmed_package(acts in prop::collection::vec(act(), 1..60)) {
        let settings = settings_with(r#", "package-messages": 3, "in-flight": 4"#);
        let mut world = World::new().on();
        let (mut all, mut confirmed) = (BTreeMap::new(), BTreeMap::new());
        let mut ended: Vec<Queued> = Vec::new();
        let mut number = 0;
        for act in acts {
            match act {
                Act::Arrive(size, days) => {
                    number += 1;
                    let content = world.archive(number * 1500 + size, days);
                    all.insert(content, number);
                }
                Act::CrashOfTheRun => {
                    world.crash(|host| daily::wake(host, &settings, &format!("pack/{MAILBOX}"), b"begin"));
                    world.crash(|host| daily::wake(host, &settings, "retry", b""));
                }
                Act::Daily => world.daily(&settings),
                Act::Run => { world.run(&settings, &[]); }
                Act::Ends(n, how, crash) => {
                    if world.kept.outbox.is_empty() { continue }
                    let index = n % world.kept.outbox.len();
                    let queued = world.kept.outbox[index].clone();
                    let said = Answer { key: queued.key.clone(), status: how.into(), ..Answer::default() };
                    if crash {
                        world.crash(|host| answer::answer(host, &settings, &said));
                    }
                    world.kept.outbox.remove(index);
                    world.step(|host| answer::answer(host, &settings, &said)).unwrap();
                    if how == "done" {
                        prop_assert!(confirmed.insert(queued.key.clone(), queued.content.clone()).is_none());
                    }
                    ended.push(queued);
                }
                Act::Again(n) => {
                    if ended.is_empty() { continue }
                    let key = ended[n % ended.len()].key.clone();
                    // The host tells each end once; should it come twice, of an attempt that is over, nothing changes.
                    if confirmed.contains_key(&key) {
                        world.answer(&settings, &key, "done");
                    }
                }
                Act::Later => world.now.set(world.now.get() + 20 * 60 * 1000),
            }
            check(&world, &all, &confirmed);
        }
        // In the end the target takes everything.
        for _ in 0..60 {
            world.now.set(world.now.get() + world::DAY);
            world.run(&settings, &[]);
            world.daily(&settings);
            for queued in std::mem::take(&mut world.kept.outbox) {
                world.answer(&settings, &queued.key, "done");
                confirmed.insert(queued.key, queued.content);
            }
            check(&world, &all, &confirmed);
        }
        prop_assert!(world.kept.archive.is_empty());
    }
}
