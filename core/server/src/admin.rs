//! The command line. Exit codes: 0 done, 1 it could not be done or something was found, 2 wrong usage, 78 the
//! configuration or the policy is at fault.

mod archive;
mod bulk;
mod charges;
mod customers;
mod domains;
mod index;
mod keys;
mod mailboxes;
mod maildir;
mod message_file;
mod offers;
mod office;
mod outbox;
mod plugin_command;
mod plugin_operation;
mod quarantine;
mod queue;
mod readable;
mod recovery;
mod registry;
mod serve;
mod settings;
mod users;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use serde::Serialize;
use sigillo_store::{Store, StoreError};

use crate::config::{Config, ConfigError};
use crate::server::StartError;

/// Exit code for a configuration at fault (`EX_CONFIG` of sysexits).
const EXIT_CONFIG: u8 = 78;

/// Plugin-extensible mail server.
#[derive(Parser)]
#[command(name = "sigillo", version, arg_required_else_help = true)]
#[command(after_help = "Examples:
  sigillo --config /etc/sigillo/sigillo.yaml check
  sigillo --config /etc/sigillo/sigillo.yaml serve
  sigillo domain add pec.alfa.example --class certified
  sigillo mailbox add ada@pec.alfa.example
  sigillo queue list --json
  sigillo index fetch
  sigillo log search --sender ada@pec.alfa.example --since 2026-01-01
  sigillo log verify
  sigillo keys list

Exit status: 0 done, 1 it could not be done or something was found, 2 wrong usage, 78 the
configuration or the policy is at fault.")]
pub struct Cli {
    /// The configuration file.
    #[arg(short, long, global = true, default_value = "sigillo.yaml", env = "SIGILLO_CONFIG")]
    config: PathBuf,
    /// Run a command of provisioning (customer, role, domain, mailbox, user), or an operation that a plugin has for users,
    /// with the rights of this login only, and in its name in the log. Other commands are refused: they know no rights of
    /// logins.
    #[arg(long, global = true, env = "SIGILLO_ACTOR", value_name = "LOGIN")]
    actor: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until SIGTERM or SIGINT.
    Serve,
    /// Read everything that a start would read and print every mistake with its place.
    Check {
        /// One JSON array of findings instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Domains whose mailboxes live here.
    #[command(subcommand)]
    Domain(domains::DomainCommand),
    /// Mailboxes.
    #[command(subcommand)]
    Mailbox(mailboxes::MailboxCommand),
    /// Who logs in to a mailbox, and passwords.
    #[command(subcommand)]
    User(users::UserCommand),
    /// Customers and their contracts.
    #[command(subcommand)]
    Customer(customers::CustomerCommand),
    /// Who may administer what.
    #[command(subcommand)]
    Role(customers::RoleCommand),
    /// What was accepted and is on its way.
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// What plugins and the server ask of targets outside.
    #[command(subcommand)]
    Outbox(outbox::OutboxCommand),
    /// The index of providers.
    #[command(subcommand)]
    Index(index::IndexCommand),
    /// What is kept from its recipients: infected, suspected or damaged messages.
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// Copies of messages kept beside the folders of mailboxes.
    #[command(subcommand)]
    Archive(archive::ArchiveCommand),
    /// The message log (registro).
    #[command(subcommand)]
    Log(registry::LogCommand),
    /// Signing keys.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// A command or an operation that a plugin brings.
    #[command(external_subcommand)]
    Plugin(Vec<OsString>),
}

impl Command {
    /// A command that knows no rights of logins is not run for one: it would do everything for him.
    fn may_be_run_for(&self, actor: Option<&str>) -> Result<(), CommandError> {
        let provisioning = matches!(
            self,
            Command::Domain(_) | Command::Mailbox(_) | Command::User(_) | Command::Customer(_) | Command::Role(_)
        );
        // An operation of a plugin asks for itself.
        let plugin = matches!(self, Command::Plugin(_) | Command::Archive(archive::ArchiveCommand::Operation(_)));
        match actor {
            Some(login) if !provisioning && !plugin => Err(CommandError::Usage(format!(
                "this is not a command of provisioning (customer, role, domain, mailbox, user), so it cannot be run with \
                 the rights of {login}; without --actor and SIGILLO_ACTOR it runs with those of the administrator"
            ))),
            _ => Ok(()),
        }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Provisioning(#[from] sigillo_provisioning::Error),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Other(String),
    /// Already printed.
    #[error("")]
    Found,
    /// Already printed.
    #[error("")]
    ConfigFound,
    /// Already printed.
    #[error("")]
    UsageFound,
}

impl CommandError {
    fn exit_code(&self) -> u8 {
        match self {
            CommandError::Config(_) | CommandError::ConfigFound => EXIT_CONFIG,
            CommandError::Start(StartError::Config(_) | StartError::Policy(_)) => EXIT_CONFIG,
            CommandError::Usage(_) | CommandError::UsageFound => 2,
            _ => 1,
        }
    }
}

/// The command line of this process; help tells the commands of plugins too.
pub fn arguments() -> Cli {
    // Words may be no UTF-8.
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut line = Cli::command();
    if words.is_empty() || words.iter().any(|word| matches!(word.to_str(), Some("-h" | "--help" | "help"))) {
        let usual = line.get_after_help().map(ToString::to_string);
        let texts = [plugin_command::help(config_named(&words)), usual].into_iter().flatten().collect::<Vec<_>>();
        line = line.after_help(texts.join("\n\n"));
    }
    Cli::from_arg_matches(&line.get_matches()).unwrap_or_else(|error| error.exit())
}

/// The file that `--config` names, before the command line is read.
fn config_named(words: &[OsString]) -> Option<PathBuf> {
    words.iter().enumerate().find_map(|(index, word)| match word.to_str()? {
        "-c" | "--config" => words.get(index + 1).map(PathBuf::from),
        word => word.strip_prefix("--config=").map(PathBuf::from),
    })
}

/// Runs a command to its exit code.
pub fn run(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sigillo: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(execute(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let words = error.to_string();
            if !words.is_empty() {
                eprintln!("sigillo: {words}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}

async fn execute(cli: Cli) -> Result<(), CommandError> {
    cli.command.may_be_run_for(cli.actor.as_deref())?;
    if let Command::Check { json } = cli.command {
        return serve::check(&cli.config, json).await;
    }
    if let Command::Archive(archive::ArchiveCommand::Operation(words)) = cli.command {
        let words = [vec!["archive".into()], words].concat();
        return plugin_command::run(&cli.config, words, cli.actor.as_deref()).await;
    }
    if let Command::Plugin(words) = cli.command {
        return plugin_command::run(&cli.config, words, cli.actor.as_deref()).await;
    }
    let config = Config::load(&cli.config)?;
    let actor = cli.actor;
    let office = |config: &Config| Ok::<_, CommandError>(office::Office::of(config, open(config)?, actor.as_deref()));
    match cli.command {
        Command::Serve => serve::serve(config).await,
        Command::Check { .. } | Command::Plugin(_) => Ok(()),
        Command::Domain(command) => domains::domain(&config, &office(&config)?, command).await,
        Command::Mailbox(command) => mailboxes::mailbox(&config, &office(&config)?, command).await,
        Command::User(command) => users::user(&config, &office(&config)?, command).await,
        Command::Customer(command) => customers::customer(&office(&config)?, command).await,
        Command::Role(command) => customers::role(&office(&config)?, command).await,
        Command::Queue(command) => queue::queue(&open(&config)?, command).await,
        Command::Outbox(command) => outbox::outbox(&config, &open(&config)?, command).await,
        Command::Index(command) => index::index(&config, command).await,
        Command::Quarantine(command) => quarantine::quarantine(&open(&config)?, command).await,
        Command::Archive(command) => archive::archive(&open(&config)?, command).await,
        Command::Keys(command) => keys::keys(config, command).await,
        Command::Log(command) => registry::log(&config, &open(&config)?, command).await,
    }
}

/// The store beside a server that may be running.
fn open(config: &Config) -> Result<Store, CommandError> {
    Ok(Store::open_beside(&config.data_dir())?)
}

/// Prints a line; a reader that went away (`| head`) ends the command quietly.
fn say(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(CommandError::Found),
        other => other.map_err(|error| CommandError::Other(error.to_string())),
    }
}

fn say_json(value: &impl Serialize) -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| CommandError::Other(error.to_string()))?;
    say(&text)
}

/// An instant in the Italian legal time with its offset (ISO 8601): ends of contracts and passwords, whose days are legal days.
fn legal(at: sigillo_store::Millis) -> String {
    let zone = jiff::tz::TimeZone::get("Europe/Rome").unwrap_or(jiff::tz::TimeZone::UTC);
    let zoned = jiff::Timestamp::from_millisecond(at as i64).map(|at| at.to_zoned(zone));
    zoned.map_or_else(|_| at.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

/// An instant as people and machines read it.
fn instant(at: sigillo_store::Millis) -> String {
    jiff::Timestamp::from_millisecond(at as i64).map_or_else(|_| at.to_string(), |at| format!("{at:.0}"))
}
