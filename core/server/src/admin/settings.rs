//! `mailbox set`, `unset` and `settings`: what plugins ask of a mailbox by name.

use std::collections::BTreeMap;

use sigillo_store::{Reader, Store, StoreError};

use super::mailboxes::parse;
use super::{CommandError, say, say_json};

/// Longest name of a setting. Ours.
const NAME_MAX: usize = 64;
/// Longest value, octets. Ours: words and short texts.
const VALUE_MAX: usize = 1024;

/// Settings that the shipped plugins read, and the words that they take.
const KNOWN: [(&str, &[&str]); 1] = [("ordinary-mail", &["accept", "reject"])];

pub async fn set(store: &Store, address: &str, name: String, value: String) -> Result<(), CommandError> {
    let key = parse(address)?.key();
    check(&name, &value).map_err(CommandError::Usage)?;
    let said = format!("{key}: {name} is {value}");
    let unknown = KNOWN.iter().all(|(known, _)| *known != name);
    let note = unknown.then(|| format!("note: no plugin that comes with this server reads '{name}'"));
    store
        .write(move |tx| {
            must_exist(&tx.reader(), &key)?;
            tx.set_account_setting(&key, &name, &value)
        })
        .await?;
    note.iter().for_each(|note| eprintln!("{note}"));
    say(&said)
}

pub async fn unset(store: &Store, address: &str, name: String) -> Result<(), CommandError> {
    let key = parse(address)?.key();
    let said = format!("{key}: {name} is not set");
    store
        .write(move |tx| {
            must_exist(&tx.reader(), &key)?;
            tx.remove_account_setting(&key, &name)
        })
        .await?;
    say(&said)
}

pub async fn list(store: &Store, address: &str, json: bool) -> Result<(), CommandError> {
    let key = parse(address)?.key();
    let settings = store
        .read(move |reader| {
            must_exist(reader, &key)?;
            reader.account_settings(&key)
        })
        .await?;
    if json {
        return say_json(&settings.into_iter().collect::<BTreeMap<_, _>>());
    }
    settings.iter().try_for_each(|(name, value)| say(&format!("{name:<24} {value}")))
}

fn must_exist(reader: &Reader<'_>, key: &str) -> Result<(), StoreError> {
    match reader.account(key)? {
        Some(_) => Ok(()),
        None => Err(StoreError::NotFound(format!("mailbox {key}"))),
    }
}

fn check(name: &str, value: &str) -> Result<(), String> {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(letter) {
        return Err(format!("'{name}': a name has 1 to {NAME_MAX} lower-case letters, digits, '-' and '.'"));
    }
    if value.len() > VALUE_MAX || value.chars().any(char::is_control) {
        return Err(format!("a value is one line of at most {VALUE_MAX} octets"));
    }
    match KNOWN.iter().find(|(known, _)| *known == name) {
        Some((_, words)) if !words.contains(&value) => Err(format!("{name} is {}, not '{value}'", words.join(" or "))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn known_settings_take_their_words_only() {
        assert!(check("ordinary-mail", "reject").is_ok());
        assert!(check("ordinary-mail", "no").unwrap_err().contains("accept or reject"));
        assert!(check("mine.level", "3").is_ok(), "a plugin of somebody else's may read it");
        for (name, value) in [("", "x"), ("A", "x"), ("a b", "x"), ("a", "x\ny")] {
            assert!(check(name, value).is_err(), "{name}");
        }
    }
}
