//! Operations that plugins bring: `sigillo PLUGIN OPERATION NAME=VALUE …`. The running server carries them out.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, FromArgMatches};
use serde_json::Value;
use sigillo_mail::{Mailbox, Rope, Source};
use sigillo_plugin::operation::CONTINUE;
use sigillo_policy::{Argument, Manifest, Operation, SetBy};
use sigillo_provisioning::permissions::{Operation as Right, Subject};

use super::message_file::MessageFile;
use super::office::Office;
use super::{CommandError, open, readable, say, say_json};
use crate::config::Config;
use crate::control::client::Client;
use crate::control::{Done, OperationRequest, Request};
use crate::evidence::case::operator;

/// Octets of a message that are read from its file at once.
const PIECE: usize = 256 * 1024;

/// What every operation of every plugin takes.
#[derive(Args)]
struct Arguments {
    /// What the operation takes, each as NAME=VALUE.
    #[arg(value_name = "NAME=VALUE")]
    arguments: Vec<String>,
    /// A message (.eml) that goes along; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Where to put content that comes with the answer. A file that is there is kept, and the command refused.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The plugin's name in the policy, where several have this component.
    #[arg(long, value_name = "NAME")]
    named: Option<String>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// The command line of one operation of a plugin.
pub fn command_line(plugin: &str, name: &str, operation: &Operation) -> clap::Command {
    let line = |(name, argument): (&String, &Argument)| {
        let must = if argument.required { "" } else { " (optional)" };
        format!("  {:<24}{}{must}", format!("{name}=…"), argument.description)
    };
    let lines: Vec<String> = operation.arguments.iter().map(line).collect();
    let takes =
        if lines.is_empty() { "It takes nothing.".to_owned() } else { format!("It takes:\n{}", lines.join("\n")) };
    let command = Arguments::augment_args(clap::Command::new(name.to_owned()));
    command
        .about(operation.description.clone())
        .after_help(format!("{takes}\n\nThe server must run. Example:\n{}", example(plugin, name, operation)))
}

/// One line to paste: what the manifest says, or the arguments that must be.
pub fn example(plugin: &str, name: &str, operation: &Operation) -> String {
    let required = || {
        let required = operation.arguments.iter().filter(|(_, argument)| argument.required);
        required.map(|(name, _)| format!("{name}=…")).collect::<Vec<_>>().join(" ")
    };
    format!("  {plugin} {name} {}", operation.example.clone().unwrap_or_else(required)).trim_end().to_owned()
}

/// Asks the running server, again and again while there is more to do; for a login only what its own rights allow.
pub async fn run(
    config: &Path,
    manifest: &Manifest,
    operation: &str,
    matches: &clap::ArgMatches,
    login: Option<&str>,
) -> Result<(), CommandError> {
    let given = Arguments::from_arg_matches(matches).map_err(|error| CommandError::Usage(error.to_string()))?;
    let arguments: Vec<(String, String)> = given.arguments.iter().map(|word| pair(word)).collect::<Result<_, _>>()?;
    // The server looks again; here it is wrong usage, told though no server runs.
    let asked = sigillo_plugin::Request {
        operation: operation.to_owned(),
        arguments: arguments.clone(),
        ..sigillo_plugin::Request::default()
    };
    asked.check(&manifest.name, &manifest.operations).map_err(CommandError::Usage)?;
    let config = Config::load(config)?;
    let actor = match login {
        None => operator().name,
        Some(login) => may_ask(&config, manifest, operation, &arguments, login).await?,
    };
    let file = given.file.as_deref().map(|path| opened(path, &config)).transpose()?;
    let mut out = given.out.as_deref().map(Out::create).transpose()?;
    let mut request = OperationRequest {
        plugin: given.named.clone().unwrap_or_else(|| manifest.name.clone()),
        operation: operation.to_owned(),
        actor,
        arguments: arguments.clone(),
    };
    let mut client =
        Client::connect(&config.data_dir()).await.map_err(|error| CommandError::Other(error.to_string()))?;
    let terminal = std::io::stderr().is_terminal();
    let done = loop {
        let done = ask(&mut client, &request, file.as_ref(), &mut out).await?;
        let answer: Value = serde_json::from_str(&done.answer).map_err(|e| CommandError::Other(e.to_string()))?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        if answer.get("more") != Some(&Value::Bool(true)) {
            break done;
        }
        let Some(next) = text(CONTINUE) else {
            return Err(CommandError::Other(format!("plugin '{}' does not say how to go on", manifest.name)));
        };
        if terminal {
            // Above the last line, which is the plugin's words and may be a stranger's.
            eprint!("\r\x1b[K{}", text("progress").unwrap_or_default().replace(char::is_control, " "));
            let _ = std::io::stderr().flush(); // the next line shows the same
        }
        request.arguments = arguments.clone();
        request.arguments.push((CONTINUE.to_owned(), next));
    };
    if terminal {
        eprint!("\r\x1b[K");
    }
    // An answer without content makes no file: an empty one would look like what was asked for.
    if let Some(out) = out.filter(|_| done.output) {
        out.finish()?;
    }
    let broken = |error: serde_json::Error| CommandError::Other(error.to_string());
    if given.json {
        say_json(&serde_json::from_str::<Value>(&done.answer).map_err(broken)?)?;
    } else {
        say(&readable::text(&done.answer).map_err(broken)?)?;
    }
    if done.valid == Some(false) { Err(CommandError::Found) } else { Ok(()) }
}

/// Whether a login may ask: of his own mailbox, or of one that he administers. His name as the log has it.
async fn may_ask(
    config: &Config,
    manifest: &Manifest,
    operation: &str,
    arguments: &[(String, String)],
    login: &str,
) -> Result<String, CommandError> {
    let plugin = &manifest.name;
    if manifest.operations.get(operation).is_none_or(|operation| operation.by != SetBy::User) {
        return Err(CommandError::Other(format!(
            "{login} may not ask for '{plugin} {operation}': that is for the administrator of the platform"
        )));
    }
    let mailbox = arguments.iter().find(|(name, _)| name == "mailbox").map(|(_, value)| value.parse::<Mailbox>());
    let mailbox = mailbox.transpose().map_err(|error| CommandError::Usage(format!("mailbox: {error}")))?;
    let key = mailbox.ok_or_else(|| CommandError::Usage("name the mailbox: mailbox=ADDRESS".into()))?.key();
    let office = Office::of(config, open(config)?, Some(login));
    office.provisioning.may(&office.actor, Right::MailboxOwnSet, Subject::Mailbox(key)).await?;
    Ok(office.actor.name)
}

async fn ask(
    client: &mut Client,
    request: &OperationRequest,
    file: Option<&MessageFile>,
    out: &mut Option<Out>,
) -> Result<Done, CommandError> {
    let (rope, source) = match file {
        Some(file) => (file.rope().clone(), Some(file.source())),
        None => (Rope::default(), None),
    };
    // Read by pieces on a thread of its own: a message of 100 MB is never in memory.
    let (mut writer, mut body) = tokio::io::duplex(PIECE);
    let length = rope.len();
    let feeding = tokio::spawn(async move {
        let Some(source) = source else { return Ok(()) };
        let mut offset = 0;
        while offset < length {
            let piece = rope.read(&*source as &dyn Source, offset, PIECE)?;
            offset += piece.len() as u64;
            tokio::io::AsyncWriteExt::write_all(&mut writer, &piece).await?;
        }
        std::io::Result::Ok(())
    });
    let request = Request::Operation(request.clone());
    let other = |error: String| CommandError::Other(error);
    let done = match out {
        Some(out) => {
            let mut sink = tokio::fs::File::from_std(out.file.try_clone().map_err(|error| other(error.to_string()))?);
            let done = client.ask(&request, &mut body, length, &mut sink).await;
            tokio::io::AsyncWriteExt::flush(&mut sink).await.map_err(|error| other(error.to_string()))?;
            done
        }
        None => client.ask(&request, &mut body, length, &mut tokio::io::sink()).await,
    };
    feeding.abort();
    let done = done.map_err(|error| other(error.to_string()))?;
    if done.output && out.is_none() {
        eprintln!("note: content came with the answer; --out FILE keeps it");
    }
    Ok(done)
}

fn pair(word: &str) -> Result<(String, String), CommandError> {
    let (name, value) = word.split_once('=').ok_or_else(|| {
        CommandError::Usage(format!("'{word}' is not NAME=VALUE, such as mailbox=ada@pec.alfa.example"))
    })?;
    Ok((name.to_owned(), value.to_owned()))
}

fn opened(path: &Path, config: &Config) -> Result<MessageFile, CommandError> {
    let file = MessageFile::open(path).map_err(|error| CommandError::Other(format!("{}: {error}", path.display())))?;
    match file.rope().len() > config.limits.message_size {
        true => Err(CommandError::Other(format!(
            "{}: {} octets; limits.message-size allows {}",
            path.display(),
            file.rope().len(),
            config.limits.message_size
        ))),
        false => Ok(file),
    }
}

/// The file of `--out`: beside its place until it is whole.
struct Out {
    file: std::fs::File,
    beside: PathBuf,
    place: PathBuf,
}

impl Out {
    fn create(place: &Path) -> Result<Out, CommandError> {
        use std::os::unix::fs::OpenOptionsExt;
        if place.exists() {
            return Err(CommandError::Other(format!("{} is there already", place.display())));
        }
        let mut name = place.as_os_str().to_owned();
        name.push(format!(".part-{:08x}", rand::random::<u32>()));
        let beside = PathBuf::from(name);
        // Mail: for nobody but whoever asked for it.
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        let file = file.map_err(|error| CommandError::Other(format!("{}: {error}", beside.display())))?;
        Ok(Out { file, beside, place: place.to_owned() })
    }

    fn finish(self) -> Result<(), CommandError> {
        let wrong = |error: std::io::Error| CommandError::Other(format!("{}: {error}", self.place.display()));
        self.file.sync_all().map_err(wrong)?;
        std::fs::rename(&self.beside, &self.place).map_err(wrong)
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.beside); // gone already where it became the file itself
    }
}
