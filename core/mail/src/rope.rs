//! Message content as a list of segments: bytes in memory, or a range of an immutable file.
//!
//! A message of 100 MB is never copied: the envelope around it is a few kilobytes of literals around one range.
//! Reading goes through [`Source`], which the store implements; this module does no input or output itself.

use std::io;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Size of the pieces in which content is streamed, octets. Larger reads gain nothing (measured: a 512 KiB ranged
/// read is no faster per byte than a 64 KiB one).
pub const CHUNK: usize = 64 * 1024;

/// Where the bytes of a [`Range`] are read. Reads are positioned and never change anything.
pub trait Source: Send + Sync {
    /// Fills `buffer` with the bytes of segment file `file` that begin at `offset`. Fewer bytes than asked for is an
    /// error: a range names bytes that exist.
    fn read_exact_at(&self, file: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// A source for ropes that hold only literals, in tests and tools.
#[derive(Debug, Clone, Copy)]
pub struct NoSource;

impl Source for NoSource {
    fn read_exact_at(&self, file: u64, _: u64, _: &mut [u8]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::NotFound, format!("no segment file {file} here")))
    }
}

/// Bytes of one segment file of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Range {
    /// Number of the segment file.
    pub file: u64,
    /// First byte.
    pub offset: u64,
    /// Count of bytes.
    pub length: u64,
}

/// One piece of a [`Rope`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Bytes in memory, shared and immutable.
    Literal(Bytes),
    /// Bytes on disk.
    Range(Range),
}

impl Segment {
    /// Octets in this piece.
    pub fn length(&self) -> u64 {
        match self {
            Segment::Literal(bytes) => bytes.len() as u64,
            Segment::Range(range) => range.length,
        }
    }

    fn slice(&self, from: u64, length: u64) -> Segment {
        match self {
            Segment::Literal(bytes) => Segment::Literal(bytes.slice(from as usize..(from + length) as usize)),
            Segment::Range(r) => Segment::Range(Range { file: r.file, offset: r.offset + from, length }),
        }
    }
}

/// The content of a message, or of a part of one: cheap to clone, to slice and to splice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rope {
    segments: Vec<Segment>,
    length: u64,
}

impl Rope {
    /// No bytes.
    pub fn new() -> Rope {
        Rope::default()
    }

    /// All of `bytes`.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Rope {
        let mut rope = Rope::new();
        rope.push(Segment::Literal(bytes.into()));
        rope
    }

    /// One range.
    pub fn from_range(range: Range) -> Rope {
        let mut rope = Rope::new();
        rope.push(Segment::Range(range));
        rope
    }

    /// Octets.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The pieces in order; none is empty.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Adds a piece at the end; an empty one is left out, a range that continues the last one is joined to it.
    pub fn push(&mut self, segment: Segment) {
        if segment.length() == 0 {
            return;
        }
        self.length += segment.length();
        if let (Some(Segment::Range(last)), Segment::Range(next)) = (self.segments.last_mut(), &segment)
            && last.file == next.file
            && last.offset + last.length == next.offset
        {
            last.length += next.length;
            return;
        }
        self.segments.push(segment);
    }

    /// Adds bytes at the end.
    pub fn push_bytes(&mut self, bytes: impl Into<Bytes>) {
        self.push(Segment::Literal(bytes.into()));
    }

    /// Adds all of `other` at the end.
    pub fn append(&mut self, other: &Rope) {
        for segment in &other.segments {
            self.push(segment.clone());
        }
    }

    /// The bytes from `offset`, at most `length` of them; what lies beyond the end is left out.
    pub fn slice(&self, offset: u64, length: u64) -> Rope {
        let mut rope = Rope::new();
        let (mut skip, mut left) = (offset, length);
        for segment in &self.segments {
            let size = segment.length();
            if skip >= size {
                skip -= size;
                continue;
            }
            if left == 0 {
                break;
            }
            let take = left.min(size - skip);
            rope.push(segment.slice(skip, take));
            left -= take;
            skip = 0;
        }
        rope
    }

    /// At most `max` bytes from `offset`; fewer at the end, none beyond it.
    pub fn read(&self, source: &dyn Source, offset: u64, max: usize) -> io::Result<Bytes> {
        let part = self.slice(offset, max as u64);
        if let [Segment::Literal(bytes)] = part.segments.as_slice() {
            return Ok(bytes.clone());
        }
        let mut out = BytesMut::zeroed(part.length as usize);
        let mut at = 0;
        for segment in &part.segments {
            let end = at + segment.length() as usize;
            match segment {
                Segment::Literal(bytes) => out[at..end].copy_from_slice(bytes),
                Segment::Range(r) => source.read_exact_at(r.file, r.offset, &mut out[at..end])?,
            }
            at = end;
        }
        Ok(out.freeze())
    }

    /// Every byte in memory: only for content known to be small.
    pub fn to_bytes(&self, source: &dyn Source) -> io::Result<Bytes> {
        self.read(source, 0, self.length as usize)
    }

    /// The content in order, in pieces of at most [`CHUNK`] octets.
    pub fn chunks<'a>(&'a self, source: &'a dyn Source) -> impl Iterator<Item = io::Result<Bytes>> + 'a {
        self.segments.iter().flat_map(move |segment| {
            let size = segment.length();
            (0..size).step_by(CHUNK).map(move |from| {
                let length = (size - from).min(CHUNK as u64);
                match segment.slice(from, length) {
                    Segment::Literal(bytes) => Ok(bytes),
                    Segment::Range(r) => {
                        let mut buffer = BytesMut::zeroed(length as usize);
                        source.read_exact_at(r.file, r.offset, &mut buffer)?;
                        Ok(buffer.freeze())
                    }
                }
            })
        })
    }

    /// SHA-256 of the content, streamed.
    pub fn sha256(&self, source: &dyn Source) -> io::Result<[u8; 32]> {
        let mut hash = Sha256::new();
        for chunk in self.chunks(source) {
            hash.update(&chunk?);
        }
        Ok(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Alphabet;
    impl Source for Alphabet {
        fn read_exact_at(&self, _: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            for (i, b) in buffer.iter_mut().enumerate() {
                *b = b'a' + ((offset as usize + i) % 26) as u8;
            }
            Ok(())
        }
    }

    fn sample() -> Rope {
        let mut rope = Rope::from_bytes("<<");
        rope.push(Segment::Range(Range { file: 1, offset: 0, length: 5 }));
        rope.push(Segment::Range(Range { file: 1, offset: 5, length: 3 }));
        rope.push_bytes(">>");
        rope
    }

    #[test]
    fn adjacent_ranges_join_and_bytes_come_in_order() {
        let rope = sample();
        assert_eq!(rope.segments().len(), 3);
        assert_eq!(&rope.to_bytes(&Alphabet).unwrap()[..], b"<<abcdefgh>>");
    }

    #[test]
    fn every_slice_equals_the_slice_of_the_bytes() {
        let (rope, whole) = (sample(), b"<<abcdefgh>>");
        for from in 0..=whole.len() {
            for length in 0..=whole.len() + 2 {
                let want = &whole[from..(from + length).min(whole.len())];
                assert_eq!(&rope.slice(from as u64, length as u64).to_bytes(&Alphabet).unwrap()[..], want);
                let chunks: Vec<u8> =
                    rope.slice(from as u64, length as u64).chunks(&Alphabet).flat_map(|c| c.unwrap()).collect();
                assert_eq!(chunks, want);
            }
        }
    }

    #[test]
    fn the_digest_is_that_of_the_bytes() {
        let want: [u8; 32] = Sha256::digest(b"<<abcdefgh>>").into();
        assert_eq!(sample().sha256(&Alphabet).unwrap(), want);
    }
}
