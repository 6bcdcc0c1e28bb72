//! The mail server itself: configuration, listeners, reception, dispatch, administration.
//!
//! *What it does*: puts the other crates together. [`reception`] shows session → chain → commit → 250, [`dispatch`] shows
//! due entry → chain → delivery → commit.
//! *What it never does*: decide about a message; policies and their plugins do. It knows nothing of certified mail.
//! *What it trusts*: its configuration file and its own store.
//! *Standards*: RFC 5321, RFC 6409, RFC 3464 through its parts.
//! *When it fails*: at the start, with every mistake named; later, one message or one session at a time.
#![forbid(unsafe_code)]

pub mod admin;
mod answers;
mod apply;
mod authenticity;
pub mod check;
pub mod config;
pub mod control;
mod deliver;
mod dispatch;
mod evidence;
mod facts;
pub mod imap_service;
pub mod index;
pub mod keys;
mod life;
mod lines;
mod listeners;
mod metrics;
mod monitor;
mod notice;
mod offline;
mod origin;
mod outbox;
mod passage;
mod quota;
mod reception;
mod refiled;
mod renewal;
mod report;
pub mod revocation;
mod secret;
pub mod server;
pub mod services;
mod signatures;
mod text_messages;
mod tls;
mod wake;

pub use config::Config;
pub use server::{Server, StartError};
