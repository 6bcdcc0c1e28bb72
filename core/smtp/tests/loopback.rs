//! Our client talks to our server over real sockets and real TLS.
#![allow(clippy::unwrap_used, reason = "a test that fails here fails")]

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sigillo_auth::{Credential, ServerSecret};
use sigillo_mail::{EnhancedCode, Envelope, Failure, Mailbox, Range, ReversePath, Rope, Source};
use sigillo_smtp::client::{DeliveryReport, Target, TlsPolicy, deliver};
use sigillo_smtp::server::{Accepted, Handler, ListenerOptions, Sink, serve};
use sigillo_smtp::syntax::MailParameters;
use sigillo_smtp::{Limits, ListenerKind, SessionFacts, Timeouts, Transaction};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a handler saw.
#[derive(Default)]
struct Seen {
    contents: Vec<Vec<u8>>,
    largest_piece: usize,
    dropped: usize,
    tls: Option<String>,
}

#[derive(Default)]
struct Recorder(Arc<Mutex<Seen>>);

#[async_trait]
impl Handler for Recorder {
    async fn credential(&self, _: &SessionFacts, _: &str) -> Result<Option<Credential>, Failure> {
        Ok(None)
    }

    async fn mail(&self, _: &SessionFacts, _: &ReversePath, _: MailParameters) -> Result<(), Failure> {
        Ok(())
    }

    async fn rcpt(&self, _: &SessionFacts, _: &Transaction, recipient: &Mailbox) -> Result<(), Failure> {
        match recipient.local_part() {
            "nobody" => Err(Failure::permanent(EnhancedCode::BAD_DESTINATION_MAILBOX, "No such mailbox")),
            _ => Ok(()),
        }
    }

    async fn data(&self, session: &SessionFacts, _: &Transaction) -> Result<Box<dyn Sink>, Failure> {
        self.0.lock().unwrap().tls = session.tls.as_ref().map(|tls| tls.version.clone());
        Ok(Box::new(Memory { seen: self.0.clone(), content: Vec::new(), finished: false }))
    }
}

struct Memory {
    seen: Arc<Mutex<Seen>>,
    content: Vec<u8>,
    finished: bool,
}

#[async_trait]
impl Sink for Memory {
    async fn write(&mut self, piece: Bytes) -> Result<(), Failure> {
        let mut seen = self.seen.lock().unwrap();
        seen.largest_piece = seen.largest_piece.max(piece.len());
        self.content.extend_from_slice(&piece);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Accepted, Failure> {
        self.finished = true;
        let content = std::mem::take(&mut self.content);
        self.seen.lock().unwrap().contents.push(content);
        Ok(Accepted { words: "queued".into() })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.seen.lock().unwrap().dropped += usize::from(!self.finished);
    }
}

struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    stop: watch::Sender<bool>,
    client: Arc<ClientConfig>,
}

/// A relay listener, with a certificate for `mx.test` that only its own client configuration trusts.
async fn server(with_tls: bool, limits: Limits) -> Server {
    let certified = rcgen::generate_simple_self_signed(vec!["mx.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let options = Arc::new(ListenerOptions {
        kind: ListenerKind::Relay,
        hostname: "mx.test".into(),
        tls: with_tls.then(|| Arc::new(tls)),
        implicit: false,
        limits,
        secret: ServerSecret::random(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, recorder) = (listener.local_addr().unwrap(), Arc::new(Recorder::default()));
    let (seen, (stop, stopped)) = (recorder.0.clone(), watch::channel(false));
    tokio::spawn(async move {
        while let Ok((socket, peer)) = listener.accept().await {
            tokio::spawn(serve(socket, peer, options.clone(), recorder.clone(), stopped.clone()));
        }
    });
    Server { address, seen, stop, client: Arc::new(client) }
}

impl Server {
    fn required(&self, name: &str) -> TlsPolicy {
        TlsPolicy::Required { name: ServerName::try_from(name.to_owned()).unwrap(), config: self.client.clone() }
    }

    async fn deliver(
        &self,
        tls: TlsPolicy,
        recipients: &[&str],
        content: &Rope,
        source: Arc<dyn Source>,
    ) -> DeliveryReport {
        let target = Target { host: "mx.test".into(), address: self.address, tls, timeouts: Timeouts::default() };
        let envelope = Envelope {
            reverse_path: "ada@alfa.test".parse().unwrap(),
            recipients: recipients.iter().map(|r| r.parse().unwrap()).collect(),
            eight_bit: false,
        };
        deliver(&target, "client.test", &envelope, content, source).await
    }
}

/// Lines that begin with dots, from nowhere: each octet follows from its offset.
struct Generated;

fn octet(offset: u64) -> u8 {
    match offset % 16 {
        14 => b'\r',
        15 => b'\n',
        0 if (offset / 16).is_multiple_of(3) => b'.',
        column => b'a' + ((offset / 16 + column) % 26) as u8,
    }
}

impl Source for Generated {
    fn read_exact_at(&self, _: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.iter_mut().enumerate().for_each(|(i, b)| *b = octet(offset + i as u64));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_megabytes_arrive_byte_for_byte_over_tls() {
    const SIZE: u64 = 20 * 1024 * 1024;
    let server = server(true, Limits::default()).await;
    let mut content = Rope::from_bytes("X-Test: à\r\n\r\n");
    let head = content.len();
    content.push(sigillo_mail::Segment::Range(Range { file: 1, offset: 0, length: SIZE }));
    let recipients = ["bob@beta.test", "nobody@beta.test", "eve@beta.test"];
    let report = server.deliver(server.required("mx.test"), &recipients, &content, Arc::new(Generated)).await;
    assert_eq!(report.tls.as_ref().map(|tls| &*tls.version), Some("TLSv1.3"));
    let results: Vec<u16> = report.recipients.iter().map(|(_, r)| r.as_ref().map_or(0, |reply| reply.code)).collect();
    assert_eq!(results, [250, 0, 250], "{report:?}");
    assert_eq!(report.recipients[1].1.as_ref().unwrap_err().code, EnhancedCode::BAD_DESTINATION_MAILBOX);
    let seen = server.seen.lock().unwrap();
    assert!(seen.largest_piece <= 64 * 1024);
    assert_eq!(seen.tls.as_deref(), Some("TLSv1.3"));
    let received = &seen.contents[0];
    assert_eq!(received.len() as u64, head + SIZE);
    assert!(received[head as usize..].iter().enumerate().all(|(i, b)| *b == octet(i as u64)));
}

#[tokio::test]
async fn a_certificate_for_another_name_stops_required_tls_only() {
    let server = server(true, Limits::default()).await;
    let (content, none) = (Rope::from_bytes("a\r\n"), Arc::new(sigillo_mail::rope::NoSource));
    let wrong = server.deliver(server.required("other.test"), &["bob@beta.test"], &content, none.clone()).await;
    assert!(!wrong.recipients[0].1.as_ref().unwrap_err().is_permanent());
    assert!(server.seen.lock().unwrap().contents.is_empty());
    let any = server.deliver(TlsPolicy::Opportunistic, &["bob@beta.test"], &content, none).await;
    assert!(any.tls.is_some() && any.recipients[0].1.is_ok(), "{any:?}");
}

#[tokio::test]
async fn a_server_without_tls_gets_mail_only_where_none_is_required() {
    let server = server(false, Limits::default()).await;
    let (content, none) = (Rope::from_bytes("a\r\n"), Arc::new(sigillo_mail::rope::NoSource));
    let required = server.deliver(server.required("mx.test"), &["bob@beta.test"], &content, none.clone()).await;
    assert_eq!(required.recipients[0].1.as_ref().unwrap_err().code, EnhancedCode(4, 7, 10));
    let any = server.deliver(TlsPolicy::Opportunistic, &["bob@beta.test"], &content, none).await;
    assert!(any.tls.is_none() && any.recipients[0].1.is_ok(), "{any:?}");
}

#[tokio::test]
async fn content_that_could_smuggle_never_leaves() {
    let server = server(true, Limits::default()).await;
    for bad in ["a\n.\r\nMAIL FROM:<x@y.z>\r\n", "a\r.\r", "a\0", "a\r\n\r"] {
        let none = Arc::new(sigillo_mail::rope::NoSource);
        let report = server.deliver(TlsPolicy::None, &["bob@beta.test"], &Rope::from_bytes(bad), none).await;
        let failure = report.recipients[0].1.as_ref().unwrap_err();
        assert!(failure.is_permanent() && failure.code == EnhancedCode(5, 6, 0), "{bad:?}: {failure:?}");
    }
    let seen = server.seen.lock().unwrap();
    assert_eq!((seen.contents.len(), seen.dropped), (0, 0));
}

#[tokio::test]
async fn nobody_home_is_a_failure_for_now() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let target = Target { host: "mx.test".into(), address, tls: TlsPolicy::None, timeouts: Timeouts::default() };
    let envelope =
        Envelope { reverse_path: ReversePath::Null, recipients: vec!["a@b.test".parse().unwrap()], eight_bit: false };
    let none = Arc::new(sigillo_mail::rope::NoSource);
    let report = deliver(&target, "client.test", &envelope, &Rope::from_bytes("a\r\n"), none).await;
    assert_eq!(report.recipients[0].1.as_ref().unwrap_err().code, EnhancedCode::NO_ANSWER);
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_the_content_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        for (say, hear) in [
            ("220 x\r\n", "EHLO"),
            ("250 x\r\n", "MAIL"),
            ("250 x\r\n", "RCPT"),
            ("250 x\r\n", "DATA"),
            ("354 x\r\n", "bcd"),
        ] {
            converse(&mut socket, say, hear).await;
        }
        socket.write_all(b"552 5.3.4 far too big\r\n").await.unwrap();
        socket.shutdown().await.unwrap();
        // Long enough for the client to meet a full socket, not so long that it waits in vain.
        tokio::time::sleep(Duration::from_millis(300)).await;
    });
    let timeouts = Timeouts { data_block: Duration::from_millis(200), ..Timeouts::default() };
    let target = Target { host: "mx.test".into(), address, tls: TlsPolicy::None, timeouts };
    let envelope =
        Envelope { reverse_path: ReversePath::Null, recipients: vec!["a@b.test".parse().unwrap()], eight_bit: false };
    let content = Rope::from_range(Range { file: 1, offset: 0, length: 50 * 1024 * 1024 });
    let report = deliver(&target, "client.test", &envelope, &content, Arc::new(Generated)).await;
    assert_eq!(report.recipients[0].1.as_ref().unwrap_err().code, EnhancedCode::MESSAGE_TOO_BIG, "{report:?}");
}

/// Each octet comes within the time that its reply has; the reply does not (RFC 5321 §4.5.3.2 is of replies).
#[tokio::test]
async fn a_reply_that_drips_is_none_and_leaves_in_doubt_what_was_sent() {
    for (script, in_doubt) in [
        (&[][..], false),
        (
            &[
                ("220 x\r\n", "EHLO"),
                ("250 x\r\n", "MAIL"),
                ("250 x\r\n", "RCPT"),
                ("250 x\r\n", "DATA"),
                ("354 x\r\n", "\r\n.\r\n"),
            ],
            true,
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            for (say, hear) in script {
                converse(&mut socket, say, hear).await;
            }
            let _ = socket.write_all(b"250 ").await;
            while socket.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let short = Duration::from_millis(400);
        let timeouts = Timeouts { greeting: short, data_termination: short, ..Timeouts::default() };
        let target = Target { host: "mx.test".into(), address, tls: TlsPolicy::None, timeouts };
        let envelope = Envelope {
            reverse_path: ReversePath::Null,
            recipients: vec!["a@b.test".parse().unwrap()],
            eight_bit: false,
        };
        let none = Arc::new(sigillo_mail::rope::NoSource);
        let content = Rope::from_bytes("a\r\n");
        let delivery = deliver(&target, "client.test", &envelope, &content, none);
        let report =
            tokio::time::timeout(Duration::from_secs(20), delivery).await.expect("a reply has its time as a whole");
        assert!(report.recipients[0].1.as_ref().is_err_and(|failure| !failure.is_permanent()), "{report:?}");
        assert_eq!(report.in_doubt, in_doubt);
    }
}

/// Says `text`, reads until `until` appears or the server closes.
async fn converse(socket: &mut TcpStream, text: &str, until: &str) -> String {
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&heard).contains(until) {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(n) => heard.extend_from_slice(&buffer[..n]),
        }
    }
    String::from_utf8(heard).unwrap()
}

async fn in_content(server: &Server) -> TcpStream {
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    assert!(converse(&mut socket, "", "\n").await.starts_with("220 "));
    converse(&mut socket, "EHLO x.test\r\n", "250 ").await;
    let heard = converse(&mut socket, "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n", "354").await;
    assert!(heard.contains("354"), "{heard}");
    socket
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let server = server(false, Limits::default()).await;
    let mut socket = in_content(&server).await;
    socket.write_all(b"half a message\r\n").await.unwrap();
    drop(socket);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if server.seen.lock().unwrap().dropped == 1 {
            break;
        }
    }
    let seen = server.seen.lock().unwrap();
    assert_eq!((seen.contents.len(), seen.dropped), (0, 1));
}

#[tokio::test]
async fn a_slow_client_is_left_though_it_sends_a_byte_now_and_then() {
    let limits = Limits {
        command_timeout: Duration::from_millis(300),
        data_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = server(false, limits).await;
    let mut socket = in_content(&server).await;
    let (mut reader, mut writer) = socket.split();
    let drip = async {
        loop {
            if writer.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut heard = String::new();
    tokio::select! {
        () = drip => {}
        read = reader.read_to_string(&mut heard) => { let _ = read; }
    }
    assert!(heard.starts_with("421 4.4.2"), "{heard}");
}

#[tokio::test]
async fn stopping_ends_idle_sessions_and_lets_a_message_finish() {
    let server = server(false, Limits::default()).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    converse(&mut idle, "", "\n").await;
    let mut busy = in_content(&server).await;
    server.stop.send(true).unwrap();
    assert!(converse(&mut idle, "", "closed").await.starts_with("421 4.3.2"));
    let heard = converse(&mut busy, "text\r\n.\r\n", "closed").await;
    assert!(heard.starts_with("250 2.0.0 queued") && heard.contains("\r\n421 4.3.2"), "{heard}");
    assert_eq!(server.seen.lock().unwrap().contents, [b"text\r\n"]);
}

#[tokio::test]
async fn talking_before_the_greeting_ends_the_session() {
    let limits = Limits { greet_delay: Duration::from_millis(500), ..Limits::default() };
    let server = server(false, limits).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    assert!(converse(&mut socket, "EHLO x.test\r\n", "closed").await.starts_with("554 5.5.0"));
}
