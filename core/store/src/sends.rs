//! What a mailbox has sent today, where it may send only so much (BOX-14).

use rusqlite::OptionalExtension;

use crate::commit::{Reader, Tx};
use crate::error::StoreError;
use crate::evidence::legal_time;

impl Reader<'_> {
    /// Recipients that a mailbox has sent to on the legal day of `now`.
    pub fn sends_of_day(&self, account: &str, now: crate::Millis) -> Result<u64, StoreError> {
        let count: Option<i64> = self
            .db
            .prepare_cached("SELECT count FROM daily_sends WHERE account = ?1 AND day = ?2")?
            .query_row((account, legal_time::day(now).0 as i64), |row| row.get(0))
            .optional()?;
        Ok(count.unwrap_or(0) as u64)
    }

    /// Whether a mailbox may send to so many more today; the error has the words.
    pub fn check_sends(&self, account: &str, recipients: u64, now: crate::Millis) -> Result<(), StoreError> {
        let Some(limit) = self.account(account)?.and_then(|account| account.daily_sends) else { return Ok(()) };
        let sent = self.sends_of_day(account, now)?;
        match sent.saturating_add(recipients) > limit {
            false => Ok(()),
            true => Err(StoreError::Limit(format!(
                "{account} may send to {limit} recipients a day and has sent to {sent} today, until midnight in Italy"
            ))),
        }
    }
}

impl Tx<'_> {
    /// Counts what a mailbox with a limit sends; [`StoreError::Limit`] if it is too much for today.
    pub fn count_sends(&mut self, account: &str, recipients: u64) -> Result<(), StoreError> {
        if self.reader().account(account)?.is_none_or(|account| account.daily_sends.is_none()) {
            return Ok(());
        }
        self.reader().check_sends(account, recipients, self.now)?;
        let day = legal_time::day(self.now).0 as i64;
        self.db
            .prepare_cached(
                "INSERT INTO daily_sends (account, day, count) VALUES (?1, ?2, ?3)
                 ON CONFLICT (account, day) DO UPDATE SET count = count + excluded.count",
            )?
            .execute((account, day, recipients as i64))?;
        // Of days before this one nothing is asked any more.
        self.db.prepare_cached("DELETE FROM daily_sends WHERE account = ?1 AND day < ?2")?.execute((account, day))?;
        Ok(())
    }
}
