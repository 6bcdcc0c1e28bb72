//! One HTTP exchange with a target ([RFC 9110]): content streamed up, an answer of bounded size down, no redirects. What
//! is reached is what the configuration names: [`super::egress`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, RANGE, RETRY_AFTER,
    USER_AGENT,
};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::fetch::{FetchError, Pieces};
use super::upload::{Progress, Upload};
use super::{ASKED_WAIT_MAX, BODY_MAX, egress};
use crate::http::URL_MAX;

type Sent = Either<Full<Bytes>, Upload>;

/// Why an exchange brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    /// No connection, one that broke, or an answer that is none.
    #[error("{0}")]
    Away(String),
    /// The content could not be read from our own disk.
    #[error("the content cannot be read: {0}")]
    Content(String),
}

/// Where a server of the configuration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebAddress {
    /// Whether TLS is spoken.
    pub secure: bool,
    /// Name or address, with its brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// As in a `Host` field.
    pub authority: String,
    /// The path before every request's, without a `/` at its end.
    pub base: String,
}

/// A server of the configuration.
pub struct Web {
    address: WebAddress,
    tls: Arc<ClientConfig>,
    timeout: Duration,
}

/// One request.
pub struct WebRequest {
    /// Its method.
    pub method: Method,
    /// Below the base, beginning with `/` or empty; with the query, percent-encoded.
    pub path_and_query: String,
    /// Fields beside those that every request has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The content.
    pub content: Option<Upload>,
}

/// Whatever the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebAnswer {
    /// The status.
    pub status: u16,
    /// `Retry-After` in seconds, at most [`ASKED_WAIT_MAX`].
    pub retry_after: Option<Duration>,
    /// Every field.
    pub headers: HeaderMap,
    /// Where it wanted to send us.
    pub location: Option<String>,
    /// The body, cut at [`BODY_MAX`].
    pub body: Bytes,
    /// It began before the server had been sent the whole content: it may refuse so, and cannot have taken it.
    pub early: bool,
}

impl WebAddress {
    /// Reads `http://` or `https://` with a host and maybe a path; the words say what is wrong.
    pub fn parse(url: &str) -> Result<WebAddress, String> {
        let refused = || format!("'{url}' is not a URL such as https://host/path");
        let uri: Uri = url.parse().ok().filter(|_| url.len() <= URL_MAX).ok_or_else(refused)?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(refused()),
        };
        let authority = uri.authority().ok_or_else(refused)?.to_string();
        if authority.contains('@') {
            return Err("a password does not belong into the URL: use 'auth'".into());
        }
        if uri.query().is_some() || url.contains('#') {
            return Err(format!("'{url}' has a query; it belongs into the request"));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(refused)?.to_owned();
        Ok(WebAddress {
            secure,
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority,
            host,
            base: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl Web {
    /// `tls`: what the server must prove. `timeout`: for it to make progress, to take a piece of the content or to give
    /// the answer; one of what is read back.
    pub fn new(address: WebAddress, tls: Arc<ClientConfig>, timeout: Duration) -> Web {
        Web { address, tls, timeout }
    }

    /// Where it is.
    pub fn address(&self) -> &WebAddress {
        &self.address
    }

    /// Makes the exchange. Whatever came back is an answer; what is made of it is the caller's.
    pub async fn exchange(&self, request: WebRequest) -> Result<WebAnswer, WebError> {
        let progress = Progress::default();
        let done = progress.watch(self.timeout, self.run(request, &progress)).await;
        done.unwrap_or_else(|| Err(WebError::Away(format!("no answer within {} s", self.timeout.as_secs()))))
    }

    /// Hands on exactly `length` octets from `offset` of what a GET is answered with (RFC 9110 §14). A server that does
    /// not know ranges sends everything: what comes before is passed over.
    pub async fn fetch_range(
        &self,
        mut request: WebRequest,
        offset: u64,
        length: u64,
        pieces: &Pieces,
    ) -> Result<(), FetchError> {
        let Some(last) = length.checked_sub(1).and_then(|length| offset.checked_add(length)) else { return Ok(()) };
        let range = HeaderValue::from_str(&format!("bytes={offset}-{last}")).map_err(unavailable)?;
        request.headers.push((RANGE, range));
        let progress = Progress::default();
        let fetched = async {
            let response = self.open(request, &progress).await.map_err(unavailable)?;
            let skip = match response.status().as_u16() {
                // §14.4 gives the field no meaning beside 200; rclone says it where it sends a part.
                206 | 200 if begins_at(response.headers(), offset) => 0,
                206 => return Err(unavailable("the server sends another range than it was asked for")),
                200 => offset,
                404 | 410 => return Err(FetchError::NotFound),
                status => return Err(unavailable(format!("the server answered {status}"))),
            };
            hand_on(response.into_body(), skip, length, pieces, &progress).await
        };
        let done = progress.watch(self.timeout, fetched).await;
        done.unwrap_or_else(|| Err(unavailable(format!("no answer within {} s", self.timeout.as_secs()))))
    }

    async fn run(&self, request: WebRequest, progress: &Progress) -> Result<WebAnswer, WebError> {
        let whole = request.content.as_ref().map(Upload::whole);
        let response = self.open(request, progress).await?;
        let early = whole.is_some_and(|whole| !whole.load(Ordering::SeqCst));
        // All of it within the time, not piece by piece: what drips is no answer.
        Ok(WebAnswer { early, ..answer(response).await? })
    }

    /// Up to the head of the answer.
    async fn open(&self, request: WebRequest, progress: &Progress) -> Result<Response<Incoming>, WebError> {
        let request = self.request(request, progress)?;
        let socket = egress::connect(&self.address.host, self.address.port).await.map_err(away)?;
        progress.touch();
        let response = if self.address.secure {
            let name = ServerName::try_from(self.address.host.trim_matches(['[', ']']).to_owned()).map_err(away)?;
            let socket = TlsConnector::from(self.tls.clone()).connect(name, socket).await.map_err(away)?;
            progress.touch();
            send(socket, request).await?
        } else {
            send(socket, request).await?
        };
        progress.touch();
        Ok(response)
    }

    fn request(&self, request: WebRequest, progress: &Progress) -> Result<Request<Sent>, WebError> {
        let path = format!("{}{}", self.address.base, request.path_and_query);
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        let mut built = Request::builder()
            .method(&request.method)
            .uri(path)
            .header(HOST, self.address.authority.as_str())
            .header(USER_AGENT, concat!("sigillo/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "*/*");
        for (name, value) in request.headers {
            built = built.header(name, value);
        }
        let content = match request.content {
            Some(upload) => {
                built = built.header(CONTENT_LENGTH, upload.left());
                Either::Right(upload.watched(progress))
            }
            None => {
                // RFC 9110 §8.6: a method that could have content says that it has none.
                if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
                    built = built.header(CONTENT_LENGTH, 0);
                }
                Either::Left(Full::new(Bytes::new()))
            }
        };
        built.body(content).map_err(away)
    }
}

async fn send(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Sent>,
) -> Result<Response<Incoming>, WebError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(away)?;
    // Ends with the exchange: when the sender and the answer are dropped, or the peer goes.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        let own = source.and_then(|source| source.downcast_ref::<std::io::Error>()).filter(|_| error.is_user());
        own.map_or_else(|| away(&error), |own| WebError::Content(own.to_string()))
    })
}

async fn answer(response: Response<Incoming>) -> Result<WebAnswer, WebError> {
    let text = |name: HeaderName| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.trim().to_owned())
    };
    // RFC 9110 §10.2.3; the form with a date is left to the schedule.
    let seconds = text(RETRY_AFTER).and_then(|value| value.parse().ok()).map(Duration::from_secs);
    let (status, location) = (response.status().as_u16(), text(LOCATION));
    let (head, mut body) = response.into_parts();
    let mut content = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(away)?.into_data() else { continue };
        let room = BODY_MAX - content.len();
        content.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() >= room {
            break; // what comes after is not wanted, and the connection ends here
        }
    }
    let retry_after = seconds.map(|wait| wait.min(ASKED_WAIT_MAX));
    let body = content.freeze();
    Ok(WebAnswer { status, headers: head.headers, retry_after, location, body, early: false })
}

/// Whether a part begins where it was asked for (RFC 9110 §14.4).
fn begins_at(headers: &HeaderMap, offset: u64) -> bool {
    let told = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = told.strip_prefix("bytes ").and_then(|range| range.split('-').next());
    first.and_then(|first| first.trim().parse().ok()) == Some(offset)
}

async fn hand_on(
    mut body: Incoming,
    mut skip: u64,
    mut left: u64,
    pieces: &Pieces,
    progress: &Progress,
) -> Result<(), FetchError> {
    while left > 0 {
        let Some(frame) = body.frame().await else {
            return Err(unavailable(format!("the answer ends {left} octets too early")));
        };
        progress.touch();
        let Ok(mut data) = frame.map_err(unavailable)?.into_data() else { continue };
        let passed = skip.min(data.len() as u64);
        skip -= passed;
        let mut wanted = data.split_off(passed as usize);
        wanted.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= wanted.len() as u64;
        if !wanted.is_empty() {
            pieces.send(wanted).await.map_err(|_| unavailable("nobody takes what is read"))?;
            progress.touch();
        }
    }
    Ok(())
}

fn unavailable(error: impl std::fmt::Display) -> FetchError {
    FetchError::Unavailable(error.to_string())
}

fn away(error: impl std::fmt::Display) -> WebError {
    WebError::Away(error.to_string())
}
