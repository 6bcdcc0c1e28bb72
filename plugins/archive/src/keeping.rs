//! Keeping copies (ARC-01): of what is filed, in the commit that files it; of what is sent, as its user handed it in.

use crate::host::{Direction, Error, Event, Host};
use crate::settings::{Choices, Settings};
use crate::space;

/// Octets of a property at most, below the contract's limit; longer values are cut.
const PROPERTY_MAX: usize = 1000;
/// The field that final delivery adds, without the address.
const RETURN_PATH: u64 = "Return-Path: <>\r\n".len() as u64;

/// Header fields that are kept with a copy, under these names.
pub const FIELDS: [(&str, &str); 8] = [
    ("message-id", "Message-ID"),
    ("from", "From"),
    ("to", "To"),
    ("cc", "Cc"),
    ("subject", "Subject"),
    ("date", "Date"),
    // Of certified mail: which receipt or envelope it is, and about which message.
    ("receipt", "X-Ricevuta"),
    ("reference", "X-Riferimento-Message-ID"),
];

/// A message at the door of a mailbox, or on its way out.
#[derive(Debug, Clone)]
pub struct Letter<'a> {
    /// The mailbox.
    pub mailbox: &'a str,
    /// Which way it goes.
    pub direction: Direction,
    /// What its copy is called for ever: the queue entry and the recipient as he was written, since one message can be
    /// filed twice in a mailbox that is written in two ways; or the transaction.
    pub key: &'a str,
    /// The sender on the envelope.
    pub reverse_path: &'a str,
    /// Octets.
    pub size: u64,
}

impl Letter<'_> {
    /// Octets of the copy: what is filed has one field more.
    fn copy_size(&self) -> u64 {
        match self.direction {
            Direction::Received => self.size + RETURN_PATH + self.reverse_path.len() as u64,
            Direction::Sent => self.size,
        }
    }
}

/// Keeps a copy of the message in hand, if the mailbox has an archive and there is room in it. Without room the message
/// goes on all the same: that it has no copy is in the message log, and the mailbox is told once.
pub fn run<H: Host>(
    host: &H,
    settings: &Settings,
    letter: &Letter<'_>,
    field: impl Fn(&str) -> Option<String>,
) -> Result<(), Error> {
    if !Choices::keeps(host, letter.mailbox)? {
        return Ok(());
    }
    let choices = Choices::of(host, settings, letter.mailbox)?;
    let (mailbox, size) = (letter.mailbox, letter.copy_size());
    let used = host.usage(mailbox)?.used;
    space::settle(host, settings, &choices, mailbox, used)?;
    let properties = properties(field);
    if used.saturating_add(size) > choices.limit {
        let property =
            |name: &str| properties.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value).to_owned();
        host.record(&Event {
            kind: "archive-full",
            message_id: property("message-id").trim_matches(['<', '>']).to_owned(),
            sender: letter.reverse_path.to_owned(),
            mailbox: mailbox.to_owned(),
            subject: property("subject"),
            details: vec![
                ("direction", letter.direction.word().to_owned()),
                ("size", size.to_string()),
                ("used", used.to_string()),
                ("limit", choices.limit.to_string()),
            ],
        })?;
        return space::tell_full(host, settings, &choices, mailbox, used);
    }
    host.keep(mailbox, &format!("{}/{}", letter.direction.word(), letter.key), letter.direction, &properties)?;
    // What is filed is filed with its copy. Of what is sent, a later step may still take the copy back: so only what
    // is there already counts for what the mailbox is told.
    let after = match letter.direction {
        Direction::Received => used + size,
        Direction::Sent => used,
    };
    space::watch(host, settings, &choices, mailbox, after)
}

fn properties(field: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let known = |(name, header): (&str, &str)| {
        let value: String = field(header)?.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let end = value.floor_char_boundary(PROPERTY_MAX);
        (end > 0).then(|| (name.to_owned(), value[..end].to_owned()))
    };
    FIELDS.into_iter().filter_map(known).collect()
}
