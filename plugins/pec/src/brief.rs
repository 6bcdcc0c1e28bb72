//! The original in a brief delivery receipt ([PEC §3.3.2.2]): every attachment is replaced by its digest, the rest stays
//! as it is, byte for byte.
//!
//! The digest is SHA-1 (or SHA-256, where the operator asks for it) over the body of the part as it was transmitted, transfer encoding included, from after the
//! empty line to before the line end that belongs to the boundary.

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::content::Content;
use crate::header::Header;
use crate::host::{Error, Failure, Message, Part};
use crate::mime;
use crate::progress::hexadecimal;
use crate::received::CertifiedParts;
use crate::settings::BriefDigest;
use crate::signed_message::Attached;
use crate::step::Step;
use crate::wire;

/// Name of an attached message that has none of its own.
const UNNAMED_MESSAGE: &str = "messaggio.eml";
/// Fields of a part that describe the content that is gone.
const CONTENT_FIELDS: [&str; 5] =
    ["Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-MD5", "Content-Length"];
/// Signatures that stay, below a top-level `multipart/signed`; RFC 6109 prints a third form of the name.
const SIGNATURES: [&str; 3] =
    ["application/pkcs7-signature", "application/x-pkcs7-signature", "application/x-pkcs-signature"];

/// The original with its attachments replaced.
pub fn original(step: &Step, parts: &CertifiedParts) -> Result<Attached, Failure> {
    let message = step.host.message();
    let (Some(outer), Some(root)) = (parts.original_part(), root_index(parts)) else {
        return Err(Failure::Permanent("the envelope has no original".to_owned()));
    };
    let mut content = Content::new();
    let mut at = outer.body_offset;
    for (index, name) in attachments(&parts.all, root) {
        let part = &parts.all[index];
        content.range(at, part.header_offset.saturating_sub(at));
        content.bytes(
            replacement(message, part, &name, step.settings.brief_digest)
                .map_err(|error| error.during("brief receipt"))?,
        );
        at = part.end();
    }
    content.range(at, outer.end().saturating_sub(at));
    let eight_bit = !matches!(outer.transfer_encoding.as_str(), "7bit" | "");
    Ok(Attached { content, eight_bit })
}

fn root_index(parts: &CertifiedParts) -> Option<usize> {
    parts.all.iter().position(|part| part.parent.is_some() && part.parent == parts.original)
}

/// The parts to replace, in the order of the bytes, with their names.
fn attachments(all: &[Part], root: usize) -> Vec<(usize, String)> {
    // One CMS object: attachments cannot be told apart in it, so it stays whole.
    if matches!(all[root].media_type.as_str(), "application/pkcs7-mime" | "application/x-pkcs7-mime") {
        return Vec::new();
    }
    let mut found: Vec<(usize, String)> = Vec::new();
    for (index, part) in all.iter().enumerate().skip(root) {
        let below = |ancestor: usize| is_below(all, index, ancestor);
        // A replaced message goes whole: nothing below it is looked at.
        if !(index == root || below(root)) || found.iter().any(|(replaced, _)| below(*replaced)) {
            continue;
        }
        let signature = all[root].media_type == "multipart/signed"
            && part.parent == Some(root as u32)
            && SIGNATURES.contains(&part.media_type.as_str());
        let is_message = part.media_type == "message/rfc822";
        let is_leaf = is_message || !part.media_type.starts_with("multipart/");
        match &part.filename {
            _ if signature || !is_leaf => {}
            Some(name) => found.push((index, name.clone())),
            None if is_message => found.push((index, UNNAMED_MESSAGE.to_owned())),
            None => {}
        }
    }
    found
}

fn is_below(all: &[Part], index: usize, ancestor: usize) -> bool {
    let mut parent = all[index].parent;
    while let Some(at) = parent {
        if at as usize == ancestor {
            return true;
        }
        parent = all.get(at as usize).and_then(|part| part.parent).filter(|next| *next < at);
    }
    false
}

/// The part that stands for an attachment: its other fields as they were, a text with 40 hexadecimal digits (64 for SHA-256).
fn replacement(message: &dyn Message, part: &Part, name: &str, by: BriefDigest) -> Result<Vec<u8>, Error> {
    let header = Header::read(message, part.header_offset, part.body_offset)?;
    let name = format!("{name}{}", wire::HASH_SUFFIX);
    let mut bytes = header.without(&CONTENT_FIELDS);
    let (as_name, as_filename) = (mime::parameter("name", &name), mime::parameter("filename", &name));
    bytes.extend(
        format!(
            "Content-Type: text/plain;\r\n {as_name}\r\nContent-Transfer-Encoding: 7bit\r\n\
             Content-Disposition: attachment;\r\n {as_filename}\r\n\r\n{}",
            match by {
                BriefDigest::Sha1 => digest::<Sha1>(message, part)?,
                BriefDigest::Sha256 => digest::<Sha256>(message, part)?,
            }
        )
        .into_bytes(),
    );
    Ok(bytes)
}

fn digest<D: Digest>(message: &dyn Message, part: &Part) -> Result<String, Error> {
    let mut digest = D::new();
    let mut at = part.body_offset;
    while at < part.end() {
        let chunk = message.read(at, (part.end() - at).min(64 * 1024) as u32)?;
        if chunk.is_empty() {
            return Err(Error::Invalid("a part ends before its length".to_owned()));
        }
        digest.update(&chunk);
        at += chunk.len() as u64;
    }
    Ok(hexadecimal(&digest.finalize()))
}
