//! Customers, the domains they brought, and who administers what.

use rusqlite::{OptionalExtension, Row};
use serde::Serialize;

use crate::Millis;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;

/// Who bought mailboxes (ADM-02, ADM-16).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Customer {
    /// The provider's number or word for it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Who signed the contract.
    pub holder: String,
    /// Its technical contact (ADM-04).
    pub contact: String,
    /// From when on.
    pub begins: Millis,
    /// The first instant after the contract; none: it has no end.
    pub expires: Option<Millis>,
    /// Months that are added by themselves at the expiry; 0: none (ADM-22).
    pub renews: u32,
    /// Mailboxes at most; 0: not bounded by the contract.
    pub mailboxes: u64,
    /// When it was entered.
    pub created: Millis,
}

/// A role that somebody was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// Who has it.
    pub login: String,
    /// Its word.
    pub role: String,
    /// The customer whose domains it is for; empty where it is for all.
    pub customer: String,
    /// Since when.
    pub granted: Millis,
}

const CUSTOMER: &str = "SELECT id, name, holder, contact, begins, expires, renews, mailboxes, created FROM customers";

fn customer(row: &Row<'_>) -> rusqlite::Result<Customer> {
    Ok(Customer {
        id: row.get(0)?,
        name: row.get(1)?,
        holder: row.get(2)?,
        contact: row.get(3)?,
        begins: row.get::<_, i64>(4)? as Millis,
        expires: row.get::<_, Option<i64>>(5)?.map(|at| at as Millis),
        renews: row.get(6)?,
        mailboxes: row.get::<_, i64>(7)? as u64,
        created: row.get::<_, i64>(8)? as Millis,
    })
}

fn grant(row: &Row<'_>) -> rusqlite::Result<Grant> {
    Ok(Grant { login: row.get(0)?, role: row.get(1)?, customer: row.get(2)?, granted: row.get::<_, i64>(3)? as Millis })
}

impl Reader<'_> {
    /// One customer.
    pub fn customer(&self, id: &str) -> Result<Option<Customer>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{CUSTOMER} WHERE id = ?1"))?;
        Ok(statement.query_row([id], customer).optional()?)
    }

    /// Every customer, in order.
    pub fn customers(&self) -> Result<Vec<Customer>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{CUSTOMER} ORDER BY id"))?;
        Ok(statement.query_map([], customer)?.collect::<Result<_, _>>()?)
    }

    /// The customer to whom a domain belongs, if it belongs to one.
    pub fn customer_of_domain(&self, domain: &str) -> Result<Option<String>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT customer FROM customer_domains WHERE domain = ?1")?;
        Ok(statement.query_row([domain.to_ascii_lowercase()], |row| row.get(0)).optional()?)
    }

    /// The domains of a customer, in order.
    pub fn domains_of_customer(&self, id: &str) -> Result<Vec<String>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT domain FROM customer_domains WHERE customer = ?1 ORDER BY domain")?;
        Ok(statement.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// The addresses of a domain's mailboxes, in order.
    pub fn addresses_of_domain(&self, domain: &str) -> Result<Vec<String>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT address FROM accounts WHERE domain = ?1 ORDER BY address")?;
        Ok(statement.query_map([domain], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// How many mailboxes a customer has.
    pub fn mailboxes_of_customer(&self, id: &str) -> Result<u64, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT COUNT(*) FROM accounts JOIN customer_domains ON customer_domains.domain = accounts.domain
             WHERE customer = ?1",
        )?;
        Ok(statement.query_row([id], |row| row.get::<_, i64>(0))? as u64)
    }

    /// The roles of a login.
    pub fn roles_of(&self, login: &str) -> Result<Vec<Grant>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT login, role, customer, granted FROM roles WHERE login = ?1 ORDER BY role, customer",
        )?;
        Ok(statement.query_map([login.to_ascii_lowercase()], grant)?.collect::<Result<_, _>>()?)
    }

    /// Every role that was given, in order of the logins.
    pub fn roles(&self) -> Result<Vec<Grant>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT login, role, customer, granted FROM roles ORDER BY login, role, customer")?;
        Ok(statement.query_map([], grant)?.collect::<Result<_, _>>()?)
    }

    /// Whether an address was somebody's once and is nobody's now.
    pub fn is_retired(&self, address: &str) -> Result<bool, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT 1 FROM retired_addresses WHERE address = ?1")?;
        Ok(statement.exists([address.to_ascii_lowercase()])?)
    }
}

impl Tx<'_> {
    /// Enters a customer.
    pub fn add_customer(&mut self, new: &Customer) -> Result<(), StoreError> {
        let added = self.db.execute(
            "INSERT INTO customers (id, name, holder, contact, begins, expires, renews, mailboxes, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
            (
                &new.id,
                &new.name,
                &new.holder,
                &new.contact,
                new.begins as i64,
                new.expires.map(|at| at as i64),
                new.renews,
                new.mailboxes as i64,
                self.now as i64,
            ),
        )?;
        if added == 0 { Err(StoreError::Exists(format!("customer {}", new.id))) } else { Ok(()) }
    }

    /// Changes when a contract ends.
    pub fn set_customer_expiry(&mut self, id: &str, expires: Option<Millis>) -> Result<(), StoreError> {
        let changed =
            self.db.execute("UPDATE customers SET expires = ?2 WHERE id = ?1", (id, expires.map(|at| at as i64)))?;
        if changed == 0 { Err(StoreError::NotFound(format!("customer {id}"))) } else { Ok(()) }
    }

    /// Forgets a customer whose domains are gone.
    pub fn remove_customer(&mut self, id: &str) -> Result<(), StoreError> {
        if !self.reader().domains_of_customer(id)?.is_empty() {
            return Err(StoreError::Invalid(format!("customer {id} has domains")));
        }
        self.db.execute("DELETE FROM roles WHERE customer = ?1", [id])?;
        self.db.execute("DELETE FROM holds WHERE kind = 'customer' AND name = ?1", [id])?;
        self.db.execute("DELETE FROM customers WHERE id = ?1", [id])?;
        Ok(())
    }

    /// Says to which customer a domain belongs.
    pub fn give_domain(&mut self, domain: &str, customer: &str) -> Result<(), StoreError> {
        self.db.execute(
            "INSERT INTO customer_domains (domain, customer) VALUES (?1, ?2)
             ON CONFLICT (domain) DO UPDATE SET customer = excluded.customer",
            [&domain.to_ascii_lowercase(), customer],
        )?;
        Ok(())
    }

    /// Gives a role; whether it is new.
    pub fn grant_role(&mut self, login: &str, role: &str, customer: &str) -> Result<bool, StoreError> {
        let added = self.db.execute(
            "INSERT INTO roles (login, role, customer, granted) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            (login.to_ascii_lowercase(), role, customer, self.now as i64),
        )?;
        Ok(added > 0)
    }

    /// Takes a role away; whether it was there.
    pub fn revoke_role(&mut self, login: &str, role: &str, customer: &str) -> Result<bool, StoreError> {
        let removed = self.db.execute(
            "DELETE FROM roles WHERE login = ?1 AND role = ?2 AND customer = ?3",
            [&login.to_ascii_lowercase(), role, customer],
        )?;
        Ok(removed > 0)
    }
}
