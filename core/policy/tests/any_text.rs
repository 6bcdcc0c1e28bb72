//! Whatever the text, reading it ends, and every finding stands inside it.

use proptest::prelude::*;
use sigillo_policy::{Manifests, parse};

fn check(text: &str) {
    let findings = match parse("p.yaml", text, &Manifests::new()) {
        Ok((_, warnings)) => warnings,
        Err(findings) => {
            assert!(findings.iter().any(|finding| finding.is_error()));
            findings
        }
    };
    for finding in findings {
        assert!(finding.line as usize <= text.matches(['\n', '\r']).count() + 1, "{finding} in {text:?}");
        assert!(!finding.message.is_empty() && !finding.message.contains('\n'), "{finding:?}");
        let _ = finding.to_string();
    }
}

proptest! {
    #[test]
    fn any_text(text in ".{0,200}") {
        check(&text);
    }

    #[test]
    fn any_policy_like_text(text in "((apiVersion|kind|plugins|chains|name|stage|steps|when|plugin|<<|a): |sigillo/v1|Policy|access|[\\[\\]{}&*!|>'\"#,-]|- |\n {0,6}|~|true|5|\t|é){0,40}") {
        check(&text);
    }
}

/// Found by the property above: a value that spans lines was quoted with its line ends.
#[test]
fn a_value_of_several_lines_is_quoted_on_one() {
    check("kind:\n    5true~\n\n    access\n");
    check("kind: \"a\\nb\\x1b[31m\"\n");
}

#[test]
fn bombs_end_soon() {
    let started = std::time::Instant::now();
    let laughs = (1..30).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
        format!("{text}a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "))
    });
    check(&laughs);
    check(&"[".repeat(900_000));
    check(&"a: {".repeat(100_000));
    check(&"- x\n".repeat(200_000));
    check(&"a: 1\n".repeat(100_000));
    check(&"x".repeat(2_000_000));
    check(&format!("chains:\n{}", "- {}\n".repeat(5000)));
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
