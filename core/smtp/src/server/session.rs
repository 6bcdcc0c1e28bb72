//! One client's session, without input or output ([RFC 5321 §3], [§4.1.4]).
//!
//! The driver puts what it read into [`Session::input`], calls [`Session::proceed`] and does what the [`Event`] says, until
//! the event is [`Event::Receive`] (write [`Session::output`], then read) or [`Event::Close`].

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use sigillo_auth::{Exchange, SaslError, ServerSecret};
use sigillo_mail::{Failure, Mailbox, ReversePath};

use super::handler::Accepted;
use super::input::Input;
use crate::data::Receiver;
use crate::facts::{ListenerKind, SessionFacts, TlsFacts, Transaction};
use crate::limits::{ERRORS_MAX, IDLE_COMMANDS_MAX, Limits, REFUSED_RECIPIENTS_MAX};
use crate::reply::Reply;
use crate::syntax::MailParameters;

/// What a session is told of its listener.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who the listener is for.
    pub kind: ListenerKind,
    /// What we call ourselves.
    pub hostname: String,
    /// STARTTLS can be had.
    pub starttls: bool,
    /// The limits.
    pub limits: Limits,
    /// Makes the salts of unknown logins.
    pub secret: ServerSecret,
}

/// What the driver does next.
pub enum Event {
    /// Write the output, read more.
    Receive,
    /// Write the output, run a TLS handshake, then [`Session::tls_started`].
    StartTls,
    /// Look `login` up, run [`Exchange::credential`], give both back to [`Session::checked`].
    Check {
        /// The login.
        login: String,
        /// The authentication it belongs to.
        exchange: Exchange,
    },
    /// [`Session::answer`] whether this may be the sender.
    Mail(ReversePath, MailParameters),
    /// [`Session::answer`] whether this may be a recipient.
    Rcpt(Mailbox),
    /// Open a sink for the transaction, [`Session::answer`].
    Data,
    /// Give this to the sink; if it fails, [`Session::content_failed`].
    Content(Bytes),
    /// Drop the sink: the content is refused.
    Abandon,
    /// Finish the sink, [`Session::finished`].
    Finish,
    /// Write the output, close.
    Close,
}

/// What the session awaits.
pub(super) enum State {
    Hello,
    /// Or anything else that may come between transactions.
    Mail,
    /// Or DATA. The transaction is open.
    Rcpt,
    Authentication(Exchange),
    /// The driver has the exchange.
    Check,
    Tls,
    MailAnswer(ReversePath, MailParameters),
    RcptAnswer(Mailbox),
    DataAnswer,
    Content {
        receiver: Receiver,
        failure: Option<Failure>,
        abandoned: bool,
        ended: bool,
    },
    FinishAnswer,
    Closed,
}

/// One session.
pub struct Session {
    pub(super) options: Options,
    pub(super) facts: SessionFacts,
    pub(super) state: State,
    pub(super) input: Input,
    output: BytesMut,
    pub(super) transaction: Option<Transaction>,
    errors: u32,
    pub(super) auth_failures: u32,
    /// The login of the exchange at hand.
    pub(super) login: Option<String>,
    pub(super) authentication: Option<(String, Result<(), SaslError>)>,
    /// Why the login of the exchange at hand may not come in, should its password be right.
    pub(super) barred: Option<Failure>,
    refused_recipients: u32,
    idle_commands: u32,
    pub(super) transactions: u32,
    pub(super) progress: u64,
    stopping: bool,
}

impl Session {
    /// A session that has its greeting to write.
    pub fn new(options: Options, id: String, peer: SocketAddr, tls: Option<TlsFacts>) -> Session {
        let facts = SessionFacts {
            id,
            kind: options.kind,
            peer,
            hostname: options.hostname.clone(),
            hello: None,
            extended: false,
            tls,
            identity: None,
        };
        let mut session = Session {
            options,
            facts,
            state: State::Hello,
            input: Input::default(),
            output: BytesMut::new(),
            transaction: None,
            errors: 0,
            auth_failures: 0,
            login: None,
            authentication: None,
            barred: None,
            refused_recipients: 0,
            idle_commands: 0,
            transactions: 0,
            progress: 0,
            stopping: false,
        };
        session.say(&Reply::greeting(&session.facts.hostname.clone()));
        session
    }

    /// What is known of it.
    pub fn facts(&self) -> &SessionFacts {
        &self.facts
    }

    /// The open transaction.
    pub fn transaction(&self) -> Option<&Transaction> {
        self.transaction.as_ref()
    }

    /// Where the driver puts what it read.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input.bytes
    }

    /// What the driver writes.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Whether content is being received.
    pub fn in_content(&self) -> bool {
        matches!(self.state, State::Content { .. })
    }

    /// Grows with each whole command and each [`DATA_PROGRESS_MIN`] octets of content: while it stands still, the
    /// client's time runs.
    pub fn progress(&self) -> u64 {
        self.progress
    }

    /// Whether [`Session::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// What to do next.
    pub fn proceed(&mut self) -> Event {
        loop {
            let event = match &self.state {
                State::Closed => Some(Event::Close),
                State::Content { .. } => self.content(),
                State::Hello | State::Mail | State::Rcpt | State::Authentication(_) => self.line(),
                // The driver owes an answer.
                _ => Some(Event::Close),
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// The client was refused before the greeting, or talked before it (RFC 5321 §3.1; `reply` instead of the banner).
    pub fn refuse(&mut self, reply: &Reply) {
        self.output.clear();
        self.close(reply);
    }

    /// The client's time is over.
    pub fn time_out(&mut self) {
        self.close(&Reply::TIMED_OUT);
    }

    /// The server stops: an idle session ends now, a transaction may end first (RFC 5321 §3.8).
    pub fn stop(&mut self) {
        self.stopping = true;
        self.stop_if_idle();
    }

    /// The handshake succeeded. RFC 3207 §4.2: everything known before it is forgotten.
    pub fn tls_started(&mut self, tls: TlsFacts) {
        self.facts.tls = Some(tls);
        self.facts.hello = None;
        self.facts.extended = false;
        self.transaction = None;
        self.input = Input::default();
        self.state = State::Hello;
    }

    /// The handler's answer to [`Event::Mail`], [`Event::Rcpt`] or [`Event::Data`].
    pub fn answer(&mut self, answer: Result<(), Failure>) {
        match (std::mem::replace(&mut self.state, State::Closed), answer) {
            (State::MailAnswer(reverse_path, parameters), Ok(())) => {
                self.transaction = Some(Transaction { reverse_path, parameters, recipients: Vec::new() });
                self.transactions += 1;
                self.idle_commands = 0;
                self.become_and_say(State::Rcpt, &Reply::SENDER_OK);
            }
            (State::MailAnswer(..), Err(failure)) => {
                self.state = State::Mail;
                self.refuse_command(&Reply::from(&failure));
            }
            (State::RcptAnswer(recipient), Ok(())) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.recipients.push(recipient);
                }
                self.become_and_say(State::Rcpt, &Reply::RECIPIENT_OK);
            }
            (State::RcptAnswer(_), Err(failure)) => {
                self.become_and_say(State::Rcpt, &Reply::from(&failure));
                self.refused_recipients += 1;
                // Our own people are known: they may have a stale list, and 421 would lose the rest of it.
                if self.facts.identity.is_none() && self.refused_recipients >= REFUSED_RECIPIENTS_MAX {
                    self.close(&Reply::TOO_MANY_ERRORS);
                }
            }
            (State::DataAnswer, Ok(())) => {
                let receiver = Receiver::new(self.options.limits.message_size);
                let state = State::Content { receiver, failure: None, abandoned: false, ended: false };
                self.become_and_say(state, &Reply::START_CONTENT);
            }
            (State::DataAnswer, Err(failure)) => {
                self.transaction = None;
                self.state = State::Mail;
                self.refuse_command(&Reply::from(&failure));
            }
            _ => {} // Nothing was asked: the session closes.
        }
        self.stop_if_idle();
    }

    /// The sink cannot take the content: the rest is swallowed, then the failure said.
    pub fn content_failed(&mut self, failure: Failure) {
        if let State::Content { failure: slot, .. } = &mut self.state {
            slot.get_or_insert(failure);
        }
    }

    /// The sink's last word. The transaction is over either way: a refusal that left it open would let the next
    /// message in without its checks.
    pub fn finished(&mut self, outcome: Result<Accepted, Failure>) {
        self.transaction = None;
        let reply = match outcome {
            Ok(accepted) => {
                self.errors = 0;
                Reply::accepted(&accepted.words)
            }
            Err(failure) => Reply::from(&failure),
        };
        self.become_and_say(State::Mail, &reply);
        self.stop_if_idle();
    }

    // === Replies ===

    pub(super) fn say(&mut self, reply: &Reply) {
        reply.write(&mut self.output);
    }

    pub(super) fn become_and_say(&mut self, state: State, reply: &Reply) {
        self.state = state;
        self.say(reply);
    }

    pub(super) fn close(&mut self, reply: &Reply) {
        self.transaction = None;
        self.become_and_say(State::Closed, reply);
    }

    /// A command was refused; too many of them end the session.
    pub(super) fn refuse_command(&mut self, reply: &Reply) {
        self.say(reply);
        self.errors += 1;
        if self.errors >= ERRORS_MAX {
            self.close(&Reply::TOO_MANY_ERRORS);
        }
    }

    pub(super) fn idle_command(&mut self, reply: &Reply) {
        self.say(reply);
        self.idle_commands += 1;
        if self.idle_commands >= IDLE_COMMANDS_MAX {
            self.close(&Reply::TOO_MANY_COMMANDS);
        }
    }

    pub(super) fn stop_if_idle(&mut self) {
        if self.stopping && matches!(self.state, State::Hello | State::Mail | State::Authentication(_)) {
            self.close(&Reply::SHUTTING_DOWN);
        }
    }
}
