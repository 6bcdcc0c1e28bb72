//! Attempts at targets that speak HTTP: some behave, some do not.
#![allow(clippy::unwrap_used, reason = "tests may")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use sigillo_delivery::outbox::http::{Auth, HttpTarget, Meanings};
use sigillo_delivery::outbox::{Attempt, Fetch, FetchError, Protocol, Request, Target, TargetOptions, Web, WebAddress};
use sigillo_delivery::{HeaderValue, Schedule};
use sigillo_mail::rope::{NoSource, Range};
use sigillo_mail::{Rope, Segment, Source};

const PATIENCE: Duration = Duration::from_secs(2);

fn tls() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn target(url: &str, auth: Auth) -> HttpTarget {
    HttpTarget::new(Web::new(WebAddress::parse(url).unwrap(), tls(), PATIENCE), auth, Vec::new(), Meanings::default())
}

fn request(parameters: &[(&str, &str)], content: Option<Rope>) -> Request {
    Request {
        key: "alerts-digest.1".into(),
        parameters: parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        content,
        source: Arc::new(NoSource),
        attempt: 1,
    }
}

/// Answers each connection with these bytes, then closes it, or keeps it open and says no more where they end in `…`.
/// Returns its URL and what it heard, one text for each connection.
fn server(answers: Vec<&'static [u8]>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/base", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut all = Vec::new();
        for said in answers {
            let (mut socket, _) = listener.accept().unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let mut heard = Vec::new();
            let mut buffer = [0; 65536];
            while let Ok(count @ 1..) = socket.read(&mut buffer) {
                heard.extend_from_slice(&buffer[..count]);
            }
            all.push(String::from_utf8_lossy(&heard).into_owned());
            let (said, hangs) = match said.strip_suffix("…".as_bytes()) {
                Some(said) => (said, true),
                None => (said, false),
            };
            let _ = socket.write_all(said);
            if hangs {
                std::thread::sleep(PATIENCE * 2);
            }
        }
        all
    });
    (url, thread)
}

const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 26\r\n\r\n0: Accepted for delivery\r\n";

#[tokio::test]
async fn a_request_is_what_was_meant_and_bears_its_key_each_time() {
    let (url, heard) = server(vec![ACCEPTED, ACCEPTED]);
    let mut secret = HeaderValue::from_static("s3cret");
    secret.set_sensitive(true);
    let auth = Auth::Header { name: "x-api-key".parse().unwrap(), value: secret };
    let target = target(&url, auth);
    let asked = request(
        &[("path", "send"), ("query.to", "+39 06"), ("header.Content-Type", "text/plain")],
        Some(Rope::from_bytes("ciao è\r\n")),
    );
    for _ in 0..2 {
        let Attempt::Done(said) = target.attempt(&asked).await else { panic!("not done") };
        assert_eq!((said.code, said.text.as_str()), (Some(202), "0: Accepted for delivery"));
        assert_eq!(&said.body[..], b"0: Accepted for delivery\r\n");
    }
    for heard in heard.join().unwrap() {
        let lower = heard.to_ascii_lowercase();
        assert!(lower.starts_with("post /base/send?to=%2b39%2006 http/1.1\r\n"), "{heard}");
        for field in
            ["x-api-key: s3cret", "idempotency-key: alerts-digest.1", "content-length: 9", "content-type: text/plain"]
        {
            assert!(lower.contains(&format!("\r\n{field}\r\n")), "{field}: {heard}");
        }
        assert!(heard.ends_with("\r\n\r\nciao è\r\n"), "{heard}");
    }
}

/// A file of the store that is read as it is sent, and is never whole in memory.
struct Zeros;

impl Source for Zeros {
    fn read_exact_at(&self, _: u64, _: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        buffer.fill(0);
        Ok(())
    }
}

#[tokio::test]
async fn large_content_is_streamed_whole() {
    const SIZE: u64 = 40 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let peer = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let (mut count, mut buffer) = (0, vec![0; 1 << 20]);
        let mut head = 0;
        while head == 0 || count - head < SIZE {
            let got = socket.read(&mut buffer).unwrap();
            if head == 0 {
                head = buffer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() as u64 + 4;
            }
            count += got as u64;
        }
        socket.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").unwrap();
        count - head
    });
    let content = Rope::from_range(Range { file: 1, offset: 0, length: SIZE });
    let asked = Request { source: Arc::new(Zeros), ..request(&[("method", "PUT"), ("path", "/p")], Some(content)) };
    assert!(matches!(target(&url, Auth::None).attempt(&asked).await, Attempt::Done(_)));
    assert_eq!(peer.join().unwrap(), SIZE);
}

#[tokio::test]
async fn content_that_cannot_be_read_is_never_taken_for_sent() {
    struct Broken;
    impl Source for Broken {
        fn read_exact_at(&self, _: u64, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
            buffer.fill(b'x');
            if offset > 0 { Err(std::io::Error::other("bad sector")) } else { Ok(()) }
        }
    }
    let (url, _heard) = server(vec![ACCEPTED]);
    let mut content = Rope::from_bytes("head");
    content.push(Segment::Range(Range { file: 1, offset: 0, length: 200_000 }));
    let asked = Request { source: Arc::new(Broken), ..request(&[], Some(content)) };
    let attempt = target(&url, Auth::None).attempt(&asked).await;
    assert!(matches!(attempt, Attempt::Later { .. }), "{attempt:?}");
}

#[tokio::test]
async fn nothing_but_a_whole_answer_is_done() {
    let later = |away: bool| move |a: &Attempt| matches!(a, Attempt::Later { away: found, .. } if *found == away);
    let refused =
        |words: &'static str| move |a: &Attempt| matches!(a, Attempt::Refused(said) if said.text.contains(words));
    type Expected = Box<dyn Fn(&Attempt) -> bool>;
    let cases: Vec<(&'static [u8], Expected)> = vec![
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 9\r\n\r\nno number", Box::new(refused("no number"))),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", Box::new(refused("not followed"))),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", Box::new(later(false))),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 99999\r\nContent-Length: 0\r\n\r\n", Box::new(later(true))),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", Box::new(later(true))),
        (b"not http at all\r\n\r\n", Box::new(later(true))),
        (b"", Box::new(later(true))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nslow…".as_bytes(), Box::new(later(true))),
        ("…".as_bytes(), Box::new(later(true))),
    ];
    for (said, expected) in cases {
        let (url, _) = server(vec![said]);
        let attempt = target(&url, Auth::None).attempt(&request(&[], None)).await;
        assert!(expected(&attempt), "{attempt:?} for {:?}", String::from_utf8_lossy(said));
        if let Attempt::Later { wait: Some(wait), .. } = attempt {
            assert_eq!(wait, Duration::from_secs(3600), "what a stranger asks for is bounded");
        }
    }
}

/// A server that says the first words, then one more octet from time to time, without end. Returns its URL.
fn drips(head: &'static [u8], octet: u8) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 4096]);
        let _ = socket.write_all(head);
        while socket.write_all(&[octet]).is_ok() {
            std::thread::sleep(PATIENCE / 10);
        }
    });
    url
}

/// Each octet comes within the time; the answer does not.
#[tokio::test]
async fn an_answer_that_drips_is_none() {
    for (head, octet) in [
        (&b"HTTP/1.1 200 OK\r\nX: "[..], b'x'),
        (b"HTTP/1.1 200 OK\r\n\r\n", b'x'),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b'x'),
    ] {
        let target = target(&drips(head, octet), Auth::None);
        let asked = request(&[], None);
        let attempt = tokio::time::timeout(PATIENCE * 5, target.attempt(&asked)).await;
        let attempt = attempt.expect("the target's time is for the whole answer");
        assert!(matches!(attempt, Attempt::Later { away: true, .. }), "{attempt:?}");
    }
}

/// «Taken» of what was not sent to its end is no word to believe; a refusal is.
#[tokio::test]
async fn an_answer_before_the_whole_content_takes_nothing() {
    for (said, word) in [
        (&b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"[..], "away"),
        (b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", "refused"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let peer = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(said);
            std::thread::sleep(PATIENCE / 4); // and reads no more: no buffer holds what is still to come
        });
        let content = Rope::from_range(Range { file: 1, offset: 0, length: 64 << 20 });
        let asked = Request { source: Arc::new(Zeros), ..request(&[("method", "PUT")], Some(content)) };
        let attempt = target(&url, Auth::None).attempt(&asked).await;
        assert_eq!(attempt.word(), word, "{attempt:?}");
        peer.join().unwrap();
    }
}

/// What comes of a reading of four octets from the third on.
async fn read_back(said: &'static [u8]) -> Result<Vec<u8>, FetchError> {
    let (url, _heard) = server(vec![said]);
    let (sender, mut pieces) = tokio::sync::mpsc::channel(4);
    let fetch = Fetch { parameters: vec![("path".into(), "a.tar".into())], offset: 2, length: 4 };
    let done = target(&url, Auth::None).fetch(&fetch, sender).await;
    let mut all = Vec::new();
    while let Some(piece) = pieces.recv().await {
        all.extend_from_slice(&piece);
    }
    done.map(|()| all)
}

#[tokio::test]
async fn a_part_is_read_back_in_each_way_that_servers_send_it() {
    for said in [
        &b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 2-5/9\r\nContent-Length: 4\r\n\r\ncdef"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabcdefghi",
        b"HTTP/1.1 200 OK\r\nContent-Range: bytes 2-5/9\r\nContent-Length: 4\r\n\r\ncdef",
        b"HTTP/1.1 200 OK\r\nContent-Range: bytes 0-8/9\r\nContent-Length: 9\r\n\r\nabcdefghi",
    ] {
        assert_eq!(read_back(said).await.as_deref(), Ok(&b"cdef"[..]), "{}", String::from_utf8_lossy(said));
    }
    let other = b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-3/9\r\nContent-Length: 4\r\n\r\nabcd";
    assert!(matches!(read_back(other).await, Err(FetchError::Unavailable(_))));
    assert_eq!(read_back(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await, Err(FetchError::NotFound));
}

/// A service that knows the key would give the answer of the first reading to every other.
#[tokio::test]
async fn what_is_read_back_has_no_key() {
    let (url, heard) =
        server(vec![b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 2-5/9\r\nContent-Length: 4\r\n\r\nabcd"]);
    let (sender, mut pieces) = tokio::sync::mpsc::channel(4);
    let fetch = Fetch { parameters: vec![("path".into(), "a.tar".into())], offset: 2, length: 4 };
    target(&url, Auth::None).fetch(&fetch, sender).await.unwrap();
    assert_eq!(&pieces.recv().await.unwrap()[..], b"abcd");
    let heard = heard.join().unwrap().remove(0).to_ascii_lowercase();
    assert!(heard.contains("\r\nrange: bytes=2-5\r\n") && !heard.contains("idempotency-key"), "{heard}");
}

/// What the service answers to a request that it knows by its key; two answers to one request are one.
#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let (url, heard) = server(vec![b"", ACCEPTED]);
    let target = target(&url, Auth::None);
    assert_eq!(target.attempt(&request(&[], None)).await.word(), "away");
    assert_eq!(target.attempt(&request(&[], None)).await.word(), "done");
    for heard in heard.join().unwrap() {
        assert!(heard.to_ascii_lowercase().contains("\r\nidempotency-key: alerts-digest.1\r\n"), "{heard}");
    }
    let twice: &'static [u8] = Box::leak([ACCEPTED, ACCEPTED].concat().into_boxed_slice());
    let (url, _) = server(vec![twice]);
    let Attempt::Done(said) = self::target(&url, Auth::None).attempt(&request(&[], None)).await else {
        panic!("not done")
    };
    assert_eq!(&said.body[..], b"0: Accepted for delivery\r\n");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_and_tls_without_a_believed_certificate_is_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 4096]);
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while socket.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let Attempt::Done(said) = target(&url, Auth::None).attempt(&request(&[], None)).await else { panic!("not done") };
    assert_eq!(said.body.len(), sigillo_delivery::outbox::BODY_MAX);
    assert_eq!(said.text.len(), sigillo_delivery::outbox::TEXT_MAX);
    let (url, _) = server(vec![ACCEPTED]);
    let attempt = target(&url.replace("http:", "https:"), Auth::None).attempt(&request(&[], None)).await;
    assert!(matches!(attempt, Attempt::Later { away: true, .. }), "{attempt:?}");
}

#[tokio::test]
async fn e12_a_name_that_leads_inside_is_not_followed() {
    // `ip6-localhost` and the like stand in the hosts file; `localhost.` is the name with its root.
    let attempt = target("http://localhost.:9/", Auth::None).attempt(&request(&[], None)).await;
    let Attempt::Later { said, away: true, .. } = attempt else { panic!("{attempt:?}") };
    assert!(
        said.text.contains("inside") || said.text.contains("address") || said.text.contains("lookup"),
        "{}",
        said.text
    );
}

#[tokio::test]
async fn a_target_that_is_away_gets_one_attempt_at_a_time() {
    let (url, _) = server(Vec::new()); // nobody listens any more
    let schedule = Schedule { waits: vec![Duration::from_millis(150)], expire: Duration::from_secs(60) };
    let options = TargetOptions { name: "sms".into(), connections: 3, size_max: 10, schedule };
    let away = Target::new(options, Box::new(target(&url, Auth::None)));
    assert!(away.check(&[], Some(11)).unwrap_err().contains("10 octets"));
    for _ in 0..3 {
        assert_eq!(away.free(), 3);
        let place = away.place().unwrap();
        assert_eq!(away.attempt(&request(&[], None)).await.word(), "away");
        drop(place);
    }
    assert!(away.is_away() && away.place().is_none(), "nothing is tried for a while");
    tokio::time::sleep(Duration::from_millis(400)).await;
    let probe = away.place().unwrap();
    assert!(away.place().is_none(), "one looks whether it is back");
    drop(probe);
    away.forgive();
    assert_eq!(away.free(), 3);
}
