//! Messages of multi-user mailboxes and who works on them: taking in charge, releasing, completing (BOX-07 to BOX-10), and
//! the history of it (BOX-11).
//!
//! A message is named by its progressive number; its copies in several folders are one message. While a user has one in
//! charge, nobody else changes it. Everybody sees it by keywords that the server sets on every copy:
//!
//! | keyword | means |
//! |---|---|
//! | [`IN_CHARGE`] | somebody has the message in charge |
//! | [`IN_CHARGE`]`-LOGIN` | who; left out where the login cannot be part of a keyword |
//! | [`COMPLETED`] | it is completed |

use rusqlite::OptionalExtension;
use serde::Serialize;

use crate::Millis;
use crate::accounts::Kind;
use crate::commit::{Reader, Tx};
use crate::error::StoreError;
use crate::folders::{FolderId, ITEM, Item, Uid, item};
use crate::users::{LOGIN_MAX, Role, User};

/// Keyword of messages that somebody has in charge.
pub const IN_CHARGE: &str = "$InCharge";
/// Keyword of messages that are completed.
pub const COMPLETED: &str = "$Completed";
/// Longest detail of a history entry, characters.
const DETAIL_MAX: usize = 200;
/// Entries about one message beyond which reading it and changing its flags is not noted any more. Ours: what one user
/// can make grow by repeating himself ends here; taking, releasing, completing, moving and replying are noted for ever.
const NOTED_MAX: i64 = 10_000;
/// A user who reads a message again within this time reads on: one entry. Ours.
const READ_AGAIN: Millis = 3600 * 1000;

/// What a history entry tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Its content was shown.
    Read,
    /// Its flags were changed.
    Flags,
    /// Taken in charge.
    Take,
    /// Given back.
    Release,
    /// Completed.
    Complete,
    /// Completed no more.
    Reopen,
    /// A reply was sent.
    Reply,
    /// It was forwarded.
    Forward,
    /// Moved to another folder.
    Move,
    /// Copied to another folder.
    Copy,
    /// Removed for good.
    Delete,
}

impl Action {
    /// The word in the history.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Read => "read",
            Action::Flags => "flags",
            Action::Take => "take",
            Action::Release => "release",
            Action::Complete => "complete",
            Action::Reopen => "reopen",
            Action::Reply => "reply",
            Action::Forward => "forward",
            Action::Move => "move",
            Action::Copy => "copy",
            Action::Delete => "delete",
        }
    }

    fn is_bounded(self) -> bool {
        matches!(self, Action::Read | Action::Flags)
    }
}

/// Who has a message in charge, or completed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Charge {
    /// Who.
    pub login: String,
    /// Since when he has it, or had it before he completed it.
    pub since: Millis,
    /// When it was completed; none while it is in charge.
    pub completed: Option<Millis>,
}

/// One thing that was done with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// The progressive number of the message.
    pub number: u64,
    /// When.
    pub at: Millis,
    /// By whom.
    pub login: String,
    /// The word of an [`Action`].
    pub action: String,
    /// More about it.
    pub detail: String,
}

/// One copy of a message of a mailbox.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The folder's name.
    pub folder: String,
    /// The folder.
    pub folder_id: FolderId,
    /// The message there.
    pub item: Item,
    /// Who works on it.
    pub charge: Option<Charge>,
}

/// The keywords that a message has because of its charge.
pub fn keywords(charge: Option<&Charge>) -> Vec<String> {
    match charge {
        None => Vec::new(),
        Some(Charge { completed: Some(_), .. }) => vec![COMPLETED.to_owned()],
        Some(charge) => {
            let named = charge.login.len() <= LOGIN_MAX
                && charge.login.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_@+".contains(&b));
            let who = named.then(|| format!("{IN_CHARGE}-{}", charge.login));
            [IN_CHARGE.to_owned()].into_iter().chain(who).collect()
        }
    }
}

/// Whether a keyword is one that the server sets by a message's charge.
pub fn is_reserved(keyword: &str) -> bool {
    let of_charge = |rest: &str| rest.is_empty() || rest.starts_with('-');
    keyword.eq_ignore_ascii_case(COMPLETED)
        || (keyword.get(..IN_CHARGE.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(IN_CHARGE))
            && of_charge(&keyword[IN_CHARGE.len()..]))
}

impl Reader<'_> {
    /// Who works on a message of a mailbox.
    pub fn charge(&self, account: &str, number: u64) -> Result<Option<Charge>, StoreError> {
        let charge = self
            .db
            .prepare_cached("SELECT login, since, completed FROM charges WHERE account = ?1 AND number = ?2")?
            .query_row((account, number as i64), |row| {
                Ok(Charge {
                    login: row.get(0)?,
                    since: row.get::<_, i64>(1)? as Millis,
                    completed: row.get::<_, Option<i64>>(2)?.map(|at| at as Millis),
                })
            })
            .optional()?;
        Ok(charge)
    }

    /// A copy of the message with a number. Looks through the mailbox: for commands, not for every message.
    pub fn item_of_number(&self, account: &str, number: u64) -> Result<Option<(FolderId, Item)>, StoreError> {
        let mut statement =
            self.db.prepare_cached(&format!("{ITEM} WHERE folder = ?1 AND number = ?2 ORDER BY uid LIMIT 1"))?;
        for folder in self.folders(account)? {
            if let Some(found) = statement.query_row((folder.id.0, number as i64), item).optional()? {
                return Ok(Some((folder.id, found)));
            }
        }
        Ok(None)
    }

    /// Every message of a mailbox, or of one folder, in the order of the numbers; at most `limit` after number `after`.
    pub fn numbered(
        &self,
        account: &str,
        folder: Option<&str>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let mut all = Vec::new();
        for found in self.folders(account)? {
            if folder.is_some_and(|wanted| !found.name.eq_ignore_ascii_case(wanted)) {
                continue;
            }
            let mut statement = self
                .db
                .prepare_cached(&format!("{ITEM} WHERE folder = ?1 AND number > ?2 ORDER BY number LIMIT ?3"))?;
            let items = statement.query_map((found.id.0, after as i64, limit as i64), item)?;
            for item in items {
                all.push(Listed { folder: found.name.clone(), folder_id: found.id, item: item?, charge: None });
            }
        }
        all.sort_by(|a, b| (a.item.number, &a.folder).cmp(&(b.item.number, &b.folder)));
        all.truncate(limit);
        for listed in &mut all {
            listed.charge = self.charge(account, listed.item.number)?;
        }
        Ok(all)
    }

    /// What was done with one message of a mailbox, or with all, oldest first; the last `limit` entries.
    pub fn history(&self, account: &str, number: Option<u64>, limit: u32) -> Result<Vec<Happened>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT number, at, login, action, detail FROM message_history
             WHERE account = ?1 AND (?2 IS NULL OR number = ?2) ORDER BY id DESC LIMIT ?3",
        )?;
        let rows = statement.query_map((account, number.map(|n| n as i64), limit), |row| {
            Ok(Happened {
                number: row.get::<_, i64>(0)? as u64,
                at: row.get::<_, i64>(1)? as Millis,
                login: row.get(2)?,
                action: row.get(3)?,
                detail: row.get(4)?,
            })
        })?;
        let mut history = rows.collect::<Result<Vec<_>, _>>()?;
        history.reverse();
        Ok(history)
    }

    /// The number of the message of a mailbox that has this Message-ID, and a copy of it if it is still there.
    pub fn item_of_name(&self, account: &str, name: &str) -> Result<Option<(u64, Option<Item>)>, StoreError> {
        let found: Option<(i64, i64)> = self
            .db
            .prepare_cached("SELECT number, message FROM message_names WHERE account = ?1 AND name = ?2")?
            .query_row([account, name], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((number, message)) = found else { return Ok(None) };
        let mut statement = self.db.prepare_cached(&format!(
            "{ITEM} WHERE message = ?1 AND number = ?2 AND folder IN (SELECT id FROM folders WHERE account = ?3) LIMIT 1"
        ))?;
        let item = statement.query_row((message, number, account), item).optional()?;
        Ok(Some((number as u64, item)))
    }

    /// Whether `login` has read a message of late.
    pub fn has_read(&self, account: &str, number: u64, login: &str, now: Millis) -> Result<bool, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT 1 FROM message_history WHERE account = ?1 AND number = ?2 AND login = ?3 AND action = 'read' AND at > ?4",
        )?;
        Ok(statement.exists((account, number as i64, login, now.saturating_sub(READ_AGAIN) as i64))?)
    }
}

impl Tx<'_> {
    /// The message may be changed by this user: nobody else has it in charge.
    pub fn check_free(&self, user: &User, number: u64) -> Result<(), StoreError> {
        match self.reader().charge(&user.account, number)? {
            Some(charge) if charge.completed.is_none() && charge.login != user.login => {
                Err(StoreError::InUse(format!("message {number} is in charge of {}", charge.login)))
            }
            _ => Ok(()),
        }
    }

    /// Gives a message into a user's charge. The holder takes it from another; operators wait until it is released.
    pub fn take(&mut self, user: &User, item: &Item) -> Result<(), StoreError> {
        let number = item.number;
        let before = self.reader().charge(&user.account, number)?;
        let detail = match &before {
            Some(charge) if charge.completed.is_some() => format!("completed before by {}", charge.login),
            Some(charge) if charge.login == user.login => return Ok(()),
            Some(charge) if user.role == Role::Holder => format!("taken from {}", charge.login),
            Some(_) => return self.check_free(user, number),
            None => String::new(),
        };
        self.db
            .prepare_cached(
                "INSERT INTO charges (account, number, login, since) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (account, number)
                 DO UPDATE SET login = excluded.login, since = excluded.since, completed = NULL",
            )?
            .execute((&user.account, number as i64, &user.login, self.now as i64))?;
        self.mark(&user.account, item)?;
        self.note(user, number, Action::Take, &detail)
    }

    /// Takes a message out of charge. The holder may release what another has.
    pub fn release(&mut self, user: &User, item: &Item) -> Result<(), StoreError> {
        let detail = match self.in_charge(user, item.number)? {
            Some(detail) => detail,
            None => return Ok(()),
        };
        self.db
            .prepare_cached("DELETE FROM charges WHERE account = ?1 AND number = ?2")?
            .execute((&user.account, item.number as i64))?;
        self.mark(&user.account, item)?;
        self.note(user, item.number, Action::Release, &detail)
    }

    /// Completes a message that the user has in charge; the holder may complete any.
    pub fn complete(&mut self, user: &User, item: &Item) -> Result<(), StoreError> {
        let charge = self.reader().charge(&user.account, item.number)?;
        if charge.as_ref().is_some_and(|charge| charge.completed.is_some()) {
            return Ok(());
        }
        if charge.is_none() && user.role != Role::Holder {
            return Err(StoreError::Denied(format!("take message {} in charge before you complete it", item.number)));
        }
        let detail = self.in_charge(user, item.number)?.unwrap_or_default();
        self.db
            .prepare_cached(
                "INSERT INTO charges (account, number, login, since, completed) VALUES (?1, ?2, ?3, ?4, ?4)
                 ON CONFLICT (account, number) DO UPDATE SET login = excluded.login, completed = excluded.completed",
            )?
            .execute((&user.account, item.number as i64, &user.login, self.now as i64))?;
        self.mark(&user.account, item)?;
        self.note(user, item.number, Action::Complete, &detail)
    }

    /// Makes a completed message one that nobody has worked on. Operators take it in charge instead.
    pub fn reopen(&mut self, user: &User, item: &Item) -> Result<(), StoreError> {
        let charge = self.reader().charge(&user.account, item.number)?;
        let Some(charge) = charge.filter(|charge| charge.completed.is_some()) else { return Ok(()) };
        if user.role != Role::Holder {
            return Err(StoreError::Denied(
                "only the holder opens a completed message again; take it in charge".into(),
            ));
        }
        self.db
            .prepare_cached("DELETE FROM charges WHERE account = ?1 AND number = ?2")?
            .execute((&user.account, item.number as i64))?;
        self.mark(&user.account, item)?;
        self.note(user, item.number, Action::Reopen, &format!("completed before by {}", charge.login))
    }

    /// A message was sent that answers (or passes on) one of this mailbox, named by its Message-ID. Who answers has it in
    /// charge from then on (BOX-09); nobody answers what another has in charge.
    pub fn answered(&mut self, user: &User, names: &[String], action: Action, with: &str) -> Result<(), StoreError> {
        let mut found = None;
        for name in names {
            found = self.reader().item_of_name(&user.account, name)?;
            if found.is_some() {
                break;
            }
        }
        let Some((number, item)) = found else { return Ok(()) };
        self.check_free(user, number)?;
        if let Some(item) = item.filter(|_| user.role == Role::Operator) {
            self.take(user, &item)?;
        }
        self.note(user, number, action, with)
    }

    /// Whoever had messages in charge has none any more: he was removed or may not log in.
    pub fn release_all(&mut self, user: &User, by: &str) -> Result<(), StoreError> {
        let releasing = User { login: by.to_owned(), role: Role::Holder, ..user.clone() };
        // One look through the mailbox for all of them: a mailbox can be large, and everybody's commits wait.
        let held = "SELECT number FROM charges WHERE account = ?2 AND login = ?3 AND completed IS NULL";
        for folder in self.reader().folders(&user.account)? {
            let items: Vec<Item> = self
                .db
                .prepare_cached(&format!("{ITEM} WHERE folder = ?1 AND number IN ({held})"))?
                .query_map((folder.id.0, &user.account, &user.login), item)?
                .collect::<Result<_, _>>()?;
            // Of a second copy the message is free by then.
            items.iter().try_for_each(|item| self.release(&releasing, item))?;
        }
        let gone = "DELETE FROM charges WHERE account = ?1 AND login = ?2 AND completed IS NULL";
        self.db.execute(gone, [&user.account, &user.login])?;
        Ok(())
    }

    /// Appends to the history of a message.
    pub fn note(&mut self, user: &User, number: u64, action: Action, detail: &str) -> Result<(), StoreError> {
        if action.is_bounded() {
            let noted: i64 = self
                .db
                .prepare_cached(
                    "SELECT COUNT(*) FROM (SELECT 1 FROM message_history WHERE account = ?1 AND number = ?2 LIMIT ?3)",
                )?
                .query_row((&user.account, number as i64, NOTED_MAX), |row| row.get(0))?;
            if noted >= NOTED_MAX {
                return Ok(());
            }
        }
        let detail: String = detail.chars().filter(|c| !c.is_control()).take(DETAIL_MAX).collect();
        self.db
            .prepare_cached(
                "INSERT INTO message_history (account, number, login, action, at, detail)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((&user.account, number as i64, &user.login, action.as_str(), self.now as i64, detail))?;
        Ok(())
    }

    /// Remembers the Message-ID of a message that was filed, if the mailbox is multi-user.
    pub fn name_message(&mut self, account: &str, folder: FolderId, uid: Uid, name: &str) -> Result<(), StoreError> {
        const NAME_MAX: usize = 998; // RFC 5322 §2.1.1: a line
        if name.is_empty() || name.len() > NAME_MAX {
            return Ok(());
        }
        if self.reader().account(account)?.is_none_or(|account| account.kind != Kind::MultiUser) {
            return Ok(());
        }
        let Some(item) = self.reader().item(folder, uid)? else { return Ok(()) };
        self.db
            .prepare_cached(
                "INSERT INTO message_names (account, name, number, message, at) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (account, name)
                 DO UPDATE SET number = excluded.number, message = excluded.message, at = excluded.at",
            )?
            .execute((account, name, item.number as i64, item.message.0, self.now as i64))?;
        Ok(())
    }

    /// Nobody has in charge what is not there any more: for a message of which a copy was removed.
    pub fn forget_charge_of_gone(&mut self, account: &str, item: &Item) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "DELETE FROM charges WHERE account = ?1 AND number = ?2 AND NOT EXISTS
                     (SELECT 1 FROM items i JOIN folders f ON f.id = i.folder
                      WHERE i.message = ?3 AND f.account = ?1 AND i.number = ?2)",
            )?
            .execute((account, item.number as i64, item.message.0))?;
        Ok(())
    }

    /// Removes history, and the Message-IDs of messages, older than `days`. What is in charge stays so.
    pub fn sweep_history(&mut self, days: u64) -> Result<usize, StoreError> {
        let before = self.now.saturating_sub(days.saturating_mul(24 * 3600 * 1000)) as i64;
        let gone = self.db.execute("DELETE FROM message_history WHERE at < ?1", [before])?;
        self.db.execute("DELETE FROM message_names WHERE at < ?1", [before])?;
        Ok(gone)
    }

    /// What the history says when `user` gives up a charge: whose, if not his own. None if nobody has it.
    fn in_charge(&self, user: &User, number: u64) -> Result<Option<String>, StoreError> {
        match self.reader().charge(&user.account, number)? {
            Some(charge) if charge.completed.is_some() => Ok(None),
            Some(charge) if charge.login == user.login => Ok(Some(String::new())),
            Some(charge) if user.role == Role::Holder => Ok(Some(format!("it was in charge of {}", charge.login))),
            Some(charge) => Err(StoreError::InUse(format!("message {number} is in charge of {}", charge.login))),
            None => Ok(None),
        }
    }

    /// Sets the keywords of every copy of a message by its charge.
    fn mark(&mut self, account: &str, item: &Item) -> Result<(), StoreError> {
        let charge = self.reader().charge(account, item.number)?;
        let copies: Vec<(i64, i64, String)> = self
            .db
            .prepare_cached(
                "SELECT i.folder, i.uid, i.flags FROM items i JOIN folders f ON f.id = i.folder
                 WHERE i.message = ?1 AND f.account = ?2 AND i.number = ?3",
            )?
            .query_map((item.message.0, account, item.number as i64), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        for (folder, uid, flags) in copies {
            let kept = flags.split_ascii_whitespace().filter(|flag| !is_reserved(flag)).map(str::to_owned);
            let flags: Vec<String> = kept.chain(keywords(charge.as_ref())).collect();
            self.set_flags(FolderId(folder), uid as Uid, &flags)?;
        }
        Ok(())
    }
}
