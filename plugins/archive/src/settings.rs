//! The operator's settings, `config:` of the policy, and those of one mailbox.

use serde::Deserialize;

use crate::host::{Error, Host};

/// Space of a mailbox whose setting says nothing, GB: the smaller of the two sizes (QUO-09).
pub const SIZE: u64 = 5;
/// Octets of one GB.
pub const GIGABYTE: u64 = 1 << 30;
/// At how much of the space the mailbox is told (ARC-04).
pub const ALERT_PERCENT: u64 = 80;
/// How much of what is used is let go at once (ARC-07).
pub const FREE_PERCENT: u64 = 25;

/// Settings of the plugin; unknown keys are mistakes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Sender of the alerts.
    pub sender: String,
    /// Space of a mailbox whose own setting says nothing, GB.
    #[serde(default = "size")]
    pub size: u64,
    /// Octets of one GB.
    #[serde(default = "gigabyte")]
    pub gigabyte: u64,
    /// At how much of the space the mailbox is told.
    #[serde(default = "alert_percent")]
    pub alert_percent: u64,
    /// How much of what is used `free` lets go.
    #[serde(default = "free_percent")]
    pub free_percent: u64,
}

fn size() -> u64 {
    SIZE
}

fn gigabyte() -> u64 {
    GIGABYTE
}

fn alert_percent() -> u64 {
    ALERT_PERCENT
}

fn free_percent() -> u64 {
    FREE_PERCENT
}

impl Settings {
    /// Reads the settings; the error is for the operator.
    pub fn parse(json: &str) -> Result<Settings, String> {
        let settings: Settings = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let (local, domain) = settings.sender.rsplit_once('@').unwrap_or_default();
        if local.is_empty() || domain.is_empty() || !settings.sender.bytes().all(|b| b.is_ascii_graphic() && b != b'<')
        {
            return Err("sender: it must be an address, such as archivio@pec.alfa.example".into());
        }
        for (name, percent) in [("alert-percent", settings.alert_percent), ("free-percent", settings.free_percent)] {
            if !(1..=100).contains(&percent) {
                return Err(format!("{name}: it must be from 1 to 100"));
            }
        }
        if settings.size == 0 || settings.gigabyte == 0 || settings.size.checked_mul(settings.gigabyte).is_none() {
            return Err("size, gigabyte: the space must be more than nothing, and a number that can be".into());
        }
        Ok(settings)
    }
}

/// What the administrator chose for a mailbox (ARC-02, ARC-05, ARC-08, QUO-09).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choices {
    /// Whether copies are kept.
    pub archive: bool,
    /// The space, octets.
    pub limit: u64,
    /// Whether copies may be deleted by hand.
    pub deletion: bool,
    /// Whether the mailbox has legal preservation ("conservazione a norma").
    pub conservation: bool,
}

impl Choices {
    /// Reads them. A value that is none of those that can be chosen is a failure: whether to keep is not guessed.
    pub fn of<H: Host>(host: &H, settings: &Settings, mailbox: &str) -> Result<Choices, Error> {
        let size = match host.setting(mailbox, "archive-size")? {
            None => settings.size,
            Some(text) => text.parse().map_err(|_| Error::Other(format!("{mailbox}: archive-size is '{text}'")))?,
        };
        Ok(Choices {
            archive: Choices::keeps(host, mailbox)?,
            limit: size.saturating_mul(settings.gigabyte),
            deletion: is(host, mailbox, "archive-deletion", "allowed", "denied")?,
            conservation: is(host, mailbox, "conservation", "on", "off")?,
        })
    }

    /// Whether copies are kept: the one look that every message costs.
    pub fn keeps<H: Host>(host: &H, mailbox: &str) -> Result<bool, Error> {
        is(host, mailbox, "archive", "on", "off")
    }
}

fn is<H: Host>(host: &H, mailbox: &str, name: &str, yes: &str, no: &str) -> Result<bool, Error> {
    match host.setting(mailbox, name)?.as_deref() {
        None => Ok(false),
        Some(word) if word == yes => Ok(true),
        Some(word) if word == no => Ok(false),
        Some(word) => Err(Error::Other(format!("{mailbox}: {name} is '{word}', neither {yes} nor {no}"))),
    }
}
