use imap_codec::decode::Decoder;
use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName, Section};
use imap_codec::{CommandCodec, imap_types::ToStatic};
use proptest::prelude::*;
use sigillo_mail::rope::NoSource;

use super::section::{self, Octets};
use super::*;
use crate::output::Output;

/// A message in a multipart in a message in a multipart: every kind of part number.
const NESTED: &str = "From: a@x.example\r\n\
    Subject: outer\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed;\r\n boundary=\"out er\"\r\n\
    Content-Language: it, en\r\n\
    \r\n\
    preamble\r\n\
    --out er\r\n\
    Content-Type: text/plain; charset=utf-8; name*0*=utf-8''a%20; name*1=b\r\n\
    Content-Transfer-Encoding: 8BIT\r\n\
    Content-ID: <one@x>\r\n\
    Content-Description: first\r\n part\r\n\
    \r\n\
    uno\r\ndue\r\n\
    --out er\r\n\
    Content-Type: message/rfc822\r\n\
    Content-Disposition: attachment; filename=\"m \\\"1\\\".eml\"\r\n\
    \r\n\
    Subject: inner\r\n\
    From: b@x.example\r\n\
    Content-Type: multipart/alternative; boundary=in\r\n\
    \r\n\
    --in\r\n\
    \r\n\
    plain\r\n\
    --in\r\n\
    Content-Type: text/html\r\n\
    \r\n\
    <b>html</b>\r\n\
    --in--\r\n\
    \r\n\
    --out er\r\n\
    Content-Type: message/rfc822\r\n\
    \r\n\
    Subject: single\r\n\
    \r\n\
    only\r\n\
    --out er\r\n\
    Content-Type: image/png\r\n\
    Content-Transfer-Encoding: base64\r\n\
    Content-MD5: Q2hlY2s=\r\n\
    Content-Location: http://x/\r\n\
    \r\n\
    iVBORw==\r\n\
    --out er--\r\n";

async fn written(write: impl FnOnce(&mut Output<'_>)) -> String {
    let mut sink = Vec::new();
    let mut out = Output::new(&mut sink);
    write(&mut out);
    out.flush().await.unwrap();
    String::from_utf8_lossy(&sink).into_owned()
}

async fn body(text: &str, extended: bool) -> String {
    let structure = structure(&Rope::from_bytes(text.to_owned()), &NoSource).unwrap();
    written(|out| body_structure::write(&structure, extended, out)).await
}

fn parse_section(text: &str) -> Section<'static> {
    let line = format!("a FETCH 1 BODY[{text}]\r\n");
    let (_, command) = CommandCodec::default().decode(line.as_bytes()).unwrap();
    let CommandBody::Fetch { macro_or_item_names: MacroOrMessageDataItemNames::MessageDataItemNames(items), .. } =
        command.body
    else {
        panic!("no FETCH")
    };
    let MessageDataItemName::BodyExt { section: Some(section), .. } = &items[0] else { panic!("no section") };
    section.to_static()
}

/// The octets of a section as a client would get them; none for NIL.
fn part(message: &str, text: &str) -> Option<String> {
    let section = parse_section(text);
    let rope = Rope::from_bytes(message.to_owned());
    let structure = structure(&rope, &NoSource).unwrap();
    let octets = if section::needs_only_header(Some(&section)) {
        section::of_message(&section, &Header::of(&structure), rope.len())
    } else {
        section::of_part(&section, &structure)?
    };
    let bytes = match octets {
        Octets::Span { offset, length } => rope.slice(offset, length).to_bytes(&NoSource).unwrap(),
        Octets::Picked(bytes) => bytes,
    };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn body_structure_shows_the_tree_with_its_extension_data() {
    let inner = "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 5 0 NIL NIL NIL NIL)\
        (\"text\" \"html\" NIL NIL NIL \"7bit\" 11 0 NIL NIL NIL NIL) \"alternative\" (\"boundary\" \"in\") NIL NIL NIL";
    let from = "((NIL NIL \"b\" \"x.example\"))";
    let want = format!(
        "((\"text\" \"plain\" (\"charset\" \"utf-8\" \"name*0*\" \"utf-8''a%20\" \"name*1\" \"b\") \"<one@x>\" \
         \"first part\" \"8bit\" 8 1 NIL NIL NIL NIL)\
         (\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 156 (NIL \"inner\" {from} {from} {from} NIL NIL NIL NIL NIL) \
         ({inner}) 12 NIL (\"attachment\" (\"filename\" \"m \\\"1\\\".eml\")) NIL NIL)\
         (\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 23 (NIL \"single\" NIL NIL NIL NIL NIL NIL NIL NIL) \
         (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 0 NIL NIL NIL NIL) 2 NIL NIL NIL NIL)\
         (\"image\" \"png\" NIL NIL NIL \"base64\" 8 \"Q2hlY2s=\" NIL NIL \"http://x/\") \
         \"mixed\" (\"boundary\" \"out er\") NIL (\"it\" \"en\") NIL)"
    );
    assert_eq!(body(NESTED, true).await, want);
}

#[tokio::test]
async fn body_leaves_the_extension_data_out() {
    let text = "Content-Type: text/x-\"odd\r\n\r\nx\r\n";
    assert_eq!(body(text, false).await, "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 3 1)");
    let mixed = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n";
    assert_eq!(
        body(mixed, false).await,
        "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0) \"mixed\")"
    );
}

#[tokio::test]
async fn what_the_grammar_cannot_show_is_shown_as_octets() {
    let empty = body("Content-Type: multipart/mixed; boundary=b\r\n\r\nno part\r\n", false).await;
    assert!(empty.starts_with("(\"text\" \"plain\""), "{empty}");
    let encoded = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA==\r\n";
    assert!(body(encoded, false).await.starts_with("(\"application\" \"octet-stream\""));
    let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(150);
    let structure = structure(&Rope::from_bytes(deep), &NoSource).unwrap();
    assert_eq!(structure.parts.len(), 1);
}

#[test]
fn part_numbers_name_what_the_standard_says() {
    let cases = [
        ("1", Some("uno\r\ndue")),
        ("2.1", Some("plain")),
        ("2.2", Some("<b>html</b>")),
        ("2.2.MIME", Some("Content-Type: text/html\r\n\r\n")),
        ("2.1.MIME", Some("\r\n")),
        ("3.1", Some("only")),
        ("3.TEXT", Some("only")),
        ("3.HEADER", Some("Subject: single\r\n\r\n")),
        ("2.HEADER.FIELDS (SUBJECT)", Some("Subject: inner\r\n\r\n")),
        ("2.HEADER.FIELDS.NOT (SUBJECT CONTENT-TYPE)", Some("From: b@x.example\r\n\r\n")),
        ("HEADER.FIELDS (From X-No)", Some("From: a@x.example\r\n\r\n")),
        ("4", Some("iVBORw==")),
        ("5", None),
        ("1.1", None),
        ("1.1.1", None),
        ("2.3", None),
        ("3.2", None),
        ("3.1.1", None),
        ("1.HEADER", None),
        ("4.TEXT", None),
    ];
    for (section, want) in cases {
        assert_eq!(part(NESTED, section).as_deref(), want, "{section}");
    }
    assert!(part(NESTED, "2.TEXT").unwrap().starts_with("--in\r\n"));
    assert!(part(NESTED, "2").unwrap().starts_with("Subject: inner\r\n"));
    assert!(part(NESTED, "TEXT").unwrap().starts_with("preamble\r\n--out er\r\n"));
    assert!(part(NESTED, "HEADER").unwrap().ends_with("Content-Language: it, en\r\n\r\n"));
}

#[test]
fn a_message_of_one_part_has_part_one_only() {
    let message = "Subject: x\r\n\r\nbody\r\n";
    assert_eq!(part(message, "1").as_deref(), Some("body\r\n"));
    assert_eq!(part(message, "1.MIME").as_deref(), Some("Subject: x\r\n\r\n"));
    assert_eq!(part(message, "2"), None);
    assert_eq!(part(message, "1.1"), None);
    assert_eq!(part("Subject: no end", "HEADER").as_deref(), Some("Subject: no end"));
    assert_eq!(part("Subject: no end", "TEXT").as_deref(), Some(""));
}

#[test]
fn a_section_is_repeated_as_it_was_asked() {
    for text in ["", "1.2.MIME", "HEADER", "2.TEXT", "1.HEADER.FIELDS (DATE x-a)", "HEADER.FIELDS.NOT (\"a b\")"] {
        let section = (!text.is_empty()).then(|| parse_section(text));
        assert_eq!(section::write_specification(section.as_ref()), text.as_bytes());
    }
}

#[test]
fn reading_the_header_alone_finds_the_same_seam_as_the_structure() {
    let long = format!("X: {}\r\n\r\nbody\r\n", "y".repeat(200_000));
    for message in
        [NESTED, "\r\nbody", "\nbody", "A: b\n\nbody", "A: b\r\n \r\n\r\nbody", "no field\r\n\r\nbody", "", &long]
    {
        let rope = Rope::from_bytes(message.to_owned());
        let (alone, structure) = (Header::read(&rope, &NoSource).unwrap(), structure(&rope, &NoSource).unwrap());
        assert_eq!(alone.end, Header::of(&structure).end, "{:?}", &message[..message.len().min(40)]);
    }
}

proptest! {
    #[test]
    fn any_message_has_a_structure_with_balanced_parentheses(lines in proptest::collection::vec(
        prop_oneof![
            Just("Content-Type: multipart/mixed; boundary=b"), Just("--b"), Just("--b--"), Just(""), Just("x"),
            Just("Content-Type: message/rfc822"), Just("From: \"a\\\" <b@c>, (d"), Just("Content-Type: text/html; a=\"(\""),
            Just("Content-Disposition: attachment; filename=a\u{e8}"), Just(" folded"),
        ], 0..40)) {
        let text = lines.join("\r\n");
        let rope = Rope::from_bytes(text);
        let structure = structure(&rope, &NoSource).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let shown = runtime.block_on(written(|out| body_structure::write(&structure, true, out)));
        prop_assert_eq!(depth_at_end(&shown), Some(0), "{}", shown);
        prop_assert_eq!(Header::read(&rope, &NoSource).unwrap().end, structure.root().body_offset);
        for part in &structure.parts {
            prop_assert!(part.body_offset + part.body_length <= rope.len());
        }
    }
}

/// How many parentheses are open at the end; none where one closes too early. Strings and literals are skipped.
fn depth_at_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0usize, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            b'"' => {
                at += 1;
                while *bytes.get(at)? != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' => {
                let end = at + text[at..].find('}')?;
                at = end + 2 + text[at + 1..end].parse::<usize>().ok()?;
            }
            _ => {}
        }
        at += 1;
    }
    Some(depth)
}
