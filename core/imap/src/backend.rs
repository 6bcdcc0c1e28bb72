//! What IMAP asks of the server: accounts, their folders and the messages in them.
//!
//! An account is its mailbox address. Folder names are checked UTF-8 with `/` between levels; `INBOX` always exists.
//! Every call sees only the account it names: there is no way to ask for another one's folder.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sigillo_auth::Credential;
use sigillo_mail::{Rope, Source};
use tokio::sync::watch;

use crate::flags::{FlagChange, Flags};

/// Unique identifier of a message in its folder, never 0, never used twice ([RFC 3501 §2.3.1.1]).
pub type Uid = u32;
/// Number of a change in a folder; each change gets a higher one ([RFC 7162 §3.1]).
pub type ModSeq = u64;

/// A folder, whatever its name is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FolderId(pub i64);

/// The use that clients make of a folder ([RFC 6154 §2]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialUse {
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl SpecialUse {
    /// The attribute on the wire.
    pub fn attribute(self) -> &'static str {
        match self {
            SpecialUse::Archive => "\\Archive",
            SpecialUse::Drafts => "\\Drafts",
            SpecialUse::Junk => "\\Junk",
            SpecialUse::Sent => "\\Sent",
            SpecialUse::Trash => "\\Trash",
        }
    }

    /// From the attribute, in any case, with or without its backslash.
    pub fn parse(text: &str) -> Option<SpecialUse> {
        let text = text.strip_prefix('\\').unwrap_or(text);
        [SpecialUse::Archive, SpecialUse::Drafts, SpecialUse::Junk, SpecialUse::Sent, SpecialUse::Trash]
            .into_iter()
            .find(|u| u.attribute()[1..].eq_ignore_ascii_case(text))
    }
}

/// One line of LIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Checked name.
    pub name: String,
    /// Whether LSUB shows it.
    pub subscribed: bool,
    /// What clients use it for.
    pub special_use: Option<SpecialUse>,
}

/// The figures of STATUS ([RFC 3501 §6.3.10]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Messages in the folder.
    pub messages: u32,
    /// Messages that no read-write session has been told of.
    pub recent: u32,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// Messages with `\Deleted` (RFC 9208 §3.1.2).
    pub deleted: u32,
    /// Octets of all messages (RFC 8438).
    pub size: u64,
    /// The UID that the next message gets.
    pub uid_next: Uid,
    /// Changes when UIDs start anew.
    pub uid_validity: u32,
    /// The last change.
    pub mod_seq: ModSeq,
}

/// What a session knows of a message without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its identifier.
    pub uid: Uid,
    /// Its flags.
    pub flags: Flags,
    /// When it came, seconds since 1970, UTC.
    pub internal_date: i64,
    /// Octets.
    pub size: u64,
    /// Its last change.
    pub mod_seq: ModSeq,
}

/// A folder at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder.
    pub folder: FolderId,
    /// Changes when UIDs start anew.
    pub uid_validity: u32,
    /// The UID that the next message gets.
    pub uid_next: Uid,
    /// The last change.
    pub mod_seq: ModSeq,
    /// Messages from this UID on are `\Recent` for this session.
    pub recent_from: Uid,
    /// In order of their UIDs.
    pub messages: Vec<Message>,
}

/// What happened in a folder since a [`ModSeq`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The last change.
    pub mod_seq: ModSeq,
    /// The UID that the next message gets.
    pub uid_next: Uid,
    /// Messages that are new or have new flags, in order of their UIDs.
    pub changed: Vec<Message>,
    /// Of the UIDs that the session knows, those that are gone.
    pub vanished: Vec<Uid>,
}

/// Where COPY, MOVE or APPEND put messages ([RFC 4315 §3]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Of the target folder.
    pub uid_validity: u32,
    /// Pairs of the UID there was (0 for APPEND) and the UID in the target, in order.
    pub uids: Vec<(Uid, Uid)>,
}

/// What STORE did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The messages that have the flags now, as they are. Those that are gone are left out.
    pub messages: Vec<Message>,
    /// Messages that had a later change than `unchanged_since` and were left alone.
    pub refused: Vec<Uid>,
}

/// Storage used and allowed ([RFC 9208 §5.1]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Octets used.
    pub used: u64,
    /// Octets allowed; none when there is no limit.
    pub limit: Option<u64>,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// There is no such folder.
    #[error("no such folder")]
    NoSuchFolder,
    /// A folder of that name is there already.
    #[error("folder exists")]
    FolderExists,
    /// The account may hold no more.
    #[error("quota exceeded")]
    OverQuota,
    /// Somebody else works on the message (RFC 5530 §3, INUSE); the words are for the client.
    #[error("{0}")]
    InUse(String),
    /// Not possible for good; the words are for the client.
    #[error("{0}")]
    Refused(String),
    /// Not for this user, or not there at all; the words are for the client.
    #[error("{0}")]
    NotPermitted(String),
    /// Not possible now; the source is for the log only.
    #[error("temporarily unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A message on its way into a folder. Dropping it leaves nothing behind.
#[async_trait]
pub trait Appending: Send {
    /// Takes the next octets.
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackendError>;
    /// Files the message durably. `internal_date` is in seconds since 1970, UTC; without it the present counts.
    async fn commit(self: Box<Self>, flags: Flags, internal_date: Option<i64>) -> Result<Placed, BackendError>;
}

/// The server behind IMAP sessions.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The account and credential of a login name; none when there is no such account or it may not log in.
    async fn credential(&self, login: &str) -> Result<Option<(String, Credential)>, BackendError>;
    /// Why `login`, who has just proved to know the password, may not come in all the same; none if he may. The words
    /// are for the client.
    async fn barred(&self, _login: &str) -> Result<Option<String>, BackendError> {
        Ok(None)
    }
    /// Whether the session of `login`, which began well, may go on: asked before each of its commands.
    async fn admits(&self, _login: &str) -> Result<bool, BackendError> {
        Ok(true)
    }
    /// What answers the session of `login` from now on, where users of one account differ in what they may do.
    async fn for_user(&self, _login: &str) -> Result<Option<Arc<dyn Backend>>, BackendError> {
        Ok(None)
    }
    /// An authentication of `peer` (address and port) ended: for the log, and for whoever counts failures.
    fn authenticated(&self, _peer: &str, _login: &str, _good: bool) {}
    /// A TLS handshake with `peer` ended, with version and cipher or with what went wrong: for the log.
    fn encrypted(&self, _peer: &str, _outcome: Result<&str, &std::io::Error>) {}

    /// Prefixes of what lies beside the account's own folders and is listed with them ([RFC 2342 §5], the third list).
    async fn shared_namespaces(&self, _account: &str) -> Result<Vec<String>, BackendError> {
        Ok(Vec::new())
    }
    /// Whether nothing in a folder of this name can ever be changed: SELECT opens it as EXAMINE does.
    fn is_read_only(&self, _name: &str) -> bool {
        false
    }

    /// All folders, `INBOX` among them.
    async fn folders(&self, account: &str) -> Result<Vec<Folder>, BackendError>;
    /// Makes a folder and the missing ones above it.
    async fn create(&self, account: &str, name: &str) -> Result<(), BackendError>;
    /// Removes a folder and its messages. Those below it stay; a backend may refuse while there are any.
    async fn delete(&self, account: &str, name: &str) -> Result<(), BackendError>;
    /// Renames a folder and those below it. Renaming `INBOX` moves its messages to a new folder ([RFC 3501 §6.3.5]).
    async fn rename(&self, account: &str, from: &str, to: &str) -> Result<(), BackendError>;
    /// Sets whether LSUB shows the folder.
    async fn subscribe(&self, account: &str, name: &str, subscribed: bool) -> Result<(), BackendError>;
    /// The figures of a folder.
    async fn status(&self, account: &str, name: &str) -> Result<Status, BackendError>;
    /// Storage of the account.
    async fn quota(&self, account: &str) -> Result<Quota, BackendError>;

    /// A folder, all its messages, and a value that changes after every later commit that touches it. The value is
    /// watched before the messages are read: a change in between is seen twice, never missed. `claim_recent`: this
    /// session is the one that is told of the recent messages.
    async fn open(
        &self,
        account: &str,
        name: &str,
        claim_recent: bool,
    ) -> Result<(Snapshot, watch::Receiver<u64>), BackendError>;
    /// What happened since `since`, to a session that knows the messages `known` (in order).
    async fn changes(&self, folder: FolderId, since: ModSeq, known: &[Uid]) -> Result<Changes, BackendError>;
    /// The bytes of a message; none when it is gone.
    async fn content(&self, folder: FolderId, uid: Uid) -> Result<Option<(Rope, Arc<dyn Source>)>, BackendError>;

    /// Changes flags in one commit. With `unchanged_since`, messages with a later change are left as they are
    /// ([RFC 7162 §3.1.3]).
    async fn store_flags(
        &self,
        folder: FolderId,
        uids: &[Uid],
        change: &FlagChange,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Stored, BackendError>;
    /// This session reads the bodies of messages: for whoever keeps a history of it.
    async fn reading(&self, _folder: FolderId, _uids: &[Uid]) -> Result<(), BackendError> {
        Ok(())
    }
    /// Sets `\Seen` because this session reads the messages; those whose flags it may not change are left out.
    async fn mark_seen(&self, folder: FolderId, uids: &[Uid]) -> Result<Stored, BackendError> {
        self.store_flags(folder, uids, &FlagChange::Add(Flags::system(Flags::SEEN)), None).await
    }
    /// Removes messages, those that are still there and, with `only_deleted`, still have `\Deleted`.
    async fn expunge(
        &self,
        account: &str,
        folder: FolderId,
        uids: &[Uid],
        only_deleted: bool,
    ) -> Result<(), BackendError>;
    /// Copies messages with flags and dates, all or none; those that are gone are left out.
    async fn copy(&self, folder: FolderId, uids: &[Uid], account: &str, target: &str) -> Result<Placed, BackendError>;
    /// Moves messages in one commit ([RFC 6851]); those that are gone are left out.
    async fn relocate(
        &self,
        folder: FolderId,
        uids: &[Uid],
        account: &str,
        target: &str,
    ) -> Result<Placed, BackendError>;
    /// Begins to take a message of `size` octets.
    async fn append(&self, account: &str, name: &str, size: u64) -> Result<Box<dyn Appending>, BackendError>;
}
