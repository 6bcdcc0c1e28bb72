//! One run of the plugin: the host, the settings and the one instant that everything of the run carries.

use crate::header;
use crate::host::{Failure, Host, Provider};
use crate::legal_time::{self, LegalTime};
use crate::settings::Settings;

/// One run of the plugin.
pub struct Step<'a> {
    /// The server.
    pub host: &'a dyn Host,
    /// The operator's settings.
    pub settings: &'a Settings,
    /// The instant of every event of this run (PEC §4.1: one value in header, text, data and log).
    pub time: LegalTime,
}

impl<'a> Step<'a> {
    /// Begins a run now.
    pub fn begin(host: &'a dyn Host, settings: &'a Settings) -> Result<Step<'a>, Failure> {
        let now = host.now();
        let offset = host.utc_offset(legal_time::ZONE, now).map_err(|error| error.during("legal time"))?;
        Ok(Step { host, settings, time: LegalTime::at(now, offset) })
    }

    /// A new message identifier under the provider's domain, without brackets (PEC §2.2.1).
    pub fn new_identifier(&self) -> String {
        format!("{}@{}", self.host.next_id(), self.settings.service_domain())
    }

    /// Whether this provider of the index manages a domain. By name, not by entry: one provider may have several
    /// entries, one for each environment (PEC §4.5.7).
    pub fn manages(&self, provider: &Provider, domain: &str) -> Result<bool, Failure> {
        let found = self.host.provider_of_domain(domain).map_err(|error| error.during("index of providers"))?;
        Ok(found.is_some_and(|other| other.name.eq_ignore_ascii_case(&provider.name)))
    }

    /// This provider's own entry in the index.
    pub fn own_entry(&self) -> Result<Option<Provider>, Failure> {
        let domain = self.settings.service_domain();
        self.host.provider_of_domain(&domain).map_err(|error| error.during("index of providers"))
    }

    /// The subject of the message in hand as one line; none where there is no such field.
    pub fn subject(&self) -> Option<String> {
        self.host.message().header_text("Subject", 0).map(|text| header::one_line(&text))
    }
}
