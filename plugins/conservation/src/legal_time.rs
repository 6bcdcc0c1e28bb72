//! Instants as the law of Italy counts them: days, and times of a day, of Europe/Rome.

use crate::host::{Failure, Host};

/// A day in milliseconds.
pub const DAY_MS: u64 = 24 * 3600 * 1000;

/// An instant with the legal time of Italy at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegalTime {
    /// Milliseconds since 1970, UTC.
    pub at: u64,
    /// Seconds east of UTC.
    pub offset: i32,
}

impl LegalTime {
    /// Of an instant.
    pub fn of(host: &impl Host, at: u64) -> Result<LegalTime, Failure> {
        let offset = host.legal_offset(at).map_err(|error| error.during("legal time"))?;
        Ok(LegalTime { at, offset })
    }

    fn local_ms(self) -> i64 {
        self.at as i64 + i64::from(self.offset) * 1000
    }

    /// Days since 1970 of the legal day.
    pub fn day_number(self) -> i64 {
        self.local_ms().div_euclid(DAY_MS as i64)
    }

    /// `YYYYMMDD` of the legal day.
    pub fn day(self) -> String {
        let (year, month, day) = civil(self.day_number());
        format!("{year:04}{month:02}{day:02}")
    }

    /// Minutes since the legal midnight.
    pub fn minute(self) -> u32 {
        (self.local_ms().rem_euclid(DAY_MS as i64) / 60_000) as u32
    }

    /// `2026-11-26T06:20:32.123+01:00` (ISO 8601).
    pub fn iso(self) -> String {
        let (year, month, day) = civil(self.day_number());
        let ms = self.local_ms().rem_euclid(DAY_MS as i64);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        let sign = if self.offset < 0 { '-' } else { '+' };
        let east = self.offset.abs() / 60;
        format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}{sign}{:02}:{:02}",
            ms % 1000,
            east / 60,
            east % 60
        )
    }
}

/// The instant at which a legal day has its `minute`-th minute; where a change of the clock leaves that minute out, the
/// minute after.
pub fn instant_of(host: &impl Host, day: i64, minute: u32) -> Result<u64, Failure> {
    let local = day * DAY_MS as i64 + i64::from(minute) * 60_000;
    let mut at = local.max(0) as u64;
    // The offset depends on the instant that is looked for: two rounds settle it but for the hour that is left out.
    for _ in 0..2 {
        let offset = LegalTime::of(host, at)?.offset;
        at = (local - i64::from(offset) * 1000).max(0) as u64;
    }
    Ok(at)
}

/// `YYYYMMDD` of `YYYY-MM-DD` or of itself; none of anything else.
pub fn parse_day(text: &str) -> Option<String> {
    let digits: String = match text.len() {
        8 => text.to_owned(),
        10 if text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-' => text.replace('-', ""),
        _ => return None,
    };
    let number: u32 = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let (month, day) = (number / 100 % 100, number % 100);
    ((1..=12).contains(&month) && (1..=31).contains(&day) && digits.len() == 8).then_some(digits)
}

/// Minutes of `HH:MM`.
pub fn parse_minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    let number = |part: &str| part.parse::<u32>().ok().filter(|_| digits(part));
    let (hour, minute) = (number(hour)?, number(minute)?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

/// Year, month and day of a count of days since 1970 in the Gregorian calendar: eras of 400 years that begin on the
/// 1st of March.
fn civil(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_of_year = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * month_of_year + 2) / 5 + 1) as u8;
    let month = if month_of_year < 10 { month_of_year + 3 } else { month_of_year - 9 } as u8;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_with_its_legal_time() {
        let time = LegalTime { at: 1_795_674_032_123, offset: 3600 };
        assert_eq!(time.iso(), "2026-11-26T07:20:32.123+01:00");
        assert_eq!((time.day().as_str(), time.minute()), ("20261126", 7 * 60 + 20));
        assert_eq!(LegalTime { at: 0, offset: 0 }.iso(), "1970-01-01T00:00:00.000+00:00");
        assert_eq!(LegalTime { at: 951_782_400_000, offset: 3600 }.day(), "20000229");
    }

    #[test]
    fn days_and_minutes_are_read() {
        assert_eq!(parse_day("2026-11-26").as_deref(), Some("20261126"));
        assert_eq!(parse_day("20261126").as_deref(), Some("20261126"));
        for wrong in ["", "2026-13-01", "2026-11-32", "26-11-2026", "2026/11/26", "2026112x", "+2026112"] {
            assert_eq!(parse_day(wrong), None, "{wrong}");
        }
        assert_eq!(parse_minute("02:30"), Some(150));
        for wrong in ["2:30", "24:00", "12:60", "noon", "12-30", "+1:30"] {
            assert_eq!(parse_minute(wrong), None, "{wrong}");
        }
    }
}
