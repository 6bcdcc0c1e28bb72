//! Spam and traffic that is not usual, as a plugin of the mail server.
//!
//! *What it does*: rates ordinary mail in both directions by a scanner (rspamd, spamd) and by a classifier of its own;
//! marks what comes with a band, files it into Junk from a band on, and learns from what users move into and out of it;
//! watches how much each mailbox sends, tells of what is not usual, and suspends a mailbox where the settings want it.
//! *What it never does*: drop or refuse a message, or mark, rate or learn from certified mail.
//! *What it trusts*: the host's verification of a provider's signature. A scanner's words are a stranger's.
//! *Standards*: AgID's rules for providers of certified mail (AS-01 to AS-08); RFC 8601 for the results it reads and for
//! what becomes of marks that a sender wrote.
//! *When it fails*: the message goes on unmarked, and the message log says so.
// The bindings of the guest contain unsafe code of their own; nothing else may.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]
#![cfg_attr(target_arch = "wasm32", deny(unsafe_code))]

pub mod alert;
pub mod certified;
pub mod host;
pub mod incoming;
pub mod learning;
pub mod marks;
pub mod model;
pub mod rating;
pub mod score;
pub mod settings;
pub mod traffic;
pub mod words;

#[cfg(target_arch = "wasm32")]
mod guest;
