//! A submission package ("pacchetto di versamento") as it is remembered.

use serde::{Deserialize, Serialize};

use crate::settings::{Protocol, Settings};

/// Where a package stands.
///
/// | state | what happens next | leads to |
/// |---|---|---|
/// | `queued` | the outbox deposits it | `confirmed`, `refused`, `expired` |
/// | `refused` | an operator asks for another try (`run`) | `queued` |
/// | `expired` | the next daily run, or an operator, tries again | `queued` |
/// | `confirmed` | nothing: its messages have left the archive in the commit that made it so | gone after `keep-days` |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// On its way.
    Queued,
    /// The target will not take it.
    Refused,
    /// The target was not there for as long as is waited for it.
    Expired,
    /// Deposited.
    Confirmed,
}

impl State {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Refused => "refused",
            State::Expired => "expired",
            State::Confirmed => "confirmed",
        }
    }
}

/// Whose the messages are (UNI 11386 `Holder`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Agent {
    /// Name.
    pub name: String,
    /// Number, such as `VATIT-01234567890`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// A package. All that its bytes depend on stands here and in its entries, so that the same bytes can be made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Package {
    /// Its name for ever: the legal day of its content and letters that tell packages of a day apart.
    pub id: String,
    /// Whose mailbox; empty for logs.
    pub mailbox: String,
    /// `YYYYMMDD`, the legal day of its content.
    pub day: String,
    /// When it was made, milliseconds since 1970, UTC, and its legal time in seconds east of UTC.
    pub created: u64,
    /// See `created`.
    pub offset: i32,
    /// 1; 2 and more where the same bytes could not be made again.
    pub revision: u32,
    /// How many times it was queued.
    pub attempt: u32,
    /// Where it stands.
    pub state: State,
    /// Since when, milliseconds since 1970, UTC.
    pub since: u64,
    /// Name of the target.
    pub target: String,
    /// What that speaks.
    pub protocol: Protocol,
    /// Where it lies there.
    pub path: String,
    /// Octets.
    pub size: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// SHA-256 of its index, hexadecimal.
    pub index_sha256: String,
    /// The time stamp over its index, DER in hexadecimal.
    pub stamp: String,
    /// How many files it holds.
    pub count: u32,
    /// How many pages its entries have.
    pub pages: u32,
    /// Who submits.
    pub submitter: Agent,
    /// Whose it is.
    pub holder: Agent,
    /// Who is responsible for its content, or for the security of the logs.
    pub addressee: Option<String>,
    /// By which paper they are bound.
    pub relevant_document: String,
    /// What the target said last; a stranger's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
    /// Its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// Pages of the receipt.
    #[serde(default)]
    pub receipt_pages: u32,
}

impl Serialize for Protocol {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Protocol::Http => "http",
            Protocol::Sftp => "sftp",
            Protocol::S3 => "s3",
        })
    }
}

impl Package {
    /// Whether it holds logs.
    pub fn is_log(&self) -> bool {
        self.mailbox.is_empty()
    }

    /// The key of its present attempt in the outbox.
    pub fn key(&self) -> String {
        format!("{}.{}", self.id, self.attempt)
    }

    /// The id in a key of the outbox.
    pub fn id_of(key: &str) -> Option<&str> {
        key.rsplit_once('.').map(|(id, _)| id)
    }

    /// Where it lies at the target: `folder/mailbox/year/id.tar`.
    pub fn path_of(settings: &Settings, mailbox: &str, id: &str, revision: u32) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-._@".contains(c) { c } else { '_' };
        let owner: String = if mailbox.is_empty() { "logs".into() } else { mailbox.chars().map(plain).collect() };
        let folder = if settings.folder.is_empty() { String::new() } else { format!("{}/", settings.folder) };
        let again = if revision > 1 { format!(".{revision}") } else { String::new() };
        let year = id.get(..4).unwrap_or("0000");
        // A name that consists of dots leads elsewhere.
        format!("{folder}{}/{year}/{id}{again}.tar", owner.trim_start_matches('.'))
    }

    /// What the target's protocol wants for its deposit.
    pub fn parameters(&self) -> Vec<(String, String)> {
        let pair = |name: &str, value: String| (name.to_owned(), value);
        match self.protocol {
            Protocol::Sftp => vec![pair("path", self.path.clone())],
            Protocol::S3 => vec![pair("object", self.path.clone()), pair("metadata.package", self.id.clone())],
            Protocol::Http => vec![
                pair("method", "PUT".into()),
                pair("path", self.path.clone()),
                pair("header.content-type", "application/x-tar".into()),
                // RFC 9530 §2.
                pair("header.content-digest", format!("sha-256=:{}:", crate::receipt::base64(&self.sha256))),
            ],
        }
    }

    /// Where it is read back.
    pub fn place(&self) -> Vec<(String, String)> {
        let name = if self.protocol == Protocol::S3 { "object" } else { "path" };
        vec![(name.to_owned(), self.path.clone())]
    }
}
