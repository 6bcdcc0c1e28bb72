//! `log`: the message log.

use clap::{Args, Subcommand};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sigillo_store::evidence::{Record, Search};
use sigillo_store::{Millis, Store};

use super::{CommandError, instant, say, say_json};

#[derive(Subcommand)]
#[command(after_help = "Examples:
  sigillo log search --id '019a5b.77@pec.alfa.example'
  sigillo log search --recipient bruno@pec.beta.example --since 2026-01-01 --until 2026-01-31 --json
  sigillo log verify")]
pub enum LogCommand {
    /// Print records that match everything given, the oldest first.
    Search(SearchArguments),
    /// Read the whole chain and name the first record that was changed, dropped or moved.
    Verify {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub struct SearchArguments {
    /// Unique id of the original message, without angle brackets.
    #[arg(long)]
    id: Option<String>,
    /// What happened: `accepted`, `signature`, …
    #[arg(long)]
    kind: Option<String>,
    /// Sender of the original message.
    #[arg(long)]
    sender: Option<String>,
    /// A recipient.
    #[arg(long)]
    recipient: Option<String>,
    /// From this day (2026-01-31, UTC) or instant (2026-01-31T10:00:00Z) on.
    #[arg(long)]
    since: Option<String>,
    /// To the end of this day, or to this instant.
    #[arg(long)]
    until: Option<String>,
    /// Records at most.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub async fn log(store: &Store, command: LogCommand) -> Result<(), CommandError> {
    match command {
        LogCommand::Search(arguments) => search(store, arguments).await,
        LogCommand::Verify { json } => {
            let verified = store.read(|r| r.verify_evidence()).await?;
            if json {
                say_json(&verified)?;
            } else {
                match &verified.fault {
                    None => say(&format!(
                        "{} records, the chain is whole; its head is {}",
                        verified.records, verified.head
                    ))?,
                    Some(fault) => say(&format!("record {} is at fault: {}", fault.sequence, fault.problem))?,
                }
            }
            if verified.fault.is_some() { Err(CommandError::Found) } else { Ok(()) }
        }
    }
}

async fn search(store: &Store, arguments: SearchArguments) -> Result<(), CommandError> {
    let search = Search {
        message_id: arguments.id.map(|id| id.trim_matches(['<', '>']).to_owned()),
        kind: arguments.kind,
        sender: arguments.sender,
        recipient: arguments.recipient,
        since: arguments.since.map(|text| when(&text, false)).transpose()?,
        until: arguments.until.map(|text| when(&text, true)).transpose()?,
        limit: arguments.limit,
    };
    let records = store.read(move |r| r.search_evidence(&search)).await?;
    if arguments.json {
        return say_json(&records);
    }
    records.iter().try_for_each(print)
}

fn print(record: &Record) -> Result<(), CommandError> {
    let event = &record.event;
    say(&format!("{:>6}  {}  {:<18} {}", record.sequence, instant(record.at), event.kind, event.message_id))?;
    say(&format!("        from {} to {}", event.sender, event.recipients.join(", ")))?;
    say(&format!("        subject {:?}  by {}", event.subject, event.source))?;
    if !event.related.is_empty() {
        say(&format!("        related {}", event.related.join(", ")))?;
    }
    event.details.iter().try_for_each(|(name, value)| say(&format!("        {name}: {value:?}")))
}

/// A day or an instant; a day at the end of a period is meant whole.
pub(super) fn when(text: &str, end: bool) -> Result<Millis, CommandError> {
    let bad = || {
        CommandError::Usage(format!(
            "'{text}' is neither a day such as 2026-01-31 nor an instant such as 2026-01-31T10:00:00Z"
        ))
    };
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(at.as_millisecond().max(0) as Millis);
    }
    let day: Date = text.parse().map_err(|_| bad())?;
    let day = if end { day.tomorrow().map_err(|_| bad())? } else { day };
    let at = day.to_zoned(TimeZone::UTC).map_err(|_| bad())?.timestamp().as_millisecond();
    Ok((at - i64::from(end)).max(0) as Millis)
}
