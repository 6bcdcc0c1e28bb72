//! `trust.revocation`: how the server learns which certificates are revoked.

use std::time::Duration;

use serde::Deserialize;

/// Least and most time between two looks.
const EVERY_MIN: Duration = Duration::from_secs(10);
const EVERY_MAX: Duration = Duration::from_secs(24 * 3600);

/// How the server learns which certificates are revoked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Revocation {
    /// Lists fetched from the start on: URLs, or files.
    pub lists: Vec<String>,
    /// Whether lists are fetched from where certificates say that they are.
    pub distribution_points: bool,
    /// Time between two looks at every list.
    #[serde(deserialize_with = "crate::index::settings::duration")]
    pub every: Duration,
    /// Whether responders are asked.
    pub ocsp: Ocsp,
}

impl Default for Revocation {
    fn default() -> Revocation {
        Revocation {
            lists: Vec::new(),
            distribution_points: true,
            every: Duration::from_secs(3600),
            ocsp: Ocsp::Prefer,
        }
    }
}

/// Whether responders are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ocsp {
    /// Never.
    Off,
    /// Where a certificate names one; its list counts where there is no answer.
    Prefer,
    /// Where a certificate names one, and nothing else counts for it.
    Require,
}

impl Revocation {
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if !(EVERY_MIN..=EVERY_MAX).contains(&self.every) {
            return Err("trust.revocation.every: wants 10s to 24h; lists are for hours to days".into());
        }
        Ok(())
    }

    /// As the trust crate has it.
    pub fn responders(&self) -> sigillo_trust::Responders {
        match self.ocsp {
            Ocsp::Off => sigillo_trust::Responders::Off,
            Ocsp::Prefer => sigillo_trust::Responders::Prefer,
            Ocsp::Require => sigillo_trust::Responders::Require,
        }
    }
}
