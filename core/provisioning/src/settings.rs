//! The figures of the service, each a setting with the default that the operating manual has.

use serde::Deserialize;

/// Hours that a first password is good for (ADM-13: three days).
pub const FIRST_PASSWORD_HOURS: u64 = 72;
/// Days between the end of a contract and the deletion of its data (ADM-25).
pub const DELETION_DAYS: u64 = 30;
/// Days of notice of a customer who withdraws (ADM-26).
pub const NOTICE_DAYS: u64 = 30;
/// Shortest password, characters. NIST SP 800-63B §5.1.1.2 asks for 8.
pub const PASSWORD_MIN: usize = 8;

/// `provisioning:` in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Hours that a password given by somebody else is good for.
    pub first_password_hours: u64,
    /// Days from the end of a contract to the deletion of its data.
    pub deletion_days: u64,
    /// Days of notice of a customer who withdraws.
    pub notice_days: u64,
    /// Shortest password, characters.
    pub password_min: usize,
    /// Names that the MX records of our domains point to; the server's own name if empty.
    pub mx: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            first_password_hours: FIRST_PASSWORD_HOURS,
            deletion_days: DELETION_DAYS,
            notice_days: NOTICE_DAYS,
            password_min: PASSWORD_MIN,
            mx: Vec::new(),
        }
    }
}

impl Settings {
    /// What is wrong with them, in words that name the key.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: u64, range: std::ops::RangeInclusive<u64>| match range.contains(&value) {
            true => Ok(()),
            false => Err(format!("provisioning.{name}: wants {} to {}", range.start(), range.end())),
        };
        within("first-password-hours", self.first_password_hours, 1..=8760)?;
        within("deletion-days", self.deletion_days, 1..=3650)?;
        within("notice-days", self.notice_days, 0..=3650)?;
        within("password-min", self.password_min as u64, 8..=64)?;
        for name in &self.mx {
            name.parse::<sigillo_mail::Domain>().map_err(|error| format!("provisioning.mx: '{name}': {error}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_out_of_bounds_are_named() {
        assert_eq!(Settings::default().check(), Ok(()));
        let short = Settings { password_min: 4, ..Settings::default() };
        assert!(short.check().unwrap_err().contains("provisioning.password-min"));
        let bad = Settings { mx: vec!["mx alfa".into()], ..Settings::default() };
        assert!(bad.check().unwrap_err().contains("provisioning.mx"));
    }
}
