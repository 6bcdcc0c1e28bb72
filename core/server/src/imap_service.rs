//! The store as IMAP sessions see it: the [`Backend`] of this server.

mod archive;
mod shared;

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sigillo_auth::Credential;
use sigillo_imap::{
    Appending, Backend, BackendError, Changes, FlagChange, Flags, Folder, FolderId, Message, ModSeq, Placed, Quota,
    Snapshot, SpecialUse, Status, Stored, Uid,
};
use sigillo_mail::{Rope, Source};
use sigillo_policy::Stage;
use sigillo_store::{Item, Kind, Reader, Spool, Store, StoreError, Tx};
use tokio::sync::{broadcast, watch};

use self::shared::SharedMailbox;
use crate::evidence::front_end::Happening;
use crate::server::{Server, barred, with_credential};

/// Folders of the store, account by account.
#[derive(Clone)]
pub struct ImapService {
    server: Option<Arc<Server>>,
    store: Store,
    watches: Arc<Watches>,
}

impl ImapService {
    /// Begins to listen to the store's changes: call it where a runtime is. The listener ends with the store.
    pub fn new(store: Store) -> ImapService {
        let watches = Arc::new(Watches::default());
        tokio::spawn(watches.clone().forward(store.folder_changes()));
        ImapService { server: None, store, watches }
    }

    /// The same for the sessions of a server, which is told of logins and TLS.
    pub fn of(server: Arc<Server>) -> ImapService {
        ImapService { server: Some(server.clone()), ..ImapService::new(server.store().clone()) }
    }

    async fn read<T, F>(&self, job: F) -> Result<T, BackendError>
    where
        T: Send + 'static,
        F: FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.store.read(job).await.map_err(refusal)
    }

    fn write<T, F>(&self, job: F) -> impl Future<Output = Result<T, BackendError>>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (store, watches) = (self.store.clone(), self.watches.clone());
        let job = |tx: &mut Tx<'_>| Ok((job(tx)?, tx.touched_folders().to_vec()));
        async move {
            let (done, touched) = store.write(job).await.map_err(refusal)?;
            // Not only by the listener, who may come later: a session hears of its own change in the answer to its command.
            watches.notify(|folder| touched.contains(&folder));
            Ok(done)
        }
    }
}

impl ImapService {
    /// Whether a plugin wants to be told of what users move into and out of the folder for unwanted mail.
    fn plugins_learn(&self) -> bool {
        let chains = self.server.as_ref().map(|server| &server.engine().policy().chains);
        chains.is_some_and(|chains| chains.iter().any(|chain| chain.stage == Stage::Refiled))
    }
}

/// Where messages of `from` are in `target` now; plugins that want to be told are, by a note in the same commit.
fn placed(
    tx: &mut Tx<'_>,
    told: bool,
    account: &str,
    from: sigillo_store::FolderId,
    target: &sigillo_store::Folder,
    uids: Vec<(Uid, Uid)>,
) -> Result<Placed, StoreError> {
    if told {
        let new: Vec<Uid> = uids.iter().map(|(_, new)| *new).collect();
        tx.note_refiled(account, from, target.id, &new)?;
    }
    Ok(Placed { uid_validity: target.uid_validity, uids })
}

/// What a failure of the store is to an IMAP client.
fn refusal(error: StoreError) -> BackendError {
    match error {
        StoreError::NotFound(_) => BackendError::NoSuchFolder,
        StoreError::Exists(_) => BackendError::FolderExists,
        StoreError::Full => BackendError::OverQuota,
        StoreError::InUse(why) => BackendError::InUse(why),
        StoreError::Denied(why) => BackendError::NotPermitted(why),
        StoreError::Invalid(why) => BackendError::Refused(why),
        other => BackendError::Unavailable(Box::new(other)),
    }
}

/// The folders that sessions have selected, each with a value that changes with it.
#[derive(Default)]
struct Watches(Mutex<HashMap<sigillo_store::FolderId, watch::Sender<u64>>>);

impl Watches {
    fn subscribe(&self, folder: sigillo_store::FolderId) -> watch::Receiver<u64> {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.entry(folder).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    async fn forward(self: Arc<Self>, mut changes: broadcast::Receiver<sigillo_store::FolderId>) {
        loop {
            match changes.recv().await {
                Ok(folder) => self.notify(|candidate| candidate == folder),
                // Which ones were missed is not known: every session looks.
                Err(broadcast::error::RecvError::Lagged(_)) => self.notify(|_| true),
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    /// Folders that nobody watches any more leave the map.
    fn notify(&self, concerned: impl Fn(sigillo_store::FolderId) -> bool) {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|folder, sender| {
            if concerned(*folder) {
                sender.send_modify(|count| *count += 1);
            }
            sender.receiver_count() > 0
        });
    }
}

/// The address of a peer written with its port.
fn address(peer: &str) -> Option<IpAddr> {
    peer.parse::<SocketAddr>().ok().map(|peer| peer.ip())
}

fn id(folder: sigillo_store::FolderId) -> FolderId {
    FolderId(folder.number())
}

fn row(folder: FolderId) -> sigillo_store::FolderId {
    sigillo_store::FolderId::from_number(folder.0)
}

/// Flags that are no flags any more (a stricter rule than when they were stored) are left out.
fn flags(item: &Item) -> Flags {
    let mut flags = Flags::default();
    for name in &item.flags {
        if let Err(error) = flags.insert(name) {
            tracing::warn!(flag = %name, %error, "a stored flag is left out");
        }
    }
    flags
}

fn words(flags: &Flags) -> Vec<String> {
    flags.to_string().split_ascii_whitespace().map(str::to_owned).collect()
}

fn message(item: &Item) -> Message {
    Message {
        uid: item.uid,
        flags: flags(item),
        internal_date: (item.internal_date / 1000) as i64,
        size: item.size,
        mod_seq: item.mod_seq,
    }
}

fn folder_named(reader: &Reader<'_>, account: &str, name: &str) -> Result<sigillo_store::Folder, StoreError> {
    reader.folder(account, name)?.ok_or_else(|| StoreError::NotFound(format!("folder {name}")))
}

#[async_trait::async_trait]
impl Backend for ImapService {
    fn authenticated(&self, peer: &str, login: &str, good: bool) {
        if let (Some(server), Some(peer)) = (&self.server, address(peer)) {
            server.note_login("imap", peer, login, (!good).then(|| "wrong login or password".to_owned()));
        }
    }

    fn encrypted(&self, peer: &str, outcome: Result<&str, &std::io::Error>) {
        let Some(server) = &self.server else { return };
        let result = outcome.map_or_else(|error| format!("failed: {error}"), str::to_owned);
        server.front_end().note(Happening {
            kind: "tls",
            component: "imap",
            peer: address(peer),
            result: &result,
            by_stranger: true,
            ..Happening::default()
        });
    }

    async fn credential(&self, login: &str) -> Result<Option<(String, Credential)>, BackendError> {
        let login = login.to_owned();
        let user = self.read(move |r| r.user_at_the_door(&login)).await?;
        Ok(user.and_then(with_credential).map(|(user, credential)| (user.account, credential)))
    }

    async fn barred(&self, login: &str) -> Result<Option<String>, BackendError> {
        let login = login.to_owned();
        let user = self.read(move |r| r.user(&login)).await?;
        let why = user.and_then(|user| user.admitted(sigillo_store::commit::now()).err());
        Ok(why.map(|why| barred(why).to_owned()))
    }

    /// BOX-04, AS-06: who was removed or suspended reads nothing more.
    async fn admits(&self, login: &str) -> Result<bool, BackendError> {
        self.store.look(|r| r.user_at_the_door(login)).map(|user| user.is_some()).map_err(refusal)
    }

    async fn for_user(&self, login: &str) -> Result<Option<Arc<dyn Backend>>, BackendError> {
        let login = login.to_owned();
        let found = self.read(move |r| {
            let Some(user) = r.user(&login)? else { return Ok(None) };
            let account = r.account(&user.account)?;
            Ok(account.filter(|account| account.kind == Kind::MultiUser).map(|_| user))
        });
        let shared = |user| -> Arc<dyn Backend> { Arc::new(SharedMailbox::new(self.clone(), user)) };
        Ok(found.await?.map(shared))
    }

    async fn folders(&self, account: &str) -> Result<Vec<Folder>, BackendError> {
        let account = account.to_owned();
        let (folders, archived) =
            self.read(move |r| Ok((r.folders(&account)?, archive::folders(r, &account)?))).await?;
        let folder = |f: sigillo_store::Folder| Folder {
            special_use: f.special_use.as_deref().and_then(SpecialUse::parse),
            name: f.name,
            subscribed: f.subscribed,
        };
        Ok(folders.into_iter().map(folder).chain(archived).collect())
    }

    async fn shared_namespaces(&self, account: &str) -> Result<Vec<String>, BackendError> {
        let account = account.to_owned();
        let any = self.read(move |r| Ok(!r.archive_folders(&account)?.is_empty())).await?;
        Ok(any.then(|| archive::PREFIX.to_owned()).into_iter().collect())
    }

    fn is_read_only(&self, name: &str) -> bool {
        archive::holds(name)
    }

    async fn create(&self, account: &str, name: &str) -> Result<(), BackendError> {
        archive::outside(&[name])?;
        let (account, name) = (account.to_owned(), name.to_owned());
        self.write(move |tx| tx.add_folder(&account, &name, None).map(drop)).await
    }

    async fn delete(&self, account: &str, name: &str) -> Result<(), BackendError> {
        archive::outside(&[name])?;
        let (account, name) = (account.to_owned(), name.to_owned());
        self.write(move |tx| tx.remove_folder(&account, &name)).await
    }

    async fn rename(&self, account: &str, from: &str, to: &str) -> Result<(), BackendError> {
        archive::outside(&[from, to])?;
        let (account, from, to) = (account.to_owned(), from.to_owned(), to.to_owned());
        self.write(move |tx| tx.rename_folder(&account, &from, &to)).await
    }

    async fn subscribe(&self, account: &str, name: &str, subscribed: bool) -> Result<(), BackendError> {
        let (account, name) = (account.to_owned(), name.to_owned());
        if archive::holds(&name) {
            return self.write(move |tx| archive::subscribe(tx, &account, &name, subscribed)).await;
        }
        self.write(move |tx| tx.subscribe(&account, &name, subscribed)).await
    }

    async fn status(&self, account: &str, name: &str) -> Result<Status, BackendError> {
        let (account, name) = (account.to_owned(), name.to_owned());
        if archive::holds(&name) {
            return self.read(move |r| archive::status(r, &account, &name)).await;
        }
        let status = move |r: &Reader<'_>| {
            let folder = folder_named(r, &account, &name)?;
            let counts = r.counts(folder.id)?;
            Ok(Status {
                messages: counts.messages,
                recent: counts.recent,
                unseen: counts.unseen,
                deleted: counts.deleted,
                size: counts.size,
                uid_next: folder.uid_next,
                uid_validity: folder.uid_validity,
                mod_seq: folder.mod_seq,
            })
        };
        self.read(status).await
    }

    async fn quota(&self, account: &str) -> Result<Quota, BackendError> {
        let account = account.to_owned();
        let account = self.read(move |r| r.account(&account)).await?.ok_or(BackendError::NoSuchFolder)?;
        Ok(Quota { used: account.used, limit: Some(account.quota) })
    }

    async fn open(
        &self,
        account: &str,
        name: &str,
        claim_recent: bool,
    ) -> Result<(Snapshot, watch::Receiver<u64>), BackendError> {
        if archive::holds(name) {
            return self.open_archived(account, name).await;
        }
        let (account, name) = (account.to_owned(), name.to_owned());
        let found = self.read(move |r| folder_named(r, &account, &name)).await?.id;
        let watch = self.watches.subscribe(found);
        let (folder, items, recent_from) = self
            .read(move |r| {
                let folder = r.folder_by_id(found)?.ok_or_else(|| StoreError::NotFound("the folder".into()))?;
                Ok((folder, r.items(found)?, r.recent_from(found)?))
            })
            .await?;
        let uid_next = folder.uid_next;
        let recent_from = match claim_recent && recent_from < uid_next {
            true => self.write(move |tx| tx.claim_recent(found, uid_next)).await?,
            false => recent_from,
        };
        let snapshot = Snapshot {
            folder: id(found),
            uid_validity: folder.uid_validity,
            uid_next,
            mod_seq: folder.mod_seq,
            recent_from,
            messages: items.iter().map(message).collect(),
        };
        Ok((snapshot, watch))
    }

    async fn changes(&self, folder: FolderId, since: ModSeq, known: &[Uid]) -> Result<Changes, BackendError> {
        let known = known.to_vec();
        if let Some(archived) = archive::folder_of(folder) {
            return self.read(move |r| archive::changes(r, archived, since, known)).await;
        }
        let changes = move |r: &Reader<'_>| {
            let found =
                r.folder_by_id(row(folder))?.ok_or_else(|| StoreError::NotFound("the folder was removed".into()))?;
            let changed = r.items_since(found.id, since)?;
            let new = changed.iter().filter(|item| known.binary_search(&item.uid).is_err()).count();
            // Only where the count does not add up is the whole list looked at.
            let vanished = if known.len() + new == r.item_count(found.id)? {
                Vec::new()
            } else {
                let there = r.uids(found.id)?;
                known.into_iter().filter(|uid| there.binary_search(uid).is_err()).collect()
            };
            let changed = changed.iter().map(message).collect();
            Ok(Changes { mod_seq: found.mod_seq, uid_next: found.uid_next, changed, vanished })
        };
        self.read(changes).await
    }

    async fn content(&self, folder: FolderId, uid: Uid) -> Result<Option<(Rope, Arc<dyn Source>)>, BackendError> {
        let segments = self.store.segments().clone();
        let content = move |r: &Reader<'_>| {
            let found = match archive::folder_of(folder) {
                Some(archived) => r.archive_entry(archived, uid)?.map(|entry| entry.message),
                None => r.item(row(folder), uid)?.map(|item| item.message),
            };
            let Some(found) = found else { return Ok(None) };
            let rope = r.message(found)?;
            // The files stay readable while they are streamed, even if the message is removed meanwhile.
            let source = segments.pin(&rope)?;
            Ok(Some((rope, source)))
        };
        self.read(content).await
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
        self.write(move |tx| set_flags(tx, row(folder), &uids, &change, unchanged_since)).await
    }

    async fn expunge(
        &self,
        account: &str,
        folder: FolderId,
        uids: &[Uid],
        only_deleted: bool,
    ) -> Result<(), BackendError> {
        archive::not_archived(folder)?;
        let (account, uids) = (account.to_owned(), uids.to_vec());
        let expunge = move |tx: &mut Tx<'_>| {
            let folder = row(folder);
            let mut marked = Vec::with_capacity(uids.len());
            for uid in uids {
                let item = tx.reader().item(folder, uid)?;
                if item.is_some_and(|item| !only_deleted || flags(&item).has(Flags::DELETED)) {
                    marked.push(uid);
                }
            }
            tx.expunge(&account, folder, &marked).map(drop)
        };
        self.write(expunge).await
    }

    async fn copy(&self, folder: FolderId, uids: &[Uid], account: &str, target: &str) -> Result<Placed, BackendError> {
        archive::outside(&[target])?;
        let (uids, account, target) = (uids.to_vec(), account.to_owned(), target.to_owned());
        let told = self.plugins_learn();
        let copy = move |tx: &mut Tx<'_>| {
            let target = folder_named(&tx.reader(), &account, &target)?;
            let (uids, told) = match archive::folder_of(folder) {
                Some(archived) => (archive::copy_out(tx, &account, archived, &uids, target.id)?, false),
                None => (tx.copy_items(&account, row(folder), &uids, target.id)?, told),
            };
            placed(tx, told, &account, row(folder), &target, uids)
        };
        self.write(copy).await
    }

    async fn relocate(
        &self,
        folder: FolderId,
        uids: &[Uid],
        account: &str,
        target: &str,
    ) -> Result<Placed, BackendError> {
        archive::not_archived(folder)?;
        archive::outside(&[target])?;
        let (uids, account, target) = (uids.to_vec(), account.to_owned(), target.to_owned());
        let told = self.plugins_learn();
        let relocate = move |tx: &mut Tx<'_>| {
            let target = folder_named(&tx.reader(), &account, &target)?;
            let uids = tx.move_items(row(folder), &uids, target.id)?;
            placed(tx, told, &account, row(folder), &target, uids)
        };
        self.write(relocate).await
    }

    async fn append(&self, account: &str, name: &str, size: u64) -> Result<Box<dyn Appending>, BackendError> {
        archive::outside(&[name])?;
        let (account, name) = (account.to_owned(), name.to_owned());
        let room = {
            let (account, name) = (account.clone(), name.clone());
            self.read(move |r| {
                folder_named(r, &account, &name)?;
                let account = r.account(&account)?.ok_or_else(|| StoreError::NotFound("the account".into()))?;
                Ok(account.quota.saturating_sub(account.used))
            })
            .await?
        };
        if size > room {
            return Err(BackendError::OverQuota);
        }
        Ok(Box::new(Incoming { store: self.store.clone(), account, name, spool: self.store.spool() }))
    }
}

/// All messages in one commit; those whose flags stay the same are not touched.
fn set_flags(
    tx: &mut Tx<'_>,
    folder: sigillo_store::FolderId,
    uids: &[Uid],
    change: &FlagChange,
    unchanged_since: Option<ModSeq>,
) -> Result<Stored, StoreError> {
    let mut stored = Stored { messages: Vec::new(), refused: Vec::new() };
    for &uid in uids {
        let Some(item) = tx.reader().item(folder, uid)? else { continue };
        if unchanged_since.is_some_and(|since| item.mod_seq > since) {
            stored.refused.push(uid);
            continue;
        }
        let before = flags(&item);
        let after = change.apply(&before).map_err(|error| StoreError::Invalid(error.to_string()))?;
        let item = match after == before {
            true => Some(item),
            false => tx.set_flags(folder, uid, &words(&after))?,
        };
        stored.messages.extend(item.as_ref().map(message));
    }
    Ok(stored)
}

/// A message on its way into a folder.
struct Incoming {
    store: Store,
    account: String,
    name: String,
    spool: Spool,
}

#[async_trait::async_trait]
impl Appending for Incoming {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackendError> {
        self.spool.write(&bytes).map_err(|error| BackendError::Unavailable(Box::new(error)))
    }

    async fn commit(self: Box<Self>, flags: Flags, internal_date: Option<i64>) -> Result<Placed, BackendError> {
        let Incoming { store, account, name, spool } = *self;
        // Large content is synced here: not on a thread that serves connections.
        let content = tokio::task::spawn_blocking(move || spool.finish())
            .await
            .map_err(|error| BackendError::Unavailable(Box::new(error)))?
            .map_err(|error| BackendError::Unavailable(Box::new(error)))?;
        let spooled = content.clone();
        let file = move |tx: &mut Tx<'_>| {
            let folder = folder_named(&tx.reader(), &account, &name)?;
            let message = tx.put_message(&content)?;
            let date = internal_date.map_or(tx.now(), |seconds| seconds.max(0) as u64 * 1000);
            let uid = tx.file(&account, folder.id, message, &words(&flags), date)?;
            Ok(Placed { uid_validity: folder.uid_validity, uids: vec![(0, uid)] })
        };
        let filed = store.write(file).await;
        if filed.is_err()
            && let Err(error) = store.give_back(&spooled).await
        {
            tracing::warn!(%error, "the space of a message that was not filed is given back later");
        }
        filed.map_err(refusal)
    }
}

#[cfg(test)]
mod tests;
