//! What no single value shows: names that lead nowhere, rights that do not meet, chains that never run.

use std::collections::BTreeMap;

use crate::chain::OnFailure;
use crate::diagnostic::{Report, suggestion};
use crate::grants::Capability;
use crate::manifest::{Manifest, Manifests, SettingType};
use crate::parse::{Declared, PartialChain, PartialStep};
use crate::policy::Component;
use crate::stage::Stage;
use crate::yaml::Value;

type Plugins = BTreeMap<String, Declared>;

/// Runs every check.
pub(crate) fn all(plugins: &Plugins, chains: &[PartialChain], manifests: &Manifests, report: &mut Report) {
    for declared in plugins.values() {
        if let Some(manifest) = installed(declared, manifests, report) {
            version(declared, manifest, report);
            grants(declared, manifest, report);
            settings(declared, manifest, report);
        }
        used(declared, chains, report);
        receives(declared, chains, report);
    }
    for chain in chains {
        for (index, step) in chain.steps.iter().enumerate() {
            reference(step, chain.stage, plugins, manifests, report);
            failure(step, chain.stage, report);
            verdicts(step, chain.stage, report);
            repeated(step, &chain.steps[..index], report);
        }
    }
    for (index, chain) in chains.iter().enumerate() {
        unique(chain, &chains[..index], report);
        reachable(chain, &chains[..index], report);
    }
}

/// An empty file name stands for a component that could not be read.
fn is_unknown(declared: &Declared) -> bool {
    declared.plugin.component == Component::File(String::new())
}

fn installed<'a>(declared: &Declared, manifests: &'a Manifests, report: &mut Report) -> Option<&'a Manifest> {
    if is_unknown(declared) {
        return None;
    }
    let name = declared.plugin.component.manifest_name();
    let found = manifests.get(name);
    if found.is_none() {
        let help = match manifests.is_empty() {
            true => "the plugin folder has no plugins".to_owned(),
            false => suggestion(name, manifests.keys().map(String::as_str)),
        };
        report.error_with_help(declared.component_at, "E302", format!("plugin '{name}' is not installed"), help);
    }
    found
}

fn version(declared: &Declared, manifest: &Manifest, report: &mut Report) {
    let Component::Named { name, version } = &declared.plugin.component else { return };
    if !manifest.is_version(version) {
        let message = format!("'{name}' is installed in version {}, not {version}", manifest.version);
        report.error(declared.component_at, "E303", message);
    }
}

/// Both the manifest and the policy must name a capability.
fn grants(declared: &Declared, manifest: &Manifest, report: &mut Report) {
    let plugin = &declared.plugin;
    for capability in &manifest.capabilities {
        let written = declared.granted.iter().find(|written| written.capability == *capability);
        if plugin.grants.has(*capability) || written.is_some_and(|written| !written.sound) {
            continue;
        }
        let at = written.map_or(plugin.position, |written| written.at);
        let word = capability.as_str();
        let message = format!("plugin '{}' asks for '{word}', which this policy does not grant", plugin.name);
        report.error_with_help(at, "E304", message, format!("add under 'grants': {}", capability.example()));
    }
    for written in declared.granted.iter().filter(|written| !manifest.capabilities.contains(&written.capability)) {
        let message = format!("plugin '{}' does not ask for '{}'", plugin.name, written.capability.as_str());
        report.warning(written.at, "W602", message, "remove the grant: it gives nothing");
    }
}

fn settings(declared: &Declared, manifest: &Manifest, report: &mut Report) {
    let Some(known) = &manifest.config else { return };
    let name = &declared.plugin.name;
    for (key, (at, value)) in &declared.config {
        match known.get(key) {
            None => {
                let help = suggestion(key, known.keys().map(String::as_str));
                report.error_with_help(*at, "E306", format!("plugin '{name}' has no setting '{key}'"), help);
            }
            Some(setting) if !is_kind(value, setting.kind) => {
                let (wanted, found) = (setting.kind.as_str(), value.kind());
                report.error(*at, "E306", format!("setting '{key}' must be a {wanted}, not {found}"));
            }
            Some(_) => {}
        }
    }
    for (key, _) in known.iter().filter(|(key, setting)| setting.required && !declared.config.contains_key(*key)) {
        report.error(declared.config_at, "E306", format!("plugin '{name}' needs the setting '{key}'"));
    }
}

fn is_kind(value: &Value, kind: SettingType) -> bool {
    match kind {
        SettingType::Text => matches!(value, Value::Text(_)),
        SettingType::Number => matches!(value, Value::Integer(_) | Value::Float(..)),
        SettingType::Boolean => matches!(value, Value::Boolean(_)),
        SettingType::List => matches!(value, Value::List(_)),
        SettingType::Map => matches!(value, Value::Map(_)),
    }
}

fn used(declared: &Declared, chains: &[PartialChain], report: &mut Report) {
    let name = &declared.plugin.name;
    let mut steps = chains.iter().flat_map(|chain| &chain.steps);
    // One that may be woken has work of its own beside all mail.
    let woken = declared.plugin.grants.timers.is_some();
    if !woken && !steps.any(|step| step.plugin.as_ref() == Some(name)) {
        let help = "name it in a step, or remove it";
        report.warning(declared.plugin.position, "W601", format!("plugin '{name}' is declared but never used"), help);
    }
}

/// Mail for addresses of a plugin that never looks at it would come back to whoever sent it.
fn receives(declared: &Declared, chains: &[PartialChain], report: &mut Report) {
    let Some(written) = declared.granted.iter().find(|written| written.capability == Capability::Receive) else {
        return;
    };
    let name = &declared.plugin.name;
    let at_reception = chains.iter().filter(|chain| chain.stage == Some(Stage::Reception));
    if !at_reception.flat_map(|chain| &chain.steps).any(|step| step.plugin.as_ref() == Some(name)) {
        let message = format!("plugin '{name}' has addresses and never sees what comes to them");
        let help = format!("add a chain at reception with 'when: {{ recipient.plugin: {name} }}', before the others");
        report.warning(written.at, "W606", message, help);
    }
}

fn reference(step: &PartialStep, stage: Option<Stage>, plugins: &Plugins, manifests: &Manifests, report: &mut Report) {
    let Some(name) = &step.plugin else { return };
    let Some(declared) = plugins.get(name) else {
        let help = match plugins.is_empty() {
            true => "declare it under 'plugins'".to_owned(),
            false => suggestion(name, plugins.keys().map(String::as_str)),
        };
        report.error_with_help(step.plugin_at, "E301", format!("plugin '{name}' is not declared"), help);
        return;
    };
    let manifest = manifests.get(declared.plugin.component.manifest_name());
    let (Some(manifest), Some(stage)) = (manifest, stage) else { return };
    if !manifest.stages.contains(&stage) {
        let has: Vec<_> = manifest.stages.iter().map(|stage| stage.as_str()).collect();
        let message = format!("plugin '{name}' does not run at stage '{stage}'");
        report.error_with_help(step.plugin_at, "E305", message, format!("it runs at: {}", has.join(", ")));
    }
}

fn failure(step: &PartialStep, stage: Option<Stage>, report: &mut Report) {
    match step.on_failure {
        Some(OnFailure::Skip) if !step.advisory => {
            let help =
                "add 'advisory: true' if mail may pass without this step, or choose defer, reject, quarantine or hold";
            report.error_with_help(step.on_failure_at, "E209", "'skip' is only for advisory steps", help);
        }
        Some(OnFailure::Reject | OnFailure::Quarantine) if stage.is_some_and(|stage| !stage.can_refuse()) => {
            let stage = stage.map_or("", Stage::as_str);
            let message = format!("at stage '{stage}' there is no message left to refuse or to keep");
            report.error_with_help(
                step.on_failure_at,
                "E210",
                message,
                "choose defer (try the step again later) or hold",
            );
        }
        _ => {}
    }
}

/// The contract allows `stored` and `refiled` no verdict but `continue`.
fn verdicts(step: &PartialStep, stage: Option<Stage>, report: &mut Report) {
    if let Some(stage @ (Stage::Stored | Stage::Refiled)) = stage
        && let Some((_, at)) = step.may.first()
    {
        report.error(*at, "E210", format!("at stage '{stage}' a plugin can only let the chain go on"));
    }
}

fn repeated(step: &PartialStep, before: &[PartialStep], report: &mut Report) {
    if let Some(name) = &step.plugin
        && before.iter().any(|other| other.plugin.as_ref() == Some(name))
    {
        let help = "remove one of the two steps";
        report.warning(step.plugin_at, "W605", format!("plugin '{name}' runs twice in this chain"), help);
    }
}

fn unique(chain: &PartialChain, before: &[PartialChain], report: &mut Report) {
    if let Some(name) = &chain.name
        && let Some(first) = before.iter().find(|other| other.name.as_ref() == Some(name))
    {
        let help = format!("the first is in line {}", first.name_at.line);
        report.error_with_help(chain.name_at, "E208", format!("there are two chains named '{name}'"), help);
    }
}

/// Of a stage's chains the first that matches runs alone: one under a wider condition hides those after it.
fn reachable(chain: &PartialChain, before: &[PartialChain], report: &mut Report) {
    let mut earlier = before.iter().filter(|other| other.stage.is_some() && other.stage == chain.stage);
    if let Some(hiding) = earlier.find(|other| other.when_sound && chain.when_sound && other.when.covers(&chain.when)) {
        let name = hiding.name.as_deref().unwrap_or("?");
        let reason = match hiding.when.is_always() {
            true => "has no condition",
            false => "holds wherever this one does",
        };
        let message =
            format!("this chain never runs: '{name}' in line {} comes first and {reason}", hiding.position.line);
        report.error_with_help(
            chain.position,
            "E401",
            message,
            "put the narrower chain first, or give the other a 'when'",
        );
    }
}
