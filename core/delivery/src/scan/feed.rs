//! The content on its way to a scanner: read and decoded in pieces, off the threads that serve sockets, and no faster
//! than the scanner takes it.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use sigillo_mail::Source;
use sigillo_mail::transfer::Decoder;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{ScanError, View};

/// Pieces that wait to be sent; each has at most 64 KiB.
const PIECES_AHEAD: usize = 2;

/// How base64 is read that goes on after its padding; of all other content there is one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// All of it.
    ToTheEnd,
    /// What stands before the padding.
    ToThePadding,
}

/// One thing that comes out.
#[derive(Debug)]
pub(super) enum Piece {
    /// The next octets; never none.
    Octets(Bytes),
    /// There are no more.
    End {
        /// The content has another reading than [`Reading::ToTheEnd`].
        goes_on: bool,
    },
}

/// Content that is being read.
pub(super) struct Feed {
    pieces: Receiver<Result<Piece, ScanError>>,
}

impl Feed {
    /// Begins to read. To drop the feed ends the reading.
    pub(super) fn open(view: &View, source: Arc<dyn Source>, reading: Reading, size_max: u64) -> Feed {
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        let view = view.clone();
        tokio::task::spawn_blocking(move || {
            let end = read(&view, &*source, reading, size_max, &sender);
            // Nobody waits for it if the scan is over.
            let _ = sender.blocking_send(end);
        });
        Feed { pieces }
    }

    /// The next piece. An end that is not announced is none: what was cut short must not pass for the whole.
    pub(super) async fn next(&mut self) -> Result<Piece, ScanError> {
        let cut = || Err(ScanError::Unreadable("the reader ended".into()));
        self.pieces.recv().await.unwrap_or_else(cut)
    }

    /// The same for what is polled.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, ScanError>> {
        let cut = || Err(ScanError::Unreadable("the reader ended".into()));
        self.pieces.poll_recv(cx).map(|piece| piece.unwrap_or_else(cut))
    }
}

fn read(
    view: &View,
    source: &dyn Source,
    reading: Reading,
    size_max: u64,
    sender: &Sender<Result<Piece, ScanError>>,
) -> Result<Piece, ScanError> {
    let encoding = view.encoding.as_deref().unwrap_or("binary");
    let mut decoder = match reading {
        Reading::ToTheEnd => Decoder::new(encoding),
        Reading::ToThePadding => Decoder::until_padding(encoding),
    };
    let plain = !Decoder::is_encoding(encoding);
    let (mut size, mut ended) = (0_u64, false);
    let mut give = |octets: Bytes| -> Result<bool, ScanError> {
        size += octets.len() as u64;
        if size > size_max {
            return Err(ScanError::TooLarge(format!("more than {size_max} octets")));
        }
        Ok(octets.is_empty() || sender.blocking_send(Ok(Piece::Octets(octets))).is_ok())
    };
    for chunk in view.rope.chunks(source) {
        let chunk = chunk.map_err(|error| ScanError::Unreadable(error.to_string()))?;
        let octets = if plain {
            chunk
        } else {
            let mut out = Vec::with_capacity(chunk.len());
            decoder.push(&chunk, &mut out);
            out.into()
        };
        if !give(octets)? {
            ended = true;
            break;
        }
    }
    let mut out = Vec::new();
    decoder.finish(&mut out);
    if !ended {
        give(out.into())?;
    }
    Ok(Piece::End { goes_on: reading == Reading::ToTheEnd && decoder.goes_on() })
}
