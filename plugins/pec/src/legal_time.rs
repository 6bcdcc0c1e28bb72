//! The instant of a step in legal time, as every message of the step writes it ([PEC §4.1], [§4.2]).

/// Legal time is that of Italy.
pub const ZONE: &str = "Europe/Rome";

/// One instant: the same in `Date:`, in the text and in the certification data (PEC §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegalTime {
    year: i64,
    month: u8,
    day: u8,
    weekday: u8,
    seconds: u32,
    offset: i32,
}

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: i64 = 86_400;

impl LegalTime {
    /// The instant (milliseconds since 1970, UTC) at `offset` seconds from UTC.
    pub fn at(milliseconds: u64, offset: i32) -> LegalTime {
        let local = (milliseconds / 1000).min(i64::MAX as u64 / 4) as i64 + i64::from(offset);
        let days = local.div_euclid(DAY);
        let (year, month, day) = civil(days);
        // 1970-01-01 was a Thursday.
        let weekday = (days + 4).rem_euclid(7) as u8;
        LegalTime { year, month, day, weekday, seconds: local.rem_euclid(DAY) as u32, offset }
    }

    /// `dd/mm/yyyy`.
    pub fn day(&self) -> String {
        format!("{:02}/{:02}/{:04}", self.day, self.month, self.year)
    }

    /// `hh:mm:ss`.
    pub fn hour(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.seconds / 3600, self.seconds / 60 % 60, self.seconds % 60)
    }

    /// `+hhmm`: the form of real messages, in text and in XML; RFC 6109 §4.2 prints a colon that nobody writes.
    pub fn zone(&self) -> String {
        let minutes = self.offset.abs() / 60;
        format!("{}{:02}{:02}", if self.offset < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
    }

    /// The value of a `Date:` field ([RFC 5322 §3.3]).
    pub fn date_field(&self) -> String {
        let weekday = WEEKDAYS[usize::from(self.weekday)];
        let month = MONTHS[usize::from(self.month - 1)];
        format!("{weekday}, {} {month} {:04} {} {}", self.day, self.year, self.hour(), self.zone())
    }
}

/// Year, month and day of a count of days since 1970 in the Gregorian calendar: eras of 400 years that begin on the
/// first of March, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * shifted_month + 2) / 5 + 1) as u8;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u8;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_an_instant_the_same_way_everywhere() {
        // 2021-12-14 13:54:32 UTC, winter: the instant of a real non-delivery notice.
        let time = LegalTime::at(1_639_490_072_000, 3600);
        assert_eq!(time.day(), "14/12/2021");
        assert_eq!(time.hour(), "14:54:32");
        assert_eq!(time.zone(), "+0100");
        assert_eq!(time.date_field(), "Tue, 14 Dec 2021 14:54:32 +0100");
    }

    #[test]
    fn knows_leap_days_year_ends_and_summer() {
        assert_eq!(LegalTime::at(1_709_164_800_000, 3600).day(), "29/02/2024");
        let new_year = LegalTime::at(1_735_687_800_000, 3600); // 2024-12-31 23:30 UTC
        assert_eq!(new_year.date_field(), "Wed, 1 Jan 2025 00:30:00 +0100");
        assert_eq!(LegalTime::at(1_751_328_000_000, 7200).zone(), "+0200");
        assert_eq!(LegalTime::at(0, 0).date_field(), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(LegalTime::at(0, -12_600).zone(), "-0330");
    }

    #[test]
    fn the_repeated_hour_of_autumn_is_told_apart_by_the_zone() {
        // 26-10-2025: 00:30 UTC is 02:30 +0200, 01:30 UTC is 02:30 +0100.
        let (before, after) = (LegalTime::at(1_761_438_600_000, 7200), LegalTime::at(1_761_442_200_000, 3600));
        assert_eq!(before.hour(), after.hour());
        assert_ne!(before.zone(), after.zone());
    }
}
