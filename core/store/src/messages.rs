//! Immutable content, shared by everything that names it.

use rusqlite::OptionalExtension;
use sigillo_mail::{Range, Rope, Segment};

use crate::commit::{Reader, Tx};
use crate::error::StoreError;

/// A message of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId(pub(crate) i64);

impl Tx<'_> {
    /// Keeps content: its literals are written to the shared segment file, its ranges are shared. `Conflict` if it was
    /// read from a message that has left since.
    pub fn put_message(&mut self, content: &Rope) -> Result<MessageId, StoreError> {
        let ranges = self.appender.persist(content).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StoreError::Conflict("content that was given back".into()),
            _ => error.into(),
        })?;
        let list: Vec<(u64, u64, u64)> = ranges.iter().map(|r| (r.file, r.offset, r.length)).collect();
        let text = serde_json::to_string(&list).map_err(|e| StoreError::Invalid(e.to_string()))?;
        self.db.prepare_cached("INSERT INTO messages (size, ranges, created) VALUES (?1, ?2, ?3)")?.execute((
            content.len() as i64,
            text,
            self.now as i64,
        ))?;
        let id = MessageId(self.db.last_insert_rowid());
        let mut statement = self
            .db
            .prepare_cached("INSERT INTO message_files (message, file) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
        for range in &ranges {
            statement.execute((id.0, range.file as i64))?;
        }
        Ok(id)
    }

    /// Gives back the files of large content that no message came to name: it was refused, or only read. A file that is
    /// named stays.
    pub(crate) fn give_back_unnamed(&mut self, files: &[u64]) -> Result<(), StoreError> {
        let mut named = self.db.prepare_cached("SELECT 1 FROM message_files WHERE file = ?1 LIMIT 1")?;
        for &file in files {
            if !named.exists([file as i64])? {
                self.free_file(file);
            }
        }
        Ok(())
    }

    /// Forgets content that nothing names any more, and gives back files that hold nothing else.
    pub(crate) fn release_message(&mut self, id: MessageId) -> Result<(), StoreError> {
        let named: bool = self
            .db
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM items WHERE message = ?1)
                     OR EXISTS (SELECT 1 FROM entries WHERE message = ?1)
                     OR EXISTS (SELECT 1 FROM quarantine WHERE message = ?1)
                     OR EXISTS (SELECT 1 FROM archive WHERE message = ?1)
                     OR EXISTS (SELECT 1 FROM outbox WHERE message = ?1)
                     OR EXISTS (SELECT 1 FROM refiled WHERE message = ?1)",
            )?
            .query_row([id.0], |row| row.get(0))?;
        if named {
            return Ok(());
        }
        let files: Vec<i64> = self
            .db
            .prepare_cached("SELECT file FROM message_files WHERE message = ?1")?
            .query_map([id.0], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        self.db.prepare_cached("DELETE FROM message_files WHERE message = ?1")?.execute([id.0])?;
        self.db.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([id.0])?;
        for file in files {
            let used: bool = self
                .db
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM message_files WHERE file = ?1)")?
                .query_row([file], |row| row.get(0))?;
            if !used {
                self.free_file(file as u64);
            }
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// The content of a message.
    pub fn message(&self, id: MessageId) -> Result<Rope, StoreError> {
        let text: String = self
            .db
            .prepare_cached("SELECT ranges FROM messages WHERE id = ?1")?
            .query_row([id.0], |row| row.get(0))
            .optional()?
            .ok_or_else(|| StoreError::NotFound(format!("message {}", id.0)))?;
        let list: Vec<(u64, u64, u64)> =
            serde_json::from_str(&text).map_err(|e| StoreError::Damaged(format!("message {}: {e}", id.0)))?;
        let mut rope = Rope::new();
        for (file, offset, length) in list {
            rope.push(Segment::Range(Range { file, offset, length }));
        }
        Ok(rope)
    }
}
