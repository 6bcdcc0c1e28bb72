//! SMTP both ways: the server's session and the client's, each without I/O, and a short tokio driver for each.
//!
//! *What it does*: reads commands, replies and content strictly; asks a [`server::Handler`] about everything that is
//! not protocol; streams content, never holding more than a piece of it; delivers a rope to another server.
//! *What it never does*: decide who may send to whom; store anything; look names up; bind sockets; repair content.
//! *What it trusts*: its handler and its TLS configuration; nothing from the peer, in either role.
//! *Standards*: RFC 5321 (SMTP), RFC 1870 (SIZE), RFC 2034 and RFC 3463 (enhanced codes), RFC 2920 (PIPELINING),
//! RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 6152 (8BITMIME), RFC 6409 (submission), RFC 8314 (implicit TLS).
//! SMTPUTF8, BDAT and DSN parameters are not offered.
//! *When it fails*: the peer gets a reply of [`reply`]'s vocabulary, the log the reason. A message is ours only when
//! [`server::Sink::finish`] returned; a connection that dies before that leaves nothing.
#![forbid(unsafe_code)]

pub mod client;
pub mod data;
pub mod facts;
pub mod limits;
pub mod reply;
pub mod server;
mod stream;
pub mod syntax;
pub mod trace;

pub use facts::{ListenerKind, SessionFacts, TlsFacts, Transaction};
pub use limits::{Limits, Timeouts};
pub use reply::Reply;
