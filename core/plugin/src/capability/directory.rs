//! `directory`: the index of providers.

use std::sync::Arc;

use sigillo_trust::{Directory, Provider};
use wasmtime::component::Resource;

use super::{Refusal, granted};
use crate::step::StepState;
use crate::world::mail::directory::{Host, HostProvider};

/// An entry, by its place in the index that was current when it was found: an entry may manage a hundred thousand
/// domains and is not copied.
pub struct ProviderHandle {
    directory: Arc<Directory>,
    place: usize,
}

type This = Resource<ProviderHandle>;

impl Host for StepState {
    fn is_certified(&mut self, domain: String) -> Result<bool, Refusal> {
        Ok(self.index()?.is_certified(&domain))
    }

    fn find_by_domain(&mut self, domain: String) -> Result<Option<This>, Refusal> {
        let index = self.index()?;
        let found = index.find_by_domain(&domain);
        self.entry(&index, found)
    }

    fn find_by_certificate(&mut self, certificate: Vec<u8>) -> Result<Option<This>, Refusal> {
        let index = self.index()?;
        self.writes(certificate.len() as u64)?;
        let found = index.find_by_certificate(&certificate);
        self.entry(&index, found)
    }
}

impl HostProvider for StepState {
    fn name(&mut self, this: This) -> wasmtime::Result<String> {
        self.provider(&this).map(|provider| provider.name.clone())
    }

    fn mail_receipt(&mut self, this: This) -> wasmtime::Result<String> {
        self.provider(&this).map(|provider| provider.mail_receipt.clone())
    }

    fn manages(&mut self, this: This, domain: String) -> wasmtime::Result<bool> {
        self.provider(&this).map(|provider| provider.manages(&domain))
    }

    fn drop(&mut self, this: This) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl StepState {
    fn index(&mut self) -> Result<Arc<Directory>, Refusal> {
        self.call()?;
        granted(self.grants().directory)?;
        Ok(self.directory())
    }

    fn entry(&mut self, index: &Arc<Directory>, found: Option<&Provider>) -> Result<Option<This>, Refusal> {
        let Some(found) = found else { return Ok(None) };
        let Some(place) = index.providers().iter().position(|provider| std::ptr::eq(provider, found)) else {
            return Ok(None);
        };
        Ok(Some(self.table.push(ProviderHandle { directory: index.clone(), place })?))
    }

    fn provider(&mut self, this: &This) -> wasmtime::Result<&Provider> {
        self.call()?;
        let handle = self.table.get(this)?;
        handle.directory.providers().get(handle.place).ok_or_else(|| wasmtime::Error::msg("no such provider"))
    }
}
