//! Instants of certificates and lists.

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;

/// Milliseconds since 1970, UTC; 0 for what was before.
pub(crate) fn milliseconds(time: &Asn1TimeRef) -> Result<u64, ErrorStack> {
    let span = Asn1Time::from_unix(0)?.diff(time)?;
    let seconds = i64::from(span.days) * 86_400 + i64::from(span.secs);
    Ok(u64::try_from(seconds).unwrap_or(0) * 1000)
}

/// The instant in words (2026-01-31T10:00:00Z), for facts about certificates.
pub(crate) fn instant(time: &Asn1TimeRef) -> Option<String> {
    let since = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    let second = i64::from(since.days) * 86_400 + i64::from(since.secs);
    Some(jiff::Timestamp::from_second(second).ok()?.to_string())
}
