//! What the mailbox is told, in Italian and in English.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use crate::settings::Settings;
use crate::space::{Said, percent};

/// What there is to tell.
#[derive(Debug, Clone, Copy)]
pub struct Alert<'a> {
    /// Which of the two.
    pub what: Said,
    /// Whom.
    pub mailbox: &'a str,
    /// Octets used.
    pub used: u64,
    /// Octets of the space.
    pub limit: u64,
    /// Whether its administrator lets copies be deleted.
    pub deletion: bool,
}

/// The whole message. Lines are short and the text is UTF-8, so it needs no transfer encoding (RFC 2045 §2.8).
pub fn message(alert: &Alert<'_>, settings: &Settings, now: u64, offset: i32, id: &str) -> String {
    let percent = percent(alert.used, alert.limit);
    let (subject, word) = match alert.what {
        Said::Filling => {
            let subject = format!("Archivio di sicurezza {} / Backup archive {percent}% full", at(percent));
            (subject, "filling")
        }
        Said::Full => ("Archivio di sicurezza pieno / Backup archive full".to_owned(), "full"),
    };
    let domain = settings.sender.rsplit_once('@').map_or("", |(_, domain)| domain);
    let fields = [
        ("From", format!("Archivio di sicurezza <{}>", settings.sender)),
        ("To", format!("<{}>", alert.mailbox)),
        ("Subject", subject),
        ("Date", date(now, offset)),
        ("Message-ID", format!("<{id}@{domain}>")),
        // RFC 3834 §5
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("X-Archive-Alert", word.to_owned()),
        ("MIME-Version", "1.0".to_owned()),
        ("Content-Type", "text/plain; charset=utf-8".to_owned()),
        ("Content-Transfer-Encoding", "8bit".to_owned()),
    ];
    let mut out = String::new();
    for (name, value) in fields {
        let _ = write!(out, "{name}: {value}\r\n");
    }
    let _ = write!(out, "\r\n{}\r\n\r\n{}\r\n", italian(alert), english(alert));
    out
}

/// RFC 5322 §3.3, in legal time.
fn date(now: u64, offset: i32) -> String {
    let at = i64::try_from(now).ok().and_then(|now| Timestamp::from_millisecond(now).ok()).unwrap_or_default();
    let offset = Offset::from_seconds(offset).unwrap_or(Offset::UTC);
    at.to_zoned(TimeZone::fixed(offset)).strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

fn italian(alert: &Alert<'_>) -> String {
    let decimal = |octets| mebibytes(octets).replace('.', ",");
    let (used, limit) = (decimal(alert.used), decimal(alert.limit));
    let room = match alert.deletion {
        true => {
            "Per recuperare spazio si possono cancellare messaggi dall'archivio, scelti a mano\r\n\
             o a partire dai meno recenti, oppure si può chiedere più spazio all'amministratore."
        }
        false => "Per avere più spazio ci si può rivolgere all'amministratore della casella.",
    };
    match alert.what {
        Said::Filling => format!(
            "Lo spazio dell'archivio di sicurezza della casella\r\n{}\r\nè occupato {} ({used} su {limit} MiB).\r\n\r\n\
             Quando sarà esaurito, i messaggi continueranno ad arrivare nella casella e a partire,\r\n\
             ma non ne verrà conservata copia nell'archivio.\r\n\r\n{room}",
            alert.mailbox,
            at(percent(alert.used, alert.limit))
        ),
        Said::Full => format!(
            "Lo spazio dell'archivio di sicurezza della casella\r\n{}\r\nè esaurito ({used} su {limit} MiB): di un messaggio \
             non è stata conservata copia.\r\n\r\n\
             I messaggi continuano ad arrivare nella casella e a partire; finché non c'è spazio\r\n\
             non ne viene conservata copia nell'archivio, e questo avviso non viene ripetuto.\r\n\r\n{room}",
            alert.mailbox
        ),
    }
}

fn english(alert: &Alert<'_>) -> String {
    let (used, limit) = (mebibytes(alert.used), mebibytes(alert.limit));
    let room = match alert.deletion {
        true => {
            "To make room, messages can be deleted from the archive, by hand or the oldest\r\n\
             first; or ask the administrator for more space."
        }
        false => "For more space ask the administrator of the mailbox.",
    };
    match alert.what {
        Said::Filling => format!(
            "The space of the backup archive of\r\n{}\r\nis {}% used ({used} of {limit} MiB).\r\n\r\n\
             When it is used up, mail is delivered and sent all the same, but no copies of it\r\nare kept in the archive.\r\n\r\n{room}",
            alert.mailbox,
            percent(alert.used, alert.limit)
        ),
        Said::Full => format!(
            "The space of the backup archive of\r\n{}\r\nis used up ({used} of {limit} MiB): of a message no copy was kept.\r\n\r\n\
             Mail is delivered and sent all the same; while there is no room no copies of it\r\n\
             are kept in the archive, and this alert is not repeated.\r\n\r\n{room}",
            alert.mailbox
        ),
    }
}

/// `al 79%`, `all'80%`: numbers that begin with a vowel.
fn at(percent: u64) -> String {
    let article = if matches!(percent, 1 | 8 | 11 | 80..=89) { "all'" } else { "al " };
    format!("{article}{percent}%")
}

/// With one decimal, rounded down.
fn mebibytes(octets: u64) -> String {
    let tenths = octets / (1024 * 1024 / 10);
    format!("{}.{}", tenths / 10, tenths % 10)
}
