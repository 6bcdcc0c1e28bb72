//! LOGIN and AUTHENTICATE ([RFC 3501 §6.2], [RFC 4959]).

use std::io;
use std::sync::LazyLock;

use sigillo_auth::{Credential, Exchange, Mechanism, SaslError, Step, base64};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::limits::{LOGIN_FAILURE_DELAY, LOGIN_FAILURES_MAX};
use crate::output::Output;
use crate::refusal::{Done, Refusal, printable};
use crate::session::{Authenticating, Next, Session, State};

/// Password hashes computed at once: each takes a core and 19 MiB.
static HASHING: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(2, |n| n.get())));

const FAILED: &str = "[AUTHENTICATIONFAILED] wrong login or password";

impl Session {
    /// LOGIN is the PLAIN exchange in other words, so that there is one check of passwords.
    pub(crate) async fn login(&mut self, user: &[u8], password: &[u8]) -> Done {
        self.may_authenticate()?;
        let message = [b"\0", user, b"\0", password].concat();
        let mut exchange = Exchange::new(Mechanism::Plain, self.setting.secret.clone());
        let mut step = exchange.start(Some(&message));
        let mut account = None;
        if let Step::NeedCredential(login) = &step {
            let login = login.clone();
            self.login_tried.clone_from(&login);
            (exchange, step, account) = self.look_up(exchange, &login).await?;
        }
        drop(exchange);
        match (step, account) {
            (Step::Done { .. }, Some(account)) => self.logged_in(account).await,
            _ => Err(self.login_failed().await),
        }
    }

    /// AUTHENTICATE, up to the first challenge or to its end.
    pub(crate) async fn authenticate(
        &mut self,
        tag: String,
        mechanism: &str,
        initial: Option<&[u8]>,
        out: &mut Output<'_>,
    ) -> io::Result<Next> {
        if let Err(refusal) = self.may_authenticate() {
            return self.complete(&tag, Err(refusal), out);
        }
        let Some(mechanism) = Mechanism::from_name(mechanism) else {
            return self.complete(&tag, Err(Refusal::no("[CANNOT] mechanism not offered")), out);
        };
        let mut exchange = Exchange::new(mechanism, self.setting.secret.clone());
        let step = exchange.start(initial);
        self.advance(Authenticating { tag, exchange, challenge: Vec::new(), account: None }, step, out).await
    }

    /// Takes the client's answer to a challenge: one line of base64, or `*`.
    pub(crate) async fn respond(
        &mut self,
        mut authenticating: Box<Authenticating>,
        line: &[u8],
        out: &mut Output<'_>,
    ) -> io::Result<Next> {
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        if line == b"*" {
            return self.complete(&authenticating.tag, Err(Refusal::bad("AUTHENTICATE cancelled")), out);
        }
        let step = match base64::decode(line) {
            Ok(message) => authenticating.exchange.step(&message),
            Err(error) => Step::Failed(error),
        };
        self.advance(*authenticating, step, out).await
    }

    async fn advance(&mut self, mut now: Authenticating, mut step: Step, out: &mut Output<'_>) -> io::Result<Next> {
        if let Step::NeedCredential(login) = &step {
            let login = login.clone();
            self.login_tried.clone_from(&login);
            match self.look_up(now.exchange, &login).await {
                Ok((exchange, next, account)) => {
                    now.exchange = exchange;
                    now.account = account;
                    step = next;
                }
                Err(refusal) => return self.complete(&now.tag, Err(refusal), out),
            }
        }
        let done = match (step, now.account.take()) {
            (Step::Challenge(challenge), account) => {
                now.challenge = challenge;
                now.account = account;
                return Ok(Next::Answer(Box::new(now)));
            }
            (Step::Done { .. }, Some(account)) => self.logged_in(account).await,
            (Step::Failed(error), _) if error.is_syntax() => {
                self.login_failed().await;
                Err(self.last_failure(Refusal::bad("malformed SASL message")))
            }
            (Step::Failed(SaslError::ChannelBinding), _) => Err(Refusal::no("[CANNOT] channel binding is not offered")),
            _ => Err(self.login_failed().await),
        };
        self.complete(&now.tag, done, out)
    }

    fn may_authenticate(&self) -> Result<(), Refusal> {
        if self.is_authenticated() {
            return Err(Refusal::bad("logged in already"));
        }
        if !self.setting.encrypted {
            return Err(Refusal::no("[PRIVACYREQUIRED] begin TLS first"));
        }
        Ok(())
    }

    /// Fetches the credential and lets the exchange look at it, off the threads that serve connections.
    async fn look_up(&self, mut exchange: Exchange, login: &str) -> Result<(Exchange, Step, Option<String>), Refusal> {
        let found: Option<(String, Credential)> = self.backend.credential(login).await?;
        let (account, credential) = found.unzip();
        let _permit = HASHING.acquire().await.map_err(|_| Refusal::Bye("shutting down"))?;
        tokio::task::spawn_blocking(move || {
            let step = exchange.credential(credential.as_ref());
            (exchange, step, account)
        })
        .await
        .map_err(|_| Refusal::no("[UNAVAILABLE] temporarily unavailable"))
    }

    async fn logged_in(&mut self, account: String) -> Done {
        if let Some(why) = self.backend.barred(&self.login_tried).await? {
            self.count_failure().await;
            // RFC 5530 §3, EXPIRED: the password was right and is of no use any more, or not yet.
            return Err(self.last_failure(Refusal::no(format!("[EXPIRED] {}", printable(&why)))));
        }
        if let Some(backend) = self.backend.for_user(&self.login_tried).await? {
            self.backend = backend;
        }
        tracing::info!(peer = %self.setting.peer, account = %account, login = %self.login_tried, "IMAP login");
        self.backend.authenticated(&self.setting.peer, &self.login_tried, true);
        self.account = account;
        self.state = State::Authenticated;
        self.login_failures = 0;
        // The capabilities changed: telling them saves the client a round trip. RFC 3501 §7.1.
        Ok(format!("[CAPABILITY {}] logged in", self.capabilities()).into())
    }

    async fn login_failed(&mut self) -> Refusal {
        self.count_failure().await;
        self.last_failure(Refusal::no(FAILED))
    }

    async fn count_failure(&mut self) {
        tracing::info!(peer = %self.setting.peer, "IMAP login failed");
        self.backend.authenticated(&self.setting.peer, &self.login_tried, false);
        self.login_failures += 1;
        sleep(LOGIN_FAILURE_DELAY).await;
    }

    fn last_failure(&self, refusal: Refusal) -> Refusal {
        if self.login_failures >= LOGIN_FAILURES_MAX { Refusal::Bye("too many failed logins") } else { refusal }
    }
}
