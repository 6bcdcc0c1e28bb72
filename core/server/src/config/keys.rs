//! `keys`: what signs, in files or in hardware modules.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use sigillo_trust::ring::RING_MAX;
use sigillo_trust::{ObjectName, TokenName, TokenPlace};

/// The keys under one name: one, or a list while a certificate is renewed.
#[derive(Debug, Clone)]
pub struct KeyEntries(pub Vec<Key>);

/// A signing key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Key {
    /// PEM, readable by the owner only; or `token`.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// Where the key is in a hardware module; or `key`.
    #[serde(default)]
    pub token: Option<Token>,
    /// PEM.
    pub certificate: PathBuf,
    /// PEM: the certificates between it and the root.
    #[serde(default)]
    pub chain: Option<PathBuf>,
    /// The instant from which it signs, if that is later than its certificate's beginning: `2026-12-01T00:00:00Z`.
    #[serde(default)]
    pub from: Option<String>,
}

/// A key in a token of a PKCS #11 module.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Token {
    /// The module, a shared library.
    pub module: PathBuf,
    /// Label of the token; or `serial`, or `slot`.
    #[serde(default)]
    pub label: Option<String>,
    /// Serial number of the token.
    #[serde(default)]
    pub serial: Option<String>,
    /// Number of the slot.
    #[serde(default)]
    pub slot: Option<u64>,
    /// Label of the key; or `object-id`.
    #[serde(default)]
    pub object_label: Option<String>,
    /// Id of the key, hexadecimal.
    #[serde(default)]
    pub object_id: Option<String>,
    /// The user's PIN, one line; readable by the owner only.
    pub pin_file: PathBuf,
}

impl<'de> Deserialize<'de> for KeyEntries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeyEntries, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = KeyEntries;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a key (`key` or `token`, `certificate`, …) or a list of keys")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KeyEntries, A::Error> {
                Ok(KeyEntries(vec![Key::deserialize(MapAccessDeserializer::new(map))?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<KeyEntries, A::Error> {
                Ok(KeyEntries(Vec::deserialize(SeqAccessDeserializer::new(seq))?))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl KeyEntries {
    /// What is wrong with the keys of this name, without looking at any file.
    pub fn check(&self, name: &str) -> Result<(), String> {
        if !(1..=RING_MAX).contains(&self.0.len()) {
            return Err(format!("keys.{name}: wants 1 to {RING_MAX} keys"));
        }
        for key in &self.0 {
            match (&key.key, &key.token) {
                (Some(_), None) => {}
                (None, Some(token)) => {
                    token.names().map_err(|why| format!("keys.{name}.token: {why}"))?;
                }
                _ => return Err(format!("keys.{name}: wants either `key` (a file) or `token`")),
            }
            key.from_ms().map_err(|why| format!("keys.{name}.from: {why}"))?;
        }
        Ok(())
    }
}

impl Key {
    /// The instant of `from`, milliseconds since 1970, UTC.
    pub fn from_ms(&self) -> Result<Option<u64>, String> {
        let Some(text) = &self.from else { return Ok(None) };
        let at: jiff::Timestamp =
            text.parse().map_err(|_| format!("'{text}' is no instant such as 2026-12-01T00:00:00Z"))?;
        Ok(Some(u64::try_from(at.as_millisecond()).unwrap_or(0)))
    }
}

impl Token {
    fn names(&self) -> Result<(TokenName, ObjectName), String> {
        let token = match (&self.label, &self.serial, self.slot) {
            (Some(label), None, None) => TokenName::Label(label.clone()),
            (None, Some(serial), None) => TokenName::Serial(serial.clone()),
            (None, None, Some(slot)) => TokenName::Slot(slot),
            _ => return Err("wants one of `label`, `serial` and `slot`".into()),
        };
        let object = match (&self.object_label, &self.object_id) {
            (Some(label), None) => ObjectName::Label(label.clone()),
            (None, Some(id)) => {
                ObjectName::Id(octets(id).ok_or_else(|| format!("object-id '{id}' is not hexadecimal"))?)
            }
            _ => return Err("wants either `object-label` or `object-id`".into()),
        };
        Ok((token, object))
    }

    /// As the trust crate wants it; `path` makes a path of the file absolute.
    pub fn place(&self, path: impl Fn(&Path) -> PathBuf) -> Result<TokenPlace, String> {
        let (token, object) = self.names()?;
        Ok(TokenPlace { module: path(&self.module), token, object, pin_file: path(&self.pin_file) })
    }
}

fn octets(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    (!digits.is_empty() && pairs.remainder().is_empty()).then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}
