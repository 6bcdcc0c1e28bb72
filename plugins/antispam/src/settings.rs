//! The operator's settings, `config:` of the policy.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::LESSONS_MAX;
use crate::score::Band;

/// Octets of the name of the field that marks a message, and of the folder for unwanted mail.
const HEADER_MAX: usize = 64;
const FOLDER_MAX: usize = 200;
/// Fields by which certified mail is known (PEC §4.2).
const CERTIFIED_FIELDS: [&str; 5] =
    ["X-Trasporto", "X-Ricevuta", "X-TipoRicevuta", "X-Riferimento-Message-ID", "X-VerificaSicurezza"];

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
    /// Lessons of one mailbox that are taken in a day.
    #[serde(default = "lessons_per_day")]
    pub lessons_per_day: u32,
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
    /// Recipients in a hundred, within a day, that do not exist or were refused.
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

fn lessons_per_day() -> u32 {
    100
}

fn learn_every() -> u64 {
    60
}

impl Settings {
    /// Reads the settings; the error is for the operator.
    pub fn parse(json: &str) -> Result<Settings, String> {
        let mut settings: Settings = serde_json::from_str(json).map_err(|error| error.to_string())?;
        // Domains are looked up in lower case.
        let contacts = std::mem::take(&mut settings.incoming.contacts);
        settings.incoming.contacts = contacts.into_iter().map(|(domain, to)| (domain.to_lowercase(), to)).collect();
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
            if !is_address(address) {
                return Err(format!("{name}: '{address}' is not an address such as postmaster@alfa.example"));
            }
        }
        if let Some((domain, address)) = self.incoming.contacts.iter().find(|(_, address)| !is_address(address)) {
            return Err(format!("incoming.contacts: {domain}: '{address}' is not an address such as abuse@{domain}"));
        }
        self.check_marks()?;
        let most = LESSONS_MAX / 4;
        if !(1..=most).contains(&self.minimum_lessons) {
            return Err(format!("minimum-lessons: use 1 to {most}"));
        }
        if !(1..=10_000).contains(&self.lessons_per_day) {
            return Err("lessons-per-day: use 1 to 10000".into());
        }
        let of_outgoing =
            [("outgoing.standard", &self.outgoing.standard), ("outgoing.application", &self.outgoing.application)];
        for (name, limits) in of_outgoing.into_iter().chain([("incoming.limits", &self.incoming.limits)]) {
            for (share, percent) in
                [("bad-recipients-percent", limits.bad_recipients_percent), ("spam-percent", limits.spam_percent)]
            {
                if percent > 100 {
                    return Err(format!("{name}.{share}: {percent} is no percentage; use 0 to 100"));
                }
            }
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

    fn check_marks(&self) -> Result<(), String> {
        let header = &self.header;
        let named =
            header.len() <= HEADER_MAX && header.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        // Fields without it mean something to other programs, and these to certified mail.
        let own = header.get(..2).is_some_and(|begin| begin.eq_ignore_ascii_case("X-")) && header.len() > 2;
        if !named || !own || CERTIFIED_FIELDS.iter().any(|field| header.eq_ignore_ascii_case(field)) {
            return Err(format!("header: '{header}' is no field to mark with; use one such as X-Spam-Band"));
        }
        let folder = &self.junk_folder;
        let level = |level: &str| !level.is_empty() && level != "." && level != "..";
        let letters = !folder.chars().any(|c| c.is_control() || matches!(c, '*' | '%'));
        if folder.len() > FOLDER_MAX
            || !letters
            || !folder.split('/').all(level)
            || folder.eq_ignore_ascii_case("inbox")
        {
            return Err(format!(
                "junk-folder: '{folder}' cannot be the folder for unwanted mail; use one such as Junk"
            ));
        }
        Ok(())
    }
}

/// One address as it stands in a header field: the server parses it again when it is written to.
fn is_address(text: &str) -> bool {
    let good = |c: char| c.is_ascii_graphic() && !"<>()[],;:\\\"".contains(c);
    text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && domain.contains('.')
            && !domain.contains('@')
            && text.len() <= 254
            && text.chars().all(good)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
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
        let settings = Settings::parse(&format!("{{{LEAST}}}")).unwrap();
        let readme = include_str!("../README.md").replace('#', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        let limits = |name: &str, limits: Limits| {
            format!(
                "{name}: {{ messages-per-hour: {}, messages-per-day: {}, recipients-per-hour: {}, recipients-per-day: {}, \
                 bad-recipients-percent: {}, spam-percent: {}, shares-from: {} }}",
                limits.messages_per_hour,
                limits.messages_per_day,
                limits.recipients_per_hour,
                limits.recipients_per_day,
                limits.bad_recipients_percent,
                limits.spam_percent,
                limits.shares_from
            )
        };
        let Bands { low, medium, high } = settings.bands;
        for words in [
            format!("bands: {{ low: {low}, medium: {medium}, high: {high} }}"),
            format!("junk-folder: {} ", settings.junk_folder),
            format!("header: {} ", settings.header),
            format!("minimum-lessons: {} ", settings.minimum_lessons),
            format!("lessons-per-day: {} ", settings.lessons_per_day),
            format!("learn-every: {} ", settings.learn_every),
            format!("watch-every: {} ", settings.outgoing.watch_every),
            format!("alert-every: {} ", settings.outgoing.alert_every),
            format!("watch: {} ", settings.incoming.watch),
            limits("standard", settings.outgoing.standard),
            limits("application", settings.outgoing.application),
            limits("limits", settings.incoming.limits),
        ] {
            assert!(readme.contains(&words), "{words}");
        }
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
            r#","header":"Subject""#,
            r#","header":"x-trasporto""#,
            r#","header":"X-""#,
            r#","junk-folder":"""#,
            r#","junk-folder":"INBOX""#,
            r#","junk-folder":"Junk/""#,
            r#","junk-from":"always""#,
            r#","minimum-lessons":0"#,
            r#","minimum-lessons":5001"#,
            r#","lessons-per-day":0"#,
            r#","outgoing":{"standard":{"spam-percent":101}}"#,
            r#","incoming":{"limits":{"bad-recipients-percent":101}}"#,
            r#","incoming":{"contacts":{"other.example":"abuse"}}"#,
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
