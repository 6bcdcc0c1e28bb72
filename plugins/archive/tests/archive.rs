//! What becomes of an archive, for whatever comes, goes and is chosen.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use archive::alert::{self, Alert};
use archive::host::{Direction, Error};
use archive::keeping::{self, Letter};
use archive::letting_go::{self, Asked, PIECE};
use archive::settings::{Choices, Settings};
use archive::space::{Said, percent};
use proptest::prelude::*;
use server::{ADA, Server};

const LIMIT: u64 = 5 * 1000;

fn settings() -> Settings {
    Settings::parse(r#"{"sender":"archivio@pec.alfa.example","gigabyte":1000}"#).unwrap()
}

/// A message whose copy has `size` octets.
fn come(server: &Server, id: &str, size: u64) -> Result<(), Error> {
    pass(server, id, size, Direction::Received)
}

fn pass(server: &Server, id: &str, size: u64, direction: Direction) -> Result<(), Error> {
    let extra = if direction == Direction::Received { "Return-Path: <b@beta.example>\r\n".len() as u64 } else { 0 };
    let letter = Letter { mailbox: ADA, direction, key: id, reverse_path: "b@beta.example", size: size - extra };
    server.in_hand.set((id.parse().unwrap_or(0), size));
    let field = |name: &str| match name {
        "Subject" => Some(format!("Oggetto {id}\u{7}")),
        "Message-ID" => Some(format!(" <{id}@beta.example>")),
        _ => None,
    };
    keeping::run(server, &settings(), &letter, field)
}

fn asked() -> Asked<'static> {
    Asked { actor: "root", mailbox: ADA }
}

fn free(server: &Server) -> Result<serde_json::Value, Error> {
    let mut answer = letting_go::free(server, &settings(), asked(), false, false)?;
    server.commit();
    while answer["more"] == true {
        answer = letting_go::free(server, &settings(), asked(), true, false)?;
        server.commit();
    }
    Ok(answer)
}

#[test]
fn arc_01_what_comes_and_what_is_sent_is_kept_with_what_it_is_found_by() {
    let server = Server::with(&[("archive", "on")]);
    come(&server, "1", 100).unwrap();
    server.commit();
    pass(&server, "1", 200, Direction::Sent).unwrap();
    server.commit();
    let items = server.items.borrow();
    let directions: Vec<_> = items.iter().map(|item| (item.direction.as_str(), item.size)).collect();
    assert_eq!(directions, [("received", 100), ("sent", 200)]);
    assert_eq!(
        items[0].properties,
        [("message-id".to_owned(), "<1@beta.example>".to_owned()), ("subject".to_owned(), "Oggetto 1 ".to_owned())]
    );
}

#[test]
fn arc_02_nothing_is_kept_before_the_administrator_says_so() {
    for settings in [vec![], vec![("archive", "off")]] {
        let server = Server::with(&settings);
        come(&server, "1", 100).unwrap();
        server.commit();
        assert!(server.items.borrow().is_empty());
    }
    // What cannot be read is no «off»: the message waits.
    let server = Server::with(&[("archive", "yes")]);
    assert!(come(&server, "1", 100).is_err());
    let server = Server::with(&[("archive", "on"), ("archive-size", "much")]);
    assert!(come(&server, "1", 100).is_err());
}

#[test]
fn quo_09_the_space_is_that_of_the_offer() {
    for (size, limit) in [(None, 5 << 30), (Some("5"), 5 << 30), (Some("10"), 10_u64 << 30)] {
        let mut chosen = vec![("archive", "on")];
        chosen.extend(size.map(|size| ("archive-size", size)));
        let defaults = Settings::parse(r#"{"sender":"a@b.example"}"#).unwrap();
        assert_eq!(Choices::of(&Server::with(&chosen), &defaults, ADA).unwrap().limit, limit);
    }
}

#[test]
fn arc_04_at_80_percent_the_mailbox_is_told_once_until_there_is_room() {
    let server = Server::with(&[("archive", "on"), ("archive-deletion", "allowed")]);
    come(&server, "1", LIMIT * 8 / 10 - 1).unwrap();
    server.commit();
    assert!(server.sent.borrow().is_empty(), "a byte before it, nothing is said");
    come(&server, "2", 100).unwrap();
    server.commit();
    come(&server, "3", 100).unwrap();
    server.commit();
    {
        let sent = server.sent.borrow();
        let [(from, to, content)] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!((from.as_str(), to.as_str()), ("archivio@pec.alfa.example", ADA));
        assert!(content.contains("Subject: Archivio di sicurezza all'81% / Backup archive 81% full\r\n"), "{content}");
    }
    free(&server).unwrap();
    come(&server, "4", LIMIT * 8 / 10 - server.used()).unwrap();
    server.commit();
    assert_eq!(server.sent.borrow().len(), 2, "there was room again, and it is filled again");
}

/// Of what is sent a later step may take the copy back: the mailbox is not told of what may not be there.
#[test]
fn arc_04_only_what_is_there_counts() {
    let server = Server::with(&[("archive", "on")]);
    pass(&server, "1", LIMIT * 9 / 10, Direction::Sent).unwrap();
    server.roll_back_copies();
    assert!(server.sent.borrow().is_empty());
    pass(&server, "2", LIMIT * 9 / 10, Direction::Sent).unwrap();
    server.commit();
    assert!(server.sent.borrow().is_empty());
    pass(&server, "3", 1, Direction::Sent).unwrap();
    server.commit();
    assert_eq!(server.sent.borrow().len(), 1);
}

#[test]
fn arc_04_a_full_archive_holds_no_mail_up_and_says_so_once() {
    let server = Server::with(&[("archive", "on")]);
    come(&server, "1", LIMIT).unwrap();
    server.commit();
    for id in ["2", "3"] {
        come(&server, id, 40).unwrap();
        server.commit();
    }
    assert_eq!(server.items.borrow().len(), 1);
    let kinds: Vec<_> = server.events.borrow().iter().map(|event| (event.kind, event.message_id.clone())).collect();
    assert_eq!(kinds, [("archive-full", "2@beta.example".to_owned()), ("archive-full", "3@beta.example".to_owned())]);
    let subjects: Vec<_> = server.sent.borrow().iter().map(|(_, _, content)| content.contains("pieno")).collect();
    assert_eq!(subjects, [false, true], "one alert that it fills, one that it is full");
}

/// The alert itself is a small message that comes to the mailbox: it must not make room for the next alert.
#[test]
fn arc_04_an_archive_where_small_messages_still_find_room_is_full_once() {
    let mut server = Server::with(&[("archive", "on"), ("archive-deletion", "allowed")]);
    let full =
        |server: &Server| server.sent.borrow().iter().filter(|(_, _, content)| content.contains("pieno")).count();
    come(&server, "1", LIMIT - 400).unwrap();
    server.commit();
    for id in 2..8 {
        come(&server, &id.to_string(), 401).unwrap();
        server.commit();
        come(&server, "90", 40).unwrap();
        server.commit();
    }
    assert_eq!(full(&server), 1, "of six messages without a copy one alert");
    // Something was let go: what is full again is told again.
    let id = server.items.borrow()[1].id.clone();
    letting_go::delete(&server, &settings(), asked(), &id).unwrap();
    server.commit();
    come(&server, "91", 401).unwrap();
    server.commit();
    assert_eq!(full(&server), 2);
    // So is what is full in a larger space.
    server.settings.push(("archive-size".into(), "10".into()));
    for id in 100..180 {
        come(&server, &id.to_string(), 90).unwrap();
        server.commit();
    }
    assert_eq!((full(&server), server.used() <= 2 * LIMIT), (3, true));
}

/// Copies leave without this plugin when they are preserved; what fills up again is told again (ARC-04, CON-04).
#[test]
fn arc_04_what_preservation_made_room_in_is_told_of_when_it_fills_again() {
    let server = Server::with(&[("archive", "on"), ("conservation", "on")]);
    for id in 1..=9 {
        come(&server, &id.to_string(), LIMIT / 10).unwrap();
        server.commit();
    }
    assert_eq!(server.sent.borrow().len(), 1, "at 80 %");
    server.items.borrow_mut().drain(..2);
    come(&server, "10", LIMIT * 15 / 100).unwrap();
    server.commit();
    assert_eq!(server.sent.borrow().len(), 2, "from 70 % over 80 % with one message");
}

#[test]
fn arc_06_arc_07_two_at_once_do_not_both_say_that_they_let_a_copy_go() {
    let server = Server::with(&[("archive", "on"), ("archive-deletion", "allowed")]);
    (1..=8).for_each(|number| server.put(number, 100));
    let id = server.items.borrow()[0].id.clone();
    let ways: [&dyn Fn() -> bool; 2] = [&|| letting_go::delete(&server, &settings(), asked(), &id).is_ok(), &|| {
        letting_go::free(&server, &settings(), asked(), false, false).is_ok()
    }];
    assert!(ways[0]());
    let first = server.take();
    assert!(ways[1]());
    let second = server.take();
    assert!(server.commit_of(second));
    assert!(!server.commit_of(first), "what it saw is no more");
    assert!(!ways[0](), "run anew it finds that the copy is gone");
    server.roll_back();
    assert_eq!(server.events.borrow().len(), 2);
}

#[test]
fn arc_05_arc_08_nothing_goes_where_the_administrator_or_preservation_forbids_it() {
    for (chosen, words) in [
        (vec![("archive", "on")], "archive-deletion allowed"),
        (vec![("archive", "on"), ("archive-deletion", "denied")], "archive-deletion allowed"),
        (vec![("archive", "on"), ("archive-deletion", "allowed"), ("conservation", "on")], "legal preservation"),
        (vec![("archive", "on"), ("archive-deletion", "allowed"), ("conservation", "?")], "conservation"),
    ] {
        let server = Server::with(&chosen);
        server.put(1, 100);
        let id = server.items.borrow()[0].id.clone();
        for refused in [letting_go::delete(&server, &settings(), asked(), &id), free(&server)] {
            assert!(matches!(&refused, Err(Error::Other(why)) if why.contains(words)), "{refused:?}");
        }
        server.commit();
        assert_eq!((server.items.borrow().len(), server.events.borrow().len()), (1, 0));
    }
    let server = Server::with(&[("archive", "on"), ("archive-deletion", "allowed"), ("conservation", "on")]);
    let said = letting_go::usage(&server, &settings(), ADA).unwrap();
    assert_eq!(said["deletion"], "never, with conservation");
}

#[test]
fn arc_06_the_copies_that_are_named_go_all_or_none_and_who_did_it_is_in_the_log() {
    let server = Server::with(&[("archive", "on"), ("archive-deletion", "allowed")]);
    for id in 1..=3 {
        come(&server, &id.to_string(), 100).unwrap();
        server.commit();
    }
    let ids: Vec<String> = server.items.borrow().iter().map(|item| item.id.clone()).collect();
    for wrong in [format!("{},nothing", ids[0]), String::new(), ",".into(), "../x".into(), format!("{}0", ids[0])] {
        assert!(letting_go::delete(&server, &settings(), asked(), &wrong).is_err(), "{wrong}");
        server.roll_back();
    }
    assert!(letting_go::delete(&server, &settings(), Asked { mailbox: "x@y.example", ..asked() }, &ids[0]).is_err());
    server.roll_back();
    let done = letting_go::delete(&server, &settings(), asked(), &format!("{}, {}", ids[2], ids[0])).unwrap();
    server.commit();
    assert_eq!((&done["deleted"], &done["octets"], &done["used"]), (&2.into(), &200.into(), &100.into()));
    let left: Vec<String> = server.items.borrow().iter().map(|item| item.id.clone()).collect();
    assert_eq!(left, [ids[1].clone()]);
    let events = server.events.borrow();
    assert!(events.iter().all(|event| event.kind == "archive-deleted" && event.details[0] == ("actor", "root".into())));
    assert_eq!(
        events.iter().map(|event| event.message_id.as_str()).collect::<Vec<_>>(),
        ["1@beta.example", "3@beta.example"]
    );
}

#[test]
fn arc_07_a_quarter_of_what_is_used_is_freed_from_the_oldest_on() {
    let server = Server::with(&[("archive", "on"), ("archive-size", "10"), ("archive-deletion", "allowed")]);
    for id in 1..=8 {
        come(&server, &id.to_string(), 1000).unwrap();
        server.commit();
    }
    let preview = letting_go::free(&server, &settings(), asked(), false, true).unwrap();
    assert_eq!((&preview["would-delete"], &preview["octets"]), (&2.into(), &2000.into()));
    assert_eq!(server.items.borrow().len(), 8);
    let done = free(&server).unwrap();
    assert_eq!((&done["deleted"], &done["octets"], &done["used"]), (&2.into(), &2000.into(), &6000.into()));
    assert_eq!(server.items.borrow()[0].property("message-id"), "<3@beta.example>");
    // What is not a whole number of copies is freed too: at least a quarter.
    let done = free(&server).unwrap();
    assert_eq!((&done["deleted"], &done["used"]), (&2.into(), &4000.into()));
}

#[test]
fn arc_07_long_work_goes_in_pieces_and_never_beyond_what_it_began_with() {
    let server = Server::with(&[("archive", "on"), ("archive-deletion", "allowed")]);
    let copies = 4 * PIECE as u64 + 400;
    for id in 1..=copies {
        server.put(id, 1);
    }
    let first = letting_go::free(&server, &settings(), asked(), false, false).unwrap();
    server.commit();
    assert_eq!((&first["more"], &first["deleted"]), (&true.into(), &(PIECE as u64).into()));
    let last = letting_go::free(&server, &settings(), asked(), true, false).unwrap();
    server.commit();
    assert_eq!((last.get("more"), &last["deleted"]), (None, &(copies / 4).into()));
    assert_eq!(server.used(), copies - copies / 4);
    // Whoever says «continue» once more gets nothing.
    assert!(letting_go::free(&server, &settings(), asked(), true, false).is_err());
    // Nor does he of a run that was ended half-way, when another one has come to its end since.
    (10_000..14_000).for_each(|id| server.put(id, 1));
    assert_eq!(letting_go::free(&server, &settings(), asked(), false, false).unwrap()["more"], true);
    server.commit();
    server.items.borrow_mut().truncate(4);
    free(&server).unwrap();
    assert!(letting_go::free(&server, &settings(), asked(), true, false).is_err());
}

#[test]
fn alerts_are_messages_that_every_program_reads() {
    for what in [Said::Filling, Said::Full] {
        for deletion in [false, true] {
            let alert = Alert { what, mailbox: ADA, used: 4 << 30, limit: 5 << 30, deletion };
            let text = alert::message(&alert, &settings(), 1_795_000_000_000, 3600, "id.1");
            assert!(text.contains("Date: Wed, 18 Nov 2026 12:06:40 +0100\r\n"), "{text}");
            assert!(
                text.contains("4096.0")
                    && text.contains("5120.0")
                    && text.contains("Message-ID: <id.1@pec.alfa.example>")
            );
            assert!(text.split("\r\n").all(|line| line.len() <= 120 && !line.contains(['\r', '\n'])));
            let (header, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(header.is_ascii() && body.contains("archivio di sicurezza") && body.contains("backup archive"));
            assert_eq!(body.contains("cancellare") && body.contains("deleted"), deletion);
        }
    }
    assert_eq!((percent(79, 100), percent(799, 1000), percent(0, 0)), (79, 79, 100));
}

#[test]
fn settings_that_say_nothing_sensible_are_refused() {
    for json in [
        "{}",
        r#"{"sender":"nobody"}"#,
        r#"{"sender":"a b@c.example"}"#,
        r#"{"sender":"a@c.example","alert-percent":0}"#,
        r#"{"sender":"a@c.example","free-percent":101}"#,
        r#"{"sender":"a@c.example","size":0}"#,
        r#"{"sender":"a@c.example","gigabyte":18446744073709551615}"#,
        r#"{"sender":"a@c.example","alertpercent":80}"#,
    ] {
        assert!(Settings::parse(json).is_err(), "{json}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens: the space holds, what is there has been kept, and the mailbox is told exactly when the threshold
    /// is passed from below.
    #[test]
    fn arc_04_arc_07_the_figures_always_hold(steps in prop::collection::vec((0..4_u8, 40..1500_u64), 1..60)) {
        let server = Server::with(&[("archive", "on"), ("archive-deletion", "allowed")]);
        let (mut filling, mut alerts) = (false, 0);
        for (index, (what, size)) in steps.into_iter().enumerate() {
            let before = server.used();
            match what {
                0 | 1 => {
                    come(&server, &(index + 1).to_string(), size).unwrap();
                    server.commit();
                    let fits = before + size <= LIMIT;
                    prop_assert_eq!(server.used(), if fits { before + size } else { before });
                    if fits {
                        let now = server.used() * 100 >= LIMIT * 80;
                        alerts += usize::from(now && !filling);
                        filling = now;
                    }
                }
                2 => {
                    let first = server.items.borrow().first().map(|item| item.id.clone());
                    if let Some(id) = first {
                        letting_go::delete(&server, &settings(), asked(), &id).unwrap();
                        server.commit();
                        filling &= server.used() * 100 >= LIMIT * 80;
                    }
                }
                _ => {
                    let sizes: Vec<u64> = server.items.borrow().iter().map(|item| item.size).collect();
                    let target = before.div_ceil(4);
                    let mut wanted = 0;
                    for size in sizes {
                        if wanted >= target {
                            break;
                        }
                        wanted += size;
                    }
                    free(&server).unwrap();
                    prop_assert_eq!(server.used(), before - wanted);
                    filling &= server.used() * 100 >= LIMIT * 80;
                }
            }
            prop_assert!(server.used() <= LIMIT);
            let told = server.sent.borrow().iter().filter(|(_, _, content)| content.contains("X-Archive-Alert: filling")).count();
            prop_assert_eq!(told, alerts);
        }
    }
}
