//! Cutting the chains into files (LOG-02, LOG-13): at the end of each legal day, when enough has come together, or when
//! an operator asks.
//!
//! The order is: write the file under a name of its own, sync it, rename it, sync the folder, then the row in the
//! database. A crash before the rename leaves a `.part` that the next sealing overwrites; a crash before the row leaves a
//! whole file, which the next sealing takes as it is if it continues the chain of the database. So no record is in two
//! files and none in no file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{OptionalExtension, Row};
use serde::Serialize;

use super::chain::{Finding, hex};
use super::sealed_file::{self, EXTENSION, FileReport, Header, Plan, Writer, Written};
use super::{Head, Stream, legal_time};
use crate::Millis;
use crate::commit::{Reader, Store, Tx, now};
use crate::error::StoreError;

/// The folder of sealed files, in that of the store.
pub const FOLDER: &str = "registro";
/// The instance of the component that writes: one server process holds the store.
const INSTANCE: &str = "1";
/// Shortest size at which a file may be closed, octets.
pub const ROTATE_OCTETS_MIN: u64 = 64 * 1024;

/// How sealing is done.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// Where the files go.
    pub folder: PathBuf,
    /// The server, for names.
    pub server: String,
    /// Octets of records at which a file is closed before the day is over.
    pub rotate_octets: u64,
}

/// A sealed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFile {
    /// Its row.
    pub id: i64,
    /// Which log.
    pub stream: Stream,
    /// Its first record.
    pub first: u64,
    /// Its last record.
    pub last: u64,
    /// Its name in the folder.
    pub name: String,
    /// Octets.
    pub size: u64,
    /// Of the whole file.
    pub sha256: [u8; 32],
    /// Hash before its first record.
    pub before: [u8; 32],
    /// Hash of its last record.
    pub head: [u8; 32],
    /// Begin of its period.
    pub since: Millis,
    /// End of its period.
    pub until: Millis,
    /// When it was sealed.
    pub sealed: Millis,
    /// When it was stamped.
    pub stamped: Option<Millis>,
    /// Failed attempts to have it stamped.
    pub attempts: u32,
    /// When to attempt it again.
    pub due: Millis,
    /// How the last attempt ended.
    pub problem: Option<String>,
    /// When it was copied to every other place.
    pub copied: Option<Millis>,
    /// When it left, past its time.
    pub removed: Option<Millis>,
}

impl SealedFile {
    /// The name of the file with the authority's answer, beside it.
    pub fn stamp_name(&self) -> String {
        format!("{}.tsr", self.name)
    }
}

/// How a log stands, for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StreamStatus {
    /// Which log.
    pub stream: Stream,
    /// The last record.
    pub last: u64,
    /// Records that are in no file yet.
    pub unsealed: u64,
    /// Octets of these.
    pub unsealed_octets: u64,
    /// The end of their legal day, when they are sealed at the latest; none if there are none.
    pub next_rotation: Option<Millis>,
    /// Sealed files that are here.
    pub files: u64,
    /// Of these, without a stamp.
    pub unstamped: u64,
    /// When the oldest of these was sealed.
    pub unstamped_since: Option<Millis>,
    /// Why the last attempt to have one stamped failed.
    pub problem: Option<String>,
    /// Of the files, not yet in every other place.
    pub uncopied: u64,
}

const COLUMNS: &str = "id, stream, first, last, name, size, sha256, before, head, since, until, sealed, stamped, \
                       attempts, due, problem, copied, removed";

fn row(row: &Row<'_>) -> rusqlite::Result<(SealedFile, i64)> {
    let number = |column| row.get::<_, i64>(column).map(|n| n as u64);
    let instant = |column| row.get::<_, Option<i64>>(column).map(|at| at.map(|at| at as Millis));
    let stream: i64 = row.get(1)?;
    let file = SealedFile {
        id: row.get(0)?,
        stream: Stream::from_number(stream).unwrap_or_default(), // looked at again by the caller
        first: number(2)?,
        last: number(3)?,
        name: row.get(4)?,
        size: number(5)?,
        sha256: row.get(6)?,
        before: row.get(7)?,
        head: row.get(8)?,
        since: number(9)?,
        until: number(10)?,
        sealed: number(11)?,
        stamped: instant(12)?,
        attempts: row.get(13)?,
        due: number(14)?,
        problem: row.get(15)?,
        copied: instant(16)?,
        removed: instant(17)?,
    };
    Ok((file, stream))
}

impl Reader<'_> {
    pub(super) fn files_where(
        &self,
        condition: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<SealedFile>, StoreError> {
        let statement = format!("SELECT {COLUMNS} FROM evidence_files WHERE {condition}");
        let mut statement = self.db.prepare_cached(&statement)?;
        let rows = statement.query_map(values, row)?;
        rows.map(|row| {
            let (file, stream) = row?;
            Stream::from_number(stream)?;
            Ok(file)
        })
        .collect()
    }

    /// The sealed files of a log, also those that were removed, in the order of the chain.
    pub fn sealed_files(&self, stream: Stream) -> Result<Vec<SealedFile>, StoreError> {
        self.files_where("stream = ?1 ORDER BY first", [stream.number()])
    }

    /// The sealed file that holds a record.
    pub fn sealed_file_of(&self, stream: Stream, sequence: u64) -> Result<Option<SealedFile>, StoreError> {
        let found = self.files_where(
            "stream = ?1 AND first <= ?2 AND last >= ?2",
            (stream.number(), i64::try_from(sequence).unwrap_or(i64::MAX)),
        )?;
        Ok(found.into_iter().next())
    }

    /// Files to be stamped now, the oldest first.
    pub fn unstamped_files(&self, now: Millis, limit: usize) -> Result<Vec<SealedFile>, StoreError> {
        self.files_where(
            "stamped IS NULL AND removed IS NULL AND due <= ?1 ORDER BY sealed, id LIMIT ?2",
            (now as i64, limit as i64),
        )
    }

    /// Stamped files that are not in every other place yet.
    pub fn uncopied_files(&self, limit: usize) -> Result<Vec<SealedFile>, StoreError> {
        self.files_where(
            "copied IS NULL AND stamped IS NOT NULL AND removed IS NULL ORDER BY sealed, id LIMIT ?1",
            [limit as i64],
        )
    }

    /// The authority's answer for a file.
    pub fn stamp(&self, id: i64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT stamp FROM evidence_files WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?
            .flatten())
    }

    fn last_sealed(&self, stream: Stream) -> Result<Option<SealedFile>, StoreError> {
        Ok(self.files_where("stream = ?1 ORDER BY first DESC LIMIT 1", [stream.number()])?.into_iter().next())
    }

    /// Where the sealed part of a chain ends.
    fn sealed_head(&self, stream: Stream) -> Result<Head, StoreError> {
        let last = self.last_sealed(stream)?;
        Ok(last.map_or(Head { sequence: 0, at: 0, hash: [0; 32] }, |file| Head {
            sequence: file.last,
            at: file.until,
            hash: file.head,
        }))
    }

    /// How a log stands.
    pub fn stream_status(&self, stream: Stream) -> Result<StreamStatus, StoreError> {
        let sealed = self.sealed_head(stream)?.sequence as i64;
        let (unsealed, octets, first): (i64, i64, Option<i64>) = self
            .db
            .prepare_cached(
                "SELECT COUNT(*), COALESCE(SUM(LENGTH(record)), 0), MIN(sequence) FROM evidence
                 WHERE stream = ?1 AND sequence > ?2",
            )?
            .query_row((stream.number(), sealed), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let begin = match first {
            Some(first) => self.instant_of(stream, first as u64)?,
            None => None,
        };
        let (files, unstamped, since, uncopied): (i64, i64, Option<i64>, i64) = self
            .db
            .prepare_cached(
                "SELECT COUNT(*), COALESCE(SUM(stamped IS NULL), 0), MIN(CASE WHEN stamped IS NULL THEN sealed END),
                        COALESCE(SUM(copied IS NULL), 0)
                 FROM evidence_files WHERE stream = ?1 AND removed IS NULL",
            )?
            .query_row([stream.number()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let problem = self
            .files_where(
                "stream = ?1 AND stamped IS NULL AND problem IS NOT NULL ORDER BY id LIMIT 1",
                [stream.number()],
            )?
            .into_iter()
            .next()
            .and_then(|file| file.problem);
        Ok(StreamStatus {
            stream,
            last: self.evidence_head(stream)?.sequence,
            unsealed: unsealed as u64,
            unsealed_octets: octets as u64,
            next_rotation: begin.map(|at| legal_time::day(at).1),
            files: files as u64,
            unstamped: unstamped as u64,
            unstamped_since: since.map(|at| at as Millis),
            problem,
            uncopied: uncopied as u64,
        })
    }

    pub(crate) fn instant_of(&self, stream: Stream, sequence: u64) -> Result<Option<Millis>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT at FROM evidence WHERE stream = ?1 AND sequence = ?2")?
            .query_row((stream.number(), sequence as i64), |row| row.get::<_, i64>(0))
            .optional()?
            .map(|at| at as Millis))
    }

    /// The next file to be sealed, if it is time.
    fn plan(&self, stream: Stream, octets_max: u64, now: Millis, at_once: bool) -> Result<Option<Plan>, StoreError> {
        let last_file = self.last_sealed(stream)?;
        let before = self.sealed_head(stream)?;
        let Some(begin) = self.instant_of(stream, before.sequence + 1)? else { return Ok(None) };
        let (day, end_of_day) = legal_time::day(begin);
        // A day that was cut by size or by hand goes on where the last file ended.
        // Names have whole seconds, so that it may have ended up to a second later than its last record.
        let since = last_file.filter(|file| (day..=begin + 1000).contains(&file.until)).map_or(day, |file| file.until);
        let mut statement = self.db.prepare_cached(
            "SELECT sequence, at, LENGTH(record) FROM evidence WHERE stream = ?1 AND sequence > ?2 ORDER BY sequence",
        )?;
        let mut rows = statement.query((stream.number(), before.sequence as i64))?;
        let (mut last, mut octets, mut closed) = (before.sequence, 0, None);
        while let Some(row) = rows.next()? {
            let (sequence, at, length) =
                (row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64);
            if at >= end_of_day {
                closed = Some(end_of_day);
                break;
            }
            (last, octets) = (sequence, octets + length);
            if octets >= octets_max {
                closed = Some(at + 1);
                break;
            }
        }
        let until = match closed {
            Some(until) => until,
            None if now >= end_of_day => end_of_day,
            None if at_once => now.max(begin) + 1,
            None => return Ok(None),
        };
        let until = if until == end_of_day { until } else { until.div_ceil(1000) * 1000 }.max(since + 1000);
        Ok(Some(Plan { stream, before, last, since, until }))
    }

    fn write_planned(&self, plan: &Plan, sealing: &Sealing) -> Result<(String, Written), StoreError> {
        let mut instance = INSTANCE.to_owned();
        let mut name = sealed_file::file_name(&sealing.server, plan, &instance);
        if sealing.folder.join(&name).exists() || self.is_name_taken(&name)? {
            // Only a clock that was set back brings the same period twice.
            instance = format!("{INSTANCE}-{}", plan.before.sequence + 1);
            name = sealed_file::file_name(&sealing.server, plan, &instance);
        }
        let header = Header::new(&sealing.server, &name, &instance, plan);
        let path = sealing.folder.join(&name);
        let part = sealed_file::part_of(&sealing.folder.join(format!("sealing-{}", plan.stream.word())));
        let mut writer = Writer::begin(sealed_file::create(&part)?, &header, plan.before)?;
        let mut statement = self.db.prepare_cached(
            "SELECT sequence, record, hash FROM evidence WHERE stream = ?1 AND sequence > ?2 AND sequence <= ?3
             ORDER BY sequence",
        )?;
        let mut rows = statement.query((plan.stream.number(), plan.before.sequence as i64, plan.last as i64))?;
        while let Some(row) = rows.next()? {
            // A record that was tampered with is sealed as it stands: the verification names it.
            let hash = row.get::<_, Vec<u8>>(2)?.try_into().unwrap_or_default();
            let text: String = row.get(1)?;
            writer.record(row.get::<_, i64>(0)? as u64, &text.replace(['\n', '\r'], " "), hash)?;
        }
        let written = writer.finish()?;
        sealed_file::rename(&part, &path)?;
        Ok((name, written))
    }

    fn is_name_taken(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.db.prepare_cached("SELECT 1 FROM evidence_files WHERE name = ?1")?.exists([name])?)
    }

    /// A whole file that continues the chain and that no row names: what a crash left.
    fn orphan(&self, stream: Stream, folder: &Path) -> Result<Option<(FileReport, Head)>, StoreError> {
        let before = self.sealed_head(stream)?;
        for path in log_files(folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if self.is_name_taken(&name)? {
                continue;
            }
            let report = sealed_file::read(&path, |_, _, _| {})?;
            let continues = report.findings.is_empty()
                && report.header.as_ref().is_some_and(|header| {
                    header.stream == stream
                        && header.first == before.sequence + 1
                        && header.previous == hex(&before.hash)
                });
            if let Some(head) = report.head.filter(|_| continues)
                && self.hash_of(stream, head.sequence)? == Some(head.hash.to_vec())
            {
                return Ok(Some((report, before)));
            }
        }
        Ok(None)
    }

    /// The text of a record as it was hashed, its hash, and the hash before it.
    pub fn record_as_hashed(&self, stream: Stream, sequence: u64) -> Result<(String, [u8; 32], [u8; 32]), StoreError> {
        let row = self
            .db
            .prepare_cached("SELECT record, hash FROM evidence WHERE stream = ?1 AND sequence = ?2")?
            .query_row((stream.number(), sequence as i64), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (text, hash) =
            row.ok_or_else(|| StoreError::NotFound(format!("record {sequence} of {}", stream.word())))?;
        let cut = self.cut(stream)?;
        let previous = if sequence == cut.sequence + 1 {
            cut.hash
        } else {
            let previous = self.hash_of(stream, sequence - 1)?.and_then(|hash| hash.try_into().ok());
            previous.ok_or_else(|| StoreError::Damaged(format!("record {} is missing", sequence - 1)))?
        };
        Ok((text, hash, previous))
    }

    fn hash_of(&self, stream: Stream, sequence: u64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT hash FROM evidence WHERE stream = ?1 AND sequence = ?2")?
            .query_row((stream.number(), sequence as i64), |row| row.get(0))
            .optional()?)
    }

    /// Compares the files in the folder with what the database says of them and with its chain.
    pub fn verify_files(
        &self,
        stream: Stream,
        folder: &Path,
        mut seen: impl FnMut(&str),
    ) -> Result<Vec<(SealedFile, Vec<Finding>)>, StoreError> {
        let mut checked = Vec::new();
        let mut before = Head { sequence: 0, at: 0, hash: [0; 32] };
        for file in self.sealed_files(stream)? {
            let mut findings = Vec::new();
            let mut note = |problem: String| findings.push(Finding::file(&file.name, problem));
            if file.first != before.sequence + 1 || file.before != before.hash {
                note(format!("the database has it after record {} and not after {}", file.first - 1, before.sequence));
            }
            before = Head { sequence: file.last, at: file.until, hash: file.head };
            if file.removed.is_none() {
                seen(&file.name);
                if self.hash_of(stream, file.last)? != Some(file.head.to_vec()) {
                    note(format!("record {} in the database is not the one that it ends with", file.last));
                }
                findings.extend(compare(&file, folder)?);
            }
            checked.push((file, findings));
        }
        Ok(checked)
    }
}

/// A file beside its row.
fn compare(file: &SealedFile, folder: &Path) -> Result<Vec<Finding>, StoreError> {
    let path = folder.join(&file.name);
    if !path.exists() {
        return Ok(vec![Finding::file(
            &file.name,
            format!("it is missing, with records {} to {}", file.first, file.last),
        )]);
    }
    let report = sealed_file::read(&path, |_, _, _| {})?;
    let mut findings = report.findings;
    if findings.is_empty() && report.sha256 != file.sha256 {
        findings.push(Finding::file(&file.name, "it is not the file that was sealed: its SHA-256 is another"));
    }
    Ok(findings)
}

/// Every sealed file of a folder, by name.
pub fn log_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|extension| extension == EXTENSION) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Keeps a command and the server from sealing at once.
fn lock(folder: &Path) -> io::Result<File> {
    let lock = OpenOptions::new().write(true).create(true).truncate(false).open(folder.join(".lock"))?;
    lock.lock()?;
    Ok(lock)
}

impl Store {
    /// Writes the stamps that are kept in the database and not beside their files: a crash came between.
    pub async fn restore_stamps(&self, folder: &Path) -> Result<(), StoreError> {
        let folder = folder.to_owned();
        self.read(move |r| {
            for stream in Stream::ALL {
                for file in r.sealed_files(stream)? {
                    let path = folder.join(file.stamp_name());
                    if file.removed.is_none()
                        && !path.exists()
                        && let Some(stamp) = r.stamp(file.id)?
                    {
                        sealed_file::write_whole(&path, &stamp)?;
                    }
                }
            }
            Ok(())
        })
        .await
    }

    /// Seals what is due, or everything there is (`at_once`); returns the new files.
    pub async fn seal(&self, sealing: &Sealing, at_once: bool) -> Result<Vec<SealedFile>, StoreError> {
        let folder = sealing.folder.clone();
        let lock = tokio::task::spawn_blocking(move || {
            fs::create_dir_all(&folder)?;
            lock(&folder)
        });
        let _lock = lock.await.map_err(|error| StoreError::Stopped(error.to_string()))??;
        let mut files = Vec::new();
        for stream in Stream::ALL {
            while let Some(file) = self.seal_one(stream, sealing, at_once).await? {
                files.push(file);
            }
        }
        Ok(files)
    }

    async fn seal_one(
        &self,
        stream: Stream,
        sealing: &Sealing,
        at_once: bool,
    ) -> Result<Option<SealedFile>, StoreError> {
        let own = sealing.clone();
        let sealed = self
            .read(move |r| {
                if let Some((report, before)) = r.orphan(stream, &own.folder)? {
                    return r.adopted(stream, &report, before).map(Some);
                }
                let Some(plan) = r.plan(stream, own.rotate_octets, now(), at_once)? else { return Ok(None) };
                let (name, written) = r.write_planned(&plan, &own)?;
                Ok(Some((name, plan, written)))
            })
            .await?;
        let Some((name, plan, written)) = sealed else { return Ok(None) };
        self.write(move |tx| tx.add_sealed_file(&name, &plan, &written)).await.map(Some)
    }
}

impl Reader<'_> {
    /// The row of a file that was there already: its period is in its name, which the plan would give it again.
    fn adopted(
        &self,
        stream: Stream,
        report: &FileReport,
        before: Head,
    ) -> Result<(String, Plan, Written), StoreError> {
        let damaged = || StoreError::Damaged(format!("{}: no records in it", report.name));
        let head = report.head.ok_or_else(damaged)?;
        let begin = self.instant_of(stream, before.sequence + 1)?.ok_or_else(damaged)?;
        let end = self.instant_of(stream, head.sequence)?.ok_or_else(damaged)?;
        let plan = Plan { stream, before, last: head.sequence, since: begin, until: end + 1 };
        tracing::warn!(file = report.name, "a sealed file that a crash left is taken as it is");
        Ok((report.name.clone(), plan, Written { size: report.size, sha256: report.sha256, head }))
    }
}

impl Tx<'_> {
    fn add_sealed_file(&mut self, name: &str, plan: &Plan, written: &Written) -> Result<SealedFile, StoreError> {
        if self.reader().sealed_head(plan.stream)?.sequence != plan.before.sequence {
            return Err(StoreError::Conflict(format!("the log was sealed by somebody else; {name}")));
        }
        self.db
            .prepare_cached(
                "INSERT INTO evidence_files (stream, first, last, name, size, sha256, before, head, since, until, sealed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute((
                plan.stream.number(),
                plan.before.sequence as i64 + 1,
                written.head.sequence as i64,
                name,
                written.size as i64,
                &written.sha256[..],
                &plan.before.hash[..],
                &written.head.hash[..],
                plan.since as i64,
                plan.until as i64,
                self.now as i64,
            ))?;
        let id = self.db.last_insert_rowid();
        let file = self.reader().files_where("id = ?1", [id])?.into_iter().next();
        file.ok_or_else(|| StoreError::NotFound(format!("sealed file {name}")))
    }

    /// Keeps the authority's answer for a file; returns the one that is kept, which is another if somebody was faster.
    pub fn stamp_file(&mut self, id: i64, answer: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.db
            .prepare_cached(
                "UPDATE evidence_files SET stamp = ?2, stamped = ?3, problem = NULL WHERE id = ?1 AND stamped IS NULL",
            )?
            .execute((id, answer, self.now as i64))?;
        self.reader().stamp(id)?.ok_or_else(|| StoreError::NotFound(format!("sealed file {id}")))
    }

    /// A file could not be stamped: when to try again, and why.
    pub fn stamp_failed(&mut self, id: i64, due: Millis, problem: &str) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE evidence_files SET attempts = attempts + 1, due = ?2, problem = ?3
                 WHERE id = ?1 AND stamped IS NULL",
            )?
            .execute((id, due as i64, problem))?;
        Ok(())
    }

    /// A file is in every other place too.
    pub fn file_copied(&mut self, id: i64) -> Result<(), StoreError> {
        self.db
            .prepare_cached("UPDATE evidence_files SET copied = ?2 WHERE id = ?1")?
            .execute((id, self.now as i64))?;
        Ok(())
    }
}
