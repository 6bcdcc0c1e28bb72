//! Commands that plugins bring: `sigillo PLUGIN COMMAND FILE`. They need no server, no store and no key. What else may
//! be asked of a plugin is an operation, see [`super::plugin_operation`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Arg, Args, FromArgMatches};
use sigillo_mail::structure::Structure;
use sigillo_plugin::{Commands, Host, HostOptions, Inspected};
use sigillo_policy::{Diagnostic, Manifest, Manifests};

use super::message_file::MessageFile;
use super::registry::when;
use super::{CommandError, plugin_operation, readable, say, say_json};
use crate::check;
use crate::config::Config;
use crate::offline::Offline;

/// The option that must be known before the others: it says which commands there are.
const PLUGINS_DIR: &str = "plugins-dir";

/// What every command of every plugin takes.
#[derive(Args)]
struct Arguments {
    /// The message, as a file (.eml); `-` is standard input. Line ends may be CRLF or LF, and a `From ` line of mbox above
    /// it does not matter.
    file: PathBuf,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// PEM: the roots (or authorities) to trust. Without it, signatures are checked and trust is not.
    #[arg(long, value_name = "FILE")]
    anchors: Option<PathBuf>,
    /// LDIF: the index of providers.
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// PEM: revocation lists of every authority between a certificate and a root.
    #[arg(long, value_name = "FILE", requires = "anchors")]
    revocation_lists: Option<PathBuf>,
    /// Judge as of this instant (2026-01-31T10:00:00Z) or day (UTC) instead of now.
    #[arg(long, value_name = "INSTANT")]
    at: Option<String>,
}

/// Runs `PLUGIN COMMAND …`; `config` is the configuration file, which need not be there. An operation is asked for with the
/// rights of `login`, if there is one.
pub async fn run(config: &Path, words: Vec<OsString>, login: Option<&str>) -> Result<(), CommandError> {
    let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = folder(config, &words)?;
    let manifests = with_commands(&folder)?;
    let manifest = manifests.get(&name).ok_or_else(|| unknown(&name, &folder, &manifests))?;
    let matches = match command_line(manifest).try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(answer) => {
            let _ = answer.print(); // nobody reads it any more
            return if answer.use_stderr() { Err(CommandError::UsageFound) } else { Ok(()) };
        }
    };
    let Some((command, matches)) = matches.subcommand() else { return Err(CommandError::UsageFound) };
    if manifest.operations.contains_key(command) {
        return plugin_operation::run(config, manifest, command, matches, login).await;
    }
    let arguments = Arguments::from_arg_matches(matches).map_err(|error| CommandError::Usage(error.to_string()))?;
    answer(&folder, &name, command, &arguments).await
}

async fn answer(folder: &Path, plugin: &str, command: &str, arguments: &Arguments) -> Result<(), CommandError> {
    let other = |error: String| CommandError::Other(format!("{}: {error}", arguments.file.display()));
    let file = MessageFile::open(&arguments.file).map_err(|error| other(error.to_string()))?;
    let at = arguments.at.as_deref().map(|text| when(text, false)).transpose()?;
    let offline = Offline::load(
        file.source(),
        arguments.anchors.as_deref(),
        arguments.revocation_lists.as_deref(),
        arguments.index.as_deref(),
        at.unwrap_or_else(sigillo_store::commit::now),
    )?;
    let structure = Structure::parse(file.rope(), &*file.source()).map_err(|error| other(error.to_string()))?;
    let inspected = Inspected {
        message: file.rope().clone(),
        structure: Arc::new(structure),
        properties: properties(&file, arguments),
    };
    let (host, _cache) = host()?;
    let commands = Commands::load(host, folder, plugin).map_err(|found| wrong(&found))?;
    let found = commands.run(command, inspected, Arc::new(offline)).await;
    let found = found.map_err(|words| other(format!("plugin '{plugin}': {words}")))?;
    let broken = |error: serde_json::Error| other(error.to_string());
    if arguments.json {
        say_json(&serde_json::from_str::<serde_json::Value>(&found.text).map_err(broken)?)?;
    } else {
        say(&readable::text(&found.text).map_err(broken)?)?;
    }
    if found.valid == Some(false) { Err(CommandError::Found) } else { Ok(()) }
}

/// Facts about the file and about what there is to judge it by.
fn properties(file: &MessageFile, arguments: &Arguments) -> std::collections::BTreeMap<String, String> {
    let mut properties = file.facts().clone();
    let given = [
        ("anchors", arguments.anchors.is_some()),
        ("directory", arguments.index.is_some()),
        ("revocation-lists", arguments.revocation_lists.is_some()),
        ("at", arguments.at.is_some()),
    ];
    properties.extend(given.into_iter().filter(|(_, is)| *is).map(|(name, _)| (name.into(), "given".into())));
    properties
}

/// What stands under the usual help: the commands of the plugins that are found without being told where.
pub fn help(config: Option<PathBuf>) -> Option<String> {
    let from_environment = || std::env::var_os("SIGILLO_CONFIG").map(PathBuf::from);
    let config = config.or_else(from_environment).unwrap_or_else(|| "sigillo.yaml".into());
    let folder = folder(&config, &[]).ok()?;
    let manifests = with_commands(&folder).ok()?;
    let lines: Vec<String> = manifests.values().flat_map(lines).collect();
    (!lines.is_empty())
        .then(|| format!("Commands of plugins (`sigillo PLUGIN --help` tells more):\n{}", lines.join("\n")))
}

fn lines(manifest: &Manifest) -> impl Iterator<Item = String> {
    let line = |(name, what): (&String, &String)| format!("  {:<20}{what}", format!("{} {name}", manifest.name));
    let operations = manifest.operations.iter().map(|(name, operation)| (name, &operation.description));
    manifest.commands.iter().chain(operations).map(line)
}

/// Where plugins lie: the option's folder, else the configuration's, else one beside the program.
fn folder(config: &Path, words: &[OsString]) -> Result<PathBuf, CommandError> {
    let option = format!("--{PLUGINS_DIR}");
    let texts: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let said = texts.iter().enumerate().find_map(|(index, word)| {
        let with_equals = word.strip_prefix(&option).and_then(|rest| rest.strip_prefix('='));
        with_equals.map(PathBuf::from).or_else(|| (*word == option).then(|| words.get(index + 1).map(PathBuf::from))?)
    });
    if let Some(folder) = said {
        return Ok(folder);
    }
    if config.exists() {
        let config = Config::load(config)?;
        return Ok(config.path(&config.plugins_dir));
    }
    let program = std::env::current_exe().map_err(|error| CommandError::Other(error.to_string()))?;
    let beside = program.ancestors().skip(1).take(2).map(|folder| folder.join("plugins"));
    Ok(beside.into_iter().find(|folder| folder.is_dir()).unwrap_or_else(|| "plugins".into()))
}

/// The manifests with commands or operations; one that cannot be read is an error, because it may be the one that is meant.
fn with_commands(folder: &Path) -> Result<Manifests, CommandError> {
    let (mut manifests, found) = sigillo_plugin::manifests(folder);
    let errors: Vec<Diagnostic> = found.into_iter().filter(Diagnostic::is_error).collect();
    if !errors.is_empty() {
        return Err(wrong(&errors));
    }
    manifests.retain(|_, manifest| !manifest.commands.is_empty() || !manifest.operations.is_empty());
    Ok(manifests)
}

fn wrong(found: &[Diagnostic]) -> CommandError {
    CommandError::Other(check::print(found))
}

fn unknown(name: &str, folder: &Path, manifests: &Manifests) -> CommandError {
    let own = <super::Cli as clap::CommandFactory>::command();
    let known = own.get_subcommands().map(|command| command.get_name().to_owned()).chain(manifests.keys().cloned());
    // 0.8 lets one letter of four be wrong, which is a slip; less is another word.
    let near = known.into_iter().find(|known| strsim::jaro_winkler(known, name) > 0.8);
    let advice = match near {
        Some(near) => format!("did you mean '{near}'?"),
        None if manifests.is_empty() => {
            format!("no plugin with commands lies in {} (--{PLUGINS_DIR} names another folder)", folder.display())
        }
        None => {
            let names: Vec<&str> = manifests.keys().map(String::as_str).collect();
            format!("plugins with commands in {}: {}", folder.display(), names.join(", "))
        }
    };
    CommandError::Usage(format!("no command or plugin '{name}'; {advice} (see sigillo --help)"))
}

/// The command line of one plugin.
fn command_line(manifest: &Manifest) -> clap::Command {
    let bin = format!("sigillo {}", manifest.name);
    let folder = Arg::new(PLUGINS_DIR)
        .long(PLUGINS_DIR)
        .value_name("FOLDER")
        .global(true)
        .help("Where plugins lie, instead of the configuration's folder or `plugins` beside the program");
    let mut line = clap::Command::new(manifest.name.clone())
        .bin_name(bin.clone())
        .version(manifest.version.clone())
        .about(manifest.description.clone())
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(folder)
        .after_help(format!(
            "Examples:\n{}\n\n\
             Exit status: 0 done, 1 it could not be done or the message is not valid, 2 wrong usage, 78 the configuration.",
            examples(&bin, manifest)
        ));
    for (command, what) in &manifest.commands {
        line = line.subcommand(Arguments::augment_args(clap::Command::new(command.clone())).about(what.clone()));
    }
    for (name, operation) in &manifest.operations {
        line = line.subcommand(plugin_operation::command_line(&bin, name, operation));
    }
    line
}

fn examples(name: &str, manifest: &Manifest) -> String {
    let mut lines = Vec::new();
    if let Some(first) = manifest.commands.keys().next() {
        lines.push(format!("  {name} {first} message.eml"));
        lines.push(format!("  {name} {first} message.eml --anchors ca.pem --index index.ldif --json"));
    }
    lines.extend(manifest.operations.iter().map(|(operation, what)| plugin_operation::example(name, operation, what)));
    if !manifest.operations.is_empty() {
        lines.push("\nThe server must run for operations (NAME=VALUE). `--json` gives the answer to programs.".into());
    }
    lines.join("\n")
}

/// A host for one command, and what must live as long: compiled plugins are kept for the next time where the user has
/// a folder for such things.
fn host() -> Result<(Arc<Host>, Option<Scratch>), CommandError> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .filter(|folder| folder.is_absolute());
    let options = |folder| HostOptions { concurrency: 1, ..HostOptions::new(folder) };
    if let Some(host) = cache.and_then(|cache| Host::new(options(cache.join("sigillo/plugins"))).ok()) {
        return Ok((host, None));
    }
    let name = format!("sigillo-command-{}-{:x}", std::process::id(), rand::random::<u32>());
    let folder = std::env::temp_dir().join(name);
    let scratch = Scratch(folder.clone());
    let host = Host::new(options(folder)).map_err(|error| CommandError::Other(error.to_string()))?;
    Ok((host, Some(scratch)))
}

/// A folder that goes with its owner.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // the system's own cleaning finds what is left
    }
}
