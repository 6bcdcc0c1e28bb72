//! Chains and their steps.

use serde::{Deserialize, Serialize};

use crate::diagnostic::Position;
use crate::facts::{Condition, Facts};
use crate::limits::Limits;
use crate::stage::Stage;

/// What becomes of the message when a step fails: a trap, a limit, a failure that the plugin reports. Every step
/// says it; there is no default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// For now: 4yz in a session, a later attempt in the queue.
    Defer,
    /// For good: 5yz in a session, a failed recipient in the queue.
    Reject,
    /// It is kept from its recipients.
    Quarantine,
    /// It waits for the operator.
    Hold,
    /// The chain goes on as if the step were not there. Only for steps declared advisory.
    Skip,
}

impl OnFailure {
    /// Every choice with its word.
    pub const WORDS: [(&'static str, OnFailure); 5] = [
        ("defer", OnFailure::Defer),
        ("reject", OnFailure::Reject),
        ("quarantine", OnFailure::Quarantine),
        ("hold", OnFailure::Hold),
        ("skip", OnFailure::Skip),
    ];
}

/// One step: a plugin, and what happens when it fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Name of the plugin in the policy.
    pub plugin: String,
    /// What becomes of the message when it fails.
    pub on_failure: OnFailure,
    /// The message may go on without this step.
    pub advisory: bool,
    /// What it may cost.
    pub limits: Limits,
    /// It may answer `accept` and so skip the rest of the chain.
    pub may_accept: bool,
    /// It may answer `discard`.
    pub may_discard: bool,
    /// Where the plugin is named.
    pub position: Position,
}

/// A list of steps bound to a stage. Of a stage's chains the first whose condition holds runs, alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// Unique in the policy.
    pub name: String,
    /// When it runs.
    pub stage: Stage,
    /// For which mail.
    pub when: Condition,
    /// In order.
    pub steps: Vec<Step>,
    /// Where the chain begins.
    pub position: Position,
}

impl Chain {
    /// Whether its condition holds.
    pub fn matches(&self, facts: &Facts) -> bool {
        self.when.holds(facts)
    }
}
