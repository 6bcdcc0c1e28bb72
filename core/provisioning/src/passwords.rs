//! What a password must be, and those that are made here.
//!
//! By NIST SP 800-63B §5.1.1.2: a length, and not one of those that are tried first; no rules of composition, no change
//! for its own sake.

use sigillo_auth::credential::PASSWORD_MAX;
use sigillo_auth::{Credential, CredentialError};

use crate::error::Error;

/// Passwords that are tried first, by their letters in lower case: the commonest of eight characters and more in the
/// public lists, and what stands near to this service. Shorter ones are refused by their length.
const COMMONEST: [&str; 78] = [
    "00000000",
    "11111111",
    "1122334455",
    "12121212",
    "12341234",
    "123123123",
    "1234512345",
    "12345678",
    "123456789",
    "1234567890",
    "12345678910",
    "123456a.",
    "1234qwer",
    "123qweasd",
    "147258369",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "1qaz2wsx",
    "555555555",
    "66666666",
    "77777777",
    "87654321",
    "88888888",
    "987654321",
    "9876543210",
    "99999999",
    "aa123456",
    "abc12345",
    "abcd1234",
    "abcdefgh",
    "access14",
    "adminadmin",
    "administrator",
    "alessandro",
    "andrea123",
    "asdasdasd",
    "asdfasdf",
    "asdfghjk",
    "asdfghjkl",
    "baseball",
    "benvenuto",
    "buongiorno",
    "changeme",
    "computer",
    "cristina",
    "danielad",
    "dragon123",
    "federica",
    "football",
    "francesca",
    "francesco",
    "giuseppe",
    "google123",
    "iloveyou",
    "internet",
    "juventus",
    "letmein1",
    "lovelove",
    "michelle",
    "napoli1926",
    "p@ssw0rd",
    "passw0rd",
    "password",
    "password1",
    "password12",
    "password123",
    "pecpecpec",
    "princess",
    "qazwsxedc",
    "qwerty123",
    "qwertyui",
    "qwertyuiop",
    "starwars",
    "sunshine",
    "superman",
    "trustno1",
    "welcome1",
    "zxcvbnm1",
];
/// What somebody would take who thinks of this service (NIST: context-specific words).
const CONTEXT: [&str; 4] = ["postacertificata", "posta certificata", "sigillo1", "postapec"];

/// Whether a password may be the one of a login.
pub fn check(password: &str, login: &str, min: usize) -> Result<(), Error> {
    let refused = |problem: &str| Error::invalid("the password", problem, "choose another one");
    let length = password.chars().count();
    if length < min {
        return Err(refused(&format!("it has {length} characters, fewer than {min}")));
    }
    if password.len() > PASSWORD_MAX {
        return Err(refused(&format!("it has more than {PASSWORD_MAX} octets")));
    }
    if password.chars().any(char::is_control) {
        return Err(refused("it has a control character, which cannot be typed everywhere"));
    }
    let lower = password.to_lowercase();
    let login = login.to_lowercase();
    let local = login.split('@').next().unwrap_or_default();
    if lower == local || lower.contains(&login) || login.contains(&lower) {
        return Err(refused("it is in the login, or the login in it"));
    }
    if COMMONEST.contains(&lower.as_str()) || CONTEXT.contains(&lower.as_str()) {
        return Err(refused("it is one of those that are tried first"));
    }
    if is_run(&lower) {
        return Err(refused("its characters are all the same, or follow each other"));
    }
    Ok(())
}

/// One character over and over, or each the next one: `aaaaaaaa`, `abcdefgh`, `98765432`.
fn is_run(text: &str) -> bool {
    let codes: Vec<i64> = text.chars().map(|c| i64::from(u32::from(c))).collect();
    let mut steps = codes.windows(2).map(|pair| pair[1] - pair[0]);
    let first = steps.next().unwrap_or(0);
    (-1..=1).contains(&first) && steps.all(|step| step == first)
}

/// A password that nobody guesses: 20 characters that are not mistaken for each other, 98 bits.
pub fn make() -> String {
    const LETTERS: &[u8; 31] = b"abcdefghijkmnpqrstuvwxyz2345679";
    let mut password = String::new();
    while password.len() < 20 {
        // Values above the last whole multiple would make the first letters likelier.
        let byte: u8 = rand::random();
        if byte < 248 {
            password.push(LETTERS[usize::from(byte) % LETTERS.len()] as char);
        }
    }
    password
}

/// The stored form of a password; it takes tens of milliseconds, away from the runtime. Of a first password no keys for
/// SCRAM are kept: nobody logs in by it.
pub async fn hash(password: String, first: bool) -> Result<String, Error> {
    let work = move || if first { hash_first(&password) } else { stored(Credential::new(&password)) };
    tokio::task::spawn_blocking(work).await.map_err(|error| unhashed(error.to_string()))?
}

/// The same of a first password, on this thread.
pub(crate) fn hash_first(password: &str) -> Result<String, Error> {
    stored(Credential::without_scram(password))
}

fn stored(credential: Result<Credential, CredentialError>) -> Result<String, Error> {
    credential.map(|credential| credential.to_string()).map_err(|error| unhashed(error.to_string()))
}

fn unhashed(problem: String) -> Error {
    Error::invalid("the password", problem, "choose another one")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ADM-12, I8: what is tried first opens nothing.
    #[test]
    fn what_is_tried_first_is_refused() {
        let login = "ada.rossi@pec.alfa.example";
        for bad in [
            "short7!",
            "password",
            "PassWord1",
            "aaaaaaaa",
            "abcdefghij",
            "87654321",
            "ada.rossi",
            "ADA.ROSSI@pec.alfa.example",
            "xada.rossi@pec.alfa.example",
            "alfa.example",
            "tab\there!",
            "PostaCertificata",
        ] {
            let said = check(bad, login, 8).unwrap_err().to_string();
            assert!(said.starts_with("the password: ") && (bad == "password" || !said.contains(bad)), "{bad}: {said}");
        }
        for good in ["corretto cavallo", "àèìòùàèì x", "zq8-Wk2-", &make()] {
            assert!(check(good, login, 8).is_ok(), "{good}");
        }
        assert!(check(&"x y".repeat(400), login, 8).is_err(), "over what a login can carry");
    }

    #[test]
    fn every_common_one_is_long_enough_to_matter_and_in_lower_case() {
        for word in COMMONEST.iter().chain(&CONTEXT) {
            assert!(word.len() >= 8 && *word == word.to_lowercase(), "{word}");
        }
    }

    #[test]
    fn made_ones_are_good_and_differ() {
        let (one, other) = (make(), make());
        assert_ne!(one, other);
        assert_eq!(one.len(), 20);
    }
}
