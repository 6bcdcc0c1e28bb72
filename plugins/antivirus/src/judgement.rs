//! From what the scanners said to one judgement: the worst of all answers.

use crate::host::{Error, Report};
use crate::settings::{OnFinding, Settings};

/// A finding with the scanner's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The scanner's name of it.
    pub name: String,
    /// The operator's name of the scanner.
    pub scanner: String,
    /// What the scanner says of its signatures.
    pub signatures: Option<String>,
}

/// What is known of the message after all answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Every content was called clean; with the signatures by which, and what was found and let pass.
    Clean {
        /// One for each scanner that says something of them.
        signatures: Vec<String>,
        /// A finding that the settings let pass.
        passed: Option<Finding>,
    },
    /// A scanner knows what it is.
    Infected(Finding),
    /// Found, and to be kept.
    Keep(Finding),
    /// Found, and to be looked at later.
    Later(Finding),
    /// It cannot be scanned, now or later: why.
    Unscannable(String),
    /// Not every answer is there: why.
    Unknown(String),
}

/// One answer: the scanner and what it said.
pub type Answer = (String, Result<Report, Error>);

/// The judgement on all answers. An infection needs one scanner, whatever the others say or do not say; everything
/// else needs every answer.
pub fn of(answers: &[Answer], settings: &Settings) -> Judgement {
    let findings: Vec<(OnFinding, Finding)> = answers.iter().filter_map(|answer| finding(answer, settings)).collect();
    let worst = |kind| findings.iter().find(|(found, _)| *found == kind).map(|(_, finding)| finding.clone());
    if let Some(finding) = worst(OnFinding::Infected) {
        return Judgement::Infected(finding);
    }
    let mut too_large = None;
    for (scanner, said) in answers {
        match said {
            Ok(_) => {}
            Err(Error::TooLarge(why)) => too_large = Some(why.clone()),
            Err(Error::Unavailable(why)) => return Judgement::Unknown(why.clone()),
            Err(Error::Other(why)) => return Judgement::Unknown(format!("scanner '{scanner}': {why}")),
        }
    }
    if let Some(why) = too_large {
        return Judgement::Unscannable(why);
    }
    if let Some(finding) = worst(OnFinding::Quarantine) {
        return Judgement::Keep(finding);
    }
    if let Some(finding) = worst(OnFinding::Defer) {
        return Judgement::Later(finding);
    }
    if answers.is_empty() {
        // No answer at all is not one that says «clean».
        return Judgement::Unknown("no scanner was asked".into());
    }
    Judgement::Clean { signatures: signatures(answers), passed: worst(OnFinding::Pass) }
}

fn finding((scanner, said): &Answer, settings: &Settings) -> Option<(OnFinding, Finding)> {
    let report = said.as_ref().ok()?;
    let name = report.threat.clone()?;
    let kind = settings.finding(&name);
    Some((kind, Finding { name, scanner: scanner.clone(), signatures: of_report(report) }))
}

fn of_report(report: &Report) -> Option<String> {
    let said: Vec<&str> = [&report.version, &report.signatures].into_iter().flatten().map(String::as_str).collect();
    (!said.is_empty()).then(|| said.join(" "))
}

fn signatures(answers: &[Answer]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for (_, said) in answers {
        let Some(signatures) = said.as_ref().ok().and_then(of_report) else { continue };
        if !all.contains(&signatures) {
            all.push(signatures);
        }
    }
    all
}
