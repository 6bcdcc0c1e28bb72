//! The thin side: exports of the contract over the library, imports of the contract as its [`Host`].

mod bindings {
    #![allow(missing_docs, unsafe_code)]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: r#"
            package sigillo:archive;
            world archive {
                include sigillo:mail/imports@0.1.0;
                export sigillo:mail/lifecycle@0.1.0;
                export sigillo:mail/access@0.1.0;
                export sigillo:mail/delivery@0.1.0;
                export sigillo:mail/operation@0.1.0;
            }
        "#,
        world: "sigillo:archive/archive",
        generate_all,
    });
    export!(Archive with_types_in self);
    use super::Archive;
}

use bindings::exports::sigillo::mail as stage;
use bindings::sigillo::mail as wit;
use wit::message::Message;
use wit::passage::{Delivery, Request, Transaction};

use crate::host::{Direction, Error, Event, Host, Item, Usage};
use crate::keeping::{self, Letter};
use crate::letting_go::{self, Asked};
use crate::settings::Settings;

/// Days that what was said is remembered: for good, as far as anybody lives to see.
const KEPT_DAYS: u32 = 36_500;
/// The zone of the legal time.
const ZONE: &str = "Europe/Rome";

/// The plugin.
pub struct Archive;

type Outcome = Result<wit::types::Verdict, wit::types::Failure>;

fn settings() -> Result<Settings, wit::types::Failure> {
    Settings::parse(&wit::settings::get()).map_err(wit::types::Failure::Permanent)
}

fn failure(error: Error) -> wit::types::Failure {
    match error {
        Error::Unavailable(why) => wit::types::Failure::Transient(why),
        Error::Other(why) => wit::types::Failure::Permanent(why),
    }
}

impl stage::lifecycle::Guest for Archive {
    fn configure() -> Result<(), String> {
        Settings::parse(&wit::settings::get()).map(drop)
    }
}

impl stage::access::Guest for Archive {
    fn run(transaction: &Transaction) -> Outcome {
        let Some(mailbox) = transaction.identity() else { return Ok(wit::types::Verdict::Continue) };
        let message = transaction.message();
        let (id, reverse_path) = (transaction.id(), transaction.reverse_path());
        keep(message, &mailbox.to_ascii_lowercase(), Direction::Sent, &id, &reverse_path)
    }
}

impl stage::delivery::Guest for Archive {
    fn run(delivery: &Delivery) -> Outcome {
        if delivery.status() != "present" {
            return Ok(wit::types::Verdict::Continue); // it will not be filed
        }
        let (recipient, reverse_path) = (delivery.recipient(), delivery.reverse_path());
        let key = format!("{}/{recipient}", delivery.id());
        keep(delivery.message(), &recipient.to_ascii_lowercase(), Direction::Received, &key, &reverse_path)
    }
}

fn keep(message: Message, mailbox: &str, direction: Direction, key: &str, reverse_path: &str) -> Outcome {
    let settings = settings()?;
    let letter = Letter { mailbox, direction, key, reverse_path, size: message.size() };
    let server = Server { message: Some(&message) };
    let field = |name: &str| message.header_text(name, 0);
    keeping::run(&server, &settings, &letter, field).map_err(failure)?;
    Ok(wit::types::Verdict::Continue)
}

impl stage::operation::Guest for Archive {
    fn run(request: &Request) -> Result<String, wit::types::Failure> {
        let settings = settings()?;
        let argument = |name: &str| request.argument(name).unwrap_or_default();
        let mailbox = argument("mailbox").trim().to_ascii_lowercase();
        let actor = request.actor();
        let asked = Asked { actor: &actor, mailbox: &mailbox };
        let server = Server { message: None };
        let answer = match request.name().as_str() {
            "usage" => letting_go::usage(&server, &settings, &mailbox),
            "delete" => letting_go::delete(&server, &settings, asked, &argument("id")),
            "free" => {
                let preview = match argument("preview").as_str() {
                    "" | "no" => Ok(false),
                    "yes" => Ok(true),
                    other => Err(Error::Other(format!("preview: '{other}' is neither yes nor no"))),
                };
                let goes_on = request.argument("continue").is_some();
                preview.and_then(|preview| letting_go::free(&server, &settings, asked, goes_on, preview))
            }
            other => Err(Error::Other(format!("there is no operation '{other}'"))),
        };
        answer.map(|answer| answer.to_string()).map_err(failure)
    }
}

/// The imports of the contract during one step.
struct Server<'a> {
    message: Option<&'a Message>,
}

fn error(error: wit::types::Error) -> Error {
    use wit::types::Error as Told;
    match error {
        Told::Unavailable(why) => Error::Unavailable(why),
        Told::Limit(why) | Told::Invalid(why) => Error::Other(why),
        Told::Denied => Error::Other("is not granted".into()),
        Told::NotFound => Error::Other("is not there".into()),
        Told::Extra((word, why)) => Error::Other(format!("{word}: {why}")),
    }
}

impl Host for Server<'_> {
    fn now(&self) -> u64 {
        wit::clock::now()
    }

    fn utc_offset(&self) -> i32 {
        wit::clock::utc_offset(ZONE, wit::clock::now()).unwrap_or(0)
    }

    fn unique(&self) -> String {
        wit::ids::next()
    }

    fn setting(&self, mailbox: &str, name: &str) -> Result<Option<String>, Error> {
        wit::mailboxes::setting(mailbox, name).map_err(error)
    }

    fn exists(&self, mailbox: &str) -> Result<bool, Error> {
        let status = wit::mailboxes::status(mailbox).map_err(error)?;
        Ok(status != "unknown" && status != "remote")
    }

    fn usage(&self, mailbox: &str) -> Result<Usage, Error> {
        let found = wit::archive::usage(mailbox).map_err(error)?;
        Ok(Usage { used: found.used, count: found.count, oldest: found.oldest })
    }

    fn items(&self, mailbox: &str, before: u64, after: Option<&str>, limit: u32) -> Result<Vec<Item>, Error> {
        let items = wit::archive::items(mailbox, before, after, limit).map_err(error)?;
        let item = |item: wit::archive::Item| Item {
            id: item.id,
            direction: item.direction,
            kept: item.kept,
            size: item.size,
            sha256: item.sha256.iter().map(|octet| format!("{octet:02x}")).collect(),
            properties: item.properties,
        };
        Ok(items.into_iter().map(item).collect())
    }

    fn keep(
        &self,
        mailbox: &str,
        key: &str,
        direction: Direction,
        properties: &[(String, String)],
    ) -> Result<(), Error> {
        let message = self.message.ok_or_else(|| Error::Other("no message in hand".into()))?;
        wit::archive::keep(mailbox, key, direction.word(), message, properties).map(drop).map_err(error)
    }

    fn release(&self, mailbox: &str, id: &str) -> Result<(), Error> {
        wit::archive::release(mailbox, id).map_err(error)
    }

    fn get(&self, key: &str) -> Result<Option<String>, Error> {
        let value = wit::state::get(key).map_err(error)?;
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }

    fn set(&self, key: &str, value: Option<&str>) -> Result<(), Error> {
        match value {
            Some(value) => wit::state::set(key, value.as_bytes(), KEPT_DAYS),
            None => wit::state::delete(key),
        }
        .map_err(error)
    }

    fn submit(&self, key: &str, from: &str, to: &str, content: &str) -> Result<(), Error> {
        let made = wit::content::Content::new();
        made.append(content.as_bytes()).map_err(error)?;
        wit::submit::submit(key, from, &[to.to_owned()], &made).map(drop).map_err(error)
    }

    fn record(&self, event: &Event) -> Result<(), Error> {
        let record = wit::evidence::Event {
            message_id: event.message_id.clone(),
            kind: event.kind.to_owned(),
            sender: event.sender.clone(),
            recipients: vec![event.mailbox.clone()],
            subject: event.subject.clone(),
            related: Vec::new(),
            details: event.details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        wit::evidence::append(&record).map_err(error)
    }
}
