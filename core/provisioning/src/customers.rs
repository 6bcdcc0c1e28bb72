//! Customers and their contracts.

use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde::Serialize;
use sigillo_store::customers::Customer;
use sigillo_store::evidence::legal_time;
use sigillo_store::standing::{Hold, HoldOn};
use sigillo_store::{Millis, Reader, StoreError};

use crate::act::{Details, Provisioning, detail};
use crate::actor::Actor;
use crate::error::Error;
use crate::permissions::{Operation, Role, Subject, roles, sees};
use crate::renewal::{Renewed, announce};

/// Longest id of a customer, characters. Ours.
const ID_MAX: usize = 64;
/// Longest name, octets. Ours.
const NAME_MAX: usize = 200;
/// Most months that a contract is extended by at once. Ours: ten years.
const RENEWAL_MAX: u32 = 120;

/// What a customer is entered with (ADM-16).
#[derive(Debug, Clone, Default)]
pub struct NewCustomer {
    /// The provider's number or word for it: letters, digits, `-`, `.`, `_`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Who signed.
    pub holder: String,
    /// The technical contact.
    pub contact: String,
    /// From when on; now if absent.
    pub begins: Option<Millis>,
    /// The first instant after the contract.
    pub expires: Option<Millis>,
    /// Months that are added by themselves at the expiry; 0: none.
    pub renews: u32,
    /// Mailboxes at most; 0: not bounded.
    pub mailboxes: u64,
}

/// A customer with everything that belongs to it.
#[derive(Debug, Clone, Serialize)]
pub struct CustomerStatus {
    /// Its data.
    #[serde(flatten)]
    pub customer: Customer,
    /// Its domains.
    pub domains: Vec<String>,
    /// How many mailboxes it has.
    pub mailboxes_used: u64,
    /// What keeps it from being used.
    pub holds: Vec<Hold>,
}

pub(crate) fn existing(reader: &Reader<'_>, id: &str) -> Result<Customer, Error> {
    reader
        .customer(id)?
        .ok_or_else(|| Error::not_found(format!("customer {id}"), "`sigillo customer list` has those that there are"))
}

fn line(what: &str, text: &str) -> Result<(), Error> {
    if text.len() > NAME_MAX || text.chars().any(char::is_control) {
        return Err(Error::invalid(what, format!("it is not one line of at most {NAME_MAX} octets"), "shorten it"));
    }
    Ok(())
}

/// The instant so many calendar months after another, by legal time.
pub(crate) fn months_later(at: Millis, months: u32) -> Millis {
    let zone = TimeZone::get("Europe/Rome").unwrap_or(TimeZone::UTC);
    let later = jiff::Timestamp::from_millisecond(at as i64).and_then(|at| {
        at.to_zoned(zone).checked_add(i64::from(months).months()).map(|later| later.timestamp().as_millisecond())
    });
    later.map_or(at, |later| later.max(0) as Millis)
}

impl Provisioning {
    /// Enters a customer.
    pub async fn add_customer(&self, actor: &Actor, new: NewCustomer) -> Result<(), Error> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if !(1..=ID_MAX).contains(&new.id.len()) || !new.id.bytes().all(good) {
            return Err(Error::invalid(
                format!("customer '{}'", new.id),
                "this cannot be an id",
                format!("use 1 to {ID_MAX} letters, digits, '-', '.' and '_'"),
            ));
        }
        for (what, text) in [("name", &new.name), ("holder", &new.holder), ("contact", &new.contact)] {
            line(what, text)?;
        }
        if new.renews > RENEWAL_MAX {
            return Err(Error::invalid("renewal", format!("{} months are too many", new.renews), "120 is the most"));
        }
        if new.renews > 0 && new.expires.is_none() {
            return Err(Error::invalid("renewal", "the contract has no end", "give an expiry with --expires DAY"));
        }
        let subject = Subject::Customer(new.id.clone());
        self.act(actor, Operation::CustomerAdd, subject, move |tx| {
            let begins = new.begins.unwrap_or(tx.now());
            if new.expires.is_some_and(|expires| expires <= begins) {
                return Err(Error::invalid("expiry", "the contract would end before it begins", "check both days"));
            }
            let customer = Customer {
                id: new.id,
                name: new.name,
                holder: new.holder,
                contact: new.contact,
                begins,
                expires: new.expires,
                renews: new.renews,
                mailboxes: new.mailboxes,
                created: tx.now(),
            };
            tx.add_customer(&customer)?;
            Ok(((), terms(&customer)))
        })
        .await
    }

    /// Every customer that the actor may see, with what belongs to it.
    pub async fn customers(&self, actor: &Actor) -> Result<Vec<CustomerStatus>, Error> {
        let actor = actor.clone();
        let seen = self.store().read(move |reader| {
            if let Err(refusal) = sees(reader, &actor, "customers")? {
                return Ok(Err(refusal));
            }
            let mut seen = Vec::new();
            for customer in reader.customers()? {
                let roles = roles(reader, &actor, &Subject::Customer(customer.id.clone()))?;
                if roles.iter().any(|role| *role <= Role::RegistrationOfficer) {
                    seen.push(status(reader, customer)?);
                }
            }
            Ok(Ok(seen))
        });
        seen.await?
    }

    /// One of them.
    pub async fn customer(&self, actor: &Actor, id: &str) -> Result<CustomerStatus, Error> {
        let wanted = id.to_owned();
        let found = self
            .look(actor, Operation::CustomerShow, Subject::Customer(id.to_owned()), move |reader| {
                reader.customer(&wanted)?.map(|customer| status(reader, customer)).transpose()
            })
            .await?;
        found.ok_or_else(|| {
            Error::not_found(format!("customer {id}"), "`sigillo customer list` has those that there are")
        })
    }

    /// Extends a contract to a new end; its holder is told (ADM-21). One whose service is being ended is not extended.
    pub async fn renew_customer(&self, actor: &Actor, id: &str, until: Millis) -> Result<Renewed, Error> {
        let id = id.to_owned();
        self.act(actor, Operation::CustomerRenew, Subject::Customer(id.clone()), move |tx| {
            let customer = existing(&tx.reader(), &id)?;
            if customer.expires.is_some_and(|expires| until <= expires) {
                return Err(Error::invalid("expiry", "the contract would end no later than now", "give a later day"));
            }
            if !tx.reader().holds_on(HoldOn::Customer, &id)?.iter().all(|hold| hold.deletes.is_none()) {
                return Err(Error::invalid(
                    format!("customer {id}"),
                    "its service is being ended",
                    format!("take that back with `sigillo customer cease {id} --undo` first"),
                ));
            }
            tx.set_customer_expiry(&id, Some(until))?;
            let before = customer.expires.map_or_else(|| "none".to_owned(), legal_day);
            let told = announce(tx, &customer, until)?;
            let mut details = vec![detail("expires-before", before), detail("expires", legal_day(until))];
            details.extend(told.iter().map(|mailbox| detail("told", mailbox)));
            Ok((Renewed { expires: until, told }, details))
        })
        .await
    }

    /// Extends by themselves the contracts that say so (ADM-22); the ids of those that were, and of those that could not be.
    pub async fn renew_due(&self, now: Millis) -> Result<(Vec<String>, Vec<(String, Error)>), Error> {
        let due = self.store().read(move |reader| {
            let mut due = Vec::new();
            for customer in reader.customers()? {
                let over = customer.renews > 0 && customer.expires.is_some_and(|expires| expires <= now);
                let ceasing =
                    reader.holds_on(HoldOn::Customer, &customer.id)?.iter().any(|hold| hold.deletes.is_some());
                if over && !ceasing {
                    due.push(customer);
                }
            }
            Ok(due)
        });
        let (mut renewed, mut failed) = (Vec::new(), Vec::new());
        for customer in due.await? {
            let (first, mut until) = (customer.expires.unwrap_or(now), customer.expires.unwrap_or(now));
            let mut months = 0;
            // A server that was away for long makes up for it; each step is counted from the first end, so that the
            // 31st does not become the 28th for good.
            while until <= now && months < 12 * u32::from(u8::MAX) {
                months += customer.renews;
                until = months_later(first, months);
            }
            // One that cannot be extended keeps no other from it.
            match self.renew_customer(&Actor::server(), &customer.id, until).await {
                Ok(_) => renewed.push(customer.id),
                Err(error) => failed.push((customer.id, error)),
            }
        }
        Ok((renewed, failed))
    }
}

fn status(reader: &Reader<'_>, customer: Customer) -> Result<CustomerStatus, StoreError> {
    Ok(CustomerStatus {
        domains: reader.domains_of_customer(&customer.id)?,
        mailboxes_used: reader.mailboxes_of_customer(&customer.id)?,
        holds: reader.holds_on(HoldOn::Customer, &customer.id)?,
        customer,
    })
}

fn terms(customer: &Customer) -> Details {
    let mut details = vec![detail("name", &customer.name), detail("begins", legal_day(customer.begins))];
    details.extend(customer.expires.map(|at| detail("expires", legal_day(at))));
    details.push(detail("renews-months", customer.renews));
    details.push(detail("mailboxes", customer.mailboxes));
    details
}

/// An instant as the trail has it.
pub(crate) fn legal_day(at: Millis) -> String {
    let (begin, _) = legal_time::day(at);
    let exact = jiff::Timestamp::from_millisecond(at as i64).map_or_else(|_| at.to_string(), |at| format!("{at:.0}"));
    let zone = TimeZone::get("Europe/Rome").unwrap_or(TimeZone::UTC);
    match jiff::Timestamp::from_millisecond(begin as i64) {
        Ok(day) if begin == at => day.to_zoned(zone).date().to_string(),
        _ => exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adm_22_months_are_those_of_the_calendar() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond() as Millis;
        // Midnight in Rome stays midnight in Rome over the change of summer time.
        assert_eq!(months_later(at("2026-01-31T23:00:00Z"), 6), at("2026-07-31T22:00:00Z"));
        assert_eq!(months_later(at("2026-01-30T23:00:00Z"), 1), at("2026-02-27T23:00:00Z"));
        assert_eq!(legal_day(at("2026-07-31T22:00:00Z")), "2026-08-01");
    }
}
