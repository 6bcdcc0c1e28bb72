//! Content that a step asks for and that no message is made of yet: a log file, what lies at a target.
//!
//! Small content stays in memory; large content lies in a segment file of its own. If a commit comes to name it, it is
//! kept like any other; otherwise it is given back once it is older than any step can be, and at the latest at the next
//! start, as all that nothing names.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sigillo_mail::{Rope, Segment};
use sigillo_store::{Spool, Store};

/// How long content that nothing names is kept: longer than a step and the sending of its answer take.
const LIFE: Duration = Duration::from_secs(3600);

/// The content of one server.
pub struct Scratch {
    store: Store,
    files: Mutex<Vec<(Instant, u64)>>,
}

impl Scratch {
    /// None yet.
    pub fn new(store: Store) -> Scratch {
        Scratch { store, files: Mutex::default() }
    }

    /// A place for content that arrives piece by piece; what is past its time is given back first.
    pub async fn begin(&self) -> Spool {
        let old = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            let (old, young) = files.drain(..).partition(|(made, _)| made.elapsed() > LIFE);
            *files = young;
            let old: Vec<(Instant, u64)> = old;
            old
        };
        if !old.is_empty() {
            let given = self.store.write(move |tx| old.iter().try_for_each(|(_, file)| tx.give_back_unnamed(*file)));
            if let Err(error) = given.await {
                tracing::warn!(%error, "files that nothing names are left until the next start");
            }
        }
        self.store.spool()
    }

    /// The content as a rope. Blocks for a sync if it is large.
    pub fn finish(&self, spool: Spool) -> io::Result<Rope> {
        let rope = spool.finish()?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.extend(rope.segments().iter().filter_map(|segment| match segment {
            Segment::Range(range) => Some((Instant::now(), range.file)),
            Segment::Literal(_) => None,
        }));
        Ok(rope)
    }
}
