//! `signer`: signatures by keys that a guest names and never sees.

use wasmtime::component::Resource;

use super::{ContentHandle, Refusal, granted, invalid, limit};
use crate::check;
use crate::limits;
use crate::step::StepState;
use crate::world::mail::signer::Host;

impl Host for StepState {
    async fn sign(&mut self, key: String, content: Resource<ContentHandle>) -> Result<Vec<u8>, Refusal> {
        self.call()?;
        granted(self.grants().signer.contains(&key))?;
        let content = self.content(&content)?;
        // What a relay would change breaks the signature (RFC 8551 §3.1.1); a missing last line end is the seam
        // before a boundary and belongs to it.
        check::canonical(&content, &*self.source())?.map_err(invalid)?;
        self.signatures += 1;
        if self.signatures > limits::SIGNATURES_PER_STEP_MAX {
            return Err(limit(format!("a step signs at most {} times", limits::SIGNATURES_PER_STEP_MAX)));
        }
        let services = self.services();
        let signature = services.sign(&key, &content).await?;
        self.reads(signature.len() as u64)?;
        Ok(signature)
    }

    fn addresses(&mut self, key: String) -> Result<Vec<String>, Refusal> {
        self.call()?;
        granted(self.grants().signer.contains(&key))?;
        Ok(self.services().key_addresses(&key)?)
    }
}
