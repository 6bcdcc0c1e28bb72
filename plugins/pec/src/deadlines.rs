//! The deadlines of a certified message ([PEC §3.1.6]): the sender is told when nothing was heard of a recipient.
//!
//! Each acceptance asks for two wake-ups, one for each deadline, in its own commit. A wake-up looks at what is known of
//! each certified recipient and follows the table below. What it did is noted in its commit, so however often and
//! however late it comes, no notice is issued twice and none after a final receipt.

use crate::address;
use crate::certification_data::{CertificationData, CertificationKind, ErrorKind, RecipientKind};
use crate::dispatch::{self, Accepted, Dispatch};
use crate::evidence::{Event, Kind};
use crate::host::{Failure, Level};
use crate::receipt::Receipt;
use crate::settings::{Deadlines, TimeoutError};
use crate::step::Step;
use crate::text::{self, Text};

/// Recipients that one wake-up looks at: well under what a step may read, write and sign.
const RECIPIENTS_PER_WAKE: usize = 500;
/// Octets of notices that one wake-up issues; each repeats the whole list of recipients. A step may write 16 MiB.
const NOTICES_PER_WAKE: usize = 4 * 1024 * 1024;
/// RFC 3463 §3.5, no answer from the host, and it may still come. Not 5.4.1: readers take that for the end.
const WARNING: &str = "4.4.1";
/// RFC 3463 §3.5, no answer from the host; the code that providers use at the last deadline.
const GIVEN_UP: &str = "5.4.1";

/// Which deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// 12 hours without a take-charge receipt.
    TakeCharge,
    /// Before 24 hours without a final receipt.
    Delivery,
}

impl Deadline {
    /// Both.
    pub const ALL: [Deadline; 2] = [Deadline::TakeCharge, Deadline::Delivery];

    /// The word in the key of the wake-up.
    pub fn word(self) -> &'static str {
        match self {
            Deadline::TakeCharge => "take-charge",
            Deadline::Delivery => "delivery",
        }
    }

    /// When it passes for a message that was accepted at `accepted`, both milliseconds since 1970.
    pub fn instant(self, accepted: u64, settings: &Deadlines) -> u64 {
        let hours = match self {
            Deadline::TakeCharge => settings.take_charge_hours,
            Deadline::Delivery => settings.delivery_hours,
        };
        accepted.saturating_add(hours_in_ms(hours))
    }
}

/// What a deadline does for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// The notice that the message may not arrive.
    Warn,
    /// The notice that it counts as not delivered.
    GiveUp,
}

/// A condition of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Yes,
    No,
    Any,
}

struct Row {
    deadline: Deadline,
    end: When,
    given_up: When,
    taken: When,
    warned: When,
    act: Act,
}

const fn row(deadline: Deadline, [end, given_up, taken, warned]: [When; 4], act: Act) -> Row {
    Row { deadline, end, given_up, taken, warned, act }
}

use When::{Any, No, Yes};

/// The first row that fits decides. A first deadline that is looked at only when the last one has passed too (the
/// server was away) has no row of its own: see [`due`].
#[rustfmt::skip]
const TABLE: [Row; 8] = [
    //                        final given-up taken warned
    row(Deadline::TakeCharge, [Yes, Any,     Any,  Any], Act::Nothing), // it is settled
    row(Deadline::TakeCharge, [No,  Yes,     Any,  Any], Act::Nothing), // the last word was said
    row(Deadline::TakeCharge, [No,  No,      Yes,  Any], Act::Nothing), // only the last deadline matters
    row(Deadline::TakeCharge, [No,  No,      No,   Yes], Act::Nothing), // once
    row(Deadline::TakeCharge, [No,  No,      No,   No ], Act::Warn),
    row(Deadline::Delivery,   [Yes, Any,     Any,  Any], Act::Nothing), // it is settled
    row(Deadline::Delivery,   [No,  Yes,     Any,  Any], Act::Nothing), // once
    row(Deadline::Delivery,   [No,  No,      Any,  Any], Act::GiveUp),
];

/// What a deadline does for a recipient of whom this is known.
pub fn act(deadline: Deadline, known: &Dispatch) -> Act {
    let fits = |when: When, holds: bool| match when {
        Yes => holds,
        No => !holds,
        Any => true,
    };
    let row = TABLE.iter().find(|row| {
        row.deadline == deadline
            && fits(row.end, known.end.is_some())
            && fits(row.given_up, known.given_up)
            && fits(row.taken, known.taken)
            && fits(row.warned, known.warned)
    });
    // The table covers every case; a mistake in it must not send notices.
    row.map_or(Act::Nothing, |row| row.act)
}

/// Asks for both wake-ups of a message that is accepted now.
pub(crate) fn set(step: &Step, identifier: &str) -> Result<(), Failure> {
    for deadline in Deadline::ALL {
        let wake = Wake { deadline, identifier: identifier.to_owned(), from: 0, at: 0, given_up: 0 };
        wake.ask(step, deadline.instant(step.host.now(), &step.settings.deadlines))?;
    }
    Ok(())
}

/// Forgets both.
pub(crate) fn cancel(step: &Step, identifier: &str) -> Result<(), Failure> {
    Deadline::ALL.into_iter().try_for_each(|deadline| {
        step.host.cancel_timer(&key(deadline, identifier)).map_err(|error| error.during("deadline"))
    })
}

/// The `timer` stage: a deadline has passed.
pub fn run(step: &Step, key: &str, payload: &[u8]) -> Result<(), Failure> {
    let wake = Wake::read(key, payload)
        .ok_or_else(|| Failure::Permanent(format!("a wake-up that this plugin did not ask for: {key}")))?;
    let Some(accepted) = dispatch::accepted(step, &wake.identifier)? else {
        step.host.log(Level::Error, &format!("deadline of {}: its record is gone, no notice is due", wake.identifier));
        return Ok(());
    };
    let Some(data) = dispatch::envelope_data(step, &wake.identifier, &accepted)? else { return Ok(()) };
    // A clock that was put back: not yet.
    let instant = wake.deadline.instant(accepted.at, &step.settings.deadlines);
    if step.host.now() < instant {
        return wake.ask(step, instant);
    }
    match due(step, wake.deadline, &accepted) {
        true => Round { step, data: &data, accepted, wake }.run(),
        false => Ok(()),
    }
}

/// A first notice promises a second one; where the time of the second has come too, because the server was away, the
/// first would say what is no longer true, and only the second is issued.
fn due(step: &Step, deadline: Deadline, accepted: &Accepted) -> bool {
    let last = Deadline::Delivery.instant(accepted.at, &step.settings.deadlines);
    deadline == Deadline::Delivery || step.host.now() < last
}

/// A wake-up as it was asked for.
struct Wake {
    deadline: Deadline,
    identifier: String,
    /// How many certified recipients were looked at before.
    from: usize,
    /// The instant that it was asked for after that, or 0.
    at: u64,
    /// How many of them were given up.
    given_up: usize,
}

fn key(deadline: Deadline, identifier: &str) -> String {
    format!("deadline/{}/{}", deadline.word(), identifier.to_ascii_lowercase())
}

impl Wake {
    fn read(key: &str, payload: &[u8]) -> Option<Wake> {
        let (word, identifier) = key.strip_prefix("deadline/")?.split_once('/')?;
        let deadline = Deadline::ALL.into_iter().find(|deadline| deadline.word() == word)?;
        let words: Vec<&str> = std::str::from_utf8(payload).ok()?.split(' ').collect();
        let [from, at, given_up] = words.as_slice() else { return None };
        let (from, at, given_up) = (from.parse().ok()?, at.parse().ok()?, given_up.parse().ok()?);
        Some(Wake { deadline, identifier: identifier.to_owned(), from, at, given_up })
    }

    fn ask(&self, step: &Step, at: u64) -> Result<(), Failure> {
        let payload = format!("{} {} {}", self.from, self.at, self.given_up);
        step.host
            .set_timer(&key(self.deadline, &self.identifier), at, payload.as_bytes())
            .map_err(|error| error.during("deadline"))
    }
}

/// One wake-up's share of the recipients.
struct Round<'a> {
    step: &'a Step<'a>,
    data: &'a CertificationData,
    accepted: Accepted,
    wake: Wake,
}

impl Round<'_> {
    fn run(self) -> Result<(), Failure> {
        let certified = self.data.recipients.iter().filter(|r| r.kind == RecipientKind::Certified);
        let (mut looked_at, mut octets, mut more) = (self.wake.from, 0, false);
        let mut given_up = self.wake.given_up;
        for recipient in certified.skip(self.wake.from) {
            if looked_at - self.wake.from >= RECIPIENTS_PER_WAKE || octets >= NOTICES_PER_WAKE {
                more = true;
                break;
            }
            looked_at += 1;
            let known = dispatch::of(self.step, &self.data.identifier, &recipient.address)?;
            let act = act(self.wake.deadline, &known);
            given_up += usize::from(act == Act::GiveUp || known.given_up);
            if act != Act::Nothing {
                octets += self.notify(act, &recipient.address)?;
            }
        }
        match (more, self.wake.deadline) {
            (true, _) => self.ask_again(looked_at, given_up),
            (false, Deadline::TakeCharge) => Ok(()),
            (false, Deadline::Delivery) if given_up == 0 => {
                dispatch::forget(self.step, &self.data.identifier, self.accepted)
            }
            // No deadline is left; what still comes of those that were given up is checked against the data.
            (false, Deadline::Delivery) => Ok(()),
        }
    }

    /// At once, and at another instant than ever before: the server derives names from it.
    fn ask_again(self, from: usize, given_up: usize) -> Result<(), Failure> {
        let at = self.step.host.now().max(self.wake.at) + 1;
        Wake { from, at, given_up, ..self.wake }.ask(self.step, at)
    }

    fn notify(&self, act: Act, recipient: &str) -> Result<usize, Failure> {
        let notice = notice(self.step, self.data, act, recipient)?;
        notice.submit(self.step)?;
        dispatch::note(self.step, &self.data.identifier, recipient, |known| match act {
            Act::Warn => known.warned = true,
            Act::GiveUp => known.given_up = true,
            Act::Nothing => {}
        })?;
        let end = self.accepted.at.saturating_add(hours_in_ms(self.step.settings.deadlines.end_hours));
        let late = act == Act::GiveUp && self.step.host.now() > end;
        Event::certified(if act == Act::Warn { Kind::TimeoutWarning } else { Kind::Timeout }, notice.data())
            .concerning(&[recipient.to_owned()])
            .made(&notice)
            .detail("error", notice.data().extended_error.as_deref().unwrap_or_default())
            .detail("late", if late { "the server was away at the deadline" } else { "" })
            .append(self.step)?;
        Ok(notice.content().own_octets())
    }
}

/// PEC §3.1.6: to the sender of the original, about one recipient, without the original.
fn notice(step: &Step, envelope: &CertificationData, act: Act, recipient: &str) -> Result<Receipt, Failure> {
    let deadlines = &step.settings.deadlines;
    let mut data = envelope.for_event(CertificationKind::Timeout, &step.settings.provider_name, &step.time);
    let (code, hours, text): (_, _, fn(&CertificationData, &str, &Deadlines) -> Text) = match act {
        Act::Warn => (WARNING, deadlines.take_charge_hours, text::timeout_warning),
        _ => (GIVEN_UP, deadlines.end_hours, text::timeout),
    };
    data.error = match step.settings.timeout_error {
        TimeoutError::Altro => ErrorKind::Other,
        TimeoutError::Nessuno => ErrorKind::None,
    };
    data.delivery = Some(recipient.to_owned());
    let words = format!("il messaggio non è stato consegnato nelle prime {} ore dal suo invio", text::hours(hours));
    data.extended_error = Some(format!("{code} - {} - {words}", step.settings.provider_name));
    if !address::is_address(&data.sender) {
        return Err(Failure::Permanent(format!("state: {} has no sender", data.identifier)));
    }
    let text = text(&data, recipient, deadlines);
    Receipt::compose(step, data, &envelope.sender, text, None)
}

fn hours_in_ms(hours: u32) -> u64 {
    u64::from(hours) * 3_600_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::End;

    /// Every combination, against the rules in words.
    #[test]
    fn the_table_says_what_the_rules_say() {
        for bits in 0..8u8 {
            for end in [None, Some(End::Delivered), Some(End::NotDelivered)] {
                let [taken, warned, given_up] = [0, 1, 2].map(|bit| bits >> bit & 1 == 1);
                let known = Dispatch { taken, end, warned, given_up };
                let silent = end.is_none() && !given_up;
                let at_first = if silent && !taken && !warned { Act::Warn } else { Act::Nothing };
                let at_last = if silent { Act::GiveUp } else { Act::Nothing };
                assert_eq!(act(Deadline::TakeCharge, &known), at_first, "{known:?}");
                assert_eq!(act(Deadline::Delivery, &known), at_last, "{known:?}");
            }
        }
    }

    #[test]
    fn every_row_decides_something() {
        let mut reached = std::collections::BTreeSet::new();
        for (index, row) in TABLE.iter().enumerate() {
            let yes = |when: When| when == Yes;
            let known = Dispatch {
                taken: yes(row.taken),
                end: yes(row.end).then_some(End::Delivered),
                warned: yes(row.warned),
                given_up: yes(row.given_up),
            };
            assert_eq!(act(row.deadline, &known), row.act, "row {index}");
            reached.insert(index);
        }
        assert_eq!(reached.len(), TABLE.len());
    }

    #[test]
    fn a_wake_up_is_read_as_it_was_written() {
        let wake = Wake::read("deadline/delivery/a/b@c", b"500 7 3").unwrap();
        assert_eq!((wake.deadline, wake.identifier.as_str()), (Deadline::Delivery, "a/b@c"));
        assert_eq!((wake.from, wake.at, wake.given_up), (500, 7, 3));
        for (key, payload) in [
            ("deadline/x/y", "0 0 0"),
            ("other", "0 0 0"),
            ("deadline/delivery/y", "0 0"),
            ("deadline/delivery/y", "x 0 0"),
        ] {
            assert!(Wake::read(key, payload.as_bytes()).is_none(), "{key}");
        }
    }
}
