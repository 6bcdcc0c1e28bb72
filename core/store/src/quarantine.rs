//! Messages kept from their recipients: the bytes as they came, for as long as the operator's rules ask, then gone.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params_from_iter};
use sigillo_mail::Rope;

use crate::Millis;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;
use crate::messages::MessageId;

/// Milliseconds of a day.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// A message in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
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
    /// Octets.
    pub size: u64,
}

/// What to look for in quarantine; an absent field matches everything.
#[derive(Debug, Clone, Default)]
pub struct QuarantineSearch {
    /// Not before.
    pub since: Option<Millis>,
    /// Not after.
    pub until: Option<Millis>,
    /// Put there by this plugin.
    pub plugin: Option<String>,
    /// A part of the reason, whatever its case.
    pub reason: Option<String>,
    /// Messages at most.
    pub limit: usize,
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

    /// Forgets what has been in quarantine for more than so many whole days; returns how many messages.
    pub fn sweep_quarantine(&mut self, days: u64) -> Result<usize, StoreError> {
        let before = self.now.saturating_sub(days.saturating_mul(DAY));
        let old: Vec<(String, i64)> = self
            .db
            .prepare_cached("SELECT id, message FROM quarantine WHERE created < ?1")?
            .query_map([before as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (id, message) in &old {
            self.db.prepare_cached("DELETE FROM quarantine WHERE id = ?1")?.execute([id])?;
            self.release_message(MessageId(*message))?;
        }
        Ok(old.len())
    }
}

const COLUMNS: &str = "q.id, q.envelope, q.plugin, q.reason, q.created, m.size
     FROM quarantine q LEFT JOIN messages m ON m.id = q.message";

fn read(row: &Row<'_>) -> rusqlite::Result<Quarantined> {
    Ok(Quarantined {
        id: row.get(0)?,
        envelope: row.get(1)?,
        plugin: row.get(2)?,
        reason: row.get(3)?,
        created: row.get::<_, i64>(4)? as Millis,
        size: row.get::<_, i64>(5)? as u64,
    })
}

/// What cannot be read is an error of this record, whose name is told as far as it can be.
fn read_or_say(row: &Row<'_>) -> Result<Quarantined, StoreError> {
    read(row).map_err(|error| {
        let id: String = row.get(0).unwrap_or_else(|_| "without a readable id".into());
        StoreError::Damaged(format!("quarantined message {id}: {error}"))
    })
}

impl Reader<'_> {
    /// What is in quarantine and matches, the newest first. A record that cannot be read is an error in its place.
    pub fn quarantined(&self, search: &QuarantineSearch) -> Result<Vec<Result<Quarantined, StoreError>>, StoreError> {
        let mut sql = format!("SELECT {COLUMNS} WHERE 1");
        let mut values: Vec<Value> = Vec::new();
        let mut also = |clause: &str, value: Value| {
            values.push(value);
            sql.push_str(&clause.replace('?', &format!("?{}", values.len())));
        };
        search.since.into_iter().for_each(|at| also(" AND q.created >= ?", Value::Integer(at as i64)));
        search.until.into_iter().for_each(|at| also(" AND q.created <= ?", Value::Integer(at as i64)));
        search.plugin.iter().for_each(|name| also(" AND q.plugin = ?", Value::Text(name.clone())));
        search
            .reason
            .iter()
            .for_each(|text| also(" AND instr(lower(q.reason), ?) > 0", Value::Text(text.to_lowercase())));
        also(" ORDER BY q.created DESC, q.id LIMIT ?", Value::Integer(search.limit as i64));
        let mut statement = self.db.prepare(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| Ok(read_or_say(row)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// One message in quarantine, with its content.
    pub fn quarantined_message(&self, id: &str) -> Result<(Quarantined, Rope), StoreError> {
        let mut statement = self.db.prepare(&format!("SELECT {COLUMNS} WHERE q.id = ?1"))?;
        let found = statement.query_row([id], |row| Ok(read_or_say(row))).optional()?;
        let found = found.ok_or_else(|| StoreError::NotFound(format!("quarantined message {id}")))??;
        let mut statement = self.db.prepare("SELECT message FROM quarantine WHERE id = ?1")?;
        let message: i64 = statement.query_row([id], |row| row.get(0))?;
        let content = self.message(MessageId(message))?;
        if content.len() != found.size {
            let (has, wants) = (content.len(), found.size);
            return Err(StoreError::Damaged(format!("quarantined message {id}: {has} octets instead of {wants}")));
        }
        Ok((found, content))
    }
}
