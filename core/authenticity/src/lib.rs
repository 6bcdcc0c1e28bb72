//! What can be proved of the sender of a message that another server brings: SPF, DKIM, DMARC and ARC.
//!
//! *What it does*: asks the DNS, within a limit on time, and says what it found in the words of RFC 8601.
//! *What it never does*: refuse a message, or fail: what could not be found out in time is `temperror`.
//! *What it trusts*: the answers of its resolvers. Everything in the message is a stranger's.
//! *Standards*: RFC 7208, RFC 6376, RFC 7489, RFC 8617, RFC 8601, through `mail-auth`.
//! *When it fails*: with a word; a fault in a check ends that check and not the session.
#![forbid(unsafe_code)]

mod checks;
pub mod field;

use std::net::SocketAddr;
use std::time::Duration;

pub use checks::{Checker, Findings, Question};

/// Signatures of one message that are looked at; of a message with more, those that stand first (attack P21).
pub const SIGNATURES_MAX: usize = 10;
/// Octets of messages in memory at once; others wait for room, so that memory stays bounded whatever is sent at once.
const MEMORY: u64 = 64 * 1024 * 1024;
/// Octets that memory is counted by.
const PAGE: u64 = 1024;
/// Time for one question to one resolver. RFC 7208 §4.6.4 wants at least 20 seconds for all of SPF; a session cannot
/// wait so long, and what is not known then is a temporary error.
const QUESTION: Duration = Duration::from_secs(2);
/// Times that a question is asked.
const ATTEMPTS: usize = 2;
/// Answers that the resolver keeps, each for its time to live.
const CACHE: u64 = 8192;

/// How to check.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who says the results (RFC 8601 §2.5): the name of this server.
    pub authserv_id: String,
    /// Resolvers; those of the system if there are none.
    pub resolvers: Vec<SocketAddr>,
    /// For all checks of a message together.
    pub timeout: Duration,
    /// Largest message of which DKIM and ARC are verified, octets: they want all of it in memory.
    pub message_size: u64,
}

/// Why there is no checker.
#[derive(Debug, thiserror::Error)]
#[error("no DNS resolver: {0}")]
pub struct NoResolver(String);
