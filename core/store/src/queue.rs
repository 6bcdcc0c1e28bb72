//! What was accepted and is not yet where it goes.
//!
//! An entry is one message with the recipients it still has to reach. A recipient leaves in the transaction that
//! settles it (filed, sent on, reported); the entry and its content leave with the last one.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Row};
use serde::Serialize;
use sigillo_mail::{Mailbox, ReversePath};

use crate::Millis;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;
use crate::messages::MessageId;

/// Name of an entry; the same in the log, the trace field and the evidence.
pub type EntryId = String;

/// What has to happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// A submitted message whose access chain must run: it was held and released, or came without a session.
    Access,
    /// The reception chain must run: the server carries this message to a domain of its own, or it was held there.
    Reception,
    /// Each recipient is to be reached.
    Delivery,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Phase::Access => "access",
            Phase::Reception => "reception",
            Phase::Delivery => "delivery",
        }
    }

    fn from_word(word: &str) -> Option<Phase> {
        [Phase::Access, Phase::Reception, Phase::Delivery].into_iter().find(|phase| phase.as_str() == word)
    }
}

/// What a recipient waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientState {
    /// To be reached when it is due.
    Pending,
    /// The message is in the mailbox; the `stored` chain has not run yet.
    Filed,
    /// An operator must release it.
    Held,
}

impl RecipientState {
    fn from_word(word: &str) -> RecipientState {
        match word {
            "filed" => RecipientState::Filed,
            "held" => RecipientState::Held,
            _ => RecipientState::Pending,
        }
    }
}

/// An entry to be made.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// Must be new: the same id twice is [`StoreError::Exists`].
    pub id: EntryId,
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// Whom to reach; repetitions are collapsed.
    pub recipients: Vec<Mailbox>,
    /// The content.
    pub message: MessageId,
    /// What comes first.
    pub phase: Phase,
    /// How the message came, JSON.
    pub arrival: String,
    /// When to give up.
    pub expires: Millis,
    /// Whether an operator must release it first.
    pub held: bool,
}

/// An entry of the queue.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub id: EntryId,
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// The content.
    pub message: MessageId,
    /// What comes next.
    pub phase: Phase,
    /// How the message came, JSON.
    pub arrival: String,
    /// When it was accepted.
    pub created: Millis,
    /// When to give up.
    pub expires: Millis,
    /// Who has not been reached.
    pub recipients: Vec<Recipient>,
}

/// A recipient that has not been reached.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// Its row.
    pub id: i64,
    /// The address as it came.
    pub address: Mailbox,
    /// What it waits for.
    pub state: RecipientState,
    /// When the next attempt is due.
    pub due: Millis,
    /// Attempts so far.
    pub attempts: u32,
    /// What the last attempt ended with.
    pub reply: Option<String>,
}

fn damaged(what: &str, id: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("{what} of queue entry {id}: {error}"))
}

impl Reader<'_> {
    /// Names of entries with a recipient that is due, the longest waiting first.
    pub fn due_entries(&self, now: Millis, limit: usize) -> Result<Vec<EntryId>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT entry FROM recipients WHERE state IN ('pending', 'filed') AND due <= ?1
             GROUP BY entry ORDER BY MIN(due) LIMIT ?2",
        )?;
        Ok(statement.query_map((now as i64, limit as i64), |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// The same, but for recipients whom other servers have to be asked to take and whose domain is one to `skip`.
    pub fn due_entries_but(
        &self,
        now: Millis,
        limit: usize,
        mut skip: impl FnMut(&str) -> bool,
    ) -> Result<Vec<EntryId>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT r.entry, r.address, r.state = 'pending' AND e.phase = 'delivery'
             FROM recipients r JOIN entries e ON e.id = r.entry
             WHERE r.state IN ('pending', 'filed') AND r.due <= ?1 ORDER BY r.due",
        )?;
        let mut rows = statement.query([now as i64])?;
        let (mut found, mut known) = (Vec::new(), HashSet::new());
        while found.len() < limit
            && let Some(row) = rows.next()?
        {
            let (entry, address, leaves): (EntryId, String, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
            if (leaves && skip(domain)) || !known.insert(entry.clone()) {
                continue;
            }
            found.push(entry);
        }
        Ok(found)
    }

    /// The first instant after `now` at which a recipient or a timer is due.
    pub fn next_due(&self, now: Millis) -> Result<Option<Millis>, StoreError> {
        let next: Option<i64> = self.db.query_row(
            "SELECT MIN(at) FROM
                 (SELECT MIN(due) AS at FROM recipients WHERE state IN ('pending', 'filed') AND due > ?1
                  UNION ALL SELECT MIN(due) FROM refiled WHERE due > ?1
                  UNION ALL SELECT MIN(at) FROM timers WHERE at > ?1) AS next",
            [now as i64],
            |row| row.get(0),
        )?;
        Ok(next.map(|at| at as Millis))
    }

    /// One entry with its recipients.
    pub fn entry(&self, id: &str) -> Result<Option<Entry>, StoreError> {
        let row = |row: &Row<'_>| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, String>(3)?,
                row.get::<_, i64>(4)?,
                row.get::<_, i64>(5)?,
            ))
        };
        let found = self
            .db
            .prepare_cached(
                "SELECT reverse_path, message, phase, arrival, created, expires FROM entries WHERE id = ?1",
            )?
            .query_row([id], row)
            .optional()?;
        let Some((reverse_path, message, phase, arrival, created, expires)) = found else { return Ok(None) };
        Ok(Some(Entry {
            id: id.to_owned(),
            reverse_path: reverse_path.parse().map_err(|e| damaged("reverse path", id, e))?,
            message: MessageId(message),
            phase: Phase::from_word(&phase).ok_or_else(|| damaged("phase", id, &phase))?,
            arrival,
            created: created as Millis,
            expires: expires as Millis,
            recipients: self.recipients(id)?,
        }))
    }

    fn recipients(&self, entry: &str) -> Result<Vec<Recipient>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT id, address, state, due, attempts, reply FROM recipients WHERE entry = ?1 ORDER BY id",
        )?;
        let mut rows = statement.query([entry])?;
        let mut recipients = Vec::new();
        while let Some(row) = rows.next()? {
            let address: String = row.get(1)?;
            recipients.push(Recipient {
                id: row.get(0)?,
                address: address.parse().map_err(|e| damaged("recipient", entry, e))?,
                state: RecipientState::from_word(&row.get::<_, String>(2)?),
                due: row.get::<_, i64>(3)? as Millis,
                attempts: row.get(4)?,
                reply: row.get(5)?,
            });
        }
        Ok(recipients)
    }

    /// Every entry, the oldest first, at most `limit`.
    pub fn entries(&self, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT id FROM entries ORDER BY created, id LIMIT ?1")?;
        let ids: Vec<String> = statement.query_map([limit as i64], |row| row.get(0))?.collect::<Result<_, _>>()?;
        ids.iter().filter_map(|id| self.entry(id).transpose()).collect()
    }

    /// Entries, recipients that wait, recipients that are held.
    pub fn queue_counts(&self) -> Result<(u64, u64, u64), StoreError> {
        Ok(self.db.query_row(
            "SELECT (SELECT COUNT(*) FROM entries), (SELECT COUNT(*) FROM recipients WHERE state = 'pending'),
                    (SELECT COUNT(*) FROM recipients WHERE state = 'held')",
            [],
            |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64)),
        )?)
    }
}

impl Tx<'_> {
    /// Takes a message into the queue.
    pub fn enqueue(&mut self, entry: &NewEntry) -> Result<(), StoreError> {
        if entry.recipients.is_empty() {
            return Err(StoreError::Invalid(format!("queue entry {} has no recipient", entry.id)));
        }
        let added = self
            .db
            .prepare_cached(
                "INSERT INTO entries (id, message, reverse_path, phase, arrival, created, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?
            .execute((
                &entry.id,
                entry.message.0,
                entry.reverse_path.to_string(),
                entry.phase.as_str(),
                &entry.arrival,
                self.now as i64,
                entry.expires as i64,
            ))?;
        if added == 0 {
            return Err(StoreError::Exists(format!("queue entry {}", entry.id)));
        }
        let state = if entry.held { "held" } else { "pending" };
        let mut statement = self.db.prepare_cached(
            "INSERT INTO recipients (entry, address, state, due) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?;
        for recipient in &entry.recipients {
            statement.execute((&entry.id, recipient.to_string(), state, self.now as i64))?;
        }
        drop(statement);
        self.touch_queue();
        Ok(())
    }

    /// An entry whose access or reception chain has run leaves with its recipients: what it became is enqueued anew in
    /// the same transaction. `Conflict` if it is no longer in that phase, so that a chain's effects happen once.
    pub fn take_entry(&mut self, id: &str, phase: Phase) -> Result<(), StoreError> {
        let message: Option<i64> = self
            .db
            .prepare_cached("DELETE FROM entries WHERE id = ?1 AND phase = ?2 RETURNING message")?
            .query_row([id, phase.as_str()], |row| row.get(0))
            .optional()?;
        let message = message.ok_or_else(|| StoreError::Conflict(format!("queue entry {id}")))?;
        self.release_message(MessageId(message))
    }

    /// The message is in the mailbox; the recipient stays until the `stored` chain has run. `Conflict` if that is so
    /// already.
    pub fn mark_filed(&mut self, entry: &str, recipient: i64) -> Result<(), StoreError> {
        let changed = self
            .db
            .prepare_cached(
                "UPDATE recipients SET state = 'filed', due = ?3, attempts = 0
                 WHERE id = ?1 AND entry = ?2 AND state = 'pending'",
            )?
            .execute((recipient, entry, self.now as i64))?;
        if changed == 0 {
            return Err(StoreError::Conflict(format!("recipient {recipient}")));
        }
        self.touch_queue();
        Ok(())
    }

    /// A recipient is reached or given up: it leaves, and the entry with the last one. `Conflict` if it is gone already,
    /// so that no effect that goes with it happens twice.
    pub fn settle(&mut self, entry: &str, recipient: i64) -> Result<(), StoreError> {
        let gone = self
            .db
            .prepare_cached("DELETE FROM recipients WHERE id = ?1 AND entry = ?2")?
            .execute((recipient, entry))?;
        if gone == 0 {
            return Err(StoreError::Conflict(format!("recipient {recipient} of queue entry {entry}")));
        }
        let left: bool = self
            .db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM recipients WHERE entry = ?1)")?
            .query_row([entry], |row| row.get(0))?;
        if !left {
            let message: i64 = self
                .db
                .prepare_cached("DELETE FROM entries WHERE id = ?1 RETURNING message")?
                .query_row([entry], |row| row.get(0))?;
            self.release_message(MessageId(message))?;
        }
        Ok(())
    }

    /// A recipient was not reached: when to try again, and what was said.
    pub fn reschedule(&mut self, entry: &str, recipient: i64, due: Millis, reply: &str) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE recipients SET due = ?3, reply = ?4, attempts = attempts + 1 WHERE id = ?1 AND entry = ?2",
            )?
            .execute((recipient, entry, due as i64, reply))?;
        self.touch_queue();
        Ok(())
    }

    /// Holds a recipient until an operator releases it; the reason stands where the last reply stands.
    pub fn hold(&mut self, entry: &str, recipient: i64, reason: &str) -> Result<(), StoreError> {
        self.db
            .prepare_cached("UPDATE recipients SET state = 'held', reply = ?3 WHERE id = ?1 AND entry = ?2")?
            .execute((recipient, entry, reason))?;
        Ok(())
    }

    /// Holds every recipient of an entry.
    pub fn hold_entry(&mut self, entry: &str, reason: &str) -> Result<(), StoreError> {
        self.db.execute("UPDATE recipients SET state = 'held', reply = ?2 WHERE entry = ?1", [entry, reason])?;
        Ok(())
    }

    /// Makes every recipient of an entry that is due wait until `due`.
    pub fn postpone_entry(&mut self, entry: &str, due: Millis, reason: &str) -> Result<(), StoreError> {
        self.db.execute(
            "UPDATE recipients SET due = ?2, reply = ?3, attempts = attempts + 1
             WHERE entry = ?1 AND state <> 'held' AND due <= ?4",
            (entry, due as i64, reason, self.now as i64),
        )?;
        self.touch_queue();
        Ok(())
    }

    /// Releases what is held of an entry; returns how many recipients.
    pub fn release_entry(&mut self, entry: &str) -> Result<usize, StoreError> {
        let count = self.db.execute(
            "UPDATE recipients SET state = 'pending', due = ?2 WHERE entry = ?1 AND state = 'held'",
            (entry, self.now as i64),
        )?;
        self.touch_queue();
        Ok(count)
    }
}
