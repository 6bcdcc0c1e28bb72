//! Messages kept from their recipients.

use crate::Millis;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;
use crate::messages::MessageId;

/// A message in quarantine.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Quarantined {
    /// The passage that put it there.
    pub id: String,
    /// Its SMTP envelope, JSON.
    pub envelope: String,
    /// Which plugin asked for it.
    pub plugin: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub created: Millis,
}

impl Tx<'_> {
    /// Keeps a message with its envelope.
    pub fn quarantine(
        &mut self,
        id: &str,
        message: MessageId,
        envelope: &str,
        plugin: &str,
        reason: &str,
    ) -> Result<(), StoreError> {
        let added = self.db.execute(
            "INSERT INTO quarantine (id, message, envelope, plugin, reason, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            (id, message.0, envelope, plugin, reason, self.now as i64),
        )?;
        if added == 0 { Err(StoreError::Exists(format!("quarantined message {id}"))) } else { Ok(()) }
    }
}

impl Reader<'_> {
    /// What is in quarantine, the newest first.
    pub fn quarantined(&self, limit: usize) -> Result<Vec<Quarantined>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT id, envelope, plugin, reason, created FROM quarantine ORDER BY created DESC, id LIMIT ?1",
        )?;
        let rows = statement.query_map([limit as i64], |row| {
            Ok(Quarantined {
                id: row.get(0)?,
                envelope: row.get(1)?,
                plugin: row.get(2)?,
                reason: row.get(3)?,
                created: row.get::<_, i64>(4)? as Millis,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
