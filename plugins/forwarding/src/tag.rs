//! Short tags over data of one purpose: what only this plugin of this server can make.

use crate::host::{Error, Host};

/// Hexadecimal digits of a tag: 64 bits, and whoever guesses asks the server each time.
pub(crate) const DIGITS: usize = 16;

/// The tag of these pieces for a purpose; no piece may have a NUL.
pub(crate) fn tag(host: &impl Host, purpose: &str, pieces: &[&str]) -> Result<String, Error> {
    let mut data = purpose.as_bytes().to_vec();
    for piece in pieces {
        data.push(0);
        data.extend_from_slice(piece.as_bytes());
    }
    let mac = host.mac(&data)?;
    if mac.len() < DIGITS / 2 {
        return Err(Error::Other("a tag is too short".into()));
    }
    Ok(mac[..DIGITS / 2].iter().map(|octet| format!("{octet:02x}")).collect())
}

/// Compares without telling by its duration where two tags differ. Case does not matter: servers change that of
/// addresses.
pub(crate) fn same(given: &str, made: &str) -> bool {
    given.len() == made.len()
        && given.bytes().zip(made.bytes()).fold(0, |sum, (a, b)| sum | (a.to_ascii_lowercase() ^ b)) == 0
}
