//! Every limit of the host, with its reason. What a policy may set per step is in `policy::Limits`; these hold always.

use std::time::Duration;

/// One tick of the clock by which guests are interrupted. A tick is also how long a spinning guest keeps a thread
/// before it yields to other sessions.
pub const TICK: Duration = Duration::from_millis(1);
/// Octets that one call returns to a guest at most: what the contract says of `read`.
pub const READ_MAX: u32 = 64 * 1024;
/// Octets of a body that `read-decoded` returns at most, as the contract says.
pub const DECODED_MAX: usize = 1 << 20;
/// Octets of an encoded body that `read-decoded` looks at: quoted-printable takes three octets for one.
pub const ENCODED_MAX: u64 = 3 * DECODED_MAX as u64 + 64 * 1024;
/// Octets that `find` looks for at most, as the contract says.
pub const NEEDLE_MAX: usize = 256;
/// Octets of content under construction. A rope costs nothing per octet, but doubling content by appending it to
/// itself would name petabytes in fifty calls.
pub const CONTENT_MAX: u64 = 256 << 20;
/// Pieces of content under construction: bounds what the doubling of small pieces can take of the host's memory.
pub const SEGMENTS_MAX: usize = 16_384;
/// Resources that a guest holds at once (messages, contents, …).
pub const HANDLES_MAX: usize = 1024;
/// Octets of arguments that one host call copies out of a guest.
pub const HOST_CALL_BYTES_MAX: usize = 4 << 20;
/// Octets of a header field's name. Longer ones exist nowhere.
pub const FIELD_NAME_MAX: usize = 76;
/// Octets of one line of a message, without its line end. RFC 5322 §2.1.1.
pub const LINE_MAX: usize = 998;
/// Octets of one header field that a guest adds.
pub const FIELD_MAX: usize = 64 * 1024;
/// Header fields that one step adds.
pub const FIELDS_PER_STEP_MAX: usize = 256;
/// Messages that one step queues.
pub const SUBMISSIONS_PER_STEP_MAX: usize = 4096;
/// Recipients of one queued message. Above the 100 of RFC 5321 §4.5.3.1.8; a certified message may have 1,000.
pub const RECIPIENTS_MAX: usize = 1000;
/// Signatures that one step asks for: each costs half a millisecond of a processor.
pub const SIGNATURES_PER_STEP_MAX: u32 = 4096;
/// Scans of one step that are under way at once, as the contract says: each holds a connection and some pieces of
/// content.
pub const SCANS_AT_ONCE_MAX: usize = 8;
/// Time stamps of one step, as the contract says: each is an exchange with an authority, which may want money for it.
pub const STAMPS_PER_STEP_MAX: u32 = 64;
/// Log files that `registro.files` returns at most, as the contract says.
pub const LOG_FILES_MAX: u32 = 1000;
/// Octets of a key of `state`, `timers` and `submit`, as the contract says.
pub const KEY_MAX: usize = 512;
/// Octets of a value of `state` or the payload of a timer, as the contract says.
pub const VALUE_MAX: usize = 64 * 1024;
/// Keys that `state.scan` returns at most, as the contract says.
pub const SCAN_MAX: u32 = 1000;
/// Changes of `state`, and likewise of `timers`, that one step records.
pub const WRITES_PER_STEP_MAX: usize = 4096;
/// Keys of `state` that one step reads: each is checked again at the commit.
pub const STATE_READS_PER_STEP_MAX: usize = 4096;
/// Requests to targets outside that one step queues.
pub const OUTBOX_PER_STEP_MAX: usize = 256;
/// Requests of one plugin that wait at once, as the contract says.
pub const OUTBOX_WAITING_MAX: u64 = 10_000;
/// Octets of the key of a request, as the contract says.
pub const OUTBOX_KEY_MAX: usize = 128;
/// Parameters of one request.
pub const OUTBOX_PARAMETER_COUNT_MAX: usize = 64;
/// Octets of the names and values of the parameters of one request.
pub const OUTBOX_PARAMETERS_MAX: usize = 32 * 1024;
/// Events that one step appends to the message log.
pub const EVENTS_PER_STEP_MAX: usize = 4096;
/// Octets of one event.
pub const EVENT_MAX: usize = 64 * 1024;
/// Copies that one step keeps in the archive, as the contract says.
pub const KEEPS_PER_STEP_MAX: usize = 64;
/// Copies that one step lets go, as the contract says.
pub const RELEASES_PER_STEP_MAX: usize = 4096;
/// Copies or mailboxes that one look at the archive returns, as the contract says.
pub const ARCHIVE_PAGE_MAX: u32 = 1000;
/// Properties of one copy, as the contract says.
pub const PROPERTIES_MAX: usize = 16;
/// Octets of the value of one, as the contract says: a subject's length, mostly.
pub const PROPERTY_MAX: usize = 1024;
/// Octets of a line of the operator's log, as the contract says.
pub const LOG_LINE_MAX: usize = 1024;
/// Lines that one step writes to the operator's log, as the contract says.
pub const LOG_LINES_MAX: u32 = 64;
/// Octets of a reply line with its line end. RFC 5321 §4.5.3.1.5.
pub const REPLY_LINE_MAX: usize = 512;
/// Octets of the reason of a verdict or of a failure.
pub const REASON_MAX: usize = 512;
/// Octets of a folder's name. RFC 3501 has no limit; file names of other stores have this one.
pub const FOLDER_MAX: usize = 255;
/// Flags that one step sets.
pub const FLAGS_PER_STEP_MAX: usize = 32;
/// Octets of a flag.
pub const FLAG_MAX: usize = 64;
/// Facts that one step leaves for the steps after it.
pub const ANNOTATIONS_PER_STEP_MAX: usize = 16;
/// Octets of the value of one, as the contract says: a reason's length.
pub const ANNOTATION_MAX: usize = 512;
/// Mailboxes that one step suspends: more at once is no compromised account but a mistake.
pub const SUSPENSIONS_PER_STEP_MAX: usize = 16;
/// Facts of a message that a scanner is told, as the contract says: a thousand recipients and some more.
pub const SCAN_FACTS_MAX: usize = 1100;
/// Octets of one of them.
pub const SCAN_FACT_MAX: usize = 1024;
/// Octets of a plugin's component.
pub const COMPONENT_MAX: u64 = 64 << 20;
/// Memories, tables and instances of one store: a component of one language runtime has a few.
pub const INSTANCES_MAX: usize = 32;
/// Elements of a table. Components of C# and Python go over wasmtime's default of 20,000.
pub const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Linear memory of one guest, whatever the policy says.
pub const MEMORY_MAX: usize = 128 << 20;
/// Processor time of `configure`.
pub const CONFIGURE_CPU: Duration = Duration::from_secs(2);
/// Work on content above this size leaves the session's thread.
pub const INLINE_WORK_MAX: u64 = 256 * 1024;
/// Processor time of a command: the digests of the largest file are taken on other threads and take no more.
pub const COMMAND_CPU: Duration = Duration::from_secs(60);
/// Time of a command by the clock: somebody waits at a terminal, and a file may lie on a slow disk.
pub const COMMAND_WALL: Duration = Duration::from_secs(300);
/// Octets that a command reads: the largest file four times over, for signature, parts and attachments.
pub const COMMAND_READ: u64 = 4 << 30;
/// Processor time of one step of an operation: longer work goes in several steps.
pub const OPERATION_CPU: Duration = Duration::from_secs(30);
/// Time of one step of an operation by the clock.
pub const OPERATION_WALL: Duration = Duration::from_secs(120);
/// Calls of one step of an operation: a thousand items with some hundred calls each.
pub const OPERATION_HOST_CALLS: u64 = 200_000;
/// Octets that one step of an operation reads.
pub const OPERATION_READ: u64 = 4 << 30;
/// Octets of its own that one step of an operation writes.
pub const OPERATION_WRITE: u64 = 64 << 20;
/// Characters of an operation's argument that the log keeps.
pub const LOGGED_ARGUMENT_MAX: usize = 200;
/// Octets of a command's answer, as the contract says.
pub const ANSWER_MAX: usize = 4 << 20;
