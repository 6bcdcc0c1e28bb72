//! The client's side: a session that owns no socket, and the driver that delivers one message over one connection.

pub mod io;
mod replies;
pub mod session;
pub mod tls;

pub use io::{DeliveryReport, Target, deliver};
pub use session::{Action, Options, Session};
pub use tls::TlsPolicy;
