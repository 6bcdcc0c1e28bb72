//! What must hold for every byte string, every division into pieces and every order of commands.
#![allow(clippy::unwrap_used, reason = "a test that fails here fails")]

use bytes::BytesMut;
use proptest::prelude::*;
use sigillo_auth::ServerSecret;
use sigillo_mail::Envelope;
use sigillo_smtp::client::{self, Action};
use sigillo_smtp::data::{ContentFault, Receiver, Scan, Stuffer};
use sigillo_smtp::facts::{ListenerKind, TlsFacts};
use sigillo_smtp::server::{Accepted, Event, Options, Session};
use sigillo_smtp::{Limits, Transaction};

fn stuffed(content: &[u8]) -> Vec<u8> {
    let (mut stuffer, mut out) = (Stuffer::default(), BytesMut::new());
    stuffer.push(content, &mut out);
    stuffer.finish(&mut out);
    out.to_vec()
}

fn scanned(content: &[u8]) -> Scan {
    let mut scan = Scan::default();
    scan.push(content);
    scan.finish()
}

/// Content, fault and end of what is on the wire, given in pieces of `sizes` (cycled).
fn received(wire: &[u8], sizes: &[usize]) -> (Vec<u8>, Option<ContentFault>, Option<usize>) {
    let (mut receiver, mut out, mut at) = (Receiver::new(u64::MAX), BytesMut::new(), 0);
    for size in sizes.iter().cycle() {
        if at == wire.len() {
            break;
        }
        let until = (at + size).min(wire.len());
        if let Some(taken) = receiver.push(&wire[at..until], &mut out) {
            return (out.to_vec(), receiver.fault(), Some(at + taken));
        }
        at = until;
    }
    (out.to_vec(), receiver.fault(), None)
}

/// RFC 5321 §4.1.1.4 by brute force: the content ends with the first CRLF.CRLF, the CRLF of the DATA line counting.
fn true_end(wire: &[u8]) -> Option<usize> {
    let whole = [b"\r\n", wire].concat();
    whole.windows(5).position(|w| w == b"\r\n.\r\n").map(|at| at + 3)
}

fn has_stray(content: &[u8]) -> bool {
    let padded = [b"x", content, b"x"].concat();
    padded.windows(2).any(|w| (w[0] == b'\r') != (w[1] == b'\n')) || content.contains(&0)
}

/// All strings of up to eight octets around the ones that matter.
fn each_short_string(mut check: impl FnMut(&[u8])) {
    let alphabet = *b".\r\n\0a";
    let mut digits: Vec<usize> = Vec::new();
    loop {
        check(&digits.iter().map(|d| alphabet[*d]).collect::<Vec<u8>>());
        match digits.iter().rposition(|d| *d + 1 < alphabet.len()) {
            Some(at) => {
                digits[at] += 1;
                digits[at + 1..].fill(0);
            }
            None if digits.len() == 8 => return,
            None => {
                digits.fill(0);
                digits.push(0);
            }
        }
    }
}

#[test]
fn only_the_true_end_ends_content_whatever_is_in_it() {
    each_short_string(|string| {
        let wire = [string, b"\r\n.\r\n"].concat();
        for sizes in [&[usize::MAX >> 1][..], &[1], &[2, 1]] {
            let (content, fault, end) = received(&wire, sizes);
            assert_eq!(end, true_end(&wire), "{string:?} in {sizes:?}");
            let taken = &wire[..end.unwrap() - 3];
            assert_eq!(fault.is_some(), has_stray(taken), "{string:?}");
            assert!(fault.is_some() || !has_stray(&content), "{string:?}");
        }
    });
}

#[test]
fn what_may_be_sent_arrives_as_it_was_and_nothing_else_is_sent() {
    each_short_string(|string| {
        assert_eq!(scanned(string).bad_bytes, has_stray(string), "{string:?}");
        if has_stray(string) {
            return;
        }
        let wire = stuffed(string);
        let ended = string.is_empty() || string.ends_with(b"\r\n");
        let want = if ended { string.to_vec() } else { [string, b"\r\n"].concat() };
        let behind = [&wire[..], b"MAIL FROM:<>\r\n"].concat();
        assert_eq!(received(&behind, &[3]), (want, None, Some(wire.len())), "{string:?}");
    });
}

proptest! {
    #[test]
    fn any_division_gives_the_same(
        lines in proptest::collection::vec("[.a-z]{0,90}|\\.{0,3}", 0..60),
        sizes in proptest::collection::vec(1usize..200, 1..8),
    ) {
        let content = lines.iter().flat_map(|l| [l.as_bytes(), b"\r\n"].concat()).collect::<Vec<u8>>();
        let wire = stuffed(&content);
        prop_assert_eq!(received(&wire, &sizes), (content.clone(), None, Some(wire.len())));
        // The stuffer, too, may get its content in any pieces.
        let (mut stuffer, mut out, mut rest) = (Stuffer::default(), BytesMut::new(), &content[..]);
        for size in sizes.iter().cycle() {
            if rest.is_empty() { break }
            let (piece, tail) = rest.split_at((*size).min(rest.len()));
            stuffer.push(piece, &mut out);
            rest = tail;
        }
        stuffer.finish(&mut out);
        prop_assert_eq!(&out[..], &wire[..]);
    }

    /// Whatever commands come in whatever order: content is taken exactly when a MAIL and a RCPT of the same
    /// transaction were accepted, nothing panics, and a message is counted only when its content ended.
    #[test]
    fn content_needs_its_own_transaction(choices in proptest::collection::vec(0usize..COMMANDS.len(), 1..60)) {
        let mut model = Model::default();
        let mut session = session();
        run(&mut session, &mut model);
        for choice in choices {
            let command = COMMANDS[choice];
            session.input().extend_from_slice(command.as_bytes());
            model.expect(command);
            if !run(&mut session, &mut model) { break }
        }
        prop_assert_eq!(model.wrong, None);
    }

    #[test]
    fn noise_never_panics_nor_becomes_a_message(noise in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let mut model = Model::default();
        let mut session = session();
        for piece in noise.chunks(97) {
            session.input().extend_from_slice(piece);
            if !run(&mut session, &mut model) { break }
        }
        prop_assert_eq!(model.messages, 0);
    }
}

proptest! {
    /// Whatever a server says: no panic, and a recipient counts as delivered only after a reply to the whole content.
    #[test]
    fn a_mad_server_never_panics_the_client(choices in proptest::collection::vec(0usize..REPLIES.len(), 0..40)) {
        let envelope = Envelope {
            reverse_path: "a@b.test".parse().unwrap(),
            recipients: vec!["c@d.test".parse().unwrap(), "e@d.test".parse().unwrap()],
            eight_bit: false,
        };
        let options =
            client::Options { host: "mx".into(), hello: "me".into(), security: client::session::Security::Opportunistic };
        let mut session = client::Session::new(options, envelope, Scan::default(), 3);
        let (mut choices, mut sent) = (choices.into_iter(), false);
        loop {
            match session.proceed() {
                Action::Close => break,
                Action::SendContent => { sent = true; session.content_sent() }
                Action::StartTls => session.tls_started(TlsFacts { version: "x".into(), cipher: "y".into() }),
                Action::Receive(_) => match choices.next() {
                    Some(choice) => session.input().extend_from_slice(REPLIES[choice].as_bytes()),
                    None => break,
                },
            }
        }
        prop_assert!(sent || session.results().iter().all(Result::is_err));
    }
}

const REPLIES: [&str; 14] = [
    "220 mx\r\n",
    "250 ok\r\n",
    "250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n",
    "250-mx\r\n250 SIZE 2\r\n",
    "250 ok\r\n250 ok\r\n250 ok\r\n",
    "354 go\r\n",
    "421 bye\r\n",
    "450 later\r\n",
    "550 5.1.1 no\r\n",
    "552 full\r\n",
    "250-unfinished\r\n",
    "nonsense\r\n",
    "220",
    "\r\n",
];

const COMMANDS: [&str; 15] = [
    "EHLO x.test\r\n",
    "HELO x.test\r\n",
    "MAIL FROM:<a@b.test>\r\n",
    "MAIL FROM:<refused@b.test>\r\n",
    "MAIL FROM:<>\r\n",
    "RCPT TO:<c@d.test>\r\n",
    "RCPT TO:<refused@d.test>\r\n",
    "DATA\r\n",
    "text\r\n.\r\n",
    "bare\ntext\r\n.\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "VRFY x\r\n",
    "STARTTLS\r\n",
    "AUTH PLAIN AGFkYQBzZWNyZXQ=\r\n",
];

/// The reference: what the commands so far allow.
#[derive(Default)]
struct Model {
    greeted: bool,
    mail: bool,
    recipients: usize,
    in_content: bool,
    /// What the session is about to be told, so that the events can be compared with it.
    data_due: bool,
    messages: usize,
    wrong: Option<String>,
}

impl Model {
    fn expect(&mut self, command: &str) {
        self.data_due = false;
        if self.in_content {
            self.in_content = !command.ends_with("\r\n.\r\n");
            if !self.in_content {
                (self.mail, self.recipients) = (false, 0);
            }
            return;
        }
        match command {
            "EHLO x.test\r\n" | "HELO x.test\r\n" => (self.greeted, self.mail, self.recipients) = (true, false, 0),
            "RSET\r\n" => (self.mail, self.recipients) = (false, 0),
            "MAIL FROM:<a@b.test>\r\n" | "MAIL FROM:<>\r\n" if self.greeted => self.mail = true,
            "RCPT TO:<c@d.test>\r\n" if self.mail => self.recipients = 1,
            "DATA\r\n" if self.recipients > 0 => (self.data_due, self.in_content) = (true, true),
            _ => {}
        }
    }
}

fn session() -> Session {
    let options = Options {
        kind: ListenerKind::Relay,
        hostname: "mx.test".into(),
        starttls: false,
        limits: Limits::default(),
        secret: ServerSecret::from_bytes([0; 32]),
    };
    Session::new(options, "0".into(), "192.0.2.1:1".parse().unwrap(), None)
}

/// Runs to the next read; false when closed.
fn run(session: &mut Session, model: &mut Model) -> bool {
    loop {
        match session.proceed() {
            Event::Receive => {
                if session.in_content() != model.in_content {
                    model.wrong =
                        Some(format!("in content: {}, by the model {}", session.in_content(), model.in_content));
                    return false;
                }
                return true;
            }
            Event::Close => return false,
            Event::Mail(path, _) => session.answer(refused(&path.to_string())),
            Event::Rcpt(mailbox) => session.answer(refused(mailbox.local_part())),
            Event::Data => {
                let recipients = session.transaction().map_or(0, |t: &Transaction| t.recipients.len());
                if !model.data_due || recipients == 0 {
                    model.wrong = Some("DATA without a transaction of its own".into());
                }
                session.answer(Ok(()));
            }
            Event::Finish => {
                model.messages += 1;
                session.finished(Ok(Accepted { words: "ok".into() }));
            }
            Event::Content(_) | Event::Abandon => {}
            Event::StartTls | Event::Check { .. } => {
                model.wrong = Some("neither TLS nor AUTH is offered here".into());
                return false;
            }
        }
    }
}

fn refused(text: &str) -> Result<(), sigillo_mail::Failure> {
    let no = || sigillo_mail::Failure::permanent(sigillo_mail::EnhancedCode::REFUSED, "no");
    if text.starts_with("refused") { Err(no()) } else { Ok(()) }
}
