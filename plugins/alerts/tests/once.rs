//! Whatever is lost and however the clock is set: each arrival is told once to each contact, and nothing else is.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{ADA, NOON, PHONE, server};
use proptest::prelude::*;

const OTHER: &str = "studio@example.org";

#[derive(Debug, Clone, Copy)]
enum Event {
    /// A message is filed; whether the commit of the step is lost, so that the server runs it again.
    Arrives { lost: bool },
    /// Hours pass, and what is due runs; whether its commit is lost.
    Passes { hours: u64, lost: bool },
    /// The clock is set by so many hours.
    ClockSet(i64),
    /// Another frequency.
    Frequency(usize),
    /// A second address is added and confirmed, or removed.
    Second(bool),
    /// The operator makes hours of so many seconds.
    Hour(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => any::<bool>().prop_map(|lost| Event::Arrives { lost }),
        4 => (0..30_u64, any::<bool>()).prop_map(|(hours, lost)| Event::Passes { hours, lost }),
        1 => (-60..60_i64).prop_map(Event::ClockSet),
        1 => (0..5_usize).prop_map(Event::Frequency),
        1 => any::<bool>().prop_map(Event::Second),
        1 => (600..=3600_u32).prop_map(Event::Hour),
    ]
}

/// The number of messages that a text says arrived.
fn told(text: &str) -> u64 {
    let mut words = text.split_whitespace().peekable();
    let mut sum = 0;
    while let Some(word) = words.next() {
        let next = words.peek().copied().unwrap_or_default();
        if let Ok(count) = word.parse::<u64>()
            && next.starts_with("messagg")
        {
            sum += count;
        }
    }
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn each_arrival_is_told_exactly_once(events in proptest::collection::vec(event(), 0..60)) {
        let mut server = server();
        server.tell("address", "ada@example.com");
        server.tell("number", PHONE);
        let mut arrived = 0;
        for event in events {
            match event {
                Event::Arrives { lost } => {
                    let message = server.arrived(None, Some("posta-certificata"));
                    if lost {
                        server.file(&message, true);
                    }
                    server.file(&message, false);
                    arrived += 1;
                }
                Event::Passes { hours, lost } => {
                    server.pass(hours);
                    if lost {
                        server.wake_due(true);
                    }
                    server.wake_due(false);
                }
                Event::ClockSet(hours) => {
                    let now = server.now.get() as i64 + hours * 3_600_000;
                    server.now.set(now.max(NOON as i64 - 5_000 * 3_600_000) as u64);
                }
                Event::Frequency(index) => {
                    let (email, sms) = ([1, 12, 24, 36, 48][index].to_string(), [2, 4, 6, 12, 24][index].to_string());
                    server.ask("frequency", &[("mailbox", ADA), ("email", &email), ("sms", &sms)]).unwrap();
                }
                // There already, or too many codes in a day: that is for other tests.
                Event::Second(true) => if server.ask("add", &[("mailbox", ADA), ("address", OTHER)]).is_ok() {
                    let code = server.mail_code();
                    server.ask("confirm", &[("mailbox", ADA), ("address", OTHER), ("code", &code)]).unwrap();
                },
                Event::Second(false) => drop(server.ask("remove", &[("mailbox", ADA), ("address", OTHER)])),
                Event::Hour(seconds) => server.config.hour = seconds,
            }
        }
        // One more, so that a wake-up which a clock set back had put off is asked for anew; then time enough for it.
        server.certified();
        arrived += 1;
        server.pass(49);
        server.wake_due(false);
        let mails = server.mails();
        let by_mail: u64 = mails.iter().filter(|mail| mail.to != OTHER).map(|mail| told(&mail.text())).sum();
        let by_sms: u64 = server.sms().iter().map(|sms| told(&sms.text)).sum();
        prop_assert_eq!((by_mail, by_sms), (arrived, arrived));
        prop_assert!(server.disk.borrow().timers.is_empty());
    }
}
