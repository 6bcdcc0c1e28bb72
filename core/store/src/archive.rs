//! The archive: copies of messages kept for a mailbox beside its folders (ARC-01), sharing their bytes.
//!
//! A copy names content as an item of a folder does, so that neither is gone before the other. Copies lie in folders of
//! their own, one for each month of the legal time and direction, numbered as [RFC 3501 §2.3.1] wants it: UIDs and
//! `mod_seq` only grow, so what is new in a folder is a range of its index. What a mailbox uses is counted in the
//! transaction that keeps or lets go. The archive of a mailbox that was closed stays until the mailbox is deleted, and goes
//! with it (ARC-11): whoever gets the address later finds nothing of it.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params_from_iter};
use sigillo_mail::Rope;

use crate::Millis;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;
use crate::evidence::legal_time;
use crate::folders::{FolderId, Uid};
use crate::messages::MessageId;

/// A copy to be kept.
#[derive(Debug, Clone)]
pub struct NewCopy {
    /// Its name; names are in the order of `kept`.
    pub id: String,
    /// Whose, in lower case.
    pub mailbox: String,
    /// What whoever keeps it calls it; once for a mailbox.
    pub key: String,
    /// `received` or `sent`.
    pub direction: String,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// When.
    pub kept: Millis,
    /// Anything more, by name.
    pub properties: Vec<(String, String)>,
}

/// A copy in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Its name.
    pub id: String,
    /// Whose.
    pub mailbox: String,
    /// `received` or `sent`.
    pub direction: String,
    /// When.
    pub kept: Millis,
    /// Octets.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// Anything more, by name.
    pub properties: Vec<(String, String)>,
    /// Its content.
    pub message: MessageId,
}

/// What the archive of a mailbox holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ArchiveUsage {
    /// Whose.
    pub mailbox: String,
    /// Octets.
    pub used: u64,
    /// Copies.
    pub count: u64,
    /// When the oldest was kept.
    pub oldest: Option<Millis>,
}

/// What to look for in the archive of a mailbox; an absent field matches everything.
#[derive(Debug, Clone, Default)]
pub struct ArchiveSearch {
    /// Not before.
    pub since: Option<Millis>,
    /// Not after.
    pub until: Option<Millis>,
    /// `received` or `sent`.
    pub direction: Option<String>,
    /// Parts of properties, whatever their case, each with the property's name; none: of any.
    pub words: Vec<(Option<String>, String)>,
    /// After this copy.
    pub after: Option<String>,
    /// Copies at most.
    pub limit: usize,
}

/// A folder of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveFolder {
    /// Its number.
    pub id: ArchiveFolderId,
    /// `2026/11/received`.
    pub name: String,
    /// RFC 3501 §2.3.1.1.
    pub uid_validity: u32,
    /// The UID of the next copy.
    pub uid_next: Uid,
    /// Raised by every change.
    pub mod_seq: u64,
    /// The change with which a copy last left.
    pub left_seq: u64,
    /// Whether LSUB lists it.
    pub subscribed: bool,
    /// Copies in it.
    pub copies: u32,
    /// Octets of them.
    pub size: u64,
}

/// A folder of the archive; to those who watch folders it is [`ArchiveFolderId::watched`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ArchiveFolderId(i64);

impl ArchiveFolderId {
    /// Its number among folders: negative, so that it is none of a folder of a mailbox.
    pub fn watched(self) -> FolderId {
        FolderId(-self.0)
    }

    /// From [`ArchiveFolderId::watched`]; none for a folder of a mailbox.
    pub fn of(folder: FolderId) -> Option<ArchiveFolderId> {
        (folder.0 < 0).then_some(ArchiveFolderId(-folder.0))
    }
}

/// A copy in its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveEntry {
    /// Its UID.
    pub uid: Uid,
    /// Its content.
    pub message: MessageId,
    /// Octets.
    pub size: u64,
    /// When it was kept.
    pub kept: Millis,
    /// The folder's `mod_seq` when it came.
    pub mod_seq: u64,
}

const COPY: &str = "SELECT id, mailbox, direction, kept, size, sha256, properties, message FROM archive";
const FOLDER: &str = "SELECT id, name, uid_validity, uid_next, mod_seq, left_seq, subscribed, copies, size
     FROM archive_folders";
const ENTRY: &str = "SELECT uid, message, size, kept, mod_seq FROM archive";

fn copy(row: &Row<'_>) -> Result<Copy, StoreError> {
    let id: String = row.get(0)?;
    let damaged = |what: &str| StoreError::Damaged(format!("copy {id} of the archive: {what}"));
    let sha256: Vec<u8> = row.get(5)?;
    let properties: String = row.get(6)?;
    Ok(Copy {
        mailbox: row.get(1)?,
        direction: row.get(2)?,
        kept: row.get::<_, i64>(3)? as Millis,
        size: row.get::<_, i64>(4)? as u64,
        sha256: sha256.try_into().map_err(|_| damaged("its digest"))?,
        properties: serde_json::from_str(&properties).map_err(|error| damaged(&error.to_string()))?,
        message: MessageId(row.get(7)?),
        id,
    })
}

fn folder(row: &Row<'_>) -> rusqlite::Result<ArchiveFolder> {
    Ok(ArchiveFolder {
        id: ArchiveFolderId(row.get(0)?),
        name: row.get(1)?,
        uid_validity: row.get::<_, i64>(2)? as u32,
        uid_next: row.get::<_, i64>(3)? as Uid,
        mod_seq: row.get::<_, i64>(4)? as u64,
        left_seq: row.get::<_, i64>(5)? as u64,
        subscribed: row.get(6)?,
        copies: row.get::<_, i64>(7)? as u32,
        size: row.get::<_, i64>(8)? as u64,
    })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<ArchiveEntry> {
    Ok(ArchiveEntry {
        uid: row.get::<_, i64>(0)? as Uid,
        message: MessageId(row.get(1)?),
        size: row.get::<_, i64>(2)? as u64,
        kept: row.get::<_, i64>(3)? as Millis,
        mod_seq: row.get::<_, i64>(4)? as u64,
    })
}

impl Tx<'_> {
    /// Keeps a copy. `Conflict` if the mailbox has another one under its key: whoever decided to keep it must look again.
    pub fn archive_keep(&mut self, new: &NewCopy, content: &Rope) -> Result<(), StoreError> {
        if let Some(first) = self.reader().archive_find(&new.mailbox, &new.key)? {
            return match first == new.id {
                true => Ok(()),
                false => Err(StoreError::Conflict(format!("copy '{}' of {}", new.key, new.mailbox))),
            };
        }
        let message = self.put_message(content)?;
        let size = content.len() as i64;
        let name = format!("{}/{}", legal_time::month(new.kept), new.direction);
        let (folder, uid, mod_seq) = self.archive_place(&new.mailbox, &name, size)?;
        let properties =
            serde_json::to_string(&new.properties).map_err(|error| StoreError::Invalid(error.to_string()))?;
        self.db
            .prepare_cached(
                "INSERT INTO archive (mailbox, id, key, direction, message, size, sha256, kept, properties, folder, uid,
                     mod_seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(rusqlite::params![
                new.mailbox,
                new.id,
                new.key,
                new.direction,
                message.0,
                size,
                &new.sha256[..],
                new.kept as i64,
                properties,
                folder.0,
                uid,
                mod_seq
            ])?;
        self.db
            .prepare_cached(
                "INSERT INTO archive_usage (mailbox, used, copies) VALUES (?1, ?2, 1)
                 ON CONFLICT (mailbox) DO UPDATE SET used = used + excluded.used, copies = copies + 1",
            )?
            .execute((&new.mailbox, size))?;
        self.touch_folder(folder.watched());
        Ok(())
    }

    /// The place of the next copy in a folder, which is made with its first.
    fn archive_place(
        &mut self,
        mailbox: &str,
        name: &str,
        size: i64,
    ) -> Result<(ArchiveFolderId, i64, i64), StoreError> {
        let validity = (self.now / 1000).max(1) as i64;
        let place = |row: &Row<'_>| Ok((ArchiveFolderId(row.get(0)?), row.get(1)?, row.get(2)?));
        Ok(self
            .db
            .prepare_cached(
                "INSERT INTO archive_folders (mailbox, name, uid_validity, uid_next, mod_seq, copies, size)
                 VALUES (?1, ?2, ?3, 2, 2, 1, ?4)
                 ON CONFLICT (mailbox, name) DO UPDATE SET
                     uid_next = uid_next + 1, mod_seq = mod_seq + 1, copies = copies + 1, size = size + excluded.size
                 RETURNING id, uid_next - 1, mod_seq",
            )?
            .query_row((mailbox, name, validity, size), place)?)
    }

    /// Lets a copy go; false if it was gone. Its folder stays, so that UIDs never begin anew.
    pub fn archive_release(&mut self, mailbox: &str, id: &str) -> Result<bool, StoreError> {
        let gone: Option<(i64, i64, i64)> = self
            .db
            .prepare_cached("DELETE FROM archive WHERE mailbox = ?1 AND id = ?2 RETURNING message, size, folder")?
            .query_row([mailbox, id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((message, size, folder)) = gone else { return Ok(false) };
        self.db
            .prepare_cached("UPDATE archive_usage SET used = used - ?2, copies = copies - 1 WHERE mailbox = ?1")?
            .execute((mailbox, size))?;
        self.db
            .prepare_cached(
                "UPDATE archive_folders SET mod_seq = mod_seq + 1, left_seq = mod_seq + 1, copies = copies - 1,
                     size = size - ?2 WHERE id = ?1",
            )?
            .execute((folder, size))?;
        self.release_message(MessageId(message))?;
        self.touch_folder(ArchiveFolderId(folder).watched());
        Ok(true)
    }

    /// Removes all of the archive of a mailbox. Its folders stay, empty, so that neither their numbers nor their UIDs ever
    /// name anything else.
    pub(crate) fn archive_remove(&mut self, mailbox: &str) -> Result<(), StoreError> {
        for copy in self.reader().archive_items(mailbox, Millis::MAX, None, u32::MAX)? {
            self.archive_release(mailbox, &copy.id)?;
        }
        Ok(())
    }

    /// Sets whether LSUB lists a folder of the archive.
    pub fn archive_subscribe(&mut self, mailbox: &str, name: &str, subscribed: bool) -> Result<(), StoreError> {
        let changed = self.db.execute(
            "UPDATE archive_folders SET subscribed = ?3 WHERE mailbox = ?1 AND name = ?2",
            (mailbox, name, subscribed),
        )?;
        if changed == 0 { Err(StoreError::NotFound(format!("folder {name} of the archive"))) } else { Ok(()) }
    }

    /// Files copies in a folder of their mailbox, in order; returns pairs of old and new UIDs. The quota holds.
    pub fn archive_copy_out(
        &mut self,
        account: &str,
        from: ArchiveFolderId,
        uids: &[Uid],
        to: FolderId,
        flags: &[String],
    ) -> Result<Vec<(Uid, Uid)>, StoreError> {
        let mut pairs = Vec::with_capacity(uids.len());
        for &uid in uids {
            if let Some(entry) = self.reader().archive_entry(from, uid)? {
                pairs.push((uid, self.file(account, to, entry.message, flags, entry.kept)?));
            }
        }
        Ok(pairs)
    }
}

impl Reader<'_> {
    /// The copy of a mailbox under a key.
    pub fn archive_find(&self, mailbox: &str, key: &str) -> Result<Option<String>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT id FROM archive WHERE mailbox = ?1 AND key = ?2")?;
        Ok(statement.query_row([mailbox, key], |row| row.get(0)).optional()?)
    }

    /// What the archive of a mailbox holds; zeros where it has nothing.
    pub fn archive_usage(&self, mailbox: &str) -> Result<ArchiveUsage, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT used, copies FROM archive_usage WHERE mailbox = ?1")?;
        let found = statement.query_row([mailbox], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (used, count): (i64, i64) = found.unwrap_or_default();
        let mut statement =
            self.db.prepare_cached("SELECT kept FROM archive WHERE mailbox = ?1 ORDER BY id LIMIT 1")?;
        let oldest: Option<i64> = statement.query_row([mailbox], |row| row.get(0)).optional()?;
        Ok(ArchiveUsage {
            mailbox: mailbox.to_owned(),
            used: used as u64,
            count: count as u64,
            oldest: oldest.map(|at| at as Millis),
        })
    }

    /// Copies of a mailbox kept before an instant, the oldest first, after an id.
    pub fn archive_items(
        &self,
        mailbox: &str,
        before: Millis,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Copy>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached(&format!("{COPY} WHERE mailbox = ?1 AND id > ?2 AND kept < ?3 ORDER BY id LIMIT ?4"))?;
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let rows = statement.query_map((mailbox, after.unwrap_or(""), before, limit), |row| Ok(copy(row)))?;
        rows.map(|row| row?).collect()
    }

    /// Copies of a mailbox that match, the oldest first.
    pub fn archive_search(&self, mailbox: &str, search: &ArchiveSearch) -> Result<Vec<Copy>, StoreError> {
        let mut sql = format!("{COPY} WHERE mailbox = ?1");
        let mut values = vec![Value::Text(mailbox.to_owned())];
        let mut also = |clause: &str, more: &[Value]| {
            sql.push_str(clause);
            values.extend_from_slice(more);
        };
        // Names begin with the instant: the index gives the period.
        search.since.iter().for_each(|at| also(" AND id >= ?", &[Value::Text(format!("{at:012x}"))]));
        search
            .until
            .iter()
            .for_each(|at| also(" AND id < ?", &[Value::Text(format!("{:012x}", at.saturating_add(1)))]));
        search.after.iter().for_each(|id| also(" AND id > ?", &[Value::Text(id.clone())]));
        search.direction.iter().for_each(|word| also(" AND direction = ?", &[Value::Text(word.clone())]));
        also(" ORDER BY id", &[]);
        let mut statement = self.db.prepare(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| Ok(copy(row)))?;
        let words: Vec<_> = search.words.iter().map(|(name, text)| (name.as_deref(), text.to_lowercase())).collect();
        let mut found = Vec::new();
        for row in rows {
            let copy = row??;
            if found.len() == search.limit {
                break;
            }
            if words.iter().all(|(name, text)| copy.says(*name, text)) {
                found.push(copy);
            }
        }
        Ok(found)
    }

    /// Mailboxes that have anything in the archive, in order, after one.
    pub fn archive_mailboxes(&self, after: Option<&str>, limit: u32) -> Result<Vec<String>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT mailbox FROM archive_usage WHERE mailbox > ?1 AND copies > 0 ORDER BY mailbox LIMIT ?2",
        )?;
        Ok(statement.query_map((after.unwrap_or(""), limit), |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// One copy.
    pub fn archive_copy(&self, mailbox: &str, id: &str) -> Result<Option<Copy>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{COPY} WHERE mailbox = ?1 AND id = ?2"))?;
        statement.query_row([mailbox, id], |row| Ok(copy(row))).optional()?.transpose()
    }

    /// One copy with its content.
    pub fn archive_message(&self, mailbox: &str, id: &str) -> Result<(Copy, Rope), StoreError> {
        let found = self.archive_copy(mailbox, id)?;
        let found = found.ok_or_else(|| StoreError::NotFound(format!("copy {id} in the archive of {mailbox}")))?;
        let content = self.message(found.message)?;
        if content.len() != found.size {
            let (has, wants) = (content.len(), found.size);
            return Err(StoreError::Damaged(format!("copy {id} of the archive: {has} octets instead of {wants}")));
        }
        Ok((found, content))
    }

    /// The folders of the archive of a mailbox, in order of their names.
    pub fn archive_folders(&self, mailbox: &str) -> Result<Vec<ArchiveFolder>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{FOLDER} WHERE mailbox = ?1 ORDER BY name"))?;
        Ok(statement.query_map([mailbox], folder)?.collect::<Result<_, _>>()?)
    }

    /// One folder of the archive of a mailbox.
    pub fn archive_folder(&self, mailbox: &str, name: &str) -> Result<Option<ArchiveFolder>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{FOLDER} WHERE mailbox = ?1 AND name = ?2"))?;
        Ok(statement.query_row([mailbox, name], folder).optional()?)
    }

    /// The same by its number.
    pub fn archive_folder_by_id(&self, id: ArchiveFolderId) -> Result<Option<ArchiveFolder>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{FOLDER} WHERE id = ?1"))?;
        Ok(statement.query_row([id.0], folder).optional()?)
    }

    /// The copies of a folder that came after the change `since`, in order of their UIDs.
    pub fn archive_entries(&self, id: ArchiveFolderId, since: u64) -> Result<Vec<ArchiveEntry>, StoreError> {
        // UIDs and changes grow together, so the order of one is that of the other.
        let mut statement =
            self.db.prepare_cached(&format!("{ENTRY} WHERE folder = ?1 AND mod_seq > ?2 ORDER BY mod_seq"))?;
        Ok(statement.query_map((id.0, since as i64), entry)?.collect::<Result<_, _>>()?)
    }

    /// One copy of a folder.
    pub fn archive_entry(&self, id: ArchiveFolderId, uid: Uid) -> Result<Option<ArchiveEntry>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{ENTRY} WHERE folder = ?1 AND uid = ?2"))?;
        Ok(statement.query_row((id.0, uid), entry).optional()?)
    }
}

impl Copy {
    /// A property.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether a property, or any, holds a text in lower case.
    fn says(&self, name: Option<&str>, text: &str) -> bool {
        let mut values = self.properties.iter().filter(|(n, _)| name.is_none_or(|name| n == name));
        values.any(|(_, value)| value.to_lowercase().contains(text))
    }
}
