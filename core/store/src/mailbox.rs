//! What IMAP sessions ask of folders beyond [`crate::folders`]: what changed, what is recent, and moves.

use rusqlite::OptionalExtension;

use crate::commit::{Reader, Tx};
use crate::error::StoreError;
use crate::folders::{FolderId, ITEM, Item, Uid, item};

impl FolderId {
    /// Its number, for those who hand it through.
    pub fn number(self) -> i64 {
        self.0
    }

    /// From [`FolderId::number`]. A number of no folder finds nothing.
    pub fn from_number(number: i64) -> FolderId {
        FolderId(number)
    }
}

/// Figures of a folder for STATUS ([RFC 3501 §6.3.10]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Messages.
    pub messages: u32,
    /// Messages that no session has been told of.
    pub recent: u32,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// Messages with `\Deleted`.
    pub deleted: u32,
    /// Octets.
    pub size: u64,
}

impl Reader<'_> {
    /// Messages filed or re-flagged after `since`, in order of their UIDs.
    pub fn items_since(&self, folder: FolderId, since: u64) -> Result<Vec<Item>, StoreError> {
        let mut statement =
            self.db.prepare_cached(&format!("{ITEM} WHERE folder = ?1 AND mod_seq > ?2 ORDER BY uid"))?;
        Ok(statement.query_map((folder.0, since as i64), item)?.collect::<Result<_, _>>()?)
    }

    /// How many messages the folder has.
    pub fn item_count(&self, folder: FolderId) -> Result<usize, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT COUNT(*) FROM items WHERE folder = ?1")?;
        Ok(statement.query_row([folder.0], |row| row.get::<_, i64>(0))? as usize)
    }

    /// The UIDs of the folder, ascending.
    pub fn uids(&self, folder: FolderId) -> Result<Vec<Uid>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT uid FROM items WHERE folder = ?1 ORDER BY uid")?;
        let uids = statement.query_map([folder.0], |row| Ok(row.get::<_, i64>(0)? as Uid))?;
        Ok(uids.collect::<Result<_, _>>()?)
    }

    /// Figures of the folder.
    pub fn counts(&self, folder: FolderId) -> Result<Counts, StoreError> {
        let has = |flag: &str| format!("COALESCE(SUM(' ' || flags || ' ' LIKE '% {flag} %'), 0)");
        let sql = format!(
            "SELECT COUNT(*), COALESCE(SUM(uid >= (SELECT recent_from FROM folders WHERE id = ?1)), 0),
                    COUNT(*) - {}, {}, COALESCE(SUM(size), 0) FROM items WHERE folder = ?1",
            has("\\Seen"),
            has("\\Deleted")
        );
        let counts = self.db.prepare_cached(&sql)?.query_row([folder.0], |row| {
            Ok(Counts {
                messages: row.get::<_, i64>(0)? as u32,
                recent: row.get::<_, i64>(1)? as u32,
                unseen: row.get::<_, i64>(2)? as u32,
                deleted: row.get::<_, i64>(3)? as u32,
                size: row.get::<_, i64>(4)? as u64,
            })
        })?;
        Ok(counts)
    }

    /// The UID from which on messages are recent: no session has been told of them.
    pub fn recent_from(&self, folder: FolderId) -> Result<Uid, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT recent_from FROM folders WHERE id = ?1")?;
        let uid = statement.query_row([folder.0], |row| row.get::<_, i64>(0)).optional()?;
        Ok(uid.unwrap_or(1) as Uid)
    }
}

impl Tx<'_> {
    /// A session is told of all messages before `uid_next`; the answer is where the recent ones began.
    pub fn claim_recent(&mut self, folder: FolderId, uid_next: Uid) -> Result<Uid, StoreError> {
        let before = self.reader().recent_from(folder)?;
        self.db
            .prepare_cached("UPDATE folders SET recent_from = MAX(recent_from, ?2) WHERE id = ?1")?
            .execute((folder.0, uid_next))?;
        Ok(before)
    }

    /// Moves messages to another folder of the same account, in order; returns pairs of old and new UIDs. The account
    /// holds no more than before, so its quota is not asked.
    pub fn move_items(&mut self, from: FolderId, uids: &[Uid], to: FolderId) -> Result<Vec<(Uid, Uid)>, StoreError> {
        let mut pairs = Vec::with_capacity(uids.len());
        for &uid in uids {
            if self.reader().item(from, uid)?.is_none() {
                continue;
            }
            let (new, mod_seq): (i64, i64) = self
                .db
                .prepare_cached(
                    "UPDATE folders SET uid_next = uid_next + 1, mod_seq = mod_seq + 1 WHERE id = ?1
                     RETURNING uid_next - 1, mod_seq",
                )?
                .query_row([to.0], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?
                .ok_or_else(|| StoreError::NotFound("the folder was removed".into()))?;
            self.db
                .prepare_cached("UPDATE items SET folder = ?3, uid = ?4, mod_seq = ?5 WHERE folder = ?1 AND uid = ?2")?
                .execute((from.0, uid, to.0, new, mod_seq))?;
            pairs.push((uid, new as Uid));
        }
        if !pairs.is_empty() {
            self.raise_mod_seq(from)?;
            self.touch_folder(from);
            self.touch_folder(to);
        }
        Ok(pairs)
    }
}
