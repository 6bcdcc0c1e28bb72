//! The digest of a body without its transfer encoding, in one pass over content of any size ([RFC 2045 §6.7], [§6.8]).

use std::io;

use sha2::{Digest, Sha256};
use sigillo_mail::{Rope, Source};

/// Octets and SHA-256 of a body, or why its encoding cannot be removed.
pub fn sha256(body: &Rope, source: &dyn Source, encoding: &str) -> io::Result<Result<(u64, [u8; 32]), String>> {
    let mut decoder = match encoding {
        "base64" => Decoder::Base64(Base64::default()),
        "quoted-printable" => Decoder::QuotedPrintable(QuotedPrintable::default()),
        "7bit" | "8bit" | "binary" => Decoder::Identity,
        other => return Ok(Err(format!("the transfer encoding '{other}' is not known"))),
    };
    let (mut hash, mut octets, mut out) = (Sha256::new(), 0_u64, Vec::new());
    for chunk in body.chunks(source) {
        let chunk = chunk?;
        out.clear();
        match &mut decoder {
            Decoder::Identity => out.extend_from_slice(&chunk),
            Decoder::QuotedPrintable(state) => chunk.iter().for_each(|byte| state.take(*byte, &mut out)),
            Decoder::Base64(state) => {
                if let Err(why) = chunk.iter().try_for_each(|byte| state.take(*byte, &mut out)) {
                    return Ok(Err(why));
                }
            }
        }
        octets += out.len() as u64;
        hash.update(&out);
    }
    out.clear();
    match &mut decoder {
        Decoder::Identity => {}
        Decoder::QuotedPrintable(state) => state.end(&mut out),
        Decoder::Base64(state) => {
            if let Err(why) = state.end(&mut out) {
                return Ok(Err(why));
            }
        }
    }
    octets += out.len() as u64;
    hash.update(&out);
    Ok(Ok((octets, hash.finalize().into())))
}

enum Decoder {
    Identity,
    QuotedPrintable(QuotedPrintable),
    Base64(Base64),
}

#[derive(Default)]
struct Base64 {
    bits: u32,
    /// Characters of the group so far.
    count: u8,
    padded: bool,
}

impl Base64 {
    fn take(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<(), String> {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                self.padded = true;
                return Ok(());
            }
            b' ' | b'\t' | b'\r' | b'\n' => return Ok(()),
            _ => return Err("the body is not base64".into()),
        };
        // Readers disagree about what follows padding, so it has no digest.
        if self.padded {
            return Err("the body is not base64: it goes on after its end".into());
        }
        self.bits = self.bits << 6 | u32::from(value);
        self.count += 1;
        if self.count == 4 {
            out.extend_from_slice(&self.bits.to_be_bytes()[1..]);
            (self.bits, self.count) = (0, 0);
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        match self.count {
            0 => {}
            2 => out.push((self.bits >> 4) as u8),
            3 => out.extend_from_slice(&((self.bits >> 2) as u16).to_be_bytes()),
            _ => return Err("the body is not base64: its last group is cut off".into()),
        }
        Ok(())
    }
}

/// Blanks at the end of a line are of the transport and not of the content; so is `=` with the line end after it.
#[derive(Default)]
struct QuotedPrintable {
    /// `=` and what came after it, as far as it is not settled.
    escape: Vec<u8>,
    /// Blanks that may be at the end of a line.
    blanks: Vec<u8>,
}

impl QuotedPrintable {
    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        if !self.escape.is_empty() {
            return self.escaped(byte, out);
        }
        match byte {
            b' ' | b'\t' => self.blanks.push(byte),
            b'=' => {
                out.append(&mut self.blanks);
                self.escape.push(byte);
            }
            b'\r' | b'\n' => {
                self.blanks.clear();
                out.push(byte);
            }
            _ => {
                out.append(&mut self.blanks);
                out.push(byte);
            }
        }
    }

    fn escaped(&mut self, byte: u8, out: &mut Vec<u8>) {
        let hexadecimal = |b: u8| (b as char).to_digit(16).map(|digit| digit as u8);
        match (self.escape.as_slice(), byte) {
            // A soft line break, blanks before its line end included.
            (_, b'\n') if self.escape[1..].iter().all(|b| b" \t\r".contains(b)) => self.escape.clear(),
            ([b'=', ..], b' ' | b'\t' | b'\r') if self.escape[1..].iter().all(|b| b" \t".contains(b)) => {
                self.escape.push(byte);
            }
            ([b'='], _) if hexadecimal(byte).is_some() => self.escape.push(byte),
            ([b'=', first], _) if let (Some(high), Some(low)) = (hexadecimal(*first), hexadecimal(byte)) => {
                out.push(high << 4 | low);
                self.escape.clear();
            }
            // No escape at all: it stands for itself (RFC 2045 §6.7, notes on robust decoders).
            _ => {
                out.append(&mut self.escape);
                self.take(byte, out);
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        // A `=` at the very end is a soft line break whose line end belongs to the boundary.
        if self.escape.iter().skip(1).any(|b| !b" \t\r".contains(b)) {
            out.append(&mut self.escape);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::decoders::base64::base64_decode;
    use mail_parser::decoders::quoted_printable::quoted_printable_decode;
    use proptest::prelude::*;
    use sigillo_mail::rope::NoSource;

    fn digest(body: &[u8], encoding: &str) -> Result<(u64, [u8; 32]), String> {
        // In pieces, so that every state is crossed by an edge of one.
        let mut rope = Rope::new();
        body.chunks(3).for_each(|piece| rope.push_bytes(piece.to_vec()));
        sha256(&rope, &NoSource, encoding).unwrap()
    }

    fn expect(body: &[u8], encoding: &str, content: &[u8]) {
        let wanted = (content.len() as u64, Sha256::digest(content).into());
        assert_eq!(digest(body, encoding), Ok(wanted), "{}", String::from_utf8_lossy(body));
    }

    #[test]
    fn each_encoding_is_removed() {
        expect(b"Y2lh\r\nbw==\r\n", "base64", b"ciao");
        expect(b"Y2lhbw", "base64", b"ciao");
        expect(b"perch=C3=A9=\r\n no \t\r\nx=3d=", "quoted-printable", "perché no\r\nx=".as_bytes());
        expect(b"a=zb=4", "quoted-printable", b"a=zb=4");
        expect(b"a= \r\nb", "quoted-printable", b"ab");
        expect(b"a \r\n", "7bit", b"a \r\n");
        for (body, encoding) in [(&b"Y2lhb"[..], "base64"), (b"Y2-=", "base64"), (b"Yg==Yg==", "base64"), (b"", "x-uu")]
        {
            assert!(digest(body, encoding).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }

    proptest! {
        #[test]
        fn the_digest_is_that_of_what_the_other_decoder_gives(content in prop::collection::vec(any::<u8>(), 0..300)) {
            const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let encoded: Vec<u8> = content.chunks(3).flat_map(|group| {
                let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
                (0..4).map(move |n| match n <= group.len() {
                    true => DIGITS[(bits >> (18 - 6 * n) & 63) as usize],
                    false => b'=',
                })
            }).collect();
            prop_assert_eq!(base64_decode(&encoded).unwrap_or_default(), content.clone());
            expect(&encoded, "base64", &content);
            let quoted: String = content.iter().map(|byte| format!("={byte:02X}")).collect();
            prop_assert_eq!(quoted_printable_decode(quoted.as_bytes()).unwrap_or_default(), content.clone());
            expect(quoted.as_bytes(), "quoted-printable", &content);
        }
    }
}
