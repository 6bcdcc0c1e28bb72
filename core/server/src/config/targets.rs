//! `targets:` of the configuration: whom the outbox asks.

mod deposits;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sigillo_delivery::outbox::http::{Auth, HttpTarget, Meaning, Meanings};
use sigillo_delivery::outbox::{Protocol, Target, TargetOptions, Targets, Web, WebAddress, egress};
use sigillo_delivery::{HeaderName, HeaderValue, Schedule};

use super::smpp::SmppConfig;
pub use deposits::{S3Config, SftpConfig};

use super::{Config, ConfigError, read_secret};
use crate::tls;

/// Seconds for a target to make progress by default: what a busy gateway needs, several times over.
const TIMEOUT: u64 = 30;
/// Most seconds.
const TIMEOUT_MAX: u64 = 600;
/// Attempts at once by default.
const CONNECTIONS: usize = 4;
/// Most attempts at once.
const CONNECTIONS_MAX: usize = 256;
/// Hours after which a request has expired, by default.
const EXPIRE_HOURS: u64 = 24;
/// Most hours: 30 days, as long as a key is remembered.
const EXPIRE_HOURS_MAX: u64 = 720;
/// Most seconds between two attempts: a day. What the outbox finds put off for longer it takes for put off by a clock
/// that has been set back, and asks at once.
pub(super) const RETRY_WAIT_MAX: u64 = 86_400;
/// Octets of content by default.
const SIZE_MAX: u64 = 256 * 1024 * 1024;

/// One target, by what it speaks.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "protocol", rename_all = "kebab-case")]
pub enum TargetConfig {
    /// HTTP (RFC 9110).
    Http(HttpConfig),
    /// SMPP 3.4.
    Smpp(SmppConfig),
    /// Files over SSH.
    Sftp(SftpConfig),
    /// Objects in a bucket.
    S3(S3Config),
}

/// A target that speaks HTTP.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpConfig {
    /// `https://…`; its path is the beginning of every request's.
    pub url: String,
    /// Whether `http://` may lead to another machine, in clear.
    #[serde(default)]
    pub insecure: bool,
    /// How requests show who asks.
    #[serde(default)]
    pub auth: Option<HttpAuth>,
    /// Fields that every request has.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What answers mean, by status or class, where it is not the default.
    #[serde(default)]
    pub answers: BTreeMap<String, AnswerWord>,
    /// PEM: roots of the server's certificate; those of `delivery` if absent.
    #[serde(default)]
    pub tls_anchors: Option<PathBuf>,
    /// What holds for every target.
    #[serde(default)]
    pub limits: TargetLimits,
}

/// How requests show who asks: one of `basic`, `header` and `query`, with the secret in a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HttpAuth {
    /// The name that goes with the password (RFC 7617).
    #[serde(default)]
    pub basic: Option<String>,
    /// The header field that bears the secret.
    #[serde(default)]
    pub header: Option<String>,
    /// The item of the query that bears the secret.
    #[serde(default)]
    pub query: Option<String>,
    /// The secret, one line; readable by the owner only.
    pub secret_file: PathBuf,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerWord {
    /// The target took the request.
    Done,
    /// It will not.
    Refused,
    /// It may later.
    Retry,
}

impl AnswerWord {
    /// As the delivery crate has it.
    pub(super) fn meaning(self) -> Meaning {
        match self {
            AnswerWord::Done => Meaning::Done,
            AnswerWord::Refused => Meaning::Refused,
            AnswerWord::Retry => Meaning::Retry,
        }
    }
}

/// What holds for every target.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TargetLimits {
    /// Seconds for the target to make progress.
    pub timeout: u64,
    /// Attempts at once.
    pub connections: usize,
    /// Seconds between attempts; the last one repeats. Those of `delivery` if absent.
    pub retry: Option<Vec<u64>>,
    /// Hours after which a request has expired.
    pub expire_hours: u64,
    /// Octets of content at most.
    pub size_max: u64,
}

impl Default for TargetLimits {
    fn default() -> TargetLimits {
        TargetLimits {
            timeout: TIMEOUT,
            connections: CONNECTIONS,
            retry: None,
            expire_hours: EXPIRE_HOURS,
            size_max: SIZE_MAX,
        }
    }
}

impl TargetLimits {
    pub(super) fn check(&self) -> Result<(), String> {
        if !(1..=TIMEOUT_MAX).contains(&self.timeout) {
            return Err(format!("limits.timeout wants 1 to {TIMEOUT_MAX} seconds"));
        }
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            return Err(format!("limits.connections wants 1 to {CONNECTIONS_MAX}"));
        }
        if self.retry.as_ref().is_some_and(|retry| !are_waits(retry)) {
            return Err(format!("limits.retry wants at least one wait, each of 1 to {RETRY_WAIT_MAX} seconds"));
        }
        if !(1..=EXPIRE_HOURS_MAX).contains(&self.expire_hours) {
            return Err(format!("limits.expire-hours wants 1 to {EXPIRE_HOURS_MAX}"));
        }
        if self.size_max == 0 {
            return Err("limits.size-max wants at least 1 octet".into());
        }
        Ok(())
    }

    /// As the delivery crate wants them.
    fn options(&self, name: &str, config: &Config) -> TargetOptions {
        let waits = match &self.retry {
            Some(seconds) => seconds.iter().copied().map(Duration::from_secs).collect(),
            None => config.schedule().waits,
        };
        TargetOptions {
            name: name.to_owned(),
            connections: self.connections,
            size_max: self.size_max,
            schedule: Schedule { waits, expire: Duration::from_secs(self.expire_hours * 3600) },
        }
    }

    /// For the target to make progress.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

impl TargetConfig {
    fn limits(&self) -> &TargetLimits {
        match self {
            TargetConfig::Http(http) => &http.limits,
            TargetConfig::Smpp(smpp) => &smpp.limits,
            TargetConfig::Sftp(sftp) => &sftp.limits,
            TargetConfig::S3(s3) => &s3.limits,
        }
    }

    /// What is wrong with it, without looking at any file.
    pub(super) fn check(&self) -> Result<(), String> {
        self.limits().check()?;
        match self {
            TargetConfig::Http(http) => http.check(),
            TargetConfig::Smpp(smpp) => smpp.check(),
            TargetConfig::Sftp(sftp) => sftp.check(),
            TargetConfig::S3(s3) => s3.check(),
        }
    }

    fn open(&self, config: &Config) -> Result<Box<dyn Protocol>, ConfigError> {
        match self {
            TargetConfig::Http(http) => http.open(config),
            TargetConfig::Smpp(smpp) => smpp.open(config),
            TargetConfig::Sftp(sftp) => sftp.open(config),
            TargetConfig::S3(s3) => s3.open(config),
        }
    }
}

impl HttpConfig {
    fn check(&self) -> Result<(), String> {
        let address = WebAddress::parse(&self.url)?;
        if !address.secure && !self.insecure && !egress::names_this_machine(&address.host) {
            return Err("an http:// URL sends everything in clear: use https://, or say 'insecure: true'".into());
        }
        self.meanings()?;
        self.fields()?;
        let Some(auth) = &self.auth else { return Ok(()) };
        if [&auth.basic, &auth.header, &auth.query].into_iter().flatten().count() != 1 {
            return Err("auth wants one of 'basic', 'header' and 'query', with 'secret-file'".into());
        }
        if let Some(name) = &auth.header {
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("auth.header '{name}' is no field name"))?;
        }
        Ok(())
    }

    fn meanings(&self) -> Result<Meanings, String> {
        let mut meanings = Meanings::default();
        // Classes first: a code is an exception to its class, in whatever order they stand.
        let (classes, codes): (Vec<_>, Vec<_>) = self.answers.iter().partition(|(name, _)| name.ends_with('x'));
        for (name, word) in classes.into_iter().chain(codes) {
            meanings.set(name, word.meaning()).map_err(|why| format!("answers: {why}"))?;
        }
        Ok(meanings)
    }

    fn fields(&self) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let field = |(name, value): (&String, &String)| {
            let wrong = |_| format!("headers: '{name}' is no header field with a value of one line");
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| wrong(error.to_string()))?;
            Ok((name, HeaderValue::from_str(value).map_err(|error| wrong(error.to_string()))?))
        };
        self.headers.iter().map(field).collect()
    }

    fn open(&self, config: &Config) -> Result<Box<dyn Protocol>, ConfigError> {
        let tls = client(config, self.tls_anchors.as_deref())?;
        let web = Web::new(WebAddress::parse(&self.url).map_err(ConfigError)?, tls, self.limits.timeout());
        let auth = self.auth.as_ref().map_or(Ok(Auth::None), |auth| auth.read(config))?;
        let fields = self.fields().map_err(ConfigError)?;
        Ok(Box::new(HttpTarget::new(web, auth, fields, self.meanings().map_err(ConfigError)?)))
    }
}

impl HttpAuth {
    fn read(&self, config: &Config) -> Result<Auth, ConfigError> {
        let path = config.path(&self.secret_file);
        let secret = secret_line(&path)?;
        let wrong = |what: &str| ConfigError(format!("{}: {what}", path.display()));
        let field = |name: &str, value: &str| {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("no field name for it"))?;
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong("not one line of ASCII"))?;
            value.set_sensitive(true);
            Ok(Auth::Header { name, value })
        };
        match (&self.basic, &self.header, &self.query) {
            (Some(user), _, _) => {
                let both = sigillo_auth::base64::encode(format!("{user}:{secret}").as_bytes());
                field("authorization", &format!("Basic {both}"))
            }
            (_, Some(name), _) => field(name, &secret),
            (_, _, Some(name)) => Ok(Auth::Query { name: name.clone(), value: secret }),
            _ => Ok(Auth::None),
        }
    }
}

/// Whether these are seconds between attempts.
pub(super) fn are_waits(retry: &[u64]) -> bool {
    !retry.is_empty() && retry.iter().all(|seconds| (1..=RETRY_WAIT_MAX).contains(seconds))
}

/// A secret of one line from a file that only the owner may read.
pub fn secret_line(path: &Path) -> Result<String, ConfigError> {
    let wrong = |what: &str| ConfigError(format!("{}: {what}", path.display()));
    let text = String::from_utf8(read_secret(path)?).map_err(|_| wrong("not text"))?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.chars().any(char::is_control) {
        return Err(wrong("wants a secret of one line"));
    }
    Ok(line.to_owned())
}

/// What a target's server must prove.
pub(super) fn client(config: &Config, anchors: Option<&Path>) -> Result<Arc<rustls::ClientConfig>, ConfigError> {
    let anchors = anchors.or(config.delivery.tls_anchors.as_deref());
    tls::client_trusting(anchors.map(|path| config.path(path)).as_deref())
}

impl Config {
    /// For how long a target is asked.
    pub fn target_life(&self, name: &str) -> Option<Duration> {
        self.targets.get(name).map(|target| Duration::from_secs(target.limits().expire_hours * 3600))
    }

    /// The targets as the delivery crate wants them; secrets and roots are read.
    pub fn open_targets(&self) -> Result<Targets, ConfigError> {
        let open = |(name, target): (&String, &TargetConfig)| {
            let protocol = target.open(self).map_err(|error| ConfigError(format!("targets.{name}: {error}")))?;
            Ok(Target::new(target.limits().options(name, self), protocol))
        };
        let targets = self.targets.iter().map(open).collect::<Result<Vec<_>, ConfigError>>()?;
        Ok(Targets::new(targets))
    }
}
