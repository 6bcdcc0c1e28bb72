//! Scanners for spam that speak, and some that lie: whatever they do, a message has a rating only from a whole answer to
//! all of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "scan/fake.rs"]
mod fake;

use std::sync::Arc;
use std::time::Duration;

use fake::{Fake, Talk};
use proptest::prelude::*;
use sigillo_delivery::scan::{Address, Protocol, ScanError, ScanReport, Scanner, ScannerOptions, View, WORDS_MAX};
use sigillo_mail::Rope;
use sigillo_mail::rope::NoSource;

const CONTENT: &str = "Subject: x\r\n\r\nCiao\r\n";

fn options(protocol: Protocol, address: &str) -> ScannerOptions {
    ScannerOptions {
        name: "one".into(),
        protocol,
        address: Address::Tcp(address.into()),
        timeout: Duration::from_secs(20),
        size_max: 64 << 20,
        connections: 4,
    }
}

fn whole(text: impl Into<Vec<u8>>) -> View {
    View { rope: Rope::from_bytes(text.into()), encoding: None, facts: Vec::new() }
}

fn told(facts: &[(&str, &str)]) -> View {
    let facts = facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    View { facts, ..whole(CONTENT) }
}

async fn scan(options: ScannerOptions, view: &View) -> Result<ScanReport, ScanError> {
    Scanner::new(options).scan(view, Arc::new(NoSource)).await
}

async fn rspamd(fake: &Fake, view: &View) -> Result<ScanReport, ScanError> {
    scan(options(Protocol::Rspamd, &fake.address), view).await
}

async fn spamd(fake: &Fake, view: &View) -> Result<ScanReport, ScanError> {
    scan(options(Protocol::Spamd, &fake.address), view).await
}

fn says(answer: impl Into<Vec<u8>>) -> impl Fn(&mut Talk) + Send + Sync + 'static {
    let answer = answer.into();
    move |talk| {
        talk.sized_content();
        talk.say(&answer);
    }
}

fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nServer: rspamd/3.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn checked(action: &str, score: &str) -> String {
    http(
        "200 OK",
        &format!(
            r#"{{"is_skipped":false,"score":{score},"required_score":15.0,"action":"{action}","symbols":{{"A":{{"score":-1.0}},"GTUBE":{{"name":"GTUBE","score":15.0,"options":["x"]}}}},"messages":{{}},"message-id":"1@x"}}"#
        ),
    )
}

#[tokio::test]
async fn rspamd_hears_the_message_with_its_envelope_and_is_believed() {
    let fake = Fake::any(says(checked("reject", "15.2")));
    let facts = [
        ("ip", "192.0.2.1"),
        ("helo", "mx.other.example"),
        ("from", "a@other.example"),
        ("rcpt", "b@beta.example"),
        ("rcpt", "c@beta.example"),
        ("user", "d@beta.example"),
        ("queue-id", "0123.abcd"),
    ];
    let report = rspamd(&fake, &told(&facts)).await.unwrap();
    assert_eq!((report.scanner.as_str(), report.protocol), ("one", "rspamd"));
    assert_eq!(report.threat.as_deref(), Some("GTUBE"));
    assert_eq!(report.version.as_deref(), Some("rspamd/3.4"));
    let rating = report.rating.unwrap();
    assert_eq!((rating.score, rating.threshold), (15_200, 15_000));
    assert_eq!((rating.action.as_str(), rating.symbols.as_str()), ("reject", "GTUBE,A"));
    assert_eq!(fake.heard(), [CONTENT.as_bytes()]);
    let head = fake.head().to_ascii_lowercase();
    assert!(head.starts_with("post /checkv2 http/1.1\r\n"), "{head}");
    for field in [
        "ip: 192.0.2.1",
        "helo: mx.other.example",
        "from: a@other.example",
        "rcpt: b@beta.example",
        "rcpt: c@beta.example",
        "user: d@beta.example",
        "queue-id: 0123.abcd",
    ] {
        assert!(head.contains(&format!("\r\n{field}\r\n")), "{field}: {head}");
    }
}

#[tokio::test]
async fn spamd_hears_the_message_under_its_trace_and_is_believed() {
    let answer = "SPAMD/1.1 0 EX_OK\r\nContent-length: 12\r\nSpam: True ; 1000.0 / 5.0\r\n\r\nGTUBE,OTHER\n";
    let fake = Fake::any(says(answer));
    let facts =
        [("ip", "2001:db8::1"), ("helo", "mx>\u{7}.example"), ("from", "a@other.example"), ("user", "b@x.example")];
    let report = spamd(&fake, &told(&facts)).await.unwrap();
    assert_eq!((report.threat.as_deref(), report.protocol), (Some("GTUBE"), "spamd"));
    let rating = report.rating.unwrap();
    assert_eq!((rating.score, rating.threshold), (1_000_000, 5_000));
    assert_eq!((rating.action.as_str(), rating.symbols.as_str()), ("spam", "GTUBE,OTHER"));
    let heard = String::from_utf8(fake.heard().remove(0)).unwrap();
    let trace = "Return-Path: <a@other.example>\r\nReceived: from mx.example ([IPv6:2001:db8::1])\r\n by mx.invalid with \
                 ESMTP id none\r\n";
    assert_eq!(heard, format!("{trace}{CONTENT}"));
    assert!(fake.head().starts_with("SYMBOLS SPAMC/1.5\r\nContent-length: "));
    assert!(fake.head().contains("\r\nUser: b@x.example\r\n"));
    let ham = "SPAMD/1.1 0 EX_OK\r\nSpam: False ; -0.1 / 5.0\r\nContent-length: 2\r\n\r\n\r\n";
    let report = spamd(&Fake::any(says(ham)), &whole(CONTENT)).await.unwrap();
    assert_eq!((report.threat, report.rating.unwrap().score), (None, -100));
}

#[tokio::test]
async fn rspamd_finds_what_it_would_mark_or_refuse_itself() {
    for (action, found) in [
        ("no action", false),
        ("greylist", false),
        ("soft reject", false),
        ("add header", true),
        ("rewrite subject", true),
        ("reject", true),
        ("quarantine", true),
    ] {
        let report = rspamd(&Fake::any(says(checked(action, "1"))), &whole(CONTENT)).await.unwrap();
        assert_eq!(report.threat.is_some(), found, "{action}");
    }
}

/// As rspamd 3.4 answers to its test text.
#[tokio::test]
async fn rspamd_that_skipped_what_it_would_refuse_has_looked() {
    let body = r#"{"is_skipped":true,"score":0,"required_score":15,"action":"reject","symbols":{}}"#;
    let report = rspamd(&Fake::any(says(http("200 OK", body))), &whole(CONTENT)).await.unwrap();
    assert_eq!(report.threat.as_deref(), Some("unnamed"));
    assert_eq!(report.rating.unwrap().action, "reject");
}

/// Whether an error is the one that it must be.
type Judge = fn(&ScanError) -> bool;

/// AS-08, attack E6: half an answer, garbage, an error of its own: none of them is a rating, and none of them is clean.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_08_rspamd_that_lies_says_nothing() {
    let garbage: Judge = |e| matches!(e, ScanError::Garbage(_));
    let ended: Judge = |e| *e == ScanError::Ended;
    let refused: Judge = |e| matches!(e, ScanError::Refused(_));
    let good = checked("no action", "0.1");
    let cases: Vec<(&str, String, Judge)> = vec![
        ("nothing", String::new(), ended),
        ("half a body", good[..good.len() - 10].to_owned(), ended),
        ("half a head", good[..20].to_owned(), ended),
        ("not HTTP", "rspamd says ok\r\n\r\n".into(), |e| matches!(e, ScanError::Garbage(_) | ScanError::Ended)),
        ("not JSON", http("200 OK", "ok"), garbage),
        ("not all of it", http("200 OK", r#"{"score":0.0}"#), garbage),
        (
            "another type",
            http("200 OK", r#"{"is_skipped":false,"score":"x","required_score":15,"action":"no action","symbols":{}}"#),
            garbage,
        ),
        (
            "no threshold",
            http("200 OK", r#"{"is_skipped":false,"score":1,"required_score":0,"action":"no action","symbols":{}}"#),
            garbage,
        ),
        (
            "skipped",
            http("200 OK", r#"{"is_skipped":true,"score":0,"required_score":15,"action":"no action","symbols":{}}"#),
            refused,
        ),
        (
            "its error",
            http(
                "200 OK",
                r#"{"is_skipped":false,"score":0,"required_score":15,"action":"no action","symbols":{},"error":"no"}"#,
            ),
            refused,
        ),
        ("500", http("500 Internal", &good), refused),
        ("413", http("413 Too Large", "x"), |e| matches!(e, ScanError::TooLarge(_))),
        ("endless", format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(2 << 20)), garbage),
        ("empty", http("200 OK", ""), ended),
    ];
    for (what, answer, expected) in cases {
        let error = rspamd(&Fake::any(says(answer)), &whole(CONTENT)).await.expect_err(what);
        assert!(expected(&error), "{what}: {error:?}");
    }
    let big = whole(vec![b'x'; 32 << 20]);
    let early = Fake::any(move |talk| {
        talk.head_alone();
        talk.say(checked("no action", "0.1").as_bytes());
        talk.drain();
    });
    let error = rspamd(&early, &big).await.unwrap_err();
    assert!(matches!(error, ScanError::Early | ScanError::Ended), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_08_spamd_that_lies_says_nothing() {
    let garbage: Judge = |e| matches!(e, ScanError::Garbage(_));
    let ended: Judge = |e| *e == ScanError::Ended;
    let refused: Judge = |e| matches!(e, ScanError::Refused(_));
    for (answer, expected) in [
        ("", ended),
        ("SPAMD/1.1 0 EX_OK\r\n", ended),
        ("SPAMD/1.1 0 EX_OK\r\nContent-length: 5\r\nSpam: False ; 0.0 / 5.0\r\n\r\nab", ended),
        ("SPAMD/1.1 0 EX_OK\r\nContent-length: 1\r\nSpam: False ; 0.0 / 5.0\r\n\r\nab", garbage),
        ("SPAMD/1.1 0 EX_OK\r\nContent-length: 2\r\n\r\nab", garbage),
        ("SPAMD/1.1 0 EX_OK\r\nContent-length: 2\r\nSpam: Perhaps ; 0.0 / 5.0\r\n\r\nab", garbage),
        ("SPAMD/1.1 0 EX_OK\r\nContent-length: 2\r\nSpam: False ; nan / 5.0\r\n\r\nab", garbage),
        ("SPAMD/1.1 0 EX_OK\r\nContent-length: 2\r\nSpam: False ; 0 / 5\r\nSpam: True ; 9 / 5\r\n\r\nab", garbage),
        ("SPAMD/1.1 0 EX_OK\r\nSpam: False ; 0.0 / 5.0\r\n\r\n", garbage),
        ("SPAMD/1.1 76 EX_PROTOCOL\r\n\r\n", refused),
        ("HTTP/1.1 0 EX_OK\r\nContent-length: 0\r\nSpam: False ; 0.0 / 5.0\r\n\r\n", garbage),
        ("SPAMD/1.1 x EX_OK\r\nContent-length: 0\r\nSpam: False ; 0.0 / 5.0\r\n\r\n", garbage),
    ] {
        let error = spamd(&Fake::any(says(answer)), &whole(CONTENT)).await.expect_err(answer);
        assert!(expected(&error), "{answer:?}: {error:?}");
    }
    let early = Fake::any(|talk| {
        talk.head_alone();
        talk.say(b"SPAMD/1.1 0 EX_OK\r\nContent-length: 2\r\nSpam: False ; 0.0 / 5.0\r\n\r\nab");
        talk.drain();
    });
    assert_eq!(spamd(&early, &whole(vec![b'x'; 32 << 20])).await, Err(ScanError::Early));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_08_a_scanner_that_is_down_slow_or_shown_too_much_has_words_of_its_own() {
    for protocol in [Protocol::Rspamd, Protocol::Spamd] {
        let down = options(protocol.clone(), &fake::nobody());
        assert!(matches!(scan(down, &whole(CONTENT)).await, Err(ScanError::Unreachable(_))));
        let short = Duration::from_millis(200);
        let mute = Fake::any(|talk| {
            talk.sized_content();
            talk.drain();
        });
        let slow = ScannerOptions { timeout: short, ..options(protocol.clone(), &mute.address) };
        assert_eq!(scan(slow, &whole(CONTENT)).await, Err(ScanError::Late(short)));
        // Each octet of its answer comes within the time; the answer does not.
        let status: &[u8] = if protocol == Protocol::Rspamd { b"HTTP/1.1 200 OK" } else { b"SPAMD/1.1 0 EX_OK" };
        let drip = Fake::any(move |talk| {
            talk.sized_content();
            talk.say(status);
            talk.say(b"\r\nX: ");
            while talk.say(b"x") {
                std::thread::sleep(short / 8);
            }
        });
        let drips = ScannerOptions { timeout: short, ..options(protocol.clone(), &drip.address) };
        assert_eq!(scan(drips, &whole(CONTENT)).await, Err(ScanError::Late(short)));
        let small = ScannerOptions { size_max: 10, ..options(protocol.clone(), &mute.address) };
        let error = scan(small, &whole(CONTENT)).await.unwrap_err();
        assert!(matches!(error, ScanError::TooLarge(_)), "{error:?}");
        let part = View { encoding: Some("base64".into()), ..whole("Y2lhbw==\r\n") };
        assert_eq!(scan(options(protocol, &mute.address), &part).await, Err(ScanError::NotAMessage));
    }
}

/// A question changes nothing at a scanner, so that it may be asked twice; two answers to one question are not two.
#[tokio::test]
async fn as_08_an_answer_that_comes_twice_is_one_or_none() {
    let report = rspamd(&Fake::any(says(checked("no action", "0.1").repeat(2))), &whole(CONTENT)).await.unwrap();
    assert_eq!((report.threat, report.rating.unwrap().score), (None, 100));
    let ham = "SPAMD/1.1 0 EX_OK\r\nSpam: False ; -0.1 / 5.0\r\nContent-length: 2\r\n\r\n\r\n".repeat(2);
    let error = spamd(&Fake::any(says(ham)), &whole(CONTENT)).await.unwrap_err();
    assert!(matches!(error, ScanError::Garbage(_)), "{error:?}");
}

/// Attack E6: what a scanner says stays one bounded line.
#[tokio::test]
async fn words_of_a_scanner_for_spam_are_bounded() {
    let long = "N".repeat(5000);
    let body = format!(
        r#"{{"is_skipped":false,"score":7,"required_score":15,"action":"add\r\nheader{long}","symbols":{{"{long}":{{"score":7.0}}}}}}"#
    );
    let report = rspamd(&Fake::any(says(http("200 OK", &body))), &whole(CONTENT)).await.unwrap();
    let rating = report.rating.unwrap();
    assert!(rating.action.len() <= WORDS_MAX && rating.action.starts_with("add??header"));
    assert!(rating.symbols.len() <= WORDS_MAX && report.threat.unwrap().len() <= WORDS_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever octets an answer has, there is a rating only if it is an answer.
    #[test]
    fn as_08_no_other_answer_is_a_rating(
        octets in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "SPAMD/1.1 0 EX_OK\r\n(Content-length: [0-2]\r\n)?(Spam: (True|False) ; [0-9] / 5\r\n)?\r\n[ab]{0,2}".prop_map(String::into_bytes),
        ],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let report = runtime.block_on(spamd(&Fake::any(says(octets.clone())), &whole(CONTENT)));
        if let Ok(report) = report {
            let text = String::from_utf8(octets.clone()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            prop_assert!(head.contains(&format!("Content-length: {}", body.len())), "{}", text);
            prop_assert_eq!(report.threat.is_some(), head.contains("Spam: True"));
        }
        let report = runtime.block_on(rspamd(&Fake::any(says(octets)), &whole(CONTENT)));
        prop_assert!(report.is_err());
    }
}
