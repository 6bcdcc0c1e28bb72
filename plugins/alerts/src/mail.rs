//! An alert as a message ([RFC 5322]).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use crate::host::{Error, Host, short_tag};
use crate::settings::Settings;

/// Letters of one line of base64 (RFC 2045 §6.8).
const LINE: usize = 76;
/// Octets of an id before its tag: longer ones are not of this server.
const ID_MAX: usize = 128;
/// Octets of text in one encoded word: RFC 2047 §2 allows 75 letters in all.
const WORD: usize = 42;

/// An instant in legal time.
fn legal(host: &impl Host, at: u64) -> jiff::Zoned {
    let instant = Timestamp::from_millisecond(at as i64).unwrap_or_default();
    let offset = Offset::from_seconds(host.offset(at)).unwrap_or(Offset::UTC);
    instant.to_zoned(TimeZone::fixed(offset))
}

/// `26/11/2026 08:30`, in legal time.
pub fn local(host: &impl Host, at: u64) -> String {
    let at = legal(host, at);
    format!("{:02}/{:02}/{:04} {:02}:{:02}", at.day(), at.month(), at.year(), at.hour(), at.minute())
}

/// A whole message. Subject and body are ours; the recipient was parsed.
pub fn message(host: &impl Host, settings: &Settings, to: &str, subject: &str, body: &str) -> Result<Vec<u8>, Error> {
    let id = host.id();
    let tag = tag(host, &id)?;
    let date = jiff::fmt::rfc2822::to_string(&legal(host, host.now())).unwrap_or_default();
    let domain = settings.from.rsplit_once('@').map_or("", |(_, domain)| domain);
    let encoded = STANDARD.encode(body.replace('\n', "\r\n"));
    let lines: Vec<&str> =
        (0..encoded.len()).step_by(LINE).map(|at| &encoded[at..encoded.len().min(at + LINE)]).collect();
    let fields = [
        format!("From: {} <{}>", phrase(&settings.provider), settings.from),
        format!("To: <{to}>"),
        format!("Subject: {}", line(subject)),
        format!("Date: {date}"),
        format!("Message-ID: <{id}.{tag}@{domain}>"),
        // RFC 3834 §5: no machine answers it, and we do not tell of it.
        "Auto-Submitted: auto-generated".to_owned(),
        "MIME-Version: 1.0".to_owned(),
        "Content-Type: text/plain; charset=utf-8".to_owned(),
        "Content-Transfer-Encoding: base64".to_owned(),
    ];
    Ok(format!("{}\r\n\r\n{}\r\n", fields.join("\r\n"), lines.join("\r\n")).into_bytes())
}

/// Whether a `Message-ID` is that of a message of ours. Nobody else can make one, and it stays where a message is passed
/// on, also in an anomaly envelope (PEC §3.2.2), whose `From` is the provider's.
pub fn is_ours(host: &impl Host, message_id: &str) -> Result<bool, Error> {
    let bare = message_id.trim().trim_start_matches('<').trim_end_matches('>');
    let Some((id, given)) = bare.split_once('@').and_then(|(local, _)| local.rsplit_once('.')) else {
        return Ok(false);
    };
    Ok(id.len() <= ID_MAX && given == tag(host, id)?)
}

fn tag(host: &impl Host, id: &str) -> Result<String, Error> {
    short_tag(host, &format!("alert\0{id}"))
}

/// A display name: as it stands if it is letters, digits and blanks, so that it needs no quotes (RFC 5322 §3.2.5).
fn phrase(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-'));
    if plain { text.to_owned() } else { words(text) }
}

/// A subject.
fn line(text: &str) -> String {
    if text.chars().all(|c| (' '..='~').contains(&c)) && !text.contains("=?") { text.to_owned() } else { words(text) }
}

/// Encoded words (RFC 2047 §2, §5) that part no letter.
fn words(text: &str) -> String {
    let mut words = vec![String::new()];
    for letter in text.chars() {
        match words.last_mut() {
            Some(last) if last.len() + letter.len_utf8() <= WORD => last.push(letter),
            _ => words.push(letter.to_string()),
        }
    }
    let encoded = words.iter().map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
    encoded.collect::<Vec<_>>().join("\r\n ")
}
