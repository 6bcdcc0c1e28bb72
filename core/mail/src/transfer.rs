//! Transfer encodings removed piece by piece ([RFC 2045 §6]), as the most lenient reader would: for whoever must see
//! what any reader may see, such as a virus scanner. Nothing is refused; what cannot be an encoding stays as it is.
//!
//! Readers disagree about base64 that goes on after its padding ([RFC 2045 §6.8]: the end of the data): some stop
//! there and some go on. [`Decoder::goes_on`] says whether a body was one of those, [`Decoder::until_padding`] gives
//! the other reading.

/// Removes one transfer encoding from a body that comes in pieces. Memory holds a few octets between two pieces.
#[derive(Debug, Clone)]
pub struct Decoder {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Identity,
    Base64(Base64),
    QuotedPrintable(QuotedPrintable),
}

impl Decoder {
    /// For an encoding as [`crate::Part::transfer_encoding`] has it. An unknown one is none: the octets are what a
    /// reader gets.
    pub fn new(encoding: &str) -> Decoder {
        let kind = match encoding {
            "base64" => Kind::Base64(Base64::default()),
            "quoted-printable" => Kind::QuotedPrintable(QuotedPrintable::default()),
            _ => Kind::Identity,
        };
        Decoder { kind }
    }

    /// The same, of base64 only what stands before the first padding.
    pub fn until_padding(encoding: &str) -> Decoder {
        let mut decoder = Decoder::new(encoding);
        if let Kind::Base64(base64) = &mut decoder.kind {
            base64.stops = true;
        }
        decoder
    }

    /// Whether `encoding` changes anything at all.
    pub fn is_encoding(encoding: &str) -> bool {
        !matches!(Decoder::new(encoding).kind, Kind::Identity)
    }

    /// The next piece of the body; what is decoded is added to `out`.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match &mut self.kind {
            Kind::Identity => out.extend_from_slice(piece),
            Kind::Base64(base64) => piece.iter().for_each(|octet| base64.push(*octet, out)),
            Kind::QuotedPrintable(printable) => piece.iter().for_each(|octet| printable.push(*octet, out)),
        }
    }

    /// The end of the body.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match &mut self.kind {
            Kind::Identity => {}
            Kind::Base64(base64) => base64.flush(out),
            Kind::QuotedPrintable(printable) => printable.flush(out),
        }
    }

    /// Whether base64 went on after its padding so far.
    pub fn goes_on(&self) -> bool {
        matches!(&self.kind, Kind::Base64(base64) if base64.goes_on)
    }
}

#[derive(Debug, Clone, Default)]
struct Base64 {
    /// Bits that make no octet yet, and how many letters they came from.
    bits: u32,
    letters: u32,
    padded: bool,
    goes_on: bool,
    stops: bool,
}

impl Base64 {
    fn push(&mut self, octet: u8, out: &mut Vec<u8>) {
        if octet == b'=' {
            self.flush(out);
            self.padded = true;
            return;
        }
        // RFC 2045 §6.8: letters outside the alphabet are ignored.
        let Some(value) = value(octet) else { return };
        self.goes_on |= self.padded;
        if self.padded && self.stops {
            return;
        }
        self.bits = self.bits << 6 | value;
        self.letters += 1;
        if self.letters == 4 {
            out.extend_from_slice(&self.bits.to_be_bytes()[1..]);
            (self.bits, self.letters) = (0, 0);
        }
    }

    /// A group that was cut short: two letters are one octet, three are two.
    fn flush(&mut self, out: &mut Vec<u8>) {
        match self.letters {
            2 => out.push((self.bits >> 4) as u8),
            3 => out.extend_from_slice(&((self.bits >> 2) as u16).to_be_bytes()),
            _ => {}
        }
        (self.bits, self.letters) = (0, 0);
    }
}

/// The alphabet of RFC 2045 §6.8, table 1.
fn value(octet: u8) -> Option<u32> {
    Some(u32::from(match octet {
        b'A'..=b'Z' => octet - b'A',
        b'a'..=b'z' => octet - b'a' + 26,
        b'0'..=b'9' => octet - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// Octets between a `=` and what it belongs to; a longer row of blanks is no soft line break.
const HELD_MAX: usize = 78;

#[derive(Debug, Clone, Default)]
struct QuotedPrintable {
    /// A `=` and what came after it, while it is not known what it means.
    held: Vec<u8>,
}

impl QuotedPrintable {
    fn push(&mut self, octet: u8, out: &mut Vec<u8>) {
        if self.held.is_empty() {
            if octet == b'=' {
                self.held.push(octet)
            } else {
                out.push(octet)
            }
            return;
        }
        let last = self.held[self.held.len() - 1];
        match (self.held.len(), octet) {
            (2, _) if octet.is_ascii_hexdigit() && last.is_ascii_hexdigit() => {
                out.push(digit(last) << 4 | digit(octet));
                self.held.clear();
            }
            // RFC 2045 §6.7 (5): a soft line break; blanks before the line end are to be taken for padding (3).
            (_, b'\n') if self.held[1..].iter().all(|held| matches!(held, b' ' | b'\t' | b'\r')) => self.held.clear(),
            (1, _) if octet.is_ascii_hexdigit() => self.held.push(octet),
            (..HELD_MAX, b' ' | b'\t' | b'\r') if !last.is_ascii_hexdigit() => self.held.push(octet),
            // No encoding: the octets stand for themselves.
            _ => {
                self.flush(out);
                self.push(octet, out);
            }
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }
}

fn digit(octet: u8) -> u8 {
    match octet {
        b'0'..=b'9' => octet - b'0',
        b'a'..=b'f' => octet - b'a' + 10,
        _ => octet.wrapping_sub(b'A') + 10,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use mail_parser::decoders::base64::base64_decode;
    use mail_parser::decoders::quoted_printable::quoted_printable_decode;
    use proptest::prelude::*;

    fn decoded(mut decoder: Decoder, body: &[u8], step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        body.chunks(step.max(1)).for_each(|piece| decoder.push(piece, &mut out));
        decoder.finish(&mut out);
        out
    }

    fn text(encoding: &str, body: &str) -> String {
        String::from_utf8(decoded(Decoder::new(encoding), body.as_bytes(), 3)).unwrap()
    }

    #[test]
    fn nothing_is_refused() {
        for (encoding, body, want) in [
            ("base64", "Y2lh\r\nbw==\r\n", "ciao"),
            ("base64", "Y2lhbw", "ciao"),
            ("base64", "Y!2\u{0}lh*bw=", "ciao"),
            ("base64", "Y2lhbw==Y2lhbw==", "ciaociao"),
            ("quoted-printable", "perch=C3=A9=\r\n no", "perché no"),
            ("quoted-printable", "a= \t\r\nb=\nc", "abc"),
            ("quoted-printable", "a=4z b=zz c=", "a=4z b=zz c="),
            ("quoted-printable", "=4=41==41", "=4A=A"),
            ("7bit", "Y2lhbw==", "Y2lhbw=="),
            ("x-uuencode", "begin 644 a", "begin 644 a"),
        ] {
            assert_eq!(text(encoding, body), want, "{encoding} {body:?}");
        }
    }

    #[test]
    fn the_other_reading_of_base64_ends_at_its_padding() {
        let body = b"Y2lhbw==Y2lhbw==";
        let mut decoder = Decoder::new("base64");
        decoder.push(body, &mut Vec::new());
        assert!(decoder.goes_on());
        assert_eq!(decoded(Decoder::until_padding("base64"), body, 5), b"ciao");
        let mut canonical = Decoder::new("base64");
        canonical.push(b"Y2lhbw==\r\n\r\n", &mut Vec::new());
        assert!(!canonical.goes_on());
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(body in prop::collection::vec(any::<u8>(), 0..200), step in 1_usize..20) {
            for encoding in ["base64", "quoted-printable", "8bit"] {
                let whole = decoded(Decoder::new(encoding), &body, body.len());
                prop_assert_eq!(decoded(Decoder::new(encoding), &body, step), whole);
            }
        }

        #[test]
        fn what_strict_readers_take_is_read_as_they_read_it(body in "[A-Za-z0-9+/]{0,60}", line in "[ -<>-~]{0,40}") {
            let body = &body[..body.len() / 4 * 4];
            prop_assert_eq!(decoded(Decoder::new("base64"), body.as_bytes(), 7), base64_decode(body.as_bytes()).unwrap());
            let line = format!("{line}=3D=\r\n=41x");
            let strict = quoted_printable_decode(line.as_bytes()).unwrap();
            prop_assert_eq!(decoded(Decoder::new("quoted-printable"), line.as_bytes(), 7), strict);
        }
    }
}
