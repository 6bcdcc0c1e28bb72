//! What is past its time leaves (LOG-10, LOG-16): whole files, from the beginning of a chain, only once they are sealed
//! and stamped. Their rows stay for ever, so that the chain goes on verifying from where it was cut.

use std::io;
use std::path::Path;

use rusqlite::OptionalExtension;

use super::{Head, Stream};
use crate::Millis;
use crate::commit::{Reader, Store, Tx};
use crate::error::StoreError;

/// Days that the law wants the log kept: thirty months (PEC §2.3), whatever their lengths.
pub const RETENTION_DAYS_MIN: u32 = 915;
/// A day in milliseconds.
const DAY: Millis = 24 * 3600 * 1000;

impl Reader<'_> {
    /// Where a chain begins: behind the last record that was removed.
    pub fn cut(&self, stream: Stream) -> Result<Head, StoreError> {
        let row = self
            .db
            .prepare_cached(
                "SELECT last, until, head FROM evidence_files WHERE stream = ?1 AND removed IS NOT NULL
                 ORDER BY first DESC LIMIT 1",
            )?
            .query_row([stream.number()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get(2)?)))
            .optional()?;
        Ok(row.map_or(Head { sequence: 0, at: 0, hash: [0; 32] }, |(last, at, hash)| Head {
            sequence: last as u64,
            at: at as Millis,
            hash,
        }))
    }
}

impl Tx<'_> {
    /// Removes the records of the oldest file of a chain if it is stamped and its period ended before `before`; returns
    /// its name.
    fn remove_oldest_file(&mut self, stream: Stream, before: Millis) -> Result<Option<String>, StoreError> {
        let oldest = self
            .db
            .prepare_cached(
                "SELECT id, first, last, name, until, stamped IS NOT NULL FROM evidence_files
                 WHERE stream = ?1 AND removed IS NULL ORDER BY first LIMIT 1",
            )?
            .query_row([stream.number()], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, String>(3)?,
                    row.get::<_, i64>(4)? as Millis,
                    row.get::<_, bool>(5)?,
                ))
            })
            .optional()?;
        let Some((id, first, last, name, until, stamped)) = oldest else { return Ok(None) };
        if until > before || !stamped {
            return Ok(None);
        }
        let mut texts = self.db.prepare_cached(
            "SELECT sequence, at, record FROM evidence WHERE stream = ?1 AND sequence BETWEEN ?2 AND ?3",
        )?;
        let mut remove = self.db.prepare_cached(
            "DELETE FROM evidence_terms WHERE stream = ?1 AND field = ?2 AND value = ?3 AND at = ?4 AND sequence = ?5",
        )?;
        let mut rows = texts.query((stream.number(), first, last))?;
        while let Some(row) = rows.next()? {
            let (sequence, at, text) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?);
            let Ok(record) = serde_json::from_str::<super::Record>(&text) else { continue };
            for (field, value) in super::terms(&record.event) {
                remove.execute((stream.number(), field.number(), value, at, sequence))?;
            }
        }
        drop(rows);
        self.db.prepare_cached("DELETE FROM evidence WHERE stream = ?1 AND sequence BETWEEN ?2 AND ?3")?.execute((
            stream.number(),
            first,
            last,
        ))?;
        self.db
            .prepare_cached("UPDATE evidence_files SET removed = ?2 WHERE id = ?1")?
            .execute((id, self.now as i64))?;
        Ok(Some(name))
    }
}

impl Store {
    /// Removes sealed and stamped files, with their records, that ended more than `days` ago; returns their names. A
    /// file whose rows are gone and that a crash left in the folder is removed too.
    pub async fn remove_old_evidence(&self, folder: &Path, days: u32) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        for stream in Stream::ALL {
            let old = move |tx: &mut Tx<'_>| {
                let before = tx.now.saturating_sub(Millis::from(days) * DAY);
                tx.remove_oldest_file(stream, before)
            };
            // One file in a transaction: the commits of others must not wait for more.
            while let Some(name) = self.write(old).await? {
                names.push(name);
            }
        }
        let gone = self
            .read(|r| {
                let mut gone = Vec::new();
                for stream in Stream::ALL {
                    gone.extend(r.sealed_files(stream)?.into_iter().filter(|file| file.removed.is_some()));
                }
                Ok(gone)
            })
            .await?;
        for file in gone {
            for name in [file.stamp_name(), file.name] {
                match std::fs::remove_file(folder.join(name)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(names)
    }
}
