//! `domain` and `mailbox`.

use std::io::{IsTerminal, Read};

use clap::{Subcommand, ValueEnum};
use sigillo_auth::Credential;
use sigillo_mail::{Domain, Mailbox};
use sigillo_store::{AccountState, DomainClass, Store};

use super::settings::As;
use super::{CommandError, instant, say, say_json, settings};
use crate::config::Config;

/// Octets that a mailbox may hold by default (QUO-02: 1 GB in the smallest offer).
const QUOTA: u64 = 1024 * 1024 * 1024;
/// Shortest password accepted.
const PASSWORD_MIN: usize = 8;
/// Longest password accepted.
const PASSWORD_MAX: usize = 1024;

/// What a domain is for, as an argument.
#[derive(Clone, Copy, ValueEnum)]
pub enum Class {
    /// Certified e-mail.
    Certified,
    /// Ordinary e-mail.
    Ordinary,
}

#[derive(Subcommand)]
#[command(after_help = "Example:\n  sigillo domain add pec.alfa.example --class certified")]
pub enum DomainCommand {
    /// Make a domain ours.
    Add {
        /// Its name.
        name: String,
        /// What it is for; all mailboxes of a certified domain are certified.
        #[arg(long, value_enum, default_value = "ordinary")]
        class: Class,
    },
    /// Print every domain.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
#[command(after_help = "Examples:
  sigillo mailbox add ada@pec.alfa.example
  printf %s \"$PASSWORD\" | sigillo mailbox add ada@pec.alfa.example --password-stdin --quota 5368709120
  sigillo mailbox list --json
  sigillo mailbox set ada@pec.alfa.example ordinary-mail reject
  sigillo mailbox settings ada@pec.alfa.example")]
pub enum MailboxCommand {
    /// Make a mailbox. Without a password on standard input one is made and printed.
    Add {
        /// Its address; the domain must be there.
        address: String,
        /// Octets that it may hold.
        #[arg(long, default_value_t = QUOTA)]
        quota: u64,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Print every mailbox.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Change a password. Without one on standard input one is made and printed.
    Passwd {
        /// The mailbox.
        address: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Change how much a mailbox may hold.
    Quota {
        /// The mailbox.
        address: String,
        /// Octets.
        octets: u64,
    },
    /// Close a mailbox: it takes no mail and nobody logs in.
    Disable {
        /// The mailbox.
        address: String,
    },
    /// Open it again.
    Enable {
        /// The mailbox.
        address: String,
    },
    /// Change a setting that plugins read; `mailbox settings` prints which there are.
    Set {
        /// The mailbox.
        address: String,
        /// Name of the setting.
        name: String,
        /// Its value.
        value: String,
        /// On whose behalf: a user changes only what is left to users.
        #[arg(long = "as", value_enum, default_value = "administrator")]
        by: As,
    },
    /// Remove a setting: its default holds again.
    Unset {
        /// The mailbox.
        address: String,
        /// Name of the setting.
        name: String,
        /// On whose behalf.
        #[arg(long = "as", value_enum, default_value = "administrator")]
        by: As,
    },
    /// Print what can be set for a mailbox: what holds, who may change it and how.
    Settings {
        /// The mailbox.
        address: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

pub async fn domain(store: &Store, command: DomainCommand) -> Result<(), CommandError> {
    match command {
        DomainCommand::Add { name, class } => {
            let domain: Domain = name.parse().map_err(|e| CommandError::Usage(format!("'{name}': {e}")))?;
            let class = match class {
                Class::Certified => DomainClass::Certified,
                Class::Ordinary => DomainClass::Ordinary,
            };
            store.write(move |tx| tx.add_domain(&domain, class)).await?;
            say(&format!("domain {} added ({})", name.to_ascii_lowercase(), class.as_str()))
        }
        DomainCommand::List { json } => {
            let domains = store.read(|r| r.domains()).await?;
            if json {
                return say_json(&domains);
            }
            domains.iter().try_for_each(|domain| say(&format!("{:<10} {}", domain.class.as_str(), domain.name)))
        }
    }
}

pub async fn mailbox(config: &Config, store: &Store, command: MailboxCommand) -> Result<(), CommandError> {
    match command {
        MailboxCommand::Add { address, quota, password_stdin } => {
            let mailbox = parse(&address)?;
            let (credential, made) = credential(password_stdin)?;
            let key = mailbox.key();
            store.write(move |tx| tx.add_account(&mailbox, &credential, quota)).await?;
            say(&format!("mailbox {key} added"))?;
            made.map_or(Ok(()), |password| say(&format!("password: {password}")))
        }
        MailboxCommand::List { json } => list(store, json).await,
        MailboxCommand::Passwd { address, password_stdin } => {
            let key = parse(&address)?.key();
            let (credential, made) = credential(password_stdin)?;
            let account = key.clone();
            store.write(move |tx| tx.set_user_credential(&account, &credential, false, None)).await?;
            say(&format!("password of {key} changed"))?;
            made.map_or(Ok(()), |password| say(&format!("password: {password}")))
        }
        MailboxCommand::Quota { address, octets } => {
            let key = parse(&address)?.key();
            store.write(move |tx| tx.set_quota(&key, octets)).await?;
            say(&format!("{address} may hold {octets} octets"))
        }
        MailboxCommand::Disable { address } => set_state(store, &address, AccountState::Disabled).await,
        MailboxCommand::Enable { address } => set_state(store, &address, AccountState::Active).await,
        MailboxCommand::Set { address, name, value, by } => {
            settings::set(store, settings::declared(config)?, &address, name, &value, by).await
        }
        MailboxCommand::Unset { address, name, by } => {
            settings::unset(store, settings::declared(config)?, &address, name, by).await
        }
        MailboxCommand::Settings { address, json } => {
            settings::list(store, settings::declared(config)?, &address, json).await
        }
    }
}

async fn list(store: &Store, json: bool) -> Result<(), CommandError> {
    let accounts = store.read(|r| r.accounts()).await?;
    if json {
        return say_json(&accounts);
    }
    for account in &accounts {
        let state = if account.state == AccountState::Active { "active" } else { "disabled" };
        let made = instant(account.created);
        say(&format!(
            "{:<40} {state:<8} {:>14} of {:>14} octets  since {made}",
            account.address, account.used, account.quota
        ))?;
    }
    Ok(())
}

async fn set_state(store: &Store, address: &str, state: AccountState) -> Result<(), CommandError> {
    let key = parse(address)?.key();
    store.write(move |tx| tx.set_account_state(&key, state)).await?;
    say(&format!("{address} is {}", if state == AccountState::Active { "active" } else { "disabled" }))
}

pub(super) fn parse(address: &str) -> Result<Mailbox, CommandError> {
    address.parse().map_err(|error| CommandError::Usage(format!("'{address}': {error}")))
}

/// The stored form of a password, and the password itself if it was made here.
fn credential(from_stdin: bool) -> Result<(String, Option<String>), CommandError> {
    let (password, made) = if from_stdin {
        if std::io::stdin().is_terminal() {
            eprintln!("Type the password, then Enter and Ctrl-D:");
        }
        let mut text = String::new();
        let read = std::io::stdin().take(PASSWORD_MAX as u64 + 2).read_to_string(&mut text);
        read.map_err(|error| CommandError::Usage(format!("the password cannot be read: {error}")))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        (text.strip_suffix('\r').unwrap_or(text).to_owned(), None)
    } else {
        let password = random_password();
        (password.clone(), Some(password))
    };
    if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&password.len()) {
        return Err(CommandError::Usage(format!("a password has {PASSWORD_MIN} to {PASSWORD_MAX} octets")));
    }
    let credential = Credential::new(&password).map_err(|error| CommandError::Usage(error.to_string()))?;
    Ok((credential.to_string(), made))
}

/// 20 characters that are not mistaken for each other: 98 bits.
fn random_password() -> String {
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
