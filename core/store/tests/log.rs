//! The message log seen from outside: found again, sealed in files, tampered with, removed in time.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use sigillo_store::evidence::chain::{Finding, hex};
use sigillo_store::evidence::sealing::{FOLDER, SealedFile, Sealing, log_files};
use sigillo_store::evidence::{NewEvent, Search, Stream, exported, sealed_file};
use sigillo_store::{Millis, Store};

fn event(id: &str) -> NewEvent {
    NewEvent {
        message_id: id.into(),
        kind: "acceptance".into(),
        sender: "Ada@alfa.example".into(),
        recipients: vec!["Bruno@beta.example".into()],
        subject: "ciao".into(),
        related: vec![format!("made-for-{id}")],
        details: vec![
            ("errore".into(), "a: b\nc \"d\" \\ \u{2028}".into()),
            ("client-id".into(), format!("<client-{id}>")),
            ("provider".into(), "Alfa PEC S.p.A.".into()),
        ],
        passage: "p".into(),
        source: "core".into(),
        peer: "mx.beta.example".into(),
        result: "accepted".into(),
    }
}

async fn filled(folder: &Path, ids: &[&str]) -> Store {
    let store = Store::open(folder).unwrap();
    store.write(|tx| tx.name_server("mail.alfa.example")).await.unwrap();
    for id in ids {
        let event = event(id);
        store.write(move |tx| tx.append_evidence(event)).await.unwrap();
    }
    store
}

fn sealing(folder: &Path) -> Sealing {
    Sealing { folder: folder.join(FOLDER), server: "mail.alfa.example".into(), rotate_octets: 10_000_000 }
}

/// The database behind the store's back, as somebody who tampers uses it.
fn behind(folder: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(folder.join("sigillo.db")).unwrap()
}

async fn chain_findings(store: &Store) -> Vec<Finding> {
    store.read(|r| r.verify_chain(Stream::MessageLog, |_| {})).await.unwrap().findings
}

async fn file_findings(store: &Store, folder: &Path) -> Vec<Finding> {
    let folder = folder.join(FOLDER);
    let checked = store.read(move |r| r.verify_files(Stream::MessageLog, &folder, |_| {})).await.unwrap();
    checked.into_iter().flat_map(|(_, findings)| findings).collect()
}

#[tokio::test]
async fn evidence_is_found_again_by_each_of_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &["a@x", "b@x"]).await;
    let found = |search: Search| {
        let store = store.clone();
        async move {
            let records = store.read(move |r| r.search_evidence(&search)).await.unwrap();
            records.into_iter().map(|record| record.event.message_id).collect::<Vec<_>>()
        }
    };
    let all = || Search { limit: 10, ..Search::default() };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(found(all()).await, ["a@x", "b@x"]);
    assert_eq!(found(Search { message_id: text("a@x"), ..all() }).await, ["a@x"]);
    assert_eq!(found(Search { message_id: text("<made-for-b@x>"), ..all() }).await, ["b@x"]);
    assert_eq!(found(Search { message_id: text("client-b@x"), ..all() }).await, ["b@x"]);
    assert_eq!(found(Search { sender: text("ADA@alfa.example"), ..all() }).await.len(), 2);
    assert_eq!(found(Search { recipient: text("bruno@BETA.example"), ..all() }).await.len(), 2);
    assert_eq!(found(Search { kind: text("acceptance"), ..all() }).await.len(), 2);
    assert_eq!(found(Search { kind: text("delivery"), ..all() }).await.len(), 0);
    assert_eq!(found(Search { provider: text("alfa pec s.p.a."), ..all() }).await.len(), 2);
    assert_eq!(found(Search { peer: text("mx.beta.example"), ..all() }).await.len(), 2);
    assert_eq!(found(Search { sender: text("' OR 1=1 --"), ..all() }).await.len(), 0);
    assert_eq!(found(Search { until: Some(1), ..all() }).await.len(), 0);
    assert_eq!(found(Search { stream: Stream::FrontEnd, ..all() }).await.len(), 0);
    // Combined, and page by page.
    let both = Search { sender: text("ada@alfa.example"), message_id: text("b@x"), since: Some(1), ..all() };
    assert_eq!(found(both).await, ["b@x"]);
    assert_eq!(found(Search { limit: 1, sender: text("ada@alfa.example"), ..all() }).await, ["a@x"]);
    assert_eq!(found(Search { after: Some(1), sender: text("ada@alfa.example"), ..all() }).await, ["b@x"]);
    assert_eq!(found(Search { after: Some(2), ..all() }).await.len(), 0);
}

/// LOG-03: every search walks along an index; none reads the whole log or sorts what it found.
#[tokio::test]
async fn every_search_uses_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &["a"]).await;
    let text = |text: &str| Some(text.to_owned());
    let all = || Search { limit: 10, ..Search::default() };
    let searches = [
        all(),
        Search { after: Some(1), ..all() },
        Search { since: Some(1), until: Some(2), ..all() },
        Search { message_id: text("a"), ..all() },
        Search { sender: text("a"), since: Some(1), until: Some(9), after: Some(1), ..all() },
        Search { recipient: text("a"), sender: text("b"), kind: text("c"), provider: text("d"), ..all() },
    ];
    for search in searches {
        let plan = store.look(|r| r.explain_search(&search)).unwrap();
        assert!(plan.iter().all(|step| step.starts_with("SEARCH ")), "{search:?}: {plan:?}");
    }
}

/// Attack C10: one record changed, dropped or moved is found and named.
#[tokio::test]
async fn tampering_with_the_log_is_found_and_named() {
    let tamper = [
        ("UPDATE evidence SET record = replace(record, 'ciao', 'addio') WHERE sequence = 3", 3),
        ("UPDATE evidence SET at = at + 1 WHERE sequence = 4", 4),
        ("UPDATE evidence SET hash = randomblob(32) WHERE sequence = 5", 5),
        ("UPDATE evidence SET record = x'ff00' WHERE sequence = 2", 2),
        ("DELETE FROM evidence_terms WHERE sequence = 4 AND field = 2", 4),
        ("UPDATE evidence_terms SET value = 'eva@evil.example' WHERE sequence = 4 AND field = 2", 4),
        ("DELETE FROM evidence WHERE sequence = 2", 3),
        ("DELETE FROM evidence WHERE sequence = 1", 2),
        (
            "UPDATE evidence SET sequence = 99 WHERE sequence = 2; UPDATE evidence SET sequence = 2 WHERE sequence = 3;
             UPDATE evidence SET sequence = 3 WHERE sequence = 99",
            2,
        ),
    ];
    for (statement, at) in tamper {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path(), &["a", "b", "c", "d", "e"]).await;
        assert_eq!(chain_findings(&store).await, []);
        behind(folder.path()).execute_batch(statement).unwrap();
        let found = chain_findings(&store).await;
        assert_eq!(found.first().and_then(|finding| finding.sequence), Some(at), "{statement}: {found:?}");
    }
}

/// A record that is found by what its text does not say would accuse somebody falsely.
#[tokio::test]
async fn a_false_index_entry_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &["a"]).await;
    let false_entry = "INSERT INTO evidence_terms SELECT stream, field, 'eva@evil.example', at, sequence
                       FROM evidence_terms WHERE field = 2";
    behind(folder.path()).execute_batch(false_entry).unwrap();
    let found = chain_findings(&store).await;
    assert!(found[0].problem.contains("do not say"), "{found:?}");
}

#[tokio::test]
async fn each_log_has_a_chain_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &["a"]).await;
    for _ in 0..3 {
        store.write(|tx| tx.append_to(Stream::FrontEnd, event("f"))).await.unwrap();
    }
    assert_eq!(store.write(|tx| tx.append_evidence(event("b"))).await.unwrap(), 2);
    for (stream, records) in [(Stream::MessageLog, 2), (Stream::FrontEnd, 3)] {
        let report = store.read(move |r| r.verify_chain(stream, |_| {})).await.unwrap();
        assert_eq!((report.records, report.findings.len()), (records, 0));
    }
    let record = store.read(|r| r.search_evidence(&Search { limit: 1, ..Search::default() })).await.unwrap();
    assert_eq!(record[0].server, "mail.alfa.example");
}

/// Attack S9: a clock that was set back is noted, and the instants stay what they were.
#[tokio::test]
async fn a_clock_that_went_back_is_noted_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &["a"]).await;
    // The last record comes from an hour that is still to be: the clock was set back since.
    let ahead = sigillo_store::commit::now() + 3_600_000;
    let future = move |tx: &mut sigillo_store::Tx<'_>| {
        tx.set_now_for_test(ahead);
        tx.append_evidence(event("future"))
    };
    store.write(future).await.unwrap();
    assert_eq!(store.write(|tx| tx.append_evidence(event("b"))).await.unwrap(), 4);
    assert_eq!(store.write(|tx| tx.append_evidence(event("c"))).await.unwrap(), 5);
    let search = Search { kind: Some("clock-step".into()), limit: 10, ..Search::default() };
    let steps = store.read(move |r| r.search_evidence(&search)).await.unwrap();
    assert_eq!(steps.len(), 1);
    assert_eq!((steps[0].sequence, steps[0].event.details[0].1.clone()), (3, ahead.to_string()));
    assert!(steps[0].at < ahead);
    assert_eq!(chain_findings(&store).await, []);
}

fn digits(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

/// LOG-02, LOG-08: the file names what it holds, and holds the records as they were hashed.
#[tokio::test]
async fn a_sealed_file_holds_the_records_as_they_were_hashed() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &["a", "b"]).await;
    let files = store.seal(&sealing(folder.path()), true).await.unwrap();
    assert_eq!(files.len(), 1);
    let name = digits(&files[0].name).replace("+0000", "");
    assert_eq!(name, "mail.alfa.example_00000000T000000_00000000T000000_message-log_0.jsonl");
    let path = folder.path().join(FOLDER).join(&files[0].name);
    let mut texts = Vec::new();
    let report = sealed_file::read(&path, |record, text, _| texts.push((record.sequence, text.to_owned()))).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.records, report.sha256, report.size), (2, files[0].sha256, files[0].size));
    let db = behind(folder.path());
    for (sequence, text) in texts {
        let kept: String = db
            .query_row("SELECT record FROM evidence WHERE stream = 1 AND sequence = ?1", [sequence as i64], |r| {
                r.get(0)
            })
            .unwrap();
        assert_eq!(text, kept);
    }
    // Each line is JSON by itself.
    let content = std::fs::read_to_string(&path).unwrap();
    assert!(content.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{content}");
    // There is nothing more to seal, and what comes later continues.
    assert_eq!(store.seal(&sealing(folder.path()), true).await.unwrap(), []);
    store.write(|tx| tx.append_evidence(event("c"))).await.unwrap();
    let next = store.seal(&sealing(folder.path()), true).await.unwrap();
    assert_eq!((next[0].first, next[0].last, next[0].before), (3, 3, files[0].head));
    assert_eq!(file_findings(&store, folder.path()).await, []);
}

/// LOG-02: at the end of the legal day, and before it when enough has come together.
#[tokio::test]
async fn files_are_closed_by_day_and_by_size() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &[]).await;
    let today = sigillo_store::commit::now();
    let day: Millis = 24 * 3600 * 1000;
    for at in [today - 2 * day, today - 2 * day + 1, today - day, today] {
        let write = move |tx: &mut sigillo_store::Tx<'_>| {
            tx.set_now_for_test(at);
            tx.append_evidence(event("a"))
        };
        store.write(write).await.unwrap();
    }
    let files = store.seal(&sealing(folder.path()), false).await.unwrap();
    let ranges = |files: &[SealedFile]| files.iter().map(|file| (file.first, file.last)).collect::<Vec<_>>();
    assert_eq!(ranges(&files), [(1, 2), (3, 3)]);
    assert_eq!(files[0].until, files[1].since);
    assert_eq!(store.seal(&sealing(folder.path()), false).await.unwrap(), []);
    for _ in 0..20 {
        store.write(|tx| tx.append_evidence(event("b"))).await.unwrap();
    }
    let small = Sealing { rotate_octets: 2000, ..sealing(folder.path()) };
    let files = store.seal(&small, false).await.unwrap();
    assert!(files.len() >= 2 && files.iter().all(|file| file.size < 6000), "{files:?}");
    assert_eq!(file_findings(&store, folder.path()).await, []);
    let status = store.read(|r| r.stream_status(Stream::MessageLog)).await.unwrap();
    assert_eq!((status.last, status.files), (24, 2 + files.len() as u64));
    assert!(status.unsealed < 10 && status.unstamped == status.files);
}

/// A crash between the file and its row: the next sealing takes the file as it is; one before the rename leaves nothing.
#[tokio::test]
async fn sealing_again_after_a_crash_makes_no_second_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &["a", "b"]).await;
    let files = store.seal(&sealing(folder.path()), true).await.unwrap();
    behind(folder.path()).execute_batch("DELETE FROM evidence_files").unwrap();
    std::fs::write(folder.path().join(FOLDER).join(".sealing-message-log.part"), "half").unwrap();
    let again = store.seal(&sealing(folder.path()), true).await.unwrap();
    assert_eq!((&again[0].name, again[0].sha256, again[0].head), (&files[0].name, files[0].sha256, files[0].head));
    assert_eq!(log_files(&folder.path().join(FOLDER)).unwrap().len(), 1);
    store.write(|tx| tx.append_evidence(event("c"))).await.unwrap();
    assert_eq!(store.seal(&sealing(folder.path()), true).await.unwrap()[0].first, 3);
    assert_eq!(file_findings(&store, folder.path()).await, []);
}

/// LOG-10, LOG-16: only what is stamped and past its time leaves, and the chain goes on verifying.
#[tokio::test]
async fn old_files_leave_and_the_chain_still_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &[]).await;
    let day: Millis = 24 * 3600 * 1000;
    let now = sigillo_store::commit::now();
    for ago in [1000, 950, 920, 10] {
        let write = move |tx: &mut sigillo_store::Tx<'_>| {
            tx.set_now_for_test(now - ago * day);
            tx.append_evidence(event("a"))
        };
        store.write(write).await.unwrap();
    }
    let files = store.seal(&sealing(folder.path()), true).await.unwrap();
    assert_eq!(files.len(), 4);
    let registro = folder.path().join(FOLDER);
    assert_eq!(store.remove_old_evidence(&registro, 915).await.unwrap(), Vec::<String>::new(), "none is stamped");
    for file in [&files[0], &files[2], &files[3]] {
        let id = file.id;
        assert_eq!(store.write(move |tx| tx.stamp_file(id, b"stamp")).await.unwrap(), b"stamp");
        assert_eq!(
            store.write(move |tx| tx.stamp_file(id, b"other")).await.unwrap(),
            b"stamp",
            "the first one is kept"
        );
    }
    store.restore_stamps(&registro).await.unwrap();
    assert_eq!(std::fs::read(registro.join(files[0].stamp_name())).unwrap(), b"stamp");
    assert_eq!(store.remove_old_evidence(&registro, 915).await.unwrap(), [files[0].name.clone()]);
    assert!(!registro.join(files[0].stamp_name()).exists());
    assert_eq!(log_files(&registro).unwrap().len(), 3);
    assert_eq!(chain_findings(&store).await, []);
    assert_eq!(file_findings(&store, folder.path()).await, []);
    let id = files[1].id;
    store.write(move |tx| tx.stamp_file(id, b"stamp")).await.unwrap();
    assert_eq!(store.remove_old_evidence(&registro, 915).await.unwrap().len(), 2);
    let report = store.read(|r| r.verify_chain(Stream::MessageLog, |_| {})).await.unwrap();
    assert_eq!((report.begins_after, report.records, report.last, report.findings.len()), (3, 1, 4, 0));
    assert_eq!(store.write(|tx| tx.append_evidence(event("b"))).await.unwrap(), 5);
    assert_eq!(chain_findings(&store).await, []);
    assert_eq!(store.read(|r| r.search_evidence(&Search { limit: 9, ..Search::default() })).await.unwrap().len(), 2);
}

/// One way of tampering with a sealed file.
#[derive(Debug, Clone)]
enum Mutation {
    Flip { at: prop::sample::Index, bit: u8 },
    DropLine(prop::sample::Index),
    SwapLines(prop::sample::Index, prop::sample::Index),
    Truncate(prop::sample::Index),
    Remove,
}

impl Mutation {
    /// The content after it; nothing if the file is gone. `None` outside if it changes nothing.
    fn apply(&self, content: &[u8]) -> Option<Option<Vec<u8>>> {
        let lines: Vec<&[u8]> = content.split_inclusive(|&byte| byte == b'\n').collect();
        let changed = match self {
            Mutation::Flip { at, bit } => {
                let mut changed = content.to_vec();
                changed[at.index(content.len())] ^= 1 << bit;
                changed
            }
            Mutation::DropLine(index) => {
                let mut lines = lines;
                lines.remove(index.index(lines.len()));
                lines.concat()
            }
            Mutation::SwapLines(one, other) => {
                let mut lines = lines;
                let (one, other) = (one.index(lines.len()), other.index(lines.len()));
                lines.swap(one, other);
                lines.concat()
            }
            Mutation::Truncate(index) => content[..index.index(content.len())].to_vec(),
            Mutation::Remove => return Some(None),
        };
        (changed != content).then_some(Some(changed))
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip { at, bit }),
        2 => index().prop_map(Mutation::DropLine),
        2 => (index(), index()).prop_map(|(one, other)| Mutation::SwapLines(one, other)),
        1 => index().prop_map(Mutation::Truncate),
        1 => Just(Mutation::Remove),
    ]
}

struct Sealed {
    folder: tempfile::TempDir,
    store: Store,
    files: Vec<PathBuf>,
}

async fn sealed_twice() -> Sealed {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &["a", "b", "c", "d"]).await;
    store.seal(&sealing(folder.path()), true).await.unwrap();
    for id in ["e", "f", "g"] {
        store.write(move |tx| tx.append_evidence(event(id))).await.unwrap();
    }
    store.seal(&sealing(folder.path()), true).await.unwrap();
    let files = log_files(&folder.path().join(FOLDER)).unwrap();
    Sealed { folder, store, files }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Attack C10: any single change of any sealed file is found, and the file is named.
    #[test]
    fn any_change_of_a_sealed_file_is_found_and_named(which in 0..2_usize, mutations in prop::collection::vec(mutation(), 40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        static SEALED: std::sync::OnceLock<std::sync::Mutex<Sealed>> = std::sync::OnceLock::new();
        let sealed = SEALED.get_or_init(|| std::sync::Mutex::new(runtime.block_on(sealed_twice())));
        let sealed = sealed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let path = &sealed.files[which];
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let content = std::fs::read(path).unwrap();
        for mutation in mutations.iter().take(3) {
            let Some(changed) = mutation.apply(&content) else { continue };
            match &changed {
                Some(changed) => std::fs::write(path, changed).unwrap(),
                None => std::fs::remove_file(path).unwrap(),
            }
            let found = runtime.block_on(file_findings(&sealed.store, sealed.folder.path()));
            std::fs::write(path, &content).unwrap();
            prop_assert!(!found.is_empty(), "{mutation:?} was not found");
            prop_assert!(found.iter().all(|finding| finding.file.as_ref() == Some(&name)), "{mutation:?}: {found:?}");
        }
    }
}

/// An export of two files with (opaque) stamps and its manifest.
fn exported() -> &'static (tempfile::TempDir, Vec<PathBuf>) {
    static EXPORTED: std::sync::OnceLock<(tempfile::TempDir, Vec<PathBuf>)> = std::sync::OnceLock::new();
    EXPORTED.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sealed = runtime.block_on(sealed_twice());
        let from = sealed.folder.path().join(FOLDER);
        for (number, file) in sealed.files.iter().enumerate() {
            let mut name = file.clone().into_os_string();
            name.push(".tsr");
            std::fs::write(name, format!("stamp {number}")).unwrap();
        }
        let files = runtime.block_on(sealed.store.read(|r| r.sealed_files(Stream::MessageLog))).unwrap();
        let to = tempfile::tempdir().unwrap();
        exported::export(&files, &from, to.path()).unwrap();
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(to.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        (to, paths)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Attack C10: without the database too, any single change of any file of an export is found, a missing file and
    /// exchanged stamps among them.
    #[test]
    fn any_change_of_an_export_is_found(which in 0..5_usize, mutation in mutation(), exchange in any::<bool>()) {
        static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (folder, paths) = exported();
        let whole = exported::verify(folder.path(), |_| {}).unwrap();
        prop_assert_eq!((whole.listed, &whole.findings[..]), (true, &[][..]));
        let contents: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
        let stamps: Vec<usize> = (0..5).filter(|&i| paths[i].extension().is_some_and(|e| e == "tsr")).collect();
        let changed = if exchange && stamps.contains(&which) {
            std::fs::write(&paths[stamps[0]], &contents[stamps[1]]).unwrap();
            std::fs::write(&paths[stamps[1]], &contents[stamps[0]]).unwrap();
            true
        } else {
            // A list that is gone as a whole is told by `listed`.
            match mutation.apply(&contents[which]) {
                Some(None) if paths[which].ends_with(exported::MANIFEST) => false,
                Some(None) => std::fs::remove_file(&paths[which]).map(|()| true).unwrap(),
                Some(Some(changed)) => std::fs::write(&paths[which], changed).map(|()| true).unwrap(),
                None => false,
            }
        };
        let found = exported::verify(folder.path(), |_| {}).unwrap();
        for (path, content) in paths.iter().zip(&contents) {
            std::fs::write(path, content).unwrap();
        }
        prop_assert!(!changed || !found.findings.is_empty(), "{mutation:?} of {} was not found", paths[which].display());
    }
}

/// The record at fault is named, also by the file alone.
#[tokio::test]
async fn a_file_alone_names_the_record_at_fault() {
    let Sealed { files, .. } = &sealed_twice().await;
    let content = std::fs::read_to_string(&files[0]).unwrap();
    let lines: Vec<&str> = content.split_inclusive('\n').collect();
    let joined = |order: &[usize]| order.iter().map(|&index| lines[index]).collect::<String>();
    let cases = [
        (content.replacen("made-for-b", "made-for-x", 1), Some(2), "was changed"),
        (joined(&[0, 1, 3, 4, 5]), Some(3), "records 2 to 2 are missing"),
        (joined(&[0, 1, 3, 2, 4, 5]), Some(3), "records 2 to 2 are missing"),
        (joined(&[0, 1, 2, 3, 4]), None, "cut off after record 4"),
        (joined(&[0, 1, 2, 3]), None, "cut off after record 3"),
        (joined(&[1, 2, 3, 4, 5]), None, "first line"),
        (joined(&[0, 1, 2, 3, 4, 5, 4]), None, "something follows"),
        (content.replacen("{\"hash\":\"", "{\"hasH\":\"", 1), Some(1), "is not a record"),
    ];
    for (changed, sequence, words) in cases {
        std::fs::write(&files[0], &changed).unwrap();
        let report = sealed_file::read(&files[0], |_, _, _| {}).unwrap();
        let first = report.findings.first().unwrap();
        assert_eq!(first.sequence, sequence, "{words}: {:?}", report.findings);
        assert!(first.to_string().contains(words), "{words}: {first}");
    }
}

/// Whoever rewrites the database and its hashes is betrayed by the files.
#[tokio::test]
async fn a_chain_that_was_made_anew_does_not_fit_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &["a", "b", "c"]).await;
    store.seal(&sealing(folder.path()), true).await.unwrap();
    let db = behind(folder.path());
    let mut previous = [0; 32];
    for sequence in 1..=3 {
        let text: String = db
            .query_row("SELECT record FROM evidence WHERE stream = 1 AND sequence = ?1", [sequence], |row| row.get(0))
            .unwrap();
        let text = text.replace("ciao", "addio");
        previous = sigillo_store::evidence::chain::link(&previous, text.as_bytes());
        db.execute(
            "UPDATE evidence SET record = ?2, hash = ?3 WHERE stream = 1 AND sequence = ?1",
            (sequence, text, &previous[..]),
        )
        .unwrap();
    }
    assert_eq!(chain_findings(&store).await, [], "the chain alone cannot know");
    let found = file_findings(&store, folder.path()).await;
    assert!(found[0].problem.contains("record 3 in the database is not the one"), "{found:?} {}", hex(&previous));
}
