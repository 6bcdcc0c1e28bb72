//! Virus scanners as a plugin of the mail server.
//!
//! *What it does*: shows each message to the scanners that the operator names, as a whole and part by part, and says
//! what becomes of one that is infected: a mark for the plugins after it, quarantine, or a refusal.
//! *What it never does*: speak to a scanner itself, change a message, or take for clean what no scanner has called
//! clean: an answer that did not come is a failure of the step.
//! *What it trusts*: the host's word that a scanner has seen all of a content. A scanner's words are a stranger's.
//! *Standards*: RFC 6109 §2.2.4 asks of a provider that infected messages are kept, which the server's quarantine does.
//! *When it fails*: the step returns a failure and records nothing; the policy's `on-failure` decides.
// The bindings of the guest contain unsafe code of their own; nothing else may.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]
#![cfg_attr(target_arch = "wasm32", deny(unsafe_code))]

pub mod host;
pub mod judgement;
pub mod settings;
pub mod step;
pub mod views;

#[cfg(target_arch = "wasm32")]
mod guest;
