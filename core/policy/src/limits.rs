//! What one step may cost. Every limit has a default, so that no step is without one.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Report;
use crate::yaml::{Map, Node};

/// Linear memory, octets. A guest in Rust needs under 4 MiB beside its data; language runtimes 20 to 50 MiB.
pub const MEMORY: u64 = 64 << 20;
/// Processor time. The envelope and receipts of 100 recipients take under 50 ms; this is ten times that.
pub const CPU: Duration = Duration::from_millis(500);
/// Time by the clock, waiting for the host included. A sender waits 10 minutes for the reply to DATA
/// (RFC 5321 §4.5.3.2.6) and a chain has several steps.
pub const WALL: Duration = Duration::from_secs(10);
/// Calls of host functions. A step for 1,000 recipients makes about 10 per recipient.
pub const HOST_CALLS: u64 = 20_000;
/// Octets read from messages and content: twice the largest message, for a first look and a second.
pub const READ: u64 = 256 << 20;
/// Octets of its own that a step writes; what it takes over by reference costs nothing.
pub const WRITE: u64 = 16 << 20;

/// One page of WebAssembly up to what one slot of the host's pool has.
const MEMORY_RANGE: RangeInclusive<u64> = (64 << 10)..=(128 << 20);
const CPU_RANGE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
/// Half of the 10 minutes of RFC 5321 §4.5.3.2.6: the commit and the reply come after.
const WALL_RANGE: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(300);
const HOST_CALLS_RANGE: RangeInclusive<u64> = 1..=10_000_000;
const READ_RANGE: RangeInclusive<u64> = 0..=(4 << 30);
const WRITE_RANGE: RangeInclusive<u64> = 0..=(256 << 20);

/// Limits of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Linear memory, octets.
    pub memory: u64,
    /// Processor time.
    pub cpu: Duration,
    /// Time by the clock.
    pub wall: Duration,
    /// Calls of host functions.
    pub host_calls: u64,
    /// Octets read.
    pub read: u64,
    /// Octets written.
    pub write: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { memory: MEMORY, cpu: CPU, wall: WALL, host_calls: HOST_CALLS, read: READ, write: WRITE }
    }
}

impl Limits {
    pub(crate) fn read(node: &Node, report: &mut Report) -> Limits {
        let mut limits = Limits::default();
        let Some(mut map) = Map::of(node, "'limits'", report) else { return limits };
        let mut size = |key, limit: &mut u64, range, report: &mut Report| {
            if let Some(value) = map.get(key).and_then(|node| node.size(range, report)) {
                *limit = value;
            }
        };
        size("memory", &mut limits.memory, MEMORY_RANGE, report);
        size("read", &mut limits.read, READ_RANGE, report);
        size("write", &mut limits.write, WRITE_RANGE, report);
        if let Some(calls) = map.get("host-calls").and_then(|node| node.integer(HOST_CALLS_RANGE, report)) {
            limits.host_calls = calls;
        }
        let cpu = map.get("cpu");
        if let Some(time) = cpu.and_then(|node| node.duration(CPU_RANGE, report)) {
            limits.cpu = time;
        }
        if let Some(time) = map.get("wall").and_then(|node| node.duration(WALL_RANGE, report)) {
            limits.wall = time;
        }
        if limits.cpu > limits.wall {
            let at = cpu.map_or(map.position(), |node| node.position);
            let help = "processor time passes no faster than the clock: raise 'wall' or lower 'cpu'";
            report.warning(at, "W603", "'cpu' is above 'wall' and will never be reached", help);
        }
        map.finish(report);
        limits
    }
}
