//! Stamps for sealed files, by a timestamp authority over HTTP (RFC 3161 §3.4).

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use sigillo_delivery::http::{Bounds, HttpClient};
use sigillo_store::commit::now;
use sigillo_store::evidence::sealed_file::write_whole;
use sigillo_store::evidence::sealing::SealedFile;
use sigillo_store::{Store, StoreError};
use sigillo_trust::Anchors;
use sigillo_trust::timestamp::{ANSWER_OCTETS_MAX, ANSWER_TYPE, REQUEST_TYPE, Stamp, Wanted, examine, request};

use super::folder;
use super::settings::Timestamps;
use crate::config::{Config, ConfigError, read_bytes, read_secret};
use crate::tls;

/// For one exchange with the authority.
const EXCHANGE: Duration = Duration::from_secs(30);
/// Seconds between attempts to have a file stamped; the last one repeats.
const WAITS: [u64; 6] = [10, 30, 60, 300, 900, 3600];

/// Asks an authority.
pub struct Stamper {
    client: HttpClient,
    settings: Timestamps,
    authorization: Option<String>,
    anchors: Anchors,
    folder: PathBuf,
}

/// The roots of a configured authority.
pub fn anchors(config: &Config, settings: &Timestamps) -> Result<Anchors, ConfigError> {
    load_anchors(&config.path(&settings.anchors))
}

/// The roots in a PEM file.
pub fn load_anchors(path: &std::path::Path) -> Result<Anchors, ConfigError> {
    let anchors = Anchors::load(&read_bytes(path)?);
    Ok(anchors.map_err(|error| ConfigError(format!("{}: {error}", path.display())))?.with_sha1(false))
}

impl Stamper {
    /// As configured; none without an authority.
    pub fn of(config: &Config) -> Result<Option<Stamper>, ConfigError> {
        let Some(settings) = &config.evidence.timestamps else { return Ok(None) };
        let authorization = match (&settings.username, &settings.password_file) {
            (Some(user), Some(file)) => {
                let path = config.path(file);
                let password = String::from_utf8(read_secret(&path)?);
                let password = password.map_err(|_| ConfigError(format!("{}: it is not text", path.display())))?;
                Some(basic(user, password.trim_end_matches(['\r', '\n'])))
            }
            _ => None,
        };
        // Shown once to the library, so that a mistake in the policy is found at the start.
        request(&[0; 32], 0, settings.policy.as_deref())
            .map_err(|error| ConfigError(format!("evidence.timestamps: {error}")))?;
        let roots = settings.tls_anchors.as_ref().or(config.delivery.tls_anchors.as_ref());
        Ok(Some(Stamper {
            client: HttpClient::new(tls::client_trusting(roots.map(|path| config.path(path)).as_deref())?),
            anchors: anchors(config, settings)?,
            settings: settings.clone(),
            authorization,
            folder: folder(config),
        }))
    }

    /// Has the files stamped whose turn it is, the oldest first; returns those that now are. The first one that fails
    /// ends the round: the authority is not there.
    pub async fn stamp_due(&self, store: &Store, limit: usize) -> Result<Vec<(SealedFile, Stamp)>, StoreError> {
        let mut stamped = Vec::new();
        for file in store.read(move |r| r.unstamped_files(now(), limit)).await? {
            match self.stamp(store, &file).await? {
                Ok(stamp) => {
                    tracing::info!(
                        file = file.name,
                        time = stamp.time,
                        authority = stamp.authority,
                        "a log file is stamped"
                    );
                    stamped.push((file, stamp));
                }
                Err(problem) => {
                    let wait = WAITS[(file.attempts as usize).min(WAITS.len() - 1)];
                    tracing::warn!(
                        file = file.name,
                        problem,
                        seconds = wait,
                        "a log file could not be stamped, will try again"
                    );
                    let (id, due) = (file.id, now() + wait * 1000);
                    store.write(move |tx| tx.stamp_failed(id, due, &problem)).await?;
                    break;
                }
            }
        }
        Ok(stamped)
    }

    /// Asks for a stamp, checks it, and keeps it beside the file and in the database.
    async fn stamp(&self, store: &Store, file: &SealedFile) -> Result<Result<Stamp, String>, StoreError> {
        let (answer, stamp) = match self.ask(&file.sha256).await {
            Ok(answered) => answered,
            Err(problem) => return Ok(Err(problem)),
        };
        let (path, id) = (self.folder.join(file.stamp_name()), file.id);
        let kept = store.write(move |tx| tx.stamp_file(id, &answer)).await?;
        tokio::task::spawn_blocking(move || write_whole(&path, &kept))
            .await
            .map_err(|error| StoreError::Stopped(error.to_string()))??;
        Ok(Ok(stamp))
    }

    /// A stamp over a digest: the answer as it came, verified.
    pub async fn stamp_digest(&self, sha256: &[u8; 32]) -> Result<Vec<u8>, String> {
        self.ask(sha256).await.map(|(answer, _)| answer.to_vec())
    }

    async fn ask(&self, sha256: &[u8; 32]) -> Result<(Bytes, Stamp), String> {
        let nonce = rand::random();
        let policy = self.settings.policy.as_deref();
        let question = request(sha256, nonce, policy).map_err(|error| error.to_string())?;
        let bounds = Bounds { time: EXCHANGE, octets: ANSWER_OCTETS_MAX };
        let authorization = self.authorization.as_deref();
        let answered = self
            .client
            .post_as(authorization, &self.settings.url, REQUEST_TYPE, question.into(), bounds)
            .await
            .map_err(|error| error.to_string())?;
        let kind = answered.content_type.as_deref().unwrap_or("");
        if !kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(ANSWER_TYPE) {
            return Err(format!("the authority answered with '{kind}' and not with {ANSWER_TYPE}"));
        }
        let wanted = Wanted { nonce: Some(nonce), policy, now: Some(now()) };
        let stamp = examine(&answered.content, sha256, &self.anchors, wanted).map_err(|error| error.to_string())?;
        Ok((answered.content, stamp))
    }
}

/// The value of `Authorization` (RFC 7617 §2).
fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", sigillo_auth::base64::encode(format!("{user}:{password}").as_bytes()))
}
