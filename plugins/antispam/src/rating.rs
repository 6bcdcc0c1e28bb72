//! How unwanted a message is, in the eyes of the engines that the settings name (AS-01).

use crate::certified;
use crate::host::{Error, Host};
use crate::learning;
use crate::model::Model;
use crate::score;
use crate::settings::Settings;
use crate::words;

/// What the engines say.
#[derive(Debug, Clone, PartialEq)]
pub struct Rating {
    /// Between 0 and 100.
    pub percent: f64,
    /// Who said so.
    pub engine: &'static str,
    /// The scanner's rules, its own words.
    pub symbols: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Rated {
    /// It is certified: nobody was asked.
    Certified,
    /// A rating, and why there is none of an engine that was asked, if so.
    Rating(Rating, Option<String>),
    /// No engine said anything: why, where that is a failure; none where the classifier has not learned enough.
    Unknown(Option<String>),
}

/// Rates the message in hand.
pub fn rate<H: Host>(host: &H, settings: &Settings) -> Result<Rated, Error> {
    let Some(octets) = certified::content(host, words::LOOKED_AT)? else { return Ok(Rated::Certified) };
    let mut problem = None;
    let scanned = match &settings.scanner {
        Some(scanner) if settings.engine.scans() => match host.scan(scanner, facts(host)) {
            Ok(report) => {
                let percent = score::percent_of_score(&report.protocol, report.score, report.threshold);
                Some((percent, report.symbols))
            }
            // AS-08: the message goes on without it.
            Err(error) => {
                problem = Some(error.words().to_owned());
                None
            }
        },
        _ => None,
    };
    let classified = match settings.engine.classifies() {
        true => classify(host, settings, &words::features(&octets))?,
        false => None,
    };
    Ok(match (scanned, classified) {
        (Some((scanned, symbols)), Some(classified)) => {
            let percent = score::together(scanned, classified);
            Rated::Rating(Rating { percent, engine: "both", symbols }, problem)
        }
        (Some((percent, symbols)), None) => Rated::Rating(Rating { percent, engine: "scanner", symbols }, problem),
        (None, Some(percent)) => Rated::Rating(Rating { percent, engine: "builtin", symbols: String::new() }, problem),
        (None, None) => Rated::Unknown(problem),
    })
}

/// What the classifier says; nothing as long as it has not learned enough.
fn classify<H: Host>(host: &H, settings: &Settings, features: &[u32]) -> Result<Option<f64>, Error> {
    let mut model = Model::of(learning::totals(host)?);
    if !model.totals.suffice(settings.minimum_lessons) || features.is_empty() {
        return Ok(None);
    }
    for shard in Model::shards_of(features) {
        let value = host.get(&learning::shard_key(shard))?;
        model.load(shard, value.as_deref());
    }
    Ok(Some(score::percent_of_log_odds(model.log_odds(features) + authentication(host))))
}

/// What the server found about the sender (RFC 8601), in odds. The words cannot be learned: they are gone when a user
/// refiles the message.
fn authentication<H: Host>(host: &H) -> f64 {
    let says = |method: &str, word: &str| host.property(&format!("auth.{method}")).is_some_and(|found| found == word);
    // Who breaks the sender's own rule lies about who he is; a rule that is kept says nothing, spammers keep theirs.
    let broken = if says("dmarc", "fail") { 1.5 } else { 0.0 };
    let foreign = if says("spf", "fail") { 0.5 } else { 0.0 };
    broken + foreign
}

fn facts<H: Host>(host: &H) -> Vec<(String, String)> {
    let known = host.facts();
    let mut facts = Vec::new();
    let mut tell = |name: &str, value: Option<String>| {
        let value = value.map(|value| value.chars().filter(|c| !c.is_control()).take(256).collect::<String>());
        facts.extend(value.filter(|value| !value.is_empty()).map(|value| (name.to_owned(), value)));
    };
    tell("ip", host.property("peer.ip"));
    tell("helo", host.property("peer.hello"));
    tell("from", Some(known.sender));
    for recipient in known.recipients.into_iter().take(1000) {
        tell("rcpt", Some(recipient));
    }
    tell("user", known.identity);
    tell("queue-id", Some(known.id));
    facts
}
