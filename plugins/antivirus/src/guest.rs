//! The thin side: exports of the contract over the library, imports of the contract as its [`Host`].

mod bindings {
    #![allow(missing_docs, unsafe_code)]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: r#"
            package sigillo:antivirus;
            world antivirus {
                include sigillo:mail/imports@0.1.0;
                export sigillo:mail/lifecycle@0.1.0;
                export sigillo:mail/access@0.1.0;
                export sigillo:mail/reception@0.1.0;
            }
        "#,
        world: "sigillo:antivirus/antivirus",
        generate_all,
    });
    export!(Antivirus with_types_in self);
    use super::Antivirus;
}

use bindings::exports::sigillo::mail as stage;
use bindings::sigillo::mail as wit;
use wit::passage::Transaction;

use crate::host::{Error, Event, Facts, Host, Part, Report, Verdict, View};
use crate::settings::Settings;
use crate::step;

/// Octets of the text of a reply: RFC 5321 §4.5.3.1.5, without the codes.
const REPLY_MAX: usize = 400;

/// The plugin.
pub struct Antivirus;

type Outcome = Result<wit::types::Verdict, wit::types::Failure>;

impl stage::lifecycle::Guest for Antivirus {
    fn configure() -> Result<(), String> {
        let settings = Settings::parse(&wit::settings::get())?;
        match settings.scanners.iter().find(|scanner| !wit::scan::known(scanner)) {
            Some(scanner) => Err(format!("scanners: '{scanner}' is not among those that the grant 'scan' names")),
            None => Ok(()),
        }
    }
}

impl stage::access::Guest for Antivirus {
    fn run(transaction: &Transaction) -> Outcome {
        run(transaction)
    }
}

impl stage::reception::Guest for Antivirus {
    fn run(transaction: &Transaction) -> Outcome {
        run(transaction)
    }
}

fn run(transaction: &Transaction) -> Outcome {
    let settings = Settings::parse(&wit::settings::get()).map_err(wit::types::Failure::Permanent)?;
    let server = Server { message: transaction.message(), transaction };
    let verdict = step::run(&server, &settings).map_err(|error| match error {
        Error::Unavailable(why) => wit::types::Failure::Transient(why),
        Error::TooLarge(why) | Error::Other(why) => wit::types::Failure::Permanent(why),
    })?;
    Ok(match verdict {
        Verdict::Continue => wit::types::Verdict::Continue,
        Verdict::Quarantine(reason) => wit::types::Verdict::Quarantine(reason),
        Verdict::Reject(text) => wit::types::Verdict::Reject(reply(554, "5.7.1", &text)),
        Verdict::Defer(text) => wit::types::Verdict::Defer(reply(451, "4.7.1", &text)),
    })
}

fn reply(code: u16, enhanced: &str, text: &str) -> wit::types::Reply {
    let text = text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).take(REPLY_MAX).collect();
    wit::types::Reply { code, enhanced: enhanced.to_owned(), text }
}

/// The imports of the contract during one step.
struct Server<'a> {
    message: wit::message::Message,
    transaction: &'a Transaction,
}

fn error(error: wit::types::Error) -> Error {
    use wit::types::Error as Told;
    match error {
        Told::Unavailable(why) => Error::Unavailable(why),
        Told::Limit(why) => Error::TooLarge(why),
        Told::Invalid(why) => Error::Other(why),
        Told::Denied => Error::Other("is not granted".into()),
        Told::NotFound => Error::Other("is not there".into()),
        Told::Extra((word, why)) => Error::Other(format!("{word}: {why}")),
    }
}

impl Host for Server<'_> {
    type Scan = wit::scan::Scan;

    fn facts(&self) -> Facts {
        let text = |name| self.message.header_text(name, 0).unwrap_or_default();
        Facts {
            id: self.transaction.id(),
            sender: self.transaction.reverse_path(),
            recipients: self.transaction.recipients(),
            message_id: text("Message-ID").trim().trim_matches(['<', '>']).to_owned(),
            subject: text("Subject"),
        }
    }

    fn parts(&self) -> Result<Vec<Part>, Error> {
        let part = |part: wit::message::Part| Part {
            parent: part.parent,
            transfer_encoding: part.transfer_encoding,
            body_length: part.body_length,
            ambiguous: part.ambiguous,
        };
        Ok(self.message.parts().map_err(error)?.into_iter().map(part).collect())
    }

    fn sha256(&self) -> Result<String, Error> {
        let digest = self.message.sha256(0, self.message.size()).map_err(error)?;
        Ok(digest.iter().map(|octet| format!("{octet:02x}")).collect())
    }

    fn start(&self, scanner: &str, view: &View) -> Result<Self::Scan, Error> {
        let scan = match view {
            View::Message => wit::scan::start(scanner, &self.message),
            View::Part { part, encoding } => wit::scan::start_part(scanner, &self.message, *part, *encoding),
        };
        scan.map_err(error)
    }

    fn wait(&self, scan: Self::Scan) -> Result<Report, Error> {
        let report = scan.wait().map_err(error)?;
        let threat = match report.verdict().as_str() {
            "clean" => None,
            // Whatever the word is, it is not the one for clean.
            _ => Some(report.threat().unwrap_or_else(|| "unnamed".into())),
        };
        Ok(Report { threat, version: report.property("version"), signatures: report.property("signatures") })
    }

    fn annotate(&self, name: &str, value: &str) -> Result<(), Error> {
        self.transaction.annotate(name, value).map_err(error)
    }

    fn record(&self, event: &Event) -> Result<(), Error> {
        let facts = self.facts();
        let record = wit::evidence::Event {
            message_id: if facts.message_id.is_empty() { facts.id.clone() } else { facts.message_id },
            kind: event.kind.to_owned(),
            sender: facts.sender,
            recipients: facts.recipients,
            subject: facts.subject,
            related: vec![facts.id],
            details: event.details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        wit::evidence::append(&record).map_err(error)
    }
}
