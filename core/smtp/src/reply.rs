//! What a server answers ([RFC 5321 §4.2], enhanced codes [RFC 2034]).
//!
//! The vocabulary stands here; a bare reply number appears nowhere else.

use std::borrow::Cow;
use std::fmt;

use bytes::BytesMut;
use sigillo_mail::{EnhancedCode, Failure, Permanence};

use crate::limits::REPLY_TEXT_MAX;

/// One reply: a code, usually an enhanced code, and one line of text or, for EHLO, several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits, RFC 5321 §4.2.1.
    pub code: u16,
    /// RFC 3463. Greetings, EHLO and intermediate replies have none (RFC 2034 §3).
    pub enhanced: Option<EnhancedCode>,
    /// Printable ASCII. A line break here starts another line of the same reply.
    pub text: Cow<'static, str>,
}

/// `Reply::NAME`: one constant per thing we say.
macro_rules! vocabulary {
    ($($(#[$doc:meta])* $name:ident = $code:literal $class:literal . $subject:literal . $detail:literal $text:literal;)*) => {
        impl Reply {
            $($(#[$doc])* pub const $name: Reply = Reply {
                code: $code,
                enhanced: Some(EnhancedCode($class, $subject, $detail)),
                text: Cow::Borrowed($text),
            };)*
        }
    };
}

vocabulary! {
    /// QUIT. RFC 5321 §4.1.1.10.
    CLOSING = 221 2 . 0 . 0 "Goodbye";
    /// STARTTLS. RFC 3207 §4.
    READY_FOR_TLS = 220 2 . 0 . 0 "Ready to start TLS";
    /// AUTH succeeded. RFC 4954 §6.
    AUTHENTICATED = 235 2 . 7 . 0 "Authentication succeeded";
    /// NOOP and RSET.
    OK = 250 2 . 0 . 0 "OK";
    /// MAIL. RFC 3463 §3.2.
    SENDER_OK = 250 2 . 1 . 0 "Sender OK";
    /// RCPT. RFC 3463 §3.2.
    RECIPIENT_OK = 250 2 . 1 . 5 "Recipient OK";
    /// HELP.
    HELP = 214 2 . 0 . 0 "This server speaks RFC 5321";
    /// VRFY: we do not tell who has a mailbox. RFC 5321 §3.5.3.
    CANNOT_VERIFY = 252 2 . 5 . 0 "Cannot VRFY user, but will accept message and attempt delivery";
    /// The server is stopping, or the session has had its time. RFC 5321 §3.8.
    SHUTTING_DOWN = 421 4 . 3 . 2 "Service closing transmission channel";
    /// The client was silent for too long. RFC 5321 §4.5.3.2.7.
    TIMED_OUT = 421 4 . 4 . 2 "Timeout exceeded, closing transmission channel";
    /// [`crate::limits::ERRORS_MAX`] and its kin.
    TOO_MANY_ERRORS = 421 4 . 7 . 0 "Too many errors, closing transmission channel";
    /// [`crate::limits::TRANSACTIONS_MAX`], [`crate::limits::IDLE_COMMANDS_MAX`].
    TOO_MANY_COMMANDS = 421 4 . 7 . 0 "Too many commands, closing transmission channel";
    /// RFC 5321 §4.5.3.1.10.
    TOO_MANY_RECIPIENTS = 452 4 . 5 . 3 "Too many recipients";
    /// The credential could not be looked up. RFC 4954 §4.7.
    AUTH_UNAVAILABLE = 454 4 . 7 . 0 "Temporary authentication failure";
    /// STARTTLS cannot be had. RFC 3207 §4.
    TLS_UNAVAILABLE = 454 4 . 7 . 0 "TLS not available";
    /// RFC 5321 §4.2.4.
    LINE_TOO_LONG = 500 5 . 5 . 2 "Line too long";
    /// RFC 4954 §4.
    AUTH_LINE_TOO_LONG = 500 5 . 5 . 6 "Authentication exchange line is too long";
    /// RFC 5321 §4.2.4.
    UNKNOWN_COMMAND = 500 5 . 5 . 1 "Command not recognised";
    /// Bytes outside printable ASCII, or a line that does not end in CRLF. RFC 5321 §2.3.7 and §2.3.8.
    BAD_BYTES = 501 5 . 5 . 2 "Commands are printable ASCII and end in CRLF";
    /// RFC 5321 §4.2.4.
    BAD_ARGUMENTS = 501 5 . 5 . 4 "Syntax error in parameters or arguments";
    /// RFC 3463 §3.2.
    BAD_SENDER = 501 5 . 1 . 7 "Bad sender address syntax";
    /// RFC 3463 §3.2.
    BAD_RECIPIENT = 501 5 . 1 . 3 "Bad recipient address syntax";
    /// RFC 4954 §4.
    BAD_AUTH_RESPONSE = 501 5 . 5 . 2 "Malformed authentication exchange";
    /// Known but not offered. RFC 5321 §4.2.4.
    NOT_IMPLEMENTED = 502 5 . 5 . 1 "Command not implemented";
    /// RFC 5321 §4.1.4.
    HELLO_FIRST = 503 5 . 5 . 1 "EHLO or HELO first";
    /// RFC 5321 §4.1.4.
    MAIL_FIRST = 503 5 . 5 . 1 "MAIL first";
    /// RFC 5321 §4.1.4.
    NESTED_MAIL = 503 5 . 5 . 1 "A transaction is already open";
    /// RFC 5321 §3.3.
    NO_RECIPIENTS = 554 5 . 5 . 1 "No valid recipients";
    /// RFC 4954 §4, RFC 3207 §4.
    NOT_NOW = 503 5 . 5 . 1 "Command not allowed now";
    /// RFC 4954 §4.
    UNKNOWN_MECHANISM = 504 5 . 5 . 4 "Authentication mechanism not offered";
    /// RFC 6409 §4.3.
    AUTH_REQUIRED = 530 5 . 7 . 0 "Authentication required";
    /// RFC 3207 §4.
    TLS_REQUIRED = 530 5 . 7 . 0 "Must issue a STARTTLS command first";
    /// RFC 4954 §6.
    AUTH_FAILED = 535 5 . 7 . 8 "Authentication credentials invalid";
    /// RFC 4954 §6.
    TLS_REQUIRED_FOR_AUTH = 538 5 . 7 . 11 "Encryption required for authentication";
    /// Bare CR, bare LF or NUL in content. RFC 5321 §2.3.8 and §4.1.1.4, RFC 6152 §3.
    BAD_CONTENT = 550 5 . 6 . 0 "Content with a bare CR, a bare LF or a NUL is refused";
    /// RFC 1870 §6.
    TOO_BIG = 552 5 . 3 . 4 "Message size exceeds the limit";
    /// Commands sent before our reply to a command that must be waited for. RFC 2920 §3.1, RFC 5321 §3.1.
    UNEXPECTED_INPUT = 554 5 . 5 . 0 "Input before it was asked for, closing transmission channel";
    /// What a web browser says. RFC 5321 §3.8 leaves closing to us.
    NOT_SMTP = 554 5 . 5 . 1 "This is not a web server, closing transmission channel";
    /// RFC 5321 §4.1.1.11.
    UNSUPPORTED_PARAMETER = 555 5 . 5 . 4 "Parameter not recognised or not implemented";
}

impl Reply {
    /// RFC 5321 §4.1.1.4.
    pub const START_CONTENT: Reply =
        Reply { code: 354, enhanced: None, text: Cow::Borrowed("Start mail input; end with <CRLF>.<CRLF>") };

    /// The greeting. RFC 5321 §3.1.
    pub fn greeting(hostname: &str) -> Reply {
        Reply { code: 220, enhanced: None, text: format!("{hostname} ESMTP Sigillo").into() }
    }

    /// The reply to HELO, and with `keywords` to EHLO. RFC 5321 §4.1.1.1.
    pub fn hello(hostname: &str, keywords: &[String]) -> Reply {
        let mut text = hostname.to_owned();
        for keyword in keywords {
            text.push('\n');
            text.push_str(keyword);
        }
        Reply { code: 250, enhanced: None, text: text.into() }
    }

    /// A challenge of an authentication exchange, in base64. RFC 4954 §4.
    pub fn challenge(text: String) -> Reply {
        Reply { code: 334, enhanced: None, text: text.into() }
    }

    /// The password is right and opens nothing: the handler's code and words under the code of RFC 4954 §6.
    pub fn auth_barred(failure: &Failure) -> Reply {
        Reply { code: 535, enhanced: Some(failure.code), text: line(&failure.words).into() }
    }

    /// The message is ours now. RFC 5321 §4.2.5.
    pub fn accepted(words: &str) -> Reply {
        Reply { code: 250, enhanced: Some(EnhancedCode(2, 0, 0)), text: line(words).into() }
    }

    /// Whether this is 2yz.
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether this is 4yz.
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// Whether the connection ends after it. RFC 5321 §4.2.3: 221 and 421.
    pub fn closes(&self) -> bool {
        matches!(self.code, 221 | 421)
    }

    /// Appends the reply as it goes on the wire.
    pub fn write(&self, out: &mut BytesMut) {
        let enhanced = self.enhanced.map(|code| format!("{code} ")).unwrap_or_default();
        let mut lines = self.text.split('\n').peekable();
        while let Some(text) = lines.next() {
            // RFC 5321 §4.2.1: a hyphen after the code of all lines but the last.
            let separator = if lines.peek().is_some() { '-' } else { ' ' };
            out.extend_from_slice(format!("{}{separator}{enhanced}{text}\r\n", self.code).as_bytes());
        }
    }
}

/// As in a log or in a report: code, enhanced code, text.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.code)?;
        if let Some(code) = self.enhanced {
            write!(f, "{code} ")?;
        }
        f.write_str(&self.text.replace('\n', " "))
    }
}

/// The one table from what failed to what is said.
impl From<&Failure> for Reply {
    fn from(failure: &Failure) -> Reply {
        let permanent = failure.permanence == Permanence::Permanent;
        let EnhancedCode(_, subject, detail) = failure.code;
        let class = if permanent { 5 } else { 4 };
        let derived = match (permanent, subject, detail) {
            // Mailbox full, message too big: RFC 5321 §4.2.3, 552 and 452.
            (true, 2, 2 | 3) | (true, 3, 4) => 552,
            (false, 2, 2) | (false, 3, 1 | 4) => 452,
            // The address itself is malformed: 553.
            (true, 1, 3 | 7) => 553,
            (true, 3 | 4 | 6, _) => 554,
            (true, ..) => 550,
            // The mailbox is busy or unknown for now: 450.
            (false, 1 | 2 | 7, _) => 450,
            (false, ..) => 451,
        };
        let code = failure.reply.filter(|code| code / 100 == class).unwrap_or(derived);
        // RFC 2034 §4: the class agrees with the first digit of the code.
        let enhanced = EnhancedCode(class as u8, subject, detail);
        Reply { code, enhanced: Some(enhanced), text: line(&failure.words).into() }
    }
}

/// One line that is safe to send. Words may come from a plugin or from another server: a CR or LF in them would be a
/// reply that we never gave.
pub(crate) fn line(words: &str) -> String {
    let mut text: String =
        words.chars().take(REPLY_TEXT_MAX).map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
    if text.trim().is_empty() {
        text = "No reason given".to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply) -> String {
        let mut out = BytesMut::new();
        reply.write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn replies_have_their_form_on_the_wire() {
        assert_eq!(wire(&Reply::OK), "250 2.0.0 OK\r\n");
        assert_eq!(wire(&Reply::greeting("mx.test")), "220 mx.test ESMTP Sigillo\r\n");
        let keywords = ["SIZE 10".to_owned(), "PIPELINING".to_owned()];
        assert_eq!(wire(&Reply::hello("mx.test", &keywords)), "250-mx.test\r\n250-SIZE 10\r\n250 PIPELINING\r\n");
    }

    #[test]
    fn failures_become_replies_of_their_class_in_one_line() {
        let unknown = Failure::permanent(EnhancedCode::BAD_DESTINATION_MAILBOX, "no such\r\n250 OK\u{e0}");
        assert_eq!(wire(&Reply::from(&unknown)), "550 5.1.1 no such??250 OK?\r\n");
        let full = Failure::transient(EnhancedCode(5, 2, 2), "");
        assert_eq!(wire(&Reply::from(&full)), "452 4.2.2 No reason given\r\n");
        assert_eq!(Reply::from(&Failure::internal("disk on fire")).code, 451);
        let long = Failure::permanent(EnhancedCode::REFUSED, "x".repeat(5000));
        assert!(wire(&Reply::from(&long)).len() <= 512);
    }

    #[test]
    fn a_chosen_code_is_kept_if_it_is_of_the_class() {
        let refused = Failure::permanent(EnhancedCode::REFUSED, "x");
        let later = Failure::transient(EnhancedCode(4, 7, 5), "x");
        for (failure, chosen, code) in [
            (&refused, None, 550),
            (&refused, Some(554), 554),
            (&refused, Some(451), 550),
            (&refused, Some(5540), 550),
            (&later, None, 450),
            (&later, Some(451), 451),
            (&later, Some(250), 450),
        ] {
            let reply = Reply::from(&Failure { reply: chosen, ..failure.clone() });
            assert_eq!(reply.code, code, "{failure} {chosen:?}");
        }
    }

    #[test]
    fn every_class_digit_agrees_with_its_code() {
        for failure in [Failure::permanent(EnhancedCode(4, 7, 1), "x"), Failure::transient(EnhancedCode(5, 3, 4), "x")]
        {
            let reply = Reply::from(&failure);
            assert_eq!(reply.code / 100, u16::from(reply.enhanced.unwrap().0));
        }
    }
}
