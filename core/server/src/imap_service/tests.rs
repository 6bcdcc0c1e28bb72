use std::time::Duration;

use sigillo_mail::Mailbox;
use sigillo_store::{AccountState, DomainClass};

use super::*;

const ACCOUNT: &str = "mario@alfa.example";
const QUOTA: u64 = 4 * 1024 * 1024;

async fn service() -> (tempfile::TempDir, ImapService) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let credential = Credential::without_scram("secret").unwrap().to_string();
    let add = move |tx: &mut Tx<'_>| {
        tx.add_domain(&"alfa.example".parse().unwrap(), DomainClass::Ordinary)?;
        tx.add_account(&ACCOUNT.parse::<Mailbox>().unwrap(), &credential, QUOTA)
    };
    store.write(add).await.unwrap();
    (folder, ImapService::new(store))
}

async fn append(service: &ImapService, folder: &str, content: &[u8], flags: &str) -> Result<Uid, BackendError> {
    let mut target = service.append(ACCOUNT, folder, content.len() as u64).await?;
    for piece in content.chunks(1000) {
        target.write(Bytes::copy_from_slice(piece)).await?;
    }
    let placed = target.commit(flags.parse().unwrap(), Some(1_700_000_000)).await?;
    Ok(placed.uids[0].1)
}

#[tokio::test]
async fn small_and_large_messages_come_back_byte_for_byte() {
    let (_folder, service) = service().await;
    let large: Vec<u8> = (0..2_000_000u32).map(|i| (i % 251) as u8).collect();
    let small = b"Subject: x\r\n\r\n\xff \r\n".to_vec();
    for content in [small, large] {
        let uid = append(&service, "INBOX", &content, "\\Seen $Parola").await.unwrap();
        let (snapshot, _) = service.open(ACCOUNT, "INBOX", false).await.unwrap();
        let message = snapshot.messages.iter().find(|m| m.uid == uid).unwrap();
        assert_eq!((message.size, message.internal_date), (content.len() as u64, 1_700_000_000));
        assert_eq!(message.flags.to_string(), "\\Seen $Parola");
        let (rope, source) = service.content(snapshot.folder, uid).await.unwrap().unwrap();
        // Removed while it is read: the reader still gets all of it.
        service.expunge(ACCOUNT, snapshot.folder, &[uid], false).await.unwrap();
        assert_eq!(rope.to_bytes(source.as_ref()).unwrap(), content);
        assert!(service.content(snapshot.folder, uid).await.unwrap().is_none());
    }
    assert_eq!(service.quota(ACCOUNT).await.unwrap().used, 0);
}

#[tokio::test]
async fn the_quota_holds_for_append_and_copy_but_not_for_move() {
    let (_folder, service) = service().await;
    let content = vec![b'x'; 3 * 1024 * 1024];
    let uid = append(&service, "INBOX", &content, "").await.unwrap();
    assert!(matches!(append(&service, "INBOX", &content, "").await, Err(BackendError::OverQuota)));
    let (inbox, _) = service.open(ACCOUNT, "INBOX", false).await.unwrap();
    assert!(matches!(service.copy(inbox.folder, &[uid], ACCOUNT, "Trash").await, Err(BackendError::OverQuota)));
    let placed = service.relocate(inbox.folder, &[uid], ACCOUNT, "Trash").await.unwrap();
    assert_eq!(placed.uids, [(uid, 1)]);
    assert_eq!(service.status(ACCOUNT, "INBOX").await.unwrap().messages, 0);
    assert_eq!(service.status(ACCOUNT, "Trash").await.unwrap().size, content.len() as u64);
}

#[tokio::test]
async fn another_session_learns_of_every_change() {
    let (_folder, service) = service().await;
    for _ in 0..3 {
        append(&service, "INBOX", b"Subject: x\r\n\r\n", "").await.unwrap();
    }
    let (snapshot, mut watch) = service.open(ACCOUNT, "INBOX", true).await.unwrap();
    let known: Vec<Uid> = snapshot.messages.iter().map(|m| m.uid).collect();
    // News of the three may still be on its way to a session that has seen them: a needless look, and harmless. What
    // comes after this moment is told for sure.
    watch.mark_unchanged();

    append(&service, "INBOX", b"Subject: y\r\n\r\n", "").await.unwrap();
    let change = FlagChange::Add(Flags::system(Flags::DELETED));
    service.store_flags(snapshot.folder, &[1, 2], &change, None).await.unwrap();
    service.expunge(ACCOUNT, snapshot.folder, &[1, 3], true).await.unwrap();

    tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.unwrap().unwrap();
    let changes = service.changes(snapshot.folder, snapshot.mod_seq, &known).await.unwrap();
    let changed: Vec<Uid> = changes.changed.iter().map(|m| m.uid).collect();
    assert_eq!((changed, changes.vanished, changes.uid_next), (vec![2, 4], vec![1], 5));
    let again = service.changes(snapshot.folder, changes.mod_seq, &[2, 3, 4]).await.unwrap();
    assert!(again.changed.is_empty() && again.vanished.is_empty());
}

#[tokio::test]
async fn messages_are_recent_for_the_first_session_only() {
    let (_folder, service) = service().await;
    append(&service, "INBOX", b"Subject: x\r\n\r\n", "").await.unwrap();
    assert_eq!(service.status(ACCOUNT, "INBOX").await.unwrap().recent, 1);
    assert_eq!(service.open(ACCOUNT, "INBOX", false).await.unwrap().0.recent_from, 1);
    assert_eq!(service.open(ACCOUNT, "INBOX", true).await.unwrap().0.recent_from, 1);
    assert_eq!(service.open(ACCOUNT, "INBOX", true).await.unwrap().0.recent_from, 2);
    assert_eq!(service.status(ACCOUNT, "INBOX").await.unwrap().recent, 0);
}

#[tokio::test]
async fn flags_are_not_overwritten_unseen() {
    let (_folder, service) = service().await;
    append(&service, "INBOX", b"Subject: x\r\n\r\n", "").await.unwrap();
    let (snapshot, _) = service.open(ACCOUNT, "INBOX", false).await.unwrap();
    let seen = FlagChange::Add(Flags::system(Flags::SEEN));
    let flagged = FlagChange::Replace(Flags::system(Flags::FLAGGED));
    let first = service.store_flags(snapshot.folder, &[1, 9], &seen, Some(snapshot.mod_seq)).await.unwrap();
    assert_eq!((first.messages.len(), first.refused.len()), (1, 0));
    let second = service.store_flags(snapshot.folder, &[1], &flagged, Some(snapshot.mod_seq)).await.unwrap();
    assert_eq!((second.messages.len(), second.refused), (0, vec![1]));
    let status = service.status(ACCOUNT, "INBOX").await.unwrap();
    assert_eq!((status.unseen, status.deleted), (0, 0));
}

#[tokio::test]
async fn only_the_credential_of_an_active_account_is_given_out() {
    let (_folder, service) = service().await;
    let (account, credential) = service.credential("Mario@ALFA.example").await.unwrap().unwrap();
    assert_eq!(account, ACCOUNT);
    assert!(credential.verify("secret"));
    assert!(service.credential("eva@alfa.example").await.unwrap().is_none());
    service.write(|tx| tx.set_account_state(ACCOUNT, AccountState::Disabled)).await.unwrap();
    assert!(service.credential(ACCOUNT).await.unwrap().is_none());
}

#[tokio::test]
async fn folders_are_made_renamed_and_removed() {
    let (_folder, service) = service().await;
    service.create(ACCOUNT, "Archivio/2026").await.unwrap();
    assert!(matches!(service.create(ACCOUNT, "Archivio").await, Err(BackendError::FolderExists)));
    service.rename(ACCOUNT, "Archivio", "Vecchio").await.unwrap();
    service.subscribe(ACCOUNT, "Vecchio", false).await.unwrap();
    let names: Vec<(String, bool)> =
        service.folders(ACCOUNT).await.unwrap().into_iter().map(|f| (f.name, f.subscribed)).collect();
    assert!(names.contains(&("Vecchio".into(), false)) && names.contains(&("Vecchio/2026".into(), true)));
    service.delete(ACCOUNT, "Vecchio/2026").await.unwrap();
    let gone = service.open(ACCOUNT, "Vecchio/2026", true).await;
    assert!(matches!(gone, Err(BackendError::NoSuchFolder)));
}

async fn archived(service: &ImapService, key: &str, kept: u64, content: &'static str) {
    let copy = sigillo_store::archive::NewCopy {
        id: format!("{kept:012x}.{key}"),
        mailbox: ACCOUNT.into(),
        key: key.into(),
        direction: "received".into(),
        sha256: [0; 32],
        kept,
        properties: Vec::new(),
    };
    service.store.write(move |tx| tx.archive_keep(&copy, &Rope::from_bytes(content))).await.unwrap();
}

/// ARC-03, ARC-06: the archive is seen beside the folders, what comes and goes is told, and nothing here changes it.
#[tokio::test]
async fn arc_03_the_archive_is_read_and_copied_from_and_never_changed() {
    const NAME: &str = "#Archive/1970/01/Received";
    let (_folder, service) = service().await;
    assert!(service.shared_namespaces(ACCOUNT).await.unwrap().is_empty());
    assert!(matches!(service.open(ACCOUNT, NAME, true).await, Err(BackendError::NoSuchFolder)));
    for (index, key) in ["a", "b", "c"].into_iter().enumerate() {
        archived(&service, key, 1000 + index as u64, "Subject: x\r\n\r\n").await;
    }
    assert_eq!(service.shared_namespaces(ACCOUNT).await.unwrap(), ["#Archive/"]);
    assert!(service.folders(ACCOUNT).await.unwrap().iter().any(|folder| folder.name == NAME));
    let (snapshot, mut watch) = service.open(ACCOUNT, NAME, true).await.unwrap();
    assert_eq!(snapshot.messages.iter().map(|m| m.uid).collect::<Vec<_>>(), [1, 2, 3]);
    let status = service.status(ACCOUNT, NAME).await.unwrap();
    assert_eq!((status.messages, status.unseen, status.size, status.uid_next), (3, 0, 42, 4));
    assert!(service.status(ACCOUNT, "#Archive/1970/01/received").await.is_err(), "a name has one form");

    let change = FlagChange::Add(Flags::system(Flags::DELETED));
    let refused = |result: Result<(), BackendError>| matches!(result, Err(BackendError::NotPermitted(_)));
    let (folder, name) = (snapshot.folder, NAME);
    assert!(refused(service.store_flags(folder, &[1], &change, None).await.map(drop)));
    assert!(refused(service.expunge(ACCOUNT, folder, &[1], false).await));
    assert!(refused(service.relocate(folder, &[1], ACCOUNT, "INBOX").await.map(drop)));
    assert!(refused(service.create(ACCOUNT, "#Archive").await));
    assert!(refused(service.delete(ACCOUNT, name).await));
    assert!(refused(service.rename(ACCOUNT, name, "Mine").await));
    assert!(refused(service.append(ACCOUNT, name, 3).await.map(drop)));
    let uid = append(&service, "INBOX", b"Subject: y\r\n\r\n", "").await.unwrap();
    let (inbox, _) = service.open(ACCOUNT, "INBOX", false).await.unwrap();
    assert!(refused(service.copy(inbox.folder, &[uid], ACCOUNT, name).await.map(drop)));
    let placed = service.copy(folder, &[1, 3, 9], ACCOUNT, "INBOX").await.unwrap();
    assert_eq!(placed.uids, [(1, 2), (3, 3)]);

    watch.mark_unchanged();
    service.store.write(|tx| tx.archive_release(ACCOUNT, &format!("{:012x}.b", 1001))).await.unwrap();
    archived(&service, "d", 1003, "Subject: x\r\n\r\n").await;
    tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.unwrap().unwrap();
    let changes = service.changes(folder, snapshot.mod_seq, &[1, 2, 3]).await.unwrap();
    assert_eq!(changes.vanished, [2]);
    assert_eq!(changes.changed.iter().map(|m| m.uid).collect::<Vec<_>>(), [4]);
    let later = service.changes(folder, changes.mod_seq, &[1, 3, 4]).await.unwrap();
    assert!(later.vanished.is_empty() && later.changed.is_empty());
    let (rope, source) = service.content(folder, 4).await.unwrap().unwrap();
    assert_eq!(&rope.to_bytes(source.as_ref()).unwrap()[..], b"Subject: x\r\n\r\n");
    assert!(service.content(folder, 2).await.unwrap().is_none());
    let subscribed = |all: &[Folder]| all.iter().find(|folder| folder.name == NAME).unwrap().subscribed;
    service.subscribe(ACCOUNT, name, false).await.unwrap();
    assert!(!subscribed(&service.folders(ACCOUNT).await.unwrap()));
}
