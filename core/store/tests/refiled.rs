//! Notes of refiled messages, and suspensions: in the commit that moves or suspends, bounded, each told once.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use sigillo_mail::{Mailbox, Rope};
use sigillo_store::refiled::{PAUSE, PER_ACCOUNT_MAX, Refiled};
use sigillo_store::{AccountState, DomainClass, FolderId, Store, StoreError, Tx, Uid};

const ADA: &str = "ada@alfa.example";
const LATER: u64 = u64::MAX / 4;

async fn with_account(folder: &Path) -> Store {
    let store = Store::open(folder).unwrap();
    let setup = move |tx: &mut Tx<'_>| {
        tx.add_domain(&"alfa.example".parse().unwrap(), DomainClass::Ordinary)?;
        tx.add_account(&ADA.parse::<Mailbox>().unwrap(), "credential", 1 << 20)
    };
    store.write(setup).await.unwrap();
    store
}

fn folder(tx: &Tx<'_>, name: &str) -> FolderId {
    tx.reader().folder(ADA, name).unwrap().unwrap().id
}

async fn file(store: &Store, name: &'static str, text: &'static str) -> Uid {
    let file = move |tx: &mut Tx<'_>| {
        let message = tx.put_message(&Rope::from_bytes(text))?;
        let into = folder(tx, name);
        tx.file(ADA, into, message, &[], 0)
    };
    store.write(file).await.unwrap()
}

/// As an IMAP session does it; returns the UID in the new folder.
async fn refile(store: &Store, from: &'static str, uid: Uid, to: &'static str) -> Uid {
    let refile = move |tx: &mut Tx<'_>| {
        let (from, to) = (folder(tx, from), folder(tx, to));
        let new = tx.move_items(from, &[uid], to)?[0].1;
        tx.note_refiled(ADA, from, to, &[new])?;
        Ok(new)
    };
    store.write(refile).await.unwrap()
}

async fn notes(store: &Store) -> Vec<Refiled> {
    store.read(|r| r.due_refiled(LATER, 10_000)).await.unwrap()
}

#[tokio::test]
async fn what_goes_into_and_out_of_junk_is_noted_in_its_commit() {
    let directory = tempfile::tempdir().unwrap();
    let store = with_account(directory.path()).await;
    let uid = file(&store, "INBOX", "one").await;
    let elsewhere = refile(&store, "INBOX", uid, "Trash").await;
    assert!(notes(&store).await.is_empty(), "only the folder for unwanted mail matters");
    let junk = refile(&store, "Trash", elsewhere, "Junk").await;
    let told = notes(&store).await;
    assert_eq!((told.len(), told[0].from.as_str(), told[0].to.as_str()), (1, "trash", "junk"));
    assert_eq!(told[0].account, ADA);
    assert!(store.read(|r| r.due_refiled(0, 10)).await.unwrap().is_empty(), "not at once");
    assert!(store.read(|r| r.next_due(0)).await.unwrap().unwrap() >= PAUSE, "the dispatcher wakes for it");
    // Taken back before it was told: what counts is where it lies in the end.
    refile(&store, "Junk", junk, "INBOX").await;
    let told = notes(&store).await;
    assert_eq!((told.len(), told[0].from.as_str(), told[0].to.as_str()), (1, "junk", "inbox"));
    // A commit that fails notes nothing.
    let uid = file(&store, "INBOX", "two").await;
    let fails = move |tx: &mut Tx<'_>| {
        let (from, to) = (folder(tx, "INBOX"), folder(tx, "Junk"));
        let new = tx.move_items(from, &[uid], to)?[0].1;
        tx.note_refiled(ADA, from, to, &[new])?;
        Err::<(), _>(StoreError::Invalid("changed my mind".into()))
    };
    assert!(store.write(fails).await.is_err());
    assert_eq!(notes(&store).await.len(), 1);
}

#[tokio::test]
async fn a_note_keeps_its_message_and_is_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = with_account(directory.path()).await;
    let uid = file(&store, "INBOX", "one").await;
    let junk = refile(&store, "INBOX", uid, "Junk").await;
    store
        .write(move |tx| {
            let from = folder(tx, "Junk");
            tx.expunge(ADA, from, &[junk]).map(drop)
        })
        .await
        .unwrap();
    drop(store);
    let store = Store::open(directory.path()).unwrap();
    let note = notes(&store).await.remove(0);
    let id = note.message;
    assert_eq!(store.read(move |r| r.message(id)).await.unwrap().len(), 3, "removed, and still there to learn from");
    let (first, again) = (note.clone(), note.clone());
    store.write(move |tx| tx.postpone_refiled(&first, 7)).await.unwrap();
    assert_eq!(notes(&store).await[0].attempts, 1);
    store.write(move |tx| tx.finish_refiled(&note)).await.unwrap();
    let twice = store.write(move |tx| tx.finish_refiled(&again)).await;
    assert!(matches!(twice, Err(StoreError::Conflict(_))));
    assert!(notes(&store).await.is_empty());
    assert!(matches!(store.read(move |r| r.message(id)).await, Err(StoreError::NotFound(_))), "gone with its note");
}

#[tokio::test]
async fn a_note_goes_with_its_mailbox_and_frees_its_message() {
    let directory = tempfile::tempdir().unwrap();
    let store = with_account(directory.path()).await;
    let uid = file(&store, "INBOX", "one").await;
    refile(&store, "INBOX", uid, "Junk").await;
    let id = notes(&store).await[0].message;
    store.write(|tx| tx.remove_account(ADA)).await.unwrap();
    assert!(notes(&store).await.is_empty());
    assert!(matches!(store.read(move |r| r.message(id)).await, Err(StoreError::NotFound(_))), "its bytes are free");
}

#[tokio::test]
async fn notes_of_one_account_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let store = with_account(directory.path()).await;
    let many = |tx: &mut Tx<'_>| {
        let (from, to) = (folder(tx, "INBOX"), folder(tx, "Junk"));
        let mut uids = Vec::new();
        for _ in 0..PER_ACCOUNT_MAX + 10 {
            let message = tx.put_message(&Rope::from_bytes("x"))?;
            uids.push(tx.file(ADA, to, message, &[], 0)?);
        }
        tx.note_refiled(ADA, from, to, &uids)
    };
    store.write(many).await.unwrap();
    assert_eq!(notes(&store).await.len() as u64, PER_ACCOUNT_MAX);
}

/// AS-06.
#[tokio::test]
async fn as_06_a_suspended_account_is_closed_to_its_user_until_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let store = with_account(directory.path()).await;
    assert!(store.write(|tx| tx.suspend_account("ADA@alfa.example", "burst")).await.unwrap());
    assert!(!store.write(|tx| tx.suspend_account(ADA, "another")).await.unwrap(), "it was suspended already");
    let account = store.read(|r| r.account(ADA)).await.unwrap().unwrap();
    assert_eq!((account.state, account.suspended.as_deref()), (AccountState::Active, Some("burst")));
    assert!(!account.is_open());
    let listed = serde_json::to_value(store.read(|r| r.accounts()).await.unwrap()).unwrap();
    assert_eq!(listed[0]["suspended"], "burst");
    store.write(|tx| tx.set_account_state(ADA, AccountState::Active)).await.unwrap();
    assert!(store.read(|r| r.account(ADA)).await.unwrap().unwrap().is_open());
    let nobody = store.write(|tx| tx.suspend_account("nobody@alfa.example", "x")).await;
    assert!(matches!(nobody, Err(StoreError::NotFound(_))));
}
