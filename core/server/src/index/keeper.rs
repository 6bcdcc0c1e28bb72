//! The task that keeps the index of a running server up to date.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::copy::{Stamp, stamp};
use super::{Accept, own};
use crate::config::ConfigError;
use crate::server::Server;

/// How often the copy and a source that is a file are looked at: a command beside the server counts within this time.
const LOOK: Duration = Duration::from_secs(5);
/// First wait after a failure; it doubles with each one.
const RETRY_MIN: Duration = Duration::from_secs(60);
/// Longest wait after failures.
const RETRY_MAX: Duration = Duration::from_secs(3600);

/// Takes what the source has before anything else begins: where the source is a file of this machine, and where no
/// edition was ever taken. Without any edition the server does not start, since all certified mail would pass for
/// ordinary mail.
pub async fn begin(index: &Arc<super::Index>, store: &sigillo_store::Store) -> Result<(), ConfigError> {
    let Some(plan) = index.plan() else { return Ok(()) };
    if plan.file().is_none() && index.edition().is_some() {
        return Ok(()); // the keeper fetches as soon as the server runs
    }
    match index.fetch(store, Accept::default()).await {
        Ok(_) => Ok(()),
        Err(_) if index.edition().is_some() => Ok(()), // already in the log
        Err(problem) => Err(ConfigError(format!(
            "trust.index: there is no copy of the index of providers yet, and none can be had from {}: {problem}\n  \
             Mend the source, or give a file with: sigillo index import FILE",
            plan.name
        ))),
    }
}

/// Keeps the index up to date until `shutdown`.
pub async fn keep(server: Arc<Server>, mut shutdown: watch::Receiver<bool>) {
    let index = server.index().clone();
    let Some(plan) = index.plan() else { return };
    own::warn(&server).await;
    let file = plan.file().map(PathBuf::from);
    let look = || file.as_deref().and_then(stamp);
    let mut seen: Option<Stamp> = look();
    let mut failures = 0;
    // A file was taken at the start; anything else is asked now.
    let mut due = Instant::now() + if file.is_some() { plan.every } else { Duration::ZERO };
    while !*shutdown.borrow() {
        if index.reload() {
            tracing::info!("another edition of the index of providers was put in place beside the server");
            own::warn(&server).await;
        }
        let now_there = look();
        if Instant::now() >= due || now_there != seen {
            seen = now_there;
            let updated = index.fetch(server.store(), Accept::default()).await;
            server.metrics().index_fetch(updated.is_ok());
            failures = if updated.is_ok() { 0 } else { failures + 1 };
            due = Instant::now() + jittered(wait(plan.every, failures));
            if updated.is_ok_and(|update| update.changes.is_some()) {
                own::warn(&server).await;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = shutdown.changed() => {}
        }
    }
}

/// Time until the next fetch after this many failures in a row.
fn wait(every: Duration, failures: u32) -> Duration {
    match failures {
        0 => every,
        n => RETRY_MIN.saturating_mul(1 << (n - 1).min(10)).min(RETRY_MAX).min(every),
    }
}

/// Up to a tenth less, so that not all providers ask at one instant; never more, or the index would not be daily.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 - f64::from(rand::random::<u16>()) / f64::from(u16::MAX) / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_within_a_day() {
        let day = Duration::from_secs(86_400);
        let seconds: Vec<u64> = (0..9).map(|failures| wait(day, failures).as_secs()).collect();
        assert_eq!(seconds, [86_400, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(wait(Duration::from_secs(10), 5).as_secs(), 10);
        assert_eq!(wait(day, u32::MAX), RETRY_MAX);
        for _ in 0..100 {
            assert!((day.mul_f64(0.89)..=day).contains(&jittered(day)));
        }
    }
}
