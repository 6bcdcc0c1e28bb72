//! IMAP4rev1 for the mail clients that people use.
//!
//! *What it does*: speaks the protocol over any stream, keeps each session's view of its folder, and asks the server
//! behind it through the narrow [`Backend`]. Messages stream both ways; no session holds one.
//! *What it never does*: bind sockets, touch storage, or log anybody in before TLS.
//! *What it trusts*: the backend. Clients are bounded by [`limits`] from the first byte.
//! *Standards*: RFC 3501 with RFC 2177 (IDLE), 2342, 2971, 3348, 3691, 4315 (UIDPLUS), 4959, 5032, 5161,
//! 5258, 5530, 5819, 6154 (special use), 6851 (MOVE), 7162 (CONDSTORE), 7888 (LITERAL+), 8438, 9208 (QUOTA).
//! *When it fails*: with `NO` and a code of RFC 5530 where the server cannot, with `BAD` where the client errs, with
//! `BYE` where what follows could not be told from commands; the source of a failure goes to the log only.
//!
//! The walk: [`io`] reads → [`frame`] cuts → [`session`] decides → [`command`] asks the [`Backend`] → [`output`] writes.
#![forbid(unsafe_code)]

pub mod backend;
mod command;
mod fetch;
pub mod flags;
mod frame;
pub mod io;
pub mod limits;
pub mod name;
mod output;
mod refusal;
mod search;
mod selected;
mod session;

pub use backend::{
    Appending, Backend, BackendError, Changes, Folder, FolderId, Message, ModSeq, Placed, Quota, Snapshot, SpecialUse,
    Status, Stored, Uid,
};
pub use flags::{FlagChange, FlagError, Flags};
pub use io::{Options, serve};
