//! Which role may do what, as a table (ADM-01 to ADM-06).
//!
//! The administrator of the platform may do everything; whoever runs a command as the user who owns the store is one.
//! The others are given to logins, and hold within a scope: a registration officer administers the domains of one
//! customer, a holder his own mailbox, an operator himself.

use sigillo_store::users::{self, Barred};
use sigillo_store::{AccountState, Reader, StoreError};

use crate::actor::Actor;
use crate::error::Error;

/// What somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Everything.
    PlatformAdministrator,
    /// Names the registration officers of customers.
    RoleManager,
    /// Registers users and administers the mailboxes of one customer.
    RegistrationOfficer,
    /// Has a mailbox.
    Holder,
    /// Works in somebody's multi-user mailbox.
    Operator,
}

impl Role {
    /// Those that are given by name; the other two come with a mailbox.
    pub const GIVEN: [Role; 3] = [Role::PlatformAdministrator, Role::RoleManager, Role::RegistrationOfficer];

    /// The word on the command line and in the store.
    pub fn word(self) -> &'static str {
        match self {
            Role::PlatformAdministrator => "platform-administrator",
            Role::RoleManager => "role-manager",
            Role::RegistrationOfficer => "registration-officer",
            Role::Holder => "holder",
            Role::Operator => "operator",
        }
    }

    /// From the word.
    pub fn from_word(word: &str) -> Option<Role> {
        Role::GIVEN.into_iter().find(|role| role.word() == word)
    }
}

/// To whom something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The whole platform.
    Platform,
    /// A customer, by its id.
    Customer(String),
    /// A domain, in lower case.
    Domain(String),
    /// A mailbox, by its address in lower case.
    Mailbox(String),
    /// A user of a mailbox.
    User {
        /// His login, in lower case.
        login: String,
        /// The mailbox.
        account: String,
    },
}

impl Subject {
    /// Its name in a record.
    pub fn name(&self) -> &str {
        match self {
            Subject::Platform => "platform",
            Subject::Customer(name) | Subject::Domain(name) | Subject::Mailbox(name) => name,
            Subject::User { login, .. } => login,
        }
    }

    fn domain(&self) -> Option<&str> {
        match self {
            Subject::Domain(name) => Some(name),
            Subject::Mailbox(address) | Subject::User { account: address, .. } => {
                address.rsplit_once('@').map(|(_, domain)| domain)
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Platform => f.write_str("the platform"),
            Subject::Customer(id) => write!(f, "customer {id}"),
            Subject::Domain(name) => write!(f, "domain {name}"),
            Subject::Mailbox(address) => write!(f, "mailbox {address}"),
            Subject::User { login, .. } => write!(f, "user {login}"),
        }
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident $word:literal $phrase:literal [$($role:ident),*];)*) => {
        /// What can be done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Operation { $($(#[$doc])* $name,)* }

        /// Every operation with the roles that may do it within their scope, beside the administrator of the platform.
        pub const TABLE: &[(Operation, &[Role])] = &[$((Operation::$name, &[$(Role::$role),*]),)*];

        impl Operation {
            /// The kind of its record in the audit trail.
            pub fn word(self) -> &'static str { match self { $(Operation::$name => $word,)* } }
            /// In a sentence: «may not … mailbox a@b.example».
            pub fn phrase(self) -> &'static str { match self { $(Operation::$name => $phrase,)* } }
        }
    };
}

operations! {
    /// Names a registration officer.
    GrantOfficer "role-grant" "name registration officers of" [RoleManager];
    /// Names a role manager or an administrator of the platform.
    GrantManager "role-grant" "name managers of" [];
    /// Takes the role of a registration officer away.
    RevokeOfficer "role-revoke" "dismiss registration officers of" [RoleManager];
    /// Takes another role away.
    RevokeManager "role-revoke" "dismiss managers of" [];
    /// Sees who has which role.
    RoleShow "role-show" "see the roles of" [RoleManager, RegistrationOfficer];
    /// Enters a customer.
    CustomerAdd "customer-add" "enter" [];
    /// Sees a customer.
    CustomerShow "customer-show" "see" [RoleManager, RegistrationOfficer];
    /// Extends a contract.
    CustomerRenew "customer-renew" "extend the contract of" [];
    /// Closes the mailboxes of a customer for their users, for a while.
    CustomerSuspend "customer-suspend" "suspend" [];
    /// Opens them again.
    CustomerResume "customer-resume" "resume" [];
    /// Ends the service.
    CustomerCease "customer-cease" "end the service of" [];
    /// Makes a domain ours.
    DomainAdd "domain-add" "add" [];
    /// Sees a domain.
    DomainShow "domain-show" "see" [RoleManager, RegistrationOfficer];
    /// Closes the mailboxes of a domain for their users, for a while.
    DomainSuspend "domain-suspend" "suspend" [];
    /// Opens them again.
    DomainResume "domain-resume" "resume" [];
    /// Ends the service of a domain.
    DomainCease "domain-cease" "end the service of" [];
    /// Makes a mailbox.
    MailboxAdd "mailbox-add" "add" [RegistrationOfficer];
    /// Sees a mailbox: its size and state, never what is in it.
    MailboxShow "mailbox-show" "see" [RegistrationOfficer, Holder];
    /// Changes how much it holds: part of the contract.
    MailboxQuota "mailbox-quota" "change the size of" [];
    /// Changes its kind or offer: part of the contract.
    MailboxOffer "mailbox-offer" "change the offer of" [];
    /// Opens or closes it.
    MailboxState "mailbox-state" "open or close" [RegistrationOfficer];
    /// Changes what the administrator decides of it (ADM-10).
    MailboxSet "mailbox-set" "change the settings of" [RegistrationOfficer];
    /// Changes what its user decides of it.
    MailboxOwnSet "mailbox-set" "change the user's settings of" [RegistrationOfficer, Holder];
    /// Closes it for its users, for a while (AS-06).
    MailboxSuspend "mailbox-suspend" "suspend" [RegistrationOfficer];
    /// Opens it again.
    MailboxResume "mailbox-resume" "resume" [RegistrationOfficer];
    /// Ends its service (ADM-23).
    MailboxCease "mailbox-cease" "end the service of" [RegistrationOfficer];
    /// Brings messages from elsewhere.
    MailboxImport "mailbox-import" "bring messages into" [];
    /// Lets one more person into a multi-user mailbox (ADM-09).
    UserAdd "user-add" "add" [RegistrationOfficer];
    /// Sees the users of a mailbox.
    UserShow "user-show" "see the users of" [RegistrationOfficer, Holder];
    /// Gives a user a first password.
    UserPassword "user-password" "give a password to" [RegistrationOfficer];
    /// Lets a user log in, or not.
    UserState "user-state" "enable or disable" [RegistrationOfficer];
    /// Notes the mobile telephone of a user (ADM-14).
    UserMobile "user-mobile" "note the telephone of" [RegistrationOfficer];
    /// Replaces a lost password by a code that was sent: nobody's right, as nobody is known who asks.
    Recovery "password-recovery" "recover the password of" [];
    /// Takes a user away.
    UserRemove "user-remove" "remove" [RegistrationOfficer];
    /// Changes the own password.
    OwnPassword "password-change" "change the password of" [Holder, Operator];
    /// Works on the messages of a multi-user mailbox, in the own name (BOX-07, BOX-08).
    OwnWork "work" "work as" [Holder, Operator];
    /// Deletes what is past its time.
    Delete "deletion" "delete" [];
}

/// The roles that an actor has towards a subject.
pub fn roles(reader: &Reader<'_>, actor: &Actor, subject: &Subject) -> Result<Vec<Role>, StoreError> {
    if actor.is_system() {
        return Ok(vec![Role::PlatformAdministrator]);
    }
    let Some(user) = reader.user(&actor.name)? else { return Ok(Vec::new()) };
    let now = sigillo_store::commit::now();
    let open = reader.account(&user.account)?.is_some_and(|account| account.is_open());
    // Who may not log in has no other rights either; who must change his password first may do that and nothing else.
    if user.state != AccountState::Active || !open || !reader.standing(&user.account, now)?.admits_users() {
        return Ok(Vec::new());
    }
    let own = matches!(subject, Subject::Mailbox(account) | Subject::User { account, .. } if *account == user.account);
    let himself = matches!(subject, Subject::User { login, .. } if *login == user.login);
    let mut roles = Vec::new();
    if himself || (own && user.role == users::Role::Holder) {
        roles.push(if user.role == users::Role::Holder { Role::Holder } else { Role::Operator });
    }
    if user.admitted(now).is_err() {
        roles.retain(|_| himself);
        return Ok(roles);
    }
    let customer = match subject {
        Subject::Customer(id) => Some(id.clone()),
        _ => subject.domain().map_or(Ok(None), |domain| reader.customer_of_domain(domain))?,
    };
    for grant in reader.roles_of(&user.login)? {
        match Role::from_word(&grant.role) {
            Some(Role::RegistrationOfficer) if customer.as_deref() != Some(&grant.customer) => {}
            Some(role) => roles.push(role),
            None => {}
        }
    }
    Ok(roles)
}

/// What keeps an actor from everything, whatever roles were given to him: otherwise a refusal would name a role that he has.
pub(crate) fn powerless(reader: &Reader<'_>, actor: &Actor) -> Result<Option<String>, StoreError> {
    if actor.is_system() {
        return Ok(None);
    }
    let Some(user) = reader.user(&actor.name)? else { return Ok(Some("there is no such login".into())) };
    let now = sigillo_store::commit::now();
    let open = reader.account(&user.account)?.is_some_and(|account| account.is_open());
    if user.state != AccountState::Active || !open || !reader.standing(&user.account, now)?.admits_users() {
        return Ok(Some("this login is closed".into()));
    }
    Ok(user.admitted(now).err().map(|barred| match barred {
        Barred::Initial => {
            format!(
                "the first password must be changed before anything else: sigillo user change-password {}",
                user.login
            )
        }
        Barred::Expired => "the first password was not changed in its time; ask for another one".into(),
    }))
}

/// That an actor sees nothing at all, as a refusal.
pub(crate) fn sees(reader: &Reader<'_>, actor: &Actor, what: &str) -> Result<Result<(), Error>, StoreError> {
    Ok(powerless(reader, actor)?.map_or(Ok(()), |because| {
        Err(Error::Refused { actor: actor.name.clone(), operation: "see", subject: what.into(), because })
    }))
}

/// Whether a user has rights that the registration officers of his customer have not.
fn is_above_officers(reader: &Reader<'_>, subject: &Subject) -> Result<bool, StoreError> {
    let Subject::User { login, .. } = subject else { return Ok(false) };
    let customer = subject.domain().map_or(Ok(None), |domain| reader.customer_of_domain(domain))?;
    let grants = reader.roles_of(login)?;
    Ok(grants.iter().any(|grant| match Role::from_word(&grant.role) {
        Some(Role::RegistrationOfficer) => customer.as_ref() != Some(&grant.customer),
        _ => true,
    }))
}

/// Whether an actor may do something; by which role.
pub fn permitted(
    reader: &Reader<'_>,
    actor: &Actor,
    operation: Operation,
    subject: &Subject,
) -> Result<Result<Role, Error>, StoreError> {
    let roles = roles(reader, actor, subject)?;
    let allowed = TABLE.iter().find(|(one, _)| *one == operation).map_or(&[][..], |(_, allowed)| *allowed);
    // Whoever gives a password, or notes the telephone to which codes go, can be its owner from then on: an officer does so
    // to nobody with rights that he has not himself.
    let takes_over = matches!(operation, Operation::UserPassword | Operation::UserMobile);
    let allowed = if takes_over && is_above_officers(reader, subject)? { &[] } else { allowed };
    // A holder changes no password but his own, and works in no other's name, though his mailbox has other users.
    let personal = matches!(operation, Operation::OwnPassword | Operation::OwnWork)
        && !actor.is_system()
        && subject.name() != actor.name;
    let by = roles.into_iter().find(|role| *role == Role::PlatformAdministrator || allowed.contains(role));
    if let Some(role) = by.filter(|_| !personal) {
        return Ok(Ok(role));
    }
    let because = powerless(reader, actor)?.unwrap_or_else(|| {
        let needs: Vec<&str> = [Role::PlatformAdministrator].iter().chain(allowed).map(|role| role.word()).collect();
        format!("that is for {}", needs.join(", "))
    });
    Ok(Err(Error::Refused {
        actor: actor.name.clone(),
        operation: operation.phrase(),
        subject: subject.to_string(),
        because,
    }))
}
