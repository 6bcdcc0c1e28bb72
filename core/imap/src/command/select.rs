//! SELECT, EXAMINE, CLOSE, UNSELECT ([RFC 3501 §6.3.1], [RFC 3691]).

use imap_codec::imap_types::command::SelectParameter;
use imap_codec::imap_types::mailbox::Mailbox;

use super::folder_name;
use crate::backend::BackendError;
use crate::flags::Flags;
use crate::output::Output;
use crate::refusal::{Done, Refusal};
use crate::selected::Selected;
use crate::session::{Session, State};

impl Session {
    pub(crate) async fn select(
        &mut self,
        mailbox: Mailbox<'_>,
        parameters: &[SelectParameter],
        read_only: bool,
        out: &mut Output<'_>,
    ) -> Done {
        // RFC 3501 §6.3.1: even a SELECT that fails leaves no folder selected.
        self.state = State::Authenticated;
        for parameter in parameters {
            match parameter {
                SelectParameter::CondStore => self.condstore = true,
                SelectParameter::QResync { .. } => return Err(Refusal::bad("QRESYNC is not offered")),
            }
        }
        let name = folder_name(&mailbox)?;
        let locked = self.backend.is_read_only(&name);
        let (snapshot, watch) = self.backend.open(&self.account, &name, !read_only && !locked).await?;
        let mut selected = Selected::new(read_only || locked, snapshot, watch);
        selected.locked = locked;
        describe(&selected, out);
        self.state = State::Selected(Box::new(selected));
        Ok(match (read_only, locked) {
            (true, _) => "[READ-ONLY] EXAMINE completed",
            (false, true) => "[READ-ONLY] SELECT completed",
            (false, false) => "[READ-WRITE] SELECT completed",
        }
        .into())
    }

    /// Removes what is marked deleted, silently. RFC 3501 §6.4.2.
    pub(crate) async fn close(&mut self) -> Done {
        let State::Selected(selected) = std::mem::replace(&mut self.state, State::Authenticated) else {
            return Err(Refusal::bad("select a folder first"));
        };
        if !selected.read_only {
            let marked = selected.messages().iter().filter(|m| m.flags.has(Flags::DELETED)).map(|m| m.uid);
            let marked: Vec<_> = marked.collect();
            if !marked.is_empty() {
                match self.backend.expunge(&self.account, selected.state.folder, &marked, true).await {
                    // The folder is closed all the same: who may not remove messages leaves them.
                    Err(BackendError::NotPermitted(_) | BackendError::InUse(_)) => {}
                    done => done?,
                }
            }
        }
        Ok("CLOSE completed".into())
    }

    pub(crate) fn unselect(&mut self) -> Done {
        self.state = State::Authenticated;
        Ok("UNSELECT completed".into())
    }
}

fn describe(selected: &Selected, out: &mut Output<'_>) {
    const SYSTEM: &str = "\\Answered \\Flagged \\Deleted \\Seen \\Draft";
    let mut keywords: Vec<&str> = selected.messages().iter().flat_map(|m| m.flags.keywords()).collect();
    keywords.sort_unstable_by_key(|k| k.to_ascii_lowercase());
    keywords.dedup_by(|a, b| a.eq_ignore_ascii_case(b));
    let keywords: String = keywords.iter().flat_map(|k| [" ", k]).collect();
    // Where nothing can be marked, no other flag can be met.
    let system = if selected.locked { "\\Seen" } else { SYSTEM };
    out.untagged(format_args!("FLAGS ({system}{keywords})"));
    if selected.read_only {
        out.untagged(format_args!("OK [PERMANENTFLAGS ()] read-only"));
    } else {
        // `\*`: new keywords may be made. RFC 3501 §7.1.
        out.untagged(format_args!("OK [PERMANENTFLAGS ({SYSTEM}{keywords} \\*)] these stay"));
    }
    selected.tell_count(out);
    if let Some(first) = selected.messages().iter().position(|m| !m.flags.has(Flags::SEEN)) {
        out.untagged(format_args!("OK [UNSEEN {}] first unseen", first + 1));
    }
    let state = &selected.state;
    out.untagged(format_args!("OK [UIDVALIDITY {}] UIDs valid", state.uid_validity));
    out.untagged(format_args!("OK [UIDNEXT {}] next UID", state.uid_next));
    // RFC 7162 §3.1.2.1
    out.untagged(format_args!("OK [HIGHESTMODSEQ {}] last change", selected.highest_mod_seq()));
}
