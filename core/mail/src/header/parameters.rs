//! The parameters of a field as they stand in its bytes ([RFC 2045 §5.1]), to compare with what the library decodes.
//!
//! Decoding continuations and charsets ([RFC 2231]) hides what was written: two `boundary=` become one, or both are
//! joined. Readers differ there, and a scanner that sees other parts than the mail client is blind
//! (CVE-2024-28054). This reading is deliberately plain: it finds names and values, and tells where it had to guess.

/// Names and values, undecoded.
#[derive(Debug, Default)]
pub struct RawParameters {
    /// Names in lower case with their `*0*`, values without quotes.
    pub items: Vec<(String, Vec<u8>)>,
    /// No comments, every quote closes, every parameter is `name=token` or `name="quoted"`.
    pub sound: bool,
    /// A backslash quotes something in some value: common in file names, read differently in a boundary.
    pub escapes: bool,
}

impl RawParameters {
    /// Reads what follows the first `;` of a field's value.
    pub fn read(value: &[u8]) -> RawParameters {
        let mut found = RawParameters { sound: true, ..RawParameters::default() };
        let segments = found.segments(value);
        for segment in segments.iter().skip(1).map(|s| s.trim_ascii()).filter(|s| !s.is_empty()) {
            found.segment(segment);
        }
        found
    }

    /// Cuts at the semicolons outside quotes.
    fn segments<'a>(&mut self, value: &'a [u8]) -> Vec<&'a [u8]> {
        let (mut segments, mut start) = (Vec::new(), 0);
        let (mut quoted, mut escaped) = (false, false);
        for (at, byte) in value.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'(' | b')' => self.sound = false,
                b';' => {
                    segments.push(&value[start..at]);
                    start = at + 1;
                }
                _ => {}
            }
        }
        self.sound &= !quoted;
        segments.push(&value[start..]);
        segments
    }

    fn segment(&mut self, segment: &[u8]) {
        let Some(equals) = memchr::memchr(b'=', segment) else {
            self.sound = false;
            return;
        };
        let name = String::from_utf8_lossy(segment[..equals].trim_ascii()).to_ascii_lowercase();
        let value = segment[equals + 1..].trim_ascii();
        self.sound &= !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
        let value = if value.first() == Some(&b'"') { self.unquote(value) } else { self.token(value) };
        self.items.push((name, value));
    }

    fn unquote(&mut self, value: &[u8]) -> Vec<u8> {
        let (mut text, mut escaped) = (Vec::new(), false);
        for (at, byte) in value.iter().enumerate().skip(1) {
            match byte {
                _ if escaped => {
                    escaped = false;
                    text.push(*byte);
                }
                b'\\' => (escaped, self.escapes) = (true, true),
                b'"' => {
                    self.sound &= at + 1 == value.len();
                    return text;
                }
                // RFC 5322 §3.2.2: a fold stands for the blank after it.
                b'\r' | b'\n' => {}
                _ => text.push(*byte),
            }
        }
        self.sound = false;
        text
    }

    fn token(&mut self, value: &[u8]) -> Vec<u8> {
        // Other specials, as in `boundary=a=b`, are forbidden but every reader takes them alike.
        self.sound &= !value.iter().any(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'\\'));
        value.to_vec()
    }

    /// The first value under exactly this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.items.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice())
    }

    /// Whether a name stands twice, or a continuation stands beside the plain form.
    pub fn has_repetition(&self) -> bool {
        let mut names: Vec<&str> = self.items.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let twice = names.windows(2).any(|pair| pair[0] == pair[1]);
        let mixed = |name: &&str| {
            name.split_once('*').is_some_and(|(base, section)| {
                section.starts_with(|c: char| c.is_ascii_digit()) && names.binary_search(&base).is_ok()
            })
        };
        twice || names.iter().any(mixed)
    }
}
