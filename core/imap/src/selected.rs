//! The selected folder as this session has told its client: message sequence numbers stand still until an EXPUNGE
//! response says otherwise ([RFC 3501 §7.4.1]).

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet};
use sigillo_mail::structure::Structure;
use tokio::sync::watch;

use crate::backend::{Changes, Message, ModSeq, Snapshot, Uid};
use crate::limits::STRUCTURES_KEPT;
use crate::output::Output;
use crate::refusal::Refusal;

/// A folder in use by this session.
pub(crate) struct Selected {
    pub read_only: bool,
    /// Nobody can change anything in it, not only this session.
    pub locked: bool,
    pub state: Snapshot,
    pub watch: watch::Receiver<u64>,
    /// Messages that are gone from the folder but not yet from the client's numbering.
    vanished: BTreeSet<Uid>,
    structures: VecDeque<(Uid, Arc<Structure>)>,
}

/// A sequence set that names a message that is not there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutOfRange;

impl Selected {
    pub fn new(read_only: bool, state: Snapshot, watch: watch::Receiver<u64>) -> Selected {
        Selected { read_only, locked: false, state, watch, vanished: BTreeSet::new(), structures: VecDeque::new() }
    }

    /// An error where this session may change nothing.
    pub fn writable(&self) -> Result<(), Refusal> {
        match (self.locked, self.read_only) {
            (true, _) => Err(Refusal::no("[NOPERM] nothing can be changed here: the folder is read-only")),
            (false, true) => Err(Refusal::no("[CANNOT] the folder is read-only")),
            (false, false) => Ok(()),
        }
    }

    /// The messages in the client's order: index 0 has sequence number 1.
    pub fn messages(&self) -> &[Message] {
        &self.state.messages
    }

    pub fn is_recent(&self, message: &Message) -> bool {
        message.uid >= self.state.recent_from
    }

    /// As in a FLAGS list, with `\Recent`.
    pub fn flags(&self, message: &Message) -> String {
        let flags = message.flags.to_string();
        match (self.is_recent(message), flags.is_empty()) {
            (false, _) => flags,
            (true, true) => "\\Recent".to_owned(),
            (true, false) => format!("{flags} \\Recent"),
        }
    }

    pub fn index_of(&self, uid: Uid) -> Option<usize> {
        self.state.messages.binary_search_by_key(&uid, |m| m.uid).ok()
    }

    pub fn uids(&self) -> Vec<Uid> {
        self.state.messages.iter().map(|m| m.uid).collect()
    }

    /// The indices that a set names, ascending, each once. A sequence number beyond the last message is an error; a
    /// UID that is not there is not (RFC 3501 §6.4.8, §9 `seq-number`).
    pub fn resolve(&self, set: &SequenceSet, uid: bool) -> Result<Vec<usize>, OutOfRange> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for sequence in set.0.as_ref() {
            let (a, b) = match sequence {
                Sequence::Single(n) => (n, n),
                Sequence::Range(a, b) => (a, b),
            };
            let range = if uid { self.uid_range(a, b) } else { self.number_range(a, b)? };
            ranges.push(range);
        }
        ranges.sort_by_key(|r| r.start);
        let mut out: Vec<usize> = Vec::new();
        for range in ranges {
            let from = out.last().map_or(0, |last| last + 1).max(range.start);
            out.extend(from..range.end.max(from));
        }
        Ok(out)
    }

    /// The indices of the sequence numbers of a set that are there: in SEARCH a number is a condition, not an address.
    pub fn resolve_present(&self, set: &SequenceSet) -> Vec<usize> {
        let mut indices: Vec<usize> = Vec::new();
        for sequence in set.0.as_ref() {
            let (a, b) = match sequence {
                Sequence::Single(n) => (n, n),
                Sequence::Range(a, b) => (a, b),
            };
            indices.extend(self.clamped(a, b));
            // Overlapping sets must not add up.
            if indices.len() > self.state.messages.len() * 2 {
                indices.sort_unstable();
                indices.dedup();
            }
        }
        indices.sort_unstable();
        indices.dedup();
        indices
    }

    fn clamped(&self, a: &SeqOrUid, b: &SeqOrUid) -> Range<usize> {
        let last = self.state.messages.len();
        let number = |n: &SeqOrUid| match n {
            SeqOrUid::Asterisk => last,
            SeqOrUid::Value(n) => n.get() as usize,
        };
        let (a, b) = (number(a).min(number(b)), number(a).max(number(b)));
        if a == 0 || a > last { 0..0 } else { a - 1..b.min(last) }
    }

    fn number_range(&self, a: &SeqOrUid, b: &SeqOrUid) -> Result<Range<usize>, OutOfRange> {
        let last = self.state.messages.len();
        let number = |n: &SeqOrUid| match n {
            SeqOrUid::Asterisk => last,
            SeqOrUid::Value(n) => n.get() as usize,
        };
        let (a, b) = (number(a).min(number(b)), number(a).max(number(b)));
        if a == 0 || b > last { Err(OutOfRange) } else { Ok(a - 1..b) }
    }

    fn uid_range(&self, a: &SeqOrUid, b: &SeqOrUid) -> Range<usize> {
        let messages = &self.state.messages;
        let Some(last) = messages.last() else { return 0..0 };
        let number = |n: &SeqOrUid| match n {
            SeqOrUid::Asterisk => last.uid,
            SeqOrUid::Value(n) => n.get(),
        };
        let (a, b) = (number(a).min(number(b)), number(a).max(number(b)));
        messages.partition_point(|m| m.uid < a)..messages.partition_point(|m| m.uid <= b)
    }

    /// Takes over what others did and tells the client: new flags and messages always, EXPUNGE only where it may come.
    pub fn apply(&mut self, changes: Changes, expunge: bool, mod_seq: bool, out: &mut Output<'_>) {
        let before = self.state.messages.len();
        for message in changes.changed {
            match self.index_of(message.uid) {
                Some(index) => {
                    let told = &self.state.messages[index];
                    let silent = told.flags == message.flags && (!mod_seq || told.mod_seq == message.mod_seq);
                    self.state.messages[index] = message;
                    if !silent {
                        self.tell_flags(index, true, mod_seq, out);
                    }
                }
                None if self.state.messages.last().is_none_or(|m| m.uid < message.uid) => {
                    self.state.messages.push(message);
                }
                // Gone for this client already.
                None => {}
            }
        }
        self.vanished.extend(changes.vanished);
        self.state.mod_seq = self.state.mod_seq.max(changes.mod_seq);
        self.state.uid_next = self.state.uid_next.max(changes.uid_next);
        if expunge {
            self.tell_expunged(out);
        }
        if self.state.messages.len() > before || (self.state.messages.len() != before && expunge) {
            self.tell_count(out);
        }
    }

    /// EXPUNGE responses for all that is gone: the highest number first, so that none moves another.
    pub fn tell_expunged(&mut self, out: &mut Output<'_>) {
        for uid in std::mem::take(&mut self.vanished).into_iter().rev() {
            if let Some(index) = self.index_of(uid) {
                self.state.messages.remove(index);
                out.untagged(format_args!("{} EXPUNGE", index + 1));
            }
        }
    }

    pub fn tell_count(&self, out: &mut Output<'_>) {
        let recent = self.state.messages.iter().filter(|m| self.is_recent(m)).count();
        out.untagged(format_args!("{} EXISTS", self.state.messages.len()));
        out.untagged(format_args!("{recent} RECENT"));
    }

    pub fn tell_flags(&self, index: usize, uid: bool, mod_seq: bool, out: &mut Output<'_>) {
        let message = &self.state.messages[index];
        out.raw(format!("* {} FETCH (", index + 1));
        if uid {
            out.raw(format!("UID {} ", message.uid));
        }
        if mod_seq {
            out.raw(format!("MODSEQ ({}) ", message.mod_seq));
        }
        out.raw(format!("FLAGS ({}))\r\n", self.flags(message)));
    }

    pub fn has_pending_expunges(&self) -> bool {
        !self.vanished.is_empty()
    }

    pub fn structure(&self, uid: Uid) -> Option<Arc<Structure>> {
        self.structures.iter().find(|(u, _)| *u == uid).map(|(_, s)| s.clone())
    }

    pub fn keep_structure(&mut self, uid: Uid, structure: Arc<Structure>) {
        self.structures.push_front((uid, structure));
        self.structures.truncate(STRUCTURES_KEPT);
    }

    /// The highest change that the client may rely on.
    pub fn highest_mod_seq(&self) -> ModSeq {
        self.state.mod_seq
    }
}
