//! `scan`: content shown to scanners that a guest names and never speaks to.

use std::sync::Arc;

use tokio::task::JoinHandle;
use wasmtime::component::Resource;

use super::{MessageHandle, Refusal, granted, invalid, limit};
use crate::limits;
use crate::services::{ScanReport, ServiceError};
use crate::step::StepState;
use crate::world::mail::scan::{Host, HostReport, HostScan};
use crate::world::mail::types::Error;

/// A scan under way: it ends with the handle, whatever becomes of the guest.
pub struct ScanHandle {
    task: Option<JoinHandle<Result<ScanReport, ServiceError>>>,
    /// One of [`limits::SCANS_AT_ONCE_MAX`].
    place: Option<Arc<()>>,
}

impl Drop for ScanHandle {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// What a scanner said.
pub struct ReportHandle(pub ScanReport);

impl Host for StepState {
    fn known(&mut self, scanner: String) -> wasmtime::Result<bool> {
        self.call()?;
        Ok(self.grants().allows_scanner(&scanner))
    }

    fn start(&mut self, scanner: String, message: Resource<MessageHandle>) -> Result<Resource<ScanHandle>, Refusal> {
        self.call()?;
        let view = self.view(&message)?;
        self.start_scan(scanner, view.rope.clone(), None)
    }

    fn start_part(
        &mut self,
        scanner: String,
        message: Resource<MessageHandle>,
        part: u32,
        encoding: Option<String>,
    ) -> Result<Resource<ScanHandle>, Refusal> {
        self.call()?;
        let view = self.view(&message)?;
        let part = view.structure.parts.get(part as usize).ok_or(Refusal::Told(Error::NotFound))?;
        let body = view.rope.slice(part.body_offset, part.body_length);
        let encoding = encoding.unwrap_or_else(|| part.transfer_encoding.clone());
        self.start_scan(scanner, body, Some(encoding))
    }
}

impl StepState {
    fn start_scan(
        &mut self,
        scanner: String,
        content: sigillo_mail::Rope,
        encoding: Option<String>,
    ) -> Result<Resource<ScanHandle>, Refusal> {
        granted(self.grants().allows_scanner(&scanner))?;
        // One is the step's own.
        if Arc::strong_count(&self.scans) > limits::SCANS_AT_ONCE_MAX {
            return Err(limit(format!("a step has at most {} scans under way", limits::SCANS_AT_ONCE_MAX)));
        }
        self.reads(content.len())?;
        let services = self.services();
        let task = tokio::spawn(async move { services.scan(&scanner, &content, encoding.as_deref()).await });
        let scan = ScanHandle { task: Some(task), place: Some(self.scans.clone()) };
        Ok(self.table.push(scan)?)
    }
}

impl HostScan for StepState {
    async fn wait(&mut self, this: Resource<ScanHandle>) -> Result<Resource<ReportHandle>, Refusal> {
        self.call()?;
        // The handle keeps the task while it is waited for: a step that is cut off meanwhile ends the scan.
        let scan = self.table.get_mut(&this)?;
        let Some(task) = scan.task.as_mut() else { return Err(invalid("this scan was waited for already")) };
        let ended = task.await;
        (scan.task, scan.place) = (None, None);
        let report = ended.map_err(|error| Refusal::Told(Error::Unavailable(error.to_string())))?;
        let report = report.map_err(no_such_scanner)?;
        Ok(self.table.push(ReportHandle(report))?)
    }

    fn drop(&mut self, this: Resource<ScanHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl HostReport for StepState {
    fn verdict(&mut self, this: Resource<ReportHandle>) -> wasmtime::Result<String> {
        self.call()?;
        let found = self.table.get(&this)?.0.threat.is_some();
        Ok(if found { "found" } else { "clean" }.to_owned())
    }

    fn threat(&mut self, this: Resource<ReportHandle>) -> wasmtime::Result<Option<String>> {
        self.call()?;
        Ok(self.table.get(&this)?.0.threat.clone())
    }

    fn property(&mut self, this: Resource<ReportHandle>, name: String) -> wasmtime::Result<Option<String>> {
        self.call()?;
        let report = &self.table.get(&this)?.0;
        Ok(match name.as_str() {
            "scanner" => Some(report.scanner.clone()),
            "version" => report.version.clone(),
            "signatures" => report.signatures.clone(),
            _ => None,
        })
    }

    fn drop(&mut self, this: Resource<ReportHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

/// A scanner that is granted and does not exist looks like one that is not granted.
fn no_such_scanner(error: ServiceError) -> Refusal {
    match error {
        ServiceError::NotFound => Refusal::Told(Error::Denied),
        error => error.into(),
    }
}
