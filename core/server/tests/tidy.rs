//! The repository's own rules, checked where a machine can: who may name whom, how long a file may be, that every
//! plugin is documented and tested, that every standard cited is accounted for, and that nothing tells of the machine
//! on which it was written.
#![allow(clippy::unwrap_used)]

#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/standards.rs"]
mod standards;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Longest production part of a source file, lines.
const PRODUCTION_LINES_MAX: usize = 600;

/// The crate with one function that is not safe Rust: it loads the machine code that it compiled itself.
const UNSAFE_ONCE: &str = "core/plugin/src/lib.rs";

/// Everything visible at the top (design: one screen shows what the project is).
const TOP_LEVEL: [&str; 10] =
    ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "config", "core", "plugins", "policies", "tests", "wit"];

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// All files below a folder, as paths from the root; what building leaves behind is not among them.
fn files(folder: &str) -> Vec<String> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            // `.git` is a file in a second working tree.
            if ["target", ".git", "node_modules", "__pycache__"].iter().any(|left_out| name == *left_out) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                walk(&path, out);
            } else {
                out.push(path);
            }
        }
    }
    let mut out = Vec::new();
    walk(&root().join(folder), &mut out);
    let mut out: Vec<String> =
        out.iter().map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_string()).collect();
    out.sort();
    out
}

/// The text of a file; nothing for one that is not text.
fn text(path: &str) -> String {
    std::fs::read(root().join(path)).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// Fails with the whole list, so that one run shows everything there is to mend.
fn expect_none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// Whether a source file is a test from its first line.
fn is_test(path: &str) -> bool {
    ["/tests/", "/benches/", "/examples/"].iter().any(|folder| path.contains(folder))
        || path.ends_with("/tests.rs")
        || path.starts_with("tests/")
}

/// The lines of a source file before its tests.
fn production(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]")
}

fn sources() -> impl Iterator<Item = String> {
    ["core", "plugins", "tests"].into_iter().flat_map(files).filter(|path| path.ends_with(".rs"))
}

#[test]
fn the_top_level_is_what_the_design_says() {
    let ignored: Vec<String> =
        text(".gitignore").lines().map(|line| line.trim().trim_matches('/').to_string()).collect();
    let entries = std::fs::read_dir(root()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let visible: BTreeSet<String> = entries.filter(|name| !name.starts_with('.') && !ignored.contains(name)).collect();
    let expected: BTreeSet<String> = TOP_LEVEL.map(String::from).into();
    let unexpected = visible.difference(&expected).map(|name| format!("{name} does not belong there"));
    let missing = expected.difference(&visible).map(|name| format!("{name} is missing"));
    expect_none("top level", unexpected.chain(missing).collect());
}

#[test]
fn files_are_short_enough_to_be_read() {
    let long = sources().filter(|path| !is_test(path)).filter_map(|path| {
        let lines = production(&text(&path)).count();
        (lines > PRODUCTION_LINES_MAX).then(|| format!("{path}: {lines} lines, at most {PRODUCTION_LINES_MAX}"))
    });
    expect_none("files that are too long", long.collect());
}

#[test]
fn every_crate_says_what_it_is() {
    const LABELS: [&str; 5] =
        ["*What it does*", "*What it never does*", "*What it trusts*", "*Standards*", "*When it fails*"];
    let mut found = Vec::new();
    for path in files("core").into_iter().filter(|path| path.ends_with("/src/lib.rs")) {
        let text = text(&path);
        if !text.starts_with("//! ") {
            found.push(format!("{path} does not open with what the crate is for"));
        }
        found.extend(LABELS.iter().filter(|label| !text.contains(**label)).map(|l| format!("{path} has no {l}")));
        let rule = if path == UNSAFE_ONCE { "#![deny(unsafe_code)]" } else { "#![forbid(unsafe_code)]" };
        if !text.contains(rule) {
            found.push(format!("{path} does not say {rule}"));
        }
    }
    expect_none("crates that do not introduce themselves", found);
}

#[test]
fn there_is_one_unsafe_block() {
    let marker = ["unsafe", " {"].concat();
    let blocks = |path: &String| production(&text(path)).filter(|line| line.contains(&marker)).count();
    let found: Vec<(String, usize)> = files("core")
        .into_iter()
        .filter(|path| path.ends_with(".rs") && !is_test(path))
        .map(|path| (path.clone(), blocks(&path)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let folder = UNSAFE_ONCE.trim_end_matches("lib.rs");
    assert!(matches!(found.as_slice(), [(path, 1)] if path.starts_with(folder)), "unsafe blocks: {found:?}");
}

#[test]
fn nothing_unfinished_is_left() {
    // Put together here, so that this file does not hold them.
    let words = ["todo", "unimplemented"].map(|word| format!("{word}!("));
    let mut found = Vec::new();
    for path in sources() {
        let text = text(&path);
        found.extend(words.iter().filter(|word| text.contains(*word)).map(|word| format!("{path}: {word}")));
    }
    expect_none("unfinished code", found);
}

#[test]
fn every_plugin_is_documented_and_tested() {
    let mut found = Vec::new();
    let all = files("plugins");
    let plugins: BTreeSet<&str> = all.iter().filter_map(|path| path.strip_suffix("/plugin.yaml")).collect();
    assert!(!plugins.is_empty(), "there is no plugin at all");
    for plugin in plugins {
        let own = || all.iter().filter(|path| path.starts_with(&format!("{plugin}/")));
        if !own().any(|path| *path == format!("{plugin}/README.md")) {
            found.push(format!("{plugin} has no README.md"));
        }
        if !own().any(|path| path.ends_with(".rs") && text(path).contains("#[test]")) {
            found.push(format!("{plugin} has no test"));
        }
    }
    expect_none("plugins", found);
}

#[test]
fn no_path_of_a_machine() {
    // Put together here, so that this file does not hold them.
    let homes = ["root", "home", "work", "Users"].map(|name| format!("/{name}/"));
    let mut found = Vec::new();
    for path in files(".") {
        for (number, line) in text(&path).lines().enumerate() {
            // As a path of its own: not within an address, a module or a relative path.
            let is_path = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/}*>)".contains(c));
            let named = homes.iter().find(|home| line.match_indices(home.as_str()).any(|(at, _)| is_path(at)));
            found.extend(named.map(|home| format!("{path}:{}: {home}", number + 1)));
        }
    }
    expect_none("paths of a machine", found);
}

#[test]
fn documents_have_a_title_and_decisions_their_parts() {
    let mut found = Vec::new();
    for path in files(".").into_iter().filter(|path| path.ends_with(".md") && !path.starts_with("target")) {
        if !text(&path).starts_with("# ") {
            found.push(format!("{path} does not begin with its title"));
        }
    }
    let decisions: Vec<String> = files("core/decisions");
    for (index, path) in decisions.iter().enumerate() {
        let number = format!("{:04}", index + 1);
        let (name, text) = (path.rsplit('/').next().unwrap_or_default(), text(path));
        if !name.starts_with(&format!("{number}-")) || !text.starts_with(&format!("# {number} ")) {
            found.push(format!("{path} is not number {number}"));
        }
        for part in ["Status: ", "## Context", "## Decision", "## Consequences"] {
            if !text.contains(&format!("\n{part}")) {
                found.push(format!("{path} has no {part}"));
            }
        }
    }
    expect_none("documents", found);
}

/// The contract is what strangers build on: everything in it is explained.
#[test]
fn every_item_of_the_plugin_contract_is_documented() {
    let keywords = ["interface ", "record ", "variant ", "enum ", "resource ", "world "];
    let is_item = |line: &str| {
        keywords.iter().any(|keyword| line.starts_with(keyword))
            || line.contains(": func(")
            || line.contains(": static func(")
            || line.starts_with("constructor(")
            || (line.ends_with(',') && !line.starts_with("///"))
    };
    let mut found = Vec::new();
    for path in files("wit").into_iter().filter(|path| path.ends_with(".wit")) {
        let (text, mut before) = (text(&path), "");
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if is_item(line) && !before.starts_with("///") {
                found.push(format!("{path}:{} {line}", number + 1));
            }
            if !line.is_empty() && !line.starts_with('@') {
                before = line;
            }
        }
    }
    expect_none("not documented", found);
}
