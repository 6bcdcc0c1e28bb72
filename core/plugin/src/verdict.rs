//! From what a step said to what follows.

use sigillo_mail::EnhancedCode;
use sigillo_policy::{OnFailure, Stage};

use crate::check;
use crate::run::{Outcome, Reply};
use crate::world::mail::types::Verdict;

/// What a step's policy lets it say.
#[derive(Debug, Clone, Copy)]
pub struct Allowed {
    /// `accept`.
    pub accept: bool,
    /// `discard`.
    pub discard: bool,
}

/// Takes a verdict, or says why it is none: the step has failed then.
pub fn judge(verdict: Verdict, stage: Stage, allowed: Allowed) -> Result<Outcome, String> {
    let outcome = match verdict {
        Verdict::Continue => Outcome::Continue,
        Verdict::Accept if !allowed.accept => return Err(not_granted("accept")),
        Verdict::Accept => Outcome::Accept,
        Verdict::Reject(reply) => Outcome::Reject(check::reply(reply, 5)?),
        Verdict::Defer(reply) => Outcome::Defer(check::reply(reply, 4)?),
        Verdict::Quarantine(reason) => Outcome::Quarantine(check::reason(&reason)),
        Verdict::Discard(_) if !allowed.discard => return Err(not_granted("discard")),
        Verdict::Discard(reason) => Outcome::Discard(check::reason(&reason)),
    };
    let fits = match stage {
        Stage::Access | Stage::Reception | Stage::Delivery => true,
        // The message is filed: nothing can be done to it.
        Stage::Stored | Stage::Refiled | Stage::Timer | Stage::Answer => outcome == Outcome::Continue,
        // The message has left, or will not: the only question is who reports it.
        Stage::Outcome => matches!(outcome, Outcome::Continue | Outcome::Discard(_)),
    };
    if fits { Ok(outcome) } else { Err(format!("the verdict `{}` means nothing at this stage", outcome.word())) }
}

fn not_granted(verdict: &str) -> String {
    format!("said `{verdict}`, which its policy does not grant")
}

/// What follows a failure. None: the chain goes on without the step.
///
/// The peer learns nothing of the reason; the operator reads it in the step's record.
pub fn after_failure(on_failure: OnFailure, plugin: &str) -> Option<Outcome> {
    let reason = || format!("step of plugin `{plugin}` failed");
    Some(match on_failure {
        OnFailure::Defer => Outcome::Defer(later()),
        OnFailure::Reject => Outcome::Reject(never()),
        OnFailure::Quarantine => Outcome::Quarantine(reason()),
        OnFailure::Hold => Outcome::Hold(reason()),
        OnFailure::Skip => return None,
    })
}

/// RFC 5321 §4.2.2: local error in processing.
pub fn later() -> Reply {
    Reply { code: 451, enhanced: EnhancedCode::SYSTEM_TRANSIENT, text: "Local error, try again later".into() }
}

/// RFC 5321 §4.2.2: transaction failed.
fn never() -> Reply {
    Reply { code: 554, enhanced: EnhancedCode::UNDEFINED, text: "Message cannot be processed".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::mail::types;

    const ALL: Allowed = Allowed { accept: true, discard: true };
    const NONE: Allowed = Allowed { accept: false, discard: false };

    #[test]
    fn a_reply_keeps_its_code_as_a_failure() {
        for (reply, permanent) in [(later(), false), (never(), true)] {
            let failure = sigillo_mail::Failure::from(&reply);
            assert_eq!(
                (failure.reply, failure.code, failure.is_permanent()),
                (Some(reply.code), reply.enhanced, permanent)
            );
        }
    }

    #[test]
    fn what_the_policy_does_not_grant_is_a_failure() {
        assert_eq!(judge(Verdict::Accept, Stage::Access, ALL), Ok(Outcome::Accept));
        assert!(judge(Verdict::Accept, Stage::Access, NONE).is_err());
        assert!(judge(Verdict::Discard("x".into()), Stage::Access, NONE).is_err());
        assert_eq!(judge(Verdict::Continue, Stage::Access, NONE), Ok(Outcome::Continue));
    }

    #[test]
    fn a_filed_message_is_not_judged() {
        assert_eq!(judge(Verdict::Continue, Stage::Stored, ALL), Ok(Outcome::Continue));
        assert!(judge(Verdict::Quarantine("x".into()), Stage::Stored, ALL).is_err());
        assert!(judge(Verdict::Discard("told".into()), Stage::Outcome, ALL).is_ok());
        let reply = types::Reply { code: 550, enhanced: "5.7.1".into(), text: "no".into() };
        assert!(judge(Verdict::Reject(reply), Stage::Outcome, ALL).is_err());
    }

    #[test]
    fn reasons_are_made_plain_and_replies_are_not_repaired() {
        let quarantine = judge(Verdict::Quarantine("a\r\nb".into()), Stage::Access, NONE);
        assert_eq!(quarantine, Ok(Outcome::Quarantine("a  b".into())));
        let reply = types::Reply { code: 450, enhanced: "4.7.1".into(), text: "a\r\nb".into() };
        assert!(judge(Verdict::Defer(reply), Stage::Access, NONE).is_err());
    }
}
