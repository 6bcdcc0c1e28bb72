//! What plugins keep: state, timers, and the record of every step.

use rusqlite::OptionalExtension;

use crate::Millis;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;

/// Longest key of plugin state and timers, octets.
pub const KEY_MAX: usize = 512;
/// Largest value of plugin state, octets.
pub const VALUE_MAX: usize = 64 * 1024;
/// How long step records are kept: long enough to answer "what happened to this message" (30 days).
pub const STEPS_KEPT: Millis = 30 * 24 * 3600 * 1000;
/// How often a timer whose run failed is tried again before it waits for an operator in the log.
const DAY: Millis = 24 * 3600 * 1000;

/// A wake-up that a plugin asked for.
#[derive(Debug, Clone)]
pub struct Timer {
    /// Whose.
    pub plugin: String,
    /// Its name.
    pub key: String,
    /// When.
    pub at: Millis,
    /// What the plugin wants back.
    pub payload: Vec<u8>,
    /// Failed runs so far.
    pub attempts: u32,
}

impl Reader<'_> {
    /// A value and its version; nothing if it is not there or its time is over.
    pub fn plugin_state(&self, plugin: &str, key: &str, now: Millis) -> Result<Option<(Vec<u8>, u64)>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT value, version FROM plugin_state WHERE plugin = ?1 AND key = ?2 AND expires > ?3")?
            .query_row((plugin, key, now as i64), |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))
            .optional()?)
    }

    /// Keys of a plugin that begin with `prefix`, in order, after `after`.
    pub fn plugin_keys(
        &self,
        plugin: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
        now: Millis,
    ) -> Result<Vec<String>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT key FROM plugin_state WHERE plugin = ?1 AND key >= ?2 AND key > ?3 AND expires > ?4
             ORDER BY key LIMIT ?5",
        )?;
        let rows = statement.query_map((plugin, prefix, after.unwrap_or(""), now as i64, limit), |row| row.get(0))?;
        let keys: Vec<String> = rows.collect::<Result<_, _>>()?;
        Ok(keys.into_iter().take_while(|key| key.starts_with(prefix)).collect())
    }

    /// Timers that are due, the earliest first.
    pub fn due_timers(&self, now: Millis, limit: usize) -> Result<Vec<Timer>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT plugin, key, at, payload, attempts FROM timers WHERE at <= ?1 ORDER BY at LIMIT ?2",
        )?;
        let rows = statement.query_map((now as i64, limit as i64), |row| {
            Ok(Timer {
                plugin: row.get(0)?,
                key: row.get(1)?,
                at: row.get::<_, i64>(2)? as Millis,
                payload: row.get(3)?,
                attempts: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The steps of a passage, in order.
    pub fn steps(&self, passage: &str) -> Result<Vec<String>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT record FROM steps WHERE passage = ?1 ORDER BY id")?;
        Ok(statement.query_map([passage], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// `Conflict` if a key has another version than a step read (0: not there).
    pub fn check_plugin_state(&mut self, plugin: &str, key: &str, version: u64) -> Result<(), StoreError> {
        let current: Option<i64> = self
            .db
            .prepare_cached("SELECT version FROM plugin_state WHERE plugin = ?1 AND key = ?2 AND expires > ?3")?
            .query_row((plugin, key, self.now as i64), |row| row.get(0))
            .optional()?;
        if current.unwrap_or(0) as u64 == version {
            Ok(())
        } else {
            Err(StoreError::Conflict(format!("state '{key}' of plugin {plugin}")))
        }
    }

    /// Sets or removes a value.
    pub fn set_plugin_state(
        &mut self,
        plugin: &str,
        key: &str,
        value: Option<&[u8]>,
        keep_days: u32,
    ) -> Result<(), StoreError> {
        if key.len() > KEY_MAX || value.is_some_and(|v| v.len() > VALUE_MAX) {
            return Err(StoreError::Invalid(format!("state of plugin {plugin}: the key or the value is too long")));
        }
        let Some(value) = value else {
            self.db
                .prepare_cached("DELETE FROM plugin_state WHERE plugin = ?1 AND key = ?2")?
                .execute((plugin, key))?;
            return Ok(());
        };
        // Versions come from one counter of the whole store: a key that was removed and set again has a new one.
        let version: i64 = self
            .db
            .prepare_cached(
                "INSERT INTO meta (name, value) VALUES ('state_version', '1')
                 ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)
                 RETURNING CAST(value AS INTEGER)",
            )?
            .query_row([], |row| row.get(0))?;
        let expires = self.now.saturating_add(Millis::from(keep_days) * DAY) as i64;
        self.db
            .prepare_cached(
                "INSERT INTO plugin_state (plugin, key, value, version, expires) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (plugin, key) DO UPDATE
                 SET value = excluded.value, version = excluded.version, expires = excluded.expires",
            )?
            .execute((plugin, key, value, version, expires))?;
        Ok(())
    }

    /// Asks for a wake-up; the same key again moves it.
    pub fn set_timer(&mut self, plugin: &str, key: &str, at: Millis, payload: &[u8]) -> Result<(), StoreError> {
        if key.len() > KEY_MAX || payload.len() > VALUE_MAX {
            return Err(StoreError::Invalid(format!("timer of plugin {plugin}: the key or the payload is too long")));
        }
        self.db
            .prepare_cached(
                "INSERT INTO timers (plugin, key, at, payload) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (plugin, key) DO UPDATE SET at = excluded.at, payload = excluded.payload, attempts = 0",
            )?
            .execute((plugin, key, at as i64, payload))?;
        self.touch_queue();
        Ok(())
    }

    /// Forgets a wake-up; one that is not there is no error.
    pub fn cancel_timer(&mut self, plugin: &str, key: &str) -> Result<(), StoreError> {
        self.db.prepare_cached("DELETE FROM timers WHERE plugin = ?1 AND key = ?2")?.execute((plugin, key))?;
        Ok(())
    }

    /// A timer's run is over: it leaves. `Conflict` if it was moved or has left meanwhile.
    pub fn finish_timer(&mut self, timer: &Timer) -> Result<(), StoreError> {
        let gone = self
            .db
            .prepare_cached("DELETE FROM timers WHERE plugin = ?1 AND key = ?2 AND at = ?3")?
            .execute((&timer.plugin, &timer.key, timer.at as i64))?;
        if gone == 0 { Err(StoreError::Conflict(format!("timer '{}'", timer.key))) } else { Ok(()) }
    }

    /// A timer's run failed: when to try again.
    pub fn postpone_timer(&mut self, timer: &Timer, at: Millis) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE timers SET at = ?4, attempts = attempts + 1 WHERE plugin = ?1 AND key = ?2 AND at = ?3",
            )?
            .execute((&timer.plugin, &timer.key, timer.at as i64, at as i64))?;
        self.touch_queue();
        Ok(())
    }

    /// Keeps the record of a step, JSON.
    pub fn record_step(&mut self, passage: &str, record: &str) -> Result<(), StoreError> {
        self.db.prepare_cached("INSERT INTO steps (passage, at, record) VALUES (?1, ?2, ?3)")?.execute((
            passage,
            self.now as i64,
            record,
        ))?;
        Ok(())
    }

    /// Removes what is past its time: expired state and old step records.
    pub fn sweep(&mut self) -> Result<(), StoreError> {
        self.db.execute("DELETE FROM plugin_state WHERE expires <= ?1", [self.now as i64])?;
        self.db.execute("DELETE FROM steps WHERE at <= ?1", [self.now.saturating_sub(STEPS_KEPT) as i64])?;
        self.sweep_outbox()
    }
}
