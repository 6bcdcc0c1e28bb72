//! Servers in memory with real keys, roots and an index, as a folder of golden sets describes them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each user takes a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use serde::Deserialize;
use sigillo_mail::rope::NoSource;
use sigillo_mail::structure::Structure;
use sigillo_mail::{Rope, Source};
use sigillo_plugin::{
    ChangeSet, Engine, Host, HostOptions, Level, MailboxStatus, ServiceError, Services, SignatureMade, Signed, TimerOp,
    manifests,
};
use sigillo_policy::Diagnostic;
use sigillo_trust::{Anchors, Directory, SigningKey, Verification};

/// `world.json` of a folder: the servers, and what all of them trust.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct World {
    anchors: PathBuf,
    directory: PathBuf,
    servers: BTreeMap<String, Described>,
    #[serde(skip)]
    folder: PathBuf,
}

/// One server of it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Described {
    policy: PathBuf,
    /// Words of the policy that stand for this server's own.
    replace: BTreeMap<String, String>,
    key: Key,
    domains: Vec<String>,
    mailboxes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Key {
    name: String,
    key: PathBuf,
    certificate: PathBuf,
}

impl World {
    pub fn read(folder: &Path) -> World {
        let text = std::fs::read_to_string(folder.join("world.json")).unwrap();
        World { folder: folder.to_owned(), ..serde_json::from_str(&text).unwrap() }
    }

    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.servers.keys().map(String::as_str)
    }

    fn bytes(&self, path: &Path) -> Vec<u8> {
        let path = self.folder.join(path);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A server that has seen nothing yet, and its policy at work.
    pub async fn start(&self, word: &str) -> Running {
        self.start_with(word, &BTreeMap::new()).await
    }

    /// The same with texts of the policy replaced by others.
    pub async fn start_with(&self, word: &str, replace: &BTreeMap<String, String>) -> Running {
        let described = self.servers.get(word).unwrap_or_else(|| panic!("no server {word} in world.json"));
        let server = Arc::new(self.server(described));
        let mut text = String::from_utf8(self.bytes(&described.policy)).unwrap();
        for (from, to) in replace.iter().chain(&described.replace) {
            assert!(text.contains(from), "the policy has no {from}");
            text = text.replace(from, to);
        }
        let (manifests, wrong) = manifests(&plugins());
        assert!(wrong.is_empty(), "{}", wrong[0]);
        let policy = sigillo_policy::parse("policy.yaml", &text, &manifests).unwrap_or_else(|wrong| refuse(&wrong)).0;
        let engine = Engine::load(host(), policy, &plugins(), server.clone()).await;
        Running { engine: engine.unwrap_or_else(|wrong| refuse(&wrong)), server }
    }

    fn server(&self, described: &Described) -> Server {
        let key = SigningKey::load(&self.bytes(&described.key.key), &self.bytes(&described.key.certificate), b"");
        Server {
            now: AtomicU64::new(0),
            key_name: described.key.name.clone(),
            key: key.unwrap(),
            anchors: Anchors::load(&self.bytes(&self.anchors)).unwrap(),
            directory: Arc::new(Directory::from_ldif(&self.bytes(&self.directory)).unwrap()),
            domains: described.domains.clone(),
            mailboxes: Mutex::new(described.mailboxes.iter().map(|m| (m.clone(), MailboxStatus::Present)).collect()),
            state: Mutex::default(),
            timers: Mutex::default(),
            logged: Mutex::default(),
            signatures: AtomicU64::new(0),
        }
    }
}

fn refuse<T>(wrong: &[Diagnostic]) -> T {
    panic!("{}", wrong.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n"))
}

/// A server and its policy at work.
pub struct Running {
    pub engine: Engine,
    pub server: Arc<Server>,
}

/// What a server keeps.
pub struct Server {
    now: AtomicU64,
    key_name: String,
    key: SigningKey,
    anchors: Anchors,
    directory: Arc<Directory>,
    domains: Vec<String>,
    mailboxes: Mutex<BTreeMap<String, MailboxStatus>>,
    /// Under `plugin/key`, with the version.
    state: Mutex<BTreeMap<String, (Vec<u8>, u64)>>,
    timers: Mutex<Timers>,
    logged: Mutex<Vec<String>>,
    signatures: AtomicU64,
}

/// Under (plugin, key): instant and payload.
type Timers = BTreeMap<(String, String), (u64, Vec<u8>)>;

/// A wake-up that was asked for.
pub struct Timer {
    pub plugin: String,
    pub key: String,
    pub at_ms: u64,
    pub payload: Vec<u8>,
}

impl Server {
    pub fn set_now(&self, ms: u64) {
        self.now.store(ms, Ordering::Relaxed);
    }

    pub fn set_mailbox(&self, address: &str, status: MailboxStatus) {
        self.mailboxes.lock().unwrap().insert(address.to_owned(), status);
    }

    /// Status of an address of the server's domains, or of any other.
    pub fn status(&self, address: &str) -> MailboxStatus {
        let domain = address.rsplit('@').next().unwrap_or_default();
        if !self.domains.iter().any(|own| own.eq_ignore_ascii_case(domain)) {
            return MailboxStatus::Remote;
        }
        self.mailboxes.lock().unwrap().get(&address.to_ascii_lowercase()).copied().unwrap_or(MailboxStatus::Unknown)
    }

    /// What a commit does with what is not a message.
    pub fn commit(&self, changes: &ChangeSet) {
        let mut state = self.state.lock().unwrap();
        for write in &changes.state_writes {
            let key = format!("{}/{}", changes.plugin, write.key);
            let version = state.get(&key).map_or(0, |(_, version)| *version) + 1;
            match &write.value {
                Some(value) => state.insert(key, (value.clone(), version)),
                None => state.remove(&key),
            };
        }
        let mut timers = self.timers.lock().unwrap();
        for timer in &changes.timers {
            match timer {
                TimerOp::Set { key, at_ms, payload } => {
                    timers.insert((changes.plugin.clone(), key.clone()), (*at_ms, payload.clone()));
                }
                TimerOp::Cancel { key } => {
                    timers.remove(&(changes.plugin.clone(), key.clone()));
                }
            }
        }
    }

    /// Takes the wake-up that is due first.
    pub fn next_timer(&self) -> Option<Timer> {
        let mut timers = self.timers.lock().unwrap();
        let ((plugin, key), (at_ms, _)) = timers.iter().min_by_key(|(name, (at, _))| (*at, (*name).clone()))?;
        let (plugin, key, at_ms) = (plugin.clone(), key.clone(), *at_ms);
        let (_, payload) = timers.remove(&(plugin.clone(), key.clone()))?;
        Some(Timer { plugin, key, at_ms, payload })
    }

    pub fn logged(&self) -> Vec<String> {
        self.logged.lock().unwrap().clone()
    }

    /// How many signatures the key has made.
    pub fn signatures(&self) -> u64 {
        self.signatures.load(Ordering::Relaxed)
    }

    /// Forgets everything but the keys: a measurement does not measure how a map grows.
    pub fn forget(&self) {
        self.state.lock().unwrap().clear();
        self.timers.lock().unwrap().clear();
    }
}

#[async_trait]
impl Services for Server {
    fn source(&self) -> Arc<dyn Source> {
        Arc::new(NoSource)
    }

    fn now_ms(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    async fn sign(&self, key: &str, content: &Rope) -> Result<Signed, ServiceError> {
        if key != self.key_name {
            return Err(ServiceError::NotFound);
        }
        self.signatures.fetch_add(1, Ordering::Relaxed);
        let signed = self.key.sign_detached(content, &NoSource, self.now_ms());
        let der = signed.map_err(|error| ServiceError::Unavailable(error.to_string()))?;
        Ok(Signed { der, made: SignatureMade { key: key.into(), ..SignatureMade::default() } })
    }

    fn key_addresses(&self, key: &str) -> Result<Vec<String>, ServiceError> {
        if key == self.key_name { Ok(self.key.addresses().to_vec()) } else { Err(ServiceError::NotFound) }
    }

    async fn verify(&self, message: &Rope, structure: &Structure, at_ms: u64) -> Result<Verification, ServiceError> {
        Ok(sigillo_trust::verify(message, structure, &NoSource, &self.anchors, at_ms))
    }

    fn directory(&self) -> Arc<Directory> {
        self.directory.clone()
    }

    async fn mailbox_status(&self, address: &str) -> Result<MailboxStatus, ServiceError> {
        Ok(self.status(address))
    }

    async fn mailbox_setting(&self, _: &str, _: &str) -> Result<Option<String>, ServiceError> {
        Ok(None)
    }

    async fn state_get(&self, plugin: &str, key: &str) -> Result<Option<(Vec<u8>, u64)>, ServiceError> {
        Ok(self.state.lock().unwrap().get(&format!("{plugin}/{key}")).cloned())
    }

    async fn state_scan(
        &self,
        plugin: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, ServiceError> {
        let state = self.state.lock().unwrap();
        let keys = state.keys().filter_map(|key| key.strip_prefix(&format!("{plugin}/")));
        let keys = keys.filter(|key| key.starts_with(prefix) && after.is_none_or(|after| *key > after));
        Ok(keys.take(limit as usize).map(str::to_owned).collect())
    }

    fn log(&self, _: &str, passage_id: &str, level: Level, text: &str) {
        self.logged.lock().unwrap().push(format!("{level:?} {passage_id}: {text}"));
    }
}

/// Where `cargo xtask guests` puts the shipped plugins.
fn plugins() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins");
    assert!(folder.is_dir(), "the plugins are not built: run `cargo xtask guests`");
    folder
}

/// One host for all servers; compiled components are kept between runs.
fn host() -> Arc<Host> {
    static HOST: OnceLock<Arc<Host>> = OnceLock::new();
    let cache_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    HOST.get_or_init(|| Host::new(HostOptions { concurrency: 16, ..HostOptions::new(cache_dir) }).unwrap()).clone()
}
