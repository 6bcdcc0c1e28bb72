//! Lines out of what was read, bounded ([RFC 5321 §4.5.3.1]).

use bytes::{Buf, BytesMut};

use crate::limits::{AUTH_LINE_MAX, LINE_DISCARD_MAX};

/// What was read and not yet handled.
#[derive(Default)]
pub(super) struct Input {
    pub bytes: BytesMut,
    /// So much of `bytes` is known to have no LF.
    searched: usize,
    /// So much of an over-long line was thrown away.
    discarded: usize,
}

pub(super) enum Line {
    /// A line with its LF.
    Whole(BytesMut),
    /// A line over the limit ended and was thrown away.
    TooLong,
    /// A line over the limit goes on and on.
    Endless,
    /// No line yet.
    Partial,
}

impl Input {
    /// The next line. Never holds more than [`AUTH_LINE_MAX`] and one read.
    pub fn line(&mut self) -> Line {
        match memchr::memchr(b'\n', &self.bytes[self.searched..]) {
            Some(found) => {
                let line = self.bytes.split_to(self.searched + found + 1);
                self.searched = 0;
                let too_long = std::mem::take(&mut self.discarded) > 0 || line.len() > AUTH_LINE_MAX;
                if too_long { Line::TooLong } else { Line::Whole(line) }
            }
            None if self.discarded > 0 || self.bytes.len() > AUTH_LINE_MAX => {
                self.discarded += self.bytes.len();
                self.bytes.advance(self.bytes.len());
                self.searched = 0;
                if self.discarded > LINE_DISCARD_MAX { Line::Endless } else { Line::Partial }
            }
            None => {
                self.searched = self.bytes.len();
                Line::Partial
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_over_any_division() {
        let mut input = Input::default();
        let mut lines = Vec::new();
        for piece in ["NO", "OP\r", "\nQUIT\r\nx"] {
            input.bytes.extend_from_slice(piece.as_bytes());
            while let Line::Whole(line) = input.line() {
                lines.push(line.to_vec());
            }
        }
        assert_eq!(lines, [b"NOOP\r\n", b"QUIT\r\n"]);
        assert_eq!(&input.bytes[..], b"x");
    }

    #[test]
    fn a_line_without_end_is_never_held() {
        let mut input = Input::default();
        let mut read = 0;
        loop {
            input.bytes.extend_from_slice(&[b'A'; 4096]);
            read += 4096;
            assert!(input.bytes.len() <= AUTH_LINE_MAX + 4096);
            match input.line() {
                Line::Partial => {}
                Line::Endless => break,
                _ => panic!("there is no LF"),
            }
        }
        assert!(read <= LINE_DISCARD_MAX + AUTH_LINE_MAX + 8192);

        let mut input = Input::default();
        input.bytes.extend_from_slice(&[b'A'; AUTH_LINE_MAX + 1]);
        assert!(matches!(input.line(), Line::Partial));
        input.bytes.extend_from_slice(b"A\r\nNOOP\r\n");
        assert!(matches!(input.line(), Line::TooLong));
        assert!(matches!(input.line(), Line::Whole(line) if &line[..] == b"NOOP\r\n"));
    }
}
