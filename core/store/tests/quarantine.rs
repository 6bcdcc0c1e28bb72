//! Quarantine: kept unaltered, found again, gone when its time is over and not before, and one bad record at a time.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use sigillo_mail::Rope;
use sigillo_store::quarantine::{QuarantineSearch, Quarantined};
use sigillo_store::{Store, StoreError};

const CONTENT: &[u8] = b"Subject: x\r\n\r\nnot for Bruno\r\n";
const DAY: u64 = 24 * 60 * 60 * 1000;

async fn with(folder: &Path, kept: &[(&'static str, &'static str, &'static str)]) -> Store {
    let store = Store::open(folder).unwrap();
    for (id, plugin, reason) in kept.iter().copied() {
        store
            .write(move |tx| {
                let message = tx.put_message(&Rope::from_bytes(CONTENT))?;
                tx.quarantine(id, message, "{}", plugin, reason)
            })
            .await
            .unwrap();
    }
    store
}

/// What no program of ours does: changes the table behind the store's back.
fn sql(folder: &Path, statement: &str) {
    rusqlite::Connection::open(folder.join("sigillo.db")).unwrap().execute_batch(statement).unwrap();
}

async fn ids(store: &Store, search: QuarantineSearch) -> Vec<Result<String, String>> {
    let found = store.read(move |r| r.quarantined(&search)).await.unwrap();
    found.into_iter().map(|record| record.map(|r| r.id).map_err(|error| error.to_string())).collect()
}

fn all() -> QuarantineSearch {
    QuarantineSearch { limit: 100, ..QuarantineSearch::default() }
}

#[tokio::test]
async fn what_is_kept_is_what_came() {
    let folder = tempfile::tempdir().unwrap();
    let store = with(folder.path(), &[("a", "antivirus", "virus X")]).await;
    let (found, content) = store.read(|r| r.quarantined_message("a")).await.unwrap();
    assert_eq!(&content.to_bytes(store.segments().as_ref()).unwrap()[..], CONTENT);
    let Quarantined { plugin, reason, size, .. } = found;
    assert_eq!((plugin.as_str(), reason.as_str(), size), ("antivirus", "virus X", CONTENT.len() as u64));
    assert!(matches!(store.read(|r| r.quarantined_message("b")).await, Err(StoreError::NotFound(_))));
}

#[tokio::test]
async fn it_is_found_by_plugin_reason_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let kept = [("a", "antivirus", "virus Eicar"), ("b", "pec", "virus Worm"), ("c", "spam", "score 100%")];
    let store = with(folder.path(), &kept).await;
    for (id, at) in [("a", 1000), ("b", 2000), ("c", 3000)] {
        sql(folder.path(), &format!("UPDATE quarantine SET created = {at} WHERE id = '{id}'"));
    }
    let ok = |ids: &[&str]| ids.iter().map(|id| Ok((*id).to_owned())).collect::<Vec<_>>();
    assert_eq!(ids(&store, all()).await, ok(&["c", "b", "a"]));
    assert_eq!(ids(&store, QuarantineSearch { plugin: Some("pec".into()), ..all() }).await, ok(&["b"]));
    assert_eq!(ids(&store, QuarantineSearch { reason: Some("VIRUS".into()), ..all() }).await, ok(&["b", "a"]));
    assert_eq!(ids(&store, QuarantineSearch { reason: Some("100%".into()), ..all() }).await, ok(&["c"]));
    assert_eq!(ids(&store, QuarantineSearch { reason: Some("' OR 1 --".into()), ..all() }).await, ok(&[]));
    let times = QuarantineSearch { since: Some(2000), until: Some(2999), ..all() };
    assert_eq!(ids(&store, times).await, ok(&["b"]));
    assert_eq!(ids(&store, QuarantineSearch { limit: 1, ..all() }).await, ok(&["c"]));
}

#[tokio::test]
async fn a_message_leaves_when_its_days_are_over_and_never_earlier() {
    let folder = tempfile::tempdir().unwrap();
    let store = with(folder.path(), &[("old", "antivirus", "x"), ("young", "antivirus", "x")]).await;
    let now = sigillo_store::commit::now();
    // A minute on either side of the border: the test may take its time.
    sql(folder.path(), &format!("UPDATE quarantine SET created = {} WHERE id = 'old'", now - 915 * DAY - 60_000));
    sql(folder.path(), &format!("UPDATE quarantine SET created = {} WHERE id = 'young'", now - 915 * DAY + 600_000));
    assert_eq!(store.write(|tx| tx.sweep_quarantine(915)).await.unwrap(), 1);
    assert_eq!(ids(&store, all()).await, [Ok("young".to_owned())]);
    // Its content is still there, and goes with it.
    assert!(store.read(|r| r.quarantined_message("young")).await.is_ok());
    assert_eq!(store.write(|tx| tx.sweep_quarantine(u64::MAX)).await.unwrap(), 0);
    assert_eq!(store.write(|tx| tx.sweep_quarantine(900)).await.unwrap(), 1);
    assert!(ids(&store, all()).await.is_empty());
}

/// Attack S3.
#[tokio::test]
async fn a_damaged_record_is_an_error_of_that_record_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = with(folder.path(), &[("a", "p", "x"), ("b", "p", "x"), ("c", "p", "x")]).await;
    sql(folder.path(), "UPDATE quarantine SET reason = x'ff00', created = 1 WHERE id = 'a'");
    sql(
        folder.path(),
        "UPDATE messages SET ranges = '[[1,0' WHERE id = (SELECT message FROM quarantine WHERE id = 'b')",
    );
    sql(
        folder.path(),
        "UPDATE quarantine SET created = 2 WHERE id = 'b'; UPDATE quarantine SET created = 3 WHERE id = 'c'",
    );
    let found = ids(&store, all()).await;
    assert_eq!(found[..2], [Ok("c".to_owned()), Ok("b".to_owned())]);
    assert!(found[2].as_ref().unwrap_err().contains("quarantined message a"), "{found:?}");
    for id in ["a", "b"] {
        let read = store.read(move |r| r.quarantined_message(id)).await;
        assert!(matches!(read, Err(StoreError::Damaged(_))), "{id}: {read:?}");
    }
    assert!(store.read(|r| r.quarantined_message("c")).await.is_ok());
}
