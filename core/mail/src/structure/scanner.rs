//! The scan itself: line by line, over chunks cut anywhere, with a stack of open parts instead of recursion.

use bytes::Bytes;

use super::content::{Content, ContentType};
use super::{DEPTH_MAX, HEADERS_MAX, PARTS_MAX, Part, Structure, StructureError};
use crate::header::HeaderSection;

/// Octets of a body line that are looked at: a longer line is no delimiter. RFC 5322 §2.1.1.
const LINE_KEPT: usize = 1000;
/// Longest boundary that can match, octets; a legal one has at most 70. Leaves room for `--` twice and the line end.
pub(super) const BOUNDARY_KEPT: usize = 900;

/// Finds the structure of a message while its bytes arrive.
///
/// Time is linear in the bytes; memory is bounded by [`HEADERS_MAX`], [`PARTS_MAX`] and [`DEPTH_MAX`]. How the bytes
/// are cut into pieces does not matter.
pub struct Scanner {
    parts: Vec<Part>,
    /// From the root to the part in progress.
    open: Vec<Open>,
    /// The header section in progress; `None` inside a body.
    header: Option<Vec<u8>>,
    headers_kept: usize,
    line_start: u64,
    previous_ending: LineEnd,
    line_ends: u64,
    partial: Partial,
    failure: Option<StructureError>,
}

/// A part whose end is not known.
struct Open {
    part: usize,
    boundary: Option<Vec<u8>>,
    /// The end boundary was seen.
    closed: bool,
    lines_before: u64,
}

/// A line of which the end has not come yet.
#[derive(Default)]
struct Partial {
    kept: Vec<u8>,
    length: u64,
    last: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    None,
    Lf,
    CrLf,
}

impl LineEnd {
    fn length(self) -> u64 {
        match self {
            LineEnd::None => 0,
            LineEnd::Lf => 1,
            LineEnd::CrLf => 2,
        }
    }
}

/// One line: its first octets, its whole length and how it ends.
struct Line<'a> {
    kept: &'a [u8],
    length: u64,
    ending: LineEnd,
}

struct Delimiter {
    level: usize,
    closing: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Scanner::new()
    }
}

impl Scanner {
    /// Before the first byte.
    pub fn new() -> Scanner {
        let mut scanner = Scanner {
            parts: Vec::new(),
            open: Vec::new(),
            header: None,
            headers_kept: 0,
            line_start: 0,
            previous_ending: LineEnd::None,
            line_ends: 0,
            partial: Partial::default(),
            failure: None,
        };
        scanner.begin_part(None, 0);
        scanner
    }

    /// Takes the next bytes. After a limit was passed they are ignored, and [`Scanner::finish`] says so.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.failure.is_none() {
            let end = memchr::memchr(b'\n', bytes).map(|at| at + 1);
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            bytes = rest;
            match (end, self.partial.length) {
                (Some(_), 0) => self.whole_line(piece),
                (Some(_), _) => self.end_of_line(piece),
                (None, _) => self.keep(piece),
            }
        }
    }

    /// Everything has come.
    pub fn finish(mut self) -> Result<Structure, StructureError> {
        if self.partial.length > 0 && self.failure.is_none() {
            self.end_of_line(b"");
        }
        if self.header.is_some() && self.failure.is_none() {
            self.end_header(self.line_start, false);
        }
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let size = self.line_start;
        self.close_above(0, size);
        self.close_last(size);
        Ok(Structure { parts: self.parts, size })
    }

    fn whole_line(&mut self, bytes: &[u8]) {
        let ending = if bytes.ends_with(b"\r\n") { LineEnd::CrLf } else { LineEnd::Lf };
        self.line(Line { kept: bytes, length: bytes.len() as u64, ending });
    }

    /// Keeps the start of a line that is not complete: of a body line only what a delimiter can need.
    fn keep(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        let limit = if self.header.is_some() { HEADERS_MAX + 1 } else { LINE_KEPT };
        let room = limit.saturating_sub(self.partial.kept.len());
        self.partial.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.partial.length += bytes.len() as u64;
        self.partial.last = *last;
    }

    fn end_of_line(&mut self, bytes: &[u8]) {
        let before = if bytes.len() > 1 { bytes[bytes.len() - 2] } else { self.partial.last };
        let ending = match (bytes.last(), before) {
            (None, _) => LineEnd::None,
            (Some(_), b'\r') => LineEnd::CrLf,
            (Some(_), _) => LineEnd::Lf,
        };
        self.keep(bytes);
        let mut partial = std::mem::take(&mut self.partial);
        self.line(Line { kept: &partial.kept, length: partial.length, ending });
        partial.kept.clear();
        self.partial = Partial { kept: partial.kept, ..Partial::default() };
    }

    fn line(&mut self, line: Line<'_>) {
        match self.delimiter(&line) {
            Some(delimiter) => self.take_delimiter(&delimiter, &line),
            None if self.header.is_some() => self.header_line(&line),
            None => {}
        }
        self.line_start += line.length;
        self.line_ends += u64::from(line.ending != LineEnd::None);
        self.previous_ending = line.ending;
    }

    /// Which open multipart this line delimits ([RFC 2046 §5.1.1]). Marks those that another reader would choose.
    fn delimiter(&mut self, line: &Line<'_>) -> Option<Delimiter> {
        let text = line.kept.strip_prefix(b"--")?;
        let cut = line.length > LINE_KEPT as u64;
        let text = if cut { &text[..text.len().min(LINE_KEPT - 2)] } else { text };
        for level in (0..self.open.len()).rev() {
            let open = &self.open[level];
            let Some(rest) = open.boundary.as_deref().and_then(|b| text.strip_prefix(b)) else { continue };
            let end = rest.strip_prefix(b"--").filter(|rest| is_padding(rest));
            if !cut && !open.closed && (end.is_some() || is_padding(rest)) {
                return Some(Delimiter { level, closing: end.is_some() });
            }
            self.parts[open.part].ambiguous = true;
        }
        None
    }

    fn take_delimiter(&mut self, delimiter: &Delimiter, line: &Line<'_>) {
        let level = delimiter.level;
        // A reader that ends lines at CRLF only does not see this boundary, or not here.
        let bare = line.ending == LineEnd::Lf || self.previous_ending == LineEnd::Lf;
        self.parts[self.open[level].part].ambiguous |= bare;
        let end = if self.header.is_some() {
            let index = self.open[self.open.len() - 1].part;
            self.end_header(self.line_start, false);
            self.parts[index].ambiguous = true;
            self.line_start
        } else {
            let last = &self.parts[self.open[self.open.len() - 1].part];
            last.body_offset.max(self.line_start.saturating_sub(self.previous_ending.length()))
        };
        self.close_above(level, end);
        if delimiter.closing {
            self.open[level].closed = true;
        } else {
            self.begin_part(Some(self.open[level].part), self.line_start + line.length);
        }
    }

    fn header_line(&mut self, line: &Line<'_>) {
        let Some(header) = &mut self.header else { return };
        if self.headers_kept + header.len() + line.kept.len() > HEADERS_MAX {
            self.failure = Some(StructureError::HeadersTooLarge);
            return;
        }
        header.extend_from_slice(line.kept);
        if matches!(line.kept, b"\r\n" | b"\n") {
            self.end_header(self.line_start + line.length, true);
        }
    }

    fn begin_part(&mut self, parent: Option<usize>, offset: u64) {
        if self.open.len() == DEPTH_MAX {
            self.failure = Some(StructureError::TooDeep);
            return;
        }
        if self.parts.len() == PARTS_MAX {
            self.failure = Some(StructureError::TooManyParts);
            return;
        }
        self.open.push(Open { part: self.parts.len(), boundary: None, closed: false, lines_before: 0 });
        self.parts.push(Part {
            parent,
            header_offset: offset,
            body_offset: offset,
            body_length: 0,
            lines: 0,
            content_type: ContentType::new("text", "plain"),
            transfer_encoding: String::new(),
            disposition: None,
            header: HeaderSection::default(),
            ambiguous: false,
        });
        self.header = Some(Vec::new());
    }

    /// The header section of the last open part ends and its body begins at `body_offset`. A body that cannot have
    /// bytes is not descended.
    fn end_header(&mut self, body_offset: u64, descend: bool) {
        let raw = self.header.take().unwrap_or_default();
        self.headers_kept += raw.len();
        let header = HeaderSection::parse(Bytes::from(raw));
        let last = self.open.len() - 1;
        let index = self.open[last].part;
        let content = Content::of(&header, self.default_type(index));
        let message = content.is_message();
        let part = &mut self.parts[index];
        part.ambiguous |= content.ambiguous;
        if let Some(boundary) = &content.boundary {
            part.ambiguous |= self.open[..last].iter().any(|outer| is_mistakable(boundary, outer));
        }
        part.body_offset = body_offset;
        part.header = header;
        part.content_type = content.content_type;
        part.transfer_encoding = content.transfer_encoding;
        part.disposition = content.disposition;
        self.open[last].boundary = content.boundary;
        // The empty line that ends the section is counted after this.
        self.open[last].lines_before = self.line_ends + u64::from(body_offset > self.line_start);
        if message && descend {
            self.begin_part(Some(index), body_offset);
        }
    }

    /// RFC 2046 §5.1.5: in a digest the default is a message.
    fn default_type(&self, index: usize) -> ContentType {
        let parent = self.parts[index].parent.map(|p| &self.parts[p].content_type);
        match parent {
            Some(parent) if parent.is("multipart", "digest") => ContentType::new("message", "rfc822"),
            _ => ContentType::new("text", "plain"),
        }
    }

    /// Ends all parts inside the one at `level`.
    fn close_above(&mut self, level: usize, end: u64) {
        while self.open.len() > level + 1 {
            self.close_last(end);
        }
    }

    fn close_last(&mut self, end: u64) {
        let Some(open) = self.open.pop() else { return };
        let part = &mut self.parts[open.part];
        part.body_length = end.saturating_sub(part.body_offset);
        // The line end before a boundary is the boundary's.
        let lines = self.line_ends - u64::from(end < self.line_start);
        part.lines = lines.saturating_sub(open.lines_before);
        // RFC 2046 §5.1.2: a missing end boundary is an error; readers differ in where the part ends.
        part.ambiguous |= part.content_type.kind == "multipart" && !open.closed;
    }
}

/// Whether one of two nested boundaries begins with the other (they may be equal), so that a reader that compares
/// only the beginnings of lines ends the wrong part.
fn is_mistakable(boundary: &[u8], outer: &Open) -> bool {
    let other = outer.boundary.as_deref().unwrap_or_default();
    !other.is_empty() && (boundary.starts_with(other) || other.starts_with(boundary))
}

/// `transport-padding` of RFC 2046 §5.1.1 and the line end.
fn is_padding(rest: &[u8]) -> bool {
    let rest = rest.strip_suffix(b"\n").map_or(rest, |r| r.strip_suffix(b"\r").unwrap_or(r));
    rest.iter().all(|b| matches!(b, b' ' | b'\t'))
}
