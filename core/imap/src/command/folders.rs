//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE ([RFC 3501 §6.3]).

use imap_codec::imap_types::mailbox::Mailbox;

use super::folder_name;
use crate::backend::BackendError;
use crate::limits::FOLDERS_MAX;
use crate::name;
use crate::refusal::{Done, Refusal};
use crate::session::Session;

impl Session {
    pub(crate) async fn create(&mut self, mailbox: Mailbox<'_>) -> Done {
        // RFC 3501 §6.3.3: a separator at the end only says that names below will be made.
        let trimmed = match &mailbox {
            Mailbox::Other(other) => other.as_ref().strip_suffix(b"/").map(<[u8]>::to_vec),
            Mailbox::Inbox => None,
        };
        let mailbox = match trimmed {
            Some(bytes) => Mailbox::try_from(bytes).map_err(|_| Refusal::no("[CANNOT] not a folder name"))?,
            None => mailbox,
        };
        let name = folder_name(&mailbox)?;
        if self.backend.folders(&self.account).await?.len() >= FOLDERS_MAX {
            return Err(Refusal::no("[LIMIT] too many folders"));
        }
        self.backend.create(&self.account, &name).await?;
        Ok("CREATE completed".into())
    }

    pub(crate) async fn delete(&mut self, mailbox: Mailbox<'_>) -> Done {
        let name = folder_name(&mailbox)?;
        if name == name::INBOX {
            return Err(Refusal::no("[CANNOT] INBOX cannot be deleted"));
        }
        self.backend.delete(&self.account, &name).await?;
        Ok("DELETE completed".into())
    }

    pub(crate) async fn rename(&mut self, from: Mailbox<'_>, to: Mailbox<'_>) -> Done {
        let (from, to) = (folder_name(&from)?, folder_name(&to)?);
        if to == name::INBOX {
            return Err(Refusal::no("[ALREADYEXISTS] INBOX exists"));
        }
        if to.strip_prefix(&from).is_some_and(|rest| rest.starts_with(name::SEPARATOR)) && from != name::INBOX {
            return Err(Refusal::no("[CANNOT] a folder cannot move below itself"));
        }
        self.backend.rename(&self.account, &from, &to).await?;
        Ok("RENAME completed".into())
    }

    /// A name that is not there cannot be subscribed, but can lose its subscription. RFC 3501 §6.3.6.
    pub(crate) async fn subscribe(&mut self, mailbox: Mailbox<'_>, subscribed: bool) -> Done {
        let name = folder_name(&mailbox)?;
        match self.backend.subscribe(&self.account, &name, subscribed).await {
            // Thunderbird gives up the old name after a RENAME, and shows its user a NO as a failure.
            Err(BackendError::NoSuchFolder) if !subscribed => {}
            done => done?,
        }
        Ok(if subscribed { "SUBSCRIBE completed" } else { "UNSUBSCRIBE completed" }.into())
    }
}
