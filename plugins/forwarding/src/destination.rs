//! Addresses that may get copies.

use crate::host::{Error, Host};
use crate::settings::Settings;

/// RFC 5321 §4.5.3.1.3, without the angle brackets.
const ADDRESS_MAX: usize = 254;
/// RFC 5321 §4.5.3.1.1.
const LOCAL_PART_MAX: usize = 64;

/// Local part and domain of a plain address: no quoted local parts, no literals. The server has checked the setting;
/// this one needs only what a copy can be sent to.
pub fn split(address: &str) -> Option<(&str, &str)> {
    let (local, domain) = address.rsplit_once('@')?;
    let atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    let atoms = local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atext));
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let sound = address.len() <= ADDRESS_MAX && local.len() <= LOCAL_PART_MAX && atoms;
    (sound && domain.contains('.') && domain.split('.').all(label)).then_some((local, domain))
}

/// The addresses that a mailbox has copies sent to, each once, the domain in lower case (the local part is for the other
/// side to read: RFC 5321 §2.4); those to which none may go are left out
/// with the reason. None if forwarding is not allowed (ADM-10) or nothing is chosen.
pub fn of(host: &impl Host, settings: &Settings, mailbox: &str) -> Result<Vec<Result<String, String>>, Error> {
    if host.setting(mailbox, "forwarding")?.as_deref() != Some("allowed") {
        return Ok(Vec::new());
    }
    let chosen = host.setting(mailbox, "forward-to")?.unwrap_or_default();
    let mut found: Vec<Result<String, String>> = Vec::new();
    for text in chosen.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let address = match split(text) {
            Some((local, domain)) => format!("{local}@{}", domain.to_ascii_lowercase()),
            None => text.to_owned(),
        };
        if found.iter().flatten().any(|other| other.eq_ignore_ascii_case(&address)) {
            continue;
        }
        found.push(match problem(host, settings, mailbox, &address)? {
            _ if found.iter().flatten().count() >= settings.addresses => {
                Err(format!("{address}: more than {} addresses", settings.addresses))
            }
            None => Ok(address),
            Some(problem) => Err(format!("{address}: {problem}")),
        });
    }
    Ok(found)
}

/// Why no copies go to an address, if there is a reason.
fn problem(host: &impl Host, settings: &Settings, mailbox: &str, address: &str) -> Result<Option<&'static str>, Error> {
    let Some((_, domain)) = split(address) else { return Ok(Some("is no address")) };
    if address.eq_ignore_ascii_case(mailbox) {
        return Ok(Some("is the mailbox itself"));
    }
    if domain.eq_ignore_ascii_case(&settings.domain) {
        return Ok(Some("is in the domain of forwards"));
    }
    // An ordinary message in a certified mailbox is an anomaly: copies go to ordinary mail (FWD-01).
    Ok(host.is_certified(domain)?.then_some("is a certified address, which takes no ordinary copies"))
}
