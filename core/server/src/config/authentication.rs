//! `authentication:`: how mail from other servers is checked.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use super::{Config, MESSAGE_SIZE};

/// Seconds that a session waits for all checks of its message, by default.
const TIMEOUT: u64 = 5;
/// The longest of them: the client waits ten minutes for the reply to the end of data (RFC 5321 §4.5.3.2.6), and the
/// chain is still to come.
const TIMEOUT_MAX: u64 = 60;
/// Octets of the largest message of which signatures are verified, by default: it is in memory meanwhile.
const SIGNED_SIZE: u64 = 10 * 1024 * 1024;

/// How SPF, DKIM, DMARC and ARC are checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Authentication {
    /// Who says the results (RFC 8601 §2.5); `hostname` if absent.
    pub authserv_id: Option<String>,
    /// Resolvers, address and port; those of the system if there are none.
    pub resolvers: Vec<SocketAddr>,
    /// Seconds that a session waits for all checks of its message.
    pub timeout: u64,
    /// Octets of the largest message of which DKIM and ARC are verified.
    pub message_size: u64,
    /// Whether messages into ordinary domains get the field `Authentication-Results`.
    pub field: bool,
}

impl Default for Authentication {
    fn default() -> Authentication {
        Authentication {
            authserv_id: None,
            resolvers: Vec::new(),
            timeout: TIMEOUT,
            message_size: SIGNED_SIZE,
            field: true,
        }
    }
}

impl Authentication {
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(id) = &self.authserv_id {
            id.parse::<sigillo_mail::Domain>().map_err(|e| format!("authentication.authserv-id '{id}': {e}"))?;
        }
        if !(1..=TIMEOUT_MAX).contains(&self.timeout) {
            return Err(format!("authentication.timeout: wants 1 to {TIMEOUT_MAX} seconds"));
        }
        if self.message_size > MESSAGE_SIZE {
            return Err(format!("authentication.message-size: wants at most {MESSAGE_SIZE} octets"));
        }
        Ok(())
    }
}

impl Config {
    /// How to check, if mail is to be checked.
    pub fn authenticity(&self) -> Option<sigillo_authenticity::Options> {
        let settings = self.authentication.as_ref()?;
        Some(sigillo_authenticity::Options {
            authserv_id: settings.authserv_id.clone().unwrap_or_else(|| self.hostname.clone()),
            resolvers: settings.resolvers.clone(),
            timeout: Duration::from_secs(settings.timeout),
            message_size: settings.message_size,
        })
    }
}
