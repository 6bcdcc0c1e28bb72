//! The text of a message, to be read in the copy without opening the message inside.

use crate::host::{Message, Part, is_of_inner_message};
use crate::mime::boundary;

/// Octets of a text part that is looked at; a longer one is not shown.
const PART_MAX: u64 = 256 * 1024;
/// Octets of the text that are shown.
const SHOWN_MAX: usize = 16 * 1024;

/// Says that a message is an envelope of the service, whatever of it is true: the one who reads sees the whole of it below.
const TRANSPORT: &str = "X-Trasporto";

/// The text that a person wrote: of an envelope that of the original, which is a message inside; else the first. None
/// where there is none that can be shown; the message itself is always there.
pub fn of(message: &impl Message) -> Option<String> {
    let parts = message.parts().ok()?;
    let envelope = message.header_text(TRANSPORT).is_some();
    let texts: Vec<usize> = (0..parts.len()).filter(|index| is_text(&parts[*index])).collect();
    let original = texts.iter().find(|index| envelope && is_of_inner_message(&parts, **index));
    let chosen = *original.or_else(|| texts.first())?;
    let decoded = message.decoded(chosen as u32).ok()?;
    let charset = message.parameter(chosen as u32, "charset").unwrap_or_default().to_ascii_lowercase();
    let text = match charset.as_str() {
        "" | "us-ascii" | "utf-8" | "utf8" => String::from_utf8(decoded).ok()?,
        // Their printable characters are those of Unicode's first 256, but for the dashes and quotes of Windows.
        "iso-8859-1" | "iso-8859-15" | "windows-1252" => {
            decoded.iter().map(|b| if (0x80..0xa0).contains(b) { '?' } else { char::from(*b) }).collect()
        }
        _ => return None,
    };
    let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\r' | '\n' | '\t')).collect();
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if text.len() <= SHOWN_MAX {
        return Some(text.to_owned());
    }
    Some(format!("{}\n[…]", &text[..boundary(text, SHOWN_MAX)]))
}

fn is_text(part: &Part) -> bool {
    part.media_type == "text/plain" && !part.named && part.body_length > 0 && part.body_length <= PART_MAX
}
