//! Lists of addresses in header fields ([RFC 5322 §3.4]).
//!
//! The list is cut into single mailboxes here and each is read by the library: so the work is linear in the field,
//! and a mailbox that readers would read differently (`<a@x> <b@y>`, text after the angle, an open quote) is found
//! before the library makes something of it.

use mail_parser::{Address as Parsed, HeaderValue, parsers::MessageStream};

use super::terminated;
use crate::address::Mailbox;

/// Longest single mailbox with its display name, octets. A mailbox is at most 254 octets (RFC 5321 §4.5.3.1.3); the
/// rest is room for an encoded name.
pub const MAILBOX_FIELD_MAX: usize = 2048;
/// Addresses read from the fields of one name; RFC 5321 §4.5.3.1.8 asks for 100 recipients.
pub const ADDRESSES_MAX: usize = 10_000;

/// One address of a header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The decoded display name; empty where there is none.
    pub display_name: String,
    /// The bare address as written.
    pub mailbox: String,
}

/// One mailbox of a list, with what was seen while cutting it out.
struct Item<'a> {
    bytes: &'a [u8],
    /// Quotes, comments and angles close, there is one angle at most and only blanks and comments follow it.
    sound: bool,
}

/// Adds the addresses of a field; the error says what makes it unreadable.
pub(super) fn strict(value: &[u8], found: &mut Vec<Address>) -> Result<(), &'static str> {
    for item in items(value) {
        if !item.sound {
            return Err("quotes, comments or angle brackets do not match");
        }
        if item.bytes.len() > MAILBOX_FIELD_MAX {
            return Err("an address is too long");
        }
        let address = read(item.bytes).filter(|address| address.mailbox.parse::<Mailbox>().is_ok());
        let address = address.ok_or("an address is malformed")?;
        if found.len() == ADDRESSES_MAX {
            return Err("too many addresses");
        }
        found.push(address);
    }
    Ok(())
}

/// Adds whatever reads as an address.
pub(super) fn loose(value: &[u8], found: &mut Vec<Address>) {
    for item in items(value) {
        if item.bytes.len() <= MAILBOX_FIELD_MAX && found.len() < ADDRESSES_MAX {
            found.extend(read(item.bytes));
        }
    }
}

/// A name with an empty address where the text has no address: never an address made of something else.
fn read(bytes: &[u8]) -> Option<Address> {
    let line = terminated(bytes);
    let HeaderValue::Address(Parsed::List(list)) = MessageStream::new(&line).parse_address() else { return None };
    let only = list.first()?;
    // `foo` alone is a display name for the library when it has no '@'; it still is no address.
    Some(Address {
        display_name: only.name.as_deref().unwrap_or_default().to_owned(),
        mailbox: only.address.as_deref().unwrap_or_default().to_owned(),
    })
}

/// Cuts `mailbox-list`, `address-list` and groups at the commas, semicolons and group colons that stand outside
/// quotes, comments, angles and domain literals. Empty items (RFC 5322 §4.4 allows them) are left out.
fn items(value: &[u8]) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    let mut cut = Cutter::default();
    let mut start = 0;
    for (at, byte) in value.iter().enumerate() {
        match cut.step(*byte) {
            Step::Inside => {}
            Step::End => {
                keep(&mut items, &value[start..at], cut.sound);
                (start, cut) = (at + 1, Cutter::default());
            }
            Step::GroupName => {
                (start, cut) = (at + 1, Cutter { sound: cut.sound && cut.angles == 0, ..Cutter::default() })
            }
        }
    }
    let closed = cut.sound && !cut.quoted && cut.comments == 0 && !cut.angle && !cut.literal;
    keep(&mut items, &value[start..], closed);
    items
}

fn keep<'a>(items: &mut Vec<Item<'a>>, bytes: &'a [u8], sound: bool) {
    if !bytes.trim_ascii().is_empty() {
        items.push(Item { bytes, sound });
    }
}

enum Step {
    Inside,
    End,
    GroupName,
}

/// Where the cutter stands inside one item.
struct Cutter {
    quoted: bool,
    escaped: bool,
    comments: u32,
    angle: bool,
    literal: bool,
    angles: u32,
    sound: bool,
}

impl Default for Cutter {
    fn default() -> Self {
        Cutter { quoted: false, escaped: false, comments: 0, angle: false, literal: false, angles: 0, sound: true }
    }
}

impl Cutter {
    fn step(&mut self, byte: u8) -> Step {
        if self.escaped {
            self.escaped = false;
            return Step::Inside;
        }
        match byte {
            b'\\' if self.quoted || self.comments > 0 || self.literal => self.escaped = true,
            // Outside of these a backslash means nothing in RFC 5322 §3.4, and readers make of it what they like.
            b'\\' => self.sound = false,
            b'"' if self.comments == 0 && !self.literal => self.quoted = !self.quoted,
            _ if self.quoted => {}
            b'(' => self.comments += 1,
            b')' if self.comments > 0 => self.comments -= 1,
            _ if self.comments > 0 => {}
            b'[' => self.literal = true,
            b']' => self.literal = false,
            _ if self.literal => {}
            b'<' => {
                self.sound &= !self.angle && self.angles == 0;
                (self.angle, self.angles) = (true, self.angles + 1);
            }
            b'>' => {
                self.sound &= self.angle;
                self.angle = false;
            }
            _ if self.angle => {}
            b',' | b';' => return Step::End,
            b':' => return Step::GroupName,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b')' => self.sound = false,
            _ => self.sound &= self.angles == 0,
        }
        Step::Inside
    }
}
