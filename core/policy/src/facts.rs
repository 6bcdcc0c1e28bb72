//! What is known of the message at hand, and the conditions of a chain over it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::diagnostic::{Report, suggestion};
use crate::stage::Stage;
use crate::yaml::{Entry, Node, Value};

mod table;

use table::Kind;
pub use table::known_facts;

/// The value of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactValue {
    /// A text; compared without regard to the case of ASCII letters.
    Text(String),
    /// Several texts at once (the domains of all recipients): a condition holds if it holds for one of them.
    List(Vec<String>),
    /// A count, or octets.
    Number(u64),
    /// Yes or no.
    Boolean(bool),
}

impl From<&str> for FactValue {
    fn from(value: &str) -> FactValue {
        FactValue::Text(value.to_owned())
    }
}

impl From<String> for FactValue {
    fn from(value: String) -> FactValue {
        FactValue::Text(value)
    }
}

impl From<Vec<String>> for FactValue {
    fn from(value: Vec<String>) -> FactValue {
        FactValue::List(value)
    }
}

impl From<u64> for FactValue {
    fn from(value: u64) -> FactValue {
        FactValue::Number(value)
    }
}

impl From<bool> for FactValue {
    fn from(value: bool) -> FactValue {
        FactValue::Boolean(value)
    }
}

/// Facts by name. The names that a stage has are those of [`known_facts`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(BTreeMap<String, FactValue>);

impl Facts {
    /// Nothing is known.
    pub fn new() -> Facts {
        Facts::default()
    }

    /// Sets a fact.
    pub fn set(&mut self, name: &str, value: impl Into<FactValue>) -> &mut Facts {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// A fact, if it is known.
    pub fn get(&self, name: &str) -> Option<&FactValue> {
        self.0.get(name)
    }
}

/// `when:` of a chain: every named fact must have one of its values. The empty condition always holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition(BTreeMap<String, Vec<Test>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    /// In lower case.
    Text(String),
    Number(RangeInclusive<u64>),
    Boolean(bool),
}

impl Test {
    fn holds(&self, value: &FactValue) -> bool {
        match (self, value) {
            (Test::Text(wanted), FactValue::Text(text)) => text.eq_ignore_ascii_case(wanted),
            (Test::Text(wanted), FactValue::List(texts)) => texts.iter().any(|text| text.eq_ignore_ascii_case(wanted)),
            (Test::Number(range), FactValue::Number(number)) => range.contains(number),
            (Test::Boolean(wanted), FactValue::Boolean(value)) => wanted == value,
            _ => false,
        }
    }

    /// Whether this holds wherever `other` holds.
    fn covers(&self, other: &Test) -> bool {
        match (self, other) {
            (Test::Number(wide), Test::Number(narrow)) => wide.contains(narrow.start()) && wide.contains(narrow.end()),
            _ => self == other,
        }
    }
}

impl Condition {
    /// Whether it holds. A fact that is not known fulfils nothing.
    pub fn holds(&self, facts: &Facts) -> bool {
        self.0
            .iter()
            .all(|(name, tests)| facts.get(name).is_some_and(|value| tests.iter().any(|test| test.holds(value))))
    }

    /// Whether it always holds.
    pub fn is_always(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this holds wherever `other` holds: then a later chain under `other` never runs.
    pub(crate) fn covers(&self, other: &Condition) -> bool {
        self.0.iter().all(|(name, mine)| {
            let theirs = other.0.get(name);
            theirs.is_some_and(|theirs| theirs.iter().all(|test| mine.iter().any(|my| my.covers(test))))
        })
    }

    /// Reads `when:`; without a stage (it was wrong) only the shape is checked.
    pub(crate) fn read(node: &Node, stage: Option<Stage>, report: &mut Report) -> Condition {
        let mut condition = Condition::default();
        for entry in node.entries("'when'", report) {
            let Some(stage) = stage else { continue };
            if let Some(tests) = read_fact(entry, stage, report) {
                condition.0.insert(entry.key.clone(), tests);
            }
        }
        condition
    }
}

fn read_fact(entry: &Entry, stage: Stage, report: &mut Report) -> Option<Vec<Test>> {
    let name = entry.key.as_str();
    let Some(kind) = table::kind(name, stage) else {
        let elsewhere: Vec<_> =
            Stage::ALL.iter().filter(|s| table::kind(name, **s).is_some()).map(|s| s.as_str()).collect();
        if elsewhere.is_empty() {
            let help = suggestion(name, known_facts(stage));
            report.error_with_help(entry.position, "E201", format!("unknown fact '{name}'"), help);
        } else {
            let message = format!("fact '{name}' is not known at stage '{stage}'");
            report.error_with_help(entry.position, "E201", message, format!("it is at: {}", elsewhere.join(", ")));
        }
        return None;
    };
    let values = entry.node.list_or_one("the values of a fact", report);
    if values.is_empty() && entry.node.value == Value::List(Vec::new()) {
        report.error(entry.node.position, "E207", format!("fact '{name}' has no value: the chain would never run"));
    }
    let tests: Vec<Test> = values.iter().filter_map(|value| read_test(value, kind, name, report)).collect();
    (!tests.is_empty()).then_some(tests)
}

fn read_test(node: &Node, kind: Kind, name: &str, report: &mut Report) -> Option<Test> {
    match kind {
        Kind::Text => node.text(report).map(|text| Test::Text(text.to_ascii_lowercase())),
        Kind::Words(words) => {
            let words: Vec<_> = words.iter().map(|word| (*word, *word)).collect();
            node.word(&format!("value of '{name}'"), &words, report).map(|word| Test::Text(word.to_owned()))
        }
        Kind::Boolean => node.boolean(report).map(Test::Boolean),
        Kind::Number => read_number(node, false, report).map(Test::Number),
        Kind::Size => read_number(node, true, report).map(Test::Number),
    }
}

/// `100`, `>100`, `<=10MiB`.
fn read_number(node: &Node, is_size: bool, report: &mut Report) -> Option<RangeInclusive<u64>> {
    const EVERY: RangeInclusive<u64> = 0..=u64::MAX;
    let plain = |node: &Node, report: &mut Report| match is_size {
        true => node.size(EVERY, report),
        false => node.integer(EVERY, report),
    };
    let Value::Text(text) = &node.value else { return plain(node, report).map(|n| n..=n) };
    let rest = text.trim_start_matches(['<', '>', '=']);
    let operator = &text[..text.len() - rest.len()];
    if operator.is_empty() {
        return plain(node, report).map(|n| n..=n);
    }
    let rest = rest.trim();
    let value = match rest.parse::<i64>() {
        Ok(number) => Value::Integer(number),
        Err(_) => Value::Text(rest.to_owned()),
    };
    let number = plain(&Node { value, position: node.position }, report)?;
    let range = match operator {
        ">" => number.checked_add(1)?..=u64::MAX,
        ">=" => number..=u64::MAX,
        "<" => 0..=number.checked_sub(1)?,
        "<=" => 0..=number,
        _ => {
            let help = "possible here: >, >=, <, <=, or a number alone";
            report.error_with_help(node.position, "E205", format!("unknown comparison '{operator}'"), help);
            return None;
        }
    };
    Some(range)
}
