//! Legal preservation ("conservazione a norma") as a plugin of the mail server: a shipper, not a preserver.
//!
//! *What it does*: every day it moves what the archives of mailboxes hold since more than 45 days, and the sealed files of
//! the message log, into submission packages (an index in the form of UNI 11386 SInCRO, a time stamp over it, the bytes),
//! deposits them at the operator's preservation system, and lets a message go from the archive in the commit that has
//! the confirmation of its deposit. It finds, shows and exports what was deposited.
//! *What it never does*: let a message go that is not confirmed, change a byte of one, or put one in two confirmed
//! packages. It preserves nothing itself: that is the work of an accredited system outside.
//! *What it trusts*: the server's word that the target took a package (checked by the server's own digest over SFTP and
//! S3), and its own state. An answer's words are a stranger's.
//! *Standards*: UNI 11386:2020 (the form of the index), POSIX.1-1988 ustar (the container), RFC 3161 (the stamp).
//! *When it fails*: the step records nothing and comes again; messages stay in the archive.
// The bindings of the guest contain unsafe code of their own; nothing else may.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]
#![cfg_attr(target_arch = "wasm32", deny(unsafe_code))]

pub mod access;
pub mod answer;
pub mod build;
pub mod daily;
pub mod entry;
pub mod exhibit;
pub mod host;
pub mod index;
pub mod legal_time;
pub mod logs;
pub mod operations;
pub mod pack;
pub mod package;
pub mod receipt;
pub mod run;
pub mod settings;
pub mod space;
pub mod status;
pub mod store;
pub mod tar;
pub mod xml;

#[cfg(target_arch = "wasm32")]
mod guest;
