//! The notice to the user of a mailbox that a forward is suspended: one for each suspension.

use crate::copy;
use crate::host::{Error, Host, Letter, Piece};
use crate::loops;
use crate::mime;
use crate::record::Record;
use crate::settings::Settings;

/// Queues the notice into the mailbox; returns its id.
pub fn suspended(host: &impl Host, settings: &Settings, record: &Record) -> Result<String, Error> {
    let (mailbox, to) = (record.mailbox.as_str(), record.to.as_str());
    let why = record.suspended.as_ref().map(|suspension| (suspension.word.as_str(), suspension.why.as_str()));
    let (word, why) = why.unwrap_or_default();
    let italian = match word {
        "rate" => {
            format!(
                "oggi sono già partite {} copie, il massimo in un giorno: i messaggi potrebbero girare in tondo",
                settings.per_day
            )
        }
        _ => format!("copie rifiutate in {} giorni: {}", settings.failure_days, settings.failures),
    };
    let text = format!(
        "L'inoltro dei messaggi della casella {mailbox}\nall'indirizzo {to} è sospeso:\n{italian}.\n\
         I messaggi restano come sempre nella casella; nessuno è andato perduto.\n\
         Controllare l'indirizzo; poi l'assistenza può riattivare l'inoltro.\n\
         \n\
         The forwarding of messages of the mailbox {mailbox}\nto the address {to} is suspended:\n{why}.\n\
         The messages are in the mailbox as always; none was lost.\n\
         Check the address; then the help desk can let the forwarding go on.\n"
    );
    let id = host.new_id();
    let mut content =
        copy::fields(host, settings, mailbox, &mime::words("Inoltro sospeso / Forwarding suspended"), &id)?;
    // Not forwarded itself: the address that works would get it, but so would a loop.
    content.push_str(&format!(
        "{}: {}\r\nMIME-Version: 1.0\r\n",
        loops::FIELD,
        loops::token(host, mailbox, settings.hops)?
    ));
    let mut content = content.into_bytes();
    content.extend_from_slice(&mime::text_part(&text));
    let letter = Letter {
        key: format!("suspended {to}"),
        // Nobody waits for a report about it.
        reverse_path: String::new(),
        recipient: mailbox.to_owned(),
        content: vec![Piece::Text(content)],
    };
    host.submit(&letter)
}
