//! One HTTP exchange with a server that the operator named: an index of providers, a revocation list, a timestamp
//! authority. Bounded in time and in octets; redirects are not followed, so that what is reached is what was named.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest URL, octets. Ours; RFC 9110 §4.1 recommends that 8,000 be supported.
pub const URL_MAX: usize = 8000;

/// Why an exchange brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Not a URL of scheme `http` or `https` with a host.
    #[error("'{0}' is not a URL that begins with http:// or https://")]
    Url(String),
    /// No connection, or one that broke.
    #[error("{0}")]
    Connection(String),
    /// No complete answer within the time.
    #[error("no complete answer within {} s", .0.as_secs())]
    Time(Duration),
    /// An answer that is not 200.
    #[error("the server answered {0}")]
    Status(u16),
    /// An answer longer than the caller takes.
    #[error("the answer is longer than {0} octets")]
    TooLong(u64),
}

/// What the caller takes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// For the whole exchange.
    pub time: Duration,
    /// Octets of the answer's content.
    pub octets: u64,
}

/// An answer of status 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `Content-Type` as sent, if it is text.
    pub content_type: Option<String>,
    /// The content.
    pub content: Bytes,
}

/// Makes exchanges; the TLS configuration holds the roots, and a certificate of our own where one is asked for.
#[derive(Clone)]
pub struct HttpClient {
    tls: Arc<ClientConfig>,
}

impl HttpClient {
    /// A client that believes what `tls` believes.
    pub fn new(tls: Arc<ClientConfig>) -> HttpClient {
        HttpClient { tls }
    }

    /// Fetches what lies at a URL.
    pub async fn get(&self, url: &str, bounds: Bounds) -> Result<Answer, HttpError> {
        self.exchange(Method::GET, url, None, None, bounds).await
    }

    /// Sends content to a URL and returns what it is answered with.
    pub async fn post(
        &self,
        url: &str,
        content_type: &str,
        content: Bytes,
        bounds: Bounds,
    ) -> Result<Answer, HttpError> {
        self.post_as(None, url, content_type, content, bounds).await
    }

    /// The same with a value of `Authorization` (RFC 7617 §2), which never comes into a log.
    pub async fn post_as(
        &self,
        authorization: Option<&str>,
        url: &str,
        content_type: &str,
        content: Bytes,
        bounds: Bounds,
    ) -> Result<Answer, HttpError> {
        self.exchange(Method::POST, url, authorization, Some((content_type, content)), bounds).await
    }

    async fn exchange(
        &self,
        method: Method,
        url: &str,
        authorization: Option<&str>,
        sent: Option<(&str, Bytes)>,
        bounds: Bounds,
    ) -> Result<Answer, HttpError> {
        let target = Target::parse(url)?;
        let mut request = target.request(method, sent)?;
        if let Some(authorization) = authorization {
            let mut value = HeaderValue::from_str(authorization).map_err(broken)?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let exchange = async {
            let address = (target.host.trim_matches(['[', ']']).to_owned(), target.port);
            let socket = TcpStream::connect(address).await.map_err(broken)?;
            if !target.secure {
                return answer(send(socket, request).await?, bounds).await;
            }
            let name = ServerName::try_from(target.host.trim_matches(['[', ']']).to_owned()).map_err(broken)?;
            let socket = TlsConnector::from(self.tls.clone()).connect(name, socket).await.map_err(broken)?;
            answer(send(socket, request).await?, bounds).await
        };
        tokio::time::timeout(bounds.time, exchange).await.map_err(|_| HttpError::Time(bounds.time))?
    }
}

struct Target {
    secure: bool,
    host: String,
    port: u16,
    uri: Uri,
}

impl Target {
    fn parse(url: &str) -> Result<Target, HttpError> {
        let refused = || HttpError::Url(url.chars().take(200).collect());
        let uri: Uri = url.parse().ok().filter(|_| url.len() <= URL_MAX).ok_or_else(refused)?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(refused()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(refused)?.to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Ok(Target { secure, host, port, uri })
    }

    fn request(&self, method: Method, sent: Option<(&str, Bytes)>) -> Result<Request<Full<Bytes>>, HttpError> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        // What stands before an `@` is a password of the operator's, not a part of the host (RFC 9110 §4.2.4).
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        request = request.header(USER_AGENT, concat!("sigillo/", env!("CARGO_PKG_VERSION"))).header(ACCEPT, "*/*");
        let content = match sent {
            Some((content_type, content)) => {
                request = request.header(CONTENT_TYPE, content_type).header(CONTENT_LENGTH, content.len());
                content
            }
            None => Bytes::new(),
        };
        request.body(Full::new(content)).map_err(|error| HttpError::Connection(error.to_string()))
    }
}

async fn send(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, HttpError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(broken)?;
    // Ends with the exchange: when the sender and the content are dropped, or the peer goes.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(broken)
}

async fn answer(response: Response<Incoming>, bounds: Bounds) -> Result<Answer, HttpError> {
    if response.status().as_u16() != 200 {
        return Err(HttpError::Status(response.status().as_u16()));
    }
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = response.into_body();
    let mut content = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if (content.len() + data.len()) as u64 > bounds.octets {
            return Err(HttpError::TooLong(bounds.octets));
        }
        content.extend_from_slice(&data);
    }
    Ok(Answer { content_type, content: content.freeze() })
}

fn broken(error: impl std::fmt::Display) -> HttpError {
    HttpError::Connection(error.to_string())
}
