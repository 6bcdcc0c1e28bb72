//! Alerts as a plugin of the mail server: the holder of a mailbox is told by e-mail and SMS that messages arrived.
//!
//! *What it does*: counts what is filed in a mailbox whose administrator allows it, and at the end of each period that the
//! holder chose tells his confirmed addresses and numbers how many of which kind. Nothing arrived, nothing is sent.
//! *What it never does*: say anything of a message (no sender, no subject, no word), write to an address or a number whose
//! owner did not confirm it, count its own alerts, or say the same twice.
//! *What it trusts*: the kind of a message as its header has it; for a count that is enough. An address, a number and a
//! code are a stranger's words.
//! *Standards*: RFC 5322, RFC 3834; E.164. The rows ALR-01 to ALR-09 of the requirements.
//! *When it fails*: the step returns a failure and records nothing; the server runs it again.
// The bindings of the guest contain unsafe code of their own; nothing else may.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]
#![cfg_attr(target_arch = "wasm32", deny(unsafe_code))]

pub mod arrival;
pub mod book;
pub mod contact;
pub mod digest;
pub mod host;
pub mod mail;
pub mod operation;
pub mod outcome;
pub mod settings;
pub mod text;

#[cfg(target_arch = "wasm32")]
mod guest;
