//! One IMAP session without a socket: takes commands and literals as bytes, keeps the state of [RFC 3501 §3], asks the
//! [`Backend`] and writes responses. What the bytes come from is the driver's business (see [`crate::io`]).

use std::io;
use std::sync::Arc;

use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use imap_codec::imap_types::command::{Command, CommandBody};
use sigillo_auth::{Exchange, ServerSecret};

use crate::backend::{Backend, BackendError};
use crate::command;
use crate::command::append::Incoming;
use crate::frame::Announced;
use crate::limits;
use crate::output::Output;
use crate::refusal::{Done, Refusal};
use crate::selected::Selected;

/// Where a session stands. Logout is [`Next::Close`].
pub(crate) enum State {
    NotAuthenticated,
    Authenticated,
    Selected(Box<Selected>),
}

/// What a session needs to know of its server and connection.
#[derive(Clone)]
pub(crate) struct Setting {
    pub hostname: String,
    /// The connection is encrypted. Nobody logs in before that.
    pub encrypted: bool,
    pub append_max: u64,
    pub secret: ServerSecret,
    /// For the log.
    pub peer: String,
}

pub(crate) struct Session {
    pub backend: Arc<dyn Backend>,
    pub setting: Setting,
    pub state: State,
    /// The address of the account; empty before login.
    pub account: String,
    /// The client speaks CONDSTORE: flags are told with their MODSEQ. RFC 7162 §3.1.
    pub condstore: bool,
    pub login_failures: u32,
    /// The login of the authentication in hand, as the client wrote it; for the log.
    pub login_tried: String,
    commands: u32,
    syntax_errors: u32,
}

/// What the driver does after a command.
pub(crate) enum Next {
    /// Takes the next command.
    Command,
    /// Sends a continuation request and gives the next line to [`Session::respond`].
    Answer(Box<Authenticating>),
    /// Waits for DONE or for news.
    Idle { tag: String },
    /// Negotiates TLS.
    StartTls,
    /// Ends the connection; all is said.
    Close,
}

/// An AUTHENTICATE in progress.
pub(crate) struct Authenticating {
    pub tag: String,
    pub exchange: Exchange,
    /// Decoded.
    pub challenge: Vec<u8>,
    pub account: Option<String>,
}

/// What becomes of an announced literal.
pub(crate) enum Literal {
    /// It is an argument: keep it with the command.
    Accept,
    /// It is the message of APPEND: stream it there.
    Stream(Box<Incoming>),
    /// The refusal was written; the client, which waits, will not send it.
    Refused,
    /// The refusal was written and nothing that follows can be told from commands.
    Close,
}

impl Session {
    pub fn new(backend: Arc<dyn Backend>, setting: Setting) -> Session {
        Session {
            backend,
            setting,
            state: State::NotAuthenticated,
            account: String::new(),
            condstore: false,
            login_failures: 0,
            login_tried: String::new(),
            commands: 0,
            syntax_errors: 0,
        }
    }

    pub fn is_authenticated(&self) -> bool {
        !matches!(self.state, State::NotAuthenticated)
    }

    /// Longest line that may come now.
    pub fn line_max(&self) -> usize {
        if self.is_authenticated() { limits::LINE_MAX } else { limits::LINE_BEFORE_LOGIN_MAX }
    }

    /// Takes one whole command.
    pub async fn command(&mut self, bytes: &[u8], out: &mut Output<'_>) -> io::Result<Next> {
        if !self.is_authenticated() && (is_other_protocol(bytes) || self.commands >= limits::COMMANDS_BEFORE_LOGIN_MAX)
        {
            out.untagged(format_args!("BYE this is IMAP"));
            return Ok(Next::Close);
        }
        self.commands = self.commands.saturating_add(1);
        if let Err(refusal) = self.still_admitted().await {
            return self.complete(&tag_of(bytes).unwrap_or_else(|| "*".to_owned()), Err(refusal), out);
        }
        if let Some(list) = command::list::Extended::parse(bytes) {
            let tag = tag_of(bytes).unwrap_or_default();
            let done = self.list_extended(list, out).await;
            return self.complete(&tag, done, out);
        }
        match CommandCodec::default().decode(bytes) {
            Ok((b"", command)) => self.dispatch(command, out).await,
            _ => self.not_understood(bytes, out),
        }
    }

    /// Who was suspended or removed since he logged in goes.
    pub(crate) async fn still_admitted(&self) -> Result<(), Refusal> {
        match self.is_authenticated() && !self.backend.admits(&self.login_tried).await? {
            true => Err(Refusal::Bye("this login may not be used any more")),
            false => Ok(()),
        }
    }

    fn not_understood(&mut self, bytes: &[u8], out: &mut Output<'_>) -> io::Result<Next> {
        match tag_of(bytes) {
            Some(tag) => out.line(format_args!("{tag} BAD command not understood")),
            None => out.untagged(format_args!("BAD command not understood")),
        }
        self.syntax_errors += 1;
        let max =
            if self.is_authenticated() { limits::SYNTAX_ERRORS_MAX } else { limits::SYNTAX_ERRORS_BEFORE_LOGIN_MAX };
        if self.syntax_errors < max {
            return Ok(Next::Command);
        }
        out.untagged(format_args!("BYE too many commands that are not understood"));
        Ok(Next::Close)
    }

    /// The commands whose end is not a tagged response at once stand here; the others in [`Session::run`].
    async fn dispatch(&mut self, command: Command<'_>, out: &mut Output<'_>) -> io::Result<Next> {
        self.syntax_errors = 0;
        let tag = command.tag.inner().to_owned();
        match command.body {
            CommandBody::Logout => {
                out.untagged(format_args!("BYE logging out"));
                out.line(format_args!("{tag} OK LOGOUT completed"));
                Ok(Next::Close)
            }
            CommandBody::StartTLS if self.setting.encrypted => {
                self.complete(&tag, Err(Refusal::bad("TLS is active already")), out)
            }
            CommandBody::StartTLS => {
                out.line(format_args!("{tag} OK begin TLS negotiation now"));
                Ok(Next::StartTls)
            }
            CommandBody::Authenticate { mechanism, initial_response } => {
                let initial = initial_response.as_ref().map(|i| i.declassify().as_ref());
                self.authenticate(tag, mechanism.as_ref(), initial, out).await
            }
            CommandBody::Idle if self.is_authenticated() => {
                if let Err(refusal) = self.sync(true, out).await {
                    return self.complete(&tag, Err(refusal), out);
                }
                out.raw(b"+ idling\r\n");
                Ok(Next::Idle { tag })
            }
            body => {
                // RFC 3501 §7.4.1: no EXPUNGE while a command with sequence numbers is answered. RFC 2180 §4.1.
                let numbers = matches!(
                    body,
                    CommandBody::Fetch { uid: false, .. }
                        | CommandBody::Store { uid: false, .. }
                        | CommandBody::Search { uid: false, .. }
                );
                let mut done = self.run(body, out).await;
                if !matches!(done, Err(Refusal::Broken(_) | Refusal::Bye(_)))
                    && let Err(refusal) = self.sync(!numbers, out).await
                {
                    done = Err(refusal);
                }
                self.complete(&tag, done, out)
            }
        }
    }

    async fn run(&mut self, body: CommandBody<'_>, out: &mut Output<'_>) -> Done {
        match body {
            CommandBody::Capability => self.capability(out),
            CommandBody::Noop => Ok("NOOP completed".into()),
            CommandBody::Id { parameters } => self.id(parameters, out),
            CommandBody::Login { username, password } => {
                self.login(username.as_ref(), password.declassify().as_ref()).await
            }
            body if !self.is_authenticated() => Err(match body {
                CommandBody::Compress { .. } => Refusal::bad("not offered"),
                _ => Refusal::bad("log in first"),
            }),
            CommandBody::Enable { capabilities } => self.enable(capabilities.as_ref(), out),
            CommandBody::Namespace => self.namespace(out).await,
            CommandBody::Select { mailbox, parameters } => self.select(mailbox, &parameters, false, out).await,
            CommandBody::Examine { mailbox, parameters } => self.select(mailbox, &parameters, true, out).await,
            CommandBody::Create { mailbox } => self.create(mailbox).await,
            CommandBody::Delete { mailbox } => self.delete(mailbox).await,
            CommandBody::Rename { from, to } => self.rename(from, to).await,
            CommandBody::Subscribe { mailbox } => self.subscribe(mailbox, true).await,
            CommandBody::Unsubscribe { mailbox } => self.subscribe(mailbox, false).await,
            CommandBody::List { reference, mailbox_wildcard } => self.list(reference, mailbox_wildcard, out).await,
            CommandBody::Lsub { reference, mailbox_wildcard } => self.lsub(reference, mailbox_wildcard, out).await,
            CommandBody::Status { mailbox, item_names } => self.status(mailbox, &item_names, out).await,
            CommandBody::GetQuota { root } => self.get_quota(root.as_ref(), out).await,
            CommandBody::GetQuotaRoot { mailbox } => self.get_quota_root(mailbox, out).await,
            CommandBody::SetQuota { .. } => Err(Refusal::no("[NOPERM] only the operator sets quotas")),
            CommandBody::Append { .. } => Err(Refusal::bad("the message must be a literal of at least one octet")),
            body => self.run_selected(body, out).await,
        }
    }

    async fn run_selected(&mut self, body: CommandBody<'_>, out: &mut Output<'_>) -> Done {
        if !matches!(self.state, State::Selected(_)) {
            return Err(Refusal::bad("select a folder first"));
        }
        match body {
            CommandBody::Check => Ok("CHECK completed".into()),
            CommandBody::Close => self.close().await,
            CommandBody::Unselect => self.unselect(),
            CommandBody::Expunge => self.expunge(None).await,
            CommandBody::ExpungeUid { sequence_set } => self.expunge(Some(&sequence_set)).await,
            CommandBody::Search { charset, criteria, uid } => {
                self.search(charset.as_ref().map(AsRef::as_ref), criteria.as_ref(), uid, out).await
            }
            CommandBody::Fetch { sequence_set, macro_or_item_names, uid, modifiers } => {
                self.fetch(&sequence_set, macro_or_item_names, uid, &modifiers, out).await
            }
            CommandBody::Store { sequence_set, kind, response, flags, uid, modifiers } => {
                self.store(command::store::Request { set: sequence_set, kind, response, flags, uid, modifiers }, out)
                    .await
            }
            CommandBody::Copy { sequence_set, mailbox, uid } => self.copy(&sequence_set, mailbox, uid).await,
            CommandBody::Move { sequence_set, mailbox, uid } => self.relocate(&sequence_set, mailbox, uid, out).await,
            _ => Err(Refusal::bad("not offered")),
        }
    }

    /// Writes the tagged response.
    pub fn complete(&mut self, tag: &str, done: Done, out: &mut Output<'_>) -> io::Result<Next> {
        match done {
            Ok(text) => out.line(format_args!("{tag} OK {text}")),
            Err(Refusal::No(text)) => out.line(format_args!("{tag} NO {text}")),
            Err(Refusal::Bad(text)) => out.line(format_args!("{tag} BAD {text}")),
            Err(Refusal::Bye(text)) => {
                out.untagged(format_args!("BYE {text}"));
                return Ok(Next::Close);
            }
            Err(Refusal::Broken(error)) => return Err(error),
        }
        Ok(Next::Command)
    }

    /// Tells the client what others did in the selected folder, if anything.
    pub async fn sync(&mut self, expunge: bool, out: &mut Output<'_>) -> Result<(), Refusal> {
        let State::Selected(selected) = &mut self.state else { return Ok(()) };
        if !selected.watch.has_changed().unwrap_or(true) {
            if expunge && selected.has_pending_expunges() {
                selected.tell_expunged(out);
                selected.tell_count(out);
            }
            return Ok(());
        }
        self.news_with(expunge, out).await
    }

    /// The same for an IDLE that was just woken.
    pub async fn news(&mut self, out: &mut Output<'_>) -> Result<(), Refusal> {
        self.still_admitted().await?;
        self.news_with(true, out).await
    }

    async fn news_with(&mut self, expunge: bool, out: &mut Output<'_>) -> Result<(), Refusal> {
        let mod_seq = self.condstore;
        let State::Selected(selected) = &mut self.state else { return Ok(()) };
        selected.watch.borrow_and_update();
        let known = selected.uids();
        let since = selected.state.mod_seq;
        match self.backend.changes(selected.state.folder, since, &known).await {
            Ok(changes) => selected.apply(changes, expunge, mod_seq, out),
            // RFC 2180 §3.3: the folder was deleted under this session.
            Err(BackendError::NoSuchFolder) => return Err(Refusal::Bye("the selected folder was deleted")),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Decides about a literal before a byte of it is read.
    pub async fn literal(&mut self, so_far: &[u8], announced: Announced, out: &mut Output<'_>) -> io::Result<Literal> {
        let verdict = if self.is_authenticated() {
            match command::append::Request::parse(so_far, announced.length) {
                Some(request) => return self.append(request, announced, out).await,
                None => {
                    let size = announced.length.saturating_add(so_far.len() as u64);
                    size <= limits::COMMAND_MAX as u64 && announced.count <= limits::LITERALS_MAX
                }
            }
        } else {
            // Only LOGIN has literals before login; anything else would only fill memory.
            verb_is(so_far, b"LOGIN")
                && announced.length <= limits::LITERAL_BEFORE_LOGIN_MAX
                && announced.count <= limits::LITERALS_BEFORE_LOGIN_MAX
        };
        if verdict {
            return Ok(Literal::Accept);
        }
        Ok(self.refuse_literal(so_far, announced, "BAD [TOOBIG] literal refused", out))
    }

    /// Refuses a literal. One that the client sends without waiting would be taken for commands: then the session ends.
    pub fn refuse_literal(&mut self, so_far: &[u8], announced: Announced, why: &str, out: &mut Output<'_>) -> Literal {
        let tag = tag_of(so_far).unwrap_or_else(|| "*".to_owned());
        out.line(format_args!("{tag} {why}"));
        if announced.waits {
            return Literal::Refused;
        }
        out.untagged(format_args!("BYE literal refused"));
        Literal::Close
    }

    /// The selected folder. Only called where [`Session::run_selected`] checked that there is one.
    pub fn selected(&mut self) -> Result<&mut Selected, Refusal> {
        match &mut self.state {
            State::Selected(selected) => Ok(selected),
            _ => Err(Refusal::bad("select a folder first")),
        }
    }
}

/// The command's tag, if it has one that may be repeated to the client. RFC 3501 §9 `tag`.
pub(crate) fn tag_of(command: &[u8]) -> Option<String> {
    const TAG_MAX: usize = 128;
    let end = command.iter().position(|b| *b == b' ')?;
    let tag = &command[..end];
    let good = !tag.is_empty()
        && tag.len() <= TAG_MAX
        && tag.iter().all(|b| b.is_ascii_graphic() && !b"(){%*\"\\+".contains(b));
    good.then(|| String::from_utf8_lossy(tag).into_owned())
}

/// Whether the command after the tag is `verb`.
pub(crate) fn verb_is(command: &[u8], verb: &[u8]) -> bool {
    let mut words = command.split(|b| *b == b' ');
    words.next();
    words.next().is_some_and(|w| w.trim_ascii_end().eq_ignore_ascii_case(verb))
}

/// A browser that was led to this port (cross-protocol attack) must not get a session.
fn is_other_protocol(line: &[u8]) -> bool {
    const VERBS: [&[u8]; 9] =
        [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"PRI ", b"EHLO ", b"HELO "];
    VERBS.iter().any(|verb| line.starts_with(verb))
}

#[cfg(test)]
mod tests;
