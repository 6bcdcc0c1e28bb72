//! `customer` and `role`.

use clap::{Args, Subcommand, ValueEnum};
use sigillo_provisioning::cessation::DeletionReport;
use sigillo_provisioning::customers::{CustomerStatus, NewCustomer};
use sigillo_provisioning::renewal::last_day;
use sigillo_provisioning::roles::RoleRequest;
use sigillo_provisioning::{Actor, Role};
use sigillo_store::standing::HoldOn;

use super::office::{CeaseArguments, HoldChange, Office, ending};
use super::registry::when;
use super::{CommandError, legal, say, say_json};

#[derive(Subcommand)]
#[command(after_help = "Examples:
  sigillo customer add c-118 --name 'Comune di Alfa' --holder 'Ada Rossi' \\
      --expires 2027-12-31 --mailboxes 50
  sigillo customer show c-118
  sigillo customer renew c-118 --until 2028-12-31
  sigillo customer suspend c-118 --reason 'account compromised, ticket 4711'
  sigillo customer cease c-118 --reason 'dissolved by letter of 3 May' --date 2027-05-10
  sigillo customer deletions --dry-run")]
pub enum CustomerCommand {
    /// Enter a customer with its contract.
    Add(AddArguments),
    /// Print every customer.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print one customer.
    Show {
        /// Its id.
        id: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Extend its contract; its holder is told by e-mail.
    Renew {
        /// Its id.
        id: String,
        /// The last day of the contract.
        #[arg(long)]
        until: String,
    },
    /// Close its mailboxes for their users; mail is received all the same.
    Suspend {
        /// Its id.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Open them again.
    Resume {
        /// Its id.
        id: String,
    },
    /// End its service: mailboxes closed, later deleted; domains not ours any more.
    Cease {
        /// Its id.
        id: String,
        #[command(flatten)]
        how: CeaseArguments,
    },
    /// Delete now what is past its time (the server does so every hour), or print what would be.
    Deletions {
        /// Only print.
        #[arg(long)]
        dry_run: bool,
        /// With --dry-run: as on this day.
        #[arg(long, requires = "dry_run")]
        on: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub struct AddArguments {
    /// Letters, digits, '-', '.', '_': the provider's own number or word.
    id: String,
    /// Its name.
    #[arg(long)]
    name: String,
    /// Who signed the contract; with a mailbox here in which he is told of it: 'Ada Rossi <ada@pec.alfa.example>'.
    /// Without one his registration officers are told, or the only mailbox that he has.
    #[arg(long, default_value = "", hide_default_value = true)]
    holder: String,
    /// Its technical contact.
    #[arg(long, default_value = "", hide_default_value = true)]
    contact: String,
    /// The first day of the contract. Default: today.
    #[arg(long)]
    begins: Option<String>,
    /// The last day of the contract. Default: it has no end.
    #[arg(long)]
    expires: Option<String>,
    /// Months by which the contract extends itself at its end. Default: it ends.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    renews_months: u32,
    /// Mailboxes at most. Default: as many as it likes.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    mailboxes: u64,
}

#[derive(Subcommand)]
#[command(after_help = "Examples:
  sigillo role grant ada@pec.alfa.example registration-officer --customer c-118
  sigillo role list --json
  sigillo --actor ada@pec.alfa.example mailbox add eva@pec.alfa.example

  platform-administrator  everything; so may whoever runs commands as the user that owns the store
  role-manager            names the registration officers of customers
  registration-officer    registers users and administers the mailboxes of one customer")]
pub enum RoleCommand {
    /// Give a role to a login.
    Grant(RoleArguments),
    /// Take it away.
    Revoke(RoleArguments),
    /// Print who has which role.
    List {
        /// Only at this customer.
        #[arg(long)]
        customer: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub struct RoleArguments {
    /// Who.
    login: String,
    /// Which.
    #[arg(value_enum)]
    role: GivenRole,
    /// The customer of a registration officer.
    #[arg(long)]
    customer: Option<String>,
}

/// A role as an argument.
#[derive(Clone, Copy, ValueEnum)]
enum GivenRole {
    /// Everything.
    PlatformAdministrator,
    /// Names registration officers.
    RoleManager,
    /// Administers the mailboxes of one customer.
    RegistrationOfficer,
}

impl From<RoleArguments> for RoleRequest {
    fn from(arguments: RoleArguments) -> RoleRequest {
        let role = match arguments.role {
            GivenRole::PlatformAdministrator => Role::PlatformAdministrator,
            GivenRole::RoleManager => Role::RoleManager,
            GivenRole::RegistrationOfficer => Role::RegistrationOfficer,
        };
        RoleRequest { login: arguments.login, role, customer: arguments.customer }
    }
}

/// The first instant after a day that is meant whole.
fn end_of(text: &str) -> Result<u64, CommandError> {
    let end = when(text, true)?;
    Ok(if text.contains('T') { end } else { end + 1 })
}

pub async fn customer(office: &Office, command: CustomerCommand) -> Result<(), CommandError> {
    let (provisioning, actor) = (&office.provisioning, &office.actor);
    match command {
        CustomerCommand::Add(arguments) => {
            let id = arguments.id.clone();
            let new = NewCustomer {
                id: arguments.id,
                name: arguments.name,
                holder: arguments.holder,
                contact: arguments.contact,
                begins: arguments.begins.as_deref().map(|text| when(text, false)).transpose()?,
                expires: arguments.expires.as_deref().map(end_of).transpose()?,
                renews: arguments.renews_months,
                mailboxes: arguments.mailboxes,
            };
            provisioning.add_customer(actor, new).await?;
            say(&format!("customer {id} added"))
        }
        CustomerCommand::List { json } => {
            let customers = provisioning.customers(actor).await?;
            if json { say_json(&customers) } else { customers.iter().try_for_each(print) }
        }
        CustomerCommand::Show { id, json } => {
            let customer = provisioning.customer(actor, &id).await?;
            if json { say_json(&customer) } else { print(&customer) }
        }
        CustomerCommand::Renew { id, until } => {
            let renewed = provisioning.renew_customer(actor, &id, end_of(&until)?).await?;
            let told = match renewed.told.is_empty() {
                true => "no mailbox here stands for its holder: tell him yourself".to_owned(),
                false => format!("its holder is told in {}", renewed.told.join(", ")),
            };
            say(&format!("the contract of customer {id} runs until {}; {told}", last_day(renewed.expires)))
        }
        CustomerCommand::Suspend { id, reason } => {
            office.hold(HoldOn::Customer, &id, HoldChange::Suspend(reason)).await
        }
        CustomerCommand::Resume { id } => office.hold(HoldOn::Customer, &id, HoldChange::Resume).await,
        CustomerCommand::Cease { id, how } => office.hold(HoldOn::Customer, &id, HoldChange::Cease(how)).await,
        CustomerCommand::Deletions { dry_run, on, json } => deletions(office, dry_run, on, json).await,
    }
}

fn print(status: &CustomerStatus) -> Result<(), CommandError> {
    let customer = &status.customer;
    let end = customer.expires.map_or_else(|| "without end".to_owned(), |at| format!("until {}", legal(at)));
    let renews = if customer.renews > 0 { format!(", then {} months more", customer.renews) } else { String::new() };
    say(&format!("{:<16} {}", customer.id, customer.name))?;
    say(&format!("    contract from {} {end}{renews}", legal(customer.begins)))?;
    for (what, text) in [("holder", &customer.holder), ("contact", &customer.contact)] {
        if !text.is_empty() {
            say(&format!("    {what}: {text}"))?;
        }
    }
    let most = if customer.mailboxes > 0 { format!(" of {}", customer.mailboxes) } else { String::new() };
    say(&format!("    {} mailboxes{most}; domains: {}", status.mailboxes_used, named(&status.domains)))?;
    status.holds.iter().try_for_each(|hold| say(&format!("    {}", ending(hold))))
}

fn named(domains: &[String]) -> String {
    if domains.is_empty() { "none".into() } else { domains.join(", ") }
}

async fn deletions(office: &Office, dry_run: bool, on: Option<String>, json: bool) -> Result<(), CommandError> {
    let now = match on {
        Some(text) => end_of(&text)?,
        None => sigillo_store::commit::now(),
    };
    let guard = Some(crate::life::guard());
    let report = office.provisioning.delete_due(&office.actor, now, dry_run, guard).await?;
    let done = if report.failed.is_empty() { Ok(()) } else { Err(CommandError::Found) };
    if json {
        say_json(&report)?;
        return done;
    }
    let word = if dry_run { "would be deleted" } else { "deleted" };
    for (address, messages) in &report.mailboxes {
        say(&format!("mailbox {address} with {messages} messages: {word}"))?;
    }
    report.domains.iter().try_for_each(|name| say(&format!("domain {name}: {word}")))?;
    report.customers.iter().try_for_each(|id| say(&format!("customer {id}: {word}")))?;
    report.kept.iter().try_for_each(|(address, why)| say(&format!("mailbox {address} stays: {why}")))?;
    report.failed.iter().try_for_each(|(name, why)| say(&format!("{name} could not be deleted: {why}")))?;
    let quiet = DeletionReport { dry_run, ..DeletionReport::default() };
    if report == quiet {
        say("nothing is due")?;
    }
    for hold in office.provisioning.cessations(&office.actor).await? {
        say(&format!("ahead: {} {}: {}", hold.on.word(), hold.name, ending(&hold)))?;
    }
    done
}

pub async fn role(office: &Office, command: RoleCommand) -> Result<(), CommandError> {
    let provisioning = &office.provisioning;
    let actor: &Actor = &office.actor;
    match command {
        RoleCommand::Grant(arguments) => {
            let said = words(&arguments);
            provisioning.grant_role(actor, arguments.into()).await?;
            say(&format!("{said}: granted"))
        }
        RoleCommand::Revoke(arguments) => {
            let said = words(&arguments);
            provisioning.revoke_role(actor, arguments.into()).await?;
            say(&format!("{said}: revoked"))
        }
        RoleCommand::List { customer, json } => {
            let roles = provisioning.roles(actor, customer).await?;
            if json {
                return say_json(&roles);
            }
            roles.iter().try_for_each(|grant| {
                let at = if grant.customer.is_empty() { String::new() } else { format!(" of {}", grant.customer) };
                say(&format!("{:<40} {}{at}  since {}", grant.login, grant.role, legal(grant.granted)))
            })
        }
    }
}

fn words(arguments: &RoleArguments) -> String {
    let role = arguments.role.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let at = arguments.customer.as_ref().map(|id| format!(" of {id}")).unwrap_or_default();
    format!("{}: {role}{at}", arguments.login.to_ascii_lowercase())
}
