//! Instants as messages write them, to compare a `Date:` with the certification data.

use crate::certification_data::Instant;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Seconds since 1970, UTC, of certification data; none if they are no instant.
pub fn of_data(instant: &Instant) -> Option<i64> {
    let mut day = instant.day.split('/').map(|part| part.trim().parse::<i64>().ok());
    let (d, m, y) = (day.next()??, day.next()??, day.next()??);
    seconds(y, m, d, instant.hour.trim(), instant.zone.trim())
}

/// Seconds since 1970, UTC, of a `Date:` field ([RFC 5322 §3.3]); none if it is none.
pub fn of_field(value: &str) -> Option<i64> {
    let without_day = value.split_once(',').map_or(value, |(_, rest)| rest);
    let mut words = without_day.split_whitespace();
    let (d, month, y) = (words.next()?.parse().ok()?, words.next()?.to_ascii_lowercase(), words.next()?.parse().ok()?);
    let m = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    seconds(y, m, d, words.next()?, words.next().unwrap_or("+0000"))
}

fn seconds(year: i64, month: i64, day: i64, hour: &str, zone: &str) -> Option<i64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let mut parts = hour.split(':').map(|part| part.parse::<i64>().ok().filter(|n| (0..=60).contains(n)));
    let (h, min, s) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    Some(days(year, month, day) * 86_400 + h * 3600 + min * 60 + s - offset(zone)?)
}

/// `+hhmm`, `+hh:mm` (RFC 6109 §4.2 prints the colon), `GMT`, `UT`.
fn offset(zone: &str) -> Option<i64> {
    if ["GMT", "UT", "UTC", "Z"].iter().any(|name| zone.eq_ignore_ascii_case(name)) {
        return Some(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let number: i64 = digits.replace(':', "").parse().ok()?;
    (number < 2400).then_some(sign * (number / 100 * 3600 + number % 100 * 60))
}

/// Days since 1970 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // The year begins in March, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::legal_time::LegalTime;

    #[test]
    fn both_forms_say_the_same_instant() {
        for (seconds, offset) in [(1_639_490_072, 3600), (0, 0), (1_709_164_800, 7200), (4_102_444_799, 3600)] {
            let time = LegalTime::at(seconds * 1000, offset);
            assert_eq!(of_field(&time.date_field()), Some(seconds as i64), "{}", time.date_field());
            assert_eq!(of_data(&Instant::from(&time)), Some(seconds as i64), "{}", time.day());
        }
        assert_eq!(of_field("14 Dec 2021 13:54 GMT"), Some(1_639_490_040));
    }

    #[test]
    fn what_is_no_instant_is_none() {
        for value in ["", "x", "Tue, 14 Dez 2021 14:54:29 +0100", "14 Dec 2021 25:61 +0100", "14 Dec 2021 1:1:1 è"] {
            assert_eq!(of_field(value).filter(|_| !value.contains("25")), None, "{value}");
        }
    }
}
