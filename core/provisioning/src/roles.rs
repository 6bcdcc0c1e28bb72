//! Giving and taking roles.

use sigillo_store::customers::Grant;

use crate::act::{Provisioning, detail};
use crate::actor::Actor;
use crate::error::Error;
use crate::permissions::{Operation, Role, Subject};

/// A role for a login.
#[derive(Debug, Clone)]
pub struct RoleRequest {
    /// Who gets it.
    pub login: String,
    /// Which.
    pub role: Role,
    /// The customer: needed of a registration officer, and only of him.
    pub customer: Option<String>,
}

impl RoleRequest {
    fn subject(&self) -> Result<Subject, Error> {
        match (self.role, &self.customer) {
            (Role::RegistrationOfficer, Some(customer)) => Ok(Subject::Customer(customer.clone())),
            (Role::RegistrationOfficer, None) => Err(Error::invalid(
                self.role.word(),
                "it is a role at one customer",
                "name the customer with --customer ID",
            )),
            (Role::PlatformAdministrator | Role::RoleManager, None) => Ok(Subject::Platform),
            (Role::PlatformAdministrator | Role::RoleManager, Some(_)) => {
                Err(Error::invalid(self.role.word(), "it is a role for all customers", "leave --customer out"))
            }
            (Role::Holder | Role::Operator, _) => {
                Err(Error::invalid(self.role.word(), "it comes with a mailbox", "add the mailbox, or a user to it"))
            }
        }
    }
}

impl Provisioning {
    /// Gives a role (ADM-01, ADM-06). The login must be there.
    pub async fn grant_role(&self, actor: &Actor, request: RoleRequest) -> Result<(), Error> {
        let subject = request.subject()?;
        let operation = match request.role {
            Role::RegistrationOfficer => Operation::GrantOfficer,
            _ => Operation::GrantManager,
        };
        self.act(actor, operation, subject, move |tx| {
            let login = request.login.to_ascii_lowercase();
            if tx.reader().user(&login)?.is_none() {
                return Err(Error::not_found(
                    format!("login {login}"),
                    "add the mailbox of whoever is to have the role first",
                ));
            }
            let customer = request.customer.unwrap_or_default();
            if !customer.is_empty() {
                let found = tx.reader().customer(&customer)?;
                let found = found.ok_or_else(|| Error::not_found(format!("customer {customer}"), "add it first"))?;
                // ADM-05.
                if found.mailboxes == 1 {
                    return Err(Error::invalid(
                        format!("customer {customer}"),
                        "its contract is for a single mailbox, which the provider administers (ADM-05)",
                        "nobody needs to be named",
                    ));
                }
            }
            if !tx.grant_role(&login, request.role.word(), &customer)? {
                return Err(Error::invalid(
                    login,
                    format!("it is {} already", request.role.word()),
                    "nothing is to be done",
                ));
            }
            Ok(((), vec![detail("login", login), detail("granted", request.role.word())]))
        })
        .await
    }

    /// Takes a role away.
    pub async fn revoke_role(&self, actor: &Actor, request: RoleRequest) -> Result<(), Error> {
        let subject = request.subject()?;
        let operation = match request.role {
            Role::RegistrationOfficer => Operation::RevokeOfficer,
            _ => Operation::RevokeManager,
        };
        self.act(actor, operation, subject, move |tx| {
            let login = request.login.to_ascii_lowercase();
            let customer = request.customer.unwrap_or_default();
            if !tx.revoke_role(&login, request.role.word(), &customer)? {
                return Err(Error::not_found(
                    format!("role {} of {login}", request.role.word()),
                    "`sigillo role list` has what there is",
                ));
            }
            Ok(((), vec![detail("login", login), detail("revoked", request.role.word())]))
        })
        .await
    }

    /// The roles that were given: all of them, or those at one customer.
    pub async fn roles(&self, actor: &Actor, customer: Option<String>) -> Result<Vec<Grant>, Error> {
        let subject = customer.clone().map_or(Subject::Platform, Subject::Customer);
        let all = move |reader: &sigillo_store::Reader<'_>| reader.roles();
        let mut roles = self.look(actor, Operation::RoleShow, subject, all).await?;
        roles.retain(|grant| customer.as_ref().is_none_or(|customer| grant.customer == *customer));
        Ok(roles)
    }
}
