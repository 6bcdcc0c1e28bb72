//! Every limit of an IMAP session: a name, a number and where it comes from.

use std::time::Duration;

/// Octets of one line. RFC 7162 §4 asks for 8192 at least; clients with many messages send long sets of UIDs.
pub const LINE_MAX: usize = 64 * 1024;
/// Octets of one line before login: nothing legitimate is longer than a SCRAM or PLAIN response.
pub const LINE_BEFORE_LOGIN_MAX: usize = 12 * 1024;
/// Octets of one command with its literals, APPEND's message apart, which is streamed.
pub const COMMAND_MAX: usize = 128 * 1024;
/// Octets of one literal before login: a user name or a password.
pub const LITERAL_BEFORE_LOGIN_MAX: u64 = 4096;
/// Literals of one command before login: LOGIN has two arguments.
pub const LITERALS_BEFORE_LOGIN_MAX: usize = 2;
/// Literals of one command. SEARCH with many strings is the legitimate case.
pub const LITERALS_MAX: usize = 128;
/// Octets of the non-synchronizing literals that a refused APPEND may still send before the session is closed.
pub const DISCARD_MAX: u64 = 128 * 1024 * 1024;
/// Octets of one message that APPEND takes, unless the configuration says otherwise.
pub const APPEND_MAX: u64 = 128 * 1024 * 1024;

/// Commands before login; a client needs about five.
pub const COMMANDS_BEFORE_LOGIN_MAX: u32 = 64;
/// Failed logins of one connection.
pub const LOGIN_FAILURES_MAX: u32 = 3;
/// Wait before a failed login is answered, so that guessing is slow.
pub const LOGIN_FAILURE_DELAY: Duration = Duration::from_millis(1500);
/// Commands in a row that are no IMAP, after login.
pub const SYNTAX_ERRORS_MAX: u32 = 20;
/// Commands in a row that are no IMAP, before login.
pub const SYNTAX_ERRORS_BEFORE_LOGIN_MAX: u32 = 5;

/// Silence of a client that has not logged in.
pub const BEFORE_LOGIN_TIMEOUT: Duration = Duration::from_secs(60);
/// All the time that a client may take to log in: one byte a minute must not hold a place for days.
pub const BEFORE_LOGIN_TOTAL: Duration = Duration::from_secs(3 * 60);
/// Inactivity autologout timer: at least 30 minutes. RFC 3501 §5.4. A client in IDLE comes back every 29 (RFC 2177 §3).
pub const AUTOLOGOUT: Duration = Duration::from_secs(30 * 60);
/// How often an IDLE without news gets a line, so that address translators keep the connection.
pub const IDLE_KEEPALIVE: Duration = Duration::from_secs(4 * 60);
/// Longest wait for a client to take what it asked for.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Time for a TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Octets of a folder's name, UTF-8. Names become file names in the stores of clients.
pub const FOLDER_NAME_MAX: usize = 1000;
/// Octets of one level of a folder's name.
pub const FOLDER_LEVEL_MAX: usize = 250;
/// Levels of a folder's name.
pub const FOLDER_DEPTH_MAX: usize = 32;
/// Folders of one account.
pub const FOLDERS_MAX: usize = 5000;
/// Wildcards in one LIST pattern: matching time grows with them.
pub const WILDCARDS_MAX: usize = 16;
/// Octets of a keyword.
pub const KEYWORD_MAX: usize = 100;
/// Keywords of one message.
pub const KEYWORDS_MAX: usize = 50;

/// Octets that collect before they are written to the peer.
pub const OUTPUT_CHUNK: usize = 64 * 1024;
/// Parsed structures that a session keeps: clients fetch the parts of one message one after another.
pub const STRUCTURES_KEPT: usize = 4;
/// Octets of a message's header section that are searched and shown; more is cut off.
pub const HEADER_MAX: usize = 1024 * 1024;
/// Levels of nested parts that BODYSTRUCTURE shows; deeper ones are shown as one part of octets.
pub const BODY_DEPTH_MAX: usize = 64;
/// Addresses of one header field that ENVELOPE shows.
pub const ENVELOPE_ADDRESSES_MAX: usize = 10_000;
/// Octets of message content that one SEARCH may read.
pub const SEARCH_READ_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// Pairs of values that ID may send. RFC 2971 §3.3.
pub const ID_PAIRS_MAX: usize = 30;
