//! Domains.

use serde::Serialize;
use sigillo_mail::Domain;
use sigillo_store::standing::{Hold, HoldOn};
use sigillo_store::{DomainClass, Reader, StoreError};

use crate::act::{Provisioning, detail};
use crate::actor::Actor;
use crate::customers::existing;
use crate::error::Error;
use crate::permissions::{Operation, Role, Subject, roles, sees};

/// A domain with what is said of it.
#[derive(Debug, Clone, Serialize)]
pub struct DomainStatus {
    /// Its name.
    pub name: String,
    /// Certified or ordinary.
    pub class: DomainClass,
    /// Whose it is, if a customer's.
    pub customer: Option<String>,
    /// How many mailboxes it has.
    pub mailboxes: usize,
    /// What keeps it from being used.
    pub holds: Vec<Hold>,
}

impl Provisioning {
    /// Makes a domain ours, and a customer's if one is named.
    pub async fn add_domain(
        &self,
        actor: &Actor,
        name: &Domain,
        class: DomainClass,
        customer: Option<String>,
    ) -> Result<(), Error> {
        let name = name.clone();
        self.act(actor, Operation::DomainAdd, Subject::Domain(name.to_string()), move |tx| {
            tx.add_domain(&name, class)?;
            if let Some(customer) = &customer {
                existing(&tx.reader(), customer)?;
                tx.give_domain(name.as_str(), customer)?;
            }
            let customer = customer.map(|customer| detail("customer", customer));
            Ok(((), [detail("class", class.as_str())].into_iter().chain(customer).collect()))
        })
        .await
    }

    /// Every domain that the actor may see.
    pub async fn domains(&self, actor: &Actor) -> Result<Vec<DomainStatus>, Error> {
        let actor = actor.clone();
        let seen = self.store().read(move |reader| {
            if let Err(refusal) = sees(reader, &actor, "domains")? {
                return Ok(Err(refusal));
            }
            let mut seen = Vec::new();
            for domain in reader.domains()? {
                let roles = roles(reader, &actor, &Subject::Domain(domain.name.clone()))?;
                if roles.iter().any(|role| *role <= Role::RegistrationOfficer) {
                    seen.push(status(reader, domain)?);
                }
            }
            Ok(Ok(seen))
        });
        seen.await?
    }

    /// One of them.
    pub async fn domain(&self, actor: &Actor, name: &Domain) -> Result<DomainStatus, Error> {
        let wanted = name.to_string();
        let subject = Subject::Domain(name.to_string());
        let found = self
            .look(actor, Operation::DomainShow, subject, move |reader| {
                reader.domain(&wanted)?.map(|domain| status(reader, domain)).transpose()
            })
            .await?;
        found.ok_or_else(|| Error::not_found(format!("domain {name}"), "`sigillo domain list` has those that are ours"))
    }
}

fn status(reader: &Reader<'_>, domain: sigillo_store::Domain) -> Result<DomainStatus, StoreError> {
    Ok(DomainStatus {
        customer: reader.customer_of_domain(&domain.name)?,
        mailboxes: reader.addresses_of_domain(&domain.name)?.len(),
        holds: reader.holds_on(HoldOn::Domain, &domain.name)?,
        class: domain.class,
        name: domain.name,
    })
}
