//! `domain`.

mod check;

use clap::{Subcommand, ValueEnum};
use sigillo_provisioning::domains::DomainStatus;
use sigillo_store::DomainClass;
use sigillo_store::standing::HoldOn;

use super::office::{CeaseArguments, HoldChange, Office, domain as parse, ending};
use super::{CommandError, say, say_json};
use crate::config::Config;

/// What a domain is for, as an argument.
#[derive(Clone, Copy, ValueEnum)]
pub enum Class {
    /// Certified e-mail.
    Certified,
    /// Ordinary e-mail.
    Ordinary,
}

#[derive(Subcommand)]
#[command(after_help = "Examples:
  sigillo domain add pec.alfa.example --class certified --customer c-118
  sigillo domain check pec.alfa.example
  sigillo domain cease pec.alfa.example --reason 'form 12 of 3 May'")]
pub enum DomainCommand {
    /// Make a domain ours.
    Add {
        /// Its name.
        name: String,
        /// What it is for; all mailboxes of a certified domain are certified.
        #[arg(long, value_enum, default_value = "ordinary")]
        class: Class,
        /// Whose it is.
        #[arg(long)]
        customer: Option<String>,
    },
    /// Print every domain.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print one domain.
    Show {
        /// Its name.
        name: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look whether its MX records point to us, and whether the index of providers has it as ours.
    Check {
        /// Its name.
        name: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Close its mailboxes for their users; mail is received all the same.
    Suspend {
        /// Its name.
        name: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Open them again.
    Resume {
        /// Its name.
        name: String,
    },
    /// End its service: mailboxes closed, later deleted; then it is not ours (nor certified) any more.
    Cease {
        /// Its name.
        name: String,
        #[command(flatten)]
        how: CeaseArguments,
    },
}

pub async fn domain(config: &Config, office: &Office, command: DomainCommand) -> Result<(), CommandError> {
    let (provisioning, actor) = (&office.provisioning, &office.actor);
    match command {
        DomainCommand::Add { name, class, customer } => {
            let domain = parse(&name)?;
            let class = match class {
                Class::Certified => DomainClass::Certified,
                Class::Ordinary => DomainClass::Ordinary,
            };
            provisioning.add_domain(actor, &domain, class, customer).await?;
            say(&format!("domain {domain} added ({})", class.as_str()))
        }
        DomainCommand::List { json } => {
            let domains = provisioning.domains(actor).await?;
            if json {
                return say_json(&domains);
            }
            domains
                .iter()
                .try_for_each(|domain| say(&format!("{:<10} {}{}", domain.class.as_str(), domain.name, whose(domain))))
        }
        DomainCommand::Show { name, json } => {
            let domain = provisioning.domain(actor, &parse(&name)?).await?;
            if json { say_json(&domain) } else { print(&domain) }
        }
        DomainCommand::Check { name, json } => check::check(config, office, &name, json).await,
        DomainCommand::Suspend { name, reason } => {
            office.hold(HoldOn::Domain, parse(&name)?.as_str(), HoldChange::Suspend(reason)).await
        }
        DomainCommand::Resume { name } => office.hold(HoldOn::Domain, parse(&name)?.as_str(), HoldChange::Resume).await,
        DomainCommand::Cease { name, how } => {
            office.hold(HoldOn::Domain, parse(&name)?.as_str(), HoldChange::Cease(how)).await
        }
    }
}

fn whose(domain: &DomainStatus) -> String {
    domain.customer.as_ref().map(|id| format!(" of customer {id}")).unwrap_or_default()
}

fn print(domain: &DomainStatus) -> Result<(), CommandError> {
    let (class, whose) = (domain.class.as_str(), whose(domain));
    say(&format!("{} ({class}){whose}: {} mailboxes", domain.name, domain.mailboxes))?;
    domain.holds.iter().try_for_each(|hold| say(&format!("    {}", ending(hold))))
}
