//! What the plugin asks of the server: the imports of the contract as one trait, so that its logic runs without one.

/// Why the server did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Nothing under that name.
    NotFound,
    /// A limit; the text names it.
    Limit(String),
    /// Something outside did not answer: it may later.
    Unavailable(String),
    /// Anything else: a grant that is not there, an argument that is not taken, a mistake of this plugin's.
    Other(String),
}

impl Error {
    /// In words, of the work that needed it.
    pub fn during(self, what: &str) -> Failure {
        match self {
            Error::Unavailable(why) => Failure::Transient(format!("{what}: {why}")),
            Error::NotFound => Failure::Permanent(format!("{what}: not found")),
            Error::Limit(why) => Failure::Permanent(format!("{what}: limit passed: {why}")),
            Error::Other(why) => Failure::Permanent(format!("{what}: {why}")),
        }
    }
}

/// What the plugin says of itself when it cannot do its work: nothing of the step is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may work later.
    Transient(String),
    /// It will not.
    Permanent(String),
}

impl Failure {
    /// The words.
    pub fn words(&self) -> &str {
        match self {
            Failure::Transient(words) | Failure::Permanent(words) => words,
        }
    }
}

/// A copy in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name; in the order of `kept`.
    pub id: String,
    /// `received` or `sent`.
    pub direction: String,
    /// Milliseconds since 1970, UTC.
    pub kept: u64,
    /// Octets.
    pub size: u64,
    /// Of its bytes.
    pub sha256: Vec<u8>,
}

/// A sealed file of the message log; instants are milliseconds since 1970, UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Its name.
    pub name: String,
    /// `message-log`, `front-end` or `audit`.
    pub log: String,
    /// Octets.
    pub size: u64,
    /// Of the whole file.
    pub sha256: Vec<u8>,
    /// Begin of its period.
    pub since: u64,
    /// End of its period.
    pub until: u64,
    /// When it was closed.
    pub closed: u64,
    /// When it was stamped.
    pub stamped: Option<u64>,
}

/// An event for the message log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: &'static str,
    /// The mailbox, or nothing for a log.
    pub mailbox: String,
    /// The package, the first of the ids that it is found by.
    pub package: String,
    /// More ids.
    pub related: Vec<String>,
    /// By name.
    pub details: Vec<(&'static str, String)>,
}

/// How loud a line for the operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What happened.
    Info,
    /// Look at it soon.
    Warn,
    /// Act.
    Error,
}

/// The server during one step. Reads see what was there when the step began; what is changed is changed with its end.
pub trait Host {
    /// A message in the server's hands.
    type Message;
    /// Content under construction, in the server's hands.
    type Content;

    /// Milliseconds since 1970, UTC: one instant for the whole step.
    fn now(&self) -> u64;
    /// Seconds to add for the legal time of Italy at an instant.
    fn legal_offset(&self, at: u64) -> Result<i32, Error>;
    /// A setting of a mailbox.
    fn setting(&self, mailbox: &str, name: &str) -> Result<Option<String>, Error>;

    /// Mailboxes with anything in the archive, in order, after one.
    fn mailboxes(&self, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error>;
    /// Copies kept before an instant, oldest first, after an id.
    fn items(&self, mailbox: &str, before: u64, after: Option<&str>, limit: u32) -> Result<Vec<Item>, Error>;
    /// One copy.
    fn open(&self, mailbox: &str, id: &str) -> Result<Self::Message, Error>;
    /// Lets a copy go.
    fn release(&self, mailbox: &str, id: &str) -> Result<(), Error>;

    /// Octets of a message.
    fn size(&self, message: &Self::Message) -> u64;
    /// The first field of that name, unfolded and decoded.
    fn header(&self, message: &Self::Message, name: &str) -> Option<String>;
    /// Bare addresses of the fields of that name; none where they cannot be read.
    fn addresses(&self, message: &Self::Message, name: &str) -> Vec<String>;
    /// SHA-256 of all of a message.
    fn message_sha256(&self, message: &Self::Message) -> Result<Vec<u8>, Error>;

    /// Empty content.
    fn content(&self) -> Self::Content;
    /// Adds octets.
    fn append(&self, content: &mut Self::Content, bytes: &[u8]) -> Result<(), Error>;
    /// Adds all of a message, by reference.
    fn append_message(&self, content: &mut Self::Content, message: &Self::Message) -> Result<(), Error>;
    /// Adds other content, by reference.
    fn append_content(&self, content: &mut Self::Content, other: &Self::Content) -> Result<(), Error>;
    /// Octets so far.
    fn length(&self, content: &Self::Content) -> u64;
    /// SHA-256 of all of it.
    fn sha256(&self, content: &Self::Content) -> Result<Vec<u8>, Error>;

    /// A time stamp over a digest, DER of a TimeStampResp.
    fn stamp(&self, sha256: &[u8]) -> Result<Vec<u8>, Error>;

    /// Sealed files of the message log, in the order in which they were closed, after one.
    fn log_files(&self, after: Option<&str>, limit: u32) -> Result<Vec<LogFile>, Error>;
    /// The whole of a file.
    fn log_file(&self, name: &str) -> Result<Self::Content, Error>;
    /// Its stamp.
    fn log_stamp(&self, name: &str) -> Result<Vec<u8>, Error>;

    /// A value of the state.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Sets one, for so many days.
    fn set(&self, key: &str, value: &[u8], days: u32) -> Result<(), Error>;
    /// Removes one.
    fn delete(&self, key: &str) -> Result<(), Error>;
    /// Keys that begin so, in order, after one; at most 1,000. It may not see what this step changes.
    fn scan(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Error>;
    /// Asks for a wake-up.
    fn wake(&self, key: &str, at: u64, payload: &[u8]) -> Result<(), Error>;

    /// Queues a deposit.
    fn queue(
        &self,
        target: &str,
        key: &str,
        parameters: &[(String, String)],
        content: &Self::Content,
    ) -> Result<(), Error>;
    /// Reads back a part of what lies at a target.
    fn fetch(
        &self,
        target: &str,
        parameters: &[(String, String)],
        offset: u64,
        length: u64,
    ) -> Result<Self::Content, Error>;

    /// Appends to the message log.
    fn record(&self, event: &Event) -> Result<(), Error>;
    /// A line for the operator.
    fn log(&self, level: Level, text: &str);
}
