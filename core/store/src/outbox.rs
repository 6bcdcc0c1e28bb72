//! The outbox: what plugins ask of targets outside (a deposit over HTTP, an SMS), kept until it has ended for good and
//! the plugin knows how.
//!
//! | state | what happens next | leads to |
//! |---|---|---|
//! | `waiting` | the target is asked when the request is due | `waiting` (later), `held`, `ended` |
//! | `held` | an operator decides | `waiting`, `ended` |
//! | `ended` | the plugin's `answer` step runs when it is due | `ended` (later), `known` |
//! | `known` | nothing: the key is remembered | gone, [`KNOWN`] after the end |
//!
//! The target may be asked more than once (a crash between its answer and the commit); what the plugin makes of the
//! answer is one commit with the change to `known`, and so happens once.
//!
//! The server's own requests ([`SERVER`]) have nobody to be told: they are `known` at once, and what they asked with is
//! gone.

use rusqlite::{OptionalExtension, Row};
use sigillo_mail::Rope;

use crate::commit::{Reader, Tx};
use crate::error::StoreError;
use crate::messages::MessageId;
use crate::{Millis, SERVER};

/// How long a key is remembered after its request ended (30 days, as the contract says).
pub const KNOWN: Millis = 30 * 24 * 3600 * 1000;
/// Requests of one plugin that have not ended and been answered: more means that a target has been away for long, and
/// nobody looks.
pub const WAITING_MAX: u64 = 10_000;
/// Longest key, octets (as the contract says).
pub const KEY_MAX: usize = 128;
/// Octets of the parameters of one request, as they are kept.
pub const PARAMETERS_MAX: usize = 64 * 1024;
/// Octets of a target's answer that are kept (1 MiB, as the contract says).
pub const BODY_MAX: usize = 1 << 20;
/// Octets of a target's words.
pub const REPLY_MAX: usize = 512;

/// Names a request: whose it is, whom it asks, and what the plugin calls it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestName {
    /// Whose.
    pub plugin: String,
    /// Name of the target in the configuration.
    pub target: String,
    /// The plugin's own name for it; of this plugin and target alone.
    pub key: String,
}

impl std::fmt::Display for RequestName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.plugin, self.target, self.key)
    }
}

/// A request to be made.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// Its name: a known one makes no second request.
    pub name: RequestName,
    /// What the target's protocol wants, in the plugin's order.
    pub parameters: Vec<(String, String)>,
    /// What is sent.
    pub content: Option<Rope>,
    /// When to give up.
    pub expires: Millis,
}

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestState {
    /// For its target.
    Waiting,
    /// For an operator.
    Held,
    /// For the plugin's `answer` step.
    Ended,
    /// For nothing.
    Known,
}

impl RequestState {
    fn from_word(word: &str) -> Option<RequestState> {
        Some(match word {
            "waiting" => RequestState::Waiting,
            "held" => RequestState::Held,
            "ended" => RequestState::Ended,
            "known" => RequestState::Known,
            _ => return None,
        })
    }
}

/// How a request ended, or what the last attempt was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// `done`, `refused` or `expired`.
    pub status: String,
    /// The target's code.
    pub code: Option<u32>,
    /// Its words, or ours where it said none.
    pub text: String,
    /// The body of its answer; cut at [`BODY_MAX`].
    pub body: Vec<u8>,
}

/// A request as it stands.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its name.
    pub name: RequestName,
    /// What it waits for.
    pub state: RequestState,
    /// What the target's protocol wants.
    pub parameters: Vec<(String, String)>,
    /// Its content.
    pub message: Option<MessageId>,
    /// When it was made.
    pub created: Millis,
    /// When something is to be done next.
    pub due: Millis,
    /// When to give up.
    pub expires: Millis,
    /// Attempts in this state.
    pub attempts: u32,
    /// How it ended; of a waiting one what the last attempt was told, with an empty status.
    pub reply: Reply,
    /// When it ended.
    pub ended: Option<Millis>,
}

const COLUMNS: &str = "plugin, target, key, state, parameters, message, created, due, expires, attempts, status, code,
     reply, body, ended";

fn read(row: &Row<'_>) -> Result<Request, StoreError> {
    let name = RequestName { plugin: row.get(0)?, target: row.get(1)?, key: row.get(2)? };
    let damaged = |what: &str| StoreError::Damaged(format!("request of the outbox {name}: {what}"));
    let state: String = row.get(3)?;
    let parameters: String = row.get(4)?;
    Ok(Request {
        state: RequestState::from_word(&state).ok_or_else(|| damaged(&format!("state '{state}'")))?,
        parameters: serde_json::from_str(&parameters).map_err(|error| damaged(&error.to_string()))?,
        message: row.get::<_, Option<i64>>(5)?.map(MessageId),
        created: row.get::<_, i64>(6)? as Millis,
        due: row.get::<_, i64>(7)? as Millis,
        expires: row.get::<_, i64>(8)? as Millis,
        attempts: row.get(9)?,
        reply: Reply {
            status: row.get::<_, Option<String>>(10)?.unwrap_or_default(),
            code: row.get(11)?,
            text: row.get::<_, Option<String>>(12)?.unwrap_or_default(),
            body: row.get::<_, Option<Vec<u8>>>(13)?.unwrap_or_default(),
        },
        ended: row.get::<_, Option<i64>>(14)?.map(|at| at as Millis),
        name,
    })
}

fn name(row: &Row<'_>) -> rusqlite::Result<RequestName> {
    Ok(RequestName { plugin: row.get(0)?, target: row.get(1)?, key: row.get(2)? })
}

/// Whether a text may be a key: letters, digits and `-._`, so that it can stand in a header field and a file name.
pub fn is_key(text: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"-._".contains(&octet);
    !text.is_empty() && text.len() <= KEY_MAX && text.bytes().all(fits)
}

impl Reader<'_> {
    /// Requests of a target that are due, the longest waiting first. One that is due more than `horizon` from now was
    /// put off by a clock that has been set back since, and is due too.
    pub fn due_requests(
        &self,
        target: &str,
        now: Millis,
        horizon: Millis,
        limit: usize,
    ) -> Result<Vec<RequestName>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT plugin, target, key FROM outbox
             WHERE state = 'waiting' AND target = ?1 AND (due <= ?2 OR due > ?3) AND expires > ?2
             ORDER BY due LIMIT ?4",
        )?;
        let far = now.saturating_add(horizon) as i64;
        Ok(statement.query_map((target, now as i64, far, limit as i64), name)?.collect::<Result<_, _>>()?)
    }

    /// Requests of any target whose time is over.
    pub fn expired_requests(&self, now: Millis, limit: usize) -> Result<Vec<RequestName>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT plugin, target, key FROM outbox WHERE state = 'waiting' AND expires <= ?1 ORDER BY expires LIMIT ?2",
        )?;
        Ok(statement.query_map((now as i64, limit as i64), name)?.collect::<Result<_, _>>()?)
    }

    /// Requests whose `answer` step is due.
    pub fn due_answers(&self, now: Millis, horizon: Millis, limit: usize) -> Result<Vec<RequestName>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT plugin, target, key FROM outbox WHERE state = 'ended' AND (due <= ?1 OR due > ?2)
             ORDER BY due LIMIT ?3",
        )?;
        let far = now.saturating_add(horizon) as i64;
        Ok(statement.query_map((now as i64, far, limit as i64), name)?.collect::<Result<_, _>>()?)
    }

    /// The first instant after `now` at which something of the outbox is due.
    pub fn next_request(&self, now: Millis) -> Result<Option<Millis>, StoreError> {
        let next: Option<i64> = self
            .db
            .prepare_cached("SELECT MIN(due) FROM outbox WHERE state IN ('waiting', 'ended') AND due > ?1")?
            .query_row([now as i64], |row| row.get(0))?;
        Ok(next.map(|at| at as Millis))
    }

    /// One request.
    pub fn request(&self, name: &RequestName) -> Result<Option<Request>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached(&format!("SELECT {COLUMNS} FROM outbox WHERE plugin = ?1 AND target = ?2 AND key = ?3"))?;
        let found = statement.query_row((&name.plugin, &name.target, &name.key), |row| Ok(read(row))).optional()?;
        found.transpose()
    }

    /// Requests that are not only remembered (with `all`, those too), the oldest first. One that cannot be read is an
    /// error in its place.
    pub fn requests(&self, all: bool, limit: usize) -> Result<Vec<Result<Request, StoreError>>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM outbox WHERE ?1 OR state <> 'known' ORDER BY created, plugin, target, key LIMIT ?2"
        ))?;
        Ok(statement.query_map((all, limit as i64), |row| Ok(read(row)))?.collect::<Result<_, _>>()?)
    }

    /// How many requests of a plugin have not come to their end.
    pub fn requests_waiting(&self, plugin: &str) -> Result<u64, StoreError> {
        let count: i64 = self
            .db
            .prepare_cached("SELECT COUNT(*) FROM outbox WHERE plugin = ?1 AND state IN ('waiting', 'held', 'ended')")?
            .query_row([plugin], |row| row.get(0))?;
        Ok(count as u64)
    }

    /// By target and state, how many requests, and when the oldest was made.
    pub fn outbox_counts(&self) -> Result<Vec<(String, String, u64, Millis)>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT target, state, COUNT(*), MIN(created) FROM outbox WHERE state <> 'known' GROUP BY target, state",
        )?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)? as u64, row.get::<_, i64>(3)? as Millis))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Tx<'_> {
    /// Takes a request. `false` if one of this name is known: then nothing changes.
    pub fn queue_request(&mut self, request: &NewRequest) -> Result<bool, StoreError> {
        let RequestName { plugin, target, key } = &request.name;
        let parameters =
            serde_json::to_string(&request.parameters).map_err(|error| StoreError::Invalid(error.to_string()))?;
        if !is_key(key) || parameters.len() > PARAMETERS_MAX {
            return Err(StoreError::Invalid(format!("request of plugin {plugin}: the key or a parameter is too long")));
        }
        if self.reader().request(&request.name)?.is_some() {
            return Ok(false);
        }
        let message = match &request.content {
            Some(content) => Some(self.put_message(content)?.0),
            None => None,
        };
        self.db
            .prepare_cached(
                "INSERT INTO outbox (plugin, target, key, state, parameters, message, created, due, expires)
                 VALUES (?1, ?2, ?3, 'waiting', ?4, ?5, ?6, ?6, ?7)",
            )?
            .execute((plugin, target, key, parameters, message, self.now as i64, request.expires as i64))?;
        self.touch_queue();
        Ok(true)
    }

    /// A target was asked and the request has not ended: when to ask again, and what was said.
    pub fn postpone_request(&mut self, name: &RequestName, due: Millis, reply: &Reply) -> Result<(), StoreError> {
        let changed = self
            .db
            .prepare_cached(
                "UPDATE outbox SET due = ?4, attempts = attempts + 1, code = ?5, reply = ?6
                 WHERE plugin = ?1 AND target = ?2 AND key = ?3 AND state = 'waiting'",
            )?
            .execute((&name.plugin, &name.target, &name.key, due as i64, reply.code, cut(&reply.text)))?;
        self.touch_queue();
        changed_one(changed, name)
    }

    /// A request has ended for good: its content and its parameters go, its answer waits for the plugin; one of the server's
    /// own is only remembered. `Conflict` if it has ended already.
    pub fn end_request(&mut self, name: &RequestName, reply: &Reply) -> Result<(), StoreError> {
        let message: Option<Option<i64>> = self
            .db
            .prepare_cached(
                "SELECT message FROM outbox
                 WHERE plugin = ?1 AND target = ?2 AND key = ?3 AND state IN ('waiting', 'held')",
            )?
            .query_row((&name.plugin, &name.target, &name.key), |row| row.get(0))
            .optional()?;
        let Some(message) = message else { return changed_one(0, name) };
        let body = &reply.body[..reply.body.len().min(BODY_MAX)];
        self.db
            .prepare_cached(
                "UPDATE outbox SET state = 'ended', message = NULL, parameters = '[]', due = ?4, attempts = 0, status = ?5, code = ?6,
                     reply = ?7, body = ?8, ended = ?4
                 WHERE plugin = ?1 AND target = ?2 AND key = ?3",
            )?
            .execute((
                &name.plugin,
                &name.target,
                &name.key,
                self.now as i64,
                &reply.status,
                reply.code,
                cut(&reply.text),
                body,
            ))?;
        if let Some(message) = message {
            self.release_message(MessageId(message))?;
        }
        if name.plugin == SERVER {
            return self.finish_request(name);
        }
        self.touch_queue();
        Ok(())
    }

    /// The plugin knows how its request ended: only the key is remembered. `Conflict` if it knew already, so that what
    /// goes with it happens once.
    pub fn finish_request(&mut self, name: &RequestName) -> Result<(), StoreError> {
        let changed = self
            .db
            .prepare_cached(
                "UPDATE outbox SET state = 'known', body = NULL
                 WHERE plugin = ?1 AND target = ?2 AND key = ?3 AND state = 'ended'",
            )?
            .execute((&name.plugin, &name.target, &name.key))?;
        changed_one(changed, name)
    }

    /// The plugin's `answer` step failed: when it runs again.
    pub fn postpone_answer(&mut self, name: &RequestName, due: Millis) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE outbox SET due = ?4, attempts = attempts + 1
                 WHERE plugin = ?1 AND target = ?2 AND key = ?3 AND state = 'ended'",
            )?
            .execute((&name.plugin, &name.target, &name.key, due as i64))?;
        self.touch_queue();
        Ok(())
    }

    /// Keeps a request that cannot be read or sent from its target until an operator decides.
    pub fn hold_request(&mut self, name: &RequestName, why: &str) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE outbox SET state = 'held', reply = ?4
                 WHERE plugin = ?1 AND target = ?2 AND key = ?3 AND state = 'waiting'",
            )?
            .execute((&name.plugin, &name.target, &name.key, cut(why)))?;
        Ok(())
    }

    /// Makes what waits or is held due at once, with its whole time (`life`) before it again; an ended one's `answer`
    /// step too. The server's own keep their time: a code is over when it is over. `NotFound` if there is nothing of the
    /// kind.
    pub fn retry_request(&mut self, name: &RequestName, life: Millis) -> Result<(), StoreError> {
        let expires = self.now.saturating_add(life) as i64;
        let changed = self
            .db
            .prepare_cached(
                "UPDATE outbox SET due = ?4, attempts = 0,
                     expires = CASE WHEN state = 'ended' OR plugin = ?6 THEN expires ELSE MAX(expires, ?5) END,
                     state = CASE WHEN state = 'ended' THEN 'ended' ELSE 'waiting' END
                 WHERE plugin = ?1 AND target = ?2 AND key = ?3 AND state IN ('waiting', 'held', 'ended')",
            )?
            .execute((&name.plugin, &name.target, &name.key, self.now as i64, expires, SERVER))?;
        self.touch_queue();
        if changed == 0 { Err(StoreError::NotFound(format!("request {name}"))) } else { Ok(()) }
    }

    /// Forgets keys whose time is over.
    pub(crate) fn sweep_outbox(&mut self) -> Result<(), StoreError> {
        let before = self.now.saturating_sub(KNOWN) as i64;
        self.db.execute("DELETE FROM outbox WHERE state = 'known' AND ended <= ?1", [before])?;
        Ok(())
    }
}

fn changed_one(changed: usize, name: &RequestName) -> Result<(), StoreError> {
    if changed == 0 { Err(StoreError::Conflict(format!("request of the outbox {name}"))) } else { Ok(()) }
}

/// Words of bounded length, on one line.
fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(REPLY_MAX);
    text[..end].replace(char::is_control, " ")
}
