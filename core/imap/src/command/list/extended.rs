//! The grammar of LIST with options ([RFC 5258 §6]), which the grammar library does not know.

use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use imap_codec::imap_types::mailbox::Mailbox;
use imap_codec::imap_types::status::StatusDataItemName;

use crate::limits::COMMAND_MAX;
use crate::refusal::Refusal;
use crate::session::verb_is;

/// What a LIST command asks for beside its patterns.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub select_subscribed: bool,
    pub select_special_use: bool,
    pub recursive_match: bool,
    pub return_subscribed: bool,
    pub return_status: Vec<StatusDataItemName>,
}

/// A LIST with options.
#[derive(Debug)]
pub(crate) struct Extended {
    selection: Vec<String>,
    reference: Vec<u8>,
    wanted: Vec<Vec<u8>>,
    returns: Vec<String>,
    status: Option<Vec<String>>,
    broken: bool,
}

pub(super) struct Checked {
    pub reference: Mailbox<'static>,
    pub wanted: Vec<Vec<u8>>,
    pub options: Options,
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

    pub(super) fn checked(self) -> Result<Checked, Refusal> {
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
        let reference = Mailbox::try_from(self.reference).map_err(|_| Refusal::bad("the reference is not a string"))?;
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
        let number =
            std::str::from_utf8(&self.rest[1..end]).ok()?.trim_end().trim_end_matches('}').trim_end_matches('+');
        let length: usize = number.parse().ok()?;
        self.skip(end + 1);
        let text = self.rest.get(..length)?.to_vec();
        self.skip(length);
        Some(text)
    }
}
