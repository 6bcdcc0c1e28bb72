//! From the tree to the policy: every value is read where it stands, and every mistake is reported before giving up.

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::chain::{Chain, OnFailure, Step};
use crate::check;
use crate::diagnostic::{Diagnostic, Position, Report};
use crate::facts::Condition;
use crate::grants::{Grants, Written};
use crate::limits::Limits;
use crate::manifest::{Manifests, is_identifier, is_version, read_identifier};
use crate::policy::{Component, Plugin, Policy};
use crate::stage::Stage;
use crate::yaml::{Document, Entry, Map, Node};

/// What a policy says in `apiVersion`.
const API_VERSION: &str = "sigillo/v1";
/// What it says in `kind`.
const KIND: &str = "Policy";

/// A plugin with the places that only the checks need.
pub(crate) struct Declared {
    pub plugin: Plugin,
    pub component_at: Position,
    pub granted: Vec<Written>,
    pub config_at: Position,
    pub config: BTreeMap<String, (Position, crate::yaml::Value)>,
}

/// Reads and checks the policy `text`, named `file` in diagnostics, against the manifests of the installed plugins.
/// Gives the policy and its warnings, or everything that is wrong with it.
pub fn parse(file: &str, text: &str, manifests: &Manifests) -> Result<(Policy, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (root, mut report) = Document::read(file, text)?.open();
    let mut policy = None;
    if let Some(map) = Map::of(&root, "the policy", &mut report) {
        let (plugins, chains) = read(map, &mut report);
        check::all(&plugins, &chains, manifests, &mut report);
        let chains = chains.into_iter().filter_map(PartialChain::complete).collect();
        let plugins = plugins.into_iter().map(|(name, declared)| (name, declared.plugin)).collect();
        policy = Some(Policy { sha256: hash(text), plugins, chains, source: report.source().clone() });
    }
    report.conclude(policy)
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn read(mut map: Map<'_>, report: &mut Report) -> (BTreeMap<String, Declared>, Vec<PartialChain>) {
    if let Some(node) = map.require("apiVersion", report) {
        node.word("apiVersion", &[(API_VERSION, ())], report);
    }
    if let Some(node) = map.require("kind", report) {
        node.word("kind", &[(KIND, ())], report);
    }
    let mut plugins = BTreeMap::new();
    if let Some(node) = map.get("plugins") {
        for entry in node.entries("'plugins'", report) {
            if let Some(declared) = read_plugin(entry, report) {
                plugins.insert(entry.key.clone(), declared);
            }
        }
    }
    let chains = map.require("chains", report).map_or(&[][..], |node| node.list("'chains'", report));
    let chains = chains.iter().filter_map(|node| read_chain(node, report)).collect();
    map.finish(report);
    (plugins, chains)
}

/// First words of the server's own properties (`plugins/README.md`). A plugin of that name would speak in the
/// server's: what it leaves for later steps is read as `NAME.…`.
const RESERVED: [&str; 7] = ["auth", "peer", "session", "tls", "outcome", "header", "structure"];

/// A plugin with a mistake in it is still declared, so that steps that name it are not mistakes too.
fn read_plugin(entry: &Entry, report: &mut Report) -> Option<Declared> {
    if !is_identifier(&entry.key) {
        let help = "use 1 to 64 lower-case letters, digits and '-', beginning with a letter";
        report.error_with_help(entry.position, "E207", format!("'{}' is no name for a plugin", entry.key), help);
    }
    if RESERVED.contains(&entry.key.as_str()) {
        let message = format!("'{}' is a word of the server's own, not a name for a plugin", entry.key);
        report.error_with_help(entry.position, "E207", message, "give the plugin another name");
    }
    let mut map = Map::of(&entry.node, "a plugin", report)?.at(entry.position);
    let component = map.require("component", report);
    let component_at = component.map_or(entry.position, |node| node.position);
    let component = component.and_then(|node| read_component(node, report));
    let sha256 = map.get("sha256").and_then(|node| read_sha256(node, report));
    let config = map.entry("config");
    let config_at = config.map_or(entry.position, |config| config.position);
    let settings = config.map_or(&[][..], |config| config.node.entries("'config'", report));
    let grants = map.get("grants").map(|node| Grants::read(node, report));
    map.finish(report);
    let (grants, granted) = grants.unwrap_or_default();
    let json = settings.iter().map(|s| (s.key.clone(), s.node.value.to_json())).collect();
    let plugin = Plugin {
        name: entry.key.clone(),
        component: component.unwrap_or(Component::File(String::new())),
        sha256,
        config: serde_json::Value::Object(json),
        grants,
        position: entry.position,
    };
    let config = settings.iter().map(|s| (s.key.clone(), (s.node.position, s.node.value.clone()))).collect();
    Some(Declared { plugin, component_at, granted, config_at, config })
}

/// `name@version`, or a file in the plugin folder.
fn read_component(node: &Node, report: &mut Report) -> Option<Component> {
    let text = node.text(report)?;
    if text.ends_with(".wasm") {
        let inside =
            !text.starts_with('/') && !text.contains('\\') && text.split('/').all(|p| !matches!(p, "" | "." | ".."));
        if !inside {
            report.error(node.position, "E207", format!("'{text}' is not a file inside the plugin folder"));
            return None;
        }
        return Some(Component::File(text.to_owned()));
    }
    if let Some((name, version)) = text.split_once('@')
        && is_identifier(name)
        && is_version(version, 1..=3)
    {
        return Some(Component::Named { name: name.to_owned(), version: version.to_owned() });
    }
    let help = "write a name with a version, such as pec@0.1, or a file in the plugin folder, such as pec.wasm";
    report.error_with_help(node.position, "E207", format!("'{text}' names no component"), help);
    None
}

fn read_sha256(node: &Node, report: &mut Report) -> Option<String> {
    let text = node.text(report)?;
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Some(text.to_ascii_lowercase());
    }
    report.error_with_help(
        node.position,
        "E207",
        "not a SHA-256",
        "write 64 hexadecimal digits, as sha256sum prints them",
    );
    None
}

/// A chain in which values may be missing because they were wrong.
pub(crate) struct PartialChain {
    pub name: Option<String>,
    pub name_at: Position,
    pub stage: Option<Stage>,
    pub when: Condition,
    /// Every condition could be read.
    pub when_sound: bool,
    pub steps: Vec<PartialStep>,
    pub position: Position,
}

impl PartialChain {
    fn complete(self) -> Option<Chain> {
        let steps = self.steps.into_iter().map(PartialStep::complete).collect::<Option<_>>()?;
        Some(Chain { name: self.name?, stage: self.stage?, when: self.when, steps, position: self.position })
    }
}

/// A step likewise.
pub(crate) struct PartialStep {
    pub plugin: Option<String>,
    pub plugin_at: Position,
    pub on_failure: Option<OnFailure>,
    pub on_failure_at: Position,
    pub advisory: bool,
    pub limits: Limits,
    pub may: Vec<(May, Position)>,
}

/// A verdict that only a policy can allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum May {
    Accept,
    Discard,
}

impl PartialStep {
    fn complete(self) -> Option<Step> {
        let may = |verdict| self.may.iter().any(|(granted, _)| *granted == verdict);
        Some(Step {
            may_accept: may(May::Accept),
            may_discard: may(May::Discard),
            plugin: self.plugin?,
            on_failure: self.on_failure?,
            advisory: self.advisory,
            limits: self.limits,
            position: self.plugin_at,
        })
    }
}

fn read_chain(node: &Node, report: &mut Report) -> Option<PartialChain> {
    let mut map = Map::of(node, "a chain", report)?;
    let name = map.require("name", report);
    let name_at = name.map_or(node.position, |name| name.position);
    let name = name.and_then(|name| read_identifier(name, "chain", report));
    let stage = map.require("stage", report).and_then(|stage| read_chain_stage(stage, report));
    let errors = report.errors();
    let when = map.get("when").map(|when| Condition::read(when, stage, report)).unwrap_or_default();
    let when_sound = report.errors() == errors;
    let steps = map.require("steps", report).map_or(&[][..], |steps| steps.list("'steps'", report));
    let steps = steps.iter().filter_map(|step| read_step(step, report)).collect();
    map.finish(report);
    Some(PartialChain { name, name_at, stage, when, when_sound, steps, position: node.position })
}

fn read_chain_stage(node: &Node, report: &mut Report) -> Option<Stage> {
    let stage = Stage::read(node, report)?;
    if stage == Stage::Timer {
        let help = "grant 'timers' to the plugin, with 'on-failure' and 'limits' there";
        report.error_with_help(
            node.position,
            "E207",
            "stage 'timer' has no chain: the plugin that asked for a wake-up runs",
            help,
        );
        return None;
    }
    if stage == Stage::Answer {
        let help = "grant 'outbox' to the plugin, with 'limits' there";
        let message = "stage 'answer' has no chain: the plugin that made the request runs";
        report.error_with_help(node.position, "E207", message, help);
        return None;
    }
    Some(stage)
}

fn read_step(node: &Node, report: &mut Report) -> Option<PartialStep> {
    let mut map = Map::of(node, "a step", report)?;
    let plugin = map.require("plugin", report);
    let plugin_at = plugin.map_or(node.position, |plugin| plugin.position);
    let plugin = plugin.and_then(|plugin| plugin.text(report)).map(str::to_owned);
    let choice = map.get("on-failure");
    if choice.is_none() {
        let help = "say what becomes of the message when the plugin fails: defer, reject, quarantine or hold";
        report.error_with_help(node.position, "E202", "a step has no 'on-failure'", help);
    }
    let on_failure_at = choice.map_or(node.position, |choice| choice.position);
    let on_failure = choice.and_then(|choice| choice.word("failure policy", &OnFailure::WORDS, report));
    let advisory = map.get("advisory").and_then(|n| n.boolean(report)).unwrap_or(false);
    let limits = map.get("limits").map(|n| Limits::read(n, report)).unwrap_or_default();
    let may = map.get("may").map_or(&[][..], |n| n.list("'may'", report));
    let verdict = |n: &Node, report: &mut Report| {
        let words = [("accept", May::Accept), ("discard", May::Discard)];
        n.word("verdict that can be allowed", &words, report).map(|verdict| (verdict, n.position))
    };
    let may = may.iter().filter_map(|n| verdict(n, report)).collect();
    map.finish(report);
    Some(PartialStep { plugin, plugin_at, on_failure, on_failure_at, advisory, limits, may })
}
