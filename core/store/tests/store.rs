//! What the store promises, seen from outside: all or nothing, nothing acknowledged is lost, nothing happens twice.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use sigillo_mail::{Mailbox, ReversePath, Rope};
use sigillo_store::evidence::{NewEvent, Stream};
use sigillo_store::{DomainClass, MessageId, NewEntry, Phase, Store, StoreError, Tx};

fn mailbox(text: &str) -> Mailbox {
    text.parse().unwrap()
}

async fn with_account(folder: &Path, quota: u64) -> Store {
    let store = Store::open(folder).unwrap();
    let setup = move |tx: &mut Tx<'_>| {
        tx.add_domain(&"alfa.example".parse().unwrap(), DomainClass::Ordinary)?;
        tx.add_account(&mailbox("Ada@alfa.example"), "credential", quota)
    };
    store.write(setup).await.unwrap();
    store
}

fn entry(id: &str, message: MessageId) -> NewEntry {
    NewEntry {
        id: id.into(),
        reverse_path: ReversePath::Null,
        recipients: vec![mailbox("ada@alfa.example"), mailbox("bruno@beta.example")],
        message,
        phase: Phase::Delivery,
        arrival: "{}".into(),
        expires: u64::MAX / 2,
        held: false,
    }
}

fn event(id: &str) -> NewEvent {
    NewEvent {
        message_id: id.into(),
        kind: "acceptance".into(),
        sender: "Ada@alfa.example".into(),
        recipients: vec!["Bruno@beta.example".into()],
        subject: "ciao".into(),
        related: vec![],
        details: vec![("errore".into(), "a: b\nc".into())],
        passage: "p".into(),
        source: "core".into(),
        ..NewEvent::default()
    }
}

fn segment_files(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("segments")).unwrap().count()
}

#[tokio::test]
async fn a_job_that_fails_leaves_nothing_while_its_neighbours_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 1000).await;
    let good = store.write(|tx| {
        let message = tx.put_message(&Rope::from_bytes("one"))?;
        tx.enqueue(&entry("good", message))
    });
    let bad = store.write(|tx| {
        let message = tx.put_message(&Rope::from_bytes("two"))?;
        tx.enqueue(&entry("bad", message))?;
        Err::<(), _>(StoreError::Invalid("changed my mind".into()))
    });
    let (good, bad) = tokio::join!(good, bad);
    good.unwrap();
    assert!(matches!(bad, Err(StoreError::Invalid(_))));
    let ids: Vec<String> = store.read(|r| r.entries(10)).await.unwrap().into_iter().map(|e| e.id).collect();
    assert_eq!(ids, ["good"]);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let big: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    {
        let store = with_account(folder.path(), 1000).await;
        let mut spool = store.spool();
        big.chunks(70_000).for_each(|piece| spool.write(piece).unwrap());
        let mut content = Rope::from_bytes("Trace: x\r\n");
        content.append(&spool.finish().unwrap());
        let keep = move |tx: &mut Tx<'_>| {
            let message = tx.put_message(&content)?;
            tx.enqueue(&entry("big", message))
        };
        store.write(keep).await.unwrap();
    }
    let store = Store::open(folder.path()).unwrap();
    let content = store.read(|r| r.message(r.entry("big")?.unwrap().message)).await.unwrap();
    let bytes = content.to_bytes(store.segments().as_ref()).unwrap();
    assert_eq!(&bytes[..10], b"Trace: x\r\n");
    assert_eq!(&bytes[10..], &big[..]);
}

#[tokio::test]
async fn content_goes_with_its_last_user_and_unfinished_content_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 1000).await;
    let mut dropped = store.spool();
    dropped.write(&vec![b'x'; 2_000_000]).unwrap();
    let mut spool = store.spool();
    spool.write(&vec![b'y'; 2_000_000]).unwrap();
    let content = spool.finish().unwrap();
    let before = segment_files(folder.path());
    drop(dropped);
    assert_eq!(segment_files(folder.path()), before - 1);
    let keep = move |tx: &mut Tx<'_>| {
        let message = tx.put_message(&content)?;
        tx.enqueue(&entry("e", message))
    };
    store.write(keep).await.unwrap();
    let recipients = store.read(|r| r.entry("e")).await.unwrap().unwrap().recipients;
    let with_content = segment_files(folder.path());
    let first = recipients[0].id;
    store.write(move |tx| tx.settle("e", first)).await.unwrap();
    assert_eq!(segment_files(folder.path()), with_content, "the other recipient still needs it");
    let second = recipients[1].id;
    store.write(move |tx| tx.settle("e", second)).await.unwrap();
    store.write(|_| Ok(())).await.unwrap(); // files go after the answer and before the next commit
    assert_eq!(segment_files(folder.path()), with_content - 1);
    assert!(store.read(|r| r.entry("e")).await.unwrap().is_none());
}

#[tokio::test]
async fn content_that_moves_from_one_row_to_another_in_one_batch_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 10_000_000).await;
    let mut spool = store.spool();
    spool.write(&vec![b'z'; 2_000_000]).unwrap();
    let content = spool.finish().unwrap();
    let first = content.clone();
    let put = move |tx: &mut Tx<'_>| {
        let message = tx.put_message(&first)?;
        tx.enqueue(&NewEntry { phase: Phase::Reception, ..entry("e", message) })
    };
    store.write(put).await.unwrap();
    // The old row leaves before the new one names the same file.
    let again = content.clone();
    let carry = move |tx: &mut Tx<'_>| {
        tx.take_entry("e", Phase::Reception)?;
        let message = tx.put_message(&again)?;
        tx.enqueue(&entry("e", message))
    };
    store.write(carry).await.unwrap();
    let found = store.read(|r| r.message(r.entry("e")?.unwrap().message)).await.unwrap();
    assert_eq!(found.to_bytes(store.segments().as_ref()).unwrap().len(), 2_000_000);
}

#[tokio::test]
async fn files_that_no_row_names_are_removed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = with_account(folder.path(), 1000).await;
        let mut spool = store.spool();
        spool.write(&vec![b'x'; 2_000_000]).unwrap();
        spool.finish().unwrap(); // killed before the commit
    }
    let before = segment_files(folder.path());
    let _store = Store::open(folder.path()).unwrap();
    assert_eq!(segment_files(folder.path()), before - 1);
}

#[tokio::test]
async fn two_servers_cannot_hold_one_store() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Store::open(folder.path()).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Invalid(_))));
    let beside = Store::open_beside(folder.path()).unwrap();
    beside.write(|tx| tx.add_domain(&"gamma.example".parse().unwrap(), DomainClass::Certified)).await.unwrap();
    assert_eq!(segment_files(folder.path()), 0, "a command beside a server takes no file of content, nor its number");
}

#[tokio::test]
async fn an_effect_happens_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 1000).await;
    let put = |tx: &mut Tx<'_>| {
        let message = tx.put_message(&Rope::from_bytes("x"))?;
        tx.enqueue(&entry("e", message))
    };
    store.write(put).await.unwrap();
    assert!(matches!(store.write(put).await, Err(StoreError::Exists(_))));
    let recipient = store.read(|r| r.entry("e")).await.unwrap().unwrap().recipients[0].id;
    store.write(move |tx| tx.settle("e", recipient)).await.unwrap();
    assert!(matches!(store.write(move |tx| tx.settle("e", recipient)).await, Err(StoreError::Conflict(_))));
}

#[tokio::test]
async fn state_that_changed_since_it_was_read_is_a_conflict() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.write(|tx| tx.check_plugin_state("pec", "k", 0)).await.unwrap();
    store.write(|tx| tx.set_plugin_state("pec", "k", Some(b"1"), 1)).await.unwrap();
    assert!(matches!(store.write(|tx| tx.check_plugin_state("pec", "k", 0)).await, Err(StoreError::Conflict(_))));
    let now = sigillo_store::commit::now();
    let (value, version) = store.read(move |r| r.plugin_state("pec", "k", now)).await.unwrap().unwrap();
    assert_eq!(value, b"1");
    // Removed and set to the same value again: still another version.
    store.write(|tx| tx.set_plugin_state("pec", "k", None, 0)).await.unwrap();
    store.write(|tx| tx.set_plugin_state("pec", "k", Some(b"1"), 1)).await.unwrap();
    let stale = store.write(move |tx| tx.check_plugin_state("pec", "k", version)).await;
    assert!(matches!(stale, Err(StoreError::Conflict(_))));
}

#[tokio::test]
async fn a_full_mailbox_takes_nothing_and_expunging_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 10).await;
    let file = |bytes: &'static str| {
        move |tx: &mut Tx<'_>| {
            let message = tx.put_message(&Rope::from_bytes(bytes))?;
            let inbox = tx.reader().folder("ada@alfa.example", "inbox")?.unwrap().id;
            Ok((inbox, tx.file("ada@alfa.example", inbox, message, &["\\Seen".into()], 0)?))
        }
    };
    let (inbox, uid) = store.write(file("12345678")).await.unwrap();
    assert!(matches!(store.write(file("123")).await, Err(StoreError::Full)));
    store.write(move |tx| tx.expunge("ada@alfa.example", inbox, &[uid])).await.unwrap();
    let (_, next) = store.write(file("123")).await.unwrap();
    assert!(next > uid, "a UID is never used twice");
}

#[tokio::test]
async fn a_folder_made_anew_has_another_uidvalidity() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 10).await;
    let validity = |r: &sigillo_store::Reader<'_>| Ok(r.folder("ada@alfa.example", "Work/2026")?.unwrap().uid_validity);
    store.write(|tx| tx.add_folder("ada@alfa.example", "Work/2026", None)).await.unwrap();
    let first = store.read(validity).await.unwrap();
    store.write(|tx| tx.remove_folder("ada@alfa.example", "Work/2026")).await.unwrap();
    store.write(|tx| tx.add_folder("ada@alfa.example", "Work/2026", None)).await.unwrap();
    assert!(store.read(validity).await.unwrap() > first);
}

/// Work on an entry that an operator removes meanwhile: what it says of a recipient is never said of the next message's,
/// which may have got his number.
#[tokio::test]
async fn what_is_said_of_a_recipient_of_a_removed_entry_is_said_of_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 1000).await;
    let enqueue = |id: &'static str| {
        move |tx: &mut Tx<'_>| {
            let message = tx.put_message(&Rope::from_bytes(id))?;
            tx.enqueue(&entry(id, message))
        }
    };
    store.write(enqueue("removed")).await.unwrap();
    let old = store.look(|r| r.entry("removed")).unwrap().unwrap().recipients[0].id;
    store.write(|tx| tx.take_entry("removed", Phase::Delivery)).await.unwrap();
    store.write(enqueue("next")).await.unwrap();
    let before = store.look(|r| r.entry("next")).unwrap().unwrap().recipients;
    assert_eq!(before[0].id, old, "numbers are used again, so the entry must be named too");
    assert!(matches!(store.write(move |tx| tx.mark_filed("removed", old)).await, Err(StoreError::Conflict(_))));
    store.write(move |tx| tx.hold("removed", old, "so")).await.unwrap();
    store.write(move |tx| tx.reschedule("removed", old, u64::MAX / 4, "later")).await.unwrap();
    let after = store.look(|r| r.entry("next")).unwrap().unwrap().recipients;
    assert_eq!((after[0].state, after[0].due, &after[0].reply), (before[0].state, before[0].due, &before[0].reply));
}

/// A client keeps the number of the folder that it has selected. When somebody removes that folder, the next one that is
/// made, which may be another mailbox's, must not be what the client then reads.
#[tokio::test]
async fn a_folder_s_number_is_never_another_folder_s() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 10).await;
    let mut seen = std::collections::HashSet::new();
    let all = |r: &sigillo_store::Reader<'_>, address: &str| -> Vec<_> {
        r.folders(address).unwrap().into_iter().map(|folder| folder.id).collect()
    };
    for name in ["Work", "Other"] {
        assert!(seen.insert(store.write(move |tx| tx.add_folder("ada@alfa.example", name, None)).await.unwrap()));
        store.write(move |tx| tx.remove_folder("ada@alfa.example", name)).await.unwrap();
    }
    for address in ["bruno@alfa.example", "carla@alfa.example"] {
        store.write(move |tx| tx.add_account(&mailbox(address), "credential", 10)).await.unwrap();
        for id in store.look(|r| Ok(all(r, address))).unwrap() {
            assert!(seen.insert(id), "{address}: {id:?}");
        }
        store.write(move |tx| tx.remove_account(address)).await.unwrap();
    }
    assert!(seen.len() > 4);
}

/// A message is not kept from its mailbox because the folder that a plugin wants for it cannot be made.
#[tokio::test]
async fn what_cannot_be_filed_where_a_plugin_wants_it_is_filed_in_inbox() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 10).await;
    for (wanted, found) in [
        ("INBOX", "INBOX"),
        ("Junk", "Junk"),
        ("Books/2026", "Books/2026"),
        ("Books/2026", "Books/2026"),
        ("a//b", "INBOX"),
        ("/a", "INBOX"),
    ] {
        let filed = store.write(move |tx| tx.folder_for_filing("ada@alfa.example", wanted)).await.unwrap();
        assert_eq!(filed.name, found, "{wanted}");
    }
    let nobody = store.write(|tx| tx.folder_for_filing("nobody@alfa.example", "a//b")).await;
    assert!(matches!(nobody, Err(StoreError::NotFound(_))));
}

#[tokio::test]
async fn a_level_goes_and_what_is_below_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 10).await;
    store.write(|tx| tx.add_folder("ada@alfa.example", "Work/2026", None)).await.unwrap();
    store.write(|tx| tx.remove_folder("ada@alfa.example", "Work")).await.unwrap();
    let there = |r: &sigillo_store::Reader<'_>| {
        let is = |name: &str| Ok::<_, StoreError>(r.folder("ada@alfa.example", name)?.is_some());
        Ok((is("Work")?, is("Work/2026")?))
    };
    assert_eq!(store.read(there).await.unwrap(), (false, true));
    store.write(|tx| tx.add_folder("ada@alfa.example", "Work", None)).await.unwrap();
    assert_eq!(store.read(there).await.unwrap(), (true, true));
}

#[tokio::test]
async fn renaming_takes_the_folders_below_along() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 10).await;
    store.write(|tx| tx.add_folder("ada@alfa.example", "à/b/c", None)).await.unwrap();
    store.write(|tx| tx.add_folder("ada@alfa.example", "àx", None)).await.unwrap();
    store.write(|tx| tx.rename_folder("ada@alfa.example", "à", "z/y")).await.unwrap();
    let names = |r: &sigillo_store::Reader<'_>| {
        Ok(r.folders("ada@alfa.example")?.into_iter().map(|f| f.name).collect::<Vec<_>>())
    };
    let names = store.read(names).await.unwrap();
    for want in ["z", "z/y", "z/y/b", "z/y/b/c", "àx"] {
        assert!(names.iter().any(|name| name == want), "{want} in {names:?}");
    }
    assert!(!names.iter().any(|name| name == "à" || name.starts_with("à/")), "{names:?}");
}

/// RFC 3501 §6.3.5: renaming INBOX moves its messages; a mailbox that is more than half full has room for that.
#[tokio::test]
async fn renaming_inbox_moves_what_is_in_it() {
    const ADA: &str = "ada@alfa.example";
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 10).await;
    let rename = |tx: &mut sigillo_store::Tx<'_>| {
        let inbox = tx.reader().folder(ADA, "INBOX")?.unwrap().id;
        let message = tx.put_message(&Rope::from_bytes("12345678"))?;
        tx.file(ADA, inbox, message, &["\\Seen".into()], 7)?;
        let before = tx.reader().items(inbox)?.remove(0);
        tx.rename_folder(ADA, "INBOX", "Old")?;
        let old = tx.reader().folder(ADA, "Old")?.unwrap().id;
        Ok((before, tx.reader().items(inbox)?, tx.reader().items(old)?.remove(0)))
    };
    let (before, inbox, after) = store.write(rename).await.unwrap();
    assert!(inbox.is_empty());
    assert_eq!((before.number, before.flags, before.internal_date), (after.number, after.flags, after.internal_date));
    assert_eq!(store.read(|r| r.account(ADA)).await.unwrap().unwrap().used, 8);
}

/// Attack S3: one damaged record stops one message.
#[tokio::test]
async fn a_damaged_entry_is_an_error_of_that_entry_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 1000).await;
    for id in ["one", "two"] {
        let put = move |tx: &mut Tx<'_>| {
            let message = tx.put_message(&Rope::from_bytes("x"))?;
            tx.enqueue(&entry(id, message))
        };
        store.write(put).await.unwrap();
    }
    let db = rusqlite::Connection::open(folder.path().join("sigillo.db")).unwrap();
    db.execute_batch("UPDATE entries SET phase = 'nowhere' WHERE id = 'one'").unwrap();
    assert!(matches!(store.read(|r| r.entry("one")).await, Err(StoreError::Damaged(_))));
    assert!(store.read(|r| r.entry("two")).await.unwrap().is_some());
    assert_eq!(store.read(|r| r.due_entries(u64::MAX / 2, 10)).await.unwrap().len(), 2);
}

/// Attack S10: what waits for a server whose places are taken is passed over, and nothing else is.
#[tokio::test]
async fn s10_only_what_another_server_must_take_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 1000).await;
    let put = |id: &'static str, recipients: &'static [&'static str], phase: Phase| {
        let recipients = recipients.iter().map(|address| mailbox(address)).collect();
        store.write(move |tx| {
            let message = tx.put_message(&Rope::from_bytes("x"))?;
            tx.enqueue(&NewEntry { recipients, phase, ..entry(id, message) })
        })
    };
    put("waits", &["a@slow.example"], Phase::Delivery).await.unwrap();
    put("both", &["a@slow.example", "b@other.example"], Phase::Delivery).await.unwrap();
    put("chain", &["a@slow.example"], Phase::Reception).await.unwrap();
    put("filed", &["a@slow.example"], Phase::Delivery).await.unwrap();
    let filed = store.read(|r| r.entry("filed")).await.unwrap().unwrap().recipients[0].id;
    store.write(move |tx| tx.mark_filed("filed", filed)).await.unwrap();
    let due = |limit| store.read(move |r| r.due_entries_but(u64::MAX / 2, limit, |domain| domain == "slow.example"));
    let mut found = due(10).await.unwrap();
    found.sort();
    assert_eq!(found, ["both", "chain", "filed"]);
    assert_eq!(due(2).await.unwrap().len(), 2);
    assert_eq!(store.read(|r| r.due_entries_but(u64::MAX / 2, 10, |_| false)).await.unwrap().len(), 4);
}

/// Attack S2: a full disk is an error of what did not fit, never a 250; with room again the store goes on.
#[tokio::test]
async fn a_database_that_cannot_grow_refuses_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_account(folder.path(), 1000).await;
    let limit =
        |pages: &'static str| move |tx: &mut Tx<'_>| tx.execute_for_test(&format!("PRAGMA max_page_count = {pages}"));
    store.write(limit("1")).await.unwrap();
    let mut refused = 0;
    for _ in 0..200 {
        let long = NewEvent { subject: "x".repeat(20_000), ..event("a") };
        if let Err(error) = store.write(move |tx| tx.append_evidence(long)).await {
            assert!(!matches!(error, StoreError::Stopped(_)), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 0, "the limit never bit");
    store.write(limit("1000000")).await.unwrap();
    store.write(|tx| tx.append_evidence(event("b"))).await.unwrap();
    let report = store.read(|r| r.verify_chain(Stream::MessageLog, |_| {})).await.unwrap();
    assert_eq!(report.findings, []);
}
