//! Reading single values: text, booleans, numbers, sizes, durations and words of a closed set.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Node, Value};
use crate::diagnostic::{Report, suggestion};

impl Value {
    /// The kind of value, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null | Value::Refused => "empty",
            Value::Boolean(_) => "a boolean",
            Value::Integer(_) | Value::Float(..) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The same value as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null | Value::Refused => serde_json::Value::Null,
            Value::Boolean(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Float(value, _) => (*value).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(|item| item.value.to_json()).collect(),
            Value::Map(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.node.value.to_json())).collect()
            }
        }
    }
}

impl Node {
    pub(crate) fn wrong_type(&self, wanted: &str, help: Option<String>, report: &mut Report) {
        let message = match &self.value {
            Value::Refused => return,
            Value::Null => format!("expected {wanted}, but nothing is there"),
            other => format!("expected {wanted}, found {}", other.kind()),
        };
        match help {
            Some(help) => report.error_with_help(self.position, "E203", message, help),
            None => report.error(self.position, "E203", message),
        }
    }

    /// A text. Numbers and booleans are no text: `version: 1.10` would be 1.1.
    pub fn text(&self, report: &mut Report) -> Option<&str> {
        let help = match &self.value {
            Value::Text(text) => return Some(text),
            Value::Boolean(value) => Some(format!("quote it: \"{value}\"")),
            Value::Integer(value) => Some(format!("quote it: \"{value}\"")),
            Value::Float(_, spelling) => Some(format!("quote it: \"{spelling}\"")),
            _ => None,
        };
        self.wrong_type("a text", help, report);
        None
    }

    /// A text that is not empty.
    pub fn name(&self, report: &mut Report) -> Option<&str> {
        let text = self.text(report)?;
        if text.trim().is_empty() {
            report.error(self.position, "E207", "the text is empty");
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    pub fn boolean(&self, report: &mut Report) -> Option<bool> {
        let help = match &self.value {
            Value::Boolean(value) => return Some(*value),
            // YAML 1.1 read these as booleans, YAML 1.2 does not: whoever writes them must be asked.
            Value::Text(text) => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" | "true" => Some("write true, without quotes".to_owned()),
                "no" | "off" | "n" | "false" => Some("write false, without quotes".to_owned()),
                _ => None,
            },
            _ => None,
        };
        self.wrong_type("true or false", help, report);
        None
    }

    /// A whole number in a range.
    pub fn integer(&self, range: RangeInclusive<u64>, report: &mut Report) -> Option<u64> {
        match &self.value {
            Value::Integer(value) => self.in_range(u64::try_from(*value).ok(), &range, u64::to_string, report),
            Value::Float(_, spelling) if is_digits(spelling) => self.in_range(None, &range, u64::to_string, report),
            Value::Text(text) if is_digits(text) => {
                let help = "write it without quotes, leading zeros and underscores";
                self.wrong_type("a whole number", Some(help.to_owned()), report);
                None
            }
            _ => {
                self.wrong_type("a whole number", None, report);
                None
            }
        }
    }

    /// A size in octets: a whole number, alone or with `KiB`, `MiB`, `GiB`.
    pub fn size(&self, range: RangeInclusive<u64>, report: &mut Report) -> Option<u64> {
        const UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        let help = "write a whole number with a unit, such as 64MiB (units: B, KiB, MiB, GiB; 1KiB is 1024 octets)";
        let octets = match &self.value {
            Value::Integer(value) => u64::try_from(*value).ok(),
            Value::Float(_, spelling) if is_digits(spelling) => None,
            Value::Text(text) => match with_unit(text, &UNITS) {
                Some(octets) => Some(octets),
                None => {
                    report.error_with_help(self.position, "E205", format!("'{text}' is not a size"), help);
                    return None;
                }
            },
            _ => {
                self.wrong_type("a size", Some(help.to_owned()), report);
                return None;
            }
        };
        self.in_range(octets, &range, |n| show_size(*n), report)
    }

    /// A duration with its unit: `ms`, `s`, `m`, `h`, `d`.
    pub fn duration(&self, range: RangeInclusive<Duration>, report: &mut Report) -> Option<Duration> {
        const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        let help = "write a whole number with a unit, such as 200ms or 5s (units: ms, s, m, h, d)";
        let Value::Text(text) = &self.value else {
            self.wrong_type("a duration", Some(help.to_owned()), report);
            return None;
        };
        let Some(milliseconds) = with_unit(text, &UNITS) else {
            report.error_with_help(self.position, "E205", format!("'{text}' is not a duration"), help);
            return None;
        };
        self.in_range(Some(Duration::from_millis(milliseconds)), &range, |d| show_duration(*d), report)
    }

    fn in_range<T: PartialOrd>(
        &self,
        value: Option<T>,
        range: &RangeInclusive<T>,
        show: impl Fn(&T) -> String,
        report: &mut Report,
    ) -> Option<T> {
        let value = value.filter(|value| range.contains(value));
        if value.is_none() {
            let message = format!("must be from {} to {}", show(range.start()), show(range.end()));
            report.error(self.position, "E205", message);
        }
        value
    }

    /// One of the words of a closed set; `what` names it in messages («stage»).
    pub fn word<T: Copy>(&self, what: &str, words: &[(&'static str, T)], report: &mut Report) -> Option<T> {
        let Value::Text(text) = &self.value else {
            let help = suggestion("", words.iter().map(|(word, _)| *word));
            self.wrong_type(&format!("a word for the {what}"), Some(help), report);
            return None;
        };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let help = suggestion(text, words.iter().map(|(word, _)| *word));
            report.error_with_help(self.position, "E204", format!("unknown {what} '{text}'"), help);
        }
        found
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// A whole number directly followed by one of the units.
pub(crate) fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)?;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// `64MiB`.
pub(crate) fn show_size(octets: u64) -> String {
    for (unit, factor) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if octets > 0 && octets.is_multiple_of(factor) {
            return format!("{}{unit}", octets / factor);
        }
    }
    format!("{octets}B")
}

/// `500ms`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (unit, factor) in [("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if milliseconds > 0 && milliseconds.is_multiple_of(factor) {
            return format!("{}{unit}", milliseconds / factor);
        }
    }
    format!("{milliseconds}ms")
}
