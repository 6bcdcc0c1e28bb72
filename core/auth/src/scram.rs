//! SCRAM-SHA-256, the server's side ([RFC 5802], [RFC 7677]).

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::base64;
use crate::credential::SALT_OCTETS;
use crate::sasl::{LOGIN_MAX, SaslError};

/// Longest nonce that a client may send, octets; they are near 24 in practice.
const CLIENT_NONCE_MAX: usize = 256;
/// Octets of randomness in our part of the nonce.
const SERVER_NONCE_OCTETS: usize = 18;

/// What a server stores instead of a password (RFC 5802 §2.2 and §3).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    pub salt: [u8; SALT_OCTETS],
    pub iterations: u32,
    pub stored_key: [u8; 32],
    pub server_key: [u8; 32],
}

impl Keys {
    /// RFC 5802 §3: `SaltedPassword`, `ClientKey`, `StoredKey`, `ServerKey`.
    pub fn derive(password: &[u8], salt: [u8; SALT_OCTETS], iterations: u32) -> Keys {
        let salted: [u8; 32] = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, &salt, iterations);
        let client_key = hmac(&salted, b"Client Key");
        Keys {
            salt,
            iterations,
            stored_key: Sha256::digest(client_key).into(),
            server_key: hmac(&salted, b"Server Key"),
        }
    }
}

/// HMAC-SHA-256.
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac.chain_update(message).finalize().into_bytes().into(),
        Err(_) => unreachable!("HMAC takes keys of any length (RFC 2104 §2)"),
    }
}

/// The client's first message, checked (RFC 5802 §7, `client-first-message`).
#[derive(Debug)]
pub(crate) struct ClientFirst {
    /// `n,,` or `y,a=...,`: must come back in the final message.
    pub gs2_header: String,
    /// The message without its header: part of what is signed.
    pub bare: String,
    /// Login, decoded.
    pub login: String,
    /// The client's nonce.
    pub nonce: String,
}

impl ClientFirst {
    pub fn parse(message: &[u8]) -> Result<ClientFirst, SaslError> {
        let text = str::from_utf8(message).map_err(|_| SaslError::Syntax)?;
        let (flag, rest) = text.split_once(',').ok_or(SaslError::Syntax)?;
        // RFC 5802 §6: `p=` demands a channel binding, which the mechanism without -PLUS does not have; `y` says that
        // the client could and believes we cannot, which is so.
        match flag {
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(SaslError::ChannelBinding),
            _ => return Err(SaslError::Syntax),
        }
        let (authorisation, bare) = rest.split_once(',').ok_or(SaslError::Syntax)?;
        let mut attributes = bare.split(',');
        // An `m=` here is an extension that we would have to understand (RFC 5802 §5.1): refused as no `n=`.
        let login = attributes.next().and_then(|a| a.strip_prefix("n=")).ok_or(SaslError::Syntax)?;
        let nonce = attributes.next().and_then(|a| a.strip_prefix("r=")).ok_or(SaslError::Syntax)?;
        let login = saslname(login)?;
        if !authorisation.is_empty() && saslname(authorisation.strip_prefix("a=").ok_or(SaslError::Syntax)?)? != login {
            return Err(SaslError::OtherIdentity);
        }
        if nonce.is_empty() || nonce.len() > CLIENT_NONCE_MAX || !nonce.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
            return Err(SaslError::Syntax);
        }
        Ok(ClientFirst {
            gs2_header: format!("{flag},{authorisation},"),
            bare: bare.to_owned(),
            login,
            nonce: nonce.to_owned(),
        })
    }
}

/// RFC 5802 §5.1: `=2C` and `=3D` stand for `,` and `=`; any other `=` is an error.
fn saslname(text: &str) -> Result<String, SaslError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        out.push_str(before);
        match after.get(..2) {
            Some("2C") => out.push(','),
            Some("3D") => out.push('='),
            _ => return Err(SaslError::Syntax),
        }
        rest = &after[2..];
    }
    out.push_str(rest);
    if out.is_empty() || out.len() > LOGIN_MAX || out.chars().any(char::is_control) {
        return Err(SaslError::Syntax);
    }
    Ok(out)
}

/// The exchange after the client's first message.
pub(crate) struct Challenge {
    keys: Keys,
    gs2_header: String,
    nonce: String,
    /// `client-first-message-bare "," server-first-message`: the beginning of AuthMessage.
    signed: String,
}

impl Challenge {
    /// Our first message and the state that awaits its answer.
    pub fn new(first: ClientFirst, keys: Keys) -> (Vec<u8>, Challenge) {
        let ours: [u8; SERVER_NONCE_OCTETS] = rand::random();
        Challenge::with_nonce(first, keys, &base64::encode(&ours))
    }

    fn with_nonce(first: ClientFirst, keys: Keys, ours: &str) -> (Vec<u8>, Challenge) {
        let nonce = first.nonce + ours;
        let message = format!("r={nonce},s={},i={}", base64::encode(&keys.salt), keys.iterations);
        let signed = format!("{},{message}", first.bare);
        (message.into_bytes(), Challenge { keys, gs2_header: first.gs2_header, nonce, signed })
    }

    /// Our final message, which proves to the client that we know the keys, if its proof is right (RFC 5802 §3).
    pub fn finish(&self, message: &[u8]) -> Result<Vec<u8>, SaslError> {
        let text = str::from_utf8(message).map_err(|_| SaslError::Syntax)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(SaslError::Syntax)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|a| a.strip_prefix("c=")).ok_or(SaslError::Syntax)?;
        let nonce = attributes.next().and_then(|a| a.strip_prefix("r=")).ok_or(SaslError::Syntax)?;
        // RFC 5802 §5.1: both must be what was agreed, or somebody changed the first messages on the way.
        if base64::decode(binding.as_bytes())? != self.gs2_header.as_bytes() || nonce != self.nonce {
            return Err(SaslError::Syntax);
        }
        let proof: [u8; 32] = base64::decode(proof.as_bytes())?.try_into().map_err(|_| SaslError::Syntax)?;
        let signed = format!("{},{without_proof}", self.signed);
        let signature = hmac(&self.keys.stored_key, signed.as_bytes());
        let client_key: [u8; 32] = std::array::from_fn(|i| proof[i] ^ signature[i]);
        let stored_key: [u8; 32] = Sha256::digest(client_key).into();
        if !bool::from(stored_key.ct_eq(&self.keys.stored_key)) {
            return Err(SaslError::Denied);
        }
        Ok(format!("v={}", base64::encode(&hmac(&self.keys.server_key, signed.as_bytes()))).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677 §3.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let salt = base64::decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        let keys = Keys::derive(b"pencil", salt, 4096);
        let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!(first.login, "user");
        let (message, challenge) = Challenge::with_nonce(first, keys, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
        assert_eq!(message, b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(challenge.finish(last.as_bytes()).unwrap(), b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        for (from, to) in [("biws", "eSws"), ("r=rO", "r=sO"), ("p=d", "p=e"), (",p=", ",q="), ("dVQ=", "dVQ")] {
            assert!(challenge.finish(last.replace(from, to).as_bytes()).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn first_messages_that_ask_for_more_than_we_have_are_refused() {
        for (message, error) in [
            (&b"p=tls-unique,,n=u,r=x"[..], SaslError::ChannelBinding),
            (b"n,a=other,n=u,r=x", SaslError::OtherIdentity),
            (b"n,,m=ext,n=u,r=x", SaslError::Syntax),
            (b"n,,n=a=2Zb,r=x", SaslError::Syntax),
            (b"n,,n=,r=x", SaslError::Syntax),
            (b"n,,n=u,r=", SaslError::Syntax),
            (b"n,,n=u,r=a b", SaslError::Syntax),
            (b"n,,n=\xff,r=x", SaslError::Syntax),
            (b"", SaslError::Syntax),
        ] {
            assert_eq!(ClientFirst::parse(message).err(), Some(error), "{message:?}");
        }
        let first = ClientFirst::parse(b"y,a=a=2Cb=3D,n=a=2Cb=3D,r=x").unwrap();
        assert_eq!((first.login.as_str(), first.gs2_header.as_str()), ("a,b=", "y,a=a=2Cb=3D,"));
    }
}
