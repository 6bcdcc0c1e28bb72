//! `outbox`: what plugins, and the server itself, ask of targets outside.

use clap::Subcommand;
use serde_json::json;
use sigillo_store::outbox::{Reply, Request, RequestName, RequestState};
use sigillo_store::{SERVER, Store, StoreError};

use super::{CommandError, instant, say, say_json};
use crate::config::Config;
use crate::control::client::Client;
use crate::control::{self, RetryRequest};

#[derive(Subcommand)]
#[command(after_help = "Examples:
  sigillo outbox list
  sigillo outbox list --json | jq '.[] | select(.state == \"waiting\") | .last.text'
  sigillo outbox retry alerts sms digest.019a5b
  sigillo outbox drop alerts sms digest.019a5b --reason 'sent by hand'")]
pub enum OutboxCommand {
    /// Print the requests that have not come to their end, the oldest first.
    List {
        /// Those too that are only remembered, so that their key makes no second request.
        #[arg(long)]
        all: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Requests at most.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Ask the target again now, with the whole time of a new request before it.
    Retry(Name),
    /// Give a request up: its plugin is told that it was refused.
    Drop {
        #[command(flatten)]
        name: Name,
        /// Why; the plugin reads it.
        #[arg(long, default_value = "given up by the operator")]
        reason: String,
    },
}

#[derive(clap::Args)]
pub struct Name {
    /// The plugin that made it; `_server` for the server's own (codes for lost passwords).
    plugin: String,
    /// The target that it asks.
    target: String,
    /// The plugin's name for it.
    key: String,
}

impl From<Name> for RequestName {
    fn from(name: Name) -> RequestName {
        RequestName { plugin: name.plugin, target: name.target, key: name.key }
    }
}

pub async fn outbox(config: &Config, store: &Store, command: OutboxCommand) -> Result<(), CommandError> {
    match command {
        OutboxCommand::List { all, json, limit } => list(store, all, json, limit).await,
        OutboxCommand::Retry(name) => retry(config, store, name.into()).await,
        OutboxCommand::Drop { name, reason } => {
            let name = RequestName::from(name);
            let reply = Reply { status: "refused".into(), code: None, text: reason, body: Vec::new() };
            let wanted = name.clone();
            store.write(move |tx| tx.end_request(&wanted, &reply)).await.map_err(|error| unknown(error, &name))?;
            match name.plugin == SERVER {
                true => say(&format!("{name} is given up")),
                false => say(&format!("{name} is given up; its plugin is told by a running server within 30 seconds")),
            }
        }
    }
}

/// By the running server, which alone knows that it left the target alone; or for the next start.
async fn retry(config: &Config, store: &Store, name: RequestName) -> Result<(), CommandError> {
    let wanted = name.clone();
    let found = store.read(move |r| r.request(&wanted)).await;
    if let Ok(None) | Ok(Some(Request { state: RequestState::Known, .. })) = found {
        return Err(unknown(StoreError::NotFound(name.to_string()), &name));
    }
    let Ok(mut server) = Client::connect(&config.data_dir()).await else {
        let life = config.target_life(&name.target).map_or(0, |life| life.as_millis() as u64);
        let wanted = name.clone();
        store.write(move |tx| tx.retry_request(&wanted, life)).await.map_err(|error| unknown(error, &name))?;
        return say(&format!("{name} is due when the server starts"));
    };
    let RequestName { plugin, target, key } = name.clone();
    let request = control::Request::Retry(RetryRequest { plugin, target, key });
    let asked = server.ask(&request, &mut tokio::io::empty(), 0, &mut tokio::io::sink()).await;
    asked.map_err(|error| CommandError::Other(error.to_string()))?;
    say(&format!("{name} is due now, and its target is asked at once"))
}

fn unknown(error: StoreError, name: &RequestName) -> CommandError {
    match error {
        StoreError::NotFound(_) | StoreError::Conflict(_) => CommandError::Other(format!(
            "no request {name} waits; `sigillo outbox list --all` shows all that are known"
        )),
        error => error.into(),
    }
}

async fn list(store: &Store, all: bool, json: bool, limit: usize) -> Result<(), CommandError> {
    let found = store.read(move |r| r.requests(all, limit)).await?;
    let (mut good, mut damaged) = (Vec::new(), Vec::new());
    for request in found {
        match request {
            Ok(request) => good.push(request),
            Err(error) => damaged.push(error.to_string()),
        }
    }
    if json {
        say_json(&good.iter().map(as_json).collect::<Vec<_>>())?;
    } else if good.is_empty() && damaged.is_empty() {
        say("the outbox is empty")?;
    } else {
        good.iter().try_for_each(print)?;
    }
    // The others are printed: one bad record hides no other.
    if damaged.is_empty() { Ok(()) } else { Err(CommandError::Other(damaged.join("\n"))) }
}

fn print(request: &Request) -> Result<(), CommandError> {
    let (state, reply) = (word(request.state), &request.reply);
    say(&format!("{}  {state}  since {}", request.name, instant(request.created)))?;
    let said = [reply.status.clone(), reply.code.map(|code| code.to_string()).unwrap_or_default(), reply.text.clone()];
    let said = said.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let (due, expires) = (instant(request.due), instant(request.expires));
    match request.state {
        RequestState::Waiting => {
            say(&format!("    attempts {}  next {due}  expires {expires}  {said}", request.attempts))
        }
        RequestState::Held => say(&format!("    {said}")),
        RequestState::Ended => say(&format!("    its plugin is to be told, next {due}: {said}")),
        RequestState::Known => say(&format!("    {said}")),
    }
}

fn word(state: RequestState) -> &'static str {
    match state {
        RequestState::Waiting => "waiting",
        RequestState::Held => "held",
        RequestState::Ended => "ended",
        RequestState::Known => "known",
    }
}

/// Parameters stay out: they are what is sent, such as the number and the text of an SMS, and a code in it.
fn as_json(request: &Request) -> serde_json::Value {
    json!({
        "plugin": request.name.plugin,
        "target": request.name.target,
        "key": request.name.key,
        "state": word(request.state),
        "created": instant(request.created),
        "due": instant(request.due),
        "expires": instant(request.expires),
        "attempts": request.attempts,
        "ended": request.ended.map(instant),
        "last": {
            "status": request.reply.status,
            "code": request.reply.code,
            "text": request.reply.text,
        },
    })
}
