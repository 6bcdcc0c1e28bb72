//! Addresses as ENVELOPE shows them ([RFC 3501 §7.4.2]): names stay as they were written, encoded words included,
//! because the client decodes them. For display only; nothing decides by these.

use crate::limits::ENVELOPE_ADDRESSES_MAX;

/// One address structure, or the begin or end of a group.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub name: Option<Vec<u8>>,
    /// At-domain-list: the source route of old.
    pub route: Option<Vec<u8>>,
    pub mailbox: Option<Vec<u8>>,
    pub host: Option<Vec<u8>>,
}

/// Reads an address list as leniently as it can be written. RFC 5322 §3.4, §4.4.
pub(crate) fn parse(value: &[u8]) -> Vec<Address> {
    let mut reader =
        Reader { rest: value, phrase: Vec::new(), spec: Spec::default(), comment: None, found: Vec::new() };
    while reader.found.len() < ENVELOPE_ADDRESSES_MAX && reader.step() {}
    reader.end_bare();
    reader.found
}

struct Reader<'a> {
    rest: &'a [u8],
    /// Words so far: a display name if an angle bracket or a colon follows.
    phrase: Vec<u8>,
    /// The same without blanks: an address if none follows.
    spec: Spec,
    comment: Option<Vec<u8>>,
    found: Vec<Address>,
}

/// An address without its angle brackets, quotes removed.
#[derive(Default)]
struct Spec {
    text: Vec<u8>,
    at: Option<usize>,
}

impl Spec {
    fn split(self) -> (Vec<u8>, Vec<u8>) {
        match self.at {
            Some(at) => (self.text[..at].to_vec(), self.text[at + 1..].to_vec()),
            // NIL would mean a group: an address without a host has an empty one.
            None => (self.text, Vec::new()),
        }
    }
}

impl Reader<'_> {
    /// Takes one token; false at the end.
    fn step(&mut self) -> bool {
        let Some((&first, tail)) = self.rest.split_first() else { return false };
        self.rest = tail;
        match first {
            b'"' => {
                let text = self.quoted();
                self.word(&text);
                self.spec.text.extend_from_slice(&text);
            }
            b'(' => {
                let text = self.comment();
                self.comment = Some(text);
            }
            b'<' => self.angle(),
            b',' => self.end_bare(),
            b':' => {
                let name = std::mem::take(&mut self.phrase);
                self.clear();
                self.found.push(Address { mailbox: Some(name), ..Address::default() });
            }
            b';' => {
                self.end_bare();
                self.found.push(Address::default());
            }
            b' ' | b'\t' | b'\r' | b'\n' | 0 => {}
            _ => self.atom(first),
        }
        true
    }

    fn atom(&mut self, first: u8) {
        let end = self.rest.iter().position(|b| b"\"(<,:; \t\r\n\0".contains(b)).unwrap_or(self.rest.len());
        let mut text = vec![first];
        text.extend_from_slice(&self.rest[..end]);
        self.rest = &self.rest[end..];
        self.word(&text);
        for byte in text {
            if byte == b'@' {
                self.spec.at = Some(self.spec.text.len());
            }
            self.spec.text.push(byte);
        }
    }

    fn word(&mut self, text: &[u8]) {
        if !self.phrase.is_empty() {
            self.phrase.push(b' ');
        }
        self.phrase.extend_from_slice(text);
    }

    /// The rest of a quoted string, quotes and folds removed.
    fn quoted(&mut self) -> Vec<u8> {
        let (mut text, mut escaped) = (Vec::new(), false);
        for (at, byte) in self.rest.iter().enumerate() {
            match byte {
                _ if escaped => {
                    escaped = false;
                    text.push(*byte);
                }
                b'\\' => escaped = true,
                b'"' => {
                    self.rest = &self.rest[at + 1..];
                    return text;
                }
                b'\r' | b'\n' | 0 => {}
                _ => text.push(*byte),
            }
        }
        self.rest = &[];
        text
    }

    /// The rest of a comment, nested ones included.
    fn comment(&mut self) -> Vec<u8> {
        let (mut text, mut depth, mut escaped) = (Vec::new(), 1u32, false);
        for (at, byte) in self.rest.iter().enumerate() {
            match byte {
                _ if escaped => {
                    escaped = false;
                    text.push(*byte);
                    continue;
                }
                b'\\' => {
                    escaped = true;
                    continue;
                }
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'\r' | b'\n' | 0 => continue,
                _ => {}
            }
            if depth == 0 {
                self.rest = &self.rest[at + 1..];
                return text;
            }
            text.push(*byte);
        }
        self.rest = &[];
        text
    }

    fn angle(&mut self) {
        let name = std::mem::take(&mut self.phrase);
        let mut spec = Spec::default();
        let mut route = None;
        while let Some((&first, tail)) = self.rest.split_first() {
            self.rest = tail;
            match first {
                b'>' => break,
                b'"' => spec.text.extend(self.quoted()),
                b'(' => drop(self.comment()),
                b':' if spec.text.first() == Some(&b'@') => route = Some(std::mem::take(&mut spec).text),
                b' ' | b'\t' | b'\r' | b'\n' | 0 => {}
                _ => {
                    if first == b'@' {
                        spec.at = Some(spec.text.len());
                    }
                    spec.text.push(first);
                }
            }
        }
        let (mailbox, host) = spec.split();
        let name = Some(name).filter(|n| !n.is_empty());
        self.found.push(Address { name, route, mailbox: Some(mailbox), host: Some(host) });
        self.clear();
    }

    /// An address without angle brackets ends; its name may stand in a comment behind it, as of old.
    fn end_bare(&mut self) {
        if !self.spec.text.is_empty() {
            let (mailbox, host) = std::mem::take(&mut self.spec).split();
            let name = self.comment.take().filter(|n| !n.is_empty());
            self.found.push(Address { name, route: None, mailbox: Some(mailbox), host: Some(host) });
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.phrase.clear();
        self.spec = Spec::default();
        self.comment = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Vec<String> {
        let part =
            |p: &Option<Vec<u8>>| p.as_ref().map_or("NIL".to_owned(), |p| String::from_utf8_lossy(p).into_owned());
        let line = |a: &Address| format!("{}|{}|{}|{}", part(&a.name), part(&a.route), part(&a.mailbox), part(&a.host));
        parse(text.as_bytes()).iter().map(line).collect()
    }

    #[test]
    fn addresses_are_read_in_all_their_forms() {
        let cases = [
            ("a@b.example", "NIL|NIL|a|b.example"),
            ("Mario Rossi <m.rossi@pec.example>", "Mario Rossi|NIL|m.rossi|pec.example"),
            ("\"Rossi, Mario\" <m@x>", "Rossi, Mario|NIL|m|x"),
            ("=?utf-8?q?Per=C3=B2?= <m@x>", "=?utf-8?q?Per=C3=B2?=|NIL|m|x"),
            ("m@x (Mario (il) Rossi)", "Mario (il) Rossi|NIL|m|x"),
            ("\"john doe\"@x", "NIL|NIL|john doe|x"),
            ("<@a,@b:m@x>", "NIL|@a,@b|m|x"),
            ("Mario\r\n Rossi\r\n\t<m@x>", "Mario Rossi|NIL|m|x"),
            ("nobody", "NIL|NIL|nobody|"),
            ("m@x <y@z", "m@x|NIL|y|z"),
        ];
        for (text, want) in cases {
            assert_eq!(shown(text), [want], "{text}");
        }
    }

    #[test]
    fn lists_and_groups_keep_their_order() {
        assert_eq!(
            shown("a@x, Team: b@x, C <c@x>;, ,d@x"),
            ["NIL|NIL|a|x", "NIL|NIL|Team|NIL", "NIL|NIL|b|x", "C|NIL|c|x", "NIL|NIL|NIL|NIL", "NIL|NIL|d|x"]
        );
        assert_eq!(shown("undisclosed-recipients:;"), ["NIL|NIL|undisclosed-recipients|NIL", "NIL|NIL|NIL|NIL"]);
        assert!(shown("").is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse(&value);
        }
    }
}
