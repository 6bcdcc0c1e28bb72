//! What the plugin needs of the server, so that its logic runs without one.

/// Why the server did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Something outside did not answer: it may do so later.
    Unavailable(String),
    /// Anything else: a limit, a grant that is not there, a mistake of this plugin's.
    Other(String),
}

impl Error {
    /// In words.
    pub fn words(&self) -> &str {
        match self {
            Error::Unavailable(why) | Error::Other(why) => why,
        }
    }
}

/// The transaction or the delivery in hand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The same at reception and at delivery.
    pub id: String,
    /// `submission`, `relay` or `internal`; empty at later stages.
    pub arrival: String,
    /// The mailbox that sends.
    pub identity: Option<String>,
    /// Sender on the envelope.
    pub sender: String,
    /// Recipients on the envelope; at later stages one.
    pub recipients: Vec<String>,
    /// `Message-ID` without angle brackets; empty if there is none.
    pub message_id: String,
    /// Decoded.
    pub subject: String,
    /// The word of a delivery, such as `present` or `failed`.
    pub status: String,
}

/// What a scanner says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// What it speaks.
    pub protocol: String,
    /// How bad the message is.
    pub score: f64,
    /// From which score it is sure.
    pub threshold: f64,
    /// What it would do itself, its own word.
    pub action: String,
    /// The rules that were met, its own words.
    pub symbols: String,
}

/// Who signed a message as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// A certified-mail provider of the index; its signature is whole.
    Provider,
    /// Nobody of the kind.
    Nobody,
    /// That cannot be said now.
    Undecided,
}

/// An event for the message log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: &'static str,
    /// Of the message; the server's id where it has none.
    pub message_id: String,
    /// Who sent it, or whom the event is about.
    pub sender: String,
    /// Recipients.
    pub recipients: Vec<String>,
    /// Subject.
    pub subject: String,
    /// By name.
    pub details: Vec<(&'static str, String)>,
}

/// The server during one step. Where there is no message in hand, it is empty.
pub trait Host {
    /// Milliseconds since 1970, UTC, the same for the whole step.
    fn now(&self) -> u64;
    /// The message's way.
    fn facts(&self) -> Facts;
    /// A long-tail fact.
    fn property(&self, name: &str) -> Option<String>;
    /// How many fields have this name.
    fn header_count(&self, name: &str) -> u32;
    /// A field, decoded.
    fn header_text(&self, name: &str) -> Option<String>;
    /// The first octets of the message, at most so many.
    fn octets(&self, max: u64) -> Result<Vec<u8>, Error>;
    /// The first octets of the first message within the message; none where there is none.
    fn inner_octets(&self, max: u64) -> Result<Option<Vec<u8>>, Error>;
    /// Verifies the message's own signature.
    fn signer(&self) -> Result<Signer, Error>;
    /// Shows the message to a scanner, with what is known of it.
    fn scan(&self, scanner: &str, facts: Vec<(String, String)>) -> Result<Report, Error>;
    /// Leaves a fact for later steps of the chain.
    fn annotate(&self, name: &str, value: &str) -> Result<(), Error>;
    /// The header section, with the empty line that ends it.
    fn header_section(&self) -> Result<Vec<u8>, Error>;
    /// Puts another in its place.
    fn replace_header_section(&self, section: &[u8]) -> Result<(), Error>;
    /// Adds a header field above all others.
    fn prepend_header(&self, name: &str, value: &str) -> Result<(), Error>;
    /// Files the message in this folder.
    fn file_into(&self, folder: &str) -> Result<(), Error>;
    /// Sets a flag on the filed message.
    fn add_flag(&self, flag: &str) -> Result<(), Error>;
    /// A value of the plugin's own.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Sets one, for so many days.
    fn set(&self, key: &str, value: &[u8], days: u32) -> Result<(), Error>;
    /// Removes one.
    fn delete(&self, key: &str) -> Result<(), Error>;
    /// Keys that begin so, in order, after one, at most 1,000.
    fn keys(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, Error>;
    /// Asks for a wake-up.
    fn wake(&self, key: &str, at: u64) -> Result<(), Error>;
    /// Appends to the message log.
    fn record(&self, event: &Event) -> Result<(), Error>;
    /// Queues a message.
    fn submit(&self, key: &str, from: &str, to: &[String], content: &str) -> Result<(), Error>;
    /// A name that is unique in the world.
    fn new_id(&self) -> String;
    /// The word for a mailbox: `unknown` where a domain of this server has no such.
    fn mailbox_status(&self, address: &str) -> Result<String, Error>;
    /// What was chosen for a mailbox.
    fn mailbox_setting(&self, address: &str, name: &str) -> Result<Option<String>, Error>;
    /// Closes a mailbox to its user.
    fn suspend(&self, address: &str, reason: &str) -> Result<(), Error>;
    /// A line for the operator.
    fn warn(&self, line: &str);
}
