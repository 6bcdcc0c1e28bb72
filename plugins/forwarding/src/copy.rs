//! The copy: a message of this server's own that has the other inside, byte for byte, and says what it is.
//!
//! Not the message sent on: its signature stays whole only if no byte changes, its `From` is not ours to use (DMARC would
//! refuse it at the destination), and a copy must say that it has no legal value (FWD-03).

use crate::excerpt;
use crate::host::{Error, Host, Message, Piece};
use crate::loops;
use crate::mime;
use crate::settings::Settings;

/// What stands above every copy (FWD-03), in both languages.
pub const NO_LEGAL_VALUE: &str = "Questa è una copia inoltrata automaticamente. NON HA VALORE LEGALE: fa fede soltanto il\n\
    messaggio conservato nella casella {mailbox}. Non rispondere a questo indirizzo: per una risposta con valore legale usare\n\
    quella casella.\n\
    \n\
    This is a copy that was forwarded automatically. It has NO LEGAL VALUE: only the message kept in the mailbox\n\
    {mailbox} counts. Do not answer to this address: for an answer with legal value use that mailbox.\n";

/// Builds the copy of the message in hand, for one address.
pub fn build(
    host: &impl Host,
    message: &impl Message,
    settings: &Settings,
    mailbox: &str,
    to: &str,
    token: &str,
) -> Result<Vec<Piece>, Error> {
    let id = host.new_id();
    let boundary = format!("=_{id}");
    let header = |name: &str| message.header_text(name).unwrap_or_default();
    let mut top = fields(host, settings, to, &mime::subject("I: ", &header("Subject")), &id)?;
    top.push_str(&format!(
        "{}: {token}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"{boundary}\"\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n--{boundary}\r\n",
        loops::FIELD
    ));
    let mut text = NO_LEGAL_VALUE.replace("{mailbox}", mailbox);
    text.push_str(&format!(
        "\nDa / From: {}\nData / Date: {}\nOggetto / Subject: {}\n\n\
         Il messaggio completo, con la sua firma, è allegato (messaggio.eml).\n\
         The whole message, with its signature, is attached (messaggio.eml).\n",
        one_line(&header("From")),
        one_line(&header("Date")),
        one_line(&header("Subject")),
    ));
    if let Some(words) = Some(settings.text).filter(|wanted| *wanted).and_then(|_| excerpt::of(message)) {
        text.push_str("\n----------------------------------------------------------------------\n\n");
        text.push_str(&words);
        text.push('\n');
    }
    let mut before = top.into_bytes();
    before.extend_from_slice(&mime::text_part(&text));
    // Never encoded (RFC 2046 §5.2.1), so that the bytes inside are the message's; 8bit covers 7bit too, and what has such
    // a part in it must say so itself (RFC 2045 §6.4).
    before.extend_from_slice(
        format!(
            "\r\n--{boundary}\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\
             Content-Disposition: attachment; filename=\"messaggio.eml\"\r\n\r\n"
        )
        .as_bytes(),
    );
    Ok(vec![Piece::Text(before), Piece::Message, Piece::Text(format!("\r\n--{boundary}--\r\n").into_bytes())])
}

/// The fields that all messages of this plugin begin with.
pub fn fields(host: &impl Host, settings: &Settings, to: &str, subject: &str, id: &str) -> Result<String, Error> {
    let (name, address, domain) = (mime::display_name(&settings.name), &settings.address, &settings.domain);
    // RFC 3834 §5: nobody's machine shall answer.
    Ok(format!(
        "From: {name} <{address}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: {}\r\nMessage-ID: <{id}@{domain}>\r\n\
         Auto-Submitted: auto-generated\r\n",
        mime::date(host)?
    ))
}

fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text[..mime::boundary(&text, 500)].to_owned()
}
