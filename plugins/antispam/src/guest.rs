//! The thin side: exports of the contract over the library, imports of the contract as its [`Host`].

mod bindings {
    #![allow(missing_docs, unsafe_code)]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: r#"
            package sigillo:antispam;
            world antispam {
                include sigillo:mail/imports@0.1.0;
                export sigillo:mail/lifecycle@0.1.0;
                export sigillo:mail/access@0.1.0;
                export sigillo:mail/reception@0.1.0;
                export sigillo:mail/delivery@0.1.0;
                export sigillo:mail/refiled@0.1.0;
                export sigillo:mail/outcome@0.1.0;
                export sigillo:mail/timer@0.1.0;
                export sigillo:mail/operation@0.1.0;
            }
        "#,
        world: "sigillo:antispam/antispam",
        generate_all,
    });
    export!(Antispam with_types_in self);
    use super::Antispam;
}

mod server;

use bindings::exports::sigillo::mail as stage;
use bindings::sigillo::mail as wit;
use wit::passage::{Delivery, Request, Transaction};
use wit::types::{Failure, Verdict};

use crate::host::Error;
use crate::model::Class;
use crate::rating::{Rated, rate};
use crate::settings::Settings;
use crate::traffic::Way;
use crate::{incoming, learning, traffic};
use server::Server;

/// The plugin.
pub struct Antispam;

fn settings() -> Result<Settings, Failure> {
    Settings::parse(&wit::settings::get()).map_err(Failure::Permanent)
}

fn failed(error: Error) -> Failure {
    match error {
        Error::Unavailable(why) => Failure::Transient(why),
        Error::Other(why) => Failure::Permanent(why),
    }
}

/// AS-08: whatever the engines say, the message goes on.
fn goes_on(ended: Result<(), Error>) -> Result<Verdict, Failure> {
    ended.map(|()| Verdict::Continue).map_err(failed)
}

impl stage::lifecycle::Guest for Antispam {
    fn configure() -> Result<(), String> {
        let settings = Settings::parse(&wit::settings::get())?;
        match settings.scanner.as_ref().filter(|scanner| !wit::scan::known(scanner)) {
            Some(scanner) => Err(format!("scanner: '{scanner}' is not among those that the grant 'scan' names")),
            None => Ok(()),
        }
    }
}

impl stage::access::Guest for Antispam {
    fn run(transaction: &Transaction) -> Result<Verdict, Failure> {
        goes_on(traffic::send(&Server::of_transaction(transaction), &settings()?))
    }
}

impl stage::reception::Guest for Antispam {
    fn run(transaction: &Transaction) -> Result<Verdict, Failure> {
        goes_on(incoming::receive(&Server::of_transaction(transaction), &settings()?))
    }
}

impl stage::delivery::Guest for Antispam {
    fn run(delivery: &Delivery) -> Result<Verdict, Failure> {
        goes_on(incoming::deliver(&Server::of_delivery(delivery), &settings()?))
    }
}

impl stage::refiled::Guest for Antispam {
    fn run(delivery: &Delivery) -> Result<Verdict, Failure> {
        goes_on(learning::refiled(&Server::of_delivery(delivery), &settings()?))
    }
}

impl stage::outcome::Guest for Antispam {
    fn run(delivery: &Delivery) -> Result<Verdict, Failure> {
        goes_on(traffic::ended(&Server::of_delivery(delivery), &settings()?))
    }
}

impl stage::timer::Guest for Antispam {
    fn run(key: String, _: Vec<u8>) -> Result<(), Failure> {
        let server = Server::alone();
        let ended = match key.starts_with(learning::WAKE) {
            true => learning::learn(&server),
            false => traffic::look(&server, &settings()?, &key),
        };
        ended.map_err(failed)
    }
}

impl stage::operation::Guest for Antispam {
    fn run(request: &Request) -> Result<String, Failure> {
        let settings = settings()?;
        let server = Server::of_request(request);
        let answer = match request.name().as_str() {
            "status" => status(&server, &settings),
            "traffic" => sent(&server, &request.argument("mailbox").unwrap_or_default()),
            name if request.message().is_none() => {
                return Err(Failure::Permanent(format!("{name}: show a message with --file")));
            }
            "learn" => {
                let word = request.argument("class").unwrap_or_default();
                let Some(class) = Class::parse(&word) else {
                    return Err(Failure::Permanent(format!("class: '{word}' is neither spam nor ham")));
                };
                learning::take(&server, &settings, class)
                    .map(|taken| serde_json::json!({ "lesson": taken.word(), "class": class.word() }))
            }
            "rate" => rate(&server, &settings).map(|rated| shown(&rated)),
            name => return Err(Failure::Permanent(format!("there is no operation '{name}'"))),
        };
        answer.map(|answer| answer.to_string()).map_err(failed)
    }
}

fn status(server: &Server<'_>, settings: &Settings) -> Result<serde_json::Value, Error> {
    let totals = learning::totals(server)?;
    let ready = totals.suffice(settings.minimum_lessons);
    Ok(serde_json::json!({
        "spam": totals.spam, "ham": totals.ham, "minimum-lessons": settings.minimum_lessons, "classifies": ready,
    }))
}

fn sent(server: &Server<'_>, mailbox: &str) -> Result<serde_json::Value, Error> {
    use crate::host::Host;
    if matches!(server.mailbox_status(mailbox)?.as_str(), "unknown" | "remote") {
        return Err(Error::Other(format!("there is no mailbox {mailbox} here")));
    }
    let sums = traffic::sums(server, Way::Sent, &mailbox.to_lowercase())?;
    let (hour, day) = (sums.hour(server.now()), sums.day(server.now()));
    Ok(serde_json::json!({ "mailbox": mailbox, "hour": hour, "day": day }))
}

fn shown(rated: &Rated) -> serde_json::Value {
    match rated {
        Rated::Certified => serde_json::json!({ "class": "certified" }),
        Rated::Unknown(why) => serde_json::json!({ "class": "not rated", "problem": why }),
        Rated::Rating(rating, why) => serde_json::json!({
            "class": "ordinary", "percent": (rating.percent * 10.0).round() / 10.0, "engine": rating.engine,
            "symbols": rating.symbols, "problem": why,
        }),
    }
}
