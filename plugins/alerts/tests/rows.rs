//! The rows ALR of the requirements, one by one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use alerts::arrival::{Kind, kind};
use alerts::book::HOUR;
use common::{ADA, NOON, PHONE, server};

#[test]
fn alr_01_nothing_happens_until_the_administrator_allows_it_and_the_holder_chooses() {
    let server = server();
    server.set(ADA, "alerts", "denied");
    let refused = server.ask("add", &[("mailbox", ADA), ("address", "ada@example.com")]).unwrap_err();
    assert!(refused.contains("not allowed"), "{refused}");
    server.set(ADA, "alerts", "allowed");
    server.tell("address", "ada@example.com");
    server.set(ADA, "alerts", "denied");
    server.certified();
    assert!(server.disk.borrow().timers.is_empty(), "what is denied is not even counted");
    server.set(ADA, "alerts", "allowed");
    server.certified();
    server.set(ADA, "alerts", "denied");
    server.pass(24);
    server.wake_due(false);
    assert!(server.mails().is_empty(), "what was denied meanwhile is not sent");
    let list = server.ask("list", &[("mailbox", ADA)]).unwrap();
    assert_eq!(list["alerts"], "denied");
    for (mailbox, words) in [("ada@beta.example", "no mailbox"), ("ada", "mailbox:")] {
        let refused = server.ask("add", &[("mailbox", mailbox), ("address", "a@example.com")]).unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn alr_02_confirmed_addresses_are_told_how_much_arrived_and_nothing_else() {
    let server = server();
    server.tell("address", "ada@example.com");
    server.tell("address", "studio@example.org");
    server.ask("add", &[("mailbox", ADA), ("address", "never@example.net")]).unwrap();
    server.forget();
    server.certified();
    server.certified();
    server.file(&server.arrived(Some("avvenuta-consegna"), None), false);
    server.file(&server.arrived(None, Some("errore")), false);
    server.pass(24);
    server.wake_due(false);
    let mails = server.mails();
    assert_eq!(
        mails.iter().map(|mail| mail.to.as_str()).collect::<Vec<_>>(),
        ["ada@example.com", "studio@example.org"]
    );
    let text = mails[0].text();
    for words in ["2 messaggi di posta certificata", "1 ricevuta o avviso", "1 altro messaggio", ADA, "Alfa PEC S.p.A."]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let whole = String::from_utf8(mails[0].message.clone()).unwrap();
    assert!(!text.contains("bruno") && !whole.contains("bruno") && !whole.contains("studio@"), "{whole}");
    assert_eq!(mails[0].header("Auto-Submitted"), "auto-generated");
    assert!(whole.lines().all(|line| line.len() <= 78) && whole.ends_with("\r\n"), "{whole}");
    server.pass(24);
    server.wake_due(false);
    assert_eq!(server.mails().len(), 2, "nothing arrived, nothing is sent");
    let certified = server.ask("add", &[("mailbox", ADA), ("address", "ada@pec.beta.example")]).unwrap_err();
    assert!(certified.contains("certified mail"), "{certified}");
}

#[test]
fn alr_02_what_a_message_counts_as() {
    let server = server();
    for (receipt, transport, expected) in [
        (None, Some("posta-certificata"), Kind::Certified),
        (Some("accettazione"), None, Kind::Receipt),
        (Some("errore-consegna"), Some("posta-certificata"), Kind::Receipt),
        (None, Some("errore"), Kind::Ordinary),
        (None, None, Kind::Ordinary),
        (Some(" "), None, Kind::Ordinary),
    ] {
        assert_eq!(kind(&server.arrived(receipt, transport)), expected, "{receipt:?} {transport:?}");
    }
}

#[test]
fn alr_02_no_alert_about_an_alert() {
    let server = server();
    server.tell("address", "ada@example.com");
    server.certified();
    server.pass(24);
    server.wake_due(false);
    let sent = String::from_utf8(server.mails()[0].message.clone()).unwrap();
    let id = sent.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap().to_owned();
    // The address passes the alert on to the mailbox: as it is, or, where that is certified, in an anomaly envelope.
    let alert = alerts::host::Arrived { message_id: Some(id.clone()), ..server.arrived(None, None) };
    server.file(&alert, false);
    server.file(&alerts::host::Arrived { transport: Some("errore".into()), ..alert.clone() }, false);
    assert!(server.disk.borrow().timers.is_empty());
    // An id that somebody made up keeps nothing from being told.
    server.forget();
    let changed = id.replacen("id.", "id.9", 1);
    for made_up in ["<1@alfa.example>", "<id.1.0123456789abcdef01234567@alfa.example>", &changed, "<.@>", "", "@", "<>"]
    {
        server.file(&alerts::host::Arrived { message_id: Some(made_up.to_owned()), ..alert.clone() }, false);
    }
    server.file(&alerts::host::Arrived { message_id: None, ..alert }, false);
    server.pass(24);
    server.wake_due(false);
    assert!(server.mails()[0].text().contains("8 altri messaggi"), "{}", server.mails()[0].text());
    let own = server.ask("add", &[("mailbox", ADA), ("address", "AVVISI@alfa.example")]).unwrap_err();
    assert!(own.contains("alerts come from"), "{own}");
}

#[test]
fn alr_03_at_most_three_addresses() {
    let mut server = server();
    server.config.codes_per_mailbox = 100;
    for n in 1..=3 {
        server.tell("address", &format!("ada{n}@example.com"));
    }
    let fourth = &[("mailbox", ADA), ("address", "ada4@example.com")];
    assert!(server.ask("add", fourth).unwrap_err().contains("at most 3"));
    server.ask("remove", &[("mailbox", ADA), ("address", "ADA2@example.com")]).unwrap();
    server.ask("add", fourth).unwrap();
    assert!(server.ask("add", &[("mailbox", ADA), ("address", "ada5@example.com")]).unwrap_err().contains("at most 3"));
    // One that was never confirmed makes room when its code has ended.
    server.pass(25);
    server.ask("add", &[("mailbox", ADA), ("address", "ada5@example.com")]).unwrap();
    assert!(server.ask("add", &[("mailbox", ADA), ("address", "ada1@example.com")]).unwrap_err().contains("already"));
}

#[test]
fn alr_04_alerts_by_mail_come_every_1_12_24_36_or_48_hours() {
    for hours in [1, 12, 24, 36, 48] {
        let server = server();
        server.tell("address", "ada@example.com");
        let answer = server.ask("frequency", &[("mailbox", ADA), ("email", &hours.to_string())]).unwrap();
        assert_eq!(answer["email-hours"], hours);
        server.certified();
        server.now.set(NOON + hours * HOUR - 1);
        server.wake_due(false);
        assert!(server.mails().is_empty(), "{hours}");
        server.now.set(NOON + hours * HOUR);
        server.wake_due(false);
        assert_eq!(server.mails().len(), 1, "{hours}");
    }
    let server = server();
    assert_eq!(server.ask("list", &[("mailbox", ADA)]).unwrap()["email-hours"], 24, "where nothing was chosen");
    for wrong in ["2", "0", "-1", "24h", ""] {
        assert!(
            server.ask("frequency", &[("mailbox", ADA), ("email", wrong)]).unwrap_err().contains("1, 12, 24, 36, 48")
        );
    }
    assert!(server.ask("frequency", &[("mailbox", ADA)]).unwrap_err().contains("email=HOURS"));
}

#[test]
fn alr_04_an_hour_may_be_shorter_to_try_it_out() {
    let mut server = server();
    server.config.hour = 4;
    server.tell("address", "ada@example.com");
    server.ask("frequency", &[("mailbox", ADA), ("email", "1")]).unwrap();
    server.certified();
    server.now.set(NOON + 3_999);
    server.wake_due(false);
    assert!(server.mails().is_empty());
    server.now.set(NOON + 4_000);
    server.wake_due(false);
    assert_eq!(server.mails().len(), 1);
}

#[test]
fn alr_05_confirmed_numbers_are_told_by_sms() {
    let server = server();
    server.tell("number", "+39 333 000 0001");
    server.certified();
    server.file(&server.arrived(Some("accettazione"), None), false);
    server.pass(24);
    server.wake_due(false);
    let [sms] = &server.sms()[..] else { panic!() };
    assert_eq!(sms.to, PHONE);
    assert!(sms.text.contains(ADA) && sms.text.contains("1 messaggio di posta certificata, 1 ricevuta o avviso"));
    assert!(!sms.text.contains("bruno"));
    assert!(server.mails().is_empty());
    server.answer(&sms.key, "refused", "unknown subscriber");
    assert!(server.warnings.borrow()[0].contains("unknown subscriber"));
    let list = server.ask("list", &[("mailbox", ADA)]).unwrap();
    assert_eq!(list["contacts"][0]["last"]["status"], "refused");
    // A request that nobody knows any more changes nothing.
    server.answer("digest.unknown.1", "done", "");
    let without = common::server();
    let mut config = common::settings();
    config.sms_target = None;
    let without = common::Server { config, ..without };
    assert!(without.ask("add", &[("mailbox", ADA), ("number", PHONE)]).unwrap_err().contains("no SMS"));
}

/// An SMS bears the number of its digest: one that is told under a number of before would never go.
#[test]
fn alr_05_counts_that_cannot_be_read_begin_anew_and_are_told() {
    let server = server();
    server.tell("number", PHONE);
    for told in 1..=2 {
        server.certified();
        server.pass(24);
        server.wake_due(false);
        assert_eq!(server.sms().len(), told);
    }
    server.disk.borrow_mut().state.insert(format!("t/sms/{ADA}"), b"{".to_vec());
    for told in 3..=4 {
        server.certified();
        server.pass(24);
        server.wake_due(false);
        assert_eq!(server.sms().len(), told, "{:?}", server.sms());
    }
    assert_eq!(server.warnings.borrow().len(), 1);
}

#[test]
fn alr_06_at_most_three_numbers_of_allowed_countries() {
    let mut server = server();
    server.config.codes_per_mailbox = 100;
    for n in 1..=3 {
        server.tell("number", &format!("+39333000000{n}"));
    }
    assert!(server.ask("add", &[("mailbox", ADA), ("number", "+393330000004")]).unwrap_err().contains("at most 3"));
    server.tell("address", "ada@example.com"); // addresses are counted for themselves
    assert!(server.ask("add", &[("mailbox", ADA), ("number", "+441234567890")]).unwrap_err().contains("+39"));
    assert!(server.ask("add", &[("mailbox", ADA), ("number", "333")]).unwrap_err().contains("no telephone number"));
    let both = [("mailbox", ADA), ("number", PHONE), ("address", "a@example.com")];
    assert!(server.ask("add", &both).unwrap_err().contains("either"));
}

#[test]
fn alr_06_a_number_of_a_country_that_is_allowed_no_more_is_not_told_and_can_be_removed() {
    let mut server = server();
    server.config.prefixes = vec!["+".into()];
    server.tell("number", PHONE);
    server.tell("number", "+441234567890");
    server.config.prefixes = vec!["+39".into()];
    server.certified();
    server.pass(24);
    server.wake_due(false);
    assert_eq!(server.sms().iter().map(|sms| sms.to.as_str()).collect::<Vec<_>>(), [PHONE]);
    server.ask("remove", &[("mailbox", ADA), ("number", "+44 1234 567890")]).unwrap();
}

#[test]
fn alr_02_an_address_that_has_become_one_of_certified_mail_is_not_told() {
    let server = server();
    server.tell("address", "ada@example.com");
    server.tell("address", "studio@example.org");
    server.also_certified.borrow_mut().push("example.com".into());
    server.certified();
    server.pass(24);
    server.wake_due(false);
    assert_eq!(server.mails().iter().map(|mail| mail.to.as_str()).collect::<Vec<_>>(), ["studio@example.org"]);
    assert!(!server.warnings.borrow()[0].contains("ada@example.com"), "{:?}", server.warnings.borrow());
}

/// RFC 5321 §2.4: what is before the `@` is for the other side to read.
#[test]
fn a_code_confirms_the_spelling_to_which_it_went() {
    let server = server();
    server.ask("add", &[("mailbox", ADA), ("address", "Victim@example.com")]).unwrap();
    server.tell("address", "victim@example.com");
    server.certified();
    server.pass(24);
    server.wake_due(false);
    assert_eq!(server.mails()[0].to, "victim@example.com");
}

#[test]
fn alr_07_alerts_by_sms_come_every_2_4_6_12_or_24_hours() {
    for hours in [2, 4, 6, 12, 24] {
        let server = server();
        server.tell("number", PHONE);
        server.ask("frequency", &[("mailbox", ADA), ("sms", &hours.to_string())]).unwrap();
        server.certified();
        server.now.set(NOON + hours * HOUR - 1);
        server.wake_due(false);
        assert!(server.sms().is_empty(), "{hours}");
        server.now.set(NOON + hours * HOUR);
        server.wake_due(false);
        assert_eq!(server.sms().len(), 1, "{hours}");
    }
    let server = server();
    for wrong in ["1", "36", "48"] {
        assert!(server.ask("frequency", &[("mailbox", ADA), ("sms", wrong)]).unwrap_err().contains("2, 4, 6, 12, 24"));
    }
    // A change counts from now, for what has arrived already too.
    server.tell("number", PHONE);
    server.certified();
    server.pass(20);
    server.ask("frequency", &[("mailbox", ADA), ("sms", "2")]).unwrap();
    server.pass(1);
    server.wake_due(false);
    assert!(server.sms().is_empty());
    server.pass(1);
    server.wake_due(false);
    assert_eq!(server.sms().len(), 1);
}

#[test]
fn alr_08_every_alert_says_that_it_exempts_nobody() {
    for (language, mail, sms) in [
        ("it", "non esonera il titolare", "non esonera dal controllare"),
        ("en", "does not exempt the holder", "does not exempt you"),
    ] {
        let server = server();
        server.set(ADA, "alerts-language", language);
        server.tell("address", "ada@example.com");
        server.tell("number", PHONE);
        server.certified();
        server.pass(24);
        server.wake_due(false);
        assert!(server.mails()[0].text().contains(mail), "{language}");
        assert!(server.sms()[0].text.contains(sms), "{language}");
        assert!(server.ask("list", &[("mailbox", ADA)]).unwrap()["note"].as_str().unwrap().contains(mail));
    }
}

#[test]
fn alr_09_alerts_by_mail_need_nothing_but_to_be_allowed() {
    // No target, no SMS: what every offer has.
    let mut config = common::settings();
    config.sms_target = None;
    let server = common::Server { config, ..server() };
    server.tell("address", "ada@example.com");
    server.certified();
    server.pass(24);
    server.wake_due(false);
    assert_eq!(server.mails().len(), 1);
}

#[test]
fn a_code_is_good_for_its_contact_its_time_and_few_tries() {
    let server = server();
    let ada = [("mailbox", ADA), ("address", "ada@example.com")];
    let confirm = |code: &str| server.ask("confirm", &[ada[0], ada[1], ("code", code)]);
    assert!(confirm("123456").unwrap_err().contains("no code"));
    server.ask("add", &ada).unwrap();
    let code = server.mail_code();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for left in (1..5).rev() {
        let answer = confirm(wrong).unwrap();
        assert_eq!((&answer["tries-left"], &answer["valid"]), (&left.into(), &false.into()));
    }
    assert_eq!(confirm(wrong).unwrap()["state"], "removed");
    assert!(confirm(&code).unwrap_err().contains("no code"), "after five tries the right one is none");
    server.ask("add", &ada).unwrap();
    let second = server.mail_code();
    assert_ne!(second, code, "another code each time");
    server.pass(24);
    assert!(confirm(&second).unwrap_err().contains("no code"), "after a day it is none");
    server.ask("add", &ada).unwrap();
    let third = server.mail_code();
    let spaced = format!("{} {}", &third[..3], &third[3..]);
    assert_eq!(confirm(&spaced).unwrap()["state"], "confirmed");
    assert!(server.mails().iter().all(|mail| mail.to == "ada@example.com"));
}

#[test]
fn nobody_is_bombed_with_codes() {
    let server = server();
    let add = |mailbox: &str, address: &str| {
        server.set(mailbox, "alerts", "allowed");
        server.ask("add", &[("mailbox", mailbox), ("address", address)])
    };
    // One address, asked for by many mailboxes.
    for n in 0..3 {
        add(&format!("m{n}@pec.alfa.example"), "victim@example.com").unwrap();
    }
    assert!(add("m9@pec.alfa.example", "Victim@example.com").unwrap_err().contains("got 3 codes"));
    // One mailbox that asks for many.
    for n in 0..5 {
        let _ = server.ask("remove", &[("mailbox", ADA), ("address", &format!("a{}@example.com", n - 1))]);
        add(ADA, &format!("a{n}@example.com")).unwrap();
    }
    server.ask("remove", &[("mailbox", ADA), ("address", "a4@example.com")]).unwrap();
    assert!(add(ADA, "b@example.com").unwrap_err().contains("sent 5 codes"));
    assert_eq!(server.mails().len(), 8);
    server.pass(24);
    add(ADA, "b@example.com").unwrap();
    add("m9@pec.alfa.example", "victim@example.com").unwrap();
}

#[test]
fn a_mailbox_that_is_gone_tells_nobody_and_leaves_nothing() {
    let server = server();
    server.tell("address", "ada@example.com");
    server.certified();
    server.gone.set(true);
    server.pass(24);
    server.wake_due(false);
    assert!(server.mails().is_empty());
    assert!(!server.disk.borrow().state.contains_key(&format!("m/{ADA}")));
}

#[test]
fn a_clock_that_is_set_and_a_change_of_legal_time_move_nothing_by_more_than_a_period() {
    let server = server();
    server.tell("number", PHONE);
    server.ask("frequency", &[("mailbox", ADA), ("sms", "2")]).unwrap();
    server.certified();
    // Back by a week: the wake-up that was asked for is far away, so the next arrival asks for another.
    server.now.set(NOON - 168 * HOUR);
    server.certified();
    let due = server.disk.borrow().timers[&format!("sms/{ADA}")];
    assert!(due > server.now.get() && due <= server.now.get() + 2 * HOUR);
    server.now.set(due);
    server.wake_due(false);
    assert_eq!(server.sms().len(), 1);
    assert!(server.sms()[0].text.contains("2 messaggi"));
    // Forward by a year: what is due comes once.
    server.certified();
    server.now.set(NOON + 8760 * HOUR);
    server.wake_due(false);
    server.wake_due(false);
    assert_eq!(server.sms().len(), 2);
    assert_ne!(server.sms()[0].key, server.sms()[1].key);
}
