//! Finding, showing and exporting what was deposited ("esibizione"), page by page.

use serde_json::{Value, json};

use crate::build;
use crate::entry::{Entry, Facts, MessageFacts, hex};
use crate::host::{Error, Failure, Host};
use crate::legal_time::LegalTime;
use crate::package::{Package, State};
use crate::store;

/// Results of one answer, after which it ends with the page.
const RESULTS_MAX: usize = 200;
/// Pages of one answer, and packages: each is a value that is read.
const PAGES_MAX: u32 = 400;
/// Octets of the results of one answer, after which it ends with the page: half of what an answer has.
const OCTETS_MAX: usize = 2 << 20;

/// What is looked for; everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// `YYYYMMDD`, the first legal day.
    pub since: Option<String>,
    /// `YYYYMMDD`, the last legal day.
    pub until: Option<String>,
    /// In the sender's address.
    pub from: Option<String>,
    /// In a recipient's address.
    pub to: Option<String>,
    /// In the subject.
    pub subject: Option<String>,
    /// The whole Message-ID, without angle brackets.
    pub message_id: Option<String>,
    /// The archive's name.
    pub id: Option<String>,
}

impl Terms {
    fn day_fits(&self, day: &str) -> bool {
        self.since.as_deref().is_none_or(|since| day >= since) && self.until.as_deref().is_none_or(|until| day <= until)
    }

    fn fit(&self, entry: &Entry) -> bool {
        let within = |wanted: &Option<String>, text: &str| {
            wanted.as_deref().is_none_or(|wanted| text.to_lowercase().contains(&wanted.to_lowercase()))
        };
        if self.id.as_deref().is_some_and(|id| id != entry.id) {
            return false;
        }
        let none = MessageFacts::default();
        let facts = match &entry.facts {
            Facts::Message(facts) => facts,
            Facts::Log(_) => &none,
        };
        let wanted_id = self.message_id.as_deref().map(|id| id.trim_matches(['<', '>']));
        let to = self.to.is_none() || facts.to.iter().any(|to| within(&self.to, to));
        within(&self.from, &facts.from)
            && to
            && within(&self.subject, &facts.subject)
            && wanted_id.is_none_or(|id| id == facts.message_id)
    }
}

/// What was found, and where to go on if it is not all.
pub struct Found {
    /// Entries with their packages.
    pub found: Vec<(Package, Entry)>,
    /// Goes on from there.
    pub more: Option<String>,
}

/// Walks the packages of a mailbox (`""`: of the logs) from `place`, a page at a time.
pub fn walk<H: Host>(host: &H, mailbox: &str, terms: &Terms, place: Option<&str>) -> Result<Found, Failure> {
    let (mut found, mut octets) = (Vec::new(), 0);
    let mut left = PAGES_MAX;
    let (mut after, mut first_page) = begin(terms, place);
    let mut resumed = place.and_then(|place| place.split_once('/')).map(|(id, _)| id.to_owned());
    loop {
        let ids = match resumed.take() {
            Some(id) => vec![id],
            None => store::packages(host, mailbox, after.as_deref(), 100)?,
        };
        if ids.is_empty() {
            return Ok(Found { found, more: None });
        }
        for id in ids {
            let day = id.get(..8).unwrap_or_default().to_owned();
            if terms.until.as_deref().is_some_and(|until| day.as_str() > until) {
                return Ok(Found { found, more: None });
            }
            let pages = match store::package(host, &id)? {
                Some(package) if terms.day_fits(&day) && package.mailbox == mailbox => Some(package),
                _ => None,
            };
            left = left.saturating_sub(1);
            if let Some(package) = pages {
                for page in first_page..package.pages {
                    if left == 0 || found.len() >= RESULTS_MAX || octets >= OCTETS_MAX {
                        return Ok(Found { found, more: Some(format!("{id}/{page}")) });
                    }
                    left -= 1;
                    let mut entries = store::page(host, &id, page)?;
                    entries.retain(|entry| terms.fit(entry));
                    octets += entries.iter().map(|entry| entry.weight() as usize).sum::<usize>();
                    found.extend(entries.into_iter().map(|entry| (package.clone(), entry)));
                }
            }
            first_page = 0;
            after = Some(id);
            if left == 0 {
                return Ok(Found { found, more: after.map(|id| format!("{id}/{}", u32::MAX)) });
            }
        }
    }
}

/// Before the first package of interest, and the first page of the first.
fn begin(terms: &Terms, place: Option<&str>) -> (Option<String>, u32) {
    match place.and_then(|place| place.split_once('/')) {
        Some((id, page)) => (Some(id.to_owned()), page.parse().unwrap_or(0)),
        // No id is in order before its day alone.
        None => (terms.since.clone(), 0),
    }
}

/// A result for people and programs.
pub fn told<H: Host>(host: &H, package: &Package, entry: &Entry) -> Result<Value, Failure> {
    let kept = LegalTime::of(host, entry.kept)?.iso();
    let mut value = json!({
        "id": entry.id, "package": package.id, "deposited": package.state == State::Confirmed,
        "kept": kept, "size": entry.size, "sha256": entry.sha256,
    });
    let facts = match &entry.facts {
        Facts::Message(facts) => json!({
            "direction": facts.direction, "kind": facts.kind, "from": facts.from, "to": facts.to,
            "subject": facts.subject, "message-id": facts.message_id, "date": facts.date,
        }),
        Facts::Log(facts) => json!({
            "log": facts.log, "since": LegalTime::of(host, facts.since)?.iso(),
            "until": LegalTime::of(host, facts.until)?.iso(),
        }),
    };
    if let (Some(value), Some(facts)) = (value.as_object_mut(), facts.as_object()) {
        value.extend(facts.clone());
    }
    Ok(value)
}

/// A package for people and programs.
pub fn told_package<H: Host>(host: &H, package: &Package) -> Result<Value, Failure> {
    Ok(json!({
        "package": package.id, "mailbox": package.mailbox, "state": package.state.word(),
        "since": LegalTime::of(host, package.since)?.iso(), "created": LegalTime::of(host, package.created)?.iso(),
        "files": package.count, "size": package.size, "sha256": package.sha256,
        "index-sha256": package.index_sha256, "target": package.target, "path": package.path,
        "attempt": package.attempt, "code": package.code, "answer": package.said,
    }))
}

/// The bytes of an entry, and from where: the archive as long as it has them, then the target. They are compared with the
/// digest that was stamped.
pub fn bytes<H: Host>(host: &H, package: &Package, entry: &Entry) -> Result<(H::Content, &'static str), String> {
    let mut content = host.content();
    let local = match &entry.facts {
        Facts::Message(_) => match host.open(&package.mailbox, &entry.id) {
            Ok(message) => host.append_message(&mut content, &message).map(|()| "archive"),
            Err(error) => Err(error),
        },
        Facts::Log(_) => host.log_file(&entry.id).map(|file| {
            content = file;
            "log"
        }),
    };
    let from = match local {
        Ok(from) => from,
        // What is damaged here is what was preserved for.
        Err(error) if error == Error::NotFound || package.state == State::Confirmed => {
            let got = host.fetch(&package.target, &package.place(), entry.offset, entry.size);
            content = got.map_err(|error| error.during("the preservation system").words().to_owned())?;
            "target"
        }
        Err(error) => return Err(error.during("the archive").words().to_owned()),
    };
    let sha256 = host.sha256(&content).map_err(|error| error.during("digest").words().to_owned())?;
    if host.length(&content) != entry.size || hex(&sha256) != entry.sha256 {
        return Err(format!("what the {from} gives is not what was deposited: its digest is {}", hex(&sha256)));
    }
    Ok((content, from))
}

/// The bytes of a whole package: from the target, or made again where it is not deposited yet.
pub fn package_bytes<H: Host>(host: &H, package: &Package) -> Result<H::Content, String> {
    let words = |error: Error| error.during("the preservation system").words().to_owned();
    let content = if package.state == State::Confirmed {
        host.fetch(&package.target, &package.place(), 0, package.size).map_err(words)?
    } else {
        let mut entries = store::entries(host, package).map_err(|failure| failure.words().to_owned())?;
        match build::build(host, &mut package.clone(), &mut entries) {
            Ok(built) => built.content,
            Err(build::Trouble::TooMuch(why)) => return Err(why),
            Err(build::Trouble::Gone(id)) => return Err(format!("{id} is in the archive no more")),
            Err(build::Trouble::Damaged { why, .. }) => return Err(why),
            Err(build::Trouble::Failed(failure)) => return Err(failure.words().to_owned()),
        }
    };
    let sha256 = hex(&host.sha256(&content).map_err(words)?);
    if sha256 != package.sha256 {
        return Err(format!("what was found is not what was deposited: its digest is {sha256}"));
    }
    Ok(content)
}
