//! The key `evidence` of `sigillo.yaml`.

use std::path::PathBuf;

use serde::Deserialize;
use sigillo_delivery::outbox::{WebAddress, egress};
use sigillo_store::evidence::retention::RETENTION_DAYS_MIN;
use sigillo_store::evidence::sealing::ROTATE_OCTETS_MIN;

/// Octets of records at which a file is closed before the day is over (LOG-02: about 10 MB).
pub const ROTATE_OCTETS: u64 = 10_000_000;

/// How the message log is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Evidence {
    /// Octets of records at which a file is closed before the legal day is over.
    pub rotate_octets: u64,
    /// Days that sealed and stamped files are kept; thirty months at least.
    pub retention_days: u32,
    /// Folders to which every sealed and stamped file is copied.
    pub copies: Vec<PathBuf>,
    /// Who stamps the files.
    pub timestamps: Option<Timestamps>,
}

impl Default for Evidence {
    fn default() -> Evidence {
        Evidence {
            rotate_octets: ROTATE_OCTETS,
            retention_days: RETENTION_DAYS_MIN,
            copies: Vec::new(),
            timestamps: None,
        }
    }
}

/// A timestamp authority (RFC 3161).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Timestamps {
    /// Where it answers, `http://` or `https://`.
    pub url: String,
    /// PEM: the roots of its certificate.
    pub anchors: PathBuf,
    /// PEM: roots for the TLS certificate of an `https` URL, if they are others.
    #[serde(default)]
    pub tls_anchors: Option<PathBuf>,
    /// Object identifier of the policy to ask for.
    #[serde(default)]
    pub policy: Option<String>,
    /// Login there.
    #[serde(default)]
    pub username: Option<String>,
    /// File with the password, readable by the owner only.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

impl Evidence {
    /// What is wrong, in words for the operator.
    pub fn check(&self) -> Result<(), String> {
        if self.rotate_octets < ROTATE_OCTETS_MIN {
            return Err(format!("evidence.rotate-octets: wants at least {ROTATE_OCTETS_MIN}"));
        }
        if self.retention_days < RETENTION_DAYS_MIN {
            return Err(format!(
                "evidence.retention-days: the law wants thirty months, which have up to {RETENTION_DAYS_MIN} days"
            ));
        }
        let Some(timestamps) = &self.timestamps else { return Ok(()) };
        if timestamps.username.is_some() != timestamps.password_file.is_some() {
            return Err("evidence.timestamps: username and password-file go together".into());
        }
        let url = &timestamps.url;
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(format!("evidence.timestamps.url: '{url}' is not a URL such as https://host/path"));
        }
        let clear = WebAddress::parse(url).is_ok_and(|it| !it.secure && !egress::names_this_machine(&it.host));
        if clear && timestamps.username.is_some() {
            return Err("evidence.timestamps: an http:// URL sends the password in clear: use https://".into());
        }
        Ok(())
    }
}
