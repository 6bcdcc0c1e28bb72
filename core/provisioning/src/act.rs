//! One way in for everything that changes: may he, do it, write it down — in one commit.

use std::sync::{Arc, Mutex, PoisonError};

use sigillo_store::evidence::{NewEvent, Stream};
use sigillo_store::{Reader, Store, StoreError, Tx};

use crate::actor::Actor;
use crate::error::Error;
use crate::permissions::{Operation, Subject, permitted};
use crate::settings::Settings;

/// What a record of the audit trail says beside who, what and to whom: names and values, never a secret.
pub type Details = Vec<(String, String)>;

/// Longest value in a record, octets.
const DETAIL_MAX: usize = 512;

/// The operations of one store.
#[derive(Clone)]
pub struct Provisioning {
    store: Store,
    settings: Settings,
}

/// A detail of a record.
pub(crate) fn detail(name: &str, value: impl ToString) -> (String, String) {
    let value = value.to_string();
    (name.to_owned(), value[..value.floor_char_boundary(DETAIL_MAX)].to_owned())
}

/// Whether the actor may, then the work, then its record. A refusal is recorded too and is the inner error; the outer
/// one undoes everything.
pub(crate) fn perform<T>(
    tx: &mut Tx<'_>,
    actor: &Actor,
    operation: Operation,
    subject: &Subject,
    job: impl FnOnce(&mut Tx<'_>) -> Result<(T, Details), Error>,
) -> Result<Result<T, Error>, Error> {
    match permitted(&tx.reader(), actor, operation, subject)? {
        Err(refusal) => {
            record(tx, actor, operation, subject, "refused", Vec::new())?;
            Ok(Err(refusal))
        }
        Ok(role) => {
            let (value, mut details) = job(tx)?;
            details.insert(0, detail("role", role.word()));
            record(tx, actor, operation, subject, "done", details)?;
            Ok(Ok(value))
        }
    }
}

/// Writes a record of the audit trail.
pub(crate) fn record(
    tx: &mut Tx<'_>,
    actor: &Actor,
    operation: Operation,
    subject: &Subject,
    result: &str,
    details: Details,
) -> Result<(), StoreError> {
    let event = NewEvent {
        kind: operation.word().to_owned(),
        sender: actor.name.clone(),
        recipients: vec![subject.name().to_owned()],
        peer: actor.peer(),
        result: result.to_owned(),
        details: [actor.details(), details].concat(),
        source: "provisioning".into(),
        ..NewEvent::default()
    };
    tx.append_to(Stream::Audit, event).map(drop)
}

impl Provisioning {
    /// For a store.
    pub fn new(store: Store, settings: Settings) -> Provisioning {
        Provisioning { store, settings }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The figures of the service.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Runs a job in one commit; an [`Error`] of the job undoes it.
    pub(crate) async fn commit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let told: Arc<Mutex<Option<Error>>> = Arc::default();
        let teller = told.clone();
        let written = self.store.write(move |tx| {
            job(tx).map_err(|error| match error {
                Error::Store(error) => error,
                other => {
                    let words = other.to_string();
                    *teller.lock().unwrap_or_else(PoisonError::into_inner) = Some(other);
                    StoreError::Invalid(words)
                }
            })
        });
        written
            .await
            .map_err(|error| told.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(Error::Store(error)))
    }

    /// An operation: permission, job and record in one commit.
    pub(crate) async fn act<T: Send + 'static>(
        &self,
        actor: &Actor,
        operation: Operation,
        subject: Subject,
        job: impl FnOnce(&mut Tx<'_>) -> Result<(T, Details), Error> + Send + 'static,
    ) -> Result<T, Error> {
        let actor = actor.clone();
        self.commit(move |tx| perform(tx, &actor, operation, &subject, job)).await?
    }

    /// Something that is only looked at: permission, then the job.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        actor: &Actor,
        operation: Operation,
        subject: Subject,
        job: impl FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Error> {
        let actor = actor.clone();
        let looked = self.store.read(move |reader| match permitted(reader, &actor, operation, &subject)? {
            Ok(_) => job(reader).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        });
        looked.await?
    }
}
