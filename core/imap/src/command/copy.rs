//! COPY and MOVE ([RFC 3501 §6.4.7], [RFC 6851]).

use imap_codec::imap_types::mailbox::Mailbox;
use imap_codec::imap_types::sequence::SequenceSet;

use super::{folder_name, set_of};
use crate::backend::{BackendError, FolderId, Placed, Uid};
use crate::output::Output;
use crate::refusal::{Done, Refusal};
use crate::session::Session;

impl Session {
    pub(crate) async fn copy(&mut self, set: &SequenceSet, mailbox: Mailbox<'_>, uid: bool) -> Done {
        let (folder, uids, target) = self.sources(set, &mailbox, uid)?;
        if uids.is_empty() {
            return Ok("COPY completed: no such messages".into());
        }
        let placed = self.backend.copy(folder, &uids, &self.account, &target).await.map_err(try_create)?;
        Ok(format!("{}COPY completed", copy_uid(&placed)).into())
    }

    /// COPYUID comes before the EXPUNGE responses, which the following synchronisation gives. RFC 6851 §4.3.
    pub(crate) async fn relocate(
        &mut self,
        set: &SequenceSet,
        mailbox: Mailbox<'_>,
        uid: bool,
        out: &mut Output<'_>,
    ) -> Done {
        let (folder, uids, target) = self.sources(set, &mailbox, uid)?;
        self.selected()?.writable()?;
        if uids.is_empty() {
            return Ok("MOVE completed: no such messages".into());
        }
        let placed = self.backend.relocate(folder, &uids, &self.account, &target).await.map_err(try_create)?;
        let code = copy_uid(&placed);
        if !code.is_empty() {
            out.untagged(format_args!("OK {code}moved"));
        }
        Ok("MOVE completed".into())
    }

    fn sources(
        &mut self,
        set: &SequenceSet,
        mailbox: &Mailbox<'_>,
        uid: bool,
    ) -> Result<(FolderId, Vec<Uid>, String), Refusal> {
        let target = folder_name(mailbox)?;
        let selected = self.selected()?;
        let indices = selected.resolve(set, uid).map_err(|_| Refusal::bad("no such message"))?;
        let uids = indices.into_iter().map(|i| selected.messages()[i].uid).collect();
        Ok((selected.state.folder, uids, target))
    }
}

/// A target that is not there: the client may create it and try again. RFC 3501 §6.4.7.
pub(super) fn try_create(error: BackendError) -> Refusal {
    match error {
        BackendError::NoSuchFolder => Refusal::no("[TRYCREATE] no such folder"),
        other => other.into(),
    }
}

/// `[COPYUID …]` of RFC 4315 §3; nothing when no message was left to copy.
fn copy_uid(placed: &Placed) -> String {
    if placed.uids.is_empty() {
        return String::new();
    }
    let from = set_of(placed.uids.iter().map(|(from, _)| *from));
    let to = set_of(placed.uids.iter().map(|(_, to)| *to));
    format!("[COPYUID {} {from} {to}] ", placed.uid_validity)
}
