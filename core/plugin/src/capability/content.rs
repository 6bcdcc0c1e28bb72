//! `content`: new content, made of a guest's bytes and of ranges that never pass through it.

use bytes::BytesMut;
use sigillo_mail::Rope;
use sigillo_policy::Stage;
use wasmtime::component::Resource;

use super::message::within;
use super::{MessageHandle, Refusal, invalid, limit, off_thread};
use crate::limits;
use crate::step::StepState;
use crate::world::mail::content::{Host, HostContent};

/// Content under construction. Small pieces are gathered, so that a guest that appends octet by octet does not make
/// a rope of octets.
#[derive(Debug, Default)]
pub struct ContentHandle {
    rope: Rope,
    gathered: BytesMut,
    /// Whether it has bytes that did not come through the door, which lets no bare CR or LF in: of a target, of a log
    /// file, or of what a user put into a folder.
    foreign: bool,
}

impl ContentHandle {
    /// What the host brings from elsewhere.
    pub fn of(rope: Rope) -> ContentHandle {
        ContentHandle { rope, gathered: BytesMut::new(), foreign: true }
    }

    /// Octets so far.
    pub fn length(&self) -> u64 {
        self.rope.len() + self.gathered.len() as u64
    }

    /// Everything so far.
    pub fn rope(&mut self) -> &Rope {
        if !self.gathered.is_empty() {
            self.rope.push_bytes(self.gathered.split().freeze());
        }
        &self.rope
    }

    /// Everything so far, for what goes out as a message: only its seams are looked at then, so what is between them must
    /// have come through the door (attack E7; RFC 5321 §2.3.8).
    fn mail(&mut self) -> Result<&Rope, Refusal> {
        if self.foreign {
            return Err(invalid(
                "bytes from a target, a log file or a folder go into a message only as octets that are read",
            ));
        }
        Ok(self.rope())
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.room(bytes.len() as u64, 0)?;
        self.gathered.extend_from_slice(bytes);
        Ok(())
    }

    fn push_rope(&mut self, rope: &Rope, foreign: bool) -> Result<(), Refusal> {
        self.room(rope.len(), rope.segments().len())?;
        self.foreign |= foreign;
        self.rope();
        self.rope.append(rope);
        Ok(())
    }

    fn room(&self, octets: u64, segments: usize) -> Result<(), Refusal> {
        if self.length().saturating_add(octets) > limits::CONTENT_MAX {
            return Err(limit(format!("content has at most {} octets", limits::CONTENT_MAX)));
        }
        if self.rope.segments().len() + segments >= limits::SEGMENTS_MAX {
            return Err(limit(format!("content has at most {} pieces", limits::SEGMENTS_MAX)));
        }
        Ok(())
    }
}

type This = Resource<ContentHandle>;

impl Host for StepState {}

impl HostContent for StepState {
    fn new(&mut self) -> wasmtime::Result<This> {
        self.call()?;
        Ok(self.table.push(ContentHandle::default())?)
    }

    fn append(&mut self, this: This, bytes: Vec<u8>) -> Result<(), Refusal> {
        self.call()?;
        self.writes(bytes.len() as u64)?;
        self.table.get_mut(&this)?.push_bytes(&bytes)
    }

    fn append_range(
        &mut self,
        this: This,
        source: Resource<MessageHandle>,
        offset: u64,
        length: u64,
    ) -> Result<(), Refusal> {
        self.call()?;
        let view = self.view(&source)?;
        within(offset, length, view.rope.len())?;
        let foreign = self.stage() == Some(Stage::Refiled);
        self.table.get_mut(&this)?.push_rope(&view.rope.slice(offset, length), foreign)
    }

    fn append_content(&mut self, this: This, source: This) -> Result<(), Refusal> {
        self.call()?;
        let (rope, foreign) = (self.content(&source)?, self.table.get(&source)?.foreign);
        self.table.get_mut(&this)?.push_rope(&rope, foreign)
    }

    fn length(&mut self, this: This) -> wasmtime::Result<u64> {
        self.call()?;
        Ok(self.table.get(&this)?.length())
    }

    fn read(&mut self, this: This, offset: u64, max: u32) -> Result<Vec<u8>, Refusal> {
        self.call()?;
        let rope = self.content(&this)?;
        let max = u64::from(max.min(limits::READ_MAX)).min(rope.len().saturating_sub(offset));
        self.reads(max)?;
        Ok(rope.read(&*self.source(), offset, max as usize)?.to_vec())
    }

    async fn sha256(&mut self, this: This, offset: u64, length: u64) -> Result<Vec<u8>, Refusal> {
        self.call()?;
        let rope = self.content(&this)?;
        within(offset, length, rope.len())?;
        self.reads(length)?;
        let (range, source) = (rope.slice(offset, length), self.source());
        Ok(off_thread(length, move || range.sha256(&*source)).await??.to_vec())
    }

    fn drop(&mut self, this: This) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl StepState {
    /// What the guest built so far. Later appends do not change it.
    pub(super) fn content(&mut self, this: &This) -> Result<Rope, Refusal> {
        Ok(self.table.get_mut(this)?.rope().clone())
    }

    /// The same for what goes out as a message.
    pub(super) fn mail_content(&mut self, this: &This) -> Result<Rope, Refusal> {
        Ok(self.table.get_mut(this)?.mail()?.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigillo_mail::rope::NoSource;

    #[test]
    fn pieces_stay_in_order_and_small_ones_become_one() {
        let mut content = ContentHandle::default();
        for byte in b"one " {
            content.push_bytes(&[*byte]).unwrap();
        }
        content.push_rope(&Rope::from_bytes("two "), false).unwrap();
        content.push_bytes(b"three").unwrap();
        assert_eq!(content.length(), 13);
        assert_eq!(&content.rope().to_bytes(&NoSource).unwrap()[..], b"one two three");
        assert_eq!(content.rope().segments().len(), 3);
    }

    /// Attack E7: a log file has bare LFs, and what a target gives may have anything.
    #[test]
    fn bytes_that_did_not_come_through_the_door_do_not_leave_as_mail() {
        let mut own = ContentHandle::default();
        own.push_bytes(b"Subject: x\r\n").unwrap();
        own.push_rope(&Rope::from_bytes("\r\nText\r\n"), false).unwrap();
        assert!(own.mail().is_ok());
        let mut brought = ContentHandle::of(Rope::from_bytes("\n.\nMAIL FROM:<a@b.example>\n"));
        assert!(brought.mail().is_err());
        let rope = brought.rope().clone();
        own.push_rope(&rope, brought.foreign).unwrap();
        own.push_bytes(b"\r\n").unwrap();
        assert!(own.mail().is_err(), "nor in a part of it");
        assert_eq!(own.rope().len(), own.length(), "to be kept or deposited it is content like any other");
    }

    #[test]
    fn content_doubled_by_itself_ends_at_a_limit() {
        let mut content = ContentHandle::default();
        content.push_rope(&Rope::from_bytes("x".repeat(1000)), false).unwrap();
        let doubled = (0..64).take_while(|_| {
            let rope = content.rope().clone();
            content.push_rope(&rope, false).is_ok()
        });
        assert!(doubled.count() < 20);
        assert!(content.rope().segments().len() <= limits::SEGMENTS_MAX);
    }
}
