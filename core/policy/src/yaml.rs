//! A YAML text as a tree in which every key and value knows its position.
//!
//! The tree keeps what serde would have hidden: repeated keys, aliases, merge keys and the difference between
//! `1.0` and `"1.0"`. All of them are mistakes here, reported together; a policy is a legal text, and two readers
//! must not find two policies in it.
//!
//! ```
//! use sigillo_policy::yaml::{Document, Map};
//! let (node, mut report) = Document::read("server.yaml", "hostname: mail.alfa.example\nport: 25\n").unwrap().open();
//! let mut map = Map::of(&node, "the configuration", &mut report).unwrap();
//! let hostname = map.require("hostname", &mut report).and_then(|n| n.text(&mut report));
//! let port = map.get("port").and_then(|n| n.integer(1..=65535, &mut report));
//! map.finish(&mut report);
//! assert_eq!((hostname, port, report.has_errors()), (Some("mail.alfa.example"), Some(25), false));
//! ```

mod map;
mod scalar;
mod tree;

use std::sync::Arc;

use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Location, Spanned};

use crate::diagnostic::{Diagnostic, Position, Report, Source};

pub use map::Map;
use tree::Raw;

/// Longest text, octets. A policy of a large provider has a few thousand lines.
pub const TEXT_MAX: usize = 1 << 20;
/// Deepest nesting of lists and maps.
pub const DEPTH_MAX: usize = 32;
/// Most values.
pub const NODES_MAX: usize = 50_000;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where.
    pub position: Position,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`; `yes`, `no`, `on` and `off` are text.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Another number, with its spelling.
    Float(f64, String),
    /// Text, quoted or not.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the text; keys are unique.
    Map(Vec<Entry>),
    /// A value whose mistake is reported already; reading it says no more.
    Refused,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub position: Position,
    /// Its value.
    pub node: Node,
}

/// A text that is YAML.
#[derive(Debug)]
pub struct Document {
    root: Node,
    report: Report,
}

impl Document {
    /// Reads `text`, named `file` in diagnostics. An error is a text that is no YAML; whatever else is wrong is
    /// found in the report that [`Document::open`] gives.
    pub fn read(file: &str, text: &str) -> Result<Document, Vec<Diagnostic>> {
        let mut report = Report::new(Arc::new(Source::new(file, text)));
        if text.len() > TEXT_MAX {
            report.error(Position::default(), "E104", format!("the file is longer than {TEXT_MAX} octets"));
            return Err(report.finish());
        }
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, max_nodes: NODES_MAX, max_events: 4 * NODES_MAX },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: NODES_MAX },
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            merge_keys: MergeKeyPolicy::AsOrdinary,
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            reject_unsupported_tags: true,
            with_snippet: false,
        };
        match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
            Ok(raw) => {
                let root = raw.value.into_node(raw.referenced, raw.defined, &mut report);
                Ok(Document { root, report })
            }
            Err(error) => {
                syntax_error(&error, &mut report);
                Err(report.finish())
            }
        }
    }

    /// The tree, and the report to which whoever reads the tree adds.
    pub fn open(self) -> (Node, Report) {
        (self.root, self.report)
    }
}

fn syntax_error(error: &serde_saphyr::Error, report: &mut Report) {
    let at = error.location().map_or(Position::default(), |location| position(location, 1));
    let text = error.without_snippet().to_string();
    // The position is printed beside the message.
    let text = text.split(" at line ").next().unwrap_or_default().to_owned();
    let help = match text.as_str() {
        t if t.contains("multiple YAML documents") => {
            return report.error_with_help(at, "E101", "a second document begins here", "remove the line '---'");
        }
        t if t.contains("tab") => "indent with spaces; YAML forbids tabs there",
        t if t.contains("mapping values are not allowed") => {
            "check the indentation, and quote a text that contains ': '"
        }
        t if t.contains("unexpected character") => "quote a text that begins with @ ` % & * ! | > { [ or a quote",
        t if t.contains("tag") => "tags (!…) are not used here; quote a text that begins with '!'",
        t if t.contains("illegal placement") => "check that every [ { and quote before it is closed",
        t if t.contains("budget") || t.contains("limit") => {
            let message = "the file has too many values, or they are nested too deeply";
            return report.error_with_help(
                at,
                "E104",
                message,
                format!("at most {NODES_MAX} values, {DEPTH_MAX} deep"),
            );
        }
        _ => return report.error(at, "E101", text),
    };
    report.error_with_help(at, "E101", text, help);
}

/// The library counts lines and columns from 1, in characters.
fn position(location: Location, width: usize) -> Position {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(location.line()), column: number(location.column()), width: width as u32 }
}
