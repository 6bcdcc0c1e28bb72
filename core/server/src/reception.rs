//! Session → chain → commit → 250.
//!
//! A message streams from the SMTP session into the spool and through the one parse of its structure at the same time.
//! When it is complete, the chain of its stage runs and everything that came of it is committed; the 250 follows the
//! commit and nothing else (RFC 5321 §6.1).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sigillo_auth::{Credential, SaslError};
use sigillo_mail::structure::{Scanner, Structure};
use sigillo_mail::{EnhancedCode, Failure, Mailbox, ReversePath, Rope};
use sigillo_plugin::MailboxStatus;
use sigillo_policy::Stage;
use sigillo_smtp::facts::{ListenerKind, SessionFacts, TlsFacts, Transaction};
use sigillo_smtp::server::{Accepted, Handler, Sink};
use sigillo_smtp::syntax::MailParameters;
use sigillo_smtp::trace;
use sigillo_store::{AccountState, DomainClass, Spool, StoreError};

use crate::deliver::undeliverable;
use crate::evidence::front_end::Happening;
use crate::origin::{Letter, Origin, Way, new_id, parse};
use crate::passage::{Ending, Waiting, check_loop};
use crate::server::{Server, barred};

/// What SMTP sessions ask of the server.
pub struct Reception {
    server: Arc<Server>,
}

impl Reception {
    /// For the sessions of one server.
    pub fn new(server: Arc<Server>) -> Reception {
        Reception { server }
    }
}

#[async_trait]
impl Handler for Reception {
    async fn credential(&self, _: &SessionFacts, login: &str) -> Result<Option<Credential>, Failure> {
        let found = self.server.user_at_the_door(login).map_err(Failure::internal)?;
        Ok(found.map(|(_, credential)| credential))
    }

    async fn admits(&self, _: &SessionFacts, login: &str) -> Result<(), Failure> {
        let found = self.server.user_at_the_door(login).map_err(Failure::internal)?;
        let admitted = found.map(|(user, _)| user.admitted(sigillo_store::commit::now()));
        match admitted {
            Some(Err(why)) => Err(Failure::permanent(EnhancedCode(5, 7, 8), barred(why))),
            // A login that is not there fails at its password.
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn authenticated(&self, session: &SessionFacts, login: &str, outcome: Result<(), SaslError>) {
        self.server.note_login(
            component(session.kind),
            session.peer.ip(),
            login,
            outcome.as_ref().err().map(ToString::to_string),
        );
    }

    fn encrypted(&self, peer: SocketAddr, kind: ListenerKind, outcome: Result<&TlsFacts, &std::io::Error>) {
        let result = match outcome {
            Ok(facts) => format!("{} {}", facts.version, facts.cipher),
            Err(error) => format!("failed: {error}"),
        };
        self.server.front_end().note(Happening {
            kind: "tls",
            component: component(kind),
            peer: Some(peer.ip()),
            result: &result,
            by_stranger: true,
            ..Happening::default()
        });
    }

    async fn mail(&self, session: &SessionFacts, path: &ReversePath, _: MailParameters) -> Result<(), Failure> {
        let Some(identity) = &session.identity else { return Ok(()) };
        // PEC §5.2 and every provider's practice: who logged in is who sends. Operators send as their mailbox (BOX-06).
        let account = self.server.account_of(identity).map_err(Failure::internal)?;
        match path.mailbox() {
            Some(mailbox) if Some(mailbox.key()) == account => {
                // BOX-14. Checked again when the message is taken; a client that has no sends left need not come so far.
                let now = sigillo_store::commit::now();
                self.server.store().look(|r| r.check_sends(&mailbox.key(), 1, now)).map_err(not_taken)
            }
            _ => Err(Failure::permanent(
                EnhancedCode::REFUSED,
                match account {
                    Some(account) if account != identity.to_ascii_lowercase() => {
                        format!("You are logged in as {}, who sends as {account} only", printable(identity))
                    }
                    _ => format!("You are logged in as {}, not as this sender", printable(identity)),
                },
            )),
        }
    }

    async fn rcpt(&self, session: &SessionFacts, transaction: &Transaction, to: &Mailbox) -> Result<(), Failure> {
        let class = self.server.domain_class(to.domain()).map_err(Failure::internal)?;
        let Some(class) = class else {
            return match session.kind {
                ListenerKind::Submission => Ok(()),
                // RFC 5321 §7.3: never an open relay.
                ListenerKind::Relay => {
                    self.note_relay_attempt(session, transaction, to);
                    Err(Failure::permanent(EnhancedCode::REFUSED, "Relaying denied: not a domain of this server"))
                }
            };
        };
        let owner = self.server.owner(to).map_err(Failure::internal)?;
        if session.kind == ListenerKind::Relay
            && let Some(first) = transaction.recipients.first()
        {
            let other = self.server.domain_class(first.domain()).map_err(Failure::internal)?;
            // One chain runs for the whole transaction, so it cannot hold both kinds; the client comes again for the rest.
            if other != Some(class) {
                return Err(Failure::transient(
                    EnhancedCode(4, 5, 3),
                    "Certified and ordinary recipients need transactions of their own",
                ));
            }
            // What a plugin takes for its own it takes whole.
            if owner.is_some() || self.server.owner(first).map_err(Failure::internal)?.is_some() {
                return Err(Failure::transient(EnhancedCode(4, 5, 3), "This recipient needs a transaction of its own"));
            }
        }
        // In a certified domain the delivery point says what became of the message, also that there is no such mailbox
        // (PEC §3.3.3); the session only says so elsewhere.
        if class == DomainClass::Certified || owner.is_some() {
            return Ok(());
        }
        match self.server.mailbox_status(to, transaction.parameters.size.unwrap_or(0)).map_err(Failure::internal)? {
            MailboxStatus::Present | MailboxStatus::Remote => Ok(()),
            MailboxStatus::Full => Err(Failure::transient(EnhancedCode(4, 2, 2), "The mailbox is full")),
            status => Err(undeliverable(status)),
        }
    }

    async fn data(&self, session: &SessionFacts, transaction: &Transaction) -> Result<Box<dyn Sink>, Failure> {
        Ok(Box::new(Incoming {
            server: self.server.clone(),
            session: session.clone(),
            envelope: transaction.envelope(),
            spool: self.server.store().spool(),
            scanner: Scanner::new(),
        }))
    }
}

impl Reception {
    /// LOG-04: somebody wanted us to carry mail to others.
    fn note_relay_attempt(&self, session: &SessionFacts, transaction: &Transaction, to: &Mailbox) {
        self.server.front_end().note(Happening {
            kind: "relay-refused",
            component: component(session.kind),
            peer: Some(session.peer.ip()),
            sender: &transaction.reverse_path.to_string(),
            recipients: &[to.to_string()],
            result: "not a domain of this server",
            by_stranger: true,
            ..Happening::default()
        });
    }
}

/// The software component of a listener, in the log.
fn component(kind: ListenerKind) -> &'static str {
    match kind {
        ListenerKind::Submission => "smtp-submission",
        ListenerKind::Relay => "smtp-relay",
    }
}

/// One message on its way in.
struct Incoming {
    server: Arc<Server>,
    session: SessionFacts,
    envelope: sigillo_mail::Envelope,
    spool: Spool,
    scanner: Scanner,
}

#[async_trait]
impl Sink for Incoming {
    async fn write(&mut self, piece: Bytes) -> Result<(), Failure> {
        self.scanner.push(&piece);
        self.spool.write(&piece).map_err(Failure::internal)
    }

    async fn finish(self: Box<Self>) -> Result<Accepted, Failure> {
        let Incoming { server, session, envelope, spool, scanner } = *self;
        let content = finish(spool).await.map_err(Failure::internal)?;
        let taken = take(&server, &session, envelope, content.clone(), scanner).await;
        if taken.is_err()
            && let Err(error) = server.store().give_back(&content).await
        {
            tracing::warn!(%error, "the space of a message that was not taken is given back later");
        }
        taken
    }
}

/// A whole message: what can be said of it at once, then its chain and the commit.
async fn take(
    server: &Server,
    session: &SessionFacts,
    envelope: sigillo_mail::Envelope,
    content: Rope,
    scanner: Scanner,
) -> Result<Accepted, Failure> {
    // RFC 3463 §3.7: 5.6.0, other or undefined media error.
    let structure = scanner.finish().map_err(|error| Failure::permanent(EnhancedCode(5, 6, 0), error.to_string()))?;
    check_loop(&structure)?;
    let (content, structure) = with_message_id(server, session, content, structure).await?;
    let id = new_id();
    let letter = Letter {
        id: id.clone(),
        origin: server.origin(session, &id)?.of(&structure),
        reverse_path: envelope.reverse_path,
        recipients: envelope.recipients,
        content,
    };
    let stage = match session.kind {
        ListenerKind::Submission => Stage::Access,
        ListenerKind::Relay => Stage::Reception,
    };
    server.check_author(&letter, &structure)?;
    let (letter, structure) = match session.kind {
        ListenerKind::Submission => (letter, structure),
        ListenerKind::Relay => server.authenticate(session, letter, structure).await?,
    };
    let from = letter.reverse_path.to_string();
    let relayed = (session.kind == ListenerKind::Relay).then(|| {
        let recipients: Vec<String> = letter.recipients.iter().map(ToString::to_string).collect();
        (letter.origin.message_id.clone(), recipients)
    });
    let ended = server.pass(letter, Arc::new(structure), stage, Waiting::Session).await;
    let ended = ended.map_err(not_taken)?;
    if let Some((message_id, recipients)) = relayed {
        let result = match &ended {
            Ending::Taken => "accepted".to_owned(),
            Ending::Refused(failure) | Ending::Deferred(failure) => failure.to_string(),
        };
        server.front_end().note(Happening {
            kind: "reception",
            component: component(session.kind),
            peer: Some(session.peer.ip()),
            message_id: &message_id,
            sender: &from,
            recipients: &recipients,
            result: &result,
            by_stranger: ended != Ending::Taken,
        });
    }
    match ended {
        Ending::Taken => {
            tracing::info!(id, from, peer = %session.peer, "accepted");
            server.metrics().accepted(stage);
            Ok(Accepted { words: format!("queued as {id}") })
        }
        Ending::Refused(failure) | Ending::Deferred(failure) => {
            tracing::info!(id, from, peer = %session.peer, %failure, detail = failure.detail, "not accepted");
            server.metrics().refused(stage);
            Err(failure)
        }
    }
}

/// Large content waits for its sync on a thread where that is allowed.
async fn finish(spool: Spool) -> std::io::Result<Rope> {
    if spool.is_large() {
        return tokio::task::spawn_blocking(move || spool.finish()).await?;
    }
    spool.finish()
}

/// RFC 6409 §8.3: a user's message without a Message-ID gets one, so that everything about it can name it.
async fn with_message_id(
    server: &Server,
    session: &SessionFacts,
    content: Rope,
    structure: Structure,
) -> Result<(Rope, Structure), Failure> {
    if session.kind != ListenerKind::Submission || structure.header().count("message-id") > 0 {
        return Ok((content, structure));
    }
    let mut rope = Rope::from_bytes(format!("Message-ID: <{}@{}>\r\n", new_id(), server.hostname()));
    rope.append(&content);
    let structure = parse(rope.clone(), server.store().segments().clone()).await.map_err(Failure::internal)?;
    Ok((rope, structure))
}

fn properties(session: &SessionFacts) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::from([
        ("peer.ip".to_owned(), session.peer.ip().to_canonical().to_string()),
        ("session.id".to_owned(), session.id.clone()),
        (
            "session.kind".to_owned(),
            if session.kind == ListenerKind::Submission { "submission" } else { "relay" }.to_owned(),
        ),
        ("session.protocol".to_owned(), session.protocol().to_owned()),
    ]);
    if let Some(hello) = &session.hello {
        properties.insert("peer.hello".to_owned(), hello.clone());
    }
    if let Some(tls) = &session.tls {
        properties.insert("tls.version".to_owned(), tls.version.clone());
        properties.insert("tls.cipher".to_owned(), tls.cipher.clone());
    }
    properties
}

/// Why a submission was not taken: what its mailbox's rules say, or our own trouble.
fn not_taken(error: StoreError) -> Failure {
    match error {
        StoreError::InUse(why) => Failure::permanent(EnhancedCode::REFUSED, sentence(&why)),
        // RFC 3463 §3.8: tomorrow it may.
        StoreError::Limit(why) => Failure::transient(EnhancedCode(4, 7, 1), sentence(&why)),
        other => Failure::internal(other),
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(128).collect()
}

impl Server {
    /// The mailbox that a login acts for.
    fn account_of(&self, login: &str) -> Result<Option<String>, StoreError> {
        Ok(self.store().look(|r| r.user(login))?.map(|user| user.account))
    }

    /// How the message of this session came. The identity is the mailbox that sends; which of its users did is a property
    /// and goes into the message log (BOX-06).
    fn origin(&self, session: &SessionFacts, id: &str) -> Result<Origin, Failure> {
        let mut properties = properties(session);
        let mut identity = None;
        if let Some(login) = &session.identity {
            let user = self.store().look(|r| r.user(login)).map_err(Failure::internal)?;
            let user = user.filter(|user| user.state == AccountState::Active);
            let user =
                user.ok_or_else(|| Failure::permanent(EnhancedCode::REFUSED, "This login may not send any more"))?;
            properties.insert(Origin::USER.to_owned(), user.login);
            identity = Some(user.account);
        }
        Ok(Origin {
            way: if session.kind == ListenerKind::Submission { Way::Submission } else { Way::Relay },
            identity,
            properties,
            message_id: String::new(),
            subject: String::new(),
            trace: Some(trace::received(session, id, sigillo_store::commit::now())),
        })
    }

    /// Submission from an ordinary domain: the author must be the user who logged in (attack I10). In certified domains
    /// the access point answers this with a notice.
    fn check_author(&self, letter: &Letter, structure: &Structure) -> Result<(), Failure> {
        let Some(identity) = &letter.origin.identity else { return Ok(()) };
        let may_send = self.store().look(|r| {
            let active = r.account(identity)?.is_some_and(|account| account.is_open());
            // Whoever was suspended after he logged in sends no more.
            Ok(active && r.standing(identity, sigillo_store::commit::now())?.admits_users())
        });
        if !may_send.map_err(Failure::internal)? {
            return Err(Failure::permanent(EnhancedCode::REFUSED, "The mailbox may not send"));
        }
        let domain = letter.reverse_path.mailbox().map(|mailbox| mailbox.domain().clone());
        let class = match domain {
            Some(domain) => self.domain_class(&domain).map_err(Failure::internal)?,
            None => None,
        };
        if class == Some(DomainClass::Certified) {
            return Ok(());
        }
        let authors = structure.header().addresses("from").unwrap_or_default();
        match authors.as_slice() {
            [one] if one.mailbox.eq_ignore_ascii_case(identity) => Ok(()),
            _ => Err(Failure::permanent(
                EnhancedCode::REFUSED,
                "The From field must name the mailbox that you are logged in as, alone",
            )),
        }
    }
}
