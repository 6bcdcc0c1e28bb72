//! `mac`: tags under a key of the plugin's own.

use super::{Refusal, check_value, granted};
use crate::step::StepState;
use crate::world::mail::mac::Host;

impl Host for StepState {
    fn tag(&mut self, data: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        self.call()?;
        self.writes(data.len() as u64)?;
        granted(self.grants().mac)?;
        check_value(&data)?;
        let services = self.services();
        let tag = services.mac(&self.plugin_name(), &data)?;
        self.reads(tag.len() as u64)?;
        Ok(tag.to_vec())
    }
}
