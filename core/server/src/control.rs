//! The control socket: commands that only the running server can carry out (it alone writes message bytes, runs plugins
//! under the policy in force and asks the targets of the outbox).
//!
//! `DATA-DIR/control.sock` is for the user that the server runs as, and for root: its mode says so, and each connection
//! is asked whose it is. A connection carries any number of requests, one after the other; each is a frame (a line of
//! JSON, then `body` octets) and is answered by one. What a request does is on disk before it is answered.

pub mod client;
mod frame;
pub mod import;
mod operation;
pub mod recovery;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sigillo_mail::Source;
use sigillo_store::outbox::RequestName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

pub use frame::{Done, ImportRequest, OperationRequest, Reply, Request, RetryRequest};

use crate::server::{Server, StartError};

/// Connections at once: they are people at terminals, and scripts.
const CONNECTIONS_MAX: usize = 16;
/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(600);
/// Between two attempts to accept after one failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Octets moved at once.
const PIECE: usize = 64 * 1024;

/// Where the socket of a store is.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// The socket, listening.
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // the next start removes what is left
    }
}

/// Listens beside the store, which this process holds: a socket that lies there is left from before.
pub fn open(data_dir: &Path) -> Result<Control, StartError> {
    let path = path(data_dir);
    let wrong = |error: std::io::Error| StartError::System(format!("{}: {error}", path.display()));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(wrong(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(wrong)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(wrong)?;
    let owner = std::fs::metadata(&path).map_err(wrong)?.uid();
    Ok(Control { listener, path, owner })
}

impl Control {
    /// Serves until `shutdown`; what was begun ends before this returns.
    pub async fn serve(self, server: Arc<Server>, mut shutdown: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        while !*shutdown.borrow() {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = shutdown.changed() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a command cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let uid = stream.peer_cred().map(|peer| peer.uid());
            if !uid.as_ref().is_ok_and(|uid| *uid == self.owner || *uid == 0) {
                tracing::warn!(?uid, "a command of another user is not taken");
                continue;
            }
            let Ok(place) = places.clone().acquire_owned().await else { break };
            let (server, mut shutdown) = (server.clone(), shutdown.clone());
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = converse(&server, stream, &mut shutdown).await {
                    tracing::debug!(%error, "a command's connection broke");
                }
            });
        }
        let _all = places.acquire_many(CONNECTIONS_MAX as u32).await;
    }
}

async fn converse(
    server: &Server,
    mut stream: UnixStream,
    shutdown: &mut watch::Receiver<bool>,
) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::with_capacity(PIECE, reader);
    while !*shutdown.borrow() {
        let next = tokio::select! {
            next = tokio::time::timeout(IDLE, frame::read::<Request>(&mut reader, frame::REQUEST_MAX)) => next,
            _ = shutdown.changed() => return Ok(()),
        };
        let Ok(Some((request, body))) = next.map_err(std::io::Error::other)? else { return Ok(()) };
        let done = match request {
            Request::Operation(request) => operation::carry_out(server, request, &mut reader, body).await,
            Request::Import(request) => import::carry_out(server, request, &mut reader, body).await,
            Request::Recovery(request) => recovery::carry_out(server, request, &mut reader, body).await,
            Request::Retry(request) => {
                skip(&mut reader, body).await?;
                retry(server, request).await
            }
        };
        match done {
            Ok(done) => answer(server, &mut writer, done).await?,
            Err(Refusal::Told(words)) => frame::write(&mut writer, &Reply::Failed(words), 0).await?,
            Err(Refusal::Broken(error)) => return Err(error),
        }
        writer.flush().await?;
    }
    Ok(())
}

/// Of the outbox.
async fn retry(server: &Server, request: RetryRequest) -> Result<operation::Carried, Refusal> {
    let name = RequestName { plugin: request.plugin, target: request.target, key: request.key };
    server.retry_request(&name).await.map_err(|error| Refusal::Told(error.to_string()))?;
    Ok(operation::Carried { answer: "{}".to_owned(), valid: None, output: None })
}

/// Why a request was not done.
enum Refusal {
    /// In words for whoever asked; the connection goes on.
    Told(String),
    /// It is not known where the next frame begins.
    Broken(std::io::Error),
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Refusal {
        Refusal::Broken(error)
    }
}

async fn answer(
    server: &Server,
    writer: &mut (impl AsyncWrite + Unpin),
    done: operation::Carried,
) -> std::io::Result<()> {
    let length = done.output.as_ref().map_or(0, sigillo_mail::Rope::len);
    let reply = Reply::Done(Done { answer: done.answer, valid: done.valid, output: done.output.is_some() });
    frame::write(writer, &reply, length).await?;
    let Some(output) = done.output else { return Ok(()) };
    let source = server.store().segments().pin(&output)?;
    let mut offset = 0;
    while offset < length {
        let (rope, source) = (output.clone(), source.clone());
        let piece = tokio::task::spawn_blocking(move || rope.read(&*source as &dyn Source, offset, PIECE)).await??;
        writer.write_all(&piece).await?;
        offset += piece.len() as u64;
    }
    Ok(())
}

/// Reads and drops a body that nobody wants, so that the next frame is found.
async fn skip(reader: &mut (impl AsyncRead + Unpin), body: u64) -> std::io::Result<()> {
    tokio::io::copy(&mut reader.take(body), &mut tokio::io::sink()).await.map(drop)
}
