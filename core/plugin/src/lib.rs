//! The host of WebAssembly plugins: loads what a policy names, runs its chains, and hands back what is to be changed.
//!
//! *What it does*: compiles components once, checks their imports against manifest and grants, and runs each step in
//! a fresh instance with limits of its own. A step reads; what it asks for is recorded, checked and handed on whole
//! when it ends well ([`ChangeSet`]), or dropped whole when it does not.
//! *What it never does*: change the world itself, give a guest files, sockets, the environment or a key, let a guest
//! hold a thread, or let a message go on as if a failed step had run: the policy says what follows a failure.
//! *What it trusts*: the policy, and the server behind [`Services`]. Every byte from a guest is checked.
//! *Standards*: the WebAssembly component model; RFC 5321 and RFC 5322 for what guests hand out.
//! *When it fails*: at load with `sigillo_policy::Diagnostic`s; at run never: a failed step is an outcome.
#![deny(unsafe_code)] // Not forbidden: one function of `cache` loads our own compiled code.

pub mod changes;
pub mod limits;
pub mod operation;
pub mod passage;
pub mod run;
pub mod services;

mod cache;
mod capability;
mod check;
mod command;
mod decoded;
mod engine;
mod grants;
mod host;
mod load;
mod meter;
mod step;
mod verdict;
mod view;
mod world;

pub use changes::Suspension;
pub use changes::{
    ArchiveOp, ChangeSet, Direction, Event, Kept, OutboxRequest, SignatureMade, StateWrite, Submission, TimerOp,
};
pub use command::{Answer, Commands, Inspected};
pub use engine::{Engine, START};
pub use host::{Host, HostError, HostOptions};
pub use load::manifests;
pub use operation::{Operated, Request};
pub use passage::{Answered, Arrival, Passage, with_return_path};
pub use run::{ChainRun, Outcome, Reply, StepRecord};
pub use services::Rating;
pub use services::{
    ArchiveItem, ArchiveUsage, Level, LogFile, MailboxStatus, ScanReport, ServiceError, Services, Signed,
};
