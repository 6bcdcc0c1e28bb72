//! One step: the contents to the scanners, the answers to a judgement, the judgement to what becomes of the message.

use crate::host::{Error, Event, Host, Verdict, View};
use crate::judgement::{self, Answer, Finding, Judgement};
use crate::settings::{Answers, OnInfected, OnUnscannable, Settings};
use crate::views;

/// Scans under way at once: what the contract allows.
pub const AT_ONCE: usize = 8;
/// Octets of the value of a fact: what the contract allows.
const FACT_MAX: usize = 512;

/// Runs the step. The error says why it cannot be known whether the message is clean.
pub fn run<H: Host>(host: &H, settings: &Settings) -> Result<Verdict, Error> {
    let judgement = match views::of(host, settings.views) {
        Ok(views) => judgement::of(&ask(host, settings, &views), settings),
        // A tree beyond the server's limits, or more contents than ours.
        Err(Error::TooLarge(why)) => Judgement::Unscannable(why),
        Err(error) => return Err(error),
    };
    match judgement {
        Judgement::Clean { signatures, passed } => {
            leave(host, "verdict", "clean")?;
            leave(host, "scanner", &settings.scanners.join(", "))?;
            leave(host, "signatures", &signatures.join(", "))?;
            if let Some(finding) = passed {
                leave(host, "passed", &finding.name)?;
            }
            Ok(Verdict::Continue)
        }
        Judgement::Infected(finding) => infected(host, settings, &finding),
        Judgement::Keep(finding) => {
            record(host, "virus-suspected", &finding)?;
            Ok(Verdict::Quarantine(format!("{} found by {}", finding.name, finding.scanner)))
        }
        Judgement::Later(finding) => Ok(Verdict::Defer(format!("Held back for a new look: {}", finding.name))),
        Judgement::Unscannable(why) => Ok(match settings.on_unscannable {
            OnUnscannable::Reject => Verdict::Reject(format!("Message cannot be scanned for viruses: {why}")),
            OnUnscannable::Quarantine => Verdict::Quarantine(format!("cannot be scanned: {why}")),
            OnUnscannable::Defer => Verdict::Defer(format!("Message cannot be scanned for viruses: {why}")),
        }),
        Judgement::Unknown(why) => Err(Error::Unavailable(why)),
    }
}

fn infected<H: Host>(host: &H, settings: &Settings, finding: &Finding) -> Result<Verdict, Error> {
    record(host, "virus", finding)?;
    Ok(match settings.on_infected {
        OnInfected::Reject => Verdict::Reject(format!("Message refused, virus found: {}", finding.name)),
        OnInfected::Quarantine => Verdict::Quarantine(format!("virus {} found by {}", finding.name, finding.scanner)),
        OnInfected::Annotate => {
            leave(host, "verdict", "infected")?;
            leave(host, "name", &finding.name)?;
            leave(host, "scanner", &finding.scanner)?;
            leave(host, "signatures", finding.signatures.as_deref().unwrap_or_default())?;
            Verdict::Continue
        }
    })
}

/// The message log has it whatever becomes of the message (LOG-04).
fn record<H: Host>(host: &H, kind: &'static str, finding: &Finding) -> Result<(), Error> {
    let mut details = vec![("name", finding.name.clone()), ("scanner", finding.scanner.clone())];
    details.extend(finding.signatures.clone().map(|signatures| ("signatures", signatures)));
    details.push(("sha256", host.sha256()?));
    host.record(&Event { kind, details })
}

/// An empty fact is none.
fn leave<H: Host>(host: &H, name: &str, value: &str) -> Result<(), Error> {
    let end = (0..=value.len().min(FACT_MAX)).rev().find(|end| value.is_char_boundary(*end)).unwrap_or_default();
    if end == 0 { Ok(()) } else { host.annotate(name, &value[..end]) }
}

/// Every answer that counts.
fn ask<H: Host>(host: &H, settings: &Settings, views: &[View]) -> Vec<Answer> {
    match settings.answers {
        Answers::All => {
            let jobs = views.iter().flat_map(|view| settings.scanners.iter().map(move |scanner| (scanner, view)));
            answers(host, &jobs.collect::<Vec<_>>())
        }
        Answers::First => first_answers(host, settings, views),
    }
}

/// For each view the answer of the first scanner that has one; where none has, the last refusal.
fn first_answers<H: Host>(host: &H, settings: &Settings, views: &[View]) -> Vec<Answer> {
    let mut best: Vec<Option<Answer>> = vec![None; views.len()];
    for scanner in &settings.scanners {
        let open: Vec<usize> = (0..views.len()).filter(|index| !is_answered(&best[*index])).collect();
        let jobs: Vec<_> = open.iter().map(|index| (scanner, &views[*index])).collect();
        for (index, answer) in open.into_iter().zip(answers(host, &jobs)) {
            best[index] = Some(answer);
        }
    }
    let none = || (String::new(), Err(Error::Other("was not asked".into())));
    best.into_iter().map(|answer| answer.unwrap_or_else(none)).collect()
}

fn is_answered(answer: &Option<Answer>) -> bool {
    matches!(answer, Some((_, Ok(_))))
}

/// Runs the jobs, [`AT_ONCE`] at a time; one answer for each, in their order.
fn answers<H: Host>(host: &H, jobs: &[(&String, &View)]) -> Vec<Answer> {
    let mut said = Vec::with_capacity(jobs.len());
    for batch in jobs.chunks(AT_ONCE) {
        let scans: Vec<_> = batch.iter().map(|(scanner, view)| (scanner, host.start(scanner, view))).collect();
        for (scanner, scan) in scans {
            said.push(((*scanner).clone(), scan.and_then(|scan| host.wait(scan))));
        }
    }
    said
}
