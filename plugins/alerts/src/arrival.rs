//! Something was filed in a mailbox: it is counted, and a wake-up is asked for.

use crate::book::{self, is_allowed, keep_tally};
use crate::contact::Channel;
use crate::host::{Arrived, Error, Host};
use crate::mail;
use crate::settings::Settings;

/// What a message counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A certified message.
    Certified,
    /// A receipt or a notice.
    Receipt,
    /// Everything else, an anomaly envelope too.
    Ordinary,
}

/// By the fields that certified mail has (PEC §4.2); anybody can write them, and for a count that matters to nobody.
pub fn kind(arrived: &Arrived) -> Kind {
    let is = |field: &Option<String>, word: &str| field.as_deref().is_some_and(|value| value.trim() == word);
    match () {
        () if arrived.receipt.as_deref().is_some_and(|value| !value.trim().is_empty()) => Kind::Receipt,
        () if is(&arrived.transport, "posta-certificata") => Kind::Certified,
        () => Kind::Ordinary,
    }
}

/// Whether it is an alert, wherever it was passed on: to tell of it would tell for ever.
fn is_alert(host: &impl Host, arrived: &Arrived) -> Result<bool, Error> {
    arrived.message_id.as_deref().map_or(Ok(false), |id| mail::is_ours(host, id))
}

/// Runs the step.
pub fn run(host: &impl Host, settings: &Settings, arrived: &Arrived) -> Result<(), Error> {
    let mailbox = book::mailbox(&arrived.mailbox);
    if !is_allowed(host, &mailbox)? || is_alert(host, arrived)? {
        return Ok(());
    }
    let kept = book::read(host, &mailbox)?;
    let now = host.now();
    for channel in Channel::ALL {
        if kept.told(channel).next().is_none() {
            continue;
        }
        let mut tally = book::tally(host, channel, &mailbox)?;
        if tally.total() == 0 {
            tally.since = now;
        }
        match kind(arrived) {
            Kind::Certified => tally.certified += 1,
            Kind::Receipt => tally.receipts += 1,
            Kind::Ordinary => tally.ordinary += 1,
        }
        // One that is further away than a period was asked for before the clock was set back.
        let period = kept.period(channel, settings);
        if tally.due.is_none_or(|due| due > now.saturating_add(period)) {
            let due = kept.end_of_period(channel, settings, now);
            host.wake(&book::wake_up(channel, &mailbox), due)?;
            tally.due = Some(due);
        }
        keep_tally(host, channel, &mailbox, &tally)?;
    }
    Ok(())
}
