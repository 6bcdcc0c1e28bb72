//! Why a command was not done, in the words of the protocol.

use std::borrow::Cow;
use std::io;

use crate::backend::BackendError;

/// Why a command was not done.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// `NO`: not possible.
    No(Cow<'static, str>),
    /// `BAD`: not understood.
    Bad(Cow<'static, str>),
    /// `BYE`: the session cannot go on.
    Bye(&'static str),
    /// The connection broke.
    Broken(io::Error),
}

/// The text after `tag OK`, with its response code.
pub(crate) type Done = Result<Cow<'static, str>, Refusal>;

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Broken(error)
    }
}

impl From<BackendError> for Refusal {
    /// The codes are those of RFC 5530 §3. What failed inside goes to the log only.
    fn from(error: BackendError) -> Refusal {
        Refusal::No(match error {
            BackendError::NoSuchFolder => "[NONEXISTENT] no such folder".into(),
            BackendError::FolderExists => "[ALREADYEXISTS] folder exists".into(),
            BackendError::OverQuota => "[OVERQUOTA] quota exceeded".into(),
            BackendError::InUse(why) => format!("[INUSE] {}", printable(&why)).into(),
            BackendError::NotPermitted(why) => format!("[NOPERM] {}", printable(&why)).into(),
            BackendError::Refused(why) => format!("[CANNOT] {}", printable(&why)).into(),
            BackendError::Unavailable(source) => {
                tracing::warn!(error = %source, "IMAP request failed");
                "[UNAVAILABLE] temporarily unavailable".into()
            }
        })
    }
}

impl Refusal {
    pub fn no(text: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::No(text.into())
    }

    pub fn bad(text: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::Bad(text.into())
    }
}

/// Text that cannot end a response line early.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).take(200).collect()
}
