//! `scan`: content shown to scanners that a guest names and never speaks to.

use std::sync::Arc;

use tokio::task::JoinHandle;
use wasmtime::component::Resource;

use super::{MessageHandle, Refusal, granted, invalid, limit};
use crate::check;
use crate::limits;
use crate::services::{Rating, ScanReport, ServiceError};
use crate::step::StepState;
use crate::world::mail::scan::{Host, HostReport, HostScan};
use crate::world::mail::types::Error;

/// Facts that a scanner may be told, as the contract says.
const FACT_NAMES: [&str; 6] = ["ip", "helo", "from", "rcpt", "user", "queue-id"];

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
        self.start_scan(scanner, view.rope.clone(), None, Vec::new())
    }

    fn start_with(
        &mut self,
        scanner: String,
        message: Resource<MessageHandle>,
        facts: Vec<(String, String)>,
    ) -> Result<Resource<ScanHandle>, Refusal> {
        self.call()?;
        check_facts(&facts)?;
        self.writes(facts.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum())?;
        let view = self.view(&message)?;
        self.start_scan(scanner, view.rope.clone(), None, facts)
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
        self.start_scan(scanner, body, Some(encoding), Vec::new())
    }
}

impl StepState {
    fn start_scan(
        &mut self,
        scanner: String,
        content: sigillo_mail::Rope,
        encoding: Option<String>,
        facts: Vec<(String, String)>,
    ) -> Result<Resource<ScanHandle>, Refusal> {
        granted(self.grants().allows_scanner(&scanner))?;
        // One is the step's own.
        if Arc::strong_count(&self.scans) > limits::SCANS_AT_ONCE_MAX {
            return Err(limit(format!("a step has at most {} scans under way", limits::SCANS_AT_ONCE_MAX)));
        }
        self.reads(content.len())?;
        let services = self.services();
        let task = tokio::spawn(async move {
            match facts.is_empty() {
                true => services.scan(&scanner, &content, encoding.as_deref()).await,
                false => services.scan_with(&scanner, &content, facts).await,
            }
        });
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
            "protocol" => Some(report.protocol.clone()).filter(|word| !word.is_empty()),
            name => report.rating.as_ref().and_then(|rating| rated(rating, name)),
        })
    }

    fn drop(&mut self, this: Resource<ReportHandle>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

fn rated(rating: &Rating, name: &str) -> Option<String> {
    match name {
        "score" => Some(decimal(rating.score)),
        "threshold" => Some(decimal(rating.threshold)),
        "action" => Some(rating.action.clone()),
        "symbols" => Some(rating.symbols.clone()),
        _ => None,
    }
}

/// Thousandths as a decimal number.
fn decimal(thousandths: i64) -> String {
    let sign = if thousandths < 0 { "-" } else { "" };
    let size = thousandths.unsigned_abs();
    format!("{sign}{}.{:03}", size / 1000, size % 1000)
}

/// They become fields of another protocol: one line each, under names that are known.
fn check_facts(facts: &[(String, String)]) -> Result<(), Refusal> {
    if facts.len() > limits::SCAN_FACTS_MAX {
        return Err(limit(format!("a scanner is told at most {} facts", limits::SCAN_FACTS_MAX)));
    }
    for (name, value) in facts {
        if !FACT_NAMES.contains(&name.as_str()) {
            return Err(invalid(format!("there is no fact '{}'", check::reason(name))));
        }
        if value.len() > limits::SCAN_FACT_MAX || value.chars().any(char::is_control) {
            return Err(invalid(format!("{name}: one line of at most {} octets", limits::SCAN_FACT_MAX)));
        }
    }
    Ok(())
}

/// A scanner that is granted and does not exist looks like one that is not granted.
fn no_such_scanner(error: ServiceError) -> Refusal {
    match error {
        ServiceError::NotFound => Refusal::Told(Error::Denied),
        error => error.into(),
    }
}
