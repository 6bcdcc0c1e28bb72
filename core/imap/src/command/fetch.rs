//! FETCH ([RFC 3501 §6.4.5], CHANGEDSINCE of RFC 7162).

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use imap_codec::imap_types::command::FetchModifier;
use imap_codec::imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName as Item, Section};
use imap_codec::imap_types::sequence::SequenceSet;
use jiff::Timestamp;
use sigillo_mail::structure::Structure;
use sigillo_mail::{Rope, Source};

use crate::backend::{Message, ModSeq, Uid};
use crate::fetch::section::{self, Octets};
use crate::fetch::{Header, body_structure, envelope, structure};
use crate::flags::Flags;
use crate::output::Output;
use crate::refusal::{Done, Refusal};
use crate::session::Session;

/// A message at hand, as far as the items need it.
struct Content {
    rope: Rope,
    source: Arc<dyn Source>,
    header: Option<Header>,
    structure: Option<Arc<Structure>>,
}

impl Session {
    pub(crate) async fn fetch(
        &mut self,
        set: &SequenceSet,
        names: MacroOrMessageDataItemNames<'_>,
        uid: bool,
        modifiers: &[FetchModifier],
        out: &mut Output<'_>,
    ) -> Done {
        let mut items = match &names {
            MacroOrMessageDataItemNames::Macro(name) => name.expand(),
            MacroOrMessageDataItemNames::MessageDataItemNames(items) => items.clone(),
        };
        if items.iter().any(|i| matches!(i, Item::Binary { .. } | Item::BinarySize { .. })) {
            return Err(Refusal::bad("BINARY is not offered"));
        }
        let since = changed_since(modifiers)?;
        // RFC 7162 §3.1.4.1: CHANGEDSINCE implies MODSEQ; either makes this a CONDSTORE session.
        if since.is_some() && !items.contains(&Item::ModSeq) {
            items.push(Item::ModSeq);
        }
        self.condstore |= items.contains(&Item::ModSeq);
        // RFC 3501 §6.4.8
        if uid && !items.contains(&Item::Uid) {
            items.insert(0, Item::Uid);
        }
        let selected = self.selected()?;
        let mut indices = selected.resolve(set, uid).map_err(|_| Refusal::bad("no such message"))?;
        if let Some(since) = since {
            indices.retain(|i| selected.messages()[*i].mod_seq > since);
        }
        if items.iter().any(reads_body) {
            let selected = self.selected()?;
            let uids: Vec<Uid> = indices.iter().map(|i| selected.messages()[*i].uid).collect();
            let folder = selected.state.folder;
            self.backend.reading(folder, &uids).await?;
        }
        let seen = self.mark_seen(&items, &indices).await?;
        let mut gone = false;
        for index in indices {
            gone |= !self.fetch_one(index, &items, &seen, out).await?;
        }
        // RFC 2180 §4.1.3: bytes of messages that others removed cannot be had; the rest was told. A UID that is not
        // there is no error (RFC 3501 §6.4.8).
        if gone && !uid {
            Err(Refusal::no("[EXPUNGEISSUED] some messages are gone"))
        } else {
            Ok("FETCH completed".into())
        }
    }

    /// Reading a body sets `\Seen`, for all messages in one commit; the answer is the UIDs whose flags changed, sorted.
    async fn mark_seen(&mut self, items: &[Item<'_>], indices: &[usize]) -> Result<Vec<Uid>, Refusal> {
        let selected = self.selected()?;
        if selected.read_only || !items.iter().any(sets_seen) {
            return Ok(Vec::new());
        }
        let unseen = indices.iter().map(|i| &selected.messages()[*i]).filter(|m| !m.flags.has(Flags::SEEN));
        let mut unseen: Vec<Uid> = unseen.map(|m| m.uid).collect();
        if unseen.is_empty() {
            return Ok(unseen);
        }
        let folder = selected.state.folder;
        let stored = self.backend.mark_seen(folder, &unseen).await?;
        let marked: HashSet<Uid> = stored.messages.iter().map(|message| message.uid).collect();
        unseen.retain(|uid| marked.contains(uid));
        let selected = self.selected()?;
        for message in stored.messages {
            if let Some(index) = selected.index_of(message.uid) {
                selected.state.messages[index] = message;
            }
        }
        Ok(unseen)
    }

    /// One FETCH response; false when the message's bytes are gone.
    async fn fetch_one(
        &mut self,
        index: usize,
        items: &[Item<'_>],
        seen: &[Uid],
        out: &mut Output<'_>,
    ) -> Result<bool, Refusal> {
        let selected = self.selected()?;
        let message = selected.messages()[index].clone();
        let content = if items.iter().any(needs_content) {
            // One command may read a whole mailbox, which takes its time.
            self.still_admitted().await?;
            match self.content(message.uid, items).await? {
                Some(content) => Some(content),
                None => return Ok(false),
            }
        } else {
            None
        };
        let flags = self.selected()?.flags(&message);
        out.raw(format!("* {} FETCH (", index + 1));
        for (i, item) in items.iter().enumerate() {
            out.raw(if i > 0 { &b" "[..] } else { b"" });
            match &content {
                Some(content) if needs_content(item) => write_content(item, content, out).await?,
                _ => write_known(item, &message, &flags, out),
            }
        }
        // RFC 3501 §6.4.5: a flag that this FETCH set is told with it.
        if seen.binary_search(&message.uid).is_ok() && !items.contains(&Item::Flags) {
            out.raw(format!(" FLAGS ({flags})"));
        }
        out.raw(b")\r\n");
        out.relieve().await?;
        Ok(true)
    }

    /// Fetches and parses what the items need, off the threads that serve connections.
    async fn content(&mut self, uid: Uid, items: &[Item<'_>]) -> Result<Option<Content>, Refusal> {
        let selected = self.selected()?;
        let (folder, known) = (selected.state.folder, selected.structure(uid));
        let Some((rope, source)) = self.backend.content(folder, uid).await? else { return Ok(None) };
        let parse_structure = items.iter().any(needs_structure);
        let read_header = items.iter().any(needs_header);
        let mut content = Content { header: None, structure: None, rope, source };
        if let Some(structure) = known {
            content.header = Some(Header::of(&structure));
            content.structure = Some(structure);
            return Ok(Some(content));
        }
        if !parse_structure && !read_header {
            return Ok(Some(content));
        }
        let parsed = tokio::task::spawn_blocking(move || -> io::Result<Content> {
            if parse_structure {
                let structure = structure(&content.rope, content.source.as_ref())?;
                content.header = Some(Header::of(&structure));
                content.structure = Some(structure);
            } else {
                content.header = Some(Header::read(&content.rope, content.source.as_ref())?);
            }
            Ok(content)
        });
        let content = parsed.await.map_err(io::Error::other)?.map_err(unreadable)?;
        if let Some(structure) = &content.structure {
            self.selected()?.keep_structure(uid, structure.clone());
        }
        Ok(Some(content))
    }
}

/// A disk that fails is the operator's matter; the session goes on.
fn unreadable(error: io::Error) -> Refusal {
    tracing::error!(%error, "message content cannot be read");
    Refusal::no("[SERVERBUG] the message cannot be read now")
}

fn changed_since(modifiers: &[FetchModifier]) -> Result<Option<ModSeq>, Refusal> {
    match modifiers {
        [] => Ok(None),
        [FetchModifier::ChangedSince(since)] => Ok(Some(since.get())),
        _ => Err(Refusal::bad("QRESYNC is not offered")),
    }
}

fn sets_seen(item: &Item<'_>) -> bool {
    matches!(item, Item::BodyExt { peek: false, .. } | Item::Rfc822 | Item::Rfc822Text)
}

/// More than what a list of messages shows: its reader has had access to what the message says.
fn reads_body(item: &Item<'_>) -> bool {
    match item {
        Item::BodyExt { section: Some(section), .. } => !section::is_of_header(section),
        Item::BodyExt { section: None, .. } | Item::Rfc822 | Item::Rfc822Text => true,
        _ => false,
    }
}

fn needs_content(item: &Item<'_>) -> bool {
    !matches!(item, Item::Flags | Item::InternalDate | Item::Rfc822Size | Item::Uid | Item::ModSeq)
}

fn needs_header(item: &Item<'_>) -> bool {
    match item {
        Item::Envelope | Item::Rfc822Header | Item::Rfc822Text => true,
        Item::BodyExt { section, .. } => section::needs_only_header(section.as_ref()),
        _ => false,
    }
}

fn needs_structure(item: &Item<'_>) -> bool {
    match item {
        Item::Body | Item::BodyStructure => true,
        Item::BodyExt { section: Some(section), .. } => !section::needs_only_header(Some(section)),
        _ => false,
    }
}

fn write_known(item: &Item<'_>, message: &Message, flags: &str, out: &mut Output<'_>) {
    match item {
        Item::Flags => out.raw(format!("FLAGS ({flags})")),
        Item::InternalDate => out.raw(format!("INTERNALDATE \"{}\"", date_time(message.internal_date))),
        Item::Rfc822Size => out.raw(format!("RFC822.SIZE {}", message.size)),
        Item::Uid => out.raw(format!("UID {}", message.uid)),
        Item::ModSeq => out.raw(format!("MODSEQ ({})", message.mod_seq)),
        _ => {}
    }
}

/// `date-time` of RFC 3501 §9, in UTC. A date that the calendar does not hold is shown as the epoch.
fn date_time(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH).strftime("%e-%b-%Y %H:%M:%S +0000").to_string()
}

async fn write_content(item: &Item<'_>, content: &Content, out: &mut Output<'_>) -> Result<(), Refusal> {
    let size = content.rope.len();
    match (item, &content.header, &content.structure) {
        (Item::Envelope, Some(header), _) => {
            out.raw(b"ENVELOPE ");
            envelope::write(&header.section, out);
        }
        (Item::Body, _, Some(structure)) => {
            out.raw(b"BODY ");
            body_structure::write(structure, false, out);
        }
        (Item::BodyStructure, _, Some(structure)) => {
            out.raw(b"BODYSTRUCTURE ");
            body_structure::write(structure, true, out);
        }
        (Item::Rfc822, _, _) => {
            out.raw(b"RFC822 ");
            out.literal_rope(&content.rope, &content.source).await?;
        }
        (Item::Rfc822Header, Some(header), _) => {
            out.raw(b"RFC822.HEADER ");
            out.literal_rope(&content.rope.slice(0, header.end), &content.source).await?;
        }
        (Item::Rfc822Text, Some(header), _) => {
            out.raw(b"RFC822.TEXT ");
            out.literal_rope(&content.rope.slice(header.end, size - header.end), &content.source).await?;
        }
        (Item::BodyExt { section, partial, .. }, header, structure) => {
            out.raw(b"BODY[");
            out.raw(section::write_specification(section.as_ref()));
            out.raw(b"]");
            let octets = octets(section.as_ref(), header.as_ref(), structure.as_deref(), size);
            let partial = partial.map(|(from, length)| (u64::from(from), u64::from(length.get())));
            write_section(octets, partial, content, out).await?;
        }
        _ => {}
    }
    Ok(())
}

fn octets(
    section: Option<&Section<'_>>,
    header: Option<&Header>,
    structure: Option<&Structure>,
    size: u64,
) -> Option<Octets> {
    match (section, header, structure) {
        (None, _, _) => Some(Octets::Span { offset: 0, length: size }),
        (Some(section), Some(header), _) if section::needs_only_header(Some(section)) => {
            Some(section::of_message(section, header, size))
        }
        (Some(section), _, Some(structure)) => section::of_part(section, structure),
        _ => None,
    }
}

/// The value: NIL where there is no such part. A partial fetch says where it begins. RFC 3501 §6.4.5, §7.4.2.
async fn write_section(
    octets: Option<Octets>,
    partial: Option<(u64, u64)>,
    content: &Content,
    out: &mut Output<'_>,
) -> io::Result<()> {
    if let Some((from, _)) = partial {
        out.raw(format!("<{from}>"));
    }
    out.raw(b" ");
    let rope = match octets {
        None => {
            out.raw(b"NIL");
            return Ok(());
        }
        Some(Octets::Span { offset, length }) => content.rope.slice(offset, length),
        Some(Octets::Picked(bytes)) => Rope::from_bytes(bytes),
    };
    let rope = match partial {
        Some((from, length)) => rope.slice(from, length),
        None => rope,
    };
    out.literal_rope(&rope, &content.source).await
}

#[cfg(test)]
mod tests {
    #[test]
    fn internal_dates_have_a_day_of_two_columns() {
        assert_eq!(super::date_time(0), " 1-Jan-1970 00:00:00 +0000");
        assert_eq!(super::date_time(1_733_353_330), " 4-Dec-2024 23:02:10 +0000");
    }
}
