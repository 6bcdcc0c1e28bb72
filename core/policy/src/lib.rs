//! From YAML to a checked policy: which plugins run at which stage for which mail, with what rights and limits, and
//! what happens when one fails.
//!
//! *What it does*: reads a policy, a plugin's manifest or any other configuration file of the server with the
//! position of every value, and reports every mistake at once, each where it stands and with a suggestion.
//! *What it never does*: open a file, run a plugin, or guess: what is not said in the policy is not granted, and a
//! value that could be read in two ways is refused.
//! *What it trusts*: the operator's intent, not the operator's spelling. Manifests come from plugin authors and are
//! checked the same way.
//! *Standards*: YAML 1.2 without aliases, anchors' uses, merge keys and tags.
//! *When it fails*: with a list of [`Diagnostic`]s; a policy with one error is no policy.
#![forbid(unsafe_code)]

pub mod diagnostic;
pub mod facts;
pub mod grants;
pub mod limits;
pub mod mailbox_settings;
pub mod manifest;
pub mod yaml;

mod chain;
mod check;
mod parse;
mod pattern;
mod policy;
mod stage;

pub use chain::{Chain, OnFailure, Step};
pub use diagnostic::{Diagnostic, Position, Report, Severity};
pub use facts::{Condition, FactValue, Facts};
pub use grants::{Capability, Grants, OutboxGrant, SubmitGrant, TimerGrant};
pub use limits::Limits;
pub use mailbox_settings::{MailboxSetting, MailboxSettings, SetBy};
pub use manifest::{Argument, CONTRACT, Manifest, Manifests, Operation, is_identifier};
pub use parse::parse;
pub use pattern::AddressPattern;
pub use policy::{Component, Plugin, Policy};
pub use stage::Stage;
