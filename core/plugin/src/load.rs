//! From a policy's plugins to plugins that are ready to run. Everything that can be wrong is said here, at the
//! plugin's place in the policy, all of it at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use sigillo_policy::{Diagnostic, Grants, Manifest, Manifests, Operation, Plugin, Policy, Stage};
use wasmtime::component::InstancePre;

use crate::cache::hex;
use crate::grants;
use crate::host::Host;
use crate::limits;
use crate::services::Services;
use crate::step::{self, Call, Hooks, Inputs, StepLimits, StepState};

/// A plugin that is ready to run.
pub struct Loaded {
    /// Its name in the policy.
    pub name: Arc<str>,
    /// SHA-256 of its component, hexadecimal.
    pub sha256: String,
    /// Its settings, JSON.
    pub config: Arc<str>,
    /// What it may do.
    pub grants: Arc<Grants>,
    /// What may be asked of it.
    pub operations: BTreeMap<String, Operation>,
    /// Whether it is woken when a server begins.
    pub wake_at_start: bool,
    /// Compiled, checked and linked.
    pub pre: InstancePre<StepState>,
    /// The stages that it has.
    pub hooks: Hooks,
}

/// The manifests in a plugin folder, `NAME.plugin.yaml`, with what is wrong with them. A folder that is not there
/// has none.
pub fn manifests(folder: &Path) -> (Manifests, Vec<Diagnostic>) {
    let (mut manifests, mut found) = (Manifests::new(), Vec::new());
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.to_string_lossy().ends_with(".plugin.yaml")) {
        match manifest(path) {
            Ok((manifest, warnings)) => {
                found.extend(warnings);
                manifests.insert(manifest.name.clone(), manifest);
            }
            Err(errors) => found.extend(errors),
        }
    }
    (manifests, found)
}

pub(crate) fn manifest(path: &Path) -> Result<(Manifest, Vec<Diagnostic>), Vec<Diagnostic>> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| vec![Diagnostic::file(&file, "E501", format!("the manifest cannot be read: {error}"))])?;
    Manifest::parse(&file, &text)
}

/// Loads every plugin of the policy.
pub async fn all(
    host: &Arc<Host>,
    policy: &Policy,
    folder: &Path,
    services: &Arc<dyn Services>,
) -> Result<BTreeMap<String, Loaded>, Vec<Diagnostic>> {
    let (mut loaded, mut wrong) = (BTreeMap::new(), Vec::new());
    for plugin in policy.plugins.values() {
        match one(host, policy, plugin, folder).await {
            Ok(ready) => {
                wrong.extend(stages(policy, plugin, &ready.hooks));
                if let Err(error) = configure(host, policy, plugin, &ready, services).await {
                    wrong.push(error);
                }
                loaded.insert(plugin.name.clone(), ready);
            }
            Err(errors) => wrong.extend(errors),
        }
    }
    if wrong.is_empty() { Ok(loaded) } else { Err(wrong) }
}

async fn one(host: &Arc<Host>, policy: &Policy, plugin: &Plugin, folder: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let path = folder.join(plugin.component.file_name());
    let (host, policy, plugin) = (host.clone(), policy.clone(), plugin.clone());
    let at = policy.error(plugin.position, "E501", "the plugin could not be loaded");
    let prepared = tokio::task::spawn_blocking(move || prepare(&host, &policy, &plugin, &path)).await;
    prepared.unwrap_or_else(|_| Err(vec![at]))
}

/// Reads, checks and compiles, in the order: the file, its hash, its contract, its grants.
fn prepare(host: &Host, policy: &Policy, plugin: &Plugin, path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let wrong = |code, message: String| policy.error(plugin.position, code, message);
    let wasm = read(path).map_err(|why| vec![wrong("E501", format!("{}: {why}", path.display()))])?;
    let sha256 = hex(&Sha256::digest(&wasm));
    if let Some(pinned) = plugin.sha256.as_ref().filter(|pinned| **pinned != sha256) {
        let message = format!("plugin '{}' is not the one that is pinned: its SHA-256 is {sha256}", plugin.name);
        return Err(vec![
            wrong("E502", message).with_help(format!("pinned is {pinned}; find out who changed the file")),
        ]);
    }
    let (manifest, _) = manifest(&path.with_extension("plugin.yaml"))?;
    let component = host.compile(&wasm, &sha256).map_err(|error| {
        let message = format!("{} is not a component that this server can run: {error:#}", path.display());
        vec![wrong("E503", message)]
    })?;
    let kind = component.component_type();
    let imports = kind.imports(host.engine()).map(|(import, _)| import);
    let problems: Vec<Diagnostic> = imports
        .filter_map(|import| {
            let problem = grants::problem(import, plugin, &manifest)?;
            Some(grants::diagnostic(import, &problem, policy, plugin))
        })
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let pre = host.linker().instantiate_pre(&component).map_err(|error| {
        let message = format!("plugin '{}' was built for another form of the contract: {error:#}", plugin.name);
        vec![wrong("E505", message).with_help("a newer plugin may need a newer server")]
    })?;
    let hooks = Hooks::of(&pre);
    if let Some(why) = commands(&manifest, &hooks) {
        return Err(vec![wrong("E509", format!("plugin '{}': {why}", plugin.name))]);
    }
    Ok(Loaded {
        name: plugin.name.as_str().into(),
        sha256,
        config: settings(plugin).into(),
        grants: Arc::new(plugin.grants.clone()),
        operations: manifest.operations,
        wake_at_start: manifest.wake_at_start,
        hooks,
        pre,
    })
}

/// Why the manifest's commands and operations and the component's do not agree, if they do not.
pub(crate) fn commands(manifest: &Manifest, hooks: &Hooks) -> Option<&'static str> {
    match (manifest.operations.is_empty(), hooks.operation.is_some()) {
        (false, false) => return Some("its manifest lists operations, and it does not export 'operation'"),
        (true, true) => return Some("it exports 'operation', and its manifest lists no operations"),
        _ => {}
    }
    match (manifest.commands.is_empty(), hooks.command.is_some()) {
        (false, false) => Some("its manifest lists commands, and it does not export 'command'"),
        (true, true) => Some("it exports 'command', and its manifest lists no commands"),
        _ => None,
    }
}

/// The component's bytes, if they are not more than one may have.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > limits::COMPONENT_MAX {
        return Err(format!("{size} octets are more than a plugin may have ({})", limits::COMPONENT_MAX));
    }
    std::fs::read(path).map_err(|error| error.to_string())
}

/// Settings are always an object, so that plugins need not ask whether there are any.
fn settings(plugin: &Plugin) -> String {
    if plugin.config.is_null() { "{}".into() } else { plugin.config.to_string() }
}

/// Stages that the policy uses and the component does not have.
fn stages(policy: &Policy, plugin: &Plugin, hooks: &Hooks) -> Vec<Diagnostic> {
    let message = |stage: Stage| format!("plugin '{}' does not implement the stage '{stage}'", plugin.name);
    let chains = policy.chains.iter();
    let steps = chains.flat_map(|chain| chain.steps.iter().map(move |step| (chain.stage, step)));
    let mut wrong: Vec<Diagnostic> = steps
        .filter(|(stage, step)| step.plugin == plugin.name && !hooks.has(*stage))
        .map(|(stage, step)| policy.error(step.position, "E506", message(stage)))
        .collect();
    // A wake-up that cannot run would be tried for ever.
    if plugin.grants.timers.is_some() && !hooks.has(Stage::Timer) {
        wrong.push(policy.error(plugin.position, "E506", message(Stage::Timer)).with_help("remove the grant 'timers'"));
    }
    if plugin.grants.outbox.is_some() && !hooks.has(Stage::Answer) {
        let help = "remove the grant 'outbox'";
        wrong.push(policy.error(plugin.position, "E506", message(Stage::Answer)).with_help(help));
    }
    wrong
}

/// Lets the plugin check its settings, on an instance that is thrown away with whatever it asked for.
async fn configure(
    host: &Host,
    policy: &Policy,
    plugin: &Plugin,
    loaded: &Loaded,
    services: &Arc<dyn Services>,
) -> Result<(), Diagnostic> {
    if loaded.hooks.lifecycle.is_none() {
        return Ok(());
    }
    let inputs = Inputs {
        plugin: loaded.name.clone(),
        config: loaded.config.clone(),
        grants: loaded.grants.clone(),
        stage: None,
        in_hand: None,
        request: None,
        annotations: Arc::default(),
        passage_id: "configure".into(),
        seed: [0; 32],
        now_ms: services.now_ms(),
        services: services.clone(),
    };
    let limits = StepLimits { cpu: limits::CONFIGURE_CPU, ..StepLimits::of(&sigillo_policy::Limits::default()) };
    let ran = step::run(host, &loaded.pre, &loaded.hooks, inputs, limits, Call::Configure).await;
    ran.said.map(drop).map_err(|failure| {
        let message = format!("plugin '{}' does not take its settings: {}", plugin.name, failure.words);
        policy.error(plugin.position, "E507", message).with_help("see 'config' of the plugin")
    })
}
