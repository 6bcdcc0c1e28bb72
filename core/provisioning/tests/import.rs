//! Messages from elsewhere come exactly once (MIG-01).
#![allow(clippy::unwrap_used)]

mod support;

use proptest::prelude::*;
use sigillo_mail::Rope;
use sigillo_provisioning::import::Placed;
use sigillo_provisioning::maildir::{folders, messages, open};
use sigillo_store::Store;
use sigillo_store::imports::Import;
use support::House;

const ADA: &str = "ada@pec.alfa.example";

fn message(folder: &str, name: usize) -> Import {
    Import {
        folder: folder.into(),
        name: format!("17000{name}.M1.host"),
        content: Rope::from_bytes(format!("Subject: {name}\r\n\r\n{}\r\n", "x".repeat(name))),
        flags: vec!["\\Seen".into(), "Lavoro".into()],
        internal_date: 1000 * name as u64,
    }
}

fn count(store: &Store, folder: &str) -> usize {
    store
        .look(|reader| match reader.folder(ADA, folder)? {
            Some(folder) => reader.item_count(folder.id),
            None => Ok(0),
        })
        .unwrap()
}

#[tokio::test]
async fn mig_01_the_quota_holds_and_what_did_not_fit_comes_later() {
    let house = House::with_customer().await;
    house.add(ADA).await;
    let own = &house.provisioning;
    own.set_quota(&house.root, &support::mailbox(ADA), 40).await.unwrap();
    let all = || (1..4).map(|name| message("A/B", name)).collect::<Vec<_>>();
    let placed = own.place(ADA, all()).await.unwrap();
    assert_eq!(placed, [Placed::Filed, Placed::Filed, Placed::Full]);
    own.set_quota(&house.root, &support::mailbox(ADA), 6000).await.unwrap();
    assert_eq!(own.place(ADA, all()).await.unwrap(), [Placed::Before, Placed::Before, Placed::Filed]);
    assert!(own.place("eva@pec.alfa.example", all()).await.is_err(), "no such mailbox");
    let items = own.store().look(|reader| reader.items(reader.folder(ADA, "A/B")?.unwrap().id)).unwrap();
    let seen: Vec<(u32, u64, String)> =
        items.into_iter().map(|item| (item.uid, item.internal_date, item.flags.join(" "))).collect();
    let flags = || "\\Seen Lavoro".to_owned();
    assert_eq!(seen, [(1, 1000, flags()), (2, 2000, flags()), (3, 3000, flags())]);
    assert_eq!(own.brought(ADA, "A/B").await.unwrap().len(), 3);
}

#[tokio::test]
async fn mig_01_who_deleted_a_message_does_not_get_it_again() {
    let house = House::with_customer().await;
    house.add(ADA).await;
    let own = &house.provisioning;
    own.place(ADA, vec![message("INBOX", 1)]).await.unwrap();
    own.store()
        .write(|tx| {
            let inbox = tx.reader().folder(ADA, "INBOX")?.unwrap().id;
            tx.expunge(ADA, inbox, &[1])
        })
        .await
        .unwrap();
    assert_eq!(own.place(ADA, vec![message("INBOX", 1)]).await.unwrap(), [Placed::Before]);
    assert_eq!(count(own.store(), "INBOX"), 0);
}

/// MIG-03: a Maildir is a stranger's disk. One that is not there is said; a pipe is not waited for; any octets are a
/// message, byte for byte.
#[tokio::test]
async fn mig_03_a_source_that_is_away_waits_or_holds_anything() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("ada");
    assert!(folders(&root).unwrap_err().to_string().contains("neither 'cur' nor 'new'"));
    std::fs::create_dir_all(root.join("cur")).unwrap();
    let pipe = root.join("cur/1700000001.M1.host:2,");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let garbage: Vec<u8> = (0..=255).filter(|octet| *octet != b'\n').collect();
    std::fs::write(root.join("cur/1700000002.M1.host:2,S"), &garbage).unwrap();
    std::fs::create_dir(root.join("cur/1700000003.M1.host:2,")).unwrap();
    let (found, problems) = messages(&folders(&root).unwrap().0[0]).unwrap();
    assert_eq!((found.len(), problems.len()), (1, 2), "{problems:?}");
    assert!(
        open(&pipe).is_ok_and(|file| !file.metadata().unwrap().is_file()),
        "opened without waiting, and told apart"
    );
    let house = House::with_customer().await;
    house.add(ADA).await;
    let own = &house.provisioning;
    for placed in [Placed::Filed, Placed::Before] {
        let (name, content) = (found[0].name.clone(), Rope::from_bytes(garbage.clone()));
        let brought = Import { name, content, ..message("INBOX", 1) };
        assert_eq!(own.place(ADA, vec![brought]).await.unwrap(), [placed]);
    }
    let inside = |reader: &sigillo_store::Reader<'_>| {
        let inbox = reader.folder(ADA, "INBOX")?.unwrap().id;
        reader.message(reader.items(inbox)?[0].message)
    };
    let there = own.store().look(inside).unwrap();
    assert_eq!(there.to_bytes(&**own.store().segments()).unwrap(), garbage);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Runs that end after any of their commits, whatever came of the last one, bring each message once.
    #[test]
    fn mig_01_killed_at_any_point_nothing_is_lost_or_doubled(
        total in 1usize..20, batch in 1usize..5, runs in proptest::collection::vec(0usize..8, 0..4)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let house = House::with_customer().await;
            house.add(ADA).await;
            let own = &house.provisioning;
            let folder = |name: usize| if name.is_multiple_of(3) { "INBOX" } else { "Archivio/2024" };
            for commits in runs.into_iter().chain([usize::MAX]) {
                // As the command does it: what came before is left out where it is known, and refused where not.
                let names: Vec<usize> = (0..total).collect();
                for group in ["INBOX", "Archivio/2024"] {
                    let own_names: Vec<usize> = names.iter().copied().filter(|name| folder(*name) == group).collect();
                    for chunk in own_names.chunks(batch).take(commits) {
                        own.place(ADA, chunk.iter().map(|name| message(group, *name)).collect()).await.unwrap();
                    }
                }
            }
            assert_eq!(count(own.store(), "INBOX") + count(own.store(), "Archivio/2024"), total);
            let used = own.store().look(|reader| reader.account(ADA)).unwrap().unwrap().used;
            assert_eq!(used, (0..total).map(|name| message("x", name).content.len()).sum::<u64>());
        });
    }
}
