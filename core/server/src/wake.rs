//! Wake-ups that plugins asked for: due timer → plugin → commit. Those of the server itself are of extended contracts.

use sigillo_plugin::Outcome;
use sigillo_store::plugins::Timer;
use sigillo_store::{SERVER, StoreError};

use crate::apply;
use crate::passage::CONFLICTS_MAX;
use crate::renewal;
use crate::server::Server;

impl Server {
    /// Runs one timer; it leaves in the commit of what it did, or comes again later.
    pub(crate) async fn wake(&self, timer: Timer) {
        if let Err(error) = self.try_wake(&timer).await {
            tracing::error!(plugin = timer.plugin, key = timer.key, %error, "a wake-up failed");
        }
    }

    async fn try_wake(&self, timer: &Timer) -> Result<(), StoreError> {
        // The instant is a part of the id: a timer that was moved and fires again makes new ids.
        let passage = format!("timer.{}.{:x}.{}", timer.plugin, timer.at, timer.key);
        let life = self.schedule().expire;
        if timer.plugin == SERVER {
            let (timer, hostname) = (timer.clone(), self.hostname().to_owned());
            return match self.store().write(move |tx| renewal::tell(tx, &timer, &hostname)).await {
                Err(StoreError::Conflict(_)) => Ok(()), // moved meanwhile: it comes again
                ended => ended,
            };
        }
        for _ in 0..=CONFLICTS_MAX {
            let run = self.engine().run_timer(&timer.plugin, &timer.key, timer.payload.clone(), &passage).await;
            let (timer, passage) = (timer.clone(), passage.clone());
            let done = match &run.outcome {
                Outcome::Continue | Outcome::Accept | Outcome::Discard(_) => {
                    let commit = move |tx: &mut sigillo_store::Tx<'_>| {
                        tx.finish_timer(&timer)?;
                        apply::apply(tx, &run, &passage, life)
                    };
                    self.store().write(commit).await
                }
                other => {
                    tracing::warn!(
                        plugin = timer.plugin,
                        key = timer.key,
                        outcome = other.word(),
                        "a wake-up did not end well; it comes again"
                    );
                    let at =
                        sigillo_store::commit::now() + self.schedule().wait(timer.attempts + 1, 0).as_millis() as u64;
                    let commit = move |tx: &mut sigillo_store::Tx<'_>| {
                        apply::record(tx, &run, &passage)?;
                        tx.postpone_timer(&timer, at)
                    };
                    self.store().write(commit).await
                }
            };
            match done {
                Err(StoreError::Conflict(_)) => {} // read something that changed, or was moved meanwhile: look again
                ended => return ended,
            }
        }
        Ok(())
    }
}
