//! Where reports about a copy come back: an address that only this plugin can make and that says which forward it was.
//!
//! It has the form of SRS0, so that those who forward the copy again recognise it and may shorten it:
//! `SRS0=TAG=TT=forward=HANDLE@DOMAIN`. TAG is a tag over the rest, TT the day modulo 1,024 in two letters (the base32 of
//! SRS), HANDLE names the forward in the state. The sender of the message does not stand in it: reports never go there, and
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
    let day = letters(host.now() / DAY_MS);
    let tag = tag(host, "return", &[&day, handle])?;
    Ok(format!("{PREFIX}{tag}={day}={HOST}={handle}@{}", settings.domain))
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
    let (day, handle) = (day.to_ascii_uppercase(), handle.to_ascii_lowercase());
    let sound = handle.len() == DIGITS && handle.bytes().all(|b| b.is_ascii_hexdigit());
    if !sound || !word.eq_ignore_ascii_case(HOST) || !same(given, &tag(host, "return", &[&day, &handle])?) {
        return Ok(Reading::Refused);
    }
    let made = day.bytes().fold(0, |sum, letter| sum * 32 + position(letter));
    let age = (host.now() / DAY_MS + ROUND - made) % ROUND;
    // A clock that was a day ahead when the copy went.
    let in_time = age <= u64::from(settings.report_days) || age == ROUND - 1;
    Ok(if in_time { Reading::Ours(handle) } else { Reading::Refused })
}

fn letters(day: u64) -> String {
    let day = (day % ROUND) as usize;
    [LETTERS[day / 32], LETTERS[day % 32]].iter().map(|letter| char::from(*letter)).collect()
}

/// Of what was tagged here: every letter is one of the alphabet.
fn position(letter: u8) -> u64 {
    LETTERS.iter().position(|known| *known == letter).unwrap_or_default() as u64
}
