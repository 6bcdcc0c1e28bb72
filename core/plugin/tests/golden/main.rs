//! Golden sets: messages through the real plugins, with fixed clock, ids and keys, against files that were looked at
//! and checked by other software. Every folder `tests/FOLDER/NN-name/` beside a `tests/FOLDER/world.json` is one.
//!
//! ```text
//! given.json         where and when which message meets which stage, and how its products are called
//! given*.eml         messages as they came
//! expected-NAME.eml  what each step made of them, byte for byte
//! expected.json      everything else that others see of the steps: outcomes, recipients, events, wake-ups
//! ```
//!
//! `UPDATE_EXPECT=1 cargo test -p sigillo-plugin --test golden` writes what is expected anew; look at the difference.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;
mod set;

use std::path::{Path, PathBuf};

use server::World;

/// The folders below `tests/` that hold golden sets.
fn worlds() -> Vec<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let mut found: Vec<PathBuf> = std::fs::read_dir(tests).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|folder| folder.join("world.json").is_file());
    found.sort();
    found
}

fn sets(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|set| set.join("given.json").is_file());
    found.sort();
    found
}

#[test]
fn every_set_comes_out_as_expected() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut checked, mut wrong) = (0, Vec::new());
    for folder in worlds() {
        let world = World::read(&folder);
        for path in sets(&folder) {
            checked += 1;
            let products = runtime.block_on(set::run(&world, &path));
            match update {
                true => set::write(&path, &products),
                false => wrong.extend(set::differences(&path, &products)),
            }
        }
    }
    assert!(checked > 0, "there is no golden set at all");
    assert!(wrong.is_empty(), "{} differences in {checked} sets:\n{}", wrong.len(), wrong.join("\n"));
}
