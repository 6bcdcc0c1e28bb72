//! LIST and LSUB ([RFC 3501 §6.3.8]), with selection and return options ([RFC 5258], [RFC 5819], [RFC 6154]).

mod extended;

use std::collections::{BTreeMap, BTreeSet};

use imap_codec::imap_types::mailbox::{ListMailbox, Mailbox};

pub(crate) use extended::Extended;
use extended::{Checked, Options};

use super::status::write_status;
use crate::backend::{Folder, SpecialUse};
use crate::name::{self, Pattern};
use crate::output::{Output, folder};
use crate::refusal::{Done, Refusal};
use crate::session::Session;

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

    async fn tell_folders(
        &mut self,
        patterns: &[Pattern],
        options: &Options,
        out: &mut Output<'_>,
    ) -> Result<(), Refusal> {
        let folders = self.backend.folders(&self.account).await?;
        let known: BTreeMap<&str, &Folder> = folders.iter().map(|f| (f.name.as_str(), f)).collect();
        // Names above others that are no folders themselves: shown, not selectable.
        let mut names: BTreeSet<&str> = known.keys().copied().collect();
        names.extend(known.keys().flat_map(|n| name::ancestors(n)));
        for name in names.iter().filter(|n| patterns.iter().any(|p| p.matches(n))) {
            let below = format!("{name}/");
            let inside: Vec<&&str> = names.range(below.as_str()..).take_while(|n| n.starts_with(&below)).collect();
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
