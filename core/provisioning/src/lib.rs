//! Who may administer what, and the operations by which customers, domains, mailboxes and users come and go.
//!
//! *What it does*: every operation is a function that takes an [`Actor`], asks the table in [`permissions`] whether he
//! may, changes the store, and writes a record of the audit trail in the same commit ([`act`]). The command line calls
//! them; so may whatever speaks for a portal.
//! *What it never does*: write a password or its hash into a record, a report or a message; delete evidence or quarantine.
//! *What it trusts*: its caller about who the actor is; nothing in the files that it is given.
//! *Standards*: NIST SP 800-63B (passwords); RFC 3501 §5.1.3 (names of folders); Maildir++ as Courier and Dovecot write it.
//! *When it fails*: with an [`Error`] that names what, where, and what to do; nothing of the operation remains.
#![forbid(unsafe_code)]

pub mod act;
pub mod actor;
pub mod bulk;
pub mod cessation;
pub mod customers;
pub mod domains;
pub mod error;
pub mod import;
pub mod mailboxes;
pub mod maildir;
pub mod passwords;
pub mod permissions;
pub mod recovery;
pub mod renewal;
pub mod roles;
pub mod settings;
pub mod users;

pub use act::Provisioning;
pub use actor::{Actor, Means};
pub use error::Error;
pub use permissions::{Operation, Role, Subject};
pub use settings::Settings;
