//! One exchange over HTTP with servers that behave and servers that do not.
#![allow(clippy::unwrap_used, reason = "tests may")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::{ClientConfig, RootCertStore};
use sigillo_delivery::http::{Bounds, HttpClient, HttpError};

const BOUNDS: Bounds = Bounds { time: Duration::from_secs(2), octets: 64 };

fn client() -> HttpClient {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    HttpClient::new(Arc::new(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()))
}

/// Answers one connection with these bytes; returns its URL and what it was sent.
fn server(said: &'static [u8]) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/index.ldif?a=1", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut heard = vec![0; 4096];
        let count = socket.read(&mut heard).unwrap();
        socket.write_all(said).unwrap();
        if said.is_empty() {
            std::thread::sleep(Duration::from_secs(4));
        }
        String::from_utf8_lossy(&heard[..count]).into_owned()
    });
    (url, thread)
}

#[tokio::test]
async fn content_comes_whole_and_the_request_is_what_was_meant() {
    let (url, heard) = server(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
    let answer = client().post(&url, "application/timestamp-query", Bytes::from_static(b"?"), BOUNDS).await.unwrap();
    assert_eq!((answer.content_type.as_deref(), &answer.content[..]), (Some("text/plain"), &b"hello"[..]));
    let heard = heard.join().unwrap().to_ascii_lowercase();
    assert!(heard.starts_with("post /index.ldif?a=1 http/1.1\r\n"), "{heard}");
    assert!(heard.contains("content-type: application/timestamp-query\r\n") && heard.contains("host: 127.0.0.1:"));
}

#[tokio::test]
async fn what_is_not_a_whole_answer_is_an_error_that_says_why() {
    type Case<'a> = (&'a [u8], fn(&HttpError) -> bool);
    let cases: [Case; 6] = [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", |e| *e == HttpError::Status(404)),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", |e| *e == HttpError::Status(302)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", |e| matches!(e, HttpError::Connection(_))),
        (b"not http at all\r\n\r\n", |e| matches!(e, HttpError::Connection(_))),
        (b"", |e| matches!(e, HttpError::Time(_))),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n1234567890123456789012345678901234567890123456789012345678901234567890",
            |e| *e == HttpError::TooLong(64),
        ),
    ];
    for (said, expected) in cases {
        let (url, _) = server(said);
        let error = client().get(&url, BOUNDS).await.unwrap_err();
        assert!(expected(&error), "{error:?} for {:?}", String::from_utf8_lossy(said));
    }
}

/// Each octet comes within the time; the answer does not.
#[tokio::test]
async fn an_answer_that_drips_is_none() {
    for head in [&b"HTTP/1.1 200 OK\r\nX: "[..], b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(head);
            while socket.write_all(b"x").is_ok() {
                std::thread::sleep(BOUNDS.time / 4);
            }
        });
        let ended = tokio::time::timeout(BOUNDS.time * 10, client().get(&url, BOUNDS)).await;
        assert_eq!(ended.expect("the time is for the whole answer"), Err(HttpError::Time(BOUNDS.time)));
    }
}

#[tokio::test]
async fn a_server_without_a_believed_certificate_and_other_schemes_are_refused() {
    let (url, _) = server(b"HTTP/1.1 200 OK\r\n\r\n");
    let error = client().get(&url.replace("http:", "https:"), BOUNDS).await.unwrap_err();
    assert!(matches!(error, HttpError::Connection(_)), "{error:?}");
    for url in ["file:///etc/passwd", "index.ldif", "http://", "ftp://example/"] {
        assert!(matches!(client().get(url, BOUNDS).await, Err(HttpError::Url(_))), "{url}");
    }
}
