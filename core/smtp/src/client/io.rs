//! The driver that owns the socket: connects, reads, writes, waits, streams the content.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::pki_types::ServerName;
use sigillo_mail::rope::CHUNK;
use sigillo_mail::{EnhancedCode, Envelope, Failure, Mailbox, Rope, Source};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{TlsConnector, TlsStream};

use super::session::{Action, Awaited, Options, Security, Session};
use super::tls::{TlsPolicy, opportunistic_config};
use crate::data::{Scan, Stuffer};
use crate::facts::TlsFacts;
use crate::limits::{COMMAND_READ_SIZE, DELIVERY_MAX, Timeouts};
use crate::reply::Reply;
use crate::stream::Stream;

/// Where a message goes.
#[derive(Debug, Clone)]
pub struct Target {
    /// The server's name, for reports and for SNI.
    pub host: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// How the connection is secured.
    pub tls: TlsPolicy,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// What became of a delivery.
#[derive(Debug, Clone)]
pub struct DeliveryReport {
    /// [`Target::host`].
    pub host: String,
    /// [`Target::address`].
    pub address: SocketAddr,
    /// The TLS that the message went over.
    pub tls: Option<TlsFacts>,
    /// Each recipient of the envelope, in its order. `Ok`: the server took charge with this reply. The words of a
    /// failure are the server's or ours; its detail says whose.
    pub recipients: Vec<(Mailbox, Result<Reply, Failure>)>,
    /// The server may have taken the message although it is a failure of every recipient: it had all of the content and
    /// gave no reply. Whoever hands the message to another server now may double it.
    pub in_doubt: bool,
}

/// Delivers one message over one connection, within [`DELIVERY_MAX`]. Never fails as a whole: what stops it is the
/// failure of each recipient that had no answer.
///
/// A connection lost between the end of the content and its reply is a transient failure though the server may have
/// taken the message: twice is better than never (RFC 5321 §4.2.5, RFC 1047).
pub async fn deliver(
    target: &Target,
    hello: &str,
    envelope: &Envelope,
    content: &Rope,
    source: Arc<dyn Source>,
) -> DeliveryReport {
    let work = attempt(target, hello, envelope, content, source);
    let Results { results, tls, in_doubt } = timeout(DELIVERY_MAX, work).await.unwrap_or_else(|_| {
        let late = Failure::transient(EnhancedCode(4, 4, 2), "The delivery took too long");
        // How far it came is not known.
        Results { results: vec![Err(late); envelope.recipients.len()], tls: None, in_doubt: true }
    });
    let recipients = envelope.recipients.iter().cloned().zip(results).collect();
    DeliveryReport { host: target.host.clone(), address: target.address, tls, recipients, in_doubt }
}

struct Results {
    results: Vec<Result<Reply, Failure>>,
    tls: Option<TlsFacts>,
    in_doubt: bool,
}

async fn attempt(
    target: &Target,
    hello: &str,
    envelope: &Envelope,
    content: &Rope,
    source: Arc<dyn Source>,
) -> Results {
    let all = |failure: Failure| {
        let results = vec![Err(failure); envelope.recipients.len()];
        Results { results, tls: None, in_doubt: false }
    };
    let scan = match scan(content.clone(), source.clone()).await {
        Ok(scan) => scan,
        Err(error) => return all(Failure::internal(format!("content cannot be read: {error}"))),
    };
    // What the next hop might take for an end of content is never sent: it would be our own smuggling.
    if scan.bad_bytes {
        return all(Failure::permanent(EnhancedCode(5, 6, 0), "The content has a bare CR, a bare LF or a NUL"));
    }
    let mut security = target.tls.security();
    loop {
        let options = Options { host: target.host.clone(), hello: hello.to_owned(), security };
        let session = Session::new(options, envelope.clone(), scan, content.len());
        let socket = match connect(target).await {
            Ok(socket) => socket,
            Err(error) => return all(unreachable_host(target, &error)),
        };
        let stream = Stream::Plain(socket);
        let mut delivery =
            Delivery { target, content, source: source.clone(), stream, session, handshake_failed: false };
        if let Err(error) = delivery.run().await {
            delivery.session.lost(&connection_lost(target, &error));
        }
        // RFC 7435 §3: where TLS was only hoped for, its failure must not stop the mail.
        if delivery.handshake_failed && security == Security::Opportunistic {
            security = Security::None;
            continue;
        }
        let Delivery { session, .. } = delivery;
        return Results { results: session.results(), tls: session.tls().cloned(), in_doubt: session.in_doubt() };
    }
}

async fn connect(target: &Target) -> io::Result<TcpStream> {
    let socket = timeout(target.timeouts.connect, TcpStream::connect(target.address))
        .await
        .map_err(|_| io::ErrorKind::TimedOut)??;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn unreachable_host(target: &Target, error: &io::Error) -> Failure {
    let words = format!("Cannot connect to {}", target.host);
    Failure {
        detail: Some(format!("{}: {error}", target.address)),
        ..Failure::transient(EnhancedCode::NO_ANSWER, words)
    }
}

fn connection_lost(target: &Target, error: &io::Error) -> Failure {
    let words = match error.kind() {
        io::ErrorKind::TimedOut => format!("{} did not answer in time", target.host),
        _ => format!("The connection to {} was lost", target.host),
    };
    Failure { detail: Some(format!("{}: {error}", target.address)), ..Failure::transient(EnhancedCode(4, 4, 2), words) }
}

/// Looks through the content once: cheap beside the network, and nothing is sent that cannot be sent to its end.
async fn scan(content: Rope, source: Arc<dyn Source>) -> io::Result<Scan> {
    let look = tokio::task::spawn_blocking(move || {
        let mut scan = Scan::default();
        for piece in content.chunks(&*source) {
            scan.push(&piece?);
        }
        Ok(scan.finish())
    });
    look.await.map_err(io::Error::other)?
}

struct Delivery<'a> {
    target: &'a Target,
    content: &'a Rope,
    source: Arc<dyn Source>,
    stream: Stream<TcpStream>,
    session: Session,
    handshake_failed: bool,
}

impl Delivery<'_> {
    async fn run(&mut self) -> io::Result<()> {
        // Of one reply, however it drips: a part of it is no answer.
        let mut patience = (Awaited::Nothing, Instant::now());
        loop {
            match self.session.proceed() {
                Action::Receive(awaited) => {
                    if patience.0 != awaited {
                        patience = (awaited, Instant::now() + self.patience(awaited));
                    }
                    let done = timeout_at(patience.1, self.exchange()).await;
                    // Nothing depends on how the server takes its leave.
                    if awaited == Awaited::Quit && !matches!(done, Ok(Ok(()))) {
                        return Ok(());
                    }
                    done.map_err(|_| io::ErrorKind::TimedOut)??;
                }
                Action::StartTls => {
                    let handshake = handshake(&mut self.stream, self.target).await;
                    self.handshake_failed = handshake.is_err();
                    self.session.tls_started(handshake?);
                }
                Action::SendContent => {
                    self.flush().await?;
                    match self.send_content().await {
                        Ok(()) => self.session.content_sent(),
                        Err(error) => return self.broken(error).await,
                    }
                }
                Action::Close => {
                    let _ = timeout(self.target.timeouts.quit, self.stream.shutdown()).await;
                    return Ok(());
                }
            }
        }
    }

    /// The content could not be sent to its end: a server that refuses half-way says why before it closes.
    async fn broken(&mut self, error: io::Error) -> io::Result<()> {
        self.session.content_broken();
        let heard = timeout(self.target.timeouts.quit, self.exchange()).await;
        match (heard, self.session.proceed()) {
            (Ok(Ok(())), Action::Close) => Ok(()),
            _ => Err(error),
        }
    }

    fn patience(&self, awaited: Awaited) -> Duration {
        let timeouts = &self.target.timeouts;
        match awaited {
            Awaited::Greeting => timeouts.greeting,
            Awaited::Data => timeouts.data_initiation,
            Awaited::Outcome => timeouts.data_termination,
            Awaited::Quit => timeouts.quit,
            _ => timeouts.command,
        }
    }

    /// Writes what there is to write, reads what comes.
    async fn exchange(&mut self) -> io::Result<()> {
        self.flush().await?;
        let input = self.session.input();
        input.reserve(COMMAND_READ_SIZE);
        match (&mut self.stream).take(COMMAND_READ_SIZE as u64).read_buf(input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all_buf(self.session.output()).await?;
        self.stream.flush().await
    }

    /// The content with its end, piece by piece. A read that fails leaves the content without its end, so the server
    /// takes nothing.
    async fn send_content(&mut self) -> io::Result<()> {
        let (mut stuffer, mut out) = (Stuffer::default(), BytesMut::with_capacity(CHUNK + CHUNK / 8));
        let mut offset = 0;
        while offset < self.content.len() {
            let (content, source) = (self.content.slice(offset, CHUNK as u64), self.source.clone());
            let read = tokio::task::spawn_blocking(move || content.to_bytes(&*source));
            let piece = read.await.map_err(io::Error::other)??;
            offset += piece.len() as u64;
            stuffer.push(&piece, &mut out);
            self.write_block(&mut out).await?;
        }
        stuffer.finish(&mut out);
        self.write_block(&mut out).await
    }

    async fn write_block(&mut self, out: &mut BytesMut) -> io::Result<()> {
        let written = timeout(self.target.timeouts.data_block, async {
            self.stream.write_all_buf(out).await?;
            self.stream.flush().await
        });
        written.await.map_err(|_| io::ErrorKind::TimedOut)??;
        out.clear();
        Ok(())
    }
}

/// RFC 3207 §4.
async fn handshake(stream: &mut Stream<TcpStream>, target: &Target) -> io::Result<TlsFacts> {
    let (name, config) = match &target.tls {
        TlsPolicy::Required { name, config } => (name.clone(), config.clone()),
        TlsPolicy::Opportunistic | TlsPolicy::None => {
            let config = opportunistic_config().ok_or_else(|| io::Error::other("no TLS provider"))?;
            let name = ServerName::try_from(target.host.clone()).unwrap_or(ServerName::from(target.address.ip()));
            (name, config)
        }
    };
    let connecting = TlsConnector::from(config).connect(name, stream.take_plain()?);
    let tls = timeout(target.timeouts.connect, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let facts = TlsFacts::of(tls.get_ref().1);
    *stream = Stream::Tls(Box::new(TlsStream::Client(tls)));
    Ok(facts)
}
