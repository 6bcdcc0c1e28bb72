//! Messages of a Maildir: stream → content → commit → what became of each.

use serde::{Deserialize, Serialize};
use sigillo_mail::Rope;
use sigillo_provisioning::Provisioning;
use sigillo_provisioning::import::Placed;
use sigillo_provisioning::maildir::LineEnds;
use sigillo_store::Millis;
use sigillo_store::imports::Import;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::operation::Carried;
use super::{ImportRequest, PIECE, Refusal, skip};
use crate::server::Server;

/// Messages in one request, and so in one commit.
pub const AT_ONCE_MAX: usize = 64;
/// Octets in one request of several messages: what is in memory at once. One message may have more.
pub const AT_ONCE_OCTETS: u64 = 4 * 1024 * 1024;

/// One message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Item {
    /// Its name there.
    pub name: String,
    /// Flags as IMAP has them.
    pub flags: Vec<String>,
    /// When it came, there.
    pub internal_date: Millis,
    /// Octets of the file, before its line ends are mended.
    pub octets: u64,
}

/// Takes what a command sent.
pub(super) async fn carry_out(
    server: &Server,
    request: ImportRequest,
    reader: &mut (impl AsyncRead + Unpin),
    body: u64,
) -> Result<Carried, Refusal> {
    let limit = server.config().limits.message_size;
    let promised = request.items.iter().try_fold(0u64, |sum, item| sum.checked_add(item.octets));
    let wrong = if promised != Some(body) {
        Some("the lengths of the messages do not add up to the body".to_owned())
    } else if request.items.len() > AT_ONCE_MAX || request.items.iter().any(|item| item.octets > limit) {
        Some(format!("at most {AT_ONCE_MAX} messages of at most {limit} octets are taken at once"))
    } else {
        None
    };
    if let Some(words) = wrong {
        skip(reader, body).await?;
        return Err(Refusal::Told(words));
    }
    let provisioning = Provisioning::new(server.store().clone(), server.config().provisioning.clone());
    let (address, folder) = (request.address, request.folder);
    let messages = read(&provisioning, &folder, request.items, reader).await?;
    let placed = provisioning.place(&address, messages).await.map_err(|error| Refusal::Told(error.to_string()))?;
    let answer = serde_json::to_string(&placed).map_err(|error| Refusal::Told(error.to_string()))?;
    Ok(Carried { answer, valid: None, output: None })
}

/// The same in the process that holds the store.
pub async fn take(
    provisioning: &Provisioning,
    request: ImportRequest,
    body: &mut (impl AsyncRead + Unpin),
) -> Result<Vec<Placed>, String> {
    let messages = read(provisioning, &request.folder, request.items, body).await.map_err(|error| error.to_string())?;
    provisioning.place(&request.address, messages).await.map_err(|error| error.to_string())
}

async fn read(
    provisioning: &Provisioning,
    folder: &str,
    items: Vec<Item>,
    reader: &mut (impl AsyncRead + Unpin),
) -> std::io::Result<Vec<Import>> {
    let mut messages = Vec::with_capacity(items.len());
    for item in items {
        messages.push(Import {
            folder: folder.to_owned(),
            name: item.name,
            content: content(provisioning, item.octets, reader).await?,
            flags: item.flags,
            internal_date: item.internal_date,
        });
    }
    Ok(messages)
}

/// By pieces into a file of its own where it is large, so that memory never holds it whole.
async fn content(
    provisioning: &Provisioning,
    octets: u64,
    reader: &mut (impl AsyncRead + Unpin),
) -> std::io::Result<Rope> {
    let mut spool = provisioning.store().spool();
    let mut ends = LineEnds::default();
    let mut piece = vec![0; PIECE];
    let mut rest = octets;
    while rest > 0 {
        let wanted = rest.min(PIECE as u64) as usize;
        reader.read_exact(&mut piece[..wanted]).await?;
        spool.write(&ends.mend(&piece[..wanted]))?;
        rest -= wanted as u64;
    }
    tokio::task::spawn_blocking(move || spool.finish()).await.map_err(std::io::Error::other)?
}
