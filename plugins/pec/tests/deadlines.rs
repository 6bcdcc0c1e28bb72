//! The deadlines of a certified message: the sender hears of silence once, in time, and never against a final receipt.
#![allow(clippy::unwrap_used, reason = "tests may")]

mod world;

use pec::certification_data::*;
use pec::host::{Arrival, Verdict};
use world::look::*;
use world::{Done, HOUR, Queued, World, world};

/// What the sender's provider queued in some wake-ups, with the recipient that each notice is about.
fn notices(done: &[Done]) -> Vec<(Queued, String)> {
    let queued = done.iter().flat_map(|done| {
        assert!(done.verdict.is_ok(), "{:?}", done.verdict);
        done.queued.clone()
    });
    queued
        .map(|notice| {
            let about = data_of(&notice.bytes).delivery.unwrap();
            (notice, about)
        })
        .collect()
}

fn about(done: &[Done]) -> Vec<String> {
    notices(done).into_iter().map(|(_, about)| about).collect()
}

/// Alfa gets a receipt of Beta.
fn at_alfa(world: &World, receipt: &Queued) -> Done {
    let to: Vec<&str> = receipt.to.iter().map(String::as_str).collect();
    world.reception(&world.alfa, Arrival::Relay, &receipt.from, &to, &receipt.bytes)
}

const CERTIFIED: [&str; 2] = ["bruno@beta.example", "dora@beta.example"];

#[test]
fn silence_is_told_of_twice_for_each_certified_recipient() {
    let world = world();
    accepted(&world);
    world.pass(12 * HOUR - 1);
    assert!(world.fire_due(&world.alfa).is_empty(), "not before");
    world.pass(1);
    let first = world.fire_due(&world.alfa);
    assert_eq!(about(&first), CERTIFIED);
    assert_eq!(first[0].kinds(), ["timeout-warning"; 2]);
    let (notice, _) = &notices(&first)[0];
    assert_eq!((notice.from.as_str(), notice.to[0].as_str()), ("posta-certificata@alfa.example", "ada@alfa.example"));
    assert_eq!(header(&notice.bytes, "X-Ricevuta"), "preavviso-errore-consegna");
    assert_eq!(header(&notice.bytes, "Subject"), "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: Perché no? 10 €");
    assert_eq!(header(&notice.bytes, "X-Riferimento-Message-ID"), "<client-1@alfa.example>");
    assert_eq!(original_in(&notice.bytes), None, "never the original");
    let data = data_of(&notice.bytes);
    assert_eq!((data.kind, data.error), (CertificationKind::Timeout, ErrorKind::Other));
    assert_eq!(data.recipients.len(), 3, "the list of the original, whole");
    assert_eq!((data.instant.day.as_str(), data.instant.hour.as_str()), ("15/12/2021", "02:54:32"));
    let words = "4.4.1 - Alfa PEC S.p.A. - il messaggio non è stato consegnato nelle prime dodici ore dal suo invio";
    assert_eq!(data.extended_error.as_deref(), Some(words));
    world.pass(10 * HOUR - 1);
    assert!(world.fire_due(&world.alfa).is_empty());
    world.pass(1);
    let last = world.fire_due(&world.alfa);
    assert_eq!((about(&last), last[0].kinds()), (CERTIFIED.map(String::from).to_vec(), vec!["timeout"; 2]));
    let data = data_of(&last[0].queued[0].bytes);
    assert!(data.extended_error.unwrap().starts_with("5.4.1 - Alfa PEC S.p.A. - "));
    assert!(text_of(&last[0].queued[0].bytes).contains("non è stato consegnato nelle ventiquattro ore"));
    // The notice is one of ours to the sender: it reaches the mailbox as it is.
    let passed = world.reception(&world.alfa, Arrival::Internal, &notice.from, &["ada@alfa.example"], &notice.bytes);
    assert_eq!((passed.verdict.clone(), passed.kinds()), (Ok(Verdict::Continue), vec!["receipt-received"]));
    world.pass(1000 * HOUR);
    assert!(world.fire_due(&world.alfa).is_empty(), "the end of the wait");
}

/// What Alfa hears of Bruno, and when, in hours from acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    TakeCharge,
    Delivery,
    NonDelivery,
}

/// Every moment of a take-charge receipt and of a final one: before 12 h, before 22 h, after, never.
#[test]
fn every_row_of_the_rules() {
    let moments = [Some(1), Some(11), Some(13), Some(21), Some(23), None];
    for take_charge in moments {
        for end in moments {
            for kind in [Heard::Delivery, Heard::NonDelivery] {
                let heard = [(take_charge, Heard::TakeCharge), (end, kind)];
                let (first, last) = walk(&heard);
                let by = |hour: u64, moment: Option<u64>| moment.is_some_and(|at| at < hour);
                assert_eq!(first, !by(12, take_charge) && !by(12, end), "first: {heard:?}");
                assert_eq!(last, !by(22, end), "last: {heard:?}");
            }
        }
    }
}

/// Whether each notice comes; whatever comes after it is passed on and changes nothing.
fn walk(heard: &[(Option<u64>, Heard)]) -> (bool, bool) {
    let world = world();
    let envelope = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &["bruno@beta.example"], ORIGINAL);
    let taken =
        world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &["bruno@beta.example"], &envelope.message);
    if heard.iter().any(|(_, kind)| *kind == Heard::NonDelivery) {
        world.beta.mailboxes.borrow_mut().remove("bruno@beta.example");
    }
    let end = world.delivery(&world.beta, "ada@alfa.example", "bruno@beta.example", &envelope.message);
    let (mut first, mut last) = (0, 0);
    for hour in 1..=30 {
        world.pass(HOUR);
        for (_, kind) in heard.iter().filter(|(at, _)| *at == Some(hour)) {
            let receipt = if *kind == Heard::TakeCharge { &taken.queued[0] } else { &end.queued[0] };
            let passed = at_alfa(&world, receipt);
            assert_eq!((passed.verdict.clone(), passed.kinds()), (Ok(Verdict::Continue), vec!["receipt-received"]));
            assert_eq!(passed.message, receipt.bytes, "unmodified, however late");
        }
        let done = world.fire_due(&world.alfa);
        let kinds: Vec<_> = done.iter().flat_map(Done::kinds).collect();
        first += kinds.iter().filter(|kind| **kind == "timeout-warning").count();
        last += kinds.iter().filter(|kind| **kind == "timeout").count();
        assert!(kinds.is_empty() || (hour == 12 && first == 1) || (hour == 22 && last == 1), "{hour}: {kinds:?}");
    }
    (first == 1, last == 1)
}

#[test]
fn a_message_that_is_settled_leaves_nothing_to_wait_for() {
    let world = world();
    let envelope = accepted(&world).message;
    taken(&world, &envelope);
    for (index, recipient) in CERTIFIED.iter().enumerate() {
        assert_eq!(world.alfa.timers.borrow().len(), 2, "{index}");
        let receipt = world.delivery(&world.beta, "ada@alfa.example", recipient, &envelope);
        assert_eq!(at_alfa(&world, &receipt.queued[0]).kinds(), ["receipt-received"]);
    }
    assert!(world.alfa.timers.borrow().is_empty(), "the last receipt ends the wait");
    assert!(world.alfa.state.borrow().keys().all(|key| !key.starts_with("original/")));
}

#[test]
fn a_message_to_nobody_certified_has_no_deadlines() {
    let world = world();
    let original = String::from_utf8(ORIGINAL.to_vec()).unwrap();
    let original = original.replace("bruno@beta.example", "x@posta.example").replace("Cc: dora@beta.example, ", "Cc: ");
    let to = ["x@posta.example", "esterno@posta.example"];
    let done = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &to, original.as_bytes());
    assert_eq!(done.verdict, Ok(Verdict::Continue));
    assert!(world.alfa.timers.borrow().is_empty());
}

#[test]
fn a_server_that_was_away_for_days_says_the_last_word_only() {
    let world = world();
    accepted(&world);
    world.pass(80 * HOUR);
    let done = world.fire_due(&world.alfa);
    let kinds: Vec<_> = done.iter().flat_map(Done::kinds).collect();
    assert_eq!(kinds, ["timeout"; 2], "a first notice would promise what is over");
    let late = done.iter().flat_map(|d| &d.events).all(|event| event.details.iter().any(|(name, _)| name == "late"));
    assert!(late, "and the log says that it was late");
}

#[test]
fn a_wake_up_that_comes_twice_or_too_early_sends_nothing() {
    let world = world();
    accepted(&world);
    let asked: Vec<_> = world.alfa.timers.borrow().clone().into_iter().collect();
    for (key, (at, payload)) in &asked {
        // The clock was put back.
        let early = world.wake(&world.alfa, key, payload);
        assert!(early.verdict.is_ok() && early.queued.is_empty());
        assert_eq!(world.alfa.timers.borrow()[key].0, *at, "it comes again when it is time");
    }
    for hours in [12, 10, 0, 5] {
        world.pass(hours * HOUR);
        let before = world.fire_due(&world.alfa).len();
        for (key, (_, payload)) in &asked {
            assert!(world.wake(&world.alfa, key, payload).queued.is_empty(), "{before}");
        }
    }
}

#[test]
fn a_commit_that_was_lost_is_done_again_once() {
    let world = world();
    accepted(&world);
    world.pass(12 * HOUR);
    world.power_cut.set(true);
    let cut = world.fire_due(&world.alfa);
    assert!(cut[0].verdict.is_err() && cut[0].queued.is_empty());
    world.pass(HOUR);
    assert_eq!(about(&world.fire_due(&world.alfa)), CERTIFIED);
    world.keys_down.set(true);
    world.pass(9 * HOUR);
    assert!(world.fire_due(&world.alfa)[0].verdict.is_err(), "nothing unsigned leaves");
    world.keys_down.set(false);
    world.pass(HOUR);
    assert_eq!(about(&world.fire_due(&world.alfa)), CERTIFIED);
}

#[test]
fn a_remote_failure_before_the_last_deadline_is_the_last_word() {
    let world = world();
    let envelope = accepted(&world).message;
    world.pass(13 * HOUR);
    assert_eq!(world.fire_due(&world.alfa)[0].queued.len(), 2);
    let end = world.outcome(&world.alfa, "ada@alfa.example", CERTIFIED[0], "failed", Some("5.1.1"), &envelope);
    assert_eq!((end.kinds(), end.queued.len()), (vec!["non-delivery"], 1));
    world.pass(9 * HOUR);
    assert_eq!(about(&world.fire_due(&world.alfa)), [CERTIFIED[1]], "of the other recipient only");
    // The queue gives up after the sender was told: no second notice of the same failure.
    let end = world.outcome(&world.alfa, "ada@alfa.example", CERTIFIED[1], "expired", None, &envelope);
    assert!(matches!(end.verdict, Ok(Verdict::Discard(_))));
    assert_eq!((end.kinds(), end.queued.len()), (vec!["remote-end"], 0));
}

#[test]
fn a_thousand_recipients_are_told_of_in_shares() {
    let world = world();
    let to: Vec<String> =
        (0..1000).map(|n| format!("{}{n}@beta.example", "utente.con.un.nome.lungo".repeat(2))).collect();
    let fields: Vec<String> = to.chunks(10).map(|some| some.join(",\r\n ")).collect();
    let message = format!(
        "From: ada@alfa.example\r\nTo: {}\r\nDate: Tue, 14 Dec 2021 14:54:29 +0100\r\n\r\nx\r\n",
        fields.join(",\r\n ")
    );
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let done = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &to, message.as_bytes());
    assert_eq!(done.verdict, Ok(Verdict::Continue), "{:?}", done.logged);
    world.pass(12 * HOUR);
    let first = world.fire_due(&world.alfa);
    assert!(first.len() > 2, "in shares: {}", first.len());
    let own = |done: &Done| done.queued.iter().map(|queued| queued.bytes.len()).sum::<usize>();
    assert!(first.iter().all(|done| own(done) < 8 << 20), "{:?}", first.iter().map(own).collect::<Vec<_>>());
    let about =
        |done: &[Done]| done.iter().flat_map(|d| &d.events).flat_map(|e| e.recipients.clone()).collect::<Vec<_>>();
    assert_eq!(about(&first), to);
    assert_eq!(data_of(&first.last().unwrap().queued.last().unwrap().bytes).delivery.as_deref(), to.last().copied());
    world.pass(10 * HOUR);
    assert_eq!(about(&world.fire_due(&world.alfa)), to);
    assert!(world.fire_due(&world.alfa).is_empty());
}

#[test]
fn the_operator_chooses_the_word_and_shorter_deadlines() {
    let mut world = world();
    world.alfa.configure(
        r#"{"timeout-error":"nessuno","deadlines":{"take-charge-hours":6,"delivery-hours":10,"end-hours":12}}"#,
    );
    accepted(&world);
    world.pass(6 * HOUR);
    let first = world.fire_due(&world.alfa);
    assert_eq!(data_of(&first[0].queued[0].bytes).error, ErrorKind::None);
    assert!(text_of(&first[0].queued[0].bytes).contains("nelle prime 6 ore dal suo invio"));
    world.pass(4 * HOUR);
    let last = world.fire_due(&world.alfa);
    assert!(text_of(&last[0].queued[0].bytes).contains("nelle dodici ore successive al suo invio"));
}
