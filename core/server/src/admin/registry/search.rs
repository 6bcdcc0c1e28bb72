//! `log search`.

use clap::Args;
use sigillo_store::Store;
use sigillo_store::evidence::{Record, Search, Stream};

use super::super::{CommandError, instant, readable, say, say_json};
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
    #[arg(long, visible_alias = "message-id")]
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
    if records.is_empty() {
        return say("no record matches");
    }
    records.iter().try_for_each(print)
}

/// Letters of a value that are printed for people: a signature has thousands.
const SHOWN_MAX: usize = 300;
/// Letters of a longer one.
const SHOWN_BEGIN: usize = 60;

fn print(record: &Record) -> Result<(), CommandError> {
    lines(record).iter().try_for_each(|line| say(line))
}

/// A record for people. Much of it is strangers' words.
fn lines(record: &Record) -> Vec<String> {
    let event = &record.event;
    let to = if event.recipients.is_empty() { String::new() } else { format!(" to {}", event.recipients.join(", ")) };
    let of = if record.server.is_empty() { String::new() } else { format!(" of {}", record.server) };
    let mut lines = vec![
        format!("{:>6}  {}  {:<18} {}", record.sequence, instant(record.at), event.kind, event.message_id)
            .trim_end()
            .to_owned(),
        format!("        from {}{to}  by {}{of}", event.sender, event.source),
    ];
    if !event.subject.is_empty() {
        lines.push(format!("        subject «{}»", event.subject));
    }
    let all = [("peer", &event.peer), ("result", &event.result)].into_iter().filter(|(_, value)| !value.is_empty());
    lines.extend(all.map(|(name, value)| format!("        {name}: {}", shown(value))));
    if !event.related.is_empty() {
        lines.push(format!("        related {}", event.related.join(", ")));
    }
    lines.extend(event.details.iter().map(|(name, value)| format!("        {name}: {}", shown(value))));
    lines.iter().map(|line| readable::plain(line)).collect()
}

fn shown(value: &str) -> String {
    if value.chars().count() <= SHOWN_MAX {
        return value.to_owned();
    }
    let begin: String = value.chars().take(SHOWN_BEGIN).collect();
    format!("{begin}… ({} octets; --json has all of it)", value.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use sigillo_store::evidence::NewEvent;

    #[test]
    fn a_record_is_short_for_people_and_does_nothing_to_the_terminal() {
        let event = NewEvent {
            kind: "acceptance".into(),
            subject: "perché \"no\"?\u{1b}[2J".into(),
            details: vec![("signature".into(), "M".repeat(4000)), ("checks".into(), "formal=yes".into())],
            ..NewEvent::default()
        };
        let record = Record { sequence: 7, at: 0, server: "mx.alfa.example".into(), event };
        let text = lines(&record).join("\n");
        assert!(text.contains("subject «perché \"no\"?") && !text.contains('\u{1b}'), "{text}");
        assert!(text.contains("… (4000 octets; --json has all of it)") && text.len() < 500, "{text}");
        assert!(text.contains("checks: formal=yes"), "{text}");
    }
}
