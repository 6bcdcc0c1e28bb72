//! A backend that keeps everything in memory: for dialogs and for trying real clients.
#![allow(clippy::unwrap_used)] // a test may panic

pub mod tls;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Bytes, BytesMut};
use sigillo_auth::Credential;
use sigillo_imap::{
    Appending, Backend, BackendError, Changes, FlagChange, Flags, Folder, FolderId, Message, ModSeq, Placed, Quota,
    Snapshot, SpecialUse, Status, Stored, Uid,
};
use sigillo_mail::rope::NoSource;
use sigillo_mail::{Rope, Source};
use tokio::sync::watch;

/// Where the folders are that nobody can change.
const ARCHIVE: &str = "#Archive";

fn locked(name: &str) -> bool {
    name == ARCHIVE || name.starts_with("#Archive/")
}

fn open_to_changes(names: &[&str]) -> Result<(), BackendError> {
    match names.iter().any(|name| locked(name)) {
        true => Err(BackendError::NotPermitted("the archive is read-only: copy messages out of it".into())),
        false => Ok(()),
    }
}

pub const QUOTA: u64 = 1 << 30;

struct Filed {
    message: Message,
    content: Bytes,
}

struct Mailbox {
    id: i64,
    uid_validity: u32,
    uid_next: Uid,
    mod_seq: ModSeq,
    recent_from: Uid,
    subscribed: bool,
    special_use: Option<SpecialUse>,
    messages: Vec<Filed>,
}

#[derive(Default)]
struct State {
    credentials: HashMap<String, Credential>,
    barred: HashMap<String, String>,
    accounts: HashMap<String, BTreeMap<String, Mailbox>>,
    watches: HashMap<String, watch::Sender<u64>>,
    next_id: i64,
}

/// The backend; clones share their folders.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<State>>);

impl State {
    fn mailbox(&mut self, folder: FolderId) -> Result<(String, &mut Mailbox), BackendError> {
        self.accounts
            .iter_mut()
            .flat_map(|(account, folders)| folders.values_mut().map(move |m| (account.clone(), m)))
            .find(|(_, m)| m.id == folder.0)
            .ok_or(BackendError::NoSuchFolder)
    }

    fn named(&mut self, account: &str, name: &str) -> Result<&mut Mailbox, BackendError> {
        self.accounts.get_mut(account).and_then(|f| f.get_mut(name)).ok_or(BackendError::NoSuchFolder)
    }

    fn make(&mut self, account: &str, name: &str, special_use: Option<SpecialUse>) {
        self.next_id += 1;
        let mailbox = Mailbox {
            id: self.next_id,
            uid_validity: self.next_id as u32,
            uid_next: 1,
            mod_seq: 1,
            recent_from: 1,
            subscribed: true,
            special_use,
            messages: Vec::new(),
        };
        self.accounts.entry(account.to_owned()).or_default().insert(name.to_owned(), mailbox);
    }

    fn notify(&mut self, account: &str) {
        self.watches.entry(account.to_owned()).or_insert_with(|| watch::channel(0).0).send_modify(|n| *n += 1);
    }
}

impl Mailbox {
    fn file(&mut self, content: Bytes, flags: Flags, internal_date: i64) -> Uid {
        self.mod_seq += 1;
        let uid = self.uid_next;
        self.uid_next += 1;
        let message = Message { uid, flags, internal_date, size: content.len() as u64, mod_seq: self.mod_seq };
        self.messages.push(Filed { message, content });
        uid
    }

    fn remove(&mut self, uids: &[Uid]) {
        self.messages.retain(|m| !uids.contains(&m.message.uid));
        self.mod_seq += 1;
    }
}

impl Memory {
    /// Makes an account with the usual folders.
    pub fn account(&self, address: &str, password: &str) {
        let mut state = self.state();
        state.credentials.insert(address.to_owned(), Credential::new(password).unwrap());
        state.make(address, "INBOX", None);
        for use_ in [SpecialUse::Drafts, SpecialUse::Junk, SpecialUse::Sent, SpecialUse::Trash] {
            state.make(address, &use_.attribute()[1..], Some(use_));
        }
    }

    /// Lets the account's password open nothing.
    #[allow(dead_code)] // the example has nobody to bar
    pub fn bar(&self, address: &str, why: &str) {
        self.state().barred.insert(address.to_owned(), why.to_owned());
    }

    /// Gives an account a folder that nobody can change, with messages.
    #[allow(dead_code)] // nor an archive
    pub fn archive(&self, address: &str, name: &str, contents: &[&str]) {
        let mut state = self.state();
        let name = format!("{ARCHIVE}/{name}");
        state.make(address, &name, None);
        let mailbox = state.named(address, &name).unwrap();
        for content in contents {
            mailbox.file(Bytes::from((*content).to_owned()), Flags::system(Flags::SEEN), 1_700_000_000);
        }
        mailbox.recent_from = mailbox.uid_next;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

struct Sink {
    memory: Memory,
    account: String,
    name: String,
    bytes: BytesMut,
}

#[async_trait::async_trait]
impl Appending for Sink {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackendError> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn commit(self: Box<Self>, flags: Flags, date: Option<i64>) -> Result<Placed, BackendError> {
        let mut state = self.memory.state();
        let date = date.unwrap_or(1_700_000_000);
        let mailbox = state.named(&self.account, &self.name)?;
        let uid = mailbox.file(self.bytes.freeze(), flags, date);
        let placed = Placed { uid_validity: mailbox.uid_validity, uids: vec![(0, uid)] };
        state.notify(&self.account);
        Ok(placed)
    }
}

#[async_trait::async_trait]
impl Backend for Memory {
    async fn credential(&self, login: &str) -> Result<Option<(String, Credential)>, BackendError> {
        Ok(self.state().credentials.get(login).map(|c| (login.to_owned(), c.clone())))
    }

    async fn barred(&self, login: &str) -> Result<Option<String>, BackendError> {
        Ok(self.state().barred.get(login).cloned())
    }

    async fn folders(&self, account: &str) -> Result<Vec<Folder>, BackendError> {
        let state = self.state();
        let folders = state.accounts.get(account).into_iter().flatten();
        Ok(folders
            .map(|(name, m)| Folder { name: name.clone(), subscribed: m.subscribed, special_use: m.special_use })
            .collect())
    }

    async fn shared_namespaces(&self, account: &str) -> Result<Vec<String>, BackendError> {
        let state = self.state();
        let any = state.accounts.get(account).is_some_and(|folders| folders.keys().any(|name| locked(name)));
        Ok(any.then(|| format!("{ARCHIVE}/")).into_iter().collect())
    }

    fn is_read_only(&self, name: &str) -> bool {
        locked(name)
    }

    async fn create(&self, account: &str, name: &str) -> Result<(), BackendError> {
        open_to_changes(&[name])?;
        let mut state = self.state();
        if state.named(account, name).is_ok() {
            return Err(BackendError::FolderExists);
        }
        let above: Vec<&str> = sigillo_imap::name::ancestors(name).collect();
        for name in above.into_iter().chain([name]) {
            if state.named(account, name).is_err() {
                state.make(account, name, None);
            }
        }
        Ok(())
    }

    async fn delete(&self, account: &str, name: &str) -> Result<(), BackendError> {
        open_to_changes(&[name])?;
        let mut state = self.state();
        let removed = state.accounts.get_mut(account).and_then(|f| f.remove(name));
        state.notify(account);
        removed.map(drop).ok_or(BackendError::NoSuchFolder)
    }

    async fn rename(&self, account: &str, from: &str, to: &str) -> Result<(), BackendError> {
        open_to_changes(&[from, to])?;
        let mut state = self.state();
        state.named(account, from)?;
        if state.named(account, to).is_ok() {
            return Err(BackendError::FolderExists);
        }
        if from == "INBOX" {
            state.make(account, to, None);
            let moved = std::mem::take(&mut state.named(account, from)?.messages);
            let target = state.named(account, to)?;
            for m in moved {
                target.file(m.content, m.message.flags, m.message.internal_date);
            }
            return Ok(());
        }
        let folders = state.accounts.get_mut(account).unwrap();
        let below = format!("{from}/");
        let names: Vec<String> = folders.keys().filter(|n| *n == from || n.starts_with(&below)).cloned().collect();
        for name in names {
            let mailbox = folders.remove(&name).unwrap();
            folders.insert(format!("{to}{}", &name[from.len()..]), mailbox);
        }
        Ok(())
    }

    async fn subscribe(&self, account: &str, name: &str, subscribed: bool) -> Result<(), BackendError> {
        self.state().named(account, name)?.subscribed = subscribed;
        Ok(())
    }

    async fn status(&self, account: &str, name: &str) -> Result<Status, BackendError> {
        let mut state = self.state();
        let m = state.named(account, name)?;
        let count = |f: &dyn Fn(&Message) -> bool| m.messages.iter().filter(|s| f(&s.message)).count() as u32;
        Ok(Status {
            messages: count(&|_| true),
            recent: count(&|s| s.uid >= m.recent_from),
            unseen: count(&|s| !s.flags.has(Flags::SEEN)),
            deleted: count(&|s| s.flags.has(Flags::DELETED)),
            size: m.messages.iter().map(|s| s.message.size).sum(),
            uid_next: m.uid_next,
            uid_validity: m.uid_validity,
            mod_seq: m.mod_seq,
        })
    }

    async fn quota(&self, account: &str) -> Result<Quota, BackendError> {
        let state = self.state();
        let folders = state.accounts.get(account).into_iter().flat_map(|f| f.values());
        let used = folders.flat_map(|f| &f.messages).map(|m| m.message.size).sum();
        Ok(Quota { used, limit: Some(QUOTA) })
    }

    async fn open(
        &self,
        account: &str,
        name: &str,
        claim_recent: bool,
    ) -> Result<(Snapshot, watch::Receiver<u64>), BackendError> {
        let mut state = self.state();
        let watch = state.watches.entry(account.to_owned()).or_insert_with(|| watch::channel(0).0).subscribe();
        let m = state.named(account, name)?;
        let recent_from = m.recent_from;
        if claim_recent {
            m.recent_from = m.uid_next;
        }
        let snapshot = Snapshot {
            folder: FolderId(m.id),
            uid_validity: m.uid_validity,
            uid_next: m.uid_next,
            mod_seq: m.mod_seq,
            recent_from,
            messages: m.messages.iter().map(|s| s.message.clone()).collect(),
        };
        Ok((snapshot, watch))
    }

    async fn changes(&self, folder: FolderId, since: ModSeq, known: &[Uid]) -> Result<Changes, BackendError> {
        let mut state = self.state();
        let (_, m) = state.mailbox(folder)?;
        let there: Vec<Uid> = m.messages.iter().map(|s| s.message.uid).collect();
        Ok(Changes {
            mod_seq: m.mod_seq,
            uid_next: m.uid_next,
            changed: m.messages.iter().map(|s| s.message.clone()).filter(|s| s.mod_seq > since).collect(),
            vanished: known.iter().copied().filter(|uid| there.binary_search(uid).is_err()).collect(),
        })
    }

    async fn content(&self, folder: FolderId, uid: Uid) -> Result<Option<(Rope, Arc<dyn Source>)>, BackendError> {
        let mut state = self.state();
        let (_, m) = state.mailbox(folder)?;
        let found = m.messages.iter().find(|s| s.message.uid == uid);
        Ok(found.map(|s| (Rope::from_bytes(s.content.clone()), Arc::new(NoSource) as Arc<dyn Source>)))
    }

    async fn store_flags(
        &self,
        folder: FolderId,
        uids: &[Uid],
        change: &FlagChange,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Stored, BackendError> {
        let mut state = self.state();
        let (account, m) = state.mailbox(folder)?;
        m.mod_seq += 1;
        let now = m.mod_seq;
        let mut stored = Stored { messages: Vec::new(), refused: Vec::new() };
        for s in m.messages.iter_mut().filter(|s| uids.contains(&s.message.uid)) {
            if unchanged_since.is_some_and(|since| s.message.mod_seq > since) {
                stored.refused.push(s.message.uid);
                continue;
            }
            let after = change.apply(&s.message.flags).map_err(|e| BackendError::Refused(e.to_string()))?;
            if after != s.message.flags {
                s.message.flags = after;
                s.message.mod_seq = now;
            }
            stored.messages.push(s.message.clone());
        }
        state.notify(&account);
        Ok(stored)
    }

    async fn expunge(&self, _: &str, folder: FolderId, uids: &[Uid], only_deleted: bool) -> Result<(), BackendError> {
        let mut state = self.state();
        let (account, m) = state.mailbox(folder)?;
        let marked = m.messages.iter().filter(|s| uids.contains(&s.message.uid));
        let marked: Vec<Uid> =
            marked.filter(|s| !only_deleted || s.message.flags.has(Flags::DELETED)).map(|s| s.message.uid).collect();
        m.remove(&marked);
        state.notify(&account);
        Ok(())
    }

    async fn copy(&self, folder: FolderId, uids: &[Uid], account: &str, target: &str) -> Result<Placed, BackendError> {
        open_to_changes(&[target])?;
        let mut state = self.state();
        let (owner, m) = state.mailbox(folder)?;
        assert_eq!(owner, account);
        let copies: Vec<(Message, Bytes)> = m
            .messages
            .iter()
            .filter(|s| uids.contains(&s.message.uid))
            .map(|s| (s.message.clone(), s.content.clone()))
            .collect();
        let target = state.named(account, target)?;
        let uids =
            copies.into_iter().map(|(m, content)| (m.uid, target.file(content, m.flags, m.internal_date))).collect();
        let placed = Placed { uid_validity: target.uid_validity, uids };
        state.notify(account);
        Ok(placed)
    }

    async fn relocate(
        &self,
        folder: FolderId,
        uids: &[Uid],
        account: &str,
        target: &str,
    ) -> Result<Placed, BackendError> {
        let placed = self.copy(folder, uids, account, target).await?;
        self.state().mailbox(folder)?.1.remove(uids);
        self.state().notify(account);
        Ok(placed)
    }

    async fn append(&self, account: &str, name: &str, size: u64) -> Result<Box<dyn Appending>, BackendError> {
        open_to_changes(&[name])?;
        self.state().named(account, name)?;
        if self.quota(account).await?.used + size > QUOTA {
            return Err(BackendError::OverQuota);
        }
        let (account, name) = (account.to_owned(), name.to_owned());
        Ok(Box::new(Sink { memory: self.clone(), account, name, bytes: BytesMut::new() }))
    }
}
