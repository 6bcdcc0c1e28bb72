//! The sealed files of the message log for plugins that carry them elsewhere.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};
use sigillo_mail::Rope;
use sigillo_mail::rope::CHUNK;
use sigillo_plugin::{LogFile, ServiceError};
use sigillo_store::evidence::sealing::SealedFile;
use sigillo_store::{Store, StoreError};

use super::{aside, unavailable};

/// Files that are here, in the order in which they were closed, after one of them.
pub async fn list(store: &Store, after: Option<&str>, limit: u32) -> Result<Vec<LogFile>, ServiceError> {
    let after = after.map(str::to_owned);
    let files = store.read(move |r| r.sealed_files_after(after.as_deref(), limit)).await.map_err(failed)?;
    Ok(files.into_iter().map(told).collect())
}

/// A whole file, which must still be what was sealed: a file that was changed is not passed on as if it were whole.
pub async fn open(store: &Store, folder: &Path, name: &str) -> Result<Rope, ServiceError> {
    let file = named(store, name).await?;
    let path = folder.join(&file.name);
    let mut spool = store.spool();
    aside(move || {
        let said = |error: std::io::Error| unavailable(format!("{}: {error}", path.display()));
        let mut input = File::open(&path).map_err(said)?;
        let (mut buffer, mut digest) = (vec![0; CHUNK], Sha256::new());
        loop {
            let read = input.read(&mut buffer).map_err(said)?;
            if read == 0 {
                break;
            }
            digest.update(&buffer[..read]);
            spool.write(&buffer[..read]).map_err(said)?;
        }
        if digest.finalize()[..] != file.sha256 {
            return Err(ServiceError::Invalid(format!("{} is not the file that was sealed", file.name)));
        }
        spool.finish().map_err(said)
    })
    .await
}

/// The stamp of a file.
pub async fn stamp(store: &Store, name: &str) -> Result<Vec<u8>, ServiceError> {
    let id = named(store, name).await?.id;
    store.read(move |r| r.stamp(id)).await.map_err(failed)?.ok_or(ServiceError::NotFound)
}

async fn named(store: &Store, name: &str) -> Result<SealedFile, ServiceError> {
    let name = name.to_owned();
    store.read(move |r| r.sealed_file_named(&name)).await.map_err(failed)?.ok_or(ServiceError::NotFound)
}

fn failed(error: StoreError) -> ServiceError {
    match error {
        StoreError::NotFound(_) => ServiceError::NotFound,
        error => unavailable(error),
    }
}

fn told(file: SealedFile) -> LogFile {
    LogFile {
        name: file.name,
        log: file.stream.word(),
        size: file.size,
        sha256: file.sha256,
        first: file.first,
        last: file.last,
        since: file.since,
        until: file.until,
        closed: file.sealed,
        stamped: file.stamped,
    }
}
