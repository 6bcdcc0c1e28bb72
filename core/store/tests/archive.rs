//! What the archive promises: a copy is there exactly as long as nobody lets it go, whatever becomes of the folders, and
//! what a mailbox uses is the sum of its copies.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use sigillo_mail::Rope;
use sigillo_store::archive::{ArchiveFolderId, ArchiveSearch, NewCopy};
use sigillo_store::{AccountState, DomainClass, Store, StoreError, Tx};

const ADA: &str = "ada@alfa.example";

async fn store(folder: &Path) -> Store {
    let store = Store::open(folder).unwrap();
    let setup = |tx: &mut Tx<'_>| {
        tx.add_domain(&"alfa.example".parse().unwrap(), DomainClass::Certified)?;
        tx.add_account(&ADA.parse().unwrap(), "credential", 100_000_000)
    };
    store.write(setup).await.unwrap();
    store
}

fn copy(key: &str, kept: u64) -> NewCopy {
    NewCopy {
        id: format!("{kept:012x}.{key}"),
        mailbox: ADA.into(),
        key: key.into(),
        direction: "received".into(),
        sha256: Sha256::digest(key).into(),
        kept,
        properties: vec![("subject".into(), format!("Ricevuta {key}")), ("from".into(), "bruno@beta.example".into())],
    }
}

async fn keep(store: &Store, key: &str, kept: u64, content: Rope) -> Result<(), StoreError> {
    let new = copy(key, kept);
    store.write(move |tx| tx.archive_keep(&new, &content)).await
}

async fn release(store: &Store, id: &str) -> bool {
    let id = id.to_owned();
    store.write(move |tx| tx.archive_release(ADA, &id)).await.unwrap()
}

fn used(store: &Store) -> (u64, u64) {
    let usage = store.look(|r| r.archive_usage(ADA)).unwrap();
    (usage.used, usage.count)
}

fn bytes(store: &Store, id: &str) -> Result<Vec<u8>, StoreError> {
    let (_, content) = store.look(|r| r.archive_message(ADA, id))?;
    Ok(content.to_bytes(store.segments().as_ref())?.to_vec())
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("segments")).unwrap().count()
}

/// ARC-01: a message that is deleted by mistake is still in the archive, and the other way round.
#[tokio::test]
async fn arc_01_a_copy_and_the_message_in_the_mailbox_outlive_each_other() {
    for archive_first in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let mut spool = store.spool();
        spool.write(&vec![b'a'; 2_000_000]).unwrap();
        let content = spool.finish().unwrap();
        let before = files(folder.path());
        let new = copy("one", 1_000);
        let both = move |tx: &mut Tx<'_>| {
            let inbox = tx.reader().folder(ADA, "INBOX")?.unwrap().id;
            let message = tx.put_message(&content)?;
            let uid = tx.file(ADA, inbox, message, &[], 0)?;
            tx.archive_keep(&new, &content)?;
            Ok((inbox, uid))
        };
        let (inbox, uid) = store.write(both).await.unwrap();
        let id = copy("one", 1_000).id;
        let expunge = move |tx: &mut Tx<'_>| tx.expunge(ADA, inbox, &[uid]);
        if archive_first {
            assert!(release(&store, &id).await);
            store.write(|_| Ok(())).await.unwrap();
            let kept = store.look(|r| r.message(r.item(inbox, uid)?.unwrap().message)).unwrap();
            assert_eq!(kept.to_bytes(store.segments().as_ref()).unwrap().len(), 2_000_000);
            store.write(expunge).await.unwrap();
        } else {
            store.write(expunge).await.unwrap();
            store.write(|_| Ok(())).await.unwrap();
            assert_eq!(bytes(&store, &id).unwrap(), vec![b'a'; 2_000_000]);
            assert_eq!(files(folder.path()), before, "the copy still needs it");
            assert!(release(&store, &id).await);
        }
        store.write(|_| Ok(())).await.unwrap(); // files go after the answer and before the next commit
        assert_eq!(files(folder.path()), before - 1, "with the last of both the bytes go");
        assert_eq!(used(&store), (0, 0));
    }
}

/// Killed at any moment: what was answered is there, what was not is not, and nothing that a copy needs is cleaned up.
#[tokio::test]
async fn arc_01_a_restart_finds_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = store(folder.path()).await;
        let mut spool = store.spool();
        spool.write(&vec![b'b'; 2_000_000]).unwrap();
        keep(&store, "large", 1_000, spool.finish().unwrap()).await.unwrap();
        keep(&store, "small", 2_000, Rope::from_bytes("small")).await.unwrap();
        let new = copy("never", 3_000);
        let undone = move |tx: &mut Tx<'_>| {
            tx.archive_keep(&new, &Rope::from_bytes("never"))?;
            Err::<(), _>(StoreError::Invalid("the message was refused".into()))
        };
        assert!(store.write(undone).await.is_err());
        let mut left = store.spool();
        left.write(&vec![b'c'; 2_000_000]).unwrap();
        left.finish().unwrap(); // killed before the commit
    }
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(bytes(&store, &copy("large", 1_000).id).unwrap(), vec![b'b'; 2_000_000]);
    assert_eq!(bytes(&store, &copy("small", 2_000).id).unwrap(), b"small");
    assert!(matches!(bytes(&store, &copy("never", 3_000).id), Err(StoreError::NotFound(_))));
    assert_eq!(used(&store), (2_000_005, 2));
    assert_eq!(store.look(|r| r.archive_folders(ADA)).unwrap()[0].copies, 2);
}

/// ARC-11: the archive of a mailbox that was closed stays until the mailbox is deleted; whoever gets the address after that
/// finds nothing of it.
#[tokio::test]
async fn arc_11_the_archive_goes_with_its_mailbox() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let mut spool = store.spool();
    spool.write(&vec![b'x'; 2_000_000]).unwrap();
    keep(&store, "one", 1_000, spool.finish().unwrap()).await.unwrap();
    let before = files(folder.path());
    let first = store.look(|r| r.archive_folders(ADA)).unwrap().remove(0);
    store.write(|tx| tx.set_account_state(ADA, AccountState::Disabled)).await.unwrap();
    assert_eq!(used(&store), (2_000_000, 1), "closed is not deleted");
    store.write(|tx| tx.remove_account(ADA)).await.unwrap();
    store.write(|tx| tx.add_account(&ADA.parse().unwrap(), "credential of another", 100_000_000)).await.unwrap();
    assert_eq!(used(&store), (0, 0));
    assert!(store.look(|r| r.archive_mailboxes(None, 10)).unwrap().is_empty());
    assert!(store.look(|r| r.archive_entries(first.id, 0)).unwrap().is_empty());
    assert!(matches!(bytes(&store, &copy("one", 1_000).id), Err(StoreError::NotFound(_))));
    store.write(|_| Ok(())).await.unwrap(); // files go after the answer and before the next commit
    assert_eq!(files(folder.path()), before - 1, "and its bytes went too");
    // The same message may be kept for the new holder, and clients see another folder.
    keep(&store, "one", 1_000, Rope::from_bytes("new")).await.unwrap();
    let second = store.look(|r| r.archive_folders(ADA)).unwrap().remove(0);
    assert_eq!((second.copies, second.uid_next), (1, 3), "a UID is never another message");
}

#[tokio::test]
async fn the_same_key_is_one_copy() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    keep(&store, "k", 1_000, Rope::from_bytes("first")).await.unwrap();
    keep(&store, "k", 1_000, Rope::from_bytes("first")).await.unwrap();
    // Another step that did not see it must look again.
    assert!(matches!(keep(&store, "k", 2_000, Rope::from_bytes("other")).await, Err(StoreError::Conflict(_))));
    assert_eq!(used(&store), (5, 1));
    let id = copy("k", 1_000).id;
    assert_eq!(store.look(|r| r.archive_find(ADA, "k")).unwrap(), Some(id.clone()));
    assert!(release(&store, &id).await && !release(&store, &id).await);
    assert_eq!(used(&store), (0, 0));
}

/// Folders are those of the legal month; a UID is never used twice, and what left is told.
#[tokio::test]
async fn arc_03_folders_are_months_with_stable_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let midnight = 1_793_487_600_000; // 2026-11-01T00:00:00 in Rome
    for (key, at) in [("a", midnight - 1), ("b", midnight), ("c", midnight + 1)] {
        keep(&store, key, at, Rope::from_bytes(key)).await.unwrap();
    }
    let folders = store.look(|r| r.archive_folders(ADA)).unwrap();
    let names: Vec<_> = folders.iter().map(|f| (f.name.as_str(), f.copies, f.size, f.uid_next)).collect();
    assert_eq!(names, [("2026/10/received", 1, 1, 2), ("2026/11/received", 2, 2, 3)]);
    let november = folders[1].clone();
    let before = november.mod_seq;
    assert_eq!(ArchiveFolderId::of(november.id.watched()), Some(november.id));

    release(&store, &copy("c", midnight + 1).id).await;
    let after = store.look(|r| r.archive_folder_by_id(november.id)).unwrap().unwrap();
    assert!(after.left_seq > before && after.uid_next == 3 && after.copies == 1);
    keep(&store, "d", midnight + 2, Rope::from_bytes("d")).await.unwrap();
    let news = store.look(|r| r.archive_entries(november.id, before)).unwrap();
    assert_eq!(news.iter().map(|entry| entry.uid).collect::<Vec<_>>(), [3]);
    assert_eq!(store.look(|r| r.archive_entry(november.id, 2)).unwrap(), None);
    let last = store.look(|r| r.archive_folder_by_id(november.id)).unwrap().unwrap();
    assert_eq!((last.uid_validity, last.uid_next), (november.uid_validity, 4));
}

#[tokio::test]
async fn arc_03_copies_are_found_by_period_direction_and_words() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    for at in 1..=5_u64 {
        let mut new = copy(&format!("k{at}"), at * 1000);
        new.direction = if at % 2 == 0 { "sent" } else { "received" }.into();
        store.write(move |tx| tx.archive_keep(&new, &Rope::from_bytes("x"))).await.unwrap();
    }
    let keys = |search: ArchiveSearch| {
        let found = store.look(|r| r.archive_search(ADA, &ArchiveSearch { limit: 10, ..search.clone() })).unwrap();
        found.iter().map(|copy| copy.kept / 1000).collect::<Vec<_>>()
    };
    assert_eq!(keys(ArchiveSearch::default()), [1, 2, 3, 4, 5]);
    let period = ArchiveSearch { since: Some(2000), until: Some(4000), ..ArchiveSearch::default() };
    assert_eq!(keys(period), [2, 3, 4]);
    assert_eq!(keys(ArchiveSearch { direction: Some("sent".into()), ..ArchiveSearch::default() }), [2, 4]);
    let words = |name: Option<&str>, text: &str| ArchiveSearch {
        words: vec![(name.map(str::to_owned), text.to_owned())],
        ..ArchiveSearch::default()
    };
    assert_eq!(keys(words(Some("subject"), "RICEVUTA K3")), [3]);
    assert_eq!(keys(words(Some("from"), "ricevuta")), [] as [u64; 0]);
    assert_eq!(keys(words(None, "beta.example")), [1, 2, 3, 4, 5]);
    assert_eq!(keys(ArchiveSearch { after: Some(copy("k3", 3000).id), ..ArchiveSearch::default() }), [4, 5]);
    let items = store.look(|r| r.archive_items(ADA, 4000, Some(&copy("k1", 1000).id), 10)).unwrap();
    assert_eq!(items.iter().map(|copy| copy.kept).collect::<Vec<_>>(), [2000, 3000]);
    assert_eq!(store.look(|r| r.archive_mailboxes(None, 10)).unwrap(), [ADA]);
    assert!(store.look(|r| r.archive_mailboxes(Some(ADA), 10)).unwrap().is_empty());
}

/// Attack S3: one damaged record is an error of that record.
#[tokio::test]
async fn a_damaged_copy_is_an_error_of_that_copy_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    keep(&store, "bad", 1_000, Rope::from_bytes("x")).await.unwrap();
    keep(&store, "good", 2_000, Rope::from_bytes("y")).await.unwrap();
    let damage = |tx: &mut Tx<'_>| tx.execute_for_test("UPDATE archive SET properties = '{' WHERE key = 'bad'");
    store.write(damage).await.unwrap();
    assert!(matches!(bytes(&store, &copy("bad", 1_000).id), Err(StoreError::Damaged(_))));
    assert_eq!(bytes(&store, &copy("good", 2_000).id).unwrap(), b"y");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// ARC-04, ARC-07: whatever is kept, let go and undone, the figures are those of the copies that are there.
    #[test]
    fn arc_04_what_is_used_is_the_sum_of_the_copies(steps in prop::collection::vec((0..8_u64, 0..4_u8, 1..50_usize), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = store(folder.path()).await;
            let mut model: BTreeMap<u64, usize> = BTreeMap::new();
            for (key, what, size) in steps {
                let id = copy(&key.to_string(), key).id;
                match what {
                    0 | 1 => {
                        keep(&store, &key.to_string(), key, Rope::from_bytes("x".repeat(size))).await.unwrap();
                        model.entry(key).or_insert(size);
                    }
                    2 => assert_eq!(release(&store, &id).await, model.remove(&key).is_some()),
                    _ => {
                        let undone = move |tx: &mut Tx<'_>| {
                            tx.archive_release(ADA, &id)?;
                            Err::<(), _>(StoreError::Invalid("undone".into()))
                        };
                        assert!(store.write(undone).await.is_err());
                    }
                }
                let octets: usize = model.values().sum();
                assert_eq!(used(&store), (octets as u64, model.len() as u64));
                let folders = store.look(|r| r.archive_folders(ADA)).unwrap();
                assert_eq!(folders.iter().map(|f| u64::from(f.copies)).sum::<u64>(), model.len() as u64);
                assert_eq!(folders.iter().map(|f| f.size).sum::<u64>(), octets as u64);
            }
            let left = store.look(|r| r.archive_items(ADA, u64::MAX, None, 100)).unwrap();
            assert_eq!(left.iter().map(|copy| copy.kept).collect::<Vec<_>>(), model.keys().copied().collect::<Vec<_>>());
        });
    }
}
