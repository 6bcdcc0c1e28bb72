//! What a part says it is: Content-Type, Content-Transfer-Encoding, Content-Disposition.

use mail_parser::{HeaderValue, parsers::MessageStream};

use crate::header::{DECODED_FIELD_MAX, HeaderSection, RawParameters, terminated};

/// Longest boundary. RFC 2046 §5.1.1.
const BOUNDARY_MAX: usize = 70;
/// What RFC 2045 §6.1 defines; readers guess at anything else.
const ENCODINGS: [&str; 5] = ["7bit", "8bit", "binary", "quoted-printable", "base64"];

/// A media type ([RFC 2045 §5.1]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType {
    /// Such as `multipart`, in lower case.
    pub kind: String,
    /// Such as `signed`, in lower case.
    pub subtype: String,
    /// Names in lower case, values decoded ([RFC 2231]).
    pub parameters: Vec<(String, String)>,
}

impl ContentType {
    /// A type without parameters.
    pub fn new(kind: &str, subtype: &str) -> ContentType {
        ContentType { kind: kind.to_owned(), subtype: subtype.to_owned(), parameters: Vec::new() }
    }

    /// Whether it is this type, whatever its parameters.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind == kind && self.subtype == subtype
    }
}

/// The type, the encoding and the disposition of a part, and whether readers may take them differently.
pub(super) struct Content {
    pub content_type: ContentType,
    pub transfer_encoding: String,
    pub disposition: Option<(String, Vec<(String, String)>)>,
    /// Of a multipart that has one.
    pub boundary: Option<Vec<u8>>,
    pub ambiguous: bool,
}

impl Content {
    /// Reads the fields; `default` is the type of a part that has no field.
    pub(super) fn of(header: &HeaderSection, default: ContentType) -> Content {
        let mut ambiguous = header.has_malformed_line();
        for name in ["content-type", "content-transfer-encoding", "content-disposition"] {
            ambiguous |= header.count(name) > 1;
        }
        let transfer_encoding = transfer_encoding(header);
        ambiguous |= !ENCODINGS.contains(&transfer_encoding.as_str());
        let mut content =
            Content { content_type: default, transfer_encoding, disposition: None, boundary: None, ambiguous };
        content.read_type(header);
        content.read_disposition(header);
        content
    }

    /// Whether the body is in its own bytes: RFC 2045 §6.4 allows nothing else for composite types.
    pub(super) fn is_identity(&self) -> bool {
        matches!(self.transfer_encoding.as_str(), "7bit" | "8bit" | "binary")
    }

    /// Whether the body is a message to descend into.
    pub(super) fn is_message(&self) -> bool {
        let message = self.content_type.is("message", "rfc822") || self.content_type.is("message", "global");
        message && self.is_identity()
    }

    fn read_type(&mut self, header: &HeaderSection) {
        let Some(value) = header.raw("content-type", 0) else { return };
        let field = Parameterised::read(value);
        self.ambiguous |= field.ambiguous;
        let (Some(kind), Some(subtype)) = (field.word, field.subtype) else {
            // RFC 2045 §5.2: what cannot be read is text/plain; some readers guess another type.
            self.ambiguous = true;
            self.content_type = ContentType::new("text", "plain");
            return;
        };
        let escapes = field.raw.escapes;
        let raw_boundary = field.raw.get("boundary").map(<[u8]>::to_vec);
        self.content_type = ContentType { kind, subtype, parameters: field.parameters };
        if self.content_type.kind == "multipart" {
            self.ambiguous |= escapes || !self.is_identity();
            self.read_boundary(raw_boundary);
        } else if self.content_type.is("message", "rfc822") {
            self.ambiguous |= !self.is_identity();
        }
    }

    /// The boundary that the library decodes, if it can serve; ambiguous unless it is what is written.
    fn read_boundary(&mut self, raw: Option<Vec<u8>>) {
        let found = self.content_type.parameters.iter().find(|(name, _)| name == "boundary");
        let boundary = found.map(|(_, value)| value.as_bytes().to_vec()).filter(|b| !b.is_empty());
        let sound = |b: &[u8]| {
            let plain = b.iter().all(|c| matches!(c, b' '..=b'~') && !matches!(c, b'"' | b'\\'));
            plain && b.len() <= BOUNDARY_MAX && b.trim_ascii() == b
        };
        self.ambiguous |= boundary != raw || !boundary.as_deref().is_some_and(sound);
        // Longer than any line could be compared with, or with a line end inside, it never matches.
        self.boundary = boundary.filter(|b| b.len() <= super::scanner::BOUNDARY_KEPT && !b.contains(&b'\n'));
    }

    fn read_disposition(&mut self, header: &HeaderSection) {
        let Some(value) = header.raw("content-disposition", 0) else { return };
        let field = Parameterised::read(value);
        self.ambiguous |= field.ambiguous;
        match field.word {
            Some(word) => self.disposition = Some((word, field.parameters)),
            None => self.ambiguous = true,
        }
    }
}

/// RFC 2045 §6.1; a comment or other text makes it a word nobody knows.
fn transfer_encoding(header: &HeaderSection) -> String {
    match header.raw("content-transfer-encoding", 0) {
        Some(value) => String::from_utf8_lossy(value.trim_ascii()).to_ascii_lowercase(),
        None => "7bit".to_owned(),
    }
}

/// `word[/subtype] *(";" parameter)`.
struct Parameterised {
    word: Option<String>,
    subtype: Option<String>,
    parameters: Vec<(String, String)>,
    raw: RawParameters,
    ambiguous: bool,
}

impl Parameterised {
    fn read(value: &[u8]) -> Parameterised {
        let kept = &value[..value.len().min(DECODED_FIELD_MAX)];
        let raw = RawParameters::read(kept);
        let mut field = Parameterised {
            word: None,
            subtype: None,
            parameters: Vec::new(),
            raw,
            ambiguous: kept.len() < value.len(),
        };
        if let HeaderValue::ContentType(parsed) = MessageStream::new(&terminated(kept)).parse_content_type() {
            field.word = token(&parsed.c_type);
            field.subtype = parsed.c_subtype.as_deref().and_then(token);
            let attributes = parsed.attributes.unwrap_or_default();
            field.parameters =
                attributes.into_iter().map(|a| (a.name.to_ascii_lowercase(), a.value.into_owned())).collect();
        }
        field.ambiguous |= !field.raw.sound || field.raw.has_repetition() || field.has_two_values();
        field
    }

    /// One name with two decoded values: `filename=a.exe; filename*=utf-8''a.txt`.
    fn has_two_values(&self) -> bool {
        let mut sorted: Vec<_> = self.parameters.iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        sorted.windows(2).any(|pair| pair[0].0 == pair[1].0)
    }
}

/// `token` of RFC 2045 §5.1, in lower case.
fn token(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b);
    (!text.is_empty() && text.bytes().all(plain)).then(|| text.to_ascii_lowercase())
}
