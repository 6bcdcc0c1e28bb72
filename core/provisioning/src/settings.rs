//! The figures of the service, each a setting with the default that the operating manual has.

use std::collections::BTreeMap;

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
    /// How codes for lost passwords go to telephones; not at all if absent (ADM-14).
    pub text_messages: Option<TextMessageSettings>,
}

/// A gateway for text messages: a target of the outbox and what a request to it looks like. The form is that of the
/// plugin `alerts` (`sms-target`, `sms-parameters`, `sms-content`), so that one gateway serves both.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TextMessageSettings {
    /// Name of the target.
    pub target: String,
    /// The parameters of a request, with `{number}` and `{text}` in their values; those of smpp if absent.
    #[serde(default = "smpp")]
    pub parameters: BTreeMap<String, String>,
    /// Its content, with the same two; none if absent.
    #[serde(default)]
    pub content: Option<String>,
}

fn smpp() -> BTreeMap<String, String> {
    [("to", "{number}"), ("text", "{text}")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

impl TextMessageSettings {
    fn check(&self) -> Result<(), String> {
        let whole: String = self.parameters.values().chain(&self.content).map(String::as_str).collect();
        match whole.contains("{text}") && whole.contains("{number}") {
            true => Ok(()),
            false => Err("{number} and {text} must stand somewhere in parameters or content".into()),
        }
    }

    /// Parameters and content of a request that sends this text to this number. Both are put in once: what they contain
    /// is no place for anything.
    pub fn fill(&self, number: &str, text: &str) -> (Vec<(String, String)>, Option<String>) {
        let fill = |template: &String| {
            let pieces = template.split("{text}").map(|piece| piece.replace("{number}", number));
            pieces.collect::<Vec<_>>().join(text)
        };
        let parameters = self.parameters.iter().map(|(name, template)| (name.clone(), fill(template))).collect();
        (parameters, self.content.as_ref().map(fill))
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            first_password_hours: FIRST_PASSWORD_HOURS,
            deletion_days: DELETION_DAYS,
            notice_days: NOTICE_DAYS,
            password_min: PASSWORD_MIN,
            mx: Vec::new(),
            text_messages: None,
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
        let gateway = self.text_messages.as_ref().map_or(Ok(()), TextMessageSettings::check);
        gateway.map_err(|problem| format!("provisioning.text-messages: {problem}"))
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
        let mut gateway = TextMessageSettings { target: "sms".into(), parameters: smpp(), content: None };
        gateway.parameters.remove("text");
        let deaf = Settings { text_messages: Some(gateway), ..Settings::default() };
        assert!(deaf.check().unwrap_err().starts_with("provisioning.text-messages: {number} and {text}"));
    }

    #[test]
    fn a_number_and_a_text_are_put_in_once() {
        let gateway =
            TextMessageSettings { target: "sms".into(), parameters: smpp(), content: Some("<{text}>".into()) };
        let (parameters, content) = gateway.fill("+39333", "a {number} b");
        assert_eq!(parameters, [("text", "a {number} b"), ("to", "+39333")].map(|(n, v)| (n.into(), v.into())));
        assert_eq!(content.as_deref(), Some("<a {number} b>"));
    }
}
