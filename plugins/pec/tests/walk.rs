//! The walk of a certified message between two providers, and within one.
#![allow(clippy::unwrap_used, reason = "tests may")]

mod world;

use pec::certification_data::*;
use pec::host::{Arrival, Verdict};
use world::look::*;
use world::{World, world};

#[test]
fn acceptance_is_a_receipt_and_an_envelope_of_one_instant() {
    let world = world();
    let done = accepted(&world);
    let [receipt] = done.queued.as_slice() else { panic!("one receipt") };
    assert_eq!(
        (receipt.from.as_str(), receipt.to.as_slice()),
        ("posta-certificata@alfa.example", &["ada@alfa.example".to_owned()][..])
    );
    assert_eq!(header(&receipt.bytes, "X-Ricevuta"), "accettazione");
    assert_eq!(header(&receipt.bytes, "Subject"), "ACCETTAZIONE: Perché no? 10 €");
    assert_eq!(header(&receipt.bytes, "From"), "posta-certificata@alfa.example");
    assert_eq!(header(&receipt.bytes, "To"), "ada@alfa.example");
    assert_eq!(header(&receipt.bytes, "X-Riferimento-Message-ID"), "<client-1@alfa.example>");
    assert_eq!(original_in(&receipt.bytes), None);
    assert_eq!(header(&done.message, "X-Trasporto"), "posta-certificata");
    assert_eq!(header(&done.message, "X-TipoRicevuta"), "completa");
    assert_eq!(header(&done.message, "Subject"), "POSTA CERTIFICATA: Perché no? 10 €");
    assert_eq!(header(&done.message, "From"), "\"Per conto di: ada@alfa.example\" <posta-certificata@alfa.example>");
    assert_eq!(header(&done.message, "Reply-To"), "ada@alfa.example");
    assert_eq!(header(&done.message, "Date"), "Tue, 14 Dec 2021 14:54:32 +0100");
    let (of_receipt, of_envelope) = (data_of(&receipt.bytes), data_of(&done.message));
    assert_eq!(of_receipt.instant, of_envelope.instant);
    assert_eq!(of_receipt.identifier, of_envelope.identifier);
    assert_eq!(header(&done.message, "Message-ID"), format!("<{}>", of_envelope.identifier));
    assert_ne!(header(&receipt.bytes, "Message-ID"), header(&done.message, "Message-ID"));
    assert_eq!(of_envelope.receipt_kind, Some(DeliveryReceiptKind::Complete));
    assert_eq!(of_receipt.receipt_kind, None);
    let kinds: Vec<_> = of_envelope.recipients.iter().map(|r| r.kind).collect();
    assert_eq!(kinds, [RecipientKind::Certified, RecipientKind::Certified, RecipientKind::External]);
    assert_eq!(done.kinds(), ["acceptance", "transport-envelope"]);
}

#[test]
fn the_original_is_inside_byte_for_byte() {
    let world = world();
    let done = accepted(&world);
    let identifier = data_of(&done.message).identifier;
    let expected = String::from_utf8(ORIGINAL.to_vec()).unwrap().replace(
        "Message-ID: <client-1@alfa.example>\r\n",
        &format!("Message-ID: <{identifier}>\r\nX-Riferimento-Message-ID: <client-1@alfa.example>\r\n"),
    );
    assert_eq!(String::from_utf8(original_in(&done.message).unwrap()).unwrap(), expected);
    assert!(done.own_octets < 8000, "the body is a range, not a copy: {}", done.own_octets);
    for line in done.message.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        assert!(line.ends_with(b"\r") && line.len() <= 999);
    }
    // 8-bit in the original: every part around it says so.
    assert_eq!(header(&done.message, "Content-Transfer-Encoding"), "8bit");
}

#[test]
fn acceptance_text_follows_the_model() {
    let world = world();
    let done = accepted(&world);
    let identifier = data_of(&done.message).identifier;
    assert_eq!(
        text_of(&done.queued[0].bytes).trim_end(),
        format!(
            "Ricevuta di accettazione\nIl giorno 14/12/2021 alle ore 14:54:32 (+0100) il messaggio\n\
             \"Perché no? 10 ?\" proveniente da \"ada@alfa.example\"\ned indirizzato a:\n\
             bruno@beta.example (\"posta certificata\")\ndora@beta.example (\"posta certificata\")\n\
             esterno@posta.example (\"posta ordinaria\")\nè stato accettato dal sistema ed inoltrato.\n\
             Identificativo messaggio: {identifier}"
        )
    );
}

#[test]
fn an_envelope_is_taken_in_charge_towards_the_sending_provider() {
    let world = world();
    let envelope = accepted(&world).message;
    let done = taken(&world, &envelope);
    assert_eq!(done.message, envelope, "an envelope goes on unmodified");
    let [receipt] = done.queued.as_slice() else { panic!("one receipt for both recipients") };
    assert_eq!(receipt.to, ["casella@alfa.example"]);
    assert_eq!(header(&receipt.bytes, "X-Ricevuta"), "presa-in-carico");
    assert_eq!(header(&receipt.bytes, "Subject"), "PRESA IN CARICO: Perché no? 10 €");
    let data = data_of(&receipt.bytes);
    assert_eq!(data.kind, CertificationKind::TakeCharge);
    assert_eq!(data.taken_in_charge, ["bruno@beta.example", "dora@beta.example"]);
    assert_eq!(data.provider, "Beta PEC S.p.A.");
    assert_eq!(data.recipients.len(), 3, "the list of the original, whole");
    assert_eq!(done.kinds(), ["take-charge"]);
    assert!(done.events[0].details.iter().all(|(name, _)| name != "warnings"), "{:?}", done.events[0].details);
    // At Alfa the receipt goes to the service mailbox and nowhere else.
    let at_alfa =
        world.reception(&world.alfa, Arrival::Relay, &receipt.from, &["casella@alfa.example"], &receipt.bytes);
    assert_eq!((at_alfa.verdict.clone(), at_alfa.kinds()), (Ok(Verdict::Continue), vec!["receipt-received"]));
}

#[test]
fn the_same_envelope_again_changes_nothing() {
    let world = world();
    let envelope = accepted(&world).message;
    taken(&world, &envelope);
    let to = ["Bruno@beta.example"];
    let again = world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &to, &envelope);
    assert!(matches!(again.verdict, Ok(Verdict::Discard(_))));
    assert!(again.queued.is_empty());
    let first = world.delivery(&world.beta, "ada@alfa.example", "bruno@beta.example", &envelope);
    assert_eq!((first.verdict.clone(), first.queued.len()), (Ok(Verdict::Continue), 1));
    let second = world.delivery(&world.beta, "ada@alfa.example", "bruno@beta.example", &envelope);
    assert!(matches!(second.verdict, Ok(Verdict::Discard(_))));
    assert!(second.queued.is_empty());
    assert_eq!(second.kinds(), ["duplicate"]);
}

#[test]
fn delivery_receipts_have_the_original_for_primary_recipients_only() {
    let world = world();
    let envelope = accepted(&world).message;
    taken(&world, &envelope);
    let to_primary = world.delivery(&world.beta, "ada@alfa.example", "bruno@beta.example", &envelope);
    let receipt = &to_primary.queued[0];
    assert_eq!(receipt.to, ["ada@alfa.example"]);
    assert_eq!(header(&receipt.bytes, "X-Ricevuta"), "avvenuta-consegna");
    assert_eq!(header(&receipt.bytes, "Subject"), "CONSEGNA: Perché no? 10 €");
    assert_eq!(original_in(&receipt.bytes), original_in(&envelope));
    let data = data_of(&receipt.bytes);
    assert_eq!(
        (data.delivery.as_deref(), data.receipt_kind),
        (Some("bruno@beta.example"), Some(DeliveryReceiptKind::Complete))
    );
    assert!(
        text_of(&receipt.bytes)
            .contains("ed indirizzato a \"bruno@beta.example\"\nè stato consegnato nella casella di destinazione.\n")
    );
    let to_copy = world.delivery(&world.beta, "ada@alfa.example", "dora@beta.example", &envelope);
    assert_eq!(original_in(&to_copy.queued[0].bytes), None);
    assert_eq!(data_of(&to_copy.queued[0].bytes).receipt_kind, Some(DeliveryReceiptKind::Complete));
    // Alfa passes it on to Ada once.
    for expected in [vec!["receipt-received"], vec!["duplicate"]] {
        let at_alfa =
            world.reception(&world.alfa, Arrival::Relay, &receipt.from, &["ada@alfa.example"], &receipt.bytes);
        assert_eq!(at_alfa.kinds(), expected);
        assert_eq!(at_alfa.message, receipt.bytes);
    }
    let filed = world.delivery(&world.alfa, &receipt.from, "ada@alfa.example", &receipt.bytes);
    assert_eq!((filed.verdict.clone(), filed.queued.len()), (Ok(Verdict::Continue), 0), "no receipt for a receipt");
}

fn asking_for(word: &str) -> Vec<u8> {
    let text = String::from_utf8(ORIGINAL.to_vec()).unwrap();
    text.replace("MIME-Version", &format!("X-TipoRicevuta: {word}\r\nMIME-Version")).into_bytes()
}

fn delivered(world: &World, original: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let done = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &TO, original);
    taken(world, &done.message);
    let mut delivery = world.delivery(&world.beta, "ada@alfa.example", "bruno@beta.example", &done.message);
    (done.message, delivery.queued.remove(0).bytes)
}

#[test]
fn a_concise_receipt_never_has_the_original() {
    let (envelope, receipt) = delivered(&world(), &asking_for("Sintetica"));
    assert_eq!(header(&envelope, "X-TipoRicevuta"), "sintetica");
    assert_eq!(original_in(&receipt), None);
    assert_eq!(data_of(&receipt).receipt_kind, Some(DeliveryReceiptKind::Concise));
    assert!(text_of(&receipt).starts_with("Ricevuta sintetica di avvenuta consegna\n"));
}

#[test]
fn a_brief_receipt_has_digests_for_attachments() {
    let (envelope, receipt) = delivered(&world(), &asking_for("breve"));
    let whole = String::from_utf8(original_in(&envelope).unwrap()).unwrap();
    let brief = String::from_utf8(original_in(&receipt).unwrap()).unwrap();
    // SHA-1 of "AAECAwQF\r\nBgcICQ==".
    let digest = world::hex(&<sha1::Sha1 as sha2::Digest>::digest(b"AAECAwQF\r\nBgcICQ=="));
    let replacement = format!(
        "Content-ID: <x@y>\r\nContent-Type: text/plain;\r\n name=\"a.pdf.hash\"\r\nContent-Transfer-Encoding: 7bit\r\n\
         Content-Disposition: attachment;\r\n filename=\"a.pdf.hash\"\r\n\r\n{digest}"
    );
    let attachment = "Content-Type: application/pdf; name=\"a.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\
                      Content-ID: <x@y>\r\n\r\nAAECAwQF\r\nBgcICQ==";
    assert!(whole.contains(attachment));
    assert_eq!(brief, whole.replace(attachment, &replacement));
    assert!(text_of(&receipt).starts_with("Ricevuta di avvenuta consegna breve\n"));
}

#[test]
fn a_word_that_is_no_form_of_receipt_means_complete() {
    let (envelope, _) = delivered(&world(), &asking_for("complet"));
    assert_eq!(header(&envelope, "X-TipoRicevuta"), "completa");
}

#[test]
fn who_cannot_receive_gets_a_notice_for_the_sender() {
    for (status, error, extended) in [
        (None, ErrorKind::WrongRecipient, "5.1.1 - Beta PEC S.p.A. - indirizzo non valido"),
        (Some("full"), ErrorKind::Other, "5.2.2 - Beta PEC S.p.A. - casella piena"),
        (Some("disabled"), ErrorKind::Other, "5.2.1 - Beta PEC S.p.A. - casella non abilitata alla ricezione"),
    ] {
        let world = world();
        let envelope = accepted(&world).message;
        taken(&world, &envelope);
        match status {
            Some(status) => world.beta.mailboxes.borrow_mut().insert("bruno@beta.example".into(), status),
            None => world.beta.mailboxes.borrow_mut().remove("bruno@beta.example"),
        };
        let done = world.delivery(&world.beta, "ada@alfa.example", "bruno@beta.example", &envelope);
        assert!(matches!(done.verdict, Ok(Verdict::Discard(_))));
        let notice = &done.queued[0];
        assert_eq!(notice.to, ["ada@alfa.example"]);
        assert_eq!(header(&notice.bytes, "X-Ricevuta"), "errore-consegna");
        assert_eq!(header(&notice.bytes, "Subject"), "AVVISO DI MANCATA CONSEGNA: Perché no? 10 €");
        let data = data_of(&notice.bytes);
        assert_eq!((data.kind, data.error), (CertificationKind::NonDelivery, error));
        assert_eq!(
            (data.delivery.as_deref(), data.extended_error.as_deref()),
            (Some("bruno@beta.example"), Some(extended))
        );
        assert!(
            text_of(&notice.bytes).contains(&format!(
                "è stato rilevato un errore {extended}.\nIl messaggio è stato rifiutato dal sistema."
            ))
        );
        assert_eq!(original_in(&notice.bytes), None);
        let at_alfa = world.reception(&world.alfa, Arrival::Relay, &notice.from, &["ada@alfa.example"], &notice.bytes);
        assert_eq!(at_alfa.kinds(), ["receipt-received"]);
    }
}

#[test]
fn mail_within_one_provider_takes_the_same_walk() {
    let world = world();
    let original = String::from_utf8(ORIGINAL.to_vec()).unwrap().replace("bruno@beta.example", "carla@alfa.example");
    let to = ["carla@alfa.example", "dora@beta.example", "esterno@posta.example"];
    let done = world.access(&world.alfa, "Ada@alfa.example", "ada@alfa.example", &to, original.as_bytes());
    let receipt = &done.queued[0];
    // The acceptance receipt reaches Ada through reception as our own.
    let own = world.reception(&world.alfa, Arrival::Internal, &receipt.from, &["ada@alfa.example"], &receipt.bytes);
    assert_eq!((own.verdict.clone(), own.kinds()), (Ok(Verdict::Continue), vec!["receipt-received"]));
    let envelope = done.message;
    let inside =
        world.reception(&world.alfa, Arrival::Internal, "ada@alfa.example", &["carla@alfa.example"], &envelope);
    assert_eq!(inside.verdict, Ok(Verdict::Continue));
    assert_eq!(inside.queued[0].to, ["casella@alfa.example"], "our own service mailbox");
    let pic = &inside.queued[0];
    let back = world.reception(&world.alfa, Arrival::Internal, &pic.from, &["casella@alfa.example"], &pic.bytes);
    assert_eq!(back.kinds(), ["receipt-received"]);
    let delivered = world.delivery(&world.alfa, "ada@alfa.example", "carla@alfa.example", &envelope);
    assert_eq!((delivered.verdict.clone(), delivered.queued.len()), (Ok(Verdict::Continue), 1));
}

#[test]
fn a_remote_failure_becomes_a_notice_of_the_senders_provider() {
    let world = world();
    let envelope = accepted(&world).message;
    let from = "ada@alfa.example";
    for (to, status, code, expected) in [
        ("bruno@beta.example", "failed", Some("5.1.1"), "5.1.1 - Alfa PEC S.p.A. - indirizzo non valido"),
        ("dora@beta.example", "expired", None, "5.4.7 - Alfa PEC S.p.A. - tempo massimo per la consegna superato"),
    ] {
        let done = world.outcome(&world.alfa, from, to, status, code, &envelope);
        assert!(matches!(done.verdict, Ok(Verdict::Discard(_))), "no report of the server beside ours");
        let notice = &done.queued[0];
        assert_eq!(notice.to, [from]);
        assert_eq!(data_of(&notice.bytes).extended_error.as_deref(), Some(expected));
        // It reaches Ada as our own notice about another provider's recipient.
        let inside = world.reception(&world.alfa, Arrival::Internal, &notice.from, &[from], &notice.bytes);
        assert_eq!(inside.kinds(), ["receipt-received"]);
        let again = world.outcome(&world.alfa, from, to, status, code, &envelope);
        assert!(again.queued.is_empty(), "once");
    }
    let external = world.outcome(&world.alfa, from, "esterno@posta.example", "failed", Some("5.1.1"), &envelope);
    assert_eq!((external.verdict.clone(), external.queued.len()), (Ok(Verdict::Continue), 0));
    let elsewhere = world.outcome(&world.beta, from, "bruno@beta.example", "failed", Some("5.1.1"), &envelope);
    assert_eq!(
        (elsewhere.verdict.clone(), elsewhere.queued.len()),
        (Ok(Verdict::Continue), 0),
        "not Beta's to certify"
    );
}

#[test]
fn who_took_it_in_charge_answers_for_it() {
    let world = world();
    let envelope = accepted(&world).message;
    let receipt = taken(&world, &envelope).queued.remove(0);
    world.reception(&world.alfa, Arrival::Relay, &receipt.from, &["casella@alfa.example"], &receipt.bytes);
    let done = world.outcome(&world.alfa, "ada@alfa.example", "bruno@beta.example", "failed", Some("5.3.0"), &envelope);
    assert!(matches!(done.verdict, Ok(Verdict::Discard(_))));
    assert!(done.queued.is_empty());
}

#[test]
fn nothing_unsigned_leaves_when_the_key_is_away() {
    let world = world();
    world.keys_down.set(true);
    let done = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &TO, ORIGINAL);
    assert!(matches!(done.verdict, Err(pec::host::Failure::Transient(_))));
    assert!(done.queued.is_empty() && done.events.is_empty() && world.alfa.state.borrow().is_empty());
}
