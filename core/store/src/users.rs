//! Who may log in: the holder of each mailbox, and the operators of a multi-user one (BOX-01 to BOX-04).
//!
//! A login belongs to one mailbox. The holder's is the address of the mailbox; no operator's may be that of another.

use rusqlite::{OptionalExtension, Row};
use serde::Serialize;

use crate::Millis;
use crate::accounts::{AccountState, Kind};
use crate::commit::{Reader, Tx};
use crate::error::StoreError;

/// Users of a multi-user mailbox at most, the holder among them (BOX-02, QUO-05).
pub const USERS_MAX: usize = 10;
/// Longest login of an operator, characters. Ours: it becomes part of an IMAP keyword.
pub const LOGIN_MAX: usize = 64;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything (BOX-03); one for each mailbox.
    Holder,
    /// Reads, takes messages in charge and works on them.
    Operator,
}

impl Role {
    /// The word in the database and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Holder => "holder",
            Role::Operator => "operator",
        }
    }
}

/// One user.
#[derive(Debug, Clone, Serialize)]
pub struct User {
    /// In lower case.
    pub login: String,
    /// The mailbox.
    pub account: String,
    /// Holder or operator.
    pub role: Role,
    /// How the password is checked; never shown.
    #[serde(skip)]
    pub credential: String,
    /// The password was given by somebody else and must be changed before anything (ADM-01).
    pub initial: bool,
    /// When the password ends.
    pub credential_expires: Option<Millis>,
    /// Active or disabled.
    pub state: AccountState,
    /// When the user was made.
    pub created: Millis,
}

/// Why somebody who proved who he is may not come in all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barred {
    /// The first password must be changed first.
    Initial,
    /// The password's time is over.
    Expired,
}

impl User {
    /// Whether the password that this user has just proved to know opens the mailbox at `now`.
    pub fn admitted(&self, now: Millis) -> Result<(), Barred> {
        match self.credential_expires {
            Some(end) if end <= now => Err(Barred::Expired),
            _ if self.initial => Err(Barred::Initial),
            _ => Ok(()),
        }
    }
}

/// What a user is made of.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The login; an operator's is 1 to [`LOGIN_MAX`] letters, digits and `.`, `-`, `_`, `@`, `+`.
    pub login: String,
    /// The mailbox.
    pub account: String,
    /// Holder or operator.
    pub role: Role,
    /// How the password is checked.
    pub credential: String,
    /// It must be changed at first use.
    pub initial: bool,
    /// When it ends.
    pub expires: Option<Millis>,
}

const USER: &str = "SELECT login, account, role, credential, initial, credential_expires, state, created FROM users";

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        login: row.get(0)?,
        account: row.get(1)?,
        role: if row.get::<_, String>(2)? == "holder" { Role::Holder } else { Role::Operator },
        credential: row.get(3)?,
        initial: row.get(4)?,
        credential_expires: row.get::<_, Option<i64>>(5)?.map(|at| at as Millis),
        state: AccountState::of(&row.get::<_, String>(6)?),
        created: row.get::<_, i64>(7)? as Millis,
    })
}

fn is_login(login: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_@+".contains(&b);
    (1..=LOGIN_MAX).contains(&login.len()) && login.bytes().all(good)
}

impl Reader<'_> {
    /// The user of a login, whatever its case.
    pub fn user(&self, login: &str) -> Result<Option<User>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{USER} WHERE login = ?1"))?;
        Ok(statement.query_row([login.to_ascii_lowercase()], user).optional()?)
    }

    /// The users of a mailbox, the holder first, then in the order in which they were made.
    pub fn users_of(&self, account: &str) -> Result<Vec<User>, StoreError> {
        let mut statement =
            self.db.prepare_cached(&format!("{USER} WHERE account = ?1 ORDER BY role = 'operator', created, login"))?;
        Ok(statement.query_map([account.to_ascii_lowercase()], user)?.collect::<Result<_, _>>()?)
    }

    /// The user of a login who may try to come in: he and his mailbox are active, and nobody
    /// suspended or ended its service.
    pub fn user_at_the_door(&self, login: &str) -> Result<Option<User>, StoreError> {
        let Some(user) = self.user(login)?.filter(|user| user.state == AccountState::Active) else { return Ok(None) };
        let account = self.account(&user.account)?;
        let open = account.is_some_and(|account| account.is_open())
            && self.standing(&user.account, crate::commit::now())?.admits_users();
        Ok(open.then_some(user))
    }
}

impl Tx<'_> {
    /// Makes a user. Operators belong to multi-user mailboxes, which have at most [`USERS_MAX`] users in all.
    pub fn add_user(&mut self, new: &NewUser) -> Result<(), StoreError> {
        let (login, account) = (new.login.to_ascii_lowercase(), new.account.to_ascii_lowercase());
        let found = self.reader().account(&account)?;
        let found = found.ok_or_else(|| StoreError::NotFound(format!("mailbox {account}")))?;
        if new.role == Role::Operator {
            if !is_login(&login) {
                return Err(StoreError::Invalid(format!(
                    "'{login}' is no login: use 1 to {LOGIN_MAX} letters, digits and . - _ @ +"
                )));
            }
            if found.kind != Kind::MultiUser {
                let kind = found.kind.as_str();
                return Err(StoreError::Invalid(format!("{account} is {kind}: only its holder logs in to it")));
            }
            if self.reader().account(&login)?.is_some() {
                return Err(StoreError::Exists(format!("mailbox {login}, so nobody else may be called so")));
            }
        } else if login != account {
            return Err(StoreError::Invalid(format!("the holder of {account} logs in by that address")));
        }
        if self.reader().users_of(&account)?.len() >= USERS_MAX {
            return Err(StoreError::Invalid(format!("{account} has {USERS_MAX} users, the most it may have")));
        }
        let added = self.db.execute(
            "INSERT INTO users (login, account, role, credential, initial, credential_expires, state, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'active', ?7) ON CONFLICT DO NOTHING",
            (
                &login,
                &account,
                new.role.as_str(),
                &new.credential,
                new.initial,
                new.expires.map(|at| at as i64),
                self.now as i64,
            ),
        )?;
        if added == 0 { Err(StoreError::Exists(format!("login {login}"))) } else { Ok(()) }
    }

    /// Removes an operator; what he has in charge is free again. The holder goes only with the mailbox (BOX-03).
    pub fn remove_user(&mut self, login: &str) -> Result<(), StoreError> {
        let user = self.existing_user(login)?;
        if user.role == Role::Holder {
            return Err(StoreError::Invalid(format!("{} is the holder: a mailbox has one", user.login)));
        }
        self.release_all(&user, "administrator")?;
        self.db.execute("DELETE FROM users WHERE login = ?1", [&user.login])?;
        Ok(())
    }

    /// Changes how a user's password is checked. `initial`: it must be changed at first use. `expires`: when it ends.
    pub fn set_user_credential(
        &mut self,
        login: &str,
        credential: &str,
        initial: bool,
        expires: Option<Millis>,
    ) -> Result<(), StoreError> {
        let user = self.existing_user(login)?;
        self.db.execute(
            "UPDATE users SET credential = ?2, initial = ?3, credential_expires = ?4 WHERE login = ?1",
            (&user.login, credential, initial, expires.map(|at| at as i64)),
        )?;
        Ok(())
    }

    /// Lets a user log in, or not.
    pub fn set_user_state(&mut self, login: &str, state: AccountState) -> Result<(), StoreError> {
        let user = self.existing_user(login)?;
        self.db.execute("UPDATE users SET state = ?2 WHERE login = ?1", [&user.login, state.as_str()])?;
        Ok(())
    }

    pub(crate) fn existing_user(&self, login: &str) -> Result<User, StoreError> {
        let found = self.reader().user(login)?;
        found.ok_or_else(|| StoreError::NotFound(format!("user {}", login.to_ascii_lowercase())))
    }
}
