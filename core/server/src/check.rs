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
    let (policy, warnings) = sigillo_policy::parse(&name, &text, &manifests)?;
    findings.extend(warnings);
    Ok((policy, findings))
}

/// Diagnostics as a person reads them.
pub fn print(diagnostics: &[Diagnostic]) -> String {
    let texts: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    texts.join("\n\n")
}
