//! Multi-user mailboxes and quotas over IMAP with the real store: the dialogs of `tests/dialogs/mailboxes` (their form:
//! `core/imap/tests/support/dialog.rs`), and properties of what happens when users race.
//!
//! Mailboxes: ufficio@alfa.example, multi-user, whose holder logs in by that address, with the operators bruno and carla;
//! piccola@alfa.example, individual, which may hold 2 KiB. The password of each login is `secret`. ufficio has two
//! messages in INBOX, numbers 1 and 2.
#![allow(clippy::unwrap_used)] // a test may panic

#[path = "../../imap/tests/support/dialog.rs"]
mod dialog;
#[path = "../../imap/tests/support/tls.rs"]
mod tls;

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use sigillo_auth::Credential;
use sigillo_imap::{Backend, BackendError, FlagChange};
use sigillo_mail::Rope;
use sigillo_server::imap_service::ImapService;
use sigillo_store::charges::{Action, Charge};
use sigillo_store::{DomainClass, Kind, NewAccount, NewUser, Role, Store, StoreError, Tx};

const OFFICE: &str = "ufficio@alfa.example";
const SMALL: &str = "piccola@alfa.example";

async fn store(folder: &Path) -> Store {
    let store = Store::open(folder).unwrap();
    let credential = Credential::without_scram("secret").unwrap().to_string();
    let setup = move |tx: &mut Tx<'_>| {
        tx.add_domain(&"alfa.example".parse().unwrap(), DomainClass::Certified)?;
        for (address, kind, quota) in [(OFFICE, Kind::MultiUser, 1 << 20), (SMALL, Kind::Individual, 2048)] {
            tx.add_account_of(&NewAccount {
                address: address.parse().unwrap(),
                kind,
                offer: None,
                quota,
                daily_sends: None,
                credential: credential.clone(),
                initial: false,
                expires: None,
            })?;
        }
        for login in ["bruno", "carla"] {
            tx.add_user(&NewUser {
                login: login.into(),
                account: OFFICE.into(),
                role: Role::Operator,
                credential: credential.clone(),
                initial: false,
                expires: None,
            })?;
        }
        let inbox = tx.reader().folder(OFFICE, "INBOX")?.unwrap().id;
        for number in 1..=2 {
            let content = format!("Message-ID: <{number}@beta.example>\r\nSubject: {number}\r\n\r\nText\r\n");
            let message = tx.put_message(&Rope::from_bytes(content))?;
            let uid = tx.file(OFFICE, inbox, message, &[], 0)?;
            tx.name_message(OFFICE, inbox, uid, &format!("{number}@beta.example"))?;
        }
        Ok(())
    };
    store.write(setup).await.unwrap();
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_dialog_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/dialogs/mailboxes");
    let stores = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicU32::new(0);
    let backend = || async {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Arc::new(ImapService::new(store(&stores.path().join(number.to_string())).await)) as Arc<dyn Backend>
    };
    dialog::run_all(&folder, backend).await;
}

/// What one user tries with the first message.
#[derive(Debug, Clone, Copy)]
enum Try {
    Take,
    Release,
    Complete,
    Flag,
    Copy,
    Move,
}

async fn attempt(backend: &dyn Backend, what: Try) -> Result<(), BackendError> {
    let (snapshot, _) = backend.open(OFFICE, "INBOX", false).await?;
    let (folder, uids) = (snapshot.folder, [1]);
    let add = |flags: &str| FlagChange::Add(flags.parse().unwrap());
    match what {
        Try::Take => backend.store_flags(folder, &uids, &add("$InCharge"), None).await.map(drop),
        Try::Release => {
            let change = FlagChange::Remove("$InCharge".parse().unwrap());
            backend.store_flags(folder, &uids, &change, None).await.map(drop)
        }
        Try::Complete => backend.store_flags(folder, &uids, &add("$Completed"), None).await.map(drop),
        Try::Flag => backend.store_flags(folder, &uids, &add("\\Flagged"), None).await.map(drop),
        Try::Copy => backend.copy(folder, &uids, OFFICE, "Sent").await.map(drop),
        Try::Move => backend.relocate(folder, &uids, OFFICE, "Sent").await.map(drop),
    }
}

fn tries() -> impl Strategy<Value = Try> {
    prop_oneof![
        Just(Try::Take),
        Just(Try::Release),
        Just(Try::Complete),
        Just(Try::Flag),
        Just(Try::Copy),
        Just(Try::Move)
    ]
}

/// BOX-07: two users take the same message at the same moment, again and again: one has it, the other is told who.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn box_07_of_two_operators_who_race_for_a_message_exactly_one_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let service = ImapService::new(store.clone());
    let bruno = service.for_user("bruno").await.unwrap().unwrap();
    let carla = service.for_user("carla").await.unwrap().unwrap();
    for _ in 0..50 {
        let (first, second) = (bruno.clone(), carla.clone());
        let (b, c) = tokio::join!(
            tokio::spawn(async move { attempt(first.as_ref(), Try::Take).await }),
            tokio::spawn(async move { attempt(second.as_ref(), Try::Take).await })
        );
        let (b, c) = (b.unwrap(), c.unwrap());
        let charge = store.look(|r| r.charge(OFFICE, 1)).unwrap().unwrap();
        let (winner, loser, words) = match (&b, &c) {
            (Ok(()), Err(BackendError::InUse(why))) => (&bruno, "bruno", why),
            (Err(BackendError::InUse(why)), Ok(())) => (&carla, "carla", why),
            both => panic!("{both:?}"),
        };
        assert_eq!((charge.login.as_str(), words.contains(&charge.login)), (loser, true));
        attempt(winner.as_ref(), Try::Release).await.unwrap();
    }
    let history = store.look(|r| r.history(OFFICE, Some(1), 1000)).unwrap();
    let words: Vec<&str> = history.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(words, ["take", "release"].repeat(50), "each of them left its two lines");
}

/// BOX-03, ARC-05: what the holder removed is in the archive, and reading there leaves no line in the history: it is his.
#[tokio::test]
async fn box_03_the_archive_of_a_mailbox_is_its_holder_s_alone() {
    const NAME: &str = "#Archive/1970/01/Received";
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let copy = sigillo_store::archive::NewCopy {
        id: "0000000003e8.a".into(),
        mailbox: OFFICE.into(),
        key: "a".into(),
        direction: "received".into(),
        sha256: [0; 32],
        kept: 1000,
        properties: Vec::new(),
    };
    store.write(move |tx| tx.archive_keep(&copy, &Rope::from_bytes("Subject: x\r\n\r\n"))).await.unwrap();
    let service = ImapService::new(store.clone());
    for (login, may) in [(OFFICE, true), ("bruno", false)] {
        let user = service.for_user(login).await.unwrap().unwrap();
        assert_eq!(user.shared_namespaces(OFFICE).await.unwrap().len(), usize::from(may));
        assert_eq!(user.folders(OFFICE).await.unwrap().iter().any(|folder| folder.name == NAME), may);
        let refused = |error: BackendError| matches!(error, BackendError::NotPermitted(_));
        assert_eq!(
            user.open(OFFICE, NAME, false).await.map(drop).map_err(refused),
            if may { Ok(()) } else { Err(true) }
        );
        assert_eq!(user.status(OFFICE, NAME).await.map(drop).map_err(refused), if may { Ok(()) } else { Err(true) });
        assert_eq!(user.subscribe(OFFICE, NAME, true).await.map_err(refused), if may { Ok(()) } else { Err(true) });
        assert!(user.folders(OFFICE).await.unwrap().iter().any(|folder| folder.name == "INBOX"));
    }
}

/// BOX-09: the answer of an operator takes the message in charge; one to what another has in charge is not sent.
#[tokio::test]
async fn box_09_who_answers_has_the_message_in_charge() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let answer = |login: &'static str, name: &'static str| {
        let store = store.clone();
        async move {
            store
                .write(move |tx| {
                    let user = tx.reader().user(login)?.unwrap();
                    tx.answered(&user, &["nobody@x".into(), name.into()], Action::Reply, "<r@x>")
                })
                .await
        }
    };
    let charge = |number| store.look(|r| r.charge(OFFICE, number)).unwrap().map(|charge| charge.login);
    answer("bruno", "1@beta.example").await.unwrap();
    assert_eq!(charge(1).as_deref(), Some("bruno"));
    assert!(matches!(answer("carla", "1@beta.example").await, Err(StoreError::InUse(_))));
    assert!(matches!(answer(OFFICE, "1@beta.example").await, Err(StoreError::InUse(_))));
    answer("carla", "unknown@beta.example").await.unwrap();
    answer(OFFICE, "2@beta.example").await.unwrap();
    assert_eq!(charge(2), None, "the holder needs no charge");
    let history = store.look(|r| r.history(OFFICE, None, 100)).unwrap();
    let lines: Vec<_> = history.iter().map(|e| (e.number, e.login.as_str(), e.action.as_str())).collect();
    assert_eq!(lines, [(1, "bruno", "take"), (1, "bruno", "reply"), (2, OFFICE, "reply")]);
}

/// BOX-04: what a removed operator had in charge is free, each copy of it; the history tells it once.
#[tokio::test]
async fn box_04_what_a_removed_operator_had_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let work = |tx: &mut Tx<'_>| {
        let (inbox, sent) =
            (tx.reader().folder(OFFICE, "INBOX")?.unwrap().id, tx.reader().folder(OFFICE, "Sent")?.unwrap().id);
        tx.copy_items(OFFICE, inbox, &[1], sent)?;
        for (login, uid) in [("bruno", 1), ("carla", 2)] {
            let (user, item) = (tx.reader().user(login)?.unwrap(), tx.reader().item(inbox, uid)?.unwrap());
            tx.take(&user, &item)?;
        }
        tx.remove_user("bruno")?;
        let marked = |item: &sigillo_store::Item| item.flags.iter().any(|flag| flag.starts_with("$InCharge"));
        let copies = [tx.reader().item(inbox, 1)?, tx.reader().item(sent, 1)?, tx.reader().item(inbox, 2)?];
        Ok(copies.map(|copy| marked(&copy.unwrap())))
    };
    assert_eq!(store.write(work).await.unwrap(), [false, false, true]);
    let charge = |number| store.look(|r| r.charge(OFFICE, number)).unwrap().map(|charge| charge.login);
    assert_eq!((charge(1), charge(2).as_deref()), (None, Some("carla")));
    let history = store.look(|r| r.history(OFFICE, Some(1), 100)).unwrap();
    let lines: Vec<_> = history.iter().map(|e| (e.login.as_str(), e.action.as_str(), e.detail.as_str())).collect();
    assert_eq!(lines, [("bruno", "take", ""), ("administrator", "release", "it was in charge of bruno")]);
}

/// BOX-11: what one user can make grow by repeating himself ends, what matters is noted for ever, and age removes it all.
#[tokio::test]
async fn box_11_the_history_is_kept_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    store
        .write(|tx| {
            let user = tx.reader().user("bruno")?.unwrap();
            for _ in 0..10_100 {
                tx.note(&user, 1, Action::Flags, "+\\Flagged")?;
            }
            tx.note(&user, 1, Action::Reply, "late")
        })
        .await
        .unwrap();
    let history = store.look(|r| r.history(OFFICE, Some(1), 20_000)).unwrap();
    assert_eq!((history.len(), history.last().unwrap().detail.as_str()), (10_001, "late"));
    let later = history.last().unwrap().at + 916 * 24 * 3600 * 1000;
    let gone = store
        .write(move |tx| {
            tx.set_now_for_test(later);
            tx.sweep_history(915)
        })
        .await
        .unwrap();
    assert_eq!((gone, store.look(|r| r.history(OFFICE, None, 10)).unwrap().len()), (10_001, 0));
}

/// BOX-14
#[tokio::test]
async fn box_14_a_day_of_sends_ends_at_midnight_in_italy() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    store.write(|tx| tx.set_daily_sends(SMALL, Some(3))).await.unwrap();
    let send = |at: &str, recipients| {
        let at = at.parse::<jiff::Timestamp>().unwrap().as_millisecond() as u64;
        let store = store.clone();
        async move {
            let job = move |tx: &mut Tx<'_>| {
                tx.set_now_for_test(at);
                tx.count_sends(SMALL, recipients)
            };
            store.write(job).await
        }
    };
    send("2026-11-26T20:00:00Z", 2).await.unwrap();
    assert!(matches!(send("2026-11-26T21:00:00Z", 2).await, Err(StoreError::Limit(why)) if why.contains("sent to 2")));
    send("2026-11-26T22:59:59Z", 1).await.unwrap();
    assert!(send("2026-11-26T22:59:59Z", 1).await.is_err());
    send("2026-11-26T23:00:00Z", 3).await.unwrap();
    store.write(|tx| tx.set_daily_sends(SMALL, None)).await.unwrap();
    send("2026-11-26T23:00:01Z", 1000).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// BOX-07, BOX-08, BOX-11: whatever three users try in whatever order, nobody changes what another has in charge, and
    /// every change stands in the history under the name of who made it.
    #[test]
    fn nobody_changes_what_another_has_in_charge(steps in prop::collection::vec((0..3usize, tries()), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = store(folder.path()).await;
            let service = ImapService::new(store.clone());
            let logins = ["bruno", "carla", OFFICE];
            for (who, what) in steps {
                let login = logins[who];
                let user = service.for_user(login).await.unwrap().unwrap();
                let before: Option<Charge> = store.look(|r| r.charge(OFFICE, 1)).unwrap();
                let noted = store.look(|r| r.history(OFFICE, Some(1), 1000)).unwrap().len();
                let item = || store.look(|r| {
                    let inbox = r.folder(OFFICE, "INBOX")?.unwrap();
                    r.item(inbox.id, 1)
                }).unwrap().map(|item| item.flags);
                let there = item();
                let done = attempt(user.as_ref(), what).await;
                let after = store.look(|r| r.charge(OFFICE, 1)).unwrap();
                let history = store.look(|r| r.history(OFFICE, Some(1), 1000)).unwrap();
                let others = before.as_ref().is_some_and(|c| c.completed.is_none() && c.login != login);
                if others && there.is_some() {
                    let overrides = who == 2 && matches!(what, Try::Take | Try::Release | Try::Complete);
                    // Setting a flag that is set changes nothing.
                    let idle = matches!(what, Try::Flag) && there == item();
                    prop_assert!(overrides == done.is_ok() || idle, "{login} {what:?} {before:?} {done:?}");
                }
                if done.is_err() {
                    prop_assert_eq!(&before, &after);
                    prop_assert_eq!(history.len(), noted);
                }
                if before != after {
                    prop_assert!(history.len() > noted, "{login} {what:?}: a change that is not in the history");
                }
                for entry in &history[noted..] {
                    prop_assert_eq!(entry.login.as_str(), login);
                }
            }
            Ok(())
        })?;
    }
}
