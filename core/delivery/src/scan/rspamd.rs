//! Rspamd's normal worker: one `POST /checkv2` with the message as it stands, facts of the envelope in header fields,
//! and an answer in JSON.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;

use super::feed::{Feed, Piece};
use super::rating::Rating;
use super::{Connection, ScanError, Shown, Version, View, threat, words};

/// Octets of an answer: some hundred symbols with their options are tens of kilobytes.
const ANSWER_MAX: usize = 1 << 20;
/// Actions under which it lets a message pass unmarked; all others mark or refuse it.
const PASSING: [&str; 3] = ["no action", "greylist", "soft reject"];
/// How the facts are called in the protocol.
const FIELDS: [(&str, &str); 6] =
    [("ip", "IP"), ("helo", "Helo"), ("from", "From"), ("rcpt", "Rcpt"), ("user", "User"), ("queue-id", "Queue-Id")];

/// The request without its body.
pub(super) fn head(view: &View) -> Result<Request<()>, ScanError> {
    let malformed = |error: hyper::http::Error| ScanError::Refused(format!("the facts are no header fields: {error}"));
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/checkv2")
        .header(HOST, "rspamd")
        .header(USER_AGENT, concat!("sigillo/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .header(CONTENT_LENGTH, view.rope.len());
    for (fact, field) in FIELDS {
        for value in view.facts(fact) {
            let name = HeaderName::from_bytes(field.as_bytes()).map_err(|error| malformed(error.into()))?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|error| malformed(error.into()))?;
            request = request.header(name, value);
        }
    }
    request.body(()).map_err(malformed)
}

/// Shows a message of so many octets.
pub(super) async fn scan(
    stream: Box<dyn Connection>,
    head: Request<()>,
    size: u64,
    feed: Feed,
) -> Result<Shown, ScanError> {
    let lost = |_: hyper::Error| ScanError::Ended;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let connection = tokio::spawn(connection);
    // Ends with the scan, whatever becomes of it.
    let _ends = Ends(connection.abort_handle());
    let whole = Arc::new(AtomicBool::new(size == 0));
    let own: Arc<Mutex<Option<ScanError>>> = Arc::default();
    let body = Streamed { feed, left: size, whole: whole.clone(), own: Arc::clone(&own) };
    let response = sender.send_request(head.map(|()| body)).await;
    if let Some(error) = own.lock().ok().and_then(|mut own| own.take()) {
        return Err(error);
    }
    let response = response.map_err(protocol)?;
    let status = response.status();
    let server = response.headers().get(hyper::header::SERVER).map(|value| words(value.as_bytes()));
    let answer = collect(response).await?;
    if !whole.load(Ordering::SeqCst) {
        return Err(ScanError::Early);
    }
    if status.as_u16() == 413 {
        return Err(ScanError::TooLarge(format!("HTTP {status}")));
    }
    if status.as_u16() != 200 {
        return Err(ScanError::Refused(format!("HTTP {status}")));
    }
    judge(&answer, server)
}

struct Ends(tokio::task::AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection that ended is not one that spoke something else.
fn protocol(error: hyper::Error) -> ScanError {
    if error.is_parse() { ScanError::Garbage(words(error.to_string().as_bytes())) } else { ScanError::Ended }
}

async fn collect(response: Response<hyper::body::Incoming>) -> Result<Vec<u8>, ScanError> {
    let (mut body, mut answer) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(protocol)?.into_data() else { continue };
        if answer.len() + data.len() > ANSWER_MAX {
            return Err(ScanError::Garbage(format!("more than {ANSWER_MAX} octets")));
        }
        answer.extend_from_slice(&data);
    }
    if answer.is_empty() { Err(ScanError::Ended) } else { Ok(answer) }
}

/// The fields of an answer of `/checkv2` that count; the others are for people.
#[derive(Deserialize)]
struct Answer {
    is_skipped: bool,
    score: f64,
    required_score: f64,
    action: String,
    symbols: BTreeMap<String, Symbol>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Symbol {
    #[serde(default)]
    score: f64,
}

fn judge(answer: &[u8], server: Option<String>) -> Result<Shown, ScanError> {
    let garbage = |why: &str| ScanError::Garbage(words(why.as_bytes()));
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| garbage(&error.to_string()))?;
    if let Some(error) = answer.error {
        return Err(ScanError::Refused(words(error.as_bytes())));
    }
    // It says so of its own test text too, which it would refuse: then it has looked.
    if answer.is_skipped && PASSING.contains(&answer.action.as_str()) {
        return Err(ScanError::Refused("it skipped the message".into()));
    }
    let mut symbols: Vec<(&String, f64)> = answer.symbols.iter().map(|(name, symbol)| (name, symbol.score)).collect();
    symbols.sort_by(|a, b| b.1.total_cmp(&a.1));
    let names: Vec<String> = symbols.iter().map(|(name, _)| (*name).clone()).collect();
    let rating = Rating::new(answer.score, answer.required_score, &answer.action, &names)
        .ok_or_else(|| garbage("a score that is none"))?;
    // Its heaviest rule is its name of what it found.
    let found = !PASSING.contains(&answer.action.as_str());
    let heaviest = names.first().map_or(&b""[..], |name| name.as_bytes());
    let version = Version { program: server, signatures: None };
    Ok(Shown { threat: found.then(|| threat(heaviest)), version, rating: Some(rating), goes_on: false })
}

/// The message as the body of a request of known length.
struct Streamed {
    feed: Feed,
    left: u64,
    /// Every octet was handed on.
    whole: Arc<AtomicBool>,
    /// Why it was not, if that was our own doing.
    own: Arc<Mutex<Option<ScanError>>>,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = ScanError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ScanError>>> {
        let piece = std::task::ready!(self.feed.poll_next(cx));
        Poll::Ready(match piece {
            Ok(Piece::Octets(octets)) => {
                self.left = self.left.saturating_sub(octets.len() as u64);
                if self.left == 0 {
                    self.whole.store(true, Ordering::SeqCst);
                }
                Some(Ok(Frame::data(octets)))
            }
            Ok(Piece::End { .. }) => None,
            Err(error) => {
                if let Ok(mut own) = self.own.lock() {
                    *own = Some(error.clone());
                }
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
