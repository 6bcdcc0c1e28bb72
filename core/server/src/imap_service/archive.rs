//! The archive of a mailbox as its owner sees it: folders beside his own that he can read and copy from and that nothing
//! changes (ARC-03).
//!
//! They lie below [`PREFIX`], which is none of his own names: [RFC 3501 §5.1.2] keeps names that begin with `#` for such
//! things. One folder for each month and direction: `#Archive/2026/11/Received`.

use sigillo_imap::{BackendError, Changes, Flags, Folder, FolderId, Message, ModSeq, Snapshot, Status, Uid};
use sigillo_store::archive::{ArchiveEntry, ArchiveFolder, ArchiveFolderId};
use sigillo_store::{Reader, StoreError, Tx};
use tokio::sync::watch;

use super::{ImapService, id, row};

/// Before the names of all folders of the archive.
pub(super) const PREFIX: &str = "#Archive/";

/// Whether a name is of the archive, whether or not there is such a folder.
pub(super) fn holds(name: &str) -> bool {
    name.starts_with(PREFIX) || name == PREFIX.trim_end_matches('/')
}

/// An error where one of the names is of the archive.
pub(super) fn outside(names: &[&str]) -> Result<(), BackendError> {
    if names.iter().any(|name| holds(name)) { Err(read_only()) } else { Ok(()) }
}

/// An error for a folder of the archive.
pub(super) fn not_archived(folder: FolderId) -> Result<(), BackendError> {
    if folder_of(folder).is_some() { Err(read_only()) } else { Ok(()) }
}

fn read_only() -> BackendError {
    BackendError::NotPermitted("the archive is read-only: copy messages out of it".into())
}

/// The folder of the archive that a session has selected, if it is one.
pub(super) fn folder_of(folder: FolderId) -> Option<ArchiveFolderId> {
    ArchiveFolderId::of(row(folder))
}

/// Folders that have anything, under their names in IMAP.
pub(super) fn folders(reader: &Reader<'_>, account: &str) -> Result<Vec<Folder>, StoreError> {
    let found = reader.archive_folders(account)?.into_iter().filter(|folder| folder.copies > 0);
    let shown =
        |folder: ArchiveFolder| Folder { name: shown(&folder.name), subscribed: folder.subscribed, special_use: None };
    Ok(found.map(shown).collect())
}

/// `#Archive/2026/11/Received` for `2026/11/received`.
fn shown(name: &str) -> String {
    let (month, direction) = name.rsplit_once('/').unwrap_or(("", name));
    let (first, rest) = direction.split_at(direction.len().min(1));
    format!("{PREFIX}{month}/{}{rest}", first.to_ascii_uppercase())
}

/// The folder of a name in IMAP.
fn named(reader: &Reader<'_>, account: &str, name: &str) -> Result<ArchiveFolder, StoreError> {
    let missing = || StoreError::NotFound(format!("folder {name}"));
    let stored = name.strip_prefix(PREFIX).ok_or_else(missing)?.to_ascii_lowercase();
    let found = reader.archive_folder(account, &stored)?.ok_or_else(missing)?;
    // A name has one form only.
    if shown(&found.name) == name { Ok(found) } else { Err(missing()) }
}

pub(super) fn subscribe(tx: &mut Tx<'_>, account: &str, name: &str, subscribed: bool) -> Result<(), StoreError> {
    let found = named(&tx.reader(), account, name)?;
    tx.archive_subscribe(account, &found.name, subscribed)
}

/// The figures are kept with the folder: no copy is looked at.
pub(super) fn status(reader: &Reader<'_>, account: &str, name: &str) -> Result<Status, StoreError> {
    let folder = named(reader, account, name)?;
    Ok(Status {
        messages: folder.copies,
        recent: 0,
        unseen: 0,
        deleted: 0,
        size: folder.size,
        uid_next: folder.uid_next,
        uid_validity: folder.uid_validity,
        mod_seq: folder.mod_seq,
    })
}

fn message(entry: &ArchiveEntry) -> Message {
    Message {
        uid: entry.uid,
        flags: Flags::system(Flags::SEEN),
        internal_date: (entry.kept / 1000) as i64,
        size: entry.size,
        mod_seq: entry.mod_seq,
    }
}

/// What happened since `since`: what came is a range of the index, and who is gone is asked only where somebody is.
pub(super) fn changes(
    reader: &Reader<'_>,
    folder: ArchiveFolderId,
    since: ModSeq,
    known: Vec<Uid>,
) -> Result<Changes, StoreError> {
    let found = reader.archive_folder_by_id(folder)?.ok_or_else(|| StoreError::NotFound("the folder".into()))?;
    let changed: Vec<Message> = reader.archive_entries(folder, since)?.iter().map(message).collect();
    let vanished = if found.left_seq > since {
        let there: Vec<Uid> = reader.archive_entries(folder, 0)?.iter().map(|entry| entry.uid).collect();
        known.into_iter().filter(|uid| there.binary_search(uid).is_err()).collect()
    } else {
        Vec::new()
    };
    Ok(Changes { mod_seq: found.mod_seq, uid_next: found.uid_next, changed, vanished })
}

/// Copies become messages of the mailbox, read as they were in the archive.
pub(super) fn copy_out(
    tx: &mut Tx<'_>,
    account: &str,
    from: ArchiveFolderId,
    uids: &[Uid],
    to: sigillo_store::FolderId,
) -> Result<Vec<(Uid, Uid)>, StoreError> {
    tx.archive_copy_out(account, from, uids, to, &["\\Seen".to_owned()])
}

impl ImapService {
    /// A folder of the archive with all its copies, none of them recent.
    pub(super) async fn open_archived(
        &self,
        account: &str,
        name: &str,
    ) -> Result<(Snapshot, watch::Receiver<u64>), BackendError> {
        let (account, name) = (account.to_owned(), name.to_owned());
        let found = self.read(move |r| named(r, &account, &name)).await?.id;
        let watch = self.watches.subscribe(found.watched());
        let look = move |r: &Reader<'_>| {
            let folder = r.archive_folder_by_id(found)?.ok_or_else(|| StoreError::NotFound("the folder".into()))?;
            Ok((folder, r.archive_entries(found, 0)?))
        };
        let (folder, entries) = self.read(look).await?;
        let snapshot = Snapshot {
            folder: id(found.watched()),
            uid_validity: folder.uid_validity,
            uid_next: folder.uid_next,
            mod_seq: folder.mod_seq,
            recent_from: folder.uid_next,
            messages: entries.iter().map(message).collect(),
        };
        Ok((snapshot, watch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_archive_are_none_of_the_owners() {
        assert!(holds("#Archive") && holds("#Archive/2026/11/Received"));
        assert!(!holds("#Archives") && !holds("Archive/2026") && !holds("INBOX"));
        assert_eq!(shown("2026/11/received"), "#Archive/2026/11/Received");
        assert_eq!(shown("2026/01/sent"), "#Archive/2026/01/Sent");
    }
}
