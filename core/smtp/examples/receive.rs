//! Listens on loopback with a throw-away certificate and says what arrives: for trying real clients by hand.
//!
//! `cargo run -p sigillo-smtp --example receive -- FOLDER` writes the certificate to `FOLDER/ca.pem` and listens on
//! 127.0.0.1: 12465 (submission, implicit TLS), 12587 (submission, STARTTLS), 12525 (relay). Login `ada`, password
//! `secret`.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use sigillo_auth::{Credential, SaslError, ServerSecret};
use sigillo_mail::{Failure, Mailbox, ReversePath};
use sigillo_smtp::server::{Accepted, Handler, ListenerOptions, Sink, serve};
use sigillo_smtp::syntax::MailParameters;
use sigillo_smtp::{Limits, ListenerKind, SessionFacts, Transaction, trace};
use tokio::net::TcpListener;
use tokio::sync::watch;

struct Teller(Credential);

#[async_trait]
impl Handler for Teller {
    async fn credential(&self, _: &SessionFacts, login: &str) -> Result<Option<Credential>, Failure> {
        Ok((login == "ada").then(|| self.0.clone()))
    }

    fn authenticated(&self, session: &SessionFacts, login: &str, outcome: Result<(), SaslError>) {
        println!("{} login {login}: {outcome:?}", session.id);
    }

    async fn mail(&self, _: &SessionFacts, _: &ReversePath, _: MailParameters) -> Result<(), Failure> {
        Ok(())
    }

    async fn rcpt(&self, _: &SessionFacts, _: &Transaction, _: &Mailbox) -> Result<(), Failure> {
        Ok(())
    }

    async fn data(&self, session: &SessionFacts, transaction: &Transaction) -> Result<Box<dyn Sink>, Failure> {
        print!("{}", trace::received(session, &session.id, 0));
        println!("{:?}", transaction.envelope());
        Ok(Box::new(Counter(0)))
    }
}

struct Counter(usize);

#[async_trait]
impl Sink for Counter {
    async fn write(&mut self, piece: Bytes) -> Result<(), Failure> {
        self.0 += piece.len();
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Accepted, Failure> {
        println!("{} octets", self.0);
        Ok(Accepted { words: format!("counted {} octets", self.0) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: receive FOLDER")?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certified = rcgen::generate_simple_self_signed(names)?;
    std::fs::write(format!("{folder}/ca.pem"), certified.cert.pem())?;
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der())?;
    let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)?;
    let tls = Arc::new(tls);
    let handler = Arc::new(Teller(Credential::new("secret")?));
    let (_stop, stopped) = watch::channel(false);
    for (port, kind, implicit) in [
        (12465, ListenerKind::Submission, true),
        (12587, ListenerKind::Submission, false),
        (12525, ListenerKind::Relay, false),
    ] {
        let options = Arc::new(ListenerOptions {
            kind,
            hostname: "localhost".to_owned(),
            tls: Some(tls.clone()),
            implicit,
            limits: Limits::default(),
            secret: ServerSecret::random(),
        });
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        let (handler, stopped) = (handler.clone(), stopped.clone());
        tokio::spawn(async move {
            while let Ok((socket, peer)) = listener.accept().await {
                tokio::spawn(serve(socket, peer, options.clone(), handler.clone(), stopped.clone()));
            }
        });
    }
    println!("ready");
    tokio::signal::ctrl_c().await?;
    Ok(())
}
