//! Messages of the server itself to the holder of a mailbox, filed there in the commit of what they are about.

use mail_builder::MessageBuilder;
use mail_builder::headers::raw::Raw;
use sigillo_store::{Millis, StoreError};

use crate::origin::new_id;

/// What is told, in the two languages of the users.
pub struct Notice<'a> {
    /// What the server calls itself.
    pub hostname: &'a str,
    /// The mailbox.
    pub to: &'a str,
    /// What it is about, one word: a part of its id.
    pub about: &'static str,
    /// Its subject.
    pub subject: String,
    /// Its words, lines ending with CRLF.
    pub text: String,
}

impl Notice<'_> {
    /// The message.
    pub fn message(self, now: Millis) -> Result<Vec<u8>, StoreError> {
        let message = MessageBuilder::new()
            .from(format!("postmaster@{}", self.hostname))
            .to(self.to.to_owned())
            .subject(self.subject)
            .date((now / 1000) as i64)
            .message_id(format!("{}.{}@{}", new_id(), self.about, self.hostname))
            // RFC 3834 §5: nobody answers it by machine.
            .header("Auto-Submitted", Raw::new("auto-generated"))
            .text_body(self.text);
        Ok(message.write_to_vec()?)
    }
}
