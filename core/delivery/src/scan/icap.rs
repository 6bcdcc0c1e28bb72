//! ICAP ([RFC 3507]): the content as the body of a response that is to be let through (RESPMOD, §4.9), and the headers
//! by which the servers of antivirus makers name what they found (none of them is in the standard).

use memchr::memmem;

use super::exchange::{Answer, Framing, exchange};
use super::feed::Feed;
use super::{Connection, ScanError, Shown, Version, threat, words};

/// Header fields that name what was found, in the order in which they are believed.
const FINDINGS: [&str; 4] = ["X-Infection-Found", "X-Virus-ID", "X-Virus-Name", "X-Violations-Found"];

/// Everything before the body. The media type is never the message's own word: servers let types pass unseen.
pub(super) fn head(host: &str, service: &str, message: bool) -> Vec<u8> {
    let request = "GET http://mail.invalid/content HTTP/1.1\r\nHost: mail.invalid\r\n\r\n";
    let kind = if message { "message/rfc822" } else { "application/octet-stream" };
    let response = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
    // RFC 3507 §4.4.1: offsets into what is encapsulated. `Allow: 204` (§4.6): «nothing to change» without the body.
    let (headers, body) = (request.len(), request.len() + response.len());
    format!(
        "RESPMOD icap://{host}/{service} ICAP/1.0\r\nHost: {host}\r\nAllow: 204\r\nConnection: close\r\nEncapsulated: \
         req-hdr=0, res-hdr={headers}, res-body={body}\r\n\r\n{request}{response}"
    )
    .into_bytes()
}

/// Shows a content.
pub(super) async fn scan(stream: Box<dyn Connection>, head: Vec<u8>, feed: Feed) -> Result<Shown, ScanError> {
    let framing = Framing {
        head,
        promised: None,
        // RFC 3507 §4.4.2: bodies are chunked, as in HTTP.
        before: |length| format!("{length:x}\r\n").into_bytes(),
        after: b"\r\n",
        tail: b"0\r\n\r\n",
        whole: |octets| memmem::find(octets, b"\r\n\r\n").is_some(),
    };
    let answer = exchange(stream, &framing, feed).await?;
    let (threat, version) = verdict(&answer)?;
    Ok(Shown { threat, version, rating: None, goes_on: answer.goes_on })
}

fn verdict(answer: &Answer) -> Result<(Option<String>, Version), ScanError> {
    let end = memmem::find(&answer.octets, b"\r\n\r\n").ok_or(ScanError::Ended)?;
    let (head, rest) = (&answer.octets[..end], &answer.octets[end + 4..]);
    let status = head.split(|octet| *octet == b'\r').next().unwrap_or_default();
    let code = code(status).ok_or_else(|| ScanError::Garbage(words(status)))?;
    let version = Version {
        program: field(head, "Service").or_else(|| field(head, "Server")).map(|value| words(&value)),
        // RFC 3507 §4.7: changes with everything that changes what the service would answer.
        signatures: field(head, "ISTag").map(|value| words(&value).trim_matches('"').to_owned()),
    };
    if let Some(name) = finding(head) {
        return Ok((Some(name), version));
    }
    match code {
        204 if answer.early => Err(ScanError::Early),
        204 if !rest.is_empty() => Err(ScanError::Garbage("204 with something after it".into())),
        204 => Ok((None, version)),
        // It would change the content and does not say why.
        200..=299 => Err(ScanError::Garbage(format!("{code} without the name of what was found"))),
        413 => Err(ScanError::TooLarge(words(status))),
        _ => Err(ScanError::Refused(words(status))),
    }
}

/// `ICAP/1.0 204 No modifications needed`.
fn code(status: &[u8]) -> Option<u16> {
    let rest = status.strip_prefix(b"ICAP/1.0 ")?;
    let digits = rest.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    matches!(rest.get(3), None | Some(b' ')).then(|| digits.iter().fold(0, |sum, d| sum * 10 + u16::from(d - b'0')))
}

/// The name of what was found, if a field says that something was.
fn finding(head: &[u8]) -> Option<String> {
    let (name, value) = FINDINGS.iter().find_map(|name| Some((*name, field(head, name)?)))?;
    Some(match name {
        // `Type=0; Resolution=2; Threat=Eicar-Test-Signature;`
        "X-Infection-Found" => {
            let named = value.split(|octet| *octet == b';').find_map(|part| part.trim_ascii().strip_prefix(b"Threat="));
            threat(named.unwrap_or(&value))
        }
        // How many, and then for each four lines: file, name, problem, resolution.
        "X-Violations-Found" => threat(value.split(|octet| *octet == b'\n').nth(2).unwrap_or(&value).trim_ascii()),
        _ => threat(&value),
    })
}

/// The value of the first field of this name; lines of a folded one are parted by LF.
fn field(head: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut lines = head.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.find_map(|line| {
        let colon = line.iter().position(|octet| *octet == b':')?;
        line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii().to_vec())
    });
    let mut value = first?;
    for line in lines.take_while(|line| line.first().is_some_and(|octet| matches!(octet, b' ' | b'\t'))) {
        value.push(b'\n');
        value.extend_from_slice(line.trim_ascii());
    }
    Some(value)
}
