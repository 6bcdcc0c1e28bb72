//! Who may look at what was deposited, and what he gets.
#![allow(clippy::unwrap_used)]

mod world;

use sha2::{Digest, Sha256};
use world::{MAILBOX, World, settings};

fn deposited() -> (World, Vec<Vec<u8>>) {
    let mut world = World::new().on();
    let mut contents = Vec::new();
    for number in 1..=30 {
        contents.push(world.archive(number, 50 + number as u64 / 10));
    }
    world.daily(&settings());
    world.deposit_all(&settings());
    assert_eq!(world.archived(), 0);
    (world, contents)
}

#[test]
fn con_03_manager_and_at_most_two_delegates_look_and_nobody_else() {
    let (mut world, _) = deposited();
    world.set(MAILBOX, "conservation-delegates", "uno@pec.alfa.example,due@pec.alfa.example,tre@pec.alfa.example");
    for (who, may) in [
        (Some("capo@pec.alfa.example"), true),
        (Some("UNO@pec.alfa.example"), true),
        (Some("due@pec.alfa.example"), true),
        (Some("tre@pec.alfa.example"), false),
        (Some("altro@pec.alfa.example"), false),
        (None, true),
    ] {
        for (name, terms) in [
            ("status", &[][..]),
            ("search", &[]),
            ("show", &[("message-id", "m1@beta.example")]),
            ("export", &[("message-id", "m1@beta.example")]),
        ] {
            let mut arguments = vec![("mailbox", MAILBOX)];
            arguments.extend(who.map(|who| ("as", who)));
            arguments.extend_from_slice(terms);
            let before = world.kept.events.len();
            let (answer, output) = world.ask_with_output(&settings(), name, &arguments).unwrap();
            assert_eq!(answer.get("denied").is_none(), may, "{name} as {who:?}");
            assert_eq!(output.is_some(), may && name == "export");
            let event = &world.kept.events[before];
            assert_eq!((event.kind, event.mailbox.as_str()), ("conservation-access", MAILBOX));
            assert!(event.details.contains(&("actor", "root".into())));
        }
    }
    assert!(world.ask(&settings(), "status", &[("as", "capo@pec.alfa.example")]).is_err(), "of his mailbox only");
}

#[test]
fn con_03_search_finds_by_each_of_its_terms() {
    let (mut world, _) = deposited();
    let mut found = |terms: &[(&str, &str)]| {
        let mut arguments = vec![("mailbox", MAILBOX)];
        arguments.extend_from_slice(terms);
        world.ask(&settings(), "search", &arguments).unwrap()["found"].as_u64().unwrap()
    };
    assert_eq!(found(&[]), 30);
    assert_eq!(found(&[("subject", "NUMERO 7 ")]), 1);
    assert_eq!(found(&[("message-id", "<m12@beta.example>")]), 1);
    assert_eq!(found(&[("message-id", "m1@beta.exampl")]), 0);
    assert_eq!(found(&[("from", "bruno@"), ("to", "ada@")]), 30);
    assert_eq!(found(&[("from", "ada@")]), 0);
    assert_eq!(found(&[("since", "2026-10-07")]), 9);
    assert_eq!(found(&[("until", "20261006")]), 21);
    assert_eq!(found(&[("since", "2026-10-05"), ("until", "2026-10-05")]), 10);
    assert!(world.ask(&settings(), "search", &[("mailbox", MAILBOX), ("since", "ieri")]).is_err());
    let other = world.ask(&settings(), "search", &[("mailbox", "altra@pec.alfa.example")]).unwrap();
    assert_eq!(other["found"], 0, "each mailbox has its own");
}

#[test]
fn con_03_long_results_come_page_by_page() {
    let mut world = World::new().on();
    for number in 0..900 {
        world.archive(number % 1000, 50);
    }
    world.daily(&settings());
    world.deposit_all(&settings());
    let (mut all, mut next) = (0, None::<String>);
    loop {
        let mut arguments = vec![("mailbox", MAILBOX)];
        arguments.extend(next.as_deref().map(|next| ("continue", next)));
        let answer = world.ask(&settings(), "search", &arguments).unwrap();
        all += answer["found"].as_u64().unwrap();
        match answer["next"].as_str() {
            Some(more) => next = Some(more.to_owned()),
            None => break,
        }
    }
    assert_eq!(all, 900);
    let shown = world.ask(&settings(), "show", &[("mailbox", MAILBOX), ("message-id", "m899@beta.example")]).unwrap();
    assert_eq!(shown["message-id"], "m899@beta.example");
}

/// An answer has at most 4 MiB, whatever words strangers chose.
#[test]
fn con_03_an_answer_is_bounded_by_its_octets_too() {
    let mut world = World::new().on();
    for number in 0..400 {
        world.archive(number, 50);
    }
    let hostile = "\"".repeat(512);
    for (item, content) in world.kept.archive.values_mut() {
        let to = vec![hostile.as_str(); 20].join(",");
        *content = [format!("To: {to}\r\nSubject: {hostile}\r\n").as_bytes(), content].concat();
        (item.size, item.sha256) = (content.len() as u64, Sha256::digest(&content).to_vec());
    }
    world.daily(&settings());
    world.deposit_all(&settings());
    let (mut all, mut next) = (0, None::<String>);
    loop {
        let mut arguments = vec![("mailbox", MAILBOX)];
        arguments.extend(next.as_deref().map(|next| ("continue", next)));
        let answer = world.ask(&settings(), "search", &arguments).unwrap();
        assert!(answer.to_string().len() < 4 << 20);
        all += answer["found"].as_u64().unwrap();
        match answer["next"].as_str() {
            Some(more) => next = Some(more.to_owned()),
            None => break,
        }
    }
    assert_eq!(all, 400);
}

#[test]
fn con_03_an_export_is_the_bytes_that_were_delivered() {
    let (mut world, contents) = deposited();
    for (number, content) in contents.iter().enumerate() {
        let id = format!("m{}@beta.example", number + 1);
        let (answer, output) =
            world.ask_with_output(&settings(), "export", &[("mailbox", MAILBOX), ("message-id", &id)]).unwrap();
        assert_eq!(output.as_ref(), Some(content));
        assert_eq!(answer["from-where"], "target");
    }
    let package = world.ask(&settings(), "search", &[("mailbox", MAILBOX)]).unwrap()["results"][0]["package"]
        .as_str()
        .unwrap()
        .to_owned();
    let (answer, output) =
        world.ask_with_output(&settings(), "export", &[("mailbox", MAILBOX), ("package", &package)]).unwrap();
    assert_eq!(output.as_ref(), world.target.get(answer["path"].as_str().unwrap()));
    // A package of another mailbox is none.
    let other =
        world.ask(&settings(), "export", &[("mailbox", "altra@pec.alfa.example"), ("package", &package)]).unwrap();
    assert_eq!(other["valid"], false);
}

#[test]
fn con_03_what_the_preservation_system_gives_back_is_compared() {
    let (mut world, _) = deposited();
    let export = [("mailbox", MAILBOX), ("message-id", "m1@beta.example")];
    for lies in world.target.values_mut() {
        let length = lies.len();
        lies[length / 3..].iter_mut().for_each(|octet| *octet ^= 1);
        lies[..length / 3].iter_mut().for_each(|octet| *octet ^= 1);
    }
    let (answer, output) = world.ask_with_output(&settings(), "export", &export).unwrap();
    assert!(output.is_none() && answer["why"].as_str().unwrap().contains("not what was deposited"));
    world.target.clear();
    let (answer, output) = world.ask_with_output(&settings(), "export", &export).unwrap();
    assert!(output.is_none() && answer["valid"] == false);
}
