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
/// Messages looked at in one go.
const PAGE: usize = 1000;

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
    let listed = provisioning.store().read(move |r| {
        must_exist(r, &key)?;
        if let Some(folder) = &folder
            && r.folder(&key, folder)?.is_none()
        {
            return Err(StoreError::NotFound(format!("folder {folder}")));
        }
        matching(r, &key, folder.as_deref(), which, after, limit.min(LIMIT_MAX))
    });
    let listed = listed.await?;
    if json {
        return say_json(&listed.iter().map(as_json).collect::<Vec<_>>());
    }
    for listed in &listed {
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

/// Messages of a kind behind a number. What is left out does not count: completed ones hide no free one behind them.
fn matching(
    reader: &Reader<'_>,
    key: &str,
    folder: Option<&str>,
    which: Which,
    mut after: u64,
    limit: usize,
) -> Result<Vec<Listed>, StoreError> {
    let mut listed = Vec::new();
    loop {
        let mut page = reader.numbered(key, folder, after, PAGE)?;
        let Some(last) = page.last().map(|listed| listed.item.number) else { return Ok(listed) };
        let full = page.len() == PAGE;
        // Copies share a number: those of the last one come together, with the next page.
        let whole = page.partition_point(|listed| listed.item.number < last);
        after = if full && whole > 0 { last - 1 } else { last };
        if full && whole > 0 {
            page.truncate(whole);
        }
        listed.extend(page.into_iter().filter(|listed| which.has(listed.charge.as_ref())));
        if listed.len() >= limit || !full {
            listed.truncate(limit);
            return Ok(listed);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use sigillo_mail::Rope;
    use sigillo_store::{DomainClass, NewAccount, Store};

    const OFFICE: &str = "ufficio@alfa.example";

    #[tokio::test]
    async fn completed_messages_hide_no_free_one_behind_them() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let job = |tx: &mut sigillo_store::Tx<'_>| {
            tx.add_domain(&"alfa.example".parse().unwrap(), DomainClass::Ordinary)?;
            tx.add_account_of(&NewAccount {
                address: OFFICE.parse().unwrap(),
                kind: Kind::MultiUser,
                offer: None,
                quota: 1 << 30,
                daily_sends: None,
                credential: "credential".into(),
                initial: false,
                expires: None,
            })?;
            let user = tx.reader().user(OFFICE)?.unwrap();
            let inbox = tx.reader().folder(OFFICE, "INBOX")?.unwrap().id;
            let message = tx.put_message(&Rope::from_bytes("Subject: x\r\n\r\nx\r\n"))?;
            for number in 1..=PAGE as u64 + 5 {
                tx.file(OFFICE, inbox, message, &[], 0)?;
                let (_, item) = tx.reader().item_of_number(OFFICE, number)?.unwrap();
                if number <= PAGE as u64 + 2 {
                    tx.take(&user, &item)?;
                    tx.complete(&user, &item)?;
                }
            }
            Ok(())
        };
        store.write(job).await.unwrap();
        let numbers = |which, after, limit| {
            let found = store.look(|r| matching(r, OFFICE, None, which, after, limit)).unwrap();
            found.iter().map(|listed| listed.item.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(Which::Free, 0, 2), [1003, 1004]);
        assert_eq!(numbers(Which::Free, 1003, 1000), [1004, 1005]);
        assert_eq!(numbers(Which::Completed, 0, 2000).len(), 1002);
        assert_eq!(numbers(Which::All, 0, 3), [1, 2, 3]);
    }
}
