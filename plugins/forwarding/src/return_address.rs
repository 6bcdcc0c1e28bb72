//! Where reports about a copy come back: an address that only this plugin can make and that says which forward it was.
//!
//! It has the form of SRS0, so that those who forward the copy again recognise it and may shorten it:
//! `SRS0=TAG=TT=forward=HANDLE@DOMAIN`. TT is the day modulo 1,024 in two letters (the base32 of SRS), HANDLE names the
//! forward in the state, TAG is a tag over the whole day and HANDLE: when the letters come round, an address of the round
//! before is none. The sender of the message does not stand in it: reports never go there, and
//! the address stays short (RFC 5321 §4.5.3.1.1) whatever the sender's is.

use crate::host::{Error, Host};
use crate::settings::Settings;
use crate::tag::{DIGITS, same, tag};

/// How every such address begins.
pub const PREFIX: &str = "SRS0=";
/// Stands where SRS has the domain that a naive reader would send to: no domain has this name.
const HOST: &str = "forward";
/// The alphabet of SRS timestamps (base32, RFC 4648 §6).
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const DAY_MS: u64 = 24 * 3600 * 1000;
/// Days until the letters come round.
const ROUND: u64 = 1024;

/// What an address is to this plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Made here, and in its time: the handle of the forward.
    Ours(String),
    /// In the form, and not made here, or too long ago.
    Refused,
    /// Another kind of address.
    Other,
}

/// The name of a forward in the state: the same for the same mailbox and address.
pub fn handle(host: &impl Host, mailbox: &str, to: &str) -> Result<String, Error> {
    tag(host, "forward", &[&mailbox.to_ascii_lowercase(), &to.to_ascii_lowercase()])
}

/// The address for a copy of a forward that is sent now.
pub fn make(host: &impl Host, settings: &Settings, handle: &str) -> Result<String, Error> {
    let day = host.now() / DAY_MS;
    let tag = tag(host, "return", &[&day.to_string(), handle])?;
    Ok(format!("{PREFIX}{tag}={}={HOST}={handle}@{}", letters(day), settings.domain))
}

/// Reads the recipient of a report, or a reverse-path.
pub fn read(host: &impl Host, settings: &Settings, address: &str) -> Result<Reading, Error> {
    let Some((local, domain)) = address.rsplit_once('@') else { return Ok(Reading::Other) };
    let begins = local.get(..PREFIX.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(PREFIX));
    if !begins || !domain.eq_ignore_ascii_case(&settings.domain) {
        return Ok(Reading::Other);
    }
    let fields: Vec<&str> = local[PREFIX.len()..].split('=').collect();
    let [given, day, word, handle] = fields.as_slice() else { return Ok(Reading::Refused) };
    let handle = handle.to_ascii_lowercase();
    let sound = handle.len() == DIGITS && handle.bytes().all(|b| b.is_ascii_hexdigit());
    let Some(made) = made(day, host.now() / DAY_MS, settings.report_days.into()) else { return Ok(Reading::Refused) };
    let ours =
        sound && word.eq_ignore_ascii_case(HOST) && same(given, &tag(host, "return", &[&made.to_string(), &handle])?);
    Ok(if ours { Reading::Ours(handle) } else { Reading::Refused })
}

/// The day that two letters name, if it is one of the last so many or, for a clock that was ahead when the copy went,
/// tomorrow.
fn made(letters: &str, today: u64, days: u64) -> Option<u64> {
    let [high, low] = letters.as_bytes() else { return None };
    let letters = position(*high)? * LETTERS.len() as u64 + position(*low)?;
    let age = (today % ROUND + ROUND - letters) % ROUND;
    match age {
        age if age <= days => today.checked_sub(age),
        age if age == ROUND - 1 => Some(today + 1),
        _ => None,
    }
}

fn letters(day: u64) -> String {
    let day = (day % ROUND) as usize;
    [LETTERS[day / 32], LETTERS[day % 32]].iter().map(|letter| char::from(*letter)).collect()
}

fn position(letter: u8) -> Option<u64> {
    LETTERS.iter().position(|known| known.eq_ignore_ascii_case(&letter)).map(|at| at as u64)
}
