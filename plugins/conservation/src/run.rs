//! What an operator asks for: deposit now what is to be deposited, and again what failed. In steps, each a commit of its
//! own, so that whoever ends it half-way loses nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::build::{self, Trouble};
use crate::entry::{Entry, Facts};
use crate::host::{Error, Event, Failure, Host, Level};
use crate::logs;
use crate::pack::{self, Age, Packed};
use crate::package::{Package, State};
use crate::settings::Settings;
use crate::store;

/// Reasons that an answer names; more are counted.
const REASONS_MAX: usize = 50;
/// Mailboxes that are looked at in one step.
const MAILBOXES_AT_ONCE: u32 = 200;

/// Queues a package again that was refused or had expired: the same bytes, if they can be made again. The error says why
/// it was not done.
pub fn resend<H: Host>(host: &H, settings: &Settings, id: &str) -> Result<Result<(), String>, Failure> {
    let Some(mut package) = store::package(host, id)? else { return Ok(Err("there is no such package".into())) };
    if !matches!(package.state, State::Refused | State::Expired) {
        return Ok(Err(format!("it is {}", package.state.word())));
    }
    let mut entries = Vec::new();
    for entry in store::entries(host, &package)? {
        match whole(host, &package, &entry)? {
            Ok(()) => entries.push(entry),
            Err(why) => left_out(host, &package, &entry.id, &why)?,
        }
    }
    if entries.is_empty() {
        store::give_up(host, &package, settings.keep_days)?;
        return Ok(Err("nothing of it can be deposited: it is given up, and what is mended goes into another".into()));
    }
    let was = package.clone();
    package.count = entries.len() as u32;
    if (package.target.as_str(), package.protocol) != (settings.target.as_str(), settings.protocol) {
        (package.target, package.protocol) = (settings.target.clone(), settings.protocol);
        package.path = Package::path_of(settings, &package.mailbox, id, package.revision);
    }
    let content = match build::build(host, &mut package, &mut entries) {
        Ok(built) => built.content,
        Err(trouble) => return not_built(trouble),
    };
    if package.sha256 != was.sha256 {
        // Under the name of the first there may be the first: this one is another.
        package.revision += 1;
        package.path = Package::path_of(settings, &package.mailbox, id, package.revision);
    }
    package.attempt += 1;
    (package.state, package.since) = (State::Queued, host.now());
    match pack::send(host, settings, package, &entries, &content) {
        Ok(()) => Ok(Ok(())),
        Err(trouble) => not_built(trouble),
    }
}

fn not_built(trouble: Trouble) -> Result<Result<(), String>, Failure> {
    match trouble {
        Trouble::TooMuch(why) => Ok(Err(why)),
        Trouble::Gone(what) => Err(Failure::Transient(format!("{what} left meanwhile"))),
        Trouble::Damaged { why, .. } => Err(Failure::Transient(why)),
        Trouble::Failed(failure) => Err(failure),
    }
}

/// Whether a file is what it was when it was packed: what was damaged since must not be deposited under the digest that it
/// had, and leave the archive by that.
fn whole<H: Host>(host: &H, package: &Package, entry: &Entry) -> Result<Result<(), String>, Failure> {
    match &entry.facts {
        Facts::Message(_) => Ok(pack::opened(host, &package.mailbox, &entry.id, entry.size, &entry.sha256).map(drop)),
        Facts::Log(_) => match host.log_file(&entry.id) {
            Ok(_) => Ok(Ok(())),
            Err(Error::NotFound) => Ok(Err("it is in the log no more".into())),
            Err(Error::Other(why)) => Ok(Err(why)),
            Err(error) => Err(error.during("a log file")),
        },
    }
}

/// A file of a package that is not deposited with it.
fn left_out<H: Host>(host: &H, package: &Package, item: &str, why: &str) -> Result<(), Failure> {
    host.log(Level::Error, &format!("{item} of package {} is not deposited: {why}", package.id));
    let details = vec![("item", item.to_owned()), ("reason", why.to_owned())];
    let (mailbox, package) = (package.mailbox.clone(), package.id.clone());
    let event = Event { kind: "conservation-failed", mailbox, package, details, ..Event::default() };
    host.record(&event).map_err(|error| error.during("message log"))
}

/// Where a run stands: what comes back with the argument `continue`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Course {
    phase: Phase,
    /// Behind which package, or which mailbox, it goes on.
    after: Option<String>,
    /// The mailbox in work.
    mailbox: Option<String>,
    /// Whether its first package was tried.
    begun: bool,
    packages: u64,
    files: u64,
    resent: u64,
    not_done: u64,
    reasons: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Phase {
    #[default]
    Resend,
    Logs,
    Mailboxes,
    Done,
}

impl Course {
    fn cannot(&mut self, what: &str, why: &str) {
        self.not_done += 1;
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push((what.to_owned(), why.to_owned()));
        }
    }

    fn enter(&mut self, phase: Phase) {
        (self.phase, self.after, self.mailbox, self.begun) = (phase, None, None, false);
    }

    fn took(&mut self, packed: Packed, what: &str) -> bool {
        match packed {
            Packed::Package { count, more, .. } => {
                self.packages += 1;
                self.files += u64::from(count);
                more
            }
            Packed::Stuck => {
                self.cannot(what, "some messages cannot be packed: see status");
                true
            }
            Packed::Waits(why) => {
                self.cannot(what, &why);
                false
            }
            Packed::Nothing => false,
        }
    }
}

/// What a run is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only this mailbox.
    pub mailbox: Option<String>,
    /// Whatever its age (CON-08).
    pub all: bool,
}

/// One step of a run.
pub fn step<H: Host>(host: &H, settings: &Settings, wanted: &Wanted, mut course: Course) -> Result<Value, Failure> {
    match course.phase {
        Phase::Resend => resend_one(host, settings, wanted, &mut course)?,
        Phase::Logs => {
            let packed = logs::pack(host, settings)?;
            if !course.took(packed, "logs") {
                course.enter(Phase::Mailboxes);
            }
        }
        Phase::Mailboxes => pack_one(host, settings, wanted, &mut course)?,
        Phase::Done => {}
    }
    let reasons: Vec<Value> = course.reasons.iter().map(|(what, why)| json!({ "what": what, "why": why })).collect();
    let mut answer = json!({
        "packages": course.packages, "files": course.files, "resent": course.resent,
        "not-done": course.not_done, "reasons": reasons,
    });
    if course.phase != Phase::Done {
        let at = course.mailbox.as_deref().or(course.after.as_deref()).unwrap_or("");
        answer["progress"] = json!(format!("{} packages, {} files queued {at}", course.packages, course.files));
        answer["more"] = json!(true);
        let text = serde_json::to_string(&course).map_err(|error| Failure::Permanent(error.to_string()))?;
        answer["continue"] = json!(text);
    }
    Ok(answer)
}

fn resend_one<H: Host>(host: &H, settings: &Settings, wanted: &Wanted, course: &mut Course) -> Result<(), Failure> {
    loop {
        let open = store::open(host, wanted.mailbox.as_deref(), course.after.as_deref(), MAILBOXES_AT_ONCE)?;
        for name in &open {
            course.after = Some(name.clone());
            let id = name.rsplit_once('/').map_or(name.as_str(), |(_, id)| id);
            let failed = |package: &Package| matches!(package.state, State::Refused | State::Expired);
            if store::package(host, id)?.as_ref().is_some_and(failed) {
                match resend(host, settings, id)? {
                    Ok(()) => course.resent += 1,
                    Err(why) => course.cannot(id, &why),
                }
                return Ok(());
            }
        }
        if open.len() < MAILBOXES_AT_ONCE as usize {
            course.enter(if wanted.mailbox.is_some() { Phase::Mailboxes } else { Phase::Logs });
            return Ok(());
        }
    }
}

fn pack_one<H: Host>(host: &H, settings: &Settings, wanted: &Wanted, course: &mut Course) -> Result<(), Failure> {
    let age = if wanted.all { Age::All } else { Age::Settings };
    let mailbox = match (&course.mailbox, &wanted.mailbox) {
        (Some(mailbox), _) => mailbox.clone(),
        (None, Some(_)) if course.after.is_some() => {
            course.enter(Phase::Done);
            return Ok(());
        }
        (None, Some(mailbox)) => mailbox.clone(),
        (None, None) => match next_mailbox(host, course)? {
            Some(mailbox) => mailbox,
            None => return Ok(()),
        },
    };
    if !course.begun
        && let Err(why) = pack::is_on(host, &mailbox)?
    {
        if wanted.mailbox.is_some() || why.contains("CON-02") {
            course.cannot(&mailbox, &why);
        }
        (course.after, course.mailbox) = (Some(mailbox), None);
        return Ok(());
    }
    let packed = pack::pack(host, settings, &mailbox, age, !course.begun)?;
    let more = course.took(packed, &mailbox);
    course.begun = more;
    (course.after, course.mailbox) = if more { (course.after.take(), Some(mailbox)) } else { (Some(mailbox), None) };
    Ok(())
}

/// The next mailbox of the archive with the service; enters the last phase where there is none.
fn next_mailbox<H: Host>(host: &H, course: &mut Course) -> Result<Option<String>, Failure> {
    let found = host.mailboxes(course.after.as_deref(), MAILBOXES_AT_ONCE).map_err(|error| error.during("archive"))?;
    for mailbox in &found {
        match pack::is_on(host, mailbox)? {
            Ok(()) => return Ok(Some(mailbox.clone())),
            Err(why) if why.contains("CON-02") => course.cannot(mailbox, &why),
            Err(_) => {}
        }
        course.after = Some(mailbox.clone());
    }
    if found.len() < MAILBOXES_AT_ONCE as usize {
        course.enter(Phase::Done);
    }
    Ok(None)
}
