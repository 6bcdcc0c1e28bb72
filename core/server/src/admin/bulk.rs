//! `mailbox import-csv`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};
use sigillo_policy::{MailboxSettings, SetBy};
use sigillo_provisioning::bulk::{AT_ONCE, BulkReport, BulkRequest, Catalogue, OfferFigures, RowOutcome};

use super::mailboxes::QUOTA;
use super::office::Office;
use super::settings::declared;
use super::{CommandError, offers, say, say_json};
use crate::config::Config;

/// Rows with mistakes that are printed; the report has all.
const ROWS_SHOWN: usize = 200;

#[derive(Args)]
#[command(after_help = "The first line names the columns; separators are commas, or semicolons where there is no comma
in it; UTF-8.
  address      the mailbox to be made; its domain must be there. The only column that must be.
  kind         individual (if empty), multi-user or application
  offer        the name of an offer, which gives kind, size and settings
  quota        octets, or a number with KB, MB or GB (of 1024); if empty what the offer says, or 1GB
  operators    logins of a multi-user mailbox beside its holder, with spaces between
  set:NAME     a setting that the administrator decides, such as set:forwarding

Every mailbox gets a first password, which its holder must change within three days. They are
written to the file of --credentials, for its owner's eyes only. Ctrl-C ends the run after the
mailboxes at hand; the same command goes on with the rest, and changes nothing of what is there.

Examples:
  sigillo mailbox import-csv mailboxes.csv --dry-run
  sigillo mailbox import-csv mailboxes.csv --credentials first-passwords.csv --report left.json")]
pub struct CsvArguments {
    /// The table.
    file: PathBuf,
    /// Only check every row and print what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Make the rows without mistakes though others have some. Otherwise nothing is made.
    #[arg(long)]
    skip_errors: bool,
    /// Where first passwords are written, mode 600; an interrupted run's file is gone on with.
    #[arg(long, required_unless_present = "dry_run")]
    credentials: Option<PathBuf>,
    /// Where the rows that were not done are written, with line, column, reason and remedy.
    #[arg(long)]
    report: Option<PathBuf>,
    /// How the report is written.
    #[arg(long, value_enum, default_value = "json")]
    report_form: ReportForm,
    /// The whole report on standard output, as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum ReportForm {
    /// One JSON object.
    Json,
    /// A table.
    Csv,
}

/// What the configuration and the plugins say of mailboxes.
struct Known<'a> {
    config: &'a Config,
    declared: MailboxSettings,
}

impl Catalogue for Known<'_> {
    fn offer(&self, name: &str) -> Result<OfferFigures, String> {
        let words = |error: CommandError| error.to_string();
        let (_, offer) = offers::find(self.config, name).map_err(words)?;
        Ok(OfferFigures {
            kinds: offer.kinds.clone(),
            quota: offer.quota(),
            daily_sends: offer.daily_sends,
            settings: offers::settings(&offer, &self.declared).map_err(words)?,
        })
    }

    fn setting(&self, name: &str, value: &str) -> Result<(), String> {
        let Some((_, setting)) = self.declared.get(name) else {
            let names: Vec<&str> = self.declared.iter().map(|(name, _, _)| name).collect();
            return Err(format!("no plugin declares '{name}'; there are {}", names.join(", ")));
        };
        if setting.by != SetBy::Administrator {
            return Err(format!("{name} is left to the user of the mailbox"));
        }
        setting.check(value).map(drop).map_err(|why| format!("{name} is {why}"))
    }

    fn quota(&self) -> u64 {
        QUOTA
    }
}

pub async fn import_csv(config: &Config, office: &Office, arguments: CsvArguments) -> Result<(), CommandError> {
    let shown = arguments.file.display().to_string();
    let table = std::fs::read(&arguments.file).map_err(|error| CommandError::Other(format!("{shown}: {error}")))?;
    let catalogue = Known { config, declared: declared(config)? };
    let stop = stop_at_interrupt();
    let request = BulkRequest {
        table,
        dry_run: arguments.dry_run,
        skip_errors: arguments.skip_errors,
        credentials: arguments.credentials.clone(),
        at_once: AT_ONCE,
        stop,
    };
    let progress = |done: usize, total: usize| show_progress(&format!("{done} of {total} mailboxes"));
    let report = office.provisioning.add_mailboxes(&office.actor, request, &catalogue, progress).await;
    show_progress("");
    let report = report.map_err(|error| match error {
        // What is wrong with the table as a whole: where it stands begins with the file.
        sigillo_provisioning::Error::Invalid { what, problem, remedy } if what.starts_with("line ") => {
            CommandError::Other(format!("{shown}: {what}: {problem}; {remedy}"))
        }
        other => other.into(),
    })?;
    if let Some(path) = &arguments.report {
        let text = match arguments.report_form {
            ReportForm::Json => serde_json::to_string_pretty(&report).unwrap_or_default(),
            ReportForm::Csv => report.to_csv(),
        };
        std::fs::write(path, text).map_err(|error| CommandError::Other(format!("{}: {error}", path.display())))?;
    }
    if arguments.json {
        say_json(&report)?
    } else {
        print(&report, &shown)?
    }
    if report.failed > 0 || report.stopped { Err(CommandError::Found) } else { Ok(()) }
}

fn print(report: &BulkReport, file: &str) -> Result<(), CommandError> {
    let failed: Vec<_> = report.rows.iter().filter(|row| row.outcome == RowOutcome::Failed).collect();
    for row in failed.iter().take(ROWS_SHOWN) {
        let column = if row.column.is_empty() { String::new() } else { format!("{}: ", row.column) };
        say(&format!("{file}:{}: {column}{}", row.line, row.problem))?;
        if !row.remedy.is_empty() {
            say(&format!("    {}", row.remedy))?;
        }
    }
    if failed.len() > ROWS_SHOWN {
        say(&format!("… and {} more; --report FILE has all", failed.len() - ROWS_SHOWN))?;
    }
    let added = if report.dry_run { "to be added" } else { "added" };
    say(&format!("{} {added}, {} there already, {} with mistakes", report.added, report.unchanged, report.failed))?;
    match (report.stopped, report.not_reached, report.dry_run) {
        (true, rest, _) => say(&format!("stopped: {rest} are left; the same command goes on with them")),
        (_, rest, false) if rest > 0 => {
            let rows = if rest == 1 { "one row" } else { &format!("{rest} rows") };
            say(&format!("nothing was added; {rows} without mistakes left out (--skip-errors adds what has none)"))
        }
        (_, _, false) if report.added == 0 && report.failed == 0 => say("nothing was changed"),
        _ => Ok(()),
    }
}

/// Becomes true at Ctrl-C; a second one ends the program.
pub fn stop_at_interrupt() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if told.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            eprintln!("\nstopping after what is at hand; once more ends at once");
        }
    });
    stop
}

/// One line that is written over, at a terminal only.
pub fn show_progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
        let _ = std::io::stderr().flush(); // the next line shows the same
    }
}
