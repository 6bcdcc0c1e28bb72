//! The operator's settings, `config:` of the policy.

use serde::Deserialize;

use crate::address;

/// Most recipients of one message. The seed operator's product limit.
pub const RECIPIENTS_MAX: u32 = 1000;
/// Most octets of size times recipients: 100 MB; PEC §3.1.1 asks for 30 MB at least.
pub const SIZE_TIMES_RECIPIENTS: u64 = 104_857_600;
/// Longest provider name, characters. Ours: it stands in texts and in `errore-esteso`.
const PROVIDER_NAME_MAX: usize = 200;

/// Settings of the plugin; unknown keys are mistakes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Name of the provider, as in the index (`providerName`).
    pub provider_name: String,
    /// `posta-certificata@…`: the sender of everything that the provider makes; an rfc822 name of the key's certificate.
    pub service_address: String,
    /// Name of the signing key in the host.
    pub signing_key: String,
    /// Product limits.
    #[serde(default)]
    pub limits: Limits,
    /// Whether every address of `To:` and `Cc:` must be a recipient of the transaction too. Clients may split
    /// transactions, so by default it is noted in the evidence and no more.
    #[serde(default)]
    pub strict_recipients: bool,
    /// What becomes of mail that is not certified.
    #[serde(default)]
    pub ordinary_mail: OrdinaryMail,
    /// Name of the step whose facts about viruses are believed; none where the provider runs no scanner.
    #[serde(default)]
    pub virus_check: Option<String>,
    /// Whether an infected envelope is taken in charge before the virus detection is sent (PEC §3.2.3, read literally).
    #[serde(default = "yes")]
    pub take_charge_of_infected: bool,
    /// The digest of attachments in brief delivery receipts. The rules fix SHA-1; whether it was ever changed is not
    /// known.
    #[serde(default)]
    pub brief_digest: BriefDigest,
    /// A language below the Italian of every text.
    #[serde(default)]
    pub second_language: Option<Language>,
    /// When the sender is told that nothing was heard.
    #[serde(default)]
    pub deadlines: Deadlines,
    /// `errore` of the notices at the deadlines: the rules do not say it.
    #[serde(default)]
    pub timeout_error: TimeoutError,
}

/// The digest of attachments in brief delivery receipts (PEC §3.3.2.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BriefDigest {
    /// 40 digits.
    #[default]
    Sha1,
    /// 64 digits.
    Sha256,
}

/// A second language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// English.
    En,
}

fn yes() -> bool {
    true
}

/// Beyond these a message is not accepted (a notice says so).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// Most recipients of one message.
    pub recipients_max: u32,
    /// Most octets of size times recipients.
    pub size_times_recipients: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { recipients_max: RECIPIENTS_MAX, size_times_recipients: SIZE_TIMES_RECIPIENTS }
    }
}

/// Deadlines of a certified message, whole hours from its acceptance (PEC §3.1.6). They may be shorter than the rules
/// ask for, never longer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Deadlines {
    /// Without a take-charge receipt until then the sender is told that the message may not arrive.
    pub take_charge_hours: u32,
    /// Without a final receipt until then the sender is told that the message counts as not delivered.
    pub delivery_hours: u32,
    /// Until when the second notice must be out; what its text says.
    pub end_hours: u32,
}

/// The figures of PEC §3.1.6.
const TAKE_CHARGE_HOURS: u32 = 12;
const END_HOURS: u32 = 24;
/// Two hours before the end: the range of PEC §3.1.6 is 22 to 24.
const DELIVERY_HOURS: u32 = 22;

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines { take_charge_hours: TAKE_CHARGE_HOURS, delivery_hours: DELIVERY_HOURS, end_hours: END_HOURS }
    }
}

impl Deadlines {
    fn check(&self) -> Result<(), String> {
        let Deadlines { take_charge_hours: first, delivery_hours: last, end_hours: end } = *self;
        if first == 0 || first > TAKE_CHARGE_HOURS {
            return Err(format!("deadlines: take-charge-hours must be 1 to {TAKE_CHARGE_HOURS}"));
        }
        if end > END_HOURS {
            return Err(format!("deadlines: end-hours must be at most {END_HOURS}"));
        }
        match first < last && last < end {
            true => Ok(()),
            false => Err(format!(
                "deadlines: take-charge-hours ({first}) < delivery-hours ({last}) < end-hours ({end}) must hold"
            )),
        }
    }
}

/// The word of `errore` in the notices at the deadlines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeoutError {
    /// A generic error.
    #[default]
    Altro,
    /// No error: logs of an early provider have none.
    Nessuno,
}

/// What becomes of mail that is not certified ([PEC §2.2.2] leaves it to the provider), where the mailbox itself does
/// not say (its setting `ordinary-mail`, the same words).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrdinaryMail {
    /// It is delivered in an anomaly envelope.
    #[default]
    #[serde(alias = "anomaly")]
    Accept,
    /// It is refused: in the SMTP session, or by a report where only some recipients refuse it.
    Reject,
}

impl OrdinaryMail {
    /// Name of the setting of a mailbox.
    pub const SETTING: &str = "ordinary-mail";

    /// The word of a mailbox's setting.
    pub fn parse(word: &str) -> Option<OrdinaryMail> {
        match word {
            "accept" => Some(OrdinaryMail::Accept),
            "reject" => Some(OrdinaryMail::Reject),
            _ => None,
        }
    }
}

impl Settings {
    /// Reads and checks settings; the text of an error is for the operator.
    pub fn parse(json: &str) -> Result<Settings, String> {
        let settings: Settings = serde_json::from_str(json).map_err(|error| format!("settings of pec: {error}"))?;
        let name = &settings.provider_name;
        if name.trim().is_empty() || name.chars().count() > PROVIDER_NAME_MAX || name.chars().any(char::is_control) {
            return Err(format!("provider-name must be a line of 1 to {PROVIDER_NAME_MAX} characters"));
        }
        if !address::is_address(&settings.service_address) {
            return Err(format!("service-address is not an address: {}", settings.service_address));
        }
        if settings.signing_key.is_empty() {
            return Err("signing-key must name a key of the server".to_owned());
        }
        if settings.limits.recipients_max == 0 || settings.limits.size_times_recipients == 0 {
            return Err("limits must be above 0".to_owned());
        }
        let name = |name: &String| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if !settings.virus_check.iter().all(name) {
            return Err("virus-check must be the name of a plugin of the policy".to_owned());
        }
        settings.deadlines.check()?;
        Ok(settings)
    }

    /// Checks that the key may sign as the provider: the service address is an rfc822 name of its certificate
    /// (PEC §5.5.2), or every other provider would refuse what it signs.
    pub fn check_key(&self, names: &[String]) -> Result<(), String> {
        match names.iter().any(|name| address::same(name, &self.service_address)) {
            true => Ok(()),
            false => Err(format!(
                "service-address {} is not a name of the certificate of {} ({})",
                self.service_address,
                self.signing_key,
                names.join(", ")
            )),
        }
    }

    /// The domain under which the provider makes identifiers.
    pub fn service_domain(&self) -> String {
        address::domain(&self.service_address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"provider-name":"Alfa PEC S.p.A.","service-address":"posta-certificata@alfa.example","signing-key":"provider"}"#;

    #[test]
    fn what_is_not_said_has_the_documented_value() {
        let settings = Settings::parse(GOOD).unwrap();
        assert_eq!(settings.limits.recipients_max, 1000);
        assert_eq!(settings.limits.size_times_recipients, 104_857_600);
        assert_eq!(settings.ordinary_mail, OrdinaryMail::Accept);
        assert!(!settings.strict_recipients);
        let Deadlines { take_charge_hours, delivery_hours, end_hours } = settings.deadlines;
        assert_eq!((take_charge_hours, delivery_hours, end_hours), (12, 22, 24));
        assert_eq!(settings.timeout_error, TimeoutError::Altro);
        assert_eq!(settings.service_domain(), "alfa.example");
    }

    #[test]
    fn the_key_must_be_the_service_address_s() {
        let settings = Settings::parse(GOOD).unwrap();
        assert!(settings.check_key(&["Posta-Certificata@alfa.example".to_owned()]).is_ok());
        assert!(settings.check_key(&["posta-certificata@beta.example".to_owned()]).unwrap_err().contains("provider"));
        assert!(settings.check_key(&[]).is_err());
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, named) in [
            ("signing-key", "signing_key", "signing_key"),
            ("posta-certificata@alfa.example", "posta-certificata", "service-address"),
            ("Alfa PEC S.p.A.", " ", "provider-name"),
            ("}", r#","limits":{"recipients-max":0}}"#, "limits"),
            ("}", r#","deadlines":{"take-charge-hours":0}}"#, "take-charge-hours"),
            ("}", r#","deadlines":{"take-charge-hours":13}}"#, "take-charge-hours"),
            ("}", r#","deadlines":{"delivery-hours":12}}"#, "delivery-hours"),
            ("}", r#","deadlines":{"end-hours":22}}"#, "end-hours"),
            ("}", r#","deadlines":{"end-hours":25}}"#, "end-hours"),
            ("}", r#","brief-digest":"md5"}"#, "md5"),
            ("}", r#","second-language":"de"}"#, "de"),
            ("}", r#","virus-check":"a.b"}"#, "virus-check"),
            ("}", r#","timeout-error":"none"}"#, "none"),
            ("}", r#","ordinary-mail":"refuse"}"#, "refuse"),
        ] {
            let error = Settings::parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
