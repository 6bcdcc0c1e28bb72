//! STATUS ([RFC 3501 §6.3.10], SIZE of RFC 8438, HIGHESTMODSEQ of RFC 7162).

use imap_codec::imap_types::mailbox::Mailbox;
use imap_codec::imap_types::status::StatusDataItemName as Item;

use super::folder_name;
use crate::backend::Status;
use crate::output::{Output, folder};
use crate::refusal::{Done, Refusal};
use crate::session::Session;

impl Session {
    pub(crate) async fn status(&mut self, mailbox: Mailbox<'_>, items: &[Item], out: &mut Output<'_>) -> Done {
        let name = folder_name(&mailbox)?;
        if items.is_empty() {
            return Err(Refusal::bad("STATUS of nothing"));
        }
        let status = self.backend.status(&self.account, &name).await?;
        self.condstore |= items.contains(&Item::HighestModSeq);
        write_status(&name, &status, items, out);
        Ok("STATUS completed".into())
    }
}

/// One STATUS response.
pub(crate) fn write_status(name: &str, status: &Status, items: &[Item], out: &mut Output<'_>) {
    let values: Vec<String> = items.iter().map(|item| value(item, status)).collect();
    out.untagged(format_args!("STATUS {} ({})", folder(name), values.join(" ")));
}

fn value(item: &Item, status: &Status) -> String {
    match item {
        Item::Messages => format!("MESSAGES {}", status.messages),
        Item::Recent => format!("RECENT {}", status.recent),
        Item::UidNext => format!("UIDNEXT {}", status.uid_next),
        Item::UidValidity => format!("UIDVALIDITY {}", status.uid_validity),
        Item::Unseen => format!("UNSEEN {}", status.unseen),
        Item::Deleted => format!("DELETED {}", status.deleted),
        // Not told apart from the rest: what is marked deleted still counts (RFC 9208 §5.1).
        Item::DeletedStorage => "DELETED-STORAGE 0".to_owned(),
        Item::Size => format!("SIZE {}", status.size),
        Item::HighestModSeq => format!("HIGHESTMODSEQ {}", status.mod_seq),
    }
}
