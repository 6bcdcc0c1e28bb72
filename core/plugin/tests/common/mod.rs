//! A server for the tests of the host, in memory, and the guests under `tests/guests/`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use sigillo_mail::rope::NoSource;
use sigillo_mail::structure::Structure;
use sigillo_mail::{Rope, Source};
use sigillo_plugin::{
    ArchiveItem, ArchiveUsage, Arrival, ChainRun, Direction, Engine, Host, HostOptions, Level, MailboxStatus, Passage,
    Rating, ScanReport, ServiceError, Services, SignatureMade, Signed, manifests,
};
use sigillo_policy::{Diagnostic, Facts, Stage};
use sigillo_trust::{Directory, Verification};

pub const MESSAGE: &str = "From: Ada <ada@alfa.example>\r\nTo: bruno@beta.example, carla@beta.example\r\nSubject: \
                           =?utf-8?q?perch=C3=A9?=\r\nMessage-ID: <1@alfa.example>\r\n\r\nCiao\r\n";

/// The copy that is in the archive.
const KNOWN: &str = "000000000001.known";

/// What the server was asked.
#[derive(Default)]
pub struct Server {
    pub state: Mutex<BTreeMap<String, (Vec<u8>, u64)>>,
    pub log: Mutex<Vec<String>>,
    pub meeting: Meeting,
    pub scans_alive: Arc<AtomicUsize>,
}

/// Where two scans meet.
pub struct Meeting(tokio::sync::Barrier);

impl Default for Meeting {
    fn default() -> Meeting {
        Meeting(tokio::sync::Barrier::new(2))
    }
}

impl std::ops::Deref for Meeting {
    type Target = tokio::sync::Barrier;
    fn deref(&self) -> &tokio::sync::Barrier {
        &self.0
    }
}

/// Counts itself while it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Ordering::SeqCst);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Services for Server {
    fn source(&self) -> Arc<dyn Source> {
        Arc::new(NoSource)
    }

    fn now_ms(&self) -> u64 {
        1_750_000_000_000
    }

    async fn sign(&self, key: &str, content: &Rope) -> Result<Signed, ServiceError> {
        let made = SignatureMade { key: key.into(), content_size: content.len(), ..SignatureMade::default() };
        match key {
            "provider" => Ok(Signed { der: vec![0x30; content.len() as usize], made }),
            "missing" => Err(ServiceError::NotFound),
            _ => panic!("an ungranted key reached the server: {key}"),
        }
    }

    fn key_addresses(&self, _: &str) -> Result<Vec<String>, ServiceError> {
        Ok(vec!["posta-certificata@alfa.example".into()])
    }

    async fn verify(&self, _: &Rope, _: &Structure, _: u64) -> Result<Verification, ServiceError> {
        Ok(Verification::default())
    }

    fn directory(&self) -> Arc<Directory> {
        Arc::new(Directory::empty())
    }

    async fn mailbox_status(&self, address: &str) -> Result<MailboxStatus, ServiceError> {
        Ok(match address {
            "unknown@alfa.example" => MailboxStatus::Unknown,
            address if address.starts_with("nobody@") => MailboxStatus::Unknown,
            address if address.ends_with("@elsewhere.example") => MailboxStatus::Remote,
            _ => MailboxStatus::Present,
        })
    }

    async fn archive_find(&self, _: &str, key: &str) -> Result<Option<String>, ServiceError> {
        Ok((key == "known").then(|| KNOWN.to_owned()))
    }

    async fn archive_usage(&self, _: &str) -> Result<ArchiveUsage, ServiceError> {
        Ok(ArchiveUsage { used: 5, count: 1, oldest_ms: Some(1) })
    }

    async fn archive_items(
        &self,
        mailbox: &str,
        _: u64,
        _: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ArchiveItem>, ServiceError> {
        assert!(limit <= 1000, "the host lets through what its limit forbids");
        Ok(vec![ArchiveItem {
            id: KNOWN.into(),
            mailbox: mailbox.into(),
            direction: Direction::Sent,
            at_ms: 1,
            size: 5,
            sha256: [0; 32],
            properties: Vec::new(),
        }])
    }

    async fn archive_mailboxes(&self, _: Option<&str>, _: u32) -> Result<Vec<String>, ServiceError> {
        Ok(vec!["ada@alfa.example".into()])
    }

    async fn archive_open(&self, _: &str, id: &str) -> Result<Rope, ServiceError> {
        let large = self.state.lock().unwrap().contains_key("keeps-copies/large");
        match id {
            KNOWN if large => Ok(rope(vec![b'x'; 3 << 20])),
            KNOWN => Ok(rope("A: b\r\n").slice(0, 5)),
            _ => Err(ServiceError::NotFound),
        }
    }

    async fn mailbox_setting(&self, _: &str, _: &str) -> Result<Option<String>, ServiceError> {
        Ok(None)
    }

    async fn state_get(&self, plugin: &str, key: &str) -> Result<Option<(Vec<u8>, u64)>, ServiceError> {
        // What waits lets other steps run: the host must not count this as the guest's time.
        tokio::task::yield_now().await;
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

    async fn scan(&self, scanner: &str, content: &Rope, encoding: Option<&str>) -> Result<ScanReport, ServiceError> {
        let report = ScanReport { scanner: scanner.into(), version: Some("Test 1".into()), ..ScanReport::default() };
        match scanner {
            "clean" => Ok(report),
            "finds" => Ok(ScanReport { threat: Some(format!("{} {encoding:?}", content.len())), ..report }),
            "down" => Err(ServiceError::Unavailable("cannot be reached".into())),
            "small" => Err(ServiceError::TooLarge("does not take content of this size".into())),
            // Each waits for the other: only scans that overlap end.
            "left" | "right" => {
                self.meeting.wait().await;
                Ok(report)
            }
            "hangs" => {
                let _alive = Counted::new(&self.scans_alive);
                std::future::pending().await
            }
            _ => panic!("an ungranted scanner reached the server: {scanner}"),
        }
    }

    fn mac(&self, plugin: &str, data: &[u8]) -> Result<[u8; 32], ServiceError> {
        let mut tag = [data.len() as u8; 32];
        tag[0] = plugin.len() as u8;
        Ok(tag)
    }

    async fn scan_with(
        &self,
        scanner: &str,
        _: &Rope,
        facts: Vec<(String, String)>,
    ) -> Result<ScanReport, ServiceError> {
        let rating = Rating { score: -100, threshold: 15_000, action: "no action".into(), symbols: "A,B".into() };
        Ok(ScanReport {
            scanner: scanner.into(),
            threat: Some(format!("{facts:?}")),
            protocol: "test".into(),
            rating: Some(rating),
            ..ScanReport::default()
        })
    }

    fn outbox_known(&self, target: &str) -> bool {
        target != "nowhere"
    }

    fn outbox_check(&self, target: &str, parameters: &[(String, String)], _: Option<u64>) -> Result<u64, ServiceError> {
        match (target, parameters.iter().find(|(name, _)| name == "colour")) {
            ("nowhere", _) => Err(ServiceError::NotFound),
            (_, Some(_)) => Err(ServiceError::Invalid("it takes no colour".into())),
            _ => Ok(60_000),
        }
    }

    async fn outbox_waiting(&self, plugin: &str) -> Result<u64, ServiceError> {
        let full = self.state.lock().unwrap().contains_key(&format!("{plugin}/full"));
        Ok(if full { 10_000 } else { 0 })
    }

    fn log(&self, plugin: &str, passage_id: &str, level: Level, text: &str) {
        self.log.lock().unwrap().push(format!("{level:?} {plugin} {passage_id}: {text}"));
    }
}

/// Where `cargo xtask guests` puts the test guests.
pub fn guests() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests");
    assert!(folder.join("null.wasm").is_file(), "the test guests are not built: run `cargo xtask guests`");
    folder
}

/// One host for all tests of a file; compiled guests are kept between runs.
pub fn host() -> Arc<Host> {
    static HOST: OnceLock<Arc<Host>> = OnceLock::new();
    let cache_dir = guests().join("compiled");
    HOST.get_or_init(|| Host::new(HostOptions { concurrency: 16, ..HostOptions::new(cache_dir) }).unwrap()).clone()
}

/// Reads a policy as the server does.
pub fn policy(text: &str) -> sigillo_policy::Policy {
    let (manifests, wrong) = manifests(&guests());
    assert!(wrong.is_empty(), "{}", wrong[0]);
    match sigillo_policy::parse("policy.yaml", text, &manifests) {
        Ok((policy, _)) => policy,
        Err(wrong) => panic!("{}", wrong.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")),
    }
}

pub async fn load(text: &str) -> (Arc<Engine>, Arc<Server>) {
    let server = Arc::new(Server::default());
    match Engine::load(host(), policy(text), &guests(), server.clone()).await {
        Ok(engine) => (Arc::new(engine), server),
        Err(wrong) => panic!("{}", wrong.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// A policy of one plugin at one stage. `extra` stands under the plugin, `step` in the step.
pub fn one(guest: &str, stage: &str, extra: &str, step: &str) -> String {
    // The bare word `null` is no text in YAML.
    let name = if guest == "null" { "looks" } else { guest };
    format!(
        "apiVersion: sigillo/v1\nkind: Policy\nplugins:\n  {name}:\n    component: {guest}@0.1\n{extra}\nchains:\n  - \
         name: {stage}\n    stage: {stage}\n    steps:\n      - {{ plugin: {name}, {step} }}\n"
    )
}

pub fn rope(text: impl AsRef<[u8]>) -> Rope {
    Rope::from_bytes(text.as_ref().to_vec())
}

pub fn text(rope: &Rope) -> String {
    String::from_utf8(rope.to_bytes(&NoSource).unwrap().to_vec()).unwrap()
}

pub fn submission(message: impl AsRef<[u8]>) -> Passage {
    let message = rope(message);
    Passage::Transaction {
        id: "t1".into(),
        arrival: Arrival::Submission,
        identity: Some("ada".into()),
        reverse_path: "ada@alfa.example".into(),
        recipients: vec!["bruno@beta.example".into(), "carla@beta.example".into()],
        structure: Arc::new(Structure::parse(&message, &NoSource).unwrap()),
        message,
        properties: BTreeMap::new(),
    }
}

pub fn delivery(status: &str, attempt: u32) -> Passage {
    let message = rope(MESSAGE);
    Passage::Delivery {
        id: "q1".into(),
        reverse_path: "ada@alfa.example".into(),
        recipient: "bruno@beta.example".into(),
        structure: Arc::new(Structure::parse(&message, &NoSource).unwrap()),
        message,
        attempt,
        status: status.into(),
        properties: BTreeMap::new(),
    }
}

pub async fn submit(engine: &Engine, message: impl AsRef<[u8]>) -> ChainRun {
    engine.run(Stage::Access, &Facts::new(), submission(message)).await
}
