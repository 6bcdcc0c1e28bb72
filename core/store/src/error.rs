//! What can go wrong in the store.

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Something read earlier has changed since: run the step anew.
    #[error("changed meanwhile: {0}")]
    Conflict(String),
    /// No such thing.
    #[error("not found: {0}")]
    NotFound(String),
    /// The thing is already there.
    #[error("already there: {0}")]
    Exists(String),
    /// The argument cannot be stored.
    #[error("{0}")]
    Invalid(String),
    /// Somebody else works on it.
    #[error("{0}")]
    InUse(String),
    /// This user may not.
    #[error("{0}")]
    Denied(String),
    /// As much as is allowed in a time has been done: again later.
    #[error("{0}")]
    Limit(String),
    /// The mailbox has no room.
    #[error("the mailbox is full")]
    Full,
    /// The database said no.
    #[error("database: {0}")]
    Database(#[from] rusqlite::Error),
    /// The disk said no.
    #[error("disk: {0}")]
    Io(#[from] std::io::Error),
    /// A record in the store cannot be read back.
    #[error("damaged record: {0}")]
    Damaged(String),
    /// The transaction of which this was a part could not be made; nothing of it remains, and it may work later.
    #[error("the change was undone: {0}")]
    Undone(String),
    /// An earlier commit failed on the disk: nothing is acknowledged until a restart, because what a failed sync left
    /// behind is unknown.
    #[error("the store stopped after a failed commit: {0}")]
    Stopped(String),
}
