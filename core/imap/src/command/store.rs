//! STORE ([RFC 3501 §6.4.6], UNCHANGEDSINCE of RFC 7162).

use imap_codec::imap_types::command::StoreModifier;
use imap_codec::imap_types::flag::{Flag, StoreResponse, StoreType};
use imap_codec::imap_types::sequence::SequenceSet;

use super::set_of;
use crate::backend::{ModSeq, Uid};
use crate::flags::{FlagChange, Flags};
use crate::output::Output;
use crate::refusal::{Done, Refusal};
use crate::session::Session;

/// A STORE command.
pub(crate) struct Request<'a> {
    pub set: SequenceSet,
    pub kind: StoreType,
    pub response: StoreResponse,
    pub flags: Vec<Flag<'a>>,
    pub uid: bool,
    pub modifiers: Vec<StoreModifier>,
}

impl Session {
    pub(crate) async fn store(&mut self, request: Request<'_>, out: &mut Output<'_>) -> Done {
        let flags = Flags::from_command(&request.flags).map_err(|e| Refusal::bad(e.to_string()))?;
        let change = match request.kind {
            StoreType::Replace => FlagChange::Replace(flags),
            StoreType::Add => FlagChange::Add(flags),
            StoreType::Remove => FlagChange::Remove(flags),
        };
        let unchanged_since = unchanged_since(&request.modifiers)?;
        self.condstore |= unchanged_since.is_some();
        let selected = self.selected()?;
        selected.writable()?;
        let indices = selected.resolve(&request.set, request.uid).map_err(|_| Refusal::bad("no such message"))?;
        let uids: Vec<Uid> = indices.iter().map(|i| selected.messages()[*i].uid).collect();
        if uids.is_empty() {
            return Ok("STORE completed".into());
        }
        let folder = selected.state.folder;
        let stored = self.backend.store_flags(folder, &uids, &change, unchanged_since).await?;

        let condstore = self.condstore;
        let selected = self.selected()?;
        let left = stored.messages.len() + stored.refused.len();
        for message in stored.messages {
            let Some(index) = selected.index_of(message.uid) else { continue };
            selected.state.messages[index] = message;
            // RFC 7162 §3.1.3: MODSEQ is told even where FLAGS is not asked for.
            if request.response == StoreResponse::Answer || condstore {
                selected.tell_flags(index, request.uid, condstore, out);
            }
            out.relieve().await?;
        }
        let number = |uid: &Uid| if request.uid { Some(*uid) } else { selected.index_of(*uid).map(|i| i as u32 + 1) };
        let modified: Vec<u32> = stored.refused.iter().filter_map(number).collect();
        if !modified.is_empty() {
            return Ok(format!("[MODIFIED {}] STORE completed for the others", set_of(modified)).into());
        }
        // RFC 2180 §4.2: some of the messages are gone, which the client will learn when EXPUNGE may come.
        if left < uids.len() && !request.uid {
            return Err(Refusal::no("[EXPUNGEISSUED] some messages are gone"));
        }
        Ok("STORE completed".into())
    }
}

fn unchanged_since(modifiers: &[StoreModifier]) -> Result<Option<ModSeq>, Refusal> {
    match modifiers {
        [] => Ok(None),
        [StoreModifier::UnchangedSince(since)] => Ok(Some(*since)),
        _ => Err(Refusal::bad("one UNCHANGEDSINCE only")),
    }
}
