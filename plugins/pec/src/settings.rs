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

/// What becomes of mail that is not certified ([PEC §2.2.2] leaves it to the provider).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrdinaryMail {
    /// It is delivered in an anomaly envelope.
    #[default]
    Anomaly,
    /// It is refused in the SMTP session.
    Reject,
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
        assert_eq!(settings.ordinary_mail, OrdinaryMail::Anomaly);
        assert!(!settings.strict_recipients);
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
            ("}", r#","ordinary-mail":"refuse"}"#, "refuse"),
        ] {
            let error = Settings::parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
