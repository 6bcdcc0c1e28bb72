//! Large content has a file of its own: it is given back when nothing comes to name it, and never kept without its bytes.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use sigillo_mail::Rope;
use sigillo_store::{DomainClass, Store, StoreError, Tx};

const ADA: &str = "ada@alfa.example";

fn large(store: &Store, byte: u8) -> Rope {
    let mut spool = store.spool();
    spool.write(&vec![byte; 2 << 20]).unwrap();
    spool.finish().unwrap()
}

/// Files go after the commit was answered, and before the next one begins.
async fn there(store: &Store, content: &Rope) -> bool {
    store.write(|_| Ok(())).await.unwrap();
    content.read(&**store.segments(), 0, 1).is_ok()
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("segments")).unwrap().count()
}

/// A message that was refused, or one with which an operation was asked, costs its space only until then.
#[tokio::test]
async fn what_nothing_names_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (named, refused, read) = (large(&store, 1), large(&store, 2), large(&store, 3));
    let content = named.clone();
    store.write(move |tx| tx.put_message(&content)).await.unwrap();
    store.give_back(&refused).await.unwrap();
    store.give_back(&named).await.unwrap();
    assert!(there(&store, &named).await && !there(&store, &refused).await && there(&store, &read).await);
    store.give_back_finished(Duration::from_secs(3600)).await.unwrap();
    assert!(there(&store, &read).await, "somebody may still come to name it");
    store.give_back_finished(Duration::ZERO).await.unwrap();
    assert!(there(&store, &named).await && !there(&store, &read).await);
    assert_eq!(files(folder.path()), 1);
}

/// A step reads a message that leaves before the step is committed: what it made must not be kept without its bytes.
#[tokio::test]
async fn content_that_left_is_not_kept_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let content = large(&store, 1);
    store.give_back(&content).await.unwrap();
    assert!(!there(&store, &content).await);
    let mut made = Rope::from_bytes("Subject: of a step\r\n\r\n");
    made.append(&content);
    let kept = store.write(move |tx| tx.put_message(&made)).await;
    assert!(matches!(kept, Err(StoreError::Conflict(_))), "{kept:?}");
}

/// A mailbox is deleted while a note of what its user moved into Junk waits, for a message that is in no folder any more.
#[tokio::test]
async fn a_deleted_mailbox_gives_back_what_only_its_notes_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let content = large(&store, 1);
    let named = content.clone();
    let setup = move |tx: &mut Tx<'_>| {
        tx.add_domain(&"alfa.example".parse().unwrap(), DomainClass::Ordinary)?;
        tx.add_account(&ADA.parse().unwrap(), "credential", 1 << 30)?;
        let place = |tx: &Tx<'_>, name: &str| tx.reader().folder(ADA, name).unwrap().unwrap().id;
        let (inbox, junk) = (place(tx, "INBOX"), place(tx, "Junk"));
        let message = tx.put_message(&named)?;
        let uid = tx.file(ADA, junk, message, &[], 0)?;
        tx.note_refiled(ADA, inbox, junk, &[uid])?;
        tx.expunge(ADA, junk, &[uid]).map(drop)
    };
    store.write(setup).await.unwrap();
    assert!(there(&store, &content).await, "it is still to be learned from");
    store.write(|tx| tx.remove_account(ADA)).await.unwrap();
    assert!(!there(&store, &content).await);
    assert!(store.read(|r| r.due_refiled(u64::MAX / 4, 10)).await.unwrap().is_empty());
}
