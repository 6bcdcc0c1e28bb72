use std::sync::Arc;

use async_trait::async_trait;
use proptest::prelude::*;
use sigillo_auth::{Credential, ServerSecret};
use sigillo_mail::rope::NoSource;
use sigillo_mail::{Rope, Source};
use tokio::sync::watch;

use super::*;
use crate::backend::*;
use crate::flags::{FlagChange, Flags};

/// One folder with two messages that nothing changes.
struct Still(watch::Sender<u64>);

const CONTENT: &str = "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ny\r\n--b--\r\n";

fn message(uid: Uid) -> Message {
    Message { uid, flags: Flags::default(), internal_date: 0, size: CONTENT.len() as u64, mod_seq: 1 }
}

#[async_trait]
impl Backend for Still {
    async fn credential(&self, _: &str) -> Result<Option<(String, Credential)>, BackendError> {
        Ok(None)
    }
    async fn folders(&self, _: &str) -> Result<Vec<Folder>, BackendError> {
        Ok(vec![Folder { name: "INBOX".into(), subscribed: true, special_use: None }])
    }
    async fn create(&self, _: &str, _: &str) -> Result<(), BackendError> {
        Ok(())
    }
    async fn delete(&self, _: &str, _: &str) -> Result<(), BackendError> {
        Err(BackendError::NoSuchFolder)
    }
    async fn rename(&self, _: &str, _: &str, _: &str) -> Result<(), BackendError> {
        Err(BackendError::FolderExists)
    }
    async fn subscribe(&self, _: &str, _: &str, _: bool) -> Result<(), BackendError> {
        Ok(())
    }
    async fn status(&self, _: &str, _: &str) -> Result<Status, BackendError> {
        Err(BackendError::Unavailable("secret detail".into()))
    }
    async fn quota(&self, _: &str) -> Result<Quota, BackendError> {
        Ok(Quota { used: 0, limit: None })
    }
    async fn open(&self, _: &str, _: &str, _: bool) -> Result<(Snapshot, watch::Receiver<u64>), BackendError> {
        let messages = vec![message(3), message(7)];
        let snapshot =
            Snapshot { folder: FolderId(1), uid_validity: 1, uid_next: 8, mod_seq: 1, recent_from: 8, messages };
        Ok((snapshot, self.0.subscribe()))
    }
    async fn changes(&self, _: FolderId, _: ModSeq, _: &[Uid]) -> Result<Changes, BackendError> {
        Ok(Changes { mod_seq: 1, uid_next: 8, changed: Vec::new(), vanished: Vec::new() })
    }
    async fn content(&self, _: FolderId, uid: Uid) -> Result<Option<(Rope, Arc<dyn Source>)>, BackendError> {
        Ok((uid == 3).then(|| (Rope::from_bytes(CONTENT), Arc::new(NoSource) as Arc<dyn Source>)))
    }
    async fn store_flags(
        &self,
        _: FolderId,
        uids: &[Uid],
        _: &FlagChange,
        _: Option<ModSeq>,
    ) -> Result<Stored, BackendError> {
        Ok(Stored { messages: uids.iter().map(|uid| message(*uid)).collect(), refused: Vec::new() })
    }
    async fn expunge(&self, _: &str, _: FolderId, _: &[Uid], _: bool) -> Result<(), BackendError> {
        Ok(())
    }
    async fn copy(&self, _: FolderId, _: &[Uid], _: &str, _: &str) -> Result<Placed, BackendError> {
        Err(BackendError::OverQuota)
    }
    async fn relocate(&self, _: FolderId, _: &[Uid], _: &str, _: &str) -> Result<Placed, BackendError> {
        Err(BackendError::Refused("no\r\n* BYE forged".into()))
    }
    async fn append(&self, _: &str, _: &str, _: u64) -> Result<Box<dyn Appending>, BackendError> {
        Err(BackendError::NoSuchFolder)
    }
}

fn session(state: &str) -> Session {
    let setting = Setting {
        hostname: "h".into(),
        encrypted: true,
        append_max: 1000,
        secret: ServerSecret::from_bytes([0; 32]),
        peer: "peer".into(),
    };
    let mut session = Session::new(Arc::new(Still(watch::channel(0).0)), setting);
    if state != "before login" {
        session.state = State::Authenticated;
        session.account = "a@x.example".into();
    }
    session
}

async fn answers(state: &str, commands: &[Vec<u8>]) -> String {
    let mut session = session(state);
    let mut sink = Vec::new();
    let mut out = Output::new(&mut sink);
    if state == "selected" {
        session.command(b"s SELECT INBOX\r\n", &mut out).await.unwrap();
    }
    for command in commands {
        if let Next::Close = session.command(command, &mut out).await.unwrap() {
            break;
        }
    }
    out.flush().await.unwrap();
    String::from_utf8_lossy(&sink).into_owned()
}

fn run(state: &str, commands: &[Vec<u8>]) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(answers(state, commands))
}

#[test]
fn what_failed_inside_is_not_told_and_words_cannot_forge_a_response() {
    let said = run("selected", &[b"a STATUS INBOX (MESSAGES)\r\n".to_vec(), b"b MOVE 1 INBOX\r\n".to_vec()]);
    assert!(said.contains("a NO [UNAVAILABLE] temporarily unavailable\r\n"), "{said}");
    assert!(said.contains("b NO [CANNOT] no??* BYE forged\r\n"), "{said}");
}

#[test]
fn deep_parentheses_are_refused_not_followed() {
    for depth in [9, 1_000, 30_000] {
        let nots = format!("a SEARCH {}ALL\r\n", "NOT ".repeat(depth));
        let parentheses = format!("a SEARCH {}ALL{}\r\n", "(".repeat(depth), ")".repeat(depth));
        let list = format!("a LIST {}\r\n", "(".repeat(depth));
        for command in [nots, parentheses, list] {
            assert!(run("selected", &[command.into_bytes()]).ends_with("a BAD command not understood\r\n"));
        }
    }
}

#[test]
fn sets_that_name_everything_many_times_cost_no_more_than_the_folder() {
    let set = vec!["1:*"; 15_000].join(",");
    let said = run("selected", &[format!("a UID SEARCH {set}\r\n").into(), format!("b FETCH {set} UID\r\n").into()]);
    assert!(said.contains("* SEARCH 3 7\r\n") && said.matches("FETCH").count() == 3, "{said}");
}

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let word = |w: &'static str| Just(w.as_bytes().to_vec());
    prop_oneof![
        word("FETCH "),
        word("STORE "),
        word("SEARCH "),
        word("UID "),
        word("LIST "),
        word("SELECT "),
        word("APPEND "),
        word("COPY "),
        word("MOVE "),
        word("EXPUNGE"),
        word("CLOSE"),
        word("STATUS "),
        word("RENAME "),
        word("IDLE"),
        word("1:*"),
        word("4294967295"),
        word("0"),
        word(","),
        word(" "),
        word("("),
        word(")"),
        word("\""),
        word("*"),
        word("%"),
        word("BODY["),
        word("1.2.MIME"),
        word("HEADER.FIELDS ("),
        word("]"),
        word("<0.1>"),
        word("BODYSTRUCTURE"),
        word("ENVELOPE"),
        word("+FLAGS "),
        word("\\Seen"),
        word("\\Deleted"),
        word("INBOX"),
        word("&AGE-"),
        word("RETURN "),
        word("STATUS"),
        word("OR "),
        word("NOT "),
        word("TEXT "),
        word("BODY "),
        word("x"),
        word("SINCE 1-Feb-2026"),
        word("CHARSET UTF-8 "),
        word("{3}\r\nabc"),
        word("{2+}\r\nab"),
        word("(UNCHANGEDSINCE 1) "),
        word("(CHANGEDSINCE 1)"),
        word("MODSEQ"),
        word("\0"),
        proptest::collection::vec(any::<u8>(), 0..6),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    /// Whatever comes, the session answers and every line that it says is complete.
    #[test]
    fn no_command_panics_in_any_state(
        state in prop_oneof![Just("authenticated"), Just("selected")],
        commands in proptest::collection::vec(proptest::collection::vec(fragment(), 0..12), 1..5),
    ) {
        let line = |words: &Vec<Vec<u8>>| [b"a ", words.concat().as_slice(), b"\r\n"].concat();
        let commands: Vec<Vec<u8>> = commands.iter().map(line).collect();
        let said = run(state, &commands);
        prop_assert!(said.is_empty() || said.ends_with("\r\n"), "{}", said);
    }

    #[test]
    fn no_bytes_before_login_do_anything_but_be_answered(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let said = run("before login", &[[&bytes[..], b"\r\n"].concat()]);
        prop_assert!(!said.contains("logged in"));
    }
}
