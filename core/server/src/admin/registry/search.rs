//! `log search`.

use clap::Args;
use sigillo_store::Store;
use sigillo_store::evidence::{Record, Search, Stream};

use super::super::{CommandError, instant, say, say_json};
use super::{note_access, when};

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Which {
    /// What became of messages.
    #[default]
    MessageLog,
    /// Logins, TLS, attempts to relay, accesses to the log.
    FrontEnd,
    /// What administrators did, or were refused.
    Audit,
}

impl From<Which> for Stream {
    fn from(which: Which) -> Stream {
        match which {
            Which::MessageLog => Stream::MessageLog,
            Which::FrontEnd => Stream::FrontEnd,
            Which::Audit => Stream::Audit,
        }
    }
}

/// What to look for.
#[derive(Args, Clone, Default)]
pub struct Terms {
    /// Id of the original message, of a message made for it, or the one that the client gave.
    #[arg(long, alias = "message-id")]
    id: Option<String>,
    /// Sender of the original message.
    #[arg(long)]
    sender: Option<String>,
    /// A recipient.
    #[arg(long)]
    recipient: Option<String>,
    /// Provider of the sender.
    #[arg(long)]
    provider: Option<String>,
    /// From this day (2026-01-31, legal time) or instant (2026-01-31T10:00:00Z) on.
    #[arg(long)]
    since: Option<String>,
    /// To the end of this day, or to this instant.
    #[arg(long)]
    until: Option<String>,
}

impl Terms {
    /// As the store wants them.
    pub fn search(&self, limit: usize) -> Result<Search, CommandError> {
        Ok(Search {
            message_id: self.id.clone(),
            sender: self.sender.clone(),
            recipient: self.recipient.clone(),
            provider: self.provider.clone(),
            since: self.since.as_deref().map(|text| when(text, false)).transpose()?,
            until: self.until.as_deref().map(|text| when(text, true)).transpose()?,
            limit,
            ..Search::default()
        })
    }

    /// Whether anything but a period is given.
    pub fn names_somebody(&self) -> bool {
        [&self.id, &self.sender, &self.recipient].iter().any(|term| term.is_some())
    }

    /// In words, for the log.
    pub fn words(&self) -> String {
        let terms = [
            ("id", &self.id),
            ("sender", &self.sender),
            ("recipient", &self.recipient),
            ("provider", &self.provider),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let given: Vec<String> =
            terms.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}"))).collect();
        given.join(" ")
    }
}

#[derive(Args)]
pub struct SearchArguments {
    #[command(flatten)]
    terms: Terms,
    /// What happened, such as `accepted` or `delivered`.
    #[arg(long)]
    kind: Option<String>,
    /// The external server, by the name or address in the record.
    #[arg(long)]
    peer: Option<String>,
    /// Which log.
    #[arg(long, value_enum, default_value_t)]
    log: Which,
    /// Records at most.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    /// Go on behind this record: the last one of the page before.
    #[arg(long)]
    after: Option<u64>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub async fn search(store: &Store, arguments: SearchArguments) -> Result<(), CommandError> {
    let limit = arguments.limit;
    let search = Search {
        stream: arguments.log.into(),
        kind: arguments.kind.clone(),
        peer: arguments.peer.clone(),
        after: arguments.after,
        ..arguments.terms.search(limit)?
    };
    note_access(store, "search", arguments.terms.words()).await?;
    let records = store.read(move |r| r.search_evidence(&search)).await?;
    if let Some(last) = records.last().filter(|_| records.len() == limit) {
        // Not on standard output: that is for the records.
        eprintln!("there may be more: --after {}", last.sequence);
    }
    if arguments.json {
        return say_json(&records);
    }
    records.iter().try_for_each(print)
}

fn print(record: &Record) -> Result<(), CommandError> {
    let event = &record.event;
    say(&format!("{:>6}  {}  {:<18} {}", record.sequence, instant(record.at), event.kind, event.message_id))?;
    say(&format!("        from {} to {}", event.sender, event.recipients.join(", ")))?;
    say(&format!("        subject {:?}  by {} of {}", event.subject, event.source, record.server))?;
    for (name, value) in [("peer", &event.peer), ("result", &event.result)] {
        if !value.is_empty() {
            say(&format!("        {name}: {value:?}"))?;
        }
    }
    if !event.related.is_empty() {
        say(&format!("        related {}", event.related.join(", ")))?;
    }
    event.details.iter().try_for_each(|(name, value)| say(&format!("        {name}: {value:?}")))
}
