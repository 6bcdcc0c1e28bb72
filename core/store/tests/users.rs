//! Mailboxes and who may log in to them, and the way from the form that knew only mailboxes.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use sigillo_mail::Rope;
use sigillo_store::users::{Barred, USERS_MAX};
use sigillo_store::{AccountState, DomainClass, Kind, NewAccount, NewUser, Role, Store, StoreError, Tx};

const OFFICE: &str = "ufficio@alfa.example";

fn account(address: &str, kind: Kind) -> NewAccount {
    NewAccount {
        address: address.parse().unwrap(),
        kind,
        offer: None,
        quota: 1 << 20,
        daily_sends: None,
        credential: "holder's".into(),
        initial: false,
        expires: None,
    }
}

fn operator(login: &str) -> NewUser {
    NewUser {
        login: login.into(),
        account: OFFICE.into(),
        role: Role::Operator,
        credential: "operator's".into(),
        initial: false,
        expires: None,
    }
}

async fn office(folder: &Path) -> Store {
    let store = Store::open(folder).unwrap();
    let setup = |tx: &mut Tx<'_>| {
        tx.add_domain(&"alfa.example".parse().unwrap(), DomainClass::Certified)?;
        tx.add_account_of(&account(OFFICE, Kind::MultiUser))?;
        tx.add_account_of(&account("ada@alfa.example", Kind::Individual))
    };
    store.write(setup).await.unwrap();
    store
}

async fn refused(store: &Store, job: impl FnOnce(&mut Tx<'_>) -> Result<(), StoreError> + Send + 'static) -> String {
    store.write(job).await.unwrap_err().to_string()
}

#[tokio::test]
async fn box_01_only_the_holder_logs_in_to_an_individual_mailbox() {
    let folder = tempfile::tempdir().unwrap();
    let store = office(folder.path()).await;
    let new = NewUser { account: "ada@alfa.example".into(), ..operator("bruno") };
    assert!(refused(&store, move |tx| tx.add_user(&new)).await.contains("only its holder logs in"));
    let users = store.look(|r| r.users_of("ada@alfa.example")).unwrap();
    assert_eq!(
        users.iter().map(|u| (u.login.as_str(), u.role)).collect::<Vec<_>>(),
        [("ada@alfa.example", Role::Holder)]
    );
}

#[tokio::test]
async fn box_02_quo_05_a_multi_user_mailbox_has_ten_users_counting_everyone() {
    let folder = tempfile::tempdir().unwrap();
    let store = office(folder.path()).await;
    for number in 1..USERS_MAX {
        store.write(move |tx| tx.add_user(&operator(&format!("operatore{number}")))).await.unwrap();
    }
    assert!(refused(&store, |tx| tx.add_user(&operator("undicesimo"))).await.contains("10 users"));
    store.write(|tx| tx.remove_user("Operatore3")).await.unwrap();
    store.write(|tx| tx.add_user(&operator("undicesimo"))).await.unwrap();
    assert_eq!(store.look(|r| r.users_of(OFFICE)).unwrap().len(), USERS_MAX);
}

#[tokio::test]
async fn box_03_a_mailbox_has_one_holder_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = office(folder.path()).await;
    assert!(refused(&store, |tx| tx.remove_user(OFFICE)).await.contains("holder"));
    let second = NewUser { role: Role::Holder, ..operator("bruno") };
    assert!(refused(&store, move |tx| tx.add_user(&second)).await.contains("holder"));
    store.write(|tx| tx.add_user(&operator("bruno"))).await.unwrap();
    assert!(refused(&store, |tx| tx.set_kind(OFFICE, Kind::Individual)).await.contains("operators"));
}

#[tokio::test]
async fn box_04_a_login_belongs_to_one_mailbox_and_opens_it_only_while_both_are_active() {
    let folder = tempfile::tempdir().unwrap();
    let store = office(folder.path()).await;
    store.write(|tx| tx.add_user(&operator("bruno"))).await.unwrap();
    for taken in ["bruno", "ada@alfa.example"] {
        assert!(matches!(store.write(move |tx| tx.add_user(&operator(taken))).await, Err(StoreError::Exists(_))));
    }
    store.write(|tx| tx.add_user(&operator("carla@alfa.example"))).await.unwrap();
    let made = store.write(|tx| tx.add_account_of(&account("carla@alfa.example", Kind::Individual))).await;
    assert!(matches!(made, Err(StoreError::Exists(why)) if why.contains(OFFICE)));
    for login in ["", "a b", "x%", "a\"b", &"x".repeat(65)] {
        let new = operator(login);
        assert!(matches!(store.write(move |tx| tx.add_user(&new)).await, Err(StoreError::Invalid(_))), "{login}");
    }
    let there = || store.look(|r| r.user_at_the_door("BRUNO")).unwrap().map(|user| user.account);
    assert_eq!(there().as_deref(), Some(OFFICE));
    store.write(|tx| tx.set_user_state("bruno", AccountState::Disabled)).await.unwrap();
    assert_eq!(there(), None);
    store.write(|tx| tx.set_user_state("bruno", AccountState::Active)).await.unwrap();
    store.write(|tx| tx.set_account_state(OFFICE, AccountState::Disabled)).await.unwrap();
    assert_eq!(there(), None);
}

#[tokio::test]
async fn a_first_or_an_expired_credential_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = office(folder.path()).await;
    store.write(|tx| tx.add_user(&operator("bruno"))).await.unwrap();
    let user = || store.look(|r| r.user("bruno")).unwrap().unwrap();
    assert_eq!(user().admitted(5), Ok(()));
    store.write(|tx| tx.set_user_credential("bruno", "first", true, Some(10))).await.unwrap();
    assert_eq!((user().admitted(9), user().admitted(10)), (Err(Barred::Initial), Err(Barred::Expired)));
    store.write(|tx| tx.set_user_credential("bruno", "own", false, None)).await.unwrap();
    assert_eq!((user().admitted(u64::MAX), user().credential.as_str()), (Ok(()), "own"));
}

#[tokio::test]
async fn box_05_numbers_are_progressive_and_are_not_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = office(folder.path()).await;
    let numbers = store
        .write(|tx| {
            let message = tx.put_message(&Rope::from_bytes("Subject: x\r\n\r\n"))?;
            let inbox = tx.reader().folder(OFFICE, "INBOX")?.unwrap().id;
            let sent = tx.reader().folder(OFFICE, "Sent")?.unwrap().id;
            for target in [inbox, sent, inbox] {
                tx.file(OFFICE, target, message, &[], 0)?;
            }
            // Moving and copying change nothing; removing the last one does not free its number.
            tx.move_items(inbox, &[1], sent)?;
            tx.copy_items(OFFICE, inbox, &[2], sent)?;
            tx.expunge(OFFICE, inbox, &[2])?;
            tx.file(OFFICE, inbox, message, &[], 0)?;
            let all = [tx.reader().items(inbox)?, tx.reader().items(sent)?].concat();
            Ok(all.iter().map(|item| item.number).collect::<Vec<_>>())
        })
        .await
        .unwrap();
    assert_eq!(numbers, [4, 2, 1, 3]);
    let other = store
        .write(|tx| {
            let message = tx.put_message(&Rope::from_bytes("Subject: x\r\n\r\n"))?;
            let inbox = tx.reader().folder("ada@alfa.example", "INBOX")?.unwrap().id;
            let uid = tx.file("ada@alfa.example", inbox, message, &[], 0)?;
            Ok(tx.reader().item(inbox, uid)?.unwrap().number)
        })
        .await
        .unwrap();
    assert_eq!(other, 1, "each mailbox counts for itself");
}

/// A store as the first version left it: two mailboxes, one of them with a message in two folders and another one.
fn old_store(folder: &Path) {
    let db = rusqlite::Connection::open(folder.join("sigillo.db")).unwrap();
    db.execute_batch(include_str!("schema-1.sql")).unwrap();
    db.execute_batch(
        "INSERT INTO meta VALUES ('schema_version', '1');
         INSERT INTO domains VALUES ('alfa.example', 'certified', 1);
         INSERT INTO accounts VALUES ('ada@alfa.example', 'alfa.example', 'secret', 'active', 1000, 30, 7);
         INSERT INTO accounts VALUES ('bea@alfa.example', 'alfa.example', 'other', 'disabled', 1000, 0, 8);
         INSERT INTO account_settings VALUES ('ada@alfa.example', 'ordinary-mail', 'reject');
         INSERT INTO messages VALUES (5, 10, '[]', 1), (6, 10, '[]', 2);
         INSERT INTO folders (id, account, name, uid_validity, uid_next)
            VALUES (1, 'ada@alfa.example', 'INBOX', 1, 3), (2, 'ada@alfa.example', 'Trash', 2, 2),
                   (3, 'bea@alfa.example', 'INBOX', 3, 1);
         INSERT INTO items VALUES (1, 1, 5, 10, '', 1, 1), (1, 2, 6, 10, '', 2, 2), (2, 1, 5, 10, '', 1, 1);",
    )
    .unwrap();
}

#[tokio::test]
async fn an_old_store_keeps_its_mailboxes_logins_and_messages() {
    let folder = tempfile::tempdir().unwrap();
    old_store(folder.path());
    let store = Store::open(folder.path()).unwrap();
    let users: Vec<_> = store
        .look(|r| {
            let of = |address| r.users_of(address);
            Ok([of("ada@alfa.example")?, of("bea@alfa.example")?].concat())
        })
        .unwrap()
        .into_iter()
        .map(|user| {
            let admitted = user.admitted(u64::MAX);
            (user.login, user.account, user.role, user.credential, user.created, admitted)
        })
        .collect();
    let holder = |address: &str, credential: &str, made| {
        (address.to_owned(), address.to_owned(), Role::Holder, credential.to_owned(), made, Ok(()))
    };
    assert_eq!(users, [holder("ada@alfa.example", "secret", 7), holder("bea@alfa.example", "other", 8)]);
    assert!(store.look(|r| r.user_at_the_door("bea@alfa.example")).unwrap().is_none(), "it was disabled");

    let found = store.look(|r| r.account("ada@alfa.example")).unwrap().unwrap();
    assert_eq!((found.kind, found.offer, found.used, found.daily_sends), (Kind::Individual, None, 30, None));
    assert_eq!(
        store.look(|r| r.account_setting("ada@alfa.example", "ordinary-mail")).unwrap().as_deref(),
        Some("reject")
    );
    let numbers = |name: &str| {
        let inbox = store.look(|r| r.folder("ada@alfa.example", name)).unwrap().unwrap().id;
        store.look(|r| r.items(inbox)).unwrap().iter().map(|item| item.number).collect::<Vec<_>>()
    };
    assert_eq!((numbers("INBOX"), numbers("Trash")), (vec![1, 2], vec![1]), "copies share a number");
    let next = store
        .write(|tx| {
            let inbox = tx.reader().folder("ada@alfa.example", "INBOX")?.unwrap().id;
            let message = tx.put_message(&Rope::from_bytes("x"))?;
            let uid = tx.file("ada@alfa.example", inbox, message, &[], 0)?;
            Ok(tx.reader().item(inbox, uid)?.unwrap().number)
        })
        .await
        .unwrap();
    assert_eq!(next, 3);
    drop(store);
    Store::open_beside(folder.path()).unwrap();
}

#[tokio::test]
async fn an_old_store_is_not_changed_under_a_server_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    old_store(folder.path());
    let lock = std::fs::File::create(folder.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let refused = Store::open_beside(folder.path()).map(drop).unwrap_err().to_string();
    assert!(refused.contains("start that server anew"), "{refused}");
    drop(lock);
    let store = Store::open_beside(folder.path()).unwrap();
    assert_eq!(store.look(|r| r.users_of("ada@alfa.example")).unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_of_a_later_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    let db = rusqlite::Connection::open(folder.path().join("sigillo.db")).unwrap();
    db.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'", []).unwrap();
    assert!(Store::open(folder.path()).map(drop).unwrap_err().to_string().contains("schema version 99"));
}
