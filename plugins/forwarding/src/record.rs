//! What is kept of a forward: one value of the state for each mailbox and address.

use serde::{Deserialize, Serialize};

use crate::host::{Error, Host};
use crate::settings::Settings;

/// How keys of forwards begin.
pub const PREFIX: &str = "forward/";
/// Days that a forward is remembered after its last copy or report. A suspended one is remembered as long as state can
/// be: until somebody resumes it.
const KEEP_DAYS: u32 = 400;
const KEEP_SUSPENDED_DAYS: u32 = 3650;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// A forward.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Whose mail it copies.
    pub mailbox: String,
    /// Where it goes.
    pub to: String,
    /// Copies so far.
    pub sent: u64,
    /// When the last one went, milliseconds since 1970.
    pub last: u64,
    /// The day of `today`, counted from 1970.
    pub day: u64,
    /// Copies of that day.
    pub today: u32,
    /// Instants of reports of failure, the latest last.
    pub failures: Vec<u64>,
    /// Instants of reports that a copy was not taken for what it is, since the user was last told of them.
    #[serde(default)]
    pub not_taken: Vec<u64>,
    /// When that was.
    #[serde(default)]
    pub told: u64,
    /// Since when no copies go, and why.
    pub suspended: Option<Suspension>,
}

/// Why no copies go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// Milliseconds since 1970.
    pub since: u64,
    /// `failures` or `rate`.
    pub word: String,
    /// For the user and the operator.
    pub why: String,
}

impl Record {
    /// What is kept under a handle, if anything is.
    pub fn read(host: &impl Host, handle: &str) -> Result<Option<Record>, Error> {
        let Some(value) = host.get(&format!("{PREFIX}{handle}"))? else { return Ok(None) };
        // Ours alone: what cannot be read was written by another version, and nothing is lost by beginning anew.
        Ok(serde_json::from_slice(&value).ok())
    }

    /// Keeps it.
    pub fn write(&self, host: &impl Host, handle: &str) -> Result<(), Error> {
        let value = serde_json::to_vec(self).map_err(|error| Error::Other(error.to_string()))?;
        let days = if self.suspended.is_some() { KEEP_SUSPENDED_DAYS } else { KEEP_DAYS };
        host.set(&format!("{PREFIX}{handle}"), &value, days)
    }

    /// Counts a copy. False if that is one more than a day may have; then the forward is suspended.
    pub fn count(&mut self, settings: &Settings, now: u64) -> bool {
        let day = now / DAY_MS;
        if self.day != day {
            (self.day, self.today) = (day, 0);
        }
        if self.today >= settings.per_day {
            let why = format!("more than {} copies in a day: mail may go in circles", settings.per_day);
            self.suspended = Some(Suspension { since: now, word: "rate".into(), why });
            return false;
        }
        (self.today, self.sent, self.last) = (self.today + 1, self.sent + 1, now);
        true
    }

    /// Counts a report that a copy was not taken for what it is; true where there were so many that the user is to be told:
    /// once within those days, and the forward goes on.
    pub fn refuse(&mut self, settings: &Settings, now: u64) -> bool {
        let days = u64::from(settings.failure_days) * DAY_MS;
        self.not_taken.retain(|at| at.abs_diff(now) <= days);
        self.not_taken.push(now);
        if self.not_taken.len() > settings.failures {
            self.not_taken.remove(0);
        }
        if self.not_taken.len() < settings.failures || self.told.abs_diff(now) <= days {
            return false;
        }
        (self.told, self.not_taken) = (now, Vec::new());
        true
    }

    /// Counts a report of failure; true if it is the one that suspends the forward.
    pub fn fail(&mut self, settings: &Settings, now: u64, said: &str) -> bool {
        let since = now.saturating_sub(u64::from(settings.failure_days) * DAY_MS);
        self.failures.retain(|at| *at >= since);
        self.failures.push(now);
        if self.failures.len() > settings.failures {
            self.failures.remove(0);
        }
        if self.suspended.is_some() || self.failures.len() < settings.failures {
            return false;
        }
        let why = format!(
            "{} copies failed within {} days; the last report: {said}",
            settings.failures, settings.failure_days
        );
        self.suspended = Some(Suspension { since: now, word: "failures".into(), why });
        true
    }
}
