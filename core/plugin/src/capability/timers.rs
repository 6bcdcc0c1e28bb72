//! `timers`: wake-ups.

use super::{Refusal, check_key, check_value, granted, limit};
use crate::changes::TimerOp;
use crate::limits;
use crate::step::StepState;
use crate::world::mail::timers::Host;

impl Host for StepState {
    fn set(&mut self, key: String, at: u64, payload: Vec<u8>) -> Result<(), Refusal> {
        self.writes((key.len() + payload.len()) as u64)?;
        check_value(&payload)?;
        self.record_timer(TimerOp::Set { key, at_ms: at, payload })
    }

    fn cancel(&mut self, key: String) -> Result<(), Refusal> {
        self.writes(key.len() as u64)?;
        self.record_timer(TimerOp::Cancel { key })
    }
}

impl StepState {
    fn record_timer(&mut self, op: TimerOp) -> Result<(), Refusal> {
        self.call()?;
        granted(self.grants().timers.is_some())?;
        let (TimerOp::Set { key, .. } | TimerOp::Cancel { key }) = &op;
        check_key(key)?;
        if self.recorded.timers.len() >= limits::WRITES_PER_STEP_MAX {
            return Err(limit(format!("a step changes at most {} wake-ups", limits::WRITES_PER_STEP_MAX)));
        }
        self.recorded.timers.push(op);
        Ok(())
    }
}
