//! From what the library reads to the checked tree.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::{Entry, Node, Value, position};
use crate::diagnostic::{Position, Report};

/// A value as the library gives it.
pub(super) enum Raw {
    Null,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

impl Raw {
    /// Checks what serde would have hidden. `referenced` differs from `defined` where an alias stands.
    pub(super) fn into_node(self, referenced: Location, defined: Location, report: &mut Report) -> Node {
        let spelling = spelling(referenced, report);
        let at = position(referenced, self.width(&spelling));
        if referenced != defined {
            let message = "aliases are not used here";
            report.error_with_help(
                at,
                "E103",
                message,
                "write the value again: every policy says what it means in place",
            );
            return Node { value: Value::Refused, position: at };
        }
        let value = match self {
            Raw::Null => Value::Null,
            Raw::Boolean(value) => Value::Boolean(value),
            Raw::Integer(value) => match i64::try_from(value) {
                Ok(value) => Value::Integer(value),
                Err(_) => Value::Float(value as f64, spelling),
            },
            Raw::Float(value) => Value::Float(value, spelling),
            Raw::Text(text) => Value::Text(text),
            Raw::List(items) => {
                Value::List(items.into_iter().map(|i| i.value.into_node(i.referenced, i.defined, report)).collect())
            }
            Raw::Map(entries) => Value::Map(entries_of(entries, report)),
        };
        Node { value, position: at }
    }

    fn width(&self, spelling: &str) -> usize {
        match self {
            Raw::List(_) | Raw::Map(_) => 1,
            _ => spelling.lines().next().unwrap_or_default().trim_end().chars().count().max(1),
        }
    }
}

fn entries_of(entries: Vec<(Spanned<Raw>, Spanned<Raw>)>, report: &mut Report) -> Vec<Entry> {
    let mut map = Vec::with_capacity(entries.len());
    let mut seen: BTreeMap<String, Position> = BTreeMap::new();
    for (key, value) in entries {
        let key = key.value.into_node(key.referenced, key.defined, report);
        let node = if is_merge(&key) {
            let help = "write the keys out: every policy says what it means in place";
            report.error_with_help(key.position, "E103", "merge keys ('<<') are not used here", help);
            continue;
        } else {
            value.value.into_node(value.referenced, value.defined, report)
        };
        let Value::Text(name) = key.value else {
            report.error_with_help(key.position, "E105", "a key must be a text", "quote it");
            continue;
        };
        if let Some(first) = seen.get(&name) {
            let message = format!("key '{name}' stands twice in the same map");
            report.error_with_help(key.position, "E102", message, format!("it stands first in line {}", first.line));
            continue;
        }
        seen.insert(name.clone(), key.position);
        map.push(Entry { key: name, position: key.position, node });
    }
    map
}

fn is_merge(key: &Node) -> bool {
    key.value == Value::Text("<<".to_owned())
}

/// The value as written, with its quotes.
fn spelling(location: Location, report: &Report) -> String {
    let span = location.span();
    let (Some(start), Some(length)) = (span.byte_offset(), span.byte_len()) else { return String::new() };
    let text = report.source().text();
    let end = start.saturating_add(length).min(text.len() as u64) as usize;
    text.get(start as usize..end).unwrap_or_default().to_owned()
}
