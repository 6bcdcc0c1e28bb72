//! A multi-user mailbox as one of its users sees it over IMAP: what an operator may not do, what nobody may do while
//! another has a message in charge, and the history of what was done (BOX-03, BOX-07 to BOX-12).
//!
//! Any client can take part, by keywords (see [`sigillo_store::charges`]): setting `$InCharge` takes a message in charge,
//! clearing it releases, setting `$Completed` completes. Every check and what it allows are one transaction, so of two
//! users who race for a message one has it.

use std::sync::Arc;

use bytes::Bytes;
use sigillo_auth::Credential;
use sigillo_imap::{
    Appending, Backend, BackendError, Changes, FlagChange, Flags, Folder, FolderId, ModSeq, Placed, Quota, Snapshot,
    Status, Stored, Uid,
};
use sigillo_mail::{Rope, Source};
use sigillo_store::charges::{Action, COMPLETED, IN_CHARGE, is_reserved};
use sigillo_store::{Item, Role, StoreError, Tx, User};
use tokio::sync::watch;

use super::{ImapService, archive, flags, folder_named, message, placed, row, words};

/// Readings noted in one commit at most.
const READS_AT_ONCE: usize = 500;
const GONE: &str = "this login may not be used any more";

/// The mailbox for one of its users.
pub struct SharedMailbox {
    service: ImapService,
    user: User,
}

impl SharedMailbox {
    /// For the session of `user`.
    pub fn new(service: ImapService, user: User) -> SharedMailbox {
        SharedMailbox { service, user }
    }

    fn only_the_holder(&self, what: &str) -> Result<(), BackendError> {
        match self.user.role {
            Role::Holder => Ok(()),
            Role::Operator => Err(BackendError::NotPermitted(format!("only the holder of the mailbox {what}"))),
        }
    }

    /// The archive is its holder's: it has what he removed, and reading in it leaves no trace in the history (BOX-03,
    /// BOX-11).
    fn may_look_at(&self, name: &str) -> Result<(), BackendError> {
        if archive::holds(name) { self.only_the_holder("looks into its archive") } else { Ok(()) }
    }

    /// Runs `job` with the user as he is at that moment, not as he was at login.
    async fn act<T, F>(&self, job: F) -> Result<T, BackendError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>, &User) -> Result<T, StoreError> + Send + 'static,
    {
        let login = self.user.login.clone();
        self.service
            .write(move |tx| match tx.reader().user_at_the_door(&login)? {
                Some(user) => job(tx, &user),
                None => Err(StoreError::Denied(GONE.into())),
            })
            .await
    }
}

/// Whether operators may remove what is in a folder: their own drafts (a client saves one by removing the one before).
fn is_of_drafts(tx: &Tx<'_>, folder: sigillo_store::FolderId) -> Result<bool, StoreError> {
    let folder = tx.reader().folder_by_id(folder)?;
    Ok(folder.is_some_and(|folder| folder.special_use.as_deref() == Some("\\Drafts")))
}

fn items(tx: &Tx<'_>, folder: sigillo_store::FolderId, uids: &[Uid]) -> Result<Vec<Item>, StoreError> {
    let mut found = Vec::with_capacity(uids.len());
    for &uid in uids {
        found.extend(tx.reader().item(folder, uid)?);
    }
    Ok(found)
}

/// What a change of flags asks about the charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    Take,
    Release,
    Complete,
    Reopen,
}

impl Asked {
    /// By the words of the command, not by what they change: whoever sets a keyword that is set already wants the message,
    /// and must hear that another has it.
    fn of(change: &FlagChange, before: &Flags) -> Result<Asked, StoreError> {
        let (flags, wanted) = match change {
            FlagChange::Add(flags) => (flags, [Asked::Take, Asked::Complete]),
            FlagChange::Remove(flags) => (flags, [Asked::Release, Asked::Reopen]),
            FlagChange::Replace(flags) => (flags, [Asked::Take, Asked::Complete]),
        };
        let named = |keyword: &str| {
            let repeats = matches!(change, FlagChange::Replace(_)) && before.has_keyword(keyword);
            let idle = matches!(change, FlagChange::Remove(_)) && !before.has_keyword(keyword);
            flags.has_keyword(keyword) && !repeats && !idle
        };
        match (named(IN_CHARGE), named(COMPLETED)) {
            (false, false) => Ok(Asked::Nothing),
            (true, false) => Ok(wanted[0]),
            (false, true) => Ok(wanted[1]),
            (true, true) => Err(StoreError::Invalid(format!("one thing at a time: {IN_CHARGE} or {COMPLETED}"))),
        }
    }
}

/// One message: the charge first, then what else changes. A client that replaces all flags does not know of keywords
/// that others set meanwhile: it can take in charge and complete, and only `-FLAGS` gives up.
fn change_flags(
    tx: &mut Tx<'_>,
    user: &User,
    folder: sigillo_store::FolderId,
    item: Item,
    change: &FlagChange,
) -> Result<Item, StoreError> {
    let invalid = |error: sigillo_imap::FlagError| StoreError::Invalid(error.to_string());
    let before = flags(&item);
    let mut after = change.apply(&before).map_err(invalid)?;
    if matches!(change, FlagChange::Replace(_)) {
        let reserved = before.keywords().filter(|keyword| is_reserved(keyword));
        reserved.into_iter().try_for_each(|keyword| after.insert(keyword)).map_err(invalid)?;
    }
    let asked = Asked::of(change, &before)?;
    let of_client = |flags: &Flags| -> Vec<String> {
        let mut kept = words(flags);
        kept.retain(|flag| !is_reserved(flag));
        kept
    };
    let (old, new) = (of_client(&before), of_client(&after));
    if old != new {
        // Taking it in the same command makes it one's own; whoever gives it up still has it.
        if asked != Asked::Take {
            tx.check_free(user, item.number)?;
        }
        let deletes = new.iter().any(|flag| flag == "\\Deleted") && !old.iter().any(|flag| flag == "\\Deleted");
        if deletes && user.role == Role::Operator && !is_of_drafts(tx, folder)? {
            return Err(StoreError::Denied("only the holder of the mailbox removes messages".into()));
        }
    }
    match asked {
        Asked::Nothing => {}
        Asked::Take => tx.take(user, &item)?,
        Asked::Release => tx.release(user, &item)?,
        Asked::Complete => tx.complete(user, &item)?,
        Asked::Reopen => tx.reopen(user, &item)?,
    }
    if old != new {
        let charge = tx.reader().charge(&user.account, item.number)?;
        let flags: Vec<String> = new.iter().cloned().chain(sigillo_store::charges::keywords(charge.as_ref())).collect();
        tx.set_flags(folder, item.uid, &flags)?;
        let gained = new.iter().filter(|flag| !old.contains(flag)).map(|flag| format!("+{flag}"));
        let lost = old.iter().filter(|flag| !new.contains(flag)).map(|flag| format!("-{flag}"));
        let detail: Vec<String> = gained.chain(lost).collect();
        tx.note(user, item.number, Action::Flags, &detail.join(" "))?;
    }
    Ok(tx.reader().item(folder, item.uid)?.unwrap_or(item))
}

#[async_trait::async_trait]
impl Backend for SharedMailbox {
    async fn credential(&self, login: &str) -> Result<Option<(String, Credential)>, BackendError> {
        self.service.credential(login).await
    }

    async fn admits(&self, login: &str) -> Result<bool, BackendError> {
        self.service.admits(login).await
    }

    fn authenticated(&self, peer: &str, login: &str, good: bool) {
        self.service.authenticated(peer, login, good);
    }

    async fn shared_namespaces(&self, account: &str) -> Result<Vec<String>, BackendError> {
        if self.user.role == Role::Operator {
            return Ok(Vec::new());
        }
        self.service.shared_namespaces(account).await
    }

    fn is_read_only(&self, name: &str) -> bool {
        self.service.is_read_only(name)
    }

    async fn folders(&self, account: &str) -> Result<Vec<Folder>, BackendError> {
        let mut folders = self.service.folders(account).await?;
        folders.retain(|folder| self.may_look_at(&folder.name).is_ok());
        Ok(folders)
    }

    async fn create(&self, account: &str, name: &str) -> Result<(), BackendError> {
        self.service.create(account, name).await
    }

    async fn delete(&self, account: &str, name: &str) -> Result<(), BackendError> {
        archive::outside(&[name])?;
        self.only_the_holder("removes folders")?;
        let name = name.to_owned();
        debug_assert_eq!(account, self.user.account);
        let delete = move |tx: &mut Tx<'_>, user: &User| {
            let folder = folder_named(&tx.reader(), &user.account, &name)?;
            let all = tx.reader().items(folder.id)?;
            for item in &all {
                tx.check_free(user, item.number)?;
            }
            for item in &all {
                tx.note(user, item.number, Action::Delete, &format!("with folder {name}"))?;
            }
            tx.remove_folder(&user.account, &name)?;
            all.iter().try_for_each(|item| tx.forget_charge_of_gone(&user.account, item))
        };
        self.act(delete).await
    }

    async fn rename(&self, _account: &str, from: &str, to: &str) -> Result<(), BackendError> {
        archive::outside(&[from, to])?;
        self.only_the_holder("renames folders")?;
        let (from, to) = (from.to_owned(), to.to_owned());
        let rename = move |tx: &mut Tx<'_>, user: &User| {
            let folder = folder_named(&tx.reader(), &user.account, &from)?;
            // RFC 3501 §6.3.5: INBOX stays, and its messages move.
            let moved = if folder.name == "INBOX" { tx.reader().items(folder.id)? } else { Vec::new() };
            for item in moved {
                tx.check_free(user, item.number)?;
                tx.note(user, item.number, Action::Move, &format!("INBOX to {to}"))?;
            }
            tx.rename_folder(&user.account, &from, &to)
        };
        self.act(rename).await
    }

    async fn subscribe(&self, account: &str, name: &str, subscribed: bool) -> Result<(), BackendError> {
        self.may_look_at(name)?;
        self.service.subscribe(account, name, subscribed).await
    }

    async fn status(&self, account: &str, name: &str) -> Result<Status, BackendError> {
        self.may_look_at(name)?;
        self.service.status(account, name).await
    }

    async fn quota(&self, account: &str) -> Result<Quota, BackendError> {
        self.service.quota(account).await
    }

    async fn open(
        &self,
        account: &str,
        name: &str,
        claim_recent: bool,
    ) -> Result<(Snapshot, watch::Receiver<u64>), BackendError> {
        self.may_look_at(name)?;
        self.service.open(account, name, claim_recent).await
    }

    async fn changes(&self, folder: FolderId, since: ModSeq, known: &[Uid]) -> Result<Changes, BackendError> {
        self.service.changes(folder, since, known).await
    }

    async fn content(&self, folder: FolderId, uid: Uid) -> Result<Option<(Rope, Arc<dyn Source>)>, BackendError> {
        self.service.content(folder, uid).await
    }

    /// BOX-11. What was noted within the hour is not noted again, which a look finds without a commit.
    async fn reading(&self, folder: FolderId, uids: &[Uid]) -> Result<(), BackendError> {
        let (login, account, uids) = (self.user.login.clone(), self.user.account.clone(), uids.to_vec());
        let folder = row(folder);
        let news = self
            .service
            .read(move |r| {
                let now = sigillo_store::commit::now();
                let mut news = Vec::new();
                for uid in uids {
                    if let Some(item) = r.item(folder, uid)?
                        && !r.has_read(&account, item.number, &login, now)?
                    {
                        news.push(item.number);
                    }
                }
                Ok(news)
            })
            .await?;
        // In pieces: a client that fetches a whole mailbox does not hold up everybody's commits.
        for piece in news.chunks(READS_AT_ONCE) {
            let piece = piece.to_vec();
            self.act(move |tx, user| piece.iter().try_for_each(|number| tx.note(user, *number, Action::Read, "")))
                .await?;
        }
        Ok(())
    }

    /// Whoever reads what another has in charge changes nothing of it.
    async fn mark_seen(&self, folder: FolderId, uids: &[Uid]) -> Result<Stored, BackendError> {
        let uids = uids.to_vec();
        let mark = move |tx: &mut Tx<'_>, user: &User| {
            let mut stored = Stored { messages: Vec::new(), refused: Vec::new() };
            for item in items(tx, row(folder), &uids)? {
                if tx.check_free(user, item.number).is_err() || flags(&item).has(Flags::SEEN) {
                    continue;
                }
                let words: Vec<String> = item.flags.iter().cloned().chain(["\\Seen".to_owned()]).collect();
                stored.messages.extend(tx.set_flags(row(folder), item.uid, &words)?.as_ref().map(message));
            }
            Ok(stored)
        };
        self.act(mark).await
    }

    async fn store_flags(
        &self,
        folder: FolderId,
        uids: &[Uid],
        change: &FlagChange,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Stored, BackendError> {
        archive::not_archived(folder)?;
        let (uids, change) = (uids.to_vec(), change.clone());
        let store = move |tx: &mut Tx<'_>, user: &User| {
            let mut stored = Stored { messages: Vec::new(), refused: Vec::new() };
            for item in items(tx, row(folder), &uids)? {
                if unchanged_since.is_some_and(|since| item.mod_seq > since) {
                    stored.refused.push(item.uid);
                } else {
                    stored.messages.push(message(&change_flags(tx, user, row(folder), item, &change)?));
                }
            }
            Ok(stored)
        };
        self.act(store).await
    }

    async fn expunge(
        &self,
        _account: &str,
        folder: FolderId,
        uids: &[Uid],
        only_deleted: bool,
    ) -> Result<(), BackendError> {
        archive::not_archived(folder)?;
        let uids = uids.to_vec();
        let expunge = move |tx: &mut Tx<'_>, user: &User| {
            let folder = row(folder);
            let mut marked = items(tx, folder, &uids)?;
            marked.retain(|item| !only_deleted || flags(item).has(Flags::DELETED));
            if !marked.is_empty() && user.role == Role::Operator && !is_of_drafts(tx, folder)? {
                return Err(StoreError::Denied("only the holder of the mailbox removes messages".into()));
            }
            for item in &marked {
                tx.check_free(user, item.number)?;
                tx.note(user, item.number, Action::Delete, "")?;
            }
            let uids: Vec<Uid> = marked.iter().map(|item| item.uid).collect();
            tx.expunge(&user.account, folder, &uids)?;
            marked.iter().try_for_each(|item| tx.forget_charge_of_gone(&user.account, item))
        };
        self.act(expunge).await
    }

    async fn copy(&self, folder: FolderId, uids: &[Uid], account: &str, target: &str) -> Result<Placed, BackendError> {
        archive::outside(&[target])?;
        if archive::folder_of(folder).is_some() {
            return self.service.copy(folder, uids, account, target).await;
        }
        let (uids, name) = (uids.to_vec(), target.to_owned());
        let told = self.service.plugins_learn();
        let copy = move |tx: &mut Tx<'_>, user: &User| {
            let target = folder_named(&tx.reader(), &user.account, &name)?;
            for item in items(tx, row(folder), &uids)? {
                tx.check_free(user, item.number)?;
                tx.note(user, item.number, Action::Copy, &format!("to {name}"))?;
            }
            let uids = tx.copy_items(&user.account, row(folder), &uids, target.id)?;
            placed(tx, told, &user.account, row(folder), &target, uids)
        };
        self.act(copy).await
    }

    /// An operator classifies and routes what he has in charge (BOX-12); what he moves to Trash or Junk would be gone for
    /// the others.
    async fn relocate(
        &self,
        folder: FolderId,
        uids: &[Uid],
        _account: &str,
        target: &str,
    ) -> Result<Placed, BackendError> {
        archive::not_archived(folder)?;
        archive::outside(&[target])?;
        let (uids, name) = (uids.to_vec(), target.to_owned());
        let told = self.service.plugins_learn();
        let relocate = move |tx: &mut Tx<'_>, user: &User| {
            let source = row(folder);
            let target = folder_named(&tx.reader(), &user.account, &name)?;
            let from = tx.reader().folder_by_id(source)?.map(|folder| folder.name).unwrap_or_default();
            let own = user.role == Role::Holder || is_of_drafts(tx, source)?;
            if !own && matches!(target.special_use.as_deref(), Some("\\Trash" | "\\Junk")) {
                return Err(StoreError::Denied(format!("only the holder of the mailbox moves messages to {name}")));
            }
            for item in items(tx, source, &uids)? {
                tx.check_free(user, item.number)?;
                let charge = tx.reader().charge(&user.account, item.number)?;
                if !own && charge.is_none_or(|charge| charge.completed.is_some() || charge.login != user.login) {
                    let number = item.number;
                    return Err(StoreError::Denied(format!("take message {number} in charge before you move it")));
                }
                tx.note(user, item.number, Action::Move, &format!("{from} to {name}"))?;
            }
            let uids = tx.move_items(source, &uids, target.id)?;
            placed(tx, told, &user.account, source, &target, uids)
        };
        self.act(relocate).await
    }

    async fn append(&self, account: &str, name: &str, size: u64) -> Result<Box<dyn Appending>, BackendError> {
        Ok(Box::new(WithoutCharge(self.service.append(account, name, size).await?)))
    }
}

/// A message that a client files: nobody has it in charge yet, whatever its flags say.
struct WithoutCharge(Box<dyn Appending>);

#[async_trait::async_trait]
impl Appending for WithoutCharge {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackendError> {
        self.0.write(bytes).await
    }

    async fn commit(self: Box<Self>, given: Flags, internal_date: Option<i64>) -> Result<Placed, BackendError> {
        let mut kept = Flags::default();
        for flag in words(&given).iter().filter(|flag| !is_reserved(flag)) {
            kept.insert(flag).map_err(|error| BackendError::Refused(error.to_string()))?;
        }
        self.0.commit(kept, internal_date).await
    }
}
