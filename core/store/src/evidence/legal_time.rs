//! The Italian legal time: days of the log and names of its files. Records themselves are in UTC.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::Millis;

/// The zone of the legal time (PEC §4.1 has times of the day with its offset).
const ZONE: &str = "Europe/Rome";

fn zone() -> TimeZone {
    // The data of the zone is built in, so that it is always found.
    TimeZone::get(ZONE).unwrap_or(TimeZone::UTC)
}

fn zoned(at: Millis) -> Zoned {
    let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    at.unwrap_or(Timestamp::MAX).to_zoned(zone())
}

fn millis(at: &Zoned) -> Millis {
    at.timestamp().as_millisecond().try_into().unwrap_or(0)
}

/// The legal day of an instant: its first millisecond and the one behind its last. It has 23, 24 or 25 hours.
pub fn day(at: Millis) -> (Millis, Millis) {
    let at = zoned(at);
    let begin = at.start_of_day().unwrap_or_else(|_| at.clone());
    // The last day that there is (in the year 9999) has no other behind it.
    let end = begin.date().checked_add(1.day()).ok().and_then(|day| day.to_zoned(zone()).ok());
    (millis(&begin), end.map_or(Millis::MAX, |end| millis(&end)))
}

/// `2026/11`: the legal month of an instant, for names of folders.
pub fn month(at: Millis) -> String {
    zoned(at).strftime("%Y/%m").to_string()
}

/// `20261126T000000+0100`: ISO 8601 in its basic form, to the second, for names of files.
pub fn compact(at: Millis) -> String {
    zoned(at).strftime("%Y%m%dT%H%M%S%z").to_string()
}

/// `2026-11-26 00:00:00.000 +0100`: for people.
pub fn readable(at: Millis) -> String {
    zoned(at).strftime("%Y-%m-%d %H:%M:%S%.3f %z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        text.parse::<Timestamp>().unwrap().as_millisecond() as Millis
    }

    /// Attack S9: the days on which the clocks change have 23 and 25 hours.
    #[test]
    fn legal_days_begin_at_midnight_in_rome() {
        assert_eq!(day(at("2026-11-26T12:00:00Z")), (at("2026-11-25T23:00:00Z"), at("2026-11-26T23:00:00Z")));
        assert_eq!(day(at("2026-03-29T12:00:00Z")), (at("2026-03-28T23:00:00Z"), at("2026-03-29T22:00:00Z")));
        assert_eq!(day(at("2026-10-25T12:00:00Z")), (at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z")));
        assert_eq!(day(at("2026-10-24T22:00:00Z")).0, at("2026-10-24T22:00:00Z"));
        assert_eq!(day(at("2026-10-24T21:59:59.999Z")).1, at("2026-10-24T22:00:00Z"));
    }

    /// Attack S9: the hour that comes twice is told apart by its offset; the ends of time do not break anything.
    #[test]
    fn names_tell_the_hour_that_comes_twice_apart() {
        assert_eq!(compact(at("2026-10-25T00:30:00Z")), "20261025T023000+0200");
        assert_eq!(compact(at("2026-10-25T01:30:00Z")), "20261025T023000+0100");
        assert_eq!(compact(at("2026-11-25T23:00:00Z")), "20261126T000000+0100");
        assert_eq!(readable(at("2038-01-19T03:14:08.5Z")), "2038-01-19 04:14:08.500 +0100");
        for at in [0, Millis::MAX, i64::MAX as Millis, 253_402_207_200_000] {
            let (begin, end) = day(at);
            assert!(begin < end, "{at}: {begin} {end}");
            assert!(!compact(at).is_empty());
        }
    }
}
