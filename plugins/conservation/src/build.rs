//! The bytes of a package: index, stamp over it, grammar of the metadata, then the files, in one `ustar`.
//!
//! Everything depends on what is remembered of the package and on the files themselves, so the same bytes can be made
//! again when a deposit is tried again.

use crate::entry::{Entry, Facts, hex, unhex};
use crate::host::{Error, Failure, Host};
use crate::index;
use crate::package::Package;
use crate::tar;

/// A package in the server's hands.
pub struct Built<H: Host> {
    /// Its bytes.
    pub content: H::Content,
}

/// Why there is none.
pub enum Trouble {
    /// It would be more than content can be: fewer files may fit.
    TooMuch(String),
    /// A file is not there any more.
    Gone(String),
    /// A log file is not what was sealed, and why that is known.
    Damaged {
        /// Its name.
        name: String,
        /// In words.
        why: String,
    },
    /// The step fails.
    Failed(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Failed(failure)
    }
}

/// What an error of the host is to the package.
pub fn trouble(error: Error, what: &str) -> Trouble {
    match error {
        Error::Limit(why) => Trouble::TooMuch(format!("{what}: {why}")),
        error => Trouble::Failed(error.during(what)),
    }
}

/// SHA-256 of octets of our own.
pub fn digest<H: Host>(host: &H, octets: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut content = host.content();
    host.append(&mut content, octets).map_err(|error| error.during("a digest"))?;
    host.sha256(&content).map_err(|error| error.during("a digest"))
}

/// Builds a package. Sets size, digest and digest of the index of the package, where each entry begins, and, if it has
/// none yet, the stamp.
pub fn build<H: Host>(host: &H, package: &mut Package, entries: &mut [Entry]) -> Result<Built<H>, Trouble> {
    let text = index::render(package, entries);
    let mut alone = host.content();
    put(host, &mut alone, text.as_bytes())?;
    let index_sha256 = host.sha256(&alone).map_err(|error| error.during("digest of the index"))?;
    if package.stamp.is_empty() || package.index_sha256 != hex(&index_sha256) {
        let stamp = host.stamp(&index_sha256).map_err(|error| error.during("time stamp"))?;
        package.stamp = hex(&stamp);
    }
    let mut content = host.content();
    let stamp = unhex(&package.stamp);
    let own =
        [(index::NAME, text.as_bytes()), (index::STAMP_NAME, &stamp), (index::SCHEMA_NAME, index::SCHEMA.as_bytes())];
    for (name, octets) in own {
        put(host, &mut content, &tar::header(name, octets.len() as u64, package.created))?;
        put(host, &mut content, octets)?;
        put(host, &mut content, &zeros(tar::padding(octets.len() as u64)))?;
    }
    for entry in entries.iter_mut() {
        append(host, package, &mut content, entry)?;
    }
    put(host, &mut content, &zeros(tar::END))?;
    package.size = host.length(&content);
    package.sha256 = hex(&host.sha256(&content).map_err(|error| error.during("digest of the package"))?);
    package.index_sha256 = hex(&index_sha256);
    Ok(Built { content })
}

fn append<H: Host>(host: &H, package: &Package, content: &mut H::Content, entry: &mut Entry) -> Result<(), Trouble> {
    put(host, content, &tar::header(&entry.path, entry.size, package.created))?;
    entry.offset = host.length(content);
    match &entry.facts {
        Facts::Message(_) => {
            let message = match host.open(&package.mailbox, &entry.id) {
                Err(Error::NotFound) => return Err(Trouble::Gone(entry.id.clone())),
                opened => opened.map_err(|error| trouble(error, "a message of the archive"))?,
            };
            host.append_message(content, &message).map_err(|error| trouble(error, "the package"))?;
            put(host, content, &zeros(tar::padding(entry.size)))
        }
        Facts::Log(_) => {
            let file = match host.log_file(&entry.id) {
                Err(Error::NotFound) => return Err(Trouble::Gone(entry.id.clone())),
                Err(Error::Other(why)) => return Err(Trouble::Damaged { name: entry.id.clone(), why }),
                opened => opened.map_err(|error| trouble(error, "a log file"))?,
            };
            host.append_content(content, &file).map_err(|error| trouble(error, "the package"))?;
            put(host, content, &zeros(tar::padding(entry.size)))?;
            let stamp = host.log_stamp(&entry.id).map_err(|error| trouble(error, "the stamp of a log file"))?;
            put(host, content, &tar::header(&format!("{}.tsr", entry.path), stamp.len() as u64, package.created))?;
            put(host, content, &stamp)?;
            put(host, content, &zeros(tar::padding(stamp.len() as u64)))
        }
    }
}

fn put<H: Host>(host: &H, content: &mut H::Content, octets: &[u8]) -> Result<(), Trouble> {
    if octets.is_empty() {
        return Ok(());
    }
    host.append(content, octets).map_err(|error| trouble(error, "the package"))
}

fn zeros(count: u64) -> Vec<u8> {
    vec![0; count as usize]
}
