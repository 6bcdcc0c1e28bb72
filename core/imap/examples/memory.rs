//! An IMAP server whose folders live in memory, to try real clients against:
//! `cargo run -p sigillo-imap --example memory -- FOLDER` writes FOLDER/ca.pem and serves 127.0.0.1:2993 (TLS) and 2143
//! (STARTTLS); the accounts are mario@alfa.example and luigi@alfa.example with the passwords secret-mario, secret-luigi.

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;

use sigillo_auth::ServerSecret;
use sigillo_imap::{Options, limits, serve};
use tokio::net::TcpListener;
use tokio::sync::watch;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let (tls, _, pem) = support::tls::tls();
    std::fs::create_dir_all(&folder)?;
    std::fs::write(format!("{folder}/ca.pem"), pem)?;
    let memory = support::Memory::default();
    memory.account("mario@alfa.example", "secret-mario");
    memory.account("luigi@alfa.example", "secret-luigi");
    let (_stop, shutdown) = watch::channel(false);
    let options = |implicit| Options {
        hostname: "mail.alfa.example".to_owned(),
        tls: tls.clone(),
        implicit,
        append_max: limits::APPEND_MAX,
        secret: ServerSecret::from_bytes([1; 32]),
    };
    let implicit = TcpListener::bind("127.0.0.1:2993").await?;
    let clear = TcpListener::bind("127.0.0.1:2143").await?;
    println!("ready");
    loop {
        let (stream, peer, implicit) = tokio::select! {
            accepted = implicit.accept() => { let (stream, peer) = accepted?; (stream, peer, true) }
            accepted = clear.accept() => { let (stream, peer) = accepted?; (stream, peer, false) }
        };
        let session = serve(stream, peer, options(implicit), Arc::new(memory.clone()), shutdown.clone());
        tokio::spawn(async move {
            if let Err(error) = session.await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}
