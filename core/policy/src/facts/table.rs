//! The facts of each stage. The server fills them; `policies/README.md` explains them to operators.

use crate::stage::Stage::{self, Access, Delivery, Outcome, Reception, Refiled, Stored};

/// What values a fact has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Words(&'static [&'static str]),
    Number,
    Size,
    Boolean,
}

struct Fact {
    name: &'static str,
    kind: Kind,
    stages: &'static [Stage],
}

const fn fact(name: &'static str, kind: Kind, stages: &'static [Stage]) -> Fact {
    Fact { name, kind, stages }
}

const SESSION: &[Stage] = &[Access, Reception];
const LATER: &[Stage] = &[Delivery, Stored, Refiled, Outcome];
const EVERY: &[Stage] = &[Access, Reception, Delivery, Stored, Refiled, Outcome];
/// Of a message that lies in a folder, the envelope is not known any more.
const ON_ITS_WAY: &[Stage] = &[Access, Reception, Delivery, Stored, Outcome];
/// The classes that `domain add --class` gives.
const CLASSES: Kind = Kind::Words(&["certified", "ordinary"]);

const RESULTS: [&str; 8] = ["pass", "fail", "softfail", "neutral", "policy", "none", "temperror", "permerror"];

const FACTS: &[Fact] = &[
    // How the message came.
    fact("arrival", Kind::Words(&["submission"]), &[Access]),
    fact("arrival", Kind::Words(&["relay", "internal"]), &[Reception]),
    fact("listener", Kind::Words(&["submission"]), &[Access]),
    fact("listener", Kind::Words(&["relay"]), &[Reception]),
    fact("peer.ip", Kind::Text, SESSION),
    fact("tls", Kind::Boolean, SESSION),
    fact("made.by", Kind::Text, &[Reception]),
    // What could be proved of the sender, in the words of RFC 8601 §2.7.
    fact("auth.spf", Kind::Words(&RESULTS), &[Reception]),
    fact("auth.dkim", Kind::Words(&RESULTS), &[Reception]),
    fact("auth.dmarc", Kind::Words(&RESULTS), &[Reception]),
    fact("auth.arc", Kind::Words(&RESULTS), &[Reception]),
    // Who.
    fact("identity", Kind::Text, &[Access]),
    fact("identity.domain", Kind::Text, &[Access]),
    fact("sender", Kind::Text, ON_ITS_WAY),
    fact("sender.domain", Kind::Text, ON_ITS_WAY),
    fact("recipient", Kind::Text, EVERY),
    fact("recipient.domain", Kind::Text, EVERY),
    fact("recipient.plugin", Kind::Text, &[Reception]),
    fact("recipients", Kind::Number, SESSION),
    // The class of the local domain and mailbox on whose behalf the stage runs.
    fact("domain.class", CLASSES, EVERY),
    fact("mailbox.class", CLASSES, &[Access, Delivery, Stored, Refiled, Outcome]),
    // The message.
    fact("size", Kind::Size, EVERY),
    fact("attempt", Kind::Number, LATER),
    fact("status", Kind::Words(&["present", "unknown", "full", "disabled"]), &[Delivery]),
    fact("status", Kind::Words(&["filed"]), &[Stored]),
    fact("status", Kind::Words(&["refiled"]), &[Refiled]),
    fact("status", Kind::Words(&["delivered", "failed", "expired"]), &[Outcome]),
];

/// The names of the facts that a chain of this stage may ask for.
pub fn known_facts(stage: Stage) -> impl Iterator<Item = &'static str> + Clone {
    FACTS.iter().filter(move |fact| fact.stages.contains(&stage)).map(|fact| fact.name)
}

pub(super) fn kind(name: &str, stage: Stage) -> Option<Kind> {
    FACTS.iter().find(|fact| fact.name == name && fact.stages.contains(&stage)).map(|fact| fact.kind)
}
