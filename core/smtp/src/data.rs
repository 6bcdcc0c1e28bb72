//! Dot transparency, both ways ([RFC 5321 §4.5.2]), over any division into pieces.
//!
//! Only `CRLF.CRLF` ends content, and only CRLF ends a line. Servers that took `LF.LF`, `LF.CRLF`, `CR.CR` and the
//! like for the end let one sender's content hold a second message "from" somebody else (SMTP smuggling,
//! CVE-2023-51764, -51765, -51766). Repairing stray CR and LF would change bytes that a signature covers, so content
//! that holds one is read to its true end and refused as a whole.

use bytes::BytesMut;

/// Why content cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentFault {
    /// A CR without LF, an LF without CR (RFC 5321 §2.3.8) or a NUL (RFC 6152 §3, RFC 5322 §4).
    BadBytes,
    /// More octets than the limit (RFC 1870 §6.1).
    TooBig,
}

/// Where the receiver stands; names say what was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    LineStart,
    Dot,
    DotCr,
    Text,
    Cr,
}

/// Takes content off the wire: removes the dots that the sender added and finds the true end.
#[derive(Debug)]
pub struct Receiver {
    seen: Seen,
    fault: Option<ContentFault>,
    /// Octets of content so far.
    size: u64,
    /// Octets on the wire so far.
    wire: u64,
    limit: u64,
}

impl Receiver {
    /// For content of at most `limit` octets.
    pub fn new(limit: u64) -> Receiver {
        Receiver { seen: Seen::LineStart, fault: None, size: 0, wire: 0, limit }
    }

    /// What is wrong with the content so far. Once there is a fault nothing more is given out.
    pub fn fault(&self) -> Option<ContentFault> {
        self.fault
    }

    /// Octets of content so far, without added dots.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Octets taken from the wire so far, refused ones too.
    pub fn wire_octets(&self) -> u64 {
        self.wire
    }

    /// Takes `input`, appends content to `out`. `Some(n)`: the content ended, and the first `n` octets of `input`
    /// belong to it. `None`: all of `input` was taken and there is more to come.
    pub fn push(&mut self, input: &[u8], out: &mut BytesMut) -> Option<usize> {
        let mut at = 0;
        while at < input.len() {
            if self.seen == Seen::Text {
                let run = memchr::memchr3(b'\r', b'\n', 0, &input[at..]).unwrap_or(input.len() - at);
                self.emit(&input[at..at + run], out);
                at += run;
                if at == input.len() {
                    break;
                }
            }
            let byte = input[at];
            at += 1;
            if self.byte(byte, out) {
                self.wire += at as u64;
                return Some(at);
            }
        }
        self.wire += input.len() as u64;
        None
    }

    /// One octet through the state table; true at the end of the content.
    fn byte(&mut self, byte: u8, out: &mut BytesMut) -> bool {
        self.seen = match (self.seen, byte) {
            // RFC 5321 §4.1.1.4: the only end. The CRLF before the dot belongs to the content.
            (Seen::DotCr, b'\n') => return true,
            (Seen::Dot, b'\r') => Seen::DotCr,
            (Seen::LineStart, b'.') => Seen::Dot,
            (Seen::Cr, b'\n') => {
                self.emit(b"\r\n", out);
                Seen::LineStart
            }
            // Anything else after a CR, or after dot and CR, makes that CR a bare one.
            (Seen::Cr | Seen::DotCr, b'\r') => self.refuse(Seen::Cr),
            (Seen::Cr | Seen::DotCr, _) => self.refuse(Seen::Text),
            (_, b'\r') => Seen::Cr,
            (_, b'\n' | 0) => self.refuse(Seen::Text),
            // RFC 5321 §4.5.2: a dot that is not alone on its line was added by the sender.
            (Seen::LineStart | Seen::Dot | Seen::Text, _) => {
                self.emit(&[byte], out);
                Seen::Text
            }
        };
        false
    }

    fn emit(&mut self, bytes: &[u8], out: &mut BytesMut) {
        self.size += bytes.len() as u64;
        if self.size > self.limit {
            self.fault.get_or_insert(ContentFault::TooBig);
        }
        if self.fault.is_none() {
            out.extend_from_slice(bytes);
        }
    }

    fn refuse(&mut self, next: Seen) -> Seen {
        // Wins over "too big": content that may be smuggling ends the session.
        self.fault = Some(ContentFault::BadBytes);
        next
    }
}

/// Puts content on the wire: adds a dot to each line that begins with one, and the end.
#[derive(Debug)]
pub struct Stuffer {
    at_line_start: bool,
    after_cr: bool,
}

impl Default for Stuffer {
    fn default() -> Stuffer {
        Stuffer { at_line_start: true, after_cr: false }
    }
}

impl Stuffer {
    /// Appends `content` as it goes on the wire. The content has no bare CR or LF: see [`Scan`].
    pub fn push(&mut self, content: &[u8], out: &mut BytesMut) {
        let mut rest = content;
        while let Some(&first) = rest.first() {
            if self.at_line_start && first == b'.' {
                out.extend_from_slice(b".");
            }
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |lf| lf + 1);
            let (line, tail) = rest.split_at(end);
            out.extend_from_slice(line);
            let ended = line.last() == Some(&b'\n');
            let cr_before = if line.len() > 1 { line[line.len() - 2] == b'\r' } else { self.after_cr };
            self.at_line_start = ended && cr_before;
            self.after_cr = line.last() == Some(&b'\r');
            rest = tail;
        }
    }

    /// Appends the end of the content. Content whose last line has no CRLF gets one: RFC 5321 §4.1.1.4 knows no
    /// other way to end.
    pub fn finish(&mut self, out: &mut BytesMut) {
        if !self.at_line_start {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

/// What must be known of content before it is sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// There is an octet over 127: the next hop must offer 8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// There is a CR without LF, an LF without CR or a NUL: it is never sent, for the next hop might take it for an
    /// end (outbound smuggling).
    pub bad_bytes: bool,
    after_cr: bool,
}

impl Scan {
    /// Looks at the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.eight_bit |= !piece.is_ascii();
        let mut from = 0;
        if self.after_cr && !piece.is_empty() {
            self.bad_bytes |= piece[0] != b'\n';
            from = 1;
            self.after_cr = false;
        }
        while let Some(found) = piece.get(from..).and_then(|rest| memchr::memchr3(b'\r', b'\n', 0, rest)) {
            let at = from + found;
            match (piece[at], piece.get(at + 1)) {
                (b'\r', Some(b'\n')) => from = at + 2,
                (b'\r', None) => {
                    self.after_cr = true;
                    return;
                }
                _ => {
                    self.bad_bytes = true;
                    return;
                }
            }
        }
    }

    /// After the last piece.
    pub fn finish(mut self) -> Scan {
        self.bad_bytes |= self.after_cr;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content and fault of one message on the wire, and how much of the wire it took.
    fn receive(wire: &[u8]) -> (Vec<u8>, Option<ContentFault>, Option<usize>) {
        let (mut receiver, mut out) = (Receiver::new(1000), BytesMut::new());
        let end = receiver.push(wire, &mut out);
        (out.to_vec(), receiver.fault(), end)
    }

    #[test]
    fn only_added_dots_are_removed() {
        for (wire, content) in [
            (&b".\r\n"[..], &b""[..]),
            (b"\r\n.\r\n", b"\r\n"),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"..\r\n.\r\n", b".\r\n"),
            (b"...\r\n.\r\n", b"..\r\n"),
            (b".a\r\n.\r\n", b"a\r\n"),
            (b"a.\r\n.b.\r\n.\r\n", b"a.\r\nb.\r\n"),
        ] {
            assert_eq!(receive(wire), (content.to_vec(), None, Some(wire.len())), "{wire:?}");
        }
    }

    /// Each false end of the smuggling literature, followed by what an attacker would pipeline.
    #[test]
    fn no_false_end_ends_the_content() {
        let ends: [&[u8]; 12] = [
            b"\n.\n",
            b"\n.\r\n",
            b"\r\n.\n",
            b"\r.\r",
            b"\r.\r\n",
            b"\r\n.\r",
            b"\n\n.\r\n",
            b"\r\n\0.\r\n",
            b"\r\n.\0\r\n",
            b"\r\n.\r\r\n",
            b"\r\r\n.\r\r\n",
            b"\r.\n",
        ];
        for end in ends {
            let mut wire = b"a".to_vec();
            wire.extend_from_slice(end);
            wire.extend_from_slice(b"MAIL FROM:<victim@x.test>\r\nDATA\r\nhi\r\n.\r\n");
            let (_, fault, taken) = receive(&wire);
            assert_eq!(fault, Some(ContentFault::BadBytes), "{end:?}");
            assert_eq!(taken, Some(wire.len()), "{end:?} ended the content");
        }
    }

    #[test]
    fn too_much_is_swallowed_to_the_end() {
        let (mut receiver, mut out) = (Receiver::new(3), BytesMut::new());
        assert_eq!(receiver.push(b"a\r\nb\r\n.\r\nQUIT", &mut out), Some(9));
        assert_eq!(receiver.fault(), Some(ContentFault::TooBig));
        assert_eq!((receiver.size(), receiver.wire_octets()), (6, 9));
    }

    #[test]
    fn the_scan_sees_what_may_not_be_sent() {
        for (pieces, eight_bit, bad_bytes) in [
            (&["a\r\n", "b"][..], false, false),
            (&["a\r", "\nb"], false, false),
            (&["a\r", "b"], false, true),
            (&["a\r"], false, true),
            (&["a", "\n"], false, true),
            (&["\r", "\r\n"], false, true),
            (&["à\r\n"], true, false),
            (&["\0"], false, true),
        ] {
            let mut scan = Scan::default();
            pieces.iter().for_each(|p| scan.push(p.as_bytes()));
            let scan = scan.finish();
            assert_eq!((scan.eight_bit, scan.bad_bytes), (eight_bit, bad_bytes), "{pieces:?}");
        }
    }
}
