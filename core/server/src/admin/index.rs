//! `index`: the index of providers.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sigillo_store::commit::now;
use sigillo_trust::changes::entry_name;
use sigillo_trust::{Changes, Directory, Edition, IndexSigner, Provider};

use super::{CommandError, instant, open, say, say_json};
use crate::config::{Config, ConfigError, read_bytes};
use crate::index::source::read_index;
use crate::index::{Accept, Index, Update, own};
use crate::keys::Keys;

/// Names printed of each kind of change; `--json` prints all.
const NAMES_SHOWN: usize = 50;

#[derive(Subcommand)]
#[command(after_help = "Examples:
  sigillo index show --domain pec.alfa.example
  sigillo index fetch
  sigillo index verify igpec.ldif.p7m
  sigillo index import igpec.ldif.p7m --accept-shrink
  sigillo index export --signed --out /var/www/alfa.ldif.p7m")]
pub enum IndexCommand {
    /// Print what is in use: where it came from, and its providers.
    Show {
        /// Only the provider that manages this domain.
        #[arg(long)]
        domain: Option<String>,
        /// Only the providers of this name.
        #[arg(long)]
        provider: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fetch from the configured source now, take what comes, and print what changed.
    Fetch {
        #[command(flatten)]
        accept: AcceptArguments,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take this file in the place of what is in use, under the same rules as a fetch.
    Import {
        /// A signed file (.p7m), or LDIF where the configuration says `signed: false`.
        file: PathBuf,
        #[command(flatten)]
        accept: AcceptArguments,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check a file as an import would, and change nothing.
    Verify {
        /// The file.
        file: PathBuf,
        /// Hold the signature against these certificates (PEM) and not against the configured signer.
        #[arg(long)]
        signer: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write what this provider publishes of itself (trust.own).
    Export {
        /// Where to; standard output if absent. The file is there whole or not at all.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Signed by the key of trust.own, as it must be published: application/pkcs7-mime; smime-type=signed-data.
        #[arg(long)]
        signed: bool,
    },
}

#[derive(Args, Clone, Copy)]
pub struct AcceptArguments {
    /// Take it however many providers and domains are gone.
    #[arg(long)]
    accept_shrink: bool,
    /// Take it although it is older than what is in use.
    #[arg(long)]
    accept_older: bool,
}

impl From<AcceptArguments> for Accept {
    fn from(arguments: AcceptArguments) -> Accept {
        Accept { shrink: arguments.accept_shrink, older: arguments.accept_older }
    }
}

pub async fn index(config: &Config, command: IndexCommand) -> Result<(), CommandError> {
    match command {
        IndexCommand::Show { domain, provider, json } => show(config, domain, provider, json),
        IndexCommand::Fetch { accept, json } => {
            let index = configured(config)?;
            told(&index.fetch(&open(config)?, accept.into()).await.map_err(CommandError::Other)?, json)
        }
        IndexCommand::Import { file, accept, json } => {
            let index = configured(config)?;
            if index.plan().is_some_and(|plan| plan.own_file) {
                return Err(CommandError::Usage(
                    "trust.directory names a file of your own: change that file and the server takes it".into(),
                ));
            }
            let octets = read_index(&file).await.map_err(CommandError::Other)?;
            let name = file.display().to_string();
            told(&index.import(&open(config)?, octets, &name, accept.into()).await.map_err(CommandError::Other)?, json)
        }
        IndexCommand::Verify { file, signer, json } => verify(config, &file, signer.as_deref(), json).await,
        IndexCommand::Export { out, signed } => export(config, out.as_deref(), signed).await,
    }
}

/// The index of a configuration that names one.
fn configured(config: &Config) -> Result<Arc<Index>, CommandError> {
    let index = Index::open(config)?;
    if index.plan().is_none() {
        return Err(ConfigError("the configuration names no index of providers (trust.index)".into()).into());
    }
    Ok(Arc::new(index))
}

fn show(config: &Config, domain: Option<String>, name: Option<String>, json: bool) -> Result<(), CommandError> {
    let index = configured(config)?;
    let edition =
        index.edition().ok_or_else(|| CommandError::Other("no edition of the index was ever taken".into()))?;
    let directory = &edition.directory;
    let wanted = |provider: &&Provider| {
        domain.as_ref().is_none_or(|domain| provider.manages(domain))
            && name.as_ref().is_none_or(|name| provider.name.to_lowercase() == name.to_lowercase())
    };
    let found: Vec<&Provider> = directory.providers().iter().filter(wanted).collect();
    if found.is_empty() {
        return Err(CommandError::Other("there is no such provider in the index".into()));
    }
    let all = domain.is_none() && name.is_none();
    if json {
        let providers: Vec<Value> = found.iter().map(|provider| entry_json(provider, !all)).collect();
        let mut shown = edition_json(&edition);
        shown["providers"] = providers.into();
        return say_json(&shown);
    }
    if all {
        say_edition(&edition)?;
        for provider in found {
            let (domains, certificates) = (provider.managed_domains.len(), provider.certificates.len());
            say(&format!("  {}: {domains} domains, {certificates} certificates", entry_name(provider)))?;
        }
        return Ok(());
    }
    found.into_iter().try_for_each(say_entry)
}

fn say_edition(edition: &Edition) -> Result<(), CommandError> {
    say(&format!("from      {}", edition.source))?;
    say(&format!("taken     {}", instant(edition.taken)))?;
    if let Some(signed) = edition.signed {
        say(&format!("signed    {}", instant(signed)))?;
    }
    say(&format!("signer    {}", edition.signer.as_deref().unwrap_or("none: the source is believed")))?;
    say(&format!("sha-256   {}", edition.sha256))?;
    say(&format!("providers {}, domains {}", edition.directory.providers().len(), edition.domains()))
}

fn say_entry(provider: &Provider) -> Result<(), CommandError> {
    say(&entry_name(provider))?;
    say(&format!("  mailReceipt  {}", provider.mail_receipt))?;
    for (name, value) in [("published at", &provider.location_url), ("description ", &provider.description)] {
        if let Some(value) = value {
            say(&format!("  {name} {value}"))?;
        }
    }
    provider.certificate_hashes().try_for_each(|hash| say(&format!("  certificate  {hash} (SHA-1)")))?;
    provider.managed_domains.iter().try_for_each(|domain| say(&format!("  domain       {domain}")))
}

fn edition_json(edition: &Edition) -> Value {
    json!({
        "source": edition.source,
        "taken": instant(edition.taken),
        "signed": edition.signed.map(instant),
        "signer": edition.signer,
        "sha256": edition.sha256,
        "provider-count": edition.directory.providers().len(),
        "domain-count": edition.domains(),
    })
}

fn entry_json(provider: &Provider, whole: bool) -> Value {
    let mut entry = json!({
        "name": provider.name,
        "unit": provider.unit,
        "mail-receipt": provider.mail_receipt,
        "location-url": provider.location_url,
        "description": provider.description,
        "certificates": provider.certificate_hashes().collect::<Vec<_>>(),
        "domain-count": provider.managed_domains.len(),
    });
    if whole {
        entry["domains"] = provider.managed_domains.iter().map(|domain| domain.to_string()).collect();
    }
    entry
}

fn told(update: &Update, json: bool) -> Result<(), CommandError> {
    if json {
        let mut told = edition_json(&update.edition);
        told["changes"] = update.changes.as_ref().map_or(Value::Null, changes_json);
        return say_json(&told);
    }
    say_edition(&update.edition)?;
    match &update.changes {
        None => say("it is the edition that was in use"),
        Some(changes) => say_changes(changes),
    }
}

fn changes_json(changes: &Changes) -> Value {
    let texts = |list: &[Arc<str>]| list.iter().map(|text| text.to_string()).collect::<Vec<_>>();
    let moved = changes.domains_moved.iter().map(|(domain, to)| json!({ "domain": **domain, "to": to }));
    json!({
        "providers-added": changes.providers_added,
        "providers-removed": changes.providers_removed,
        "providers-changed": changes.providers_changed,
        "domains-added": texts(&changes.domains_added),
        "domains-removed": texts(&changes.domains_removed),
        "domains-moved": moved.collect::<Vec<_>>(),
    })
}

fn say_changes(changes: &Changes) -> Result<(), CommandError> {
    if changes.is_empty() {
        return say("nothing differs from the edition before");
    }
    let moved: Vec<String> = changes.domains_moved.iter().map(|(domain, to)| format!("{domain} to {to}")).collect();
    say_names("provider added", &changes.providers_added)?;
    say_names("provider gone", &changes.providers_removed)?;
    say_names("provider with other certificates or mailReceipt", &changes.providers_changed)?;
    say_names("domain added", &changes.domains_added)?;
    say_names("domain gone", &changes.domains_removed)?;
    say_names("domain moved", &moved)
}

fn say_names(what: &str, names: &[impl AsRef<str>]) -> Result<(), CommandError> {
    for name in names.iter().take(NAMES_SHOWN) {
        say(&format!("{what}: {}", name.as_ref()))?;
    }
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => Ok(()),
        more => say(&format!("{what}: and {more} more (--json prints them)")),
    }
}

async fn verify(config: &Config, file: &Path, signer: Option<&Path>, json: bool) -> Result<(), CommandError> {
    let octets = read_index(file).await.map_err(CommandError::Other)?;
    let named = match signer {
        Some(path) => Some(
            IndexSigner::pinned(&read_bytes(path)?)
                .map_err(|e| CommandError::Other(format!("{}: {e}", path.display())))?,
        ),
        None => None,
    };
    let index = Index::open(config)?;
    let signer = named.as_ref().or(index.signer());
    let edition = Edition::open(&octets, signer, &file.display().to_string(), now());
    let edition = edition.map_err(|error| CommandError::Other(format!("{}: {error}", file.display())))?;
    let tolerance = index.plan().map(|plan| plan.tolerance);
    let used = index.edition();
    let verdict = match (&used, tolerance) {
        (Some(used), Some(tolerance)) => edition.follows(used, tolerance),
        _ => Ok(Changes::between(&Directory::empty(), &edition.directory)),
    };
    if json {
        let mut told = edition_json(&edition);
        told["would-be-taken"] = verdict.is_ok().into();
        told["problem"] = verdict.as_ref().err().map(ToString::to_string).into();
        told["changes"] = verdict.as_ref().map_or(Value::Null, changes_json);
        say_json(&told)?;
        return if verdict.is_ok() { Ok(()) } else { Err(CommandError::Found) };
    }
    say_edition(&edition)?;
    match verdict {
        Ok(_) if used.is_none() => say("it would be taken; nothing is in use"),
        Ok(changes) => {
            say("it would be taken in the place of what is in use:")?;
            say_changes(&changes)
        }
        Err(error) => Err(CommandError::Other(format!("{}: {error}", file.display()))),
    }
}

async fn export(config: &Config, out: Option<&Path>, signed: bool) -> Result<(), CommandError> {
    let settings = config.trust.own.as_ref();
    let settings =
        settings.ok_or_else(|| ConfigError("trust.own: is missing, so there is no entry to publish".into()))?;
    let certified = own::certified(&open(config)?).await?;
    let mut octets = own::entries(config, settings, &certified)?.entries_to_ldif().into_bytes();
    if signed {
        let key = Keys::load(config)?.signing(&settings.key, now());
        let key = key.map_err(|error| ConfigError(format!("trust.own.key: {error}")))?;
        octets = key.sign_attached(&octets, now()).map_err(|error| CommandError::Other(error.to_string()))?;
    }
    let Some(path) = out else {
        let mut stdout = std::io::stdout().lock();
        return stdout.write_all(&octets).and_then(|()| stdout.flush()).map_err(|e| CommandError::Other(e.to_string()));
    };
    // A web server must never serve half of it.
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let written = std::fs::File::create(&part)
        .and_then(|mut file| file.write_all(&octets).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&part, path));
    written.map_err(|error| CommandError::Other(format!("{}: {error}", path.display())))
}
