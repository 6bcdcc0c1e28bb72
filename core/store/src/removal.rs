//! Deleting what belonged to somebody whose service ended (ADM-24).
//!
//! A mailbox of millions of messages is emptied in steps, each its own commit, so that mail of others never waits for it;
//! whoever is interrupted goes on with the next call. The log and the quarantine are never touched here.

use crate::commit::Tx;
use crate::error::StoreError;
use crate::folders::FolderId;
use crate::messages::MessageId;

impl Tx<'_> {
    /// Removes at most `limit` messages of a mailbox; how many there were.
    pub fn empty_account(&mut self, address: &str, limit: u32) -> Result<u64, StoreError> {
        let address = address.to_ascii_lowercase();
        let rows: Vec<(i64, u32)> = self
            .db
            .prepare_cached(
                "SELECT folder, uid FROM items WHERE folder IN (SELECT id FROM folders WHERE account = ?1) LIMIT ?2",
            )?
            .query_map((&address, limit), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (folder, uid) in &rows {
            self.expunge(&address, FolderId(*folder), &[*uid])?;
        }
        Ok(rows.len() as u64)
    }

    /// Removes a mailbox with what is left in it: folders, archive, settings, users and their roles. Its address is retired.
    pub fn remove_account(&mut self, address: &str) -> Result<(), StoreError> {
        let address = address.to_ascii_lowercase();
        if self.reader().account(&address)?.is_none() {
            return Err(StoreError::NotFound(format!("mailbox {address}")));
        }
        while self.empty_account(&address, u32::MAX)? > 0 {}
        self.archive_remove(&address)?;
        // What plugins were still to be told of: a note that only went with its mailbox would keep its message's bytes for
        // ever.
        let notes: Vec<i64> = self
            .db
            .prepare_cached("DELETE FROM refiled WHERE account = ?1 RETURNING message")?
            .query_map([&address], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for message in notes {
            self.release_message(MessageId(message))?;
        }
        // Folder names must not get an old UIDVALIDITY again (RFC 3501 §2.3.1.1).
        self.db.execute(
            "INSERT INTO meta (name, value)
             SELECT 'uid_validity', CAST(COALESCE(MAX(uid_validity), 0) AS TEXT) FROM folders WHERE account = ?1
             ON CONFLICT (name) DO UPDATE
                SET value = CAST(MAX(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER)) AS TEXT)",
            [&address],
        )?;
        let last: Option<i64> =
            self.db.query_row("SELECT MAX(id) FROM folders WHERE account = ?1", [&address], |row| row.get(0))?;
        if let Some(last) = last {
            self.retire_folder(FolderId(last))?;
        }
        self.db.execute("DELETE FROM roles WHERE login IN (SELECT login FROM users WHERE account = ?1)", [&address])?;
        self.db.execute("DELETE FROM holds WHERE kind = 'mailbox' AND name = ?1", [&address])?;
        self.db.execute(
            "INSERT INTO retired_addresses (address, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            (&address, self.now as i64),
        )?;
        // Folders, settings and users go with it: their rows refer to it.
        self.db.execute("DELETE FROM accounts WHERE address = ?1", [&address])?;
        Ok(())
    }

    /// Forgets a domain without mailboxes: it is not ours any more (DOM-08).
    pub fn remove_domain(&mut self, name: &str) -> Result<(), StoreError> {
        let name = name.to_ascii_lowercase();
        if !self.reader().addresses_of_domain(&name)?.is_empty() {
            return Err(StoreError::Invalid(format!("domain {name} has mailboxes")));
        }
        self.db.execute("DELETE FROM holds WHERE kind = 'domain' AND name = ?1", [&name])?;
        let removed = self.db.execute("DELETE FROM domains WHERE name = ?1", [&name])?;
        if removed == 0 { Err(StoreError::NotFound(format!("domain {name}"))) } else { Ok(()) }
    }
}
