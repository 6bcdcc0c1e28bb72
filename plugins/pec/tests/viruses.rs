//! Viruses: found where a message is submitted, found where it arrives, told to whom it concerns, once (AV-02 to AV-05,
//! RIC-12; attack C8).
#![allow(clippy::unwrap_used, reason = "tests may")]

mod world;

use pec::certification_data::*;
use pec::host::{Arrival, Failure, Verdict};
use world::look::*;
use world::{Done, HOUR, House, Queued, World, world};

const BRUNO: &str = "bruno@beta.example";

/// Every house runs a scanner, which finds nothing.
fn scanning() -> World {
    let mut world = world();
    for house in [&mut world.alfa, &mut world.beta, &mut world.gamma] {
        house.configure(r#"{"virus-check":"antivirus"}"#);
        house.says("antivirus.verdict", Some("clean"));
    }
    world
}

/// From now on this house's scanner finds a threat in everything.
fn finds(house: &House) {
    house.says("antivirus.verdict", Some("infected"));
    house.says("antivirus.name", Some("Eicar-Test"));
}

fn assert_kept(done: &Done) {
    let threat = if done.verdict == Ok(Verdict::Quarantine("virus: Eicar-Test".to_owned())) { "" } else { "not kept" };
    assert_eq!(threat, "", "{:?}", done.verdict);
}

#[test]
fn an_infected_original_is_not_accepted() {
    let world = scanning();
    finds(&world.alfa);
    let done = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &TO, ORIGINAL);
    assert_kept(&done);
    assert_eq!(done.message, ORIGINAL, "kept as it came");
    assert_eq!(done.kinds(), ["non-acceptance-virus"]);
    let [notice] = done.queued.as_slice() else { panic!("one notice") };
    assert_eq!(notice.to, ["ada@alfa.example"]);
    assert_eq!(header(&notice.bytes, "X-Ricevuta"), "non-accettazione");
    assert_eq!(header(&notice.bytes, "X-VerificaSicurezza"), "errore");
    assert_eq!(header(&notice.bytes, "Subject"), "AVVISO DI NON ACCETTAZIONE PER VIRUS: Perché no? 10 €");
    assert_eq!(original_in(&notice.bytes), None, "never the original");
    let data = data_of(&notice.bytes);
    assert_eq!((data.kind, data.error), (CertificationKind::NonAcceptance, ErrorKind::Virus));
    assert!(data.extended_error.unwrap().ends_with("presenza di un virus nel messaggio: Eicar-Test"));
    assert!(world.alfa.state.borrow().is_empty() && world.alfa.timers.borrow().is_empty(), "nothing was accepted");
    // What is formally wrong is told as that.
    let wrong = String::from_utf8(ORIGINAL.to_vec()).unwrap().replacen("Date: ", "Bcc: x@y.example\r\nDate: ", 1);
    let done = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &TO, wrong.as_bytes());
    assert_eq!(done.kinds(), ["non-acceptance"]);
    // And kept as well: whoever finds a virus keeps the message (PEC §2.2.4).
    assert_kept(&done);
}

#[test]
fn what_the_scanner_did_not_judge_goes_nowhere() {
    let world = scanning();
    let envelope = accepted(&world).message;
    for verdict in [None, Some("unknown"), Some("Clean"), Some("")] {
        for house in [&world.alfa, &world.beta] {
            house.says("antivirus.verdict", verdict);
        }
        let submitted = world.access(&world.alfa, "ada@alfa.example", "ada@alfa.example", &TO, ORIGINAL);
        let received = world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &[BRUNO], &envelope);
        for done in [submitted, received] {
            assert!(matches!(done.verdict, Err(Failure::Transient(_))), "{verdict:?}: {:?}", done.verdict);
        }
    }
    assert!(world.beta.state.borrow().is_empty());
}

/// An infected envelope at Beta for both of its recipients.
fn infected_at_beta(world: &World, envelope: &[u8]) -> Done {
    finds(&world.beta);
    let to = [BRUNO, "dora@beta.example"];
    let done = world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &to, envelope);
    assert_kept(&done);
    done
}

#[test]
fn an_infected_envelope_is_told_to_its_provider_and_delivered_to_nobody() {
    let world = scanning();
    let envelope = accepted(&world).message;
    let done = infected_at_beta(&world, &envelope);
    assert_eq!(done.kinds(), ["take-charge", "virus-detection", "virus-detection"]);
    let kinds: Vec<_> = done.queued.iter().map(|queued| header(&queued.bytes, "X-Ricevuta")).collect();
    assert_eq!(kinds, ["presa-in-carico", "rilevazione-virus", "rilevazione-virus"]);
    assert!(done.queued.iter().all(|queued| queued.to == ["casella@alfa.example"]));
    let notice = &done.queued[1];
    assert_eq!(header(&notice.bytes, "X-Mittente"), "ada@alfa.example");
    assert_eq!(header(&notice.bytes, "X-VerificaSicurezza"), "");
    assert_eq!(header(&notice.bytes, "Subject"), "PROBLEMA DI SICUREZZA: Perché no? 10 €");
    assert_eq!(original_in(&notice.bytes), None);
    let data = data_of(&notice.bytes);
    assert_eq!((data.kind, data.error), (CertificationKind::VirusDetection, ErrorKind::Virus));
    assert_eq!((data.delivery.as_deref(), data.taken_in_charge.len()), (Some(BRUNO), 0));
    // The same again is answered once; a scanner that thinks better of it changes nothing any more.
    let again = world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &[BRUNO], &envelope);
    assert!(matches!(again.verdict, Ok(Verdict::Discard(_))) && again.queued.is_empty());
    world.beta.says("antivirus.verdict", Some("clean"));
    let again = world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &[BRUNO], &envelope);
    assert!(matches!(again.verdict, Ok(Verdict::Discard(_))) && again.queued.is_empty());
    let delivery = world.delivery(&world.beta, "ada@alfa.example", BRUNO, &envelope);
    assert!(matches!(delivery.verdict, Ok(Verdict::Discard(_))) && delivery.queued.is_empty());
}

#[test]
fn the_operator_may_leave_out_the_take_charge_receipt() {
    let mut world = scanning();
    world.beta.configure(r#"{"virus-check":"antivirus","take-charge-of-infected":false}"#);
    let envelope = accepted(&world).message;
    assert_eq!(infected_at_beta(&world, &envelope).kinds(), ["virus-detection", "virus-detection"]);
}

#[test]
fn what_is_infected_and_no_correct_envelope_is_kept_and_told_to_nobody() {
    let world = scanning();
    let envelope = accepted(&world).message;
    finds(&world.beta);
    let incorrect =
        String::from_utf8(envelope.clone()).unwrap().replace("X-Trasporto: posta-certificata", "X-Trasporto: altro");
    for message in [ORIGINAL, incorrect.as_bytes()] {
        let done = world.reception(&world.beta, Arrival::Relay, "ada@alfa.example", &[BRUNO], message);
        assert_kept(&done);
        assert_eq!((done.queued.len(), done.kinds()), (0, vec!["quarantine"]));
        assert_eq!(done.message, message, "as it came");
    }
    assert!(world.beta.state.borrow().is_empty());
}

#[test]
fn a_receipt_is_a_proof_whatever_it_returns() {
    let world = scanning();
    let envelope = accepted(&world).message;
    taken(&world, &envelope);
    let receipt = world.delivery(&world.beta, "ada@alfa.example", BRUNO, &envelope).queued.remove(0);
    finds(&world.alfa);
    let passed = world.reception(&world.alfa, Arrival::Relay, &receipt.from, &["ada@alfa.example"], &receipt.bytes);
    assert_eq!((passed.verdict.clone(), passed.kinds()), (Ok(Verdict::Continue), vec!["receipt-received"]));
}

fn at_alfa(world: &World, receipt: &Queued) -> Done {
    let to: Vec<&str> = receipt.to.iter().map(String::as_str).collect();
    world.reception(&world.alfa, Arrival::Relay, &receipt.from, &to, &receipt.bytes)
}

#[test]
fn the_sender_hears_of_it_once_for_each_recipient() {
    let world = scanning();
    let envelope = accepted(&world).message;
    let detected = infected_at_beta(&world, &envelope).queued;
    let done = at_alfa(&world, &detected[1]);
    assert_eq!(
        (done.verdict.clone(), done.kinds()),
        (Ok(Verdict::Continue), vec!["non-delivery-virus", "receipt-received"])
    );
    let [notice] = done.queued.as_slice() else { panic!("one notice") };
    assert_eq!(notice.to, ["ada@alfa.example"]);
    assert_eq!(header(&notice.bytes, "X-Ricevuta"), "errore-consegna");
    assert_eq!(header(&notice.bytes, "X-VerificaSicurezza"), "errore");
    assert_eq!(header(&notice.bytes, "Subject"), "AVVISO DI MANCATA CONSEGNA PER VIRUS: Perché no? 10 €");
    let data = data_of(&notice.bytes);
    assert_eq!(
        (data.kind, data.error, data.delivery.as_deref()),
        (CertificationKind::NonDelivery, ErrorKind::Virus, Some(BRUNO))
    );
    assert_eq!(data.provider, "Alfa PEC S.p.A.");
    let words = "5.5.1 - Beta PEC S.p.A. - presenza di un virus nel messaggio: Eicar-Test";
    assert_eq!(data.extended_error.as_deref(), Some(words));
    // The notice reaches the sender as one of ours.
    let passed = world.reception(&world.alfa, Arrival::Internal, &notice.from, &["ada@alfa.example"], &notice.bytes);
    assert_eq!(passed.kinds(), ["receipt-received"]);
    assert!(at_alfa(&world, &detected[1]).queued.is_empty(), "once");
    // Of Dora the deadline still tells; then her notice comes.
    world.pass(22 * HOUR);
    let told: Vec<_> = world.fire_due(&world.alfa).iter().flat_map(|d| d.events.clone()).collect();
    assert_eq!(told.iter().map(|e| e.recipients.concat()).collect::<Vec<_>>(), ["dora@beta.example"]);
    assert_eq!(at_alfa(&world, &detected[2]).queued.len(), 1, "the reason is news, however late");
}

#[test]
fn the_older_form_of_the_detection_is_understood() {
    let world = scanning();
    let envelope = accepted(&world).message;
    let notice = &infected_at_beta(&world, &envelope).queued[1];
    let older =
        Queued { bytes: altered_and_signed(&notice.bytes, "consegna>", "ricezione>", "Beta"), ..notice.clone() };
    let done = at_alfa(&world, &older);
    assert_eq!((done.kinds(), done.queued.len()), (vec!["non-delivery-virus", "receipt-received"], 1));
    assert_eq!(data_of(&done.queued[0].bytes).delivery.as_deref(), Some(BRUNO));
}

#[test]
fn a_detection_is_believed_of_its_own_recipients_only() {
    let world = scanning();
    let envelope = accepted(&world).message;
    let notice = &infected_at_beta(&world, &envelope).queued[1];
    let cases = [
        // Gamma speaks of Beta's recipient; Beta of one that the original does not have, or of another's original.
        altered_and_signed(&notice.bytes, "beta.example>", "beta.example>", "Gamma"),
        altered_and_signed(&notice.bytes, "bruno@beta.example", "rita@beta.example", "Beta"),
        altered_and_signed(&notice.bytes, "<mittente>ada@", "<mittente>carla@", "Beta"),
    ];
    for bytes in cases {
        assert_ne!(bytes, notice.bytes);
        let done = at_alfa(&world, &Queued { bytes, ..notice.clone() });
        assert_eq!((done.kinds(), done.queued.len()), (vec!["anomaly"], 0));
    }
    assert!(!world.alfa.state.borrow().keys().any(|key| key.starts_with("dispatch/")), "nothing learned");
    // An identifier that was never given out here.
    let unknown = altered_and_signed(&notice.bytes, &data_of(&notice.bytes).identifier, "x.1@alfa.example", "Beta");
    let done = at_alfa(&world, &Queued { bytes: unknown, ..notice.clone() });
    assert_eq!((done.kinds(), done.queued.len()), (vec!["receipt-received"], 0));
}
