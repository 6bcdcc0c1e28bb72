//! LIST and LSUB ([RFC 3501 §6.3.8]), with selection and return options ([RFC 5258], [RFC 5819], [RFC 6154]).

use std::collections::{BTreeMap, BTreeSet};

use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use imap_codec::imap_types::mailbox::{ListMailbox, Mailbox};
use imap_codec::imap_types::status::StatusDataItemName;

use super::status::write_status;
use crate::backend::{Folder, SpecialUse};
use crate::limits::COMMAND_MAX;
use crate::name::{self, Pattern};
use crate::output::{Output, folder};
use crate::session::{Done, Refusal, Session, verb_is};

/// What a LIST command asks for beside its patterns.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Options {
    select_subscribed: bool,
    select_special_use: bool,
    recursive_match: bool,
    return_subscribed: bool,
    return_status: Vec<StatusDataItemName>,
}

impl Session {
    pub(crate) async fn list(&mut self, reference: Mailbox<'_>, wanted: ListMailbox<'_>, out: &mut Output<'_>) -> Done {
        let wanted = list_text(&wanted);
        if wanted.is_empty() {
            // RFC 3501 §6.3.8: only the separator is asked for.
            out.untagged(format_args!("LIST (\\Noselect) \"/\" \"\""));
            return Ok("LIST completed".into());
        }
        let patterns = patterns(&reference, &[wanted])?;
        self.tell_folders(&patterns, &Options::default(), out).await?;
        Ok("LIST completed".into())
    }

    pub(crate) async fn list_extended(&mut self, list: Extended, out: &mut Output<'_>) -> Done {
        if !self.is_authenticated() {
            return Err(Refusal::bad("log in first"));
        }
        let Checked { reference, wanted, options } = list.checked()?;
        let patterns = patterns(&reference, &wanted)?;
        self.tell_folders(&patterns, &options, out).await?;
        self.sync(true, out).await?;
        Ok("LIST completed".into())
    }

    /// RFC 3501 §6.3.9: with `%`, a folder whose subscribed ones lie deeper is shown as not selectable.
    pub(crate) async fn lsub(&mut self, reference: Mailbox<'_>, wanted: ListMailbox<'_>, out: &mut Output<'_>) -> Done {
        let patterns = patterns(&reference, &[list_text(&wanted)])?;
        let folders = self.backend.folders(&self.account).await?;
        let subscribed: BTreeSet<&str> = folders.iter().filter(|f| f.subscribed).map(|f| f.name.as_str()).collect();
        let above: BTreeSet<&str> = subscribed.iter().flat_map(|n| name::ancestors(n)).collect();
        for name in subscribed.union(&above).filter(|n| patterns.iter().any(|p| p.matches(n))) {
            let attribute = if subscribed.contains(name) { "" } else { "\\Noselect" };
            // Names above are told only where the pattern hides what is below.
            let below = format!("{name}/");
            let hidden = subscribed
                .range(below.as_str()..)
                .take_while(|n| n.starts_with(&below))
                .any(|n| !patterns.iter().any(|p| p.matches(n)));
            if attribute.is_empty() || hidden {
                out.untagged(format_args!("LSUB ({attribute}) \"/\" {}", folder(name)));
            }
        }
        Ok("LSUB completed".into())
    }

    async fn tell_folders(&mut self, patterns: &[Pattern], options: &Options, out: &mut Output<'_>) -> Result<(), Refusal> {
        let folders = self.backend.folders(&self.account).await?;
        let known: BTreeMap<&str, &Folder> = folders.iter().map(|f| (f.name.as_str(), f)).collect();
        // Names above others that are no folders themselves: shown, not selectable.
        let mut names: BTreeSet<&str> = known.keys().copied().collect();
        names.extend(known.keys().flat_map(|n| name::ancestors(n)));
        for name in names.iter().filter(|n| patterns.iter().any(|p| p.matches(n))) {
            let below = format!("{name}/");
            let inside: Vec<&&str> =
                names.range(below.as_str()..).take_while(|n| n.starts_with(&below)).collect();
            let found = known.get(name).copied();
            let chosen = is_chosen(found, options);
            let inner = options.recursive_match
                && inside.iter().any(|n| known.get(**n).is_some_and(|f| is_chosen(Some(f), options)));
            if !chosen && !inner {
                continue;
            }
            let attributes = attributes(found, !inside.is_empty(), options);
            // RFC 5258 §4: why a name that does not itself fit is told.
            let info = if inner { " (\"CHILDINFO\" (\"SUBSCRIBED\"))" } else { "" };
            out.untagged(format_args!("LIST ({attributes}) \"/\" {}{info}", folder(name)));
            if found.is_some() && !options.return_status.is_empty() {
                let status = self.backend.status(&self.account, name).await?;
                write_status(name, &status, &options.return_status, out);
            }
            out.relieve().await?;
        }
        Ok(())
    }
}

fn is_chosen(found: Option<&Folder>, options: &Options) -> bool {
    match found {
        Some(f) => {
            (!options.select_subscribed || f.subscribed) && (!options.select_special_use || f.special_use.is_some())
        }
        None => !options.select_subscribed && !options.select_special_use,
    }
}

fn attributes(found: Option<&Folder>, children: bool, options: &Options) -> String {
    // RFC 3348 §4; RFC 5258 §3
    let mut words = vec![if children { "\\HasChildren" } else { "\\HasNoChildren" }];
    match found {
        None => words.extend(["\\NonExistent", "\\Noselect"]),
        Some(f) => {
            if f.subscribed && (options.return_subscribed || options.select_subscribed) {
                words.push("\\Subscribed");
            }
            words.extend(f.special_use.map(SpecialUse::attribute));
        }
    }
    words.join(" ")
}

fn list_text(wanted: &ListMailbox<'_>) -> Vec<u8> {
    match wanted {
        ListMailbox::Token(token) => token.as_ref().to_vec(),
        ListMailbox::String(string) => string.as_ref().to_vec(),
    }
}

/// The reference is a prefix; a name that cannot be decoded matches nothing. RFC 3501 §6.3.8.
fn patterns(reference: &Mailbox<'_>, wanted: &[Vec<u8>]) -> Result<Vec<Pattern>, Refusal> {
    let reference: &[u8] = match reference {
        Mailbox::Inbox => name::INBOX.as_bytes(),
        Mailbox::Other(other) => other.as_ref(),
    };
    let mut patterns = Vec::new();
    for text in wanted {
        let whole = [reference, text].concat();
        // `%` and `*` are themselves in modified UTF-7, so the pattern decodes as a name does.
        if let Some(text) = name::decode(&whole) {
            patterns.push(Pattern::new(&text).map_err(Refusal::bad)?);
        }
    }
    Ok(patterns)
}

/// A LIST with options, which the grammar library does not know.
#[derive(Debug)]
pub(crate) struct Extended {
    selection: Vec<String>,
    reference: Vec<u8>,
    wanted: Vec<Vec<u8>>,
    returns: Vec<String>,
    status: Option<Vec<String>>,
    broken: bool,
}

struct Checked {
    reference: Mailbox<'static>,
    wanted: Vec<Vec<u8>>,
    options: Options,
}

impl Extended {
    /// None where the command is no LIST or a plain one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Extended> {
        if !verb_is(bytes, b"LIST") || bytes.len() > COMMAND_MAX || CommandCodec::default().decode(bytes).is_ok() {
            return None;
        }
        let after_tag = bytes.iter().position(|b| *b == b' ')? + 1;
        let mut words = Words { rest: &bytes[after_tag + b"LIST".len()..] };
        let mut list = Extended {
            selection: Vec::new(),
            reference: Vec::new(),
            wanted: Vec::new(),
            returns: Vec::new(),
            status: None,
            broken: false,
        };
        list.broken = list.read(&mut words).is_none();
        Some(list)
    }

    /// RFC 5258 §6: `"LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]`.
    fn read(&mut self, words: &mut Words<'_>) -> Option<()> {
        words.space()?;
        if words.opens() {
            self.selection = words.atoms()?;
            words.space()?;
        }
        self.reference = words.string()?;
        words.space()?;
        if words.opens() {
            words.skip(1);
            loop {
                self.wanted.push(words.string()?);
                if words.closes() {
                    break;
                }
                words.space()?;
            }
        } else {
            self.wanted.push(words.string()?);
        }
        if words.space().is_some() {
            if !words.atom()?.eq_ignore_ascii_case("RETURN") {
                return None;
            }
            words.space()?;
            self.read_returns(words)?;
        }
        (words.rest == b"\r\n").then_some(())
    }

    fn read_returns(&mut self, words: &mut Words<'_>) -> Option<()> {
        if !words.opens() {
            return None;
        }
        words.skip(1);
        while !words.closes() {
            let word = words.atom()?.to_ascii_uppercase();
            if word == "STATUS" {
                words.space()?;
                self.status = Some(words.atoms()?);
            } else {
                self.returns.push(word);
            }
            if words.space().is_none() && words.rest.first() != Some(&b')') {
                return None;
            }
        }
        Some(())
    }

    fn checked(self) -> Result<Checked, Refusal> {
        if self.broken {
            return Err(Refusal::bad("command not understood"));
        }
        let mut options = Options::default();
        for word in &self.selection {
            match word.to_ascii_uppercase().as_str() {
                "SUBSCRIBED" => options.select_subscribed = true,
                "SPECIAL-USE" => options.select_special_use = true,
                "RECURSIVEMATCH" => options.recursive_match = true,
                // All folders are here.
                "REMOTE" => {}
                _ => return Err(Refusal::bad("unknown selection option")),
            }
        }
        // RFC 5258 §3.1
        if options.recursive_match && !options.select_subscribed && !options.select_special_use {
            return Err(Refusal::bad("RECURSIVEMATCH needs another selection option"));
        }
        for word in &self.returns {
            match word.as_str() {
                "SUBSCRIBED" => options.return_subscribed = true,
                // Always told.
                "CHILDREN" | "SPECIAL-USE" => {}
                _ => return Err(Refusal::bad("unknown return option")),
            }
        }
        if let Some(items) = &self.status {
            let items: Option<Vec<_>> = items.iter().map(|word| status_item(word)).collect();
            options.return_status = items.ok_or(Refusal::bad("unknown STATUS item"))?;
        }
        let reference =
            Mailbox::try_from(self.reference).map_err(|_| Refusal::bad("the reference is not a string"))?;
        Ok(Checked { reference, wanted: self.wanted, options })
    }
}

fn status_item(word: &str) -> Option<StatusDataItemName> {
    Some(match word.to_ascii_uppercase().as_str() {
        "MESSAGES" => StatusDataItemName::Messages,
        "RECENT" => StatusDataItemName::Recent,
        "UIDNEXT" => StatusDataItemName::UidNext,
        "UIDVALIDITY" => StatusDataItemName::UidValidity,
        "UNSEEN" => StatusDataItemName::Unseen,
        "DELETED" => StatusDataItemName::Deleted,
        "SIZE" => StatusDataItemName::Size,
        "HIGHESTMODSEQ" => StatusDataItemName::HighestModSeq,
        _ => return None,
    })
}

/// The arguments of a LIST, one after the other.
struct Words<'a> {
    rest: &'a [u8],
}

impl Words<'_> {
    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn space(&mut self) -> Option<()> {
        self.rest = self.rest.strip_prefix(b" ")?;
        Some(())
    }

    fn opens(&self) -> bool {
        self.rest.first() == Some(&b'(')
    }

    /// Whether a list ends here; its parenthesis is then used.
    fn closes(&mut self) -> bool {
        let closes = self.rest.first() == Some(&b')');
        if closes {
            self.skip(1);
        }
        closes
    }

    fn atom(&mut self) -> Option<String> {
        let end = self.rest.iter().position(|b| matches!(b, b' ' | b'(' | b')' | b'\r' | b'"' | b'{')).unwrap_or(0);
        let word = String::from_utf8(self.rest[..end].to_vec()).ok().filter(|w| !w.is_empty())?;
        self.skip(end);
        Some(word)
    }

    fn atoms(&mut self) -> Option<Vec<String>> {
        if !self.opens() {
            return None;
        }
        self.skip(1);
        let mut words = Vec::new();
        while !self.closes() {
            words.push(self.atom()?);
            if self.space().is_none() && self.rest.first() != Some(&b')') {
                return None;
            }
        }
        Some(words)
    }

    /// A quoted string, a literal, or the characters that a pattern may have bare.
    fn string(&mut self) -> Option<Vec<u8>> {
        match self.rest.first()? {
            b'"' => self.quoted(),
            b'{' => self.literal(),
            _ => self.atom().map(String::into_bytes),
        }
    }

    fn quoted(&mut self) -> Option<Vec<u8>> {
        let (mut text, mut escaped) = (Vec::new(), false);
        for (at, byte) in self.rest.iter().enumerate().skip(1) {
            match byte {
                b'\r' | b'\n' => return None,
                _ if escaped => {
                    escaped = false;
                    text.push(*byte);
                }
                b'\\' => escaped = true,
                b'"' => {
                    self.skip(at + 1);
                    return Some(text);
                }
                _ => text.push(*byte),
            }
        }
        None
    }

    fn literal(&mut self) -> Option<Vec<u8>> {
        let end = self.rest.iter().position(|b| *b == b'\n')?;
        let number = std::str::from_utf8(&self.rest[1..end]).ok()?.trim_end().trim_end_matches('}').trim_end_matches('+');
        let length: usize = number.parse().ok()?;
        self.skip(end + 1);
        let text = self.rest.get(..length)?.to_vec();
        self.skip(length);
        Some(text)
    }
}
