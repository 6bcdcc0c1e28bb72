//! Whether a certified message is genuine: the checks of the reception point ([PEC §2.2.2], steps of [§5.5]) one by
//! one, as far as a file lets them be made.

use super::agreement::{self, Agreement};
use super::decode::{Opened, data_problem};
use super::report::{Check, Data, Outcome, Signer, Verified};
use super::words::{Type, squeezed};
use super::{Exhibit, Signature};
use crate::address;
use crate::certification_data::{CertificationData, CertificationKind, ErrorKind};
use crate::classification::TypeFields;
use crate::host::{Failure, Provider};
use crate::received::{CertifiedParts, FormProblem, type_fields};
use crate::wire;

/// The answer.
pub fn verify(exhibit: &dyn Exhibit) -> Result<Verified, String> {
    let opened = Opened::open(exhibit);
    let signature = exhibit.verify().map_err(|error| format!("verification: {error:?}"))?;
    let mut notes = opened.notes.clone();
    let mut checks = vec![existence(&signature)];
    let origin = origin(exhibit, &signature)?;
    checks.push(origin.check);
    checks.extend(validity(exhibit, &signature, &mut notes));
    let mut agreement = Agreement::default();
    match (opened.kind, &opened.data) {
        (Type::Ordinary, _) => {}
        (Type::Certified(_), Some(data)) => {
            checks.push(check("C4", "form", certified_form(exhibit, &opened, data, &signature, &origin.provider)?));
            agreement = agreement::compare(exhibit, &opened, data);
            checks.push(agrees(&agreement));
        }
        (Type::Certified(_), None) => {
            checks.push(failed("C4", "form", "there are no certification data that can be read".to_owned()));
        }
        (Type::Anomaly, _) => {
            checks.push(check("C4", "form", anomaly_form(exhibit, &opened, &signature, &origin.provider)?))
        }
    }
    let hashes = opened.hashes(exhibit.message()).len();
    let mut not_checked = not_checked(exhibit, &opened, hashes);
    not_checked.append(&mut agreement.not_checked);
    notes.append(&mut agreement.notes);
    let (valid, result) = conclusion(&opened, &checks);
    Ok(Verified {
        valid,
        result,
        r#type: opened.kind.word(),
        title: opened.kind.title(),
        checks,
        signature: signer(&signature),
        provider: origin.name,
        differences: agreement.differences,
        certification_data: opened.data.as_ref().map(Data::from),
        hashes: (hashes > 0).then_some(hashes),
        notes,
        not_checked,
    })
}

fn check(name: &'static str, what: &'static str, problems: Vec<String>) -> Check {
    match problems.is_empty() {
        true => passed(name, what, "as the rules ask for it".to_owned()),
        false => failed(name, what, problems.join("; ")),
    }
}

fn passed(check: &'static str, name: &'static str, reason: String) -> Check {
    Check { check, name, outcome: Outcome::Passed, reason }
}

fn failed(check: &'static str, name: &'static str, reason: String) -> Check {
    Check { check, name, outcome: Outcome::Failed, reason }
}

fn not_made(check: &'static str, name: &'static str, reason: &str) -> Check {
    Check { check, name, outcome: Outcome::NotChecked, reason: reason.to_owned() }
}

/// C1.
fn existence(signature: &Signature) -> Check {
    match signature.verification.present {
        true => passed("C1", "existence", "there is a top-level S/MIME signature".to_owned()),
        false => {
            let why = signature.verification.problem.clone().unwrap_or_default();
            failed("C1", "existence", format!("there is no top-level S/MIME signature: {why}"))
        }
    }
}

struct Origin {
    check: Check,
    provider: Option<Provider>,
    name: String,
}

/// C2.
fn origin(exhibit: &dyn Exhibit, signature: &Signature) -> Result<Origin, String> {
    let given = exhibit.property("directory").is_some();
    let none = |check, name: &str| Ok(Origin { check, provider: None, name: name.to_owned() });
    let Some(certificate) = &signature.verification.certificate else {
        return none(not_made("C2", "origin", "there is no certificate"), "not known");
    };
    if !given {
        return none(not_made("C2", "origin", "no index given"), "no index given");
    }
    let found = exhibit.provider_of_certificate(certificate).map_err(|error| format!("index: {error:?}"))?;
    match found {
        Some(provider) => Ok(Origin {
            check: passed("C2", "origin", format!("the certificate is one of {}", provider.name)),
            name: provider.name.clone(),
            provider: Some(provider),
        }),
        None => {
            none(failed("C2", "origin", "the certificate is in no entry of the index".to_owned()), "not in the index")
        }
    }
}

/// C3: the bytes, and the certificate.
fn validity(exhibit: &dyn Exhibit, signature: &Signature, notes: &mut Vec<String>) -> [Check; 2] {
    let found = &signature.verification;
    let problem = found.problem.clone().unwrap_or_default();
    if !found.present {
        let why = "there is no signature";
        return [not_made("C3", "integrity", why), not_made("C3", "trust", why)];
    }
    if !found.intact {
        let why = "the signature does not hold";
        return [failed("C3", "integrity", problem), not_made("C3", "trust", why)];
    }
    let integrity = passed("C3", "integrity", "digest and signature are those of the signed part".to_owned());
    let trust = if exhibit.property("anchors").is_none() {
        not_made("C3", "trust", "not checked: no anchors given")
    } else if found.trusted {
        passed("C3", "trust", "the certificate leads to a given anchor and is in its time".to_owned())
    } else {
        if problem.contains("expired") && exhibit.property("at").is_none() {
            notes.push("for an old message, --at gives the instant as of which to judge".to_owned());
        }
        failed("C3", "trust", problem)
    };
    [integrity, trust]
}

/// C4 of envelopes, receipts and notices: what must hold, or the reception point would not take them for correct.
fn certified_form(
    exhibit: &dyn Exhibit,
    opened: &Opened,
    data: &CertificationData,
    signature: &Signature,
    provider: &Option<Provider>,
) -> Result<Vec<String>, String> {
    let message = exhibit.message();
    let mut problems = Vec::new();
    let expected = match opened.kind {
        Type::Certified(CertificationKind::TransportEnvelope) => TypeFields::TransportEnvelope,
        _ => TypeFields::Receipt,
    };
    if type_fields(message) != expected {
        problems.push(form_problem(&FormProblem::TypeFields));
    }
    if opened.kind != Type::Certified(data.kind) {
        problems.push(form_problem(&FormProblem::Kind));
    }
    if let Some(signed) = signature.verification.signed_part {
        let located = CertifiedParts::locate(message, signed).map_err(words)?;
        problems.extend(located.err().map(|problem| form_problem(&problem)));
    }
    for field in ["From", "Date", "Subject"] {
        if message.header_count(field) != 1 {
            problems.push(format!("{field} is missing or repeated"));
        }
    }
    from(exhibit, signature, provider, &mut problems)?;
    let identifier = format!("<{}>", data.identifier);
    if data.kind == CertificationKind::TransportEnvelope {
        let shown = message.header_text("Message-ID", 0).map(|id| squeezed(&id));
        if message.header_count("Message-ID") != 1 || shown.as_deref() != Some(&identifier) {
            problems.push(format!("Message-ID ({}) is not the identifier ({identifier})", shown.unwrap_or_default()));
        }
        if opened.original.is_none() {
            problems.push(format!("there is no {}", wire::POSTACERT_EML));
        }
    }
    concerned(exhibit, data, provider, &mut problems)?;
    Ok(problems)
}

/// PEC §5.5.2 and §7: who it is from is a name of the certificate, under a domain of the provider.
fn from(
    exhibit: &dyn Exhibit,
    signature: &Signature,
    provider: &Option<Provider>,
    problems: &mut Vec<String>,
) -> Result<(), String> {
    let from = exhibit.message().addresses("From").unwrap_or_default();
    let [from] = from.as_slice() else {
        problems.push("From is not one address".to_owned());
        return Ok(());
    };
    let names = &signature.verification.addresses;
    if signature.verification.certificate.is_some() && !names.iter().any(|name| address::same(name, &from.mailbox)) {
        problems.push(format!("From ({}) is no name of the certificate ({})", from.mailbox, names.join(", ")));
    }
    if let Some(provider) = provider
        && !manages(exhibit, provider, &from.mailbox)?
    {
        problems.push(format!("the domain of From ({}) is not of {}", from.mailbox, provider.name));
    }
    Ok(())
}

/// Who may speak of whom: the sender's provider of the sender, a recipient's provider of that recipient.
fn concerned(
    exhibit: &dyn Exhibit,
    data: &CertificationData,
    provider: &Option<Provider>,
    problems: &mut Vec<String>,
) -> Result<(), String> {
    use CertificationKind::*;
    let about: Vec<&String> = match data.kind {
        TakeCharge => data.taken_in_charge.iter().collect(),
        VirusDetection if data.delivery.is_none() => data.taken_in_charge.iter().collect(),
        Delivery | NonDelivery | VirusDetection => data.delivery.iter().collect(),
        _ => Vec::new(),
    };
    if about.is_empty() && matches!(data.kind, TakeCharge | Delivery | NonDelivery | VirusDetection) {
        problems.push("it names no recipient that it is about".to_owned());
    }
    for recipient in &about {
        if data.recipient_kind(recipient).is_none() {
            problems.push(format!("it is about {recipient}, who is no recipient of the original"));
        }
    }
    if data.kind == NonDelivery && data.error == ErrorKind::None {
        problems.push("it says that delivery failed, and no error".to_owned());
    }
    let Some(provider) = provider else { return Ok(()) };
    let own_sender = manages(exhibit, provider, &data.sender)?;
    match data.kind {
        Acceptance | NonAcceptance | Timeout | TransportEnvelope if !own_sender => {
            problems.push(format!("the sender ({}) is not of {}", data.sender, provider.name));
        }
        // The sender's own provider may tell that another's could not be reached.
        NonDelivery if own_sender => {}
        _ => {
            for recipient in about {
                if !manages(exhibit, provider, recipient)? {
                    problems.push(format!("{recipient} is not of {}", provider.name));
                }
            }
        }
    }
    Ok(())
}

fn manages(exhibit: &dyn Exhibit, provider: &Provider, mailbox: &str) -> Result<bool, String> {
    let found = exhibit.provider_of_domain(&address::domain(mailbox)).map_err(|error| format!("index: {error:?}"))?;
    Ok(found.is_some_and(|other| other.name.eq_ignore_ascii_case(&provider.name)))
}

/// C4 of an anomaly envelope: the message inside, and nothing that certifies it (PEC §3.2.2).
fn anomaly_form(
    exhibit: &dyn Exhibit,
    opened: &Opened,
    signature: &Signature,
    provider: &Option<Provider>,
) -> Result<Vec<String>, String> {
    let message = exhibit.message();
    let mut problems = Vec::new();
    if message.header_count(wire::X_TRASPORTO) != 1 || message.header_count(wire::X_RICEVUTA) != 0 {
        problems.push(form_problem(&FormProblem::TypeFields));
    }
    if opened.original.is_none() {
        problems.push(format!("there is no {}", wire::POSTACERT_EML));
    }
    if opened.data_part.is_some() {
        problems.push("it has certification data, which an anomaly envelope does not have".to_owned());
    }
    let subject = message.header_text("Subject", 0).unwrap_or_default();
    if !squeezed(&subject).starts_with(wire::SUBJECT_ANOMALY.trim_end()) {
        problems.push(format!("Subject does not begin with '{}'", wire::SUBJECT_ANOMALY.trim_end()));
    }
    from(exhibit, signature, provider, &mut problems)?;
    Ok(problems)
}

fn agrees(agreement: &Agreement) -> Check {
    let fields: Vec<&str> = agreement.differences.iter().map(|difference| difference.field).collect();
    match fields.is_empty() {
        true => passed("C4", "agreement", "the header says what is certified".to_owned()),
        false => {
            let reason = format!("the header, which nothing signs, is not what is certified: {}", fields.join(", "));
            failed("C4", "agreement", reason)
        }
    }
}

fn form_problem(problem: &FormProblem) -> String {
    match problem {
        FormProblem::TypeFields => {
            format!("{} and {} do not say one kind of message", wire::X_TRASPORTO, wire::X_RICEVUTA)
        }
        FormProblem::Kind => "the header says another kind of message than the certification data".to_owned(),
        FormProblem::Parts("testo") => "the signed part does not begin with a text".to_owned(),
        FormProblem::Parts("MIME") => "readers may disagree about its parts".to_owned(),
        FormProblem::Parts(name) => format!("{name} is missing, repeated or of another type"),
        FormProblem::Data(problem) => format!("{}: {}", wire::DATICERT_XML, data_problem(problem)),
        other => other.to_string(),
    }
}

fn words(failure: Failure) -> String {
    match failure {
        Failure::Transient(text) | Failure::Permanent(text) => text,
    }
}

fn not_checked(exhibit: &dyn Exhibit, opened: &Opened, hashes: usize) -> Vec<String> {
    let mut list = Vec::new();
    let mut say = |when: bool, what: &str| list.extend(when.then(|| what.to_owned()));
    let missing = |name| exhibit.property(name).is_none();
    say(missing("anchors"), "trust in the signer's certificate: no anchors given (--anchors)");
    say(missing("revocation-lists"), "revocation of certificates: no lists given (--revocation-lists)");
    say(missing("directory"), "that the signer is a provider, and of whose domains: no index given (--index)");
    say(hashes > 0, "the digests of a brief receipt: the attachments as they were sent are needed for it");
    let certified = matches!(opened.kind, Type::Certified(_));
    say(
        certified,
        "sender and recipients of the transmission, and whether the identifier was used before: no file tells",
    );
    say(opened.kind != Type::Ordinary, "other header fields (Received, Return-Path, …): nothing signs them");
    list
}

/// Valid is what no check speaks against and something given vouches for.
fn conclusion(opened: &Opened, checks: &[Check]) -> (bool, String) {
    let title = opened.kind.title();
    let outcome =
        |check: &str, name: &str| checks.iter().find(|c| c.check == check && c.name == name).map(|check| check.outcome);
    if outcome("C1", "existence") == Some(Outcome::Failed) {
        return (false, "not a certified message: it has no signature of its own".to_owned());
    }
    let wrong: Vec<String> = checks
        .iter()
        .filter(|check| check.outcome == Outcome::Failed)
        .map(|check| format!("{} {} ({})", check.check, check.name, check.reason))
        .collect();
    if !wrong.is_empty() {
        return (false, format!("not valid: {}", wrong.join("; ")));
    }
    if opened.kind == Type::Ordinary {
        return (
            false,
            "not a certified message: it is signed, and says of itself no kind of certified message".to_owned(),
        );
    }
    let vouched = [outcome("C2", "origin"), outcome("C3", "trust")].contains(&Some(Outcome::Passed));
    match vouched {
        true => (true, format!("valid: {title}")),
        false => {
            (false, "whole and in order, but nothing given says whose signature it is (--anchors, --index)".to_owned())
        }
    }
}

fn signer(signature: &Signature) -> Option<Signer> {
    signature.verification.certificate.as_ref()?;
    let fact = |name: &str| signature.facts.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    Some(Signer {
        addresses: signature.verification.addresses.clone(),
        subject: fact("subject"),
        issuer: fact("issuer"),
        serial: fact("serial"),
        valid_from: fact("valid-from"),
        valid_until: fact("valid-until"),
        sha1: fact("sha1"),
        digest: fact("digest"),
        algorithm: fact("algorithm"),
        signing_time: fact("signing-time"),
    })
}
