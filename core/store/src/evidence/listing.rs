//! Sealed files as whoever carries them elsewhere walks them: in the order in which they were closed, one after another.

use rusqlite::OptionalExtension;

use super::sealing::SealedFile;
use crate::commit::Reader;
use crate::error::StoreError;

impl Reader<'_> {
    /// Sealed files of all logs that are still here, in the order in which they were closed, after the one of this
    /// name (which may have left meanwhile).
    pub fn sealed_files_after(&self, after: Option<&str>, limit: u32) -> Result<Vec<SealedFile>, StoreError> {
        let after = match after {
            None => 0,
            Some(name) => self
                .db
                .prepare_cached("SELECT id FROM evidence_files WHERE name = ?1")?
                .query_row([name], |row| row.get::<_, i64>(0))
                .optional()?
                .ok_or_else(|| StoreError::NotFound(format!("sealed file {name}")))?,
        };
        self.files_where("removed IS NULL AND id > ?1 ORDER BY id LIMIT ?2", (after, limit))
    }

    /// The sealed file of this name, if it is still here.
    pub fn sealed_file_named(&self, name: &str) -> Result<Option<SealedFile>, StoreError> {
        Ok(self.files_where("removed IS NULL AND name = ?1", [name])?.into_iter().next())
    }
}
