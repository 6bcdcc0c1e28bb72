//! `sigillo conservation OPERATION`: status, run, search, show, export.

use serde_json::{Value, json};

use crate::access::{self, Asker};
use crate::exhibit::{self, Terms, told, told_package};
use crate::host::{Failure, Host};
use crate::legal_time::parse_day;
use crate::pack;
use crate::run::{self, Wanted};
use crate::settings::Settings;
use crate::status;
use crate::store;

/// Octets of an argument.
const ARGUMENT_MAX: usize = 4096;
/// Octets of a receipt that an answer shows.
const RECEIPT_SHOWN_MAX: usize = 64 * 1024;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Name of the operation.
    pub name: String,
    /// Who asks.
    pub actor: String,
    /// By name.
    pub arguments: Vec<(String, String)>,
}

impl Question {
    fn argument(&self, name: &str) -> Option<&str> {
        let given = self.arguments.iter().find(|(given, _)| given == name).map(|(_, value)| value.trim());
        given.filter(|value| !value.is_empty())
    }

    fn wanted(&self, name: &str) -> Result<&str, Failure> {
        self.argument(name).ok_or_else(|| wrong(&format!("'{}' needs {name}=…", self.name)))
    }

    fn mailbox(&self) -> Result<String, Failure> {
        Ok(self.wanted("mailbox")?.to_lowercase())
    }

    fn asker(&self) -> Asker {
        Asker { actor: self.actor.clone(), on_behalf: self.argument("as").map(str::to_owned) }
    }
}

/// What comes back.
pub struct Answer<H: Host> {
    /// A JSON object.
    pub value: Value,
    /// For the file of `--out`.
    pub output: Option<H::Content>,
}

fn plain<H: Host>(value: Value) -> Result<Answer<H>, Failure> {
    Ok(Answer { value, output: None })
}

fn wrong(words: &str) -> Failure {
    Failure::Permanent(words.to_owned())
}

/// Answers.
pub fn answer<H: Host>(host: &H, settings: &Settings, question: &Question) -> Result<Answer<H>, Failure> {
    // The course of a run comes back as it went out, and is longer.
    let long = question.arguments.iter().any(|(name, value)| name != "continue" && value.len() > ARGUMENT_MAX);
    if long {
        return Err(wrong(&format!("an argument has at most {ARGUMENT_MAX} octets")));
    }
    match question.name.as_str() {
        "status" => show_status(host, settings, question),
        "run" => start_run(host, settings, question),
        "search" => search(host, question),
        "show" => show(host, question),
        "export" => export(host, question),
        other => Err(wrong(&format!("there is no operation '{other}'"))),
    }
}

/// Lets nobody pass who may not; an attempt is noted like an access.
enum Door {
    Open(&'static str),
    Closed(Value),
}

fn door<H: Host>(host: &H, operation: &'static str, mailbox: &str, asker: &Asker) -> Result<Door, Failure> {
    match access::role(host, mailbox, asker)? {
        Ok(role) => Ok(Door::Open(role.word())),
        Err(why) => {
            access::note(host, operation, mailbox, asker, "nobody", vec![("denied", why.clone())])?;
            Ok(Door::Closed(json!({ "denied": why, "valid": false })))
        }
    }
}

fn show_status<H: Host>(host: &H, settings: &Settings, question: &Question) -> Result<Answer<H>, Failure> {
    let asker = question.asker();
    let Some(mailbox) = question.argument("mailbox").map(str::to_lowercase) else {
        if asker.on_behalf.is_some() {
            return Err(wrong("the status of all mailboxes is the administrator's; name one with mailbox=…"));
        }
        return plain(status::status(host, settings, None)?);
    };
    match door(host, "status", &mailbox, &asker)? {
        Door::Closed(refusal) => plain(refusal),
        Door::Open(role) => {
            access::note(host, "status", &mailbox, &asker, role, Vec::new())?;
            plain(status::status(host, settings, Some(&mailbox))?)
        }
    }
}

fn start_run<H: Host>(host: &H, settings: &Settings, question: &Question) -> Result<Answer<H>, Failure> {
    let wanted = Wanted {
        mailbox: question.argument("mailbox").map(str::to_lowercase),
        all: match question.argument("all") {
            None | Some("no") => false,
            Some("yes") => true,
            Some(other) => return Err(wrong(&format!("all={other}: yes or no"))),
        },
    };
    if wanted.all && wanted.mailbox.is_none() {
        return Err(wrong("all=yes deposits content of any age: name the mailbox with mailbox=…"));
    }
    let course = match question.argument("continue") {
        Some(text) => serde_json::from_str(text).map_err(|error| wrong(&format!("continue: {error}")))?,
        None => {
            let mailbox = wanted.mailbox.clone().unwrap_or_default();
            let what = vec![("all", if wanted.all { "yes" } else { "no" }.to_owned())];
            access::note(host, "run", &mailbox, &question.asker(), "administrator", what)?;
            run::Course::default()
        }
    };
    plain(run::step(host, settings, &wanted, course)?)
}

fn terms(question: &Question) -> Result<Terms, Failure> {
    let day = |name: &str| match question.argument(name) {
        None => Ok(None),
        Some(text) => match parse_day(text) {
            Some(day) => Ok(Some(day)),
            None => Err(wrong(&format!("{name}={text} is not a day such as 2026-11-26"))),
        },
    };
    let text = |name: &str| question.argument(name).map(str::to_owned);
    Ok(Terms {
        since: day("since")?,
        until: day("until")?,
        from: text("from"),
        to: text("to"),
        subject: text("subject"),
        message_id: text("message-id"),
        id: text("id"),
    })
}

/// The mailbox, or the logs where `logs` stands for it.
fn owner(mailbox: &str) -> &str {
    if mailbox == "logs" { "" } else { mailbox }
}

fn search<H: Host>(host: &H, question: &Question) -> Result<Answer<H>, Failure> {
    let (mailbox, asker, terms) = (question.mailbox()?, question.asker(), terms(question)?);
    let role = match door(host, "search", &mailbox, &asker)? {
        Door::Closed(refusal) => return plain(refusal),
        Door::Open(role) => role,
    };
    let place = question.argument("continue");
    if place.is_none() {
        let asked: Vec<String> = question.arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
        access::note(host, "search", &mailbox, &asker, role, vec![("terms", asked.join(" "))])?;
    }
    let found = exhibit::walk(host, owner(&mailbox), &terms, place)?;
    let results = found.found.iter().map(|(package, entry)| told(host, package, entry));
    let results = results.collect::<Result<Vec<Value>, Failure>>()?;
    let mut value = json!({ "mailbox": mailbox, "found": results.len(), "results": results });
    if let Some(more) = found.more {
        value["next"] = json!(more);
    }
    plain(value)
}

/// The one entry that is meant, or what to say instead.
fn one<H: Host>(
    host: &H,
    mailbox: &str,
    question: &Question,
) -> Result<Result<(crate::package::Package, crate::entry::Entry), Value>, Failure> {
    let terms = terms(question)?;
    if terms.id.is_none() && terms.message_id.is_none() {
        return Err(wrong(&format!("'{}' needs id=…, message-id=… or package=…", question.name)));
    }
    let found = exhibit::walk(host, owner(mailbox), &terms, question.argument("continue"))?;
    if let Some(first) = found.found.into_iter().next() {
        return Ok(Ok(first));
    }
    Ok(Err(match found.more {
        Some(more) => {
            let progress = format!("looked up to package {}", more.split('/').next().unwrap_or_default());
            json!({ "more": true, "continue": more, "progress": progress })
        }
        None => json!({ "found": 0, "why": "no such message was deposited", "valid": false }),
    }))
}

fn show<H: Host>(host: &H, question: &Question) -> Result<Answer<H>, Failure> {
    let (mailbox, asker) = (question.mailbox()?, question.asker());
    let role = match door(host, "show", &mailbox, &asker)? {
        Door::Closed(refusal) => return plain(refusal),
        Door::Open(role) => role,
    };
    if let Some(id) = question.argument("package") {
        let Some(package) = store::package(host, id)?.filter(|package| package.mailbox == owner(&mailbox)) else {
            return plain(json!({ "found": 0, "why": "no such package", "valid": false }));
        };
        access::note(host, "show", &mailbox, &asker, role, vec![("package", id.to_owned())])?;
        let mut value = told_package(host, &package)?;
        let receipt = store::receipt(host, &package)?;
        value["receipt"] = json!(String::from_utf8_lossy(&receipt[..receipt.len().min(RECEIPT_SHOWN_MAX)]));
        return plain(value);
    }
    match one(host, &mailbox, question)? {
        Err(value) => plain(value),
        Ok((package, entry)) => {
            access::note(host, "show", &mailbox, &asker, role, vec![("id", entry.id.clone())])?;
            let mut value = told(host, &package, &entry)?;
            value["path"] = json!(entry.path);
            value["offset"] = json!(entry.offset);
            value["in"] = told_package(host, &package)?;
            plain(value)
        }
    }
}

fn export<H: Host>(host: &H, question: &Question) -> Result<Answer<H>, Failure> {
    let (mailbox, asker) = (question.mailbox()?, question.asker());
    let role = match door(host, "export", &mailbox, &asker)? {
        Door::Closed(refusal) => return plain(refusal),
        Door::Open(role) => role,
    };
    let noted = |what: &'static str, id: &str| {
        access::note(host, "export", &mailbox, &asker, role, vec![(what, id.to_owned())])
    };
    if let Some(id) = question.argument("package") {
        let Some(package) = store::package(host, id)?.filter(|package| package.mailbox == owner(&mailbox)) else {
            return plain(json!({ "found": 0, "why": "no such package", "valid": false }));
        };
        noted("package", id)?;
        return Ok(match exhibit::package_bytes(host, &package) {
            Ok(content) => Answer { value: told_package(host, &package)?, output: Some(content) },
            Err(why) => Answer { value: json!({ "found": 1, "why": why, "valid": false }), output: None },
        });
    }
    match one(host, &mailbox, question)? {
        Err(value) => plain(value),
        Ok((package, entry)) => {
            noted("id", &entry.id)?;
            Ok(match exhibit::bytes(host, &package, &entry) {
                Ok((content, from)) => {
                    let mut value = told(host, &package, &entry)?;
                    value["from-where"] = json!(from);
                    Answer { value, output: Some(content) }
                }
                Err(why) => Answer { value: json!({ "found": 1, "why": why, "valid": false }), output: None },
            })
        }
    }
}

/// What must hold before the plugin works at all; the words are for the operator.
pub fn configure<H: Host>(host: &H, settings: &Settings, target_known: bool, stamps_known: bool) -> Result<(), String> {
    if !target_known {
        return Err(format!("target: '{}' is not among those that the grant 'outbox' names", settings.target));
    }
    if !stamps_known {
        return Err("the index of each package is stamped: name an authority in 'evidence.timestamps'".into());
    }
    // Shown once, so that a zone that is not there is found at the start.
    pack::cutoff(host, settings, "", pack::Age::All).map(drop).map_err(|failure| failure.words().to_owned())
}
