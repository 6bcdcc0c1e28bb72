//! Transfer encodings undone piece by piece ([RFC 2045 §6]), leniently: for looking, not for keeping.

/// A decoder that is given the encoded octets in any cut.
#[derive(Debug)]
pub(crate) enum Decoder {
    /// 7bit, 8bit, binary and what is unknown.
    Identity,
    /// Bits that do not yet make an octet, and how many there are.
    Base64 { bits: u32, count: u32 },
    /// The characters of an escape that has begun.
    QuotedPrintable { escape: Vec<u8> },
}

impl Decoder {
    pub fn new(transfer_encoding: &str) -> Decoder {
        match transfer_encoding {
            "base64" => Decoder::Base64 { bits: 0, count: 0 },
            "quoted-printable" => Decoder::QuotedPrintable { escape: Vec::new() },
            _ => Decoder::Identity,
        }
    }

    /// Adds what `piece` stands for to `out`.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match self {
            Decoder::Identity => out.extend_from_slice(piece),
            Decoder::Base64 { bits, count } => {
                for value in piece.iter().filter_map(|b| base64_value(*b)) {
                    *bits = *bits << 6 | value;
                    *count += 6;
                    if *count >= 8 {
                        *count -= 8;
                        out.push((*bits >> *count) as u8);
                        *bits &= (1 << *count) - 1;
                    }
                }
            }
            Decoder::QuotedPrintable { escape } => {
                for byte in piece {
                    quoted_printable(escape, *byte, out);
                }
            }
        }
    }
}

fn base64_value(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

fn quoted_printable(escape: &mut Vec<u8>, byte: u8, out: &mut Vec<u8>) {
    match (escape.as_slice(), byte) {
        ([], b'=') => escape.push(byte),
        ([], _) => out.push(byte),
        // A soft line break: `=` at the end of the line.
        ([b'='], b'\r') => escape.push(byte),
        ([b'='] | [b'=', b'\r'], b'\n') => escape.clear(),
        ([b'='], _) if byte.is_ascii_hexdigit() => escape.push(byte),
        ([b'=', high], _) if high.is_ascii_hexdigit() && byte.is_ascii_hexdigit() => {
            let digit = |b: u8| (b as char).to_digit(16).unwrap_or(0) as u8;
            out.push(digit(*high) << 4 | digit(byte));
            escape.clear();
        }
        // Not an escape after all.
        _ => {
            out.append(escape);
            if byte == b'=' { escape.push(byte) } else { out.push(byte) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(encoding: &str, pieces: &[&[u8]]) -> String {
        let (mut decoder, mut out) = (Decoder::new(encoding), Vec::new());
        pieces.iter().for_each(|piece| decoder.push(piece, &mut out));
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn encodings_are_undone_across_pieces_and_lines() {
        assert_eq!(decode("base64", &[b"UmljZX", b"Z1\r\ndGE="]), "Ricevuta");
        assert_eq!(decode("quoted-printable", &[b"gi=C", b"3=A0 =\r", b"\nfatto=3d"]), "già fatto=");
        assert_eq!(decode("quoted-printable", &[b"a=ZZ =4"]), "a=ZZ ");
        assert_eq!(decode("8bit", &[b"a=41"]), "a=41");
    }

    proptest! {
        #[test]
        fn the_cut_does_not_matter(bytes in proptest::collection::vec(any::<u8>(), 0..80), cut in 0usize..80) {
            let cut = cut.min(bytes.len());
            for encoding in ["base64", "quoted-printable", "7bit"] {
                prop_assert_eq!(decode(encoding, &[&bytes]), decode(encoding, &[&bytes[..cut], &bytes[cut..]]));
            }
        }
    }
}
