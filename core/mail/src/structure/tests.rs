//! Trees and offsets of known messages, marks of ambiguity, limits, and properties over any bytes.

use super::*;
use proptest::prelude::*;

fn scan(bytes: &[u8]) -> Structure {
    let mut scanner = Scanner::new();
    scanner.push(bytes);
    scanner.finish().unwrap()
}

/// Message text with `\n` standing for CRLF.
fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// One line per part: depth, type, body, mark.
fn outline(bytes: &[u8]) -> String {
    let s = scan(bytes);
    let mut out = String::new();
    for part in &s.parts {
        let depth = std::iter::successors(part.parent, |p| s.parts[*p].parent).count();
        let body = String::from_utf8_lossy(&bytes[part.body_offset as usize..part.end() as usize]).replace("\r\n", "|");
        let mark = if part.ambiguous { " !" } else { "" };
        let body = if part.content_type.kind == "text" { format!(" {body:?}") } else { String::new() };
        out += &format!("{}{}{body} {}{mark}\n", "  ".repeat(depth), part.media_type(), part.lines);
    }
    out
}

#[test]
fn a_nested_message_is_found_with_its_offsets() {
    let bytes = crlf(concat!(
        "Content-Type: multipart/mixed; boundary=\"a b\"\n\npreamble\n",
        "--a b\n\nfirst\n\n",
        "--a b  \nContent-Type: message/rfc822\n\nSubject: x\nContent-Type: multipart/alternative; boundary=i\n\n",
        "--i\nContent-Type: text/html\n\n<p>\n--i--\nepilogue\n",
        "--a b--\nepilogue\n"
    ));
    assert_eq!(
        outline(&bytes),
        concat!(
            "multipart/mixed 19\n",
            "  text/plain \"first|\" 1\n",
            "  message/rfc822 8\n",
            "    multipart/alternative 5\n",
            "      text/html \"<p>\" 0\n",
        )
    );
    let s = scan(&bytes);
    assert_eq!(s.children(0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(s.parts[3].header.text("subject", 0).as_deref(), Some("x"));
    assert_eq!(s.parts[3].header_offset, s.parts[2].body_offset);
    assert_eq!(s.size, bytes.len() as u64);
}

#[test]
fn a_digest_holds_messages() {
    let bytes = crlf("Content-Type: multipart/digest; boundary=d\n\n--d\n\nSubject: one\n\nhello\n--d--\n");
    assert_eq!(outline(&bytes), "multipart/digest 6\n  message/rfc822 2\n    text/plain \"hello\" 0\n");
}

#[test]
fn types_names_and_dispositions_are_decoded() {
    let s = scan(&crlf(concat!(
        "Content-Type: Application/PKCS7-Signature;\n name*0=smi; name*1=me.p7s\n",
        "Content-Disposition: ATTACHMENT; FileName*=utf-8''perch%C3%A9.txt\nContent-Transfer-Encoding: BASE64\n\n"
    )));
    let root = s.root();
    assert_eq!(root.media_type(), "application/pkcs7-signature");
    assert_eq!((root.parameter("NAME"), root.filename().as_deref()), (Some("smime.p7s"), Some("perché.txt")));
    assert_eq!(
        (root.transfer_encoding.as_str(), root.disposition.as_ref().unwrap().0.as_str()),
        ("base64", "attachment")
    );
    assert!(!root.ambiguous);
}

#[test]
fn a_message_may_end_in_its_header() {
    for text in ["", "Subject: x\n", "Subject: x", "\n"] {
        let s = scan(&crlf(text));
        assert_eq!((s.parts.len(), s.root().body_length, s.root().ambiguous), (1, 0, false), "{text:?}");
        assert_eq!(s.root().body_offset, s.size);
    }
}

#[test]
fn empty_parts_have_empty_ranges() {
    let bytes = crlf("Content-Type: multipart/mixed; boundary=x\n\n--x\n\n--x\n--x\nA: 1\n--x\n\n\n--x--");
    let s = scan(&bytes);
    assert!(s.parts[1..].iter().all(|p| p.body_length == 0));
    // The second and third have no empty line after the header section.
    assert_eq!(s.parts.iter().map(|p| p.ambiguous).collect::<Vec<_>>(), [false, false, true, true, false]);
}

/// What a scanner and a mail client could take differently, each beside the same thing said plainly.
#[test]
fn ambiguity_is_marked() {
    let plain = "Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\n--x--\n";
    assert!(!scan(&crlf(plain)).is_ambiguous());
    for text in [
        "Content-Type: multipart/mixed; boundary=x; boundary=y\n\n--x\n\na\n--x--\n",
        "Content-Type: multipart/mixed; boundary=x; boundary*0=y\n\n--x\n\na\n--x--\n",
        "Content-Type: multipart/mixed; boundary*0=x; boundary*1=y\n\n--xy\n\na\n--xy--\n",
        "Content-Type: multipart/mixed; boundary=\"=?us-ascii?q?x?=\"\n\n--x\n\na\n--x--\n",
        "Content-Type: multipart/mixed; boundary=\"x\\y\"\n\n--xy\n\na\n--xy--\n",
        "Content-Type: multipart/mixed; boundary=x (y)\n\n--x\n\na\n--x--\n",
        "Content-Type: multipart/mixed; boundary=x y\n\n--x\n\na\n--x--\n",
        "Content-Type: multipart/mixed; boundary=\"x\n\n--x\n\na\n--x--\n",
        "Content-Type: multipart/mixed; boundary=\"x \"\n\n--x\n\na\n--x--\n",
        "Content-Type: multipart/mixed\n\n--x\n\na\n--x--\n",
        "Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\na\n----\n",
        "Content-Type: multipart/mixed; boundary=x\nContent-Type: text/plain\n\n--x\n\na\n--x--\n",
        "Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: base64\n\n--x\n\na\n--x--\n",
        "Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\n",
        "Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\n--xy\n--x--\n",
        "Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\n--x--y\n--x--\n",
        "Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\n--x--\n--x\n\nb\n--x--\n",
        "Content-Type: multipart/mixed; boundary=x\n\n--x\nA: 1\nno field\n\na\n--x--\n",
        "Content-Type: text\n\na\n",
        "Content-Type: ;\n\na\n",
        "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 7bit\n\na\n",
        "Content-Transfer-Encoding: base64 (really)\n\na\n",
        "Content-Disposition: attachment; filename=a; filename=b\n\na\n",
        "Content-Disposition: attachment; filename=a.exe; filename*=utf-8''a.txt\n\na\n",
        "Content-Disposition: inline\nContent-Disposition: attachment\n\na\n",
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeAo=\n",
        "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: multipart/mixed; boundary=xy\n\n--xy\n\na\n--xy--\n--x--\n",
        "Content-Type: multipart/mixed; boundary=xy\n\n--xy\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\na\n--x--\n--xy--\n",
    ] {
        assert!(scan(&crlf(text)).is_ambiguous(), "{text}");
    }
    assert!(
        scan(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\na\n--x\r\n\r\nb\r\n--x--\r\n")
            .is_ambiguous()
    );
    // The same name written twice with one value in both forms is what careful senders do.
    let both = "Content-Disposition: attachment; filename=\"a.txt\"; filename*=utf-8''a.txt\n\na\n";
    assert!(!scan(&crlf(both)).is_ambiguous());
}

#[test]
fn a_missing_end_leaves_the_part_to_the_outer_boundary() {
    let bytes = crlf(concat!(
        "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=i\n\n",
        "--i\n\nin\n--o\n\nout\n--o--\n"
    ));
    assert_eq!(
        outline(&bytes),
        "multipart/mixed 10\n  multipart/mixed 2 !\n    text/plain \"in\" 0\n  text/plain \"out\" 0\n"
    );
}

fn nested(depth: usize) -> Vec<u8> {
    (0..depth).map(|_| "Content-Type: message/rfc822\r\n\r\n").collect::<String>().into_bytes()
}

#[test]
fn limits_are_errors() {
    let result = |bytes: &[u8]| {
        let mut scanner = Scanner::new();
        bytes.chunks(4096).for_each(|c| scanner.push(c));
        scanner.finish()
    };
    assert_eq!(result(&nested(DEPTH_MAX - 1)).unwrap().parts.len(), DEPTH_MAX);
    assert!(matches!(result(&nested(DEPTH_MAX)), Err(StructureError::TooDeep)));
    assert!(matches!(result(&nested(10_000)), Err(StructureError::TooDeep)));
    let parts = |n| ["Content-Type: multipart/mixed; boundary=x\r\n\r\n", &"--x\r\n\r\n".repeat(n)].concat();
    assert_eq!(result(parts(PARTS_MAX - 1).as_bytes()).unwrap().parts.len(), PARTS_MAX);
    assert!(matches!(result(parts(PARTS_MAX).as_bytes()), Err(StructureError::TooManyParts)));
    assert!(matches!(result(&vec![b'a'; HEADERS_MAX + 1]), Err(StructureError::HeadersTooLarge)));
    assert!(matches!(result(&b"A: b\r\n".repeat(HEADERS_MAX / 6 + 1)), Err(StructureError::HeadersTooLarge)));
}

#[test]
fn a_rope_is_scanned_in_chunks() {
    let mut rope = Rope::from_bytes("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n");
    let body = vec![b'-'; 3 * crate::rope::CHUNK + 17];
    rope.push_bytes(body.clone());
    rope.push_bytes("\r\n--x--\r\n");
    let s = Structure::parse(&rope, &crate::rope::NoSource).unwrap();
    assert_eq!((s.parts[1].body_length, s.size), (body.len() as u64, rope.len()));
    assert!(!s.is_ambiguous());
}

#[test]
fn every_line_against_every_boundary_stays_cheap() {
    let mut text = String::new();
    for depth in 0..DEPTH_MAX - 1 {
        text +=
            &format!("Content-Type: multipart/mixed; boundary={}{depth:03}\r\n\r\n--{0}{depth:03}\r\n", "a".repeat(60));
    }
    text += "\r\n";
    text += &format!("--{}\r\n", "a".repeat(60)).repeat(8 * 1024 * 1024 / 64);
    let started = std::time::Instant::now();
    assert_eq!(scan(text.as_bytes()).parts.len(), DEPTH_MAX);
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

/// Pieces that meet often in odd ways.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n",
        "Content-Type: multipart/digest; boundary=xy\r\n\r\n",
        "Content-Type: multipart/mixed; boundary=\"\r\n",
        "Content-Type: message/rfc822\r\n\r\n",
        "Content-Type: multipart/mixed;",
        " boundary=x\r\n",
        "--x\r\n",
        "--x--\r\n",
        "--xy\r\n",
        "--xy--",
        "--x \t\r\n",
        "\r\n",
        "\n",
        "\r",
        "-",
        "text",
        "Subject: a\r\n",
        "\0\u{e9}",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

fn check(bytes: &[u8], cuts: &[usize]) {
    let whole = scan(bytes);
    let mut scanner = Scanner::new();
    let mut rest = bytes;
    for cut in cuts {
        let (now, later) = rest.split_at((*cut).min(rest.len()));
        scanner.push(now);
        rest = later;
    }
    scanner.push(rest);
    assert_eq!(whole, scanner.finish().unwrap(), "chunks must not matter");
    assert_eq!(whole.size, bytes.len() as u64);
    for (index, part) in whole.parts.iter().enumerate() {
        assert!(part.header_offset <= part.body_offset && part.end() <= whole.size);
        assert_eq!(part.header.as_bytes().len() as u64, part.body_offset - part.header_offset);
        if let Some(parent) = part.parent {
            assert!(parent < index);
            let parent = &whole.parts[parent];
            assert!(part.header_offset >= parent.body_offset && part.end() <= parent.end(), "{part:?} in {parent:?}");
        }
        let body = &bytes[part.body_offset as usize..part.end() as usize];
        assert_eq!(part.lines, body.iter().filter(|b| **b == b'\n').count() as u64);
    }
}

proptest! {
    #[test]
    fn any_message_like_bytes(bytes in message(), cuts in prop::collection::vec(0usize..9, 0..60)) {
        check(&bytes, &cuts);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), cuts in prop::collection::vec(0usize..9, 0..60)) {
        check(&bytes, &cuts);
    }
}
