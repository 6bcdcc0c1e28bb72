//! `queue`.

use clap::Subcommand;
use serde_json::json;
use sigillo_store::queue::RecipientState;
use sigillo_store::{Entry, Store};

use super::{CommandError, instant, say, say_json};

#[derive(Subcommand)]
#[command(
    after_help = "Examples:\n  sigillo queue list\n  sigillo queue list --json | jq '.[].recipients[].reply'\n  sigillo queue release 019a5b.77"
)]
pub enum QueueCommand {
    /// Print what waits, the oldest first.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Entries at most.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Let what was held go on.
    Release {
        /// The entry.
        id: String,
    },
}

pub async fn queue(store: &Store, command: QueueCommand) -> Result<(), CommandError> {
    match command {
        QueueCommand::List { json, limit } => {
            let entries = store.read(move |r| r.entries(limit)).await?;
            if json {
                return say_json(&entries.iter().map(as_json).collect::<Vec<_>>());
            }
            if entries.is_empty() {
                return say("the queue is empty");
            }
            entries.iter().try_for_each(print)
        }
        QueueCommand::Release { id } => {
            let name = id.clone();
            let count = store.write(move |tx| tx.release_entry(&name)).await?;
            if count == 0 {
                return Err(CommandError::Other(format!("nothing of queue entry {id} is held")));
            }
            say(&format!("{count} recipients of {id} released; a running server looks within 30 seconds"))
        }
    }
}

fn word(state: RecipientState) -> &'static str {
    match state {
        RecipientState::Pending => "pending",
        RecipientState::Filed => "filed",
        RecipientState::Held => "held",
    }
}

fn print(entry: &Entry) -> Result<(), CommandError> {
    say(&format!("{}  {}  from <{}>", entry.id, instant(entry.created), entry.reverse_path))?;
    for recipient in &entry.recipients {
        let reply = recipient.reply.as_deref().unwrap_or("");
        let due = instant(recipient.due);
        let state = word(recipient.state);
        say(&format!("    {state:<8} <{}>  attempts {}  next {due}  {reply}", recipient.address, recipient.attempts))?;
    }
    Ok(())
}

fn as_json(entry: &Entry) -> serde_json::Value {
    let recipients: Vec<_> = entry
        .recipients
        .iter()
        .map(|recipient| {
            json!({
                "address": recipient.address,
                "state": word(recipient.state),
                "attempts": recipient.attempts,
                "due": instant(recipient.due),
                "reply": recipient.reply,
            })
        })
        .collect();
    json!({
        "id": entry.id,
        "phase": entry.phase,
        "reverse-path": entry.reverse_path,
        "accepted": instant(entry.created),
        "expires": instant(entry.expires),
        "recipients": recipients,
    })
}
