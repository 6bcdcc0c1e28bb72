//! `keys`: what signs, and for how long still.

use clap::Subcommand;

use super::{CommandError, instant, say, say_json};
use crate::config::Config;
use crate::keys::Keys;

#[derive(Subcommand)]
#[command(after_help = "Examples:
  sigillo keys list
  sigillo keys list --json | jq '.[] | select(.\"in-use\")'")]
pub enum KeysCommand {
    /// Print every certificate of every key: where its key is, until when it is valid, whether it signs now. A key
    /// without a valid certificate makes the exit code 1.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

pub async fn keys(config: Config, command: KeysCommand) -> Result<(), CommandError> {
    let KeysCommand::List { json } = command;
    // A token may take its time to answer.
    let loaded = tokio::task::spawn_blocking(move || Keys::load(&config)).await;
    let keys = loaded.map_err(|error| CommandError::Other(error.to_string()))??;
    let now = sigillo_store::commit::now();
    let lines = keys.list(now);
    if json {
        say_json(&lines)?;
    } else {
        for line in &lines {
            let signs = if line.in_use { "signs" } else { "" };
            say(&format!("{:<16} {signs:<5}  {}", line.name, line.subject))?;
            say(&format!("        valid {} to {}", instant(line.not_before_ms), instant(line.not_after_ms)))?;
            say(&format!("        for {}", line.addresses.join(", ")))?;
            say(&format!("        serial {}  sha1 {}  in {}", line.serial, line.sha1, line.place))?;
        }
    }
    if keys.concerns(now).iter().any(|(stops, _)| *stops) { Err(CommandError::Found) } else { Ok(()) }
}
