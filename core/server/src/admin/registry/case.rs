//! `log case`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use sigillo_mail::Mailbox;
use sigillo_store::evidence::legal_time;
use sigillo_store::{AccountState, Store};

use super::super::{CommandError, say, say_json};
use super::search::Terms;
use crate::config::Config;
use crate::evidence::case::{self, Case, RECORDS_MAX, Request, operator};
use crate::evidence::stamping::Stamper;
use crate::evidence::{folder, sealing};

/// Files stamped by the command before it reads them.
const STAMPED_AT_ONCE: usize = 100;

#[derive(Args)]
pub struct CaseArguments {
    #[command(flatten)]
    terms: Terms,
    /// Who asks: the address to which the answer goes.
    #[arg(long)]
    requester: String,
    /// Why he may ask, such as the number of his form; kept in the log.
    #[arg(long)]
    reason: String,
    /// The archive to write: a message (.eml) with a file in each attachment.
    #[arg(long)]
    out: PathBuf,
    /// Send it to the requester by a message of this mailbox of ours.
    #[arg(long, value_name = "MAILBOX")]
    send_from: Option<String>,
    /// Put the sealed files in whole: they hold what happened to everybody. For authorities that may have them.
    #[arg(long)]
    whole_files: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub async fn case(config: &Config, store: &Store, arguments: CaseArguments) -> Result<(), CommandError> {
    if !arguments.terms.names_somebody() {
        return Err(CommandError::Usage(
            "give --id, --sender or --recipient: a period alone would show everybody's mail".into(),
        ));
    }
    let requester = mailbox(&arguments.requester)?;
    let sender = match &arguments.send_from {
        Some(address) => Some(own_mailbox(store, address).await?),
        None => None,
    };
    if arguments.out.exists() {
        return Err(CommandError::Other(format!("{} is there already", arguments.out.display())));
    }
    // What is to be proved must be in a file first, with a stamp where there is an authority.
    store.seal(&sealing(config), true).await?;
    if let Some(stamper) = Stamper::of(config)? {
        stamper.stamp_due(store, STAMPED_AT_ONCE).await?;
    }
    let who = operator();
    let request = Request {
        requester: requester.to_string(),
        reason: arguments.reason.clone(),
        terms: arguments.terms.words(),
        whole_files: arguments.whole_files,
        answered: legal_time::readable(sigillo_store::commit::now()),
        operator: who.name.clone(),
    };
    let (search, own, place) = (arguments.terms.search(RECORDS_MAX + 1)?, request.clone(), folder(config));
    let case = store.read(move |r| case::assemble(r, &place, &search, &own)).await?;
    match case.records {
        0 => return Err(CommandError::Other("the log holds nothing of this".into())),
        count if count > RECORDS_MAX => {
            return Err(CommandError::Other(format!("more than {RECORDS_MAX} records: give a shorter period")));
        }
        _ => {}
    }
    // The request is evidence before anything leaves.
    let event = case::request_event(&request, &case, &who);
    store.write(move |tx| tx.append_evidence(event)).await?;
    let from = sender.as_ref().map_or_else(|| format!("registro@{}", config.hostname), ToString::to_string);
    let other = |error: std::io::Error| CommandError::Other(format!("{}: {error}", arguments.out.display()));
    let message = case::message(&config.hostname, &from, &requester, &case).map_err(other)?;
    sigillo_store::evidence::sealed_file::write_whole(&arguments.out, &message).map_err(other)?;
    let sent = match &sender {
        Some(sender) => Some(send(config, sender, &requester, &message)?),
        None => None,
    };
    print(&arguments, &case, sent.as_deref())
}

fn mailbox(text: &str) -> Result<Mailbox, CommandError> {
    text.parse().map_err(|error| CommandError::Usage(format!("'{text}': {error}")))
}

async fn own_mailbox(store: &Store, text: &str) -> Result<Mailbox, CommandError> {
    let address = mailbox(text)?;
    let key = address.key();
    let account = store.read(move |r| r.account(&key)).await?;
    match account.map(|account| account.state) {
        Some(AccountState::Active) => Ok(address),
        Some(_) => Err(CommandError::Other(format!("the mailbox {address} is disabled and cannot send"))),
        None => Err(CommandError::Other(format!("{address} is no mailbox of this server"))),
    }
}

fn send(config: &Config, from: &Mailbox, to: &Mailbox, message: &[u8]) -> Result<String, CommandError> {
    if message.len() as u64 > config.limits.message_size {
        return Err(CommandError::Other(format!(
            "the archive is written, but it has {} octets and limits.message-size allows {}",
            message.len(),
            config.limits.message_size
        )));
    }
    case::hand_over(&folder(config), from, to, message).map_err(|error| CommandError::Other(error.to_string()))
}

fn print(arguments: &CaseArguments, case: &Case, sent: Option<&str>) -> Result<(), CommandError> {
    let out = arguments.out.display().to_string();
    if arguments.json {
        return say_json(&json!({
            "archive": out, "records-sha256": case.sha256, "records": case.records, "files": case.files,
            "unstamped": case.unstamped, "sent": sent,
        }));
    }
    say(&format!("{out}: {} records of {} files; SHA-256 of records.jsonl {}", case.records, case.files, case.sha256))?;
    if case.unstamped > 0 {
        say(&format!("{} of the files have no stamp yet: see `sigillo log status`", case.unstamped))?;
    }
    match sent {
        Some(id) => say(&format!("handed over as {id}; a running server sends it within seconds")),
        None => Ok(()),
    }
}
