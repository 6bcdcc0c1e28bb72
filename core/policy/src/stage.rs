//! Moments in a message's life at which a chain runs.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Report;
use crate::yaml::{Node, Value};

/// A stage; the names are those of the contract (`wit/stages.wit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// An authenticated user's message is complete, before the reply to DATA.
    Access,
    /// Another server's message, or one queued here for a local domain, is complete, before the reply.
    Reception,
    /// One message for one local mailbox, in the commit that files it.
    Delivery,
    /// After it is in the mailbox.
    Stored,
    /// A user moved a message of a mailbox into or out of its folder for unwanted mail.
    Refiled,
    /// A remote delivery ended for good.
    Outcome,
    /// A wake-up that a plugin asked for is due. It has no chain: the plugin that asked is the one that runs.
    Timer,
    /// A request of the outbox ended. It has no chain: the plugin that made it is the one that runs.
    Answer,
}

/// Stages of the SMTP session that the language knows and this version does not run.
const NOT_YET: [&str; 5] = ["connect", "hello", "auth", "mail", "rcpt"];

impl Stage {
    /// Every stage.
    pub const ALL: [Stage; 8] = [
        Stage::Access,
        Stage::Reception,
        Stage::Delivery,
        Stage::Stored,
        Stage::Refiled,
        Stage::Outcome,
        Stage::Timer,
        Stage::Answer,
    ];

    /// The word for it in policies, manifests, logs and the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Access => "access",
            Stage::Reception => "reception",
            Stage::Delivery => "delivery",
            Stage::Stored => "stored",
            Stage::Refiled => "refiled",
            Stage::Outcome => "outcome",
            Stage::Timer => "timer",
            Stage::Answer => "answer",
        }
    }

    /// Whether the message can still be refused or kept from its recipients: later there is nothing left to refuse.
    pub fn can_refuse(self) -> bool {
        matches!(self, Stage::Access | Stage::Reception | Stage::Delivery)
    }

    /// Reads a stage where one is named.
    pub(crate) fn read(node: &Node, report: &mut Report) -> Option<Stage> {
        let words: Vec<_> = Stage::ALL.iter().map(|stage| (stage.as_str(), *stage)).collect();
        if let Value::Text(text) = &node.value
            && NOT_YET.contains(&text.as_str())
        {
            let help = "until then such a check can run at 'access' or 'reception'";
            report.error_with_help(node.position, "E206", format!("stage '{text}' is not available yet"), help);
            return None;
        }
        node.word("stage", &words, report)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
