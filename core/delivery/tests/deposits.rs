//! Deposits over SFTP and S3 with a target that is down, slow, speaks garbage, or answers twice. What they do with real
//! servers is in the journey t-20-conservation.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use sigillo_delivery::outbox::s3::{self, Credentials, S3, S3Options};
use sigillo_delivery::outbox::sftp::{HostKey, Login, Sftp, SftpOptions};
use sigillo_delivery::outbox::{Attempt, Fetch, FetchError, Protocol, Request, Web, WebAddress};
use sigillo_mail::Rope;
use sigillo_mail::rope::NoSource;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

const PACKAGE: &[u8] = b"a package";

fn request(name: &str, value: &str) -> Request {
    Request {
        key: "20261126-00.1".into(),
        parameters: vec![(name.into(), value.into())],
        content: Some(Rope::from_bytes(PACKAGE)),
        source: Arc::new(NoSource),
        attempt: 1,
    }
}

fn sftp(port: u16) -> Sftp {
    Sftp::new(SftpOptions {
        host: "127.0.0.1".into(),
        port,
        host_key: HostKey::parse("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS")
            .unwrap(),
        username: "sigillo".into(),
        login: Login::Password("x".into()),
        folder: String::new(),
        idle: Duration::from_millis(300),
        read_back: true,
    })
}

fn away(attempt: &Attempt) -> bool {
    matches!(attempt, Attempt::Later { away: true, .. })
}

/// A port where nobody listens.
async fn nobody() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// A port where somebody says this to everybody, and then nothing.
async fn says(words: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.write_all(words).await;
            held.push(socket);
        }
    });
    port
}

#[tokio::test]
async fn con_01_an_sftp_server_that_is_down_slow_or_speaks_garbage_has_taken_nothing() {
    assert!(away(&sftp(nobody().await).attempt(&request("path", "a.tar")).await));
    assert!(away(&sftp(says(b"").await).attempt(&request("path", "a.tar")).await));
    assert!(away(
        &sftp(says(b"220 mail.example ESMTP\r\n\0\xff\xff\xff").await).attempt(&request("path", "a.tar")).await
    ));
    assert!(away(
        &sftp(says(b"SSH-2.0-x\r\n\0\0\0\x05garbage that is no packet").await).attempt(&request("path", "a.tar")).await
    ));
    let (sender, _receiver) = tokio::sync::mpsc::channel(1);
    let fetch = Fetch { parameters: request("path", "a.tar").parameters, offset: 0, length: 9 };
    let fetched = sftp(nobody().await).fetch(&fetch, sender).await;
    assert!(matches!(fetched, Err(FetchError::Unavailable(_))), "{fetched:?}");
}

/// A port where somebody says one octet from time to time, without end.
async fn drips(head: &'static [u8], octet: u8) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = socket.write_all(head).await;
                while socket.write_all(&[octet]).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        }
    });
    port
}

/// Each octet comes within the time; the answer does not.
#[tokio::test]
async fn con_01_a_server_that_drips_has_taken_nothing() {
    let most = Duration::from_secs(20);
    for (head, octet) in [(&b""[..], b'x'), (b"SSH-2.0-x\r\n\0\0\x10\0\x05", b'x')] {
        let target = sftp(drips(head, octet).await);
        let asked = request("path", "a.tar");
        let attempt = tokio::time::timeout(most, target.attempt(&asked)).await.expect("it ends");
        assert!(away(&attempt), "{attempt:?}");
    }
    for head in [&b""[..], b"HTTP/1.1 404 Not Found\r\nX: ", b"HTTP/1.1 503 No\r\ncontent-length: 9999\r\n\r\n"] {
        let port = drips(head, b'x').await;
        let attempt = tokio::time::timeout(most, put(port)).await.expect("it ends");
        assert!(away(&attempt), "{attempt:?}");
    }
}

/// A bucket in memory that keeps the rules of the protocol as far as they are asked about here.
#[derive(Default)]
struct Bucket {
    object: Mutex<Option<Vec<u8>>>,
    puts: Mutex<u32>,
    /// Whether it says the digests of objects.
    digests: bool,
    /// Loses what it was given, saying 200.
    forgets: bool,
    /// Keeps something else than it was given, saying 200.
    spoils: bool,
    /// Closes the connection after the object is kept, without an answer.
    dies: Mutex<bool>,
    /// What it says to every request instead.
    broken: Option<&'static str>,
}

impl Bucket {
    async fn start(self) -> (u16, Arc<Bucket>) {
        let (listener, bucket) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(self));
        let (port, server) = (listener.local_addr().unwrap().port(), bucket.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let mut socket = BufReader::new(socket);
                let answer = server.serve(&mut socket).await;
                let _ = socket.write_all(&answer).await;
                let _ = socket.shutdown().await;
            }
        });
        (port, bucket)
    }

    async fn serve(&self, socket: &mut BufReader<tokio::net::TcpStream>) -> Vec<u8> {
        let (mut head, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            if socket.read_line(&mut line).await.unwrap_or(0) == 0 || line == "\r\n" {
                break;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            head.push(line);
        }
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await.unwrap();
        if let Some(words) = self.broken {
            return words.as_bytes().to_vec();
        }
        assert!(head[0].contains("x-amz-signature="), "every request is signed: {}", head[0]);
        let none = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
        let mut object = self.object.lock().unwrap();
        if head[0].starts_with("put") {
            *self.puts.lock().unwrap() += 1;
            assert!(head.iter().any(|line| line.starts_with("x-amz-checksum-sha256: ")), "{head:?}");
            if object.is_some() && head.iter().any(|line| line.trim() == "if-none-match: *") {
                return b"HTTP/1.1 412 Precondition Failed\r\ncontent-length: 0\r\n\r\n".to_vec();
            }
            if !self.forgets {
                *object = Some(if self.spoils { vec![b'x'; body.len()] } else { body });
            }
            let dies = std::mem::take(&mut *self.dies.lock().unwrap());
            return if dies { Vec::new() } else { b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec() };
        }
        let Some(content) = object.clone() else { return none };
        let digest = STANDARD.encode(Sha256::digest(&content));
        let digest = if self.digests { format!("x-amz-checksum-sha256: {digest}\r\n") } else { String::new() };
        let head_only = head[0].starts_with("head");
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{digest}\r\n", content.len()).into_bytes();
        if !head_only {
            answer.extend(content);
        }
        answer
    }
}

fn s3(port: u16) -> S3 {
    let endpoint = format!("http://127.0.0.1:{port}");
    let roots = rustls::RootCertStore::empty();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = Arc::new(tls.with_root_certificates(roots).with_no_client_auth());
    S3::new(S3Options {
        web: Web::new(WebAddress::parse(&endpoint).unwrap(), tls, Duration::from_millis(500)),
        bucket: s3::bucket(&endpoint, "eu-south-1", "conservazione").unwrap(),
        credentials: Credentials::new("key", "secret"),
        prefix: "pec/".into(),
        if_none_match: true,
    })
}

async fn put(port: u16) -> Attempt {
    s3(port).attempt(&request("object", "a.tar")).await
}

#[tokio::test]
async fn con_01_a_bucket_that_took_it_is_asked_once() {
    for digests in [true, false] {
        let (port, bucket) = Bucket { digests, ..Bucket::default() }.start().await;
        assert!(matches!(put(port).await, Attempt::Done(_)));
        assert_eq!(bucket.object.lock().unwrap().as_deref(), Some(PACKAGE));
        // Asked again, after a crash before the answer was kept: it is there, and is not put again.
        assert!(matches!(put(port).await, Attempt::Done(_)));
        assert_eq!(*bucket.puts.lock().unwrap(), 1);
    }
}

#[tokio::test]
async fn con_01_an_answer_that_was_lost_is_found_out() {
    let (port, bucket) = Bucket { dies: Mutex::new(true), ..Bucket::default() }.start().await;
    assert!(away(&put(port).await));
    assert!(matches!(put(port).await, Attempt::Done(_)));
    assert_eq!(*bucket.puts.lock().unwrap(), 1);
}

#[tokio::test]
async fn con_01_what_a_bucket_says_is_not_believed_without_a_look() {
    for digests in [true, false] {
        let (port, _) = Bucket { digests, spoils: true, ..Bucket::default() }.start().await;
        assert!(matches!(put(port).await, Attempt::Later { .. }));
    }
    let (port, _) = Bucket { forgets: true, ..Bucket::default() }.start().await;
    assert!(matches!(put(port).await, Attempt::Later { .. }));
    let other = Bucket { object: Mutex::new(Some(b"something else".to_vec())), ..Bucket::default() };
    let (port, bucket) = other.start().await;
    assert!(matches!(put(port).await, Attempt::Refused(_)));
    assert_eq!(*bucket.puts.lock().unwrap(), 0);
}

#[tokio::test]
async fn con_01_a_bucket_that_is_down_slow_or_speaks_garbage_has_taken_nothing() {
    assert!(away(&put(nobody().await).await));
    assert!(away(&put(says(b"").await).await));
    assert!(away(&put(says(b"\0\xff garbage\r\n\r\n").await).await));
    let busy = "HTTP/1.1 503 Slow Down\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    let (port, _) = Bucket { broken: Some(busy), ..Bucket::default() }.start().await;
    let Attempt::Later { away: true, wait: Some(wait), .. } = put(port).await else {
        panic!("it says when to come again")
    };
    assert_eq!(wait, Duration::from_secs(7));
    // A portal in between answers everything; that nothing can be put under the name is not what it says.
    let portal = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let (port, _) = Bucket { broken: Some(portal), ..Bucket::default() }.start().await;
    assert!(away(&put(port).await));
    let denied = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
    let (port, _) = Bucket { broken: Some(denied), ..Bucket::default() }.start().await;
    assert!(matches!(put(port).await, Attempt::Later { away: false, .. }), "an operator can mend that");
}

#[tokio::test]
async fn con_03_a_part_of_an_object_is_read_back_also_without_ranges() {
    let (port, _) = Bucket { object: Mutex::new(Some(PACKAGE.to_vec())), ..Bucket::default() }.start().await;
    let fetch = |offset, length| async move {
        let (sender, mut pieces) = tokio::sync::mpsc::channel(16);
        let parameters = request("object", "a.tar").parameters;
        let done = s3(port).fetch(&Fetch { parameters, offset, length }, sender).await;
        let mut all = Vec::new();
        while let Some(piece) = pieces.recv().await {
            all.extend_from_slice(&piece);
        }
        done.map(|()| all)
    };
    assert_eq!(fetch(2, 4).await, Ok(b"pack".to_vec()));
    assert!(matches!(fetch(2, 40).await, Err(FetchError::Unavailable(_))));
    let (port, _) = Bucket::default().start().await;
    let (sender, _pieces) = tokio::sync::mpsc::channel(16);
    let parameters = request("object", "a.tar").parameters;
    let gone = s3(port).fetch(&Fetch { parameters, offset: 0, length: 1 }, sender).await;
    assert_eq!(gone, Err(FetchError::NotFound));
}
