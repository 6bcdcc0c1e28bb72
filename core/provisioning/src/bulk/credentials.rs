//! The file of first passwords: for its owner's eyes only, on disk before the mailboxes are made.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sigillo_store::Millis;

use crate::error::Error;
use crate::passwords;

/// Octets of the file at most. Ours: 200,000 rows have about 20 MB.
const FILE_MAX: u64 = 128 * 1024 * 1024;
/// What a password must still be good for to be taken again: an hour.
const REMAINING_MS: Millis = 3_600_000;
const HEADER: [&str; 4] = ["login", "password", "mailbox", "valid-until"];

/// The file, and what is in it.
pub(super) struct Credentials {
    path: PathBuf,
    file: File,
    known: BTreeMap<String, (String, Millis)>,
    fresh: Vec<[String; 4]>,
}

impl Credentials {
    /// Opens the file, or makes it with mode 600; one that others may read is refused.
    pub(super) fn open(path: &Path) -> Result<Credentials, Error> {
        let shown = path.display().to_string();
        let failed = |error: std::io::Error| Error::invalid(&shown, error.to_string(), "name another file");
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() || metadata.mode() & 0o077 != 0 {
            return Err(Error::invalid(
                &shown,
                format!("others may read it (mode {:o})", metadata.mode() & 0o777),
                format!("run: chmod 600 {shown}"),
            ));
        }
        // Two runs at once would each make a password for the same login, and one of them would open nothing.
        if file.try_lock().is_err() {
            return Err(Error::invalid(&shown, "another run works with it", "wait until that has ended"));
        }
        let mut text = Vec::new();
        Read::by_ref(&mut file).take(FILE_MAX).read_to_end(&mut text).map_err(failed)?;
        // A line that a crash cut off was followed by no commit: nobody has that password.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(failed)?;
        }
        let mut known = BTreeMap::new();
        if whole == 0 {
            file.write_all(format!("{}\n", HEADER.join(",")).as_bytes()).map_err(failed)?;
        } else {
            let mut reader = csv::Reader::from_reader(&text[..whole]);
            let header = reader.headers().map(|header| header.iter().eq(HEADER)).unwrap_or(false);
            if !header {
                return Err(Error::invalid(&shown, "it is not a file of first passwords", "name another file"));
            }
            for record in reader.records().flatten() {
                let ends = record.get(3).and_then(|at| at.parse::<jiff::Timestamp>().ok());
                if let (Some(login), Some(password), Some(ends)) = (record.get(0), record.get(1), ends) {
                    let ends = ends.as_millisecond().max(0) as Millis;
                    known.insert(login.to_owned(), (password.to_owned(), ends));
                }
            }
        }
        Ok(Credentials { path: path.to_owned(), file, known, fresh: Vec::new() })
    }

    /// Sees to it that a login has a password: the one of an interrupted run, if it is good for a while still.
    pub(super) fn want(&mut self, login: &str, mailbox: &str, ends: Millis, now: Millis) {
        if self.known.get(login).is_some_and(|(_, ends)| *ends > now + REMAINING_MS) {
            return;
        }
        // Whole seconds, as the file has them.
        let ends = ends / 1000 * 1000;
        let password = passwords::make();
        let until =
            jiff::Timestamp::from_millisecond(ends as i64).map_or_else(|_| ends.to_string(), |at| at.to_string());
        self.fresh.push([login.to_owned(), password.clone(), mailbox.to_owned(), until]);
        self.known.insert(login.to_owned(), (password, ends));
    }

    /// Puts the new ones on disk.
    pub(super) fn write(&mut self) -> Result<(), Error> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let failed =
            |error: String| Error::invalid(self.path.display().to_string(), error, "make room and run it again");
        let mut lines = csv::Writer::from_writer(Vec::new());
        for line in self.fresh.drain(..) {
            lines.write_record(&line).map_err(|error| failed(error.to_string()))?;
        }
        let lines = lines.into_inner().map_err(|error| failed(error.to_string()))?;
        self.file.write_all(&lines).and_then(|()| self.file.sync_all()).map_err(|error| failed(error.to_string()))
    }

    /// The password of a login that was wanted, and its end.
    pub(super) fn of(&self, login: &str) -> (String, Millis) {
        self.known.get(login).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn adm_15_an_interrupted_run_finds_its_passwords_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("first.csv");
        let mut file = Credentials::open(&path).unwrap();
        file.want("ada@alfa.example", "ada@alfa.example", 100 * REMAINING_MS, 0);
        file.write().unwrap();
        let first = file.of("ada@alfa.example");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // Cut off in the middle of the next line.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"eva@alfa.example,half").unwrap();
        assert!(Credentials::open(&path).err().unwrap().to_string().contains("another run works with it"));
        drop(file);
        let mut again = Credentials::open(&path).unwrap();
        again.want("ada@alfa.example", "ada@alfa.example", 200 * REMAINING_MS, 0);
        again.want("eva@alfa.example", "eva@alfa.example", 200 * REMAINING_MS, 0);
        again.write().unwrap();
        assert_eq!(again.of("ada@alfa.example"), first);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("half") && text.lines().count() == 3, "{text}");
        // One whose time is nearly over is not given out again.
        drop(again);
        let mut late = Credentials::open(&path).unwrap();
        late.want("ada@alfa.example", "ada@alfa.example", 300 * REMAINING_MS, 100 * REMAINING_MS);
        assert_ne!(late.of("ada@alfa.example"), first);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("first.csv");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let said = Credentials::open(&path).err().unwrap().to_string();
        assert!(said.contains("chmod 600"), "{said}");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(folder.path().join("other.csv"), "x\n").unwrap();
        std::os::unix::fs::symlink(folder.path().join("other.csv"), &path).unwrap();
        assert!(Credentials::open(&path).is_err(), "a link is not followed");
    }
}
