//! What the reception point does with a message: the truth table of the rules, as a table ([PEC §2.2.2], [§3.2]).
//!
//! What the scanner said is a fact of a step before; the receipts of other providers are passed on whatever it said:
//! what is infected in them is the sender's own original, and the receipt is a proof.

/// A condition of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// The check holds.
    Holds,
    /// The check fails.
    Fails,
    /// It does not matter, or was not made.
    Any,
}

/// What the header fields say that the message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeFields {
    /// One `X-Trasporto: posta-certificata` and no `X-Ricevuta`.
    TransportEnvelope,
    /// One `X-Ricevuta` with a word of the rules and no `X-Trasporto`.
    Receipt,
    /// Anything else: none of them, both, repeated, another word.
    Other,
}

/// What was found out of a message. A check is false also where one before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// C1: a top-level S/MIME signature is there.
    pub existence: bool,
    /// C2: the signer's certificate is in the index of providers.
    pub origin: bool,
    /// C3: the signature is that of these bytes, by a certificate that is valid now.
    pub validity: bool,
    /// What the header fields say.
    pub fields: TypeFields,
    /// C4: header, parts and certification data agree with each other and with the transaction.
    pub form: bool,
    /// The scanner found a threat.
    pub virus: bool,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Take-charge receipt to the sending provider; the envelope goes on.
    TakeInCharge,
    /// Take-charge receipt and virus detections to the sending provider; the envelope is kept from its recipients.
    DetectVirus,
    /// The receipt or notice goes on as it is.
    PassReceipt,
    /// It comes from a provider and is not as it should be: it must go on, in an anomaly envelope.
    Anomaly,
    /// Ordinary mail: anomaly envelope or refusal, as the provider and the mailboxes choose.
    Ordinary,
    /// Infected, and nobody is to be told: kept from its recipients.
    Quarantine,
}

impl Treatment {
    /// The word in the message log.
    pub fn word(self) -> &'static str {
        match self {
            Treatment::TakeInCharge => "take-charge",
            Treatment::DetectVirus => "detect-virus",
            Treatment::PassReceipt => "pass",
            Treatment::Anomaly => "anomaly",
            Treatment::Ordinary => "ordinary",
            Treatment::Quarantine => "quarantine",
        }
    }
}

struct Row {
    existence: When,
    origin: When,
    validity: When,
    fields: Option<TypeFields>,
    form: When,
    virus: When,
    treatment: Treatment,
}

const fn row(
    [existence, origin, validity]: [When; 3],
    fields: Option<TypeFields>,
    [form, virus]: [When; 2],
    treatment: Treatment,
) -> Row {
    Row { existence, origin, validity, fields, form, virus, treatment }
}

use TypeFields::{Receipt, TransportEnvelope};
use When::{Any, Fails, Holds};

/// The first row that fits decides.
#[rustfmt::skip]
const TABLE: [Row; 8] = [
    //   C1     C2     C3       type fields               C4     virus
    row([Holds, Holds, Holds], Some(TransportEnvelope), [Holds, Fails], Treatment::TakeInCharge),
    row([Holds, Holds, Holds], Some(TransportEnvelope), [Holds, Holds], Treatment::DetectVirus),
    row([Holds, Holds, Holds], Some(Receipt),           [Holds, Any],   Treatment::PassReceipt),
    row([Any,   Any,   Any],   None,                    [Any,   Holds], Treatment::Quarantine),
    row([Holds, Holds, Holds], None,                    [Any,   Fails], Treatment::Anomaly),
    row([Fails, Any,   Any],   None,                    [Any,   Fails], Treatment::Ordinary),
    row([Any,   Fails, Any],   None,                    [Any,   Fails], Treatment::Ordinary),
    row([Any,   Any,   Fails], None,                    [Any,   Fails], Treatment::Ordinary),
];

/// The treatment of a message.
pub fn treatment(checks: &Checks) -> Treatment {
    let fits = |when: When, holds: bool| match when {
        When::Holds => holds,
        When::Fails => !holds,
        When::Any => true,
    };
    let row = TABLE.iter().find(|row| {
        fits(row.existence, checks.existence)
            && fits(row.origin, checks.origin)
            && fits(row.validity, checks.validity)
            && row.fields.is_none_or(|fields| fields == checks.fields)
            && fits(row.form, checks.form)
            && fits(row.virus, checks.virus)
    });
    // The table covers every case; what a mistake in it would leave out must not reach anybody.
    row.map_or(Treatment::Quarantine, |row| row.treatment)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination, against the rule in words; and every row decides some of them.
    #[test]
    fn the_table_says_what_the_rules_say() {
        let mut treatments = std::collections::BTreeSet::new();
        for bits in 0..32u8 {
            for fields in [TransportEnvelope, Receipt, TypeFields::Other] {
                let [existence, origin, validity, form, virus] = [0, 1, 2, 3, 4].map(|bit| bits >> bit & 1 == 1);
                let signed_by_a_provider = existence && origin && validity;
                let expected = match (signed_by_a_provider, fields, form, virus) {
                    (true, TransportEnvelope, true, false) => Treatment::TakeInCharge,
                    (true, TransportEnvelope, true, true) => Treatment::DetectVirus,
                    (true, Receipt, true, _) => Treatment::PassReceipt,
                    (_, _, _, true) => Treatment::Quarantine,
                    (true, _, _, false) => Treatment::Anomaly,
                    (false, _, _, false) => Treatment::Ordinary,
                };
                let checks = Checks { existence, origin, validity, fields, form, virus };
                assert_eq!(treatment(&checks), expected, "{checks:?}");
                treatments.insert(format!("{expected:?}"));
            }
        }
        assert_eq!(treatments.len(), 6);
    }

    #[test]
    fn every_row_is_the_first_for_some_message() {
        let reached: std::collections::BTreeSet<usize> = (0..96u8)
            .filter_map(|case| {
                let [existence, origin, validity, form, virus] = [0, 1, 2, 3, 4].map(|bit| (case % 32) >> bit & 1 == 1);
                let fields = [TransportEnvelope, Receipt, TypeFields::Other][usize::from(case / 32)];
                let fits = |(when, holds): (When, bool)| when == Any || (when == Holds) == holds;
                TABLE.iter().position(|row| {
                    let pairs = [
                        (row.existence, existence),
                        (row.origin, origin),
                        (row.validity, validity),
                        (row.form, form),
                        (row.virus, virus),
                    ];
                    pairs.into_iter().all(fits) && row.fields.is_none_or(|expected| expected == fields)
                })
            })
            .collect();
        assert_eq!(reached.len(), TABLE.len());
    }
}
