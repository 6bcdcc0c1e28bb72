//! `timestamps`: time stamps of the authority that the server knows.

use super::{Refusal, granted, invalid, limit};
use crate::limits;
use crate::step::StepState;
use crate::world::mail::timestamps::Host;

impl Host for StepState {
    fn known(&mut self) -> wasmtime::Result<bool> {
        self.call()?;
        Ok(self.grants().timestamps && self.services().stamps())
    }

    async fn stamp(&mut self, digest: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        self.call()?;
        granted(self.grants().timestamps)?;
        self.writes(digest.len() as u64)?;
        let digest: [u8; 32] =
            digest.try_into().map_err(|_| invalid("what is stamped is a SHA-256 digest of 32 octets"))?;
        self.stamps += 1;
        if self.stamps > limits::STAMPS_PER_STEP_MAX {
            return Err(limit(format!("a step asks for at most {} time stamps", limits::STAMPS_PER_STEP_MAX)));
        }
        let answer = self.services().stamp(digest).await?;
        self.reads(answer.len() as u64)?;
        Ok(answer)
    }
}
