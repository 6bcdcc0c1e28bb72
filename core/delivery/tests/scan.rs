//! Scanners that lie in every way: whatever they do, «clean» is only what a whole answer to all of the content says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "scan/fake.rs"]
mod fake;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fake::{Fake, Talk};
use proptest::prelude::*;
use sigillo_delivery::scan::{Address, Protocol, ScanError, ScanReport, Scanner, ScannerOptions, View, WORDS_MAX};
use sigillo_mail::rope::{NoSource, Range, Segment};
use sigillo_mail::{Rope, Source};

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

fn clamd(fake: &Fake) -> ScannerOptions {
    options(Protocol::Clamd, &fake.address)
}

fn icap(fake: &Fake) -> ScannerOptions {
    options(Protocol::Icap { service: "avscan".into() }, &fake.address)
}

fn whole(text: impl Into<Vec<u8>>) -> View {
    View { rope: Rope::from_bytes(text.into()), encoding: None, facts: Vec::new() }
}

fn encoded(text: &str, encoding: &str) -> View {
    View { encoding: Some(encoding.into()), ..whole(text) }
}

async fn scan(options: ScannerOptions, view: &View) -> Result<ScanReport, ScanError> {
    Scanner::new(options).scan(view, Arc::new(NoSource)).await
}

/// The fake hears all of the content, says this, and closes.
fn says(answer: &'static [u8]) -> impl Fn(&mut Talk) + Send + Sync + 'static {
    move |talk| {
        talk.content();
        talk.say(answer);
    }
}

fn icap_says(answer: &'static str) -> impl Fn(&mut Talk) + Send + Sync + 'static {
    move |talk| {
        talk.icap_content();
        talk.say(answer.as_bytes());
    }
}

#[tokio::test]
async fn clamd_hears_the_content_and_is_believed() {
    let fake = Fake::clamd(says(b"stream: OK\0"));
    let mut rope = Rope::new();
    (0..3000).for_each(|n| rope.push_bytes(format!("line {n} {}\r\n", "x".repeat(90))));
    let sent = rope.to_bytes(&NoSource).unwrap().to_vec();
    let report = scan(clamd(&fake), &View { rope, encoding: None, facts: Vec::new() }).await.unwrap();
    assert_eq!((report.scanner.as_str(), report.threat), ("one", None));
    assert_eq!(report.version.as_deref(), Some("ClamAV 1.4.6"));
    assert_eq!(report.signatures.as_deref(), Some("27500/Thu Nov 26 09:00:00 2026"));
    assert_eq!(fake.heard(), [sent]);
}

#[tokio::test]
async fn the_name_of_a_threat_is_one_bounded_line() {
    for (answer, name) in [
        (&b"stream: Eicar-Test-Signature FOUND\0"[..], "Eicar-Test-Signature".to_owned()),
        (b"stream: a\r\nb\xff FOUND\0", "a??b?".to_owned()),
        (b"stream:  FOUND\0", "unnamed".to_owned()),
        (b"stream: FOUND FOUND\0", "FOUND".to_owned()),
    ] {
        let fake = Fake::clamd(says(answer));
        assert_eq!(scan(clamd(&fake), &whole(CONTENT)).await.unwrap().threat, Some(name));
    }
    let long: &'static [u8] =
        Box::leak(format!("stream: {} FOUND\0", "n".repeat(5000)).into_bytes().into_boxed_slice());
    let fake = Fake::clamd(says(long));
    assert_eq!(scan(clamd(&fake), &whole(CONTENT)).await.unwrap().threat.unwrap().len(), WORDS_MAX);
}

/// What a fake does with one connection.
type Lie = Box<dyn Fn(&mut Talk) + Send + Sync>;
/// A lie in words and in deed, what is shown to it, and what must come of it.
type Case = (&'static str, Lie, View, Judge);
/// Whether an error is the one that it must be.
type Judge = fn(&ScanError) -> bool;

/// Attack E6: refused, slow, half an answer, garbage, and whatever else comes to a liar's mind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clamd_that_lies_is_never_clean() {
    let big = || whole(vec![b'x'; 32 << 20]);
    let lies: Vec<Case> = vec![
        ("half an answer", Box::new(says(b"stream: O")), whole(CONTENT), |e| *e == ScanError::Ended),
        ("no end of the answer", Box::new(says(b"stream: OK")), whole(CONTENT), |e| *e == ScanError::Ended),
        ("no answer", Box::new(says(b"")), whole(CONTENT), |e| *e == ScanError::Ended),
        ("garbage", Box::new(says(b"\xff\xfe OK\0")), whole(CONTENT), |e| matches!(e, ScanError::Garbage(_))),
        ("another word", Box::new(says(b"stream: FINE\0")), whole(CONTENT), |e| matches!(e, ScanError::Garbage(_))),
        ("two answers", Box::new(says(b"stream: OK\0stream: OK\0")), whole(CONTENT), |e| {
            matches!(e, ScanError::Garbage(_))
        }),
        ("found and clean", Box::new(says(b"stream: X FOUND\0stream: OK\0")), whole(CONTENT), |e| {
            matches!(e, ScanError::Garbage(_))
        }),
        ("its own error", Box::new(says(b"stream: Can't allocate memory ERROR\0")), whole(CONTENT), |e| {
            *e == ScanError::Refused("stream: Can't allocate memory ERROR".into())
        }),
        (
            "an endless answer",
            Box::new(|talk| {
                talk.content();
                while talk.say(&[b'x'; 4096]) {}
            }),
            whole(CONTENT),
            |e| matches!(e, ScanError::Garbage(why) if why.contains("16384 octets")),
        ),
        (
            "clean before the end",
            Box::new(|talk| {
                talk.piece();
                talk.say(b"stream: OK\0");
                talk.drain();
            }),
            big(),
            |e| *e == ScanError::Early,
        ),
        (
            "gone in the middle",
            Box::new(|talk| {
                talk.piece();
            }),
            big(),
            |e| *e == ScanError::Ended,
        ),
        (
            "its size limit",
            Box::new(|talk| {
                talk.piece();
                talk.say(b"INSTREAM size limit exceeded. ERROR\0");
                talk.drain();
            }),
            big(),
            |e| matches!(e, ScanError::TooLarge(_)),
        ),
    ];
    for (what, lie, view, expected) in lies {
        let fake = Fake::clamd(lie);
        let error = scan(clamd(&fake), &view).await.expect_err(what);
        assert!(expected(&error), "{what}: {error:?}");
        assert!(!error.to_string().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scanner_that_is_down_or_slow_has_words_of_its_own() {
    let down = options(Protocol::Clamd, &fake::nobody());
    assert!(matches!(scan(down, &whole(CONTENT)).await, Err(ScanError::Unreachable(_))));
    let short = Duration::from_millis(200);
    let fake = Fake::clamd(|talk| {
        talk.content();
        talk.drain(); // and never an answer
    });
    let slow = ScannerOptions { timeout: short, ..clamd(&fake) };
    assert_eq!(scan(slow, &whole(CONTENT)).await, Err(ScanError::Late(short)));
    // Each octet of its answer comes within the time; the answer does not.
    for (protocol, heard) in [
        (Protocol::Clamd, Talk::content as fn(&mut Talk)),
        (Protocol::Icap { service: "avscan".into() }, Talk::icap_content),
    ] {
        let drip = move |talk: &mut Talk| {
            heard(talk);
            while talk.say(b"x") {
                std::thread::sleep(short / 8);
            }
        };
        let clamav = protocol == Protocol::Clamd;
        let fake = if clamav { Fake::clamd(drip) } else { Fake::icap(drip) };
        let drips = ScannerOptions { timeout: short, ..options(protocol, &fake.address) };
        assert_eq!(scan(drips, &whole(CONTENT)).await, Err(ScanError::Late(short)));
    }
    let fake = Fake::clamd(Talk::sleep_until_closed);
    let deaf = ScannerOptions { timeout: short, ..clamd(&fake) };
    assert_eq!(scan(deaf, &whole(vec![b'x'; 32 << 20])).await, Err(ScanError::Late(short)));
    // Attack E12: nothing but the address that the operator gave; a name that is none leads nowhere.
    let nowhere = options(Protocol::Clamd, "no-such-host.invalid:3310");
    assert!(matches!(scan(nowhere, &whole(CONTENT)).await, Err(ScanError::Unreachable(_))));
    let unix = ScannerOptions { address: Address::Unix("/nonexistent/clamd.ctl".into()), ..clamd(&fake) };
    assert!(matches!(scan(unix, &whole(CONTENT)).await, Err(ScanError::Unreachable(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_cannot_be_read_to_its_end_is_not_shown_as_whole() {
    struct Torn;
    impl Source for Torn {
        fn read_exact_at(&self, _: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            buffer.fill(b'x');
            if offset > 100_000 { Err(io::Error::other("torn")) } else { Ok(()) }
        }
    }
    let mut rope = Rope::from_bytes(CONTENT);
    rope.push(Segment::Range(Range { file: 1, offset: 0, length: 1 << 20 }));
    for options in [clamd(&Fake::clamd(says(b"stream: OK\0"))), icap(&Fake::icap(icap_says("ICAP/1.0 204 No\r\n\r\n")))]
    {
        let found = Scanner::new(options)
            .scan(&View { rope: rope.clone(), encoding: None, facts: Vec::new() }, Arc::new(Torn))
            .await;
        assert_eq!(found, Err(ScanError::Unreadable("torn".into())));
    }
}

#[tokio::test]
async fn more_than_the_operator_allows_is_not_shown() {
    let fake = Fake::clamd(says(b"stream: OK\0"));
    let small = || ScannerOptions { size_max: CONTENT.len() as u64, ..clamd(&fake) };
    assert!(scan(small(), &whole(CONTENT)).await.unwrap().threat.is_none());
    let error = scan(small(), &whole(format!("{CONTENT}!"))).await.unwrap_err();
    assert!(matches!(error, ScanError::TooLarge(_)), "{error:?}");
}

#[tokio::test]
async fn a_part_is_shown_decoded_and_in_both_readings() {
    let fake = Fake::clamd(says(b"stream: OK\0"));
    scan(clamd(&fake), &encoded("perch=C3=A9", "quoted-printable")).await.unwrap();
    scan(clamd(&fake), &encoded("Y2lhbw==\r\n", "base64")).await.unwrap();
    // Attack M5: a reader may stop at the padding, or go on.
    scan(clamd(&fake), &encoded("Y2lhbw==\r\nIQ==\r\n", "base64")).await.unwrap();
    let heard: Vec<_> = fake.heard().into_iter().map(|octets| String::from_utf8(octets).unwrap()).collect();
    assert_eq!(heard, ["perché", "ciao", "ciao!", "ciao"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, peak) = (now.clone(), most.clone());
    let fake = Fake::clamd(move |talk| {
        peak.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        talk.content();
        std::thread::sleep(Duration::from_millis(20));
        counted.fetch_sub(1, Ordering::SeqCst);
        talk.say(b"stream: OK\0");
    });
    let scanner = Arc::new(Scanner::new(ScannerOptions { connections: 2, ..clamd(&fake) }));
    let scans: Vec<_> = (0..12)
        .map(|_| {
            let scanner = scanner.clone();
            tokio::spawn(async move { scanner.scan(&whole(CONTENT), Arc::new(NoSource)).await })
        })
        .collect();
    for scan in scans {
        assert!(scan.await.unwrap().unwrap().threat.is_none());
    }
    assert!(most.load(Ordering::SeqCst) <= 2);
    assert_eq!(fake.heard().len(), 12);
}

#[tokio::test]
async fn icap_hears_the_content_and_is_believed() {
    let fake = Fake::icap(icap_says(
        "ICAP/1.0 204 No modifications needed\r\nISTag: \"CI0001-7\"\r\nService: Test 1.0\r\nConnection: close\r\n\r\n",
    ));
    let report = scan(icap(&fake), &whole(CONTENT)).await.unwrap();
    assert_eq!(report.threat, None);
    assert_eq!((report.version.as_deref(), report.signatures.as_deref()), (Some("Test 1.0"), Some("CI0001-7")));
    assert_eq!(fake.heard(), [CONTENT.as_bytes()]);
    let head = fake.head();
    assert!(head.starts_with(&format!("RESPMOD icap://{}/avscan ICAP/1.0\r\nHost: {0}\r\n", fake.address)), "{head}");
    assert!(head.contains("\r\nAllow: 204\r\n"), "{head}");
    // RFC 3507 §4.4.1: the offsets are those of what is encapsulated.
    let (icap, http) = head.split_once("\r\n\r\n").unwrap();
    let offset = |name: &str| -> usize {
        let value = icap.split(&format!("{name}=")).nth(1).unwrap();
        value.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    assert!(http[offset("req-hdr")..].starts_with("GET "));
    assert!(http[offset("res-hdr")..].starts_with("HTTP/1.1 200 OK\r\nContent-Type: message/rfc822\r\n"));
    assert_eq!(http.len(), offset("res-body"));
}

#[tokio::test]
async fn icap_names_what_it_found_in_the_ways_that_are_in_use() {
    for (answer, name) in [
        ("ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Eicar;\r\n\r\n", "Eicar"),
        ("ICAP/1.0 200 OK\r\nx-virus-id: EICAR Test\r\nEncapsulated: null-body=0\r\n\r\n", "EICAR Test"),
        (
            "ICAP/1.0 200 OK\r\nX-Violations-Found: 1\r\n\t-\r\n\tEicar\r\n\t0\r\n\t0\r\n\r\nHTTP/1.1 403 No\r\n\r\n",
            "Eicar",
        ),
        ("ICAP/1.0 403 Forbidden\r\nX-Virus-ID: \r\n\r\n", "unnamed"),
        ("ICAP/1.0 204 No\r\nX-Infection-Found: Type=0; Resolution=0; Threat=a\tb;\r\n\r\n", "a?b"),
    ] {
        let fake = Fake::icap(icap_says(answer));
        assert_eq!(scan(icap(&fake), &whole(CONTENT)).await.unwrap().threat.as_deref(), Some(name), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn icap_that_lies_is_never_clean() {
    let refused: Judge = |e| matches!(e, ScanError::Refused(_));
    let garbage: Judge = |e| matches!(e, ScanError::Garbage(_));
    let ended: Judge = |e| *e == ScanError::Ended;
    let cases: Vec<(&'static str, Judge)> = vec![
        ("ICAP/1.0 404 ICAP Service not found\r\n\r\n", refused),
        ("ICAP/1.0 503 Service overloaded\r\n\r\n", refused),
        ("ICAP/1.0 100 Continue\r\n\r\n", refused),
        ("ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, null-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", garbage),
        ("ICAP/1.0 204 No\r\n\r\nICAP/1.0 204 No\r\n\r\n", garbage),
        ("ICAP/1.1 204 No\r\n\r\n", garbage),
        ("HTTP/1.1 204 No\r\n\r\n", garbage),
        ("ICAP/1.0 2040 No\r\n\r\n", garbage),
        ("ICAP/1.0 204 No modifications\r\n", ended),
        ("ICAP/1.0 20", ended),
        ("", ended),
    ];
    for (answer, expected) in cases {
        let fake = Fake::icap(icap_says(answer));
        let error = scan(icap(&fake), &whole(CONTENT)).await.expect_err(answer);
        assert!(expected(&error), "{answer:?}: {error:?}");
    }
    // RFC 3507 §4.5 lets a server answer early: it may have found something by then, never that there is nothing.
    let early = |answer: &'static str| {
        Fake::icap(move |talk| {
            talk.icap_head();
            talk.say(answer.as_bytes());
            talk.drain();
        })
    };
    let big = whole(vec![b'x'; 32 << 20]);
    let fake = early("ICAP/1.0 204 No\r\n\r\n");
    assert_eq!(scan(icap(&fake), &big).await, Err(ScanError::Early));
    let fake = early("ICAP/1.0 200 OK\r\nX-Virus-ID: Worm\r\n\r\n");
    assert_eq!(scan(icap(&fake), &big).await.unwrap().threat.as_deref(), Some("Worm"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever octets an answer has, it is clean only if it is the one answer that says so.
    #[test]
    fn no_other_answer_is_clean(
        octets in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "(stream: )?(OK|X FOUND|ERROR)?[\0 ]?(stream: OK)?\0?".prop_map(String::into_bytes),
        ],
        cut in 0_usize..40,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let octets = octets[..octets.len() - cut.min(octets.len()) * usize::from(cut % 3 == 0)].to_vec();
        let sent = octets.clone();
        let fake = Fake::clamd(move |talk| {
            talk.content();
            talk.say(&sent);
        });
        let clean = runtime.block_on(scan(clamd(&fake), &whole(CONTENT))).is_ok_and(|report| report.threat.is_none());
        prop_assert_eq!(clean, octets == b"stream: OK\0");
    }
}
