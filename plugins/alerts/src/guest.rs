//! The thin side: exports of the contract over the library, imports of the contract as its [`Host`].

mod bindings {
    #![allow(missing_docs, unsafe_code)]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: r#"
            package sigillo:alerts;
            world alerts {
                include sigillo:mail/imports@0.1.0;
                export sigillo:mail/lifecycle@0.1.0;
                export sigillo:mail/stored@0.1.0;
                export sigillo:mail/timer@0.1.0;
                export sigillo:mail/answer@0.1.0;
                export sigillo:mail/operation@0.1.0;
            }
        "#,
        world: "sigillo:alerts/alerts",
        generate_all,
    });
    export!(Alerts with_types_in self);
    use super::Alerts;
}

use bindings::exports::sigillo::mail as stage;
use bindings::sigillo::mail as wit;
use wit::types::{Failure, Verdict};

use crate::host::{Arrived, Error, Host};
use crate::settings::Settings;
use crate::{arrival, digest, operation, outcome};

/// The zone of legal time.
const ZONE: &str = "Europe/Rome";

/// The plugin.
pub struct Alerts;

fn settings() -> Result<Settings, Failure> {
    Settings::parse(&wit::settings::get()).map_err(Failure::Permanent)
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Unavailable(why) => Failure::Transient(why),
        Error::Refused(why) | Error::Other(why) => Failure::Permanent(why),
    }
}

impl stage::lifecycle::Guest for Alerts {
    fn configure() -> Result<(), String> {
        let settings = Settings::parse(&wit::settings::get())?;
        let domain = settings.from.rsplit_once('@').map_or("", |(_, domain)| domain);
        if wit::directory::is_certified(domain).unwrap_or(false) {
            return Err(format!("from: '{domain}' is a domain of certified mail; name an address of an ordinary one"));
        }
        match settings.sms_target {
            Some(target) if !wit::outbox::known(&target) => {
                Err(format!("sms-target: '{target}' is not among those that the grant 'outbox' names"))
            }
            _ => Ok(()),
        }
    }
}

impl stage::stored::Guest for Alerts {
    fn run(delivery: &wit::passage::Delivery) -> Result<Verdict, Failure> {
        let message = delivery.message();
        let text = |name| message.header_text(name, 0);
        let arrived = Arrived {
            mailbox: delivery.recipient(),
            receipt: text("X-Ricevuta"),
            transport: text("X-Trasporto"),
            message_id: text("Message-ID"),
        };
        arrival::run(&Server, &settings()?, &arrived).map_err(failure)?;
        Ok(Verdict::Continue)
    }
}

impl stage::timer::Guest for Alerts {
    fn run(key: String, _: Vec<u8>) -> Result<(), Failure> {
        digest::run(&Server, &settings()?, &key).map_err(failure)
    }
}

impl stage::answer::Guest for Alerts {
    fn run(answer: &wit::passage::Answer) -> Result<(), Failure> {
        let answer = outcome::Answer { key: answer.key(), status: answer.status(), text: answer.text() };
        outcome::run(&Server, &answer).map_err(failure)
    }
}

impl stage::operation::Guest for Alerts {
    fn run(request: &wit::passage::Request) -> Result<String, Failure> {
        let request = operation::Request { name: request.name(), arguments: request.arguments() };
        let answer = operation::run(&Server, &settings()?, &request).map_err(failure)?;
        Ok(answer.to_string())
    }
}

/// The imports of the contract during one step.
struct Server;

fn error(error: wit::types::Error) -> Error {
    use wit::types::Error as Told;
    match error {
        // Too much waits in the outbox, or is written at once: it may be less later.
        Told::Unavailable(why) | Told::Limit(why) => Error::Unavailable(why),
        Told::Invalid(why) => Error::Other(why),
        Told::Denied => Error::Other("is not granted".into()),
        Told::NotFound => Error::Other("is not there".into()),
        Told::Extra((word, why)) => Error::Other(format!("{word}: {why}")),
    }
}

impl Host for Server {
    fn now(&self) -> u64 {
        wit::clock::now()
    }

    fn offset(&self, at: u64) -> i32 {
        wit::clock::utc_offset(ZONE, at).unwrap_or(0)
    }

    fn setting(&self, mailbox: &str, name: &str) -> Result<Option<String>, Error> {
        wit::mailboxes::setting(mailbox, name).map_err(error)
    }

    fn status(&self, mailbox: &str) -> Result<String, Error> {
        wit::mailboxes::status(mailbox).map_err(error)
    }

    fn is_certified(&self, domain: &str) -> Result<bool, Error> {
        wit::directory::is_certified(domain).map_err(error)
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

    fn wake(&self, key: &str, at: u64) -> Result<(), Error> {
        wit::timers::set(key, at, &[]).map_err(error)
    }

    fn cancel(&self, key: &str) -> Result<(), Error> {
        wit::timers::cancel(key).map_err(error)
    }

    fn submit(&self, key: &str, to: &str, message: &[u8]) -> Result<(), Error> {
        let content = wit::content::Content::new();
        content.append(message).map_err(error)?;
        wit::submit::submit(key, "", &[to.to_owned()], &content).map(drop).map_err(error)
    }

    fn queue(&self, target: &str, key: &str, parameters: &[(String, String)], text: Option<&str>) -> Result<(), Error> {
        let content = match text {
            None => None,
            Some(text) => {
                let content = wit::content::Content::new();
                content.append(text.as_bytes()).map_err(error)?;
                Some(content)
            }
        };
        wit::outbox::queue(target, key, parameters, content.as_ref()).map_err(error)
    }

    fn tag(&self, data: &[u8]) -> Result<Vec<u8>, Error> {
        wit::mac::tag(data).map_err(error)
    }

    fn id(&self) -> String {
        wit::ids::next()
    }

    fn warn(&self, text: &str) {
        wit::log::log(wit::log::Level::Warn, text);
    }
}
