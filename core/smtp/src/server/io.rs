//! The driver that owns the socket: reads, writes, waits, and asks the handler what the session asks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use sigillo_auth::{Exchange, ServerSecret};
use sigillo_mail::Failure;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::handler::{Handler, Sink};
use super::session::{Event, Options, Session};
use crate::facts::{ListenerKind, TlsFacts};
use crate::limits::{COMMAND_READ_SIZE, Limits, READ_SIZE};
use crate::reply::Reply;
use crate::stream::Stream;

/// Passwords checked at once in the whole process: each takes 19 MiB and a processor for some tens of milliseconds,
/// and a crowd of logins must not take the machine.
const PASSWORD_CHECKS_MAX: usize = 4;
static PASSWORD_CHECKS: Semaphore = Semaphore::const_new(PASSWORD_CHECKS_MAX);

/// One listener.
#[derive(Clone)]
pub struct ListenerOptions {
    /// Who it is for.
    pub kind: ListenerKind,
    /// What we call ourselves in greetings and trace fields.
    pub hostname: String,
    /// Our certificate; without it there is no TLS, and so no submission.
    pub tls: Option<Arc<ServerConfig>>,
    /// TLS from the first byte (RFC 8314 §3.3) instead of STARTTLS.
    pub implicit: bool,
    /// The limits.
    pub limits: Limits,
    /// Makes the salts of unknown logins.
    pub secret: ServerSecret,
}

/// Runs one session until either side ends it. When `shutdown` becomes true (or its sender is gone), an idle session is
/// told 421 and a transaction in progress finishes first. Errors of the connection end it and are logged, not
/// returned: there is nobody to tell.
pub async fn serve<S, H>(
    socket: S,
    peer: SocketAddr,
    options: Arc<ListenerOptions>,
    handler: Arc<H>,
    shutdown: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler + ?Sized,
{
    let id = format!("{:016x}", rand::random::<u64>());
    let mut stream = Stream::Plain(socket);
    let mut tls = None;
    if options.implicit {
        let outcome = handshake(&mut stream, &options).await;
        handler.encrypted(peer, options.kind, outcome.as_ref());
        match outcome {
            Ok(facts) => tls = Some(facts),
            Err(error) => {
                tracing::debug!(session = id, %peer, %error, "TLS handshake failed");
                return;
            }
        }
    }
    let session = Session::new(
        Options {
            kind: options.kind,
            hostname: options.hostname.clone(),
            starttls: options.tls.is_some() && !options.implicit,
            limits: options.limits.clone(),
            secret: options.secret.clone(),
        },
        id,
        peer,
        tls,
    );
    let mut connection = Connection { stream, session, sink: None, options, handler, shutdown };
    tracing::debug!(session = connection.session.facts().id, %peer, "SMTP session begins");
    let outcome = connection.run().await;
    tracing::debug!(session = connection.session.facts().id, %peer, error = outcome.err().map(tracing::field::display), "SMTP session ended");
}

struct Connection<S, H: ?Sized> {
    stream: Stream<S>,
    session: Session,
    sink: Option<Box<dyn Sink>>,
    options: Arc<ListenerOptions>,
    handler: Arc<H>,
    shutdown: watch::Receiver<bool>,
}

impl<S, H> Connection<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler + ?Sized,
{
    async fn run(&mut self) -> io::Result<()> {
        self.before_greeting().await?;
        let mut progress = self.session.progress();
        let mut deadline = self.deadline();
        loop {
            let event = self.session.proceed();
            if let Some((login, outcome)) = self.session.take_authentication() {
                self.handler.authenticated(self.session.facts(), &login, outcome);
            }
            match event {
                Event::Receive => {
                    self.flush().await?;
                    if self.session.progress() != progress {
                        progress = self.session.progress();
                        deadline = self.deadline();
                    }
                    self.receive(deadline).await?;
                }
                Event::Close => {
                    self.flush().await?;
                    let _ = timeout(Duration::from_secs(5), self.stream.shutdown()).await;
                    return Ok(());
                }
                Event::StartTls => {
                    self.flush().await?;
                    let outcome = handshake(&mut self.stream, &self.options).await;
                    self.handler.encrypted(self.session.facts().peer, self.options.kind, outcome.as_ref());
                    self.session.tls_started(outcome?);
                    deadline = self.deadline();
                }
                event => {
                    let asked = Instant::now();
                    self.ask(event).await;
                    // The handler's time is not the client's.
                    deadline += asked.elapsed();
                }
            }
        }
    }

    fn deadline(&self) -> Instant {
        let limits = &self.options.limits;
        Instant::now() + if self.session.in_content() { limits.data_timeout } else { limits.command_timeout }
    }

    /// Whoever talks before the greeting is no mail client (RFC 5321 §3.1, the client waits).
    async fn before_greeting(&mut self) -> io::Result<()> {
        if let Err(failure) = self.handler.connect(self.session.facts()).await {
            self.session.refuse(&Reply::from(&failure));
            return Ok(());
        }
        let mut early = [0; 1];
        match timeout(self.options.limits.greet_delay, self.stream.read(&mut early)).await {
            Err(_) => {}
            Ok(Ok(1..)) => self.session.refuse(&Reply::UNEXPECTED_INPUT),
            Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Err(error)) => return Err(error),
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        let output = self.session.output();
        if output.is_empty() {
            return Ok(());
        }
        let written = timeout(self.options.limits.write_timeout, async {
            self.stream.write_all_buf(output).await?;
            self.stream.flush().await
        });
        written.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn receive(&mut self, deadline: Instant) -> io::Result<()> {
        let size = if self.session.in_content() { READ_SIZE } else { COMMAND_READ_SIZE };
        let stopping = self.session.is_stopping();
        let input = self.session.input();
        input.reserve(size);
        let mut limited = (&mut self.stream).take(size as u64);
        tokio::select! {
            read = timeout_at(deadline, limited.read_buf(input)) => match read {
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => { read?; }
                Err(_) => self.session.time_out(),
            },
            // Gone senders count as true, and once it was true it is not waited for again.
            () = stopped(&mut self.shutdown), if !stopping => self.session.stop(),
        }
        Ok(())
    }

    /// Passes the session's question to the handler and the answer back.
    async fn ask(&mut self, event: Event) {
        let Connection { session, handler, sink, .. } = self;
        match event {
            Event::Mail(path, parameters) => {
                let answer = handler.mail(session.facts(), &path, parameters).await;
                session.answer(logged(session, answer));
            }
            Event::Rcpt(recipient) => {
                let answer = match session.transaction() {
                    Some(transaction) => handler.rcpt(session.facts(), transaction, &recipient).await,
                    None => Err(Failure::internal("RCPT without a transaction")),
                };
                session.answer(logged(session, answer));
            }
            Event::Data => {
                let opened = match session.transaction() {
                    Some(transaction) => handler.data(session.facts(), transaction).await,
                    None => Err(Failure::internal("DATA without a transaction")),
                };
                let answer = opened.map(|opened| *sink = Some(opened));
                session.answer(logged(session, answer));
            }
            Event::Content(piece) => {
                if let Some(open) = sink
                    && let Err(failure) = open.write(piece).await
                {
                    session.content_failed(failure);
                }
            }
            Event::Abandon => *sink = None,
            Event::Finish => {
                let outcome = match sink.take() {
                    Some(open) => open.finish().await,
                    None => Err(Failure::internal("the content has no sink")),
                };
                session.finished(logged(session, outcome));
            }
            Event::Check { login, exchange } => self.check(login, exchange).await,
            Event::Receive | Event::StartTls | Event::Close => {}
        }
    }

    async fn check(&mut self, login: String, mut exchange: Exchange) {
        let admitted = self.handler.admits(self.session.facts(), &login).await;
        let barred = admitted.err();
        let found = match barred.clone().filter(|failure| !failure.is_permanent()) {
            Some(failure) => Err(failure),
            None => self.handler.credential(self.session.facts(), &login).await,
        };
        self.session.bar(barred);
        let found = match found {
            Ok(found) => found,
            Err(failure) => {
                tracing::warn!(session = self.session.facts().id, login, error = %failure, detail = failure.detail, "credential look-up failed");
                return self.session.check_unavailable();
            }
        };
        // A closed semaphore cannot be: nobody closes it.
        let _permit = PASSWORD_CHECKS.acquire().await;
        let checked = tokio::task::spawn_blocking(move || {
            let step = exchange.credential(found.as_ref());
            (exchange, step)
        });
        match checked.await {
            Ok((exchange, step)) => self.session.checked(exchange, step),
            Err(_) => self.session.check_unavailable(),
        }
    }
}

/// The detail of a failure is for our log; its words are for the peer.
fn logged<T>(session: &Session, answer: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(failure) = &answer
        && let Some(detail) = &failure.detail
    {
        tracing::warn!(session = session.facts().id, error = %failure, detail, "the handler failed");
    }
    answer
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// RFC 3207 §4, RFC 8314 §3.3.
async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut Stream<S>,
    options: &ListenerOptions,
) -> io::Result<TlsFacts> {
    let config = options.tls.clone().ok_or_else(|| io::Error::other("no TLS configuration"))?;
    let accepting = TlsAcceptor::from(config).accept(stream.take_plain()?);
    let tls = timeout(options.limits.write_timeout, accepting).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let facts = TlsFacts::of(tls.get_ref().1);
    *stream = Stream::Tls(Box::new(TlsStream::Server(tls)));
    Ok(facts)
}
