//! How a deposit ended. In the step that has the confirmation, and only there, messages leave the archive.

use crate::entry::Facts;
use crate::host::{Error, Failure, Host, Level};
use crate::pack;
use crate::package::{Package, State};
use crate::receipt;
use crate::settings::{Confirmation, Settings};
use crate::space;
use crate::store;

/// What the outbox says; the words are a stranger's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The key that the deposit was queued under.
    pub key: String,
    /// `done`, `refused` or `expired`.
    pub status: String,
    /// The target's code.
    pub code: Option<u32>,
    /// Its words.
    pub text: String,
    /// The body of its answer.
    pub body: Vec<u8>,
}

/// A deposit ended.
pub fn answer<H: Host>(host: &H, settings: &Settings, answer: &Answer) -> Result<(), Failure> {
    let known = match Package::id_of(&answer.key) {
        Some(id) => store::package(host, id)?,
        None => None,
    };
    // One of a package that is confirmed, or of an attempt before the present one: nothing changes by it.
    let Some(mut package) = known.filter(|p| p.state != State::Confirmed && p.key() == answer.key) else {
        host.log(Level::Warn, &format!("an answer that nothing waits for: {} ended as {}", answer.key, answer.status));
        return Ok(());
    };
    package.code = answer.code;
    package.said = answer.text[..answer.text.floor_char_boundary(512)].to_owned();
    package.since = host.now();
    package.receipt_pages = store::put_receipt(host, &package.id, &answer.body, settings.keep_days)?;
    match answer.status.as_str() {
        "done"
            if settings.confirmation() == Confirmation::Digest
                && !receipt::holds_digest(&answer.body, &package.sha256) =>
        {
            package.said = format!("it answered without the digest of the package: {}", package.said);
            failed(host, settings, package, State::Refused)
        }
        "done" => confirmed(host, settings, package),
        "expired" => failed(host, settings, package, State::Expired),
        _ => failed(host, settings, package, State::Refused),
    }
}

fn confirmed<H: Host>(host: &H, settings: &Settings, mut package: Package) -> Result<(), Failure> {
    package.state = State::Confirmed;
    let entries = store::entries(host, &package)?;
    for entry in entries.iter().filter(|entry| matches!(entry.facts, Facts::Message(_))) {
        match host.release(&package.mailbox, &entry.id) {
            // Somebody else let it go: it is deposited, and that is what counts.
            Ok(()) | Err(Error::NotFound) => {}
            Err(error) => return Err(error.during("archive")),
        }
    }
    // From now on the entries are kept as long as the contract says, and no longer.
    package.pages = store::put_entries(host, &package.id, &entries, settings.keep_days)?;
    store::put(host, &package, settings.keep_days)?;
    if !package.mailbox.is_empty() {
        space::grown(host, settings, &package)?;
    }
    let mut details = said(&package);
    details.push(("files", package.count.to_string()));
    details.push(("attempt", package.attempt.to_string()));
    pack::record(host, "conservation-deposit", &package, details)
}

fn failed<H: Host>(host: &H, settings: &Settings, mut package: Package, state: State) -> Result<(), Failure> {
    package.state = state;
    store::put(host, &package, settings.keep_days)?;
    let (id, word, words) = (&package.id, state.word(), &package.said);
    let next = match state {
        State::Expired => "it is tried again by the next daily run",
        _ => "mend what it says, then: sigillo conservation run",
    };
    host.log(Level::Error, &format!("the deposit of package {id} is {word}: {words}; {next}"));
    let kind = if state == State::Expired { "conservation-expired" } else { "conservation-refused" };
    pack::record(host, kind, &package, said(&package))
}

fn said(package: &Package) -> Vec<(&'static str, String)> {
    let mut details = vec![("sha256", package.sha256.clone()), ("target", package.target.clone())];
    details.push(("path", package.path.clone()));
    details.extend(package.code.map(|code| ("code", code.to_string())));
    if !package.said.is_empty() {
        details.push(("answer", package.said.clone()));
    }
    details
}
