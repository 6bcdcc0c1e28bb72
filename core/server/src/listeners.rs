//! The sockets: the only place of the project that binds them. A session owns none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sigillo_smtp::facts::ListenerKind;
use sigillo_smtp::limits::Limits;
use sigillo_smtp::server::io::ListenerOptions;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::{Listener, Protocol, TlsMode};
use crate::imap_service::ImapService;
use crate::reception::Reception;
use crate::server::{Server, StartError};
use crate::{monitor, tls};

/// How long sessions may take to end after the server was told to stop.
const GRACE: Duration = Duration::from_secs(30);
/// How long to wait when no socket can be accepted, so that a lack of descriptors does not spin (attack P15).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Everything that accepts and serves.
pub struct Sessions(JoinSet<()>);

/// What serves one accepted socket.
#[derive(Clone)]
enum Service {
    Smtp(Arc<ListenerOptions>, Arc<Reception>),
    Imap(sigillo_imap::Options, Arc<ImapService>),
}

impl Service {
    fn word(&self) -> &'static str {
        match self {
            Service::Smtp(options, _) if options.kind == ListenerKind::Submission => "submission",
            Service::Smtp(..) => "relay",
            Service::Imap(..) => "imap",
        }
    }

    async fn serve(self, socket: TcpStream, peer: SocketAddr, shutdown: watch::Receiver<bool>) {
        match self {
            Service::Smtp(options, handler) => {
                sigillo_smtp::server::io::serve(socket, peer, options, handler, shutdown).await;
            }
            Service::Imap(options, backend) => {
                if let Err(error) = sigillo_imap::serve(socket, peer, options, backend, shutdown).await {
                    tracing::debug!(%peer, %error, "an IMAP connection broke");
                }
            }
        }
    }
}

/// Binds every listener of the configuration; all or none.
pub async fn open(server: &Arc<Server>, shutdown: watch::Receiver<bool>) -> Result<Sessions, StartError> {
    let reception = Arc::new(Reception::new(server.clone()));
    let imap = Arc::new(ImapService::of(server.clone()));
    let places = Arc::new(Semaphore::new(server.config().limits.sessions));
    let mut bound = Vec::new();
    for listener in &server.config().listeners {
        let socket = bind(listener.address).await?;
        // A configuration for each listener: a session ticket of one must not open another (attack P10).
        let certificate = tls::server(server.config())?;
        let service = service(server, listener, &certificate, &reception, &imap);
        bound.push((socket, service));
    }
    let monitor = match &server.config().metrics {
        Some(metrics) => Some(bind(metrics.address).await?),
        None => None,
    };
    let mut tasks = JoinSet::new();
    for (socket, service) in bound {
        tasks.spawn(accept(server.clone(), socket, service, places.clone(), shutdown.clone()));
    }
    if let Some(socket) = monitor {
        tasks.spawn(monitor::serve(server.clone(), socket, shutdown));
    }
    Ok(Sessions(tasks))
}

/// Waits until every session has ended, for as long as is fair.
pub async fn close(mut sessions: Sessions) {
    let all = async { while sessions.0.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("some sessions did not end in time; they are cut");
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::System(format!("cannot listen on {address}: {error}")))
}

fn service(
    server: &Arc<Server>,
    listener: &Listener,
    certificate: &Arc<rustls::ServerConfig>,
    reception: &Arc<Reception>,
    imap: &Arc<ImapService>,
) -> Service {
    let implicit = listener.tls == TlsMode::Implicit;
    let message_size = server.config().limits.message_size;
    let smtp = |kind| {
        let options = ListenerOptions {
            kind,
            hostname: server.hostname().to_owned(),
            tls: Some(certificate.clone()),
            implicit,
            limits: Limits { message_size, ..Limits::default() },
            secret: server.secret().clone(),
        };
        Service::Smtp(Arc::new(options), reception.clone())
    };
    match listener.protocol {
        Protocol::Submission => smtp(ListenerKind::Submission),
        Protocol::Relay => smtp(ListenerKind::Relay),
        Protocol::Imap => {
            let options = sigillo_imap::Options {
                hostname: server.hostname().to_owned(),
                tls: certificate.clone(),
                implicit,
                append_max: message_size,
                secret: server.secret().clone(),
            };
            Service::Imap(options, imap.clone())
        }
    }
}

async fn accept(
    server: Arc<Server>,
    listener: TcpListener,
    service: Service,
    places: Arc<Semaphore>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut sessions = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.changed() => break,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let _ = socket.set_nodelay(true); // small replies must not wait; a socket that refuses is about to fail anyway
        let (service, shutdown) = (service.clone(), shutdown.clone());
        let open = server.metrics().session(service.word());
        sessions.spawn(async move {
            let (_place, _open) = (place, open);
            service.serve(socket, peer, shutdown).await;
        });
        while sessions.try_join_next().is_some() {}
    }
    drop(listener);
    while sessions.join_next().await.is_some() {}
}
