//! Mailboxes.

use serde::Serialize;
use sigillo_mail::Mailbox;
use sigillo_store::accounts::{Kind, NewAccount};
use sigillo_store::standing::{Hold, HoldOn, Standing};
use sigillo_store::{Account, AccountState, Reader, StoreError, Tx};

use crate::act::{Details, Provisioning, detail};
use crate::actor::Actor;
use crate::error::Error;
use crate::permissions::{Operation, Role, Subject, permitted, roles, sees};
use crate::users::{Made, Password};

/// How like a name must be to be what was meant (0 to 1).
const LIKENESS: f64 = 0.85;

/// What a mailbox is made of (ADM-11, ADM-16).
#[derive(Clone)]
pub struct NewMailbox {
    /// Its address; the domain must be there.
    pub address: Mailbox,
    /// What it is for.
    pub kind: Kind,
    /// The offer that the figures come from.
    pub offer: Option<String>,
    /// Octets that it may hold.
    pub quota: u64,
    /// Recipients that it may send to in a day; none without limit.
    pub daily_sends: Option<u64>,
    /// Settings to begin with.
    pub settings: Vec<(String, String)>,
    /// Its address may be one that somebody else had.
    pub reuse: bool,
}

impl NewMailbox {
    /// An individual one of a size.
    pub fn individual(address: Mailbox, quota: u64) -> NewMailbox {
        NewMailbox {
            address,
            kind: Kind::Individual,
            offer: None,
            quota,
            daily_sends: None,
            settings: Vec::new(),
            reuse: false,
        }
    }
}

/// A mailbox with what is said of it.
#[derive(Debug, Clone, Serialize)]
pub struct MailboxStatus {
    /// Its data.
    #[serde(flatten)]
    pub account: Account,
    /// Whose it is, if a customer's.
    pub customer: Option<String>,
    /// Whether it may be used now.
    pub standing: Standing,
    /// What is said of itself.
    pub holds: Vec<Hold>,
}

pub(crate) fn existing(reader: &Reader<'_>, address: &str) -> Result<Account, Error> {
    reader.account(address)?.ok_or_else(|| {
        Error::not_found(format!("mailbox {address}"), "`sigillo mailbox list` has those that there are")
    })
}

/// That a domain is not ours; which of those that the actor may see was meant, perhaps.
pub(crate) fn missing_domain(reader: &Reader<'_>, actor: &Actor, domain: &str) -> Result<Option<Error>, StoreError> {
    if reader.domain(domain)?.is_some() {
        return Ok(None);
    }
    let mut near: Option<(f64, String)> = None;
    for one in reader.domains()? {
        let likeness = strsim::jaro_winkler(&one.name, domain);
        let seen = likeness > LIKENESS && near.as_ref().is_none_or(|(best, _)| likeness > *best);
        if seen && permitted(reader, actor, Operation::MailboxAdd, &Subject::Domain(one.name.clone()))?.is_ok() {
            near = Some((likeness, one.name));
        }
    }
    let remedy = match near {
        Some((_, name)) => format!("did you mean {name}?"),
        None => format!("add it first: sigillo domain add {domain}"),
    };
    Ok(Some(Error::not_found(format!("domain {domain}"), remedy)))
}

/// What stands in the way of a new mailbox in a domain of ours, when so many more are made before it.
pub(crate) fn obstacle(reader: &Reader<'_>, new: &NewMailbox, more: u64) -> Result<Option<Error>, StoreError> {
    let (key, domain) = (new.address.key(), new.address.domain().as_str());
    if !new.reuse && reader.is_retired(&key)? {
        return Ok(Some(Error::invalid(
            format!("mailbox {key}"),
            "somebody had this address, and would be taken for whoever gets it now",
            "take another one; if it is the same holder, say --reuse",
        )));
    }
    if let Some(id) = reader.customer_of_domain(domain)?
        && let Some(customer) = reader.customer(&id)?
        && customer.mailboxes > 0
        && reader.mailboxes_of_customer(&id)? + more >= customer.mailboxes
    {
        return Ok(Some(Error::invalid(
            format!("mailbox {key}"),
            format!("the contract of customer {id} is for {} mailboxes, and there are that many", customer.mailboxes),
            "change the contract, or end the service of another mailbox",
        )));
    }
    Ok(None)
}

/// Makes a mailbox in a running operation.
pub(crate) fn make(
    tx: &mut Tx<'_>,
    new: &NewMailbox,
    credential: String,
    expires: Option<u64>,
) -> Result<Details, Error> {
    if let Some(obstacle) = obstacle(&tx.reader(), new, 0)? {
        return Err(obstacle);
    }
    let key = new.address.key();
    tx.add_account_of(&NewAccount {
        address: new.address.clone(),
        kind: new.kind,
        offer: new.offer.clone(),
        quota: new.quota,
        daily_sends: new.daily_sends,
        credential,
        initial: expires.is_some(),
        expires,
    })?;
    for (name, value) in &new.settings {
        tx.set_account_setting(&key, name, value)?;
    }
    let mut details = vec![detail("kind", new.kind.as_str()), detail("quota", new.quota)];
    details.extend(new.offer.iter().map(|offer| detail("offer", offer)));
    details.extend(new.settings.iter().map(|(name, value)| detail(name, value)));
    details.push(detail("must-change", expires.is_some()));
    Ok(details)
}

impl Provisioning {
    /// Makes a mailbox with its holder.
    pub async fn add_mailbox(&self, actor: &Actor, new: NewMailbox, password: Password) -> Result<Made, Error> {
        let key = new.address.key();
        let subject = Subject::Mailbox(key.clone());
        let (who, asked) = (actor.clone(), new.clone());
        let missing =
            self.store().read(move |reader| missing_domain(reader, &who, asked.address.domain().as_str())).await?;
        if let Some(missing) = missing {
            return Err(missing);
        }
        self.may(actor, Operation::MailboxAdd, subject.clone()).await?;
        let asked = new.clone();
        if let Some(obstacle) = self.store().read(move |reader| obstacle(reader, &asked, 0)).await? {
            return Err(obstacle);
        }
        let hashed = self.hashed(password, &key).await?;
        let own = self.clone();
        self.act(actor, Operation::MailboxAdd, subject, move |tx| {
            let expires = hashed.first.then(|| own.first_ends(tx.now()));
            let details = make(tx, &new, hashed.credential, expires)?;
            Ok((Made { password: hashed.made, expires }, details))
        })
        .await
    }

    /// Every mailbox that the actor may see.
    pub async fn mailboxes(&self, actor: &Actor) -> Result<Vec<MailboxStatus>, Error> {
        let actor = actor.clone();
        let seen = self.store().read(move |reader| {
            if let Err(refusal) = sees(reader, &actor, "mailboxes")? {
                return Ok(Err(refusal));
            }
            let mut seen = Vec::new();
            for account in reader.accounts()? {
                let roles = roles(reader, &actor, &Subject::Mailbox(account.address.clone()))?;
                let may = |role: &Role| {
                    matches!(role, Role::PlatformAdministrator | Role::RegistrationOfficer | Role::Holder)
                };
                if roles.iter().any(may) {
                    seen.push(status(reader, account)?);
                }
            }
            Ok(Ok(seen))
        });
        seen.await?
    }

    /// One of them.
    pub async fn mailbox(&self, actor: &Actor, address: &Mailbox) -> Result<MailboxStatus, Error> {
        let key = address.key();
        let wanted = key.clone();
        let found = self
            .look(actor, Operation::MailboxShow, Subject::Mailbox(key.clone()), move |reader| {
                reader.account(&wanted)?.map(|account| status(reader, account)).transpose()
            })
            .await?;
        found.ok_or_else(|| {
            Error::not_found(format!("mailbox {key}"), "`sigillo mailbox list` has those that there are")
        })
    }

    /// Changes how much it may hold.
    pub async fn set_quota(&self, actor: &Actor, address: &Mailbox, quota: u64) -> Result<(), Error> {
        self.change(actor, Operation::MailboxQuota, address, move |tx, key| {
            let before = existing(&tx.reader(), key)?.quota;
            tx.set_quota(key, quota)?;
            Ok(vec![detail("quota-before", before), detail("quota", quota)])
        })
        .await
    }

    /// Opens or closes it.
    pub async fn set_mailbox_state(&self, actor: &Actor, address: &Mailbox, state: AccountState) -> Result<(), Error> {
        self.change(actor, Operation::MailboxState, address, move |tx, key| {
            tx.set_account_state(key, state)?;
            Ok(vec![detail("state", state.as_str())])
        })
        .await
    }

    /// Changes a setting that plugins read, or takes it away; whether it is a good one is its caller's to know.
    pub async fn set_setting(
        &self,
        actor: &Actor,
        by_user: bool,
        address: &Mailbox,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), Error> {
        let operation = if by_user { Operation::MailboxOwnSet } else { Operation::MailboxSet };
        let (name, value) = (name.to_owned(), value.map(str::to_owned));
        self.change(actor, operation, address, move |tx, key| {
            let before = tx.reader().account_setting(key, &name)?;
            match &value {
                Some(value) => tx.set_account_setting(key, &name, value)?,
                None => tx.remove_account_setting(key, &name)?,
            }
            let mut details = vec![detail("setting", &name)];
            details.extend(before.map(|before| detail("before", before)));
            details.extend(value.map(|value| detail("value", value)));
            Ok(details)
        })
        .await
    }

    /// An operation on a mailbox that is there, for callers with a change of their own.
    pub async fn change(
        &self,
        actor: &Actor,
        operation: Operation,
        address: &Mailbox,
        job: impl FnOnce(&mut Tx<'_>, &str) -> Result<Details, Error> + Send + 'static,
    ) -> Result<(), Error> {
        let key = address.key();
        self.act(actor, operation, Subject::Mailbox(key.clone()), move |tx| {
            existing(&tx.reader(), &key)?;
            job(tx, &key).map(|details| ((), details))
        })
        .await
    }
}

fn status(reader: &Reader<'_>, account: Account) -> Result<MailboxStatus, StoreError> {
    let domain = account.address.rsplit_once('@').map_or("", |(_, domain)| domain);
    Ok(MailboxStatus {
        customer: reader.customer_of_domain(domain)?,
        standing: reader.standing(&account.address, sigillo_store::commit::now())?,
        holds: reader.holds_on(HoldOn::Mailbox, &account.address)?,
        account,
    })
}
