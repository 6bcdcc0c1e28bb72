//! IMAP folders and the messages filed in them ([RFC 3501 §2.3]).
//!
//! UIDs of a folder only grow; a folder that is made anew under an old name has a new UIDVALIDITY. Every change of a
//! folder raises its `mod_seq`, and what is filed or re-flagged carries the value of its change.

use rusqlite::{OptionalExtension, Row};

use crate::Millis;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;
use crate::messages::MessageId;

/// Folders of one account at most: bounds what a client can make grow.
pub const FOLDERS_MAX: u64 = 10_000;
/// Longest folder name, octets of UTF-8.
pub const FOLDER_NAME_MAX: usize = 512;
/// Flags of one message at most, and octets of one flag.
pub const FLAGS_MAX: usize = 64;
/// Octets of one flag at most.
pub const FLAG_LENGTH_MAX: usize = 128;
/// What separates the levels of a folder name.
pub const SEPARATOR: char = '/';

/// A folder of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FolderId(pub(crate) i64);

/// Unique identifier of a message in its folder ([RFC 3501 §2.3.1.1]).
pub type Uid = u32;

/// One folder.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Its row.
    pub id: FolderId,
    /// UTF-8, levels separated by [`SEPARATOR`]; `INBOX` in upper case.
    pub name: String,
    /// RFC 3501 §2.3.1.1.
    pub uid_validity: u32,
    /// The UID of the next message.
    pub uid_next: Uid,
    /// Raised by every change.
    pub mod_seq: u64,
    /// `\Sent` and the like (RFC 6154).
    pub special_use: Option<String>,
    /// Whether LSUB lists it.
    pub subscribed: bool,
}

/// One message in a folder.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its UID.
    pub uid: Uid,
    /// Its content.
    pub message: MessageId,
    /// Octets.
    pub size: u64,
    /// System flags with their backslash, and keywords; never `\Recent`.
    pub flags: Vec<String>,
    /// RFC 3501 §2.3.3.
    pub internal_date: Millis,
    /// The folder's `mod_seq` when it was filed or last re-flagged.
    pub mod_seq: u64,
    /// Progressive in its mailbox, never used again; copies of a message share it (BOX-05).
    pub number: u64,
}

const FOLDER: &str = "SELECT id, name, uid_validity, uid_next, mod_seq, special_use, subscribed FROM folders";

fn folder(row: &Row<'_>) -> rusqlite::Result<Folder> {
    Ok(Folder {
        id: FolderId(row.get(0)?),
        name: row.get(1)?,
        uid_validity: row.get::<_, i64>(2)? as u32,
        uid_next: row.get::<_, i64>(3)? as Uid,
        mod_seq: row.get::<_, i64>(4)? as u64,
        special_use: row.get(5)?,
        subscribed: row.get(6)?,
    })
}

pub(crate) const ITEM: &str = "SELECT uid, message, size, flags, internal_date, mod_seq, number FROM items";

pub(crate) fn item(row: &Row<'_>) -> rusqlite::Result<Item> {
    let flags: String = row.get(3)?;
    Ok(Item {
        uid: row.get::<_, i64>(0)? as Uid,
        message: MessageId(row.get(1)?),
        size: row.get::<_, i64>(2)? as u64,
        flags: flags.split_ascii_whitespace().map(str::to_owned).collect(),
        internal_date: row.get::<_, i64>(4)? as Millis,
        mod_seq: row.get::<_, i64>(5)? as u64,
        number: row.get::<_, i64>(6)? as u64,
    })
}

impl Reader<'_> {
    /// The folders of an account, in order of their names.
    pub fn folders(&self, account: &str) -> Result<Vec<Folder>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{FOLDER} WHERE account = ?1 ORDER BY name"))?;
        Ok(statement.query_map([account], folder)?.collect::<Result<_, _>>()?)
    }

    /// One folder of an account by name; `inbox` in any case is `INBOX` (RFC 3501 §5.1).
    pub fn folder(&self, account: &str, name: &str) -> Result<Option<Folder>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{FOLDER} WHERE account = ?1 AND name = ?2"))?;
        Ok(statement.query_row([account, canonical(name)], folder).optional()?)
    }

    /// The same by its row.
    pub fn folder_by_id(&self, id: FolderId) -> Result<Option<Folder>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{FOLDER} WHERE id = ?1"))?;
        Ok(statement.query_row([id.0], folder).optional()?)
    }

    /// The messages of a folder in order of their UIDs.
    pub fn items(&self, folder: FolderId) -> Result<Vec<Item>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{ITEM} WHERE folder = ?1 ORDER BY uid"))?;
        Ok(statement.query_map([folder.0], item)?.collect::<Result<_, _>>()?)
    }

    /// One message of a folder.
    pub fn item(&self, folder: FolderId, uid: Uid) -> Result<Option<Item>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{ITEM} WHERE folder = ?1 AND uid = ?2"))?;
        Ok(statement.query_row((folder.0, uid), item).optional()?)
    }

    /// Messages, messages without `\Seen`, and octets of a folder.
    pub fn folder_counts(&self, folder: FolderId) -> Result<(u32, u32, u64), StoreError> {
        let row = self
            .db
            .prepare_cached(
                "SELECT COUNT(*), COALESCE(SUM(CASE WHEN ' ' || flags || ' ' LIKE '% \\Seen %' THEN 0 ELSE 1 END), 0),
                        COALESCE(SUM(size), 0) FROM items WHERE folder = ?1",
            )?
            .query_row([folder.0], |row| {
                Ok((row.get::<_, i64>(0)? as u32, row.get::<_, i64>(1)? as u32, row.get::<_, i64>(2)? as u64))
            })?;
        Ok(row)
    }
}

fn canonical(name: &str) -> &str {
    if name.eq_ignore_ascii_case("INBOX") { "INBOX" } else { name }
}

/// Whether a name can be a folder's: bounded, without control characters or empty levels, so that no client meets a
/// name that it cannot write back.
pub fn is_folder_name(name: &str) -> bool {
    name.len() <= FOLDER_NAME_MAX
        && !name.chars().any(|c| c.is_control() || matches!(c, '*' | '%'))
        && name.split(SEPARATOR).all(|level| !level.is_empty() && level != "." && level != "..")
}

fn flags_text(flags: &[String]) -> Result<String, StoreError> {
    let good = |flag: &String| {
        (1..=FLAG_LENGTH_MAX).contains(&flag.len())
            && flag.bytes().all(|b| b.is_ascii_graphic() && !b"(){%*\"]".contains(&b))
    };
    if flags.len() > FLAGS_MAX || !flags.iter().all(good) {
        return Err(StoreError::Invalid("a flag is malformed, or there are too many".into()));
    }
    Ok(flags.join(" "))
}

impl Tx<'_> {
    /// Makes a folder; the levels above it must be there or are made too.
    pub fn add_folder(&mut self, account: &str, name: &str, special_use: Option<&str>) -> Result<FolderId, StoreError> {
        let name = canonical(name);
        if !is_folder_name(name) {
            return Err(StoreError::Invalid(format!("'{name}' cannot be the name of a folder")));
        }
        if self.reader().folder(account, name)?.is_some() {
            return Err(StoreError::Exists(format!("folder {name}")));
        }
        let count: i64 =
            self.db.query_row("SELECT COUNT(*) FROM folders WHERE account = ?1", [account], |row| row.get(0))?;
        if count as u64 >= FOLDERS_MAX {
            return Err(StoreError::Invalid(format!("the mailbox has {FOLDERS_MAX} folders, the most it may have")));
        }
        if let Some((above, _)) = name.rsplit_once(SEPARATOR)
            && self.reader().folder(account, above)?.is_none()
        {
            self.add_folder(account, above, None)?;
        }
        // A name used before must not get an old UIDVALIDITY: it comes from the clock and never goes back.
        let last: i64 =
            self.db.query_row("SELECT COALESCE(MAX(uid_validity), 0) FROM folders", [], |row| row.get(0))?;
        let removed: i64 = self.db.query_row(
            "SELECT COALESCE(MAX(CAST(value AS INTEGER)), 0) FROM meta WHERE name = 'uid_validity'",
            [],
            |row| row.get(0),
        )?;
        let uid_validity = ((self.now / 1000) as i64).max(last + 1).max(removed + 1);
        // Nor may a number be used again: whoever still has the old folder selected would read another mailbox.
        let id: i64 = self.db.query_row(
            "SELECT 1 + MAX(COALESCE((SELECT MAX(id) FROM folders), 0),
                            COALESCE((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'folder_id'), 0))",
            [],
            |row| row.get(0),
        )?;
        self.db.execute(
            "INSERT INTO folders (id, account, name, uid_validity, special_use) VALUES (?1, ?2, ?3, ?4, ?5)",
            (id, account, name, uid_validity, special_use),
        )?;
        Ok(FolderId(id))
    }

    /// The folder for a message that a plugin wants in `name`, which is made if it is not there. Where it cannot be made (no
    /// name for a folder, or too many of them) it is INBOX: a message is not kept from its mailbox by that.
    pub fn folder_for_filing(&mut self, account: &str, name: &str) -> Result<Folder, StoreError> {
        if self.reader().folder(account, name)?.is_none()
            && let Err(error) = self.add_folder(account, name, None)
        {
            let StoreError::Invalid(why) = error else { return Err(error) };
            tracing::warn!(account, folder = name, why, "a message is filed in INBOX instead");
            return self.existing_folder(account, "INBOX");
        }
        self.existing_folder(account, name)
    }

    /// Removes a folder with what is in it; folders below it stay. Never INBOX (RFC 3501 §6.3.4).
    pub fn remove_folder(&mut self, account: &str, name: &str) -> Result<(), StoreError> {
        let folder = self.existing_folder(account, name)?;
        if folder.name == "INBOX" {
            return Err(StoreError::Invalid("INBOX cannot be removed".into()));
        }
        let uids: Vec<Uid> = self.reader().items(folder.id)?.into_iter().map(|item| item.uid).collect();
        self.expunge(account, folder.id, &uids)?;
        self.db.execute(
            "INSERT INTO meta (name, value) VALUES ('uid_validity', ?1)
             ON CONFLICT (name) DO UPDATE SET value = CAST(MAX(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER)) AS TEXT)",
            [folder.uid_validity.to_string()],
        )?;
        self.retire_folder(folder.id)?;
        self.db.execute("DELETE FROM folders WHERE id = ?1", [folder.id.0])?;
        self.touch_folder(folder.id);
        Ok(())
    }

    /// No later folder gets this number or a lower one.
    pub(crate) fn retire_folder(&mut self, id: FolderId) -> Result<(), StoreError> {
        self.db.execute(
            "INSERT INTO meta (name, value) VALUES ('folder_id', ?1)
             ON CONFLICT (name) DO UPDATE SET value = CAST(MAX(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER)) AS TEXT)",
            [id.0.to_string()],
        )?;
        Ok(())
    }

    /// Renames a folder and those below it. INBOX instead gives its messages to the new folder (RFC 3501 §6.3.5).
    pub fn rename_folder(&mut self, account: &str, from: &str, to: &str) -> Result<(), StoreError> {
        let folder = self.existing_folder(account, from)?;
        if folder.name == "INBOX" {
            let to = self.add_folder(account, to, None)?;
            let uids: Vec<Uid> = self.reader().items(folder.id)?.into_iter().map(|item| item.uid).collect();
            return self.move_items(folder.id, &uids, to).map(drop);
        }
        if !is_folder_name(to) || to.starts_with(&format!("{}{SEPARATOR}", folder.name)) {
            return Err(StoreError::Invalid(format!("'{to}' cannot be the new name of the folder")));
        }
        let to = canonical(to);
        if self.reader().folder(account, to)?.is_some() {
            return Err(StoreError::Exists(format!("folder {to}")));
        }
        if let Some((above, _)) = to.rsplit_once(SEPARATOR)
            && self.reader().folder(account, above)?.is_none()
        {
            self.add_folder(account, above, None)?;
        }
        let length = folder.name.chars().count() as i64;
        self.db.execute(
            "UPDATE folders SET name = ?3 || substr(name, ?4 + 1)
             WHERE account = ?1 AND (name = ?2 OR substr(name, 1, ?4 + 1) = ?2 || '/')",
            (account, &folder.name, to, length),
        )?;
        self.touch_folder(folder.id);
        Ok(())
    }

    /// Sets whether LSUB lists a folder.
    pub fn subscribe(&mut self, account: &str, name: &str, subscribed: bool) -> Result<(), StoreError> {
        let folder = self.existing_folder(account, name)?;
        self.db.execute("UPDATE folders SET subscribed = ?2 WHERE id = ?1", (folder.id.0, subscribed))?;
        Ok(())
    }

    fn existing_folder(&self, account: &str, name: &str) -> Result<Folder, StoreError> {
        self.reader().folder(account, name)?.ok_or_else(|| StoreError::NotFound(format!("folder {name}")))
    }

    /// Files a message in a folder, under the mailbox's next number. The account's quota holds (QUO-01):
    /// [`StoreError::Full`] if there is no room.
    pub fn file(
        &mut self,
        account: &str,
        folder: FolderId,
        message: MessageId,
        flags: &[String],
        internal_date: Millis,
    ) -> Result<Uid, StoreError> {
        self.file_as(account, folder, message, flags, internal_date, None)
    }

    /// The same under a number that the mailbox has given out already.
    fn file_as(
        &mut self,
        account: &str,
        folder: FolderId,
        message: MessageId,
        flags: &[String],
        internal_date: Millis,
        number: Option<u64>,
    ) -> Result<Uid, StoreError> {
        let flags = flags_text(flags)?;
        let size: i64 = self
            .db
            .prepare_cached("SELECT size FROM messages WHERE id = ?1")?
            .query_row([message.0], |row| row.get(0))?;
        let next: Option<i64> = self
            .db
            .prepare_cached(
                "UPDATE accounts SET used = used + ?2, next_number = next_number + ?3
                 WHERE address = ?1 AND used + ?2 <= quota RETURNING next_number - 1",
            )?
            .query_row((account, size, number.is_none()), |row| row.get(0))
            .optional()?;
        let Some(next) = next else { return Err(StoreError::Full) };
        let number = number.map_or(next, |number| number as i64);
        let (uid, mod_seq): (i64, i64) = self
            .db
            .prepare_cached(
                "UPDATE folders SET uid_next = uid_next + 1, mod_seq = mod_seq + 1 WHERE id = ?1
                 RETURNING uid_next - 1, mod_seq",
            )?
            .query_row([folder.0], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?
            .ok_or_else(|| StoreError::NotFound("the folder was removed".into()))?;
        self.db
            .prepare_cached(
                "INSERT INTO items (folder, uid, message, size, flags, internal_date, mod_seq, number)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute((folder.0, uid, message.0, size, flags, internal_date as i64, mod_seq, number))?;
        self.touch_folder(folder);
        Ok(uid as Uid)
    }

    /// Sets the flags of one message; the new state is returned.
    pub fn set_flags(&mut self, folder: FolderId, uid: Uid, flags: &[String]) -> Result<Option<Item>, StoreError> {
        let text = flags_text(flags)?;
        let mod_seq = self.raise_mod_seq(folder)?;
        self.db
            .prepare_cached("UPDATE items SET flags = ?3, mod_seq = ?4 WHERE folder = ?1 AND uid = ?2")?
            .execute((folder.0, uid, text, mod_seq))?;
        self.touch_folder(folder);
        self.reader().item(folder, uid)
    }

    /// Copies messages to another folder of the account, in order; returns pairs of old and new UIDs.
    pub fn copy_items(
        &mut self,
        account: &str,
        from: FolderId,
        uids: &[Uid],
        to: FolderId,
    ) -> Result<Vec<(Uid, Uid)>, StoreError> {
        let mut pairs = Vec::with_capacity(uids.len());
        for &uid in uids {
            if let Some(item) = self.reader().item(from, uid)? {
                let number = Some(item.number);
                pairs.push((uid, self.file_as(account, to, item.message, &item.flags, item.internal_date, number)?));
            }
        }
        Ok(pairs)
    }

    /// Removes messages from a folder for good; returns those that were there.
    pub fn expunge(&mut self, account: &str, folder: FolderId, uids: &[Uid]) -> Result<Vec<Uid>, StoreError> {
        let mut removed = Vec::new();
        for &uid in uids {
            let Some(item) = self.reader().item(folder, uid)? else { continue };
            self.db.prepare_cached("DELETE FROM items WHERE folder = ?1 AND uid = ?2")?.execute((folder.0, uid))?;
            self.db
                .prepare_cached("UPDATE accounts SET used = MAX(0, used - ?2) WHERE address = ?1")?
                .execute((account, item.size as i64))?;
            self.release_message(item.message)?;
            removed.push(uid);
        }
        if !removed.is_empty() {
            self.raise_mod_seq(folder)?;
            self.touch_folder(folder);
        }
        Ok(removed)
    }

    pub(crate) fn raise_mod_seq(&mut self, folder: FolderId) -> Result<i64, StoreError> {
        self.db
            .prepare_cached("UPDATE folders SET mod_seq = mod_seq + 1 WHERE id = ?1 RETURNING mod_seq")?
            .query_row([folder.0], |row| row.get(0))
            .optional()?
            .ok_or_else(|| StoreError::NotFound("the folder was removed".into()))
    }
}
