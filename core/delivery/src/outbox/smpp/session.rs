//! One session with a message centre: bound once, used by several submissions at a time, kept alive while it is used
//! (SMPP 3.4 §2.2, §2.7, §2.9).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use rusmpp_core::command::owned::Command;
use rusmpp_core::decode::owned::DecodeWithLength;
use rusmpp_core::encode::Length;
use rusmpp_core::encode::owned::Encode;
use rusmpp_core::pdus::owned::{DeliverSmResp, Pdu, SubmitSm};
use rusmpp_core::{CommandId, CommandStatus};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// Octets of one unit: a message of 64 KiB in a parameter, and what stands around it.
const UNIT_MAX: usize = 128 * 1024;
/// Octets before the body: length, id, status, number.
const HEADER: usize = 16;
/// A session without submissions ends after this.
const IDLE: Duration = Duration::from_secs(300);

/// A connection in both directions.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Reader = ReadHalf<Box<dyn Stream>>;
type Writer = tokio::sync::Mutex<WriteHalf<Box<dyn Stream>>>;

/// What the message centre answered to one unit.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    /// `command_status`.
    pub status: CommandStatus,
    /// Its name for the message.
    pub message_id: String,
}

/// Who waits for the answer to a number, and what that answer must be.
type Waiting = Mutex<HashMap<u32, (CommandId, oneshot::Sender<Answered>)>>;

/// A bound session. To drop it ends it.
pub(super) struct Session {
    shared: Arc<Shared>,
    reader: JoinHandle<()>,
}

struct Shared {
    writer: Writer,
    waiting: Waiting,
    sequence: AtomicU32,
    over: AtomicBool,
    used: Mutex<Instant>,
    time: Duration,
    enquire: Duration,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Session {
    /// Binds over a fresh connection. `time` bounds every answer; `enquire` is the silence after which the other side is
    /// asked whether it is there.
    pub(super) async fn bind(
        stream: Box<dyn Stream>,
        bind: impl Into<Pdu>,
        time: Duration,
        enquire: Duration,
    ) -> Result<Session, String> {
        let (reader, writer) = tokio::io::split(stream);
        let shared = Arc::new(Shared {
            writer: tokio::sync::Mutex::new(writer),
            waiting: Waiting::default(),
            sequence: AtomicU32::new(1),
            over: AtomicBool::new(false),
            used: Mutex::new(Instant::now()),
            time,
            enquire,
        });
        let reader = tokio::spawn(shared.clone().read(reader));
        let session = Session { shared, reader };
        let answer = session.ask(CommandId::BindTransceiverResp, bind).await?;
        match answer.status {
            CommandStatus::EsmeRok => Ok(session),
            status => Err(format!("refused to bind: {status:?} ({:#x})", u32::from(status))),
        }
    }

    /// Whether nothing can be submitted any more.
    pub(super) fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::Acquire) || self.reader.is_finished()
    }

    /// Submits a message.
    pub(super) async fn submit(&self, message: SubmitSm) -> Result<Answered, String> {
        self.ask(CommandId::SubmitSmResp, message).await
    }

    /// Sends a request and waits for its answer of this kind. No answer within the time ends the session: what comes
    /// after cannot be told from what was meant before.
    async fn ask(&self, kind: CommandId, pdu: impl Into<Pdu>) -> Result<Answered, String> {
        let shared = &self.shared;
        *shared.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let (answer, answered) = oneshot::channel();
        let number = shared.sequence.fetch_add(1, Ordering::Relaxed) & 0x7FFF_FFFF;
        shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, (kind, answer));
        if self.is_over() {
            return Err("the session is over".into());
        }
        let exchange = async {
            shared.write(Command::new(CommandStatus::EsmeRok, number, pdu)).await?;
            answered.await.map_err(|_| "the session ended without an answer".to_owned())
        };
        let ended = timeout(shared.time, exchange).await;
        shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        ended.unwrap_or_else(|_| {
            shared.end();
            Err(format!("no answer within {} s", shared.time.as_secs()))
        })
    }
}

impl Shared {
    fn end(&self) {
        self.over.store(true, Ordering::Release);
        // Whoever waits learns that nothing comes any more.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn write(&self, command: Command) -> Result<(), String> {
        let length = 4 + command.length();
        let mut octets = BytesMut::with_capacity(length);
        octets.put_u32(length as u32);
        command.encode(&mut octets);
        let mut writer = self.writer.lock().await;
        let written = async {
            writer.write_all(&octets).await?;
            writer.flush().await
        };
        written.await.map_err(|error: std::io::Error| {
            self.end();
            error.to_string()
        })
    }

    async fn read(self: Arc<Self>, mut reader: Reader) {
        let why = self.follow(&mut reader).await;
        tracing::debug!(why, "a session with a message centre ended");
        self.end();
    }

    /// Takes what comes until the session is over; returns why it is.
    async fn follow(&self, reader: &mut Reader) -> String {
        let mut octets = BytesMut::new();
        let (mut heard, mut asked) = (Instant::now(), false);
        loop {
            match self.take(&mut octets).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(why) => return why,
            }
            if self.over.load(Ordering::Acquire) {
                return "given up".into();
            }
            tokio::select! {
                read = reader.read_buf(&mut octets) => match read {
                    Ok(0) => return "closed by the other side".into(),
                    Ok(_) => (heard, asked) = (Instant::now(), false),
                    Err(error) => return error.to_string(),
                },
                () = sleep_until(heard + self.enquire) => {
                    if asked {
                        return "no answer to enquire_link".into();
                    }
                    if let Err(why) = self.keep_alive().await {
                        return why;
                    }
                    (heard, asked) = (Instant::now(), true);
                }
            }
        }
    }

    async fn keep_alive(&self) -> Result<(), String> {
        let number = self.sequence.fetch_add(1, Ordering::Relaxed) & 0x7FFF_FFFF;
        let idle = self.used.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        if idle >= IDLE {
            let written =
                timeout(self.time, self.write(Command::new(CommandStatus::EsmeRok, number, Pdu::Unbind))).await;
            return Err(format!("not used: {written:?}"));
        }
        let question = self.write(Command::new(CommandStatus::EsmeRok, number, Pdu::EnquireLink));
        timeout(self.time, question).await.unwrap_or_else(|_| Err("nothing can be sent".into()))
    }

    /// Takes one unit off what was read, if it is whole.
    async fn take(&self, octets: &mut BytesMut) -> Result<bool, String> {
        let Some(length) = octets.get(..4).map(|first| (&first[..]).get_u32() as usize) else { return Ok(false) };
        if !(HEADER..=UNIT_MAX).contains(&length) {
            return Err(format!("a unit of {length} octets"));
        }
        if octets.len() < length {
            octets.reserve(length - octets.len());
            return Ok(false);
        }
        let mut unit = octets.split_to(length);
        unit.advance(4);
        let mut header = &unit[..12];
        let (id, status, number) = (CommandId::from(header.get_u32()), header.get_u32(), header.get_u32());
        // A body that cannot be read matters only where something in it is wanted.
        let command = Command::decode(&mut unit, length - 4).ok().map(|(command, _)| command);
        self.answer(id, CommandStatus::from(status), number, command.as_ref().and_then(Command::pdu)).await
    }

    async fn answer(
        &self,
        id: CommandId,
        status: CommandStatus,
        number: u32,
        pdu: Option<&Pdu>,
    ) -> Result<bool, String> {
        let reply = |pdu: Pdu| self.write(Command::new(CommandStatus::EsmeRok, number, pdu));
        match id {
            CommandId::SubmitSmResp | CommandId::BindTransceiverResp | CommandId::GenericNack => {
                let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
                let message_id = match pdu {
                    Some(Pdu::SubmitSmResp(response)) => {
                        super::super::words(response.message_id().to_string().as_bytes())
                    }
                    _ => String::new(),
                };
                // Success without a message is none: §4.4.2 wants its id, and a nack is never a success.
                let status = match (id, status) {
                    (CommandId::GenericNack, CommandStatus::EsmeRok) => CommandStatus::EsmeRunknownerr,
                    (CommandId::SubmitSmResp, CommandStatus::EsmeRok) if pdu.is_none() => {
                        CommandStatus::EsmeRunknownerr
                    }
                    (_, status) => status,
                };
                match waiting {
                    // An answer to something else under the number of ours: nothing it says can be told from the rest.
                    Some((kind, _)) if kind != id && id != CommandId::GenericNack => {
                        return Err(format!("answered {kind:?} with {id:?}"));
                    }
                    // Nobody may wait any more.
                    Some((_, waiting)) => drop(waiting.send(Answered { status, message_id })),
                    None => {}
                }
            }
            CommandId::EnquireLink => reply(Pdu::EnquireLinkResp).await?,
            // What telephones and message centres send us: taken, so that it does not come again, and of no use here.
            CommandId::DeliverSm => reply(Pdu::DeliverSmResp(DeliverSmResp::default())).await?,
            CommandId::Unbind => {
                reply(Pdu::UnbindResp).await?;
                return Err("unbound by the other side".into());
            }
            CommandId::EnquireLinkResp | CommandId::UnbindResp | CommandId::AlertNotification => {}
            _ => {
                let nack = Command::new(CommandStatus::EsmeRinvcmdid, number, Pdu::GenericNack);
                self.write(nack).await?;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_unit_of_a_stranger_ends_more_than_its_session(
            id in prop_oneof![0..0x16_u32, (0..0x16_u32).prop_map(|id| id | 0x8000_0000), any::<u32>()],
            status in any::<u32>(),
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut unit = BytesMut::new();
            unit.put_u32(id);
            unit.put_u32(status);
            unit.put_u32(1);
            unit.put_slice(&body);
            let length = unit.len();
            // Whether it can be read does not matter, only that the reader comes back.
            let _ = Command::decode(&mut unit, length);
        }
    }
}
