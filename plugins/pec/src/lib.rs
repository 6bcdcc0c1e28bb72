//! Italian certified e-mail (*posta elettronica certificata*) as a plugin of the mail server.
//!
//! *What it does*: is the access point, the reception point and the delivery point of a provider: checks what users
//! submit, wraps it in signed transport envelopes, verifies what other providers send, and issues the receipts and
//! notices of each step.
//! *What it never does*: alters an original message beyond its message identifier, holds a key, copies a body, or
//! promises what it cannot prove: every receipt is made from a value that only the verifying function can make.
//! *What it trusts*: the host's parse, signature checks and index of providers. Nothing that a message says of itself.
//! *Standards*: RFC 6109 with the Italian wire words of the rules of 2-11-2005 (`PEC §…` cites its sections),
//! RFC 5322, RFC 2045–2047, RFC 1847, RFC 8551.
//! *When it fails*: the step returns a failure and records nothing; the policy's `on-failure` decides.
// The bindings of the guest contain unsafe code of their own; nothing else may.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]
#![cfg_attr(target_arch = "wasm32", deny(unsafe_code))]

pub mod access_point;
pub mod address;
pub mod anomaly;
pub mod brief;
pub mod certification_data;
pub mod classification;
pub mod content;
pub mod deadlines;
pub mod delivery_point;
pub mod dispatch;
pub mod evidence;
pub mod formal_checks;
pub mod header;
pub mod host;
pub mod inspect;
pub mod legal_time;
pub mod mime;
pub mod ordinary;
pub mod original;
pub mod outcome;
pub mod progress;
pub mod receipt;
pub mod received;
pub mod reception_point;
pub mod scan;
pub mod settings;
pub mod signed_message;
pub mod step;
pub mod text;
pub mod transport_envelope;
pub mod virus;
pub mod wire;

#[cfg(target_arch = "wasm32")]
mod guest;
