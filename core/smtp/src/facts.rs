//! What is known of a session and of its transaction: what the handler is shown and the trace field tells.

use std::net::SocketAddr;

use sigillo_mail::{Envelope, Mailbox, ReversePath};

use crate::syntax::MailParameters;

/// Who a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// Our own people, after authentication. RFC 6409.
    Submission,
    /// Other servers.
    Relay,
}

/// The TLS under a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3`.
    pub version: String,
    /// `TLS_AES_256_GCM_SHA384`, its registered name.
    pub cipher: String,
}

impl TlsFacts {
    pub(crate) fn of(connection: &rustls::CommonState) -> TlsFacts {
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLS",
        };
        let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
        TlsFacts { version: version.to_owned(), cipher: cipher.replace("TLS13_", "TLS_") }
    }
}

/// What is known of one session.
#[derive(Debug, Clone)]
pub struct SessionFacts {
    /// Unique among sessions, 16 hexadecimal digits.
    pub id: String,
    /// The listener's kind.
    pub kind: ListenerKind,
    /// The client's address.
    pub peer: SocketAddr,
    /// What we call ourselves.
    pub hostname: String,
    /// What the client calls itself: never verified.
    pub hello: Option<String>,
    /// EHLO rather than HELO.
    pub extended: bool,
    /// TLS, once there is.
    pub tls: Option<TlsFacts>,
    /// The authenticated login as the client wrote it.
    pub identity: Option<String>,
}

impl SessionFacts {
    /// The protocol as a trace field names it (RFC 3848).
    pub fn protocol(&self) -> &'static str {
        match (self.extended, self.tls.is_some(), self.identity.is_some()) {
            (false, ..) => "SMTP",
            (true, false, false) => "ESMTP",
            (true, true, false) => "ESMTPS",
            (true, false, true) => "ESMTPA",
            (true, true, true) => "ESMTPSA",
        }
    }
}

/// From MAIL to the end of the content ([RFC 5321 §3.3]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Argument of MAIL.
    pub reverse_path: ReversePath,
    /// What MAIL said beside it.
    pub parameters: MailParameters,
    /// Accepted arguments of RCPT, in order, without repetitions.
    pub recipients: Vec<Mailbox>,
}

impl Transaction {
    /// The envelope so far.
    pub fn envelope(&self) -> Envelope {
        Envelope {
            reverse_path: self.reverse_path.clone(),
            recipients: self.recipients.clone(),
            eight_bit: self.parameters.eight_bit,
        }
    }
}
