//! The end of a service: suspension, cessation with its dates, and the deletion of what belonged to it (ADM-23 to ADM-26).
//!
//! | | users log in | mail is received | data |
//! |---|---|---|---|
//! | suspended (AS-06) | no | yes (AS-08) | stays |
//! | contract expired | no | no: a delivery receipt would say that it is at the disposal of somebody who cannot open it | stays until a cessation |
//! | ceased for cause, or expired and ceased | no | no | is deleted from the thirtieth day after the end on (ADM-25) |
//! | withdrawn | until the day that the customer named | until then | is deleted from that day on (ADM-26) |
//!
//! Nothing is deleted within a day of its announcement, also where the date that was named lies far back. Deletion goes
//! mailbox by mailbox in small commits, and on after an interruption. Evidence and quarantine are never deleted, and a
//! mailbox whose copies await the legal preservation stays until that has confirmed them (CON-08).

use std::sync::Arc;

use serde::Serialize;
use sigillo_store::standing::{Hold, HoldKind, HoldOn};
use sigillo_store::{AccountState, Millis, Reader, StoreError, Tx};

use crate::act::{Details, Provisioning, detail, perform};
use crate::actor::Actor;
use crate::customers::{existing as existing_customer, legal_day};
use crate::error::Error;
use crate::mailboxes::existing as existing_mailbox;
use crate::permissions::{Operation, Subject};

/// Messages deleted in one commit: others wait for it.
const DELETED_AT_ONCE: u32 = 200;
/// A day.
const DAY_MS: u64 = 24 * 3_600_000;
/// From the announcement to the first deletion, whatever date was named: a wrong year can still be taken back.
const SECOND_THOUGHTS_MS: u64 = DAY_MS;

/// Says why a mailbox must stay, if it must.
pub type Guard = Arc<dyn Fn(&Reader<'_>, &str) -> Result<Option<String>, StoreError> + Send + Sync>;

/// Why a service ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The contract is over, or dissolved (ADM-25): closed from the date on, deleted thirty days later.
    Termination,
    /// The customer does not want it any more (ADM-26): closed and deleted from the date on, with thirty days of notice.
    Withdrawal,
}

/// A cessation to be announced.
#[derive(Debug, Clone)]
pub struct Cessation {
    /// Of whom.
    pub on: HoldOn,
    /// Its id, domain or address.
    pub name: String,
    /// Why.
    pub ending: Ending,
    /// In the operator's words: the letter, the form.
    pub reason: String,
    /// The end of the service; of a customer with a contract its expiry, else now, if absent.
    pub date: Option<Millis>,
}

/// What a round of deletions did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DeletionReport {
    /// Whether it was only looked at.
    pub dry_run: bool,
    /// Mailboxes with the number of their messages.
    pub mailboxes: Vec<(String, u64)>,
    /// Domains that are not ours any more (DOM-08).
    pub domains: Vec<String>,
    /// Customers that were forgotten.
    pub customers: Vec<String>,
    /// Mailboxes that stay, and why.
    pub kept: Vec<(String, String)>,
    /// What could not be deleted, and why; it is tried again by the next round.
    pub failed: Vec<(String, String)>,
}

/// Why a deletion is done, and of when it is: looked at anew in each of its commits, so that what was taken back meanwhile
/// deletes no more.
#[derive(Clone)]
struct Cause {
    hold: Hold,
    now: Millis,
}

impl Cause {
    fn holds(&self, reader: &Reader<'_>) -> Result<bool, StoreError> {
        let holds = reader.holds_on(self.hold.on, &self.hold.name)?;
        Ok(holds.iter().any(|hold| hold.deletes.is_some_and(|deletes| deletes <= self.now)))
    }
}

fn operations(on: HoldOn) -> (Operation, Operation, Operation) {
    match on {
        HoldOn::Customer => (Operation::CustomerSuspend, Operation::CustomerResume, Operation::CustomerCease),
        HoldOn::Domain => (Operation::DomainSuspend, Operation::DomainResume, Operation::DomainCease),
        HoldOn::Mailbox => (Operation::MailboxSuspend, Operation::MailboxResume, Operation::MailboxCease),
    }
}

fn subject(on: HoldOn, name: &str) -> Subject {
    match on {
        HoldOn::Customer => Subject::Customer(name.to_owned()),
        HoldOn::Domain => Subject::Domain(name.to_ascii_lowercase()),
        HoldOn::Mailbox => Subject::Mailbox(name.to_ascii_lowercase()),
    }
}

fn must_exist(reader: &Reader<'_>, on: HoldOn, name: &str) -> Result<(), Error> {
    match on {
        HoldOn::Customer => existing_customer(reader, name).map(drop),
        HoldOn::Mailbox => existing_mailbox(reader, name).map(drop),
        HoldOn::Domain if reader.domain(name)?.is_some() => Ok(()),
        HoldOn::Domain => {
            Err(Error::not_found(format!("domain {name}"), "`sigillo domain list` has those that are ours"))
        }
    }
}

impl Provisioning {
    /// Closes a mailbox, a domain or a customer for its users; mail is received all the same.
    pub async fn suspend(&self, actor: &Actor, on: HoldOn, name: &str, reason: &str) -> Result<(), Error> {
        let (subject, reason) = (subject(on, name), reason.to_owned());
        self.act(actor, operations(on).0, subject.clone(), move |tx| {
            must_exist(&tx.reader(), on, subject.name())?;
            let now = tx.now();
            tx.put_hold(&Hold {
                on,
                name: subject.name().to_owned(),
                kind: HoldKind::Suspended,
                reason: reason.clone(),
                since: now,
                closes: now,
                deletes: None,
            })?;
            Ok(((), vec![detail("reason", reason)]))
        })
        .await
    }

    /// Takes a suspension back.
    pub async fn resume(&self, actor: &Actor, on: HoldOn, name: &str) -> Result<(), Error> {
        let subject = subject(on, name);
        self.act(actor, operations(on).1, subject.clone(), move |tx| {
            must_exist(&tx.reader(), on, subject.name())?;
            let mut lifted = tx.lift_hold(on, subject.name(), HoldKind::Suspended)?;
            // What a plugin suspended is resumed in the same way.
            let account = tx.reader().account(subject.name())?.filter(|_| on == HoldOn::Mailbox);
            if account.is_some_and(|account| account.suspended.is_some() && account.state == AccountState::Active) {
                tx.set_account_state(subject.name(), AccountState::Active)?;
                lifted = true;
            }
            if !lifted {
                return Err(Error::invalid(subject.to_string(), "it is not suspended", "nothing is to be done"));
            }
            Ok(((), Vec::new()))
        })
        .await
    }

    /// Announces the end of a service; returns what was noted.
    pub async fn cease(&self, actor: &Actor, cessation: Cessation) -> Result<Hold, Error> {
        let Cessation { on, name, ending, reason, date } = cessation;
        let subject = subject(on, &name);
        let settings = self.settings().clone();
        self.act(actor, operations(on).2, subject.clone(), move |tx| {
            must_exist(&tx.reader(), on, subject.name())?;
            let now = tx.now();
            let expiry = match on {
                HoldOn::Customer => existing_customer(&tx.reader(), subject.name())?.expires,
                _ => None,
            };
            let (closes, deletes) = match ending {
                Ending::Termination => {
                    let closes = date.or(expiry).unwrap_or(now);
                    (closes, (closes + settings.deletion_days * DAY_MS).max(now + SECOND_THOUGHTS_MS))
                }
                Ending::Withdrawal => {
                    let earliest = now + settings.notice_days * DAY_MS;
                    let closes = date.unwrap_or(earliest);
                    // A day that was named is meant from its beginning on: the notice may lack the hours of today.
                    if closes + DAY_MS <= earliest {
                        return Err(Error::invalid(
                            "the date of withdrawal",
                            format!("{} leaves less than {} days of notice", legal_day(closes), settings.notice_days),
                            format!("the earliest is {}", legal_day(earliest)),
                        ));
                    }
                    (closes, closes)
                }
            };
            let name = subject.name().to_owned();
            let deletes = Some(deletes);
            let hold = Hold { on, name, kind: HoldKind::Ceasing, reason, since: now, closes, deletes };
            tx.put_hold(&hold)?;
            let details = vec![
                detail("reason", &hold.reason),
                detail("closes", legal_day(closes)),
                detail("deletes", legal_day(hold.deletes.unwrap_or(closes))),
            ];
            Ok((hold, details))
        })
        .await
    }

    /// Takes the end of a service back: nothing more is deleted. What was deleted already does not come back.
    pub async fn undo_cessation(&self, actor: &Actor, on: HoldOn, name: &str) -> Result<(), Error> {
        let subject = subject(on, name);
        self.act(actor, operations(on).2, subject.clone(), move |tx| {
            must_exist(&tx.reader(), on, subject.name())?;
            if !tx.lift_hold(on, subject.name(), HoldKind::Ceasing)? {
                return Err(Error::invalid(
                    subject.to_string(),
                    "its service is not being ended",
                    "nothing is to be done",
                ));
            }
            Ok(((), vec![detail("undone", true)]))
        })
        .await
    }

    /// Every service that is being ended.
    pub async fn cessations(&self, actor: &Actor) -> Result<Vec<Hold>, Error> {
        self.look(actor, Operation::Delete, Subject::Platform, |reader| reader.cessations()).await
    }

    /// Deletes what is due at `now`, or says what would be. What fails keeps nothing else from being deleted.
    pub async fn delete_due(
        &self,
        actor: &Actor,
        now: Millis,
        dry_run: bool,
        guard: Option<Guard>,
    ) -> Result<DeletionReport, Error> {
        let due =
            self.look(actor, Operation::Delete, Subject::Platform, move |reader| reader.due_deletions(now)).await?;
        let mut report = DeletionReport { dry_run, ..DeletionReport::default() };
        for hold in due {
            let (on, name) = (hold.on, hold.name.clone());
            let cause = Cause { hold, now };
            let gone = match on {
                HoldOn::Mailbox => self.delete_mailbox(actor, &name, &cause, &guard, &mut report).await,
                HoldOn::Domain => self.delete_domain(actor, &name, &cause, &guard, &mut report).await,
                HoldOn::Customer => self.delete_customer(actor, &name, &cause, &guard, &mut report).await,
            };
            if let Err(error) = gone {
                report.failed.push((name, error.to_string()));
            }
        }
        Ok(report)
    }

    /// Whether it is gone (or would be).
    async fn delete_mailbox(
        &self,
        actor: &Actor,
        address: &str,
        cause: &Cause,
        guard: &Option<Guard>,
        report: &mut DeletionReport,
    ) -> Result<bool, Error> {
        if report.mailboxes.iter().any(|(name, _)| name == address) {
            return Ok(true);
        }
        let (guard, name) = (guard.clone(), address.to_owned());
        let (kept, messages) = self
            .store()
            .read(move |reader| {
                let kept = guard.map_or(Ok(None), |guard| guard(reader, &name))?;
                let mut messages = 0;
                for folder in reader.folders(&name)? {
                    messages += reader.item_count(folder.id)? as u64;
                }
                Ok((kept, messages))
            })
            .await?;
        if let Some(why) = kept {
            if !report.kept.iter().any(|(name, _)| name == address) {
                report.kept.push((address.to_owned(), why));
            }
            return Ok(false);
        }
        let gone = report.dry_run || self.remove_mailbox(actor, address, cause, messages).await?;
        if gone {
            report.mailboxes.push((address.to_owned(), messages));
        }
        Ok(gone)
    }

    /// Empties it in small commits, then removes it; false if its end was taken back.
    async fn remove_mailbox(&self, actor: &Actor, address: &str, cause: &Cause, messages: u64) -> Result<bool, Error> {
        // All but the last step are not told: the trail would be as long as the mailbox.
        loop {
            let (name, cause) = (address.to_owned(), cause.clone());
            let emptied = self.commit(move |tx| {
                if !cause.holds(&tx.reader())? {
                    return Ok(None);
                }
                let messages = tx.empty_account(&name, DELETED_AT_ONCE)?;
                let copies = tx.reader().archive_items(&name, Millis::MAX, None, DELETED_AT_ONCE)?;
                for copy in &copies {
                    tx.archive_release(&name, &copy.id)?;
                }
                Ok(Some(messages + copies.len() as u64))
            });
            match emptied.await? {
                None => return Ok(false),
                Some(0) => break,
                Some(_) => {}
            }
        }
        let details = vec![detail("messages", messages)];
        self.remove(actor, Subject::Mailbox(address.to_owned()), cause, details, |tx, name| tx.remove_account(name))
            .await
    }

    /// The last step with its record; false if the end was taken back.
    async fn remove(
        &self,
        actor: &Actor,
        subject: Subject,
        cause: &Cause,
        details: Details,
        job: impl FnOnce(&mut Tx<'_>, &str) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<bool, Error> {
        let (actor, cause) = (actor.clone(), cause.clone());
        self.commit(move |tx| {
            if !cause.holds(&tx.reader())? {
                return Ok(Ok(false));
            }
            perform(tx, &actor, Operation::Delete, &subject, |tx| {
                job(tx, subject.name())?;
                Ok((true, details))
            })
        })
        .await?
    }

    async fn delete_domain(
        &self,
        actor: &Actor,
        domain: &str,
        cause: &Cause,
        guard: &Option<Guard>,
        report: &mut DeletionReport,
    ) -> Result<bool, Error> {
        if report.domains.iter().any(|name| name == domain) {
            return Ok(true);
        }
        let name = domain.to_owned();
        let mut empty = true;
        for address in self.store().read(move |reader| reader.addresses_of_domain(&name)).await? {
            empty &= self.delete_mailbox(actor, &address, cause, guard, report).await?;
        }
        if !empty {
            return Ok(false);
        }
        let name = domain.to_owned();
        let class = self.store().read(move |reader| reader.domain(&name)).await?.map(|domain| domain.class.as_str());
        let details = vec![detail("class", class.unwrap_or("none"))];
        let subject = Subject::Domain(domain.to_owned());
        let gone =
            report.dry_run || self.remove(actor, subject, cause, details, |tx, name| tx.remove_domain(name)).await?;
        if gone {
            report.domains.push(domain.to_owned());
        }
        Ok(gone)
    }

    async fn delete_customer(
        &self,
        actor: &Actor,
        id: &str,
        cause: &Cause,
        guard: &Option<Guard>,
        report: &mut DeletionReport,
    ) -> Result<bool, Error> {
        let name = id.to_owned();
        let mut empty = true;
        for domain in self.store().read(move |reader| reader.domains_of_customer(&name)).await? {
            empty &= self.delete_domain(actor, &domain, cause, guard, report).await?;
        }
        if !empty {
            return Ok(false);
        }
        let subject = Subject::Customer(id.to_owned());
        let gone = report.dry_run
            || self.remove(actor, subject, cause, Vec::new(), |tx, name| tx.remove_customer(name)).await?;
        if gone {
            report.customers.push(id.to_owned());
        }
        Ok(gone)
    }
}
