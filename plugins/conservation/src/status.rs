//! How the deposits stand.

use serde_json::{Value, json};

use crate::daily;
use crate::exhibit::told_package;
use crate::host::{Failure, Host};
use crate::legal_time::LegalTime;
use crate::pack;
use crate::package::State;
use crate::settings::Settings;
use crate::space;
use crate::store;

/// Packages that an answer shows; more are counted.
const SHOWN_MAX: u32 = 100;

/// Of one mailbox, or of all.
pub fn status<H: Host>(host: &H, settings: &Settings, mailbox: Option<&str>) -> Result<Value, Failure> {
    let (mut queued, mut refused, mut expired, mut shown) = (0_u32, 0_u32, 0_u32, Vec::new());
    let open = store::open(host, mailbox, None, 1000)?;
    for name in &open {
        let id = name.rsplit_once('/').map_or(name.as_str(), |(_, id)| id);
        let Some(package) = store::package(host, id)? else { continue };
        match package.state {
            State::Refused => refused += 1,
            State::Expired => expired += 1,
            _ => queued += 1,
        }
        if shown.len() < SHOWN_MAX as usize {
            shown.push(told_package(host, &package)?);
        }
    }
    let stuck = store::all_stuck(host, mailbox, SHOWN_MAX)?;
    let stuck: Vec<Value> = stuck.iter().map(|(what, why)| json!({ "message": what, "why": why })).collect();
    let mut answer = json!({
        "queued": queued, "refused": refused, "expired": expired, "packages": shown, "cannot-be-packed": stuck,
        "next-run": LegalTime::of(host, daily::next(host, settings)?)?.iso(), "target": settings.target,
    });
    match mailbox {
        Some(mailbox) => {
            let on = pack::is_on(host, mailbox)?;
            answer["mailbox"] = json!(mailbox);
            answer["conservation"] = json!(on.err().unwrap_or_else(|| "on".into()));
            let before = pack::cutoff(host, settings, mailbox, pack::Age::Settings)?;
            let space = space::of(host, settings, mailbox)?;
            answer["deposited-octets"] = json!(space.deposited);
            answer["size-gb"] = json!(space.size);
            answer["extend-by-gb"] = json!((space.extend_by > 0).then_some(space.extend_by));
            answer["moves-what-was-kept-before"] = json!(LegalTime::of(host, before)?.iso());
        }
        None => {
            answer["last-log-file"] = json!(store::progress(host, "")?.after);
        }
    }
    Ok(answer)
}
