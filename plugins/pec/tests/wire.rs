//! What goes over the wire, against the rules themselves: the grammar of the certification data, the models of the texts,
//! and other readers of mail.
#![allow(clippy::unwrap_used, reason = "tests may")]

mod world;

use std::io::Write;
use std::process::{Command, Stdio};

use pec::certification_data::*;
use pec::host::{Arrival, Message};
use world::look::*;
use world::parse::Parsed;
use world::{HOUR, House, hex, world};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/pec");

/// One message of each kind that the plugin makes, with the recipients that its text lists.
fn all_messages() -> Vec<(&'static str, Vec<u8>)> {
    let world = world();
    let done = accepted(&world);
    let envelope = done.message.clone();
    let refused = String::from_utf8(ORIGINAL.to_vec()).unwrap().replacen("Date: ", "Bcc: x@y.example\r\nDate: ", 1);
    let mut refused = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &TO, refused.as_bytes());
    let mut take_charge = taken(&world, &envelope);
    let mut delivery = world.delivery(&world.beta, "ada@alfa.example", "bruno@beta.example", &envelope);
    world.beta.mailboxes.borrow_mut().remove("dora@beta.example");
    let mut non_delivery = world.delivery(&world.beta, "ada@alfa.example", "dora@beta.example", &envelope);
    let anomaly = world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &["bruno@beta.example"], ORIGINAL);
    let [timeout_warning, timeout] = notices_of_silence();
    let [virus_non_acceptance, virus_detection, virus_non_delivery] = notices_of_viruses();
    vec![
        ("timeout-warning", timeout_warning),
        ("timeout", timeout),
        ("virus-non-acceptance", virus_non_acceptance),
        ("virus-detection", virus_detection),
        ("virus-non-delivery", virus_non_delivery),
        ("acceptance", done.queued[0].bytes.clone()),
        ("transport-envelope", envelope),
        ("non-acceptance", refused.queued.remove(0).bytes),
        ("take-charge", take_charge.queued.remove(0).bytes),
        ("delivery", delivery.queued.remove(0).bytes),
        ("non-delivery", non_delivery.queued.remove(0).bytes),
        ("anomaly", anomaly.message),
    ]
}

/// Nothing was heard of Bruno; the clock says the same as in all other messages.
fn notices_of_silence() -> [Vec<u8>; 2] {
    [12, 22].map(|hours| {
        let world = world();
        let now = world.now.get();
        world.now.set(now - hours * HOUR);
        accepted(&world);
        world.now.set(now);
        let done = world.fire_due(&world.alfa).into_iter().flat_map(|done| done.queued).next();
        done.unwrap().bytes
    })
}

fn notices_of_viruses() -> [Vec<u8>; 3] {
    let mut world = world();
    world.alfa.configure(r#"{"virus-check":"antivirus"}"#);
    world.beta.configure(r#"{"virus-check":"antivirus","take-charge-of-infected":false}"#);
    let infected = |house: &House, word| {
        house.says("antivirus.verdict", Some(word));
        house.says("antivirus.name", Some("Eicar-Test"));
    };
    infected(&world.alfa, "clean");
    infected(&world.beta, "infected");
    let envelope = accepted(&world).message;
    let to = ["bruno@beta.example"];
    let detection = world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &to, &envelope).queued.remove(0);
    let to = ["casella@alfa.example"];
    let told = world.reception(&world.alfa, Arrival::Relay, &detection.from, &to, &detection.bytes).queued.remove(0);
    infected(&world.alfa, "infected");
    let refused = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &TO, ORIGINAL).queued.remove(0);
    [refused.bytes, detection.bytes, told.bytes]
}

#[test]
fn texts_are_the_models_of_the_rules() {
    for (name, message) in all_messages() {
        let model = std::fs::read_to_string(format!("{FIXTURES}/models/{name}.txt")).unwrap();
        let (dest, dest1, dest2) = match name {
            "timeout-warning" | "timeout" | "virus-detection" | "virus-non-delivery" => ("bruno@beta.example", "", ""),
            "delivery" | "anomaly" => ("bruno@beta.example", "bruno@beta.example", ""),
            "non-delivery" => ("dora@beta.example", "", ""),
            "take-charge" => ("", "bruno@beta.example", "dora@beta.example"),
            "acceptance" => {
                ("", "bruno@beta.example", "dora@beta.example (\"posta certificata\")\nesterno@posta.example")
            }
            _ => ("", "bruno@beta.example", "dora@beta.example\nesterno@posta.example"),
        };
        let identifier = if name == "anomaly" { String::new() } else { data_of(&message).identifier };
        let mut expected = model;
        for (placeholder, value) in [
            ("[data]", "14/12/2021"),
            ("[ora]", "14:54:32"),
            ("[zona]", "+0100"),
            // The euro is not in ISO-8859-1.
            ("[oggetto]", "Perché no? 10 ?"),
            ("[mittente]", "ada@alfa.example"),
            ("[dest1]", dest1),
            ("[dest2]", dest2),
            ("[dest]", dest),
            ("[id]", &identifier),
            (
                "[identificativo del tipo di contenuto rilevato]",
                if name == "virus-non-delivery" {
                    "5.5.1 - Beta PEC S.p.A. - presenza di un virus nel messaggio: Eicar-Test"
                } else {
                    "Eicar-Test"
                },
            ),
            ("[descrizione errore]", "campo Bcc valorizzato"),
            ("[descrizione sintetica errore]", "il messaggio non è firmato digitalmente"),
            ("[breve descrizione errore]", "5.1.1 - Beta PEC S.p.A. - indirizzo non valido"),
        ] {
            expected = expected.replace(placeholder, value);
        }
        let expected: Vec<&str> = expected.lines().filter(|line| !line.is_empty()).collect();
        let text = text_of(&message);
        assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{name}");
    }
}

/// Runs a program on input; none where the machine does not have it.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> Option<(bool, String)> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        eprintln!("{program} is not on this machine: nothing checked by it");
        return None;
    };
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn certification_data_are_valid_by_the_grammar() {
    for (name, message) in all_messages().into_iter().filter(|(name, _)| *name != "anomaly") {
        let xml = data_of(&message).write();
        let dtd = format!("{FIXTURES}/daticert-it.dtd");
        let Some((valid, said)) = run("xmllint", &["--noout", "--nonet", "--dtdvalid", &dtd, "-"], xml.as_bytes())
        else {
            return;
        };
        assert!(valid, "{name}: {said}\n{xml}");
    }
}

/// Python's reader of mail sees the same parts, and the same bytes in them.
#[test]
fn another_reader_sees_the_same_message() {
    const READER: &str = r#"
import sys, email, hashlib
m = email.message_from_bytes(sys.stdin.buffer.read())
for p in m.walk():
    assert not p.defects, (p.get_content_type(), p.defects)
    print(p.get_content_type(), p.get_filename() or '-', p.get_content_disposition() or '-')
"#;
    for (name, message) in all_messages() {
        let Some((read, said)) = run("python3", &["-c", READER], &message) else { return };
        assert!(read, "{name}: {said}");
        let mut lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.remove(0), "multipart/signed - -", "{name}");
        assert_eq!(lines.remove(0), "multipart/mixed - -", "{name}");
        assert_eq!(lines.remove(0), "text/plain - inline", "{name}");
        if name != "anomaly" {
            assert_eq!(lines.remove(0), "application/xml daticert.xml inline", "{name}");
        }
        if ["transport-envelope", "delivery", "anomaly"].contains(&name) {
            assert_eq!(lines.remove(0), "message/rfc822 postacert.eml inline", "{name}");
        }
        assert_eq!(lines.pop(), Some("application/pkcs7-signature smime.p7s attachment"), "{name}");
    }
}

#[test]
fn header_words_are_those_of_the_rules() {
    let expected = [
        ("acceptance", "X-Ricevuta", "accettazione", "ACCETTAZIONE: "),
        ("non-acceptance", "X-Ricevuta", "non-accettazione", "AVVISO DI NON ACCETTAZIONE: "),
        ("transport-envelope", "X-Trasporto", "posta-certificata", "POSTA CERTIFICATA: "),
        ("take-charge", "X-Ricevuta", "presa-in-carico", "PRESA IN CARICO: "),
        ("delivery", "X-Ricevuta", "avvenuta-consegna", "CONSEGNA: "),
        ("non-delivery", "X-Ricevuta", "errore-consegna", "AVVISO DI MANCATA CONSEGNA: "),
        ("anomaly", "X-Trasporto", "errore", "ANOMALIA MESSAGGIO: "),
        (
            "timeout-warning",
            "X-Ricevuta",
            "preavviso-errore-consegna",
            "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: ",
        ),
        ("timeout", "X-Ricevuta", "preavviso-errore-consegna", "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: "),
        ("virus-non-acceptance", "X-Ricevuta", "non-accettazione", "AVVISO DI NON ACCETTAZIONE PER VIRUS: "),
        ("virus-detection", "X-Ricevuta", "rilevazione-virus", "PROBLEMA DI SICUREZZA: "),
        ("virus-non-delivery", "X-Ricevuta", "errore-consegna", "AVVISO DI MANCATA CONSEGNA PER VIRUS: "),
    ];
    let messages = all_messages();
    for (name, field, word, prefix) in expected {
        let (_, message) = messages.iter().find(|(other, _)| *other == name).unwrap();
        assert_eq!(header(message, field), word);
        assert_eq!(header(message, "Subject"), format!("{prefix}Perché no? 10 €"));
        // The prefix is plain in the raw field, for the rules of mail clients.
        let plain = format!("\r\nSubject: {}", prefix.split(' ').next().unwrap());
        assert!(message.windows(plain.len()).any(|w| w == plain.as_bytes()), "{name}");
        let other = if field == "X-Ricevuta" { "X-Trasporto" } else { "X-Ricevuta" };
        assert_eq!(header(message, other), "", "{name}: one kind");
    }
}

#[test]
fn what_is_signed_is_the_first_part_from_its_header_to_its_boundary() {
    for (name, message) in all_messages() {
        let parsed = Parsed::new(&message);
        let parts = parsed.parts().unwrap();
        let top: Vec<_> = parts.iter().enumerate().filter(|(_, part)| part.parent == Some(0)).collect();
        let [(_, signed), (signature, _)] = top.as_slice() else { panic!("{name}: two parts") };
        let value = String::from_utf8(parsed.read_decoded(*signature as u32).unwrap()).unwrap();
        let digest =
            <sha2::Sha256 as sha2::Digest>::digest(&message[signed.header_offset as usize..signed.end() as usize]);
        assert!(value.ends_with(&hex(&digest)), "{name}");
        let raw = String::from_utf8_lossy(&message).into_owned();
        assert!(
            raw.contains(
                "multipart/signed; protocol=\"application/pkcs7-signature\";\r\n micalg=\"sha-256\"; boundary="
            ),
            "{name}"
        );
    }
}

fn data() -> CertificationData {
    CertificationData {
        kind: CertificationKind::NonDelivery,
        error: ErrorKind::WrongDomain,
        sender: "a&b@x.example".into(),
        recipients: vec![
            Recipient { address: "c@y.example".into(), kind: RecipientKind::Certified },
            Recipient { address: "\"<d>\"@z.example".into(), kind: RecipientKind::External },
        ],
        reply_to: "a&b@x.example".into(),
        subject: Some("]]> & \"quote\" 'è' € 日本".into()),
        provider: "Alfa & C. S.p.A.".into(),
        instant: Instant { zone: "+0200".into(), day: "01/08/2026".into(), hour: "00:00:60".into() },
        identifier: "id.1@x.example".into(),
        message_id: Some("<m$1@x.example>".into()),
        receipt_kind: Some(DeliveryReceiptKind::Brief),
        delivery: Some("c@y.example".into()),
        taken_in_charge: vec!["c@y.example".into()],
        extended_error: Some("5.1.2 - Alfa & C. S.p.A. - dominio non valido".into()),
    }
}

#[test]
fn data_read_back_as_they_were_written() {
    let reading = CertificationData::read(data().write().as_bytes()).unwrap();
    assert!(reading.in_order);
    assert_eq!(reading.data, data());
    let mut hostile = data();
    hostile.subject = Some("\u{0}\u{b}\u{1b}\u{fffe}\r\nx".into());
    assert_eq!(CertificationData::read(hostile.write().as_bytes()).unwrap().data.subject.as_deref(), Some("x"));
}

#[test]
fn every_word_of_the_grammar_is_read_in_any_case() {
    for kind in CertificationKind::ALL {
        assert_eq!(CertificationKind::parse(&kind.word().to_uppercase()), Some(*kind));
    }
    let dtd = std::fs::read_to_string(format!("{FIXTURES}/daticert-it.dtd")).unwrap();
    let words = |list: &[&'static str]| list.iter().all(|word| dtd.contains(word));
    assert!(words(&CertificationKind::ALL.iter().map(|k| k.word()).collect::<Vec<_>>()));
    assert!(words(&ErrorKind::ALL.iter().map(|k| k.word()).collect::<Vec<_>>()));
    assert!(words(&RecipientKind::ALL.iter().map(|k| k.word()).collect::<Vec<_>>()));
    assert!(words(&DeliveryReceiptKind::ALL.iter().map(|k| k.word()).collect::<Vec<_>>()));
}

#[test]
fn what_real_providers_vary_is_read() {
    let varied = data()
        .write()
        .replace("    <dati>", "    testo <!-- nota --> <dati>")
        .replace(" errore=\"no-dominio\"", "")
        .replace("<destinatari tipo=\"certificato\">", "<destinatari>")
        .replace("        <msgid>&lt;m$1@x.example&gt;</msgid>\n", "");
    let reading = CertificationData::read(format!("\u{feff}{varied}").as_bytes()).unwrap();
    assert_eq!((reading.data.error, reading.data.message_id), (ErrorKind::None, None));
    assert_eq!(reading.data.recipients[0].kind, RecipientKind::Certified);
    let moved = data()
        .write()
        .replace("        <consegna>c@y.example</consegna>\n", "")
        .replace("    </dati>", "<consegna>c@y.example</consegna></dati>");
    let reading = CertificationData::read(moved.as_bytes()).unwrap();
    assert_eq!((reading.in_order, reading.data), (false, data()));
}

#[test]
fn documents_made_to_mislead_or_exhaust_are_refused() {
    let good = data().write();
    let many = format!("<destinatari>x@y.example</destinatari>{}", "<a/>".repeat(30_000));
    for bad in [
        String::new(),
        good.replace(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            "<?xml version=\"1.0\"?><!DOCTYPE postacert SYSTEM \"file:///etc/passwd\">",
        ),
        good.replace(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            "<!DOCTYPE p [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>",
        ),
        good.replace("id.1@x.example", "&a;"),
        good.replace("<dati>", "<dati><identificativo>x@y</identificativo>"),
        good.replace("<identificativo>id.1@x.example</identificativo>", ""),
        good.replace("id.1@x.example", &"i".repeat(201)),
        good.replace("id.1@x.example", "id 1@x.example"),
        good.replace("tipo=\"errore-consegna\"", "tipo=\"altro\""),
        good.replace("tipo=\"breve\"", "tipo=\"lunga\""),
        good.replace("<destinatari tipo=\"certificato\">c@y.example</destinatari>", &many),
        good.replace("<mittente>a&amp;b@x.example</mittente>", "<mittente></mittente>"),
        format!("{good}{good}"),
        format!("{}{}{}", "<a>".repeat(50_000), good, "</a>".repeat(50_000)),
        format!("{}{}{}", "<a>".repeat(18_000), good, "</a>".repeat(18_000)),
    ] {
        assert_ne!(bad, good);
        assert!(CertificationData::read(bad.as_bytes()).is_err(), "{}", &bad[..bad.len().min(200)]);
    }
    let latin1: Vec<u8> = good.replace("UTF-8", "ISO-8859-1").chars().map(|c| c as u8).collect();
    assert!(CertificationData::read(&latin1).is_err());
    // A comment in the middle of an address does not hide half of it.
    let split = good.replace("<consegna>c@y.example", "<consegna>c@y<!-- -->.example");
    assert_eq!(CertificationData::read(split.as_bytes()).unwrap().data.delivery.as_deref(), Some("c@y.example"));
}
