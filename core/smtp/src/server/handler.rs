//! What the session asks of the rest of the server.

use std::net::SocketAddr;

use async_trait::async_trait;
use bytes::Bytes;
use sigillo_auth::{Credential, SaslError};
use sigillo_mail::{Failure, Mailbox, ReversePath};

use crate::facts::{ListenerKind, SessionFacts, TlsFacts, Transaction};
use crate::syntax::MailParameters;

/// Answers for everything that is not protocol. A [`Failure`] becomes the reply (`From<&Failure> for Reply`); its
/// detail goes to the log only.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// A client connected. A failure is said instead of the greeting, and the connection ends (RFC 5321 §3.1).
    async fn connect(&self, _session: &SessionFacts) -> Result<(), Failure> {
        Ok(())
    }

    /// The credential of `login`, if there is one. A failure is answered 454: it must not look like a wrong password.
    async fn credential(&self, session: &SessionFacts, login: &str) -> Result<Option<Credential>, Failure>;

    /// Whether `login` may come in once the password has proved right: a permanent failure is answered 535 with its code
    /// and words, so it may only be said then; a transient one is answered 454. Asked at every look-up.
    async fn admits(&self, _session: &SessionFacts, _login: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// An authentication ended: for the log, and for whoever counts failures.
    fn authenticated(&self, _session: &SessionFacts, _login: &str, _outcome: Result<(), SaslError>) {}

    /// A TLS handshake ended: for the log.
    fn encrypted(&self, _peer: SocketAddr, _kind: ListenerKind, _outcome: Result<&TlsFacts, &std::io::Error>) {}

    /// May this client send as `reverse_path`?
    async fn mail(
        &self,
        session: &SessionFacts,
        reverse_path: &ReversePath,
        parameters: MailParameters,
    ) -> Result<(), Failure>;

    /// May this transaction reach `recipient`? The transaction holds those accepted before.
    async fn rcpt(&self, session: &SessionFacts, transaction: &Transaction, recipient: &Mailbox)
    -> Result<(), Failure>;

    /// Where the content of this transaction goes.
    async fn data(&self, session: &SessionFacts, transaction: &Transaction) -> Result<Box<dyn Sink>, Failure>;
}

/// Takes one message's content. Dropped without [`Sink::finish`] when the client went away or the content was refused:
/// nothing of it may remain.
#[async_trait]
pub trait Sink: Send {
    /// The next piece, at most 64 KiB, dots already removed. The next one is read only when this returned. After a
    /// failure the rest is read and thrown away, and the failure is the reply.
    async fn write(&mut self, piece: Bytes) -> Result<(), Failure>;

    /// The content is complete. The message is ours when this returns well: the 250 is sent after it, never before
    /// (RFC 5321 §4.2.5, §6.1).
    async fn finish(self: Box<Self>) -> Result<Accepted, Failure>;
}

/// What to say with the 250.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// One line, such as `queued as 5fb2…`.
    pub words: String,
}
