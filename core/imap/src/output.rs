//! Writes responses: small ones are collected, the content of messages is streamed in pieces.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sigillo_mail::rope::CHUNK;
use sigillo_mail::{Rope, Segment, Source};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::{OUTPUT_CHUNK, WRITE_TIMEOUT};

/// The way to the client.
pub(crate) struct Output<'a> {
    writer: &'a mut (dyn AsyncWrite + Send + Unpin),
    buffer: BytesMut,
}

impl<'a> Output<'a> {
    pub fn new(writer: &'a mut (dyn AsyncWrite + Send + Unpin)) -> Output<'a> {
        Output { writer, buffer: BytesMut::new() }
    }

    /// Adds bytes as they are.
    pub fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.buffer.extend_from_slice(bytes.as_ref());
    }

    /// One line.
    pub fn line(&mut self, text: fmt::Arguments<'_>) {
        self.raw(text.to_string());
        self.raw(b"\r\n");
    }

    /// One untagged response.
    pub fn untagged(&mut self, text: fmt::Arguments<'_>) {
        self.raw(b"* ");
        self.line(text);
    }

    /// Sends what was collected once it is worth a write.
    pub async fn relieve(&mut self) -> io::Result<()> {
        if self.buffer.len() >= OUTPUT_CHUNK { self.flush().await } else { Ok(()) }
    }

    /// Sends all that was collected. A client that does not take it within [`WRITE_TIMEOUT`] loses the connection.
    pub async fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            let bytes = self.buffer.split();
            self.write(&bytes).await?;
        }
        // A quiet connection should not hold a large buffer.
        self.buffer = BytesMut::new();
        timeout(WRITE_TIMEOUT, self.writer.flush()).await?
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(WRITE_TIMEOUT, self.writer.write_all(bytes)).await?
    }

    /// A literal with the content of a rope. Its length is promised first, so a failing read can only end the
    /// connection.
    pub async fn literal_rope(&mut self, rope: &Rope, source: &Arc<dyn Source>) -> io::Result<()> {
        self.raw(format!("{{{}}}\r\n", rope.len()));
        for segment in rope.segments() {
            match segment {
                Segment::Literal(bytes) => {
                    for piece in bytes.chunks(CHUNK) {
                        self.raw(piece);
                        self.relieve().await?;
                    }
                }
                Segment::Range(_) => {
                    let part = {
                        let mut part = Rope::new();
                        part.push(segment.clone());
                        part
                    };
                    let mut at = 0;
                    while at < part.len() {
                        let piece = read(&part, source, at, CHUNK).await?;
                        at += piece.len() as u64;
                        self.raw(&piece);
                        self.relieve().await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// `string`: quoted where that is possible, else a literal ([RFC 3501 §4.3]).
    pub fn string(&mut self, bytes: &[u8]) {
        const QUOTED_MAX: usize = 1024;
        if bytes.len() <= QUOTED_MAX && bytes.iter().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
            self.raw(b"\"");
            for b in bytes {
                if matches!(b, b'"' | b'\\') {
                    self.raw(b"\\");
                }
                self.raw([*b]);
            }
            self.raw(b"\"");
        } else {
            self.literal(bytes);
        }
    }

    /// A literal. NUL cannot be in one (CHAR8, RFC 3501 §9) and is left out before the count.
    pub fn literal(&mut self, bytes: &[u8]) {
        if bytes.contains(&0) {
            let clean: Vec<u8> = bytes.iter().copied().filter(|b| *b != 0).collect();
            return self.literal(&clean);
        }
        self.raw(format!("{{{}}}\r\n", bytes.len()));
        self.raw(bytes);
    }

    /// `nstring`
    pub fn nstring(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.string(bytes),
            None => self.raw(b"NIL"),
        }
    }
}

/// Reads of a rope, off the threads that serve connections where a disk may be touched.
pub(crate) async fn read(rope: &Rope, source: &Arc<dyn Source>, offset: u64, max: usize) -> io::Result<Bytes> {
    let part = rope.slice(offset, max as u64);
    if part.segments().iter().all(|s| matches!(s, Segment::Literal(_))) {
        return part.to_bytes(source.as_ref());
    }
    let source = source.clone();
    tokio::task::spawn_blocking(move || part.to_bytes(source.as_ref())).await.map_err(io::Error::other)?
}

/// A folder's name as an `astring`-compatible string of a response.
pub(crate) fn folder(name: &str) -> String {
    let wire = crate::name::encode(name);
    format!("\"{}\"", wire.replace('\\', "\\\\").replace('"', "\\\""))
}
