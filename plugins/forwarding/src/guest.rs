//! The thin side: exports of the contract over the library, imports of the contract as its [`Host`].

mod bindings {
    #![allow(missing_docs, unsafe_code)]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: r#"
            package sigillo:forwarding;
            world forwarding {
                include sigillo:mail/imports@0.1.0;
                export sigillo:mail/lifecycle@0.1.0;
                export sigillo:mail/reception@0.1.0;
                export sigillo:mail/stored@0.1.0;
                export sigillo:mail/operation@0.1.0;
            }
        "#,
        world: "sigillo:forwarding/forwarding",
        generate_all,
    });
    export!(Forwarding with_types_in self);
    use super::Forwarding;
}

use bindings::exports::sigillo::mail as stage;
use bindings::sigillo::mail as wit;
use wit::passage::{Delivery, Request, Transaction};
use wit::types::Failure;

use crate::forward::{self, Filed};
use crate::host::{Error, Event, Host, Letter, Message, Part, Piece};
use crate::operations;
use crate::report::{self, Arrived, Verdict};
use crate::settings::Settings;

/// The plugin.
pub struct Forwarding;

fn settings() -> Result<Settings, Failure> {
    Settings::parse(&wit::settings::get()).map_err(Failure::Permanent)
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Unavailable(why) => Failure::Transient(why),
        Error::Other(why) => Failure::Permanent(why),
    }
}

impl stage::lifecycle::Guest for Forwarding {
    fn configure() -> Result<(), String> {
        let domain = Settings::parse(&wit::settings::get())?.domain;
        // Copies from a certified domain would be mail of the service, and its provider's points would have them.
        match wit::directory::is_certified(&domain).unwrap_or(false) {
            true => Err(format!("domain: '{domain}' is a domain of certified mail; name an ordinary one")),
            false => Ok(()),
        }
    }
}

impl stage::stored::Guest for Forwarding {
    fn run(delivery: &Delivery) -> Result<wit::types::Verdict, Failure> {
        let message = delivery.message();
        let filed = Filed { mailbox: delivery.recipient(), reverse_path: delivery.reverse_path() };
        forward::run(&Server(Some(&message)), &message, &settings()?, &filed).map_err(failure)?;
        Ok(wit::types::Verdict::Continue)
    }
}

impl stage::reception::Guest for Forwarding {
    fn run(transaction: &Transaction) -> Result<wit::types::Verdict, Failure> {
        let message = transaction.message();
        let arrived = Arrived { reverse_path: transaction.reverse_path(), recipients: transaction.recipients() };
        let verdict = report::run(&Server(Some(&message)), &message, &settings()?, &arrived).map_err(failure)?;
        Ok(match verdict {
            Verdict::Continue => wit::types::Verdict::Continue,
            Verdict::Discard(reason) => wit::types::Verdict::Discard(reason),
            Verdict::Reject(enhanced, text) => wit::types::Verdict::Reject(wit::types::Reply {
                code: 550,
                enhanced: enhanced.to_owned(),
                text: text.to_owned(),
            }),
        })
    }
}

impl stage::operation::Guest for Forwarding {
    fn run(request: &Request) -> Result<String, Failure> {
        let (mailbox, to) = (request.argument("mailbox"), request.argument("to"));
        match request.name().as_str() {
            "status" => operations::status(&Server(None), mailbox.as_deref(), request.argument("continue").as_deref())
                .map_err(failure),
            _ => {
                let mailbox = mailbox.unwrap_or_default();
                operations::resume(&Server(None), &settings()?, &mailbox, to.as_deref()).map_err(failure)
            }
        }
    }
}

/// The imports of the contract during one step.
struct Server<'a>(Option<&'a wit::message::Message>);

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

impl Message for wit::message::Message {
    fn size(&self) -> u64 {
        self.size()
    }

    fn header_text(&self, name: &str) -> Option<String> {
        self.header_text(name, 0)
    }

    fn headers(&self, name: &str) -> Vec<Vec<u8>> {
        (0..self.header_count(name)).filter_map(|index| self.header(name, index)).collect()
    }

    fn parts(&self) -> Result<Vec<Part>, Error> {
        let part = |part: wit::message::Part| Part {
            parent: part.parent,
            media_type: part.media_type,
            transfer_encoding: part.transfer_encoding,
            named: part.filename.is_some(),
            body_offset: part.body_offset,
            body_length: part.body_length,
        };
        Ok(self.parts().map_err(error)?.into_iter().map(part).collect())
    }

    fn parameter(&self, part: u32, name: &str) -> Option<String> {
        self.part_parameter(part, name)
    }

    fn read(&self, offset: u64, max: u32) -> Result<Vec<u8>, Error> {
        self.read(offset, max).map_err(error)
    }

    fn decoded(&self, part: u32) -> Result<Vec<u8>, Error> {
        self.read_decoded(part).map_err(error)
    }
}

impl Host for Server<'_> {
    fn now(&self) -> u64 {
        wit::clock::now()
    }

    fn utc_offset(&self) -> Result<i32, Error> {
        wit::clock::utc_offset("Europe/Rome", wit::clock::now()).map_err(error)
    }

    fn new_id(&self) -> String {
        wit::ids::next()
    }

    fn mac(&self, data: &[u8]) -> Result<Vec<u8>, Error> {
        wit::mac::tag(data).map_err(error)
    }

    fn setting(&self, mailbox: &str, name: &str) -> Result<Option<String>, Error> {
        wit::mailboxes::setting(mailbox, name).map_err(error)
    }

    fn is_certified(&self, domain: &str) -> Result<bool, Error> {
        wit::directory::is_certified(domain).map_err(error)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        wit::state::get(key).map_err(error)
    }

    fn set(&self, key: &str, value: &[u8], keep_days: u32) -> Result<(), Error> {
        wit::state::set(key, value, keep_days).map_err(error)
    }

    fn keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        wit::state::scan(prefix, after, limit).map_err(error)
    }

    fn submit(&self, letter: &Letter) -> Result<String, Error> {
        let content = wit::content::Content::new();
        for piece in &letter.content {
            match (piece, self.0) {
                (Piece::Text(bytes), _) => content.append(bytes),
                (Piece::Message, Some(message)) => content.append_range(message, 0, message.size()),
                (Piece::Message, None) => return Err(Error::Other("there is no message in hand".into())),
            }
            .map_err(error)?;
        }
        let recipients = std::slice::from_ref(&letter.recipient);
        wit::submit::submit(&letter.key, &letter.reverse_path, recipients, &content).map_err(error)
    }

    fn append(&self, event: &Event) -> Result<(), Error> {
        let record = wit::evidence::Event {
            message_id: event.message_id.clone(),
            kind: event.kind.to_owned(),
            sender: event.sender.clone(),
            recipients: event.recipients.clone(),
            subject: event.subject.clone(),
            related: event.related.clone(),
            details: event.details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        wit::evidence::append(&record).map_err(error)
    }

    fn warn(&self, text: &str) {
        wit::log::log(wit::log::Level::Warn, text);
    }
}
