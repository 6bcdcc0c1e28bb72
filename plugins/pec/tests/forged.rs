//! What is not what it says it is: ordinary mail in certified dress, certified mail altered on the way, receipts that are
//! somebody else's. None of it gets a receipt or changes what the plugin knows.
#![allow(clippy::unwrap_used, reason = "tests may")]

mod world;

use pec::host::{Arrival, Message, Verdict};
use world::look::*;
use world::parse::Parsed;
use world::{Done, World, world};

const NOT_SIGNED: &str = "il messaggio non è firmato digitalmente";
const NOT_TRUSTED: &str = "la firma digitale del messaggio non risulta attendibile";
const NOT_A_PROVIDER: &str = "la firma digitale del messaggio non è di un gestore di posta certificata";

/// Beta gets this; it must come out in an anomaly envelope that names the problem, with nothing queued or remembered.
fn assert_anomaly(done: &Done, received: &[u8], problem: &str) {
    assert_eq!(done.verdict, Ok(Verdict::Continue));
    assert!(done.queued.is_empty(), "no receipt");
    assert_eq!(done.kinds(), ["anomaly"]);
    assert_eq!(header(&done.message, "X-Trasporto"), "errore");
    assert_eq!(header(&done.message, "X-Ricevuta"), "");
    assert!(header(&done.message, "Subject").starts_with("ANOMALIA MESSAGGIO: "));
    assert_eq!(original_in(&done.message).unwrap(), received, "whole, as it came");
    let text = text_of(&done.message);
    assert!(text.contains(&format!("\n{problem}\n")), "{problem} is not in: {text}");
    let parts = Parsed::new(&done.message).parts().unwrap();
    assert!(!parts.iter().any(|part| part.parent == Some(1) && part.is_named("daticert.xml")));
}

fn at_beta(world: &World, message: &[u8]) -> Done {
    world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &["bruno@beta.example"], message)
}

#[test]
fn ordinary_mail_reaches_the_user_as_an_anomaly() {
    let world = world();
    let done = at_beta(&world, ORIGINAL);
    assert_anomaly(&done, ORIGINAL, NOT_SIGNED);
    assert_eq!(header(&done.message, "From"), "\"Per conto di: ada@alfa.example\" <posta-certificata@beta.example>");
    assert_eq!(header(&done.message, "Message-ID"), "<client-1@alfa.example>", "its own");
    assert_eq!(header(&done.message, "To"), "Bruno <bruno@beta.example>");
    let delivered = world.delivery(&world.beta, "ada@alfa.example", "bruno@beta.example", &done.message);
    assert_eq!((delivered.verdict.clone(), delivered.queued.len()), (Ok(Verdict::Continue), 0));
}

#[test]
fn c2_certified_fields_on_ordinary_mail_do_not_certify_it() {
    for fields in
        ["X-Trasporto: posta-certificata\r\n", "X-Ricevuta: avvenuta-consegna\r\n", "X-Ricevuta: accettazione\r\n"]
    {
        let world = world();
        let message = [fields.as_bytes(), ORIGINAL].concat();
        assert_anomaly(&at_beta(&world, &message), &message, NOT_SIGNED);
        assert!(world.beta.state.borrow().is_empty());
    }
}

#[test]
fn c1_a_signature_of_nobody_in_the_index_is_ordinary_mail() {
    let world = world();
    let envelope = accepted(&world).message;
    let forged = altered_and_signed(&envelope, "no such text", "", "Omega");
    assert_anomaly(&at_beta(&world, &forged), &forged, NOT_A_PROVIDER);
}

#[test]
fn c3_one_altered_byte_of_what_is_signed_is_seen() {
    let world = world();
    let envelope = accepted(&world).message;
    let at = envelope.windows(8).position(|w| w == b"AAECAwQF").unwrap();
    let mut altered = envelope.clone();
    altered[at] = b'B';
    assert_anomaly(&at_beta(&world, &altered), &altered, NOT_TRUSTED);
}

#[test]
fn c5_a_stale_list_asks_for_patience_and_costs_nobody_a_certification() {
    let world = world();
    let envelope = accepted(&world).message;
    world.lists_stale.set(true);
    let done = at_beta(&world, &envelope);
    assert!(matches!(done.verdict, Ok(Verdict::Defer(reply)) if reply.code == 451));
    world.lists_stale.set(false);
    assert_eq!(at_beta(&world, &envelope).kinds(), ["take-charge"]);
}

/// Beta gets each of these messages and takes none of them for the envelope that it was.
fn assert_all_anomalies(world: &World, envelope: &[u8], cases: Vec<(Vec<u8>, &str)>) {
    for (message, problem) in cases {
        assert_ne!(message, envelope, "{problem}");
        assert_anomaly(&at_beta(world, &message), &message, problem);
    }
    assert!(world.beta.state.borrow().is_empty());
    assert_eq!(at_beta(world, envelope).kinds(), ["take-charge"], "the true one still passes");
}

/// Each field of the header that decides something; the header is not signed.
#[test]
fn c3_an_altered_header_does_not_agree_with_what_is_signed() {
    let world = world();
    let envelope = accepted(&world).message;
    let text = String::from_utf8(envelope.clone()).unwrap();
    let identifier = data_of(&envelope).identifier;
    let head = |from: &str, to: &str| text.replacen(from, to, 1).into_bytes();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (head("X-Trasporto: posta-certificata", "X-Trasporto: altro"), "campi X-Trasporto e X-Ricevuta non validi"),
        (head("X-Trasporto: posta-certificata", "X-Nessuno: x"), "campi X-Trasporto e X-Ricevuta non validi"),
        (
            head("X-Trasporto: posta-certificata", "X-Ricevuta: avvenuta-consegna"),
            "tipo del messaggio diverso da quello dei dati di certificazione",
        ),
        (
            head("X-Trasporto: posta-certificata", "X-Ricevuta: accettazione\r\nX-Trasporto: posta-certificata"),
            "campi X-Trasporto e X-Ricevuta non validi",
        ),
        (
            head(&format!("Message-ID: <{identifier}>"), "Message-ID: <other@alfa.example>"),
            "campo Message-ID diverso dall'identificativo dei dati di certificazione",
        ),
        (
            head(&format!("Message-ID: <{identifier}>"), "X-Id: none"),
            "campo Message-ID diverso dall'identificativo dei dati di certificazione",
        ),
        (
            head("Date: ", &format!("Message-ID: <{identifier}>\r\nDate: ")),
            "campo Message-ID diverso dall'identificativo dei dati di certificazione",
        ),
        (
            head("<posta-certificata@alfa.example>", "<ada@alfa.example>"),
            "campo From diverso dall'indirizzo del gestore firmatario",
        ),
        (head("From: \"Per", "From: x@y.example\r\nFrom: \"Per"), "campo From mancante o ripetuto"),
    ];
    assert_all_anomalies(&world, &envelope, cases);
}

/// Each datum that decides something, by a provider that signs what is not its to sign.
#[test]
fn c3_a_providers_signature_does_not_make_wrong_data_right() {
    let world = world();
    let envelope = accepted(&world).message;
    let again = |from: &str, to: &str| altered_and_signed(&envelope, from, to, "Alfa");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            again("<mittente>ada@alfa.example<", "<mittente>dora@beta.example<"),
            "mittente non appartenente al gestore firmatario",
        ),
        (
            again("<mittente>ada@alfa.example<", "<mittente>carla@alfa.example<"),
            "mittente della trasmissione diverso da quello dei dati di certificazione",
        ),
        (
            again(">bruno@beta.example</destinatari>", ">altri@beta.example</destinatari>"),
            "destinatario della trasmissione assente dai dati di certificazione",
        ),
        (
            again("tipo=\"posta-certificata\"", "tipo=\"accettazione\""),
            "tipo del messaggio diverso da quello dei dati di certificazione",
        ),
        (
            again("<identificativo>", "<identificativo>x"),
            "campo Message-ID diverso dall'identificativo dei dati di certificazione",
        ),
        (
            again("</dati>", "<identificativo>x</identificativo></dati>"),
            "dati di certificazione non validi: identificativo",
        ),
        (
            again("<postacert ", "<!DOCTYPE postacert [<!ENTITY a \"b\">]><postacert "),
            "dati di certificazione non leggibili",
        ),
        (again("</postacert>", ""), "dati di certificazione non leggibili"),
        (again("daticert.xml", "altro.xml"), "struttura del messaggio non valida: daticert.xml"),
        (
            again("filename=\"postacert.eml\"", "filename=\"daticert.xml\""),
            "struttura del messaggio non valida: daticert.xml",
        ),
    ];
    assert_all_anomalies(&world, &envelope, cases);
}

#[test]
fn an_envelope_sent_on_by_somebody_else_is_an_anomaly() {
    let world = world();
    let envelope = accepted(&world).message;
    let other_sender = world.reception(&world.beta, Arrival::Relay, "x@y.example", &["bruno@beta.example"], &envelope);
    assert_anomaly(
        &other_sender,
        &envelope,
        "mittente della trasmissione diverso da quello dei dati di certificazione",
    );
    let to = ["casella@beta.example"];
    let other_recipient = world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &to, &envelope);
    assert_anomaly(&other_recipient, &envelope, "destinatario della trasmissione assente dai dati di certificazione");
}

#[test]
fn what_only_a_reader_sees_is_noted_and_passes() {
    let world = world();
    let envelope = String::from_utf8(accepted(&world).message).unwrap();
    let altered = envelope
        .replacen("Subject: POSTA CERTIFICATA:", "Subject: POSTA CERTIFICATA: altro", 1)
        .replacen("To: Bruno <bruno@beta.example>", "To: dora@beta.example", 1)
        .replacen("Cc: dora@beta.example,", "Cc: bruno@beta.example,", 1)
        .replacen("X-TipoRicevuta: completa", "X-Tiporicevuta: sintetica", 1);
    let done = at_beta(&world, altered.as_bytes());
    assert_eq!(done.kinds(), ["take-charge"]);
    let warnings = &done.events[0].details.iter().find(|(name, _)| name == "warnings").unwrap().1;
    assert_eq!(warnings, "Subject differs, To differs, Cc differs, X-TipoRicevuta differs");
    // The form of the receipt comes from what is signed; a header that does not agree makes nobody a mere copy.
    let delivered = world.delivery(&world.beta, "ada@alfa.example", "bruno@beta.example", altered.as_bytes());
    assert!(original_in(&delivered.queued[0].bytes).is_some());
}

#[test]
fn c4_an_identifier_used_twice_loses_no_message() {
    let world = world();
    let envelope = accepted(&world).message;
    taken(&world, &envelope);
    let other = altered_and_signed(&envelope, "caffè", "tazze", "Alfa");
    assert_anomaly(&at_beta(&world, &other), &other, "identificativo già usato per un altro messaggio");
}

/// A delivery receipt of Beta for Ada.
fn receipt(world: &World) -> Vec<u8> {
    let envelope = accepted(world).message;
    taken(world, &envelope);
    world.delivery(&world.beta, "ada@alfa.example", "bruno@beta.example", &envelope).queued.remove(0).bytes
}

#[test]
fn c2_receipts_that_are_not_the_senders_or_the_signers_to_give_are_anomalies() {
    let world = world();
    let receipt = receipt(&world);
    let at_alfa = |to: &str, message: &[u8]| {
        let before = world.alfa.state.borrow().clone();
        let done = world.reception(&world.alfa, Arrival::Relay, "posta-certificata@beta.example", &[to], message);
        assert_eq!(*world.alfa.state.borrow(), before, "state unchanged");
        done
    };
    assert_anomaly(
        &at_alfa("carla@alfa.example", &receipt),
        &receipt,
        "ricevuta non ammessa per provenienza o destinazione",
    );
    let about_another =
        altered_and_signed(&receipt, "<consegna>bruno@beta.example<", "<consegna>esterno@posta.example<", "Beta");
    assert_anomaly(
        &at_alfa("ada@alfa.example", &about_another),
        &about_another,
        "ricevuta per destinatari non appartenenti al gestore firmatario",
    );
    let about_nobody = altered_and_signed(&receipt, "<consegna>bruno@beta.example</consegna>", "", "Beta");
    assert_anomaly(
        &at_alfa("ada@alfa.example", &about_nobody),
        &about_nobody,
        "ricevuta per destinatari non appartenenti al gestore firmatario",
    );
    let acceptance = altered_and_signed(&receipt, "avvenuta-consegna", "accettazione", "Beta");
    assert_anomaly(
        &at_alfa("ada@alfa.example", &acceptance),
        &acceptance,
        "ricevuta non ammessa per provenienza o destinazione",
    );
    let take_charge = altered_and_signed(&receipt, "avvenuta-consegna", "presa-in-carico", "Beta");
    assert_anomaly(
        &at_alfa("ada@alfa.example", &take_charge),
        &take_charge,
        "ricevuta non ammessa per provenienza o destinazione",
    );
}

#[test]
fn c2_receipts_about_recipients_that_were_never_there_end_no_wait() {
    let world = world();
    let receipt = receipt(&world);
    // Beta may speak for its domain, and the original never had this recipient, or another sender.
    for (from, to) in [("bruno@beta.example", "rita@beta.example"), ("<mittente>ada@", "<mittente>carla@")] {
        let forged = altered_and_signed(&receipt, from, to, "Beta");
        let before = (world.alfa.state.borrow().clone(), world.alfa.timers.borrow().clone());
        let to = if from.starts_with('<') { "carla@alfa.example" } else { "ada@alfa.example" };
        let done = world.reception(&world.alfa, Arrival::Relay, "posta-certificata@beta.example", &[to], &forged);
        assert_anomaly(&done, &forged, "ricevuta per destinatari non appartenenti al gestore firmatario");
        assert_eq!((world.alfa.state.borrow().clone(), world.alfa.timers.borrow().clone()), before);
    }
}

#[test]
fn c2_a_receipt_that_is_replayed_is_dropped() {
    let world = world();
    let receipt = receipt(&world);
    let at_alfa = || {
        world.reception(&world.alfa, Arrival::Relay, "posta-certificata@beta.example", &["ada@alfa.example"], &receipt)
    };
    assert_eq!(at_alfa().kinds(), ["receipt-received"]);
    let state = world.alfa.state.borrow().clone();
    let again = at_alfa();
    assert!(matches!(again.verdict, Ok(Verdict::Discard(_))) && again.queued.is_empty());
    assert_eq!(*world.alfa.state.borrow(), state);
}

#[test]
fn c2_our_own_acceptance_receipt_from_outside_is_an_anomaly() {
    let world = world();
    let receipt = accepted(&world).queued.remove(0);
    let done = world.reception(&world.alfa, Arrival::Relay, &receipt.from, &["ada@alfa.example"], &receipt.bytes);
    assert_anomaly(&done, &receipt.bytes, "ricevuta non ammessa per provenienza o destinazione");
}

#[test]
fn an_envelope_that_passed_by_the_reception_point_gets_no_receipt() {
    let world = world();
    let envelope = accepted(&world).message;
    let done = world.delivery(&world.beta, "ada@alfa.example", "bruno@beta.example", &envelope);
    assert!(matches!(done.verdict, Err(pec::host::Failure::Permanent(_))));
    assert!(done.queued.is_empty());
}

#[test]
fn ordinary_mail_for_nobody_or_unwanted_is_refused_in_the_session() {
    let mut world = world();
    let nobody = world.reception(&world.beta, Arrival::Relay, "x@y.example", &["nessuno@beta.example"], ORIGINAL);
    assert!(matches!(nobody.verdict, Ok(Verdict::Reject(ref reply)) if (reply.code, reply.enhanced) == (550, "5.1.1")));
    let some = ["nessuno@beta.example", "bruno@beta.example"];
    let some = world.reception(&world.beta, Arrival::Relay, "x@y.example", &some, ORIGINAL);
    assert_eq!(some.kinds(), ["anomaly"]);
    world.beta.settings.ordinary_mail = pec::settings::OrdinaryMail::Reject;
    let unwanted = at_beta(&world, ORIGINAL);
    assert!(matches!(unwanted.verdict, Ok(Verdict::Reject(ref reply)) if reply.code == 554 && reply.text.is_ascii()));
    assert_eq!(unwanted.kinds(), ["refusal"]);
    let report = world.reception(&world.beta, Arrival::Internal, "", &["bruno@beta.example"], ORIGINAL);
    assert_eq!(report.kinds(), ["anomaly"], "the server's own report has no session to be refused in");
}

#[test]
fn who_foresees_a_boundary_gains_nothing() {
    let world = world();
    // The ids of this world can be foreseen: the next ones are put into the original.
    let guesses: String =
        (1..=3).map(|n| format!("--=_mixed.7f3a.{n}\r\n\r\nfalso\r\n--=_signed.7f3a.{n}--\r\n")).collect();
    let original = String::from_utf8(ORIGINAL.to_vec()).unwrap().replace("--b1--", &format!("{guesses}--b1--"));
    let done = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &TO, original.as_bytes());
    let parts = Parsed::new(&done.message).parts().unwrap();
    assert_eq!(parts.iter().filter(|part| part.parent == Some(1)).count(), 3);
    assert!(original_in(&done.message).unwrap().ends_with(b"--b1--\r\n"));
}
