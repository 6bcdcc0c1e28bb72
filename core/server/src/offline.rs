//! What commands of plugins may ask: verification and the index of providers, from files that the command line names.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sigillo_mail::structure::Structure;
use sigillo_mail::{Rope, Source};
use sigillo_plugin::{Level, MailboxStatus, ServiceError, Services, Signed};
use sigillo_trust::{Anchors, Directory, Verification};

use crate::config::{ConfigError, read_bytes};

/// A machine without a server: no store, no keys, no mailboxes.
pub struct Offline {
    source: Arc<dyn Source>,
    anchors: Anchors,
    directory: Arc<Directory>,
    now_ms: u64,
}

impl Offline {
    /// Reads the files that are named; the error names the one at fault.
    pub fn load(
        source: Arc<dyn Source>,
        anchors: Option<&Path>,
        revocation_lists: Option<&Path>,
        directory: Option<&Path>,
        now_ms: u64,
    ) -> Result<Offline, ConfigError> {
        let at = |path: &Path, error: String| ConfigError(format!("{}: {error}", path.display()));
        let roots = match anchors {
            Some(path) => Anchors::load(&read_bytes(path)?).map_err(|error| at(path, error.to_string()))?,
            // Nobody is trusted, and old signatures can still be told whole from altered.
            None => Anchors::none().with_sha1(true),
        };
        let anchors = match revocation_lists {
            Some(path) => roots.with_revocation_lists(path).map_err(|error| at(path, error.to_string()))?,
            None => roots,
        };
        let directory = match directory {
            Some(path) => Directory::from_ldif(&read_bytes(path)?).map_err(|error| at(path, error.to_string()))?,
            None => Directory::empty(),
        };
        Ok(Offline { source, anchors, directory: Arc::new(directory), now_ms })
    }
}

fn nothing_here<T>() -> Result<T, ServiceError> {
    Err(ServiceError::Unavailable("a command runs beside no server".into()))
}

#[async_trait]
impl Services for Offline {
    fn source(&self) -> Arc<dyn Source> {
        self.source.clone()
    }

    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    async fn sign(&self, _: &str, _: &Rope) -> Result<Signed, ServiceError> {
        nothing_here()
    }

    fn key_addresses(&self, _: &str) -> Result<Vec<String>, ServiceError> {
        nothing_here()
    }

    async fn verify(&self, message: &Rope, structure: &Structure, at_ms: u64) -> Result<Verification, ServiceError> {
        let (message, structure) = (message.clone(), structure.clone());
        let (anchors, source) = (self.anchors.clone(), self.source.clone());
        let work = move || sigillo_trust::verify(&message, &structure, source.as_ref(), &anchors, at_ms);
        tokio::task::spawn_blocking(work).await.map_err(|error| ServiceError::Unavailable(error.to_string()))
    }

    fn directory(&self) -> Arc<Directory> {
        self.directory.clone()
    }

    async fn mailbox_status(&self, _: &str) -> Result<MailboxStatus, ServiceError> {
        nothing_here()
    }

    async fn mailbox_setting(&self, _: &str, _: &str) -> Result<Option<String>, ServiceError> {
        nothing_here()
    }

    async fn state_get(&self, _: &str, _: &str) -> Result<Option<(Vec<u8>, u64)>, ServiceError> {
        nothing_here()
    }

    async fn state_scan(&self, _: &str, _: &str, _: Option<&str>, _: u32) -> Result<Vec<String>, ServiceError> {
        nothing_here()
    }

    fn log(&self, plugin: &str, _: &str, level: Level, text: &str) {
        if level >= Level::Warn {
            eprintln!("{plugin}: {text}");
        }
    }
}
