//! A component's imports against what its manifest asks for and what its policy grants.
//!
//! What is not imported cannot be called, so this one look settles what a plugin can do at all; which names it may
//! use (keys, addresses) is settled at each call.

use sigillo_policy::{CONTRACT, Capability, Diagnostic, Manifest, Plugin, Policy};

/// Interfaces that need no grant.
const ALWAYS: [&str; 8] = ["types", "message", "content", "passage", "clock", "ids", "log", "settings"];

/// What is wrong with an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// WASI: files, sockets, the environment. Not offered at all.
    Wasi,
    /// Not of the contract.
    Unknown,
    /// Of another version of the contract.
    Version,
    /// The manifest does not ask for it: the plugin is not what its author says.
    NotAskedFor(Capability),
    /// The policy does not grant it.
    NotGranted(Capability),
}

/// What is wrong with this import of this plugin, if anything is.
pub fn problem(import: &str, plugin: &Plugin, manifest: &Manifest) -> Option<Problem> {
    match asked_for(import, manifest) {
        Ok(capability) => capability.filter(|c| !plugin.grants.has(*c)).map(Problem::NotGranted),
        Err(problem) => Some(problem),
    }
}

/// The capability that an import needs, if it needs one and the manifest asks for it.
pub fn asked_for(import: &str, manifest: &Manifest) -> Result<Option<Capability>, Problem> {
    if import.starts_with("wasi:") {
        return Err(Problem::Wasi);
    }
    let (package, version) = CONTRACT.split_once('@').unwrap_or((CONTRACT, ""));
    let (path, wanted) = import.split_once('@').unwrap_or((import, ""));
    let Some((_, interface)) = path.rsplit_once('/').filter(|(of, _)| *of == package) else {
        return Err(Problem::Unknown);
    };
    if series(wanted) != series(version) {
        return Err(Problem::Version);
    }
    if ALWAYS.contains(&interface) {
        return Ok(None);
    }
    let Some(capability) = Capability::ALL.into_iter().find(|capability| capability.as_str() == interface) else {
        return Err(Problem::Unknown);
    };
    if !manifest.capabilities.contains(&capability) {
        return Err(Problem::NotAskedFor(capability));
    }
    Ok(Some(capability))
}

/// What must agree for two versions to be compatible: `major`, or `0.minor` before 1.0.
fn series(version: &str) -> Option<(&str, &str)> {
    let (major, rest) = version.split_once('.')?;
    let (minor, _) = rest.split_once('.')?;
    Some((major, if major == "0" { minor } else { "" }))
}

/// The problem as the operator reads it, at the plugin's place in the policy.
pub fn diagnostic(import: &str, problem: &Problem, policy: &Policy, plugin: &Plugin) -> Diagnostic {
    described(import, problem, &plugin.name, |code, message| policy.error(plugin.position, code, message))
}

/// The problem in words, as a diagnostic that `at` gives its place.
pub fn described(
    import: &str,
    problem: &Problem,
    name: &str,
    at: impl Fn(&'static str, String) -> Diagnostic,
) -> Diagnostic {
    match problem {
        Problem::Wasi => at("E505", format!("plugin '{name}' imports '{import}', which no plugin gets"))
            .with_help("plugins have no files, sockets, environment or random numbers; build it without WASI"),
        Problem::Unknown => at("E505", format!("plugin '{name}' imports '{import}', which is not in {CONTRACT}"))
            .with_help("use a plugin that was built for this server"),
        Problem::Version => at("E505", format!("plugin '{name}' imports '{import}'; this server speaks {CONTRACT}"))
            .with_help("use the version of the plugin that was built for this contract"),
        Problem::NotAskedFor(capability) => {
            let word = capability.as_str();
            at("E508", format!("plugin '{name}' uses '{word}', which its manifest does not ask for"))
                .with_help(format!("do not use this build; its author must add '{word}' under 'capabilities'"))
        }
        Problem::NotGranted(capability) => {
            let word = capability.as_str();
            at("E504", format!("plugin '{name}' uses '{word}', which this policy does not grant"))
                .with_help(format!("add under 'grants': {}", capability.example()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigillo_policy::{Component, Grants, Position, Stage};

    fn found(import: &str) -> Option<Problem> {
        let manifest = Manifest {
            name: "guest".into(),
            version: "0.1.0".into(),
            contract: CONTRACT.into(),
            stages: vec![Stage::Access],
            capabilities: vec![Capability::State, Capability::Signer],
            description: String::new(),
            commands: Default::default(),
            operations: Default::default(),
            wake_at_start: false,
            mailbox_settings: Default::default(),
            config: None,
        };
        let plugin = Plugin {
            name: "guest".into(),
            component: Component::File("guest.wasm".into()),
            sha256: None,
            config: serde_json::Value::Null,
            grants: Grants { state: true, evidence: true, ..Grants::default() },
            position: Position::default(),
        };
        problem(import, &plugin, &manifest)
    }

    #[test]
    fn only_what_is_asked_for_and_granted_passes() {
        assert_eq!(found("sigillo:mail/message@0.1.0"), None);
        assert_eq!(found("sigillo:mail/state@0.1.0"), None);
        assert_eq!(found("sigillo:mail/state@0.1.7"), None);
        assert_eq!(found("sigillo:mail/signer@0.1.0"), Some(Problem::NotGranted(Capability::Signer)));
        assert_eq!(found("sigillo:mail/evidence@0.1.0"), Some(Problem::NotAskedFor(Capability::Evidence)));
        assert_eq!(found("sigillo:mail/state@0.2.0"), Some(Problem::Version));
        assert_eq!(found("sigillo:mail/state"), Some(Problem::Version));
        assert_eq!(found("sigillo:mail/letters@0.1.0"), Some(Problem::Unknown));
        assert_eq!(found("other:mail/state@0.1.0"), Some(Problem::Unknown));
        assert_eq!(found("host-function"), Some(Problem::Unknown));
        assert_eq!(found("wasi:filesystem/types@0.2.0"), Some(Problem::Wasi));
    }
}
