//! Content on its way to a target: read from the store piece by piece while the target takes it, so that a package of
//! hundreds of megabytes needs no memory of its own.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use sigillo_mail::{Rope, Source};
use tokio::sync::mpsc::{self, Receiver};

/// Pieces that wait to be sent; each has at most 64 KiB.
const PIECES_AHEAD: usize = 4;

/// When something last went on: what makes no progress is given up, however large the content is.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Mutex<Instant>>);

impl Default for Progress {
    fn default() -> Progress {
        Progress(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Progress {
    /// Something went on.
    pub fn touch(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Waits for work for as long as it makes progress; none if it made none for `limit`.
    pub async fn watch<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        self.touch();
        loop {
            let left = limit.saturating_sub(self.idle());
            if left.is_zero() {
                return None;
            }
            tokio::select! {
                done = &mut work => return Some(done),
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}

/// Content that is being read. To drop it ends the reading.
pub struct Upload {
    pieces: Receiver<io::Result<Bytes>>,
    left: u64,
    /// Every octet was taken.
    whole: Arc<AtomicBool>,
    progress: Option<Progress>,
}

impl Upload {
    /// Begins to read.
    pub fn open(content: Rope, source: Arc<dyn Source>) -> Upload {
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        let left = content.len();
        tokio::task::spawn_blocking(move || {
            for chunk in content.chunks(&*source) {
                let broken = chunk.is_err();
                // Nobody takes it any more, or it cannot be read: either way this is the end.
                if sender.blocking_send(chunk).is_err() || broken {
                    return;
                }
            }
        });
        Upload { pieces, left, whole: Arc::new(AtomicBool::new(left == 0)), progress: None }
    }

    /// Tells, also when the content is elsewhere, whether every octet of it was taken.
    pub fn whole(&self) -> Arc<AtomicBool> {
        self.whole.clone()
    }

    /// Every piece that is taken counts as progress.
    pub fn watched(mut self, progress: &Progress) -> Upload {
        self.progress = Some(progress.clone());
        self
    }

    /// Octets that are still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next piece; none at the end. An end that came too early is an error: what was cut short must not pass for
    /// the whole.
    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let piece = std::task::ready!(self.pieces.poll_recv(context));
        if let Some(progress) = &self.progress {
            progress.touch();
        }
        Poll::Ready(match piece {
            Some(Ok(octets)) => {
                self.left = self.left.saturating_sub(octets.len() as u64);
                self.whole.store(self.left == 0, Ordering::SeqCst);
                Some(Ok(octets))
            }
            Some(Err(error)) => Some(Err(error)),
            None if self.left > 0 => {
                self.left = 0;
                Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the content ended before its end")))
            }
            None => None,
        })
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.poll_next(context).map(|piece| piece.map(|octets| octets.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}
