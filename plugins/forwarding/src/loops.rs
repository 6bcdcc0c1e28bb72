//! Mail that comes back: a token in every copy, which is looked for in what arrives.
//!
//! A copy has the message inside, so a copy that comes back, by whatever forwards and envelopes, has the token in the
//! header of a part. A token counts only if its tag is ours: nobody can keep mail from being forwarded by writing one.

use crate::host::{Error, Host, Message, Part};
use crate::tag::{same, tag};

/// The field of the token.
pub const FIELD: &str = "X-Sigillo-Forward";
/// Header sections within parts that are looked at.
const SECTIONS_MAX: usize = 64;
/// Octets of each.
const SECTION_MAX: u32 = 64 * 1024;
/// Tokens of one message that are looked at: each costs two tags.
const TOKENS_MAX: usize = 64;
/// Largest part whose transfer encoding is removed to look into it; the server gives no larger one.
const ENCODED_MAX: u64 = 1024 * 1024;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// What the tokens of a message say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trail {
    /// A copy for this very mailbox has come back to it.
    pub here_before: bool,
    /// Forwards of this server that it has passed.
    pub hops: u32,
}

/// The value of the field in a copy that this mailbox sends.
pub fn token(host: &impl Host, mailbox: &str, hops: u32) -> Result<String, Error> {
    let (id, hops, day) = (host.new_id(), hops.to_string(), (host.now() / DAY_MS).to_string());
    let passed = tag(host, "passed", &[&hops, &day, &id])?;
    let mine = tag(host, "mailbox", &[&hops, &day, &id, &mailbox.to_ascii_lowercase()])?;
    Ok(format!("hops={hops}; day={day}; id={id};\r\n tag={passed}; box={mine}"))
}

/// What can be found in the message, wherever in it. A token counts for so many days: what somebody keeps of an old copy
/// does not stop new mail.
pub fn trail(host: &impl Host, message: &impl Message, mailbox: &str, days: u32) -> Result<Trail, Error> {
    let mut values: Vec<String> = message.headers(FIELD).iter().map(|value| unfolded(value)).collect();
    // A tree that cannot be read within the limits holds nothing that we made in it.
    for section in sections(message, &message.parts().unwrap_or_default())? {
        values.extend(fields(&section));
    }
    let mailbox = mailbox.to_ascii_lowercase();
    let mut trail = Trail { here_before: false, hops: 0 };
    for value in values.iter().take(TOKENS_MAX) {
        let Some([hops, day, id, passed, mine]) = parsed(value) else { continue };
        let made = day.parse().unwrap_or(u64::MAX);
        let in_time = (host.now() / DAY_MS).saturating_sub(made) <= u64::from(days);
        if !in_time || !same(passed, &tag(host, "passed", &[hops, day, id])?) {
            continue;
        }
        trail.hops = trail.hops.max(hops.parse().unwrap_or(u32::MAX));
        trail.here_before |= same(mine, &tag(host, "mailbox", &[hops, day, id, &mailbox])?);
    }
    Ok(trail)
}

/// The begins of messages and headers that are inside the message.
fn sections(message: &impl Message, parts: &[Part]) -> Result<Vec<Vec<u8>>, Error> {
    let inside =
        |part: &&Part| matches!(part.media_type.as_str(), "message/rfc822" | "message/global" | "text/rfc822-headers");
    let encoded = |part: &Part| matches!(part.transfer_encoding.as_str(), "base64" | "quoted-printable");
    let mut found = Vec::new();
    for (index, part) in parts.iter().enumerate().filter(|(_, part)| inside(part)).take(SECTIONS_MAX) {
        if !encoded(part) {
            let length = part.body_length.min(SECTION_MAX.into()) as u32;
            found.push(message.read(part.body_offset, length)?);
        } else if part.body_length <= ENCODED_MAX
            && let Ok(mut decoded) = message.decoded(index as u32)
        {
            decoded.truncate(SECTION_MAX as usize);
            found.push(decoded);
        }
    }
    Ok(found)
}

/// The values of our field in a header section; what follows the first empty line is no header.
fn fields(section: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(section).replace("\r\n", "\n");
    let header = text.split("\n\n").next().unwrap_or_default();
    let mut found: Vec<String> = Vec::new();
    let mut open = false;
    for line in header.split('\n') {
        if line.starts_with([' ', '\t']) {
            if let (true, Some(last)) = (open, found.last_mut()) {
                last.push(' ');
                last.push_str(line.trim());
            }
            continue;
        }
        let value = line.split_once(':').filter(|(name, _)| name.trim_end().eq_ignore_ascii_case(FIELD));
        open = value.is_some();
        found.extend(value.map(|(_, value)| value.trim().to_owned()));
    }
    found
}

fn unfolded(value: &[u8]) -> String {
    String::from_utf8_lossy(value).replace(['\r', '\n'], " ")
}

/// `hops=…; day=…; id=…; tag=…; box=…`, in any order and with any blanks: those who pass mail on fold anew.
fn parsed(value: &str) -> Option<[&str; 5]> {
    let of = |name: &str| {
        let pairs = value.split(';').filter_map(|pair| pair.trim().split_once('='));
        let mut found = pairs.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
        found.next().filter(|value| value.len() <= 128 && !value.contains('\0'))
    };
    Some([of("hops")?, of("day")?, of("id")?, of("tag")?, of("box")?])
}
