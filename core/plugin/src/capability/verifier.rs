//! `verifier`: what a signature proves.

use sigillo_trust::Verification;
use wasmtime::component::Resource;

use super::{MessageHandle, Refusal, granted};
use crate::step::StepState;
use crate::world::mail::verifier::{Host, HostVerification};

/// What a verification found.
pub struct VerificationHandle(pub Verification);

type This = Resource<VerificationHandle>;

impl Host for StepState {
    async fn verify(&mut self, message: Resource<MessageHandle>) -> Result<This, Refusal> {
        self.call()?;
        granted(self.grants().verifier)?;
        let view = self.view(&message)?;
        self.reads(view.rope.len())?;
        let (services, at) = (self.services(), self.now_ms());
        let found = services.verify(&view.rope, &view.structure, at).await?;
        Ok(self.table.push(VerificationHandle(found))?)
    }
}

impl HostVerification for StepState {
    fn present(&mut self, this: This) -> wasmtime::Result<bool> {
        Ok(self.found(&this)?.present)
    }

    fn intact(&mut self, this: This) -> wasmtime::Result<bool> {
        Ok(self.found(&this)?.intact)
    }

    fn trusted(&mut self, this: This) -> wasmtime::Result<bool> {
        Ok(self.found(&this)?.trusted)
    }

    fn problem(&mut self, this: This) -> wasmtime::Result<Option<String>> {
        Ok(self.found(&this)?.problem.clone())
    }

    fn transient(&mut self, this: This) -> wasmtime::Result<bool> {
        Ok(self.found(&this)?.transient)
    }

    fn certificate(&mut self, this: This) -> wasmtime::Result<Option<Vec<u8>>> {
        let certificate = self.found(&this)?.certificate.clone();
        self.reads(certificate.as_ref().map_or(0, |der| der.len() as u64))?;
        Ok(certificate)
    }

    fn addresses(&mut self, this: This) -> wasmtime::Result<Vec<String>> {
        let addresses = self.found(&this)?.addresses.clone();
        self.reads(addresses.iter().map(|address| address.len() as u64).sum())?;
        Ok(addresses)
    }

    fn signed_part(&mut self, this: This) -> wasmtime::Result<Option<u32>> {
        Ok(self.found(&this)?.signed_part.map(|part| part as u32))
    }

    fn property(&mut self, this: This, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.found(&this)?.properties.get(&name).cloned())
    }

    fn drop(&mut self, this: This) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl StepState {
    fn found(&mut self, this: &This) -> wasmtime::Result<&Verification> {
        self.call()?;
        Ok(&self.table.get(this)?.0)
    }
}
