//! What is wrong with a text, where, and what to do: one value for people and for machines.

use std::fmt::{self, Write};
use std::sync::Arc;

use serde::Serialize;

/// Diagnostics kept for one file. Beyond it more of them help nobody.
pub const DIAGNOSTICS_MAX: usize = 100;
/// Longest source line that is shown whole, characters.
const LINE_SHOWN_MAX: usize = 160;

/// Whether the text can be used all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can; something in it does nothing.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// Where a value stands in its file: line and column from 1, in characters. Line 0 is the file as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column of the first character.
    pub column: u32,
    /// Characters of the value on that line.
    pub width: u32,
}

/// One finding. `Display` renders it for people; serde for machines, without the source line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Stable name of the kind of mistake: E1xx syntax, E2xx single values, E3xx references, E4xx chains, W6xx.
    pub code: &'static str,
    /// The file as it was named.
    pub file: String,
    /// From 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    #[serde(skip)]
    width: u32,
    #[serde(skip)]
    excerpt: Option<String>,
}

impl Diagnostic {
    /// An error about a file as a whole: it is not there, it cannot be read.
    pub fn file(file: &str, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Source::new(file, "").diagnostic(Severity::Error, Position::default(), code, message.into())
    }

    /// Adds what to do.
    pub fn with_help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// ```text
/// error[E201]: unknown key 'on-failur'
///   --> policy.yaml:12:9
///    |
/// 12 |         on-failur: defer
///    |         ^^^^^^^^^
///    = help: did you mean 'on-failure'?
/// ```
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: {}", self.severity, self.code, self.message)?;
        let gutter = self.line.to_string().len();
        match self.line {
            0 => write!(f, "\n  --> {}", self.file)?,
            _ => write!(f, "\n{:gutter$}--> {}:{}:{}", "", self.file, self.line, self.column)?,
        }
        if let Some(excerpt) = &self.excerpt {
            let indent = self.column.saturating_sub(1) as usize;
            let marks = (self.width.max(1) as usize).min(excerpt.chars().count().saturating_sub(indent).max(1));
            write!(f, "\n{:gutter$} |\n{} | {excerpt}\n{:gutter$} | ", "", self.line, "")?;
            write!(f, "{:indent$}{}", "", "^".repeat(marks))?;
        }
        match &self.help {
            Some(help) => write!(f, "\n{:gutter$} = help: {help}", ""),
            None => Ok(()),
        }
    }
}

/// A text with its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source {
    file: String,
    text: String,
}

impl Source {
    pub(crate) fn new(file: &str, text: &str) -> Source {
        Source { file: file.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    fn excerpt(&self, position: Position) -> Option<String> {
        // YAML 1.2 §5.4: a lone CR ends a line too.
        let text = self.text.replace("\r\n", "\n");
        let line = text.split(['\n', '\r']).nth(position.line.checked_sub(1)? as usize)?;
        // A control character in a terminal is not the mistake to show; a tab would move the mark.
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let shown = line.chars().count() <= LINE_SHOWN_MAX;
        shown.then(|| line.trim_start_matches('\u{feff}').chars().map(plain).collect())
    }

    pub(crate) fn diagnostic(
        &self,
        severity: Severity,
        at: Position,
        code: &'static str,
        message: String,
    ) -> Diagnostic {
        Diagnostic {
            severity,
            code,
            file: self.file.clone(),
            line: at.line,
            column: at.column,
            message: one_line(&message),
            help: None,
            width: at.width,
            excerpt: self.excerpt(at),
        }
    }
}

/// A finding is one line, whatever the value that it quotes: a line end in it would look like another finding in a log.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Collects the findings about one text.
#[derive(Debug, Clone)]
pub struct Report {
    source: Arc<Source>,
    found: Vec<Diagnostic>,
    errors: usize,
}

impl Report {
    pub(crate) fn new(source: Arc<Source>) -> Report {
        Report { source, found: Vec::new(), errors: 0 }
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Adds an error.
    pub fn error(&mut self, at: Position, code: &'static str, message: impl Into<String>) {
        self.add(Severity::Error, at, code, message.into(), None);
    }

    /// Adds an error with what to do.
    pub fn error_with_help(
        &mut self,
        at: Position,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Error, at, code, message.into(), Some(help.into()));
    }

    /// Adds a warning with what to do.
    pub fn warning(&mut self, at: Position, code: &'static str, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Warning, at, code, message.into(), Some(help.into()));
    }

    fn add(&mut self, severity: Severity, at: Position, code: &'static str, message: String, help: Option<String>) {
        // An error is never lost behind warnings.
        let first_error = severity == Severity::Error && self.errors == 0;
        self.errors += usize::from(severity == Severity::Error);
        if self.found.len() >= DIAGNOSTICS_MAX && !first_error {
            return;
        }
        let mut diagnostic = self.source.diagnostic(severity, at, code, message);
        diagnostic.help = help.as_deref().map(one_line);
        self.found.push(diagnostic);
    }

    /// How many errors were added; more than [`DIAGNOSTICS_MAX`] are counted and not kept.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Whether an error was added.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// All findings in the order of the text.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| (a.line, a.column, a.severity, a.code).cmp(&(b.line, b.column, b.severity, b.code)));
        self.found
    }

    /// `value` with the warnings if there is no error, else all findings.
    pub fn conclude<T>(self, value: Option<T>) -> Result<(T, Vec<Diagnostic>), Vec<Diagnostic>> {
        match value {
            Some(value) if !self.has_errors() => Ok((value, self.finish())),
            _ => Err(self.finish()),
        }
    }
}

/// ` (did you mean 'x'?)` material: the candidate nearest to what was written, if it is near.
pub(crate) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    let scored = candidates.into_iter().map(|c| (strsim::damerau_levenshtein(&written, &c.to_lowercase()), c));
    // A third of the letters may differ: `on_failure` finds `on-failure`, `x` finds nothing.
    scored.filter(|(distance, c)| *distance <= c.chars().count().max(written.chars().count()) / 3).min().map(|(_, c)| c)
}

/// `did you mean 'x'?`, or the list of what is possible.
pub(crate) fn suggestion<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(written, candidates.clone()) {
        return format!("did you mean '{near}'?");
    }
    let mut text = String::from("possible here: ");
    for (index, candidate) in candidates.into_iter().enumerate() {
        let _ = write!(text, "{}{candidate}", if index > 0 { ", " } else { "" });
    }
    text
}
