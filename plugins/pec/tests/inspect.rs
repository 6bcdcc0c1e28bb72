//! `decode` and `verify` on what the plugin itself makes, and on the same altered: each alteration is found and named.
#![allow(clippy::unwrap_used, reason = "tests may")]

mod world;

use pec::inspect::{self, Outcome, Verified};
use world::exhibit::File;
use world::look::*;
use world::{HOUR, World, hex, sign, world};

/// Everything that one message makes, by the word of its type.
fn family(world: &World) -> Vec<(&'static str, Vec<u8>)> {
    let access = accepted(world);
    let envelope = access.message;
    let reception = taken(world, &envelope);
    let delivered = world.delivery(&world.beta, "ada@alfa.example", "bruno@beta.example", &envelope);
    world.beta.mailboxes.borrow_mut().insert("dora@beta.example".to_owned(), "full");
    let refused = world.delivery(&world.beta, "ada@alfa.example", "dora@beta.example", &envelope);
    let informal = String::from_utf8_lossy(ORIGINAL).replace("From: Ada <ada@", "From: Ada <altri@");
    let notice = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &TO, informal.as_bytes());
    let anomaly = world.reception(
        &world.beta,
        pec::host::Arrival::Relay,
        "x@posta.example",
        &["bruno@beta.example"],
        b"From: x@posta.example\r\nTo: bruno@beta.example\r\nSubject: ciao\r\nDate: Tue, 14 Dec 2021 14:54:29 +0100\r\n\r\nx\r\n",
    );
    world.pass(13 * HOUR);
    let late = world.fire_due(&world.alfa).into_iter().flat_map(|done| done.queued).next().unwrap();
    vec![
        ("transport-envelope", envelope),
        ("timeout-notice", late.bytes),
        ("acceptance-receipt", access.queued[0].bytes.clone()),
        ("take-charge-receipt", reception.queued[0].bytes.clone()),
        ("delivery-receipt", delivered.queued[0].bytes.clone()),
        ("non-delivery-notice", refused.queued[0].bytes.clone()),
        ("non-acceptance-notice", notice.queued[0].bytes.clone()),
        ("anomaly-envelope", anomaly.message),
    ]
}

fn verify(world: &World, message: &[u8]) -> Verified {
    inspect::verify(&File::new(world, message)).unwrap()
}

fn outcome(found: &Verified, check: &str, name: &str) -> Outcome {
    found.checks.iter().find(|c| c.check == check && c.name == name).unwrap().outcome
}

/// The message with one text for another, everywhere; it must have been there.
fn altered(message: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(message);
    assert!(text.contains(from), "{from} is not in the message");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn every_kind_is_told_and_genuine() {
    let world = world();
    for (word, message) in family(&world) {
        let found = verify(&world, &message);
        assert!(found.valid, "{word}: {}", found.result);
        assert_eq!((found.r#type, found.differences.len()), (word, 0), "{word}");
        assert_eq!(found.notes, Vec::<String>::new(), "{word}");
        assert!(found.checks.iter().all(|check| check.outcome == Outcome::Passed), "{word}: {:?}", found.checks);
        let decoded = inspect::decode(&File::new(&world, &message)).unwrap();
        assert_eq!((decoded.r#type, decoded.notes.len()), (word, 0));
        assert_eq!(decoded.certification_data.is_none(), word == "anomaly-envelope");
    }
}

#[test]
fn what_lies_inside_is_listed_with_its_digests() {
    use sha2::{Digest, Sha256};
    let world = world();
    let (_, envelope) = family(&world).remove(0);
    let decoded = inspect::decode(&File::new(&world, &envelope)).unwrap();
    let original = decoded.original.unwrap();
    assert_eq!(original.sha256, hex(&Sha256::digest(original_in(&envelope).unwrap())));
    let [attachment] = original.attachments.as_slice() else { panic!("{:?}", original.attachments) };
    assert_eq!((attachment.name.as_deref(), attachment.size), (Some("a.pdf"), 10));
    assert_eq!(attachment.sha256.as_deref(), Some(&*hex(&Sha256::digest([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]))));
    let subject = original.header.iter().find(|field| field.name == "Subject").unwrap();
    assert_eq!(subject.value, "Perché no? 10 €");
    let data = decoded.certification_data.unwrap();
    let kinds: Vec<&str> = data.recipients.iter().map(|r| r.kind).collect();
    assert_eq!((data.kind, kinds), ("posta-certificata", vec!["certificato", "certificato", "esterno"]));
}

/// Attack C3: whatever the header says that the signature does not cover.
#[test]
fn each_altered_field_of_the_header_is_named() {
    let world = world();
    let family = family(&world);
    let of = |word: &str| family.iter().find(|(w, _)| *w == word).unwrap().1.clone();
    let envelope = [
        ("Subject: POSTA CERTIFICATA", "Subject: POSTA CERTIFICATO", "Subject"),
        ("\"Per conto di: ada@", "\"Per conto di: eva@", "From"),
        ("To: Bruno <bruno@", "To: Bruno <brano@", "To"),
        ("Cc: dora@", "Cc: dara@", "Cc"),
        ("Reply-To: ada@", "Reply-To: eva@", "Reply-To"),
        ("Date: Tue, 14 Dec 2021", "Date: Tue, 14 Dec 2022", "Date"),
        ("Riferimento-Message-ID: <client-1@", "Riferimento-Message-ID: <client-2@", "X-Riferimento-Message-ID"),
        ("X-TipoRicevuta: completa", "X-TipoRicevuta: sintetica", "X-TipoRicevuta"),
    ];
    for (from, to, field) in envelope {
        let found = verify(&world, &altered(&of("transport-envelope"), from, to));
        let fields: Vec<&str> = found.differences.iter().map(|difference| difference.field).collect();
        assert_eq!((found.valid, fields), (false, vec![field]), "{from}");
        assert_eq!(outcome(&found, "C3", "integrity"), Outcome::Passed);
        assert!(found.result.contains(field), "{}", found.result);
    }
    let receipt = [
        ("To: ada@", "To: eva@", "To"),
        ("Subject: CONSEGNA", "Subject: CONSEGNO", "Subject"),
        ("Date: Tue, 14 Dec", "Date: Tue, 15 Dec", "Date"),
    ];
    for (from, to, field) in receipt {
        let found = verify(&world, &altered(&of("delivery-receipt"), from, to));
        assert_eq!((found.valid, found.differences[0].field), (false, field), "{from}");
    }
    for (from, to, named) in [
        ("X-Ricevuta: avvenuta-consegna", "X-Ricevuta: presa-in-carico", "another kind"),
        ("X-Ricevuta: avvenuta-consegna", "X-Ricevuta: avvenuto-consegna", "X-Ricevuta"),
        ("From: posta-certificata@beta", "From: posta-certificata@alfa", "From"),
    ] {
        let found = verify(&world, &altered(&of("delivery-receipt"), from, to));
        assert_eq!(outcome(&found, "C4", "form"), Outcome::Failed, "{from}");
        assert!(!found.valid && found.result.contains(named), "{}", found.result);
    }
    let found = verify(&world, &altered(&of("transport-envelope"), "\r\nMessage-ID: <", "\r\nMessage-ID: <1"));
    assert!(!found.valid && found.result.contains("Message-ID"), "{}", found.result);
}

#[test]
fn what_is_signed_cannot_be_altered() {
    let world = world();
    for (word, message) in family(&world) {
        let at = message.windows(9).position(|w| w == b"--=_mixed").unwrap() + 200;
        let mut changed = message.clone();
        changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
        let found = verify(&world, &changed);
        assert_eq!((found.valid, outcome(&found, "C3", "integrity")), (false, Outcome::Failed), "{word}");
        assert_eq!(outcome(&found, "C3", "trust"), Outcome::NotChecked);
    }
}

#[test]
fn what_is_not_given_is_not_claimed() {
    let world = world();
    let (_, envelope) = family(&world).remove(0);
    let look = |without: &[&str]| inspect::verify(&File::new(&world, &envelope).without(without)).unwrap();
    let nothing = look(&["anchors", "directory", "revocation-lists"]);
    assert!(!nothing.valid && nothing.result.contains("--anchors"), "{}", nothing.result);
    let trust = nothing.checks.iter().find(|check| check.name == "trust").unwrap();
    assert_eq!((trust.outcome, trust.reason.as_str()), (Outcome::NotChecked, "not checked: no anchors given"));
    assert_eq!(outcome(&nothing, "C2", "origin"), Outcome::NotChecked);
    assert_eq!(outcome(&nothing, "C3", "integrity"), Outcome::Passed);
    assert_eq!(nothing.provider, "no index given");
    let anchors = look(&["directory", "revocation-lists"]);
    assert!(anchors.valid && anchors.not_checked.iter().any(|text| text.contains("index")), "{}", anchors.result);
    let index = look(&["anchors"]);
    assert!(index.valid && index.provider.starts_with("Alfa"), "{}", index.result);
}

/// Attacks C1 and C2.
#[test]
fn a_stranger_with_the_right_words_is_no_provider() {
    let world = world();
    let (_, envelope) = family(&world).remove(0);
    let parts = pec::host::Message::parts(&world::parse::Parsed::new(&envelope)).unwrap();
    let (signed, signature) = (&parts[1], parts.iter().rfind(|part| part.parent == Some(0)).unwrap());
    let entity = &envelope[signed.header_offset as usize..signed.end() as usize];
    let forged = [
        &envelope[..signature.body_offset as usize],
        &pec::mime::base64_lines(&sign("Delta", entity)),
        &envelope[signature.end() as usize..],
    ]
    .concat();
    let found = verify(&world, &forged);
    assert_eq!((found.valid, outcome(&found, "C2", "origin")), (false, Outcome::Failed));
    // Beta's own signature on Alfa's words: whole, trusted, and not Beta's to say.
    let usurped = [
        &envelope[..signature.body_offset as usize],
        &pec::mime::base64_lines(&sign("Beta", entity)),
        &envelope[signature.end() as usize..],
    ]
    .concat();
    let found = verify(&world, &usurped);
    assert_eq!((found.valid, outcome(&found, "C4", "form")), (false, Outcome::Failed));
    assert!(found.result.contains("not of Beta"), "{}", found.result);
}

#[test]
fn ordinary_mail_and_ruins_are_told() {
    let world = world();
    let found = verify(&world, ORIGINAL);
    assert_eq!((found.valid, found.r#type), (false, "ordinary"));
    assert_eq!(outcome(&found, "C1", "existence"), Outcome::Failed);
    for ruin in [
        &b"A: b\r\n\r\n\xff\xfe\x00"[..],
        b"X-Trasporto: posta-certificata\r\n\r\n",
        b"X-Ricevuta: x\r\nX-Trasporto: errore\r\n",
    ] {
        assert!(!verify(&world, ruin).valid);
        inspect::decode(&File::new(&world, ruin)).unwrap();
    }
}

#[test]
fn the_file_itself_is_told_about() {
    let world = world();
    let (_, envelope) = family(&world).remove(0);
    let file = File::new(&world, &envelope).with("line-ends", "lf").with("mbox", "true");
    let found = inspect::verify(&file).unwrap();
    assert!(found.valid && found.notes.len() == 2 && found.notes[0].contains("bare LF"), "{:?}", found.notes);
}

/// Deviations of genuine providers: other order of elements, stray text, upper case, no Message-ID of the client.
#[test]
fn deviations_of_genuine_providers_are_notes() {
    let world = world();
    let family = family(&world);
    let envelope = &family[0].1;
    let shouted = altered(envelope, "X-TipoRicevuta: completa", "X-Tiporicevuta: COMPLETA");
    assert!(verify(&world, &shouted).valid);
    let without = altered(envelope, "X-TipoRicevuta: completa\r\n", "");
    let found = verify(&world, &without);
    assert!(found.valid && found.notes == ["the field X-TipoRicevuta is missing"], "{:?}", found.notes);
    let later = altered(envelope, "14:54:32 +0100", "14:54:39 +0100");
    let found = verify(&world, &later);
    assert!(found.valid && found.notes[0].contains("7 seconds"), "{:?} {}", found.notes, found.result);
    let listed = altered(envelope, "Subject: POSTA", "Subject: [lista] POSTA");
    assert_eq!(verify(&world, &listed).differences[0].field, "Subject");
}

#[test]
fn a_brief_receipt_counts_its_digests() {
    let world = world();
    let asked = altered(ORIGINAL, "MIME-Version: 1.0\r\n", "MIME-Version: 1.0\r\nX-TipoRicevuta: breve\r\n");
    let access = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &TO, &asked);
    taken(&world, &access.message);
    let delivered = world.delivery(&world.beta, "ada@alfa.example", "bruno@beta.example", &access.message);
    let receipt = &delivered.queued[0].bytes;
    let found = verify(&world, receipt);
    assert_eq!((found.valid, found.hashes), (true, Some(1)), "{}", found.result);
    assert!(found.not_checked.iter().any(|text| text.contains("brief receipt")));
    let hashes = inspect::decode(&File::new(&world, receipt)).unwrap().original.unwrap().hashes;
    assert_eq!((hashes[0].name.as_str(), hashes[0].sha1.len()), ("a.pdf", 40));
}

#[test]
fn answers_are_objects_with_stable_names() {
    let world = world();
    let (_, envelope) = family(&world).remove(0);
    let file = File::new(&world, &envelope);
    let names = |command: &str| {
        let text = inspect::answer(&file, command).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("decode"), "certification-data header notes original title type");
    assert_eq!(
        names("verify"),
        "certification-data checks differences not-checked notes provider result signature title type valid"
    );
    assert!(inspect::answer(&file, "erase").is_err());
}
