//! Fields, their decoded views, and what is refused or marked.

use super::*;
use proptest::prelude::*;

fn section(text: &str) -> HeaderSection {
    HeaderSection::parse(Bytes::copy_from_slice(text.as_bytes()))
}

fn addresses(value: &str) -> Result<Vec<(String, String)>, HeaderError> {
    let list = section(&format!("To: {value}\r\n\r\n")).addresses("to")?;
    Ok(list.into_iter().map(|a| (a.display_name, a.mailbox)).collect())
}

#[test]
fn order_duplicates_folds_and_offsets_are_kept() {
    let s = section("A: 1\r\nB:\t2\r\n  more \r\na:3\r\n\r\nC: body\r\n");
    let seen: Vec<_> = s.fields().map(|f| (f.name, f.value, f.offset)).collect();
    assert_eq!(seen, [("A", &b"1"[..], 0), ("B", b"2\r\n  more ", 6), ("a", b"3", 21)]);
    assert_eq!((s.count("A"), s.raw("A", 1), s.raw("A", 2), s.count("C")), (2, Some(&b"3"[..]), None, 0));
    assert_eq!(s.fields().nth(1).unwrap().whole, b"B:\t2\r\n  more \r\n");
    assert!(!s.has_malformed_line());
}

#[test]
fn every_line_that_others_read_differently_is_marked() {
    for text in [
        " fold of nothing\r\n",
        "A: 1\r\nno field\r\nB: 2\r\n",
        "A : 1\r\n",
        "A: 1\r\n \t\r\nB: 2\r\n",
        "A: 1\nB: 2\r\n",
        "A: 1\rB: 2\r\n",
        "A: 1\0\r\n",
        ": 1\r\n",
        "From me Mon\r\nA: 1\r\n",
        "A: 1\r\n\n",
        "À: 1\r\n",
    ] {
        assert!(section(text).has_malformed_line(), "{text:?}");
    }
    // The seam stays at the empty line: what follows the odd line is still header.
    assert_eq!(section("A: 1\r\nno field\r\nB: 2\r\n\r\n").raw("b", 0), Some(&b"2"[..]));
    // A fold after a line that is no field belongs to no field.
    assert_eq!(section("A: 1\r\nno field\r\n x\r\n\r\n").raw("a", 0), Some(&b"1"[..]));
}

#[test]
fn text_is_unfolded_and_decoded() {
    let s = section("Subject: =?utf-8?Q?Perch=C3=A9_?=\r\n =?iso-8859-1?b?6A==?= qui\r\nX: a\r\n b\r\nE:\r\n\r\n");
    assert_eq!(s.text("subject", 0).as_deref(), Some("Perché è qui"));
    assert_eq!(s.text("x", 0).as_deref(), Some("a b"));
    assert_eq!(s.text("e", 0).as_deref(), Some(""));
    assert_eq!(s.text("y", 0), None);
}

#[test]
fn addresses_come_in_order_with_groups_flattened() {
    let seen =
        addresses("Ada <ada@a.example>, \"B, C\" <b@b.example>,\r\n g: c@c.example, d@d.example (D);, e@e.example");
    let names: Vec<_> = seen.unwrap().into_iter().map(|(n, m)| format!("{n}|{m}")).collect();
    assert_eq!(names, ["Ada|ada@a.example", "B, C|b@b.example", "|c@c.example", "D|d@d.example", "|e@e.example"]);
    assert_eq!(addresses("undisclosed-recipients:;"), Ok(vec![]));
    assert_eq!(addresses("=?utf-8?q?Nicol=C3=B2?= <n@x.it>").unwrap()[0].0, "Nicolò");
    assert_eq!(addresses("\"Per conto di: a@b.it\" <posta-certificata@c.it>").unwrap()[0].1, "posta-certificata@c.it");
    assert_eq!(addresses("<\"a b\"@x.it>").unwrap()[0].1, "\"a b\"@x.it");
}

#[test]
fn addresses_that_readers_would_read_differently_are_refused() {
    for value in [
        "<a@x.it> <b@y.it>",
        "a@x.it b@y.it",
        "<a@x.it> b",
        "foo",
        "\"open <a@x.it>",
        "(open a@x.it",
        "<a@x.it",
        "a@x.it>",
        "a@",
        "<@y.it:a@x.it>",
        "a\\@x.it <b@y.it>",
        "<=?utf-8?q?a?=@x.it>",
        "<>",
        "(nobody)",
    ] {
        assert!(addresses(value).is_err(), "{value:?} gave {:?}", addresses(value));
    }
    assert_eq!(section("To: foo, a@x.it\r\n\r\n").addresses_for_display("To")[1].mailbox, "a@x.it");
}

#[test]
fn dates_are_instants() {
    let s = section("Date: Fri, 21 Nov 1997 09:55:06 -0600 (CST)\r\nBad: yesterday\r\n\r\n");
    assert_eq!(s.date("date"), Some(880127706));
    assert_eq!(s.date("bad"), None);
}

#[test]
fn work_is_linear_in_fields_made_to_cost() {
    let started = std::time::Instant::now();
    for pattern in ["=?aa?q?x", "a@x.it,", "((((", "\\", "<", "\"", "=?aa?q?x <a@x.it>,", "a:"] {
        let value = pattern.repeat(900_000 / pattern.len());
        let s = section(&format!("To: {value}\r\n\r\n"));
        let _ = (s.addresses("to"), s.addresses_for_display("to"), s.text("to", 0), s.date("to"));
    }
    // Quadratic work on any of these takes minutes.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn any_bytes_are_a_section(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check_any(bytes);
    }

    #[test]
    fn any_header_like_bytes_are_a_section(text in "([Aa](:| :)?|[ \t]|\r\n|\n|\r|<|>|@|,|;|:|\"|\\\\|\\(|\\)|=\\?utf-8\\?[qb]\\?|\\?=|=41|é){0,60}") {
        check_any(text.into_bytes());
    }
}

fn check_any(bytes: Vec<u8>) {
    let s = HeaderSection::parse(Bytes::from(bytes.clone()));
    assert_eq!(&s.as_bytes()[..], &bytes[..]);
    for f in s.fields() {
        assert_eq!(f.whole, &bytes[f.offset..f.offset + f.whole.len()]);
        assert!(f.whole.starts_with(f.name.as_bytes()) && !f.name.is_empty());
        let _ = (s.text(f.name, 0), s.addresses(f.name), s.addresses_for_display(f.name), s.date(f.name));
    }
}
