//! Replies of another server, read with bounds ([RFC 5321 §4.2]).

use bytes::{Buf, BytesMut};
use sigillo_mail::{EnhancedCode, Failure};
use smtp_proto::response::parser::ResponseReceiver;
use smtp_proto::{EXT_8BIT_MIME, EXT_PIPELINING, EXT_SIZE, EXT_START_TLS, EhloResponse};

use crate::limits::{PEER_REPLY_LINE_MAX, PEER_REPLY_LINES_MAX, PEER_REPLY_MAX};
use crate::reply::{Reply, line};

/// What arrived from the server and was not yet read.
#[derive(Default)]
pub(super) struct Replies {
    pub bytes: BytesMut,
}

/// Why what arrived is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReplyError {
    /// A line or a reply without end keeps nobody reading (a server can attack a client, too).
    #[error("the server's reply is too long")]
    TooLong,
    /// Not three digits and a separator, or lines of one reply with different codes.
    #[error("the server's reply is malformed")]
    Malformed,
}

impl Replies {
    /// The next whole reply, with its bytes as they came.
    pub fn next(&mut self) -> Result<Option<(Reply, BytesMut)>, ReplyError> {
        let Some(end) = self.end()? else { return Ok(None) };
        let raw = self.bytes.split_to(end);
        let parsed = ResponseReceiver::default().parse(&mut raw.iter()).map_err(|_| ReplyError::Malformed)?;
        let [class, subject, detail] = parsed.esc;
        let enhanced = (class != 0).then(|| EnhancedCode(class, subject.into(), detail.into()));
        let text = parsed.message.trim_end().replace(['\r', '\n'], " ");
        Ok(Some((Reply { code: parsed.code, enhanced, text: line(&text).into() }, raw)))
    }

    /// Where the first reply ends, if it is whole.
    fn end(&self) -> Result<Option<usize>, ReplyError> {
        let (mut at, mut code) = (0, None);
        for _ in 0..PEER_REPLY_LINES_MAX {
            let rest = &self.bytes[at..];
            let Some(lf) = memchr::memchr(b'\n', rest) else {
                let over = rest.len() > PEER_REPLY_LINE_MAX || at + rest.len() > PEER_REPLY_MAX;
                return if over { Err(ReplyError::TooLong) } else { Ok(None) };
            };
            at += lf + 1;
            if lf > PEER_REPLY_LINE_MAX || at > PEER_REPLY_MAX {
                return Err(ReplyError::TooLong);
            }
            let digits = rest.get(..3).filter(|d| d.iter().all(u8::is_ascii_digit)).ok_or(ReplyError::Malformed)?;
            // RFC 5321 §4.2.1: all lines of a reply have the same code.
            if *code.get_or_insert(digits) != digits || !(b'2'..=b'5').contains(&digits[0]) {
                return Err(ReplyError::Malformed);
            }
            match rest[3] {
                b' ' | b'\r' | b'\n' => return Ok(Some(at)),
                b'-' => {}
                _ => return Err(ReplyError::Malformed),
            }
        }
        Err(ReplyError::TooLong)
    }

    /// Forgets what arrived. RFC 3207 §4.2: nothing from before the handshake counts after it; somebody in between
    /// could have put replies there.
    pub fn clear(&mut self) {
        self.bytes.advance(self.bytes.len());
    }
}

/// What EHLO said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub starttls: bool,
    pub pipelining: bool,
    pub eight_bit: bool,
    /// SIZE is offered, with this limit; 0 is none. RFC 1870 §4.
    pub size: Option<u64>,
}

impl Capabilities {
    /// Of the whole reply to EHLO. What cannot be read is not offered.
    pub fn parse(raw: &[u8]) -> Capabilities {
        let Ok(response) = EhloResponse::parse(&mut raw.iter()) else { return Capabilities::default() };
        Capabilities {
            starttls: response.has_capability(EXT_START_TLS),
            pipelining: response.has_capability(EXT_PIPELINING),
            eight_bit: response.has_capability(EXT_8BIT_MIME),
            size: response.has_capability(EXT_SIZE).then_some(response.size as u64),
        }
    }
}

/// What a refusal means for whoever must decide about trying again. RFC 5321 §4.2.1, §4.3.2.
pub(super) fn failure(host: &str, reply: &Reply) -> Failure {
    let class = reply.code / 100;
    let enhanced = |class: u8| match reply.enhanced {
        Some(code) if code.0 == class => code,
        _ => EnhancedCode(class, 0, 0),
    };
    let words = reply.text.to_string();
    let failure = match class {
        5 => Failure::permanent(enhanced(5), words),
        4 => Failure::transient(enhanced(4), words),
        // A positive reply where none can be: the server and we do not understand each other now.
        _ => Failure::transient(EnhancedCode(4, 5, 0), words),
    };
    Failure { detail: Some(format!("{host} said: {reply}")), ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(text: &str) -> Replies {
        Replies { bytes: BytesMut::from(text) }
    }

    #[test]
    fn replies_come_whole_and_one_by_one() {
        let mut input = replies("250-mx\r\n250-SIZE 100\r\n250 8BITMIME\r\n550 5.1.1 no\r\n220");
        let (hello, raw) = input.next().unwrap().unwrap();
        assert_eq!(hello.code, 250);
        let capabilities = Capabilities::parse(&raw);
        assert_eq!((capabilities.size, capabilities.eight_bit, capabilities.starttls), (Some(100), true, false));
        let (refusal, _) = input.next().unwrap().unwrap();
        assert_eq!((refusal.code, refusal.enhanced, &*refusal.text), (550, Some(EnhancedCode(5, 1, 1)), "no"));
        assert_eq!(input.next(), Ok(None));
        assert_eq!(replies("250\r\n").next().unwrap().unwrap().0.code, 250);
    }

    #[test]
    fn what_is_no_reply_or_has_no_end_is_an_error() {
        for text in ["hello\r\n", "250-a\r\n550 b\r\n", "25x ok\r\n", "250_x\r\n", "999 x\r\n", "\r\n"] {
            assert_eq!(replies(text).next().err(), Some(ReplyError::Malformed), "{text:?}");
        }
        for text in ["2".repeat(3000), "250-x\r\n".repeat(101), "250-y".to_owned() + &"x".repeat(5000) + "\r\n"] {
            assert_eq!(replies(&text).next().err(), Some(ReplyError::TooLong), "{:.20}", text);
        }
    }

    #[test]
    fn failures_take_class_and_code_of_the_reply() {
        let of = |text: &str| failure("mx", &replies(text).next().unwrap().unwrap().0);
        assert_eq!(of("550 5.1.1 no\r\n").code, EnhancedCode(5, 1, 1));
        assert_eq!(of("550 4.1.1 no\r\n").code, EnhancedCode(5, 0, 0));
        assert!(!of("450 busy\r\n").is_permanent());
        assert!(!of("250 what?\r\n").is_permanent());
    }
}
