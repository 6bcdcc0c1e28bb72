//! What a plugin says of itself: `plugin.yaml` beside its component.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, Report};
use crate::grants::Capability;
use crate::mailbox_settings::{self, MailboxSetting, SetBy};
use crate::stage::Stage;
use crate::yaml::{Document, Map, Node};

/// The contract that this server speaks (`wit/world.wit`).
pub const CONTRACT: &str = "sigillo:mail@0.1.0";

/// Manifests by the name of the plugin.
pub type Manifests = BTreeMap<String, Manifest>;

/// Type of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingType {
    /// A text.
    Text,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list.
    List,
    /// A map.
    Map,
}

impl SettingType {
    const WORDS: [(&'static str, SettingType); 5] = [
        ("text", SettingType::Text),
        ("number", SettingType::Number),
        ("boolean", SettingType::Boolean),
        ("list", SettingType::List),
        ("map", SettingType::Map),
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            SettingType::Text => "text",
            SettingType::Number => "number",
            SettingType::Boolean => "boolean",
            SettingType::List => "list",
            SettingType::Map => "map",
        }
    }
}

/// One key of a plugin's `config:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its type.
    pub kind: SettingType,
    /// The plugin does not load without it.
    pub required: bool,
}

/// Something that may be asked of a plugin under its policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operation {
    /// What it does, for operators.
    pub description: String,
    /// Who may ask for it: the administrator of the platform alone, or also whoever may choose the user's settings of the
    /// mailbox that the argument `mailbox` names.
    pub by: SetBy,
    /// What may stand behind its name on a command line, for the help: `mailbox=ada@pec.alfa.example`.
    pub example: Option<String>,
    /// What it takes, by name.
    pub arguments: BTreeMap<String, Argument>,
}

/// One argument of an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Argument {
    /// The operation does not run without it.
    pub required: bool,
    /// The log does not keep its value.
    pub secret: bool,
    /// What it means, for operators.
    pub description: String,
}

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Name of the plugin, and of its file without `.wasm`.
    pub name: String,
    /// Version of the plugin, `major.minor.patch`.
    pub version: String,
    /// Package of the contract, such as [`CONTRACT`].
    pub contract: String,
    /// Stages that it implements.
    pub stages: Vec<Stage>,
    /// Capabilities that it asks for.
    pub capabilities: Vec<Capability>,
    /// One or two sentences for operators.
    pub description: String,
    /// Commands that it answers beside a server, with what each does, in the order of their names.
    pub commands: BTreeMap<String, String>,
    /// What may be asked of it under a policy, in the order of their names.
    pub operations: BTreeMap<String, Operation>,
    /// Whether it is woken with the key `start` whenever a server begins to work with it.
    pub wake_at_start: bool,
    /// What can be set for each mailbox, by name.
    pub mailbox_settings: BTreeMap<String, MailboxSetting>,
    /// The keys of its settings, if it says them: then a policy's `config:` is checked against them.
    pub config: Option<BTreeMap<String, Setting>>,
}

impl Manifest {
    /// Reads a manifest; warnings come with it.
    pub fn parse(file: &str, text: &str) -> Result<(Manifest, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (root, mut report) = Document::read(file, text)?.open();
        let manifest = Map::of(&root, "the manifest", &mut report).and_then(|map| read(map, &mut report));
        report.conclude(manifest)
    }

    /// Whether its version is the one asked for: `0.1` asks for 0.1 or 0.1.x.
    pub fn is_version(&self, wanted: &str) -> bool {
        let mut mine = self.version.split('.');
        wanted.split('.').all(|part| mine.next() == Some(part))
    }
}

fn read(mut map: Map<'_>, report: &mut Report) -> Option<Manifest> {
    let name = map.require("name", report).and_then(|node| read_identifier(node, "plugin", report));
    let version = map.require("version", report).and_then(|node| read_version(node, 3, report));
    let contract = map.require("contract", report).and_then(|node| read_contract(node, report));
    let stages = map.require("stages", report).map(|node| read_set(node, "'stages'", Stage::read, report));
    let words = Capability::words();
    let capability = |node: &Node, report: &mut Report| node.word("capability", &words, report);
    let capabilities =
        map.require("capabilities", report).map(|node| read_set(node, "'capabilities'", capability, report));
    let description = map.require("description", report).and_then(|node| node.name(report));
    let commands = map.get("commands").map(|node| read_commands(node, report)).unwrap_or_default();
    let operations = map.get("operations").map(|node| read_operations(node, &commands, report)).unwrap_or_default();
    let wake_at_start = map.get("wake-at-start").and_then(|node| node.boolean(report)).unwrap_or(false);
    let mailbox_settings =
        map.get("mailbox-settings").map(|node| mailbox_settings::read(node, report)).unwrap_or_default();
    let config = map.get("config").map(|node| read_settings(node, report));
    map.finish(report);
    Some(Manifest {
        name: name?,
        version: version?,
        contract: contract?,
        stages: stages?,
        capabilities: capabilities?,
        description: description?.to_owned(),
        commands,
        operations,
        wake_at_start,
        mailbox_settings,
        config,
    })
}

fn read_set<T: PartialEq>(
    node: &Node,
    what: &'static str,
    read: impl Fn(&Node, &mut Report) -> Option<T>,
    report: &mut Report,
) -> Vec<T> {
    let mut set = Vec::new();
    for item in node.list(what, report) {
        match read(item, report) {
            Some(value) if set.contains(&value) => report.error(item.position, "E208", "the same word stands twice"),
            Some(value) => set.push(value),
            None => {}
        }
    }
    set
}

/// `commands:`, a map from names to `{ description }`.
fn read_commands(node: &Node, report: &mut Report) -> BTreeMap<String, String> {
    let mut commands = BTreeMap::new();
    for entry in node.entries("'commands'", report) {
        if !is_identifier(&entry.key) || entry.key == "help" {
            let help = "use 1 to 64 lower-case letters, digits and '-', beginning with a letter; 'help' is taken";
            report.error_with_help(entry.position, "E207", format!("'{}' is no name for a command", entry.key), help);
            continue;
        }
        let Some(mut map) = Map::of(&entry.node, "a command", report).map(|map| map.at(entry.position)) else {
            continue;
        };
        let description = map.require("description", report).and_then(|node| node.name(report));
        map.finish(report);
        if let Some(description) = description {
            commands.insert(entry.key.clone(), description.to_owned());
        }
    }
    commands
}

/// `operations:`, a map from names to `{ description, by, example, arguments: { NAME: { required, secret, description } } }`.
fn read_operations(
    node: &Node,
    commands: &BTreeMap<String, String>,
    report: &mut Report,
) -> BTreeMap<String, Operation> {
    let mut operations = BTreeMap::new();
    for entry in node.entries("'operations'", report) {
        if !is_identifier(&entry.key) || entry.key == "help" {
            let help = "use 1 to 64 lower-case letters, digits and '-', beginning with a letter; 'help' is taken";
            report.error_with_help(
                entry.position,
                "E207",
                format!("'{}' is no name for an operation", entry.key),
                help,
            );
            continue;
        }
        if commands.contains_key(&entry.key) {
            report.error(entry.position, "E208", format!("'{}' stands under 'commands' too", entry.key));
            continue;
        }
        let Some(mut map) = Map::of(&entry.node, "an operation", report).map(|map| map.at(entry.position)) else {
            continue;
        };
        let description = map.require("description", report).and_then(|node| node.name(report)).unwrap_or_default();
        let example = map.get("example").and_then(|node| node.name(report)).map(str::to_owned);
        let by = map.get("by").and_then(|node| node.word("'by'", &SetBy::WORDS, report)).unwrap_or_default();
        let arguments = map.get("arguments").map(|node| read_arguments(node, report)).unwrap_or_default();
        map.finish(report);
        if by == SetBy::User && !arguments.get("mailbox").is_some_and(|argument| argument.required) {
            let help = "whose rights count is known by a required argument 'mailbox'";
            let message = format!("'{}' is for users and says nothing of the mailbox", entry.key);
            report.error_with_help(entry.position, "E202", message, help);
        }
        let description = description.to_owned();
        operations.insert(entry.key.clone(), Operation { description, by, example, arguments });
    }
    operations
}

fn read_arguments(node: &Node, report: &mut Report) -> BTreeMap<String, Argument> {
    let mut arguments = BTreeMap::new();
    for entry in node.entries("'arguments'", report) {
        if !is_identifier(&entry.key) || entry.key == "continue" {
            let help = "use 1 to 64 lower-case letters, digits and '-', beginning with a letter; 'continue' is taken";
            report.error_with_help(entry.position, "E207", format!("'{}' is no name for an argument", entry.key), help);
            continue;
        }
        let Some(mut map) = Map::of(&entry.node, "an argument", report).map(|map| map.at(entry.position)) else {
            continue;
        };
        let required = map.get("required").and_then(|node| node.boolean(report)).unwrap_or(false);
        let secret = map.get("secret").and_then(|node| node.boolean(report)).unwrap_or(false);
        let description = map.require("description", report).and_then(|node| node.name(report)).unwrap_or_default();
        map.finish(report);
        arguments.insert(entry.key.clone(), Argument { required, secret, description: description.to_owned() });
    }
    arguments
}

fn read_settings(node: &Node, report: &mut Report) -> BTreeMap<String, Setting> {
    let mut settings = BTreeMap::new();
    for entry in node.entries("'config'", report) {
        let Some(mut map) = Map::of(&entry.node, "a setting", report).map(|map| map.at(entry.position)) else {
            continue;
        };
        let kind = map.require("type", report).and_then(|n| n.word("type", &SettingType::WORDS, report));
        let required = map.get("required").and_then(|n| n.boolean(report)).unwrap_or(false);
        // For people who read the manifest.
        if let Some(description) = map.get("description") {
            description.name(report);
        }
        map.finish(report);
        if let Some(kind) = kind {
            settings.insert(entry.key.clone(), Setting { kind, required });
        }
    }
    settings
}

fn read_contract(node: &Node, report: &mut Report) -> Option<String> {
    let text = node.text(report)?;
    if text != CONTRACT {
        let help = format!("this server speaks {CONTRACT}");
        report.error_with_help(node.position, "E307", format!("unknown contract '{text}'"), help);
        return None;
    }
    Some(text.to_owned())
}

/// A name of the operator's or author's choice: it becomes a file name, a key of state and a label of metrics.
pub(crate) fn read_identifier(node: &Node, what: &str, report: &mut Report) -> Option<String> {
    let text = node.text(report)?;
    if !is_identifier(text) {
        let help = "use 1 to 64 lower-case letters, digits and '-', beginning with a letter";
        report.error_with_help(node.position, "E207", format!("'{text}' is no name for a {what}"), help);
        return None;
    }
    Some(text.to_owned())
}

/// Whether a text may name a plugin, or a fact that it leaves: 1 to 64 lower-case letters, digits and `-`, a letter
/// first.
pub fn is_identifier(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn read_version(node: &Node, parts: usize, report: &mut Report) -> Option<String> {
    let text = node.text(report)?;
    if !is_version(text, parts..=parts) {
        report.error(node.position, "E207", format!("'{text}' is not a version such as 0.1.0"));
        return None;
    }
    Some(text.to_owned())
}

/// Numbers with dots between them.
pub(crate) fn is_version(text: &str, parts: std::ops::RangeInclusive<usize>) -> bool {
    let number = |part: &str| part.len() <= 9 && !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    parts.contains(&text.split('.').count()) && text.split('.').all(number)
}
