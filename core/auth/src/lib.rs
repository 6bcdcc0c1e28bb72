//! Passwords at rest and the SASL exchanges by which a person proves one.
//!
//! *What it does*: makes and checks storable [`Credential`] records, and runs PLAIN, LOGIN and SCRAM-SHA-256 as state
//! machines ([`Exchange`]) that the SMTP and IMAP sessions drive.
//! *What it never does*: input or output; keeps a password; tells an unknown login from a wrong password.
//! *What it trusts*: the record that its caller fetched for a login, as far as it parses; nothing from the peer.
//! *Standards*: RFC 4422 (SASL), RFC 4616 (PLAIN), RFC 5802 and RFC 7677 (SCRAM-SHA-256), RFC 9106 (Argon2).
//! LOGIN has no RFC; it is what old clients speak (draft-murchison-sasl-login).
//! *When it fails*: the exchange is refused. A malformed record, a malformed message and a wrong password all deny.
//!
//! SASLprep (RFC 4013) is not applied: logins and passwords outside ASCII are compared byte for byte as sent.
#![forbid(unsafe_code)]

pub mod base64;
pub mod credential;
mod memory;
pub mod sasl;
mod scram;

pub use credential::{Credential, CredentialError};
pub use sasl::{Exchange, Mechanism, SaslError, ServerSecret, Step};
