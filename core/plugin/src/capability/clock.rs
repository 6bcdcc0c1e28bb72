//! `clock` and `ids`: the same answers whenever the same step runs anew.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Refusal, invalid};
use crate::step::StepState;
use crate::world::mail::types::Error;
use crate::world::mail::{clock, ids};

impl clock::Host for StepState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.call()?;
        Ok(self.now_ms())
    }

    fn utc_offset(&mut self, zone: String, at: u64) -> Result<i32, Refusal> {
        self.call()?;
        let zone = TimeZone::get(&zone).map_err(|_| Refusal::Told(Error::NotFound))?;
        let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        let at = at.ok_or_else(|| invalid("the instant is after the year 9999"))?;
        Ok(zone.to_offset(at).seconds())
    }
}

impl ids::Host for StepState {
    fn next(&mut self) -> wasmtime::Result<String> {
        self.call()?;
        self.ids += 1;
        Ok(self.derived_id("id", &self.ids.to_string()))
    }
}
