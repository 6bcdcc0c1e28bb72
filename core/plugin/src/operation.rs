//! Operations of plugins: somebody asks a plugin of the policy for something, and what its step records is committed
//! like that of any other step.

use std::collections::BTreeMap;
use std::sync::Arc;

use sigillo_mail::Rope;
use sigillo_mail::structure::Structure;
use sigillo_policy::Operation;

use crate::command::Answer;
use crate::limits;
use crate::meter::Budget;
use crate::run::ChainRun;
use crate::step::StepLimits;

/// The argument with which long work goes on; no manifest need list it.
pub const CONTINUE: &str = "continue";

/// What somebody asks.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Name of the operation.
    pub operation: String,
    /// Who asks.
    pub actor: String,
    /// By name, in the order in which they were given.
    pub arguments: Vec<(String, String)>,
    /// A message that comes along, with its structure: of exactly these bytes.
    pub message: Option<(Rope, Arc<Structure>)>,
    /// Long-tail facts by name.
    pub properties: BTreeMap<String, String>,
}

impl Request {
    /// What is wrong with it, by the operations of a manifest.
    pub fn check(&self, plugin: &str, operations: &BTreeMap<String, Operation>) -> Result<(), String> {
        let Some(operation) = operations.get(&self.operation) else {
            let names: Vec<&str> = operations.keys().map(String::as_str).collect();
            return Err(match names.is_empty() {
                true => format!("plugin '{plugin}' has no operations"),
                false => {
                    format!("plugin '{plugin}' has no operation '{}'; it has {}", self.operation, names.join(", "))
                }
            });
        };
        let known = || operation.arguments.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        for (index, (name, _)) in self.arguments.iter().enumerate() {
            if name != CONTINUE && !operation.arguments.contains_key(name) {
                let takes = if operation.arguments.is_empty() { "none".into() } else { known() };
                return Err(format!("'{}' takes no argument '{name}'; it takes {takes}", self.operation));
            }
            if self.arguments[..index].iter().any(|(other, _)| other == name) {
                return Err(format!("the argument '{name}' stands twice"));
            }
        }
        let given = |name: &String| self.arguments.iter().any(|(given, _)| given == name);
        match operation.arguments.iter().find(|(name, argument)| argument.required && !given(name)) {
            Some((name, argument)) => Err(format!("'{}' needs {name}=…: {}", self.operation, argument.description)),
            None => Ok(()),
        }
    }
}

/// What the log may say of the arguments: the values of secrets are left out.
pub(crate) fn for_the_log(request: &Request, operation: &Operation) -> Vec<(String, String)> {
    let said = |(name, value): &(String, String)| {
        let secret = operation.arguments.get(name).is_some_and(|argument| argument.secret);
        let value =
            if secret { "(secret)".to_owned() } else { value.chars().take(limits::LOGGED_ARGUMENT_MAX).collect() };
        (format!("argument.{name}"), value)
    };
    request.arguments.iter().filter(|(name, _)| name != CONTINUE).map(said).collect()
}

/// An operation that ran.
#[derive(Debug)]
pub struct Operated {
    /// The answer, or the plugin's or the host's words why there is none.
    pub answer: Result<Answer, String>,
    /// The plugin's name in the policy.
    pub plugin: String,
    /// The arguments as the log may have them.
    pub arguments: Vec<(String, String)>,
    /// What to commit before the answer is given; without an answer, only the record of the step.
    pub run: ChainRun,
    /// Content for whoever asked.
    pub output: Option<Rope>,
}

pub(crate) fn operation_limits() -> StepLimits {
    StepLimits {
        memory: limits::MEMORY_MAX as u64,
        cpu: limits::OPERATION_CPU,
        wall: limits::OPERATION_WALL,
        budget: Budget {
            host_calls: limits::OPERATION_HOST_CALLS,
            read: limits::OPERATION_READ,
            written: limits::OPERATION_WRITE,
        },
    }
}
