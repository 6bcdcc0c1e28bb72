use proptest::prelude::*;
use sigillo_mail::rope::NoSource;
use sigillo_mail::{Range, Segment};

use super::*;

fn has(message: &str, needle: &str) -> bool {
    let rope = Rope::from_bytes(message.to_owned());
    let budget = Budget::new(u64::MAX);
    Content::new(&rope, &NoSource, &budget).contains(&Needle::new(needle.as_bytes()), false).unwrap()
}

/// Text that repeats without end, as a file would hold it.
struct Endless;
impl Source for Endless {
    fn read_exact_at(&self, _: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        for (i, byte) in buffer.iter_mut().enumerate() {
            *byte = b"abcdefg\r\n"[(offset as usize + i) % 9];
        }
        Ok(())
    }
}

#[test]
fn a_needle_is_found_across_the_pieces_in_which_a_body_is_read() {
    let mut rope = Rope::from_bytes("Subject: x\r\n\r\n");
    rope.push(Segment::Range(Range { file: 1, offset: 0, length: 200_000 }));
    rope.push_bytes("l'a");
    rope.push_bytes("go");
    let budget = Budget::new(u64::MAX);
    let mut content = Content::new(&rope, &Endless, &budget);
    assert!(content.contains(&Needle::new("L'AGO".as_bytes()), false).unwrap());
    assert!(!content.contains(&Needle::new(b"l'ago!"), false).unwrap());
}

#[test]
fn a_search_that_would_read_too_much_is_refused() {
    let rope = Rope::from_bytes("Subject: x\r\n\r\nbody");
    let budget = Budget::new(30);
    let needle = Needle::new(b"nothing");
    assert!(!Content::new(&rope, &NoSource, &budget).contains(&needle, false).unwrap());
    let second = Content::new(&rope, &NoSource, &budget).contains(&needle, false);
    assert!(matches!(second, Err(SearchError::TooMuch)));
}

#[test]
fn messages_within_are_searched_with_their_headers() {
    let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: =?utf-8?q?perch=C3=A9?=\r\n\r\ninside\r\n--b--\r\n";
    assert!(has(message, "PERCHÉ") && has(message, "inside") && !has(message, "boundary"));
}

#[test]
fn days_are_counted_from_the_epoch() {
    let day_of = |text: &str| days(text.parse().unwrap());
    assert_eq!((day_of("1970-01-01"), day_of("1970-02-01"), day_of("2024-12-04")), (0, 31, 20061));
}

proptest! {
    #[test]
    fn what_stands_in_a_body_is_found(before in "[a-z]{0,20}", needle in "[a-zà-ü]{1,8}", after in "[a-z]{0,20}") {
        let message = format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{before}{needle}{after}\r\n");
        prop_assert!(has(&message, &needle.to_uppercase().to_lowercase()));
    }
}
