//! What the plugin asks of the server: the imports of the contract as one trait, so that the whole logic runs against
//! another host in native tests.

use crate::content::Content;
use crate::evidence::Event;

/// Why the host did not do what was asked; the cases of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Not granted, or no such name.
    Denied,
    /// Nothing under that name.
    NotFound,
    /// A limit of the policy.
    Limit(String),
    /// The argument is not acceptable.
    Invalid(String),
    /// An outside thing did not answer.
    Unavailable(String),
    /// Anything later: a word and its explanation.
    Extra(String, String),
}

/// What the plugin says of itself when it cannot do its work; the policy decides what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may work later.
    Transient(String),
    /// It will not.
    Permanent(String),
}

impl Error {
    /// The failure of a step that needed `what`. A key store or a disk may come back; a missing grant will not.
    pub fn during(self, what: &str) -> Failure {
        match self {
            Error::Unavailable(text) => Failure::Transient(format!("{what}: {text}")),
            Error::Denied => Failure::Permanent(format!("{what}: not granted by the policy")),
            Error::NotFound => Failure::Permanent(format!("{what}: not found")),
            Error::Limit(text) => Failure::Permanent(format!("{what}: limit passed: {text}")),
            Error::Invalid(text) => Failure::Permanent(format!("{what}: {text}")),
            Error::Extra(word, text) => Failure::Permanent(format!("{what}: {word}: {text}")),
        }
    }
}

/// A reply to the SMTP peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 4yz or 5yz.
    pub code: u16,
    /// RFC 3463.
    pub enhanced: &'static str,
    /// One line of printable ASCII.
    pub text: &'static str,
}

/// What a step says of the message in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// For good.
    Reject(Reply),
    /// For now.
    Defer(Reply),
    /// Keep the message from its recipients, for this reason.
    Quarantine(String),
    /// Answer 250 and deliver nothing, for this reason.
    Discard(String),
}

/// An address of a header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Decoded; may be empty.
    pub display_name: String,
    /// Bare address as written.
    pub mailbox: String,
}

/// A part of the MIME tree, in the order of the bytes; offsets from the start of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Index of the part that contains this one.
    pub parent: Option<u32>,
    /// Lower case.
    pub media_type: String,
    /// Lower case.
    pub transfer_encoding: String,
    /// Decoded.
    pub filename: Option<String>,
    /// First octet of the header section.
    pub header_offset: u64,
    /// First octet of the body.
    pub body_offset: u64,
    /// Octets of the body.
    pub body_length: u64,
    /// Whether readers may disagree about this part.
    pub ambiguous: bool,
}

impl Part {
    /// First octet after the body.
    pub fn end(&self) -> u64 {
        self.body_offset.saturating_add(self.body_length)
    }

    /// Whether the file name is this one; providers vary the case.
    pub fn is_named(&self, name: &str) -> bool {
        self.filename.as_deref().is_some_and(|filename| filename.eq_ignore_ascii_case(name))
    }
}

/// The message in hand.
pub trait Message {
    /// Octets.
    fn size(&self) -> u64;
    /// Octets of the header section with the empty line that ends it.
    fn header_size(&self) -> u64;
    /// How many fields have this name.
    fn header_count(&self, name: &str) -> u32;
    /// Unfolded and decoded value.
    fn header_text(&self, name: &str, index: u32) -> Option<String>;
    /// The whole raw field, line end included.
    fn header_field(&self, name: &str, index: u32) -> Option<Vec<u8>>;
    /// Every address of every field of that name.
    fn addresses(&self, name: &str) -> Result<Vec<Address>, Error>;
    /// The MIME tree.
    fn parts(&self) -> Result<Vec<Part>, Error>;
    /// At most `max` octets from `offset`; fewer may come.
    fn read(&self, offset: u64, max: u32) -> Result<Vec<u8>, Error>;
    /// A body without its transfer encoding.
    fn read_decoded(&self, part: u32) -> Result<Vec<u8>, Error>;
    /// SHA-256 of a range.
    fn sha256(&self, offset: u64, length: u64) -> Result<Vec<u8>, Error>;
    /// Where `needle` first occurs in a range.
    fn find(&self, needle: &[u8], offset: u64, length: u64) -> Result<Option<u64>, Error>;
}

/// What is in hand during a wake-up: an empty message.
pub struct NoMessage;

impl Message for NoMessage {
    fn size(&self) -> u64 {
        0
    }

    fn header_size(&self) -> u64 {
        0
    }

    fn header_count(&self, _name: &str) -> u32 {
        0
    }

    fn header_text(&self, _name: &str, _index: u32) -> Option<String> {
        None
    }

    fn header_field(&self, _name: &str, _index: u32) -> Option<Vec<u8>> {
        None
    }

    fn addresses(&self, _name: &str) -> Result<Vec<Address>, Error> {
        Ok(Vec::new())
    }

    fn parts(&self) -> Result<Vec<Part>, Error> {
        Err(Error::NotFound)
    }

    fn read(&self, _offset: u64, _max: u32) -> Result<Vec<u8>, Error> {
        Err(Error::NotFound)
    }

    fn read_decoded(&self, _part: u32) -> Result<Vec<u8>, Error> {
        Err(Error::NotFound)
    }

    fn sha256(&self, _offset: u64, _length: u64) -> Result<Vec<u8>, Error> {
        Err(Error::NotFound)
    }

    fn find(&self, _needle: &[u8], _offset: u64, _length: u64) -> Result<Option<u64>, Error> {
        Ok(None)
    }
}

/// What the verification of the top-level signature found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// A top-level `multipart/signed` with a CMS signature.
    pub present: bool,
    /// Digest and signature are those of the signed part.
    pub intact: bool,
    /// The chain leads to a trusted anchor, in time and not revoked.
    pub trusted: bool,
    /// The first thing found wrong.
    pub problem: Option<String>,
    /// Whether the problem may pass by itself.
    pub transient: bool,
    /// The signer's certificate, DER.
    pub certificate: Option<Vec<u8>>,
    /// Its rfc822 names.
    pub addresses: Vec<String>,
    /// Index of the signed part.
    pub signed_part: Option<u32>,
}

/// A provider of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// `providerName`.
    pub name: String,
    /// `mailReceipt`.
    pub mail_receipt: String,
}

/// What a line of the operator's log obliges to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing: it went as it should.
    Info,
    /// A look, some day.
    Warn,
    /// An act.
    Error,
}

/// The server, during one step.
pub trait Host {
    /// The message in hand.
    fn message(&self) -> &dyn Message;
    /// What a step before this one says of the message in hand, by name; none where no step said it.
    fn fact(&self, name: &str) -> Option<String>;
    /// Puts this content in the place of the message.
    fn replace_content(&self, content: &Content) -> Result<(), Error>;
    /// Queues a message in the same commit; returns its queue id.
    fn submit(&self, key: &str, reverse_path: &str, recipients: &[String], content: &Content) -> Result<String, Error>;
    /// Detached CMS signature over content, DER.
    fn sign(&self, key: &str, content: &Content) -> Result<Vec<u8>, Error>;
    /// Verifies the top-level signature of the message in hand.
    fn verify(&self) -> Result<Verification, Error>;
    /// Whether a provider manages this domain.
    fn is_certified(&self, domain: &str) -> Result<bool, Error>;
    /// The provider that manages this domain.
    fn provider_of_domain(&self, domain: &str) -> Result<Option<Provider>, Error>;
    /// The provider to which this certificate belongs.
    fn provider_of_certificate(&self, certificate: &[u8]) -> Result<Option<Provider>, Error>;
    /// `present`, `unknown`, `full`, `disabled` or `remote`.
    fn mailbox_status(&self, address: &str) -> Result<String, Error>;
    /// A setting of a mailbox of this server; none if it is not set.
    fn mailbox_setting(&self, address: &str, name: &str) -> Result<Option<String>, Error>;
    /// The value under a key of the plugin's state.
    fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Sets a value in the same commit.
    fn state_set(&self, key: &str, value: &[u8], keep_days: u32) -> Result<(), Error>;
    /// Removes a value in the same commit.
    fn state_delete(&self, key: &str) -> Result<(), Error>;
    /// Asks for a wake-up at an instant (milliseconds since 1970), in the same commit; the same key again moves it.
    fn set_timer(&self, key: &str, at_ms: u64, payload: &[u8]) -> Result<(), Error>;
    /// Forgets a wake-up in the same commit.
    fn cancel_timer(&self, key: &str) -> Result<(), Error>;
    /// Appends to the message log in the same commit.
    fn append_event(&self, event: &Event) -> Result<(), Error>;
    /// Milliseconds since 1970, the same throughout the step.
    fn now(&self) -> u64;
    /// Seconds to add to UTC.
    fn utc_offset(&self, zone: &str, at: u64) -> Result<i32, Error>;
    /// A new id of letters, digits and dots.
    fn next_id(&self) -> String;
    /// A line of the operator's log.
    fn log(&self, level: Level, text: &str);
}

/// Where a complete message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// An authenticated user.
    Submission,
    /// Another server.
    Relay,
    /// Queued on this server for a domain of this server.
    Internal,
}

/// A complete message of one transaction.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// The same in the log and the trace field.
    pub id: String,
    /// Where it came from.
    pub arrival: Arrival,
    /// The login of the user.
    pub identity: Option<String>,
    /// Empty for the null path.
    pub reverse_path: String,
    /// Arguments of RCPT, as they came.
    pub recipients: Vec<String>,
}

/// One message for one recipient, at the door of its mailbox or after a remote attempt ended.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The queue entry.
    pub id: String,
    /// Empty for the null path.
    pub reverse_path: String,
    /// The recipient.
    pub recipient: String,
    /// The word of the contract for this stage.
    pub status: String,
    /// `outcome.enhanced`: the code of RFC 3463 that ended a remote delivery.
    pub enhanced: Option<String>,
    /// `outcome.text`: the words that came with it. A stranger's bytes.
    pub reason: Option<String>,
}
