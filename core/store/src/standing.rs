//! Whether a mailbox may be used now, by what was said of it, of its domain and of its customer.

use rusqlite::{OptionalExtension, Row};
use serde::Serialize;

use crate::Millis;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;

/// Of whom something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldOn {
    /// A customer with all its domains.
    Customer,
    /// A domain with all its mailboxes.
    Domain,
    /// One mailbox.
    Mailbox,
}

impl HoldOn {
    const ALL: [HoldOn; 3] = [HoldOn::Customer, HoldOn::Domain, HoldOn::Mailbox];

    /// The word in the database and for people.
    pub fn word(self) -> &'static str {
        match self {
            HoldOn::Customer => "customer",
            HoldOn::Domain => "domain",
            HoldOn::Mailbox => "mailbox",
        }
    }
}

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldKind {
    /// Nobody logs in; mail is still received (AS-06, AS-08).
    Suspended,
    /// The service ends: from `closes` on nobody logs in and nothing is received; from `deletes` on its data is deleted.
    Ceasing,
}

impl HoldKind {
    fn word(self) -> &'static str {
        match self {
            HoldKind::Suspended => "suspended",
            HoldKind::Ceasing => "ceasing",
        }
    }
}

/// One thing said of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Of what kind of thing.
    pub on: HoldOn,
    /// Its name: id, domain or address.
    pub name: String,
    /// What.
    pub kind: HoldKind,
    /// Why, in the operator's words.
    pub reason: String,
    /// When it was said.
    pub since: Millis,
    /// From when on it holds.
    pub closes: Millis,
    /// From when on data is deleted; only of a cessation.
    pub deletes: Option<Millis>,
}

/// How a mailbox stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum Standing {
    /// It may be used.
    Active,
    /// Nobody logs in; it receives.
    Suspended {
        /// Why.
        reason: String,
    },
    /// The contract is over: nobody logs in, and it does not receive, because a delivery receipt would say that the
    /// message is at the disposal of somebody who cannot open it (PEC-14).
    Expired {
        /// When it ended.
        since: Millis,
    },
    /// The service has ended.
    Closed {
        /// When its data is deleted.
        deletes: Millis,
    },
}

impl Standing {
    /// Whether its users may log in and send.
    pub fn admits_users(&self) -> bool {
        *self == Standing::Active
    }

    /// Whether mail may be filed in it.
    pub fn receives(&self) -> bool {
        matches!(self, Standing::Active | Standing::Suspended { .. })
    }
}

const HOLD: &str = "SELECT kind, name, what, reason, since, closes, deletes FROM holds";

fn hold(row: &Row<'_>) -> rusqlite::Result<Hold> {
    let (on, kind): (String, String) = (row.get(0)?, row.get(2)?);
    Ok(Hold {
        on: HoldOn::ALL.into_iter().find(|one| one.word() == on).unwrap_or(HoldOn::Mailbox),
        name: row.get(1)?,
        // What cannot be read must not let anybody in, and must not delete anything either: it has no `deletes`.
        kind: if kind == "ceasing" { HoldKind::Ceasing } else { HoldKind::Suspended },
        reason: row.get(3)?,
        since: row.get::<_, i64>(4)? as Millis,
        closes: row.get::<_, i64>(5)? as Millis,
        deletes: row.get::<_, Option<i64>>(6)?.map(|at| at as Millis),
    })
}

impl Reader<'_> {
    /// What is said of one customer, domain or mailbox itself.
    pub fn holds_on(&self, on: HoldOn, name: &str) -> Result<Vec<Hold>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("{HOLD} WHERE kind = ?1 AND name = ?2 ORDER BY what"))?;
        Ok(statement.query_map([on.word(), name], hold)?.collect::<Result<_, _>>()?)
    }

    /// Cessations whose data may be deleted at `now`: mailboxes first, then domains, then customers.
    pub fn due_deletions(&self, now: Millis) -> Result<Vec<Hold>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!(
            "{HOLD} WHERE what = 'ceasing' AND deletes <= ?1
             ORDER BY CASE kind WHEN 'mailbox' THEN 1 WHEN 'domain' THEN 2 ELSE 3 END, name"
        ))?;
        Ok(statement.query_map([now as i64], hold)?.collect::<Result<_, _>>()?)
    }

    /// Every cessation, the nearest deletion first.
    pub fn cessations(&self) -> Result<Vec<Hold>, StoreError> {
        let mut statement =
            self.db.prepare_cached(&format!("{HOLD} WHERE what = 'ceasing' ORDER BY deletes, kind, name"))?;
        Ok(statement.query_map([], hold)?.collect::<Result<_, _>>()?)
    }

    /// How a mailbox stands at an instant.
    pub fn standing(&self, address: &str, now: Millis) -> Result<Standing, StoreError> {
        let address = address.to_ascii_lowercase();
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        let mut statement = self.db.prepare_cached(&format!(
            "{HOLD} WHERE closes <= ?3 AND ((kind = 'mailbox' AND name = ?1) OR (kind = 'domain' AND name = ?2)
                OR (kind = 'customer' AND name = (SELECT customer FROM customer_domains WHERE domain = ?2)))"
        ))?;
        let holds: Vec<Hold> = statement.query_map((&address, domain, now as i64), hold)?.collect::<Result<_, _>>()?;
        if let Some(over) = holds.iter().filter(|hold| hold.kind == HoldKind::Ceasing).min_by_key(|hold| hold.deletes) {
            return Ok(Standing::Closed { deletes: over.deletes.unwrap_or(Millis::MAX) });
        }
        // A contract that extends itself has no hour without service until that is written down (ADM-22); one that was
        // cancelled ends on the day of its cessation.
        let expires: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT expires FROM customers
                 WHERE id = (SELECT customer FROM customer_domains WHERE domain = ?1) AND expires <= ?2
                     AND renews = 0",
            )?
            .query_row((domain, now as i64), |row| row.get(0))
            .optional()?;
        if let Some(since) = expires {
            return Ok(Standing::Expired { since: since as Millis });
        }
        Ok(match holds.into_iter().next() {
            Some(hold) => Standing::Suspended { reason: hold.reason },
            None => Standing::Active,
        })
    }
}

impl Tx<'_> {
    /// Says something of somebody; what was said before of the same kind is replaced.
    pub fn put_hold(&mut self, hold: &Hold) -> Result<(), StoreError> {
        self.db.execute(
            "INSERT INTO holds (kind, name, what, reason, since, closes, deletes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (kind, name, what) DO UPDATE SET reason = excluded.reason, since = excluded.since,
                closes = excluded.closes, deletes = excluded.deletes",
            (
                hold.on.word(),
                &hold.name,
                hold.kind.word(),
                &hold.reason,
                self.now as i64,
                hold.closes as i64,
                hold.deletes.map(|at| at as i64),
            ),
        )?;
        Ok(())
    }

    /// Takes back what was said; whether it was.
    pub fn lift_hold(&mut self, on: HoldOn, name: &str, kind: HoldKind) -> Result<bool, StoreError> {
        let lifted = self
            .db
            .execute("DELETE FROM holds WHERE kind = ?1 AND name = ?2 AND what = ?3", [on.word(), name, kind.word()])?;
        Ok(lifted > 0)
    }
}
