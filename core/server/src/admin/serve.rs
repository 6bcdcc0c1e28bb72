//! `serve` and `check`.

use std::path::Path;
use std::sync::Arc;

use sigillo_policy::Diagnostic;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use super::{CommandError, say, say_json};
use crate::config::{Config, LogFormat};
use crate::server::{Server, StartError, load_engine};
use crate::services::Facilities;
use crate::{check as checks, tls};

/// Runs the server until a signal.
pub async fn serve(config: Config) -> Result<(), CommandError> {
    start_log(&config)?;
    let (stop, shutdown) = watch::channel(false);
    let other = |error: std::io::Error| CommandError::Other(error.to_string());
    let mut terminate = signal(SignalKind::terminate()).map_err(other)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(other)?;
    let server = Server::load(config).await?;
    let running = tokio::spawn(server.run(shutdown));
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
        let _ = stop.send(true); // nobody listens any more: it has stopped by itself
        std::future::pending::<()>().await; // dropping the sender would look like a second stop
    });
    running.await.map_err(|error| CommandError::Other(error.to_string()))??;
    Ok(())
}

fn start_log(config: &Config) -> Result<(), CommandError> {
    let filter = EnvFilter::try_new(&config.log.level)
        .map_err(|error| CommandError::Usage(format!("log.level '{}': {error}", config.log.level)))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// Everything that a start would read.
pub async fn check(path: &Path, json: bool) -> Result<(), CommandError> {
    let mut findings = Vec::new();
    match Config::load(path) {
        Err(error) => findings.push(Diagnostic::file(&path.display().to_string(), "E001", error.to_string())),
        Ok(config) => {
            match checks::policy(&config) {
                Ok((_, warnings)) => findings.extend(warnings),
                Err(errors) => findings.extend(errors),
            }
            findings.extend(check_files(&config).await);
            if !findings.iter().any(Diagnostic::is_error) {
                findings.extend(check_plugins(&config).await);
            }
        }
    }
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    if json {
        say_json(&findings)?;
    } else if findings.is_empty() {
        say(&format!("{}: no mistakes", path.display()))?;
    } else {
        say(&checks::print(&findings))?;
        say(&format!("\nerrors: {errors}, warnings: {}", findings.len() - errors))?;
    }
    if errors > 0 { Err(CommandError::ConfigFound) } else { Ok(()) }
}

/// Certificates, keys, the index of providers.
async fn check_files(config: &Config) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let mut note = |result: Result<(), crate::config::ConfigError>| {
        if let Err(error) = result {
            findings.push(Diagnostic::file("sigillo.yaml", "E501", error.to_string()));
        }
    };
    note(tls::server(config).map(|_| ()));
    note(tls::client(config).map(|_| ()));
    if let Ok(store) = scratch_store() {
        match Facilities::load(config, store.0.clone()) {
            Err(error) => note(Err(error)),
            Ok(facilities) => {
                let concerns = facilities.keys().concerns(sigillo_store::commit::now());
                findings.extend(concerns.into_iter().map(|(stops, words)| key_finding(stops, &words)));
            }
        }
    }
    findings.extend(crate::index::check::findings(config).await);
    findings
}

/// A key that signs no more is an error, one that soon will not a warning.
fn key_finding(stops: bool, words: &str) -> Diagnostic {
    let mut finding = Diagnostic::file("sigillo.yaml", if stops { "E512" } else { "W704" }, words);
    if !stops {
        finding.severity = sigillo_policy::Severity::Warning;
    }
    finding
}

/// Loads the plugins as a start would: hash, contract, grants, and what each says of its settings.
async fn check_plugins(config: &Config) -> Vec<Diagnostic> {
    let whole = |message: String| vec![Diagnostic::file("sigillo.yaml", "E001", message)];
    let store = match scratch_store() {
        Ok(store) => store,
        Err(error) => return whole(error.to_string()),
    };
    let facilities = match Facilities::load(config, store.0.clone()) {
        Ok(facilities) => Arc::new(facilities),
        Err(error) => return whole(error.to_string()),
    };
    match load_engine(config, facilities).await {
        Ok(_) => Vec::new(),
        // Each at its place in the policy, as everywhere.
        Err(StartError::Policy(mistakes)) => mistakes,
        Err(error) => whole(error.to_string()),
    }
}

/// A store that is thrown away: a check must not touch the real one.
fn scratch_store() -> Result<(sigillo_store::Store, Scratch), CommandError> {
    let folder = std::env::temp_dir().join(format!("sigillo-check-{}-{:x}", std::process::id(), rand::random::<u32>()));
    let store = sigillo_store::Store::open(&folder)?;
    Ok((store, Scratch(folder)))
}

struct Scratch(std::path::PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // the system's own cleaning finds what is left
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_plugin_that_cannot_be_loaded_is_told_at_its_place_in_the_policy() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("plugins")).unwrap();
        put(
            "sigillo.yaml",
            "hostname: mx.alfa.example\npolicy: policy.yaml\ntls: { certificate: tls.pem, key: tls.key }\n\
             listeners:\n  - { protocol: relay, address: \"127.0.0.1:25\", tls: starttls }\n",
        );
        put(
            "policy.yaml",
            "apiVersion: sigillo/v1\nkind: Policy\nplugins:\n  hello: { component: hello@0.1 }\nchains:\n  \
             - { name: a, stage: reception, steps: [{ plugin: hello, on-failure: defer }] }\n",
        );
        put(
            "plugins/hello.plugin.yaml",
            "name: hello\nversion: 0.1.0\ncontract: sigillo:mail@0.1.0\nstages: [reception]\ncapabilities: []\n\
             description: Hello.\n",
        );
        put("plugins/hello.wasm", "no component");
        let config = Config::load(&folder.path().join("sigillo.yaml")).unwrap();
        let found = check_plugins(&config).await;
        let places: Vec<_> = found.iter().map(|one| (one.code, one.line)).collect();
        assert_eq!(places, [("E503", 4)], "{found:?}");
        assert!(!found[0].message.contains("error["), "{}", found[0].message);
    }
}
