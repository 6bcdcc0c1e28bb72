//! How full an archive is, and what was said of it: each alert once, until there is room again.

use crate::alert::{self, Alert};
use crate::host::{Error, Host};
use crate::settings::{Choices, Settings};

/// What has been said of a mailbox; its state is kept under this with the mailbox behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// That its space comes to an end (ARC-04).
    Filling,
    /// That it has come.
    Full,
}

impl Said {
    /// The key of the plugin's state.
    pub fn key(self, mailbox: &str) -> String {
        match self {
            Said::Filling => format!("filling/{mailbox}"),
            Said::Full => format!("full/{mailbox}"),
        }
    }
}

/// Whole percent of the space, never 100 while there is some.
pub fn percent(used: u64, limit: u64) -> u64 {
    if limit == 0 { 100 } else { (u128::from(used) * 100 / u128::from(limit)) as u64 }
}

/// Whether so much is at the threshold or above it. Exact: no rounding says too early what is not so.
pub fn is_filling(used: u64, limit: u64, settings: &Settings) -> bool {
    u128::from(used) * 100 >= u128::from(limit) * u128::from(settings.alert_percent)
}

/// Forgets what was said and holds no more, by what is there now: copies leave without this plugin too, when they are
/// preserved. That it fills is over below the threshold. That it is full is over when there is less in it than when it
/// was said, or more space: not when a small message still found room, or a mailbox would be told of every large one.
pub fn settle<H: Host>(
    host: &H,
    settings: &Settings,
    choices: &Choices,
    mailbox: &str,
    used: u64,
) -> Result<(), Error> {
    if !is_filling(used, choices.limit, settings) {
        forget(host, mailbox, Said::Filling)?;
    }
    let Some(said) = host.get(&Said::Full.key(mailbox))? else { return Ok(()) };
    let figures = said.split_once(' ').and_then(|(used, limit)| Some((used.parse().ok()?, limit.parse().ok()?)));
    match figures {
        Some((then, limit)) if used >= then && choices.limit <= limit => Ok(()),
        _ => forget(host, mailbox, Said::Full),
    }
}

/// Somebody let copies go, and `left` octets stay: what is full again is told again.
pub fn made_room<H: Host>(
    host: &H,
    settings: &Settings,
    choices: &Choices,
    mailbox: &str,
    left: u64,
) -> Result<(), Error> {
    forget(host, mailbox, Said::Full)?;
    settle(host, settings, choices, mailbox, left)
}

/// ARC-04: tells the mailbox once when `used` octets reach the threshold. `used` must be what is true once this step is
/// committed.
pub fn watch<H: Host>(host: &H, settings: &Settings, choices: &Choices, mailbox: &str, used: u64) -> Result<(), Error> {
    match is_filling(used, choices.limit, settings) {
        true => tell_once(host, settings, choices, mailbox, used, Said::Filling),
        false => Ok(()),
    }
}

/// Tells the mailbox once that a copy had no room.
pub fn tell_full<H: Host>(
    host: &H,
    settings: &Settings,
    choices: &Choices,
    mailbox: &str,
    used: u64,
) -> Result<(), Error> {
    tell_once(host, settings, choices, mailbox, used, Said::Full)
}

fn tell_once<H: Host>(
    host: &H,
    settings: &Settings,
    choices: &Choices,
    mailbox: &str,
    used: u64,
    what: Said,
) -> Result<(), Error> {
    let key = what.key(mailbox);
    if host.get(&key)?.is_some() {
        return Ok(());
    }
    let alert =
        Alert { what, mailbox, used, limit: choices.limit, deletion: choices.deletion && !choices.conservation };
    let content = alert::message(&alert, settings, host.now(), host.utc_offset(), &host.unique());
    host.submit(&key, &settings.sender, mailbox, &content)?;
    host.set(&key, Some(&format!("{used} {}", choices.limit)))
}

/// Makes ready to say it again.
fn forget<H: Host>(host: &H, mailbox: &str, what: Said) -> Result<(), Error> {
    let key = what.key(mailbox);
    if host.get(&key)?.is_some() { host.set(&key, None) } else { Ok(()) }
}
