//! The server's side: a session that owns no socket, what it asks, and the driver that owns the socket.

mod authentication;
mod commands;
mod content;
mod handler;
mod input;
pub mod io;
mod session;

pub use handler::{Accepted, Handler, Sink};
pub use io::{ListenerOptions, serve};
pub use session::{Event, Options, Session};
