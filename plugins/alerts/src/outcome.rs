//! An SMS was taken, refused, or never answered: what the holder and the operator can read of it.

use crate::book::{self, Last};
use crate::contact::Channel;
use crate::digest::Asked;
use crate::host::{Error, Host};

/// How a request of the outbox ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The plugin's name for the request.
    pub key: String,
    /// `done`, `refused` or `expired`.
    pub status: String,
    /// What the other side said.
    pub text: String,
}

/// Runs the step. Nothing is sent again: the next digest says what arrived since.
pub fn run(host: &impl Host, answer: &Answer) -> Result<(), Error> {
    let kept = format!("o/{}", answer.key);
    let asked: Asked = book::load(host, &kept)?;
    host.delete(&kept)?;
    if answer.status != "done" {
        let (status, text) = (&answer.status, &answer.text);
        host.warn(&format!("an SMS for mailbox {} was not sent: {status}, {text}", asked.mailbox));
    }
    let mut book = book::read(host, &asked.mailbox)?;
    let told = |contact: &&mut book::Contact| contact.channel == Channel::Sms && contact.to == asked.to;
    let Some(contact) = book.contacts.iter_mut().find(told) else { return Ok(()) };
    let text = answer.text.chars().take(200).collect();
    contact.last = Some(Last { at: host.now(), status: answer.status.clone(), text });
    book::write(host, &asked.mailbox, &book)
}
