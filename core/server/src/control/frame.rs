//! Frames of the control socket: a line of JSON with `body`, the octets that follow it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Octets of the line of a request: arguments come from a command line.
pub const REQUEST_MAX: u64 = 256 * 1024;
/// Octets of the line of a reply: an answer of 4 MiB with every octet escaped, and room.
pub const REPLY_MAX: u64 = 26 << 20;

/// What is asked of the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// An operation of a plugin; the body is the message of `--file`, if it has octets.
    Operation(OperationRequest),
    /// Messages of a Maildir for a mailbox, one behind the other in the body.
    Import(ImportRequest),
    /// A code for a lost password; there is no body.
    Recovery(super::recovery::RecoveryRequest),
    /// A request of the outbox is to be made again now.
    Retry(RetryRequest),
}

/// Names a request of the outbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RetryRequest {
    /// The plugin that made it.
    pub plugin: String,
    /// The target that it asks.
    pub target: String,
    /// The plugin's name for it.
    pub key: String,
}

/// Messages from elsewhere, in the order in which they are filed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImportRequest {
    /// The mailbox.
    pub address: String,
    /// The folder, made if it is not there.
    pub folder: String,
    /// What the body holds.
    pub items: Vec<super::import::Item>,
}

/// An operation of a plugin.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OperationRequest {
    /// The plugin, by its name in the policy or that of its component.
    pub plugin: String,
    /// The operation.
    pub operation: String,
    /// Who asks.
    pub actor: String,
    /// By name.
    pub arguments: Vec<(String, String)>,
}

/// What the server says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is done, and on disk.
    Done(Done),
    /// It is not, for this reason.
    Failed(String),
}

/// How a request ended well.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Done {
    /// A JSON object, as text: its fields in the order in which they were written.
    pub answer: String,
    /// What the answer says of the matter.
    pub valid: Option<bool>,
    /// Whether the body is content for whoever asked.
    pub output: bool,
}

#[derive(Serialize)]
struct Written<'a, T> {
    head: &'a T,
    body: u64,
}

#[derive(Deserialize)]
struct Read<T> {
    head: T,
    body: u64,
}

/// The next frame and the octets of the body that follows it; none where the connection ended between frames.
pub async fn read<T: DeserializeOwned>(
    reader: &mut (impl AsyncBufRead + Unpin),
    longest: u64,
) -> std::io::Result<Option<(T, u64)>> {
    let mut line = Vec::new();
    reader.take(longest).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(std::io::Error::other("a frame that is cut off or too long"));
    }
    let Read { head, body } = serde_json::from_slice(&line).map_err(std::io::Error::other)?;
    Ok(Some((head, body)))
}

/// Writes the line of a frame; the caller writes `body` octets after it.
pub async fn write(writer: &mut (impl AsyncWrite + Unpin), head: &impl Serialize, body: u64) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(&Written { head, body }).map_err(std::io::Error::other)?;
    line.push(b'\n');
    writer.write_all(&line).await
}
