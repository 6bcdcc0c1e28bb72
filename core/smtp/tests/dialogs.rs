//! Plays the text dialogs of `tests/dialogs/smtp/` against the sessions, without sockets.
//!
//! Lines of a dialog:
//!
//! | line | meaning |
//! |---|---|
//! | `# …` | comment; every file begins with one that says why it matters |
//! | `@ submission starttls`, `@ relay`, `@ submission implicit`, `@ client required`, … | which session; options such as `size=100` follow |
//! | `P: …`, `P\| …` | the peer says this, with CRLF (`:`) or with escapes and nothing added (`\|`) |
//! | `P+ …` | as `P:`, but in one piece with the next peer line |
//! | `W: …`, `W~ …` | we answer exactly this line, or one that begins so |
//! | `W.` | we have closed |
//! | `TLS` | the handshake that is due succeeds |
//! | `STOP`, `LATE` | the server stops; the client's time is over |
//! | `M: 2` | so many messages were taken in all |
//! | `M\| …` | the content of the last one, with escapes |
//!
//! In server dialogs `C:` and `S:` may be written for `P:` and `W:`, in client dialogs the other way round.
#![allow(clippy::unwrap_used, reason = "a test that fails here fails")]

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use bytes::BytesMut;
use sigillo_auth::{Credential, ServerSecret};
use sigillo_mail::{EnhancedCode, Envelope, Failure};
use sigillo_smtp::client::{self, Action, session};
use sigillo_smtp::data::{Scan, Stuffer};
use sigillo_smtp::facts::{ListenerKind, TlsFacts};
use sigillo_smtp::server::{self, Accepted, Event};
use sigillo_smtp::{Limits, Reply};

#[test]
fn dialogs_go_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/dialogs/smtp");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "txt"));
    files.sort();
    assert!(files.len() > 20, "the dialogs are in {}", folder.display());
    let wrong: Vec<String> = files.iter().filter_map(|file| play(file).err()).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn play(file: &Path) -> Result<(), String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(file).map_err(|e| format!("{name}: {e}"))?;
    if !text.starts_with('#') {
        return Err(format!("{name}: does not say why it matters"));
    }
    let mut player: Option<Player> = None;
    let mut held = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#')) {
        let place = format!("{name}:{}: {line}", number + 1);
        let Some(player) = &mut player else {
            player = Some(Player::new(line.strip_prefix("@ ").ok_or(format!("{place}\n  no session yet"))?));
            continue;
        };
        player.line(line, &mut held).map_err(|wrong| format!("{place}\n  {wrong}"))?;
    }
    let player = player.ok_or(format!("{name}: empty"))?;
    match player.said.front() {
        Some(more) => Err(format!("{name}: we said more: {more:?}")),
        None => Ok(()),
    }
}

/// `\r`, `\n`, `\0`, `\\` and `\xNN`.
fn unescape(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        match (byte, byte == b'\\') {
            (_, false) => out.push(byte),
            (_, true) => match rest.next() {
                Some(b'r') => out.push(b'\r'),
                Some(b'n') => out.push(b'\n'),
                Some(b'0') => out.push(0),
                Some(b'x') => {
                    let digits: String = rest.by_ref().take(2).map(char::from).collect();
                    out.push(u8::from_str_radix(&digits, 16).unwrap());
                }
                other => out.extend(other),
            },
        }
    }
    out
}

/// A session of either role, what it said, and what came of it.
struct Player {
    role: Role,
    /// What we said and the dialog has not yet checked.
    said: VecDeque<String>,
    closed: bool,
    tls_due: bool,
    messages: Vec<Vec<u8>>,
}

enum Role {
    Server(Box<server::Session>, Vec<u8>),
    Client(Box<client::Session>, &'static [u8]),
}

fn tls() -> TlsFacts {
    TlsFacts { version: "TLSv1.3".into(), cipher: "TLS_AES_256_GCM_SHA384".into() }
}

impl Player {
    fn new(words: &str) -> Player {
        let words: Vec<&str> = words.split(' ').collect();
        let has = |word: &str| words.contains(&word);
        let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)).map(|v| v.parse().unwrap());
        let role =
            if has("client") { client_role(&has) } else { server_role(&has, value("size="), value("recipients=")) };
        let mut player = Player { role, said: VecDeque::new(), closed: false, tls_due: false, messages: Vec::new() };
        player.turn();
        player
    }

    fn line(&mut self, line: &str, held: &mut Vec<u8>) -> Result<(), String> {
        // In a server dialog C is the peer and S are we; in a client dialog the other way round.
        let (peer, we) = if matches!(self.role, Role::Server(..)) { ('C', 'S') } else { ('S', 'C') };
        let kind: String = line
            .chars()
            .take(2)
            .map(|c| {
                if c == peer {
                    'P'
                } else if c == we {
                    'W'
                } else {
                    c
                }
            })
            .collect();
        let rest = line.get(2..).unwrap_or_default().strip_prefix(' ').unwrap_or_default();
        match (kind.as_str(), line) {
            (_, "TLS") => self.handshake(),
            (_, "STOP" | "LATE") => {
                self.server(|session| if line == "STOP" { session.stop() } else { session.time_out() })
            }
            ("P:", _) => self.hear(held, &[&unescape(rest)[..], b"\r\n"].concat()),
            ("P|", _) => self.hear(held, &unescape(rest)),
            ("P+", _) => {
                held.extend_from_slice(&unescape(rest));
                held.extend_from_slice(b"\r\n");
                Ok(())
            }
            ("W:", _) => self.check(|said| said == rest, rest),
            ("W~", _) => self.check(|said| said.starts_with(rest), rest),
            ("W.", _) if self.closed && self.said.is_empty() => Ok(()),
            ("W.", _) => Err(format!("not closed; said {:?}", self.said)),
            ("M:", _) if rest == self.messages.len().to_string() => Ok(()),
            ("M|", _) if self.messages.last() == Some(&unescape(rest)) => Ok(()),
            ("M:" | "M|", _) => Err(format!("messages are {:?}", self.messages)),
            ("R:", _) => self.result(rest),
            _ => Err("unknown kind of line".to_owned()),
        }
    }

    fn check(&mut self, right: impl Fn(&str) -> bool, wanted: &str) -> Result<(), String> {
        match self.said.pop_front() {
            Some(said) if right(&said) => Ok(()),
            other => Err(format!("wanted {wanted:?}, said {other:?}")),
        }
    }

    fn hear(&mut self, held: &mut Vec<u8>, bytes: &[u8]) -> Result<(), String> {
        if self.closed {
            return Err("we have closed".to_owned());
        }
        let input = match &mut self.role {
            Role::Server(session, _) => session.input(),
            Role::Client(session, _) => session.input(),
        };
        input.extend_from_slice(held);
        input.extend_from_slice(bytes);
        held.clear();
        self.turn();
        Ok(())
    }

    fn server(&mut self, act: impl FnOnce(&mut server::Session)) -> Result<(), String> {
        let Role::Server(session, _) = &mut self.role else { return Err("no server".to_owned()) };
        act(session);
        self.turn();
        Ok(())
    }

    fn handshake(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.tls_due) {
            return Err("no handshake is due".to_owned());
        }
        match &mut self.role {
            Role::Server(session, _) => session.tls_started(tls()),
            Role::Client(session, _) => session.tls_started(tls()),
        }
        self.turn();
        Ok(())
    }

    /// `R: 0 ok`, `R: 1 permanent 5.1.1`: how a recipient of a client dialog fared.
    fn result(&mut self, text: &str) -> Result<(), String> {
        let Role::Client(session, _) = &mut self.role else { return Err("no client".to_owned()) };
        let (index, wanted) = text.split_once(' ').ok_or("no index")?;
        let index: usize = index.parse().map_err(|_| "no index")?;
        let found = match &session.results()[index] {
            Ok(_) => "ok".to_owned(),
            Err(failure) => {
                format!("{} {}", if failure.is_permanent() { "permanent" } else { "transient" }, failure.code)
            }
        };
        if found == wanted { Ok(()) } else { Err(format!("the recipient's result is {found}")) }
    }

    fn turn(&mut self) {
        let output = match &mut self.role {
            Role::Server(session, content) => {
                let (due, closed) = server_turn(session, content, &mut self.messages);
                (self.tls_due, self.closed) = (due, closed);
                session.output().split()
            }
            Role::Client(session, content) => {
                let (due, closed) = client_turn(session, content);
                (self.tls_due, self.closed) = (due, closed);
                session.output().split()
            }
        };
        self.said.extend(String::from_utf8(output.to_vec()).unwrap().split_terminator("\r\n").map(str::to_owned));
    }
}

// === The server's role ===

fn server_role(has: &dyn Fn(&str) -> bool, size: Option<u64>, recipients: Option<u64>) -> Role {
    let limits = Limits {
        message_size: size.unwrap_or(100_000),
        recipients: recipients.map_or(1000, |n| n as usize),
        ..Limits::default()
    };
    let options = server::Options {
        kind: if has("submission") { ListenerKind::Submission } else { ListenerKind::Relay },
        hostname: "mx.alfa.test".into(),
        starttls: has("starttls"),
        limits,
        secret: ServerSecret::from_bytes([1; 32]),
    };
    let facts = has("implicit").then(tls);
    Role::Server(Box::new(server::Session::new(options, "0".into(), "192.0.2.1:9".parse().unwrap(), facts)), Vec::new())
}

static ADA: LazyLock<Credential> = LazyLock::new(|| Credential::without_scram("secret").unwrap());

/// Plays the handler: the password of `eva` must be changed first, `nobody@` is unknown, `full@` is full, content that begins with `refuse` is refused when whole,
/// content that begins with `broken` fails at once.
fn server_turn(session: &mut server::Session, content: &mut Vec<u8>, messages: &mut Vec<Vec<u8>>) -> (bool, bool) {
    loop {
        match session.proceed() {
            Event::Receive => return (false, false),
            Event::Close => return (false, true),
            Event::StartTls => return (true, false),
            Event::Check { login, mut exchange } => {
                let barred =
                    || Failure::permanent(EnhancedCode(5, 7, 8), "This is the first password: change it first");
                session.bar((login == "eva").then(barred));
                let step = exchange.credential(["ada", "eva"].contains(&login.as_str()).then_some(&*ADA));
                session.checked(exchange, step);
            }
            Event::Mail(path, _) => session.answer(match path.mailbox() {
                Some(mailbox) if mailbox.local_part() == "refused" => Err(unwanted()),
                _ => Ok(()),
            }),
            Event::Rcpt(mailbox) => session.answer(match mailbox.local_part() {
                "nobody" => Err(Failure::permanent(EnhancedCode::BAD_DESTINATION_MAILBOX, "No such mailbox")),
                "full" => Err(Failure::transient(EnhancedCode(4, 2, 2), "Mailbox full")),
                _ => Ok(()),
            }),
            Event::Data => {
                content.clear();
                session.answer(Ok(()));
            }
            Event::Content(piece) => {
                content.extend_from_slice(&piece);
                if content.starts_with(b"broken") {
                    session.content_failed(Failure::internal("disk full"));
                }
            }
            Event::Abandon => content.clear(),
            Event::Finish if content.starts_with(b"refuse") => session.finished(Err(unwanted())),
            Event::Finish => {
                messages.push(std::mem::take(content));
                session.finished(Ok(Accepted { words: format!("queued as {}", messages.len()) }));
            }
        }
    }
}

fn unwanted() -> Failure {
    Failure::permanent(EnhancedCode::REFUSED, "Not wanted")
}

// === The client's role ===

fn client_role(has: &dyn Fn(&str) -> bool) -> Role {
    let content: &[u8] =
        if has("eight-bit") { "S: \u{e0}\r\n\r\nx\r\n".as_bytes() } else { b"S: a\r\n\r\n.dot\r\nend" };
    let mut scan = Scan::default();
    scan.push(content);
    let security = match (has("required"), has("opportunistic")) {
        (true, _) => session::Security::Required,
        (_, true) => session::Security::Opportunistic,
        _ => session::Security::None,
    };
    let envelope = Envelope {
        reverse_path: if has("null") { "" } else { "ada@alfa.test" }.parse().unwrap(),
        recipients: ["bob@beta.test", "eve@beta.test"].map(|r| r.parse().unwrap()).to_vec(),
        eight_bit: has("eight-bit"),
    };
    let options = client::Options { host: "mx.beta.test".into(), hello: "mx.alfa.test".into(), security };
    Role::Client(Box::new(client::Session::new(options, envelope, scan.finish(), content.len() as u64)), content)
}

fn client_turn(session: &mut client::Session, content: &[u8]) -> (bool, bool) {
    loop {
        match session.proceed() {
            Action::Receive(_) => return (false, false),
            Action::StartTls => return (true, false),
            Action::Close => return (false, true),
            Action::SendContent => {
                let (mut stuffer, mut out) = (Stuffer::default(), BytesMut::new());
                stuffer.push(content, &mut out);
                stuffer.finish(&mut out);
                session.output().extend_from_slice(&out);
                session.content_sent();
            }
        }
    }
}

#[test]
fn the_vocabulary_is_what_the_dialogs_say() {
    // Guards the file format itself: an unescaped text must come out as its bytes.
    assert_eq!(unescape(r"a\r\n\0\x41\\"), b"a\r\n\0A\\");
    assert_eq!(Reply::OK.code, 250);
}
