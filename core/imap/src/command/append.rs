//! APPEND ([RFC 3501 §6.3.11]): the message goes to the backend piece by piece and is never held here.

use std::io;

use bytes::Bytes;
use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::extensions::binary::LiteralOrLiteral8;

use super::copy::try_create;
use super::folder_name;
use crate::backend::Appending;
use crate::flags::Flags;
use crate::frame::Announced;
use crate::limits::DISCARD_MAX;
use crate::output::Output;
use crate::refusal::Refusal;
use crate::session::{Literal, Next, Session};

/// An APPEND command up to its message.
pub(crate) struct Request {
    tag: String,
    folder: Result<String, Refusal>,
    flags: Result<Flags, Refusal>,
    /// Seconds since 1970, UTC.
    date: Option<i64>,
    length: u64,
}

impl Request {
    /// Reads `TAG APPEND folder [flags] [date] {length}`; none for any other command, and for an APPEND whose literal
    /// is the folder's name. The grammar is asked with an empty message in place of the one that is to come.
    pub fn parse(so_far: &[u8], length: u64) -> Option<Request> {
        let start = so_far.iter().rposition(|b| *b == b'{')?;
        let whole = [&so_far[..start], b"{0}\r\n\r\n"].concat();
        let (_, command) = CommandCodec::default().decode(&whole).ok()?;
        let CommandBody::Append { mailbox, flags, date, message } = command.body else { return None };
        let flags = match message {
            LiteralOrLiteral8::Literal(_) => Flags::from_command(&flags).map_err(|e| Refusal::bad(e.to_string())),
            // RFC 3516 §4.2: BINARY is not offered.
            LiteralOrLiteral8::Literal8(_) => Err(Refusal::no("[UNKNOWN-CTE] binary messages are not offered")),
        };
        Some(Request {
            tag: command.tag.inner().to_owned(),
            folder: folder_name(&mailbox),
            flags,
            date: date.map(|d| d.as_ref().timestamp()),
            length,
        })
    }
}

/// A message on its way in.
pub(crate) struct Incoming {
    pub tag: String,
    /// Octets still to come.
    pub left: u64,
    flags: Flags,
    date: Option<i64>,
    /// The refusal, once there is one: the rest of the message is then read and dropped.
    target: Result<Box<dyn Appending>, Refusal>,
}

impl Incoming {
    /// Takes the next octets.
    pub async fn write(&mut self, bytes: Bytes) {
        self.left -= (bytes.len() as u64).min(self.left);
        if let Ok(target) = &mut self.target
            && let Err(error) = target.write(bytes).await
        {
            self.target = Err(error.into());
        }
    }
}

impl Session {
    /// Decides about the message before it is sent: a client that waits is refused at once, the message of one that
    /// does not wait (RFC 7888) is read and dropped.
    pub(crate) async fn append(
        &mut self,
        request: Request,
        announced: Announced,
        out: &mut Output<'_>,
    ) -> io::Result<Literal> {
        let (tag, length, date) = (request.tag.clone(), request.length, request.date);
        let mut flags = Flags::default();
        let target = match self.begin_append(request, &mut flags).await {
            Ok(target) => Ok(target),
            Err(refusal) if announced.waits => {
                return match self.complete(&tag, Err(refusal), out)? {
                    Next::Close => Ok(Literal::Close),
                    _ => Ok(Literal::Refused),
                };
            }
            Err(_) if length > DISCARD_MAX => {
                return Ok(self.refuse_literal(tag.as_bytes(), announced, "NO [TOOBIG] message too large", out));
            }
            Err(refusal) => Err(refusal),
        };
        Ok(Literal::Stream(Box::new(Incoming { tag, left: length, flags, date, target })))
    }

    async fn begin_append(&mut self, request: Request, flags: &mut Flags) -> Result<Box<dyn Appending>, Refusal> {
        self.still_admitted().await?;
        let name = request.folder?;
        *flags = request.flags?;
        if request.length == 0 {
            return Err(Refusal::no("[CANNOT] an empty message is none"));
        }
        if request.length > self.setting.append_max {
            return Err(Refusal::no("[TOOBIG] message too large"));
        }
        self.backend.append(&self.account, &name, request.length).await.map_err(try_create)
    }

    /// The message is whole: `end` is what followed it on the line.
    pub(crate) async fn finish_append(
        &mut self,
        incoming: Incoming,
        end: &[u8],
        out: &mut Output<'_>,
    ) -> io::Result<Next> {
        let done = match incoming.target {
            Err(refusal) => Err(refusal),
            Ok(_) if end != b"\r\n" => Err(Refusal::bad("one message at a time")),
            Ok(target) => match target.commit(incoming.flags, incoming.date).await {
                Ok(placed) => {
                    let uid = placed.uids.first().map_or(0, |(_, uid)| *uid);
                    // RFC 4315 §3
                    Ok(format!("[APPENDUID {} {uid}] APPEND completed", placed.uid_validity).into())
                }
                Err(error) => Err(try_create(error)),
            },
        };
        let done = match (done, self.sync(true, out).await) {
            (done, Ok(())) => done,
            (_, Err(refusal)) => Err(refusal),
        };
        self.complete(&incoming.tag, done, out)
    }
}
