//! JSON for people: keys and values, indented, in the order in which they were written.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The text of a JSON object. Absent values are left out, and no character of a value can do anything to a terminal: it
/// may be a stranger's.
pub fn text(json: &str) -> Result<String, serde_json::Error> {
    let mut out = String::new();
    write(&mut out, &serde_json::from_str(json)?, 0);
    out.truncate(out.trim_end().len());
    Ok(out)
}

/// A JSON value that keeps the order of its fields.
enum Node {
    Absent,
    Word(String),
    List(Vec<Node>),
    Fields(Vec<(String, Node)>),
}

fn write(out: &mut String, node: &Node, depth: usize) {
    match node {
        Node::Fields(fields) => {
            for (key, value) in fields.iter().filter(|(_, value)| !matches!(value, Node::Absent)) {
                indent(out, depth);
                out.push_str(&plain(key).replace('-', " "));
                out.push(':');
                below(out, value, depth);
            }
        }
        Node::List(items) => {
            for item in items {
                indent(out, depth);
                out.push('-');
                match item {
                    Node::Fields(_) => {
                        let mut inner = String::new();
                        write(&mut inner, item, depth + 1);
                        out.push(' ');
                        out.push_str(inner.trim_start());
                    }
                    _ => below(out, item, depth),
                }
            }
        }
        _ => below(out, node, depth),
    }
}

/// What follows a colon or a dash: on the same line, or below and further in.
fn below(out: &mut String, node: &Node, depth: usize) {
    let word = match node {
        Node::Fields(fields) if fields.is_empty() => "none",
        Node::List(items) if items.is_empty() => "none",
        Node::Absent => "none",
        Node::Word(word) => word,
        Node::Fields(_) | Node::List(_) => {
            out.push('\n');
            return write(out, node, depth + 1);
        }
    };
    for (number, line) in word.split('\n').enumerate() {
        match number {
            0 => out.push(' '),
            _ => indent(out, depth + 1),
        }
        out.push_str(&plain(line));
        out.push('\n');
    }
}

/// Without what moves a cursor, changes colours or turns the direction of writing.
pub fn plain(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if harmful(c) { '?' } else { c }).collect()
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Absent)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Word(if value { "yes" } else { "no" }.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Word(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Word(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Word(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Word(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Fields(fields))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_lines_of_keys_and_values_in_its_own_order() {
        let json = r#"{"valid":true,"signed-by":{"name":"Alfa","unit":null,"certificates":[{"sha1":"ab","size":3}]},
                       "notes":["one","two"],"changes":[],"text":"a\nb"}"#;
        let wanted = "valid: yes\nsigned by:\n  name: Alfa\n  certificates:\n    - sha1: ab\n      size: 3\n\
                      notes:\n  - one\n  - two\nchanges: none\ntext: a\n  b";
        assert_eq!(text(json).unwrap(), wanted);
    }

    #[test]
    fn a_strangers_words_do_nothing_to_the_terminal() {
        let json = serde_json::json!({ "subject": "\u{1b}[2Jx\u{9b}1m\r\u{202e}y" }).to_string();
        assert_eq!(text(&json).unwrap(), "subject: ?[2Jx?1m??y");
    }
}
