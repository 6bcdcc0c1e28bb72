//! Runs text dialogs with an IMAP server: several connections per file, each line sent or expected in order.
//!
//! ```text
//! # why this matters
//! message small            a message for `append`, up to a line `.`
//! 1 connect                TLS from the first byte; `1 clear` connects without TLS
//! 1 -> a LOGIN mario secret-mario
//! 1 <- a OK ...            the next line; `...` stands for anything
//! 1 <* a OK ...            skips lines up to one that fits
//! 1 => raw\r\n             bytes without a line end added
//! 1 append a INBOX (\Seen) small
//! 1 quiet                  nothing has come
//! 1 tls                    the handshake after STARTTLS
//! 1 closed                 the server has closed
//! ```
#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use sigillo_auth::ServerSecret;
use sigillo_imap::{Backend, Options, limits, serve};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tls;

const PATIENCE: Duration = Duration::from_secs(10);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

struct Server {
    backend: Arc<dyn Backend>,
    tls: Arc<rustls::ServerConfig>,
    connector: TlsConnector,
    shutdown: watch::Receiver<bool>,
    _stop: watch::Sender<bool>,
}

impl Server {
    fn start(backend: Arc<dyn Backend>) -> Server {
        let (tls, certificate, _) = tls::tls();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (stop, shutdown) = watch::channel(false);
        Server { backend, tls, connector: TlsConnector::from(Arc::new(client)), shutdown, _stop: stop }
    }

    fn connect(&self, implicit: bool) -> DuplexStream {
        let (ours, theirs) = duplex(64 * 1024);
        let options = Options {
            hostname: "mail.alfa.example".to_owned(),
            tls: self.tls.clone(),
            implicit,
            append_max: limits::APPEND_MAX,
            secret: ServerSecret::from_bytes([1; 32]),
        };
        let peer = "127.0.0.1:1".parse().unwrap();
        tokio::spawn(serve(theirs, peer, options, self.backend.clone(), self.shutdown.clone()));
        ours
    }

    async fn secure(&self, stream: impl Stream + 'static) -> Box<dyn Stream> {
        let name = ServerName::try_from("localhost").unwrap();
        Box::new(self.connector.connect(name, stream).await.unwrap())
    }
}

type Connection = BufReader<Box<dyn Stream>>;

struct Dialog {
    server: Server,
    connections: HashMap<String, Connection>,
    messages: HashMap<String, Vec<u8>>,
}

impl Dialog {
    async fn run(&mut self, text: &str) -> Result<(), String> {
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix("message ") {
                let body: Vec<&str> = lines.by_ref().map(|(_, l)| l).take_while(|l| *l != ".").collect();
                let body: String = body.iter().map(|l| format!("{l}\r\n")).collect();
                self.messages.insert(name.to_owned(), body.into_bytes());
                continue;
            }
            let (who, rest) = line.split_once(' ').ok_or(format!("line {}: {line}", number + 1))?;
            let (verb, argument) = rest.split_once(' ').unwrap_or((rest, ""));
            self.step(who, verb, argument).await.map_err(|why| format!("line {}: {line}\n  {why}", number + 1))?;
        }
        Ok(())
    }

    async fn step(&mut self, who: &str, verb: &str, argument: &str) -> Result<(), String> {
        match verb {
            "connect" => {
                let stream = self.server.connect(true);
                let stream = self.server.secure(stream).await;
                self.connections.insert(who.to_owned(), BufReader::new(stream));
                return Ok(());
            }
            "clear" => {
                let stream: Box<dyn Stream> = Box::new(self.server.connect(false));
                self.connections.insert(who.to_owned(), BufReader::new(stream));
                return Ok(());
            }
            "tls" => {
                let stream = self.connections.remove(who).ok_or("no such connection")?.into_inner();
                let stream = self.server.secure(stream).await;
                self.connections.insert(who.to_owned(), BufReader::new(stream));
                return Ok(());
            }
            _ => {}
        }
        let message = argument.rsplit(' ').next().and_then(|name| self.messages.get(name)).cloned();
        let connection = self.connections.get_mut(who).ok_or("no such connection")?;
        match verb {
            "->" => send(connection, format!("{argument}\r\n").as_bytes()).await,
            "=>" => send(connection, &unescape(argument)).await,
            "<-" => {
                let line = receive(connection).await?;
                if fits(argument, &line) { Ok(()) } else { Err(format!("came: {line}")) }
            }
            "<*" => loop {
                let line = receive(connection).await?;
                if fits(argument, &line) {
                    return Ok(());
                }
            },
            "append" => {
                let message = message.ok_or("no such message")?;
                let (arguments, _) = argument.rsplit_once(' ').ok_or("append what?")?;
                let (tag, arguments) = arguments.split_once(' ').ok_or("append where?")?;
                let command = format!("{tag} APPEND {arguments} {{{}}}\r\n", message.len());
                send(connection, command.as_bytes()).await?;
                let line = receive(connection).await?;
                if !line.starts_with('+') {
                    return Err(format!("came: {line}"));
                }
                send(connection, &[&message, &b"\r\n"[..]].concat()).await
            }
            "quiet" => match timeout(Duration::from_millis(200), connection.fill_buf()).await {
                Err(_) => Ok(()),
                Ok(came) => Err(format!("came: {:?}", came.map(String::from_utf8_lossy))),
            },
            "closed" => {
                let mut rest = Vec::new();
                // A TLS peer that is gone without a farewell is gone, too.
                match timeout(PATIENCE, connection.read_to_end(&mut rest)).await {
                    Err(_) => Err("still open".to_owned()),
                    Ok(_) if rest.is_empty() => Ok(()),
                    Ok(_) => Err(format!("came: {}", String::from_utf8_lossy(&rest))),
                }
            }
            _ => Err("unknown step".to_owned()),
        }
    }
}

async fn send(connection: &mut Connection, bytes: &[u8]) -> Result<(), String> {
    connection.write_all(bytes).await.map_err(|e| e.to_string())?;
    connection.flush().await.map_err(|e| e.to_string())
}

async fn receive(connection: &mut Connection) -> Result<String, String> {
    let mut line = Vec::new();
    match timeout(PATIENCE, connection.read_until(b'\n', &mut line)).await {
        Err(_) => Err("nothing came".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(0)) => Err("the server closed".to_owned()),
        Ok(Ok(_)) => {
            let line = line.strip_suffix(b"\r\n").ok_or("a line without CRLF came")?;
            Ok(String::from_utf8_lossy(line).into_owned())
        }
    }
}

/// `...` stands for anything.
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn unescape(text: &str) -> Vec<u8> {
    text.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0").into_bytes()
}

/// Runs every dialog in a folder, each with a backend of its own, and fails with those that did not go as written. The
/// variable DIALOG chooses some.
pub async fn run_all<F: Future<Output = Arc<dyn Backend>>>(folder: &Path, backend: impl Fn() -> F) {
    let wanted = std::env::var("DIALOG").unwrap_or_default();
    let mut running = tokio::task::JoinSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|e| e != "txt") || !name.contains(&wanted) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let server = Server::start(backend().await);
        running.spawn(async move {
            let mut dialog = Dialog { server, connections: HashMap::new(), messages: HashMap::new() };
            (name, dialog.run(&text).await)
        });
    }
    let count = running.len();
    assert!(count > 0 || !wanted.is_empty(), "no dialogs found");
    let done = running.join_all().await;
    let failures: BTreeMap<String, String> =
        done.into_iter().filter_map(|(name, result)| Some((name, result.err()?))).collect();
    let report: Vec<String> = failures.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    assert!(report.is_empty(), "{} of {count} dialogs failed\n{}", report.len(), report.join("\n"));
}
