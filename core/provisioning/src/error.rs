//! What can go wrong with an operation.

use sigillo_store::StoreError;

/// Why an operation was not done. Nothing of it remains, but for the record that it was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The actor's roles do not allow it.
    #[error("{actor} may not {operation} {subject}: {because}")]
    Refused {
        /// Who.
        actor: String,
        /// What, in words.
        operation: &'static str,
        /// To whom.
        subject: String,
        /// Who may, or what keeps this actor from everything.
        because: String,
    },
    /// What was asked for cannot be.
    #[error("{what}: {problem}; {remedy}")]
    Invalid {
        /// The value or thing at fault.
        what: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// There is no such thing.
    #[error("there is no {what}; {remedy}")]
    NotFound {
        /// What.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    pub(crate) fn invalid(what: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
        Error::Invalid { what: what.into(), problem: problem.into(), remedy: remedy.into() }
    }

    pub(crate) fn not_found(what: impl Into<String>, remedy: impl Into<String>) -> Error {
        Error::NotFound { what: what.into(), remedy: remedy.into() }
    }

    /// The parts as a row of a report has them: what is wrong, and what to do.
    pub fn problem_and_remedy(&self) -> (String, String) {
        match self {
            Error::Invalid { problem, remedy, .. } => (problem.clone(), remedy.clone()),
            Error::NotFound { what, remedy } => (format!("there is no {what}"), remedy.clone()),
            other => (other.to_string(), String::new()),
        }
    }
}
