//! What the plugin needs of the server, so that its logic runs without one.

/// Why the server did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It may do so later.
    Unavailable(String),
    /// Anything else: a grant that is not there, a mistake of this plugin's.
    Other(String),
}

/// What matters of a part of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Index of the part that contains this one.
    pub parent: Option<u32>,
    /// In lower case.
    pub media_type: String,
    /// In lower case.
    pub transfer_encoding: String,
    /// Whether it has a name, as attachments do.
    pub named: bool,
    /// First octet of the body.
    pub body_offset: u64,
    /// Octets of the body.
    pub body_length: u64,
}

/// Whether a part belongs to a message that is inside the message.
pub fn is_of_inner_message(parts: &[Part], index: usize) -> bool {
    let mut at = parts.get(index).and_then(|part| part.parent);
    while let Some(part) = at.and_then(|at| parts.get(at as usize)) {
        if part.media_type == "message/rfc822" {
            return true;
        }
        // Parents stand before their children, so this ends.
        at = part.parent.filter(|parent| Some(*parent) < at);
    }
    false
}

/// The message in hand.
pub trait Message {
    /// Octets.
    fn size(&self) -> u64;
    /// The first field of that name, unfolded and decoded.
    fn header_text(&self, name: &str) -> Option<String>;
    /// The raw values of all fields of that name.
    fn headers(&self, name: &str) -> Vec<Vec<u8>>;
    /// The MIME tree; an error where it has none within the server's limits.
    fn parts(&self) -> Result<Vec<Part>, Error>;
    /// A parameter of a part's type.
    fn parameter(&self, part: u32, name: &str) -> Option<String>;
    /// At most `max` octets from `offset`, and not more than 64 KiB.
    fn read(&self, offset: u64, max: u32) -> Result<Vec<u8>, Error>;
    /// A body of at most 1 MiB with its transfer encoding removed.
    fn decoded(&self, part: u32) -> Result<Vec<u8>, Error>;
}

/// A piece of new content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These octets.
    Text(Vec<u8>),
    /// The whole message in hand, by reference.
    Message,
}

/// A message to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Tells the messages of one step apart.
    pub key: String,
    /// Where reports go; empty: nowhere.
    pub reverse_path: String,
    /// Whom it is for.
    pub recipient: String,
    /// Its content.
    pub content: Vec<Piece>,
}

/// An event for the message log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: &'static str,
    /// `Message-ID` of the message, without angle brackets; empty if there is none.
    pub message_id: String,
    /// Sender on its envelope.
    pub sender: String,
    /// The address of the forward.
    pub recipients: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// Queue ids of what was made.
    pub related: Vec<String>,
    /// By name.
    pub details: Vec<(&'static str, String)>,
}

/// The server during one step.
pub trait Host {
    /// Milliseconds since 1970, UTC; the same throughout a step.
    fn now(&self) -> u64;
    /// Seconds to add to UTC for the legal time of Italy.
    fn utc_offset(&self) -> Result<i32, Error>;
    /// A new id of letters, digits and dots.
    fn new_id(&self) -> String;
    /// HMAC-SHA-256 under the key of this plugin.
    fn mac(&self, data: &[u8]) -> Result<Vec<u8>, Error>;
    /// A setting of a mailbox.
    fn setting(&self, mailbox: &str, name: &str) -> Result<Option<String>, Error>;
    /// Whether a domain is certified: of any provider.
    fn is_certified(&self, domain: &str) -> Result<bool, Error>;
    /// A value of the state.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Sets a value for so many days.
    fn set(&self, key: &str, value: &[u8], keep_days: u32) -> Result<(), Error>;
    /// Keys that begin so, in order, after one.
    fn keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error>;
    /// Queues a message; returns its id.
    fn submit(&self, letter: &Letter) -> Result<String, Error>;
    /// Appends to the message log.
    fn append(&self, event: &Event) -> Result<(), Error>;
    /// A line for the operator.
    fn warn(&self, text: &str);
}
