//! Messages brought from another system into a mailbox, each exactly once (MIG-01).
//!
//! Filing and the note that it was done are one commit: whoever is interrupted anywhere begins again with the same names
//! and brings what is missing, nothing twice.

use std::collections::BTreeSet;

use rusqlite::OptionalExtension;
use sigillo_mail::Rope;

use crate::Millis;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;
use crate::folders::Uid;

/// One message to be brought.
#[derive(Debug)]
pub struct Import {
    /// The folder here, UTF-8 with `/`; made if it is not there.
    pub folder: String,
    /// Its name there, which never names another message of that folder.
    pub name: String,
    /// Its content.
    pub content: Rope,
    /// System flags with their backslash, and keywords.
    pub flags: Vec<String>,
    /// When it came, there.
    pub internal_date: Millis,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It is in the folder under this UID.
    Filed(Uid),
    /// It was brought before.
    Before,
    /// The mailbox has no room for it; nothing of it remains.
    Full,
}

impl Reader<'_> {
    /// Names of a folder that were brought before.
    pub fn imported(&self, account: &str, folder: &str) -> Result<BTreeSet<String>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT name FROM imported WHERE account = ?1 AND folder = ?2")?;
        Ok(statement.query_map([account, folder], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// Files a message from elsewhere, unless it was brought before.
    pub fn import(&mut self, account: &str, new: &Import) -> Result<Imported, StoreError> {
        let known = self
            .db
            .prepare_cached("SELECT 1 FROM imported WHERE account = ?1 AND folder = ?2 AND name = ?3")?
            .exists([account, &new.folder, &new.name])?;
        if known {
            return Ok(Imported::Before);
        }
        let (used, quota): (i64, i64) = self
            .db
            .prepare_cached("SELECT used, quota FROM accounts WHERE address = ?1")?
            .query_row([account], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?
            .ok_or_else(|| StoreError::NotFound(format!("mailbox {account}")))?;
        if used.saturating_add(new.content.len() as i64) > quota {
            return Ok(Imported::Full);
        }
        let folder = match self.reader().folder(account, &new.folder)? {
            Some(folder) => folder.id,
            None => self.add_folder(account, &new.folder, None)?,
        };
        let message = self.put_message(&new.content)?;
        let uid = self.file(account, folder, message, &new.flags, new.internal_date)?;
        self.db
            .prepare_cached("INSERT INTO imported (account, folder, name, uid) VALUES (?1, ?2, ?3, ?4)")?
            .execute((account, &new.folder, &new.name, uid))?;
        Ok(Imported::Filed(uid))
    }
}
