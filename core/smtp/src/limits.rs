//! Every limit of the protocol, with its source.

use std::time::Duration;

/// Recipients of one transaction. RFC 5321 §4.5.3.1.8 asks for 100 at least; PEC providers promise 1,000.
pub const RECIPIENTS_MAX: usize = 1000;
/// Octets of one command line with its CRLF. RFC 5321 §4.5.3.1.4 asks for 512, extensions add to it (RFC 1870 §3,
/// RFC 4954 §3).
pub const COMMAND_LINE_MAX: usize = 2048;
/// Octets of one line of an authentication exchange with its CRLF. RFC 4954 §4.
pub const AUTH_LINE_MAX: usize = 12_288 + 2;
/// Octets of an over-long line that are read and thrown away before the session ends: a line without end must not
/// keep us reading.
pub const LINE_DISCARD_MAX: usize = 64 * 1024;
/// Octets of the text of a reply line. RFC 5321 §4.5.3.1.5 has 512 for the line with code and CRLF.
pub const REPLY_TEXT_MAX: usize = 480;
/// Octets of content, unless the configuration says otherwise: 100 MB, what PEC providers promise.
pub const MESSAGE_SIZE: u64 = 100 * 1024 * 1024;
/// Refused commands in one session before it ends (chasquid ends after 3, Postfix after 20).
pub const ERRORS_MAX: u32 = 10;
/// Failed authentications in one session before it ends: guessing must cost connections.
pub const AUTH_FAILURES_MAX: u32 = 3;
/// Refused recipients in one session before it ends: harvesting addresses must cost connections, while a stale
/// mailing list may still be delivered.
pub const REFUSED_RECIPIENTS_MAX: u32 = 100;
/// Commands without a message between them (NOOP, RSET, VRFY, HELP …) before the session ends.
pub const IDLE_COMMANDS_MAX: u32 = 100;
/// Messages in one session; the client may connect again.
pub const TRANSACTIONS_MAX: u32 = 1000;
/// Octets read at once, and so the largest piece of content handed on.
pub const READ_SIZE: usize = 64 * 1024;
/// Octets read at once while commands are awaited: an idle session holds little.
pub const COMMAND_READ_SIZE: usize = 4 * 1024;
/// Octets that must arrive in each [`Limits::data_timeout`] while content is awaited, unless it ends there: a client
/// that sends a byte now and then holds a session, and a sink behind it, for years.
pub const DATA_PROGRESS_MIN: u64 = 16 * 1024;

/// Octets of one line of a reply from another server. RFC 5321 §4.5.3.1.5 has 512; real ones are longer.
pub const PEER_REPLY_LINE_MAX: usize = 2048;
/// Lines of one reply from another server.
pub const PEER_REPLY_LINES_MAX: usize = 100;
/// Octets of one whole reply from another server (what the reply parser keeps).
pub const PEER_REPLY_MAX: usize = 4096;
/// RCPT commands sent at once with PIPELINING: their replies fit in any socket buffer, so that neither side waits
/// for the other to read (RFC 2920 §3.1).
pub const RCPT_GROUP: usize = 50;
/// Whole delivery over one connection, whatever happens: above what a 100 MB message needs on a 2 Mbit/s line.
pub const DELIVERY_MAX: Duration = Duration::from_secs(3600);

/// What the operator may set for a listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Octets of content that are accepted (RFC 1870).
    pub message_size: u64,
    /// Recipients of one transaction.
    pub recipients: usize,
    /// Wait for a whole command. RFC 5321 §4.5.3.2.7.
    pub command_timeout: Duration,
    /// Wait for a block of content. RFC 5321 §4.5.3.2.5 has the client allow 3 minutes; we allow the 5 of a command.
    pub data_timeout: Duration,
    /// Wait for the client to take what we write, and for a TLS handshake.
    pub write_timeout: Duration,
    /// How long to listen for a client that talks before the banner. Zero still catches what came with the
    /// connection; more costs every client that wait.
    pub greet_delay: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_size: MESSAGE_SIZE,
            recipients: RECIPIENTS_MAX,
            command_timeout: Duration::from_secs(300),
            data_timeout: Duration::from_secs(300),
            write_timeout: Duration::from_secs(60),
            greet_delay: Duration::ZERO,
        }
    }
}

/// How long our client waits. RFC 5321 §4.5.3.2 for all but the first.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// For a TCP connection, and for a TLS handshake.
    pub connect: Duration,
    /// For the greeting. §4.5.3.2.1.
    pub greeting: Duration,
    /// For the reply to EHLO, STARTTLS, MAIL and RCPT. §4.5.3.2.2 and §4.5.3.2.3.
    pub command: Duration,
    /// For the 354. §4.5.3.2.4.
    pub data_initiation: Duration,
    /// For the peer to take a block of content. §4.5.3.2.5.
    pub data_block: Duration,
    /// For the reply to the final dot. §4.5.3.2.6.
    pub data_termination: Duration,
    /// For the reply to QUIT, on which nothing depends.
    pub quit: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(30),
            greeting: Duration::from_secs(300),
            command: Duration::from_secs(300),
            data_initiation: Duration::from_secs(120),
            data_block: Duration::from_secs(180),
            data_termination: Duration::from_secs(600),
            quit: Duration::from_secs(5),
        }
    }
}
