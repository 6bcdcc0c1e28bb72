//! The flags of a message: five system flags and free keywords ([RFC 3501 §2.3.2]).

use std::fmt;
use std::str::FromStr;

use imap_codec::imap_types::flag::Flag;

use crate::limits::{KEYWORD_MAX, KEYWORDS_MAX};

const SYSTEM: [(&str, u8); 5] = [
    ("\\Answered", Flags::ANSWERED),
    ("\\Flagged", Flags::FLAGGED),
    ("\\Deleted", Flags::DELETED),
    ("\\Seen", Flags::SEEN),
    ("\\Draft", Flags::DRAFT),
];

/// A set of flags. Keywords compare without case and keep the case of their first use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    system: u8,
    /// Sorted by their lower-case form.
    keywords: Vec<String>,
}

impl Flags {
    /// `\Answered`
    pub const ANSWERED: u8 = 1;
    /// `\Flagged`
    pub const FLAGGED: u8 = 2;
    /// `\Deleted`
    pub const DELETED: u8 = 4;
    /// `\Seen`
    pub const SEEN: u8 = 8;
    /// `\Draft`
    pub const DRAFT: u8 = 16;

    /// Only system flags: a sum of the constants above.
    pub fn system(bits: u8) -> Flags {
        Flags { system: bits, keywords: Vec::new() }
    }

    /// Whether all the system flags of `bits` are set.
    pub fn has(&self, bits: u8) -> bool {
        self.system & bits == bits
    }

    /// Whether the keyword is set, without regard to case.
    pub fn has_keyword(&self, word: &str) -> bool {
        self.position(word).is_ok()
    }

    /// The keywords.
    pub fn keywords(&self) -> impl Iterator<Item = &str> {
        self.keywords.iter().map(String::as_str)
    }

    /// The flags of a command. `\Recent` and unknown system flags are nobody's to set.
    pub(crate) fn from_command(flags: &[Flag<'_>]) -> Result<Flags, FlagError> {
        let mut set = Flags::default();
        for flag in flags {
            set.insert(&flag.to_string())?;
        }
        Ok(set)
    }

    /// Adds one flag by its name on the wire.
    pub fn insert(&mut self, name: &str) -> Result<(), FlagError> {
        if let Some((_, bit)) = SYSTEM.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            self.system |= bit;
            return Ok(());
        }
        let atom = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b));
        if !atom {
            return Err(FlagError::NotSettable(name.chars().take(KEYWORD_MAX).collect()));
        }
        if name.len() > KEYWORD_MAX {
            return Err(FlagError::TooLong);
        }
        if let Err(at) = self.position(name) {
            if self.keywords.len() >= KEYWORDS_MAX {
                return Err(FlagError::TooMany);
            }
            self.keywords.insert(at, name.to_owned());
        }
        Ok(())
    }

    fn position(&self, word: &str) -> Result<usize, usize> {
        let word = word.to_ascii_lowercase();
        self.keywords.binary_search_by(|k| k.to_ascii_lowercase().cmp(&word))
    }
}

/// As in a FLAGS list, without the parentheses: also the form in which a store may keep them.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = SYSTEM.iter().filter(|(_, bit)| self.system & bit != 0).map(|(name, _)| *name);
        for (i, name) in system.chain(self.keywords()).enumerate() {
            write!(f, "{}{name}", if i > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for Flags {
    type Err = FlagError;
    fn from_str(text: &str) -> Result<Flags, FlagError> {
        let mut set = Flags::default();
        text.split(' ').filter(|name| !name.is_empty()).try_for_each(|name| set.insert(name))?;
        Ok(set)
    }
}

/// What STORE does to the flags of each message ([RFC 3501 §6.4.6]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlagChange {
    /// `FLAGS`
    Replace(Flags),
    /// `+FLAGS`
    Add(Flags),
    /// `-FLAGS`
    Remove(Flags),
}

impl FlagChange {
    /// The flags after the change. Keywords beyond [`KEYWORDS_MAX`] are refused.
    pub fn apply(&self, before: &Flags) -> Result<Flags, FlagError> {
        match self {
            FlagChange::Replace(flags) => Ok(flags.clone()),
            FlagChange::Add(flags) => {
                let mut after = before.clone();
                after.system |= flags.system;
                flags.keywords().try_for_each(|word| after.insert(word))?;
                Ok(after)
            }
            FlagChange::Remove(flags) => {
                let mut after = before.clone();
                after.system &= !flags.system;
                after.keywords.retain(|word| !flags.has_keyword(word));
                Ok(after)
            }
        }
    }
}

/// Why a flag cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// `\Recent`, an unknown system flag, or no atom at all.
    #[error("{0} is not a flag that can be set")]
    NotSettable(String),
    /// Longer than [`KEYWORD_MAX`].
    #[error("keyword too long")]
    TooLong,
    /// More than [`KEYWORDS_MAX`].
    #[error("too many keywords")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_comes_back_as_the_same_set() {
        let flags: Flags = "$Forwarded \\seen Zeta \\Deleted alpha".parse().unwrap();
        assert_eq!(flags.to_string(), "\\Deleted \\Seen $Forwarded alpha Zeta");
        assert_eq!(flags.to_string().parse::<Flags>().unwrap(), flags);
        assert!(flags.has(Flags::SEEN) && flags.has_keyword("ZETA") && !flags.has(Flags::DRAFT));
    }

    #[test]
    fn changes_add_remove_and_replace() {
        let before: Flags = "\\Seen a b".parse().unwrap();
        let word = |w: &str| w.parse::<Flags>().unwrap();
        assert_eq!(
            FlagChange::Add(word("\\Flagged B c")).apply(&before).unwrap().to_string(),
            "\\Flagged \\Seen a b c"
        );
        assert_eq!(FlagChange::Remove(word("\\Seen A")).apply(&before).unwrap().to_string(), "b");
        assert_eq!(FlagChange::Replace(word("x")).apply(&before).unwrap().to_string(), "x");
    }

    #[test]
    fn recent_and_unknown_system_flags_cannot_be_set() {
        assert!("\\Recent".parse::<Flags>().is_err());
        assert!("\\Invented".parse::<Flags>().is_err());
        assert!("a(b".parse::<Flags>().is_err());
    }
}
