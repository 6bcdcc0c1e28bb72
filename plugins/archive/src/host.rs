//! What the plugin needs of the server, so that its logic runs without one.

/// Why the server did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It may do so later.
    Unavailable(String),
    /// It will not: a grant that is not there, a mistake of this plugin's.
    Other(String),
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the mailbox.
    Received,
    /// From it.
    Sent,
}

impl Direction {
    /// The word of the contract.
    pub fn word(self) -> &'static str {
        match self {
            Direction::Received => "received",
            Direction::Sent => "sent",
        }
    }
}

/// What the archive of a mailbox holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Octets.
    pub used: u64,
    /// Copies.
    pub count: u64,
    /// When the oldest one was kept, milliseconds since 1970, UTC.
    pub oldest: Option<u64>,
}

/// A copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub id: String,
    /// `received` or `sent`.
    pub direction: String,
    /// When it was kept, milliseconds since 1970, UTC.
    pub kept: u64,
    /// Octets.
    pub size: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// What was kept with it.
    pub properties: Vec<(String, String)>,
}

impl Item {
    /// A property, empty where it has none.
    pub fn property(&self, name: &str) -> &str {
        self.properties.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

/// An event for the message log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: &'static str,
    /// Id of the message, its own.
    pub message_id: String,
    /// Its sender.
    pub sender: String,
    /// The mailbox.
    pub mailbox: String,
    /// Its subject.
    pub subject: String,
    /// Anything more, by name.
    pub details: Vec<(&'static str, String)>,
}

/// The server.
pub trait Host {
    /// Milliseconds since 1970, UTC.
    fn now(&self) -> u64;
    /// Seconds to add to UTC for the legal time.
    fn utc_offset(&self) -> i32;
    /// A unique name of letters, digits and dots.
    fn unique(&self) -> String;
    /// A setting of a mailbox.
    fn setting(&self, mailbox: &str, name: &str) -> Result<Option<String>, Error>;
    /// Whether there is such a mailbox here.
    fn exists(&self, mailbox: &str) -> Result<bool, Error>;
    /// What its archive holds.
    fn usage(&self, mailbox: &str) -> Result<Usage, Error>;
    /// Copies, the oldest first, after one; at most 1,000.
    fn items(&self, mailbox: &str, before: u64, after: Option<&str>, limit: u32) -> Result<Vec<Item>, Error>;
    /// Keeps the message in hand.
    fn keep(
        &self,
        mailbox: &str,
        key: &str,
        direction: Direction,
        properties: &[(String, String)],
    ) -> Result<(), Error>;
    /// Lets a copy go.
    fn release(&self, mailbox: &str, id: &str) -> Result<(), Error>;
    /// A value of this plugin's own.
    fn get(&self, key: &str) -> Result<Option<String>, Error>;
    /// Sets one; without a value it goes.
    fn set(&self, key: &str, value: Option<&str>) -> Result<(), Error>;
    /// Queues a message.
    fn submit(&self, key: &str, from: &str, to: &str, content: &str) -> Result<(), Error>;
    /// Appends to the message log.
    fn record(&self, event: &Event) -> Result<(), Error>;
}
