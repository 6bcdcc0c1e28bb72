//! What a message says, as features: places in the model of single words, and of pairs of words that stand near each
//! other (orthogonal sparse bigrams). Nothing of a word is left in a place.

use std::collections::BTreeSet;
use std::hash::Hasher;

use mail_parser::{Address, Message, MessageParser, MimeHeaders, PartType};
use siphasher::sip::SipHasher13;

use crate::model::PLACES;

/// Octets of a message that are looked at: the first ones. What is spam says so early.
pub const LOOKED_AT: u64 = 256 * 1024;
/// Octets of text that become words.
const TEXT_MAX: usize = 64 * 1024;
/// Features of one message.
pub const FEATURES_MAX: usize = 6000;
/// Letters of a word; longer ones are only counted as long.
const WORD_MAX: usize = 24;
/// How far apart the words of a pair stand.
const WINDOW: usize = 4;
/// Parts within parts that are looked at.
const DEPTH_MAX: usize = 3;

/// The features of a message: sorted, each once.
pub fn features(octets: &[u8]) -> Vec<u32> {
    let mut reader = Reader { features: BTreeSet::new(), left: TEXT_MAX };
    if let Some(message) = MessageParser::default().parse(octets) {
        reader.header(&message);
        reader.body(&message, 0);
    }
    reader.features.into_iter().collect()
}

struct Reader {
    features: BTreeSet<u32>,
    /// Octets of text that may still become words.
    left: usize,
}

impl Reader {
    fn header(&mut self, message: &Message<'_>) {
        self.text("subject", message.subject().unwrap_or_default());
        for (field, address) in [("from", message.from()), ("reply", message.reply_to())] {
            self.address(field, address);
        }
        for field in ["X-Mailer", "User-Agent", "List-Unsubscribe"] {
            if let Some(value) = message.header_raw(field) {
                self.text("agent", value);
            }
        }
        if message.from().is_none() || message.date().is_none() {
            self.single("shape", "incomplete");
        }
    }

    fn address(&mut self, field: &str, address: Option<&Address<'_>>) {
        for one in address.iter().flat_map(|address| address.iter()).take(4) {
            if let Some(name) = &one.name {
                self.text(field, name);
            }
            if let Some((local, domain)) = one.address.as_ref().and_then(|address| address.rsplit_once('@')) {
                self.single(field, &format!("@{}", domain.to_lowercase()));
                self.single(field, &local.to_lowercase());
            }
        }
    }

    fn body(&mut self, message: &Message<'_>, depth: usize) {
        for part in message.parts.iter().take(64) {
            if let Some(kind) = part.content_type() {
                let subtype = kind.subtype().unwrap_or_default();
                self.single("type", &format!("{}/{subtype}", kind.ctype()).to_lowercase());
                if let Some(charset) = kind.attribute("charset") {
                    self.single("charset", &charset.to_lowercase());
                }
            }
            if let Some(name) = part.attachment_name() {
                let ending = name.rsplit('.').next().unwrap_or_default();
                self.single("file", &ending.chars().take(8).collect::<String>().to_lowercase());
            }
            match &part.body {
                PartType::Text(text) | PartType::Html(text) => self.text("", text),
                PartType::Message(inner) if depth < DEPTH_MAX => {
                    self.text("subject", inner.subject().unwrap_or_default());
                    self.body(inner, depth + 1);
                }
                _ => {}
            }
        }
    }

    fn text(&mut self, field: &str, text: &str) {
        let mut recent: [Option<u64>; WINDOW] = [None; WINDOW];
        for word in words(text) {
            if self.left < word.len() || self.features.len() >= FEATURES_MAX {
                return;
            }
            self.left -= word.len();
            let own = hash(field, &word);
            self.features.insert(place(own));
            for (distance, before) in recent.iter().enumerate() {
                if let Some(before) = before {
                    self.features.insert(place(pair(*before, own, distance)));
                }
            }
            recent.rotate_right(1);
            recent[0] = Some(own);
        }
    }

    fn single(&mut self, field: &str, word: &str) {
        if self.features.len() < FEATURES_MAX {
            self.features.insert(place(hash(field, word)));
        }
    }
}

/// Words in lower case: what stands between blanks and the signs that part words, without what clings to their ends.
fn words(text: &str) -> impl Iterator<Item = String> {
    let parts = |c: char| c.is_whitespace() || c.is_control() || "<>\"(),;:[]{}|=&?/\\*#~+^`«»“”".contains(c);
    text.split(parts).filter_map(|word| {
        let word = word.trim_matches(|c: char| ".-'_’".contains(c));
        let letters = word.chars().count();
        match letters {
            0 => None,
            1 if word.chars().all(char::is_alphanumeric) => None,
            _ if letters > WORD_MAX => Some(format!("\u{1}long{}", (letters / 16).min(8))),
            _ if letters > 4 && word.bytes().all(|octet| octet.is_ascii_digit()) => {
                Some(format!("\u{1}number{letters}"))
            }
            _ => Some(word.to_lowercase()),
        }
    })
}

fn hash(field: &str, word: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(field.as_bytes());
    hasher.write_u8(0);
    hasher.write(word.as_bytes());
    hasher.finish()
}

fn pair(before: u64, own: u64, distance: usize) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(&before.to_le_bytes());
    hasher.write(&own.to_le_bytes());
    hasher.write_u8(distance as u8);
    hasher.finish()
}

fn place(hash: u64) -> u32 {
    (hash % u64::from(PLACES)) as u32
}
