//! How much of a mailbox lies in the preservation system, against what its offer has (QUO-10): 5 or 10 GB, and more in
//! steps of 5. What is beyond is deposited all the same, because the law asks for it: the operator is told, once a step, so
//! that the contract is extended.

use crate::host::{Failure, Host, Level};
use crate::pack;
use crate::package::Package;
use crate::settings::Settings;
use crate::store::{self, Deposited};

/// The setting of a mailbox: gigabytes.
pub const SETTING: &str = "conservation-size";
/// Gigabytes of one extension (QUO-10).
pub const STEP: u64 = 5;

/// How a mailbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Octets of its confirmed packages, since the plugin counts them.
    pub deposited: u64,
    /// Gigabytes that its offer has; none: without limit.
    pub size: Option<u64>,
    /// Gigabytes by which that should be extended.
    pub extend_by: u64,
}

/// How a mailbox stands.
pub fn of<H: Host>(host: &H, settings: &Settings, mailbox: &str) -> Result<Space, Failure> {
    let deposited = store::deposited(host, mailbox)?.octets;
    let chosen = host.setting(mailbox, SETTING).map_err(|error| error.during("settings"))?;
    let size = chosen.and_then(|text| text.parse().ok());
    Ok(Space { deposited, size, extend_by: size.map_or(0, |size| missing(deposited, size, settings.gigabyte)) })
}

/// A package of a mailbox was confirmed.
pub fn grown<H: Host>(host: &H, settings: &Settings, package: &Package) -> Result<(), Failure> {
    let mailbox = &package.mailbox;
    let mut kept = store::deposited(host, mailbox)?;
    kept.octets = kept.octets.saturating_add(package.size);
    store::set_deposited(host, mailbox, &kept)?;
    let space = of(host, settings, mailbox)?;
    let Some(size) = space.size else { return Ok(()) };
    let wanted = size + space.extend_by;
    if space.extend_by == 0 || wanted <= kept.told {
        return Ok(());
    }
    store::set_deposited(host, mailbox, &Deposited { told: wanted, ..kept })?;
    let words = format!(
        "{mailbox} has {} octets in the preservation system and an offer of {size} GB; it is deposited all the same: \
         extend it to {wanted} GB",
        space.deposited
    );
    host.log(Level::Warn, &words);
    let details = vec![
        ("octets", space.deposited.to_string()),
        ("size-gb", size.to_string()),
        ("extend-to-gb", wanted.to_string()),
    ];
    pack::record(host, "conservation-over-size", package, details)
}

/// Whole steps that are missing, gigabytes.
fn missing(octets: u64, size: u64, gigabyte: u64) -> u64 {
    let beyond = octets.saturating_sub(size.saturating_mul(gigabyte));
    beyond.div_ceil(STEP.saturating_mul(gigabyte)).saturating_mul(STEP)
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn quo_10_what_is_missing_is_whole_steps_of_five() {
        let gb = 1 << 30;
        for (octets, size, wanted) in [
            (0, 5, 0),
            (5 * gb, 5, 0),
            (5 * gb + 1, 5, 5),
            (10 * gb, 5, 5),
            (10 * gb + 1, 5, 10),
            (u64::MAX, 10, 17_179_869_175),
        ] {
            assert_eq!(missing(octets, size, gb), wanted, "{octets} of {size} GB");
        }
    }
}
