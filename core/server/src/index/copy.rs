//! The kept copies of the index, `DATA-DIR/index/`: what the server uses when its source is away.
//!
//! | file | what |
//! |---|---|
//! | `current.ldif` | the edition in use, its origin in the comments at its head |
//! | `previous.ldif` | the one before it |
//! | `next.ldif` | a new one until it is on disk whole |
//! | `checked` | empty; its time is when the source was last found to have what is in use, or a new edition |
//! | `lock` | held by whoever takes a new one: the server, or a command beside it |
//!
//! A crash leaves either edition as `current.ldif`, whole; `next.ldif` is written anew by the next attempt.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sigillo_trust::{Edition, directory::INDEX_OCTETS_MAX};

/// Octets that the head of a copy may add.
const HEAD_MAX: u64 = 64 * 1024;

/// What changes when a file does.
pub type Stamp = (u64, u64, i64, i64);

/// The stamp of a file; none if it is not there.
pub fn stamp(path: &Path) -> Option<Stamp> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
}

/// The copies in their folder.
#[derive(Debug, Clone)]
pub struct Copies(PathBuf);

impl Copies {
    /// Of this data folder.
    pub fn of(data_dir: &Path) -> Copies {
        Copies(data_dir.join("index"))
    }

    /// The copy in use.
    pub fn current(&self) -> PathBuf {
        self.0.join("current.ldif")
    }

    /// Waits until nobody else takes an edition, and keeps others waiting until the value is dropped.
    pub fn lock(&self) -> io::Result<File> {
        std::fs::create_dir_all(&self.0)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(self.0.join("lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    /// The copy in use; none if there never was one. If it is damaged, the one before it, with a word in the log.
    pub fn read(&self) -> Result<Option<Edition>, String> {
        let current = self.current();
        let problem = match read(&current) {
            Ok(found) => return Ok(found),
            Err(problem) => problem,
        };
        match read(&self.0.join("previous.ldif")) {
            Ok(Some(previous)) => {
                tracing::error!(problem, "the copy of the index of providers cannot be used; the one before it is");
                Ok(Some(previous))
            }
            _ => Err(problem),
        }
    }

    /// Notes that the source was just found good.
    pub fn note_checked(&self) {
        // Only a figure hangs on it.
        let _ = File::create(self.0.join("checked")).and_then(|file| file.set_modified(std::time::SystemTime::now()));
    }

    /// When that was, milliseconds since 1970.
    pub fn checked(&self) -> Option<u64> {
        let time = std::fs::metadata(self.0.join("checked")).ok()?.modified().ok()?;
        time.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis().try_into().ok()
    }

    /// Puts an edition in the place of the one in use. `Ok` means that it is on disk.
    pub fn write(&self, edition: &Edition) -> io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        let (next, current, previous) = (self.0.join("next.ldif"), self.current(), self.0.join("previous.ldif"));
        let mut file = File::create(&next)?;
        file.write_all(&edition.to_file())?;
        file.sync_all()?;
        if current.exists() {
            // A link and two renames: at no instant is there no current copy.
            let linked = self.0.join("previous.new");
            let _ = std::fs::remove_file(&linked); // left by a crash
            std::fs::hard_link(&current, &linked)?;
            std::fs::rename(&linked, &previous)?;
        }
        std::fs::rename(&next, &current)?;
        File::open(&self.0)?.sync_all()
    }
}

fn read(path: &Path) -> Result<Option<Edition>, String> {
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(&error)),
        Ok(data) if data.len() > INDEX_OCTETS_MAX as u64 + HEAD_MAX => return Err(at(&"it is too long")),
        Ok(_) => {}
    }
    let file = std::fs::read(path).map_err(|error| at(&error))?;
    Edition::from_file(&file).map(Some).map_err(|error| at(&error))
}
