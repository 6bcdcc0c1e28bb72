//! BODY and BODYSTRUCTURE ([RFC 3501 §7.4.2]), from the one parse of the message.

use sigillo_mail::header::RawParameters;
use sigillo_mail::structure::{Part, Structure};

use super::{envelope, unfold};
use crate::limits::BODY_DEPTH_MAX;
use crate::output::Output;

/// Writes the whole tree; `extended` tells BODYSTRUCTURE from BODY.
pub(crate) fn write(structure: &Structure, extended: bool, out: &mut Output<'_>) {
    write_part(structure, 0, extended, 0, out);
}

fn write_part(structure: &Structure, index: usize, extended: bool, depth: usize, out: &mut Output<'_>) {
    let part = &structure.parts[index];
    let children: Vec<usize> = if depth < BODY_DEPTH_MAX { structure.children(index).collect() } else { Vec::new() };
    let kind = part.content_type.kind.as_str();
    out.raw(b"(");
    match (kind, children.as_slice()) {
        ("multipart", [_, ..]) => {
            for child in &children {
                write_part(structure, *child, extended, depth + 1, out);
            }
            out.raw(b" ");
            out.string(part.content_type.subtype.as_bytes());
            if extended {
                write_parameters(part, "Content-Type", out);
                write_extension(part, out);
            }
        }
        ("message", [child]) => {
            write_fields(part, "message", &part.content_type.subtype, out);
            out.raw(b" ");
            envelope::write(&structure.parts[*child].header, out);
            out.raw(b" ");
            write_part(structure, *child, extended, depth + 1, out);
            out.raw(format!(" {}", part.lines));
            write_leaf_extension(part, extended, out);
        }
        _ => {
            // The grammar wants children of a multipart and an envelope of a message: where the parse found none, a
            // reader gets the octets.
            let (kind, subtype) = match kind {
                "multipart" => ("text", "plain"),
                "message" if part.content_type.subtype == "rfc822" => ("application", "octet-stream"),
                kind => (kind, part.content_type.subtype.as_str()),
            };
            write_fields(part, kind, subtype, out);
            if kind == "text" {
                out.raw(format!(" {}", part.lines));
            }
            write_leaf_extension(part, extended, out);
        }
    }
    out.raw(b")");
}

/// `body-fields` with the type before them.
fn write_fields(part: &Part, kind: &str, subtype: &str, out: &mut Output<'_>) {
    out.string(kind.as_bytes());
    out.raw(b" ");
    out.string(subtype.as_bytes());
    write_parameters(part, "Content-Type", out);
    for name in ["Content-ID", "Content-Description"] {
        out.raw(b" ");
        out.nstring(part.header.raw(name, 0).map(unfold).as_deref());
    }
    out.raw(b" ");
    out.string(part.transfer_encoding.as_bytes());
    out.raw(format!(" {}", part.body_length));
}

fn write_leaf_extension(part: &Part, extended: bool, out: &mut Output<'_>) {
    if extended {
        out.raw(b" ");
        out.nstring(part.header.raw("Content-MD5", 0).map(unfold).as_deref());
        write_extension(part, out);
    }
}

/// Disposition, language, location.
fn write_extension(part: &Part, out: &mut Output<'_>) {
    match &part.disposition {
        Some((word, _)) => {
            out.raw(b" (");
            out.string(word.as_bytes());
            write_parameters(part, "Content-Disposition", out);
            out.raw(b")");
        }
        None => out.raw(b" NIL"),
    }
    let languages = part.header.raw("Content-Language", 0).map(unfold).unwrap_or_default();
    let languages: Vec<&[u8]> =
        languages.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|l| !l.is_empty()).collect();
    out.raw(b" ");
    match languages.as_slice() {
        [] => out.raw(b"NIL"),
        [one] => out.string(one),
        many => {
            out.raw(b"(");
            for (i, language) in many.iter().enumerate() {
                out.raw(if i > 0 { &b" "[..] } else { b"" });
                out.string(language);
            }
            out.raw(b")");
        }
    }
    out.raw(b" ");
    out.nstring(part.header.raw("Content-Location", 0).map(unfold).as_deref());
}

/// Parameters as they were written, the continuations of RFC 2231 included: the client puts them together.
fn write_parameters(part: &Part, field: &str, out: &mut Output<'_>) {
    let items = match part.header.raw(field, 0) {
        Some(value) => RawParameters::read(value).items,
        // RFC 2045 §5.2
        None if field == "Content-Type" && part.content_type.kind == "text" => {
            vec![("charset".to_owned(), b"us-ascii".to_vec())]
        }
        None => Vec::new(),
    };
    if items.is_empty() {
        return out.raw(b" NIL");
    }
    out.raw(b" (");
    for (i, (name, value)) in items.iter().enumerate() {
        out.raw(if i > 0 { &b" "[..] } else { b"" });
        out.string(name.as_bytes());
        out.raw(b" ");
        out.string(value);
    }
    out.raw(b")");
}
