//! The content behind DATA ([RFC 5321 §4.1.1.4]): handed on piece by piece, or swallowed to its true end and refused.

use bytes::{Buf, BytesMut};

use super::session::{Event, Session, State};
use crate::data::ContentFault;
use crate::limits::DATA_PROGRESS_MIN;
use crate::reply::Reply;

impl Session {
    /// Takes what content there is.
    pub(super) fn content(&mut self) -> Option<Event> {
        let State::Content { receiver, failure, abandoned, ended } = &mut self.state else { return None };
        let refused = failure.is_some() || receiver.fault().is_some();
        if refused && !*abandoned {
            *abandoned = true;
            return Some(Event::Abandon);
        }
        if *ended {
            return self.content_ended();
        }
        // An over-long message is read to its end so that the client sees the reply, but not for ever.
        if receiver.wire_octets() / 2 > self.options.limits.message_size + DATA_PROGRESS_MIN {
            self.close(&Reply::TOO_BIG);
            return Some(Event::Close);
        }
        if self.input.bytes.is_empty() {
            return Some(Event::Receive);
        }
        let before = receiver.wire_octets() / DATA_PROGRESS_MIN;
        let mut content = BytesMut::with_capacity(self.input.bytes.len());
        match receiver.push(&self.input.bytes, &mut content) {
            Some(taken) => {
                *ended = true;
                self.input.bytes.advance(taken);
            }
            None => self.input.bytes.clear(),
        }
        self.progress += receiver.wire_octets() / DATA_PROGRESS_MIN - before;
        (!refused && !content.is_empty()).then(|| Event::Content(content.freeze()))
    }

    fn content_ended(&mut self) -> Option<Event> {
        let State::Content { receiver, failure, .. } = std::mem::replace(&mut self.state, State::FinishAnswer) else {
            return None;
        };
        self.progress += 1;
        match (receiver.fault(), failure) {
            // Whoever sends this may be smuggling: nothing more is heard from them.
            (Some(ContentFault::BadBytes), _) => {
                self.transaction = None;
                self.close(&Reply::BAD_CONTENT);
                None
            }
            (Some(ContentFault::TooBig), _) => {
                self.transaction = None;
                self.become_and_say(State::Mail, &Reply::TOO_BIG);
                self.stop_if_idle();
                None
            }
            (None, Some(failure)) => {
                self.finished(Err(failure));
                None
            }
            (None, None) => Some(Event::Finish),
        }
    }
}
