//! Who may depend on whom, and which crate alone may name a library.

use std::collections::BTreeMap;

use super::{expect_none, files, is_test, production, text};

/// The crates from the nouns outward; one may name those of the rows before its own, and nothing of its own row.
const LAYERS: [&[&str]; 4] = [
    &["mail"],
    &["auth", "authenticity", "imap", "policy", "smtp", "store", "trust"],
    &["delivery", "plugin", "provisioning"],
    &["server"],
];
/// What may be named within a row.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    ("smtp", "auth", "SASL exchanges are the same in SMTP and IMAP"),
    ("imap", "auth", "SASL exchanges are the same in SMTP and IMAP"),
];
/// Libraries that one crate hides from all others.
const OWNED: [(&str, &str); 4] =
    [("wasmtime", "plugin"), ("rusqlite", "store"), ("openssl", "trust"), ("cryptoki", "trust")];
/// Types that open a door to the network; only the server has listeners. Repository tasks look for free ports.
const LISTENERS: [&str; 3] = ["TcpListener", "UnixListener", "UdpSocket"];

/// One line of a `[…dependencies]` section.
struct Dependency {
    name: String,
    /// The section's name.
    section: String,
    /// Whether a comment stands beside it, or above it or the lines it stands together with.
    explained: bool,
    /// Whether its version is the workspace's.
    from_workspace: bool,
}

/// The dependencies a manifest names, in the plain form that this repository uses: one line each.
fn dependencies(manifest: &str) -> Vec<Dependency> {
    let (mut section, mut explained, mut out) = (String::new(), false, Vec::new());
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_string();
        } else if line.is_empty() {
            explained = false;
        } else if line.starts_with('#') {
            explained = true;
        } else if section.ends_with("dependencies")
            && let Some((name, value)) = line.split_once('=')
        {
            let name = name.trim();
            out.push(Dependency {
                name: name.trim_end_matches(".workspace").to_string(),
                section: section.clone(),
                explained: explained || value.contains('#'),
                from_workspace: name.ends_with(".workspace") || value.contains("workspace = true"),
            });
        }
    }
    out
}

/// Name of each crate in `core/` with its manifest's dependencies.
fn crates() -> BTreeMap<String, Vec<Dependency>> {
    let manifests = files("core").into_iter().filter(|path| path.ends_with("/Cargo.toml"));
    manifests.map(|path| (path.split('/').nth(1).unwrap_or_default().to_string(), dependencies(&text(&path)))).collect()
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&name))
}

#[test]
fn dependencies_point_one_way() {
    let mut found = Vec::new();
    for (name, dependencies) in crates().iter().filter(|(name, _)| *name != "xtask") {
        let Some(own) = layer(name) else {
            found.push(format!("core/{name} is in no layer"));
            continue;
        };
        for other in dependencies.iter().filter_map(|d| d.name.strip_prefix("sigillo-")) {
            let excepted = EXCEPTIONS.iter().any(|(a, b, _)| (*a, *b) == (name, other));
            if !excepted && layer(other).is_none_or(|layer| layer >= own) {
                found.push(format!("{name} must not name {other}"));
            }
        }
    }
    expect_none("dependencies against the direction", found);
}

#[test]
fn a_library_belongs_to_one_crate() {
    let mut found = Vec::new();
    for (name, dependencies) in crates() {
        for (library, owner) in OWNED.iter().filter(|(_, owner)| *owner != name) {
            let named = dependencies.iter().any(|d| d.section == "dependencies" && d.name == *library);
            found.extend(named.then(|| format!("{name} names {library}, which only {owner} may")));
        }
    }
    expect_none("libraries in the wrong crate", found);
}

#[test]
fn only_the_server_listens() {
    let mut found = Vec::new();
    for path in files("core").into_iter().filter(|path| path.ends_with(".rs") && !is_test(path)) {
        if ["core/server/", "core/xtask/"].iter().any(|allowed| path.starts_with(allowed)) {
            continue;
        }
        let text = text(&path);
        let code = || production(&text).filter(|line| !line.trim_start().starts_with("//"));
        let named = LISTENERS.iter().filter(|listener| code().any(|line| line.contains(**listener)));
        found.extend(named.map(|listener| format!("{path} names {listener}")));
    }
    expect_none("listeners outside the server", found);
}

#[test]
fn every_dependency_has_its_reason_and_the_workspace_s_version() {
    let mut found = Vec::new();
    for (name, dependencies) in crates() {
        for dependency in dependencies.iter().filter(|d| !d.name.starts_with("sigillo-")) {
            if !dependency.explained {
                found.push(format!("{name}: {} has no reason beside or above it", dependency.name));
            }
            if !dependency.from_workspace {
                found.push(format!("{name}: {} has a version of its own", dependency.name));
            }
        }
    }
    expect_none("dependencies", found);
}

#[test]
fn every_dependency_is_used() {
    let mut found = Vec::new();
    for (name, dependencies) in crates() {
        let folder = format!("core/{name}/src");
        let sources: Vec<String> = files(&folder).iter().map(|path| text(path)).collect();
        for dependency in dependencies.iter().filter(|d| d.section == "dependencies") {
            let word = dependency.name.replace('-', "_");
            if !sources.iter().any(|source| source.contains(&word)) {
                found.push(format!("{name}: {} is not used", dependency.name));
            }
        }
    }
    expect_none("dependencies that nothing needs", found);
}

#[test]
fn the_reader_of_manifests_sees_what_is_there() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\n# Why.\na.workspace = true\nb = { workspace = true }\n\n\
        c = \"1\" # why\nd = \"1\"\n[dev-dependencies]\ne.workspace = true\n";
    let seen: Vec<(String, bool, bool)> =
        dependencies(manifest).into_iter().map(|d| (d.name, d.explained, d.from_workspace)).collect();
    let row = |name: &str, explained, from_workspace| (name.to_string(), explained, from_workspace);
    assert_eq!(
        seen,
        [
            row("a", true, true),
            row("b", true, true),
            row("c", true, false),
            row("d", false, false),
            row("e", false, true)
        ]
    );
}
