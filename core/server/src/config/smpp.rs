//! A target of `targets:` that speaks SMPP 3.4.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;
use serde::Deserialize;
use sigillo_delivery::outbox::Protocol;
use sigillo_delivery::outbox::http::Meaning;
use sigillo_delivery::outbox::smpp::{Alphabet, LongTexts, SmppOptions, SmppTarget};

use super::targets::{AnswerWord, TargetLimits, client, secret_line};
use super::{Config, ConfigError};

/// Messages in a second by default.
const PER_SECOND: u32 = 10;
/// Most messages in a second.
const PER_SECOND_MAX: u32 = 1000;
/// Seconds of silence by default, after which the message centre is asked whether it is there.
const ENQUIRE_LINK: u64 = 30;

/// A message centre.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SmppConfig {
    /// `host:port`.
    pub address: String,
    /// What the connection must be.
    #[serde(default)]
    pub tls: SmppTls,
    /// The name that the certificate must show; the host of `address` if absent.
    #[serde(default)]
    pub server_name: Option<String>,
    /// PEM: roots of the server's certificate; those of `delivery` if absent.
    #[serde(default)]
    pub tls_anchors: Option<PathBuf>,
    /// Who we are.
    pub system_id: String,
    /// The password, one line; readable by the owner only.
    pub password_file: PathBuf,
    /// What the message centre wants to hear of us; mostly nothing.
    #[serde(default)]
    pub system_type: String,
    /// Whom messages come from: a number, or 1 to 11 letters and digits.
    pub from: String,
    /// How texts are written.
    #[serde(default)]
    pub alphabet: SmppAlphabet,
    /// How texts are sent that one message does not hold.
    #[serde(default)]
    pub long_texts: SmppLongTexts,
    /// Messages in a second at most.
    #[serde(default = "per_second")]
    pub per_second: u32,
    /// Seconds of silence after which the message centre is asked whether it is there.
    #[serde(default = "enquire_link")]
    pub enquire_link: u64,
    /// What a `command_status` means, where it is not the default: by number, also hexadecimal.
    #[serde(default)]
    pub answers: BTreeMap<String, AnswerWord>,
    /// What holds for every target.
    #[serde(default)]
    pub limits: TargetLimits,
}

/// What the connection must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmppTls {
    /// TLS from the first byte, with a verified certificate.
    #[default]
    Required,
    /// In clear.
    None,
}

/// How texts are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmppAlphabet {
    /// GSM 03.38 where it has every letter, else UCS-2.
    #[default]
    Gsm,
    /// UCS-2.
    Ucs2,
}

/// How long texts are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmppLongTexts {
    /// As several messages.
    #[default]
    Parts,
    /// As one, in `message_payload`.
    Payload,
}

fn per_second() -> u32 {
    PER_SECOND
}

fn enquire_link() -> u64 {
    ENQUIRE_LINK
}

impl SmppConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        self.host_and_port()?;
        self.name()?;
        if !(1..=PER_SECOND_MAX).contains(&self.per_second) {
            return Err(format!("per-second wants 1 to {PER_SECOND_MAX}"));
        }
        if !(1..=600).contains(&self.enquire_link) {
            return Err("enquire-link wants 1 to 600 seconds".into());
        }
        self.meanings()?;
        SmppTarget::new(self.options(String::new(), None)?).map(drop)
    }

    fn host_and_port(&self) -> Result<(String, u16), String> {
        let wrong = || format!("address '{}' is not HOST:PORT", self.address);
        let (host, port) = self.address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).ok_or_else(wrong)?;
        Ok((host.to_owned(), port.parse().map_err(|_| wrong())?))
    }

    fn name(&self) -> Result<ServerName<'static>, String> {
        let (host, _) = self.host_and_port()?;
        let name = self.server_name.clone().unwrap_or_else(|| host.trim_matches(['[', ']']).to_owned());
        ServerName::try_from(name.clone()).map_err(|_| format!("server-name '{name}' is no name"))
    }

    fn meanings(&self) -> Result<HashMap<u32, Meaning>, String> {
        let meaning = |(name, word): (&String, &AnswerWord)| {
            let code = match name.strip_prefix("0x") {
                Some(digits) => u32::from_str_radix(digits, 16).ok(),
                None => name.parse().ok(),
            };
            Ok((code.ok_or_else(|| format!("answers: '{name}' is no command_status such as 0x58"))?, word.meaning()))
        };
        self.answers.iter().map(meaning).collect()
    }

    fn options(
        &self,
        password: String,
        tls: Option<(std::sync::Arc<rustls::ClientConfig>, ServerName<'static>)>,
    ) -> Result<SmppOptions, String> {
        let (host, port) = self.host_and_port()?;
        Ok(SmppOptions {
            host,
            port,
            tls,
            system_id: self.system_id.clone(),
            password,
            system_type: self.system_type.clone(),
            from: self.from.clone(),
            alphabet: match self.alphabet {
                SmppAlphabet::Gsm => Alphabet::Gsm,
                SmppAlphabet::Ucs2 => Alphabet::Ucs2,
            },
            long_texts: match self.long_texts {
                SmppLongTexts::Parts => LongTexts::Parts,
                SmppLongTexts::Payload => LongTexts::Payload,
            },
            per_second: self.per_second,
            enquire: Duration::from_secs(self.enquire_link),
            timeout: self.limits.timeout(),
            meanings: self.meanings()?,
        })
    }

    pub(super) fn open(&self, config: &Config) -> Result<Box<dyn Protocol>, ConfigError> {
        let password = secret_line(&config.path(&self.password_file))?;
        let tls = match self.tls {
            SmppTls::None => None,
            SmppTls::Required => {
                Some((client(config, self.tls_anchors.as_deref())?, self.name().map_err(ConfigError)?))
            }
        };
        let options = self.options(password, tls).map_err(ConfigError)?;
        Ok(Box::new(SmppTarget::new(options).map_err(ConfigError)?))
    }
}
