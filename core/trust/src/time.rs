//! Instants of certificates and lists.

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;

/// Milliseconds since 1970, UTC; 0 for what was before.
pub(crate) fn milliseconds(time: &Asn1TimeRef) -> Result<u64, ErrorStack> {
    let span = Asn1Time::from_unix(0)?.diff(time)?;
    let seconds = i64::from(span.days) * 86_400 + i64::from(span.secs);
    Ok(u64::try_from(seconds).unwrap_or(0) * 1000)
}
