//! Attempts at message centres that speak SMPP: some behave, some do not. Those here are scripts of octets; a message
//! centre of other people's making stands in the journey t-17.
#![allow(clippy::unwrap_used, reason = "tests may")]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sigillo_delivery::outbox::http::Meaning;
use sigillo_delivery::outbox::smpp::{Alphabet, LongTexts, SmppOptions, SmppTarget};
use sigillo_delivery::outbox::{Attempt, Protocol, Request};
use sigillo_mail::rope::NoSource;

const BIND: u32 = 9;
const SUBMIT: u32 = 4;
const ENQUIRE: u32 = 0x15;
const RESPONSE: u32 = 0x8000_0000;

/// A unit as it stands on the wire, without its length.
#[derive(Debug, Clone)]
struct Unit {
    id: u32,
    number: u32,
    body: Vec<u8>,
}

fn read(socket: &mut TcpStream) -> Option<Unit> {
    let mut head = [0; 16];
    socket.read_exact(&mut head).ok()?;
    let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
    let mut body = vec![0; word(0) as usize - 16];
    socket.read_exact(&mut body).ok()?;
    Some(Unit { id: word(4), number: word(12), body })
}

fn unit(id: u32, status: u32, number: u32, body: &[u8]) -> Vec<u8> {
    let head = [16 + body.len() as u32, id, status, number];
    [&head.map(u32::to_be_bytes).concat()[..], body].concat()
}

/// What a message centre does with a unit: octets to say, and whether it goes away then.
type Script = Arc<Mutex<dyn FnMut(&Unit) -> (Vec<u8>, bool) + Send>>;

/// Does what the script says, over one connection after the other; what it heard comes out.
fn centre(script: impl FnMut(&Unit) -> (Vec<u8>, bool) + Send + 'static) -> (u16, Receiver<Unit>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, units) = channel();
    let script: Script = Arc::new(Mutex::new(script));
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, heard, script) = (socket.unwrap(), heard.clone(), script.clone());
            std::thread::spawn(move || {
                while let Some(unit) = read(&mut socket) {
                    let (said, goes) = script.lock().unwrap()(&unit);
                    let _ = heard.send(unit);
                    let _ = socket.write_all(&said);
                    if goes {
                        return;
                    }
                }
            });
        }
    });
    (port, units)
}

fn target(port: u16) -> SmppTarget {
    with(port, |_| {})
}

fn with(port: u16, change: impl FnOnce(&mut SmppOptions)) -> SmppTarget {
    let mut options = SmppOptions {
        host: "127.0.0.1".into(),
        port,
        tls: None,
        system_id: "sigillo".into(),
        password: "s3cret".into(),
        system_type: String::new(),
        from: "Sigillo".into(),
        alphabet: Alphabet::Gsm,
        long_texts: LongTexts::Parts,
        per_second: 1000,
        enquire: Duration::from_secs(30),
        timeout: Duration::from_secs(1),
        meanings: HashMap::new(),
    };
    change(&mut options);
    SmppTarget::new(options).unwrap()
}

fn request(text: &str) -> Request {
    Request {
        key: "alerts-digest.1".into(),
        parameters: vec![("to".into(), "+390612345678".into()), ("text".into(), text.into())],
        content: None,
        source: Arc::new(NoSource),
        attempt: 1,
    }
}

/// Takes everything.
fn good(asked: &Unit) -> (Vec<u8>, bool) {
    let body: &[u8] = if asked.id == BIND { b"centre\0" } else { b"id-1\0" };
    (unit(asked.id | RESPONSE, 0, asked.number, body), false)
}

/// Takes the bind, answers a submission with a status.
fn saying(status: u32) -> impl FnMut(&Unit) -> (Vec<u8>, bool) + Send + 'static {
    move |asked| match asked.id {
        SUBMIT => (unit(SUBMIT | RESPONSE, status, asked.number, &[]), false),
        _ => good(asked),
    }
}

fn submitted(units: &Receiver<Unit>) -> Vec<Vec<u8>> {
    units.try_iter().filter(|unit| unit.id == SUBMIT).map(|unit| unit.body).collect()
}

#[tokio::test]
async fn a_text_is_submitted_once_over_a_session_that_stays() {
    let (port, units) = centre(good);
    let target = target(port);
    for _ in 0..2 {
        let Attempt::Done(said) = target.attempt(&request("Perché €?")).await else { panic!("not done") };
        assert_eq!((said.code, said.text.as_str()), (Some(0), "EsmeRok id-1"));
    }
    let heard: Vec<Unit> = units.try_iter().collect();
    assert_eq!(heard.iter().map(|unit| unit.id).collect::<Vec<_>>(), [BIND, SUBMIT, SUBMIT]);
    assert_eq!(heard[0].body, b"sigillo\0s3cret\0\0\x34\0\0\0");
    // §4.4.1: service, sender (alphanumeric), recipient (international), class, …, coding, id, length, text.
    let wanted = b"\0\x05\0Sigillo\0\x01\x01390612345678\0\0\0\0\0\0\0\0\0\0\x0aPerch\x05 \x1be?";
    assert_eq!(heard[1].body, wanted);
}

#[tokio::test]
async fn long_and_foreign_texts_go_as_the_message_centre_wants_them() {
    let (port, units) = centre(good);
    assert!(matches!(target(port).attempt(&request(&"a".repeat(200))).await, Attempt::Done(_)));
    let parts = submitted(&units);
    assert_eq!(parts.len(), 2);
    for (index, part) in parts.iter().enumerate() {
        let text = if index == 0 { 153 } else { 47 };
        let octets = &part[part.len() - text - 7..];
        assert_eq!(octets[..4], [(text + 6) as u8, 5, 0, 3], "length and header");
        assert_eq!(octets[5..7], [2, index as u8 + 1]);
    }
    assert_eq!(parts[0][26], 0x40, "the class says that there is a header");
    let payload = with(port, |options| options.long_texts = LongTexts::Payload);
    assert!(matches!(payload.attempt(&request(&"ç".repeat(100))).await, Attempt::Done(_)));
    let parts = submitted(&units);
    assert_eq!(parts.len(), 1);
    // §5.3.2.32: tag, length, 200 octets of UCS-2.
    assert_eq!(parts[0][parts[0].len() - 204..][..6], [4, 0x24, 0, 200, 0, 0xE7]);
    let long = request(&"a".repeat(2000));
    assert!(target(port).check(&long.parameters, None).unwrap_err().contains("more than 10"));
    assert!(target(port).check(&request("a").parameters, Some(1)).is_err(), "it takes no content");
}

#[tokio::test]
async fn what_a_status_means() {
    for (status, word) in
        [(0x58, "later"), (0x14, "later"), (0x08, "later"), (0x0B, "refused"), (0x66, "refused"), (0x400, "later")]
    {
        let (port, _units) = centre(saying(status));
        let attempt = target(port).attempt(&request("ciao")).await;
        assert_eq!(attempt.word(), word, "{status:#x}: {attempt:?}");
        let (Attempt::Later { said, .. } | Attempt::Refused(said) | Attempt::Done(said)) = attempt;
        assert_eq!(said.code, Some(status));
    }
    let (port, _units) = centre(saying(0x400));
    let own = with(port, |options| options.meanings = HashMap::from([(0x400, Meaning::Refused)]));
    assert_eq!(own.attempt(&request("ciao")).await.word(), "refused");
}

#[tokio::test]
async fn nothing_but_an_answer_with_an_id_is_done() {
    type Fault = Box<dyn FnMut(&Unit) -> (Vec<u8>, bool) + Send>;
    let cases: Vec<(&str, &str, Fault)> = vec![
        ("the bind is refused", "away", Box::new(|u| (unit(u.id | RESPONSE, 0x0E, u.number, &[]), false))),
        ("it goes away after the bind", "away", Box::new(|u| (good(u).0, u.id == BIND))),
        (
            "it goes away instead of answering",
            "away",
            Box::new(|u| if u.id == BIND { good(u) } else { (vec![], true) }),
        ),
        ("it says nothing", "away", Box::new(|_| (vec![], false))),
        ("it says nothing to a submission", "away", Box::new(|u| if u.id == BIND { good(u) } else { (vec![], false) })),
        ("garbage", "away", Box::new(|_| (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), false))),
        ("a unit without end", "away", Box::new(|_| (vec![0x7f; 64], false))),
        (
            "an answer to another question",
            "away",
            Box::new(
                |u| if u.id == BIND { good(u) } else { (unit(SUBMIT | RESPONSE, 0, u.number + 7, b"x\0"), false) },
            ),
        ),
        (
            "an answer to a bind instead",
            "away",
            Box::new(|u| if u.id == BIND { good(u) } else { (unit(BIND | RESPONSE, 0, u.number, b"x\0"), false) }),
        ),
        (
            "an answer to a submission instead of the bind's",
            "away",
            Box::new(|u| if u.id == BIND { (unit(SUBMIT | RESPONSE, 0, u.number, b"x\0"), false) } else { good(u) }),
        ),
        (
            "success without an id",
            "later",
            Box::new(|u| if u.id == BIND { good(u) } else { (unit(SUBMIT | RESPONSE, 0, u.number, &[]), false) }),
        ),
        (
            "a nack that says success",
            "later",
            Box::new(|u| if u.id == BIND { good(u) } else { (unit(RESPONSE, 0, u.number, &[]), false) }),
        ),
    ];
    for (name, word, fault) in cases {
        let (port, _units) = centre(fault);
        let attempt = target(port).attempt(&request("ciao")).await;
        assert_eq!(attempt.word(), word, "{name}: {attempt:?}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(target(nobody).attempt(&request("ciao")).await.word(), "away");
}

/// Each octet comes within the time; the answer does not.
#[tokio::test]
async fn an_answer_that_drips_is_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let asked = read(&mut socket).unwrap();
        let (bound, _) = good(&asked);
        socket.write_all(&bound).unwrap();
        let asked = read(&mut socket).unwrap();
        let long = unit(SUBMIT | RESPONSE, 0, asked.number, &[b'x'; 10_000]);
        for octet in long {
            if socket.write_all(&[octet]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let target = target(port);
    let asked = request("ciao");
    let attempt = tokio::time::timeout(Duration::from_secs(20), target.attempt(&asked)).await;
    assert_eq!(attempt.expect("the target's time is for the whole answer").word(), "away");
}

/// The protocol has no key by which a message centre could know a message again: what was taken without our knowing goes
/// out once more, and no more than that (alerts say counts, so twice is better than never).
#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let mut lost = false;
    let (port, units) = centre(move |asked| match asked.id {
        SUBMIT if !std::mem::replace(&mut lost, true) => (vec![], true),
        _ => good(asked),
    });
    let target = target(port);
    assert_eq!(target.attempt(&request("uno")).await.word(), "away");
    assert_eq!(target.attempt(&request("uno")).await.word(), "done");
    let submitted = submitted(&units);
    assert_eq!(submitted.len(), 2);
    assert_eq!(submitted[0], submitted[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_twice_is_one_and_questions_of_the_other_side_are_answered() {
    let (port, units) = centre(|asked| match asked.id {
        SUBMIT => {
            let twice = unit(SUBMIT | RESPONSE, 0, asked.number, b"id-1\0").repeat(2);
            (([twice, unit(ENQUIRE, 0, 77, &[])].concat()), false)
        }
        BIND => good(asked),
        _ => (vec![], false),
    });
    let target = target(port);
    assert_eq!(target.attempt(&request("uno")).await.word(), "done");
    assert_eq!(target.attempt(&request("due")).await.word(), "done");
    let mut heard = Vec::new();
    while heard.iter().filter(|unit: &&Unit| unit.id == ENQUIRE | RESPONSE).count() < 2 {
        heard.push(units.recv_timeout(Duration::from_secs(5)).unwrap());
    }
    assert!(heard.iter().any(|unit| unit.id == ENQUIRE | RESPONSE && unit.number == 77));
    assert_eq!(heard.iter().filter(|unit| unit.id == BIND).count(), 1, "one session");
    assert_eq!(heard.iter().filter(|unit| unit.id == SUBMIT).count(), 2);
}

#[tokio::test]
async fn a_session_that_ended_is_opened_anew_and_parts_that_were_taken_are_not_sent_again() {
    let mut count = 0;
    let (port, units) = centre(move |asked| {
        if asked.id == SUBMIT {
            count += 1;
        }
        // The second part finds the message centre full, and then it goes away.
        match (asked.id, count) {
            (SUBMIT, 2) => (unit(SUBMIT | RESPONSE, 0x14, asked.number, &[]), true),
            _ => good(asked),
        }
    });
    let target = target(port);
    let long = request(&"a".repeat(400));
    assert_eq!(target.attempt(&long).await.word(), "later");
    assert_eq!(target.attempt(&long).await.word(), "done");
    // Of each: the number of the part, in the header.
    let numbers: Vec<u8> =
        submitted(&units).iter().map(|body| body[body.windows(3).position(|w| w == [5, 0, 3]).unwrap() + 5]).collect();
    assert_eq!(numbers, [1, 2, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_session_is_asked_whether_it_is_there() {
    let (port, units) = centre(|asked| if asked.id == ENQUIRE { (vec![], false) } else { good(asked) });
    let target = with(port, |options| options.enquire = Duration::from_millis(100));
    assert_eq!(target.attempt(&request("uno")).await.word(), "done");
    let mut heard = Vec::new();
    while !heard.iter().any(|unit: &Unit| unit.id == ENQUIRE) {
        heard.push(units.recv_timeout(Duration::from_secs(5)).unwrap());
    }
    // It did not answer: the session is over after another silence, and the next request opens another.
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(target.attempt(&request("due")).await.word(), "done");
        heard.extend(units.try_iter());
        if heard.iter().filter(|unit| unit.id == BIND).count() > 1 {
            return;
        }
    }
    panic!("a session whose other side is silent stays");
}
