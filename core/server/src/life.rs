//! What contracts make due: they extend themselves, or their data is deleted.

use std::sync::Arc;

use sigillo_provisioning::cessation::Guard;
use sigillo_provisioning::{Actor, Provisioning};
use sigillo_store::Millis;

use crate::server::Server;

/// The setting of a mailbox that has its archive legally preserved.
const PRESERVED: &str = "conservation";
/// Its words for «not».
const NOT: [&str; 4] = ["off", "no", "none", "denied"];

/// CON-08: what the legal preservation has not confirmed is not deleted; its own end comes first. Copies leave the archive
/// when they are confirmed.
pub fn guard() -> Guard {
    Arc::new(|reader, address| {
        let preserved = reader.account_setting(address, PRESERVED)?.is_some_and(|word| !NOT.contains(&word.as_str()));
        let copies = reader.archive_usage(address)?.count;
        Ok((preserved && copies > 0).then(|| {
            format!(
                "the legal preservation has not confirmed {copies} messages of its archive (CON-08); end that service \
                 first: sigillo mailbox unset {address} {PRESERVED}"
            )
        }))
    })
}

impl Server {
    /// Once an hour. What fails is tried again by the next round.
    pub(crate) async fn sweep_contracts(&self, now: Millis) {
        let provisioning = Provisioning::new(self.store().clone(), self.config().provisioning.clone());
        match provisioning.renew_due(now).await {
            Ok((renewed, failed)) => {
                renewed.iter().for_each(|customer| tracing::info!(customer, "a contract extended itself"));
                for (customer, error) in &failed {
                    tracing::error!(customer, %error, "a contract could not extend itself; it is tried again");
                }
            }
            Err(error) => tracing::error!(%error, "contracts cannot be extended"),
        }
        match provisioning.delete_due(&Actor::server(), now, false, Some(guard())).await {
            Ok(report) => {
                for (mailbox, messages) in &report.mailboxes {
                    tracing::info!(mailbox, messages, "the service of a mailbox ended: it is deleted");
                }
                report.domains.iter().for_each(|domain| tracing::info!(domain, "a domain is not ours any more"));
                report.customers.iter().for_each(|customer| tracing::info!(customer, "a customer is forgotten"));
                for (name, error) in &report.failed {
                    tracing::error!(name, error, "what is past its time cannot be deleted; it is tried again");
                }
                for (mailbox, why) in &report.kept {
                    tracing::warn!(mailbox, why, "a mailbox whose time is over stays");
                }
            }
            Err(error) => tracing::error!(%error, "what is past its time cannot be deleted; it is tried again"),
        }
    }
}
