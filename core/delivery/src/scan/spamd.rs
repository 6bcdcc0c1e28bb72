//! SpamAssassin's daemon, spamd(8): one `SYMBOLS` request of SPAMC/1.5, the message as it stands under the fields that
//! tell where it came from, one answer.

use memchr::memmem;
use sigillo_mail::Rope;

use super::exchange::{Answer, Framing, exchange};
use super::feed::Feed;
use super::rating::Rating;
use super::{Connection, ScanError, Shown, Version, View, threat, words};

/// The message under `Return-Path` and `Received`, as it would lie in a mailbox: the daemon reads the peer and the
/// sender there, and its protocol has no other place for them.
pub(super) fn traced(view: &View) -> View {
    let fact = |name| view.facts(name).next().map(token).filter(|value| !value.is_empty());
    let mut fields = String::new();
    if let Some(from) = fact("from") {
        fields.push_str(&format!("Return-Path: <{from}>\r\n"));
    }
    if let Some(ip) = fact("ip") {
        let helo = fact("helo").unwrap_or_else(|| "unknown".into());
        let id = fact("queue-id").unwrap_or_else(|| "none".into());
        let address = if ip.contains(':') { format!("IPv6:{ip}") } else { ip };
        fields.push_str(&format!("Received: from {helo} ([{address}])\r\n by mx.invalid with ESMTP id {id}\r\n"));
    }
    let mut rope = Rope::from_bytes(fields);
    rope.append(&view.rope);
    View { rope, ..view.clone() }
}

/// One word of a header field: what would end it or mean something else is left out.
fn token(value: &str) -> String {
    value.chars().filter(|c| c.is_ascii_graphic() && !"<>()[],;\"\\".contains(*c)).take(320).collect()
}

/// The request without the message.
pub(super) fn head(view: &View) -> Vec<u8> {
    let user = view.facts("user").next().map(token).filter(|user| !user.is_empty());
    let user = user.map_or_else(String::new, |user| format!("User: {user}\r\n"));
    format!("SYMBOLS SPAMC/1.5\r\nContent-length: {}\r\n{user}\r\n", view.rope.len()).into_bytes()
}

/// Shows a message of so many octets.
pub(super) async fn scan(
    stream: Box<dyn Connection>,
    head: Vec<u8>,
    size: u64,
    feed: Feed,
) -> Result<Shown, ScanError> {
    let promised = Some(size);
    let framing = Framing { head, promised, before: |_| Vec::new(), after: b"", tail: b"", whole: |_| false };
    let answer = exchange(stream, &framing, feed).await?;
    judge(&answer)
}

/// `SPAMD/1.1 0 EX_OK`, `Content-length`, `Spam: True ; 1000.0 / 5.0`, and as many octets of names.
fn judge(answer: &Answer) -> Result<Shown, ScanError> {
    let end = memmem::find(&answer.octets, b"\r\n\r\n").ok_or(ScanError::Ended)?;
    let (head, body) = (&answer.octets[..end], &answer.octets[end + 4..]);
    let garbage = || ScanError::Garbage(words(head));
    let head = std::str::from_utf8(head).map_err(|_| garbage())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let mut words_of_status = status.splitn(3, ' ');
    let (speaks, code) = (words_of_status.next().unwrap_or_default(), words_of_status.next().unwrap_or_default());
    if !speaks.starts_with("SPAMD/") || code.is_empty() || !code.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(garbage());
    }
    if code != "0" {
        return Err(ScanError::Refused(words(status.as_bytes())));
    }
    let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let field = |name: &str| {
        let mut found =
            fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        // Said twice is not said.
        found.next().filter(|_| found.next().is_none())
    };
    let length: usize = field("Content-length").and_then(|value| value.parse().ok()).ok_or_else(garbage)?;
    match body.len() {
        shorter if shorter < length => return Err(ScanError::Ended),
        longer if longer > length => return Err(garbage()),
        _ => {}
    }
    let (spam, score, threshold) = field("Spam").and_then(rated).ok_or_else(garbage)?;
    if answer.early {
        return Err(ScanError::Early);
    }
    let names: Vec<String> = String::from_utf8_lossy(body).trim().split(',').map(str::to_owned).collect();
    let action = if spam { "spam" } else { "ham" };
    let rating = Rating::new(score, threshold, action, &names).ok_or_else(garbage)?;
    let found = spam.then(|| threat(rating.symbols.split(',').next().unwrap_or_default().as_bytes()));
    let version = Version { program: Some(words(speaks.as_bytes())), signatures: None };
    Ok(Shown { threat: found, version, rating: Some(rating), goes_on: false })
}

/// `True ; 1000.0 / 5.0`.
fn rated(value: &str) -> Option<(bool, f64, f64)> {
    let (word, numbers) = value.split_once(';')?;
    let spam = match word.trim() {
        "True" | "Yes" => true,
        "False" | "No" => false,
        _ => return None,
    };
    let (score, threshold) = numbers.split_once('/')?;
    Some((spam, score.trim().parse().ok()?, threshold.trim().parse().ok()?))
}
