//! Brings the database of an older program to the form that this one knows, in one transaction at open.

use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use crate::commit::set_meta;
use crate::error::StoreError;

/// Version of `schema.sql`.
const SCHEMA_VERSION: &str = "2";

/// From 1 to 2: who logs in stands in `users`, and messages have progressive numbers. The credential of a mailbox is its
/// holder's from now on (BOX-03). Messages that are there are numbered in the order in which they came; copies of one
/// message share its number.
const FROM_1: &str = "
CREATE TABLE users (
    login              TEXT PRIMARY KEY,
    account            TEXT NOT NULL REFERENCES accounts(address) ON DELETE CASCADE,
    role               TEXT NOT NULL,
    credential         TEXT NOT NULL,
    initial            INTEGER NOT NULL DEFAULT 0,
    credential_expires BIGINT,
    state              TEXT NOT NULL,
    created            BIGINT NOT NULL
);
INSERT INTO users (login, account, role, credential, state, created)
    SELECT address, address, 'holder', credential, 'active', created FROM accounts;
ALTER TABLE accounts DROP COLUMN credential;
ALTER TABLE accounts ADD COLUMN kind TEXT NOT NULL DEFAULT 'individual';
ALTER TABLE accounts ADD COLUMN offer TEXT;
ALTER TABLE accounts ADD COLUMN daily_sends BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN next_number BIGINT NOT NULL DEFAULT 1;
ALTER TABLE accounts ADD COLUMN warned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE items ADD COLUMN number BIGINT NOT NULL DEFAULT 0;
CREATE TEMPORARY TABLE numbered AS
    SELECT i.folder, i.uid, f.account, DENSE_RANK() OVER (PARTITION BY f.account ORDER BY i.message) AS number
    FROM items i JOIN folders f ON f.id = i.folder;
CREATE INDEX temp.numbered_by_item ON numbered(folder, uid);
CREATE INDEX temp.numbered_by_account ON numbered(account, number);
UPDATE items SET number =
    (SELECT n.number FROM numbered n WHERE n.folder = items.folder AND n.uid = items.uid);
UPDATE accounts SET next_number =
    1 + COALESCE((SELECT MAX(n.number) FROM numbered n WHERE n.account = accounts.address), 0);
DROP TABLE numbered;
";

/// Brings the database in `folder` up to date; a new one is left to `schema.sql`. `exclusive`: the caller holds the lock
/// of the folder. Fails if a program of another version is at work there.
pub(crate) fn migrate(db: &Connection, folder: &Path, exclusive: bool) -> Result<(), StoreError> {
    let Some(version) = version(db)? else { return Ok(()) };
    if version == SCHEMA_VERSION {
        return Ok(());
    }
    if version != "1" {
        return Err(StoreError::Invalid(format!(
            "the store has schema version {version}, this program knows {SCHEMA_VERSION}: use the matching program"
        )));
    }
    // A server of the older version must not find its tables changed under it.
    let lock = (!exclusive).then(|| File::options().write(true).create(true).truncate(false).open(folder.join("lock")));
    let lock = lock.transpose()?;
    if lock.as_ref().is_some_and(|lock| lock.try_lock().is_err()) {
        return Err(StoreError::Invalid(
            "the store is in use by a server of an older version: start that server anew with this program first"
                .into(),
        ));
    }
    db.execute_batch("BEGIN IMMEDIATE")?;
    let done = match self::version(db) {
        Ok(Some(now)) if now == version => db.execute_batch(FROM_1).map_err(StoreError::from).and_then(|()| mark(db)),
        Ok(_) => Ok(()), // somebody else was faster
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => Ok(db.execute_batch("COMMIT")?),
        Err(error) => {
            db.execute_batch("ROLLBACK")?;
            Err(error)
        }
    }
}

/// Says that the database has the form of this program.
pub(crate) fn mark(db: &Connection) -> Result<(), StoreError> {
    set_meta(db, "schema_version", SCHEMA_VERSION)
}

/// The version of the tables that are there; none if there are none.
fn version(db: &Connection) -> Result<Option<String>, StoreError> {
    let there = db
        .query_row("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'", [], |_| Ok(()))
        .optional()?;
    match there {
        None => Ok(None),
        Some(()) => {
            Ok(db.query_row("SELECT value FROM meta WHERE name = 'schema_version'", [], |row| row.get(0)).optional()?)
        }
    }
}
