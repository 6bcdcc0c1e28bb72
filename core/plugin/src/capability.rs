//! The host's side of the contract: one file per interface of `wit/`.
//!
//! Every function counts itself and the bytes that it moves before it does anything. Nothing here changes the world:
//! what a guest asks for is checked and recorded in [`crate::step::StepState`].

mod accounts;
mod archive;
mod clock;
mod content;
mod directory;
mod evidence;
mod mac;
mod mailboxes;
mod message;
mod outbox;
mod passage;
mod registro;
mod request;
mod scan;
mod settings;
mod signer;
mod state;
mod submit;
mod timers;
mod timestamps;
mod verifier;

use std::io;
use std::sync::Arc;

use wasmtime::component::ResourceTableError;

pub use content::ContentHandle;
pub use directory::ProviderHandle;
pub use outbox::AnswerHandle;
pub use passage::{DeliveryHandle, InspectionHandle, TransactionHandle};
pub use request::RequestHandle;
pub use scan::{ReportHandle, ScanHandle};
pub use verifier::VerificationHandle;

use crate::limits;
use crate::meter::LimitHit;
use crate::services::ServiceError;
use crate::step::StepState;
use crate::view::MessageView;
use crate::world::mail::types::{self, Error};

/// A message in a guest's hands.
pub struct MessageHandle(pub Arc<MessageView>);

/// Why a call was not done: told to the guest, or the end of the guest.
#[derive(Debug)]
pub enum Refusal {
    /// The guest may go on.
    Told(Error),
    /// It may not: a limit of its step, or a handle that it does not have.
    Trap(wasmtime::Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Told(error)
    }
}

impl From<LimitHit> for Refusal {
    fn from(hit: LimitHit) -> Refusal {
        Refusal::Trap(wasmtime::Error::new(hit))
    }
}

impl From<wasmtime::Error> for Refusal {
    fn from(error: wasmtime::Error) -> Refusal {
        Refusal::Trap(error)
    }
}

impl From<ResourceTableError> for Refusal {
    fn from(error: ResourceTableError) -> Refusal {
        Refusal::Trap(error.into())
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Told(Error::Unavailable(error.to_string()))
    }
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Refusal {
        Refusal::Told(match error {
            ServiceError::NotFound => Error::NotFound,
            ServiceError::Invalid(why) => Error::Invalid(why),
            ServiceError::Unavailable(why) => Error::Unavailable(why),
            ServiceError::TooLarge(why) => Error::Limit(why),
        })
    }
}

impl types::Host for StepState {
    fn convert_error(&mut self, refusal: Refusal) -> wasmtime::Result<Error> {
        match refusal {
            Refusal::Told(error) => Ok(error),
            Refusal::Trap(error) => Err(error),
        }
    }
}

fn invalid(why: impl Into<String>) -> Refusal {
    Refusal::Told(Error::Invalid(why.into()))
}

fn limit(what: impl Into<String>) -> Refusal {
    Refusal::Told(Error::Limit(what.into()))
}

/// Something that the policy does not grant, or that is not there: never told apart, so that a guest cannot try out
/// which names exist.
fn granted(yes: bool) -> Result<(), Refusal> {
    if yes { Ok(()) } else { Err(Refusal::Told(Error::Denied)) }
}

/// A key of `state`, `timers` or `submit`: printable, so that it can stand in a log.
fn check_key(key: &str) -> Result<(), Refusal> {
    if key.is_empty() || key.len() > limits::KEY_MAX {
        return Err(invalid(format!("a key has 1 to {} octets", limits::KEY_MAX)));
    }
    if key.chars().any(char::is_control) { Err(invalid("a key has a control character")) } else { Ok(()) }
}

fn check_value(value: &[u8]) -> Result<(), Refusal> {
    if value.len() > limits::VALUE_MAX {
        return Err(limit(format!("a value has at most {} octets", limits::VALUE_MAX)));
    }
    Ok(())
}

/// Work that reads much runs where blocking is allowed.
async fn off_thread<T: Send + 'static>(size: u64, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    if size <= limits::INLINE_WORK_MAX {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Refusal::Told(Error::Unavailable(error.to_string())))
}
