//! `core/STANDARDS.md` against the citations in the code: every standard that is cited has a row, and a row that says
//! Yes or Partial names a file that cites it.

use std::collections::{BTreeMap, BTreeSet};

use super::{expect_none, files, text};

/// `| RFC 5321 | title | Yes | [`path`](path) … |`, or `| PEC §3.1.4 | …`.
struct Row {
    name: String,
    status: String,
    /// The last cell: files, and what is missing.
    notes: String,
}

fn rows() -> Vec<Row> {
    let document = text("core/STANDARDS.md");
    let cells = document.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    cells
        .filter(|cells| cells.len() == 6 && ["RFC ", "PEC §", "X.", "FIPS "].iter().any(|p| cells[1].starts_with(p)))
        .map(|cells| Row { name: cells[1].into(), status: cells[3].into(), notes: cells[4].into() })
        .collect()
}

/// Digits, or digits and dots, at the start of a text.
fn number(text: &str, dots: bool) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_digit() || dots && c == '.')).unwrap_or(text.len());
    text[..end].trim_end_matches('.')
}

/// `RFC nnnn` and `PEC §n.n` of a text, also the second of `[PEC §4.1], [§4.2]`. RFC 6109 is the PEC rules in English.
fn citations(text: &str) -> BTreeSet<String> {
    let after = |mark: &'static str| text.match_indices(mark).map(move |(at, _)| &text[at + mark.len()..]);
    let rfcs = after("RFC ").map(|rest| number(rest, false)).filter(|n| n.len() >= 3).map(|n| format!("RFC {n}"));
    let mut out: BTreeSet<String> = rfcs.collect();
    for mut rest in after("PEC §") {
        loop {
            let section = number(rest, true);
            if section.is_empty() {
                break;
            }
            out.insert(format!("PEC §{section}"));
            rest = &rest[section.len()..];
            let Some(next) = ["], [§", ", §", " and §"].iter().find_map(|mark| rest.strip_prefix(mark)) else {
                break;
            };
            rest = next;
        }
    }
    out
}

/// What the code cites, and where.
fn cited() -> BTreeMap<String, BTreeSet<String>> {
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let code = ["core", "plugins", "wit"].into_iter().flat_map(files);
    for path in code.filter(|path| path.ends_with(".rs") || path.ends_with(".wit")) {
        // This test's own examples are no citations.
        if path.contains("/tidy") {
            continue;
        }
        for citation in citations(&text(&path)) {
            out.entry(citation).or_default().insert(path.clone());
        }
    }
    out
}

/// A section is covered by its own row, by that of a section it lies in, or by those of its own sections.
fn covers(row: &str, citation: &str) -> bool {
    let within = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
    row == citation || (row.starts_with("PEC §") && (within(citation, row) || within(row, citation)))
}

#[test]
fn every_citation_has_a_row() {
    let rows = rows();
    let missing = cited().into_iter().filter(|(name, _)| !rows.iter().any(|row| covers(&row.name, name)));
    expect_none(
        "cited, but not in core/STANDARDS.md",
        missing.map(|(name, at)| format!("{name} in {}", at.into_iter().collect::<Vec<_>>().join(", "))).collect(),
    );
}

#[test]
fn every_row_is_true() {
    let (cited, mut found, mut seen) = (cited(), Vec::new(), BTreeSet::new());
    for Row { name, status, notes } in rows() {
        if !seen.insert(name.clone()) {
            found.push(format!("{name} has two rows"));
        }
        let named: Vec<&str> = notes.split('`').skip(1).step_by(2).filter(|word| word.contains('/')).collect();
        found.extend(
            named.iter().filter(|path| !super::root().join(path).exists()).map(|p| format!("{name}: no file {p}")),
        );
        match status.as_str() {
            "Yes" | "Partial" => {
                let cites = |path: &&str| {
                    let own = |c: &str| c.len() >= name.len() && covers(&name, c);
                    cited.iter().any(|(citation, at)| own(citation) && at.contains(*path))
                };
                if !named.iter().any(cites) {
                    found.push(format!("{name}: none of the files it names cites it"));
                }
            }
            "No" if notes.len() < 10 => found.push(format!("{name}: no reason")),
            "No" => {}
            other => found.push(format!("{name}: {other:?} is neither Yes, Partial nor No")),
        }
    }
    expect_none("rows of core/STANDARDS.md", found);
    assert!(seen.len() > 40, "the table was not read");
}

#[test]
fn citations_are_found_in_every_form() {
    let text =
        "RFC 5321 §4.5.2, [RFC 2045 §6.4], RFC 2045–2047, (PEC §3.1.5). [PEC §4], [§4.2], RFC nnnn, RFC 12, PEC §";
    let found: Vec<String> = citations(text).into_iter().collect();
    assert_eq!(found, ["PEC §3.1.5", "PEC §4", "PEC §4.2", "RFC 2045", "RFC 5321"]);
}
