//! `state`: the plugin's own keys. Writes are recorded and seen by the step itself; reads are recorded with the
//! version seen, so that the commit can tell whether the step decided on what still holds.

use std::collections::BTreeSet;

use super::{Refusal, check_key, check_value, granted, limit};
use crate::changes::StateWrite;
use crate::limits;
use crate::step::StepState;
use crate::world::mail::state::Host;

impl Host for StepState {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, Refusal> {
        self.may_use_state()?;
        check_key(&key)?;
        if let Some(own) = self.recorded.state_writes.get(&key) {
            let value = own.value.clone();
            self.reads(value.as_ref().map_or(0, |value| value.len() as u64))?;
            return Ok(value);
        }
        if self.recorded.state_reads.len() >= limits::STATE_READS_PER_STEP_MAX {
            return Err(limit(format!("a step reads at most {} keys", limits::STATE_READS_PER_STEP_MAX)));
        }
        let (services, plugin) = (self.services(), self.plugin_name());
        let found = services.state_get(&plugin, &key).await?;
        // The first version that was seen is the one on which the step builds.
        let version = found.as_ref().map_or(0, |(_, version)| *version);
        self.recorded.state_reads.entry(key).or_insert(version);
        self.reads(found.as_ref().map_or(0, |(value, _)| value.len() as u64))?;
        Ok(found.map(|(value, _)| value))
    }

    fn set(&mut self, key: String, value: Vec<u8>, keep_days: u32) -> Result<(), Refusal> {
        self.may_use_state()?;
        self.writes((key.len() + value.len()) as u64)?;
        check_value(&value)?;
        self.write(StateWrite { key, value: Some(value), keep_days })
    }

    fn delete(&mut self, key: String) -> Result<(), Refusal> {
        self.may_use_state()?;
        self.writes(key.len() as u64)?;
        self.write(StateWrite { key, value: None, keep_days: 0 })
    }

    async fn scan(&mut self, prefix: String, after: Option<String>, limit: u32) -> Result<Vec<String>, Refusal> {
        self.may_use_state()?;
        let limit = limit.min(limits::SCAN_MAX);
        // Own deletions take keys away from the page that the server gives.
        let asked = limit + self.recorded.state_writes.len() as u32;
        let (services, plugin) = (self.services(), self.plugin_name());
        let stored = services.state_scan(&plugin, &prefix, after.as_deref(), asked).await?;
        let cut_off = (stored.len() as u32 >= asked).then(|| stored.last().cloned()).flatten();
        let mut keys: BTreeSet<String> = stored.into_iter().collect();
        for (key, own) in &self.recorded.state_writes {
            let in_page = key.starts_with(&prefix)
                && after.as_ref().is_none_or(|after| key > after)
                && cut_off.as_ref().is_none_or(|last| key <= last);
            match own.value {
                Some(_) if in_page => drop(keys.insert(key.clone())),
                _ => drop(keys.remove(key)),
            }
        }
        let keys: Vec<String> = keys.into_iter().take(limit as usize).collect();
        self.reads(keys.iter().map(|key| key.len() as u64).sum())?;
        Ok(keys)
    }
}

impl StepState {
    fn may_use_state(&mut self) -> Result<(), Refusal> {
        self.call()?;
        granted(self.grants().state)
    }

    fn write(&mut self, write: StateWrite) -> Result<(), Refusal> {
        check_key(&write.key)?;
        let writes = &mut self.recorded.state_writes;
        if writes.len() >= limits::WRITES_PER_STEP_MAX && !writes.contains_key(&write.key) {
            return Err(limit(format!("a step writes at most {} keys", limits::WRITES_PER_STEP_MAX)));
        }
        writes.insert(write.key.clone(), write);
        Ok(())
    }
}
