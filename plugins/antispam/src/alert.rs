//! What people are told of traffic that is not usual (AS-05): the postmaster, the user whose mailbox sends, the provider
//! from which it comes.

use mail_parser::DateTime;

use crate::host::{Error, Host};
use crate::settings::Settings;
use crate::traffic::{Excess, Way};

/// Queues the messages.
pub fn send<H: Host>(
    host: &H,
    settings: &Settings,
    way: Way,
    who: &str,
    found: &[Excess],
    suspended: bool,
) -> Result<(), Error> {
    let list = |words: fn(&Excess) -> &str| found.iter().map(|one| format!("- {}\r\n", words(one))).collect::<String>();
    let (italian, english) = (list(|one| &one.italian), list(|one| &one.english));
    let subject = match way {
        Way::Sent => format!("Traffico anomalo in uscita: {who} / Unusual outgoing traffic"),
        Way::Came => format!("Traffico anomalo in entrata: {who} / Unusual incoming traffic"),
    };
    let text = match way {
        Way::Sent => sent(who, &italian, &english, suspended),
        Way::Came => came(who, &italian, &english),
    };
    one(host, settings, "postmaster", &settings.postmaster, &subject, &text)?;
    match way {
        Way::Sent => one(host, settings, "user", who, &subject, &text),
        Way::Came => match settings.incoming.contacts.get(who) {
            Some(contact) => one(host, settings, "contact", contact, &subject, &text),
            None => Ok(()),
        },
    }
}

fn sent(who: &str, italian: &str, english: &str, suspended: bool) -> String {
    let (fatto, done) = match suspended {
        true => (
            "L'accesso alla casella è sospeso; la ricezione continua. Per riaprirlo, contattare il gestore.",
            "Access to the mailbox is suspended; it still receives mail. Contact the provider to open it again.",
        ),
        false => (
            "Se il traffico non è voluto, cambiare subito la password e contattare il gestore.",
            "If this traffic is not intended, change the password now and contact the provider.",
        ),
    };
    format!(
        "Dalla casella {who} parte traffico non abituale:\r\n\r\n{italian}\r\n{fatto}\r\n\r\n\
         Unusual traffic leaves the mailbox {who}:\r\n\r\n{english}\r\n{done}\r\n"
    )
}

fn came(who: &str, italian: &str, english: &str) -> String {
    format!(
        "Dal dominio {who} arriva traffico non abituale:\r\n\r\n{italian}\r\nSe persiste, va contattato il gestore del \
         dominio.\r\n\r\nUnusual traffic comes from the domain {who}:\r\n\r\n{english}\r\nIf it persists, its \
         provider is to be contacted.\r\n"
    )
}

fn one<H: Host>(host: &H, settings: &Settings, key: &str, to: &str, subject: &str, text: &str) -> Result<(), Error> {
    let domain = settings.sender.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    let date = DateTime::from_timestamp((host.now() / 1000) as i64).to_rfc822();
    // RFC 3834 §5: no machine answers it.
    let content = format!(
        "From: {}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: {date}\r\nMessage-ID: <{}@{domain}>\r\n\
         Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n{text}",
        settings.sender,
        host.new_id(),
    );
    // An address that takes no mail must not keep the look from ending.
    let sent = host.submit(key, &settings.sender, &[to.to_owned()], &content);
    if let Err(error) = &sent {
        host.warn(&format!("{to} cannot be told: {}", error.words()));
    }
    Ok(())
}
