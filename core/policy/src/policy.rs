//! A policy that was read and checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::chain::Chain;
use crate::diagnostic::{Diagnostic, Position, Severity, Source};
use crate::facts::Facts;
use crate::grants::Grants;
use crate::stage::Stage;

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// `pec@0.1`: `pec.wasm` in the plugin folder, of version 0.1 or 0.1.x.
    Named {
        /// Name of the plugin's manifest.
        name: String,
        /// The version or its beginning.
        version: String,
    },
    /// A file in the plugin folder, with its manifest beside it.
    File(String),
}

impl Component {
    /// Name of the file in the plugin folder.
    pub fn file_name(&self) -> String {
        match self {
            Component::Named { name, .. } => format!("{name}.wasm"),
            Component::File(file) => file.clone(),
        }
    }

    /// Under which name its manifest is looked up: `pec` for `pec@0.1` and for `folder/pec.wasm`.
    pub fn manifest_name(&self) -> &str {
        match self {
            Component::Named { name, .. } => name,
            Component::File(file) => {
                let name = file.rsplit('/').next().unwrap_or(file);
                name.strip_suffix(".wasm").unwrap_or(name)
            }
        }
    }
}

/// A plugin as the policy declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// Its name in the policy, and of its state.
    pub name: String,
    /// Where it comes from.
    pub component: Component,
    /// The only SHA-256 that its file may have, if it is pinned; 64 hexadecimal digits in lower case.
    pub sha256: Option<String>,
    /// Its settings: a JSON object.
    pub config: serde_json::Value,
    /// What it may do.
    pub grants: Grants,
    /// Where it is declared.
    pub position: Position,
}

/// A checked policy.
#[derive(Debug, Clone)]
pub struct Policy {
    /// SHA-256 of its text, hexadecimal.
    pub sha256: String,
    /// Plugins by their name in the policy.
    pub plugins: BTreeMap<String, Plugin>,
    /// Chains in the order of the text.
    pub chains: Vec<Chain>,
    pub(crate) source: Arc<Source>,
}

impl Policy {
    /// The chain that runs at a stage: the first whose condition holds.
    pub fn chain(&self, stage: Stage, facts: &Facts) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.stage == stage && chain.matches(facts))
    }

    /// The file as it was named.
    pub fn file(&self) -> &str {
        self.source.file()
    }

    /// An error that was found later (the component is not what was pinned, the plugin refuses its settings), shown
    /// at its place in the policy.
    pub fn error(&self, at: Position, code: &'static str, message: impl Into<String>) -> Diagnostic {
        self.source.diagnostic(Severity::Error, at, code, message.into())
    }
}
