//! The nouns of mail: addresses, the SMTP envelope, failures, and messages as ropes over immutable bytes.
//!
//! *What it does*: gives every other crate one set of checked types, and the one parse of a message's structure
//! that the scanner, the signer, the store and IMAP share.
//! *What it never does*: input or output; bytes on disk are reached through [`rope::Source`].
//! *What it trusts*: nothing. Every value here was made by a parse that can fail.
//! *Standards*: RFC 5321, RFC 5322, RFC 2045–2047, RFC 3463.
//! *When it fails*: with an error that names the value at fault; it never panics on input.
#![forbid(unsafe_code)]

pub mod address;
pub mod envelope;
pub mod failure;
pub mod header;
pub mod rope;
pub mod structure;
pub mod transfer;

pub use address::{AddressError, Domain, Mailbox, ReversePath};
pub use envelope::Envelope;
pub use failure::{EnhancedCode, Failure, Permanence};
pub use header::{Address, Field, HeaderError, HeaderSection};
pub use rope::{Range, Rope, Segment, Source};
pub use structure::{ContentType, Part, Scanner, Structure, StructureError};
