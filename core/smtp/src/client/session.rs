//! One message to one server, without input or output ([RFC 5321 §3.3], [§4.1.4]).

use bytes::BytesMut;
use sigillo_mail::{EnhancedCode, Envelope, Failure};

use super::replies::{Capabilities, Replies, failure};
use crate::data::Scan;
use crate::facts::TlsFacts;
use crate::limits::RCPT_GROUP;
use crate::reply::Reply;

/// Whether there must be TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Not without.
    Required,
    /// If the server offers it (RFC 7435).
    Opportunistic,
    /// Never.
    None,
}

/// What a session is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's name, for reports.
    pub host: String,
    /// What we call ourselves.
    pub hello: String,
    /// TLS or not.
    pub security: Security,
}

/// What the driver does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Write the output, read a reply within the time that the awaited thing has.
    Receive(Awaited),
    /// Run a TLS handshake, then [`Session::tls_started`].
    StartTls,
    /// Write the output, stream the content with its end, then [`Session::content_sent`].
    SendContent,
    /// Write what output there is, close.
    Close,
}

/// What the session awaits: each has its own time (RFC 5321 §4.5.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// 220.
    Greeting,
    /// EHLO's reply.
    Ehlo,
    /// HELO's reply.
    Helo,
    /// STARTTLS's reply.
    StartTls,
    /// The handshake.
    Handshake,
    /// MAIL's reply.
    Mail,
    /// RCPT's reply for the recipient of this index.
    Rcpt(usize),
    /// 354.
    Data,
    /// The content to be sent.
    Content,
    /// The reply to the content.
    Outcome,
    /// Why the server stopped taking the content.
    Refusal,
    /// QUIT's reply.
    Quit,
    /// Nothing.
    Nothing,
}

enum Recipient {
    Pending,
    /// RCPT was accepted; the content's reply decides.
    Accepted,
    Settled(Result<Reply, Failure>),
}

/// One session.
pub struct Session {
    options: Options,
    envelope: Envelope,
    scan: Scan,
    size: u64,
    input: Replies,
    output: BytesMut,
    awaited: Awaited,
    capabilities: Capabilities,
    tls: Option<TlsFacts>,
    recipients: Vec<Recipient>,
    /// RCPT was sent to so many.
    asked: usize,
    mail_refused: Option<Failure>,
    in_doubt: bool,
}

impl Session {
    /// A session that awaits the greeting. `scan` and `size` are of the content.
    pub fn new(options: Options, envelope: Envelope, scan: Scan, size: u64) -> Session {
        let recipients = envelope.recipients.iter().map(|_| Recipient::Pending).collect();
        Session {
            options,
            envelope,
            scan,
            size,
            input: Replies::default(),
            output: BytesMut::new(),
            awaited: Awaited::Greeting,
            capabilities: Capabilities::default(),
            tls: None,
            recipients,
            asked: 0,
            mail_refused: None,
            in_doubt: false,
        }
    }

    /// Where the driver puts what it read.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input.bytes
    }

    /// What the driver writes.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// The TLS under the session.
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.tls.as_ref()
    }

    /// The whole content was sent and nothing that is a reply came: the server may have taken it.
    pub fn in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// What became of each recipient so far, in the envelope's order.
    pub fn results(&self) -> Vec<Result<Reply, Failure>> {
        let lost = || Failure::transient(EnhancedCode(4, 4, 2), "The session ended early");
        let result = |recipient: &Recipient| match recipient {
            Recipient::Settled(result) => result.clone(),
            Recipient::Pending | Recipient::Accepted => Err(lost()),
        };
        self.recipients.iter().map(result).collect()
    }

    /// What to do next.
    pub fn proceed(&mut self) -> Action {
        loop {
            match self.awaited {
                Awaited::Nothing => return Action::Close,
                Awaited::Handshake => return Action::StartTls,
                Awaited::Content => return Action::SendContent,
                awaited => match self.input.next() {
                    Ok(Some((reply, raw))) => self.reply(awaited, reply, &raw),
                    Ok(None) => return Action::Receive(awaited),
                    Err(error) => self.lost(&Failure::transient(EnhancedCode(4, 5, 0), error.to_string())),
                },
            }
        }
    }

    /// The connection is of no more use: whoever has no answer yet has this one.
    pub fn lost(&mut self, failure: &Failure) {
        self.in_doubt = self.awaited == Awaited::Outcome;
        self.end(failure);
    }

    /// The handshake succeeded. RFC 3207 §4.2: what the server said before it is forgotten, and asked again.
    pub fn tls_started(&mut self, tls: TlsFacts) {
        self.tls = Some(tls);
        self.input.clear();
        self.capabilities = Capabilities::default();
        self.say_ehlo();
    }

    /// The content and its end are written.
    pub fn content_sent(&mut self) {
        self.awaited = Awaited::Outcome;
    }

    /// The server stopped taking the content before its end: it may have said why.
    pub fn content_broken(&mut self) {
        self.awaited = Awaited::Refusal;
    }

    fn reply(&mut self, awaited: Awaited, reply: Reply, raw: &[u8]) {
        // RFC 5321 §3.8: 421 may come at any time and ends the session.
        if reply.code == 421 && awaited != Awaited::Quit {
            return self.end(&failure(&self.options.host, &reply));
        }
        match awaited {
            Awaited::Greeting if reply.code == 220 => self.say_ehlo(),
            // A server that takes nobody now may take us tomorrow, or another of the domain's may: never for good.
            Awaited::Greeting => {
                let refusal = failure(&self.options.host, &reply);
                self.give_up(&Failure {
                    detail: refusal.detail,
                    ..Failure::transient(EnhancedCode(4, 3, 2), refusal.words)
                });
            }
            Awaited::Ehlo if reply.is_positive() => {
                self.capabilities = Capabilities::parse(raw);
                self.secure();
            }
            // RFC 5321 §3.2: a server that does not know EHLO gets HELO.
            Awaited::Ehlo if !reply.is_transient() && self.tls.is_none() => {
                self.say(&format!("HELO {}", self.options.hello.clone()), Awaited::Helo);
            }
            Awaited::Helo if reply.is_positive() => self.secure(),
            Awaited::Ehlo | Awaited::Helo => self.give_up(&failure(&self.options.host, &reply)),
            Awaited::StartTls if reply.code == 220 => {
                self.input.clear();
                self.awaited = Awaited::Handshake;
            }
            Awaited::StartTls if self.options.security == Security::Required => self.no_tls(),
            Awaited::StartTls => self.begin(),
            Awaited::Mail => {
                if !reply.is_positive() {
                    self.mail_refused = Some(failure(&self.options.host, &reply));
                }
                self.after_recipient(0);
            }
            Awaited::Rcpt(index) => self.recipient(index, &reply),
            Awaited::Data if reply.code == 354 && self.input.bytes.is_empty() => self.awaited = Awaited::Content,
            // What stands behind 354 would be taken for the reply to content that the server has not seen.
            Awaited::Data if reply.code == 354 => {
                let words = "The server answered content before it came";
                self.end(&Failure::transient(EnhancedCode(4, 5, 0), words));
            }
            Awaited::Data => self.give_up(&failure(&self.options.host, &reply)),
            Awaited::Outcome => self.outcome(reply),
            // Nobody can have accepted half a message: a positive reply counts as a failure, too.
            Awaited::Refusal => self.end(&failure(&self.options.host, &reply)),
            Awaited::Quit | Awaited::Handshake | Awaited::Content | Awaited::Nothing => self.awaited = Awaited::Nothing,
        }
    }

    // === Before the transaction ===

    fn say_ehlo(&mut self) {
        self.say(&format!("EHLO {}", self.options.hello.clone()), Awaited::Ehlo);
    }

    /// STARTTLS or not.
    fn secure(&mut self) {
        match (self.options.security, self.tls.is_some(), self.capabilities.starttls) {
            (Security::None, ..) | (_, true, _) | (Security::Opportunistic, _, false) => self.begin(),
            (_, false, true) => self.say("STARTTLS", Awaited::StartTls),
            (Security::Required, false, false) => self.no_tls(),
        }
    }

    /// For now: whoever strips STARTTLS from a connection must not be able to bounce its mail.
    fn no_tls(&mut self) {
        self.give_up(&Failure::transient(EnhancedCode(4, 7, 10), "The server does not offer the TLS that is required"));
    }

    // === The transaction ===

    fn begin(&mut self) {
        // RFC 1870 §6.1: what the server says it will refuse is not sent.
        if self.capabilities.size.is_some_and(|limit| limit != 0 && self.size > limit) {
            return self
                .give_up(&Failure::permanent(EnhancedCode::MESSAGE_TOO_BIG, "The message is too big for the server"));
        }
        // RFC 6152 §3: without the extension 8-bit content may be damaged; converting it would break signatures.
        if self.scan.eight_bit && !self.capabilities.eight_bit {
            let words = "The content has 8-bit octets and the server does not take them";
            return self.give_up(&Failure::permanent(EnhancedCode(5, 6, 3), words));
        }
        let mut command = format!("MAIL FROM:<{}>", self.envelope.reverse_path);
        if self.capabilities.size.is_some() {
            command.push_str(&format!(" SIZE={}", self.size));
        }
        if self.scan.eight_bit {
            command.push_str(" BODY=8BITMIME");
        }
        self.say(&command, Awaited::Mail);
        if self.capabilities.pipelining {
            self.ask_recipients();
        }
    }

    /// RCPT for the next group; one by one without PIPELINING (RFC 2920 §3.1).
    fn ask_recipients(&mut self) {
        let group = if self.capabilities.pipelining { RCPT_GROUP } else { 1 };
        let until = (self.asked + group).min(self.envelope.recipients.len());
        for recipient in &self.envelope.recipients[self.asked..until] {
            self.output.extend_from_slice(format!("RCPT TO:<{recipient}>\r\n").as_bytes());
        }
        self.asked = until;
    }

    fn recipient(&mut self, index: usize, reply: &Reply) {
        let any = self.recipients.iter().any(|r| matches!(r, Recipient::Accepted));
        self.recipients[index] = if reply.is_positive() {
            Recipient::Accepted
        } else {
            let mut refusal = failure(&self.options.host, reply);
            // RFC 5321 §4.5.3.1.10: to a RCPT after others, 552 means "too many recipients", as 452 does.
            if reply.code == 552 && any {
                refusal =
                    Failure { detail: refusal.detail, ..Failure::transient(EnhancedCode(4, 5, 3), refusal.words) };
            }
            Recipient::Settled(Err(refusal))
        };
        self.after_recipient(index + 1);
    }

    /// `next` recipients (or only MAIL, if 0) have their reply.
    fn after_recipient(&mut self, next: usize) {
        if next < self.asked {
            self.awaited = Awaited::Rcpt(next);
            return;
        }
        if let Some(refusal) = self.mail_refused.take() {
            // Whatever a server says to RCPT after it refused MAIL.
            self.recipients.iter_mut().for_each(|r| *r = Recipient::Pending);
            return self.give_up(&refusal);
        }
        if next < self.envelope.recipients.len() {
            self.ask_recipients();
            self.awaited = Awaited::Rcpt(next);
        } else if self.recipients.iter().any(|r| matches!(r, Recipient::Accepted)) {
            // Alone, not with the group: a server may answer 354 though it refused every recipient.
            self.say("DATA", Awaited::Data);
        } else {
            self.quit();
        }
    }

    fn outcome(&mut self, reply: Reply) {
        let result = if reply.is_positive() { Ok(reply) } else { Err(failure(&self.options.host, &reply)) };
        for recipient in self.recipients.iter_mut().filter(|r| matches!(r, Recipient::Accepted)) {
            *recipient = Recipient::Settled(result.clone());
        }
        self.quit();
    }

    // === Endings ===

    fn end(&mut self, failure: &Failure) {
        self.settle_rest(failure);
        self.awaited = Awaited::Nothing;
    }

    fn give_up(&mut self, failure: &Failure) {
        self.settle_rest(failure);
        self.quit();
    }

    fn settle_rest(&mut self, failure: &Failure) {
        for recipient in &mut self.recipients {
            if !matches!(recipient, Recipient::Settled(_)) {
                *recipient = Recipient::Settled(Err(failure.clone()));
            }
        }
    }

    fn quit(&mut self) {
        self.say("QUIT", Awaited::Quit);
    }

    fn say(&mut self, command: &str, awaited: Awaited) {
        self.output.extend_from_slice(command.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        self.awaited = awaited;
    }
}
