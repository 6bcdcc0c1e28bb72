//! `mailbox`.

use clap::{Subcommand, ValueEnum};
use sigillo_provisioning::Operation;
use sigillo_provisioning::mailboxes::{MailboxStatus, NewMailbox};
use sigillo_store::standing::{HoldOn, Standing};
use sigillo_store::{AccountState, Kind};

use super::office::{CeaseArguments, HoldChange, Office, ending, mailbox as parse};
use super::settings::As;
use super::users::PasswordArguments;
use super::{CommandError, bulk, charges, legal, maildir, offers, say, say_json, settings, users};
use crate::config::{Config, Offer};

/// Octets that a mailbox may hold by default (QUO-02: 1 GB in the smallest offer).
pub(super) const QUOTA: u64 = 1024 * 1024 * 1024;

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
#[command(after_help = "Examples:
  sigillo mailbox add ada@pec.alfa.example
  printf %s \"$PASSWORD\" | sigillo mailbox add ada@pec.alfa.example --password-stdin --quota 5GB
  sigillo mailbox add ufficio@pec.alfa.example --offer aziende
  sigillo mailbox add fatture@pec.alfa.example --kind application --daily-sends 5000
  sigillo mailbox list --json
  sigillo mailbox offers
  sigillo mailbox messages ufficio@pec.alfa.example
  sigillo mailbox history ufficio@pec.alfa.example 17
  sigillo mailbox take ufficio@pec.alfa.example 17 --user bruno
  sigillo mailbox set ada@pec.alfa.example ordinary-mail reject
  sigillo mailbox settings ada@pec.alfa.example
  sigillo mailbox suspend ada@pec.alfa.example --reason 'sends spam, ticket 4711'
  sigillo mailbox import-csv mailboxes.csv --dry-run
  sigillo mailbox import-csv mailboxes.csv --credentials first-passwords.csv
  sigillo mailbox import ada@pec.alfa.example /srv/old/ada@pec.alfa.example/Maildir")]
pub enum MailboxCommand {
    /// Make a mailbox. Without a password on standard input a first one is made and printed, which must be changed.
    Add {
        /// Its address; the domain must be there.
        address: String,
        /// The offer that says what it is and how much it may hold: `mailbox offers` prints them.
        #[arg(long)]
        offer: Option<String>,
        /// What it is for: one person, a holder with operators, or a program. An individual one without an offer.
        #[arg(long, value_enum)]
        kind: Option<KindWord>,
        /// How much it may hold, instead of what the offer says: octets, or a number with KB, MB or GB (of 1024); without
        /// an offer, 1GB.
        #[arg(long, value_name = "SIZE", value_parser = size)]
        quota: Option<u64>,
        /// Recipients that it may send to in a day, instead of what the offer says; without one there is no limit.
        #[arg(long, value_name = "RECIPIENTS", value_parser = clap::value_parser!(u64).range(1..))]
        daily_sends: Option<u64>,
        #[command(flatten)]
        password: PasswordArguments,
        /// The address may be one that somebody had before.
        #[arg(long)]
        reuse: bool,
    },
    /// Print the offers by which mailboxes are made.
    Offers {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give a mailbox another offer: its quota, its limit of sends and its settings become those of the offer. What the
    /// offer before had set besides stays, and is told.
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
    /// Print one mailbox.
    Show {
        /// Its address.
        address: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give its holder another password. Without one on standard input a first one is made and printed.
    Passwd {
        /// The mailbox.
        address: String,
        #[command(flatten)]
        password: PasswordArguments,
    },
    /// Change how much a mailbox may hold.
    Quota {
        /// The mailbox.
        address: String,
        /// Octets, or a number with KB, MB or GB (of 1024), such as 5GB.
        #[arg(value_name = "SIZE", value_parser = size)]
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
    /// Close it for its users, for a while; mail is received all the same.
    Suspend {
        /// The mailbox.
        address: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Open it again.
    Resume {
        /// The mailbox.
        address: String,
    },
    /// End its service: closed, later deleted.
    Cease {
        /// The mailbox.
        address: String,
        #[command(flatten)]
        how: CeaseArguments,
    },
    /// Make the mailboxes of a table.
    ImportCsv(bulk::CsvArguments),
    /// Bring the messages of a Maildir++ into a mailbox.
    Import(maildir::ImportArguments),
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

#[expect(clippy::too_many_lines, reason = "one arm for each command, which does nothing itself")]
pub async fn mailbox(config: &Config, office: &Office, command: MailboxCommand) -> Result<(), CommandError> {
    let (provisioning, actor) = (&office.provisioning, &office.actor);
    match command {
        MailboxCommand::Add { address, offer, kind, quota, daily_sends, password, reuse } => {
            let chosen = offer.map(|name| offers::find(config, &name)).transpose()?;
            let kind = offers::kind(chosen.as_ref(), kind.map(Into::into))?;
            let declared = settings::declared(config)?;
            let given = chosen.as_ref().map(|(_, offer)| offers::settings(offer, &declared)).transpose()?;
            let of_offer = chosen.as_ref().map(|(_, offer)| offer);
            let new = NewMailbox {
                address: parse(&address)?,
                kind,
                quota: quota.or(of_offer.map(Offer::quota)).unwrap_or(QUOTA),
                daily_sends: daily_sends.or(of_offer.and_then(|offer| offer.daily_sends)),
                offer: chosen.as_ref().map(|(name, _)| name.clone()),
                settings: given.unwrap_or_default(),
                reuse,
            };
            let key = new.address.key();
            let made = provisioning.add_mailbox(actor, new, password.read()?).await?;
            say(&format!("mailbox {key} added ({})", kind.as_str()))?;
            users::tell(&made)
        }
        MailboxCommand::Offers { json } => offers::list(config, json),
        MailboxCommand::Offer { address, offer } => offers::apply(config, office, &address, &offer).await,
        MailboxCommand::DailySends { address, recipients } => {
            let sends = Some(recipients).filter(|recipients| *recipients > 0);
            let mailbox = parse(&address)?;
            let change = move |tx: &mut sigillo_store::Tx<'_>, key: &str| {
                tx.set_daily_sends(key, sends)?;
                Ok(vec![("daily-sends".to_owned(), recipients.to_string())])
            };
            provisioning.change(actor, Operation::MailboxOffer, &mailbox, change).await?;
            match sends {
                Some(sends) => say(&format!("{address} may send to {sends} recipients a day")),
                None => say(&format!("{address} may send without a daily limit")),
            }
        }
        MailboxCommand::Messages { address, folder, state, after, limit, json } => {
            charges::messages(office, &address, folder, state, after, limit, json).await
        }
        MailboxCommand::History { address, number, limit, json } => {
            charges::history(office, &address, number, limit, json).await
        }
        MailboxCommand::Take(working) => charges::work(office, working, charges::Work::Take).await,
        MailboxCommand::Release(working) => charges::work(office, working, charges::Work::Release).await,
        MailboxCommand::Complete(working) => charges::work(office, working, charges::Work::Complete).await,
        MailboxCommand::List { json } => list(office, json).await,
        MailboxCommand::Show { address, json } => {
            let status = provisioning.mailbox(actor, &parse(&address)?).await?;
            if json { say_json(&status) } else { print(&status) }
        }
        MailboxCommand::Passwd { address, password } => {
            let key = parse(&address)?.key();
            let made = provisioning.give_password(actor, &key, password.read()?).await?;
            say(&format!("password of {key} changed"))?;
            users::tell(&made)
        }
        MailboxCommand::Quota { address, octets } => {
            provisioning.set_quota(actor, &parse(&address)?, octets).await?;
            say(&format!("{address} may hold {octets} octets"))
        }
        MailboxCommand::Disable { address } => set_state(office, &address, AccountState::Disabled).await,
        MailboxCommand::Enable { address } => set_state(office, &address, AccountState::Active).await,
        MailboxCommand::Suspend { address, reason } => {
            office.hold(HoldOn::Mailbox, &parse(&address)?.key(), HoldChange::Suspend(reason)).await
        }
        MailboxCommand::Resume { address } => {
            office.hold(HoldOn::Mailbox, &parse(&address)?.key(), HoldChange::Resume).await
        }
        MailboxCommand::Cease { address, how } => {
            office.hold(HoldOn::Mailbox, &parse(&address)?.key(), HoldChange::Cease(how)).await
        }
        MailboxCommand::Set { address, name, value, by } => {
            settings::set(office, settings::declared(config)?, &address, name, &value, by).await
        }
        MailboxCommand::Unset { address, name, by } => {
            settings::unset(office, settings::declared(config)?, &address, name, by).await
        }
        MailboxCommand::Settings { address, json } => {
            settings::list(office, settings::declared(config)?, &address, json).await
        }
        MailboxCommand::ImportCsv(arguments) => bulk::import_csv(config, office, arguments).await,
        MailboxCommand::Import(arguments) => maildir::import(config, office, arguments).await,
    }
}

async fn list(office: &Office, json: bool) -> Result<(), CommandError> {
    let mailboxes = office.provisioning.mailboxes(&office.actor).await?;
    if json { say_json(&mailboxes) } else { mailboxes.iter().try_for_each(line) }
}

/// A size as the tables of `import-csv` have it.
fn size(text: &str) -> Result<u64, String> {
    sigillo_provisioning::bulk::read_quota(text).map_err(|(problem, remedy)| format!("{problem}; {remedy}"))
}

fn line(status: &MailboxStatus) -> Result<(), CommandError> {
    let account = &status.account;
    let state = match (&account.state, &status.standing) {
        (AccountState::Disabled, _) => "disabled",
        (_, Standing::Active) if account.suspended.is_some() => "suspended",
        (_, Standing::Active) => "active",
        (_, Standing::Suspended { .. }) => "suspended",
        (_, Standing::Expired { .. }) => "expired",
        (_, Standing::Closed { .. }) => "closed",
    };
    let why = account.suspended.as_ref().map_or_else(String::new, |reason| format!("  ({reason})"));
    let made = legal(account.created);
    say(&format!(
        "{:<40} {:<11} {state:<9} {:>14} of {:>14} octets  since {made}{}{why}",
        account.address,
        account.kind.as_str(),
        account.used,
        account.quota,
        account.offer.as_ref().map_or_else(String::new, |offer| format!("  offer {offer}"))
    ))
}

fn print(status: &MailboxStatus) -> Result<(), CommandError> {
    line(status)?;
    if let Some(id) = &status.customer {
        say(&format!("    of customer {id}"))?;
    }
    match &status.standing {
        Standing::Expired { since } => say(&format!("    the contract ended {}", legal(*since)))?,
        Standing::Closed { deletes } => say(&format!("    closed; its data is deleted from {} on", legal(*deletes)))?,
        Standing::Active | Standing::Suspended { .. } => {}
    }
    status.holds.iter().try_for_each(|hold| say(&format!("    {}", ending(hold))))
}

async fn set_state(office: &Office, address: &str, state: AccountState) -> Result<(), CommandError> {
    office.provisioning.set_mailbox_state(&office.actor, &parse(address)?, state).await?;
    say(&format!("{address} is {}", state.as_str()))
}
