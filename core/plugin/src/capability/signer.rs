//! `signer`: signatures by keys that a guest names and never sees.

use wasmtime::component::Resource;

use super::{ContentHandle, Refusal, granted, invalid, limit};
use crate::check;
use crate::limits;
use crate::services::ServiceError;
use crate::step::StepState;
use crate::world::mail::signer::Host;
use crate::world::mail::types::Error;

impl Host for StepState {
    async fn sign(&mut self, key: String, content: Resource<ContentHandle>) -> Result<Vec<u8>, Refusal> {
        self.call()?;
        granted(self.grants().signer.contains(&key))?;
        let content = self.mail_content(&content)?;
        // What a relay would change breaks the signature (RFC 8551 §3.1.1); a missing last line end is the seam
        // before a boundary and belongs to it.
        check::canonical(&content, &*self.source())?.map_err(invalid)?;
        self.signatures += 1;
        if self.signatures > limits::SIGNATURES_PER_STEP_MAX {
            return Err(limit(format!("a step signs at most {} times", limits::SIGNATURES_PER_STEP_MAX)));
        }
        let services = self.services();
        let signed = services.sign(&key, &content).await.map_err(no_such_key)?;
        self.reads(signed.der.len() as u64)?;
        self.recorded.signatures.push(signed.made);
        Ok(signed.der)
    }

    fn addresses(&mut self, key: String) -> Result<Vec<String>, Refusal> {
        self.call()?;
        granted(self.grants().signer.contains(&key))?;
        self.services().key_addresses(&key).map_err(no_such_key)
    }
}

/// A key that is granted and does not exist looks like one that is not granted.
fn no_such_key(error: ServiceError) -> Refusal {
    match error {
        ServiceError::NotFound => Refusal::Told(Error::Denied),
        error => error.into(),
    }
}
