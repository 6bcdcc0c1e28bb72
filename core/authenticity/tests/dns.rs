//! Resolvers that are slow, speak garbage, or answer twice: what they did not say is `temperror`, and nobody waits longer
//! than the checks' own time. A real resolver is in the journey t-18-forwarding.
#![allow(clippy::unwrap_used, reason = "tests may")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sigillo_authenticity::{Checker, Findings, Options, Question};
use sigillo_mail::Rope;
use sigillo_mail::rope::NoSource;

/// What is published of the sender's domain.
const RECORDS: [(&str, &str); 2] =
    [("beta.example", "v=spf1 ip4:192.0.2.1 -all"), ("_dmarc.beta.example", "v=DMARC1; p=reject")];

/// Where the questions go: each is answered with these packets, in this order. Ends with the test's process.
fn resolver(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            for said in answer(&packet[..length]) {
                let _ = socket.send_to(&said, from);
            }
        }
    });
    address
}

/// The name that is asked for, and where the question ends.
fn asked(packet: &[u8]) -> (String, usize) {
    let (mut name, mut at) = (Vec::new(), 12);
    while packet[at] != 0 {
        let length = usize::from(packet[at]);
        name.push(String::from_utf8(packet[at + 1..=at + length].to_vec()).unwrap().to_ascii_lowercase());
        at += length + 1;
    }
    (name.join("."), at + 5)
}

/// RFC 1035 §4.1: the answer of one who knows [`RECORDS`], with these bits of the header beside QR, RD and RA.
fn answered(packet: &[u8], bits: u16) -> Vec<u8> {
    const TXT: u8 = 16;
    let (name, end) = asked(packet);
    let text = RECORDS.iter().find(|(known, _)| *known == name && packet[end - 3] == TXT).map(|(_, text)| *text);
    let none = if text.is_none() { 3 } else { 0 };
    let mut said = packet[..2].to_vec();
    said.extend((0x8180 | bits | none).to_be_bytes());
    said.extend([0, 1, 0, u8::from(text.is_some()), 0, 0, 0, 0]);
    said.extend(&packet[12..end]);
    if let Some(text) = text {
        said.extend([0xC0, 12, 0, TXT, 0, 1, 0, 0, 0, 60, 0, text.len() as u8 + 1, text.len() as u8]);
        said.extend(text.as_bytes());
    }
    said
}

fn checker(resolver: SocketAddr) -> Checker {
    let (authserv_id, resolvers) = ("mx.alfa.example".to_owned(), vec![resolver]);
    Checker::new(Options { authserv_id, resolvers, timeout: Duration::from_millis(1500), message_size: 10_000 })
        .unwrap()
}

async fn check(checker: &Checker) -> Findings {
    let message = "From: Bruno <bruno@beta.example>\r\nSubject: x\r\n\r\nCiao\r\n";
    let question = Question {
        peer: "192.0.2.1".parse().unwrap(),
        hello: "mx.beta.example".into(),
        reverse_path: "bruno@beta.example".parse().unwrap(),
        content: Rope::from_bytes(message),
        header_size: message.find("\r\n\r\n").unwrap() as u64 + 4,
        source: Arc::new(NoSource),
    };
    tokio::time::timeout(Duration::from_secs(20), checker.check(question)).await.expect("the checks have a time")
}

#[tokio::test]
async fn an_answer_is_believed_and_one_that_comes_twice_is_one() {
    for times in [1, 2] {
        let found = check(&checker(resolver(move |packet| vec![answered(packet, 0); times]))).await;
        assert_eq!((found.spf, found.dkim, found.dmarc), ("pass", "none", "pass"), "{}", found.results);
        assert_eq!(found.results.matches("spf=").count(), 1);
    }
}

#[tokio::test]
async fn what_is_no_answer_is_not_known() {
    const SERVFAIL: u16 = 2;
    type Answers = Box<dyn Fn(&[u8]) -> Vec<Vec<u8>> + Send>;
    let another = |packet: &[u8]| {
        let mut said = answered(packet, 0);
        said[0] ^= 0xFF; // of another question
        said
    };
    let cases: Vec<(&str, Answers)> = vec![
        ("nothing", Box::new(|_| vec![])),
        ("garbage", Box::new(|_| vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), vec![], vec![0xFF; 300]])),
        ("half an answer", Box::new(|packet| vec![answered(packet, 0)[..14].to_vec()])),
        ("an answer to another question", Box::new(move |packet| vec![another(packet)])),
        ("its own failure", Box::new(|packet| vec![answered(packet, SERVFAIL)])),
    ];
    for (what, answers) in cases {
        let found = check(&checker(resolver(answers))).await;
        assert_eq!((found.spf, found.dmarc), ("temperror", "temperror"), "{what}: {}", found.results);
    }
}

/// A longer answer is fetched by TCP (RFC 7766), where each octet comes in time and the answer does not.
#[tokio::test]
async fn an_answer_that_drips_is_not_waited_for() {
    const TRUNCATED: u16 = 0x0200;
    // The same number for both, which another program may have.
    let (address, listener) = loop {
        let udp = resolver(|packet| vec![answered(packet, TRUNCATED)]);
        if let Ok(listener) = TcpListener::bind(udp) {
            break (udp, listener);
        }
    };
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            std::thread::spawn(move || {
                let mut socket = socket.unwrap();
                let _ = socket.read(&mut [0; 512]);
                let _ = socket.write_all(&[0xFF, 0xFF]); // so much is to come
                while socket.write_all(b"x").is_ok() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
    });
    let found = check(&checker(address)).await;
    assert_eq!((found.spf, found.dmarc), ("temperror", "temperror"), "{}", found.results);
}

/// What comes after it was given up is nobody's answer, and the next question has its own.
#[tokio::test]
async fn a_late_answer_is_nobody_s() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let awake = Arc::new(AtomicBool::new(false));
    let wakes = awake.clone();
    std::thread::spawn(move || {
        let (mut packet, mut late) = ([0; 4096], Vec::new());
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            late.push((packet[..length].to_vec(), from));
            if wakes.load(Ordering::SeqCst) {
                for (question, asker) in late.drain(..) {
                    let _ = socket.send_to(&answered(&question, 0), asker);
                }
            }
        }
    });
    let checker = checker(address);
    assert_eq!(check(&checker).await.spf, "temperror");
    awake.store(true, Ordering::SeqCst);
    assert_eq!(check(&checker).await.spf, "pass");
}
