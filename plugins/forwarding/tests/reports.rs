//! What comes to the plugin's addresses: reports are counted and end here, forged ones are refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use forwarding::forward::{self, Filed};
use forwarding::operations;
use forwarding::record::Record;
use forwarding::report::{self, Arrived, Verdict};
use forwarding::return_address::{self, Reading};
use proptest::prelude::*;
use world::{DAY, MAILBOX, Mail, NOON, Server, bytes, settings};

const TO: &str = "bruno@mail.example";

/// A server that has sent one copy, and the address for reports about it.
fn one_copy() -> (Server, String) {
    let server = Server::forwarding(TO);
    let filed = Filed { mailbox: MAILBOX.into(), reverse_path: "ada@pec.alfa.example".into() };
    forward::run(&server, &Mail::of("Subject: x\n\nx\n"), &settings(""), &filed).unwrap();
    let address = server.sent.borrow()[0].reverse_path.clone();
    (server, address)
}

fn dsn(action: &str, status: &str) -> Mail {
    Mail::of(&format!(
        "From: MAILER-DAEMON@mail.example\nSubject: Undelivered\nContent-Type: multipart/report; report-type=delivery-status; \
         boundary=b\n\n--b\n\nSorry.\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mail.example\n\n\
         Final-Recipient: rfc822; {TO}\nAction: {action}\nStatus: {status}\nDiagnostic-Code: smtp; 550\n \u{1b}[31mno such\u{7} user\n\n\
         --b\nContent-Type: text/rfc822-headers\n\nSubject: x\n\n--b--\n"
    ))
}

/// The receipt of somebody who read the copy of a message that was a report itself.
fn about_a_copy_of_a_report() -> Mail {
    let inside = String::from_utf8(dsn("failed", "5.1.1").0).unwrap();
    Mail::of(&format!(
        "Subject: Read\nContent-Type: multipart/report; report-type=disposition-notification; boundary=o\n\n--o\n\nread\n\
         --o\nContent-Type: message/rfc822\n\n{inside}\n--o--\n"
    ))
}

fn arrive(server: &Server, message: &Mail, from: &str, to: &str) -> Verdict {
    let arrived = Arrived { reverse_path: from.into(), recipients: vec![to.into()] };
    report::run(server, message, &settings(""), &arrived).unwrap()
}

fn record(server: &Server) -> Record {
    let handle = return_address::handle(server, MAILBOX, TO).unwrap();
    Record::read(server, &handle).unwrap().unwrap()
}

#[test]
fn a_report_is_counted_and_never_passed_on() {
    let (server, address) = one_copy();
    for (index, address) in [address.clone(), address.to_lowercase(), address.to_uppercase()].iter().enumerate() {
        assert!(matches!(arrive(&server, &dsn("failed", "5.1.1"), "", address), Verdict::Discard(_)));
        assert_eq!(record(&server).failures.len(), index + 1);
    }
    assert_eq!(server.sent.borrow().len(), 1, "nothing was sent to anybody, least of all to the sender");
    assert_eq!(server.kinds(), ["forwarded", "forward-failed", "forward-failed", "forward-failed"]);
    let reason = &server.events.borrow()[1].details[1].1.clone();
    assert!(reason.contains("5.1.1") && reason.is_ascii() && !reason.contains('\u{1b}'), "{reason}");
}

#[test]
fn what_is_no_failure_of_the_address_is_not_counted() {
    let (server, address) = one_copy();
    for (message, from) in [
        (dsn("delayed", "4.4.1"), ""),
        (dsn("delivered", "2.0.0"), ""),
        (dsn("relayed", "2.0.0"), ""),
        (dsn("failed", "5.3.4"), ""),
        (dsn("failed", "5.2.3"), ""),
        // What a filter refuses: five such messages from anybody must not end the forward.
        (dsn("failed", "5.7.1"), ""),
        (dsn("failed", "5.6.0"), ""),
        (Mail::of("Subject: I am on holiday\nAuto-Submitted: auto-replied\n\nBack in August\n"), ""),
        (Mail::of("Subject: I am on holiday\nAuto-Submitted: auto-replied\n\nBack in August\n"), TO),
        (
            Mail::of(
                "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b\n\nread\n--b--\n",
            ),
            "",
        ),
        (Mail::of("\n"), ""),
        (about_a_copy_of_a_report(), ""),
    ] {
        assert!(matches!(arrive(&server, &message, from, &address), Verdict::Discard(_)));
    }
    assert_eq!(record(&server).failures, Vec::<u64>::new());
    assert!(matches!(
        arrive(&server, &Mail::of("X-Failed-Recipients: a@b\n\nExim says no\n"), "", &address),
        Verdict::Discard(_)
    ));
    assert_eq!(record(&server).failures.len(), 1);
}

#[test]
fn people_who_write_to_these_addresses_are_told_so() {
    let (server, address) = one_copy();
    for to in [address.as_str(), "inoltro@fwd.beta.example", "Inoltro@FWD.beta.example"] {
        let Verdict::Reject(code, words) = arrive(&server, &Mail::of("Subject: hello\n\nx\n"), TO, to) else {
            panic!("{to}")
        };
        assert_eq!(code, "5.7.1");
        assert!(words.is_ascii() && words.len() < 400);
    }
    assert!(matches!(arrive(&server, &dsn("failed", "5.1.1"), "", "inoltro@fwd.beta.example"), Verdict::Discard(_)));
}

#[test]
fn what_is_not_for_the_plugin_alone_goes_on() {
    let (server, address) = one_copy();
    assert_eq!(arrive(&server, &dsn("failed", "5.1.1"), "", MAILBOX), Verdict::Continue);
    let both = Arrived { reverse_path: String::new(), recipients: vec![address, MAILBOX.into()] };
    assert_eq!(report::run(&server, &dsn("failed", "5.1.1"), &settings(""), &both).unwrap(), Verdict::Continue);
    assert_eq!(record(&server).failures.len(), 0);
}

#[test]
fn so_many_failures_suspend_the_forward_and_tell_the_user_once() {
    let (server, address) = one_copy();
    for day in 0..8 {
        server.now.set(NOON + day * DAY / 2);
        arrive(&server, &dsn("failed", "5.1.1"), "", &address);
    }
    let record = record(&server);
    assert_eq!((record.suspended.as_ref().unwrap().word.as_str(), record.failures.len()), ("failures", 5));
    let sent = server.sent.borrow().clone();
    assert_eq!(sent.len(), 2, "one copy, one notice");
    assert_eq!((sent[1].recipient.as_str(), sent[1].reverse_path.as_str()), (MAILBOX, ""));
    let notice = bytes(&sent[1], b"");
    let text = mail_parser::MessageParser::new().parse(&notice).unwrap().body_text(0).unwrap().into_owned();
    assert!(text.contains(TO) && text.contains("sospeso") && text.contains("5.1.1"), "{text}");
    // Nothing goes to that address any more; the other one is not touched.
    server.choose(MAILBOX, "allowed", &format!("{TO}, other@mail.example"));
    let filed = Filed { mailbox: MAILBOX.into(), reverse_path: "a@b.example".into() };
    forward::run(&server, &Mail::of("Subject: y\n\ny\n"), &settings(""), &filed).unwrap();
    assert_eq!(server.sent.borrow().last().unwrap().recipient, "other@mail.example");
    assert_eq!(server.sent.borrow().len(), 3);
}

/// A rule of the other side may refuse every copy: the user hears of it, and what others send goes on.
#[test]
fn copies_that_are_not_taken_are_told_once_and_suspend_nothing() {
    let (server, address) = one_copy();
    for hour in 0..30 {
        server.now.set(NOON + hour * DAY / 24);
        arrive(&server, &dsn("failed", "5.7.1"), "", &address);
    }
    assert!(record(&server).suspended.is_none() && record(&server).failures.is_empty());
    let sent = server.sent.borrow().clone();
    assert_eq!(sent.len(), 2, "one copy, one notice");
    assert_eq!((sent[1].recipient.as_str(), sent[1].reverse_path.as_str()), (MAILBOX, ""));
    let notice = bytes(&sent[1], b"");
    let text = mail_parser::MessageParser::new().parse(&notice).unwrap().body_text(0).unwrap().into_owned();
    assert!(text.contains(TO) && text.contains("L'inoltro continua") && text.contains("5.7.1"), "{text}");
    assert_eq!(server.kinds().iter().filter(|kind| **kind == "forward-not-taken").count(), 1);
    server.now.set(NOON + 9 * DAY);
    for _ in 0..5 {
        arrive(&server, &dsn("failed", "5.7.1"), "", &address);
    }
    assert_eq!(server.sent.borrow().len(), 3, "and again after those days");
}

#[test]
fn failures_that_lie_apart_suspend_nothing() {
    let (server, address) = one_copy();
    for week in 0..10 {
        server.now.set(NOON + week * 2 * DAY);
        let filed = Filed { mailbox: MAILBOX.into(), reverse_path: "a@b.example".into() };
        forward::run(&server, &Mail::of("Subject: y\n\ny\n"), &settings(""), &filed).unwrap();
        arrive(&server, &dsn("failed", "5.1.1"), "", &address);
    }
    assert!(record(&server).suspended.is_none());
    assert_eq!(record(&server).failures.len(), 4, "those of the last seven days");
}

#[test]
fn an_operator_sees_and_resumes() {
    let (server, address) = one_copy();
    for _ in 0..5 {
        arrive(&server, &dsn("failed", "5.1.1"), "", &address);
    }
    let status: serde_json::Value =
        serde_json::from_str(&operations::status(&server, Some(MAILBOX), None).unwrap()).unwrap();
    assert_eq!(status["forwards"][0]["to"], TO);
    assert_eq!(status["forwards"][0]["suspended"]["word"], "failures");
    assert!(status["forwards"][0]["suspended"]["since"].as_str().unwrap().ends_with('Z'), "{status}");
    assert_eq!(status.get("next"), None);
    let none: serde_json::Value =
        serde_json::from_str(&operations::status(&server, Some("x@y.example"), None).unwrap()).unwrap();
    assert_eq!(none["forwards"], serde_json::json!([]));

    let resume = |to| -> serde_json::Value {
        serde_json::from_str(&operations::resume(&server, &settings(""), MAILBOX, to).unwrap()).unwrap()
    };
    let why = format!("no forward of {MAILBOX} is suspended or has failures");
    let none = serde_json::json!({ "resumed": [], "why": why, "valid": false });
    assert_eq!(resume(Some("other@mail.example")), none);
    assert_eq!(resume(None), serde_json::json!({ "resumed": [TO], "valid": true }));
    assert_eq!(resume(None)["valid"], false, "there is nothing more to resume");
    assert!(record(&server).suspended.is_none() && record(&server).failures.is_empty());
    let filed = Filed { mailbox: MAILBOX.into(), reverse_path: "a@b.example".into() };
    forward::run(&server, &Mail::of("Subject: y\n\ny\n"), &settings(""), &filed).unwrap();
    assert_eq!(server.sent.borrow().last().unwrap().recipient, TO);
    assert!(server.kinds().contains(&"forward-resumed"));
}

#[test]
fn a_long_list_comes_in_pages() {
    let server = Server::new(b"beta");
    for index in 0..1200 {
        let mailbox = format!("box{index}@pec.beta.example");
        server.choose(&mailbox, "allowed", TO);
        let filed = Filed { mailbox, reverse_path: "a@b.example".into() };
        forward::run(&server, &Mail::of("Subject: y\n\ny\n"), &settings(""), &filed).unwrap();
    }
    let (mut seen, mut after, mut pages) = (0, None, 0);
    loop {
        let page: serde_json::Value =
            serde_json::from_str(&operations::status(&server, None, after.as_deref()).unwrap()).unwrap();
        seen += page["forwards"].as_array().unwrap().len();
        pages += 1;
        // Long work shows its last answer only: pages that said `more` would be lost but for the last.
        assert_eq!(page.get("more"), None);
        let Some(next) = page.get("next") else { break };
        after = Some(next.as_str().unwrap().to_owned());
    }
    assert_eq!((seen, pages), (1200, 3));
    for index in [0, 700, 1199] {
        let one = operations::status(&server, Some(&format!("box{index}@pec.beta.example")), None).unwrap();
        let one: serde_json::Value = serde_json::from_str(&one).unwrap();
        assert_eq!((one["forwards"].as_array().unwrap().len(), one.get("next")), (1, None));
    }
}

#[test]
fn an_address_counts_for_its_time_and_no_longer() {
    let (server, address) = one_copy();
    let read = |at: u64| {
        server.now.set(at);
        return_address::read(&server, &settings(""), &address).unwrap()
    };
    let ours = Reading::Ours(return_address::handle(&server, MAILBOX, TO).unwrap());
    assert_eq!(read(NOON), ours);
    assert_eq!(read(NOON + 21 * DAY), ours);
    assert_eq!(read(NOON - DAY), ours, "a clock that was ahead");
    assert_eq!(read(NOON + 22 * DAY), Reading::Refused);
    assert_eq!(read(NOON + 500 * DAY), Reading::Refused);
    for round in 1..4 {
        assert_eq!(read(NOON + round * 1024 * DAY), Reading::Refused, "when the letters of the day come round");
        assert_eq!(read(NOON + (round * 1024 + 7) * DAY), Reading::Refused);
    }
    assert_eq!(
        arrive(&server, &dsn("failed", "5.1.1"), "", &address),
        Verdict::Reject("5.1.1", "No such address, or its time is over")
    );
    assert_eq!(record(&server).failures.len(), 0);
}

#[test]
fn another_server_s_address_is_refused() {
    let (_, address) = one_copy();
    let other = Server::new(b"gamma");
    assert_eq!(return_address::read(&other, &settings(""), &address).unwrap(), Reading::Refused);
}

proptest! {
    /// Round trip: what was made is read, whatever mailbox and address it is for.
    #[test]
    fn what_was_made_is_read(mailbox in "[a-z.]{1,30}@[a-z]{1,20}\\.example", to in "[a-zA-Z0-9]{1,30}@[a-z]{1,20}\\.it", days in 0u64..22) {
        let server = Server::new(b"beta");
        let handle = return_address::handle(&server, &mailbox, &to).unwrap();
        let address = return_address::make(&server, &settings(""), &handle).unwrap();
        prop_assert!(address.rsplit_once('@').unwrap().0.len() <= 64);
        server.now.set(NOON + days * DAY);
        prop_assert_eq!(return_address::read(&server, &settings(""), &address).unwrap(), Reading::Ours(handle));
    }

    /// An address is good from the day on which it was made to the last of its days, and on no other day for ever.
    #[test]
    fn an_address_has_one_time(days in 0u64..40_000, report_days in 1u64..=365) {
        let server = Server::new(b"beta");
        let settings = settings(&format!(", \"report-days\": {report_days}"));
        let handle = return_address::handle(&server, MAILBOX, TO).unwrap();
        let address = return_address::make(&server, &settings, &handle).unwrap();
        server.now.set(NOON + days * DAY);
        let expected = if days <= report_days { Reading::Ours(handle) } else { Reading::Refused };
        prop_assert_eq!(return_address::read(&server, &settings, &address).unwrap(), expected);
    }

    /// One character changed, and it is refused, or no address of this kind.
    #[test]
    fn what_was_changed_is_refused(at in 0usize..49, with in "[0-9a-zA-Z=]") {
        let server = Server::new(b"beta");
        let handle = return_address::handle(&server, MAILBOX, TO).unwrap();
        let address = return_address::make(&server, &settings(""), &handle).unwrap();
        let mut changed = address.clone();
        changed.replace_range(at..=at, &with);
        prop_assume!(!changed.eq_ignore_ascii_case(&address));
        let read = return_address::read(&server, &settings(""), &changed).unwrap();
        prop_assert!(!matches!(read, Reading::Ours(_)), "{changed}");
    }

    /// Whatever somebody sends there, it is refused or not ours.
    #[test]
    fn what_was_made_up_is_refused(local in "[ -~]{0,64}") {
        let server = Server::new(b"beta");
        for address in [format!("{local}@fwd.beta.example"), format!("SRS0={local}@fwd.beta.example"), format!("SRS0={local}")] {
            let read = return_address::read(&server, &settings(""), &address).unwrap();
            prop_assert!(!matches!(read, Reading::Ours(_)), "{address}");
        }
    }

    /// A report of any bytes ends, and never as anything but taken or refused.
    #[test]
    fn any_report_ends(body in proptest::collection::vec(any::<u8>(), 0..400), kind in 0usize..3) {
        let (server, address) = one_copy();
        let head: &[u8] = [
            &b"Content-Type: message/delivery-status\r\n\r\n"[..],
            b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n",
            b"",
        ][kind];
        let verdict = arrive(&server, &Mail([head, &body].concat()), "", &address);
        prop_assert!(matches!(verdict, Verdict::Discard(_)));
    }
}
