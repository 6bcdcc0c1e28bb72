//! GETQUOTA, GETQUOTAROOT ([RFC 9208]): one root for all folders of an account.

use imap_codec::imap_types::mailbox::Mailbox;

use super::folder_name;
use crate::output::{Output, folder};
use crate::refusal::{Done, Refusal};
use crate::session::Session;

/// The name of the only quota root.
const ROOT: &str = "";
/// STORAGE counts in units of 1024 octets. RFC 9208 §5.1.
const UNIT: u64 = 1024;

impl Session {
    pub(crate) async fn get_quota(&mut self, root: &[u8], out: &mut Output<'_>) -> Done {
        if root != ROOT.as_bytes() {
            return Err(Refusal::no("[NONEXISTENT] no such quota root"));
        }
        self.tell_quota(out).await?;
        Ok("GETQUOTA completed".into())
    }

    pub(crate) async fn get_quota_root(&mut self, mailbox: Mailbox<'_>, out: &mut Output<'_>) -> Done {
        let name = folder_name(&mailbox)?;
        if self.backend.is_read_only(&name) {
            // RFC 9208 §4.3.2: a folder may have no root. What nobody can fill counts for none.
            out.untagged(format_args!("QUOTAROOT {}", folder(&name)));
            return Ok("GETQUOTAROOT completed".into());
        }
        out.untagged(format_args!("QUOTAROOT {} \"{ROOT}\"", folder(&name)));
        self.tell_quota(out).await?;
        Ok("GETQUOTAROOT completed".into())
    }

    async fn tell_quota(&mut self, out: &mut Output<'_>) -> Result<(), Refusal> {
        let quota = self.backend.quota(&self.account).await?;
        match quota.limit {
            Some(limit) => out.untagged(format_args!(
                "QUOTA \"{ROOT}\" (STORAGE {} {})",
                quota.used.div_ceil(UNIT),
                limit.div_ceil(UNIT)
            )),
            None => out.untagged(format_args!("QUOTA \"{ROOT}\" ()")),
        }
        Ok(())
    }
}
