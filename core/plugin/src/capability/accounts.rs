//! `accounts`: logins that a plugin closes.

use super::{Refusal, granted, invalid, limit};
use crate::changes::Suspension;
use crate::limits;
use crate::services::MailboxStatus;
use crate::step::StepState;
use crate::world::mail::accounts::Host;
use crate::world::mail::types::Error;

impl Host for StepState {
    async fn suspend(&mut self, address: String, reason: String) -> Result<(), Refusal> {
        self.call()?;
        granted(self.grants().suspend)?;
        self.writes((address.len() + reason.len()) as u64)?;
        if address.len() > limits::KEY_MAX {
            return Err(invalid("no address is so long"));
        }
        if reason.is_empty() || reason.len() > limits::REASON_MAX || reason.chars().any(char::is_control) {
            return Err(invalid(format!("a reason is one line of 1 to {} octets", limits::REASON_MAX)));
        }
        let services = self.services();
        match services.mailbox_status(&address).await? {
            MailboxStatus::Unknown | MailboxStatus::Remote => return Err(Refusal::Told(Error::NotFound)),
            MailboxStatus::Present | MailboxStatus::Full | MailboxStatus::Disabled => {}
        }
        if self.recorded.suspensions.len() >= limits::SUSPENSIONS_PER_STEP_MAX {
            let most = limits::SUSPENSIONS_PER_STEP_MAX;
            return Err(limit(format!("a step suspends at most {most} mailboxes")));
        }
        self.recorded.suspensions.push(Suspension { address, reason });
        Ok(())
    }
}
