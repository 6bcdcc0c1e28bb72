//! Reading a map key by key, so that what nobody asked for is found.

use super::{Entry, Node, Value};
use crate::diagnostic::{Position, Report, suggestion};

/// A map being read. Ask for every key it may have, then [`Map::finish`].
#[derive(Debug)]
pub struct Map<'a> {
    entries: &'a [Entry],
    position: Position,
    what: &'static str,
    known: Vec<&'static str>,
}

impl<'a> Map<'a> {
    /// The map in `node`; `what` names it in messages («the policy», «a step»).
    pub fn of(node: &'a Node, what: &'static str, report: &mut Report) -> Option<Map<'a>> {
        match &node.value {
            Value::Map(entries) => Some(Map { entries, position: node.position, what, known: Vec::new() }),
            Value::Null => {
                report.error(node.position, "E203", format!("{what} must be a map of keys and values, but is empty"));
                None
            }
            Value::Refused => None,
            other => {
                let message = format!("{what} must be a map of keys and values, not {}", other.kind());
                report.error(node.position, "E203", message);
                None
            }
        }
    }

    /// Says where a missing key is reported: at the name of the map instead of its first key.
    pub fn at(self, position: Position) -> Map<'a> {
        Map { position, ..self }
    }

    /// Where a missing key is reported; where the map begins, if nothing else was said.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The value of a key that may be absent. A key without a value counts as absent only when it is not there.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The same with the position of the key.
    pub fn entry(&mut self, key: &'static str) -> Option<&'a Entry> {
        self.known.push(key);
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of a key that must be there.
    pub fn require(&mut self, key: &'static str, report: &mut Report) -> Option<&'a Node> {
        let found = self.get(key);
        if found.is_none() {
            report.error(self.position, "E202", format!("{} has no '{key}'", self.what));
        }
        found
    }

    /// Reports every key that was not asked for.
    pub fn finish(self, report: &mut Report) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.key.as_str())) {
            let message = format!("unknown key '{}' in {}", entry.key, self.what);
            let help = suggestion(&entry.key, self.known.iter().copied());
            report.error_with_help(entry.position, "E201", message, help);
        }
    }
}

impl Node {
    /// Keys and values of a map with names of the operator's choice.
    pub fn entries(&self, what: &'static str, report: &mut Report) -> &[Entry] {
        match Map::of(self, what, report) {
            Some(map) => map.entries,
            None => &[],
        }
    }

    /// The items of a list.
    pub fn list(&self, what: &'static str, report: &mut Report) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Refused => &[],
            Value::Null => {
                report.error(self.position, "E203", format!("{what} must be a list, but is empty"));
                &[]
            }
            other => {
                let message = format!("{what} must be a list, not {}", other.kind());
                report.error_with_help(self.position, "E203", message, "write [a, b], or one '- item' a line");
                &[]
            }
        }
    }

    /// The items of a list, or the one value that stands for a list of one.
    pub fn list_or_one(&self, what: &'static str, report: &mut Report) -> &[Node] {
        match &self.value {
            Value::Boolean(_) | Value::Integer(_) | Value::Float(..) | Value::Text(_) => std::slice::from_ref(self),
            _ => self.list(what, report),
        }
    }
}
