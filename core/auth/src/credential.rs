//! What is stored instead of a password.
//!
//! A record holds two independent derivations of one password: an Argon2id hash, against which PLAIN and LOGIN are
//! checked, and the SCRAM-SHA-256 keys, against which SCRAM is. Who steals the store can attack whichever is cheaper,
//! so the iteration count of SCRAM is far over the minimum of the RFC; an operator who does not want SCRAM stores
//! [`Credential::without_scram`], and the exchange then fails for that login as for an unknown one.

use std::fmt;
use std::str::FromStr;

use argon2::password_hash::CustomizedPasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq;

use crate::base64;
use crate::memory;
use crate::scram::Keys;

/// Memory of one Argon2id computation, KiB: 19 MiB, the smallest that OWASP's password storage guide names. Logins
/// happen per connection, so callers also bound how many run at once.
pub const ARGON2_MEMORY_KIB: u32 = 19 * 1024;
/// Passes of Argon2id, from the same guide.
pub const ARGON2_PASSES: u32 = 2;
/// Memory that a stored record may ask for, KiB: a damaged record must not take the machine down.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Passes that a stored record may ask for.
pub const ARGON2_PASSES_MAX: u32 = 16;
/// Iterations of SCRAM for new records. RFC 7677 §4 asks for 4,096 at least; 65,536 costs a client's processor some
/// tens of milliseconds, about what Argon2id costs ours.
pub const SCRAM_ITERATIONS: u32 = 65_536;
/// Iterations that a stored record may name: more would only stall clients.
pub const SCRAM_ITERATIONS_MAX: u32 = 10_000_000;
/// Longest password, octets.
pub const PASSWORD_MAX: usize = 1024;
/// Octets of a salt. RFC 9106 §3.1 recommends 16.
pub const SALT_OCTETS: usize = 16;
/// Longest text of a record, octets; ours are near 330.
const RECORD_MAX: usize = 1024;

/// First field of the text of a record: names its form, so that a later form can stand beside it.
const FORM: &str = "sigillo1";

/// Why no record can be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The password is empty, longer than [`PASSWORD_MAX`] or holds a NUL, which PLAIN cannot carry.
    #[error("a password has 1 to {PASSWORD_MAX} octets and no NUL")]
    Password,
    /// The text is no credential record.
    #[error("the credential record is malformed: {0}")]
    Record(&'static str),
}

/// The storable stand-in for a password.
///
/// Its text form ([`fmt::Display`], [`FromStr`]) is one line without spaces:
/// `sigillo1|ARGON2ID-PHC|SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY` (the last part as in RFC 5803, or `-`).
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    argon2: String,
    scram: Option<Keys>,
}

impl Credential {
    /// A record for `password` with fresh salts. Costs some tens of milliseconds and 19 MiB: not for an async task.
    pub fn new(password: &str) -> Result<Credential, CredentialError> {
        let mut credential = Credential::without_scram(password)?;
        credential.scram = Some(Keys::derive(password.as_bytes(), rand::random(), SCRAM_ITERATIONS));
        Ok(credential)
    }

    /// A record by which PLAIN and LOGIN work and SCRAM does not.
    pub fn without_scram(password: &str) -> Result<Credential, CredentialError> {
        if password.is_empty() || password.len() > PASSWORD_MAX || password.contains('\0') {
            return Err(CredentialError::Password);
        }
        let salt: [u8; SALT_OCTETS] = rand::random();
        let hash = Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, 1, None)
            .ok()
            .and_then(|params| Argon2::default().hash_password_with_params(password.as_bytes(), &salt, params).ok())
            .ok_or(CredentialError::Password)?;
        Ok(Credential { argon2: hash.to_string(), scram: None })
    }

    /// Whether `password` is the one this record was made for. Anything malformed denies. Costs what
    /// [`Credential::new`] costs: not for an async task.
    pub fn verify(&self, password: &str) -> bool {
        if password.is_empty() || password.len() > PASSWORD_MAX {
            return false;
        }
        bounded_hash(&self.argon2).is_some_and(|hash| matches(&hash, password).unwrap_or(false))
    }

    /// The SCRAM keys, if the record has them.
    pub(crate) fn scram(&self) -> Option<&Keys> {
        self.scram.as_ref()
    }
}

/// Whether the hash is that of `password`; none where it cannot be computed.
fn matches(hash: &PasswordHash, password: &str) -> Option<bool> {
    let (salt, expected) = (hash.salt?, hash.hash?);
    let params = Params::try_from(hash).ok()?;
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    let blocks = params.block_count();
    let argon2 = Argon2::new(Algorithm::Argon2id, version, params);
    let mut computed = vec![0; expected.len()];
    memory::with_blocks(blocks, |memory| {
        argon2.hash_password_into_with_memory(password.as_bytes(), &salt, &mut computed, memory).ok()
    })?;
    Some(computed.ct_eq(expected.as_bytes()).into())
}

/// The PHC string, if it is Argon2id at a cost that this machine can bear.
fn bounded_hash(text: &str) -> Option<PasswordHash> {
    let hash = PasswordHash::new(text).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let bearable = params.m_cost() <= ARGON2_MEMORY_KIB_MAX && params.t_cost() <= ARGON2_PASSES_MAX;
    (hash.algorithm.as_str() == "argon2id" && hash.hash.is_some() && hash.salt.is_some() && bearable).then_some(hash)
}

impl FromStr for Credential {
    type Err = CredentialError;

    fn from_str(text: &str) -> Result<Credential, CredentialError> {
        if text.len() > RECORD_MAX {
            return Err(CredentialError::Record("too long"));
        }
        let mut fields = text.split('|');
        let (Some(FORM), Some(argon2), Some(scram), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(CredentialError::Record("not three fields that begin with 'sigillo1'"));
        };
        bounded_hash(argon2).ok_or(CredentialError::Record("no Argon2id hash of bearable cost"))?;
        let scram = match scram {
            "-" => None,
            keys => Some(parse_scram(keys).ok_or(CredentialError::Record("malformed SCRAM keys"))?),
        };
        Ok(Credential { argon2: argon2.to_owned(), scram })
    }
}

/// RFC 5803 §2: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
fn parse_scram(text: &str) -> Option<Keys> {
    let (cost, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
    let (iterations, salt) = cost.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    let iterations = iterations.parse().ok().filter(|n| (4096..=SCRAM_ITERATIONS_MAX).contains(n))?;
    let key = |text: &str| base64::decode(text.as_bytes()).ok()?.try_into().ok();
    let salt: Vec<u8> = base64::decode(salt.as_bytes()).ok()?;
    Some(Keys { salt: salt.try_into().ok()?, iterations, stored_key: key(stored_key)?, server_key: key(server_key)? })
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORM}|{}|", self.argon2)?;
        match &self.scram {
            None => f.write_str("-"),
            Some(keys) => write!(
                f,
                "SCRAM-SHA-256${}:{}${}:{}",
                keys.iterations,
                base64::encode(&keys.salt),
                base64::encode(&keys.stored_key),
                base64::encode(&keys.server_key)
            ),
        }
    }
}

/// Nothing of the record: it would help an attacker who reads the log.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_verifies_and_the_text_form_keeps_that() {
        let credential = Credential::new("pässword 1").unwrap();
        let again: Credential = credential.to_string().parse().unwrap();
        assert_eq!(again, credential);
        assert!(again.verify("pässword 1"));
        for wrong in ["", "pässword", "pässword 1 ", "PÄSSWORD 1", "password 1"] {
            assert!(!again.verify(wrong), "{wrong}");
        }
        assert_ne!(Credential::new("pässword 1").unwrap().to_string(), credential.to_string(), "salts are fresh");
        assert_eq!(format!("{credential:?}"), "Credential(..)");
    }

    #[test]
    fn a_malformed_record_is_no_record() {
        let good = Credential::without_scram("x").unwrap().to_string();
        assert!(good.parse::<Credential>().is_ok());
        let huge_memory = good.replace("m=19456", "m=4194304");
        let other_hash = good.replace("argon2id", "argon2i");
        let low_iterations = good.replace("|-", "|SCRAM-SHA-256$1:AAAA$AAAA:AAAA");
        for text in ["", "x", "sigillo1||-", "sigillo1|$argon2id$|-", &huge_memory, &other_hash, &low_iterations] {
            assert!(text.parse::<Credential>().is_err(), "{text}");
        }
        assert!(!Credential { argon2: "damaged".to_owned(), scram: None }.verify("x"));
        assert!(!Credential { argon2: String::new(), scram: None }.verify(""));
    }

    #[test]
    fn passwords_that_plain_cannot_carry_are_refused() {
        for password in ["", "a\0b", &"x".repeat(PASSWORD_MAX + 1)] {
            assert_eq!(Credential::new(password), Err(CredentialError::Password));
        }
    }
}
