//! What the plugin needs of the server, so that its logic runs without one.

/// Why the server did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A scanner did not answer, or not about all of the content: it may do so later.
    Unavailable(String),
    /// More than the scanner takes: it will not later either.
    TooLarge(String),
    /// Anything else: a grant that is not there, a mistake of this plugin's.
    Other(String),
}

/// One content that is shown to scanners.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// The message as it stands.
    Message,
    /// The body of a part, by its index.
    Part {
        /// Index in the list of parts.
        part: u32,
        /// The transfer encoding to remove; none: the part's own.
        encoding: Option<&'static str>,
    },
}

/// What a scanner said of a view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Its name of what it found; none: clean.
    pub threat: Option<String>,
    /// What it calls itself.
    pub version: Option<String>,
    /// What it says of its signatures.
    pub signatures: Option<String>,
}

/// What matters of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Index of the part that contains this one.
    pub parent: Option<u32>,
    /// In lower case.
    pub transfer_encoding: String,
    /// Octets of the body.
    pub body_length: u64,
    /// Whether readers may disagree about it.
    pub ambiguous: bool,
}

/// The transaction in hand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The server's id.
    pub id: String,
    /// Sender on the envelope.
    pub sender: String,
    /// Recipients on the envelope.
    pub recipients: Vec<String>,
    /// `Message-ID` without angle brackets; empty if there is none.
    pub message_id: String,
    /// Decoded.
    pub subject: String,
}

/// An event for the message log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: &'static str,
    /// By name.
    pub details: Vec<(&'static str, String)>,
}

/// What becomes of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Continue,
    /// It is kept from its recipients, for this reason.
    Quarantine(String),
    /// Refused for good, 5.7.1, with these words.
    Reject(String),
    /// Refused for now, 4.7.1, with these words.
    Defer(String),
}

/// The server during one step.
pub trait Host {
    /// A scan under way.
    type Scan;
    /// The transaction in hand.
    fn facts(&self) -> Facts;
    /// The MIME tree; an error where it has none within the limits.
    fn parts(&self) -> Result<Vec<Part>, Error>;
    /// SHA-256 of the message, hexadecimal.
    fn sha256(&self) -> Result<String, Error>;
    /// Begins to show a view to a scanner; at most [`crate::step::AT_ONCE`] at once.
    fn start(&self, scanner: &str, view: &View) -> Result<Self::Scan, Error>;
    /// Waits for what it says.
    fn wait(&self, scan: Self::Scan) -> Result<Report, Error>;
    /// Leaves a fact for later steps.
    fn annotate(&self, name: &str, value: &str) -> Result<(), Error>;
    /// Appends to the message log.
    fn record(&self, event: &Event) -> Result<(), Error>;
}
