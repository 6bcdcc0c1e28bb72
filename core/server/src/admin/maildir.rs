//! `mailbox import`: a Maildir++ into a mailbox (MIG-01 to MIG-03).
//!
//! Only one process writes message bytes: where a server runs, the messages go to it by the control socket; where none
//! does, this command holds the store for as long as it works.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use sigillo_provisioning::import::{ImportReport, Placed};
use sigillo_provisioning::maildir::{Mail, MaildirFolder, Problem, folders, has_name_of, messages, open};
use sigillo_store::Store;

use super::bulk::{show_progress, stop_at_interrupt};
use super::office::{Office, mailbox as parse};
use super::{CommandError, say, say_json};
use crate::config::Config;
use crate::control::client::Client;
use crate::control::import::{AT_ONCE_MAX, AT_ONCE_OCTETS, Item, take};
use crate::control::{ImportRequest, Request};

/// Octets of a file that are read at once.
const PIECE: usize = 64 * 1024;
/// Problems that are printed; the report has all.
const PROBLEMS_SHOWN: usize = 100;

#[derive(Args)]
#[command(after_help = "The folder is a Maildir++ as Courier and Dovecot write it. Folders keep their names (modified
UTF-7 or UTF-8), messages their bytes (line ends become CRLF), flags, keywords and times. What was
brought before is not brought again: an interrupted run is run again. The mailbox must have the
name that it had there (MIG-02).

Examples:
  sigillo mailbox import ada@pec.alfa.example /srv/old/ada@pec.alfa.example/Maildir --dry-run
  sigillo mailbox import ada@pec.alfa.example /srv/old/ada@pec.alfa.example/Maildir \\
      --report left.json")]
pub struct ImportArguments {
    /// The mailbox; it must be there.
    address: String,
    /// The Maildir.
    maildir: PathBuf,
    /// The Maildir may be of a mailbox with another name.
    #[arg(long)]
    allow_other_name: bool,
    /// Only print what would be brought.
    #[arg(long)]
    dry_run: bool,
    /// Where what was not brought is written, as JSON, with the reasons.
    #[arg(long)]
    report: Option<PathBuf>,
    /// The report on standard output, as JSON.
    #[arg(long)]
    json: bool,
}

/// Where messages go.
enum Carrier {
    /// Into the store, which is held.
    Held,
    /// To the server that holds it.
    Server(Box<Client>),
}

struct Run<'a> {
    office: &'a Office,
    carrier: Carrier,
    address: String,
    limit: u64,
    report: ImportReport,
    stop: std::sync::Arc<AtomicBool>,
}

pub async fn import(config: &Config, office: &Office, arguments: ImportArguments) -> Result<(), CommandError> {
    let mailbox = parse(&arguments.address)?;
    let root = &arguments.maildir;
    if !arguments.allow_other_name && !has_name_of(root, &mailbox) {
        return Err(CommandError::Usage(format!(
            "{} is not called like {mailbox}: messages go into a mailbox of the same name (MIG-02); \
             --allow-other-name brings them all the same",
            root.display()
        )));
    }
    let address = mailbox.key();
    let (found, problems) = folders(root)?;
    let (held, carrier) = carrier(config, arguments.dry_run).await?;
    // Where the store is held here, the operations work on that one: it alone may write message bytes.
    let held = held.map(|store| Office::of(config, store, None));
    let office = match &held {
        Some(own) => &Office { provisioning: own.provisioning.clone(), actor: office.actor.clone() },
        None => office,
    };
    if !arguments.dry_run {
        office.provisioning.begin_import(&office.actor, &address, &root.display().to_string()).await?;
    }
    let report = ImportReport { dry_run: arguments.dry_run, problems, ..ImportReport::default() };
    let (limit, stop) = (config.limits.message_size, stop_at_interrupt());
    let mut run = Run { office, carrier, address, limit, report, stop };
    let ended = run.folders(&found).await;
    show_progress("");
    let (report, address) = (run.report, run.address);
    if !arguments.dry_run {
        office.provisioning.end_import(&office.actor, &address, &report).await?;
    }
    ended?;
    if let Some(path) = &arguments.report {
        let text = serde_json::to_string_pretty(&report).unwrap_or_default();
        std::fs::write(path, text).map_err(|error| CommandError::Other(format!("{}: {error}", path.display())))?;
    }
    if arguments.json {
        say_json(&report)?
    } else {
        print(&report)?
    }
    if report.problems.is_empty() && !report.stopped { Ok(()) } else { Err(CommandError::Found) }
}

/// The running server, or the store itself.
async fn carrier(config: &Config, dry_run: bool) -> Result<(Option<Store>, Carrier), CommandError> {
    if dry_run {
        return Ok((None, Carrier::Held));
    }
    let folder = config.data_dir();
    match Client::connect(&folder).await {
        Ok(client) => Ok((None, Carrier::Server(Box::new(client)))),
        // Fails if a server runs all the same, and says so.
        Err(_) => Ok((Some(Store::open(&folder)?), Carrier::Held)),
    }
}

impl Run<'_> {
    async fn folders(&mut self, found: &[MaildirFolder]) -> Result<(), CommandError> {
        for folder in found {
            self.report.folders += 1;
            let (mails, problems) = messages(folder)?;
            self.report.problems.extend(problems);
            let brought = self.office.provisioning.brought(&self.address, &folder.name).await?;
            let (mut batch, mut octets) = (Vec::new(), 0);
            for mail in mails {
                if brought.contains(&mail.name) {
                    self.report.before += 1;
                    continue;
                }
                if mail.size > self.limit {
                    let words = format!("it has {} octets; limits.message-size allows {}", mail.size, self.limit);
                    self.not_brought(&mail, words);
                    continue;
                }
                if !batch.is_empty() && (octets + mail.size > AT_ONCE_OCTETS || batch.len() == AT_ONCE_MAX) {
                    self.bring(folder, std::mem::take(&mut batch)).await?;
                    octets = 0;
                }
                if self.stop.load(Ordering::Relaxed) {
                    self.report.stopped = true;
                    return Ok(());
                }
                octets += mail.size;
                batch.push(mail);
            }
            if !batch.is_empty() {
                self.bring(folder, batch).await?;
            }
        }
        Ok(())
    }

    fn not_brought(&mut self, mail: &Mail, problem: String) {
        self.report.problems.push(Problem { path: mail.path.display().to_string(), problem });
    }

    /// One commit.
    async fn bring(&mut self, folder: &MaildirFolder, mails: Vec<Mail>) -> Result<(), CommandError> {
        if self.report.dry_run {
            self.report.filed += mails.len() as u64;
            self.report.octets += mails.iter().map(|mail| mail.size).sum::<u64>();
            return Ok(());
        }
        let mut items = Vec::with_capacity(mails.len());
        let mut files = Vec::with_capacity(mails.len());
        let mut taken = Vec::with_capacity(mails.len());
        for mail in mails {
            // Opened first and measured then: what grows or shrinks behind is not what was promised.
            let opened = open(&mail.path).and_then(|file| {
                let metadata = file.metadata()?;
                if metadata.is_file() {
                    Ok((file, metadata.len()))
                } else {
                    Err(std::io::ErrorKind::InvalidInput.into())
                }
            });
            match opened {
                Ok((file, octets)) => {
                    items.push(Item {
                        name: mail.name.clone(),
                        flags: mail.flags.clone(),
                        internal_date: mail.internal_date,
                        octets,
                    });
                    files.push(file);
                    taken.push(mail);
                }
                Err(error) => self.not_brought(&mail, format!("{error}; if a program moves it, run this again")),
            }
        }
        let total: u64 = items.iter().map(|item| item.octets).sum();
        let mut body = Files::new(files, items.iter().map(|item| item.octets).collect());
        let request = ImportRequest { address: self.address.clone(), folder: folder.name.clone(), items };
        let placed = match &mut self.carrier {
            Carrier::Held => take(&self.office.provisioning, request, &mut body).await.map_err(CommandError::Other)?,
            Carrier::Server(client) => {
                let done = client.ask(&Request::Import(request), &mut body, total, &mut tokio::io::sink()).await;
                let done = done.map_err(|error| CommandError::Other(error.to_string()))?;
                serde_json::from_str(&done.answer).map_err(|error| CommandError::Other(error.to_string()))?
            }
        };
        for (mail, placed) in taken.iter().zip(placed) {
            match placed {
                Placed::Filed => {
                    self.report.filed += 1;
                    self.report.octets += mail.size;
                }
                Placed::Before => self.report.before += 1,
                Placed::Full => {
                    self.not_brought(mail, "the mailbox has no room for it; `sigillo mailbox quota` gives more".into());
                }
            }
        }
        show_progress(&format!("{}: {} messages, {} octets", folder.name, self.report.filed, self.report.octets));
        Ok(())
    }
}

fn print(report: &ImportReport) -> Result<(), CommandError> {
    for problem in report.problems.iter().take(PROBLEMS_SHOWN) {
        say(&format!("not brought: {}: {}", problem.path, problem.problem))?;
    }
    if report.problems.len() > PROBLEMS_SHOWN {
        say(&format!("… and {} more; --report FILE has all", report.problems.len() - PROBLEMS_SHOWN))?;
    }
    let word = if report.dry_run { "to be brought" } else { "brought" };
    say(&format!(
        "{} folders: {} messages {word} ({} octets), {} brought before, {} not brought",
        report.folders,
        report.filed,
        report.octets,
        report.before,
        report.problems.len()
    ))?;
    if report.stopped { say("stopped; the same command goes on with the rest") } else { Ok(()) }
}

/// Files one behind the other, each of exactly the octets that were promised.
struct Files {
    files: std::vec::IntoIter<(tokio::fs::File, u64)>,
    current: Option<(tokio::fs::File, u64)>,
    piece: Vec<u8>,
}

impl Files {
    fn new(files: Vec<std::fs::File>, octets: Vec<u64>) -> Files {
        let files: Vec<_> = files.into_iter().map(tokio::fs::File::from_std).zip(octets).collect();
        Files { files: files.into_iter(), current: None, piece: vec![0; PIECE] }
    }
}

impl tokio::io::AsyncRead for Files {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        use std::task::{Poll, ready};
        loop {
            let this = &mut *self;
            if this.current.as_ref().is_none_or(|(_, rest)| *rest == 0) {
                this.current = this.files.next();
            }
            let Some((file, rest)) = &mut this.current else { return Poll::Ready(Ok(())) };
            if *rest == 0 {
                continue;
            }
            let wanted = usize::try_from(*rest).unwrap_or(PIECE).min(PIECE).min(buffer.remaining());
            let mut piece = tokio::io::ReadBuf::new(&mut this.piece[..wanted]);
            ready!(std::pin::Pin::new(file).poll_read(context, &mut piece))?;
            if piece.filled().is_empty() && wanted > 0 {
                // What follows must not be taken for the rest of this one.
                return Poll::Ready(Err(std::io::Error::other(
                    "a file of the Maildir became shorter while it was read",
                )));
            }
            *rest -= piece.filled().len() as u64;
            buffer.put_slice(piece.filled());
            return Poll::Ready(Ok(()));
        }
    }
}
