//! What plugins may ask of the server, once the host has checked that their policy grants it.

mod fetch;
mod log_files;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use sigillo_delivery::outbox::{Fetch, Targets};
use sigillo_delivery::scan::{ScanError, Scanners, View};
use sigillo_mail::structure::Structure;
use sigillo_mail::{Mailbox, Rope, Source};
use sigillo_plugin::{
    ArchiveItem, ArchiveUsage, Direction, Level, LogFile, MailboxStatus, Rating, ScanReport, ServiceError, Services,
    Signed,
};
use sigillo_policy::MailboxSettings;
use sigillo_store::{AccountState, Store, StoreError};
use sigillo_trust::{Anchors, Directory, KeyCertificate, Verification};

use crate::config::{Config, ConfigError, read_bytes};
use crate::evidence::folder;
use crate::evidence::stamping::Stamper;
use crate::index::Index;
use crate::keys::Keys;
use crate::revocation::{self, Watch};
use crate::secret::Secret;
use crate::text_messages;

/// The store, the keys and the trust of one server.
pub struct Facilities {
    store: Store,
    keys: Keys,
    anchors: Arc<Anchors>,
    watch: Option<Arc<Watch>>,
    index: Arc<Index>,
    scanners: Scanners,
    stamper: Option<Stamper>,
    registro: PathBuf,
    /// Only of a server that runs: a check of the configuration makes none.
    secret: OnceLock<Secret>,
    declared: MailboxSettings,
    targets: Targets,
}

impl Facilities {
    /// Loads keys, anchors and the index of providers as the configuration says.
    pub fn load(config: &Config, store: Store) -> Result<Facilities, ConfigError> {
        let trust = &config.trust;
        let anchors = match &trust.anchors {
            Some(path) => {
                let path = config.path(path);
                Anchors::load(&read_bytes(&path)?).map_err(|e| ConfigError(format!("{}: {e}", path.display())))?
            }
            None => Anchors::none(),
        };
        let anchors = match &trust.revocation_lists {
            Some(path) => {
                let path = config.path(path);
                anchors.with_revocation_lists(&path).map_err(|e| ConfigError(format!("{}: {e}", path.display())))?
            }
            None => anchors,
        };
        let index = Arc::new(Index::open(config)?);
        let keys = Keys::load(config)?;
        let scanners = Scanners::new(config.scanner_options());
        let stamper = Stamper::of(config)?;
        let targets = config.open_targets()?;
        text_messages::check(config, &targets)?;
        let registro = folder(config);
        let (anchors, watch) = revocation::load(config, anchors)?;
        introduce(watch.as_deref(), &keys, &index.directory());
        // Manifests with mistakes are reported where the policy is checked.
        let (manifests, _) = sigillo_plugin::manifests(&config.path(&config.plugins_dir));
        let declared = MailboxSettings::of(&manifests).map_err(ConfigError)?;
        Ok(Facilities {
            store,
            keys,
            anchors,
            watch,
            index,
            scanners,
            declared,
            stamper,
            registro,
            secret: OnceLock::new(),
            targets,
        })
    }

    /// Reads the server's secret, or makes it: what the tags of plugins hang on.
    pub fn open_secret(&self, config: &Config) -> Result<(), ConfigError> {
        let secret = Secret::open(&config.data_dir())?;
        self.secret.get_or_init(|| secret);
        Ok(())
    }

    /// The index of providers.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// What fetches revocation lists, if the configuration says so.
    pub fn revocation(&self) -> Option<&Arc<Watch>> {
        self.watch.as_ref()
    }

    /// Whom the outbox asks.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The signing keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Every certificate of a key, the one in use and those of a renewal: all of them belong into the index of providers.
    pub fn certificates(&self, key: &str) -> Result<Vec<KeyCertificate>, ServiceError> {
        self.keys.certificates(key)
    }
}

impl Facilities {
    async fn show(&self, scanner: &str, view: View) -> Result<ScanReport, ServiceError> {
        let found = self.scanners.get(scanner).ok_or(ServiceError::NotFound)?;
        let report = found.scan(&view, self.store.segments().clone()).await.map_err(|error| {
            let words = format!("scanner '{scanner}' {error}");
            match error {
                ScanError::TooLarge(_) => ServiceError::TooLarge(words),
                ScanError::NotAMessage => ServiceError::Invalid(words),
                _ => ServiceError::Unavailable(words),
            }
        })?;
        Ok(ScanReport {
            scanner: report.scanner,
            threat: report.threat,
            version: report.version,
            signatures: report.signatures,
            protocol: report.protocol.to_owned(),
            rating: report.rating.map(|rating| Rating {
                score: rating.score,
                threshold: rating.threshold,
                action: rating.action,
                symbols: rating.symbols,
            }),
        })
    }
}

/// The providers' certificates and our own: their authorities and lists are known before the first message.
fn introduce(watch: Option<&Watch>, keys: &Keys, directory: &Directory) {
    let Some(watch) = watch else { return };
    let chains = keys.chains();
    let certificates = directory.providers().iter().flat_map(|provider| provider.certificates.iter());
    certificates.for_each(|certificate| watch.introduce(certificate, &chains));
}

/// Runs work that computes or reads for long off the threads that serve sockets.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, ServiceError> {
    tokio::task::spawn_blocking(work).await.map_err(unavailable)?
}

fn unavailable(error: impl std::fmt::Display) -> ServiceError {
    ServiceError::Unavailable(error.to_string())
}

/// State of a mailbox of this server for a message of `size` octets: full if that has no room.
pub fn mailbox_status(store: &Store, address: &Mailbox, size: u64) -> Result<MailboxStatus, StoreError> {
    store.look(|r| {
        if r.domain(address.domain().as_str())?.is_none() {
            return Ok(MailboxStatus::Remote);
        }
        Ok(match r.account(&address.key())? {
            None => MailboxStatus::Unknown,
            Some(account) if account.state == AccountState::Disabled => MailboxStatus::Disabled,
            // A delivery receipt must not say that a message is at the disposal of somebody whose service is over.
            Some(_) if !r.standing(&address.key(), sigillo_store::commit::now())?.receives() => MailboxStatus::Disabled,
            Some(account) if account.used.saturating_add(size.max(1)) > account.quota => MailboxStatus::Full,
            Some(_) => MailboxStatus::Present,
        })
    })
}

/// A copy as plugins see it.
fn archive_item(copy: sigillo_store::archive::Copy) -> Result<ArchiveItem, ServiceError> {
    let direction = Direction::of(&copy.direction);
    let damaged = || ServiceError::Unavailable(format!("copy {} of the archive has no direction", copy.id));
    Ok(ArchiveItem {
        direction: direction.ok_or_else(damaged)?,
        id: copy.id,
        mailbox: copy.mailbox,
        at_ms: copy.kept,
        size: copy.size,
        sha256: copy.sha256,
        properties: copy.properties,
    })
}

#[async_trait]
impl Services for Facilities {
    fn source(&self) -> Arc<dyn Source> {
        self.store.segments().clone()
    }

    fn now_ms(&self) -> u64 {
        sigillo_store::commit::now()
    }

    async fn sign(&self, key: &str, content: &Rope) -> Result<Signed, ServiceError> {
        self.keys.sign(key, content, self.store.segments().clone(), self.now_ms()).await
    }

    fn key_addresses(&self, key: &str) -> Result<Vec<String>, ServiceError> {
        self.keys.addresses(key, self.now_ms())
    }

    async fn verify(&self, message: &Rope, structure: &Structure, at_ms: u64) -> Result<Verification, ServiceError> {
        let (message, structure) = (message.clone(), structure.clone());
        let (anchors, source) = (self.anchors.clone(), self.store.segments().clone());
        let found =
            aside(move || Ok(sigillo_trust::verify(&message, &structure, source.as_ref(), &anchors, at_ms))).await?;
        let (Some(watch), Some(path)) = (&self.watch, found.path.clone()) else { return Ok(found) };
        if !watch.complete(path, self.now_ms()).await {
            return Ok(found);
        }
        let (anchors, now, mut found) = (self.anchors.clone(), self.now_ms(), found);
        aside(move || {
            sigillo_trust::recheck(&mut found, &anchors, now.max(at_ms));
            Ok(found)
        })
        .await
    }

    fn directory(&self) -> Arc<Directory> {
        self.index.directory()
    }

    async fn mailbox_status(&self, address: &str) -> Result<MailboxStatus, ServiceError> {
        let address: Mailbox = address.parse().map_err(|e| ServiceError::Invalid(format!("'{address}': {e}")))?;
        mailbox_status(&self.store, &address, 0).map_err(unavailable)
    }

    async fn mailbox_setting(&self, address: &str, name: &str) -> Result<Option<String>, ServiceError> {
        let held = self.store.look(|r| self.declared.effective(name, &mut |name| r.account_setting(address, name)));
        held.map_err(unavailable)
    }

    async fn state_get(&self, plugin: &str, key: &str) -> Result<Option<(Vec<u8>, u64)>, ServiceError> {
        self.store.look(|r| r.plugin_state(plugin, key, self.now_ms())).map_err(unavailable)
    }

    async fn state_scan(
        &self,
        plugin: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, ServiceError> {
        let (plugin, prefix, after, now) =
            (plugin.to_owned(), prefix.to_owned(), after.map(str::to_owned), self.now_ms());
        self.store
            .read(move |r| r.plugin_keys(&plugin, &prefix, after.as_deref(), limit, now))
            .await
            .map_err(unavailable)
    }

    async fn scan(&self, scanner: &str, content: &Rope, encoding: Option<&str>) -> Result<ScanReport, ServiceError> {
        let view = View { rope: content.clone(), encoding: encoding.map(str::to_owned), facts: Vec::new() };
        self.show(scanner, view).await
    }

    async fn scan_with(
        &self,
        scanner: &str,
        content: &Rope,
        facts: Vec<(String, String)>,
    ) -> Result<ScanReport, ServiceError> {
        self.show(scanner, View { rope: content.clone(), encoding: None, facts }).await
    }

    fn stamps(&self) -> bool {
        self.stamper.is_some()
    }

    async fn stamp(&self, sha256: [u8; 32]) -> Result<Vec<u8>, ServiceError> {
        let none = || ServiceError::Unavailable("the configuration has no 'evidence.timestamps'".into());
        let stamper = self.stamper.as_ref().ok_or_else(none)?;
        stamper.stamp_digest(&sha256).await.map_err(|why| ServiceError::Unavailable(format!("no time stamp: {why}")))
    }

    async fn log_files(&self, after: Option<&str>, limit: u32) -> Result<Vec<LogFile>, ServiceError> {
        log_files::list(&self.store, after, limit).await
    }

    async fn log_file(&self, name: &str) -> Result<Rope, ServiceError> {
        log_files::open(&self.store, &self.registro, name).await
    }

    async fn log_file_stamp(&self, name: &str) -> Result<Vec<u8>, ServiceError> {
        log_files::stamp(&self.store, name).await
    }

    fn mac(&self, plugin: &str, data: &[u8]) -> Result<[u8; 32], ServiceError> {
        let secret = self.secret.get().ok_or_else(|| unavailable("the server is not running"))?;
        Ok(secret.tag(plugin, data))
    }

    async fn archive_find(&self, mailbox: &str, key: &str) -> Result<Option<String>, ServiceError> {
        self.store.look(|r| r.archive_find(mailbox, key)).map_err(unavailable)
    }

    async fn archive_usage(&self, mailbox: &str) -> Result<ArchiveUsage, ServiceError> {
        let found = self.store.look(|r| r.archive_usage(mailbox)).map_err(unavailable)?;
        Ok(ArchiveUsage { used: found.used, count: found.count, oldest_ms: found.oldest })
    }

    async fn archive_items(
        &self,
        mailbox: &str,
        before_ms: u64,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ArchiveItem>, ServiceError> {
        let (mailbox, after) = (mailbox.to_owned(), after.map(str::to_owned));
        let found = self.store.read(move |r| r.archive_items(&mailbox, before_ms, after.as_deref(), limit)).await;
        found.map_err(unavailable)?.into_iter().map(archive_item).collect()
    }

    async fn archive_mailboxes(&self, after: Option<&str>, limit: u32) -> Result<Vec<String>, ServiceError> {
        let after = after.map(str::to_owned);
        self.store.read(move |r| r.archive_mailboxes(after.as_deref(), limit)).await.map_err(unavailable)
    }

    async fn archive_open(&self, mailbox: &str, id: &str) -> Result<Rope, ServiceError> {
        match self.store.look(|r| r.archive_message(mailbox, id)) {
            Ok((_, content)) => Ok(content),
            Err(StoreError::NotFound(_)) => Err(ServiceError::NotFound),
            Err(error) => Err(unavailable(error)),
        }
    }

    fn outbox_known(&self, target: &str) -> bool {
        self.targets.get(target).is_some()
    }

    fn outbox_check(
        &self,
        target: &str,
        parameters: &[(String, String)],
        size: Option<u64>,
    ) -> Result<u64, ServiceError> {
        let target = self.targets.get(target).ok_or(ServiceError::NotFound)?;
        // The contract tells it apart: content can be parted, a parameter that is not taken cannot.
        if let Some(size) = size.filter(|size| *size > target.options().size_max) {
            let most = target.options().size_max;
            return Err(ServiceError::TooLarge(format!(
                "the target takes at most {most} octets of content, not {size}"
            )));
        }
        target.check(parameters, size).map_err(ServiceError::Invalid)?;
        Ok(target.options().schedule.expire.as_millis() as u64)
    }

    async fn outbox_waiting(&self, plugin: &str) -> Result<u64, ServiceError> {
        self.store.look(|r| r.requests_waiting(plugin)).map_err(unavailable)
    }

    async fn outbox_fetch(
        &self,
        target: &str,
        parameters: Vec<(String, String)>,
        offset: u64,
        length: u64,
    ) -> Result<Rope, ServiceError> {
        let target = self.targets.get(target).ok_or(ServiceError::NotFound)?;
        fetch::from_target(target, Fetch { parameters, offset, length }, self.store.spool()).await
    }

    fn log(&self, plugin: &str, passage_id: &str, level: Level, text: &str) {
        match level {
            Level::Debug => tracing::debug!(target: "sigillo::plugin", plugin, id = passage_id, "{text}"),
            Level::Info => tracing::info!(target: "sigillo::plugin", plugin, id = passage_id, "{text}"),
            Level::Warn => tracing::warn!(target: "sigillo::plugin", plugin, id = passage_id, "{text}"),
            Level::Error => tracing::error!(target: "sigillo::plugin", plugin, id = passage_id, "{text}"),
        }
    }
}
