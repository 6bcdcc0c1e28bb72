//! The base64 in which SASL messages travel, bounded.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;

use crate::sasl::SaslError;

/// Longest base64 text of one SASL message, octets. RFC 4954 §4 asks for a line of 12,288 octets at least.
pub const ENCODED_MAX: usize = 12_288;

/// The bytes that `text` stands for. Padding must be exact and nothing may follow it: two texts for one message would
/// let two readers disagree (RFC 4648 §3.5).
pub fn decode(text: &[u8]) -> Result<Vec<u8>, SaslError> {
    if text.len() > ENCODED_MAX {
        return Err(SaslError::TooLong);
    }
    STANDARD.decode(text).map_err(|_| SaslError::Base64)
}

/// `bytes` as base64 with padding.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_text_is_read() {
        assert_eq!(decode(b"AGE=").as_deref(), Ok(&b"\0a"[..]));
        for text in [&b"AGE"[..], b"AGE==", b"AGF=", b"A GE=", b"AGE=\r", b"*", b"\xff\xff\xff\xff"] {
            assert_eq!(decode(text), Err(SaslError::Base64), "{text:?}");
        }
        assert_eq!(decode(&vec![b'A'; ENCODED_MAX + 4]), Err(SaslError::TooLong));
    }
}
