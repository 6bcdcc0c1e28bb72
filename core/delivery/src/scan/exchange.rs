//! What the protocols have in common: a content goes out in frames while an answer may come in at any moment.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::feed::{Feed, Piece};
use super::{Connection, ScanError};

/// Octets of an answer; the longest in use are the header sections of ICAP.
const ANSWER_MAX: usize = 16 * 1024;

/// How a protocol frames a content.
pub(super) struct Framing {
    /// Before all.
    pub head: Vec<u8>,
    /// Octets of the content, where the head tells them: then the scanner may answer as soon as it has them, which may be
    /// before we know that there are no more.
    pub promised: Option<u64>,
    /// Before a piece of so many octets.
    pub before: fn(usize) -> Vec<u8>,
    /// After a piece.
    pub after: &'static [u8],
    /// After all.
    pub tail: &'static [u8],
    /// Whether these octets hold all of the answer; if never, it ends with the connection.
    pub whole: fn(&[u8]) -> bool,
}

/// What the scanner said.
pub(super) struct Answer {
    /// Its octets, at least one; not known to be whole.
    pub octets: Vec<u8>,
    /// It began before the content had ended.
    pub early: bool,
    /// See [`Piece::End`].
    pub goes_on: bool,
}

/// Sends the content and reads the answer.
pub(super) async fn exchange(stream: Box<dyn Connection>, framing: &Framing, feed: Feed) -> Result<Answer, ScanError> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut octets = vec![0; ANSWER_MAX];
    let out = AtomicU64::new(0);
    let sent = {
        let mut sending = pin!(send_content(&mut writer, framing, feed, &out));
        // The answer first: until the content has ended there must be none.
        tokio::select! {
            biased;
            read = reader.read(&mut octets) => Err(Stopped::Answered(read.unwrap_or_default())),
            sent = &mut sending => sent,
        }
    };
    let sent = match sent {
        Ok(goes_on) => tokio::select! {
            biased;
            read = reader.read(&mut octets) => Err(Stopped::Answered(read.unwrap_or_default())),
            ended = end_content(&mut writer, framing) => ended.map(|()| goes_on),
        },
        stopped => stopped,
    };
    let (seen, early, goes_on) = match sent {
        Ok(goes_on) => (0, false, goes_on),
        Err(Stopped::Own(error)) => return Err(error),
        Err(Stopped::Answered(0)) => return Err(ScanError::Ended),
        Err(Stopped::Answered(seen)) => (seen, framing.promised != Some(out.load(Ordering::Relaxed)), false),
        // It does not take more; it may have said why.
        Err(Stopped::Lost) => (0, true, false),
    };
    octets.truncate(seen);
    read_answer(&mut reader, &mut writer, &mut octets, framing.whole).await?;
    Ok(Answer { octets, early, goes_on })
}

/// Why the content was not sent to its end.
enum Stopped {
    /// There was an answer of so many octets.
    Answered(usize),
    /// The connection takes no more.
    Lost,
    /// Not the scanner's doing.
    Own(ScanError),
}

impl From<std::io::Error> for Stopped {
    fn from(_: std::io::Error) -> Stopped {
        Stopped::Lost
    }
}

async fn send_content(
    writer: &mut WriteHalf<Box<dyn Connection>>,
    framing: &Framing,
    mut feed: Feed,
    out: &AtomicU64,
) -> Result<bool, Stopped> {
    writer.write_all(&framing.head).await?;
    loop {
        match feed.next().await.map_err(Stopped::Own)? {
            Piece::Octets(octets) => {
                writer.write_all(&(framing.before)(octets.len())).await?;
                writer.write_all(&octets).await?;
                out.fetch_add(octets.len() as u64, Ordering::Relaxed);
                writer.write_all(framing.after).await?;
            }
            Piece::End { goes_on } => return Ok(goes_on),
        }
    }
}

/// A few octets: either the connection takes them at once, or the scanner has not read what is before them and cannot
/// have an answer.
async fn end_content(writer: &mut WriteHalf<Box<dyn Connection>>, framing: &Framing) -> Result<(), Stopped> {
    writer.write_all(framing.tail).await?;
    Ok(writer.flush().await?)
}

/// Reads until the answer is whole or the connection ends; what was read is judged by its protocol.
async fn read_answer(
    reader: &mut ReadHalf<Box<dyn Connection>>,
    writer: &mut WriteHalf<Box<dyn Connection>>,
    octets: &mut Vec<u8>,
    whole: fn(&[u8]) -> bool,
) -> Result<(), ScanError> {
    let mut closed = false;
    while !whole(octets) {
        if octets.len() >= ANSWER_MAX {
            return Err(ScanError::Garbage(format!("more than {ANSWER_MAX} octets")));
        }
        if !octets.is_empty() && !closed {
            closed = true;
            // It gets no more, so there is nothing for which it would have to wait before it ends.
            let _ = writer.shutdown().await;
        }
        let mut piece = [0; 1024];
        match reader.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(count) => octets.extend_from_slice(&piece[..count]),
        }
    }
    if octets.is_empty() { Err(ScanError::Ended) } else { Ok(()) }
}
