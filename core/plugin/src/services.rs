//! What the host asks of the server on behalf of a plugin whose policy grants it.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sigillo_mail::structure::Structure;
use sigillo_mail::{Rope, Source};
use sigillo_trust::{Directory, Verification};

use crate::changes::{Direction, SignatureMade};

/// Why the server could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// Nothing under that name.
    #[error("not found")]
    NotFound,
    /// The argument is not acceptable.
    #[error("{0}")]
    Invalid(String),
    /// Something outside did not answer: the step may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// More than something outside takes.
    #[error("{0}")]
    TooLarge(String),
}

/// A signature, and what the register of signatures says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signed {
    /// Detached CMS SignedData, DER.
    pub der: Vec<u8>,
    /// For the register.
    pub made: SignatureMade,
}

/// State of a mailbox, as `mailboxes.status` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailboxStatus {
    /// It takes mail.
    Present,
    /// No such mailbox in a domain of this server.
    Unknown,
    /// Over its quota.
    Full,
    /// Closed by the operator.
    Disabled,
    /// The domain is not of this server.
    Remote,
}

impl MailboxStatus {
    /// The word of the contract.
    pub fn word(self) -> &'static str {
        match self {
            MailboxStatus::Present => "present",
            MailboxStatus::Unknown => "unknown",
            MailboxStatus::Full => "full",
            MailboxStatus::Disabled => "disabled",
            MailboxStatus::Remote => "remote",
        }
    }
}

/// What a scanner said of all of a content; the words are a stranger's, printable ASCII and bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanReport {
    /// The operator's name of the scanner.
    pub scanner: String,
    /// Its name of what it found; none: it found nothing.
    pub threat: Option<String>,
    /// What it calls itself.
    pub version: Option<String>,
    /// What it says of its signatures.
    pub signatures: Option<String>,
    /// What it speaks.
    pub protocol: String,
    /// How it rates the message, where it does.
    pub rating: Option<Rating>,
}

/// How a scanner rates a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rating {
    /// Thousandths; more is worse.
    pub score: i64,
    /// Thousandths.
    pub threshold: i64,
    /// What the scanner would do.
    pub action: String,
    /// Rules that were met, parted by commas.
    pub symbols: String,
}

/// A sealed file of the message log. Instants are milliseconds since 1970, UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFile {
    /// Its name.
    pub name: String,
    /// The word for its log.
    pub log: &'static str,
    /// Octets.
    pub size: u64,
    /// Of the whole file.
    pub sha256: [u8; 32],
    /// Its first record.
    pub first: u64,
    /// Its last record.
    pub last: u64,
    /// Begin of its period.
    pub since: u64,
    /// End of its period.
    pub until: u64,
    /// When it was closed.
    pub closed: u64,
    /// When it was stamped.
    pub stamped: Option<u64>,
}

/// A copy in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveItem {
    /// Its name.
    pub id: String,
    /// Whose, in lower case.
    pub mailbox: String,
    /// Which way it went.
    pub direction: Direction,
    /// When it was kept, milliseconds since 1970, UTC.
    pub at_ms: u64,
    /// Octets.
    pub size: u64,
    /// Of its bytes.
    pub sha256: [u8; 32],
    /// What the plugin that kept it said of it.
    pub properties: Vec<(String, String)>,
}

/// What the archive of a mailbox holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ArchiveUsage {
    /// Octets.
    pub used: u64,
    /// Copies.
    pub count: u64,
    /// When the oldest one was kept, milliseconds since 1970, UTC.
    pub oldest_ms: Option<u64>,
}

fn no_archive<T>() -> Result<T, ServiceError> {
    Err(ServiceError::Unavailable("there is no archive here".into()))
}

/// What a line of the operator's log obliges an operator to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing; for whoever writes plugins.
    Debug,
    /// Nothing; it explains what happened.
    Info,
    /// Look at it soon.
    Warn,
    /// Act.
    Error,
}

/// The server behind the host. Calls that block must leave the session's thread by themselves; a call may be dropped
/// half-way when a step's time is over.
///
/// The host has already checked the grant, the limits and the shape of every argument.
#[async_trait]
pub trait Services: Send + Sync {
    /// Where the bytes of ropes are read.
    fn source(&self) -> Arc<dyn Source>;
    /// Milliseconds since 1970, UTC.
    fn now_ms(&self) -> u64;
    /// Detached CMS SignedData over `content` by a named key, DER.
    async fn sign(&self, key: &str, content: &Rope) -> Result<Signed, ServiceError>;
    /// The rfc822 names of the named key's certificate.
    fn key_addresses(&self, key: &str) -> Result<Vec<String>, ServiceError>;
    /// Verifies the top-level signature of a message at an instant.
    async fn verify(&self, message: &Rope, structure: &Structure, at_ms: u64) -> Result<Verification, ServiceError>;
    /// The index of providers as it stands.
    fn directory(&self) -> Arc<Directory>;
    /// The state of a mailbox.
    async fn mailbox_status(&self, address: &str) -> Result<MailboxStatus, ServiceError>;
    /// A setting of a mailbox.
    async fn mailbox_setting(&self, address: &str, name: &str) -> Result<Option<String>, ServiceError>;
    /// A value of a plugin's state, with its version. A key that is not there has version 0.
    async fn state_get(&self, plugin: &str, key: &str) -> Result<Option<(Vec<u8>, u64)>, ServiceError>;
    /// Keys of a plugin's state that begin with `prefix`, in order, after `after`, at most `limit`.
    async fn state_scan(
        &self,
        plugin: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, ServiceError>;
    /// Shows content to a scanner, with `encoding` removed where one is given, and waits for what it says. Whatever is
    /// not an answer to all of the content is an error; where there are no scanners, every name is unknown.
    async fn scan(&self, _scanner: &str, _content: &Rope, _: Option<&str>) -> Result<ScanReport, ServiceError> {
        Err(ServiceError::NotFound)
    }
    /// Whether there is an authority for time stamps.
    fn stamps(&self) -> bool {
        false
    }
    /// A TimeStampResp (RFC 3161) over a digest, verified.
    async fn stamp(&self, _sha256: [u8; 32]) -> Result<Vec<u8>, ServiceError> {
        Err(ServiceError::Unavailable("there is no timestamp authority".into()))
    }
    /// Sealed files of the message log that are here, in the order in which they were closed, after one of them.
    async fn log_files(&self, _after: Option<&str>, _limit: u32) -> Result<Vec<LogFile>, ServiceError> {
        Err(ServiceError::Unavailable("there is no message log".into()))
    }
    /// The whole of a sealed file.
    async fn log_file(&self, _name: &str) -> Result<Rope, ServiceError> {
        Err(ServiceError::Unavailable("there is no message log".into()))
    }
    /// The TimeStampResp of a sealed file.
    async fn log_file_stamp(&self, _name: &str) -> Result<Vec<u8>, ServiceError> {
        Err(ServiceError::Unavailable("there is no message log".into()))
    }
    /// HMAC-SHA-256 over data under a key of this plugin alone.
    fn mac(&self, _plugin: &str, _data: &[u8]) -> Result<[u8; 32], ServiceError> {
        Err(ServiceError::Unavailable("this server has no secret".into()))
    }
    /// The copy of a mailbox under a key, if there is one.
    async fn archive_find(&self, _mailbox: &str, _key: &str) -> Result<Option<String>, ServiceError> {
        no_archive()
    }
    /// What the archive of a mailbox holds.
    async fn archive_usage(&self, _mailbox: &str) -> Result<ArchiveUsage, ServiceError> {
        no_archive()
    }
    /// Copies of a mailbox kept before an instant, oldest first, after an id, at most `limit`.
    async fn archive_items(
        &self,
        _mailbox: &str,
        _before_ms: u64,
        _after: Option<&str>,
        _limit: u32,
    ) -> Result<Vec<ArchiveItem>, ServiceError> {
        no_archive()
    }
    /// Mailboxes that have anything in the archive, in order, after one, at most `limit`.
    async fn archive_mailboxes(&self, _after: Option<&str>, _limit: u32) -> Result<Vec<String>, ServiceError> {
        no_archive()
    }
    /// The bytes of one copy.
    async fn archive_open(&self, _mailbox: &str, _id: &str) -> Result<Rope, ServiceError> {
        no_archive()
    }
    /// Whether there is a target of the outbox of this name.
    fn outbox_known(&self, _target: &str) -> bool {
        false
    }
    /// For how many milliseconds a target is asked a request with these parameters and content of this size, if it takes
    /// such a request; `Invalid` says what it does not take. Where there is no outbox, every name is unknown.
    fn outbox_check(&self, _: &str, _parameters: &[(String, String)], _size: Option<u64>) -> Result<u64, ServiceError> {
        Err(ServiceError::NotFound)
    }
    /// How many requests of a plugin have not come to their end.
    async fn outbox_waiting(&self, _plugin: &str) -> Result<u64, ServiceError> {
        Err(ServiceError::Unavailable("there is no outbox here".into()))
    }
    /// The same for a whole message, with what else is known of it.
    async fn scan_with(
        &self,
        scanner: &str,
        content: &Rope,
        _facts: Vec<(String, String)>,
    ) -> Result<ScanReport, ServiceError> {
        self.scan(scanner, content, None).await
    }
    /// Exactly `length` octets from `offset` of what lies at a target.
    async fn outbox_fetch(
        &self,
        _target: &str,
        _parameters: Vec<(String, String)>,
        _offset: u64,
        _length: u64,
    ) -> Result<Rope, ServiceError> {
        Err(ServiceError::Unavailable("there is no outbox here".into()))
    }
    /// A line that a plugin writes for the operator: no control characters, at most 1 KiB.
    fn log(&self, plugin: &str, passage_id: &str, level: Level, text: &str);
}
