//! The operator's settings, `config:` of the policy.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::score::Band;

/// Settings of the plugin; unknown keys are mistakes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Who rates messages.
    #[serde(default)]
    pub engine: Engine,
    /// The scanner's name in the server's configuration.
    #[serde(default)]
    pub scanner: Option<String>,
    /// From which percentages a message is marked.
    #[serde(default)]
    pub bands: Bands,
    /// From which band a message goes into the folder for unwanted mail.
    #[serde(default)]
    pub junk_from: JunkFrom,
    /// That folder.
    #[serde(default = "junk")]
    pub junk_folder: String,
    /// The field that marks a message.
    #[serde(default = "header")]
    pub header: String,
    /// Lessons of each kind before the classifier says anything.
    #[serde(default = "minimum_lessons")]
    pub minimum_lessons: u32,
    /// Seconds for which lessons are gathered.
    #[serde(default = "learn_every")]
    pub learn_every: u64,
    /// What users send.
    #[serde(default)]
    pub outgoing: Outgoing,
    /// What others send.
    #[serde(default)]
    pub incoming: Incoming,
    /// Who is told of what is not usual.
    pub postmaster: String,
    /// Who tells it: an address of the grant `submit`.
    pub sender: String,
}

/// Who rates messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The plugin's own classifier.
    #[default]
    Builtin,
    /// A scanner of the server's configuration.
    Scanner,
    /// Both.
    Both,
}

impl Engine {
    /// Whether the scanner is asked.
    pub fn scans(self) -> bool {
        matches!(self, Engine::Scanner | Engine::Both)
    }

    /// Whether the classifier is asked.
    pub fn classifies(self) -> bool {
        matches!(self, Engine::Builtin | Engine::Both)
    }
}

/// Percentages.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Bands {
    /// From here a message is marked «low».
    pub low: f64,
    /// «medium».
    pub medium: f64,
    /// «high».
    pub high: f64,
}

impl Default for Bands {
    fn default() -> Bands {
        Bands { low: 50.0, medium: 75.0, high: 95.0 }
    }
}

/// From which band a message goes into the folder for unwanted mail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JunkFrom {
    /// Every marked one.
    Low,
    /// From the middle.
    #[default]
    Medium,
    /// The worst.
    High,
    /// None: they are marked only.
    Never,
}

impl JunkFrom {
    /// The name of the setting of a mailbox.
    pub const SETTING: &str = "junk-from";

    /// Reads the word of a mailbox's setting.
    pub fn parse(word: &str) -> Option<JunkFrom> {
        Some(match word {
            "low" => JunkFrom::Low,
            "medium" => JunkFrom::Medium,
            "high" => JunkFrom::High,
            "never" => JunkFrom::Never,
            _ => return None,
        })
    }

    /// Whether this band goes there.
    pub fn takes(self, band: Band) -> bool {
        match self {
            JunkFrom::Low => true,
            JunkFrom::Medium => band >= Band::Medium,
            JunkFrom::High => band >= Band::High,
            JunkFrom::Never => false,
        }
    }
}

/// What is usual for one sender. Zero: without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// Messages in an hour.
    pub messages_per_hour: u64,
    /// Messages in a day.
    pub messages_per_day: u64,
    /// Recipients in an hour.
    pub recipients_per_hour: u64,
    /// Recipients in a day.
    pub recipients_per_day: u64,
    /// Recipients in a hundred, within a day, that do not exist or could not be reached.
    pub bad_recipients_percent: u64,
    /// Messages in a hundred, within a day, that are rated as unwanted.
    pub spam_percent: u64,
    /// Shares count from so many in a day.
    pub shares_from: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            messages_per_hour: 100,
            messages_per_day: 500,
            recipients_per_hour: 500,
            recipients_per_day: 2000,
            bad_recipients_percent: 30,
            spam_percent: 50,
            shares_from: 20,
        }
    }
}

impl Limits {
    /// Of an application mailbox: bulk traffic is what it is for.
    pub fn application() -> Limits {
        Limits {
            messages_per_hour: 5_000,
            messages_per_day: 50_000,
            recipients_per_hour: 10_000,
            recipients_per_day: 100_000,
            ..Limits::default()
        }
    }

    /// Of all that comes from one domain.
    pub fn domain() -> Limits {
        Limits {
            messages_per_hour: 5_000,
            messages_per_day: 50_000,
            recipients_per_hour: 0,
            recipients_per_day: 0,
            bad_recipients_percent: 50,
            spam_percent: 80,
            shares_from: 100,
        }
    }
}

/// What users send.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Outgoing {
    /// Seconds between two looks at a mailbox that sends.
    pub watch_every: u64,
    /// Of an ordinary mailbox.
    pub standard: Limits,
    /// Of a mailbox with `sending: application`.
    #[serde(deserialize_with = "application_limits")]
    pub application: Limits,
    /// What becomes of a mailbox beyond its limits.
    pub on_anomaly: OnAnomaly,
    /// Hours until the same is told again.
    pub alert_every: u64,
}

impl Default for Outgoing {
    fn default() -> Outgoing {
        Outgoing {
            watch_every: 30,
            standard: Limits::default(),
            application: Limits::application(),
            on_anomaly: OnAnomaly::Alert,
            alert_every: 24,
        }
    }
}

/// What others send.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Incoming {
    /// Whether it is watched.
    pub watch: bool,
    /// Of one domain.
    #[serde(deserialize_with = "domain_limits")]
    pub limits: Limits,
    /// Whom to tell beside the postmaster, by domain: the provider that it comes from.
    pub contacts: BTreeMap<String, String>,
}

impl Default for Incoming {
    fn default() -> Incoming {
        Incoming { watch: true, limits: Limits::domain(), contacts: BTreeMap::new() }
    }
}

/// What becomes of a mailbox beyond its limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnAnomaly {
    /// It is told.
    #[default]
    Alert,
    /// And nobody may log in to it until an operator opens it again.
    Suspend,
}

/// Limits of which some are given: the others stay those of the kind.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Given {
    messages_per_hour: Option<u64>,
    messages_per_day: Option<u64>,
    recipients_per_hour: Option<u64>,
    recipients_per_day: Option<u64>,
    bad_recipients_percent: Option<u64>,
    spam_percent: Option<u64>,
    shares_from: Option<u64>,
}

impl Given {
    fn over(self, kind: Limits) -> Limits {
        Limits {
            messages_per_hour: self.messages_per_hour.unwrap_or(kind.messages_per_hour),
            messages_per_day: self.messages_per_day.unwrap_or(kind.messages_per_day),
            recipients_per_hour: self.recipients_per_hour.unwrap_or(kind.recipients_per_hour),
            recipients_per_day: self.recipients_per_day.unwrap_or(kind.recipients_per_day),
            bad_recipients_percent: self.bad_recipients_percent.unwrap_or(kind.bad_recipients_percent),
            spam_percent: self.spam_percent.unwrap_or(kind.spam_percent),
            shares_from: self.shares_from.unwrap_or(kind.shares_from),
        }
    }
}

fn application_limits<'de, D: serde::Deserializer<'de>>(given: D) -> Result<Limits, D::Error> {
    Ok(Given::deserialize(given)?.over(Limits::application()))
}

fn domain_limits<'de, D: serde::Deserializer<'de>>(given: D) -> Result<Limits, D::Error> {
    Ok(Given::deserialize(given)?.over(Limits::domain()))
}

fn junk() -> String {
    "Junk".to_owned()
}

fn header() -> String {
    "X-Spam-Band".to_owned()
}

fn minimum_lessons() -> u32 {
    50
}

fn learn_every() -> u64 {
    60
}

impl Settings {
    /// Reads the settings; the error is for the operator.
    pub fn parse(json: &str) -> Result<Settings, String> {
        let settings: Settings = serde_json::from_str(json).map_err(|error| error.to_string())?;
        settings.check().map(|()| settings)
    }

    fn check(&self) -> Result<(), String> {
        let Bands { low, medium, high } = self.bands;
        if !(0.0 < low && low <= medium && medium <= high && high < 100.0) {
            return Err("bands: low, medium and high are percentages, each at least the one before".into());
        }
        match (&self.scanner, self.engine.scans()) {
            (None, true) => return Err("scanner: name one of those that the grant 'scan' names".into()),
            (Some(_), false) => return Err("scanner: is not asked with engine: builtin; use scanner or both".into()),
            _ => {}
        }
        for (name, address) in [("postmaster", &self.postmaster), ("sender", &self.sender)] {
            if !address.contains('@') || address.chars().any(|c| c.is_control() || c.is_whitespace()) {
                return Err(format!("{name}: '{address}' is not an address"));
            }
        }
        if self.header.is_empty() || !self.header.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
            return Err(format!("header: '{}' is not the name of a field", self.header));
        }
        let seconds = |name: &str, value: u64| match value {
            1..=3600 => Ok(()),
            _ => Err(format!("{name}: use 1 to 3600 seconds")),
        };
        seconds("learn-every", self.learn_every)?;
        seconds("outgoing.watch-every", self.outgoing.watch_every)?;
        match self.outgoing.alert_every {
            1..=720 => Ok(()),
            _ => Err("outgoing.alert-every: use 1 to 720 hours".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#""postmaster":"postmaster@alfa.example","sender":"antispam@alfa.example""#;

    #[test]
    fn settings_have_defaults() {
        let settings = Settings::parse(&format!("{{{LEAST}}}")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((settings.engine, settings.junk_from), (Engine::Builtin, JunkFrom::Medium));
        assert_eq!(settings.outgoing.on_anomaly, OnAnomaly::Alert);
        assert_eq!(settings.outgoing.standard, Limits::default());
        let more = format!(
            r#"{{{LEAST},"outgoing":{{"application":{{"messages-per-hour":9}}}},"incoming":{{"limits":{{"spam-percent":7}}}}}}"#
        );
        let settings = Settings::parse(&more).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(settings.outgoing.application, Limits { messages_per_hour: 9, ..Limits::application() });
        assert_eq!(settings.incoming.limits, Limits { spam_percent: 7, ..Limits::domain() });
    }

    #[test]
    fn settings_that_say_nothing_sensible_are_refused() {
        for more in [
            r#","engine":"both""#,
            r#","scanner":"rspamd""#,
            r#","engine":"rspamd""#,
            r#","bands":{"low":90,"medium":75}"#,
            r#","bands":{"high":100}"#,
            r#","header":"X Spam""#,
            r#","junk-from":"always""#,
            r#","learn-every":0"#,
            r#","outgoing":{"watch-every":0}"#,
            r#","outgoing":{"on-anomaly":"refuse"}"#,
            r#","outgoing":{"standard":{"messages":1}}"#,
            r#","unknown":1"#,
        ] {
            assert!(Settings::parse(&format!("{{{LEAST}{more}}}")).is_err(), "{more}");
        }
        assert!(Settings::parse(r#"{"postmaster":"x","sender":"a@b.example"}"#).is_err());
    }
}
