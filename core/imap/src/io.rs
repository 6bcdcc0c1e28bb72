//! The driver: one connection, its TLS, its timers, and the [`Session`] in the middle.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use sigillo_auth::{ServerSecret, base64};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadHalf, split};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use crate::backend::Backend;
use crate::command::append::Incoming;
use crate::frame::{Announced, Frame, Frames};
use crate::limits;
use crate::output::Output;
use crate::refusal::Refusal;
use crate::session::{Literal, Next, Session, Setting, State};

/// How IMAP is served on a listener.
#[derive(Clone)]
pub struct Options {
    /// This server's name, for the greeting.
    pub hostname: String,
    /// TLS with the server's certificate.
    pub tls: Arc<ServerConfig>,
    /// TLS from the first byte (RFC 8314 §3.2) instead of STARTTLS.
    pub implicit: bool,
    /// Octets of the largest message that APPEND takes; [`limits::APPEND_MAX`] unless configured.
    pub append_max: u64,
    /// Makes the answers to unknown logins look like those to known ones.
    pub secret: ServerSecret,
}

/// Serves one connection to its end. `shutdown` becomes true when the server stops: the session then ends after the
/// command in hand. An error says how the connection broke; nothing needs to be done about it.
pub async fn serve<S>(
    stream: S,
    peer: SocketAddr,
    options: Options,
    backend: Arc<dyn Backend>,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let acceptor = TlsAcceptor::from(options.tls.clone());
    let setting = Setting {
        hostname: options.hostname,
        encrypted: options.implicit,
        append_max: options.append_max,
        secret: options.secret,
        peer: peer.to_string(),
    };
    let (log, name) = (backend.clone(), setting.peer.clone());
    let mut session = Session::new(backend, setting);
    let handshake = |stream: S| async {
        let done = timeout(limits::HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await.map_err(io::Error::from).flatten();
        match &done {
            Ok(stream) => log.encrypted(&name, Ok(&facts(stream.get_ref().1))),
            Err(error) => log.encrypted(&name, Err(error)),
        }
        done
    };
    let clear = if options.implicit {
        let stream = handshake(stream).await?;
        return converse(stream, &mut session, true, shutdown).await.map(drop);
    } else {
        converse(stream, &mut session, true, shutdown.clone()).await?
    };
    let Some(stream) = clear else { return Ok(()) };
    let stream = handshake(stream).await?;
    session.setting.encrypted = true;
    converse(stream, &mut session, false, shutdown).await.map(drop)
}

/// Version and cipher of a connection, as they are registered.
fn facts(connection: &rustls::ServerConnection) -> String {
    let version = connection.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
    let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
    format!("{} {}", version.replace('_', "."), cipher.replace("TLS13_", "TLS_"))
}

/// Talks until the end, or until TLS is to begin: then the stream comes back.
async fn converse<S>(
    stream: S,
    session: &mut Session,
    greet: bool,
    shutdown: watch::Receiver<bool>,
) -> io::Result<Option<S>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (reader, mut writer) = split(stream);
    let mut connection = Connection {
        reader,
        frames: Frames::default(),
        shutdown,
        login_by: Instant::now() + limits::BEFORE_LOGIN_TOTAL,
    };
    let mut out = Output::new(&mut writer);
    if greet {
        let (hostname, capabilities) = (&session.setting.hostname, session.capabilities());
        out.untagged(format_args!("OK [CAPABILITY {capabilities}] {hostname} ready"));
        out.flush().await?;
    }
    let upgrade = connection.commands(session, &mut out).await?;
    drop(out);
    Ok(upgrade.then(|| connection.reader.unsplit(writer)))
}

struct Connection<S> {
    reader: ReadHalf<S>,
    frames: Frames,
    shutdown: watch::Receiver<bool>,
    /// When a client that has not logged in is turned away.
    login_by: Instant,
}

/// What reading came to.
enum Input {
    Some,
    /// The client closed, was silent too long, or the server stops: said already where it can be said.
    End,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection<S> {
    /// Takes commands to the end; true when TLS is to begin.
    async fn commands(&mut self, session: &mut Session, out: &mut Output<'_>) -> io::Result<bool> {
        loop {
            let mut next = match self.frames.command(session.line_max()) {
                Frame::More => {
                    out.flush().await?;
                    match self.read(session, out).await? {
                        Input::Some => continue,
                        Input::End => return Ok(false),
                    }
                }
                Frame::TooLong => {
                    out.untagged(format_args!("BYE line too long"));
                    Next::Close
                }
                Frame::Command(command) => session.command(&command, out).await?,
                Frame::Literal(announced) => self.literal(session, announced, out).await?,
            };
            // An AUTHENTICATE or IDLE takes lines until it gives the next command back.
            loop {
                next = match next {
                    Next::Command => break,
                    Next::Close => {
                        out.flush().await?;
                        return Ok(false);
                    }
                    Next::StartTls => {
                        out.flush().await?;
                        // What came before the handshake came in clear, from anybody: nothing of it may become a
                        // command of the encrypted session (CVE-2011-0411 and its kin).
                        return Ok(self.frames.is_empty());
                    }
                    Next::Answer(authenticating) => {
                        out.raw(format!("+ {}\r\n", base64::encode(&authenticating.challenge)));
                        match self.line(session, out).await? {
                            Some(line) => session.respond(authenticating, &line, out).await?,
                            None => Next::Close,
                        }
                    }
                    Next::Idle { tag } => self.idle(tag, session, out).await?,
                }
            }
            if *self.shutdown.borrow() {
                out.untagged(format_args!("BYE server shutting down"));
                out.flush().await?;
                return Ok(false);
            }
        }
    }

    async fn literal(&mut self, session: &mut Session, announced: Announced, out: &mut Output<'_>) -> io::Result<Next> {
        match session.literal(self.frames.so_far(), announced, out).await? {
            Literal::Accept => {
                self.frames.accept(announced.length);
                if announced.waits {
                    out.raw(b"+ go ahead\r\n");
                }
                Ok(Next::Command)
            }
            Literal::Stream(incoming) => {
                self.frames.abandon();
                if announced.waits {
                    out.raw(b"+ go ahead\r\n");
                }
                self.stream(*incoming, session, out).await
            }
            Literal::Refused => {
                self.frames.abandon();
                Ok(Next::Command)
            }
            Literal::Close => Ok(Next::Close),
        }
    }

    /// Hands the message of APPEND on as it comes.
    async fn stream(
        &mut self,
        mut incoming: Incoming,
        session: &mut Session,
        out: &mut Output<'_>,
    ) -> io::Result<Next> {
        out.flush().await?;
        while incoming.left > 0 {
            let piece = self.frames.take(incoming.left);
            if piece.is_empty() {
                match self.read(session, out).await? {
                    Input::Some => continue,
                    Input::End => return Ok(Next::Close),
                }
            }
            incoming.write(piece).await;
        }
        match self.line(session, out).await? {
            Some(end) => session.finish_append(incoming, &end, out).await,
            None => Ok(Next::Close),
        }
    }

    /// The next line alone; none when the connection is at its end.
    async fn line(&mut self, session: &Session, out: &mut Output<'_>) -> io::Result<Option<bytes::Bytes>> {
        loop {
            match self.frames.line(session.line_max()) {
                Frame::Command(line) => return Ok(Some(line)),
                Frame::TooLong => {
                    out.untagged(format_args!("BYE line too long"));
                    return Ok(None);
                }
                _ => {}
            }
            out.flush().await?;
            if matches!(self.read(session, out).await?, Input::End) {
                return Ok(None);
            }
        }
    }

    /// Waits for bytes, for the timer of the state, or for the server's end.
    async fn read(&mut self, session: &Session, out: &mut Output<'_>) -> io::Result<Input> {
        let now = Instant::now();
        let until = match session.is_authenticated() {
            true => now + limits::AUTOLOGOUT,
            false => self.login_by.min(now + limits::BEFORE_LOGIN_TIMEOUT),
        };
        let input = self.frames.input();
        input.reserve(READ_SIZE);
        tokio::select! {
            read = timeout_at(until, self.reader.read_buf(input)) => match read {
                Ok(Ok(0)) => Ok(Input::End),
                Ok(Ok(_)) => Ok(Input::Some),
                Ok(Err(error)) => Err(error),
                Err(_) => {
                    out.untagged(format_args!("BYE [UNAVAILABLE] no command for too long"));
                    out.flush().await?;
                    Ok(Input::End)
                }
            },
            () = stopped(&mut self.shutdown) => {
                out.untagged(format_args!("BYE server shutting down"));
                out.flush().await?;
                Ok(Input::End)
            }
        }
    }

    /// IDLE ([RFC 2177]): news as it comes, until DONE.
    async fn idle(&mut self, tag: String, session: &mut Session, out: &mut Output<'_>) -> io::Result<Next> {
        let end = Instant::now() + limits::AUTOLOGOUT;
        loop {
            match self.frames.line(session.line_max()) {
                Frame::Command(line) => {
                    let done = match line.trim_ascii().eq_ignore_ascii_case(b"DONE") {
                        true => Ok("IDLE completed".into()),
                        false => Err(Refusal::bad("DONE expected")),
                    };
                    return session.complete(&tag, done, out);
                }
                Frame::TooLong => return Ok(Next::Close),
                _ => {}
            }
            out.flush().await?;
            let news = async {
                match &mut session.state {
                    State::Selected(selected) => selected.watch.changed().await.is_ok(),
                    _ => std::future::pending().await,
                }
            };
            let wake = end.min(Instant::now() + limits::IDLE_KEEPALIVE);
            let input = self.frames.input();
            input.reserve(READ_SIZE);
            tokio::select! {
                read = self.reader.read_buf(input) => if read? == 0 { return Ok(Next::Close) },
                alive = news => {
                    if !alive {
                        // The backend is gone; only the end is left.
                        return session.complete(&tag, Err(Refusal::Bye("server shutting down")), out);
                    }
                    if let Err(refusal) = session.news(out).await {
                        return session.complete(&tag, Err(refusal), out);
                    }
                    // A burst of changes is told in one go.
                    tokio::time::sleep(NEWS_PAUSE).await;
                }
                () = stopped(&mut self.shutdown) => {
                    return session.complete(&tag, Err(Refusal::Bye("server shutting down")), out);
                }
                _ = tokio::time::sleep_until(wake) => {
                    if Instant::now() >= end {
                        return session.complete(&tag, Err(Refusal::Bye("idle for too long")), out);
                    }
                    out.untagged(format_args!("OK still here"));
                }
            }
        }
    }
}

/// Octets asked for at once.
const READ_SIZE: usize = 16 * 1024;
/// Between two reports of an IDLE.
const NEWS_PAUSE: Duration = Duration::from_millis(50);

/// Waits for the server's end; a server that dropped its side has ended, too.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
