//! When to try again, and when to give up ([RFC 5321 §4.5.4.1]).

use std::time::Duration;

/// Waits between attempts, and the end of all attempts.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Waits after the first, second, … failed attempt; the last one repeats. Never empty.
    pub waits: Vec<Duration>,
    /// From acceptance to giving up. PEC §2.2.2 wants the sender told within 24 hours, so that is the default; RFC
    /// 5321 §4.5.4.1 speaks of four to five days for ordinary mail.
    pub expire: Duration,
}

impl Default for Schedule {
    fn default() -> Schedule {
        let waits = [30, 60, 120, 300, 600, 900, 1800].map(Duration::from_secs).to_vec();
        Schedule { waits, expire: Duration::from_secs(24 * 3600) }
    }
}

impl Schedule {
    /// How long to wait after `attempts` failed ones. A tenth is added or taken by `salt`, so that what failed together
    /// does not come back together.
    pub fn wait(&self, attempts: u32, salt: u64) -> Duration {
        let index = (attempts.max(1) as usize - 1).min(self.waits.len().saturating_sub(1));
        let wait = self.waits.get(index).copied().unwrap_or(Duration::from_secs(60));
        let tenth = wait.as_millis() as u64 / 10;
        let shift = if tenth == 0 { 0 } else { salt % (2 * tenth) };
        wait - Duration::from_millis(tenth) + Duration::from_millis(shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_then_repeat_and_stay_within_a_tenth() {
        let schedule = Schedule::default();
        for (attempts, seconds) in [(1, 30), (2, 60), (7, 1800), (100, 1800)] {
            for salt in [0, 1, u64::MAX] {
                let wait = schedule.wait(attempts, salt).as_millis() as i64;
                assert!((wait - seconds * 1000).abs() <= seconds * 100, "{attempts} {salt} {wait}");
            }
        }
    }
}
