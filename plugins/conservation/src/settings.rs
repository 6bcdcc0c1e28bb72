//! The operator's settings, `config:` of the policy.

use serde::Deserialize;

use crate::legal_time::parse_minute;

/// Days that content stays in the archive (CON-04).
pub const DAYS: u32 = 45;
/// Most messages of one package: what one step goes through, and what `archive.release` of one step allows.
pub const MESSAGES_MAX: u32 = 1000;
/// Most octets of one package: what content of a plugin has (256 MiB), with room for the index.
pub const OCTETS_MAX: u64 = 250 << 20;
/// Most packages that wait for their confirmation: what one look at the state shows.
pub const IN_FLIGHT_MAX: u32 = 1000;
/// Octets of a gigabyte of storage.
const GIGABYTE: u64 = 1 << 30;
/// Days that deposits can be found; ten years and some, as contracts of this service mostly say.
const KEEP_DAYS: u32 = 3660;
/// A century.
const KEEP_DAYS_MAX: u32 = 36_525;

/// Settings of the plugin; unknown keys are mistakes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// The preservation system: a target of the server's configuration.
    pub target: String,
    /// What that target speaks.
    pub protocol: Protocol,
    /// Before the name of every package there; empty, or folders with `/` between them.
    #[serde(default)]
    pub folder: String,
    /// Name of the provider, who submits (UNI 11386 `Submitter`).
    pub provider: String,
    /// Its number in the form of ETSI EN 319 412-1, such as `VATIT-01234567890`.
    #[serde(default)]
    pub provider_id: Option<String>,
    /// The paper by which provider and holders are bound (UNI 11386 `RelevantDocument`).
    #[serde(default = "relevant_document")]
    pub relevant_document: String,
    /// Whether sealed log files are deposited too (CON-07).
    #[serde(default = "yes")]
    pub logs: bool,
    /// To whom log packages are addressed (LOG-15).
    #[serde(default)]
    pub log_security_manager: Option<String>,
    /// Days that content stays in the archive, whole legal days (CON-04).
    #[serde(default = "days")]
    pub days: u32,
    /// Legal time of the daily run, `HH:MM`.
    #[serde(default = "at")]
    pub at: String,
    /// Messages of one package at most.
    #[serde(default = "messages")]
    pub package_messages: u32,
    /// Octets of one package at most.
    #[serde(default = "octets")]
    pub package_octets: u64,
    /// Packages that wait for their confirmation at most; more are made when these are confirmed.
    #[serde(default = "in_flight")]
    pub in_flight: u32,
    /// Days that a deposit can be found here.
    #[serde(default = "keep_days")]
    pub keep_days: u32,
    /// Octets of one GB of `conservation-size`.
    #[serde(default = "gigabyte")]
    pub gigabyte: u64,
    /// What confirms a deposit, if the operator says so.
    #[serde(default)]
    confirmation: Option<Confirmation>,
}

/// What the target speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// PUT of the package under its path.
    Http,
    /// A file under its path.
    Sftp,
    /// An object.
    S3,
}

/// What confirms a deposit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confirmation {
    /// That the target took the package.
    Taken,
    /// That besides its answer holds the SHA-256 of the package, in hexadecimal or base64: a deposit receipt ("rapporto
    /// di versamento") that proves that the same bytes arrived.
    Digest,
}

fn relevant_document() -> String {
    "Manuale operativo del gestore".to_owned()
}
fn yes() -> bool {
    true
}
fn days() -> u32 {
    DAYS
}
fn at() -> String {
    "02:00".to_owned()
}
fn messages() -> u32 {
    MESSAGES_MAX
}
fn octets() -> u64 {
    128 << 20
}
fn in_flight() -> u32 {
    200
}
fn gigabyte() -> u64 {
    GIGABYTE
}
fn keep_days() -> u32 {
    KEEP_DAYS
}

impl Settings {
    /// Reads the settings; the error is for the operator.
    pub fn parse(json: &str) -> Result<Settings, String> {
        let settings: Settings = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let plain = |name: &str| {
            !name.is_empty()
                && name != "."
                && name != ".."
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        if !settings.folder.is_empty() && (settings.folder.len() > 200 || !settings.folder.split('/').all(plain)) {
            return Err("folder: names of letters, digits and '-._' with '/' between them".into());
        }
        if settings.provider.trim().is_empty() {
            return Err("provider: the name of the provider is empty".into());
        }
        if settings.provider_id.as_deref().is_some_and(|id| !is_agent_id(id)) {
            return Err("provider-id: wants the form VATIT-01234567890".into());
        }
        if settings.relevant_document.trim().is_empty() {
            return Err("relevant-document: is empty".into());
        }
        if settings.logs && settings.log_security_manager.as_deref().is_none_or(|name| name.trim().is_empty()) {
            return Err(
                "log-security-manager: packages of logs are addressed to him; name him, or say logs: false".into()
            );
        }
        if parse_minute(&settings.at).is_none() {
            return Err("at: wants a time of the day such as 02:00".into());
        }
        let ranges = [
            ("days", u64::from(settings.days), 1, 3650),
            ("package-messages", u64::from(settings.package_messages), 1, u64::from(MESSAGES_MAX)),
            ("package-octets", settings.package_octets, 64 << 10, OCTETS_MAX),
            ("gigabyte", settings.gigabyte, 1, GIGABYTE),
            ("in-flight", u64::from(settings.in_flight), 1, u64::from(IN_FLIGHT_MAX)),
            ("keep-days", u64::from(settings.keep_days), 1, u64::from(KEEP_DAYS_MAX)),
        ];
        match ranges.iter().find(|(_, value, least, most)| value < least || value > most) {
            Some((name, _, least, most)) => Err(format!("{name}: wants {least} to {most}")),
            None => Ok(settings),
        }
    }

    /// What confirms a deposit. Over SFTP and S3 the server itself compares what lies there; over HTTP a status alone may
    /// come from anybody on the way, and messages leave the archive by it.
    pub fn confirmation(&self) -> Confirmation {
        self.confirmation.unwrap_or(match self.protocol {
            Protocol::Http => Confirmation::Digest,
            Protocol::Sftp | Protocol::S3 => Confirmation::Taken,
        })
    }

    /// Minutes since midnight of the daily run.
    pub fn minute(&self) -> u32 {
        parse_minute(&self.at).unwrap_or_default()
    }
}

/// The form of `AgentID` (UNI 11386; ETSI EN 319 412-1 §5.1.3): a kind, a country, a hyphen, letters and digits.
pub fn is_agent_id(text: &str) -> bool {
    let Some((kind, number)) = text.split_once('-') else { return false };
    let (kind, country) = kind.split_at_checked(kind.len().saturating_sub(2)).unwrap_or_default();
    let national = kind.len() == 3 && kind.ends_with(':') && kind[..2].bytes().all(|b| b.is_ascii_alphanumeric());
    let known = ["PAS", "IDC", "PNO", "TIN", "VAT", "NTR"].contains(&kind) || national;
    let plain = !number.is_empty() && number.len() <= 64 && number.bytes().all(|b| b.is_ascii_alphanumeric());
    known && plain && country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"{ "target": "conservatore", "protocol": "sftp", "provider": "Alfa PEC S.p.A.", "log-security-manager": "Log Manager" }"#;

    #[test]
    fn con_04_content_stays_45_days_unless_contracted_otherwise() {
        let settings = Settings::parse(LEAST).unwrap();
        assert_eq!((settings.days, settings.minute()), (45, 120));
        assert_eq!(Settings::parse(&LEAST.replace('}', r#", "days": 90 }"#)).unwrap().days, 90);
    }

    #[test]
    fn every_mistake_is_named() {
        let with = |more: &str| Settings::parse(&LEAST.replace('}', &format!(", {more} }}"))).unwrap_err();
        assert!(with(r#""dayz": 3"#).contains("dayz"));
        for (more, name) in [
            (r#""days": 0"#, "days"),
            (r#""at": "noon""#, "at"),
            (r#""folder": "../x""#, "folder"),
            (r#""provider-id": "01234567890""#, "provider-id"),
            (r#""package-messages": 1001"#, "package-messages"),
            (r#""package-octets": 1000000000"#, "package-octets"),
            (r#""in-flight": 0"#, "in-flight"),
            (r#""keep-days": 0"#, "keep-days"),
        ] {
            assert!(with(more).starts_with(name), "{more}");
        }
        assert!(Settings::parse(&LEAST.replace("Log Manager", " ")).unwrap_err().starts_with("log-security-manager"));
        assert!(Settings::parse(&LEAST.replace("sftp", "ftp")).is_err());
    }

    #[test]
    fn agent_ids_have_their_form() {
        for right in ["VATIT-01234567890", "TINIT-RSSMRA80A01H501U", "IT:IT-c1234"] {
            assert!(is_agent_id(right), "{right}");
        }
        for wrong in ["", "VATIT", "VATIT-", "XXXIT-1", "VATit-1", "VATIT-1 2", "IT-1"] {
            assert!(!is_agent_id(wrong), "{wrong}");
        }
    }
}
