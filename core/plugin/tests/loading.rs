//! What is wrong with a plugin is said when the policy is loaded, at the plugin's place, with what to do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Server, guests, host, one};
use sigillo_plugin::{Engine, Host, HostOptions, Outcome, manifests};
use sigillo_policy::{Capability, Diagnostic, Manifests, Stage};

/// Loads `text` after the manifests were changed as said, in memory only.
async fn wrong(text: &str, folder: &Path, change: impl FnOnce(&mut Manifests)) -> Vec<Diagnostic> {
    let (mut known, _) = manifests(&guests());
    change(&mut known);
    let (policy, _) = sigillo_policy::parse("policy.yaml", text, &known).unwrap();
    match Engine::load(host(), policy, folder, Arc::new(Server::default())).await {
        Ok(_) => panic!("loaded"),
        Err(wrong) => wrong,
    }
}

fn only<'a>(wrong: &'a [Diagnostic], code: &str) -> &'a Diagnostic {
    let [one] = wrong else { panic!("{wrong:?}") };
    assert_eq!((one.code, one.file.as_str(), one.line), (code, "policy.yaml", 4), "{one}");
    one
}

/// A folder with one guest under another manifest.
fn folder(guest: &str, change: impl Fn(String) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (wasm, yaml) = (format!("{guest}.wasm"), format!("{guest}.plugin.yaml"));
    std::fs::copy(guests().join(&wasm), folder.path().join(wasm)).unwrap();
    let manifest = std::fs::read_to_string(guests().join(&yaml)).unwrap();
    std::fs::write(folder.path().join(yaml), change(manifest)).unwrap();
    folder
}

#[tokio::test]
async fn an_import_without_a_grant_names_the_grant_to_add() {
    let text = one("asks-ungranted", "access", "", "on-failure: defer");
    let wrong = wrong(&text, &guests(), |known| {
        known.get_mut("asks-ungranted").unwrap().capabilities.clear();
    })
    .await;
    let found = only(&wrong, "E504");
    assert_eq!(found.message, "plugin 'asks-ungranted' uses 'signer', which this policy does not grant");
    assert_eq!(found.help.as_deref(), Some("add under 'grants': signer: [key-name]"));
}

#[tokio::test]
async fn an_import_that_the_manifest_hides_is_refused_though_it_is_granted() {
    let hidden = folder("asks-ungranted", |manifest| manifest.replace("[signer]", "[]"));
    let text = one("asks-ungranted", "access", "    grants: { signer: [provider] }", "on-failure: defer");
    let wrong = wrong(&text, hidden.path(), |_| ()).await;
    assert!(only(&wrong, "E508").message.contains("uses 'signer', which its manifest does not ask for"));
}

#[tokio::test]
async fn a_pinned_plugin_is_that_one_or_none() {
    let pinned = format!("    sha256: {}", "0".repeat(64));
    let wrong = wrong(&one("null", "access", &pinned, "on-failure: defer"), &guests(), |_| ()).await;
    assert!(only(&wrong, "E502").message.contains("not the one that is pinned"));
}

#[tokio::test]
async fn a_file_that_is_missing_or_no_component_is_said_to_be_so() {
    let text = one("null", "access", "", "on-failure: defer");
    let empty = tempfile::tempdir().unwrap();
    assert!(only(&wrong(&text, empty.path(), |_| ()).await, "E501").message.contains("null.wasm"));
    let broken = folder("null", |manifest| manifest);
    std::fs::write(broken.path().join("null.wasm"), b"\0asm\x01\0\0\0").unwrap();
    only(&wrong(&text, broken.path(), |_| ()).await, "E503");
    std::fs::write(broken.path().join("null.wasm"), b"MZ").unwrap();
    only(&wrong(&text, broken.path(), |_| ()).await, "E503");
}

#[tokio::test]
async fn a_stage_that_the_component_does_not_have_is_refused() {
    let text = one("null", "delivery", "    grants: { timers: true }", "on-failure: defer");
    let wrong = wrong(&text, &guests(), |known| known.get_mut("null").unwrap().stages.push(Stage::Delivery)).await;
    let messages: Vec<_> = wrong.iter().map(|found| (found.code, found.line, found.message.as_str())).collect();
    let stage = |stage| format!("plugin 'looks' does not implement the stage '{stage}'");
    assert_eq!(messages, [("E506", 11, &stage("delivery")[..]), ("E506", 4, &stage("timer"))]);
}

const GRANTS: &str = "    grants: { submit: { from: [a@alfa.example] }, state: true, timers: true, evidence: true }";

#[tokio::test]
async fn settings_that_the_plugin_does_not_take_are_refused_in_its_words() {
    let extra = format!("    config: {{ kind: wrong }}\n{GRANTS}");
    let refused = wrong(&one("keeps-books", "access", &extra, "on-failure: defer"), &guests(), |_| ()).await;
    assert!(only(&refused, "E507").message.ends_with("does not take its settings: the settings say something wrong"));
    let endless = one("spins-forever", "access", "    config: { kind: configure }", "on-failure: defer");
    let refused = wrong(&endless, &guests(), |_| ()).await;
    assert!(only(&refused, "E507").message.contains("processor time"));
}

#[tokio::test]
async fn the_epoch_is_that_of_the_policy_and_its_plugins() {
    let load = async |text: &str| common::load(text).await.0.epoch().to_owned();
    let text = one("null", "access", "", "on-failure: defer");
    let epoch = load(&text).await;
    assert_eq!(epoch, load(&text).await);
    assert_ne!(epoch, load(&text.replace("defer", "reject")).await);
    assert_eq!(epoch.len(), 64);
}

#[tokio::test]
async fn manifests_are_found_and_wrong_ones_are_named() {
    let odd = folder("null", |manifest| manifest.replace("stages: [access, reception]", "stages: [acces]"));
    let (known, wrong) = manifests(odd.path());
    assert!(known.is_empty());
    assert!(wrong[0].file.ends_with("null.plugin.yaml"), "{}", wrong[0]);
    let (known, wrong) = manifests(&guests());
    assert!(wrong.is_empty());
    assert_eq!(known["asks-ungranted"].capabilities, [Capability::Signer]);
    assert!(manifests(Path::new("/nowhere")).0.is_empty());
}

/// Files of the cache with this ending.
fn kept(cache: &Path, ending: &str) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == ending)).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn compiled_code_that_is_damaged_or_anothers_is_compiled_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("compiled");
    let load = async |guest: &str| {
        let options = HostOptions { concurrency: 1, ..HostOptions::new(cache.clone()) };
        let policy = common::policy(&one(guest, "access", "", "on-failure: defer"));
        let server = Arc::new(Server::default());
        let engine = Engine::load(Host::new(options).unwrap(), policy, &guests(), server).await.unwrap();
        common::submit(&engine, common::MESSAGE).await.outcome
    };
    assert_eq!(load("null").await, Outcome::Continue);
    let [code] = &kept(&cache, "cwasm")[..] else { panic!() };
    let whole = std::fs::read(code).unwrap();

    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(code, &damaged).unwrap();
    assert_eq!(load("null").await, Outcome::Continue);
    assert_ne!(std::fs::read(code).unwrap(), damaged, "it was not compiled anew");

    // Whole code under the name of another plugin.
    assert_eq!(load("copies").await, Outcome::Continue);
    let other = kept(&cache, "cwasm").into_iter().find(|path| path != code).unwrap();
    std::fs::copy(&other, code).unwrap();
    std::fs::copy(other.with_extension("sha256"), code.with_extension("sha256")).unwrap();
    let foreign = std::fs::read(code).unwrap();
    assert_eq!(load("null").await, Outcome::Continue);
    assert_ne!(std::fs::read(code).unwrap(), foreign);

    std::fs::write(cache.join(format!("{}-{}.cwasm", "0".repeat(64), "1".repeat(32))), "old").unwrap();
    assert_eq!(load("null").await, Outcome::Continue);
    assert_eq!(kept(&cache, "cwasm").len(), 2, "code of another engine stays");
}

#[test]
fn a_cache_that_others_can_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let Err(error) = Host::new(HostOptions::new(folder.path().to_owned())) else { panic!("taken") };
    assert!(error.to_string().contains("mode 0700"), "{error}");
}
