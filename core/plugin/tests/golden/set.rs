//! One golden set: reading it, running its steps, comparing what came out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sigillo_mail::Rope;
use sigillo_mail::rope::NoSource;
use sigillo_mail::structure::Structure;
use sigillo_plugin::{Arrival, ChainRun, MailboxStatus, Outcome, Passage, TimerOp};
use sigillo_policy::{Facts, Stage};

use crate::server::{Running, World};

/// `given.json`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Given {
    /// Of the first step; each other is a second after the one before it, unless it says otherwise.
    instant: String,
    /// By server: mailboxes that are not as `world.json` has them.
    #[serde(default)]
    mailboxes: BTreeMap<String, BTreeMap<String, MailboxStatus>>,
    /// Texts of every server's policy that are others in this set.
    #[serde(default)]
    policy: BTreeMap<String, String>,
    steps: Vec<Step>,
}

/// One message at one stage, or a wake-up.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Step {
    /// Which server.
    at: String,
    /// `timer` is the wake-up that is due first.
    stage: String,
    instant: Option<String>,
    /// A file `given….eml`, or the name of an earlier product.
    message: String,
    arrival: Option<String>,
    identity: Option<String>,
    reverse_path: String,
    recipients: Vec<String>,
    recipient: String,
    /// At `outcome`; at `delivery` the mailbox says it.
    status: String,
    attempt: Option<u32>,
    properties: BTreeMap<String, String>,
    /// How the message is called that comes out, if it is another than went in.
    makes: Option<String>,
    /// How the messages are called that the step queues, in their order.
    queues: Vec<String>,
}

/// What a set brings forth: bytes by file name.
pub type Products = BTreeMap<String, Vec<u8>>;

/// What one step did beside messages; `expected.json` is a list of these.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Did {
    at: String,
    stage: String,
    instant: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    reverse_path: String,
    recipients: Vec<String>,
    got: String,
    outcome: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queued: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    timers: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logged: Vec<String>,
}

struct Course<'a> {
    world: &'a World,
    folder: &'a Path,
    name: String,
    mailboxes: BTreeMap<String, BTreeMap<String, MailboxStatus>>,
    policy: BTreeMap<String, String>,
    running: BTreeMap<String, Running>,
    products: Products,
}

/// Runs every step of the set in this folder.
pub async fn run(world: &World, folder: &Path) -> Products {
    let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
    let text = std::fs::read_to_string(folder.join("given.json")).unwrap();
    let given: Given = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}/given.json: {error}"));
    let (mailboxes, policy, running, products) = (given.mailboxes, given.policy, BTreeMap::new(), Products::new());
    let mut course = Course { world, folder, name, mailboxes, policy, running, products };
    let (mut now, mut done) = (instant(&given.instant), Vec::new());
    for (index, step) in given.steps.iter().enumerate() {
        now = match &step.instant {
            Some(text) => instant(text),
            None if index > 0 => now + 1000,
            None => now,
        };
        let did = course.step(index, step, &mut now).await;
        done.push(did);
    }
    let mut text = serde_json::to_string_pretty(&done).unwrap();
    text.push('\n');
    course.products.insert("expected.json".to_owned(), text.into_bytes());
    course.products
}

impl Course<'_> {
    async fn step(&mut self, index: usize, step: &Step, now: &mut u64) -> Did {
        let id = format!("{}.{index}", self.name.split('-').next().unwrap_or_default());
        if !self.running.contains_key(&step.at) {
            let running = self.world.start_with(&step.at, &self.policy).await;
            for (address, status) in self.mailboxes.remove(&step.at).unwrap_or_default() {
                running.server.set_mailbox(&address, status);
            }
            self.running.insert(step.at.clone(), running);
        }
        let Running { engine, server } = &self.running[&step.at];
        let logged = server.logged().len();
        let run = if step.stage == "timer" {
            let timer =
                server.next_timer().unwrap_or_else(|| panic!("{}: no wake-up waits at step {index}", self.name));
            *now = timer.at_ms;
            server.set_now(*now);
            engine.run_timer(&timer.plugin, &timer.key, timer.payload, &id).await
        } else {
            server.set_now(*now);
            let stage = stage(&step.stage);
            engine.run(stage, &Facts::new(), self.passage(id, step)).await
        };
        for changes in &run.change_sets {
            server.commit(changes);
        }
        let logged = server.logged()[logged..].to_vec();
        self.record(step, *now, &run, logged)
    }

    fn message(&self, name: &str) -> Vec<u8> {
        match self.products.get(&expected(name)) {
            Some(product) => product.clone(),
            None => std::fs::read(self.folder.join(name)).unwrap_or_else(|error| {
                panic!("{}: neither a file nor an earlier product: {name}: {error}", self.name)
            }),
        }
    }

    fn passage(&self, id: String, step: &Step) -> Passage {
        let message = Rope::from_bytes(self.message(&step.message));
        let structure = Arc::new(Structure::parse(&message, &NoSource).unwrap());
        let (reverse_path, properties) = (step.reverse_path.clone(), step.properties.clone());
        if step.recipient.is_empty() {
            let arrival = match step.arrival.as_deref() {
                Some("relay") => Arrival::Relay,
                Some("internal") => Arrival::Internal,
                None | Some(_) => Arrival::Submission,
            };
            let (identity, recipients) = (step.identity.clone(), step.recipients.clone());
            return Passage::Transaction {
                id,
                arrival,
                identity,
                reverse_path,
                recipients,
                message,
                structure,
                properties,
            };
        }
        let status = match step.status.as_str() {
            "" => self.running[&step.at].server.status(&step.recipient).word().to_owned(),
            status => status.to_owned(),
        };
        let (recipient, attempt) = (step.recipient.clone(), step.attempt.unwrap_or(1));
        Passage::Delivery { id, reverse_path, recipient, message, structure, attempt, status, properties }
    }

    /// Keeps the messages that a step made, and says what else it did.
    fn record(&mut self, step: &Step, now: u64, run: &ChainRun, logged: Vec<String>) -> Did {
        let failed: Vec<_> = run.steps.iter().filter_map(|step| step.failure.clone()).collect();
        assert!(failed.is_empty(), "{}: a step failed: {failed:?}", self.name);
        let mut made = None;
        let came = run.message.to_bytes(&NoSource).unwrap().to_vec();
        if step.stage != "timer" && came != self.message(&step.message) {
            let name = step.makes.clone();
            let name =
                name.unwrap_or_else(|| panic!("{}: a {} step makes a message without a name", self.name, step.stage));
            self.products.insert(expected(&name), came);
            made = Some(name);
        }
        assert_eq!(made, step.makes, "{}: what the {} step makes", self.name, step.stage);
        let submissions: Vec<_> = run.change_sets.iter().flat_map(|changes| &changes.submissions).collect();
        assert_eq!(submissions.len(), step.queues.len(), "{}: what the {} step queues", self.name, step.stage);
        let mut queued = Vec::new();
        for (submission, name) in submissions.into_iter().zip(&step.queues) {
            self.products.insert(expected(name), submission.content.to_bytes(&NoSource).unwrap().to_vec());
            let recipients: Vec<String> = submission.recipients.iter().map(ToString::to_string).collect();
            queued.push(json!({
                "name": name, "reverse-path": submission.reverse_path.to_string(), "recipients": recipients,
            }));
        }
        let changes = || run.change_sets.iter();
        Did {
            at: step.at.clone(),
            stage: step.stage.clone(),
            instant: jiff::Timestamp::from_millisecond(now as i64).unwrap().to_string(),
            identity: step.identity.clone(),
            reverse_path: step.reverse_path.clone(),
            recipients: match step.recipient.as_str() {
                "" => step.recipients.clone(),
                recipient => vec![recipient.to_owned()],
            },
            got: step.message.clone(),
            outcome: outcome(&run.outcome),
            made,
            queued,
            events: changes().flat_map(|changes| &changes.evidence).map(event).collect(),
            timers: changes().flat_map(|changes| &changes.timers).map(timer).collect(),
            logged,
        }
    }
}

fn expected(name: &str) -> String {
    format!("expected-{name}.eml")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn instant(text: &str) -> u64 {
    let instant: jiff::Timestamp = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    instant.as_millisecond() as u64
}

fn stage(word: &str) -> Stage {
    let all = [Stage::Access, Stage::Reception, Stage::Delivery, Stage::Stored, Stage::Outcome];
    all.into_iter().find(|stage| stage.as_str() == word).unwrap_or_else(|| panic!("no stage {word}"))
}

fn outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Continue | Outcome::Accept => json!(outcome.word()),
        Outcome::Reject(reply) | Outcome::Defer(reply) => {
            json!({ outcome.word(): format!("{} {} {}", reply.code, reply.enhanced, reply.text) })
        }
        Outcome::Quarantine(why) | Outcome::Discard(why) | Outcome::Hold(why) => json!({ outcome.word(): why }),
    }
}

fn event(event: &sigillo_plugin::Event) -> Value {
    let details: BTreeMap<&String, &String> = event.details.iter().map(|(name, value)| (name, value)).collect();
    json!({
        "kind": event.kind, "message-id": event.message_id, "sender": event.sender, "recipients": event.recipients,
        "subject": event.subject, "related": event.related, "details": details,
    })
}

fn timer(timer: &TimerOp) -> Value {
    match timer {
        TimerOp::Set { key, at_ms, .. } => {
            let at = jiff::Timestamp::from_millisecond(*at_ms as i64).unwrap().to_string();
            json!({ "set": key, "at": at })
        }
        TimerOp::Cancel { key } => json!({ "cancel": key }),
    }
}

/// The expected files that a folder has.
fn there(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("expected")).collect()
}

/// Writes what is expected anew.
pub fn write(folder: &Path, products: &Products) {
    for name in there(folder) {
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    for (name, bytes) in products {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

/// How what came out differs from the files: one text for each file.
pub fn differences(folder: &Path, products: &Products) -> Vec<String> {
    let name = folder.file_name().unwrap().to_string_lossy();
    let unmade = there(folder).into_iter().filter(|file| !products.contains_key(file));
    let mut wrong: Vec<String> = unmade.map(|file| format!("{name}/{file}: nothing makes it")).collect();
    for (file, bytes) in products {
        match std::fs::read(folder.join(file)) {
            Err(_) => wrong.push(format!("{name}/{file}: not there yet")),
            Ok(expected) if expected != *bytes => {
                wrong.push(first_difference(&format!("{name}/{file}"), &expected, bytes))
            }
            Ok(_) => {}
        }
    }
    wrong
}

fn first_difference(name: &str, expected: &[u8], found: &[u8]) -> String {
    let lines = |bytes: &[u8]| text(bytes).split('\n').map(str::to_owned).collect::<Vec<_>>();
    let (expected, found) = (lines(expected), lines(found));
    let at = expected.iter().zip(&found).position(|(a, b)| a != b).unwrap_or(expected.len().min(found.len()));
    let mut said = format!("{name}: line {}", at + 1);
    for (word, lines) in [("expected", &expected), ("found", &found)] {
        let line = lines.get(at).map_or("nothing more".to_owned(), |line| format!("{line:?}"));
        let _ = write!(said, "\n    {word}: {line}");
    }
    said
}
