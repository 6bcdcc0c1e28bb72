//! What the reception point does with a message: the truth table of the rules, as a table ([PEC §2.2.2], [§3.2]).
//!
//! Virus checks come before this table, as a step of their own in the chain.

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
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Take-charge receipt to the sending provider; the envelope goes on.
    TakeInCharge,
    /// The receipt or notice goes on as it is.
    PassReceipt,
    /// It comes from a provider and is not as it should be: it must go on, in an anomaly envelope.
    Anomaly,
    /// Ordinary mail: anomaly envelope or refusal, as the provider chooses.
    Ordinary,
}

struct Row {
    existence: When,
    origin: When,
    validity: When,
    fields: Option<TypeFields>,
    form: When,
    treatment: Treatment,
}

const fn row(
    [existence, origin, validity]: [When; 3],
    fields: Option<TypeFields>,
    form: When,
    treatment: Treatment,
) -> Row {
    Row { existence, origin, validity, fields, form, treatment }
}

use TypeFields::{Receipt, TransportEnvelope};
use When::{Any, Fails, Holds};

/// The first row that fits decides.
#[rustfmt::skip]
const TABLE: [Row; 6] = [
    //   C1     C2     C3       type fields               C4
    row([Holds, Holds, Holds], Some(TransportEnvelope), Holds, Treatment::TakeInCharge),
    row([Holds, Holds, Holds], Some(Receipt),           Holds, Treatment::PassReceipt),
    row([Holds, Holds, Holds], None,                    Any,   Treatment::Anomaly),
    row([Fails, Any,   Any],   None,                    Any,   Treatment::Ordinary),
    row([Any,   Fails, Any],   None,                    Any,   Treatment::Ordinary),
    row([Any,   Any,   Fails], None,                    Any,   Treatment::Ordinary),
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
    });
    // The table covers every case; what a mistake in it would leave out must not pass for certified.
    row.map_or(Treatment::Ordinary, |row| row.treatment)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination, against the rule in words.
    #[test]
    fn the_table_says_what_the_rules_say() {
        for bits in 0..16u8 {
            for fields in [TransportEnvelope, Receipt, TypeFields::Other] {
                let [existence, origin, validity, form] = [0, 1, 2, 3].map(|bit| bits >> bit & 1 == 1);
                let signed_by_a_provider = existence && origin && validity;
                let expected = match (signed_by_a_provider, fields, form) {
                    (false, _, _) => Treatment::Ordinary,
                    (true, TransportEnvelope, true) => Treatment::TakeInCharge,
                    (true, Receipt, true) => Treatment::PassReceipt,
                    (true, _, _) => Treatment::Anomaly,
                };
                let checks = Checks { existence, origin, validity, fields, form };
                assert_eq!(treatment(&checks), expected, "{checks:?}");
            }
        }
    }

    #[test]
    fn every_row_is_reached() {
        let mut reached = std::collections::BTreeSet::new();
        for (checks, row) in
            [([true, true, true], 2), ([false, true, true], 3), ([true, false, true], 4), ([true, true, false], 5)]
        {
            let [existence, origin, validity] = checks;
            let found = TABLE.iter().position(|r| {
                [(r.existence, existence), (r.origin, origin), (r.validity, validity)]
                    .iter()
                    .all(|(when, holds)| *when == Any || (*when == Holds) == *holds)
                    && r.fields.is_none()
            });
            assert_eq!(found, Some(row));
            reached.insert(row);
        }
        assert_eq!(reached.len(), 4);
    }
}
