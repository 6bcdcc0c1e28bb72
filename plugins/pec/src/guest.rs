//! The thin side: exports of the contract over the library, imports of the contract as its [`Host`].

mod command;

mod bindings {
    #![allow(missing_docs, unsafe_code)]
    wit_bindgen::generate!({
        path: "../../wit",
        inline: r#"
            package sigillo:pec;
            world pec {
                include sigillo:mail/imports@0.1.0;
                export sigillo:mail/lifecycle@0.1.0;
                export sigillo:mail/access@0.1.0;
                export sigillo:mail/reception@0.1.0;
                export sigillo:mail/delivery@0.1.0;
                export sigillo:mail/outcome@0.1.0;
                export sigillo:mail/timer@0.1.0;
                export sigillo:mail/command@0.1.0;
            }
        "#,
        world: "sigillo:pec/pec",
        generate_all,
    });
    export!(Pec with_types_in self);
    use super::Pec;
}

use bindings::exports::sigillo::mail as stage;
use bindings::sigillo::mail as wit;
use wit::passage::{Delivery as WitDelivery, Transaction as WitTransaction};

use crate::content::{Content, Piece};
use crate::evidence::Event;
use crate::host::{
    Address, Arrival, Delivery, Error, Failure, Host, Level, Message, NoMessage, Part, Provider, Reply, Transaction,
    Verdict, Verification,
};
use crate::settings::Settings;
use crate::step::Step;
use crate::{access_point, deadlines, delivery_point, outcome, reception_point};

/// Octets of a line of the operator's log. The contract, `log`.
const LOG_LINE_MAX: usize = 1024;

/// The plugin.
pub struct Pec;

type Outcome = Result<wit::types::Verdict, wit::types::Failure>;

impl stage::lifecycle::Guest for Pec {
    fn configure() -> Result<(), String> {
        let settings = Settings::parse(&wit::settings::get())?;
        let key = &settings.signing_key;
        let names = wit::signer::addresses(key).map_err(|error| format!("signing-key {key}: {error:?}"))?;
        settings.check_key(&names)?;
        if !matches!(wit::directory::is_certified(&settings.service_domain()), Ok(true)) {
            let text = format!(
                "the index of providers has no entry for {}: receipts will not be recognised",
                settings.service_domain()
            );
            wit::log::log(wit::log::Level::Error, &text);
        }
        Ok(())
    }
}

impl stage::access::Guest for Pec {
    fn run(transaction: &WitTransaction) -> Outcome {
        in_transaction(transaction, access_point::run)
    }
}

impl stage::reception::Guest for Pec {
    fn run(transaction: &WitTransaction) -> Outcome {
        in_transaction(transaction, reception_point::run)
    }
}

impl stage::delivery::Guest for Pec {
    fn run(delivery: &WitDelivery) -> Outcome {
        for_recipient(delivery, delivery_point::run)
    }
}

impl stage::outcome::Guest for Pec {
    fn run(delivery: &WitDelivery) -> Outcome {
        for_recipient(delivery, outcome::run)
    }
}

impl stage::timer::Guest for Pec {
    fn run(key: String, payload: Vec<u8>) -> Result<(), wit::types::Failure> {
        run_step(Passage::Wake, |step| deadlines::run(step, &key, &payload))
    }
}

fn in_transaction(transaction: &WitTransaction, run: fn(&Step, &Transaction) -> Result<Verdict, Failure>) -> Outcome {
    let arrival = match transaction.arrival().as_str() {
        "submission" => Arrival::Submission,
        "internal" => Arrival::Internal,
        // What is not known to come from here is judged as a stranger's.
        _ => Arrival::Relay,
    };
    let facts = Transaction {
        id: transaction.id(),
        arrival,
        identity: transaction.identity(),
        reverse_path: transaction.reverse_path(),
        recipients: transaction.recipients(),
    };
    let passage = Passage::Transaction(transaction, transaction.message());
    run_step(passage, |step| run(step, &facts)).map(to_verdict)
}

fn for_recipient(delivery: &WitDelivery, run: fn(&Step, &Delivery) -> Result<Verdict, Failure>) -> Outcome {
    let facts = Delivery {
        id: delivery.id(),
        reverse_path: delivery.reverse_path(),
        recipient: delivery.recipient(),
        status: delivery.status(),
        enhanced: delivery.property("outcome.enhanced"),
        reason: delivery.property("outcome.text"),
    };
    let passage = Passage::Delivery(delivery, delivery.message());
    run_step(passage, |step| run(step, &facts)).map(to_verdict)
}

fn run_step<T>(passage: Passage, run: impl FnOnce(&Step) -> Result<T, Failure>) -> Result<T, wit::types::Failure> {
    let settings = Settings::parse(&wit::settings::get()).map_err(wit::types::Failure::Permanent)?;
    let host = Server { passage };
    Step::begin(&host, &settings).and_then(|step| run(&step)).map_err(|failure| match failure {
        Failure::Transient(text) => wit::types::Failure::Transient(text),
        Failure::Permanent(text) => wit::types::Failure::Permanent(text),
    })
}

/// What a step is about.
enum Passage<'a> {
    Transaction(&'a WitTransaction, wit::message::Message),
    Delivery(&'a WitDelivery, wit::message::Message),
    /// A wake-up: there is no message.
    Wake,
}

/// The imports of the contract during one step.
struct Server<'a> {
    passage: Passage<'a>,
}

impl Server<'_> {
    fn built(&self, content: &Content) -> Result<wit::content::Content, Error> {
        let built = wit::content::Content::new();
        for piece in content.pieces() {
            match (piece, &self.passage) {
                (Piece::Bytes(bytes), _) => built.append(bytes).map_err(to_error)?,
                (Piece::Range { offset, length }, Passage::Transaction(_, message) | Passage::Delivery(_, message)) => {
                    built.append_range(message, *offset, *length).map_err(to_error)?;
                }
                (Piece::Range { .. }, Passage::Wake) => return Err(Error::NotFound),
            }
        }
        Ok(built)
    }
}

impl Host for Server<'_> {
    fn message(&self) -> &dyn Message {
        match &self.passage {
            Passage::Transaction(_, message) | Passage::Delivery(_, message) => message,
            Passage::Wake => &NoMessage,
        }
    }

    fn fact(&self, name: &str) -> Option<String> {
        match &self.passage {
            Passage::Transaction(transaction, _) => transaction.property(name),
            Passage::Delivery(delivery, _) => delivery.property(name),
            Passage::Wake => None,
        }
    }

    fn replace_content(&self, content: &Content) -> Result<(), Error> {
        let content = self.built(content)?;
        match &self.passage {
            Passage::Transaction(transaction, _) => transaction.replace_content(&content),
            Passage::Delivery(delivery, _) => delivery.replace_content(&content),
            Passage::Wake => return Err(Error::NotFound),
        }
        .map_err(to_error)
    }

    fn submit(&self, key: &str, reverse_path: &str, recipients: &[String], content: &Content) -> Result<String, Error> {
        wit::submit::submit(key, reverse_path, recipients, &self.built(content)?).map_err(to_error)
    }

    fn sign(&self, key: &str, content: &Content) -> Result<Vec<u8>, Error> {
        wit::signer::sign(key, &self.built(content)?).map_err(to_error)
    }

    fn verify(&self) -> Result<Verification, Error> {
        let (Passage::Transaction(_, message) | Passage::Delivery(_, message)) = &self.passage else {
            return Err(Error::NotFound);
        };
        Ok(found_verification(&wit::verifier::verify(message).map_err(to_error)?))
    }

    fn is_certified(&self, domain: &str) -> Result<bool, Error> {
        wit::directory::is_certified(domain).map_err(to_error)
    }

    fn provider_of_domain(&self, domain: &str) -> Result<Option<Provider>, Error> {
        wit::directory::find_by_domain(domain).map(|found| found.map(to_provider)).map_err(to_error)
    }

    fn provider_of_certificate(&self, certificate: &[u8]) -> Result<Option<Provider>, Error> {
        wit::directory::find_by_certificate(certificate).map(|found| found.map(to_provider)).map_err(to_error)
    }

    fn mailbox_status(&self, address: &str) -> Result<String, Error> {
        wit::mailboxes::status(address).map_err(to_error)
    }

    fn mailbox_setting(&self, address: &str, name: &str) -> Result<Option<String>, Error> {
        wit::mailboxes::setting(address, name).map_err(to_error)
    }

    fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        wit::state::get(key).map_err(to_error)
    }

    fn state_set(&self, key: &str, value: &[u8], keep_days: u32) -> Result<(), Error> {
        wit::state::set(key, value, keep_days).map_err(to_error)
    }

    fn state_delete(&self, key: &str) -> Result<(), Error> {
        wit::state::delete(key).map_err(to_error)
    }

    fn set_timer(&self, key: &str, at_ms: u64, payload: &[u8]) -> Result<(), Error> {
        wit::timers::set(key, at_ms, payload).map_err(to_error)
    }

    fn cancel_timer(&self, key: &str) -> Result<(), Error> {
        wit::timers::cancel(key).map_err(to_error)
    }

    fn append_event(&self, event: &Event) -> Result<(), Error> {
        wit::evidence::append(&wit::evidence::Event {
            message_id: event.message_id.clone(),
            kind: event.kind.word().to_owned(),
            sender: event.sender.clone(),
            recipients: event.recipients.clone(),
            subject: event.subject.clone(),
            related: event.related.clone(),
            details: event.details.clone(),
        })
        .map_err(to_error)
    }

    fn now(&self) -> u64 {
        wit::clock::now()
    }

    fn utc_offset(&self, zone: &str, at: u64) -> Result<i32, Error> {
        wit::clock::utc_offset(zone, at).map_err(to_error)
    }

    fn next_id(&self) -> String {
        wit::ids::next()
    }

    fn log(&self, level: Level, text: &str) {
        let level = match level {
            Level::Info => wit::log::Level::Info,
            Level::Warn => wit::log::Level::Warn,
            Level::Error => wit::log::Level::Error,
        };
        // The host takes lines of 1 KiB.
        wit::log::log(level, &text[..text.floor_char_boundary(LOG_LINE_MAX)]);
    }
}

impl Message for wit::message::Message {
    fn size(&self) -> u64 {
        self.size()
    }

    fn header_size(&self) -> u64 {
        self.header_size()
    }

    fn header_count(&self, name: &str) -> u32 {
        self.header_count(name)
    }

    fn header_text(&self, name: &str, index: u32) -> Option<String> {
        self.header_text(name, index)
    }

    fn header_field(&self, name: &str, index: u32) -> Option<Vec<u8>> {
        self.header_field(name, index)
    }

    fn addresses(&self, name: &str) -> Result<Vec<Address>, Error> {
        let list = self.addresses(name).map_err(to_error)?;
        Ok(list.into_iter().map(|a| Address { display_name: a.display_name, mailbox: a.mailbox }).collect())
    }

    fn parts(&self) -> Result<Vec<Part>, Error> {
        let part = |part: wit::message::Part| Part {
            parent: part.parent,
            media_type: part.media_type,
            transfer_encoding: part.transfer_encoding,
            filename: part.filename,
            header_offset: part.header_offset,
            body_offset: part.body_offset,
            body_length: part.body_length,
            ambiguous: part.ambiguous,
        };
        Ok(self.parts().map_err(to_error)?.into_iter().map(part).collect())
    }

    fn read(&self, offset: u64, max: u32) -> Result<Vec<u8>, Error> {
        self.read(offset, max).map_err(to_error)
    }

    fn read_decoded(&self, part: u32) -> Result<Vec<u8>, Error> {
        self.read_decoded(part).map_err(to_error)
    }

    fn sha256(&self, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
        self.sha256(offset, length).map_err(to_error)
    }

    fn find(&self, needle: &[u8], offset: u64, length: u64) -> Result<Option<u64>, Error> {
        self.find(needle, offset, length).map_err(to_error)
    }
}

fn found_verification(found: &wit::verifier::Verification) -> Verification {
    Verification {
        present: found.present(),
        intact: found.intact(),
        trusted: found.trusted(),
        problem: found.problem(),
        transient: found.transient(),
        certificate: found.certificate(),
        addresses: found.addresses(),
        signed_part: found.signed_part(),
    }
}

fn to_provider(provider: wit::directory::Provider) -> Provider {
    Provider { name: provider.name(), mail_receipt: provider.mail_receipt() }
}

fn to_error(error: wit::types::Error) -> Error {
    match error {
        wit::types::Error::Denied => Error::Denied,
        wit::types::Error::NotFound => Error::NotFound,
        wit::types::Error::Limit(text) => Error::Limit(text),
        wit::types::Error::Invalid(text) => Error::Invalid(text),
        wit::types::Error::Unavailable(text) => Error::Unavailable(text),
        wit::types::Error::Extra((word, text)) => Error::Extra(word, text),
    }
}

fn to_verdict(verdict: Verdict) -> wit::types::Verdict {
    match verdict {
        Verdict::Continue => wit::types::Verdict::Continue,
        Verdict::Reject(reply) => wit::types::Verdict::Reject(to_reply(reply)),
        Verdict::Defer(reply) => wit::types::Verdict::Defer(to_reply(reply)),
        Verdict::Quarantine(reason) => wit::types::Verdict::Quarantine(reason),
        Verdict::Discard(reason) => wit::types::Verdict::Discard(reason),
    }
}

fn to_reply(reply: Reply) -> wit::types::Reply {
    wit::types::Reply { code: reply.code, enhanced: reply.enhanced.to_owned(), text: reply.text.to_owned() }
}
