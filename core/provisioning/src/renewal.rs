//! Who is told that a contract was extended (ADM-21), and how the server comes to know that he is to be told.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use sigillo_mail::Mailbox;
use sigillo_store::customers::Customer;
use sigillo_store::{Millis, Reader, SERVER, StoreError, Tx};

use crate::permissions::Role;

/// A message that is to be filed: the payload of a wake-up of the server itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// Whose contract.
    pub customer: String,
    /// The first instant after it.
    pub expires: Millis,
    /// Where it is told.
    pub mailbox: String,
}

/// What an extension did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// The first instant after the contract.
    pub expires: Millis,
    /// The mailboxes in which it is told.
    pub told: Vec<String>,
}

/// Leaves a wake-up for each mailbox that stands for the holder of the contract; which they are.
pub(crate) fn announce(tx: &mut Tx<'_>, customer: &Customer, expires: Millis) -> Result<Vec<String>, StoreError> {
    let told = mailboxes_of_holder(&tx.reader(), customer)?;
    for mailbox in &told {
        let renewal = Renewal { customer: customer.id.clone(), expires, mailbox: mailbox.clone() };
        let payload = serde_json::to_vec(&renewal).map_err(|error| StoreError::Invalid(error.to_string()))?;
        // An extension that follows at once takes the place of this one: what holds is told.
        tx.set_timer(SERVER, &format!("renewal.{}.{mailbox}", customer.id), tx.now(), &payload)?;
    }
    Ok(told)
}

/// The mailbox here that is named with the holder (`Ada Rossi <ada@pec.alfa.example>`); else those of the customer's
/// registration officers, which are his administration mailboxes (ADM-08); else the only one that he has (ADM-05).
fn mailboxes_of_holder(reader: &Reader<'_>, customer: &Customer) -> Result<Vec<String>, StoreError> {
    let holder = customer.holder.as_str();
    let named = holder.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(holder, |(inner, _)| inner);
    if let Ok(mailbox) = named.trim().parse::<Mailbox>()
        && let Some(account) = reader.account(&mailbox.key())?
    {
        return Ok(vec![account.address]);
    }
    let mut told = Vec::new();
    for grant in reader.roles()? {
        let officer = Role::from_word(&grant.role) == Some(Role::RegistrationOfficer) && grant.customer == customer.id;
        if let Some(user) = reader.user(&grant.login)?.filter(|_| officer) {
            told.push(user.account);
        }
    }
    if told.is_empty() && reader.mailboxes_of_customer(&customer.id)? == 1 {
        for domain in reader.domains_of_customer(&customer.id)? {
            told.extend(reader.addresses_of_domain(&domain)?);
        }
    }
    told.sort_unstable();
    told.dedup();
    Ok(told)
}

/// The last day of a contract by legal time, from the first instant after it.
pub fn last_day(expires: Millis) -> Date {
    let zone = TimeZone::get("Europe/Rome").unwrap_or(TimeZone::UTC);
    let last = jiff::Timestamp::from_millisecond(expires.saturating_sub(1) as i64);
    last.map_or(Date::MAX, |at| at.to_zoned(zone).date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_is_a_day_that_the_contract_has() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond() as Millis;
        assert_eq!(last_day(at("2027-12-31T23:00:00Z")).to_string(), "2027-12-31");
        assert_eq!(last_day(at("2027-12-31T12:00:00Z")).to_string(), "2027-12-31");
        assert_eq!(last_day(at("2027-06-30T22:00:00Z")).to_string(), "2027-06-30");
    }
}
