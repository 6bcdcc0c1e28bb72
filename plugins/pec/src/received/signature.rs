//! C1 to C3: a provider's signature over the message ([PEC §2.2.2]; steps of [§5.5]).

use crate::address;
use crate::classification::Checks;
use crate::host::{Failure, Provider};
use crate::step::Step;

/// A signature that exists, is of a provider of the index and holds: made by [`verify`] alone.
pub struct VerifiedSignature {
    provider: Provider,
    addresses: Vec<String>,
    signed_part: u32,
    own: bool,
}

impl VerifiedSignature {
    /// Whose it is.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Whether the certificate names this address (PEC §5.5.2).
    pub fn names(&self, address: &str) -> bool {
        self.addresses.iter().any(|name| address::same(name, address))
    }

    /// Index of the signed part.
    pub fn signed_part(&self) -> u32 {
        self.signed_part
    }

    /// Whether it is this provider's own.
    pub fn is_own(&self) -> bool {
        self.own
    }
}

/// Why there is no verified signature.
pub(super) enum SignatureProblem {
    /// It may be told later (a revocation list is stale, …).
    Passing(String),
    /// For good; in the words that anomaly envelopes of real providers use.
    Standing(&'static str),
}

const NOT_SIGNED: &str = "il messaggio non è firmato digitalmente";
const NOT_A_PROVIDER: &str = "la firma digitale del messaggio non è di un gestore di posta certificata";
const NOT_TRUSTED: &str = "la firma digitale del messaggio non risulta attendibile";

/// Verifies the top-level signature of the message in hand and notes the result of each check.
pub(super) fn verify(step: &Step, checks: &mut Checks) -> Result<Result<VerifiedSignature, SignatureProblem>, Failure> {
    let found = step.host.verify().map_err(|error| error.during("verification"))?;
    checks.existence = found.present;
    let (Some(signed_part), Some(certificate)) = (found.signed_part, &found.certificate) else {
        // A signature that cannot be read is there and worth nothing.
        return Ok(Err(SignatureProblem::Standing(if found.present { NOT_TRUSTED } else { NOT_SIGNED })));
    };
    let provider =
        step.host.provider_of_certificate(certificate).map_err(|error| error.during("index of providers"))?;
    let Some(provider) = provider else { return Ok(Err(SignatureProblem::Standing(NOT_A_PROVIDER))) };
    checks.origin = true;
    checks.validity = found.intact && found.trusted;
    if !checks.validity {
        // A list that could not be fetched says nothing against the message: it must not cost it its certification.
        let passing = found.intact && found.transient;
        return Ok(Err(match passing {
            true => SignatureProblem::Passing(found.problem.unwrap_or_default()),
            false => SignatureProblem::Standing(NOT_TRUSTED),
        }));
    }
    let own = step.own_entry()?.is_some_and(|entry| entry.name.eq_ignore_ascii_case(&provider.name))
        && found.addresses.iter().any(|name| address::same(name, &step.settings.service_address));
    Ok(Ok(VerifiedSignature { provider, addresses: found.addresses, signed_part, own }))
}
