//! `domain` and `mailbox`.

use std::io::{IsTerminal, Read};

use clap::{Subcommand, ValueEnum};
use sigillo_auth::Credential;
use sigillo_mail::{Domain, Mailbox};
use sigillo_store::{AccountState, DomainClass, Kind, NewAccount, Store};

use super::settings::As;
use super::{CommandError, charges, instant, offers, say, say_json, settings};
use crate::config::{Config, Offer};

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

/// What a mailbox is for, as an argument.
#[derive(Clone, Copy, ValueEnum)]
pub enum KindWord {
    /// One person's.
    Individual,
    /// Of a holder and operators.
    MultiUser,
    /// A program's.
    Application,
}

impl From<KindWord> for Kind {
    fn from(word: KindWord) -> Kind {
        match word {
            KindWord::Individual => Kind::Individual,
            KindWord::MultiUser => Kind::MultiUser,
            KindWord::Application => Kind::Application,
        }
    }
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
  sigillo mailbox add ufficio@pec.alfa.example --offer aziende
  sigillo mailbox add fatture@pec.alfa.example --kind application --daily-sends 5000
  sigillo mailbox list --json
  sigillo mailbox offers
  sigillo mailbox messages ufficio@pec.alfa.example
  sigillo mailbox history ufficio@pec.alfa.example 17
  sigillo mailbox take ufficio@pec.alfa.example 17 --user bruno
  sigillo mailbox set ada@pec.alfa.example ordinary-mail reject
  sigillo mailbox settings ada@pec.alfa.example")]
pub enum MailboxCommand {
    /// Make a mailbox. Without a password on standard input one is made and printed.
    Add {
        /// Its address; the domain must be there.
        address: String,
        /// The offer that says what it is and how much it may hold: `mailbox offers` prints them.
        #[arg(long)]
        offer: Option<String>,
        /// What it is for: one person, a holder with operators, or a program. An individual one without an offer.
        #[arg(long, value_enum)]
        kind: Option<KindWord>,
        /// Octets that it may hold, instead of what the offer says; without one, 1 GiB.
        #[arg(long)]
        quota: Option<u64>,
        /// Recipients that it may send to in a day, instead of what the offer says; without one there is no limit.
        #[arg(long, value_name = "RECIPIENTS", value_parser = clap::value_parser!(u64).range(1..))]
        daily_sends: Option<u64>,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Print the offers by which mailboxes are made.
    Offers {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give a mailbox another offer: its quota, its limit of sends and its settings become those of the offer.
    Offer {
        /// The mailbox.
        address: String,
        /// The offer.
        offer: String,
    },
    /// Change to how many recipients a mailbox may send in a day.
    DailySends {
        /// The mailbox.
        address: String,
        /// How many; 0 for no limit.
        recipients: u64,
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
    /// Open it again; this also ends a suspension.
    Enable {
        /// The mailbox.
        address: String,
    },
    /// Print the messages of a mailbox by their progressive numbers, with who works on them.
    Messages {
        /// The mailbox.
        address: String,
        /// Of this folder only.
        #[arg(long)]
        folder: Option<String>,
        /// What to print: all, those nobody works on, those in charge, or the completed ones.
        #[arg(long, value_enum, default_value = "all")]
        state: charges::Which,
        /// Begin behind this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// At most so many.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print what was done with the messages of a multi-user mailbox, or with one, oldest first.
    History {
        /// The mailbox.
        address: String,
        /// The progressive number of a message.
        number: Option<u64>,
        /// The last so many entries.
        #[arg(long, default_value_t = 1000)]
        limit: u32,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a message in charge: nobody else changes it until it is released. The holder takes it from an operator.
    Take(charges::Working),
    /// Give a message back, so that others can take it. The holder releases what an operator has.
    Release(charges::Working),
    /// Say that a message is done with.
    Complete(charges::Working),
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
        MailboxCommand::Add { address, offer, kind, quota, daily_sends, password_stdin } => {
            let chosen = offer.map(|name| offers::find(config, &name)).transpose()?;
            let kind = offers::kind(chosen.as_ref(), kind.map(Into::into))?;
            let declared = settings::declared(config)?;
            let given = chosen.as_ref().map(|(_, offer)| offers::settings(offer, &declared)).transpose()?;
            let (credential, made) = credential(password_stdin)?;
            let of_offer = chosen.as_ref().map(|(_, offer)| offer);
            let new = NewAccount {
                address: parse(&address)?,
                kind,
                quota: quota.or(of_offer.map(Offer::quota)).unwrap_or(QUOTA),
                daily_sends: daily_sends.or(of_offer.and_then(|offer| offer.daily_sends)),
                offer: chosen.as_ref().map(|(name, _)| name.clone()),
                credential,
                initial: false,
                expires: None,
            };
            let key = new.address.key();
            let account = key.clone();
            store
                .write(move |tx| {
                    tx.add_account_of(&new)?;
                    let mut given = given.into_iter().flatten();
                    given.try_for_each(|(name, value)| tx.set_account_setting(&account, &name, &value))
                })
                .await?;
            say(&format!("mailbox {key} added ({})", kind.as_str()))?;
            made.map_or(Ok(()), |password| say(&format!("password: {password}")))
        }
        MailboxCommand::Offers { json } => offers::list(config, json),
        MailboxCommand::Offer { address, offer } => offers::apply(config, store, &address, &offer).await,
        MailboxCommand::DailySends { address, recipients } => {
            let key = parse(&address)?.key();
            let sends = Some(recipients).filter(|recipients| *recipients > 0);
            store.write(move |tx| tx.set_daily_sends(&key, sends)).await?;
            match sends {
                Some(sends) => say(&format!("{address} may send to {sends} recipients a day")),
                None => say(&format!("{address} may send without a daily limit")),
            }
        }
        MailboxCommand::Messages { address, folder, state, after, limit, json } => {
            charges::messages(store, &address, folder, state, after, limit, json).await
        }
        MailboxCommand::History { address, number, limit, json } => {
            charges::history(store, &address, number, limit, json).await
        }
        MailboxCommand::Take(working) => charges::work(store, working, charges::Work::Take).await,
        MailboxCommand::Release(working) => charges::work(store, working, charges::Work::Release).await,
        MailboxCommand::Complete(working) => charges::work(store, working, charges::Work::Complete).await,
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
        let state = match (account.state, &account.suspended) {
            (AccountState::Disabled, _) => "disabled",
            (AccountState::Active, Some(_)) => "suspended",
            (AccountState::Active, None) => "active",
        };
        let why = account.suspended.as_ref().map_or_else(String::new, |reason| format!("  ({reason})"));
        let made = instant(account.created);
        say(&format!(
            "{:<40} {:<11} {state:<9} {:>14} of {:>14} octets  since {made}{}{why}",
            account.address,
            account.kind.as_str(),
            account.used,
            account.quota,
            account.offer.as_ref().map_or_else(String::new, |offer| format!("  offer {offer}"))
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
