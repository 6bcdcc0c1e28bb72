//! The operator's settings, `config:` of the policy.

use serde::Deserialize;

use crate::destination;

/// Most addresses of a mailbox (FWD-02).
pub const ADDRESSES: usize = 2;
/// Days during which a report about a copy counts: as long as libsrs2 and postsrsd take a return address for valid, four
/// times the five days that a queue usually keeps trying (RFC 5321 §4.5.4.1).
const REPORT_DAYS: u32 = 21;
/// The two letters of the day in a return address come round after 1,024 days.
const REPORT_DAYS_MAX: u32 = 365;
/// Reports of failure within [`FAILURE_DAYS`] after which an address counts as gone.
const FAILURES: usize = 5;
/// Most of them; each instant is kept.
const FAILURES_MAX: usize = 100;
/// Days within which they must come.
const FAILURE_DAYS: u32 = 7;
/// Copies in a day to one address: what a busy mailbox receives, and little for mail that goes in circles.
const PER_DAY: u32 = 2000;
/// Forwards of this server that one message may pass.
const HOPS: u32 = 3;

/// Settings of the plugin; unknown keys are mistakes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// An ordinary domain of the server: copies are sent from it and reports come back to it.
    pub domain: String,
    /// Who copies are from.
    #[serde(default)]
    pub address: String,
    /// The name shown with that address.
    #[serde(default = "name")]
    pub name: String,
    /// Most addresses of a mailbox (FWD-02).
    #[serde(default = "addresses")]
    pub addresses: usize,
    /// Days during which a report about a copy counts.
    #[serde(default = "report_days")]
    pub report_days: u32,
    /// Reports of failure after which a forward is suspended.
    #[serde(default = "failures")]
    pub failures: usize,
    /// Days within which so many must come.
    #[serde(default = "failure_days")]
    pub failure_days: u32,
    /// Copies of a mailbox in a day to one address.
    #[serde(default = "per_day")]
    pub per_day: u32,
    /// Forwards of this server that one message may pass.
    #[serde(default = "hops")]
    pub hops: u32,
    /// Whether the text of the message stands above it.
    #[serde(default = "yes")]
    pub text: bool,
}

fn name() -> String {
    "Inoltro automatico".into()
}
fn addresses() -> usize {
    ADDRESSES
}
fn report_days() -> u32 {
    REPORT_DAYS
}
fn failures() -> usize {
    FAILURES
}
fn failure_days() -> u32 {
    FAILURE_DAYS
}
fn per_day() -> u32 {
    PER_DAY
}
fn hops() -> u32 {
    HOPS
}
fn yes() -> bool {
    true
}

impl Settings {
    /// Reads the settings; the error is for the operator.
    pub fn parse(json: &str) -> Result<Settings, String> {
        let mut settings: Settings = serde_json::from_str(json).map_err(|error| error.to_string())?;
        settings.domain = settings.domain.to_ascii_lowercase();
        if settings.address.is_empty() {
            settings.address = format!("inoltro@{}", settings.domain);
        }
        let Some((_, domain)) = destination::split(&settings.address) else {
            return Err(format!("address: '{}' is no address; is the domain one?", settings.address));
        };
        if !domain.eq_ignore_ascii_case(&settings.domain) {
            return Err(format!("address: '{}' is not in the domain '{}'", settings.address, settings.domain));
        }
        if settings.name.chars().any(char::is_control) || settings.name.len() > 64 {
            return Err("name: one line of at most 64 octets".into());
        }
        within("addresses", settings.addresses as u64, 1, ADDRESSES as u64)?;
        within("report-days", settings.report_days.into(), 1, REPORT_DAYS_MAX.into())?;
        within("failures", settings.failures as u64, 1, FAILURES_MAX as u64)?;
        within("failure-days", settings.failure_days.into(), 1, 365)?;
        within("per-day", settings.per_day.into(), 1, 1_000_000)?;
        within("hops", settings.hops.into(), 1, 10)?;
        Ok(settings)
    }
}

fn within(name: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(format!("{name}: wants {least} to {most}, not {value}")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// The keys of `config:` in the manifest.
    fn declared() -> Vec<&'static str> {
        let config = include_str!("../plugin.yaml").split("\nconfig:\n").nth(1).unwrap();
        let lines = config.lines().take_while(|line| line.starts_with("  "));
        let mut keys: Vec<_> = lines.map(|line| line.trim().split(':').next().unwrap()).collect();
        keys.sort_unstable();
        keys
    }

    /// Those that are read: the parser names them where there is another.
    fn read() -> Vec<String> {
        let error = Settings::parse("{\"no such key\": 1}").unwrap_err();
        let mut keys: Vec<String> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn keys_are_those_of_the_manifest() {
        assert_eq!(declared(), read());
    }
}
