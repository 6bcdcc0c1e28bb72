//! Keeps everything that must survive: queue, mailboxes, plugin state, timers, evidence and message bytes, changed
//! by one transactional commit.
//!
//! *What it does*: merges the commits of all sessions into one transaction and one sync per batch (group commit), and
//! answers only when the disk has them. Message bytes lie in append-only segment files beside the database.
//! *What it never does*: answer before the sync returned; delete content that a row still names; go on after a
//! failed sync (see [`commit`]).
//! *What it trusts*: its own folder, which only one server process may hold.
//! *Standards*: RFC 3501 §2.3 (UIDs), RFC 5321 §6.1 (responsibility for accepted mail), PEC §2.3 (the message log).
//! *When it fails*: with [`StoreError`]; after a failed commit every later write is refused until a restart.
//!
//! States that a crash can leave, and what opening does with each:
//!
//! | on disk | how it came | at open |
//! |---|---|---|
//! | a large segment file that no row names | killed before the commit, or before its space was given back | removed |
//! | bytes at the end of the shared segment file that no row names | killed before the commit | stay as dead space; appending goes on behind them |
//! | a half-written record at the end of the shared segment file | power loss before the sync | as above: no row can name it |
//! | a write-ahead log with whole transactions | killed after the commit | SQLite applies it |
//! | a write-ahead log with a torn transaction | killed during the commit | SQLite drops it; nobody was told 250 |
//! | a segment file whose rows are gone | killed between commit and unlink | removed |
//! | content that only the archive names | the message left its folder | stays: [`archive`] names it |
//! | a request of the outbox in state `waiting` | killed before, while or after its target was asked | asked when due, perhaps again, with the same key |
//! | a request of the outbox in state `ended` | killed before the plugin's `answer` step was committed | the step runs; its commit makes it `known` |
//! | a note of a message that was moved into or out of Junk | killed before, while or after its chain ran | told when due; its commit removes it |
//! | `registro/.*.part` | killed while a log file was written | written anew by the next sealing |
//! | a whole log file that no row names | killed between its rename and the commit | taken as it is by the next sealing, if it continues the chain |
//! | a row with a stamp and no `.tsr` beside the log file | killed between the commit and the rename | written from the row by the next sweep |
//! | a log file whose records are gone | killed between the commit of their removal and the unlink | removed by the next sweep |
#![forbid(unsafe_code)]

pub mod accounts;
pub mod archive;
pub mod charges;
pub mod commit;
pub mod customers;
pub mod error;
pub mod evidence;
pub mod folders;
pub mod imports;
pub mod mailbox;
pub mod messages;
mod migrate;
pub mod outbox;
pub mod plugins;
pub mod quarantine;
pub mod queue;
pub mod recovery;
pub mod refiled;
pub mod removal;
pub mod segments;
pub mod sends;
pub mod standing;
pub mod users;

pub use accounts::{Account, AccountState, Domain, DomainClass, Kind, NewAccount, domains_of};
pub use commit::{Reader, Store, Tx};
pub use error::StoreError;
pub use folders::{Folder, FolderId, Item, Uid};
pub use messages::MessageId;
pub use queue::{Entry, EntryId, NewEntry, Phase};
pub use segments::{Segments, Spool};
pub use users::{NewUser, Role, User};

/// Milliseconds since 1970, UTC.
pub type Millis = u64;

/// Whose requests of the outbox and wake-ups are the server's own. No plugin can be called so: the name of one begins
/// with a letter.
pub const SERVER: &str = "_server";
