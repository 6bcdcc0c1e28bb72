//! The daily run, packages and what becomes of them, row by row.
#![allow(clippy::unwrap_used)]

mod world;

use conservation::entry::hex;
use conservation::host::Level;
use conservation::pack::Age;
use sha2::{Digest, Sha256};
use world::{DAY, MAILBOX, World, settings, settings_with, unpack};

fn sha256(octets: &[u8]) -> String {
    hex(&Sha256::digest(octets))
}

#[test]
fn con_04_what_is_older_than_45_days_is_moved_day_by_day_and_nothing_else() {
    let mut world = World::new().on();
    let old = [world.archive(1, 60), world.archive(2, 60), world.archive(3, 47)];
    world.archive(4, 44);
    world.archive(5, 0);
    world.daily(&settings());
    assert_eq!(world.kept.outbox.len(), 2, "one package for each legal day");
    assert_eq!(world.archived(), 5, "nothing leaves before it is confirmed");
    let first = unpack(&world.kept.outbox[0].content);
    let second = unpack(&world.kept.outbox[1].content);
    assert_eq!(
        [&first["messages/000001.eml"], &first["messages/000002.eml"], &second["messages/000001.eml"]],
        [&old[0], &old[1], &old[2]]
    );
    world.deposit_all(&settings());
    assert_eq!(world.archived(), 2);
    assert_eq!(
        world.kinds(),
        ["conservation-package", "conservation-package", "conservation-deposit", "conservation-deposit"]
    );
    // The next day's run finds nothing new but what has grown old meanwhile.
    world.now.set(world.now.get() + 3 * DAY);
    world.daily(&settings());
    assert_eq!(world.kept.outbox.len(), 1);
    world.deposit_all(&settings());
    assert_eq!(world.archived(), 1);
}

#[test]
fn con_04_a_day_that_is_not_over_its_45_days_waits_whole() {
    let mut world = World::new().on();
    // 06:00 UTC is 07:00 legal time: 45 days and seven hours ago is the begin of the first day that stays.
    world.archive(1, 45);
    world.daily(&settings());
    assert!(world.kept.outbox.is_empty());
    world.now.set(world.now.get() + DAY);
    world.daily(&settings());
    assert_eq!(world.kept.outbox.len(), 1);
}

#[test]
fn con_04_a_mailbox_may_have_other_days_by_contract() {
    let mut world = World::new().on();
    world.set(MAILBOX, "conservation-days", "10");
    world.archive(1, 12);
    world.daily(&settings());
    assert_eq!(world.kept.outbox.len(), 1);
}

#[test]
fn con_04_the_daily_run_asks_for_the_next_one_and_makes_up_for_a_missed_one() {
    let mut world = World::new().on();
    world.archive(1, 60);
    // A server begins at 07:00, and today's run of 02:00 has not been.
    world.step(|host| conservation::daily::wake(host, &settings(), "start", &[])).unwrap();
    world.wake_all(&settings());
    assert_eq!(world.kept.outbox.len(), 1);
    let next = world.kept.timers["daily"].0;
    assert_eq!(next - world.now.get(), 19 * 3600 * 1000, "02:00 legal time of tomorrow");
    // Another start on the same day runs nothing again.
    world.step(|host| conservation::daily::wake(host, &settings(), "start", &[])).unwrap();
    assert_eq!(world.kept.timers["daily"].0, next);
}

#[test]
fn con_02_without_the_archive_it_is_refused_clearly() {
    let mut world = World::new().on();
    world.set(MAILBOX, "archive", "off");
    world.archive(1, 60);
    world.daily(&settings());
    assert!(world.kept.outbox.is_empty());
    assert!(world.lines.borrow().iter().any(|(level, line)| *level == Level::Warn && line.contains("CON-02")));
    let status = world.ask(&settings(), "status", &[("mailbox", MAILBOX)]).unwrap();
    assert!(status["conservation"].as_str().unwrap().contains("switch it on first"));
    let answer = world.run(&settings(), &[("mailbox", MAILBOX)]);
    assert_eq!(answer["not-done"], 1);
    assert!(answer["reasons"][0]["why"].as_str().unwrap().contains("archive"));
}

#[test]
fn con_05_a_mailbox_without_the_service_keeps_everything() {
    let mut world = World::new();
    world.archive(1, 600);
    world.daily(&settings());
    assert!(world.kept.outbox.is_empty());
    world.set(MAILBOX, "conservation", "on");
    world.set(MAILBOX, "archive", "on");
    world.daily(&settings());
    assert_eq!(world.kept.outbox.len(), 1, "switched on (by its offer), it is automatic");
}

#[test]
fn con_01_a_package_proves_itself() {
    let mut world = World::new().on();
    let content = world.archive(7, 60);
    world.daily(&settings());
    let queued = world.kept.outbox[0].clone();
    assert_eq!(
        queued.parameters,
        [("path".to_owned(), format!("{MAILBOX}/2026/{}.tar", &queued.key[..queued.key.len() - 2]))]
    );
    let files = unpack(&queued.content);
    let index = String::from_utf8(files["PIndex.xml"].clone()).unwrap();
    assert!(
        index.contains(&format!("<sincro:Hash sincro:hashFunction=\"SHA-256\">{}</sincro:Hash>", sha256(&content)))
    );
    assert!(index.contains("numero 7 &amp; &lt;altro&gt;"));
    let stamp = &files["PIndex.xml.tsr"];
    let digest = Sha256::digest(&files["PIndex.xml"]);
    assert!(stamp.windows(32).any(|window| window == &digest[..]), "the stamp is over the index");
    assert!(files.contains_key("schema/metadata.xsd"));
    let event = &world.kept.events[0];
    assert_eq!(event.details[0], ("sha256", sha256(&queued.content)));
}

#[test]
fn con_01_a_damaged_copy_stays_and_is_told_once() {
    let mut world = World::new().on();
    world.archive(1, 60);
    world.archive(2, 60);
    world.kept.archive.values_mut().next().unwrap().1[0] ^= 1;
    world.daily(&settings());
    world.deposit_all(&settings());
    assert_eq!(world.archived(), 1);
    world.daily(&settings());
    world.daily(&settings());
    assert_eq!(world.kinds().iter().filter(|kind| **kind == "conservation-failed").count(), 1);
    let status = world.ask(&settings(), "status", &[]).unwrap();
    assert!(status["cannot-be-packed"][0]["why"].as_str().unwrap().contains("damaged"));
}

/// A copy that the disk does not give back stops nothing but itself, and is looked at again.
#[test]
fn con_01_a_copy_that_cannot_be_read_holds_up_no_other_and_is_deposited_when_it_can() {
    let mut world = World::new().on();
    world.archive(1, 60);
    world.archive(2, 60);
    let id = world.kept.archive.keys().next().unwrap().1.clone();
    world.unreadable.insert(id);
    world.daily(&settings());
    world.deposit_all(&settings());
    assert_eq!(world.archived(), 1, "the other one left");
    let status = world.ask(&settings(), "status", &[("mailbox", MAILBOX)]).unwrap();
    assert!(status["cannot-be-packed"][0]["why"].as_str().unwrap().contains("cannot be read"), "{status}");
    world.unreadable.clear();
    world.daily(&settings());
    world.deposit_all(&settings());
    assert_eq!(world.archived(), 0);
    let status = world.ask(&settings(), "status", &[("mailbox", MAILBOX)]).unwrap();
    assert_eq!(status["cannot-be-packed"].as_array().unwrap().len(), 0, "nobody is told of what was mended");
}

/// What was damaged between two attempts is not deposited under the digest that it had, and does not leave the archive.
#[test]
fn con_01_what_is_damaged_before_a_package_is_sent_again_stays_and_the_rest_goes() {
    for unreadable in [false, true] {
        let mut world = World::new().on();
        world.archive(1, 60);
        let good = world.archive(2, 60);
        world.daily(&settings());
        let first = world.kept.outbox.remove(0);
        world.answer(&settings(), &first.key, "expired");
        let id = world.kept.archive.keys().next().unwrap().1.clone();
        if unreadable {
            world.unreadable.insert(id.clone());
        } else {
            world.kept.archive.values_mut().next().unwrap().1[0] ^= 1;
        }
        world.daily(&settings());
        let second = world.kept.outbox.remove(0);
        let messages: Vec<Vec<u8>> =
            unpack(&second.content).into_iter().filter(|(name, _)| name.ends_with(".eml")).map(|(_, m)| m).collect();
        assert_eq!(messages, [good]);
        assert_ne!(second.parameters, first.parameters, "it is another package, with another name");
        world.answer(&settings(), &second.key, "done");
        assert_eq!(world.kept.archive.keys().map(|(_, id)| id).collect::<Vec<_>>(), [&id]);
        assert!(world.kinds().contains(&"conservation-failed"));
        // Mended, it goes in a package of its own, which is no other's.
        world.unreadable.clear();
        if !unreadable {
            world.kept.archive.values_mut().next().unwrap().1[0] ^= 1;
        }
        world.daily(&settings());
        world.deposit_all(&settings());
        assert_eq!(world.archived(), 0);
    }
}

/// A disk that gives nothing back for a while: the package that was to be sent again is given up, and what it held goes
/// when the disk is there again.
#[test]
fn con_01_a_disk_that_is_away_loses_nothing() {
    let mut world = World::new().on();
    world.archive(1, 60);
    world.archive(2, 60);
    world.daily(&settings());
    let queued = world.kept.outbox.remove(0);
    world.answer(&settings(), &queued.key, "expired");
    world.unreadable = world.kept.archive.keys().map(|(_, id)| id.clone()).collect();
    world.daily(&settings());
    world.daily(&settings());
    assert!(world.kept.outbox.is_empty());
    assert_eq!(world.archived(), 2);
    world.unreadable.clear();
    world.daily(&settings());
    world.deposit_all(&settings());
    assert_eq!(world.archived(), 0);
}

#[test]
fn con_01_a_package_of_which_nothing_is_left_is_forgotten() {
    let mut world = World::new().on();
    world.archive(1, 60);
    world.daily(&settings());
    let queued = world.kept.outbox.remove(0);
    world.answer(&settings(), &queued.key, "refused");
    world.kept.archive.clear();
    let answer = world.run(&settings(), &[]);
    assert_eq!((answer["resent"].as_u64(), answer["not-done"].as_u64()), (Some(0), Some(1)));
    assert!(world.kept.outbox.is_empty());
    let status = world.ask(&settings(), "status", &[]).unwrap();
    assert_eq!(status["refused"], 0, "it waits for nothing any more");
    assert!(!world.kept.state.keys().any(|key| key.starts_with("ix/") || key.starts_with("rdv/")));
}

/// Whoever writes to a mailbox chooses the words of the index: they must not make a package that no step can build.
#[test]
fn con_04_the_words_of_strangers_make_smaller_packages() {
    let mut world = World::new().on();
    for number in 0..1000 {
        world.archive(number, 60);
    }
    let hostile = "\"".repeat(512);
    for (item, content) in world.kept.archive.values_mut() {
        let extra =
            format!("Subject: {hostile}\r\nMessage-ID: {hostile}\r\nDate: {hostile}\r\nX-Ricevuta: {hostile}\r\n");
        *content = [extra.as_bytes(), content].concat();
        (item.size, item.sha256) = (content.len() as u64, Sha256::digest(&content).to_vec());
    }
    world.daily(&settings());
    assert!(world.kept.outbox.len() > 1);
    for queued in &world.kept.outbox {
        assert!(unpack(&queued.content)["PIndex.xml"].len() <= 8 << 20);
    }
    world.deposit_all(&settings());
    assert_eq!(world.archived(), 0);
}

#[test]
fn con_04_packages_are_bounded_in_number_and_size() {
    let mut world = World::new().on();
    for number in 0..25 {
        world.archive(number, 60);
    }
    let by_count = settings_with(r#", "package-messages": 10"#);
    world.daily(&by_count);
    let counts: Vec<usize> = world.kept.outbox.iter().map(|q| unpack(&q.content).len() - 3).collect();
    assert_eq!(counts, [10, 10, 5]);
    world.deposit_all(&by_count);
    assert_eq!(world.archived(), 0);
    for number in 0..25 {
        world.archive(number, 61);
    }
    let by_size = settings_with(r#", "package-octets": 65536"#);
    world.daily(&by_size);
    assert!(world.kept.outbox.len() > 2);
    assert!(world.kept.outbox.iter().all(|queued| queued.content.len() <= 80_000));
    world.deposit_all(&by_size);
    assert_eq!(world.archived(), 0);
}

#[test]
fn con_04_content_beyond_the_server_s_limit_makes_smaller_packages() {
    let mut world = World::new().on();
    for number in 0..12 {
        world.archive(number, 60);
    }
    world.content_max.set(24 * 1024);
    world.daily(&settings());
    world.deposit_all(&settings());
    assert_eq!(world.archived(), 0);
    // One that fits into no package stays, and is told.
    world.archive(200, 60);
    world.content_max.set(4 * 1024);
    world.daily(&settings());
    assert_eq!((world.archived(), world.kept.outbox.len()), (1, 0));
    assert!(world.kinds().contains(&"conservation-failed"));
}

#[test]
fn con_04_content_beyond_what_the_target_takes_makes_smaller_packages() {
    let mut world = World::new().on();
    for number in 0..12 {
        world.archive(number, 60);
    }
    world.target_max = 24 * 1024;
    world.daily(&settings());
    assert!(world.kept.outbox.len() > 1);
    world.deposit_all(&settings());
    assert_eq!(world.archived(), 0);
    assert!(!world.kinds().contains(&"conservation-failed"));
}

/// CON-04: days are those of the law, which twice a year have another number of hours.
#[test]
fn con_04_the_border_is_a_legal_midnight_also_where_the_clock_changes() {
    // 45 days after the 28th, 29th and 30th of March, and the 24th, 25th and 26th of October 2026, at 07:00 UTC.
    for (now, midnight) in [
        (1_778_569_200_000_u64, 1_774_652_400_000), // 12 May: 28 March 00:00 +01:00
        (1_778_655_600_000, 1_774_738_800_000),     // 13 May: 29 March 00:00 +01:00
        (1_778_742_000_000, 1_774_821_600_000),     // 14 May: 30 March 00:00 +02:00
        (1_796_713_200_000, 1_792_792_800_000),     // 8 December: 24 October 00:00 +02:00
        (1_796_799_600_000, 1_792_879_200_000),     // 9 December: 25 October 00:00 +02:00
        (1_796_886_000_000, 1_792_969_200_000),     // 10 December: 26 October 00:00 +01:00
    ] {
        let mut world = World::new().on();
        world.summer = true;
        world.now.set(now);
        let cutoff = |host: &world::Step<'_>| conservation::pack::cutoff(host, &settings(), MAILBOX, Age::Settings);
        assert_eq!(world.step(cutoff).unwrap(), midnight, "at {now}");
    }
}

#[test]
fn con_01_no_stamp_no_package() {
    let mut world = World::new().on();
    world.archive(1, 60);
    world.no_stamps.set(true);
    let failed = world
        .step(|host| conservation::pack::pack(host, &settings(), MAILBOX, conservation::pack::Age::Settings, true));
    assert!(matches!(failed, Err(conservation::host::Failure::Transient(_))), "{failed:?}");
    assert_eq!((world.archived(), world.kept.outbox.len()), (1, 0));
}

#[test]
fn con_01_too_many_at_once_wait_for_their_confirmation() {
    let mut world = World::new().on();
    for number in 0..6 {
        world.archive(number, 50 + number as u64);
    }
    let settings = settings_with(r#", "in-flight": 2"#);
    world.daily(&settings);
    assert_eq!(world.kept.outbox.len(), 2);
    for _ in 0..3 {
        world.deposit_all(&settings);
        world.now.set(world.now.get() + 11 * 60 * 1000);
        world.wake_all(&settings);
    }
    world.deposit_all(&settings);
    assert_eq!(world.archived(), 0);
}

#[test]
fn con_01_refused_and_expired_packages_are_told_and_tried_again_with_the_same_bytes() {
    let mut world = World::new().on();
    world.archive(1, 60);
    world.daily(&settings());
    let first = world.kept.outbox.remove(0);
    world.answer(&settings(), &first.key, "refused");
    assert_eq!(world.archived(), 1);
    assert!(world.kinds().contains(&"conservation-refused"));
    assert!(world.lines.borrow().iter().any(|(level, _)| *level == Level::Error));
    let status = world.ask(&settings(), "status", &[]).unwrap();
    assert_eq!((status["refused"].as_u64(), status["queued"].as_u64()), (Some(1), Some(0)));
    world.daily(&settings());
    assert!(world.kept.outbox.is_empty(), "a refusal waits for an operator");
    let answer = world.run(&settings(), &[]);
    assert_eq!(answer["resent"], 1);
    let second = world.kept.outbox.remove(0);
    assert_ne!(second.key, first.key);
    assert_eq!((&second.content, &second.parameters), (&first.content, &first.parameters));
    world.answer(&settings(), &second.key, "expired");
    world.daily(&settings());
    let third = world.kept.outbox.remove(0);
    assert_eq!(third.content, first.content, "an expired one is tried again by the daily run");
    world.answer(&settings(), &third.key, "done");
    assert_eq!(world.archived(), 0);
}

#[test]
fn con_01_an_answer_that_comes_twice_changes_nothing() {
    let mut world = World::new().on();
    world.archive(1, 60);
    world.daily(&settings());
    let queued = world.kept.outbox.remove(0);
    world.answer(&settings(), &queued.key, "done");
    let kept = world.kept.clone();
    world.answer(&settings(), &queued.key, "refused");
    world.answer(&settings(), &queued.key, "done");
    world.answer(&settings(), "20260101-0000.1", "done");
    assert_eq!((world.kept.state, world.kept.events), (kept.state, kept.events));
}

#[test]
fn con_01_a_receipt_is_kept_and_its_digest_is_looked_at_where_it_counts() {
    let mut world = World::new().on();
    world.archive(1, 60);
    let strict = settings_with(r#", "confirmation": "digest""#);
    world.daily(&strict);
    let queued = world.kept.outbox.remove(0);
    world.answer_with(&strict, &queued.key, "done", b"<RdV>accettato</RdV>");
    assert_eq!(world.archived(), 1, "no digest, no confirmation");
    world.run(&strict, &[]);
    let again = world.kept.outbox.remove(0);
    let receipt = format!("<RdV>{}</RdV>{}", sha256(&again.content), " ".repeat(200_000));
    world.answer_with(&strict, &again.key, "done", receipt.as_bytes());
    assert_eq!(world.archived(), 0);
    let id = again.key.rsplit_once('.').unwrap().0.to_owned();
    let shown = world.ask(&strict, "show", &[("mailbox", MAILBOX), ("package", &id)]).unwrap();
    assert!(shown["receipt"].as_str().unwrap().starts_with("<RdV>"));
}

/// Over HTTP a status may be a captive portal's, or a proxy's: messages do not leave the archive by it alone.
#[test]
fn con_01_over_http_a_status_alone_confirms_nothing_unless_the_operator_says_so() {
    let http = |more: &str| {
        let json = format!(
            r#"{{ "target": "conservatore", "protocol": "http", "provider": "Alfa", "log-security-manager": "Livia"{more} }}"#
        );
        conservation::settings::Settings::parse(&json).unwrap()
    };
    for (more, body, left) in [
        ("", &b"<html>Welcome to the guest network</html>"[..], 1),
        ("", b"", 1),
        (r#", "confirmation": "taken""#, b"", 0),
    ] {
        let mut world = World::new().on();
        world.archive(1, 60);
        world.daily(&http(more));
        let queued = world.kept.outbox.remove(0);
        world.answer_with(&http(more), &queued.key, "done", body);
        assert_eq!(world.archived(), left, "{more}");
    }
    // Nor does the receipt of another package.
    let mut world = World::new().on();
    world.archive(1, 60);
    world.archive(2, 50);
    world.daily(&http(""));
    let [one, other] = [world.kept.outbox.remove(0), world.kept.outbox.remove(0)];
    world.answer_with(&http(""), &one.key, "done", sha256(&other.content).as_bytes());
    assert_eq!(world.archived(), 2);
    world.answer_with(&http(""), &other.key, "done", sha256(&other.content).as_bytes());
    assert_eq!(world.archived(), 1);
}

#[test]
fn con_08_at_the_end_of_a_contract_everything_is_deposited_whatever_its_age() {
    let mut world = World::new().on();
    world.archive(1, 60);
    world.archive(2, 0);
    assert!(world.ask(&settings(), "run", &[("all", "yes")]).is_err(), "of one mailbox only");
    world.now.set(world.now.get() + 10);
    let answer = world.run(&settings(), &[("mailbox", MAILBOX), ("all", "yes")]);
    assert_eq!((answer["packages"].as_u64(), answer["files"].as_u64()), (Some(2), Some(2)));
    world.deposit_all(&settings());
    assert_eq!(world.archived(), 0);
    // The service off: nothing is moved any more, and what was deposited is still shown.
    world.set(MAILBOX, "conservation", "off");
    let found = world.ask(&settings(), "search", &[("mailbox", MAILBOX), ("as", "capo@pec.alfa.example")]).unwrap();
    assert_eq!(found["found"], 2);
}

#[test]
fn con_01_a_run_over_many_mailboxes_goes_on_where_it_stopped() {
    let mut world = World::new();
    for number in 0..450 {
        let mailbox = format!("m{number:03}@pec.alfa.example");
        world.set(&mailbox, "archive", "on");
        if number % 50 == 0 {
            world.set(&mailbox, "conservation", "on");
        }
        world.archive_for(&mailbox, number, 60);
    }
    let answer = world.run(&settings(), &[]);
    assert_eq!((answer["packages"].as_u64(), answer["not-done"].as_u64()), (Some(9), Some(0)));
    let again = world.run(&settings(), &[]);
    assert_eq!(again["packages"], 0, "what is on its way is not packed again");
}

/// By our own grammar of what we write, and `xmllint`; where there is none, the journey t-20-conservation does it.
#[test]
fn con_01_the_index_is_valid_by_the_grammar() {
    let mut world = World::new().on();
    world.set(MAILBOX, "conservation-holder", "Società «Ada & Figli» S.r.l.");
    world.set(MAILBOX, "conservation-holder-id", "VATIT-09876543210");
    for number in 0..5 {
        world.archive(number, 60);
    }
    world.daily(&settings());
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/pindex.xsd");
    let mut command = std::process::Command::new("xmllint");
    command.args(["--noout", "--nonet", "--schema", schema, "-"]);
    command.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let Ok(mut child) = command.spawn() else { return };
    let index = unpack(&world.kept.outbox[0].content)["PIndex.xml"].clone();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &index).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{}\n{}", String::from_utf8_lossy(&done.stderr), String::from_utf8_lossy(&index));
}

#[test]
fn quo_10_beyond_the_offer_everything_is_deposited_and_the_operator_told_once_a_step() {
    let mut world = World::new().on();
    let settings = settings_with(r#", "gigabyte": 2000"#);
    world.set(MAILBOX, "conservation-size", "5");
    // Packages of one message each are some kilobytes long: each passes a step of 5 × 2,000 octets or most of one.
    for number in 0..4_u64 {
        world.archive(number as usize, 60 - number);
        world.daily(&settings);
        world.deposit_all(&settings);
        world.now.set(world.now.get() + DAY);
    }
    assert_eq!(world.archived(), 0, "nothing waits for a contract");
    let status = world.ask(&settings, "status", &[("mailbox", MAILBOX)]).unwrap();
    let (deposited, extend) = (status["deposited-octets"].as_u64().unwrap(), status["extend-by-gb"].as_u64().unwrap());
    assert!(deposited > 10_000 && extend % 5 == 0, "{status}");
    assert!(deposited <= (5 + extend) * 2000 && deposited > extend * 2000, "{status}");
    let told = world.kinds().iter().filter(|kind| **kind == "conservation-over-size").count() as u64;
    assert!((1..=extend / 5).contains(&told), "{told} times for {extend} GB");
    // The contract is extended: nothing more is said until that is full too.
    world.set(MAILBOX, "conservation-size", "100");
    world.archive(9, 50);
    world.daily(&settings);
    world.deposit_all(&settings);
    let again = world.kinds().iter().filter(|kind| **kind == "conservation-over-size").count() as u64;
    assert_eq!(again, told);
    let status = world.ask(&settings, "status", &[("mailbox", MAILBOX)]).unwrap();
    assert!(status["extend-by-gb"].is_null(), "{status}");
}
