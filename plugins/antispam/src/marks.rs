//! The field that marks a message. Who sends one may have written it himself: before a message is filed, those that came
//! with it are taken out, so that what a reader sees is this server's word (as RFC 8601 §5 has it for its own field).

use crate::host::{Error, Host};

/// Takes every field of this name out of the message in hand, if there is one.
pub fn remove<H: Host>(host: &H, name: &str) -> Result<(), Error> {
    match host.header_count(name) {
        0 => Ok(()),
        _ => host.replace_header_section(&without(&host.header_section()?, name)),
    }
}

/// A header section without the fields of this name; every other octet stays.
pub fn without(section: &[u8], name: &str) -> Vec<u8> {
    let mut kept = Vec::with_capacity(section.len());
    let mut inside = false;
    for line in section.split_inclusive(|octet| *octet == b'\n') {
        // A line that begins with a blank goes on with the field above it (RFC 5322 §2.2.3).
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            inside = is_of(line, name);
        }
        if !inside {
            kept.extend_from_slice(line);
        }
    }
    kept
}

/// RFC 5322 §4.5.8: there may be blanks before the colon.
fn is_of(line: &[u8], name: &str) -> bool {
    let before = line.split(|octet| *octet == b':').next().filter(|before| before.len() < line.len());
    before.is_some_and(|before| before.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_goes_with_all_its_lines_and_nothing_else_does() {
        for (section, kept) in [
            ("X-Spam-Band: alta\r\nSubject: x\r\n\r\n", "Subject: x\r\n\r\n"),
            ("Subject: x\r\n y\r\nx-spam-band : a\r\n\tb\r\n c\r\nTo: z\r\n\r\n", "Subject: x\r\n y\r\nTo: z\r\n\r\n"),
            ("X-Spam-Band: a\r\nX-Spam-Band: b\r\n\r\n", "\r\n"),
            (
                "X-Spam-Bands: a\r\nX: X-Spam-Band: b\r\nX-Spam-Band\r\n\r\n",
                "X-Spam-Bands: a\r\nX: X-Spam-Band: b\r\nX-Spam-Band\r\n\r\n",
            ),
            ("\r\n", "\r\n"),
            ("", ""),
        ] {
            assert_eq!(without(section.as_bytes(), "X-Spam-Band"), kept.as_bytes(), "{section:?}");
        }
    }
}
