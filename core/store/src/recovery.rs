//! Mobile telephones of users, and the codes that were sent to them (ADM-14).

use rusqlite::OptionalExtension;

use crate::Millis;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;

/// A code that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// What is kept of it.
    pub digest: [u8; 32],
    /// When it was asked for.
    pub asked: Millis,
    /// Until when it is good.
    pub expires: Millis,
    /// Wrong ones that were tried since.
    pub attempts: u32,
}

impl Reader<'_> {
    /// The mobile telephone of a user.
    pub fn mobile(&self, login: &str) -> Result<Option<String>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT mobile FROM mobiles WHERE login = ?1")?;
        Ok(statement.query_row([login.to_ascii_lowercase()], |row| row.get(0)).optional()?)
    }

    /// The last code of a user.
    pub fn recovery_code(&self, login: &str) -> Result<Option<Code>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT digest, asked, expires, attempts FROM recovery_codes WHERE login = ?1")?;
        let code = statement.query_row([login.to_ascii_lowercase()], |row| {
            Ok(Code {
                digest: row.get(0)?,
                asked: row.get::<_, i64>(1)? as Millis,
                expires: row.get::<_, i64>(2)? as Millis,
                attempts: row.get(3)?,
            })
        });
        Ok(code.optional()?)
    }

    /// How many codes were sent to a user since an instant.
    pub fn codes_sent(&self, login: &str, since: Millis) -> Result<u64, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT COUNT(*) FROM recovery_sent WHERE login = ?1 AND at > ?2")?;
        let count: i64 = statement.query_row((login.to_ascii_lowercase(), since as i64), |row| row.get(0))?;
        Ok(count as u64)
    }
}

impl Tx<'_> {
    /// Notes the mobile telephone of a user, or forgets it.
    pub fn set_mobile(&mut self, login: &str, mobile: Option<&str>) -> Result<(), StoreError> {
        let login = login.to_ascii_lowercase();
        match mobile {
            None => self.db.execute("DELETE FROM mobiles WHERE login = ?1", [&login])?,
            Some(mobile) => self.db.execute(
                "INSERT INTO mobiles (login, mobile) VALUES (?1, ?2)
                 ON CONFLICT (login) DO UPDATE SET mobile = excluded.mobile",
                [&login, mobile],
            )?,
        };
        Ok(())
    }

    /// Notes that a code was sent to a user; what was noted up to `forget` leaves.
    pub fn note_code_sent(&mut self, login: &str, forget: Millis) -> Result<(), StoreError> {
        let login = login.to_ascii_lowercase();
        self.db.execute("DELETE FROM recovery_sent WHERE login = ?1 AND at <= ?2", (&login, forget as i64))?;
        self.db.execute("INSERT INTO recovery_sent (login, at) VALUES (?1, ?2)", (&login, self.now as i64))?;
        Ok(())
    }

    /// Keeps the code of a user in the place of the one before.
    pub fn put_recovery_code(&mut self, login: &str, code: &Code) -> Result<(), StoreError> {
        self.db.execute(
            "INSERT INTO recovery_codes (login, digest, asked, expires, attempts) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (login) DO UPDATE SET digest = excluded.digest, asked = excluded.asked,
                expires = excluded.expires, attempts = excluded.attempts",
            (login.to_ascii_lowercase(), &code.digest[..], code.asked as i64, code.expires as i64, code.attempts),
        )?;
        Ok(())
    }
}
