//! The truth tables of the rules, row by row against the running points: every combination is built as a message and goes
//! through the stage, and what comes out must be what the table says in words.
#![allow(clippy::unwrap_used, reason = "tests may")]

mod world;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pec::host::{Arrival, Message, Verdict};
use world::look::*;
use world::parse::Parsed;
use world::{Done, House, World, sign, world};

const ADA: &str = "ada@alfa.example";
const BRUNO: &str = "bruno@beta.example";

/// What a step did, in one word for the verdict and the kinds of what it queued.
fn did(done: &Done) -> (&'static str, Vec<String>) {
    let word = match &done.verdict {
        Ok(Verdict::Continue) => "continue",
        Ok(Verdict::Reject(_)) => "reject",
        Ok(Verdict::Defer(_)) => "defer",
        Ok(Verdict::Discard(_)) => "discard",
        Err(_) => "fail",
        Ok(Verdict::Quarantine(_)) => "quarantine",
    };
    (word, done.queued.iter().map(|queued| header(&queued.bytes, "X-Ricevuta")).collect())
}

fn check(row: &str, done: &Done, verdict: &str, queued: &[&str]) {
    let (word, kinds) = did(done);
    assert_eq!((word, kinds.iter().map(String::as_str).collect::<Vec<_>>()), (verdict, queued.to_vec()), "{row}");
}

// --- Access point --------------------------------------------------------------------------------------------------------

/// | user is the sender | size | formal checks | result |
#[test]
fn the_access_point() {
    let limit = ORIGINAL.len() as u64 * 3;
    for own in [true, false] {
        for fits in [true, false] {
            for formal in [true, false] {
                let mut world = world();
                world.alfa.settings.limits.size_times_recipients = if fits { u64::MAX } else { limit - 1 };
                let text = String::from_utf8(ORIGINAL.to_vec()).unwrap();
                let message = if formal { text } else { text.replacen("Date: ", "Bcc: x@y.example\r\nDate: ", 1) };
                let identity = if own { ADA } else { "carla@alfa.example" };
                let done = world.access(&world.alfa, identity, ADA, &TO, message.as_bytes());
                let row = format!("sender {own}, fits {fits}, formal {formal}");
                match (own, fits && formal) {
                    (false, _) => check(&row, &done, "reject", &[]),
                    (true, false) => check(&row, &done, "discard", &["non-accettazione"]),
                    (true, true) => check(&row, &done, "continue", &["accettazione"]),
                }
                let is_envelope = header(&done.message, "X-Trasporto") == "posta-certificata";
                assert_eq!(is_envelope, own && fits && formal, "{row}");
                assert_eq!(world.alfa.state.borrow().is_empty(), !is_envelope, "{row}: remembered");
            }
        }
    }
}

// --- Reception point -----------------------------------------------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fields {
    Envelope,
    Receipt,
    Both,
    Neither,
    OtherWord,
}

/// One combination of the table as a message: who signed it, over which bytes, what it says that it is.
#[derive(Debug, Clone, Copy)]
struct Case {
    /// C1: there is a signature.
    exists: bool,
    /// C2: by a provider of the index.
    origin: bool,
    /// C3: over these bytes.
    valid: bool,
    /// C3 again: it can be told now.
    fresh: bool,
    fields: Fields,
    /// C4: header, parts and data agree.
    form: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for bits in 0..32u8 {
        let [exists, origin, valid, fresh, form] = [0, 1, 2, 3, 4].map(|bit| bits >> bit & 1 == 1);
        for fields in [Fields::Envelope, Fields::Receipt, Fields::Both, Fields::Neither, Fields::OtherWord] {
            cases.push(Case { exists, origin, valid, fresh, fields, form });
        }
    }
    cases
}

impl Case {
    /// From a genuine envelope of Beta for Ada, or a genuine delivery receipt of Beta for her.
    fn build(self, envelope: &[u8], receipt: &[u8]) -> Vec<u8> {
        let (base, own_field) = match self.fields {
            Fields::Receipt => (receipt, "X-Ricevuta: avvenuta-consegna\r\n"),
            _ => (envelope, "X-Trasporto: posta-certificata\r\n"),
        };
        let mut text = String::from_utf8(base.to_vec()).unwrap();
        assert!(text.contains(own_field));
        match self.fields {
            Fields::Envelope | Fields::Receipt => {}
            Fields::Both => {
                text = text.replacen(own_field, &format!("{own_field}X-Ricevuta: avvenuta-consegna\r\n"), 1)
            }
            Fields::Neither => text = text.replacen(own_field, "", 1),
            Fields::OtherWord => text = text.replacen(own_field, "X-Trasporto: raccomandata\r\n", 1),
        }
        if !self.form {
            text = text.replacen("daticert.xml", "dati.xml", 2);
        }
        let mut message = signed_by(text.as_bytes(), if self.origin { "Beta" } else { "Nobody" });
        if !self.valid {
            message = String::from_utf8(message).unwrap().replacen("Il giorno", "Il Giorno", 1).into_bytes();
        }
        if !self.exists {
            let text = String::from_utf8(message).unwrap();
            message = text.replacen("multipart/signed", "multipart/mixed", 1).into_bytes();
        }
        message
    }

    /// The table, in words.
    fn expected(self) -> (&'static str, &'static str, Vec<&'static str>) {
        match self {
            // A list that could not be had says nothing against a message that is intact.
            Case { exists: true, origin: true, valid: true, fresh: false, .. } => ("defer", "", vec![]),
            Case { exists: true, origin: true, valid: true, fields: Fields::Envelope, form: true, .. } => {
                ("continue", "posta-certificata", vec!["presa-in-carico"])
            }
            Case { exists: true, origin: true, valid: true, fields: Fields::Receipt, form: true, .. } => {
                ("continue", "avvenuta-consegna", vec![])
            }
            _ => ("continue", "errore", vec![]),
        }
    }
}

/// The same message under a signature by this key over what it now says.
fn signed_by(message: &[u8], key: &str) -> Vec<u8> {
    let parts = Parsed::new(message).parts().unwrap();
    let (signed, signature) = (&parts[1], parts.iter().rfind(|part| part.parent == Some(0)).unwrap());
    let entity = &message[signed.header_offset as usize..signed.end() as usize];
    let value = STANDARD.encode(sign(key, entity));
    let (head, tail) = (&message[..signature.body_offset as usize], &message[signature.end() as usize..]);
    [head, value.as_bytes(), b"\r\n", tail].concat()
}

/// The plain text of Bruno's original.
fn from_bruno() -> Vec<u8> {
    let text = "From: bruno@beta.example\r\nTo: ada@alfa.example\r\nSubject: x\r\nDate: Tue, 14 Dec 2021 14:54:29 +0100\r\n\
                Message-ID: <b@beta.example>\r\n\r\nCiao\r\n";
    text.as_bytes().to_vec()
}

/// An envelope of Beta for Ada, and Beta's delivery receipt for Ada's message to Bruno.
fn genuine(world: &World) -> (Vec<u8>, Vec<u8>) {
    let envelope = world.access(&world.beta, BRUNO, BRUNO, &[ADA], &from_bruno()).message;
    let ours = accepted(world).message;
    taken(world, &ours);
    let receipt = world.delivery(&world.beta, ADA, BRUNO, &ours).queued.remove(0).bytes;
    (envelope, receipt)
}

/// C1 × C2 × C3 × type fields × C4: 160 messages.
#[test]
fn the_reception_point() {
    let mut counted = std::collections::BTreeMap::new();
    for case in cases() {
        let world = world();
        let (envelope, receipt) = genuine(&world);
        let message = case.build(&envelope, &receipt);
        world.lists_stale.set(!case.fresh);
        let before = world.alfa.state.borrow().clone();
        let from = if case.fields == Fields::Receipt { "posta-certificata@beta.example" } else { BRUNO };
        let done = world.reception(&world.alfa, Arrival::Relay, from, &[ADA], &message);
        let (verdict, word, queued) = case.expected();
        check(&format!("{case:?}"), &done, verdict, &queued);
        if verdict == "continue" {
            let found = [header(&done.message, "X-Trasporto"), header(&done.message, "X-Ricevuta")].concat();
            assert_eq!(found, word, "{case:?}");
        }
        let certified = verdict == "continue" && word != "errore";
        assert_eq!(*world.alfa.state.borrow() == before, !certified, "{case:?}: what Alfa knows");
        assert_eq!(done.message == message, certified || verdict == "defer", "{case:?}: unmodified");
        *counted.entry((verdict, word)).or_insert(0) += 1;
    }
    let rows =
        [(("continue", "avvenuta-consegna"), 1), (("continue", "errore"), 148), (("continue", "posta-certificata"), 1)];
    assert_eq!(counted, rows.into_iter().chain([(("defer", ""), 10)]).collect());
}

/// Ordinary mail: delivered in an anomaly envelope, or refused, as the provider chooses; refused anyway for nobody. What
/// cannot be answered is never refused inside the server: nobody would learn of it.
#[test]
fn ordinary_mail() {
    use pec::settings::OrdinaryMail;
    for choice in [OrdinaryMail::Accept, OrdinaryMail::Reject] {
        for arrival in [Arrival::Relay, Arrival::Internal] {
            for from in ["x@posta.example", ""] {
                for to in [BRUNO, "nessuno@beta.example"] {
                    let mut world = world();
                    world.beta.settings.ordinary_mail = choice;
                    let done = world.reception(&world.beta, arrival, from, &[to], ORIGINAL);
                    let refusable = arrival == Arrival::Relay || !from.is_empty();
                    let refused = refusable && (choice == OrdinaryMail::Reject || to != BRUNO);
                    let row = format!("{choice:?} {arrival:?} from '{from}' to {to}");
                    check(&row, &done, if refused { "reject" } else { "continue" }, &[]);
                    assert_eq!(header(&done.message, "X-Trasporto") == "errore", !refused, "{row}");
                }
            }
        }
    }
}

// --- Received receipts ---------------------------------------------------------------------------------------------------

/// A receipt of `key` of this kind about `recipient` of Ada's message, for `to`.
fn receipt_of(world: &World, kind: &str, key: &str, recipient: &str, envelope: &[u8]) -> Vec<u8> {
    let about = match kind {
        "presa-in-carico" => format!("<ricezione>{recipient}</ricezione>"),
        "avvenuta-consegna" => format!("<ricevuta tipo=\"completa\"/><consegna>{recipient}</consegna>"),
        "errore-consegna" | "rilevazione-virus" | "preavviso-errore-consegna" => {
            format!("<consegna>{recipient}</consegna><errore-esteso>x</errore-esteso>")
        }
        _ => String::new(),
    };
    let error = match kind {
        "errore-consegna" => "altro",
        "rilevazione-virus" => "virus",
        _ => "nessuno",
    };
    let data = data_of(envelope);
    let (head, word) = (key.to_lowercase(), format!("tipo=\"{kind}\" errore=\"{error}\""));
    let xml = data.write().replace("tipo=\"posta-certificata\" errore=\"nessuno\"", &word);
    let xml = xml.replace("<ricevuta tipo=\"completa\"/>", &about).replace("<ricevuta tipo=\"completa\" />", &about);
    let body = format!(
        "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: text/plain\r\n\r\nx\r\n--m\r\nContent-Type: \
         application/xml; name=daticert.xml\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--m--\r\n",
        STANDARD.encode(xml)
    );
    world.ids.set(world.ids.get() + 1);
    let message = format!(
        "X-Ricevuta: {kind}\r\nFrom: posta-certificata@{head}.example\r\nTo: x@y.example\r\nSubject: x\r\nDate: Tue, 14 Dec \
         2021 14:54:29 +0100\r\nMessage-ID: <r{}@{head}.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; \
         protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=s\r\n\r\n--s\r\n{body}\r\n--s\r\nContent-Type: \
         application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n--s--\r\n",
        world.ids.get(),
        STANDARD.encode("x")
    );
    signed_by(message.as_bytes(), key)
}

/// Kind × signer × how it came × where it goes × whose recipient: which receipts are passed on, and which are anomalies.
#[test]
fn received_receipts() {
    let kinds = [
        "accettazione",
        "non-accettazione",
        "preavviso-errore-consegna",
        "presa-in-carico",
        "rilevazione-virus",
        "avvenuta-consegna",
        "errore-consegna",
    ];
    let mut passed = 0;
    for kind in kinds {
        for (key, arrival) in
            [("Beta", Arrival::Relay), ("Alfa", Arrival::Internal), ("Alfa", Arrival::Relay), ("Gamma", Arrival::Relay)]
        {
            for to in [ADA, "casella@alfa.example", "carla@alfa.example"] {
                for recipient in [BRUNO, "carla@alfa.example"] {
                    let world = world();
                    let text = String::from_utf8(ORIGINAL.to_vec()).unwrap().replacen(
                        "dora@beta.example",
                        "carla@alfa.example",
                        1,
                    );
                    let recipients = [BRUNO, "carla@alfa.example", "esterno@posta.example"];
                    let envelope = world.access(&world.alfa, ADA, ADA, &recipients, text.as_bytes()).message;
                    let message = receipt_of(&world, kind, key, recipient, &envelope);
                    let before = world.alfa.state.borrow().clone();
                    let from = format!("posta-certificata@{}.example", key.to_lowercase());
                    let done = world.reception(&world.alfa, arrival, &from, &[to], &message);
                    let about_all = ["accettazione", "non-accettazione"].contains(&kind);
                    let own = key == "Alfa";
                    let theirs = recipient.ends_with(&format!("@{}.example", key.to_lowercase()));
                    let addressee = if ["presa-in-carico", "rilevazione-virus"].contains(&kind) {
                        "casella@alfa.example"
                    } else {
                        ADA
                    };
                    let inside = about_all || kind == "preavviso-errore-consegna";
                    let admitted = match kind {
                        _ if inside => own && arrival == Arrival::Internal,
                        // Our own notice may say that another provider could not be reached.
                        "errore-consegna" => theirs || own,
                        _ => theirs,
                    };
                    let expected = admitted && to == addressee;
                    let row = format!("{kind} of {key} by {arrival:?} to {to} about {recipient}");
                    assert_eq!(done.verdict, Ok(Verdict::Continue), "{row}");
                    assert_eq!(done.message == message, expected, "{row}: passed on unmodified");
                    assert_eq!(*world.alfa.state.borrow() != before, expected, "{row}: remembered");
                    assert_eq!(done.kinds().contains(&"receipt-received"), expected, "{row}");
                    passed += usize::from(expected);
                }
            }
        }
    }
    assert!(passed >= 12, "only {passed} rows are passed on");
}

// --- Delivery point ------------------------------------------------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtTheDoor {
    Taken,
    NeverTaken,
    Settled,
    Receipt,
    Anomaly,
}

fn at_the_door(world: &World, what: AtTheDoor) -> (&House, Vec<u8>, &'static str, &'static str) {
    let envelope = accepted(world).message;
    match what {
        AtTheDoor::NeverTaken => (&world.beta, envelope, ADA, BRUNO),
        AtTheDoor::Taken => {
            taken(world, &envelope);
            (&world.beta, envelope, ADA, BRUNO)
        }
        AtTheDoor::Settled => {
            taken(world, &envelope);
            world.delivery(&world.beta, ADA, BRUNO, &envelope);
            (&world.beta, envelope, ADA, BRUNO)
        }
        AtTheDoor::Receipt => {
            let receipt = genuine(world).1;
            (&world.alfa, receipt, "posta-certificata@beta.example", ADA)
        }
        AtTheDoor::Anomaly => {
            let wrapped = world.reception(&world.beta, Arrival::Relay, ADA, &[BRUNO], ORIGINAL).message;
            (&world.beta, wrapped, ADA, BRUNO)
        }
    }
}

/// What is at the door × the state of the mailbox × the kind of receipt asked for.
#[test]
fn the_delivery_point() {
    for what in [AtTheDoor::Taken, AtTheDoor::NeverTaken, AtTheDoor::Settled, AtTheDoor::Receipt, AtTheDoor::Anomaly] {
        for status in ["present", "full", "disabled", "unknown"] {
            let world = world();
            let (house, message, from, to) = at_the_door(&world, what);
            match status {
                "unknown" => house.mailboxes.borrow_mut().remove(to),
                status => house.mailboxes.borrow_mut().insert(to.to_owned(), status),
            };
            let done = world.delivery(house, from, to, &message);
            let row = format!("{what:?}, mailbox {status}");
            match (what, status) {
                (AtTheDoor::Taken, "present") => check(&row, &done, "continue", &["avvenuta-consegna"]),
                (AtTheDoor::Taken, _) => check(&row, &done, "discard", &["errore-consegna"]),
                (AtTheDoor::Settled, _) => check(&row, &done, "discard", &[]),
                // It must not have come here: no receipt, and the message waits for the operator.
                (AtTheDoor::NeverTaken, _) => check(&row, &done, "fail", &[]),
                // Receipts and anomaly envelopes have no receipt of their own; the server treats them as any mail.
                (AtTheDoor::Receipt | AtTheDoor::Anomaly, _) => check(&row, &done, "continue", &[]),
            }
            assert_eq!(done.message, message, "{row}: unmodified");
        }
    }
}

/// The form that was asked for × the field in which the recipient stands: which original the receipt holds.
#[test]
fn forms_of_delivery_receipts() {
    for form in [None, Some("completa"), Some("breve"), Some("sintetica")] {
        for (to, cc, copy) in [
            ("bruno@beta.example", "dora@beta.example", false),
            ("dora@beta.example", "bruno@beta.example", true),
            ("bruno@beta.example, dora@beta.example", "bruno@beta.example", false),
        ] {
            let world = world();
            let asked = form.map_or_else(String::new, |form| format!("X-TipoRicevuta: {form}\r\n"));
            let message = String::from_utf8(ORIGINAL.to_vec()).unwrap();
            let message = message.replacen("To: Bruno <bruno@beta.example>", &format!("To: {to}"), 1);
            let message = message.replacen(
                "Cc: dora@beta.example, esterno@posta.example",
                &format!("Cc: {cc}, esterno@posta.example"),
                1,
            );
            let message = message.replacen("Date: ", &format!("{asked}Date: "), 1);
            let envelope = world.access(&world.alfa, ADA, ADA, &TO, message.as_bytes()).message;
            taken(&world, &envelope);
            let done = world.delivery(&world.beta, ADA, BRUNO, &envelope);
            let (receipt, whole) = (&done.queued[0].bytes, original_in(&envelope));
            let row = format!("{form:?}, copy {copy}");
            let word = form.unwrap_or("completa");
            assert_eq!(data_of(receipt).receipt_kind.map(|kind| kind.word()), Some(word), "{row}");
            let original = original_in(receipt);
            match (word, copy) {
                (_, true) | ("sintetica", _) => assert_eq!(original, None, "{row}"),
                ("completa", _) => assert_eq!(original, whole, "{row}"),
                _ => {
                    let brief = String::from_utf8(original.unwrap()).unwrap();
                    assert!(brief.contains("a.pdf.hash") && !brief.contains("AAECAwQF"), "{row}");
                }
            }
        }
    }
}
