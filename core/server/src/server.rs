//! One server: what it is made of, and its life from the first listener to a clean end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sigillo_auth::{Credential, ServerSecret};
use sigillo_authenticity::Checker;
use sigillo_delivery::{Courier, Router, Schedule};
use sigillo_mail::{Domain, Mailbox};
use sigillo_plugin::{Engine, Host, HostOptions, MailboxStatus, START};
use sigillo_store::users::Barred;
use sigillo_store::{DomainClass, Store, StoreError, User};
use sigillo_trust::Directory;
use tokio::sync::watch;

use crate::config::{Config, ConfigError};
use crate::evidence::front_end::{FrontEnd, Happening};
use crate::index::{Index, keeper};
use crate::metrics::Metrics;
use crate::services::{self, Facilities};
use crate::{authenticity, check, control, listeners, tls};

/// How often what is past its time is removed.
const SWEEP: Duration = Duration::from_secs(3600);
/// How long large content that nothing names is kept: longer than a chain with all its repetitions, and a step with the
/// sending of its answer, take.
const UNNAMED: Duration = Duration::from_secs(3600);
/// How long what keeps the log may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// How often keys that end soon are told again.
const DAY_MS: u64 = 24 * 3600 * 1000;

/// A server, whole.
pub struct Server {
    config: Config,
    store: Store,
    engine: Engine,
    courier: Courier,
    index: Arc<Index>,
    facilities: Arc<Facilities>,
    schedule: Schedule,
    metrics: Metrics,
    secret: ServerSecret,
    front_end: FrontEnd,
    checker: Option<Arc<Checker>>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration or a file that it names.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The policy or a plugin: every mistake.
    #[error("{}", check::print(.0))]
    Policy(Vec<sigillo_policy::Diagnostic>),
    /// The store.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// Anything else of the system.
    #[error("{0}")]
    System(String),
}

impl Server {
    /// Loads everything that the configuration names.
    pub async fn load(config: Config) -> Result<Arc<Server>, StartError> {
        let store = Store::open(&config.data_dir())?;
        if store.look(|r| r.domains())?.iter().any(|domain| domain.class == DomainClass::Certified) {
            config.check_certified()?;
        }
        let client_tls = tls::client(&config)?;
        let name = config.hostname.clone();
        store.write(move |tx| tx.name_server(&name)).await?;
        let facilities = Arc::new(Facilities::load(&config, store.clone())?);
        facilities.open_secret(&config)?;
        let index = facilities.index().clone();
        keeper::begin(&index, &store).await?;
        let engine = load_engine(&config, facilities.clone()).await?;
        let woken: Vec<String> = engine.wakes_at_start().map(str::to_owned).collect();
        // In the same commit for all: what they do at a start they may do again.
        store.write(move |tx| woken.iter().try_for_each(|plugin| tx.set_timer(plugin, START, tx.now(), &[]))).await?;
        let router = Router::new(config.routes());
        Ok(Arc::new(Server {
            courier: Courier::new(config.hostname.clone(), router, client_tls),
            index,
            facilities,
            schedule: config.schedule(),
            metrics: Metrics::new().map_err(|error| StartError::System(error.to_string()))?,
            secret: server_secret(&store).await?,
            front_end: FrontEnd::default(),
            checker: authenticity::checker(&config).map_err(StartError::System)?,
            engine,
            store,
            config,
        }))
    }

    /// Listens and works until `shutdown` becomes true, then lets sessions and deliveries end.
    pub async fn run(self: Arc<Self>, shutdown: watch::Receiver<bool>) -> Result<(), StartError> {
        let sessions = listeners::open(&self, shutdown.clone()).await?;
        let commands = control::open(&self.config.data_dir())?.serve(self.clone(), shutdown.clone());
        let commands = tokio::spawn(commands);
        tracing::info!(
            hostname = %self.config.hostname,
            listeners = self.config.listeners.len(),
            policy = self.engine.epoch(),
            "ready"
        );
        let lists = self.facilities.revocation().cloned().map(|watch| tokio::spawn(watch.run(shutdown.clone())));
        let sweeper = tokio::spawn(self.clone().sweep(shutdown.clone()));
        let index = tokio::spawn(keeper::keep(self.clone(), shutdown.clone()));
        let keeper = tokio::spawn(self.clone().keep_evidence(shutdown.clone()));
        let clock = tokio::spawn(self.clone().watch_clock(shutdown.clone()));
        let outbox = tokio::spawn(self.clone().work_outbox(shutdown.clone()));
        let (sessions_ended, no_more_events) = watch::channel(false);
        let doors = {
            let server = self.clone();
            tokio::spawn(async move { server.front_end.write(server.store.clone(), no_more_events).await })
        };
        self.clone().dispatch(shutdown).await;
        let _ = tokio::time::timeout(GRACE, commands).await; // one that is not done then is told so by its broken connection
        let _ = outbox.await; // what was sent is known as sent
        listeners::close(sessions).await;
        lists.iter().for_each(tokio::task::JoinHandle::abort);
        for task in [sweeper, index, clock] {
            task.abort();
        }
        // What was noted is written, and a file that is being sealed is finished.
        let _ = sessions_ended.send(true);
        for task in [doors, keeper] {
            let _ = tokio::time::timeout(GRACE, task).await; // what is not done then is done after the next start
        }
        tracing::info!("stopped");
        Ok(())
    }

    async fn sweep(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let mut told = 0;
        while !*shutdown.borrow() {
            let now = sigillo_store::commit::now();
            if now >= told + DAY_MS {
                told = now;
                self.facilities.keys().warn(now);
            }
            if let Err(error) = self.store.write(|tx| tx.sweep()).await {
                tracing::error!(%error, "what is past its time cannot be removed");
            }
            if let Err(error) = self.store.give_back_finished(UNNAMED).await {
                tracing::warn!(%error, "files that nothing names are left until the next start");
            }
            let days = self.config.limits.history_days;
            if let Err(error) = self.store.write(move |tx| tx.sweep_history(days)).await {
                tracing::error!(%error, "the history of mailboxes past its time cannot be removed");
            }
            self.sweep_contracts(now).await;
            let days = self.config.limits.quarantine_days;
            match self.store.write(move |tx| tx.sweep_quarantine(days)).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, days, "removed from quarantine"),
                Err(error) => tracing::error!(%error, "what is past its time in quarantine cannot be removed"),
            }
            tokio::select! {
                () = tokio::time::sleep(SWEEP) => {}
                _ = shutdown.changed() => {}
            }
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The loaded policy.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What takes mail to other servers.
    pub fn courier(&self) -> &Courier {
        &self.courier
    }

    /// The index of providers as it is now.
    pub fn directory(&self) -> Arc<Directory> {
        self.index.directory()
    }

    /// The index of providers with its origin.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// When to try again.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// What plugins may ask of the server.
    pub fn facilities(&self) -> &Facilities {
        &self.facilities
    }

    /// The figures.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What the server calls itself.
    pub fn hostname(&self) -> &str {
        &self.config.hostname
    }

    /// Takes what happens at the doors.
    pub fn front_end(&self) -> &FrontEnd {
        &self.front_end
    }

    /// What checks the senders of mail from other servers, if anything does.
    pub fn checker(&self) -> Option<&Checker> {
        self.checker.as_deref()
    }

    /// Makes unknown logins look like known ones.
    pub fn secret(&self) -> &ServerSecret {
        &self.secret
    }

    /// The user of a login and how the password is checked; none for unknown and disabled ones.
    pub fn user_at_the_door(&self, login: &str) -> Result<Option<(User, Credential)>, StoreError> {
        Ok(self.store.look(|r| r.user_at_the_door(login))?.and_then(with_credential))
    }

    /// Somebody logged in, or did not: for the log and the figures.
    pub fn note_login(&self, protocol: &str, peer: IpAddr, login: &str, problem: Option<String>) {
        self.metrics.login(protocol, problem.is_none());
        self.front_end.note(Happening {
            kind: "login",
            component: protocol,
            peer: Some(peer),
            sender: login,
            result: problem.as_deref().unwrap_or("accepted"),
            by_stranger: problem.is_some(),
            ..Happening::default()
        });
        match problem {
            None => tracing::info!(protocol, %peer, login, "logged in"),
            Some(problem) => tracing::warn!(protocol, %peer, login, problem, "login refused"),
        }
    }

    /// What a domain is for, if it is ours.
    pub fn domain_class(&self, domain: &Domain) -> Result<Option<DomainClass>, StoreError> {
        Ok(self.store.look(|r| r.domain(domain.as_str()))?.map(|domain| domain.class))
    }

    /// The plugin to which the policy gives the mail for an address, if any does: only in ordinary domains of this server
    /// and only where no mailbox has the address. Certified mail is never a plugin's.
    pub fn owner(&self, address: &Mailbox) -> Result<Option<&str>, StoreError> {
        let owns = |plugin: &&sigillo_policy::Plugin| plugin.grants.owns(address);
        let Some(plugin) = self.engine.policy().plugins.values().find(owns) else { return Ok(None) };
        if self.domain_class(address.domain())? != Some(DomainClass::Ordinary) {
            return Ok(None);
        }
        let mailbox = self.store.look(|r| r.account(&address.key()))?;
        Ok(if mailbox.is_none() { Some(&plugin.name) } else { None })
    }

    /// State of a mailbox for a message of `size` octets: full if that has no room.
    pub fn mailbox_status(&self, address: &Mailbox, size: u64) -> Result<MailboxStatus, StoreError> {
        services::mailbox_status(&self.store, address, size)
    }
}

/// Loads the policy and its plugins; every mistake is in the error.
pub async fn load_engine(config: &Config, facilities: Arc<Facilities>) -> Result<Engine, StartError> {
    let (policy, warnings) = check::policy(config).map_err(StartError::Policy)?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let plugins = config.path(&config.plugins_dir);
    let host = Host::new(HostOptions::new(config.data_dir().join("compiled")))
        .map_err(|error| StartError::System(error.to_string()))?;
    Engine::load(host, policy, &plugins, facilities).await.map_err(StartError::Policy)
}

/// A secret of this store, made at its first use.
async fn server_secret(store: &Store) -> Result<ServerSecret, StoreError> {
    let fresh = ServerSecret::random();
    let bytes = store.write(move |tx| tx.server_secret(*fresh.as_bytes())).await?;
    Ok(ServerSecret::from_bytes(bytes))
}

/// The user with the record of the password.
pub(crate) fn with_credential(user: User) -> Option<(User, Credential)> {
    match user.credential.parse() {
        Ok(credential) => Some((user, credential)),
        Err(_) => {
            // Attack I8: a record that cannot be read lets nobody in.
            tracing::error!(login = user.login, "the credential of this user cannot be read; set a new password");
            None
        }
    }
}

/// What somebody reads who knows a password that opens nothing any more, in the two languages of the users (ADM-01).
pub(crate) fn barred(why: Barred) -> &'static str {
    match why {
        Barred::Initial => {
            "This is the first password: change it before the first use / Password iniziale: cambiarla prima del primo accesso"
        }
        Barred::Expired => "This password has expired: ask for a new one / Password scaduta: chiederne una nuova",
    }
}
