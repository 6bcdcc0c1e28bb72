//! The operator's settings, `config:` of the policy.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::contact::{self, Channel};

/// Seconds of an hour.
const HOUR_SECONDS: u32 = 3600;
/// Most addresses or numbers of one mailbox, whatever the settings say.
const CONTACTS_MAX: usize = 20;

/// Settings of the plugin; unknown keys are mistakes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// The provider's name in the texts.
    pub provider: String,
    /// The address that alerts by e-mail come from.
    pub from: String,
    /// The target of the outbox that sends SMS; none: there are none.
    #[serde(default)]
    pub sms_target: Option<String>,
    /// What a request to it looks like.
    #[serde(default = "smpp")]
    pub sms_parameters: BTreeMap<String, String>,
    /// Its content.
    #[serde(default)]
    pub sms_content: Option<String>,
    /// Beginnings of the numbers that may be told.
    #[serde(default = "italy")]
    pub prefixes: Vec<String>,
    /// Addresses of a mailbox (ALR-03).
    #[serde(default = "three")]
    pub addresses_max: usize,
    /// Numbers of a mailbox (ALR-06).
    #[serde(default = "three")]
    pub numbers_max: usize,
    /// Hours between two alerts by e-mail where nothing was chosen (ALR-04).
    #[serde(default = "day")]
    pub email_hours: u32,
    /// Hours between two alerts by SMS where nothing was chosen (ALR-07).
    #[serde(default = "day")]
    pub sms_hours: u32,
    /// Seconds of one hour between alerts: fewer to try them out.
    #[serde(default = "hour")]
    pub hour: u32,
    /// For how many hours a code can be used.
    #[serde(default = "day")]
    pub code_hours: u32,
    /// How often a code can be got wrong.
    #[serde(default = "five")]
    pub code_tries: u32,
    /// Codes that one mailbox sends in 24 hours.
    #[serde(default = "five")]
    pub codes_per_mailbox: u32,
    /// Codes that one address or number gets in 24 hours, whichever mailboxes ask.
    #[serde(default = "three_codes")]
    pub codes_per_contact: u32,
}

fn smpp() -> BTreeMap<String, String> {
    [("to", "{number}"), ("text", "{text}")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn italy() -> Vec<String> {
    vec!["+39".into()]
}

fn three() -> usize {
    3
}

fn three_codes() -> u32 {
    3
}

fn five() -> u32 {
    5
}

fn hour() -> u32 {
    HOUR_SECONDS
}

fn day() -> u32 {
    24
}

impl Settings {
    /// Reads the settings; the error is for the operator.
    pub fn parse(json: &str) -> Result<Settings, String> {
        let settings: Settings = serde_json::from_str(json).map_err(|error| error.to_string())?;
        contact::address(&settings.from).map_err(|why| format!("from: {why}"))?;
        let provider = &settings.provider;
        // It stands in a header field of alerts and in SMS.
        let printable = |c: char| !c.is_control();
        if provider.trim().is_empty() || provider.len() > 60 || !provider.chars().all(printable) {
            return Err("provider: 1 to 60 letters on one line".into());
        }
        for (name, most) in [("addresses-max", settings.addresses_max), ("numbers-max", settings.numbers_max)] {
            if most > CONTACTS_MAX {
                return Err(format!("{name}: at most {CONTACTS_MAX}"));
            }
        }
        for channel in Channel::ALL {
            let hours = settings.hours(channel);
            if !channel.hours().contains(&hours) {
                return Err(format!("{}-hours: {hours} is none of {:?}", channel.word(), channel.hours()));
            }
        }
        let sign = |prefix: &String| {
            prefix.starts_with('+') && prefix.len() <= 16 && prefix[1..].bytes().all(|octet| octet.is_ascii_digit())
        };
        if settings.prefixes.is_empty() || !settings.prefixes.iter().all(sign) {
            return Err("prefixes: a list such as [\"+39\"]".into());
        }
        if !(1..=HOUR_SECONDS).contains(&settings.hour) {
            return Err(format!("hour: 1 to {HOUR_SECONDS} seconds"));
        }
        for (name, value, most) in [
            ("code-hours", settings.code_hours, 72),
            ("code-tries", settings.code_tries, 10),
            ("codes-per-mailbox", settings.codes_per_mailbox, 100),
            ("codes-per-contact", settings.codes_per_contact, 20),
        ] {
            if !(1..=most).contains(&value) {
                return Err(format!("{name}: use 1 to {most}, not {value}"));
            }
        }
        if settings.sms_content.is_some() && settings.sms_target.is_none() {
            return Err("sms-content: is sent to nobody without 'sms-target'".into());
        }
        let templates = settings.sms_parameters.values().chain(&settings.sms_content);
        let texts: String = templates.map(String::as_str).collect();
        if settings.sms_target.is_some() && !(texts.contains("{text}") && texts.contains("{number}")) {
            return Err("sms-parameters, sms-content: {number} and {text} must stand somewhere in them".into());
        }
        Ok(settings)
    }

    /// Hours between two alerts where nothing was chosen.
    pub fn hours(&self, channel: Channel) -> u32 {
        match channel {
            Channel::Email => self.email_hours,
            Channel::Sms => self.sms_hours,
        }
    }

    /// Addresses or numbers of a mailbox.
    pub fn contacts_max(&self, channel: Channel) -> usize {
        match channel {
            Channel::Email => self.addresses_max,
            Channel::Sms => self.numbers_max,
        }
    }

    /// Parameters and content of a request that sends this text to this number. Both values are put in once: what they
    /// contain is no place for anything.
    pub fn sms(&self, number: &str, text: &str) -> (Vec<(String, String)>, Option<String>) {
        let fill = |template: &String| {
            let pieces = template.split("{text}").map(|piece| piece.replace("{number}", number));
            pieces.collect::<Vec<_>>().join(text)
        };
        let parameters = self.sms_parameters.iter().map(|(name, template)| (name.clone(), fill(template))).collect();
        (parameters, self.sms_content.as_ref().map(fill))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_figures_of_the_requirements() {
        let settings = Settings::parse(r#"{"provider":"Alfa","from":"avvisi@alfa.example"}"#).unwrap();
        assert_eq!((settings.addresses_max, settings.numbers_max), (3, 3));
        assert_eq!((settings.email_hours, settings.sms_hours), (24, 24));
        assert_eq!(settings.sms("+39333", "ciao {number}").0[0].1, "ciao {number}");
    }

    /// The keys of `config:` in the manifest.
    fn declared() -> Vec<&'static str> {
        let config = include_str!("../plugin.yaml").split("\nconfig:\n").nth(1).unwrap();
        let lines = config.lines().take_while(|line| line.starts_with("  "));
        let mut keys: Vec<_> = lines.map(|line| line.trim().split(':').next().unwrap()).collect();
        keys.sort_unstable();
        keys
    }

    /// Those that are read: the parser names them where there is another.
    fn read() -> Vec<String> {
        let error = Settings::parse("{\"no such key\": 1}").unwrap_err();
        let mut keys: Vec<String> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn defaults_are_those_of_the_readme_and_keys_those_of_the_manifest() {
        assert_eq!(declared(), read());
        let settings = Settings::parse(r#"{"provider":"Alfa","from":"avvisi@alfa.example"}"#).unwrap();
        let row = |name: &str| {
            let begins = format!("| `{name}`");
            include_str!("../README.md").lines().find(|line| line.starts_with(&begins)).unwrap()
        };
        for (name, first, second) in [
            ("addresses-max", settings.addresses_max as u32, settings.numbers_max as u32),
            ("email-hours", settings.email_hours, settings.sms_hours),
            ("code-hours", settings.code_hours, settings.code_tries),
            ("codes-per-mailbox", settings.codes_per_mailbox, settings.codes_per_contact),
        ] {
            assert!(row(name).contains(&format!("| {first}, {second} |")), "{}", row(name));
        }
        assert!(row("hour").contains(&format!("| {} |", settings.hour)));
        assert!(row("prefixes").contains(&format!("`{:?}`", settings.prefixes)));
    }

    #[test]
    fn mistakes_are_named() {
        for (more, want) in [
            (r#","email-hours":2"#, "email-hours: 2"),
            (r#","sms-hours":1"#, "sms-hours: 1"),
            (r#","prefixes":[]"#, "prefixes"),
            (r#","prefixes":["39"]"#, "prefixes"),
            (r#","sms-target":"sms","sms-parameters":{"to":"{number}"}"#, "{text}"),
            (r#","addresses-max":21"#, "addresses-max"),
            (r#","colour":1"#, "colour"),
            (r#","code-hours":0"#, "code-hours"),
            (r#","code-tries":11"#, "code-tries"),
            (r#","codes-per-mailbox":0"#, "codes-per-mailbox"),
            (r#","codes-per-contact":21"#, "codes-per-contact"),
            (r#","sms-content":"{text}""#, "sms-target"),
            (r#","hour":0"#, "hour"),
        ] {
            let json = format!(r#"{{"provider":"Alfa","from":"avvisi@alfa.example"{more}}}"#);
            let error = Settings::parse(&json).unwrap_err();
            assert!(error.contains(want), "{want}: {error}");
        }
        assert!(Settings::parse(r#"{"provider":"Alfa","from":"avvisi"}"#).unwrap_err().starts_with("from"));
        assert!(Settings::parse("{\"provider\":\"A\\r\\nBcc: x\",\"from\":\"a@b.example\"}").is_err());
    }
}
