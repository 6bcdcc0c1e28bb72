//! What real providers and clients vary, and what the rules leave open: read in every form, written in the likelier one.
#![allow(clippy::unwrap_used, reason = "tests may")]

mod world;

use pec::certification_data::*;
use pec::host::{Arrival, Message, Verdict};
use world::look::*;
use world::parse::Parsed;
use world::{Done, House, World, world};

const BRUNO: &str = "bruno@beta.example";

fn at_beta(world: &World, envelope: &[u8]) -> Done {
    world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &[BRUNO], envelope)
}

fn text(message: &[u8]) -> String {
    String::from_utf8(message.to_vec()).unwrap()
}

fn submit(house: &House, world: &World, message: &str) -> Done {
    let done = world.access(house, "ada@alfa.example", "ada@alfa.example", &TO, message.as_bytes());
    assert_eq!(done.verdict, Ok(Verdict::Continue));
    done
}

#[test]
fn names_and_words_of_fields_are_read_in_any_case() {
    let world = world();
    let envelope = text(&accepted(&world).message)
        .replacen("X-Trasporto: posta-certificata", "X-TRASPORTO:  Posta-Certificata ", 1)
        .replacen("X-TipoRicevuta", "X-Tiporicevuta", 1);
    assert_eq!(at_beta(&world, envelope.as_bytes()).kinds(), ["take-charge"]);
    for (field, kind) in [
        ("X-Tiporicevuta: breve", DeliveryReceiptKind::Brief),
        ("x-tiporicevuta: SINTETICA", DeliveryReceiptKind::Concise),
        // Seen from a real client.
        ("X-TipoRicevuta: complet", DeliveryReceiptKind::Complete),
    ] {
        let done = submit(&world.alfa, &world, &text(ORIGINAL).replacen("Date: ", &format!("{field}\r\nDate: "), 1));
        assert_eq!(data_of(&done.message).receipt_kind, Some(kind), "{field}");
        assert_eq!(header(&done.message, "X-TipoRicevuta"), kind.word());
    }
}

#[test]
fn signatures_of_either_name_and_digest_are_taken() {
    // Whether the value itself is SHA-1 or SHA-256, BER or DER, is the server's to judge: `core/trust/tests`.
    let world = world();
    let envelope = text(&accepted(&world).message)
        .replace("application/pkcs7-signature", "application/x-pkcs7-signature")
        .replace("micalg=\"sha-256\"", "micalg=\"sha1\"");
    assert_eq!(at_beta(&world, envelope.as_bytes()).kinds(), ["take-charge"]);
}

/// The three parts of a signed entity, by its own boundary.
fn shuffled(entity: &str, order: [usize; 3]) -> String {
    let boundary = entity.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    let delimiter = format!("--{boundary}");
    let pieces: Vec<&str> = entity.split(&delimiter).collect();
    assert_eq!(pieces.len(), 5, "a head, three parts, an end");
    let parts = order.map(|index| pieces[index + 1]);
    [pieces[0], parts[0], parts[1], parts[2], pieces[4]].join(&delimiter)
}

#[test]
fn parts_are_found_by_name_wherever_they_stand_after_the_text() {
    let world = world();
    let envelope = accepted(&world).message;
    let swapped = resigned(&envelope, "Alfa", |entity| shuffled(entity, [0, 2, 1]));
    assert_ne!(swapped, envelope);
    assert_eq!(at_beta(&world, &swapped).kinds(), ["take-charge"]);
    let receipt = world.delivery(&world.beta, "ada@alfa.example", BRUNO, &swapped).queued.remove(0);
    assert_eq!(original_in(&receipt.bytes), original_in(&envelope));
    let text_last = resigned(&envelope, "Alfa", |entity| shuffled(entity, [1, 2, 0]));
    assert_eq!(at_beta(&world, &text_last).kinds(), ["anomaly"], "the text comes first");
}

#[test]
fn a_text_with_an_html_form_and_parts_of_the_provider_s_own_are_taken() {
    let world = world();
    let envelope = accepted(&world).message;
    let richer = resigned(&envelope, "Alfa", |entity| {
        let text = "Content-Type: text/plain; charset=\"iso-8859-1\"";
        let alternative = "Content-Type: multipart/alternative; boundary=a1\r\n\r\n--a1\r\nContent-Type: text/plain\r\n\r\nx\r\n--a1\r\n\
                           Content-Type: text/html\r\n\r\n<p>x</p>\r\n--a1--\r\n";
        let boundary = entity.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
        let end = entity.find(text).unwrap();
        let next = end + entity[end..].find(&format!("\r\n--{boundary}")).unwrap();
        let own = format!("\r\n--{boundary}\r\nContent-Type: image/png; name=logo.png\r\n\r\nx");
        let last = entity.rfind(&format!("\r\n--{boundary}--")).unwrap();
        [&entity[..end], alternative, &entity[next..last], &own, &entity[last..]].concat()
    });
    assert_eq!(at_beta(&world, &richer).kinds(), ["take-charge"]);
}

#[test]
fn data_without_the_client_s_message_id_go_the_whole_way() {
    let world = world();
    let done = submit(&world.alfa, &world, &text(ORIGINAL).replacen("Message-ID: <client-1@alfa.example>\r\n", "", 1));
    assert!(!data_of(&done.message).write().contains("msgid"));
    assert_eq!(header(&done.message, "X-Riferimento-Message-ID"), "");
    taken(&world, &done.message);
    let receipt = world.delivery(&world.beta, "ada@alfa.example", BRUNO, &done.message).queued.remove(0);
    let passed = world.reception(&world.alfa, Arrival::Relay, &receipt.from, &["ada@alfa.example"], &receipt.bytes);
    assert_eq!(passed.kinds(), ["receipt-received"]);
}

#[test]
fn addresses_change_their_case_along_the_way() {
    let world = world();
    let envelope = accepted(&world).message;
    let done = world.reception(&world.beta, Arrival::Relay, "ADA@Alfa.Example", &["Bruno@BETA.example"], &envelope);
    assert_eq!(done.kinds(), ["take-charge"]);
    let receipt = &done.queued[0];
    world.reception(&world.alfa, Arrival::Relay, &receipt.from, &["Casella@ALFA.example"], &receipt.bytes);
    let notes = world.alfa.state.borrow().iter().any(|(key, value)| key.starts_with("dispatch/") && value == b"taken");
    assert!(notes, "the take-charge of Bruno is Bruno's");
}

/// Providers write `no-dest` or `altro` for the same cause.
#[test]
fn a_non_delivery_is_final_with_any_word_but_no_error() {
    for (word, kinds) in [("no-dest", "receipt-received"), ("altro", "receipt-received"), ("nessuno", "anomaly")] {
        let world = world();
        let envelope = accepted(&world).message;
        taken(&world, &envelope);
        world.beta.mailboxes.borrow_mut().remove(BRUNO);
        let notice = world.delivery(&world.beta, "ada@alfa.example", BRUNO, &envelope).queued.remove(0);
        let varied = altered_and_signed(&notice.bytes, "errore=\"no-dest\"", &format!("errore=\"{word}\""), "Beta");
        let passed = world.reception(&world.alfa, Arrival::Relay, &notice.from, &["ada@alfa.example"], &varied);
        assert_eq!(passed.kinds(), [kinds], "{word}");
    }
}

#[test]
fn nothing_of_ours_has_a_sender_field_or_only_html() {
    let world = world();
    let done = accepted(&world);
    for message in [&done.message, &done.queued[0].bytes] {
        assert_eq!(Parsed::new(message).header_count("Sender"), 0);
        let types: Vec<String> =
            Parsed::new(message).parts().unwrap().into_iter().map(|part| part.media_type).collect();
        assert_eq!(types[..3], ["multipart/signed", "multipart/mixed", "text/plain"]);
    }
}

#[test]
fn brief_receipts_have_the_digest_that_the_operator_chose() {
    for (setting, digits) in [("{}", 40), (r#"{"brief-digest":"sha256"}"#, 64)] {
        let mut world = world();
        world.beta.configure(setting);
        let original = text(ORIGINAL).replacen("Date: ", "X-TipoRicevuta: breve\r\nDate: ", 1);
        let envelope = submit(&world.alfa, &world, &original).message;
        taken(&world, &envelope);
        let receipt = world.delivery(&world.beta, "ada@alfa.example", BRUNO, &envelope).queued.remove(0);
        let inside = text(&original_in(&receipt.bytes).unwrap());
        let hash = inside.split("filename=\"a.pdf.hash\"\r\n\r\n").nth(1).unwrap().split('\r').next().unwrap();
        assert!(hash.len() == digits && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
    }
}

#[test]
fn a_second_language_stands_below_the_first() {
    let mut world = world();
    for house in [&mut world.alfa, &mut world.beta] {
        house.configure(r#"{"second-language":"en"}"#);
    }
    let done = accepted(&world);
    let (receipt, envelope) = (text_of(&done.queued[0].bytes), text_of(&done.message));
    assert!(receipt.starts_with("Ricevuta di accettazione\n") && receipt.contains("\n\nAcceptance receipt\n"));
    assert!(envelope.contains("\n\nCertified mail message\n"));
    let taken = taken(&world, &done.message);
    assert!(text_of(&taken.queued[0].bytes).contains("\n\nTake-charge receipt\n"));
    let delivery = world.delivery(&world.beta, "ada@alfa.example", BRUNO, &done.message);
    assert!(text_of(&delivery.queued[0].bytes).contains("\n\nDelivery receipt\n"));
    assert!(text_of(&at_beta(&world, ORIGINAL).message).contains("\n\nMessage anomaly\n"));
}
