//! `mailboxes`: what the server knows of its mailboxes.

use super::{Refusal, granted, invalid};
use crate::limits;
use crate::step::StepState;
use crate::world::mail::mailboxes::Host;

impl Host for StepState {
    async fn status(&mut self, address: String) -> Result<String, Refusal> {
        self.may_ask(&address)?;
        let services = self.services();
        Ok(services.mailbox_status(&address).await?.word().to_owned())
    }

    async fn setting(&mut self, address: String, name: String) -> Result<Option<String>, Refusal> {
        self.may_ask(&address)?;
        let services = self.services();
        let value = services.mailbox_setting(&address, &name).await?;
        self.reads(value.as_ref().map_or(0, |value| value.len() as u64))?;
        Ok(value)
    }
}

impl StepState {
    fn may_ask(&mut self, address: &str) -> Result<(), Refusal> {
        self.call()?;
        granted(self.grants().mailboxes)?;
        if address.len() > limits::KEY_MAX { Err(invalid("no address is so long")) } else { Ok(()) }
    }
}
