//! `sigillo check`: everything that a start would read, read now, with every mistake of the policy at its place.

use sigillo_policy::{Diagnostic, Policy};

use crate::config::Config;

/// The policy of a configuration with its warnings, or all its mistakes.
pub fn policy(config: &Config) -> Result<(Policy, Vec<Diagnostic>), Vec<Diagnostic>> {
    let path = config.path(&config.policy);
    let name = path.display().to_string();
    let whole = |message: String| vec![Diagnostic::file(&name, "E001", message)];
    let text = std::fs::read_to_string(&path).map_err(|error| whole(error.to_string()))?;
    let (manifests, mut findings) = sigillo_plugin::manifests(&config.path(&config.plugins_dir));
    if findings.iter().any(Diagnostic::is_error) {
        return Err(findings);
    }
    if let Err(twice) = sigillo_policy::MailboxSettings::of(&manifests) {
        return Err(vec![Diagnostic::file(&config.path(&config.plugins_dir).display().to_string(), "E510", twice)]);
    }
    let (policy, warnings) = sigillo_policy::parse(&name, &text, &manifests)?;
    let nowhere: Vec<_> =
        unknown_scanners(&policy, config).into_iter().chain(unknown_targets(&policy, config)).collect();
    if !nowhere.is_empty() {
        return Err(nowhere);
    }
    findings.extend(warnings);
    Ok((policy, findings))
}

/// Scanners that are granted and that the configuration does not have: a plugin that needs one would fail with every
/// message.
fn unknown_scanners(policy: &Policy, config: &Config) -> Vec<Diagnostic> {
    let granted = policy.plugins.values().flat_map(|plugin| plugin.grants.scan.iter());
    let unknown = granted.filter(|(name, _)| !config.scanners.contains_key(name));
    let help = match config.scanners.is_empty() {
        true => "the configuration has no 'scanners'".to_owned(),
        false => format!("it has: {}", config.scanners.keys().cloned().collect::<Vec<_>>().join(", ")),
    };
    let error = |(name, at): &(String, _)| {
        let message = format!("scanner '{name}' is not in the server's configuration");
        policy.error(*at, "E509", message).with_help(help.clone())
    };
    unknown.map(error).collect()
}

/// The same of targets of the outbox.
fn unknown_targets(policy: &Policy, config: &Config) -> Vec<Diagnostic> {
    let granted = policy.plugins.values().flat_map(|plugin| &plugin.grants.outbox).flat_map(|grant| &grant.targets);
    let help = match config.targets.is_empty() {
        true => "the configuration has no 'targets'".to_owned(),
        false => format!("it has: {}", config.targets.keys().cloned().collect::<Vec<_>>().join(", ")),
    };
    let error = |(name, at): &(String, _)| {
        let message = format!("target '{name}' is not in the server's configuration");
        policy.error(*at, "E509", message).with_help(help.clone())
    };
    granted.filter(|(name, _)| !config.targets.contains_key(name)).map(error).collect()
}

/// Diagnostics as a person reads them.
pub fn print(diagnostics: &[Diagnostic]) -> String {
    let texts: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    texts.join("\n\n")
}
