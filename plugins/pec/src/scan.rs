//! What the provider's scanner said of the message in hand ([PEC §5.4]): a fact of a step before this one.

use crate::header;
use crate::host::Failure;
use crate::step::Step;

/// Most characters of a threat's name. Ours: it stands in texts and in `errore-esteso`.
const NAME_MAX: usize = 120;
/// What stands for a name that the scanner did not say.
const UNNAMED: &str = "non identificato";

/// What the scanner said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scan {
    /// This provider runs no scanner.
    NotAsked,
    /// No threat was found.
    Clean,
    /// This threat was found.
    Infected(String),
}

impl Scan {
    /// Of the message in hand. A scanner that should have run and said nothing that can be understood is a failure
    /// that may pass: nothing unscanned goes on.
    pub fn of(step: &Step) -> Result<Scan, Failure> {
        let Some(scanner) = &step.settings.virus_check else { return Ok(Scan::NotAsked) };
        let verdict = step.host.fact(&format!("{scanner}.verdict"));
        match verdict.as_deref() {
            Some("clean") => Ok(Scan::Clean),
            Some("infected") => Ok(Scan::Infected(name(step, scanner))),
            Some(other) => Err(Failure::Transient(format!("{scanner} says '{}'", header::one_line(other)))),
            None => Err(Failure::Transient(format!("{scanner} said nothing: does its step stand before this one?"))),
        }
    }

    /// The threat, if one was found.
    pub fn threat(&self) -> Option<&str> {
        match self {
            Scan::Infected(name) => Some(name),
            Scan::NotAsked | Scan::Clean => None,
        }
    }
}

fn name(step: &Step, scanner: &str) -> String {
    let name = step.host.fact(&format!("{scanner}.name")).unwrap_or_default();
    let name: String = header::one_line(&name).chars().take(NAME_MAX).collect();
    if name.is_empty() { UNNAMED.to_owned() } else { name }
}
