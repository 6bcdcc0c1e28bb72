//! Targets that take files: SFTP servers and buckets.

use std::path::PathBuf;

use serde::Deserialize;
use sigillo_delivery::outbox::s3::{self, Credentials, S3, S3Options};
use sigillo_delivery::outbox::sftp::{HostKey, Login, Sftp, SftpOptions};
use sigillo_delivery::outbox::{Protocol, Web, WebAddress, egress};

use super::{TargetLimits, client, secret_line};
use crate::config::{Config, ConfigError, read_secret};

/// The port of SSH (RFC 4253 §4.1).
const SSH: u16 = 22;

/// An SFTP server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SftpConfig {
    /// Its name or address.
    pub host: String,
    /// Its port.
    #[serde(default = "ssh")]
    pub port: u16,
    /// The key that it must show: `ssh-ed25519 AAAA…`, as `ssh-keyscan` prints it.
    pub host_key: String,
    /// Who we are there.
    pub username: String,
    /// A private key as `ssh-keygen` writes it; readable by the owner only.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// The passphrase of an encrypted key, one line; readable by the owner only.
    #[serde(default)]
    pub passphrase_file: Option<PathBuf>,
    /// A password instead of a key, one line; readable by the owner only.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The folder in which paths begin; that of the login if absent.
    #[serde(default)]
    pub folder: String,
    /// Whether what was written is read back and compared.
    #[serde(default = "yes")]
    pub read_back: bool,
    /// What holds for every target.
    #[serde(default)]
    pub limits: TargetLimits,
}

/// A bucket of an S3 server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct S3Config {
    /// `https://host`, without the bucket.
    pub endpoint: String,
    /// Whether `http://` may lead to another machine, in clear.
    #[serde(default)]
    pub insecure: bool,
    /// The region that signatures name.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// Before the name of every object.
    #[serde(default)]
    pub prefix: String,
    /// Two lines: the access key and its secret; readable by the owner only.
    pub credentials_file: PathBuf,
    /// Whether an object is put on the condition that there is none of its name.
    #[serde(default = "yes")]
    pub if_none_match: bool,
    /// PEM: roots of the server's certificate; those of `delivery` if absent.
    #[serde(default)]
    pub tls_anchors: Option<PathBuf>,
    /// What holds for every target.
    #[serde(default)]
    pub limits: TargetLimits,
}

fn ssh() -> u16 {
    SSH
}

fn yes() -> bool {
    true
}

impl SftpConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        HostKey::parse(&self.host_key).map_err(|why| format!("host-key: {why}"))?;
        if self.host.is_empty() || self.username.is_empty() {
            return Err("host and username must not be empty".into());
        }
        if self.folder.chars().any(char::is_control) || self.folder.split('/').any(|name| name == "..") {
            return Err(format!("folder '{}' is no folder", self.folder.escape_default()));
        }
        match (&self.key_file, &self.password_file) {
            (Some(_), Some(_)) | (None, None) => Err("wants one of 'key-file' and 'password-file'".into()),
            (None, Some(_)) if self.passphrase_file.is_some() => Err("'passphrase-file' goes with 'key-file'".into()),
            _ => Ok(()),
        }
    }

    pub(super) fn open(&self, config: &Config) -> Result<Box<dyn Protocol>, ConfigError> {
        let line = |path: &Option<PathBuf>| path.as_ref().map(|path| secret_line(&config.path(path))).transpose();
        let login = match &self.key_file {
            Some(file) => {
                let path = config.path(file);
                let private = String::from_utf8(read_secret(&path)?)
                    .map_err(|_| ConfigError(format!("{}: it is not a key as ssh-keygen writes it", path.display())))?;
                Login::Key { private, passphrase: line(&self.passphrase_file)? }
            }
            None => Login::Password(line(&self.password_file)?.unwrap_or_default()),
        };
        Ok(Box::new(Sftp::new(SftpOptions {
            host: self.host.clone(),
            port: self.port,
            host_key: HostKey::parse(&self.host_key).map_err(ConfigError)?,
            username: self.username.clone(),
            login,
            folder: self.folder.clone(),
            idle: self.limits.timeout(),
            read_back: self.read_back,
        })))
    }
}

impl S3Config {
    pub(super) fn check(&self) -> Result<(), String> {
        let address = WebAddress::parse(&self.endpoint)?;
        if !address.base.is_empty() {
            return Err("endpoint: the bucket and the prefix have keys of their own, so it has no path".into());
        }
        if !address.secure && !self.insecure && !egress::names_this_machine(&address.host) {
            return Err("an http:// endpoint sends everything in clear: use https://, or say 'insecure: true'".into());
        }
        let plain = |name: &str| !name.is_empty() && name != "." && name != ".." && !name.chars().any(char::is_control);
        if !self.prefix.is_empty() && !self.prefix.trim_end_matches('/').split('/').all(plain) {
            return Err(format!("prefix '{}': names with '/' between them", self.prefix.escape_default()));
        }
        s3::bucket(&self.endpoint, &self.region, &self.bucket).map(drop)
    }

    pub(super) fn open(&self, config: &Config) -> Result<Box<dyn Protocol>, ConfigError> {
        let path = config.path(&self.credentials_file);
        let text = String::from_utf8(read_secret(&path)?).unwrap_or_default();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let (Some(key), Some(secret), None) = (lines.next(), lines.next(), lines.next()) else {
            return Err(ConfigError(format!("{}: wants two lines, the access key and its secret", path.display())));
        };
        let tls = client(config, self.tls_anchors.as_deref())?;
        let address = WebAddress::parse(&self.endpoint).map_err(ConfigError)?;
        let prefix = self.prefix.trim_end_matches('/');
        Ok(Box::new(S3::new(S3Options {
            web: Web::new(address, tls, self.limits.timeout()),
            bucket: s3::bucket(&self.endpoint, &self.region, &self.bucket).map_err(ConfigError)?,
            credentials: Credentials::new(key, secret),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            if_none_match: self.if_none_match,
        })))
    }
}
