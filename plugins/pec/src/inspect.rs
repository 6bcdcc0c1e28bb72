//! What anybody may ask of a certified message in a file: what it is (`decode`), and whether it is genuine (`verify`).
//!
//! Nothing here needs settings, state or a policy, and nothing decides about mail: where the reception point refuses
//! ([PEC §2.2.2]), this names what is wrong and goes on, so that a message of another provider, an old one or an altered
//! one still tells what it can.

mod agreement;
mod date;
mod decode;
mod report;
mod verify;
mod words;

pub use report::{Decoded, Outcome, Verified};

use crate::host::{Error, Message, Provider, Verification};

/// A message in a file, and what there is to judge it by.
pub trait Exhibit {
    /// The message, with CRLF line ends.
    fn message(&self) -> &dyn Message;
    /// A fact about the file, or about what is given to judge by; the names are the contract's.
    fn property(&self, name: &str) -> Option<String>;
    /// Octets and SHA-256 of the body of a part without its transfer encoding.
    fn decoded_sha256(&self, part: u32) -> Result<(u64, Vec<u8>), Error>;
    /// Verifies the top-level signature.
    fn verify(&self) -> Result<Signature, Error>;
    /// The provider of the index to which a certificate belongs.
    fn provider_of_certificate(&self, certificate: &[u8]) -> Result<Option<Provider>, Error>;
    /// The provider of the index that manages a domain.
    fn provider_of_domain(&self, domain: &str) -> Result<Option<Provider>, Error>;
}

/// What verification found, with facts about the certificate.
#[derive(Debug, Clone, Default)]
pub struct Signature {
    /// The verdicts.
    pub verification: Verification,
    /// `digest`, `subject`, `issuer`, `serial`, `valid-from`, `valid-until`, `sha1`, `signing-time`, by name.
    pub facts: Vec<(&'static str, String)>,
}

/// The facts that [`Signature::facts`] holds where they are known.
pub const FACTS: [&str; 9] =
    ["subject", "issuer", "serial", "valid-from", "valid-until", "sha1", "digest", "algorithm", "signing-time"];

/// Answers a command with a JSON object.
pub fn answer(exhibit: &dyn Exhibit, command: &str) -> Result<String, String> {
    let written = match command {
        "decode" => serde_json::to_string(&decode(exhibit)?),
        "verify" => serde_json::to_string(&verify(exhibit)?),
        other => return Err(format!("no command '{other}'")),
    };
    written.map_err(|error| error.to_string())
}

/// What the message is and holds.
pub fn decode(exhibit: &dyn Exhibit) -> Result<Decoded, String> {
    decode::decode(exhibit)
}

/// Whether it is genuine, check by check.
pub fn verify(exhibit: &dyn Exhibit) -> Result<Verified, String> {
    verify::verify(exhibit)
}
