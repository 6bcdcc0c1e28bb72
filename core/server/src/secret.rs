//! The secret of this server, from which the keys of its plugins' tags are derived.
//!
//! It lies in `DATA-DIR/secret`, made at the first start, readable by the server's user alone, and is never changed by
//! the server. Without it (lost, or changed by hand) nothing that was tagged before is known again: addresses and codes
//! that plugins gave out are refused like forged ones, and new ones are good at once. No message depends on it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::{ConfigError, read_secret};

/// Octets of the secret: as much as the hash gives (RFC 2104 §3).
const LENGTH: usize = 32;
/// What a key is derived for (RFC 5869 §3.2), before the plugin's name.
const PURPOSE: &[u8] = b"sigillo plugin mac 1:";

/// The secret.
#[derive(Clone)]
pub struct Secret(Hkdf<Sha256>);

impl Secret {
    /// Reads the secret of a data folder; makes it if there is none.
    pub fn open(folder: &Path) -> Result<Secret, ConfigError> {
        let path = folder.join("secret");
        let failed = |error: std::io::Error| ConfigError(format!("{}: {error}", path.display()));
        if !path.try_exists().map_err(failed)? {
            make(folder, &path).map_err(failed)?;
            tracing::info!(path = %path.display(), "made the secret of this server");
        }
        let bytes = read_secret(&path)?;
        if bytes.len() != LENGTH {
            return Err(ConfigError(format!(
                "{}: has {} octets, not {LENGTH}: put the file of a backup in its place, or remove it and a new one is made \
                 (then addresses and codes that plugins gave out are not known again)",
                path.display(),
                bytes.len()
            )));
        }
        Ok(Secret::of(&bytes))
    }

    fn of(bytes: &[u8]) -> Secret {
        Secret(Hkdf::new(None, bytes))
    }

    /// HMAC-SHA-256 under the key of one plugin.
    pub fn tag(&self, plugin: &str, data: &[u8]) -> [u8; 32] {
        let mut key = [0; LENGTH];
        // An output of one block cannot be too long (RFC 5869 §2.3).
        if self.0.expand_multi_info(&[PURPOSE, plugin.as_bytes()], &mut key).is_err() {
            unreachable!("one block is never too long");
        }
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { unreachable!("HMAC takes keys of any length") };
        mac.update(data);
        mac.finalize().into_bytes().into()
    }
}

/// Whole or not at all: a name is given only to what is on disk.
fn make(folder: &Path, path: &Path) -> std::io::Result<()> {
    let new = folder.join("secret.new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&rand::random::<[u8; LENGTH]>())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_derived_as_rfc_5869_and_rfc_2104_say() {
        // By Python: hmac.digest(hkdf(b"\x0b" * 32, b"sigillo plugin mac 1:forwarding"), b"data", "sha256").
        let tag = Secret::of(&[0x0b; 32]).tag("forwarding", b"data");
        assert_eq!(tag.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), EXPECTED);
    }

    #[test]
    fn a_tag_is_of_one_server_and_one_plugin() {
        let (one, other) = (Secret::of(&[1; 32]), Secret::of(&[2; 32]));
        assert_eq!(one.tag("a", b"x"), one.tag("a", b"x"));
        assert_ne!(one.tag("a", b"x"), one.tag("b", b"x"));
        assert_ne!(one.tag("a", b"x"), one.tag("a", b"y"));
        assert_ne!(one.tag("a", b"x"), other.tag("a", b"x"));
    }

    #[test]
    fn the_file_is_made_once_and_nobody_else_s() {
        let folder = tempfile::tempdir().unwrap();
        let first = Secret::open(folder.path()).unwrap().tag("a", b"x");
        assert_eq!(Secret::open(folder.path()).unwrap().tag("a", b"x"), first);
        let path = folder.path().join("secret");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!folder.path().join("secret.new").exists());

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Secret::open(folder.path()).is_err_and(|error| error.0.contains("others may read")));

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, b"short").unwrap();
        assert!(Secret::open(folder.path()).is_err_and(|error| error.0.contains("5 octets")));
    }

    #[test]
    fn a_crash_while_it_is_made_leaves_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret.new"), b"half").unwrap();
        assert!(Secret::open(folder.path()).is_ok());
    }

    #[test]
    fn a_lost_secret_makes_another() {
        let folder = tempfile::tempdir().unwrap();
        let first = Secret::open(folder.path()).unwrap().tag("a", b"x");
        std::fs::remove_file(folder.path().join("secret")).unwrap();
        assert_ne!(Secret::open(folder.path()).unwrap().tag("a", b"x"), first);
    }

    const EXPECTED: &str = "e6d58cc35e67decc68231fd6df2f7d065990bf3f3e7179d774c4b4d53c5c6f9e";
}
