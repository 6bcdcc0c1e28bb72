//! What a step costs, and the limits at which it ends.
//!
//! Processor time is that of the thread while the step is polled: the guest and the host's work for it, but not the
//! time in which other sessions have the processor, nor waiting. Time on the clock is cut from outside
//! (`tokio::time::timeout`), since a guest that waits in the host is not woken by an epoch.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cpu_time::ThreadTime;
use wasmtime::{ResourceLimiter, UpdateDeadline};

use crate::limits;

/// The limit at which a step ended. Traps the guest; the text is for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitHit {
    /// More processor time than the policy gives.
    #[error("used more than {0:?} of processor time (limit `cpu`)")]
    Cpu(Duration),
    /// More time on the clock.
    #[error("took more than {0:?} (limit `wall`)")]
    Wall(Duration),
    /// More linear memory.
    #[error("asked for more than {0} octets of memory (limit `memory`)")]
    Memory(u64),
    /// More calls into the host.
    #[error("called the host more than {0} times (limit `host-calls`)")]
    HostCalls(u64),
    /// More bytes read.
    #[error("read more than {0} octets (limit `read`)")]
    Read(u64),
    /// More bytes written.
    #[error("wrote more than {0} octets (limit `write`)")]
    Written(u64),
}

/// Processor time of one step, shared with the callback that interrupts it.
#[derive(Debug, Default)]
pub struct CpuClock {
    /// Nanoseconds of the polls that are over.
    spent: AtomicU64,
    /// The thread's processor time when the running poll began.
    since: AtomicU64,
}

impl CpuClock {
    /// Runs `step` and counts its polls.
    pub async fn measure<F: Future>(&self, step: F) -> F::Output {
        let mut step = pin!(step);
        poll_fn(|context| {
            self.since.store(thread_time(), Ordering::Relaxed);
            let poll = step.as_mut().poll(context);
            self.spent.fetch_add(self.running(), Ordering::Relaxed);
            poll
        })
        .await
    }

    fn running(&self) -> u64 {
        thread_time().saturating_sub(self.since.load(Ordering::Relaxed))
    }

    /// Time of the polls that are over.
    pub fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    /// What the guest is told at each tick that it spends in its own code: yield, or end.
    pub fn at_tick(&self, limit: Duration) -> wasmtime::Result<UpdateDeadline> {
        if self.spent() + Duration::from_nanos(self.running()) > limit {
            return Err(wasmtime::Error::new(LimitHit::Cpu(limit)));
        }
        // Tokio's own yield lets the sockets be looked at too; waking the task at once would put it before them for
        // sixty turns.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    }
}

fn thread_time() -> u64 {
    ThreadTime::now().as_duration().as_nanos() as u64
}

/// Calls and bytes of one step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Calls into the host.
    pub host_calls: u64,
    /// Octets given to the guest, or worked on for it.
    pub bytes_read: u64,
    /// Octets taken from the guest.
    pub bytes_written: u64,
}

/// What [`Tally`] may reach.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Calls into the host.
    pub host_calls: u64,
    /// Octets.
    pub read: u64,
    /// Octets.
    pub written: u64,
}

impl Tally {
    /// Counts a call.
    pub fn call(&mut self, budget: &Budget) -> Result<(), LimitHit> {
        self.host_calls += 1;
        if self.host_calls > budget.host_calls { Err(LimitHit::HostCalls(budget.host_calls)) } else { Ok(()) }
    }

    /// Counts octets on their way to the guest, before they are read.
    pub fn reads(&mut self, octets: u64, budget: &Budget) -> Result<(), LimitHit> {
        self.bytes_read = self.bytes_read.saturating_add(octets);
        if self.bytes_read > budget.read { Err(LimitHit::Read(budget.read)) } else { Ok(()) }
    }

    /// Counts octets that came from the guest.
    pub fn writes(&mut self, octets: u64, budget: &Budget) -> Result<(), LimitHit> {
        self.bytes_written = self.bytes_written.saturating_add(octets);
        if self.bytes_written > budget.written { Err(LimitHit::Written(budget.written)) } else { Ok(()) }
    }
}

/// Linear memory and tables of one step.
#[derive(Debug)]
pub struct MemoryLimit {
    limit: usize,
    held: usize,
    /// Whether the guest asked for more than it may have: what it does then (mostly trap) is this limit's doing.
    pub refused: bool,
}

impl MemoryLimit {
    /// Of at most so many octets.
    pub fn new(limit: u64) -> MemoryLimit {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(limits::MEMORY_MAX);
        MemoryLimit { limit, held: 0, refused: false }
    }

    /// Octets held. Memory never shrinks, so this is the peak too.
    pub fn peak(&self) -> u64 {
        self.held as u64
    }

    /// The limit, as it is told to the operator.
    pub fn hit(&self) -> LimitHit {
        LimitHit::Memory(self.limit as u64)
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let held = self.held.saturating_add(desired.saturating_sub(current));
        self.refused |= held > self.limit;
        if held > self.limit {
            return Ok(false);
        }
        self.held = held;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= limits::TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        limits::INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        limits::INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        limits::INSTANCES_MAX
    }
}

/// The clock of a step, to be shared with its store.
pub fn cpu_clock() -> Arc<CpuClock> {
    Arc::default()
}
