//! EXPUNGE and UID EXPUNGE ([RFC 3501 §6.4.3], [RFC 4315 §2.1]).

use imap_codec::imap_types::sequence::SequenceSet;

use crate::flags::Flags;
use crate::refusal::Done;
use crate::session::Session;

impl Session {
    /// The EXPUNGE responses come from the synchronisation that follows every command, so that what this client
    /// removed and what others removed is told in one way.
    pub(crate) async fn expunge(&mut self, set: Option<&SequenceSet>) -> Done {
        let selected = self.selected()?;
        selected.writable()?;
        let indices = match set {
            Some(set) => selected.resolve(set, true).unwrap_or_default(),
            None => (0..selected.messages().len()).collect(),
        };
        let messages = selected.messages();
        let marked = indices.into_iter().map(|i| &messages[i]).filter(|m| m.flags.has(Flags::DELETED)).map(|m| m.uid);
        let marked: Vec<_> = marked.collect();
        let folder = selected.state.folder;
        if !marked.is_empty() {
            self.backend.expunge(&self.account, folder, &marked, true).await?;
        }
        Ok("EXPUNGE completed".into())
    }
}
