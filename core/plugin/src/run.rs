//! What a chain came to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sigillo_mail::structure::Structure;
use sigillo_mail::{EnhancedCode, Failure, Rope};

use crate::changes::ChangeSet;

/// A reply that was checked: `code` is 4yz or 5yz, `enhanced` is of the same class, `text` is printable ASCII and the
/// line fits into RFC 5321 §4.5.3.1.5.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// 400 to 599.
    pub code: u16,
    /// Enhanced code.
    pub enhanced: EnhancedCode,
    /// One line.
    pub text: String,
}

/// With the code that the plugin chose.
impl From<&Reply> for Failure {
    fn from(reply: &Reply) -> Failure {
        let failure = if reply.code / 100 == 4 { Failure::transient } else { Failure::permanent };
        Failure { reply: Some(reply.code), ..failure(reply.enhanced, reply.text.clone()) }
    }
}

/// What follows for the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every step said so.
    Continue,
    /// A step ended the chain early, as its policy lets it.
    Accept,
    /// Refused for good.
    Reject(Reply),
    /// Refused for now.
    Defer(Reply),
    /// Kept from its recipients, for this reason.
    Quarantine(String),
    /// Taken and not delivered, for this reason.
    Discard(String),
    /// Kept in the queue until the operator decides, for this reason.
    Hold(String),
}

impl Outcome {
    /// The word for logs and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Continue => "continue",
            Outcome::Accept => "accept",
            Outcome::Reject(_) => "reject",
            Outcome::Defer(_) => "defer",
            Outcome::Quarantine(_) => "quarantine",
            Outcome::Discard(_) => "discard",
            Outcome::Hold(_) => "hold",
        }
    }
}

/// What a chain came to. What remains of the steps' changes depends on the outcome:
///
/// | outcome | message | change sets |
/// |---|---|---|
/// | continue, accept | with every edit | of every step |
/// | quarantine, discard | with every edit before the deciding step | of every step |
/// | reject | as it came | of the deciding step alone: what the others promised does not hold |
/// | defer, hold | as it came | none: the chain runs anew later |
#[derive(Debug, Clone)]
pub struct ChainRun {
    /// Name of the chain; none if no chain of the stage applies.
    pub chain: Option<String>,
    /// What follows for the message.
    pub outcome: Outcome,
    /// The message after the edits that remain.
    pub message: Rope,
    /// The structure of exactly these bytes; none for a wake-up.
    pub structure: Option<Arc<Structure>>,
    /// What to commit, in the order of the steps. Steps that changed and read nothing have none.
    pub change_sets: Vec<ChangeSet>,
    /// Every step that ran, in order.
    pub steps: Vec<StepRecord>,
    /// The policy under which it ran, see `Engine::epoch`.
    pub epoch: String,
}

/// One step that ran: for evidence, metrics and replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The plugin's name in the policy.
    pub plugin: String,
    /// SHA-256 of its component, in hex.
    pub plugin_sha256: String,
    /// The stage's word.
    pub stage: String,
    /// The step's place in its chain, from 0.
    pub step: usize,
    /// Octets of the message that the step saw. Its digest is not taken here: that would cost a pass over every
    /// message at every step.
    pub message_size: u64,
    /// What the step said, or what its policy says of its failure.
    pub verdict: String,
    /// Why it failed, for the operator: a trap, a limit, its own words.
    pub failure: Option<String>,
    /// What it left for later steps, by name: a fact that decided over the message is in the record of its passage.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Processor time, microseconds.
    pub cpu_us: u64,
    /// Time from instantiation to the verdict, microseconds.
    pub wall_us: u64,
    /// Calls into the host.
    pub host_calls: u64,
    /// Octets given to the guest, or worked on for it.
    pub bytes_read: u64,
    /// Octets taken from the guest.
    pub bytes_written: u64,
    /// Highest linear memory, octets.
    pub memory_peak: u64,
    /// Lines of the log beyond the limit, dropped.
    pub log_lines_dropped: u32,
}
