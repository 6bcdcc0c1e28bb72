//! The commands' end of the control socket.

use std::io;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::frame::{self, Done, Reply, Request};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("the server does not run ({0}); this is done by the running server: start it with `sigillo serve`")]
    NotRunning(String),
    /// The connection broke: whether it was done is not known.
    #[error("the server went away before it answered ({0}); look whether it was done before asking again")]
    Broken(io::Error),
    /// The server's words.
    #[error("{0}")]
    Refused(String),
}

/// A connection to the running server of a store.
pub struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Client {
    /// Connects.
    pub async fn connect(data_dir: &Path) -> Result<Client, ClientError> {
        let path = super::path(data_dir);
        let stream = UnixStream::connect(&path).await;
        let stream = stream.map_err(|error| ClientError::NotRunning(format!("{}: {error}", path.display())))?;
        let (reader, writer) = stream.into_split();
        Ok(Client { reader: BufReader::new(reader), writer })
    }

    /// Asks, with a body of exactly `length` octets, and takes the answer; content that comes with it goes to `out`.
    pub async fn ask(
        &mut self,
        request: &Request,
        body: &mut (impl AsyncRead + Unpin),
        length: u64,
        out: &mut (impl AsyncWrite + Unpin),
    ) -> Result<Done, ClientError> {
        frame::write(&mut self.writer, request, length).await.map_err(ClientError::Broken)?;
        let sent = tokio::io::copy(&mut body.take(length), &mut self.writer).await.map_err(ClientError::Broken)?;
        if sent != length {
            return Err(ClientError::Broken(io::Error::other("the file became shorter")));
        }
        self.writer.flush().await.map_err(ClientError::Broken)?;
        let reply = frame::read::<Reply>(&mut self.reader, frame::REPLY_MAX).await.map_err(ClientError::Broken)?;
        let (reply, length) = reply.ok_or_else(|| ClientError::Broken(io::ErrorKind::UnexpectedEof.into()))?;
        let copied = tokio::io::copy(&mut (&mut self.reader).take(length), out).await.map_err(ClientError::Broken)?;
        if copied != length {
            return Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        match reply {
            Reply::Done(done) => Ok(done),
            Reply::Failed(words) => Err(ClientError::Refused(words)),
        }
    }
}
