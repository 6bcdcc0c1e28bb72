//! The keys of the plugin's state. Every value is bounded: what may be long is on pages.
//!
//! | key | value |
//! |---|---|
//! | `pkg/ID` | a [`Package`] |
//! | `ix/ID/NNNN` | a page of its [`Entry`]s |
//! | `rdv/ID/NNNN` | a page of the receipt, as it came |
//! | `open/MAILBOX/ID` | nothing: it is not confirmed; MAILBOX is `-` for logs |
//! | `by/MAILBOX/ID` | nothing: whose it is |
//! | `box/MAILBOX` | [`Progress`]: how far a mailbox, or the log (`-`), is packed |
//! | `stuck/MAILBOX/ITEM` | why a message cannot be packed; MAILBOX is `-` for log files |
//! | `size/MAILBOX` | [`Deposited`]: how much of it lies in the preservation system |
//! | `run` | the legal day of the last daily run |

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::host::{Failure, Host};
use crate::package::{Package, State};

/// Octets of one page: a value of the state has 65,536.
const PAGE_MAX: usize = 60_000;
/// Days of what must not be forgotten before something ends it: two centuries.
pub const FOR_EVER: u32 = 73_050;

/// How far something is packed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// The last item that is in a package, or that cannot be.
    #[serde(default)]
    pub after: Option<String>,
}

fn read<T: DeserializeOwned>(host: &impl Host, key: &str) -> Result<Option<T>, Failure> {
    let value = host.get(key).map_err(|error| error.during("state"))?;
    let Some(value) = value else { return Ok(None) };
    serde_json::from_slice(&value).map(Some).map_err(|error| Failure::Permanent(format!("state '{key}': {error}")))
}

fn write<T: Serialize>(host: &impl Host, key: &str, value: &T, days: u32) -> Result<(), Failure> {
    let value = serde_json::to_vec(value).map_err(|error| Failure::Permanent(format!("state '{key}': {error}")))?;
    host.set(key, &value, days).map_err(|error| error.during("state"))
}

fn owner(mailbox: &str) -> &str {
    if mailbox.is_empty() { "-" } else { mailbox }
}

/// A package by its id.
pub fn package(host: &impl Host, id: &str) -> Result<Option<Package>, Failure> {
    read(host, &format!("pkg/{id}"))
}

/// Remembers a package, and whether it is open.
pub fn put(host: &impl Host, package: &Package, keep_days: u32) -> Result<(), Failure> {
    let days = if package.state == State::Confirmed { keep_days } else { FOR_EVER };
    write(host, &format!("pkg/{}", package.id), package, days)?;
    let (open, by) = (open_key(&package.mailbox, &package.id), by_key(&package.mailbox, &package.id));
    if package.state == State::Confirmed {
        host.delete(&open).map_err(|error| error.during("state"))?;
    } else {
        host.set(&open, b"1", FOR_EVER).map_err(|error| error.during("state"))?;
    }
    host.set(&by, b"1", days).map_err(|error| error.during("state"))
}

fn open_key(mailbox: &str, id: &str) -> String {
    format!("open/{}/{id}", owner(mailbox))
}

fn by_key(mailbox: &str, id: &str) -> String {
    format!("by/{}/{id}", owner(mailbox))
}

/// Ids of packages that are not confirmed, of one mailbox or log (`Some("")`), or all with their mailbox before them.
pub fn open(host: &impl Host, mailbox: Option<&str>, after: Option<&str>, limit: u32) -> Result<Vec<String>, Failure> {
    keys(host, "open/", mailbox, after, limit)
}

/// Ids of all packages of a mailbox or of the logs (`""`), in the order of their days.
pub fn packages(host: &impl Host, mailbox: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Failure> {
    keys(host, "by/", Some(mailbox), after, limit)
}

fn keys(
    host: &impl Host,
    kind: &str,
    mailbox: Option<&str>,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<String>, Failure> {
    let prefix = mailbox.map_or(kind.to_owned(), |mailbox| format!("{kind}{}/", owner(mailbox)));
    let after = after.map(|after| format!("{prefix}{after}"));
    let found = host.scan(&prefix, after.as_deref(), limit).map_err(|error| error.during("state"))?;
    Ok(found.iter().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect())
}

/// Writes the entries of a package on pages; returns how many.
pub fn put_entries(host: &impl Host, id: &str, entries: &[Entry], days: u32) -> Result<u32, Failure> {
    let mut pages: Vec<Vec<&Entry>> = Vec::new();
    let mut room = 0;
    for entry in entries {
        let size = serde_json::to_vec(entry).map_or(PAGE_MAX, |text| text.len() + 1);
        if size > room {
            pages.push(Vec::new());
            room = PAGE_MAX;
        }
        room = room.saturating_sub(size);
        if let Some(page) = pages.last_mut() {
            page.push(entry);
        }
    }
    for (number, page) in pages.iter().enumerate() {
        write(host, &format!("ix/{id}/{number:04}"), page, days)?;
    }
    Ok(pages.len() as u32)
}

/// A page of the entries of a package.
pub fn page(host: &impl Host, id: &str, number: u32) -> Result<Vec<Entry>, Failure> {
    let key = format!("ix/{id}/{number:04}");
    read(host, &key)?.ok_or_else(|| Failure::Permanent(format!("state: '{key}' is gone")))
}

/// All entries of a package.
pub fn entries(host: &impl Host, package: &Package) -> Result<Vec<Entry>, Failure> {
    let mut all = Vec::new();
    for number in 0..package.pages {
        all.extend(page(host, &package.id, number)?);
    }
    Ok(all)
}

/// Keeps what a target answered; returns on how many pages.
pub fn put_receipt(host: &impl Host, id: &str, body: &[u8], days: u32) -> Result<u32, Failure> {
    for (number, page) in body.chunks(PAGE_MAX).enumerate() {
        host.set(&format!("rdv/{id}/{number:04}"), page, days).map_err(|error| error.during("state"))?;
    }
    Ok(body.len().div_ceil(PAGE_MAX) as u32)
}

/// What a target answered.
pub fn receipt(host: &impl Host, package: &Package) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    for number in 0..package.receipt_pages {
        let page = host.get(&format!("rdv/{}/{number:04}", package.id)).map_err(|error| error.during("state"))?;
        body.extend(page.unwrap_or_default());
    }
    Ok(body)
}

/// How far a mailbox is packed; `""` are the logs.
pub fn progress(host: &impl Host, mailbox: &str) -> Result<Progress, Failure> {
    Ok(read(host, &format!("box/{}", owner(mailbox)))?.unwrap_or_default())
}

/// Remembers it. It is also what two steps that pack the same mailbox at once meet at: one of them runs anew.
pub fn set_progress(host: &impl Host, mailbox: &str, progress: &Progress) -> Result<(), Failure> {
    write(host, &format!("box/{}", owner(mailbox)), progress, FOR_EVER)
}

/// A package of which nothing is left to deposit waits for nothing any more. Its name stays known: the outbox knows the
/// keys that were made of it, and would take another package under them for the same request.
pub fn give_up(host: &impl Host, package: &Package, keep_days: u32) -> Result<(), Failure> {
    let (mailbox, id) = (&package.mailbox, &package.id);
    let given_up = Package { pages: 0, receipt_pages: 0, count: 0, ..package.clone() };
    write(host, &format!("pkg/{id}"), &given_up, keep_days)?;
    let mut keys = vec![open_key(mailbox, id), by_key(mailbox, id)];
    keys.extend((0..package.pages).map(|number| format!("ix/{id}/{number:04}")));
    keys.extend((0..package.receipt_pages).map(|number| format!("rdv/{id}/{number:04}")));
    keys.iter().try_for_each(|key| host.delete(key).map_err(|error| error.during("state")))
}

/// Notes that a message cannot be packed; whether that is news.
pub fn stuck(host: &impl Host, mailbox: &str, item: &str, why: &str) -> Result<bool, Failure> {
    let key = format!("stuck/{}/{item}", owner(mailbox));
    let known = host.get(&key).map_err(|error| error.during("state"))?.is_some();
    if !known {
        host.set(&key, why.as_bytes(), FOR_EVER).map_err(|error| error.during("state"))?;
    }
    Ok(!known)
}

/// Of the messages behind `after`, up to `last` (or all), only `still` cannot be packed: the others were mended, or have
/// left the archive.
pub fn unstick(
    host: &impl Host,
    mailbox: &str,
    after: Option<&str>,
    last: Option<&str>,
    still: &[String],
) -> Result<(), Failure> {
    let prefix = format!("stuck/{}/", owner(mailbox));
    let behind = after.map(|after| format!("{prefix}{after}"));
    for key in host.scan(&prefix, behind.as_deref(), 1000).map_err(|error| error.during("state"))? {
        let item = key.strip_prefix(&prefix).unwrap_or(&key);
        if last.is_none_or(|last| item <= last) && !still.iter().any(|id| id == item) {
            host.delete(&key).map_err(|error| error.during("state"))?;
        }
    }
    Ok(())
}

/// Messages of a mailbox, or of all with the mailbox before them, that cannot be packed, with the reasons.
pub fn all_stuck(host: &impl Host, mailbox: Option<&str>, limit: u32) -> Result<Vec<(String, String)>, Failure> {
    let prefix = mailbox.map_or("stuck/".to_owned(), |mailbox| format!("stuck/{mailbox}/"));
    let keys = host.scan(&prefix, None, limit).map_err(|error| error.during("state"))?;
    let mut found = Vec::new();
    for key in keys {
        let why = host.get(&key).map_err(|error| error.during("state"))?.unwrap_or_default();
        let name = key.strip_prefix(&prefix).unwrap_or(&key).to_owned();
        found.push((name, String::from_utf8_lossy(&why).into_owned()));
    }
    Ok(found)
}

/// How much of a mailbox was deposited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Deposited {
    /// Octets of confirmed packages.
    pub octets: u64,
    /// Gigabytes to which the operator was last told to extend the offer.
    #[serde(default)]
    pub told: u64,
}

/// How much of a mailbox was deposited.
pub fn deposited(host: &impl Host, mailbox: &str) -> Result<Deposited, Failure> {
    Ok(read(host, &format!("size/{mailbox}"))?.unwrap_or_default())
}

/// Remembers it.
pub fn set_deposited(host: &impl Host, mailbox: &str, deposited: &Deposited) -> Result<(), Failure> {
    write(host, &format!("size/{mailbox}"), deposited, FOR_EVER)
}

/// The legal day of the last daily run.
pub fn last_run(host: &impl Host) -> Result<Option<i64>, Failure> {
    read(host, "run")
}

/// Remembers it.
pub fn set_last_run(host: &impl Host, day: i64) -> Result<(), Failure> {
    write(host, "run", &day, FOR_EVER)
}
