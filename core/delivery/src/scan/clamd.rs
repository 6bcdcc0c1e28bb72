//! ClamAV's daemon, clamd(8): `zINSTREAM`, pieces with their lengths, one answer that ends with a NUL, the end of the
//! connection.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::exchange::{Answer, Framing, exchange};
use super::feed::Feed;
use super::{Connection, ScanError, Version, threat, words};

/// Octets of an answer to `VERSION`.
const VERSION_MAX: u64 = 1024;

fn framing() -> Framing {
    Framing {
        head: b"zINSTREAM\0".to_vec(),
        promised: None,
        // A piece has at most 64 KiB, so its length fits.
        before: |length| (length as u32).to_be_bytes().to_vec(),
        after: b"",
        tail: &[0; 4],
        whole: |_| false,
    }
}

/// Shows a content; returns what was found, and whether the content has another reading.
pub(super) async fn scan(stream: Box<dyn Connection>, feed: Feed) -> Result<(Option<String>, bool), ScanError> {
    let answer = exchange(stream, &framing(), feed).await?;
    Ok((verdict(&answer)?, answer.goes_on))
}

fn verdict(answer: &Answer) -> Result<Option<String>, ScanError> {
    let garbage = || ScanError::Garbage(words(&answer.octets));
    // Every answer to a command with `z` ends with a NUL: without it the answer is cut short, with two it is two.
    let line = answer.octets.strip_suffix(b"\0").filter(|line| !line.contains(&0));
    let Some(line) = line else {
        return Err(if answer.octets.contains(&0) { garbage() } else { ScanError::Ended });
    };
    if line.ends_with(b"ERROR") {
        let said = words(line);
        let large = said.to_ascii_lowercase().contains("size limit exceeded");
        return Err(if large { ScanError::TooLarge(said) } else { ScanError::Refused(said) });
    }
    let said = line.strip_prefix(b"stream: ").ok_or_else(garbage)?;
    if let Some(name) = said.strip_suffix(b"FOUND") {
        return Ok(Some(threat(name)));
    }
    match said {
        b"OK" if answer.early => Err(ScanError::Early),
        b"OK" => Ok(None),
        _ => Err(garbage()),
    }
}

/// What clamd says of itself: `ClamAV 1.4.6/27500/Thu Nov 26 09:00:00 2026`, the last two parts only with a database
/// that has a number.
pub(super) async fn version(mut stream: Box<dyn Connection>) -> Option<Version> {
    stream.write_all(b"zVERSION\0").await.ok()?;
    let mut answer = Vec::new();
    stream.take(VERSION_MAX).read_to_end(&mut answer).await.ok()?;
    let line = answer.strip_suffix(b"\0").filter(|line| !line.contains(&0))?;
    let mut parts = line.splitn(2, |octet| *octet == b'/');
    let program = words(parts.next()?);
    let signatures = parts.next().map(words).filter(|text| !text.is_empty());
    (!program.is_empty()).then_some(Version { program: Some(program), signatures })
}
