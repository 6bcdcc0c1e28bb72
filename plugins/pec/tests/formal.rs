//! Formal checks of the access point, one by one: what must hold, and the notice where it does not.
#![allow(clippy::unwrap_used, reason = "tests may")]

mod world;

use pec::certification_data::{CertificationKind, ErrorKind};
use pec::host::Verdict;
use world::look::*;
use world::{Done, World, world};

fn submit(world: &World, message: &str) -> Done {
    world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &TO, message.as_bytes())
}

fn original() -> String {
    String::from_utf8(ORIGINAL.to_vec()).unwrap()
}

fn assert_refused(done: &Done, reason: &str) {
    assert!(matches!(done.verdict, Ok(Verdict::Discard(_))), "{reason}: {:?}", done.verdict);
    let [notice] = done.queued.as_slice() else { panic!("one notice: {reason}") };
    assert_eq!(notice.to, ["ada@alfa.example"]);
    assert_eq!(header(&notice.bytes, "X-Ricevuta"), "non-accettazione");
    assert!(header(&notice.bytes, "Subject").starts_with("AVVISO DI NON ACCETTAZIONE:"));
    assert_eq!(original_in(&notice.bytes), None, "never the original");
    let data = data_of(&notice.bytes);
    assert_eq!((data.kind, data.error), (CertificationKind::NonAcceptance, ErrorKind::Other));
    let told = data.extended_error.unwrap();
    assert!(told.starts_with("5.6.0 - Alfa PEC S.p.A. - ") && told.contains(reason), "{reason} is not in {told}");
    assert!(text_of(&notice.bytes).contains("\na causa di "));
    assert_eq!(done.kinds(), ["non-acceptance"]);
}

#[test]
fn each_exception_is_told_in_a_notice() {
    let to = "To: Bruno <bruno@beta.example>";
    let cases = [
        // F1
        ("From: Ada", "riga senza nome\r\nFrom: Ada", "intestazione del messaggio con righe non valide"),
        ("Subject: ", "X-Lungo: caffè\r\nSubject: ", "intestazione del messaggio con caratteri non ammessi"),
        ("Subject: ", "Subject: due\r\nSubject: ", "campo Subject ripetuto"),
        ("Message-ID: ", "Message-ID: <x@y>\r\nMessage-ID: ", "campo Message-ID ripetuto"),
        ("<client-1@alfa.example>", "client-1", "campo Message-ID non valido"),
        ("Date: ", "X-Date: ", "campo Date mancante"),
        // F2
        ("From: Ada <ada@alfa.example>", "X-From: x", "campo From mancante"),
        ("From: Ada <ada@alfa.example>", "From: Ada", "campo From senza un indirizzo valido"),
        (
            "From: Ada <ada@alfa.example>",
            "From: ada@alfa.example, carla@alfa.example",
            "campo From con più di un mittente",
        ),
        // F3
        (to, "X-To: x", "campo To mancante"),
        (to, "To: bruno", "campo To senza un indirizzo valido"),
        // F4
        (
            "From: Ada <ada@alfa.example>",
            "From: carla@alfa.example",
            "mittente della trasmissione diverso dal campo From",
        ),
        // F5
        (to, "To: x@beta.example", "destinatario bruno@beta.example assente dai campi To e Cc"),
        // F6
        ("Date: ", "Bcc: segreto@x.example\r\nDate: ", "campo Bcc valorizzato"),
        // F9
        ("Date: ", "Sender: carla@alfa.example\r\nDate: ", "campo Sender diverso dal campo From"),
        ("Date: ", "Resent-From: ada@alfa.example\r\nDate: ", "campi Resent non ammessi"),
        (to, "To: gruppo: bruno@beta.example;", "campo To con un gruppo di indirizzi"),
    ];
    for (from, with, reason) in cases {
        let message = original().replacen(from, with, 1);
        assert_ne!(message, original());
        assert_refused(&submit(&world(), &message), reason);
    }
    let long = original().replacen("Date: ", &format!("X: {}\r\nDate: ", "x".repeat(996)), 1);
    assert_refused(&submit(&world(), &long), "righe troppo lunghe");
    let huge = original().replacen("Date: ", &"X: x\r\n".repeat(50_000), 1);
    assert_refused(&submit(&world(), &huge), "intestazione del messaggio troppo grande");
    let monstrous = original().replacen("client-1", &"x".repeat(10_000), 1);
    assert_refused(&submit(&world(), &monstrous), "campo Message-ID non valido");
}

#[test]
fn what_the_rules_allow_is_accepted() {
    for (from, with) in [
        ("From: Ada <ada@alfa.example>", "From: \"Ada: la, prima; (x)\" <ADA@alfa.example>"),
        ("Date: ", "Bcc:\r\nDate: "),
        ("Date: ", "Sender: ada@ALFA.example\r\nDate: "),
        ("Message-ID: <client-1@alfa.example>\r\n", ""),
        ("Subject: =?utf-8?Q?Perch=C3=A9_no=3F_10_=E2=82=AC?=\r\n", ""),
        ("Date: ", "Reply-To: Segreteria <segreteria@x.example>\r\nDate: "),
        ("Date: ", "X-Trasporto: posta-certificata\r\nX-Ricevuta: accettazione\r\nDate: "),
        (", esterno@posta.example", ",\r\n esterno@posta.example, altri@x.example"),
    ] {
        let message = original().replacen(from, with, 1);
        assert_ne!(message, original());
        let done = submit(&world(), &message);
        assert_eq!(done.verdict, Ok(Verdict::Continue), "{with}");
        assert_eq!(header(&done.message, "X-Trasporto"), "posta-certificata", "one, ours");
    }
}

#[test]
fn without_a_subject_or_message_id_their_elements_are_left_out() {
    let message = original().replacen("Message-ID: <client-1@alfa.example>\r\n", "", 1).replacen(
        "Subject: =?utf-8?Q?Perch=C3=A9_no=3F_10_=E2=82=AC?=\r\n",
        "",
        1,
    );
    let done = submit(&world(), &message);
    let data = data_of(&done.message);
    assert_eq!((data.subject, data.message_id), (None, None));
    assert_eq!(header(&done.message, "X-Riferimento-Message-ID"), "");
    assert_eq!(header(&done.message, "Subject"), "POSTA CERTIFICATA:");
}

#[test]
fn replies_go_where_the_original_says() {
    let message = original().replacen("Date: ", "Reply-To: Ufficio\r\n <ufficio@x.example>\r\nDate: ", 1);
    let done = submit(&world(), &message);
    assert_eq!(data_of(&done.message).reply_to, "ufficio@x.example");
    assert!(
        String::from_utf8_lossy(&done.message).contains("\r\nReply-To: Ufficio\r\n <ufficio@x.example>\r\n"),
        "unchanged"
    );
}

#[test]
fn c7_limits_are_exact_to_the_octet() {
    let mut world = world();
    let size = ORIGINAL.len() as u64;
    world.alfa.settings.limits.size_times_recipients = size * 3;
    assert_eq!(submit(&world, &original()).verdict, Ok(Verdict::Continue));
    world.alfa.settings.limits.size_times_recipients = size * 3 - 1;
    assert_refused(&submit(&world, &original()), "dimensione del messaggio per numero dei destinatari superiore a");
    world.alfa.settings.limits.size_times_recipients = u64::MAX;
    world.alfa.settings.limits.recipients_max = 2;
    assert_refused(&submit(&world, &original()), "numero dei destinatari superiore a 2");
}

#[test]
fn recipients_left_out_of_the_transaction_are_noted_or_refused() {
    let mut world = world();
    let message = original().replacen("esterno@posta.example", "esterno@posta.example, altri@x.example", 1);
    let done = submit(&world, &message);
    assert!(done.events[0].details.contains(&("warnings".into(), "not a recipient: altri@x.example".into())));
    world.alfa.settings.strict_recipients = true;
    assert_refused(&submit(&world, &message), "indirizzo altri@x.example dei campi To e Cc non tra i destinatari");
}

#[test]
fn a_repeated_recipient_counts_once() {
    let world = world();
    let to = ["bruno@beta.example", "BRUNO@beta.example", "dora@beta.example", "esterno@posta.example"];
    let done = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &to, ORIGINAL);
    assert_eq!(data_of(&done.message).recipients.len(), 3);
}

#[test]
fn nobody_submits_as_somebody_else() {
    let world = world();
    for (identity, from) in
        [("carla@alfa.example", "ada@alfa.example"), ("ada@alfa.example", ""), ("ada@alfa.example", "x@y.example")]
    {
        let done = world.access(&world.alfa, identity, from, &TO, ORIGINAL);
        assert!(
            matches!(done.verdict, Ok(Verdict::Reject(ref reply)) if (reply.code, reply.enhanced) == (553, "5.7.1"))
        );
        assert!(done.queued.is_empty() && done.events.is_empty());
    }
}

#[test]
fn a_forwarded_certified_message_gets_a_reference_of_its_own() {
    let message = original().replacen("Date: ", "X-Riferimento-Message-ID: <vecchio@x>\r\nDate: ", 1);
    let done = submit(&world(), &message);
    let inside = String::from_utf8(original_in(&done.message).unwrap()).unwrap();
    assert_eq!(inside.matches("X-Riferimento-Message-ID: ").count(), 1);
    assert!(inside.contains("X-Riferimento-Message-ID: <client-1@alfa.example>\r\n"));
}

#[test]
fn c7_a_thousand_recipients_are_accepted_and_one_more_is_not() {
    let world = world();
    let submit = |count: usize| {
        let to: Vec<String> = (0..count).map(|n| format!("u{n}@beta.example")).collect();
        let message = format!(
            "From: ada@alfa.example\r\nTo: {}\r\nDate: Tue, 14 Dec 2021 14:54:29 +0100\r\n\r\nx\r\n",
            to.join(",\r\n ")
        );
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &to, message.as_bytes())
    };
    let done = submit(1000);
    assert_eq!((done.verdict.clone(), data_of(&done.message).recipients.len()), (Ok(Verdict::Continue), 1000));
    assert_refused(&submit(1001), "numero dei destinatari superiore a 1000");
}

#[test]
fn m5_a_structure_that_readers_may_see_differently_is_not_accepted() {
    // The closing boundary is missing: what follows is a part for some and an epilogue for others.
    let open = original().replace("--b1--\r\n", "");
    assert_refused(&submit(&world(), &open), "struttura MIME del messaggio ambigua");
    // Inside an attached message it is somebody else's doing.
    let inner = "From: x@y.example\r\nContent-Type: multipart/mixed; boundary=b2\r\n\r\n--b2\r\nContent-Type: text/plain\r\n\r\nx\r\n";
    let part = format!("--b1\r\nContent-Type: message/rfc822\r\n\r\n{inner}--b1--\r\n");
    let done = submit(&world(), &original().replace("--b1--\r\n", &part));
    assert_eq!(done.verdict, Ok(Verdict::Continue));
    let warned = ("warnings".to_owned(), "ambiguous structure of an attached message".to_owned());
    assert!(done.events[0].details.contains(&warned));
}

#[test]
fn c4_the_client_s_message_id_is_never_ours() {
    let world = world();
    let first = data_of(&submit(&world, &original()).message).identifier;
    let second = data_of(&submit(&world, &original()).message).identifier;
    assert_ne!(first, second, "the same message again is another transaction");
    let absent = submit(&world, &original().replacen("Message-ID: <client-1@alfa.example>\r\n", "", 1));
    assert_eq!(data_of(&absent.message).message_id, None);
    let stolen = submit(&world, &original().replacen("client-1@alfa.example", &first, 1));
    let data = data_of(&stolen.message);
    assert_ne!(data.identifier, first, "an identifier that is used is only a client's word");
    assert_eq!(data.message_id, Some(format!("<{first}>")));
}

#[test]
fn c5_without_the_key_nothing_is_accepted_or_told() {
    let world = world();
    world.keys_down.set(true);
    for message in [original(), original().replacen("Date: ", "Bcc: x@y.example\r\nDate: ", 1)] {
        let done = submit(&world, &message);
        assert!(matches!(done.verdict, Err(pec::host::Failure::Transient(_))), "{:?}", done.verdict);
        assert!(
            done.queued.is_empty() && world.alfa.state.borrow().is_empty() && world.alfa.timers.borrow().is_empty()
        );
    }
}
