//! AUTH ([RFC 4954]): only on submission listeners, only under TLS.

use sigillo_auth::{Exchange, Mechanism, SaslError, Step, base64};
use sigillo_mail::Failure;

use super::session::{Event, Session, State};
use crate::facts::ListenerKind;
use crate::limits::AUTH_FAILURES_MAX;
use crate::reply::Reply;

impl Session {
    /// The EHLO keyword, when authentication can be had. Never in the clear: PLAIN would show the password, and a
    /// client that saw the keyword might send it (RFC 4954 §14).
    pub(super) fn auth_keyword(&self) -> Option<String> {
        let offered = self.facts.kind == ListenerKind::Submission && self.facts.tls.is_some();
        let names = Mechanism::ALL.map(Mechanism::name).join(" ");
        (offered && self.facts.identity.is_none()).then(|| format!("AUTH {names}"))
    }

    /// RFC 4954 §4.
    pub(super) fn auth(&mut self, mechanism: &str, initial: Option<&str>) -> Option<Event> {
        let refusal = match (self.facts.kind, &self.state, Mechanism::from_name(mechanism)) {
            (ListenerKind::Relay, ..) => Some(Reply::NOT_IMPLEMENTED),
            (_, State::Hello, _) => Some(Reply::HELLO_FIRST),
            _ if self.facts.tls.is_none() => Some(Reply::TLS_REQUIRED_FOR_AUTH),
            // Once per session, and not within a transaction.
            (_, State::Rcpt, _) => Some(Reply::NOT_NOW),
            _ if self.facts.identity.is_some() => Some(Reply::NOT_NOW),
            (.., None) => Some(Reply::UNKNOWN_MECHANISM),
            _ => None,
        };
        let (None, Some(mechanism)) = (&refusal, Mechanism::from_name(mechanism)) else {
            self.refuse_command(&refusal.unwrap_or(Reply::UNKNOWN_MECHANISM));
            return None;
        };
        let mut exchange = Exchange::new(mechanism, self.options.secret.clone());
        let step = match initial {
            None => exchange.start(None),
            // `=` is an initial response of no octets.
            Some("=") => exchange.start(Some(b"")),
            Some(text) => match base64::decode(text.as_bytes()) {
                Ok(message) => exchange.start(Some(&message)),
                Err(error) => Step::Failed(error),
            },
        };
        self.step(exchange, step)
    }

    /// The client's answer to a challenge.
    pub(super) fn authentication_line(&mut self, line: &[u8]) -> Option<Event> {
        let State::Authentication(mut exchange) = std::mem::replace(&mut self.state, State::Mail) else { return None };
        // One answer to one challenge: what follows it was sent without seeing the next one.
        if !self.input.bytes.is_empty() {
            self.close(&Reply::UNEXPECTED_INPUT);
            return None;
        }
        let step = match line.strip_suffix(b"\r\n") {
            None => Step::Failed(SaslError::Base64),
            Some(b"*") => Step::Failed(SaslError::Cancelled),
            Some(text) => match base64::decode(text) {
                Ok(message) => exchange.step(&message),
                Err(error) => Step::Failed(error),
            },
        };
        self.step(exchange, step)
    }

    /// Why the login that is being looked up may not come in even with the right password; none if it may.
    pub fn bar(&mut self, failure: Option<Failure>) {
        self.barred = failure;
    }

    /// The driver looked the login up and ran [`Exchange::credential`].
    pub fn checked(&mut self, exchange: Exchange, step: Step) {
        // Looking up never asks for another look-up.
        let _ = self.step(exchange, step);
    }

    /// How the last authentication ended, once: for the log.
    pub fn take_authentication(&mut self) -> Option<(String, Result<(), SaslError>)> {
        self.authentication.take()
    }

    /// The login could not be looked up.
    pub fn check_unavailable(&mut self) {
        self.state = State::Mail;
        self.refuse_command(&Reply::AUTH_UNAVAILABLE);
    }

    fn step(&mut self, exchange: Exchange, step: Step) -> Option<Event> {
        self.state = State::Mail;
        match step {
            Step::Challenge(message) => {
                self.become_and_say(State::Authentication(exchange), &Reply::challenge(base64::encode(&message)));
            }
            Step::NeedCredential(login) => {
                self.state = State::Check;
                self.login = Some(login.clone());
                return Some(Event::Check { login, exchange });
            }
            Step::Done { login } if self.barred.is_some() => {
                self.authentication = Some((login, Err(SaslError::Barred)));
                let reply = self.barred.take().map(|failure| Reply::auth_barred(&failure));
                self.authentication_refused(&reply.unwrap_or(Reply::AUTH_FAILED));
            }
            Step::Done { login } => {
                self.authentication = Some((login.clone(), Ok(())));
                self.facts.identity = Some(login);
                self.say(&Reply::AUTHENTICATED);
            }
            Step::Failed(error) => {
                self.authentication = self.login.take().map(|login| (login, Err(error)));
                let reply = if error.is_syntax() { Reply::BAD_AUTH_RESPONSE } else { Reply::AUTH_FAILED };
                self.authentication_refused(&reply);
            }
        }
        None
    }

    pub(super) fn authentication_refused(&mut self, reply: &Reply) {
        self.state = State::Mail;
        self.refuse_command(reply);
        self.auth_failures += 1;
        if self.auth_failures >= AUTH_FAILURES_MAX && !matches!(self.state, State::Closed) {
            self.close(&Reply::TOO_MANY_ERRORS);
        }
    }
}
