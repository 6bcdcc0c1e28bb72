//! Tells the holder of a mailbox that it fills, before it is full: a message in the mailbox itself, once for each mark that
//! is passed on the way up.

use mail_builder::MessageBuilder;
use mail_builder::headers::raw::Raw;
use sigillo_mail::Rope;
use sigillo_store::{FolderId, StoreError, Tx};

use crate::origin::new_id;

/// At which fillings, and in whose name.
#[derive(Debug, Clone)]
pub struct Warnings {
    /// Percentages, ascending.
    pub marks: Vec<u8>,
    /// What the server calls itself.
    pub hostname: String,
}

impl Warnings {
    /// After something was filed in `inbox` or elsewhere in the mailbox. A warning that has no room is left out.
    pub fn tell(&self, tx: &mut Tx<'_>, account: &str, inbox: FolderId) -> Result<(), StoreError> {
        let Some((used, quota, told)) = tx.reader().filling(account)? else { return Ok(()) };
        let percent = used.saturating_mul(100) / quota.max(1);
        let mark = self.marks.iter().copied().filter(|mark| u64::from(*mark) <= percent).max().unwrap_or(0);
        if mark == told {
            return Ok(());
        }
        tx.set_warned(account, mark)?;
        if mark < told {
            return Ok(()); // room was made: the next time it fills is told anew
        }
        let content = self.message(account, mark, used, quota, tx.now())?;
        if used.saturating_add(content.len() as u64) > quota {
            return Ok(());
        }
        let message = tx.put_message(&Rope::from_bytes(content))?;
        let now = tx.now();
        tx.file(account, inbox, message, &[], now).map(drop)
    }

    fn message(&self, account: &str, mark: u8, used: u64, quota: u64, now: u64) -> Result<Vec<u8>, StoreError> {
        let megabytes = |octets: u64| octets.div_ceil(1024 * 1024);
        let (used, quota) = (megabytes(used), megabytes(quota));
        let text = format!(
            "La casella {account} occupa {used} MB dei {quota} MB a disposizione (oltre il {mark}%).\r\n\
             Quando lo spazio finisce, i messaggi in arrivo non vengono consegnati e i mittenti ricevono un avviso.\r\n\
             Cancellare i messaggi che non servono, o chiedere più spazio all'amministratore.\r\n\r\n\
             The mailbox {account} holds {used} MB of {quota} MB (more than {mark}%).\r\n\
             When there is no room left, mail is not delivered and its senders are told so.\r\n\
             Remove messages that are not needed, or ask your administrator for more room.\r\n"
        );
        let message = MessageBuilder::new()
            .from(format!("postmaster@{}", self.hostname))
            .to(account.to_owned())
            .subject(format!("Spazio della casella: {mark}% / Mailbox space: {mark}%"))
            .date((now / 1000) as i64)
            .message_id(format!("{}.quota@{}", new_id(), self.hostname))
            // RFC 3834 §5: nobody answers it by machine.
            .header("Auto-Submitted", Raw::new("auto-generated"))
            .text_body(text);
        Ok(message.write_to_vec()?)
    }
}
