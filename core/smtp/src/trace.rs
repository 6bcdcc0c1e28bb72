//! The trace field that reception adds ([RFC 5321 §4.4]).

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use crate::facts::{ListenerKind, SessionFacts};

/// The `Received:` field of a message that this session brought, with its final CRLF, every line within 78 octets
/// where its words allow.
///
/// Recipients are not listed: one of them may be a blind copy (RFC 5321 §7.2). Of our own people the address they sent
/// from is not told either; the session's id finds it in our log. `id` is the message's; `at_ms` is Unix time in
/// milliseconds.
pub fn received(session: &SessionFacts, id: &str, at_ms: u64) -> String {
    let hello = session.hello.as_deref().unwrap_or("unknown");
    let mut field = match session.kind {
        ListenerKind::Relay => format!("Received: from {hello}\r\n ({})", address_literal(session)),
        ListenerKind::Submission => format!("Received: from {hello}\r\n (authenticated)"),
    };
    // Writing to a String cannot fail.
    let _ = write!(field, "\r\n by {}\r\n with {} id {id}", session.hostname, session.protocol());
    if let Some(tls) = &session.tls {
        let _ = write!(field, "\r\n ({} {})", tls.version, tls.cipher);
    }
    let _ = write!(field, ";\r\n {}\r\n", date(at_ms));
    field
}

/// RFC 5321 §4.1.3.
fn address_literal(session: &SessionFacts) -> String {
    match session.peer.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => format!("[{ip}]"),
        std::net::IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    }
}

/// RFC 5322 §3.3, in UTC.
fn date(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX);
    jiff::fmt::rfc2822::to_string(&at.to_zoned(TimeZone::UTC))
        .unwrap_or_else(|_| "Thu, 1 Jan 1970 00:00:00 +0000".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::TlsFacts;

    #[test]
    fn the_field_says_how_the_message_came_and_nothing_of_its_recipients() {
        let mut session = SessionFacts {
            id: "0".repeat(16),
            kind: ListenerKind::Relay,
            peer: "[::ffff:192.0.2.1]:25".parse().unwrap(),
            hostname: "mx.alfa.test".into(),
            hello: Some("mail.beta.test".into()),
            extended: true,
            tls: Some(TlsFacts { version: "TLSv1.3".into(), cipher: "TLS_AES_256_GCM_SHA384".into() }),
            identity: None,
        };
        assert_eq!(
            received(&session, "42", 1_763_775_165_000),
            "Received: from mail.beta.test\r\n ([192.0.2.1])\r\n by mx.alfa.test\r\n with ESMTPS id 42\r\n \
             (TLSv1.3 TLS_AES_256_GCM_SHA384);\r\n Sat, 22 Nov 2025 01:32:45 +0000\r\n"
        );
        session.kind = ListenerKind::Submission;
        session.identity = Some("ada".into());
        let field = received(&session, "42", 0);
        assert!(field.contains("(authenticated)") && field.contains("with ESMTPSA") && !field.contains("192.0.2.1"));
    }
}
