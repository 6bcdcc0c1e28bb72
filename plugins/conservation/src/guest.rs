//! The thin side: exports of the contract over the library, imports of the contract as its [`Host`].

mod bindings {
    #![allow(missing_docs, unsafe_code)]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: r#"
            package sigillo:conservation;
            world conservation {
                include sigillo:mail/imports@0.1.0;
                export sigillo:mail/lifecycle@0.1.0;
                export sigillo:mail/timer@0.1.0;
                export sigillo:mail/answer@0.1.0;
                export sigillo:mail/operation@0.1.0;
            }
        "#,
        world: "sigillo:conservation/conservation",
        generate_all,
    });
    export!(Conservation with_types_in self);
    use super::Conservation;
}

use bindings::exports::sigillo::mail as stage;
use bindings::sigillo::mail as wit;

use crate::answer::{self, Answer};
use crate::daily;
use crate::host::{Error, Event, Failure, Host, Item, Level, LogFile};
use crate::operations::{self, Question};
use crate::settings::Settings;

/// Octets of a line of the operator's log, as the contract says.
const LOG_LINE_MAX: usize = 1024;

/// The plugin.
pub struct Conservation;

type Told<T> = Result<T, wit::types::Failure>;

fn settings() -> Told<Settings> {
    Settings::parse(&wit::settings::get()).map_err(wit::types::Failure::Permanent)
}

fn failure(failure: Failure) -> wit::types::Failure {
    match failure {
        Failure::Transient(words) => wit::types::Failure::Transient(words),
        Failure::Permanent(words) => wit::types::Failure::Permanent(words),
    }
}

impl stage::lifecycle::Guest for Conservation {
    fn configure() -> Result<(), String> {
        let settings = Settings::parse(&wit::settings::get())?;
        let known = wit::outbox::known(&settings.target);
        operations::configure(&Server, &settings, known, wit::timestamps::known())
    }
}

impl stage::timer::Guest for Conservation {
    fn run(key: String, payload: Vec<u8>) -> Told<()> {
        daily::wake(&Server, &settings()?, &key, &payload).map_err(failure)
    }
}

impl stage::answer::Guest for Conservation {
    fn run(answer: &wit::passage::Answer) -> Told<()> {
        let said = Answer {
            key: answer.key(),
            status: answer.status(),
            code: answer.code(),
            text: answer.text(),
            body: answer.body(),
        };
        answer::answer(&Server, &settings()?, &said).map_err(failure)
    }
}

impl stage::operation::Guest for Conservation {
    fn run(request: &wit::passage::Request) -> Told<String> {
        let question = Question { name: request.name(), actor: request.actor(), arguments: request.arguments() };
        let answer = operations::answer(&Server, &settings()?, &question).map_err(failure)?;
        if let Some(content) = &answer.output {
            request.output(content).map_err(|told| failure(error(told).during("the answer's content")))?;
        }
        Ok(answer.value.to_string())
    }
}

/// The imports of the contract.
struct Server;

fn error(error: wit::types::Error) -> Error {
    use wit::types::Error as Said;
    match error {
        Said::Unavailable(why) => Error::Unavailable(why),
        Said::Limit(why) => Error::Limit(why),
        Said::Invalid(why) => Error::Other(why),
        Said::Denied => Error::Other("is not granted".into()),
        Said::NotFound => Error::NotFound,
        Said::Extra((word, why)) => Error::Other(format!("{word}: {why}")),
    }
}

impl Host for Server {
    type Message = wit::message::Message;
    type Content = wit::content::Content;

    fn now(&self) -> u64 {
        wit::clock::now()
    }

    fn legal_offset(&self, at: u64) -> Result<i32, Error> {
        wit::clock::utc_offset("Europe/Rome", at).map_err(error)
    }

    fn setting(&self, mailbox: &str, name: &str) -> Result<Option<String>, Error> {
        wit::mailboxes::setting(mailbox, name).map_err(error)
    }

    fn mailboxes(&self, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        wit::archive::mailboxes(after, limit).map_err(error)
    }

    fn items(&self, mailbox: &str, before: u64, after: Option<&str>, limit: u32) -> Result<Vec<Item>, Error> {
        let item = |item: wit::archive::Item| Item {
            id: item.id,
            direction: item.direction,
            kept: item.kept,
            size: item.size,
            sha256: item.sha256,
        };
        Ok(wit::archive::items(mailbox, before, after, limit).map_err(error)?.into_iter().map(item).collect())
    }

    fn open(&self, mailbox: &str, id: &str) -> Result<Self::Message, Error> {
        wit::archive::open(mailbox, id).map_err(error)
    }

    fn release(&self, mailbox: &str, id: &str) -> Result<(), Error> {
        wit::archive::release(mailbox, id).map_err(error)
    }

    fn size(&self, message: &Self::Message) -> u64 {
        message.size()
    }

    fn header(&self, message: &Self::Message, name: &str) -> Option<String> {
        message.header_text(name, 0)
    }

    fn addresses(&self, message: &Self::Message, name: &str) -> Vec<String> {
        let found = message.addresses(name).unwrap_or_default();
        found.into_iter().map(|address| address.mailbox).collect()
    }

    fn message_sha256(&self, message: &Self::Message) -> Result<Vec<u8>, Error> {
        message.sha256(0, message.size()).map_err(error)
    }

    fn content(&self) -> Self::Content {
        wit::content::Content::new()
    }

    fn append(&self, content: &mut Self::Content, bytes: &[u8]) -> Result<(), Error> {
        content.append(bytes).map_err(error)
    }

    fn append_message(&self, content: &mut Self::Content, message: &Self::Message) -> Result<(), Error> {
        content.append_range(message, 0, message.size()).map_err(error)
    }

    fn append_content(&self, content: &mut Self::Content, other: &Self::Content) -> Result<(), Error> {
        content.append_content(other).map_err(error)
    }

    fn length(&self, content: &Self::Content) -> u64 {
        content.length()
    }

    fn sha256(&self, content: &Self::Content) -> Result<Vec<u8>, Error> {
        content.sha256(0, content.length()).map_err(error)
    }

    fn stamp(&self, sha256: &[u8]) -> Result<Vec<u8>, Error> {
        wit::timestamps::stamp(sha256).map_err(error)
    }

    fn log_files(&self, after: Option<&str>, limit: u32) -> Result<Vec<LogFile>, Error> {
        let file = |file: wit::registro::LogFile| LogFile {
            name: file.name,
            log: file.log,
            size: file.size,
            sha256: file.sha256,
            since: file.since,
            until: file.until,
            closed: file.closed,
            stamped: file.stamped,
        };
        Ok(wit::registro::files(after, limit).map_err(error)?.into_iter().map(file).collect())
    }

    fn log_file(&self, name: &str) -> Result<Self::Content, Error> {
        wit::registro::open(name).map_err(error)
    }

    fn log_stamp(&self, name: &str) -> Result<Vec<u8>, Error> {
        wit::registro::stamp(name).map_err(error)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        wit::state::get(key).map_err(error)
    }

    fn set(&self, key: &str, value: &[u8], days: u32) -> Result<(), Error> {
        wit::state::set(key, value, days).map_err(error)
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        wit::state::delete(key).map_err(error)
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        wit::state::scan(prefix, after, limit).map_err(error)
    }

    fn wake(&self, key: &str, at: u64, payload: &[u8]) -> Result<(), Error> {
        wit::timers::set(key, at, payload).map_err(error)
    }

    fn queue(
        &self,
        target: &str,
        key: &str,
        parameters: &[(String, String)],
        content: &Self::Content,
    ) -> Result<(), Error> {
        wit::outbox::queue(target, key, parameters, Some(content)).map_err(error)
    }

    fn fetch(
        &self,
        target: &str,
        parameters: &[(String, String)],
        offset: u64,
        length: u64,
    ) -> Result<Self::Content, Error> {
        wit::outbox::fetch(target, parameters, offset, length).map_err(error)
    }

    fn record(&self, event: &Event) -> Result<(), Error> {
        let mut related: Vec<String> = Some(event.package.clone()).filter(|id| !id.is_empty()).into_iter().collect();
        related.extend(event.related.iter().cloned());
        let record = wit::evidence::Event {
            message_id: String::new(),
            kind: event.kind.to_owned(),
            sender: String::new(),
            recipients: Some(event.mailbox.clone()).filter(|mailbox| !mailbox.is_empty()).into_iter().collect(),
            subject: String::new(),
            related,
            details: event.details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        wit::evidence::append(&record).map_err(error)
    }

    fn log(&self, level: Level, text: &str) {
        let level = match level {
            Level::Info => wit::log::Level::Info,
            Level::Warn => wit::log::Level::Warn,
            Level::Error => wit::log::Level::Error,
        };
        wit::log::log(level, &text[..text.floor_char_boundary(LOG_LINE_MAX)]);
    }
}
