//! Keeping the message log as the law wants it: sealed every day, stamped by an authority, copied, and removed when it
//! is past its time.
//!
//! One task looks at the log every minute; what fails is tried again and said in the operator's log. Nothing here stands
//! between a message and its commit.

pub mod case;
pub mod clock;
pub mod front_end;
pub mod settings;
pub mod stamping;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sigillo_store::commit::now;
use sigillo_store::evidence::Stream;
use sigillo_store::evidence::sealing::{FOLDER, SealedFile, Sealing, StreamStatus};
use sigillo_store::{Millis, Store, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Config;
use crate::server::Server;
use stamping::Stamper;

/// How often stamps are asked for, where any is due.
const ROUND: Duration = Duration::from_secs(10);
/// How often it is looked whether a file must be sealed.
const SEALING: Duration = Duration::from_secs(60);
/// How often what is past its time is removed, and an overdue stamp is reported again.
const SWEEP: Duration = Duration::from_secs(3600);
/// From the sealing of a file to the alarm that it has no stamp (LOG-09: the day after its rotation).
pub const STAMP_OVERDUE: Millis = 24 * 3600 * 1000;
/// Files stamped or copied in one round.
const FILES_AT_ONCE: usize = 32;

/// How this server seals.
pub fn sealing(config: &Config) -> Sealing {
    Sealing { folder: folder(config), server: config.hostname.clone(), rotate_octets: config.evidence.rotate_octets }
}

/// Where the sealed files lie.
pub fn folder(config: &Config) -> PathBuf {
    config.data_dir().join(FOLDER)
}

/// How both logs stand.
pub async fn status(store: &Store) -> Result<Vec<StreamStatus>, StoreError> {
    store.read(|r| Stream::ALL.into_iter().map(|stream| r.stream_status(stream)).collect()).await
}

/// Copies a file and its stamp to the other places and reads them there again; says what went wrong.
pub fn copy(config: &Config, file: &SealedFile) -> Result<(), String> {
    let from = folder(config);
    for place in &config.evidence.copies {
        let place = config.path(place);
        std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        for name in [&file.name, &file.stamp_name()] {
            let (source, target) = (from.join(name), place.join(name));
            let said = |error: std::io::Error| format!("{}: {error}", target.display());
            let content = std::fs::read(&source).map_err(|error| format!("{}: {error}", source.display()))?;
            sigillo_store::evidence::sealed_file::write_whole(&target, &content).map_err(said)?;
            if std::fs::read(&target).map_err(said)? != content {
                return Err(format!("{}: what is there is not what was written", target.display()));
            }
        }
    }
    Ok(())
}

impl Server {
    /// Keeps the log until `shutdown`.
    pub(crate) async fn keep_evidence(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let stamper = Stamper::of(self.config());
        if let Err(error) = &stamper {
            tracing::error!(%error, "the message log cannot be stamped");
        }
        let stamper = stamper.ok().flatten();
        let (mut sealing, mut sweep) = (Instant::now(), Instant::now());
        while !*shutdown.borrow() {
            if Instant::now() >= sealing {
                sealing = Instant::now() + SEALING;
                self.seal_due().await;
            }
            if let Some(stamper) = &stamper {
                self.stamp_due(stamper).await;
            }
            self.copy_due().await;
            self.send_cases().await;
            if Instant::now() >= sweep {
                sweep = Instant::now() + SWEEP;
                self.remove_old().await;
                self.report_overdue(stamper.is_some()).await;
            }
            tokio::select! {
                () = tokio::time::sleep(ROUND) => {}
                _ = shutdown.changed() => {}
            }
        }
    }

    async fn seal_due(&self) {
        match self.store().seal(&sealing(self.config()), false).await {
            Ok(files) => {
                for file in files {
                    tracing::info!(file = file.name, first = file.first, last = file.last, "a log file is sealed");
                }
            }
            Err(error) => tracing::error!(%error, "the message log cannot be sealed; it is tried again"),
        }
        if let Ok(status) = status(self.store()).await {
            self.metrics().evidence(&status);
        }
    }

    async fn stamp_due(&self, stamper: &Stamper) {
        match stamper.stamp_due(self.store(), FILES_AT_ONCE).await {
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "stamps of the message log cannot be kept"),
        }
    }

    async fn copy_due(self: &Arc<Self>) {
        if self.config().evidence.copies.is_empty() {
            return;
        }
        let files = match self.store().read(|r| r.uncopied_files(FILES_AT_ONCE)).await {
            Ok(files) => files,
            Err(error) => return tracing::error!(%error, "the sealed files cannot be read"),
        };
        for file in files {
            let (server, id, name) = (self.clone(), file.id, file.name.clone());
            let copied = tokio::task::spawn_blocking(move || copy(server.config(), &file)).await;
            let copied = copied.map_err(|error| error.to_string()).flatten();
            let kept = match copied {
                Ok(()) => self.store().write(move |tx| tx.file_copied(id)).await.map_err(|error| error.to_string()),
                Err(error) => Err(error),
            };
            match kept {
                Ok(()) => tracing::info!(file = name, "a log file is copied"),
                // The other place is not there now: all the rest would fail too.
                Err(error) => {
                    return tracing::error!(file = name, error, "a log file cannot be copied; it is tried again");
                }
            }
        }
    }

    async fn remove_old(&self) {
        if let Err(error) = self.store().restore_stamps(&folder(self.config())).await {
            tracing::error!(%error, "stamps that a crash left out cannot be written");
        }
        let days = self.config().evidence.retention_days;
        match self.store().remove_old_evidence(&folder(self.config()), days).await {
            Ok(names) => {
                for file in names {
                    tracing::info!(file, days, "a log file is past its time and is removed");
                }
            }
            Err(error) => tracing::error!(%error, "old log files cannot be removed"),
        }
    }

    /// LOG-09: a file without a stamp on the day after its rotation is an alarm.
    async fn report_overdue(&self, stamped: bool) {
        let Ok(status) = status(self.store()).await else { return };
        for log in status.iter().filter(|_| stamped) {
            let overdue = log.unstamped_since.filter(|since| now().saturating_sub(*since) > STAMP_OVERDUE);
            if overdue.is_some() {
                let problem = log.problem.as_deref().unwrap_or("no attempt was made yet");
                tracing::error!(
                    log = log.stream.word(),
                    files = log.unstamped,
                    problem,
                    "log files have no stamp since more than a day"
                );
            }
        }
    }
}
