//! What a target answered: whether it proves that the same bytes arrived.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::entry::unhex;

/// A digest in hexadecimal as base64.
pub fn base64(hex: &str) -> String {
    STANDARD.encode(unhex(hex))
}

/// Whether the answer holds the digest, in hexadecimal of either case or in base64.
pub fn holds_digest(body: &[u8], hex: &str) -> bool {
    let text = String::from_utf8_lossy(body);
    text.to_ascii_lowercase().contains(&hex.to_ascii_lowercase()) || text.contains(&base64(hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_found_in_either_form() {
        let hex = "ab".repeat(32);
        assert!(holds_digest(format!("<Impronta>{}</Impronta>", hex.to_uppercase()).as_bytes(), &hex));
        assert!(holds_digest(format!(r#"{{"hash":"{}"}}"#, base64(&hex)).as_bytes(), &hex));
        assert!(!holds_digest(b"", &hex));
        assert!(!holds_digest("cd".repeat(32).as_bytes(), &hex));
    }
}
