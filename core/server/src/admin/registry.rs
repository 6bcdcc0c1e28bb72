//! `log`: the message log.

mod case;
mod files;
mod search;
mod verify;

use clap::Subcommand;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sigillo_store::evidence::{NewEvent, Stream};
use sigillo_store::{Millis, Store};

use super::CommandError;
use crate::config::Config;
use crate::evidence::case::operator;

#[derive(Subcommand)]
#[command(after_help = "Examples:
  sigillo log search --id '019a5b.77@pec.alfa.example'
  sigillo log search --recipient bruno@pec.beta.example --since 2026-01-01 --until 2026-01-31 --json
  sigillo log verify
  sigillo log verify --files /media/copy --anchors tsa-roots.pem
  sigillo log seal
  sigillo log status --json
  sigillo log export --since 2026-01-01 --until 2026-01-31 --dir /media/january
  sigillo log case --message-id '019a5b.77@pec.alfa.example' --requester ada@pec.alfa.example \\
      --reason 'request of 3 February, form 12' --out case.eml --send-from log@pec.alfa.example")]
pub enum LogCommand {
    /// Print records that match everything given, the oldest first.
    Search(search::SearchArguments),
    /// Check the log and its files, and name what was changed, dropped, moved or cut off.
    Verify(verify::VerifyArguments),
    /// Close the current files now, and have them stamped.
    Seal {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print what is sealed, what is not stamped, and when the next file is due.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copy sealed files of a period with their stamps to an empty folder, which proves itself.
    Export(files::ExportArguments),
    /// Assemble what the log says of a message or a person in one archive, for whoever may ask for it.
    Case(case::CaseArguments),
}

pub async fn log(config: &Config, store: &Store, command: LogCommand) -> Result<(), CommandError> {
    match command {
        LogCommand::Search(arguments) => search::search(store, arguments).await,
        LogCommand::Verify(arguments) => verify::verify(config, store, arguments).await,
        LogCommand::Seal { json } => files::seal(config, store, json).await,
        LogCommand::Status { json } => files::status(store, json).await,
        LogCommand::Export(arguments) => files::export(config, store, arguments).await,
        LogCommand::Case(arguments) => case::case(config, store, arguments).await,
    }
}

/// LOG-23: who looks into the log is in the log.
async fn note_access(store: &Store, what: &str, terms: String) -> Result<(), CommandError> {
    let who = operator();
    let event = NewEvent {
        kind: "log-access".into(),
        sender: who.name.clone(),
        result: what.to_owned(),
        details: [who.details(), vec![("terms".to_owned(), terms)]].concat(),
        source: "operator".into(),
        ..NewEvent::default()
    };
    store.write(move |tx| tx.append_to(Stream::FrontEnd, event)).await?;
    Ok(())
}

/// A day or an instant; a day at the end of a period is meant whole. Days are legal days.
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
    let noon = day.at(12, 0, 0, 0).to_zoned(TimeZone::UTC).map_err(|_| bad())?.timestamp().as_millisecond();
    let (begin, behind) = sigillo_store::evidence::legal_time::day(noon.max(0) as Millis);
    Ok(if end { behind - 1 } else { begin })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack S9: a day in a search is a legal day, however long it is.
    #[test]
    fn days_are_legal_days() {
        let at = |text: &str| when(text, false).unwrap();
        assert_eq!(at("2026-01-31"), at("2026-01-30T23:00:00Z"));
        assert_eq!(when("2026-01-31", true).unwrap(), at("2026-01-31T22:59:59.999Z"));
        assert_eq!(when("2026-10-25", true).unwrap() - at("2026-10-25"), 25 * 3_600_000 - 1);
        assert_eq!(when("2026-03-29", true).unwrap() - at("2026-03-29"), 23 * 3_600_000 - 1);
        assert!(matches!(when("yesterday", false), Err(CommandError::Usage(_))));
    }
}
