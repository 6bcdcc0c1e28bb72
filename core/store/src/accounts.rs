//! Domains and accounts of this server. An account is named by its address in lower case; who may log in to it stands in
//! [`crate::users`].

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use serde::Serialize;
use sigillo_mail::Mailbox;

use crate::Millis;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;
use crate::users::{NewUser, Role};

/// Folders that every account has from its first day, with their special use (RFC 6154).
pub const FIRST_FOLDERS: [(&str, Option<&str>); 5] = [
    ("INBOX", None),
    ("Drafts", Some("\\Drafts")),
    ("Sent", Some("\\Sent")),
    ("Junk", Some("\\Junk")),
    ("Trash", Some("\\Trash")),
];

/// What a domain is for. All mailboxes of a certified domain are certified (DOM-01).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DomainClass {
    /// Certified e-mail.
    Certified,
    /// Ordinary e-mail.
    Ordinary,
}

impl DomainClass {
    /// The word in the database, in facts and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            DomainClass::Certified => "certified",
            DomainClass::Ordinary => "ordinary",
        }
    }
}

/// A domain whose mailboxes live here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Domain {
    /// In lower case.
    pub name: String,
    /// Certified or ordinary.
    pub class: DomainClass,
}

/// Whether an account may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountState {
    /// Receives mail and may log in.
    Active,
    /// Does neither.
    Disabled,
}

impl AccountState {
    /// The word in the database and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            AccountState::Active => "active",
            AccountState::Disabled => "disabled",
        }
    }

    /// From the word; anything unknown lets nobody in.
    pub(crate) fn of(word: &str) -> AccountState {
        if word == "active" { AccountState::Active } else { AccountState::Disabled }
    }
}

/// What a mailbox is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One person's (BOX-01).
    Individual,
    /// Of a holder and operators, each with a login of his own (BOX-02).
    MultiUser,
    /// A program's (BOX-13).
    Application,
}

impl Kind {
    /// The word in the database and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Individual => "individual",
            Kind::MultiUser => "multi-user",
            Kind::Application => "application",
        }
    }

    fn of(word: &str) -> Kind {
        match word {
            "multi-user" => Kind::MultiUser,
            "application" => Kind::Application,
            _ => Kind::Individual,
        }
    }
}

/// One account.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    /// In lower case.
    pub address: String,
    /// Active or disabled.
    pub state: AccountState,
    /// What it is for.
    pub kind: Kind,
    /// The name of the offer that it was made by.
    pub offer: Option<String>,
    /// Octets that it may hold.
    pub quota: u64,
    /// Octets that it holds.
    pub used: u64,
    /// Recipients that it may send to in a day; none without limit (BOX-14).
    pub daily_sends: Option<u64>,
    /// When it was made.
    pub created: Millis,
    /// Why nobody may log in, if a plugin has suspended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
}

impl Account {
    /// Whether its user may log in and send.
    pub fn is_open(&self) -> bool {
        self.state == AccountState::Active && self.suspended.is_none()
    }
}

/// What an account is made of.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its address.
    pub address: Mailbox,
    /// What it is for.
    pub kind: Kind,
    /// The name of the offer.
    pub offer: Option<String>,
    /// Octets that it may hold.
    pub quota: u64,
    /// Recipients that it may send to in a day; none without limit.
    pub daily_sends: Option<u64>,
    /// How its holder's password is checked.
    pub credential: String,
    /// The holder must change the password at first use.
    pub initial: bool,
    /// When the password ends.
    pub expires: Option<Millis>,
}

const ACCOUNT: &str = "SELECT address, state, kind, offer, quota, used, daily_sends, created,
     (SELECT reason FROM suspensions WHERE account = address) FROM accounts";

fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        address: row.get(0)?,
        state: AccountState::of(&row.get::<_, String>(1)?),
        kind: Kind::of(&row.get::<_, String>(2)?),
        offer: row.get(3)?,
        quota: row.get::<_, i64>(4)? as u64,
        used: row.get::<_, i64>(5)? as u64,
        daily_sends: Some(row.get::<_, i64>(6)? as u64).filter(|sends| *sends > 0),
        created: row.get::<_, i64>(7)? as Millis,
        suspended: row.get(8)?,
    })
}

/// The domains of a store beside whoever holds it; none if there is no store there. Nothing is made or changed.
pub fn domains_of(folder: &Path) -> Result<Vec<Domain>, StoreError> {
    let path = folder.join("sigillo.db");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    Reader { db: &db }.domains()
}

impl Reader<'_> {
    /// The domain, if its mailboxes live here.
    pub fn domain(&self, name: &str) -> Result<Option<Domain>, StoreError> {
        let class: Option<String> = self
            .db
            .prepare_cached("SELECT class FROM domains WHERE name = ?1")?
            .query_row([name.to_ascii_lowercase()], |row| row.get(0))
            .optional()?;
        Ok(class.map(|class| Domain { name: name.to_ascii_lowercase(), class: domain_class(&class) }))
    }

    /// Every domain, in order.
    pub fn domains(&self) -> Result<Vec<Domain>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT name, class FROM domains ORDER BY name")?;
        let rows = statement
            .query_map([], |row| Ok(Domain { name: row.get(0)?, class: domain_class(&row.get::<_, String>(1)?) }))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The account of an address, whatever its case.
    pub fn account(&self, address: &str) -> Result<Option<Account>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{ACCOUNT} WHERE address = ?1"))?;
        Ok(statement.query_row([address.to_ascii_lowercase()], account).optional()?)
    }

    /// Every account, in order.
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{ACCOUNT} ORDER BY address"))?;
        Ok(statement.query_map([], account)?.collect::<Result<_, _>>()?)
    }

    /// Octets that an account holds and may hold, and the percentage that its holder was last told of.
    pub fn filling(&self, address: &str) -> Result<Option<(u64, u64, u8)>, StoreError> {
        let row = self
            .db
            .prepare_cached("SELECT used, quota, warned FROM accounts WHERE address = ?1")?
            .query_row([address], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64, row.get(2)?)))
            .optional()?;
        Ok(row)
    }

    /// A setting of an account.
    pub fn account_setting(&self, address: &str, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT value FROM account_settings WHERE account = ?1 AND name = ?2")?
            .query_row([&address.to_ascii_lowercase(), name], |row| row.get(0))
            .optional()?)
    }

    /// Every setting of an account, name and value, in order.
    pub fn account_settings(&self, address: &str) -> Result<Vec<(String, String)>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT name, value FROM account_settings WHERE account = ?1 ORDER BY name")?;
        let rows = statement.query_map([&address.to_ascii_lowercase()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn domain_class(word: &str) -> DomainClass {
    if word == "certified" { DomainClass::Certified } else { DomainClass::Ordinary }
}

impl Tx<'_> {
    /// Makes a domain ours.
    pub fn add_domain(&mut self, name: &sigillo_mail::Domain, class: DomainClass) -> Result<(), StoreError> {
        if name.is_literal() {
            return Err(StoreError::Invalid(format!("{name} is an address literal, not a domain name")));
        }
        let added = self.db.execute(
            "INSERT INTO domains (name, class, created) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            (name.as_str(), class.as_str(), self.now as i64),
        )?;
        if added == 0 { Err(StoreError::Exists(format!("domain {name}"))) } else { Ok(()) }
    }

    /// Makes an individual account with its first folders, and its holder.
    pub fn add_account(&mut self, address: &Mailbox, credential: &str, quota: u64) -> Result<(), StoreError> {
        self.add_account_of(&NewAccount {
            address: address.clone(),
            kind: Kind::Individual,
            offer: None,
            quota,
            daily_sends: None,
            credential: credential.to_owned(),
            initial: false,
            expires: None,
        })
    }

    /// Makes an account with its first folders, and its holder, whose login is the address.
    pub fn add_account_of(&mut self, new: &NewAccount) -> Result<(), StoreError> {
        let domain = new.address.domain().as_str();
        if self.reader().domain(domain)?.is_none() {
            return Err(StoreError::NotFound(format!("domain {domain}: add it first")));
        }
        let key = new.address.key();
        if let Some(user) = self.reader().user(&key)? {
            return Err(StoreError::Exists(match user.account == key {
                true => format!("mailbox {key}"),
                false => format!("login {key}, an operator of {}", user.account),
            }));
        }
        let sends = new.daily_sends.unwrap_or(0) as i64;
        let added = self.db.execute(
            "INSERT INTO accounts (address, domain, state, kind, offer, quota, daily_sends, created)
             VALUES (?1, ?2, 'active', ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            (&key, domain, new.kind.as_str(), &new.offer, new.quota as i64, sends, self.now as i64),
        )?;
        if added == 0 {
            return Err(StoreError::Exists(format!("mailbox {key}")));
        }
        for (name, special_use) in FIRST_FOLDERS {
            self.add_folder(&key, name, special_use)?;
        }
        self.add_user(&NewUser {
            login: key.clone(),
            account: key,
            role: Role::Holder,
            credential: new.credential.clone(),
            initial: new.initial,
            expires: new.expires,
        })
    }

    /// Lets nobody log in until the account is made active anew; it receives mail as before (AS-06, AS-08). The first
    /// reason stays. Returns whether it was open to its user before.
    pub fn suspend_account(&mut self, address: &str, reason: &str) -> Result<bool, StoreError> {
        let key = address.to_ascii_lowercase();
        let Some(account) = self.reader().account(&key)? else {
            return Err(StoreError::NotFound(format!("mailbox {key}")));
        };
        self.db.execute(
            "INSERT INTO suspensions (account, reason, since) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            (&key, reason, self.now as i64),
        )?;
        Ok(account.is_open())
    }

    /// Lets an account be used, or not. To make it active ends a suspension.
    pub fn set_account_state(&mut self, address: &str, state: AccountState) -> Result<(), StoreError> {
        if state == AccountState::Active {
            self.db.execute("DELETE FROM suspensions WHERE account = ?1", [address.to_ascii_lowercase()])?;
        }
        self.change_account(address, "state", state.as_str())
    }

    /// Changes what a mailbox is for. One that others than its holder may log in to stays multi-user.
    pub fn set_kind(&mut self, address: &str, kind: Kind) -> Result<(), StoreError> {
        if kind != Kind::MultiUser && self.reader().users_of(address)?.len() > 1 {
            return Err(StoreError::Invalid(format!("{address} has operators: remove them first")));
        }
        self.change_account(address, "kind", kind.as_str())
    }

    /// Notes the offer of an account.
    pub fn set_offer(&mut self, address: &str, offer: &str) -> Result<(), StoreError> {
        self.change_account(address, "offer", offer)
    }

    /// Changes to how many recipients an account may send in a day; none without limit.
    pub fn set_daily_sends(&mut self, address: &str, sends: Option<u64>) -> Result<(), StoreError> {
        let key = address.to_ascii_lowercase();
        let sends = sends.unwrap_or(0) as i64;
        let changed = self.db.execute("UPDATE accounts SET daily_sends = ?2 WHERE address = ?1", (&key, sends))?;
        if changed == 0 { Err(StoreError::NotFound(format!("mailbox {key}"))) } else { Ok(()) }
    }

    fn change_account(&mut self, address: &str, column: &'static str, value: &str) -> Result<(), StoreError> {
        let key = address.to_ascii_lowercase();
        let changed =
            self.db.execute(&format!("UPDATE accounts SET {column} = ?2 WHERE address = ?1"), [&key, value])?;
        if changed == 0 { Err(StoreError::NotFound(format!("mailbox {key}"))) } else { Ok(()) }
    }

    /// Changes how much an account may hold, octets.
    pub fn set_quota(&mut self, address: &str, quota: u64) -> Result<(), StoreError> {
        let key = address.to_ascii_lowercase();
        let changed = self.db.execute("UPDATE accounts SET quota = ?2 WHERE address = ?1", (&key, quota as i64))?;
        if changed == 0 { Err(StoreError::NotFound(format!("mailbox {key}"))) } else { Ok(()) }
    }

    /// Notes the percentage of its quota that the holder of an account was told of.
    pub fn set_warned(&mut self, address: &str, percentage: u8) -> Result<(), StoreError> {
        self.db.prepare_cached("UPDATE accounts SET warned = ?2 WHERE address = ?1")?.execute((address, percentage))?;
        Ok(())
    }

    /// Changes a setting of an account.
    pub fn set_account_setting(&mut self, address: &str, name: &str, value: &str) -> Result<(), StoreError> {
        self.db.execute(
            "INSERT INTO account_settings (account, name, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (account, name) DO UPDATE SET value = excluded.value",
            [&address.to_ascii_lowercase(), name, value],
        )?;
        Ok(())
    }

    /// Removes a setting of an account; one that is not there is no error.
    pub fn remove_account_setting(&mut self, address: &str, name: &str) -> Result<(), StoreError> {
        self.db.execute(
            "DELETE FROM account_settings WHERE account = ?1 AND name = ?2",
            [&address.to_ascii_lowercase(), name],
        )?;
        Ok(())
    }

    /// A secret of this store: `fresh` becomes it at the first call and is ignored later.
    pub fn server_secret(&mut self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let hex: String = fresh.iter().map(|byte| format!("{byte:02x}")).collect();
        self.db.execute("INSERT INTO meta (name, value) VALUES ('server_secret', ?1) ON CONFLICT DO NOTHING", [hex])?;
        let text: String =
            self.db.query_row("SELECT value FROM meta WHERE name = 'server_secret'", [], |row| row.get(0))?;
        let damaged = || StoreError::Damaged("server_secret".into());
        let mut secret = [0; 32];
        for (index, byte) in secret.iter_mut().enumerate() {
            let digits = text.get(2 * index..2 * index + 2).ok_or_else(damaged)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| damaged())?;
        }
        Ok(secret)
    }
}
