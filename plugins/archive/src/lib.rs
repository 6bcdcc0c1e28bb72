//! The backup archive of a mailbox ("archivio di sicurezza") as a plugin of the mail server.
//!
//! *What it does*: keeps a copy of what a mailbox receives, in the commit that files it, and of what it sends, as its
//! user handed it in; tells the mailbox when its space comes to an end; lets copies go where the administrator allows it.
//! *What it never does*: hold mail up because the space is used, or speak of a copy that is not there.
//! *What it trusts*: the host's figures. Subjects and addresses are strangers' words: kept as text, shown as text.
//! *Standards*: none; the figures are those of the service (ARC-01 to ARC-09), each a setting.
//! *When it fails*: the step returns a failure and records nothing; with `on-failure: defer` the message waits, so that no
//! message is filed without its copy.
// The bindings of the guest contain unsafe code of their own; nothing else may.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]
#![cfg_attr(target_arch = "wasm32", deny(unsafe_code))]

pub mod alert;
pub mod host;
pub mod keeping;
pub mod letting_go;
pub mod settings;
pub mod space;

#[cfg(target_arch = "wasm32")]
mod guest;
