//! Commands of plugins: a plugin answers about a message in a file, with no server and no policy.
//!
//! Nothing is granted but to verify signatures and to ask the index of providers, and nothing that the plugin asks for
//! is ever done: what it recorded is dropped with its store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use sigillo_mail::Rope;
use sigillo_mail::structure::Structure;
use sigillo_policy::{Diagnostic, Grants, Limits, Manifest};
use wasmtime::component::InstancePre;

use crate::cache::hex;
use crate::grants;
use crate::host::Host;
use crate::limits;
use crate::load;
use crate::meter::Budget;
use crate::passage::Passage;
use crate::services::Services;
use crate::step::{self, Call, Hooks, Inputs, Said, StepLimits, StepState};
use crate::view::MessageView;

/// A plugin that is ready to answer commands.
pub struct Commands {
    host: Arc<Host>,
    manifest: Manifest,
    pre: InstancePre<StepState>,
    hooks: Hooks,
}

/// What a command is about.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The message.
    pub message: Rope,
    /// Its structure: of exactly these bytes.
    pub structure: Arc<Structure>,
    /// Facts about the file and about what there is to judge it by.
    pub properties: BTreeMap<String, String>,
}

impl Commands {
    /// Loads `NAME.wasm` of a folder with its manifest. Blocking, and compiles where the cache has nothing.
    pub fn load(host: Arc<Host>, folder: &Path, name: &str) -> Result<Commands, Vec<Diagnostic>> {
        let path = folder.join(format!("{name}.wasm"));
        let file = path.display().to_string();
        let wrong = |code, message: String| Diagnostic::file(&file, code, message);
        let (manifest, _) = load::manifest(&path.with_extension("plugin.yaml"))?;
        let wasm = load::read(&path).map_err(|why| vec![wrong("E501", why)])?;
        let component = host
            .compile(&wasm, &hex(&Sha256::digest(&wasm)))
            .map_err(|error| vec![wrong("E503", format!("not a component that can be run here: {error:#}"))])?;
        let kind = component.component_type();
        let problems: Vec<Diagnostic> = kind
            .imports(host.engine())
            .filter_map(|(import, _)| {
                let problem = grants::asked_for(import, &manifest).err()?;
                Some(grants::described(import, &problem, name, wrong))
            })
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let pre = host
            .linker()
            .instantiate_pre(&component)
            .map_err(|error| vec![wrong("E505", format!("built for another form of the contract: {error:#}"))])?;
        let hooks = Hooks::of(&pre);
        match load::commands(&manifest, &hooks) {
            Some(why) => Err(vec![wrong("E509", format!("plugin '{name}': {why}"))]),
            None => Ok(Commands { host, manifest, pre, hooks }),
        }
    }

    /// What the plugin says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Runs a command to its answer, a JSON object, or to the plugin's or the host's words why there is none.
    pub async fn run(
        &self,
        command: &str,
        inspected: Inspected,
        services: Arc<dyn Services>,
    ) -> Result<Answer, String> {
        let view = MessageView { rope: inspected.message.clone(), structure: inspected.structure.clone() };
        let Inspected { message, structure, properties } = inspected;
        let passage = Passage::Inspection { message, structure, properties };
        let inputs = Inputs {
            plugin: self.manifest.name.as_str().into(),
            config: "{}".into(),
            grants: Arc::new(Grants { verifier: true, directory: true, ..Grants::default() }),
            stage: None,
            in_hand: Some((Arc::new(passage), Arc::new(view))),
            request: None,
            annotations: Arc::default(),
            passage_id: command.into(),
            seed: [0; 32],
            now_ms: services.now_ms(),
            services,
        };
        let call = Call::Command(command.to_owned());
        let ran = step::run(&self.host, &self.pre, &self.hooks, inputs, command_limits(), call).await;
        match ran.said.map_err(|failure| failure.words)? {
            Said::Answer(text) => Answer::check(text),
            Said::Nothing | Said::Verdict(_) => Err("gave no answer".into()),
        }
    }
}

fn command_limits() -> StepLimits {
    let usual = StepLimits::of(&Limits::default());
    StepLimits {
        memory: limits::MEMORY_MAX as u64,
        cpu: limits::COMMAND_CPU,
        wall: limits::COMMAND_WALL,
        budget: Budget { read: limits::COMMAND_READ, ..usual.budget },
    }
}

/// An answer that keeps the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// A JSON object, its fields in the plugin's order.
    pub text: String,
    /// What it says of the message.
    pub valid: Option<bool>,
}

impl Answer {
    pub(crate) fn check(text: String) -> Result<Answer, String> {
        if text.len() > limits::ANSWER_MAX {
            return Err(format!("its answer is longer than {} octets", limits::ANSWER_MAX));
        }
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| format!("its answer is not JSON: {error}"))?;
        let valid = match value.as_object().map(|object| object.get("valid")) {
            None => return Err("its answer is not a JSON object".into()),
            Some(None) => None,
            Some(Some(valid)) => Some(valid.as_bool().ok_or("in its answer, `valid` is not a boolean")?),
        };
        Ok(Answer { text, valid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_object_of_bounded_length() {
        let valid = |text: &str| Answer::check(text.to_owned()).map(|answer| answer.valid);
        assert_eq!(valid(r#"{"b":[1],"valid":true}"#), Ok(Some(true)));
        assert_eq!(valid("{}"), Ok(None));
        for wrong in ["", "[]", "1", r#"{"valid":1}"#, r#"{"a":"#, &format!(r#"{{"a":"{}"}}"#, "x".repeat(5 << 20))] {
            assert!(valid(wrong).is_err(), "{}", &wrong[..wrong.len().min(20)]);
        }
    }
}
