//! `registro`: the sealed files of the message log.

use wasmtime::component::Resource;

use super::{ContentHandle, Refusal, granted, invalid};
use crate::limits;
use crate::services::LogFile;
use crate::step::StepState;
use crate::world::mail::registro::{Host, LogFile as Told};

impl Host for StepState {
    async fn files(&mut self, after: Option<String>, limit: u32) -> Result<Vec<Told>, Refusal> {
        self.may_read_log(after.as_deref().unwrap_or_default())?;
        let files = self.services().log_files(after.as_deref(), limit.min(limits::LOG_FILES_MAX)).await?;
        self.reads(files.iter().map(|file| file.name.len() as u64 + 128).sum())?;
        Ok(files.into_iter().map(told).collect())
    }

    async fn open(&mut self, name: String) -> Result<Resource<ContentHandle>, Refusal> {
        self.may_read_log(&name)?;
        let rope = self.services().log_file(&name).await?;
        // It was read whole, to compare its digest.
        self.reads(rope.len())?;
        Ok(self.table.push(ContentHandle::of(rope))?)
    }

    async fn stamp(&mut self, name: String) -> Result<Vec<u8>, Refusal> {
        self.may_read_log(&name)?;
        let stamp = self.services().log_file_stamp(&name).await?;
        self.reads(stamp.len() as u64)?;
        Ok(stamp)
    }
}

impl StepState {
    fn may_read_log(&mut self, name: &str) -> Result<(), Refusal> {
        self.call()?;
        granted(self.grants().registro)?;
        if name.len() > limits::KEY_MAX { Err(invalid("no log file has so long a name")) } else { Ok(()) }
    }
}

fn told(file: LogFile) -> Told {
    Told {
        name: file.name,
        log: file.log.to_owned(),
        size: file.size,
        sha256: file.sha256.to_vec(),
        first: file.first,
        last: file.last,
        since: file.since,
        until: file.until,
        closed: file.closed,
        stamped: file.stamped,
    }
}
