//! The operator's settings, `config:` of the policy.

use serde::Deserialize;

/// Names of archives and documents that a scanner cannot open, as clamd gives them under `AlertEncrypted yes`.
pub const ENCRYPTED: &str = "Heuristics.Encrypted.";
/// How the names of guesses begin, as clamd gives them.
const HEURISTICS: &str = "Heuristics.";
/// Most scanners: more would not look better.
pub const SCANNERS_MAX: usize = 8;

/// Settings of the plugin; unknown keys are mistakes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Scanners by their names in the server's configuration, in the order in which they are asked.
    pub scanners: Vec<String>,
    /// Whose answers count.
    #[serde(default)]
    pub answers: Answers,
    /// What is shown to them.
    #[serde(default)]
    pub views: Views,
    /// What becomes of an infected message.
    #[serde(default)]
    pub on_infected: OnInfected,
    /// What a guess is taken for.
    #[serde(default)]
    pub on_heuristic: OnFinding,
    /// How the names of guesses begin.
    #[serde(default = "heuristics")]
    pub heuristics: Vec<String>,
    /// What an encrypted archive is taken for: nobody can look into it, and honest people send it too.
    #[serde(default = "pass")]
    pub on_encrypted: OnFinding,
    /// What becomes of a message that cannot be scanned later either.
    #[serde(default)]
    pub on_unscannable: OnUnscannable,
}

/// Whose answers count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answers {
    /// Each scanner must answer about everything it is shown.
    #[default]
    All,
    /// The first that can: the next is asked where one cannot.
    First,
}

/// What is shown to the scanners.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Views {
    /// The message, and each part decoded.
    #[default]
    Always,
    /// The message; its parts only where readers may disagree about one of them.
    Ambiguous,
}

/// What becomes of an infected message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnInfected {
    /// It is refused for good.
    #[default]
    Reject,
    /// It is kept from its recipients.
    Quarantine,
    /// It goes on to a step that reads the mark.
    Annotate,
}

/// What a name that is no name of a virus is taken for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFinding {
    /// An infection.
    #[default]
    Infected,
    /// Nothing.
    Pass,
    /// A reason to keep the message from its recipients.
    Quarantine,
    /// A reason to try again later.
    Defer,
}

/// What becomes of a message that cannot be scanned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnscannable {
    /// It is refused for good: its sender learns why.
    #[default]
    Reject,
    /// It is kept from its recipients.
    Quarantine,
    /// It is refused for now, until a limit is raised.
    Defer,
}

fn heuristics() -> Vec<String> {
    vec![HEURISTICS.to_owned()]
}

fn pass() -> OnFinding {
    OnFinding::Pass
}

impl Settings {
    /// Reads the settings; the error is for the operator.
    pub fn parse(json: &str) -> Result<Settings, String> {
        let settings: Settings = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let names = &settings.scanners;
        if names.is_empty() || names.len() > SCANNERS_MAX {
            return Err(format!("scanners: name 1 to {SCANNERS_MAX}"));
        }
        if let Some(twice) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
            return Err(format!("scanners: '{}' stands there twice", twice.1));
        }
        if settings.heuristics.iter().any(String::is_empty) {
            return Err("heuristics: an empty beginning would fit every name".into());
        }
        Ok(settings)
    }

    /// What the name of a finding is taken for.
    pub fn finding(&self, name: &str) -> OnFinding {
        if name.starts_with(ENCRYPTED) {
            return self.on_encrypted;
        }
        let guess = self.heuristics.iter().any(|beginning| name.starts_with(beginning.as_str()));
        if guess { self.on_heuristic } else { OnFinding::Infected }
    }
}
