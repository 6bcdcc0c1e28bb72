//! Mail that comes (`reception`), and its way into a folder (`delivery`).
//!
//! At reception nothing is changed: a step after this one may sign or wrap the message. What the engines said waits in
//! `score/ID` for the delivery of each recipient, where the message is marked and filed. Certified mail has no score, and
//! is not marked even if it had one.

use crate::certified::{self, Kind};
use crate::host::{Error, Event, Host};
use crate::marks;
use crate::rating::{Rated, Rating, rate};
use crate::score::Band;
use crate::settings::{JunkFrom, Settings};
use crate::traffic;

/// Days that a score waits: longer than mail is tried.
const SCORE_DAYS: u32 = 7;
/// Octets of a stranger's subject or id in an event: the log takes events of 64 KiB, and one that it does not take would
/// end the step, so that whoever sends a long subject would be rid of the mark.
const WORDS_MAX: usize = 1024;
/// Recipients that an event names; of more it says how many there were.
const NAMED_MAX: usize = 100;
/// Marks a message as unwanted for mail clients (the registry of IMAP keywords has it).
const KEYWORD: &str = "$Junk";

/// The `reception` stage.
pub fn receive<H: Host>(host: &H, settings: &Settings) -> Result<(), Error> {
    // What this server itself makes (receipts, reports, alerts) is not rated.
    if host.property("made.by").is_some() {
        return Ok(());
    }
    let facts = host.facts();
    let rated = rated(host, settings);
    let mut unwanted = false;
    match &rated {
        Rated::Certified => host.annotate("class", "certified")?,
        Rated::Unknown(problem) => note_problem(host, problem.as_deref())?,
        Rated::Rating(rating, problem) => {
            note_problem(host, problem.as_deref())?;
            annotate(host, rating)?;
            if let Some(band) = Band::of(rating.percent, &settings.bands) {
                unwanted = true;
                host.annotate("band", band.word())?;
                host.set(&score_key(&facts.id), write(rating).as_bytes(), SCORE_DAYS)?;
                record(host, rating, band)?;
            }
        }
    }
    traffic::came(host, settings, &facts, unwanted)
}

/// The `delivery` stage.
pub fn deliver<H: Host>(host: &H, settings: &Settings) -> Result<(), Error> {
    let facts = host.facts();
    let rating = host.get(&score_key(&facts.id))?.as_deref().and_then(read);
    let found = rating.and_then(|rating| Band::of(rating.percent, &settings.bands).map(|band| (rating, band)));
    if found.is_none() && host.header_count(&settings.header) == 0 {
        return Ok(());
    }
    // AS-02: whatever was noted, a message that a provider certifies stays as it is.
    if certified::kind(host)? == Kind::Certified {
        return Ok(());
    }
    marks::remove(host, &settings.header)?;
    let Some((rating, band)) = found else { return Ok(()) };
    let (word, italian, percent) = (band.word(), band.italian(), rating.percent.floor());
    let value = format!("{italian} ({word}), {percent}%; engine={}", rating.engine);
    host.prepend_header(&settings.header, &value)?;
    let recipient = facts.recipients.first().map_or("", String::as_str);
    let chosen = host.mailbox_setting(recipient, JunkFrom::SETTING)?;
    let junk_from = chosen.as_deref().and_then(JunkFrom::parse).unwrap_or(settings.junk_from);
    if junk_from.takes(band) {
        host.file_into(&settings.junk_folder)?;
        host.add_flag(KEYWORD)?;
    }
    Ok(())
}

/// Rates the message in hand; whatever goes wrong with that, the message is counted and goes on unrated (AS-08).
pub fn rated<H: Host>(host: &H, settings: &Settings) -> Rated {
    rate(host, settings).unwrap_or_else(|error| Rated::Unknown(Some(error.words().to_owned())))
}

/// What is known of a message for the steps that follow.
pub fn annotate<H: Host>(host: &H, rating: &Rating) -> Result<(), Error> {
    host.annotate("percent", &format!("{:.1}", rating.percent))?;
    host.annotate("engine", rating.engine)?;
    if rating.symbols.is_empty() {
        return Ok(());
    }
    host.annotate("symbols", &rating.symbols.chars().take(500).collect::<String>())
}

/// AS-08: an engine that fails stops nothing; the log has that the message went on unrated.
pub fn note_problem<H: Host>(host: &H, problem: Option<&str>) -> Result<(), Error> {
    let Some(problem) = problem else { return Ok(()) };
    host.warn(&format!("not rated, or not by the scanner: {problem}"));
    host.record(&about(host, "spam-unrated", vec![("reason", problem.to_owned())]))
}

fn record<H: Host>(host: &H, rating: &Rating, band: Band) -> Result<(), Error> {
    let details = vec![
        ("band", band.word().to_owned()),
        ("percent", format!("{:.1}", rating.percent)),
        ("engine", rating.engine.to_owned()),
    ];
    host.record(&about(host, "spam", details))
}

fn about<H: Host>(host: &H, kind: &'static str, mut details: Vec<(&'static str, String)>) -> Event {
    let facts = host.facts();
    let mut recipients = facts.recipients;
    if recipients.len() > NAMED_MAX {
        details.push(("recipients", recipients.len().to_string()));
        recipients.truncate(NAMED_MAX);
    }
    Event {
        kind,
        message_id: begin(if facts.message_id.is_empty() { &facts.id } else { &facts.message_id }),
        sender: facts.sender,
        recipients,
        subject: begin(&facts.subject),
        details,
    }
}

fn begin(text: &str) -> String {
    let mut end = text.len().min(WORDS_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn score_key(id: &str) -> String {
    format!("score/{id}")
}

fn write(rating: &Rating) -> String {
    format!("{:.3} {}", rating.percent, rating.engine)
}

fn read(value: &[u8]) -> Option<Rating> {
    let (percent, engine) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    let engine = ["both", "scanner", "builtin"].into_iter().find(|known| *known == engine)?;
    let percent: f64 = percent.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))?;
    Some(Rating { percent, engine, symbols: String::new() })
}
