//! Cuts the client's bytes into lines and literals ([RFC 3501 §4.3], RFC 7888), without input or output.
//!
//! A command is kept until it is whole; whether a literal may come is asked before a byte of it is taken, and the
//! literal of APPEND never enters this buffer.

use bytes::{Buf, Bytes, BytesMut};

/// What the bytes at hand amount to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Not yet anything: read more.
    More,
    /// A whole command, its literals inside, its CRLF at the end.
    Command(Bytes),
    /// A line ended with `{length}` or `{length+}`; the caller must answer with [`Frames::accept`] or
    /// [`Frames::abandon`].
    Literal(Announced),
    /// The line is longer than the limit; nothing after it can be understood.
    TooLong,
}

/// A literal that the client wants to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Octets.
    pub length: u64,
    /// The client waits for a continuation request.
    pub waits: bool,
    /// Literals of this command, this one included.
    pub count: usize,
}

/// The bytes received and not yet used.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    input: BytesMut,
    /// Octets of `input` that hold no line feed.
    scanned: usize,
    command: BytesMut,
    literals: usize,
    /// Octets of an accepted literal that still have to come.
    expected: usize,
}

impl Frames {
    /// Where to read to.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Whether the client sent more than was used: before TLS nothing may wait here (RFC 9051 §6.2.1, injection).
    pub fn is_empty(&self) -> bool {
        self.input.is_empty() && self.command.is_empty()
    }

    /// The next line alone, with its CRLF: an answer to a challenge, DONE, or the end of APPEND.
    pub fn line(&mut self, max: usize) -> Frame {
        let Some(end) = memchr::memchr(b'\n', &self.input[self.scanned..]) else {
            self.scanned = self.input.len();
            return if self.input.len() > max { Frame::TooLong } else { Frame::More };
        };
        let length = self.scanned + end + 1;
        if length > max {
            return Frame::TooLong;
        }
        self.scanned = 0;
        Frame::Command(self.input.split_to(length).freeze())
    }

    /// The next command, or the question whether a literal may come.
    pub fn command(&mut self, max: usize) -> Frame {
        if self.expected > 0 {
            let take = self.expected.min(self.input.len());
            self.command.extend_from_slice(&self.input[..take]);
            self.input.advance(take);
            self.expected -= take;
            if self.expected > 0 {
                return Frame::More;
            }
        }
        let line = match self.line(max) {
            Frame::Command(line) => line,
            other => return other,
        };
        let announced = literal_at_end(&line);
        if announced.is_none() && self.command.is_empty() {
            return Frame::Command(line);
        }
        self.command.extend_from_slice(&line);
        match announced {
            Some((length, waits)) => {
                self.literals += 1;
                Frame::Literal(Announced { length, waits, count: self.literals })
            }
            None => {
                self.literals = 0;
                Frame::Command(self.command.split().freeze())
            }
        }
    }

    /// What came of the command so far, up to the announced literal.
    pub fn so_far(&self) -> &[u8] {
        &self.command
    }

    /// The announced literal will be part of the command.
    pub fn accept(&mut self, length: u64) {
        self.expected = length as usize;
    }

    /// The command so far is forgotten: it was refused, or its literal goes elsewhere.
    pub fn abandon(&mut self) {
        self.command.clear();
        self.literals = 0;
        self.expected = 0;
    }

    /// At most `max` octets of what has come: the message of APPEND.
    pub fn take(&mut self, max: u64) -> Bytes {
        let length = self.input.len().min(usize::try_from(max).unwrap_or(usize::MAX));
        self.scanned = 0;
        self.input.split_to(length).freeze()
    }
}

/// The `{length}` or `{length+}` before the line's end. A number beyond 64 bits is as good as the largest.
fn literal_at_end(line: &[u8]) -> Option<(u64, bool)> {
    let line = line.strip_suffix(b"\r\n")?.strip_suffix(b"}")?;
    let (line, waits) = match line.strip_suffix(b"+") {
        Some(line) => (line, false),
        None => (line, true),
    };
    let digits = line.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (head, number) = line.split_at(line.len() - digits);
    if digits == 0 || head.last() != Some(&b'{') {
        return None;
    }
    let length = number.iter().try_fold(0u64, |n, b| n.checked_mul(10)?.checked_add(u64::from(b - b'0')));
    Some((length.unwrap_or(u64::MAX), waits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(bytes: &[u8]) -> Frames {
        let mut frames = Frames::default();
        frames.input().extend_from_slice(bytes);
        frames
    }

    #[test]
    fn a_command_with_literals_comes_whole() {
        let mut f = frames(b"a LOGIN {3}\r\n");
        assert_eq!(f.command(100), Frame::Literal(Announced { length: 3, waits: true, count: 1 }));
        f.accept(3);
        f.input().extend_from_slice(b"b\nb {2+}\r\n");
        assert_eq!(f.command(100), Frame::Literal(Announced { length: 2, waits: false, count: 2 }));
        f.accept(2);
        f.input().extend_from_slice(b"pw");
        assert_eq!(f.command(100), Frame::More);
        f.input().extend_from_slice(b"\r\nb NOOP\r\n");
        assert_eq!(f.command(100), Frame::Command(Bytes::from_static(b"a LOGIN {3}\r\nb\nb {2+}\r\npw\r\n")));
        assert_eq!(f.command(100), Frame::Command(Bytes::from_static(b"b NOOP\r\n")));
        assert_eq!(f.command(100), Frame::More);
    }

    #[test]
    fn an_endless_line_is_too_long_and_a_huge_number_is_huge() {
        assert_eq!(frames(&[b'x'; 200]).command(100), Frame::TooLong);
        assert_eq!(literal_at_end(b"a {99999999999999999999999}\r\n"), Some((u64::MAX, true)));
        assert_eq!(literal_at_end(b"a {12}x\r\n"), None);
        assert_eq!(literal_at_end(b"a {}\r\n"), None);
        assert_eq!(literal_at_end(b"a 12}\r\n"), None);
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_split_does_not_matter(cut in 0usize..50) {
            let whole = b"a LOGIN {3+}\r\nabc {2+}\r\npw\r\nb NOOP\r\n";
            let cut = cut.min(whole.len());
            let (mut f, mut out) = (Frames::default(), Vec::new());
            for piece in [&whole[..cut], &whole[cut..]] {
                f.input().extend_from_slice(piece);
                loop {
                    match f.command(100) {
                        Frame::Command(c) => out.push(c),
                        Frame::Literal(l) => f.accept(l.length),
                        _ => break,
                    }
                }
            }
            prop_assert_eq!(out, vec![&whole[..whole.len() - 8], b"b NOOP\r\n"]);
        }
    }
}
