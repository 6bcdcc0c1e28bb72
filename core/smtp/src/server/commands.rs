//! Commands ([RFC 5321 §4.1.1]) and the order in which they make sense ([§4.1.4]).

use sigillo_mail::ReversePath;

use super::input::Line;
use super::session::{Event, Session, State};
use crate::facts::ListenerKind;
use crate::limits::{COMMAND_LINE_MAX, TRANSACTIONS_MAX};
use crate::reply::Reply;
use crate::syntax::{self, Command, ForwardPath, MailParameters};

impl Session {
    /// Takes the next line, if there is one.
    pub(super) fn line(&mut self) -> Option<Event> {
        let line = match self.input.line() {
            Line::Partial => return Some(Event::Receive),
            Line::Whole(line) => line,
            Line::TooLong => {
                self.too_long();
                return None;
            }
            Line::Endless => {
                self.close(&Reply::LINE_TOO_LONG);
                return None;
            }
        };
        self.progress += 1;
        if matches!(self.state, State::Authentication(_)) {
            return self.authentication_line(&line);
        }
        if syntax::is_http(&line) {
            self.close(&Reply::NOT_SMTP);
            return None;
        }
        let command = Command::parse(&line);
        if self.speaks_too_early(&command) {
            self.close(&Reply::UNEXPECTED_INPUT);
            return None;
        }
        // The extensions that lengthen a command line are AUTH's by far.
        if line.len() > COMMAND_LINE_MAX && !matches!(command, Ok(Command::Auth(..))) {
            self.too_long();
            return None;
        }
        match command {
            Ok(command) => self.command(command),
            Err(reply) => {
                self.refuse_command(&reply);
                None
            }
        }
    }

    fn too_long(&mut self) {
        self.progress += 1;
        match self.state {
            // RFC 4954 §4: the exchange is over, too.
            State::Authentication(_) => self.authentication_refused(&Reply::AUTH_LINE_TOO_LONG),
            _ => self.refuse_command(&Reply::LINE_TOO_LONG),
        }
    }

    /// RFC 2920 §3.1: nothing may follow these commands until they are answered, and nothing any command unless
    /// PIPELINING was offered. Whoever does not wait is no mail client, or has somebody else's bytes in its stream.
    fn speaks_too_early(&self, command: &Result<Command, Reply>) -> bool {
        let must_wait = matches!(
            command,
            Ok(Command::Ehlo(_) | Command::Helo(_) | Command::Data | Command::StartTls | Command::Auth(..))
        );
        !self.input.bytes.is_empty() && (must_wait || !self.facts.extended)
    }

    fn command(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Mail(path, parameters) => return self.mail(path, parameters),
            Command::Rcpt(path) => return self.rcpt(path),
            Command::Data => return self.data(),
            Command::Auth(mechanism, initial) => return self.auth(&mechanism, initial.as_deref()),
            Command::StartTls => return self.starttls(),
            Command::Helo(name) => self.hello(name, false),
            Command::Ehlo(name) => self.hello(name, true),
            Command::Quit => self.close(&Reply::CLOSING),
            Command::Rset => {
                self.transaction = None;
                if !matches!(self.state, State::Hello) {
                    self.state = State::Mail;
                }
                self.idle_command(&Reply::OK);
            }
            Command::Noop => self.idle_command(&Reply::OK),
            Command::Vrfy => self.idle_command(&Reply::CANNOT_VERIFY),
            Command::Help => self.idle_command(&Reply::HELP),
        }
        None
    }

    /// RFC 5321 §4.1.1.1: also ends a transaction.
    fn hello(&mut self, name: String, extended: bool) {
        self.facts.hello = Some(name);
        self.facts.extended = extended;
        self.transaction = None;
        self.state = State::Mail;
        let keywords = if extended { self.keywords() } else { Vec::new() };
        self.idle_command(&Reply::hello(&self.facts.hostname.clone(), &keywords));
    }

    fn keywords(&self) -> Vec<String> {
        let mut keywords = vec![
            format!("SIZE {}", self.options.limits.message_size),
            "PIPELINING".to_owned(),
            "8BITMIME".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
        ];
        if self.may_start_tls() {
            keywords.push("STARTTLS".to_owned());
        }
        keywords.extend(self.auth_keyword());
        keywords
    }

    fn may_start_tls(&self) -> bool {
        self.options.starttls && self.facts.tls.is_none()
    }

    fn starttls(&mut self) -> Option<Event> {
        if !self.may_start_tls() || self.transaction.is_some() {
            self.refuse_command(&Reply::NOT_NOW);
            return None;
        }
        self.become_and_say(State::Tls, &Reply::READY_FOR_TLS);
        Some(Event::StartTls)
    }

    fn mail(&mut self, path: ReversePath, parameters: MailParameters) -> Option<Event> {
        let limit = self.options.limits.message_size;
        let refusal = match self.state {
            State::Hello => Some(Reply::HELLO_FIRST),
            State::Rcpt => Some(Reply::NESTED_MAIL),
            _ if self.must_authenticate() && self.facts.tls.is_none() => Some(Reply::TLS_REQUIRED),
            _ if self.must_authenticate() => Some(Reply::AUTH_REQUIRED),
            // RFC 1870 §6.1.
            _ if parameters.size.is_some_and(|size| size > limit) => Some(Reply::TOO_BIG),
            _ => None,
        };
        if let Some(reply) = refusal {
            self.refuse_command(&reply);
            return None;
        }
        if self.transactions >= TRANSACTIONS_MAX {
            self.close(&Reply::TOO_MANY_COMMANDS);
            return None;
        }
        self.state = State::MailAnswer(path.clone(), parameters);
        Some(Event::Mail(path, parameters))
    }

    fn must_authenticate(&self) -> bool {
        self.facts.kind == ListenerKind::Submission && self.facts.identity.is_none()
    }

    fn rcpt(&mut self, path: ForwardPath) -> Option<Event> {
        let Some(transaction) = &self.transaction else {
            self.refuse_command(&Reply::MAIL_FIRST);
            return None;
        };
        let recipient = match path {
            ForwardPath::Mailbox(mailbox) => mailbox,
            ForwardPath::Postmaster => match format!("postmaster@{}", self.facts.hostname).parse() {
                Ok(mailbox) => mailbox,
                Err(_) => {
                    self.refuse_command(&Reply::BAD_RECIPIENT);
                    return None;
                }
            },
        };
        if transaction.recipients.contains(&recipient) {
            self.say(&Reply::RECIPIENT_OK);
            return None;
        }
        if transaction.recipients.len() >= self.options.limits.recipients {
            self.say(&Reply::TOO_MANY_RECIPIENTS);
            return None;
        }
        self.state = State::RcptAnswer(recipient.clone());
        Some(Event::Rcpt(recipient))
    }

    fn data(&mut self) -> Option<Event> {
        match &self.transaction {
            None => self.refuse_command(&Reply::MAIL_FIRST),
            Some(transaction) if transaction.recipients.is_empty() => self.refuse_command(&Reply::NO_RECIPIENTS),
            Some(_) => {
                self.state = State::DataAnswer;
                return Some(Event::Data);
            }
        }
        None
    }
}
