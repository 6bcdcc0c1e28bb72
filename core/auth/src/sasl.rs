//! SASL exchanges without input or output ([RFC 4422]).
//!
//! ```text
//! start(initial) / step(answer) -> Challenge      send it, give the answer to step
//!                               -> NeedCredential  look the login up, give what was found to credential
//!                               -> Done | Failed   over
//! ```

use std::fmt;
use std::sync::OnceLock;

use crate::credential::{Credential, PASSWORD_MAX, SCRAM_ITERATIONS};
use crate::scram::{self, ClientFirst, Keys};

/// Longest login, octets: an address (RFC 5321 §4.5.3.1.3) fits.
pub const LOGIN_MAX: usize = 255;

/// Why an exchange failed. The peer learns of all of them only "authentication failed" or "malformed": the words are
/// for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// Not canonical base64.
    #[error("malformed base64")]
    Base64,
    /// Longer than any real message.
    #[error("the message is too long")]
    TooLong,
    /// Not what the mechanism says at this point.
    #[error("malformed SASL message")]
    Syntax,
    /// The client demands a channel binding.
    #[error("channel binding is not offered")]
    ChannelBinding,
    /// The client wants to act as somebody else than it authenticates as; nobody may.
    #[error("the authorisation identity is not the login")]
    OtherIdentity,
    /// Unknown login or wrong password: never told apart.
    #[error("wrong login or password")]
    Denied,
    /// The password is right and may not be used any more, or not yet.
    #[error("the password has expired or must be changed first")]
    Barred,
    /// The client gave up (`*`, RFC 4954 §4).
    #[error("cancelled by the client")]
    Cancelled,
}

impl SaslError {
    /// Whether the peer broke the syntax (501, BAD) rather than failed to prove itself (535, NO).
    pub fn is_syntax(self) -> bool {
        matches!(self, SaslError::Base64 | SaslError::TooLong | SaslError::Syntax | SaslError::Cancelled)
    }
}

/// The mechanisms on offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 7677.
    ScramSha256,
    /// RFC 4616. Only under TLS: that is the caller's to see to.
    Plain,
    /// What old clients speak. Only under TLS, too.
    Login,
}

impl Mechanism {
    /// All, in order of preference.
    pub const ALL: [Mechanism; 3] = [Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login];

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
        }
    }

    /// The mechanism of that name, case ignored (RFC 4422 §3.1 has upper case; clients vary).
    pub fn from_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|m| m.name().eq_ignore_ascii_case(name))
    }
}

/// A secret of this server, from which the salts of logins that do not exist are made: so they are the same at each
/// try, as those of existing ones are, and nobody can compute them. Best kept over restarts.
#[derive(Clone)]
pub struct ServerSecret([u8; 32]);

impl ServerSecret {
    /// A fresh one.
    pub fn random() -> ServerSecret {
        ServerSecret(rand::random())
    }

    /// One that was kept.
    pub fn from_bytes(bytes: [u8; 32]) -> ServerSecret {
        ServerSecret(bytes)
    }

    /// Its bytes, to be kept.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn decoy_keys(&self, login: &str) -> Keys {
        let mut salt = [0; crate::credential::SALT_OCTETS];
        salt.copy_from_slice(&scram::hmac(&self.0, login.as_bytes())[..crate::credential::SALT_OCTETS]);
        // No client key hashes to random bytes that nobody has seen.
        Keys { salt, iterations: SCRAM_ITERATIONS, stored_key: rand::random(), server_key: rand::random() }
    }
}

impl fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSecret(..)")
    }
}

/// What the caller does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes (base64 on the wire), give the answer to [`Exchange::step`].
    Challenge(Vec<u8>),
    /// Look up this login, give what there is to [`Exchange::credential`].
    NeedCredential(String),
    /// The peer is this login.
    Done {
        /// As the peer wrote it; also what it is authorised as, for nobody may act as another.
        login: String,
    },
    /// It is over, and not well.
    Failed(SaslError),
}

/// One authentication, from the mechanism's name to its end.
pub struct Exchange {
    state: State,
    secret: ServerSecret,
}

enum State {
    AwaitingPlain,
    AwaitingLoginName,
    AwaitingLoginPassword {
        login: String,
    },
    AwaitingScramFirst,
    AwaitingCredential {
        login: String,
        then: Then,
    },
    AwaitingScramFinal {
        login: String,
        known: bool,
        challenge: scram::Challenge,
    },
    /// The client answers our final message with an empty one (RFC 4422 §3.6, RFC 4954 §4).
    AwaitingScramAcknowledgement {
        login: String,
    },
    Over,
}

/// What is checked once the credential is there.
enum Then {
    Password(String),
    Scram(ClientFirst),
}

impl Exchange {
    /// Begins with `mechanism`.
    pub fn new(mechanism: Mechanism, secret: ServerSecret) -> Exchange {
        let state = match mechanism {
            Mechanism::Plain => State::AwaitingPlain,
            Mechanism::Login => State::AwaitingLoginName,
            Mechanism::ScramSha256 => State::AwaitingScramFirst,
        };
        Exchange { state, secret }
    }

    /// The first step: with the initial response if the client sent one, decoded.
    pub fn start(&mut self, initial: Option<&[u8]>) -> Step {
        match (initial, &self.state) {
            (Some(message), _) => self.step(message),
            (None, State::AwaitingLoginName) => Step::Challenge(b"Username:".to_vec()),
            // RFC 4422 §3.3: a mechanism in which the client speaks first begins with an empty challenge.
            (None, _) => Step::Challenge(Vec::new()),
        }
    }

    /// The client's answer to the last challenge, decoded.
    pub fn step(&mut self, message: &[u8]) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::AwaitingPlain => self.plain(message),
            State::AwaitingLoginName => match login_name(message) {
                Ok(login) => {
                    self.state = State::AwaitingLoginPassword { login };
                    Step::Challenge(b"Password:".to_vec())
                }
                Err(error) => Step::Failed(error),
            },
            State::AwaitingLoginPassword { login } => match password(message) {
                Ok(password) => self.need(login, Then::Password(password)),
                Err(error) => Step::Failed(error),
            },
            State::AwaitingScramFirst => match ClientFirst::parse(message) {
                Ok(first) => self.need(first.login.clone(), Then::Scram(first)),
                Err(error) => Step::Failed(error),
            },
            State::AwaitingScramFinal { login, known, challenge } => match challenge.finish(message) {
                Ok(proof) if known => {
                    self.state = State::AwaitingScramAcknowledgement { login };
                    Step::Challenge(proof)
                }
                Ok(_) => Step::Failed(SaslError::Denied),
                Err(error) => Step::Failed(error),
            },
            State::AwaitingScramAcknowledgement { login } if message.is_empty() => Step::Done { login },
            State::AwaitingScramAcknowledgement { .. } | State::AwaitingCredential { .. } | State::Over => {
                Step::Failed(SaslError::Syntax)
            }
        }
    }

    /// What the caller found for the login it was asked for. For PLAIN and LOGIN this computes an Argon2id hash (some
    /// tens of milliseconds, 19 MiB): not for an async task. A login that does not exist costs the same.
    pub fn credential(&mut self, found: Option<&Credential>) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::AwaitingCredential { login, then: Then::Password(password) } => {
                let record = match found {
                    Some(record) => Some(record),
                    None => decoy(),
                };
                let right = record.is_some_and(|record| record.verify(&password));
                if right && found.is_some() { Step::Done { login } } else { Step::Failed(SaslError::Denied) }
            }
            State::AwaitingCredential { login, then: Then::Scram(first) } => {
                let keys = found.and_then(Credential::scram).cloned();
                let known = keys.is_some();
                let keys = keys.unwrap_or_else(|| self.secret.decoy_keys(&login));
                let (message, challenge) = scram::Challenge::new(first, keys);
                self.state = State::AwaitingScramFinal { login, known, challenge };
                Step::Challenge(message)
            }
            _ => Step::Failed(SaslError::Syntax),
        }
    }

    /// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`.
    fn plain(&mut self, message: &[u8]) -> Step {
        let mut fields = message.split(|b| *b == 0);
        let (Some(authorisation), Some(login), Some(secret), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Step::Failed(SaslError::Syntax);
        };
        if !authorisation.is_empty() && authorisation != login {
            return Step::Failed(SaslError::OtherIdentity);
        }
        match (login_name(login), password(secret)) {
            (Ok(login), Ok(password)) => self.need(login, Then::Password(password)),
            (Err(error), _) | (_, Err(error)) => Step::Failed(error),
        }
    }

    fn need(&mut self, login: String, then: Then) -> Step {
        self.state = State::AwaitingCredential { login: login.clone(), then };
        Step::NeedCredential(login)
    }
}

/// A record that no password opens in practice, so that an unknown login takes the time of a known one.
fn decoy() -> Option<&'static Credential> {
    static DECOY: OnceLock<Option<Credential>> = OnceLock::new();
    DECOY.get_or_init(|| Credential::without_scram(&crate::base64::encode(&rand::random::<[u8; 32]>())).ok()).as_ref()
}

fn login_name(bytes: &[u8]) -> Result<String, SaslError> {
    // No control characters: the login goes into logs and look-ups.
    match str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.len() <= LOGIN_MAX && !text.chars().any(char::is_control) => {
            Ok(text.to_owned())
        }
        _ => Err(SaslError::Syntax),
    }
}

fn password(bytes: &[u8]) -> Result<String, SaslError> {
    match str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.len() <= PASSWORD_MAX && !text.contains('\0') => Ok(text.to_owned()),
        _ => Err(SaslError::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base64;

    fn exchange(mechanism: Mechanism) -> Exchange {
        Exchange::new(mechanism, ServerSecret::from_bytes([7; 32]))
    }

    #[test]
    fn plain_asks_for_the_login_and_believes_only_the_password() {
        let credential = Credential::without_scram("pass").unwrap();
        for (message, outcome) in [
            (&b"\0ada\0pass"[..], Step::Done { login: "ada".into() }),
            (b"ada\0ada\0pass", Step::Done { login: "ada".into() }),
            (b"\0ada\0Pass", Step::Failed(SaslError::Denied)),
        ] {
            let mut exchange = exchange(Mechanism::Plain);
            assert_eq!(exchange.start(Some(message)), Step::NeedCredential("ada".into()));
            assert_eq!(exchange.credential(Some(&credential)), outcome);
            assert_eq!(exchange.step(message), Step::Failed(SaslError::Syntax), "an exchange serves once");
        }
        let mut unknown = exchange(Mechanism::Plain);
        assert_eq!(unknown.start(Some(b"\0eve\0pass")), Step::NeedCredential("eve".into()));
        assert_eq!(unknown.credential(None), Step::Failed(SaslError::Denied));
    }

    #[test]
    fn plain_refuses_what_is_malformed_or_acts_as_another() {
        for (message, error) in [
            (&b"bob\0ada\0pass"[..], SaslError::OtherIdentity),
            (b"\0ada", SaslError::Syntax),
            (b"\0\0pass", SaslError::Syntax),
            (b"\0ada\0", SaslError::Syntax),
            (b"\0ada\0pass\0", SaslError::Syntax),
            (b"\0a\nda\0pass", SaslError::Syntax),
            (b"\0\xff\0pass", SaslError::Syntax),
            (b"", SaslError::Syntax),
        ] {
            assert_eq!(exchange(Mechanism::Plain).start(Some(message)), Step::Failed(error), "{message:?}");
        }
    }

    #[test]
    fn login_asks_twice() {
        let credential = Credential::without_scram("pass").unwrap();
        let mut exchange = exchange(Mechanism::Login);
        assert_eq!(exchange.start(None), Step::Challenge(b"Username:".to_vec()));
        assert_eq!(exchange.step(b"ada"), Step::Challenge(b"Password:".to_vec()));
        assert_eq!(exchange.step(b"pass"), Step::NeedCredential("ada".into()));
        assert_eq!(exchange.credential(Some(&credential)), Step::Done { login: "ada".into() });
    }

    fn scram_first(exchange: &mut Exchange, credential: Option<&Credential>) -> String {
        assert_eq!(exchange.start(None), Step::Challenge(Vec::new()));
        assert_eq!(exchange.step(b"n,,n=ada,r=abc"), Step::NeedCredential("ada".into()));
        match exchange.credential(credential) {
            Step::Challenge(message) => String::from_utf8(message).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn scram_final(password: &[u8], server_first: &str) -> String {
        let field = |name: &str| server_first.split(',').find_map(|a| a.strip_prefix(name)).unwrap().to_owned();
        let salt = base64::decode(field("s=").as_bytes()).unwrap();
        let salted: [u8; 32] =
            pbkdf2::pbkdf2_hmac_array::<sha2::Sha256, 32>(password, &salt, field("i=").parse().unwrap());
        let client_key = scram::hmac(&salted, b"Client Key");
        let stored_key: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(client_key).into();
        let without_proof = format!("c=biws,r={}", field("r="));
        let signature = scram::hmac(&stored_key, format!("n=ada,r=abc,{server_first},{without_proof}").as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(k, s)| k ^ s).collect();
        format!("{without_proof},p={}", base64::encode(&proof))
    }

    #[test]
    fn scram_ends_well_only_with_the_password_and_the_acknowledgement() {
        let credential = Credential::new("pass").unwrap();
        let mut good = exchange(Mechanism::ScramSha256);
        let first = scram_first(&mut good, Some(&credential));
        let Step::Challenge(proof) = good.step(scram_final(b"pass", &first).as_bytes()) else { panic!() };
        assert!(proof.starts_with(b"v="));
        assert_eq!(good.step(b""), Step::Done { login: "ada".into() });

        let mut wrong = exchange(Mechanism::ScramSha256);
        let first = scram_first(&mut wrong, Some(&credential));
        assert_eq!(wrong.step(scram_final(b"word", &first).as_bytes()), Step::Failed(SaslError::Denied));
    }

    #[test]
    fn an_unknown_login_looks_like_a_known_one() {
        let salt = |first: &str| first.split(',').nth(1).unwrap().to_owned();
        let cost = |first: &str| first.split(',').nth(2).unwrap().to_owned();
        let credential = Credential::new("pass").unwrap();
        let known = scram_first(&mut exchange(Mechanism::ScramSha256), Some(&credential));
        let mut unknown = exchange(Mechanism::ScramSha256);
        let first = scram_first(&mut unknown, None);
        let again = scram_first(&mut exchange(Mechanism::ScramSha256), None);
        assert_eq!((salt(&first), cost(&first)), (salt(&again), cost(&known)));
        assert_eq!(unknown.step(scram_final(b"pass", &first).as_bytes()), Step::Failed(SaslError::Denied));
        // A record without SCRAM keys is answered like no record.
        let plain_only = Credential::without_scram("pass").unwrap();
        assert_eq!(salt(&scram_first(&mut exchange(Mechanism::ScramSha256), Some(&plain_only))), salt(&first));
    }
}
