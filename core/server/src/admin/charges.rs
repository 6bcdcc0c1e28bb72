//! `mailbox messages`, `history`, `take`, `release`, `complete`: what the users of a multi-user mailbox do with its messages,
//! and what the holder and the administrator see of it (BOX-05 to BOX-11).

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use sigillo_provisioning::{Operation, Subject};
use sigillo_store::charges::{Charge, Listed};
use sigillo_store::{Kind, Reader, StoreError};

use super::office::{Office, mailbox as parse};
use super::{CommandError, instant, say, say_json};

/// Messages printed at once at most.
const LIMIT_MAX: usize = 100_000;

/// Which messages are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// All of them.
    All,
    /// Nobody has them in charge, nobody has completed them.
    Free,
    /// Somebody has them in charge.
    InCharge,
    /// They are completed.
    Completed,
}

impl Which {
    fn has(self, charge: Option<&Charge>) -> bool {
        match (self, charge.map(|charge| charge.completed.is_some())) {
            (Which::All, _) | (Which::Free, None) => true,
            (Which::InCharge, Some(completed)) => !completed,
            (Which::Completed, Some(completed)) => completed,
            (Which::Free, Some(_)) | (Which::InCharge | Which::Completed, None) => false,
        }
    }
}

/// Who works on which message.
#[derive(Args)]
pub struct Working {
    /// The mailbox.
    address: String,
    /// The progressive number of the message.
    number: u64,
    /// The login of the user who does it; the holder if nothing is said.
    #[arg(long, value_name = "LOGIN")]
    user: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What is done.
#[derive(Clone, Copy)]
pub enum Work {
    Take,
    Release,
    Complete,
}

pub async fn messages(
    office: &Office,
    address: &str,
    folder: Option<String>,
    which: Which,
    after: u64,
    limit: usize,
    json: bool,
) -> Result<(), CommandError> {
    let key = parse(address)?.key();
    let provisioning = &office.provisioning;
    provisioning.may(&office.actor, Operation::MailboxShow, Subject::Mailbox(key.clone())).await?;
    let listed = provisioning
        .store()
        .read(move |r| {
            must_exist(r, &key)?;
            if let Some(folder) = &folder
                && r.folder(&key, folder)?.is_none()
            {
                return Err(StoreError::NotFound(format!("folder {folder}")));
            }
            r.numbered(&key, folder.as_deref(), after, limit.min(LIMIT_MAX))
        })
        .await?;
    let listed = listed.iter().filter(|listed| which.has(listed.charge.as_ref()));
    if json {
        return say_json(&listed.map(as_json).collect::<Vec<_>>());
    }
    for listed in listed {
        let state = match &listed.charge {
            None => "free".to_owned(),
            Some(Charge { login, completed: Some(at), .. }) => format!("completed by {login} at {}", instant(*at)),
            Some(Charge { login, since, .. }) => format!("in charge of {login} since {}", instant(*since)),
        };
        let (item, folder) = (&listed.item, &listed.folder);
        say(&format!(
            "{:>8}  {}  {:>11} octets  {folder:<16} {state}",
            item.number,
            instant(item.internal_date),
            item.size
        ))?;
    }
    Ok(())
}

fn as_json(listed: &Listed) -> Value {
    json!({
        "number": listed.item.number,
        "folder": listed.folder,
        "uid": listed.item.uid,
        "size": listed.item.size,
        "received": listed.item.internal_date,
        "flags": listed.item.flags,
        "state": match &listed.charge {
            None => "free",
            Some(Charge { completed: Some(_), .. }) => "completed",
            Some(_) => "in-charge",
        },
        "charge": listed.charge,
    })
}

pub async fn history(
    office: &Office,
    address: &str,
    number: Option<u64>,
    limit: u32,
    json: bool,
) -> Result<(), CommandError> {
    let key = parse(address)?.key();
    let provisioning = &office.provisioning;
    provisioning.may(&office.actor, Operation::MailboxShow, Subject::Mailbox(key.clone())).await?;
    let history = provisioning
        .store()
        .read(move |r| {
            must_exist(r, &key)?;
            r.history(&key, number, limit)
        })
        .await?;
    if json {
        return say_json(&history);
    }
    if history.is_empty() {
        return say("nothing was done with its messages yet (of individual mailboxes no history is kept)");
    }
    history.iter().try_for_each(|entry| {
        let line = format!(
            "{}  {:>8}  {:<9} {:<24} {}",
            instant(entry.at),
            entry.number,
            entry.action,
            entry.login,
            entry.detail
        );
        say(line.trim_end())
    })
}

pub async fn work(office: &Office, working: Working, work: Work) -> Result<(), CommandError> {
    let key = parse(&working.address)?.key();
    let login = working.user.unwrap_or_else(|| key.clone());
    let number = working.number;
    let account = key.clone();
    let subject = Subject::User { login: login.to_ascii_lowercase(), account: key.clone() };
    office.provisioning.may(&office.actor, Operation::OwnWork, subject).await?;
    let charge = office
        .provisioning
        .store()
        .write(move |tx| {
            let kind = must_exist(&tx.reader(), &account)?;
            if kind != Kind::MultiUser {
                return Err(StoreError::Invalid(format!("{account} is {}, and nobody shares its work", kind.as_str())));
            }
            let user = tx.reader().user(&login)?.filter(|user| user.account == account);
            let user = user.ok_or_else(|| StoreError::NotFound(format!("user {login} of mailbox {account}")))?;
            let found = tx.reader().item_of_number(&account, number)?;
            let (_, item) = found.ok_or_else(|| StoreError::NotFound(format!("message {number} of {account}")))?;
            match work {
                Work::Take => tx.take(&user, &item)?,
                Work::Release => tx.release(&user, &item)?,
                Work::Complete => tx.complete(&user, &item)?,
            }
            tx.reader().charge(&account, number)
        })
        .await?;
    if working.json {
        return say_json(&json!({ "mailbox": key, "number": number, "charge": charge }));
    }
    say(&match charge {
        None => format!("message {number} is free"),
        Some(Charge { login, completed: Some(_), .. }) => format!("message {number} is completed by {login}"),
        Some(Charge { login, .. }) => format!("message {number} is in charge of {login}"),
    })
}

fn must_exist(reader: &Reader<'_>, key: &str) -> Result<Kind, StoreError> {
    let account = reader.account(key)?;
    account.map(|account| account.kind).ok_or_else(|| StoreError::NotFound(format!("mailbox {key}")))
}
