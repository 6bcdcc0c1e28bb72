//! The signing keys of a server: loaded, watched, and used without letting a stuck hardware module hold the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sigillo_mail::Rope;
use sigillo_plugin::{ServiceError, SignatureMade, Signed};
use sigillo_store::Segments;
use sigillo_trust::token::CALLS_MAX;
use sigillo_trust::{KeyCertificate, KeyRing, RingKey, SignError, SigningKey, TokenError};
use tokio::sync::{Semaphore, oneshot};

use crate::config::{Config, ConfigError, read_bytes, read_secret};

/// How long a start waits for a token to show that it has the certificate's key.
const PROBE_TIME: Duration = Duration::from_secs(20);
/// How long a signature waits for one of the places in a key's token before its step is put off.
const PLACE_TIME: Duration = Duration::from_secs(5);
/// From when on the end of the last certificate of a key is told to the operator: an authority takes weeks.
pub const WARN_MS: u64 = 30 * 24 * 3600 * 1000;

/// The keys by name.
pub struct Keys {
    names: BTreeMap<String, Named>,
}

struct Named {
    ring: KeyRing,
    /// Places in the tokens of the ring; calls that never come back keep theirs (attack S10).
    places: Arc<Semaphore>,
}

/// One certificate of one key, for operators.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeyLine {
    /// Name of the key.
    pub name: String,
    /// `file`, or the token.
    pub place: String,
    /// Of the certificate.
    pub subject: String,
    /// The addresses of the certificate.
    pub addresses: Vec<String>,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// SHA-1 of the certificate, hexadecimal, as the index of providers has it.
    pub sha1: String,
    /// First instant, milliseconds since 1970.
    pub not_before_ms: u64,
    /// Last instant.
    pub not_after_ms: u64,
    /// Whether this one signs now.
    pub in_use: bool,
}

impl Keys {
    /// Loads every key. A token that is away is no reason not to start: what needs its signature waits.
    pub fn load(config: &Config) -> Result<Keys, ConfigError> {
        let mut names = BTreeMap::new();
        for (name, entries) in &config.keys {
            let mut keys = Vec::new();
            for entry in &entries.0 {
                let wrong = |error: &dyn std::fmt::Display| ConfigError(format!("keys.{name}: {error}"));
                let chain = entry.chain.as_ref().map(|path| read_bytes(&config.path(path))).transpose()?;
                let chain = chain.unwrap_or_default();
                let certificate = read_bytes(&config.path(&entry.certificate))?;
                let key = match (&entry.key, &entry.token) {
                    (Some(path), _) => SigningKey::load(&read_secret(&config.path(path))?, &certificate, &chain),
                    (None, Some(token)) => {
                        let place = token.place(|path| config.path(path)).map_err(|e| wrong(&e))?;
                        SigningKey::in_token(place, &certificate, &chain)
                    }
                    (None, None) => return Err(wrong(&"there is neither `key` nor `token`")),
                };
                let key = Arc::new(key.map_err(|error| wrong(&error))?);
                probe(name, &key)?;
                keys.push(RingKey { key, from_ms: entry.from_ms().map_err(|e| wrong(&e))? });
            }
            let ring = KeyRing::new(keys).ok_or_else(|| ConfigError(format!("keys.{name}: no key, or too many")))?;
            names.insert(name.clone(), Named { ring, places: Arc::new(Semaphore::new(CALLS_MAX)) });
        }
        Ok(Keys { names })
    }

    fn named(&self, name: &str) -> Result<&Named, ServiceError> {
        self.names.get(name).ok_or(ServiceError::NotFound)
    }

    /// The key of that name whose time it is.
    pub fn signing(&self, name: &str, at: u64) -> Result<Arc<SigningKey>, ServiceError> {
        Ok(self.named(name)?.ring.signing(at).map_err(unavailable)?.clone())
    }

    /// Signs content with the key of that name whose time it is.
    pub async fn sign(
        &self,
        name: &str,
        content: &Rope,
        source: Arc<Segments>,
        at: u64,
    ) -> Result<Signed, ServiceError> {
        let named = self.named(name)?;
        let key = named.ring.signing(at).map_err(|error| {
            tracing::error!(key = name, %error, "nothing is signed; what needs a signature waits");
            ServiceError::Unavailable(error.to_string())
        })?;
        let (owned, content) = (key.clone(), content.clone());
        let size = content.len();
        let work = move || owned.sign(&content, source.as_ref(), at);
        let made = match key.token() {
            None => tokio::task::spawn_blocking(work).await.map_err(unavailable)?,
            Some(_) => self.in_token(named, work).await?,
        };
        let made = made.map_err(|error| {
            tracing::error!(key = name, %error, "the key did not sign; what needs its signature waits");
            ServiceError::Unavailable(error.to_string())
        })?;
        let certificate = key.certificate_facts();
        let record = SignatureMade {
            key: name.to_owned(),
            serial: certificate.serial.clone(),
            certificate_sha1: certificate.sha1.clone(),
            content_sha256: hex(&made.content_sha256),
            content_size: size,
            at_ms: at,
        };
        tracing::debug!(key = name, serial = record.serial, content_sha256 = record.content_sha256, size, "signed");
        Ok(Signed { der: made.der, made: record })
    }

    /// Runs a call into a module on a thread of its own: one that never comes back would keep the runtime from ending.
    async fn in_token<T: Send + 'static>(
        &self,
        named: &Named,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        let place = tokio::time::timeout(PLACE_TIME, named.places.clone().acquire_owned()).await;
        let busy = || ServiceError::Unavailable(format!("the token is stuck: {CALLS_MAX} calls have not come back"));
        let place = place.map_err(|_| busy())?.map_err(unavailable)?;
        let (tell, told) = oneshot::channel();
        let thread = std::thread::Builder::new().name("token".into()).spawn(move || {
            let done = work();
            drop(place);
            let _ = tell.send(done); // nobody waits any more when the step's time is over
        });
        thread.map_err(unavailable)?;
        told.await.map_err(unavailable)
    }

    /// The addresses of a key.
    pub fn addresses(&self, name: &str, at: u64) -> Result<Vec<String>, ServiceError> {
        Ok(self.named(name)?.ring.addresses(at).to_vec())
    }

    /// Every certificate of a key, DER and facts: all of them belong into the index of providers.
    pub fn certificates(&self, name: &str) -> Result<Vec<KeyCertificate>, ServiceError> {
        Ok(self.named(name)?.ring.certificates().cloned().collect())
    }

    /// Every chain that goes along with signatures, DER.
    pub fn chains(&self) -> Vec<Vec<u8>> {
        let keys = self.names.values().flat_map(|named| named.ring.keys());
        keys.filter_map(|key| key.key.chain().ok()).flatten().collect()
    }

    /// Every certificate of every key.
    pub fn list(&self, at: u64) -> Vec<KeyLine> {
        let mut lines = Vec::new();
        for (name, named) in &self.names {
            let used = named.ring.signing(at).ok();
            for key in named.ring.keys() {
                let certificate = key.key.certificate_facts();
                lines.push(KeyLine {
                    name: name.clone(),
                    place: key.key.token().map_or_else(|| "file".into(), ToString::to_string),
                    subject: certificate.subject.clone(),
                    addresses: key.key.addresses().to_vec(),
                    serial: certificate.serial.clone(),
                    sha1: certificate.sha1.clone(),
                    not_before_ms: certificate.not_before_ms,
                    not_after_ms: certificate.not_after_ms,
                    in_use: used.is_some_and(|used| Arc::ptr_eq(used, &key.key)),
                });
            }
        }
        lines
    }

    /// Name and milliseconds until the last certificate of each key ends; negative when it has.
    pub fn expiry(&self, at: u64) -> Vec<(&str, i64)> {
        let left = |named: &Named| named.ring.ends_ms() as i64 - at as i64;
        self.names.iter().map(|(name, named)| (name.as_str(), left(named))).collect()
    }

    /// What an operator should know of the keys at that instant: whether it stops signing, and in which words.
    pub fn concerns(&self, at: u64) -> Vec<(bool, String)> {
        let mut found = Vec::new();
        for (name, named) in &self.names {
            if let Err(error) = named.ring.signing(at) {
                found.push((true, format!("keys.{name}: {error}")));
            } else if named.ring.ends_ms() < at + WARN_MS {
                let days = (named.ring.ends_ms() - at) / (24 * 3600 * 1000);
                let end = jiff::Timestamp::from_millisecond(named.ring.ends_ms() as i64).unwrap_or_default();
                found.push((
                    false,
                    format!("keys.{name}: its last certificate ends at {end:.0}, in {days} days; ask for the next one"),
                ));
            }
        }
        found
    }

    /// Tells the operator's log.
    pub fn warn(&self, at: u64) {
        for (stops, words) in self.concerns(at) {
            if stops {
                tracing::error!("{words}");
            } else {
                tracing::warn!("{words}");
            }
        }
    }
}

/// Whether a token has the key of the certificate. One that is away, or does not answer, is told and passed over.
fn probe(name: &str, key: &Arc<SigningKey>) -> Result<(), ConfigError> {
    let Some(place) = key.token() else { return Ok(()) };
    let (tell, told) = std::sync::mpsc::channel();
    let owned = key.clone();
    let thread = std::thread::Builder::new().name("token".into()).spawn(move || {
        let _ = tell.send(owned.probe()); // nobody waits any more: see PROBE_TIME
    });
    thread.map_err(|error| ConfigError(format!("keys.{name}: {error}")))?;
    match told.recv_timeout(PROBE_TIME) {
        Ok(Ok(())) => {}
        Ok(Err(error @ (SignError::Token(TokenError::Setting(_)) | SignError::WrongKey))) => {
            return Err(ConfigError(format!("keys.{name}: {error}")));
        }
        Ok(Err(error)) => {
            tracing::error!(key = name, %error, "the token does not sign; what needs its signature waits")
        }
        Err(_) => {
            tracing::error!(key = name, token = %place, "the token does not answer; what needs its signature waits")
        }
    }
    Ok(())
}

fn unavailable(error: impl std::fmt::Display) -> ServiceError {
    ServiceError::Unavailable(error.to_string())
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
