//! Forwarding as a plugin of the mail server: copies of what a mailbox receives, to ordinary addresses.
//!
//! *What it does*: after a message is in its mailbox, sends a copy of it, whole and untouched inside a message that says
//! that it has no legal value; takes the reports about copies, and stops where they do not arrive or go in circles.
//! *What it never does*: alter or delay the message in the mailbox; send more copies than one for an address; let a
//! report about a copy reach whoever sent the message.
//! *What it trusts*: the settings of the mailbox, checked again here, and its own tags. Reports are a stranger's words.
//! *Standards*: the form of SRS for return addresses, RFC 3464 for reports, RFC 3834 for what is made by a machine.
//! *When it fails*: the step returns a failure and records nothing; the message is in the mailbox, and it is tried again.
// The bindings of the guest contain unsafe code of their own; nothing else may.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]
#![cfg_attr(target_arch = "wasm32", deny(unsafe_code))]

pub mod copy;
pub mod destination;
pub mod excerpt;
pub mod forward;
pub mod host;
pub mod loops;
pub mod notice;
pub mod operations;
pub mod record;
pub mod report;
pub mod return_address;
pub mod settings;

mod mime;
mod tag;

#[cfg(target_arch = "wasm32")]
mod guest;
