//! A small parser of messages: offsets by hand, words and addresses by another library.

use mail_parser::{HeaderValue, MessageParser};
use pec::host::{Address, Error, Message, Part};
use sha2::{Digest, Sha256};

pub struct Parsed {
    pub bytes: Vec<u8>,
    parts: Vec<Part>,
}

impl Parsed {
    pub fn new(bytes: &[u8]) -> Parsed {
        let mut parsed = Parsed { bytes: bytes.to_vec(), parts: Vec::new() };
        parsed.scan(None, 0, bytes.len());
        parsed
    }

    fn scan(&mut self, parent: Option<u32>, start: usize, end: usize) {
        let body = header_end(&self.bytes[..end], start);
        let head = [&self.bytes[start..body], b"\r\n"].concat();
        let parsed = MessageParser::default().parse_headers(&head[..]).expect("a header");
        let kind = parsed.root_part().headers.iter().find(|h| h.name().eq_ignore_ascii_case("content-type"));
        let kind = kind.and_then(|h| h.value.as_content_type());
        let media_type = kind.map_or("text/plain".to_owned(), |k| {
            format!("{}/{}", k.ctype(), k.subtype().unwrap_or_default()).to_ascii_lowercase()
        });
        let boundary = kind.and_then(|k| k.attribute("boundary")).map(String::from);
        let disposition =
            parsed.root_part().headers.iter().find(|h| h.name().eq_ignore_ascii_case("content-disposition"));
        let filename = disposition.and_then(|h| h.value.as_content_type()).and_then(|d| d.attribute("filename"));
        let filename = filename.or_else(|| kind.and_then(|k| k.attribute("name"))).map(String::from);
        let encoding =
            parsed.root_part().headers.iter().find(|h| h.name().eq_ignore_ascii_case("content-transfer-encoding"));
        let encoding = encoding.and_then(|h| h.value.as_text()).unwrap_or("7bit").to_ascii_lowercase();
        let index = self.parts.len() as u32;
        self.parts.push(Part {
            parent,
            media_type: media_type.clone(),
            transfer_encoding: encoding,
            filename,
            header_offset: start as u64,
            body_offset: body as u64,
            body_length: (end - body) as u64,
            ambiguous: false,
        });
        if media_type == "message/rfc822" {
            self.scan(Some(index), body, end);
        } else if let (true, Some(boundary)) = (media_type.starts_with("multipart/"), boundary) {
            self.scan_multipart(index, body, end, &boundary);
        }
    }

    fn scan_multipart(&mut self, index: u32, body: usize, end: usize, boundary: &str) {
        let delimiter = format!("\r\n--{boundary}");
        // The first delimiter may stand right after the empty line.
        let mut at = find(&self.bytes[..end], delimiter.as_bytes(), body.saturating_sub(2));
        while let Some(found) = at {
            let after = found + delimiter.len();
            if self.bytes[after..end].starts_with(b"--") {
                return;
            }
            let start = find(&self.bytes[..end], b"\r\n", after).map_or(end, |n| n + 2);
            let next = find(&self.bytes[..end], delimiter.as_bytes(), start.saturating_sub(2));
            self.scan(Some(index), start, next.unwrap_or(end));
            if next.is_none() {
                self.parts[index as usize].ambiguous = true;
            }
            at = next;
        }
    }

    fn fields(&self, name: &str) -> Vec<Vec<u8>> {
        let mut fields: Vec<Vec<u8>> = Vec::new();
        let mut wanted = false;
        for line in self.bytes[..self.header_size() as usize].split_inclusive(|&b| b == b'\n') {
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                if let (true, Some(last)) = (wanted, fields.last_mut()) {
                    last.extend_from_slice(line);
                }
                continue;
            }
            let colon = line.iter().position(|&b| b == b':').unwrap_or(0);
            wanted = line[..colon].eq_ignore_ascii_case(name.as_bytes());
            if wanted {
                fields.push(line.to_vec());
            }
        }
        fields
    }
}

fn header_end(bytes: &[u8], start: usize) -> usize {
    if bytes[start..].starts_with(b"\r\n") {
        return start + 2;
    }
    find(bytes, b"\r\n\r\n", start).map_or(bytes.len(), |n| n + 4)
}

fn find(bytes: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    bytes.get(from..)?.windows(needle.len()).position(|window| window == needle).map(|n| n + from)
}

impl Message for Parsed {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn header_size(&self) -> u64 {
        header_end(&self.bytes, 0) as u64
    }

    fn header_count(&self, name: &str) -> u32 {
        self.fields(name).len() as u32
    }

    fn header_text(&self, name: &str, index: u32) -> Option<String> {
        let field = self.fields(name).into_iter().nth(index as usize)?;
        let colon = field.iter().position(|&b| b == b':')?;
        // As unstructured text, whatever the field.
        let renamed = [b"Subject".to_vec(), field[colon..].to_vec(), b"\r\n".to_vec()].concat();
        Some(MessageParser::default().parse_headers(&renamed[..])?.subject().unwrap_or_default().to_owned())
    }

    fn header_field(&self, name: &str, index: u32) -> Option<Vec<u8>> {
        self.fields(name).into_iter().nth(index as usize)
    }

    fn addresses(&self, name: &str) -> Result<Vec<Address>, Error> {
        let mut found = Vec::new();
        for field in self.fields(name) {
            let message = [field, b"\r\n".to_vec()].concat();
            let parsed = MessageParser::default().parse_headers(&message[..]).ok_or(Error::NotFound)?;
            let Some(HeaderValue::Address(list)) = parsed.root_part().headers.first().map(|h| h.value.clone()) else {
                continue;
            };
            found.extend(list.iter().map(|a| Address {
                display_name: a.name().unwrap_or_default().to_owned(),
                mailbox: a.address().unwrap_or_default().to_owned(),
            }));
        }
        Ok(found)
    }

    fn parts(&self) -> Result<Vec<Part>, Error> {
        Ok(self.parts.clone())
    }

    fn read(&self, offset: u64, max: u32) -> Result<Vec<u8>, Error> {
        let start = (offset as usize).min(self.bytes.len());
        // Less than asked, so that nobody relies on getting all.
        Ok(self.bytes[start..(start + max.min(1000) as usize).min(self.bytes.len())].to_vec())
    }

    fn read_decoded(&self, part: u32) -> Result<Vec<u8>, Error> {
        use base64::Engine;
        let part = self.parts.get(part as usize).ok_or(Error::NotFound)?;
        let body = self.bytes[part.body_offset as usize..part.end() as usize].to_vec();
        if part.transfer_encoding != "base64" {
            return Ok(body);
        }
        let text: Vec<u8> = body.into_iter().filter(|b| !b.is_ascii_whitespace()).collect();
        base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| Error::Invalid("base64".into()))
    }

    fn sha256(&self, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
        Ok(Sha256::digest(&self.bytes[offset as usize..(offset + length) as usize]).to_vec())
    }

    fn find(&self, needle: &[u8], offset: u64, length: u64) -> Result<Option<u64>, Error> {
        Ok(find(&self.bytes[..(offset + length) as usize], needle, offset as usize).map(|n| n as u64))
    }
}
