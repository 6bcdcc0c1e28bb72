//! What the commands of provisioning share: the operations, and who acts.

use sigillo_mail::{Domain, Mailbox};
use sigillo_provisioning::{Actor, Provisioning};
use sigillo_store::Store;
use sigillo_store::standing::{Hold, HoldKind, HoldOn};

use super::registry::when;
use super::{CommandError, legal, say};
use crate::config::Config;
use crate::evidence::case::operator;

/// The operations with the one who does them.
pub struct Office {
    pub provisioning: Provisioning,
    pub actor: Actor,
}

impl Office {
    /// Whoever runs this command: as the administrator of the platform, or with the rights of a login only.
    pub fn of(config: &Config, store: Store, login: Option<&str>) -> Office {
        let who = operator();
        let actor = match login {
            Some(login) => Actor::on_behalf(login, who.uid()),
            None => Actor::system(&who.name, who.uid(), who.before()),
        };
        Office { provisioning: Provisioning::new(store, config.provisioning.clone()), actor }
    }

    /// Suspends, resumes or ends something, and says so.
    pub async fn hold(&self, on: HoldOn, name: &str, change: HoldChange) -> Result<(), CommandError> {
        let word = on.word();
        match change {
            HoldChange::Suspend(reason) => {
                self.provisioning.suspend(&self.actor, on, name, &reason).await?;
                say(&format!("{word} {name} is suspended: nobody logs in, mail is received"))
            }
            HoldChange::Resume => {
                self.provisioning.resume(&self.actor, on, name).await?;
                say(&format!("{word} {name} is not suspended any more"))
            }
            HoldChange::Cease(arguments) if arguments.undo => {
                self.provisioning.undo_cessation(&self.actor, on, name).await?;
                say(&format!("the service of {word} {name} goes on"))
            }
            HoldChange::Cease(arguments) => {
                let cessation = arguments.cessation(on, name)?;
                let hold = self.provisioning.cease(&self.actor, cessation).await?;
                say(&format!("{word} {name}: {}", ending(&hold)))
            }
        }
    }
}

/// What is changed about the use of something.
pub enum HoldChange {
    Suspend(String),
    Resume,
    Cease(CeaseArguments),
}

/// How a service ends.
#[derive(clap::Args)]
pub struct CeaseArguments {
    /// Why, and by which letter or form.
    #[arg(long, required_unless_present = "undo")]
    reason: Option<String>,
    /// The end of the service: this day or instant. Default: the end of the contract, or now; of a withdrawal, the
    /// earliest that the notice allows.
    #[arg(long)]
    date: Option<String>,
    /// The customer does not want it any more: its data is deleted from the date on, which needs thirty days of notice.
    /// Otherwise it is deleted from the thirtieth day after the date on.
    #[arg(long)]
    withdrawal: bool,
    /// Take it back: the service goes on.
    #[arg(long, conflicts_with_all = ["reason", "date", "withdrawal"])]
    undo: bool,
}

impl CeaseArguments {
    fn cessation(self, on: HoldOn, name: &str) -> Result<sigillo_provisioning::cessation::Cessation, CommandError> {
        use sigillo_provisioning::cessation::{Cessation, Ending};
        Ok(Cessation {
            on,
            name: name.to_owned(),
            ending: if self.withdrawal { Ending::Withdrawal } else { Ending::Termination },
            reason: self.reason.unwrap_or_default(),
            date: self.date.as_deref().map(|text| when(text, false)).transpose()?,
        })
    }
}

/// What is said of something, for people.
pub fn ending(hold: &Hold) -> String {
    match (hold.kind, hold.deletes) {
        (HoldKind::Ceasing, Some(deletes)) => {
            format!("the service ends {}, its data is deleted from {} on", legal(hold.closes), legal(deletes))
        }
        _ => format!("suspended since {} ({})", legal(hold.since), hold.reason),
    }
}

pub fn mailbox(address: &str) -> Result<Mailbox, CommandError> {
    address.parse().map_err(|error| CommandError::Usage(format!("'{address}': {error}")))
}

pub fn domain(name: &str) -> Result<Domain, CommandError> {
    name.parse().map_err(|error| CommandError::Usage(format!("'{name}': {error}")))
}
