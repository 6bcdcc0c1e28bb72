//! What is shown to the scanners: every content that some reader of the message may end up with.
//!
//! A scanner reads MIME in a way of its own, and a message can be made so that it sees something else than the
//! recipient's program does. So it is shown the message and, beside it, the bodies of the parts with their encoding
//! removed; of a part about which readers may disagree, with every encoding.

use crate::host::{Error, Host, Part, View};
use crate::settings::Views;

/// Most contents of one message. Honest messages have some tens of parts; each content costs a connection.
pub const VIEWS_MAX: usize = 1000;

/// The encodings that a reader may remove; `binary` removes nothing.
const ENCODINGS: [&str; 3] = ["binary", "base64", "quoted-printable"];

/// What is shown of the message in hand, the message itself first.
pub fn of<H: Host>(host: &H, which: Views) -> Result<Vec<View>, Error> {
    let parts = host.parts()?;
    let mut views = vec![View::Message];
    let ambiguous = parts.iter().any(|part| part.ambiguous);
    if which == Views::Ambiguous && !ambiguous {
        return Ok(views);
    }
    for (index, part) in parts.iter().enumerate() {
        let index = index as u32;
        if part.body_length == 0 {
            continue;
        }
        if part.ambiguous {
            let every = ENCODINGS.iter().map(|encoding| View::Part { part: index, encoding: Some(encoding) });
            views.extend(every);
        } else if is_leaf(&parts, index) || is_encoded(part) {
            views.push(View::Part { part: index, encoding: None });
        }
    }
    if views.len() > VIEWS_MAX {
        return Err(Error::TooLarge(format!("{} contents, at most {VIEWS_MAX}", views.len())));
    }
    Ok(views)
}

fn is_leaf(parts: &[Part], index: u32) -> bool {
    !parts.iter().any(|part| part.parent == Some(index))
}

/// A multipart or a message must not be encoded (RFC 2045 §6.4); a reader may decode one all the same.
fn is_encoded(part: &Part) -> bool {
    matches!(part.transfer_encoding.as_str(), "base64" | "quoted-printable")
}
