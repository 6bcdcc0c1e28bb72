//! A watch over the clock (TIM-03): a wall clock that moves otherwise than the monotonic one was set, or the machine
//! slept. Evidence carries the time of the wall clock, so an operator must know.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sigillo_store::Millis;
use sigillo_store::commit::now;
use tokio::sync::watch;

use super::front_end::Happening;
use crate::server::Server;

/// How often the clocks are compared.
const EVERY: Duration = Duration::from_secs(5);
/// Between two comparisons the clocks may part by this much: a disciplined clock is slewed by half a millisecond a second.
const STEP: i64 = 1000;

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    wall: Millis,
    monotonic: Instant,
}

impl Reading {
    fn take() -> Reading {
        Reading { wall: now(), monotonic: Instant::now() }
    }

    /// How far the wall clock went beyond the monotonic one since `before`, in milliseconds, if that is too far.
    fn step_since(self, before: Reading) -> Option<i64> {
        let wall = self.wall as i64 - before.wall as i64;
        let passed = i64::try_from(self.monotonic.duration_since(before.monotonic).as_millis()).unwrap_or(i64::MAX);
        let step = wall.saturating_sub(passed);
        (step.abs() > STEP).then_some(step)
    }
}

impl Server {
    /// Compares the clocks until `shutdown`.
    pub(crate) async fn watch_clock(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let mut before = Reading::take();
        while !*shutdown.borrow() {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = shutdown.changed() => {}
            }
            let present = Reading::take();
            if let Some(step) = present.step_since(before) {
                tracing::error!(
                    milliseconds = step,
                    "the clock of this machine was set, or it slept: check its synchronisation"
                );
                self.metrics().clock_step();
                let result = format!("{step} ms");
                self.front_end().note(Happening {
                    kind: "clock-step",
                    component: "core",
                    result: &result,
                    ..Happening::default()
                });
            }
            before = present;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack S9: an hour forward and back, and time that only passes.
    #[test]
    fn a_clock_that_was_set_is_noticed() {
        let before = Reading { wall: 1_800_000_000_000, monotonic: Instant::now() };
        let after =
            |wall: Millis, seconds| Reading { wall, monotonic: before.monotonic + Duration::from_secs(seconds) };
        assert_eq!(after(1_800_000_005_000, 5).step_since(before), None);
        assert_eq!(after(1_800_000_005_900, 5).step_since(before), None);
        assert_eq!(after(1_800_003_605_000, 5).step_since(before), Some(3_600_000));
        assert_eq!(after(1_799_996_405_000, 5).step_since(before), Some(-3_600_000));
        assert_eq!(after(0, 5).step_since(before), Some(-1_800_000_005_000));
    }
}
