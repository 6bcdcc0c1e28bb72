//! Notices to the user of a mailbox: a forward is suspended, one for each suspension; or copies are not taken over and over.

use crate::copy;
use crate::host::{Error, Host, Letter, Piece};
use crate::loops;
use crate::mime;
use crate::record::Record;
use crate::settings::Settings;

/// Queues the notice of a suspension into the mailbox; returns its id.
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
    queue(host, settings, record, &format!("suspended {to}"), "Inoltro sospeso / Forwarding suspended", &text)
}

/// Queues the notice that copies were not taken for what they are; `said` is the last report. Returns its id.
pub fn not_taken(host: &impl Host, settings: &Settings, record: &Record, said: &str) -> Result<String, Error> {
    let (mailbox, to) = (record.mailbox.as_str(), record.to.as_str());
    let (failures, days) = (settings.failures, settings.failure_days);
    let text = format!(
        "Copie dei messaggi della casella {mailbox}\nnon accettate da chi riceve la posta di {to},\n\
         in {days} giorni: {failures}.\n\
         I messaggi restano come sempre nella casella; nessuno è andato perduto. L'inoltro continua.\n\
         L'ultima risposta: {said}\n\
         \n\
         Copies of messages of the mailbox {mailbox}\nthat were not taken by who receives the mail of {to},\n\
         within {days} days: {failures}.\n\
         The messages are in the mailbox as always; none was lost. The forwarding goes on.\n\
         The last answer: {said}\n"
    );
    queue(host, settings, record, &format!("not-taken {to}"), "Copie non accettate / Copies not taken", &text)
}

fn queue(
    host: &impl Host,
    settings: &Settings,
    record: &Record,
    key: &str,
    subject: &str,
    text: &str,
) -> Result<String, Error> {
    let mailbox = record.mailbox.as_str();
    let id = host.new_id();
    let mut content = copy::fields(host, settings, mailbox, &mime::words(subject), &id)?;
    // Not forwarded itself: the address that works would get it, but so would a loop.
    content.push_str(&format!(
        "{}: {}\r\nMIME-Version: 1.0\r\n",
        loops::FIELD,
        loops::token(host, mailbox, settings.hops)?
    ));
    let mut content = content.into_bytes();
    content.extend_from_slice(&mime::text_part(text));
    let letter = Letter {
        key: key.to_owned(),
        // Nobody waits for a report about it.
        reverse_path: String::new(),
        recipient: mailbox.to_owned(),
        content: vec![Piece::Text(content)],
    };
    host.submit(&letter)
}
