//! Messages that a user moved into or out of the folder for unwanted mail: noted in the commit that moves them, kept
//! until the plugins that learn from it have been told.
//!
//! Notes are bounded: what a client moves in great numbers is noted in part, for it is a lesson and not a promise.

use crate::Millis;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;
use crate::folders::{Folder, FolderId, Uid};
use crate::messages::MessageId;

/// Notes of one account that wait at once.
pub const PER_ACCOUNT_MAX: u64 = 500;
/// Notes of all accounts that wait at once.
pub const ALL_MAX: u64 = 20_000;
/// How often a note is told before it is given up.
pub const ATTEMPTS_MAX: u32 = 10;
/// How long it waits before it is told: who drags a message to the wrong folder drags it back at once.
pub const PAUSE: Millis = 5_000;

/// One note.
#[derive(Debug, Clone)]
pub struct Refiled {
    /// Its row.
    pub id: i64,
    /// When it was made: a row's number may be used again.
    pub created: Millis,
    /// The mailbox.
    pub account: String,
    /// The message, which stays until the note leaves.
    pub message: MessageId,
    /// The word for where it lay.
    pub from: String,
    /// The word for where it lies now.
    pub to: String,
    /// How often it was told in vain.
    pub attempts: u32,
}

/// What a folder is for, as plugins are told.
pub fn place(folder: &Folder) -> &'static str {
    match folder.special_use.as_deref() {
        _ if folder.name == "INBOX" => "inbox",
        Some("\\Junk") => "junk",
        Some("\\Trash") => "trash",
        Some("\\Archive") => "archive",
        Some("\\Sent") => "sent",
        Some("\\Drafts") => "drafts",
        _ => "other",
    }
}

impl Reader<'_> {
    /// Notes that are due, the earliest first.
    pub fn due_refiled(&self, now: Millis, limit: usize) -> Result<Vec<Refiled>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT id, account, message, from_place, to_place, attempts, created FROM refiled WHERE due <= ?1
             ORDER BY due, id LIMIT ?2",
        )?;
        let rows = statement.query_map((now as i64, limit as i64), |row| {
            Ok(Refiled {
                id: row.get(0)?,
                account: row.get(1)?,
                message: MessageId(row.get(2)?),
                from: row.get(3)?,
                to: row.get(4)?,
                attempts: row.get(5)?,
                created: row.get::<_, i64>(6)? as Millis,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// Notes that these messages of `target` came from `source`, if one of the two is for unwanted mail. Of a message
    /// that is moved on before it was told, only where it lies in the end counts.
    pub fn note_refiled(
        &mut self,
        account: &str,
        source: FolderId,
        target: FolderId,
        uids: &[Uid],
    ) -> Result<(), StoreError> {
        let (Some(source), Some(target)) = (self.reader().folder_by_id(source)?, self.reader().folder_by_id(target)?)
        else {
            return Ok(());
        };
        let (from, to) = (place(&source), place(&target));
        if from == to || (from != "junk" && to != "junk") {
            return Ok(());
        }
        let waiting = |tx: &Tx<'_>| -> Result<(u64, u64), StoreError> {
            Ok(tx
                .db
                .prepare_cached("SELECT COUNT(*), COALESCE(SUM(account = ?1), 0) FROM refiled")?
                .query_row([account], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))?)
        };
        let (mut all, mut own) = waiting(self)?;
        let due = self.now.saturating_add(PAUSE) as i64;
        for &uid in uids {
            let Some(item) = self.reader().item(target.id, uid)? else { continue };
            let taken_back = self
                .db
                .prepare_cached("DELETE FROM refiled WHERE account = ?1 AND message = ?2 AND attempts = 0")?
                .execute((account, item.message.0))? as u64;
            (all, own) = (all.saturating_sub(taken_back), own.saturating_sub(taken_back));
            if all >= ALL_MAX || own >= PER_ACCOUNT_MAX {
                tracing::warn!(account, all, own, "more messages were refiled than plugins are told of");
                break;
            }
            self.db
                .prepare_cached(
                    "INSERT INTO refiled (account, message, from_place, to_place, created, due)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute((account, item.message.0, from, to, self.now as i64, due))?;
            (all, own) = (all + 1, own + 1);
        }
        self.touch_queue();
        Ok(())
    }

    /// A note was told, or is given up: it leaves, and its message with it if nothing else names it. `Conflict` if it
    /// has left already.
    pub fn finish_refiled(&mut self, note: &Refiled) -> Result<(), StoreError> {
        let gone = self.db.prepare_cached("DELETE FROM refiled WHERE id = ?1")?.execute([note.id])?;
        if gone == 0 {
            return Err(StoreError::Conflict(format!("note {} of {}", note.id, note.account)));
        }
        self.release_message(note.message)
    }

    /// A note was told in vain: when to try again.
    pub fn postpone_refiled(&mut self, note: &Refiled, due: Millis) -> Result<(), StoreError> {
        self.db
            .prepare_cached("UPDATE refiled SET due = ?2, attempts = attempts + 1 WHERE id = ?1")?
            .execute((note.id, due as i64))?;
        self.touch_queue();
        Ok(())
    }
}
