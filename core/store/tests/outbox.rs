//! The outbox: a request is asked at least once, and what follows its end happens once.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use proptest::prelude::*;
use sigillo_mail::Rope;
use sigillo_store::outbox::{KNOWN, NewRequest, Reply, RequestName, RequestState};
use sigillo_store::{Store, StoreError};

fn name(key: &str) -> RequestName {
    RequestName { plugin: "alerts".into(), target: "sms".into(), key: key.into() }
}

fn request(key: &str, content: Option<&'static str>, expires: u64) -> NewRequest {
    NewRequest {
        name: name(key),
        parameters: vec![("to".into(), "+390600000000".into())],
        content: content.map(Rope::from_bytes),
        expires,
    }
}

fn said(status: &str) -> Reply {
    Reply { status: status.into(), code: Some(202), text: "Accepted\r\nX: y".into(), body: b"0: ok".to_vec() }
}

async fn state(store: &Store, key: &str) -> Option<RequestState> {
    let wanted = name(key);
    store.read(move |r| r.request(&wanted)).await.unwrap().map(|request| request.state)
}

/// Names of requests due at an instant.
async fn due(store: &Store, now: u64) -> Vec<String> {
    let due = store.read(move |r| r.due_requests("sms", now, 1000, 10)).await.unwrap();
    due.into_iter().map(|name| name.key).collect()
}

const LATER: u64 = u64::MAX / 4;

#[tokio::test]
async fn a_request_survives_a_restart_until_its_plugin_knows_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open(folder.path()).unwrap();
    let store = open();
    assert!(store.write(|tx| tx.queue_request(&request("a", Some("body"), LATER))).await.unwrap());
    drop_store(store).await;

    let store = open();
    let now = sigillo_store::commit::now();
    assert_eq!(due(&store, now).await, ["a"]);
    let found = store.read(|r| r.request(&name("a"))).await.unwrap().unwrap();
    let content = store.read(move |r| r.message(found.message.unwrap())).await.unwrap();
    assert_eq!(&content.to_bytes(store.segments().as_ref()).unwrap()[..], b"body");
    store.write(move |tx| tx.postpone_request(&name("a"), now + 500, &said(""))).await.unwrap();
    assert!(!due(&store, now).await.contains(&"new".to_owned()));
    assert_eq!(due(&store, now + 500).await, ["a"]);
    store.write(|tx| tx.end_request(&name("a"), &said("done"))).await.unwrap();
    assert!(due(&store, now + 500).await.is_empty());
    drop_store(store).await;

    let store = open();
    let now = sigillo_store::commit::now();
    assert_eq!(store.read(move |r| r.due_answers(now, 1000, 10)).await.unwrap(), [name("a")]);
    let ended = store.read(|r| r.request(&name("a"))).await.unwrap().unwrap();
    assert_eq!(
        (ended.reply.status.as_str(), ended.reply.code, &ended.reply.body[..]),
        ("done", Some(202), &b"0: ok"[..])
    );
    assert_eq!(ended.reply.text, "Accepted  X: y", "a stranger's words are one line");
    assert!(ended.message.is_none(), "the content is gone");
    store.write(|tx| tx.finish_request(&name("a"))).await.unwrap();
    assert!(matches!(store.write(|tx| tx.finish_request(&name("a"))).await, Err(StoreError::Conflict(_))));
    let known = store.read(|r| r.request(&name("a"))).await.unwrap().unwrap();
    assert!(known.parameters.is_empty() && known.reply.body.is_empty(), "what was sent is not kept for longer");
}

/// The next server may hold the folder once the committer of this one has ended.
async fn drop_store(store: Store) {
    drop(store);
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
}

#[tokio::test]
async fn a_known_key_is_no_second_request_until_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let again = || store.write(|tx| tx.queue_request(&request("a", None, LATER)));
    assert!(again().await.unwrap());
    assert!(!again().await.unwrap(), "while it waits");
    store.write(|tx| tx.end_request(&name("a"), &said("refused"))).await.unwrap();
    assert!(!again().await.unwrap(), "while its answer waits");
    store.write(|tx| tx.finish_request(&name("a"))).await.unwrap();
    assert!(!again().await.unwrap(), "while it is remembered");
    let other =
        NewRequest { name: RequestName { plugin: "conservation".into(), ..name("a") }, ..request("a", None, 0) };
    assert!(store.write(move |tx| tx.queue_request(&other)).await.unwrap(), "another plugin's key is another");
    let sweep = |after: u64| {
        store.write(move |tx| {
            tx.set_now_for_test(sigillo_store::commit::now() + after);
            tx.sweep()
        })
    };
    sweep(KNOWN - 60_000).await.unwrap();
    assert_eq!(state(&store, "a").await, Some(RequestState::Known));
    sweep(KNOWN + 60_000).await.unwrap();
    assert_eq!(state(&store, "a").await, None);
    assert!(again().await.unwrap());
}

#[tokio::test]
async fn what_expires_is_found_and_a_clock_set_back_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let now = sigillo_store::commit::now();
    store.write(move |tx| tx.queue_request(&request("old", None, now + 100))).await.unwrap();
    store.write(move |tx| tx.queue_request(&request("new", None, now + 9_000_000))).await.unwrap();
    assert_eq!(store.read(move |r| r.expired_requests(now + 100, 10)).await.unwrap(), [name("old")]);
    assert_eq!(due(&store, now + 100).await, ["new"], "an expired one is asked no more");
    // Put off by half a second; then the clock goes back by an hour.
    store.write(move |tx| tx.postpone_request(&name("new"), now + 500, &said(""))).await.unwrap();
    assert!(!due(&store, now).await.contains(&"new".to_owned()));
    assert!(due(&store, now - 3_600_000).await.contains(&"new".to_owned()));
}

#[tokio::test]
async fn an_operator_retries_and_drops() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let now = sigillo_store::commit::now();
    for key in ["a", "b"] {
        store.write(move |tx| tx.queue_request(&request(key, Some("x"), now + 1000))).await.unwrap();
        store.write(move |tx| tx.postpone_request(&name(key), now + 900, &said(""))).await.unwrap();
    }
    store.write(|tx| tx.hold_request(&name("b"), "cannot be read")).await.unwrap();
    assert_eq!(due(&store, now + 1).await, Vec::<String>::new());
    store.write(|tx| tx.retry_request(&name("b"), 5000)).await.unwrap();
    let found = store.read(|r| r.request(&name("b"))).await.unwrap().unwrap();
    assert!(found.state == RequestState::Waiting && found.due < now + 900 && found.expires >= now + 5000);
    store.write(|tx| tx.end_request(&name("a"), &said("refused"))).await.unwrap();
    assert!(matches!(store.write(|tx| tx.end_request(&name("a"), &said("done"))).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.read(|r| r.requests_waiting("alerts")).await.unwrap(), 2);
    assert!(matches!(store.write(|tx| tx.retry_request(&name("c"), 1)).await, Err(StoreError::NotFound(_))));
}

/// One thing that happens to a request.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// The plugin asks (again).
    Queue,
    /// The target is asked; whether the commit of what it said is lost.
    Ask { ends: bool, lost: bool },
    /// The plugin's step; whether its commit is lost.
    Answer { lost: bool },
    /// The server is stopped and started.
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Queue),
        (any::<bool>(), any::<bool>()).prop_map(|(ends, lost)| Event::Ask { ends, lost }),
        any::<bool>().prop_map(|lost| Event::Answer { lost }),
        Just(Event::Restart),
    ]
}

/// What happened outside and inside, of one key.
#[derive(Default)]
struct Seen {
    asked: u32,
    queued: bool,
}

async fn play(folder: &Path, events: &[Event]) {
    let mut store = Store::open(folder).unwrap();
    let mut seen = Seen::default();
    for event in events.iter().chain(&[Event::Queue; 1]).chain(&[
        Event::Ask { ends: true, lost: false },
        Event::Answer { lost: false },
        Event::Queue,
        Event::Ask { ends: true, lost: false },
        Event::Answer { lost: false },
    ]) {
        step(&mut store, folder, *event, &mut seen).await;
        let effects = effects(&store).await;
        assert!(effects <= 1, "the effect happened {effects} times");
        assert_eq!(effects == 1, state(&store, "k").await == Some(RequestState::Known));
    }
    assert!(seen.queued && seen.asked >= 1, "it was never asked");
    assert_eq!(effects(&store).await, 1);
}

async fn effects(store: &Store) -> u8 {
    let now = sigillo_store::commit::now();
    store.read(move |r| r.plugin_state("alerts", "effects", now)).await.unwrap().map_or(0, |(value, _)| value[0])
}

async fn step(store: &mut Store, folder: &Path, event: Event, seen: &mut Seen) {
    let now = sigillo_store::commit::now();
    match event {
        Event::Queue => {
            let new = store.write(|tx| tx.queue_request(&request("k", Some("content"), LATER))).await.unwrap();
            assert_eq!(new, !seen.queued);
            seen.queued = true;
        }
        Event::Ask { ends, lost } => {
            if due(store, now + 60_000).await.is_empty() {
                return;
            }
            seen.asked += 1;
            if !lost && ends {
                store.write(|tx| tx.end_request(&name("k"), &said("done"))).await.unwrap();
            } else if !lost {
                store.write(move |tx| tx.postpone_request(&name("k"), now + 10, &said(""))).await.unwrap();
            }
        }
        Event::Answer { lost } => {
            if store.read(move |r| r.due_answers(now + 1, 1000, 1)).await.unwrap().is_empty() || lost {
                return;
            }
            let count = effects(store).await + 1;
            store
                .write(move |tx| {
                    tx.finish_request(&name("k"))?;
                    tx.set_plugin_state("alerts", "effects", Some(&[count]), 30)
                })
                .await
                .unwrap();
        }
        Event::Restart => {
            // Beside itself: a second handle reads what the first has on disk and nothing else.
            *store = Store::open_beside(folder).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_lost_it_is_asked_and_its_effect_happens_once(events in proptest::collection::vec(event(), 0..12)) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(folder.path(), &events));
    }
}
