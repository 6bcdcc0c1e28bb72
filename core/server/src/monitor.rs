//! The endpoint for monitoring: `GET /metrics` and `GET /healthz`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::server::Server;

/// Connections answered at once; monitoring needs few.
const CONNECTIONS_MAX: usize = 16;
/// How long one connection may last.
const CONNECTION_TIME: Duration = Duration::from_secs(30);

/// Answers until `shutdown`.
pub async fn serve(server: Arc<Server>, listener: TcpListener, mut shutdown: watch::Receiver<bool>) {
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let socket = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.changed() => return,
        };
        let Ok((socket, _)) = socket else {
            tokio::time::sleep(Duration::from_millis(100)).await; // out of descriptors: do not spin (attack P15)
            continue;
        };
        let server = server.clone();
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request| answer(server.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            let _ = tokio::time::timeout(CONNECTION_TIME, connection).await; // a slow or broken client is its own problem
        });
    }
}

async fn answer(server: Arc<Server>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => match metrics(&server).await {
            Ok(page) => (StatusCode::OK, page),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n").into_bytes()),
        },
        (&Method::GET, "/healthz") => match health(&server).await {
            Ok(()) => (StatusCode::OK, b"ok\n".to_vec()),
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n").into_bytes()),
        },
        (&Method::GET, _) => (StatusCode::NOT_FOUND, b"There are /metrics and /healthz.\n".to_vec()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, b"Only GET.\n".to_vec()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    Ok(response)
}

async fn metrics(server: &Server) -> Result<Vec<u8>, String> {
    let (entries, pending, held) =
        server.store().read(|r| r.queue_counts()).await.map_err(|error| error.to_string())?;
    server.metrics().queue(entries, pending, held);
    let requests = server.store().read(|r| r.outbox_counts()).await.map_err(|error| error.to_string())?;
    let targets = server.facilities().targets().all();
    server.metrics().outbox(&requests, targets.map(|target| (target.options().name.as_str(), target.is_away())));
    if let Some(age) = server.index().age() {
        server.metrics().index(age, server.index().last_success());
    }
    server.metrics().keys(&server.facilities().keys().expiry(sigillo_store::commit::now()));
    if let Some(watch) = server.facilities().revocation() {
        server.metrics().lists(&watch.expiry(sigillo_store::commit::now()));
    }
    server.metrics().page().map_err(|error| error.to_string())
}

/// Healthy is what can take mail: the store commits.
async fn health(server: &Server) -> Result<(), String> {
    server.store().write(|_| Ok(())).await.map_err(|error| error.to_string())
}
