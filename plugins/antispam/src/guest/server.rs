//! The imports of the contract during one step.

use super::wit;
use crate::host::{Error, Event, Facts, Host, Report, Signer};
use wit::message::Message;
use wit::passage::{Delivery, Request, Transaction};

/// Octets of one read, as the contract gives them.
const READ: u32 = 64 * 1024;

/// What is in hand.
enum InHand<'a> {
    Transaction(&'a Transaction),
    Delivery(&'a Delivery),
    Nothing,
}

/// The server.
pub struct Server<'a> {
    in_hand: InHand<'a>,
    message: Option<Message>,
}

impl<'a> Server<'a> {
    /// At access and reception.
    pub fn of_transaction(transaction: &'a Transaction) -> Server<'a> {
        Server { message: Some(transaction.message()), in_hand: InHand::Transaction(transaction) }
    }

    /// At delivery and after it.
    pub fn of_delivery(delivery: &'a Delivery) -> Server<'a> {
        Server { message: Some(delivery.message()), in_hand: InHand::Delivery(delivery) }
    }

    /// What somebody asks for.
    pub fn of_request(request: &Request) -> Server<'a> {
        Server { message: request.message(), in_hand: InHand::Nothing }
    }

    /// A wake-up.
    pub fn alone() -> Server<'static> {
        Server { message: None, in_hand: InHand::Nothing }
    }

    fn read(&self, message: &Message, from: u64, length: u64) -> Result<Vec<u8>, Error> {
        let mut octets = Vec::new();
        while (octets.len() as u64) < length {
            let left = (length - octets.len() as u64).min(u64::from(READ)) as u32;
            let piece = message.read(from + octets.len() as u64, left).map_err(error)?;
            if piece.is_empty() {
                break;
            }
            octets.extend(piece);
        }
        Ok(octets)
    }
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

fn nothing_in_hand() -> Error {
    Error::Other("there is no message in hand".into())
}

impl Host for Server<'_> {
    fn now(&self) -> u64 {
        wit::clock::now()
    }

    fn facts(&self) -> Facts {
        let text = |name| self.header_text(name).unwrap_or_default();
        let message_id = text("Message-ID").trim().trim_matches(['<', '>']).to_owned();
        let of_message = Facts { message_id, subject: text("Subject"), ..Facts::default() };
        match &self.in_hand {
            InHand::Transaction(transaction) => Facts {
                id: transaction.id(),
                arrival: transaction.arrival(),
                identity: transaction.identity(),
                sender: transaction.reverse_path(),
                recipients: transaction.recipients(),
                ..of_message
            },
            InHand::Delivery(delivery) => Facts {
                id: delivery.id(),
                sender: delivery.reverse_path(),
                recipients: vec![delivery.recipient()],
                status: delivery.status(),
                ..of_message
            },
            InHand::Nothing => of_message,
        }
    }

    fn property(&self, name: &str) -> Option<String> {
        match &self.in_hand {
            InHand::Transaction(transaction) => transaction.property(name),
            InHand::Delivery(delivery) => delivery.property(name),
            InHand::Nothing => None,
        }
    }

    fn header_count(&self, name: &str) -> u32 {
        self.message.as_ref().map_or(0, |message| message.header_count(name))
    }

    fn header_text(&self, name: &str) -> Option<String> {
        self.message.as_ref()?.header_text(name, 0)
    }

    fn octets(&self, max: u64) -> Result<Vec<u8>, Error> {
        let message = self.message.as_ref().ok_or_else(nothing_in_hand)?;
        self.read(message, 0, message.size().min(max))
    }

    fn inner_octets(&self, max: u64) -> Result<Option<Vec<u8>>, Error> {
        let message = self.message.as_ref().ok_or_else(nothing_in_hand)?;
        let parts = message.parts().map_err(error)?;
        let Some(at) = parts.iter().position(|part| part.media_type == "message/rfc822") else { return Ok(None) };
        let part = &parts[at];
        if matches!(part.transfer_encoding.as_str(), "base64" | "quoted-printable") {
            return message.read_decoded(at as u32).map(Some).map_err(error);
        }
        self.read(message, part.body_offset, part.body_length.min(max)).map(Some)
    }

    fn signer(&self) -> Result<Signer, Error> {
        let message = self.message.as_ref().ok_or_else(nothing_in_hand)?;
        let found = wit::verifier::verify(message).map_err(error)?;
        if !found.present() || !found.intact() {
            return Ok(if found.present() && found.transient() { Signer::Undecided } else { Signer::Nobody });
        }
        if !found.trusted() {
            return Ok(if found.transient() { Signer::Undecided } else { Signer::Nobody });
        }
        let Some(certificate) = found.certificate() else { return Ok(Signer::Nobody) };
        let provider = wit::directory::find_by_certificate(&certificate).map_err(error)?;
        Ok(if provider.is_some() { Signer::Provider } else { Signer::Nobody })
    }

    fn scan(&self, scanner: &str, facts: Vec<(String, String)>) -> Result<Report, Error> {
        let message = self.message.as_ref().ok_or_else(nothing_in_hand)?;
        let scan = wit::scan::start_with(scanner, message, &facts).map_err(error)?;
        let report = scan.wait().map_err(error)?;
        let text = |name: &str| report.property(name).unwrap_or_default();
        let number = |name: &str| -> Result<f64, Error> {
            text(name)
                .parse()
                .map_err(|_| Error::Other(format!("scanner '{scanner}' gives no {name}: is it one for spam?")))
        };
        Ok(Report {
            protocol: text("protocol"),
            score: number("score")?,
            threshold: number("threshold")?,
            action: text("action"),
            symbols: text("symbols"),
        })
    }

    fn annotate(&self, name: &str, value: &str) -> Result<(), Error> {
        match &self.in_hand {
            InHand::Transaction(transaction) => transaction.annotate(name, value).map_err(error),
            InHand::Delivery(delivery) => delivery.annotate(name, value).map_err(error),
            InHand::Nothing => Ok(()),
        }
    }

    fn header_section(&self) -> Result<Vec<u8>, Error> {
        let message = self.message.as_ref().ok_or_else(nothing_in_hand)?;
        self.read(message, 0, message.header_size())
    }

    fn replace_header_section(&self, section: &[u8]) -> Result<(), Error> {
        let (InHand::Delivery(delivery), Some(message)) = (&self.in_hand, &self.message) else {
            return Err(nothing_in_hand());
        };
        let content = wit::content::Content::new();
        content.append(section).map_err(error)?;
        let body = message.header_size();
        content.append_range(message, body, message.size().saturating_sub(body)).map_err(error)?;
        delivery.replace_content(&content).map_err(error)
    }

    fn prepend_header(&self, name: &str, value: &str) -> Result<(), Error> {
        match &self.in_hand {
            InHand::Transaction(transaction) => transaction.prepend_header(name, value.as_bytes()).map_err(error),
            InHand::Delivery(delivery) => delivery.prepend_header(name, value.as_bytes()).map_err(error),
            InHand::Nothing => Err(nothing_in_hand()),
        }
    }

    fn file_into(&self, folder: &str) -> Result<(), Error> {
        match &self.in_hand {
            InHand::Delivery(delivery) => delivery.file_into(folder).map_err(error),
            _ => Err(nothing_in_hand()),
        }
    }

    fn add_flag(&self, flag: &str) -> Result<(), Error> {
        match &self.in_hand {
            InHand::Delivery(delivery) => delivery.add_flag(flag).map_err(error),
            _ => Err(nothing_in_hand()),
        }
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

    fn keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, Error> {
        wit::state::scan(prefix, after, 1000).map_err(error)
    }

    fn wake(&self, key: &str, at: u64) -> Result<(), Error> {
        wit::timers::set(key, at, &[]).map_err(error)
    }

    fn record(&self, event: &Event) -> Result<(), Error> {
        let record = wit::evidence::Event {
            message_id: event.message_id.clone(),
            kind: event.kind.to_owned(),
            sender: event.sender.clone(),
            recipients: event.recipients.clone(),
            subject: event.subject.clone(),
            related: Vec::new(),
            details: event.details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        wit::evidence::append(&record).map_err(error)
    }

    fn submit(&self, key: &str, from: &str, to: &[String], content: &str) -> Result<(), Error> {
        let built = wit::content::Content::new();
        built.append(content.as_bytes()).map_err(error)?;
        wit::submit::submit(key, from, to, &built).map(drop).map_err(error)
    }

    fn new_id(&self) -> String {
        wit::ids::next()
    }

    fn mailbox_status(&self, address: &str) -> Result<String, Error> {
        wit::mailboxes::status(address).map_err(error)
    }

    fn mailbox_setting(&self, address: &str, name: &str) -> Result<Option<String>, Error> {
        wit::mailboxes::setting(address, name).map_err(error)
    }

    fn suspend(&self, address: &str, reason: &str) -> Result<(), Error> {
        wit::accounts::suspend(address, reason).map_err(error)
    }

    fn warn(&self, line: &str) {
        let line: String = line.chars().take(900).collect();
        wit::log::log(wit::log::Level::Warn, &line);
    }
}
