//! Many mailboxes from a table (ADM-15).
//!
//! The whole table is read and held against the store before anything is made, so that every mistake is told at once. Then
//! mailboxes are made in small commits. The first passwords of a commit are in their file, on disk, before it: whoever is
//! interrupted anywhere runs the same command again, which takes the passwords of that file for what is still to be made,
//! leaves what is there, and makes the rest.

mod credentials;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use sigillo_store::accounts::Kind;
use sigillo_store::users::{NewUser, Role as UserRole};
use sigillo_store::{Reader, StoreError, Tx};

use crate::act::{Provisioning, detail, perform};
use crate::actor::Actor;
use crate::error::Error;
use crate::mailboxes::{NewMailbox, make, missing_domain, obstacle};
use crate::passwords;
use crate::permissions::{Operation, Subject, permitted};
use credentials::Credentials;
pub use table::{COLUMNS, Table, TableRow, read_quota};

/// Mailboxes made in one commit, where nothing else is wanted.
pub const AT_ONCE: usize = 32;

/// What an offer gives a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferFigures {
    /// What mailboxes it is for; the first where nothing is said.
    pub kinds: Vec<Kind>,
    /// Octets.
    pub quota: u64,
    /// Recipients in a day; none without limit.
    pub daily_sends: Option<u64>,
    /// Settings that it brings.
    pub settings: Vec<(String, String)>,
}

/// What the server knows besides the store: offers, and the settings that plugins declare.
pub trait Catalogue: Send + Sync {
    /// An offer by its name; the error says which there are.
    fn offer(&self, name: &str) -> Result<OfferFigures, String>;
    /// Whether an administrator may give a setting this value; the error says which are good.
    fn setting(&self, name: &str, value: &str) -> Result<(), String>;
    /// Octets of a mailbox without an offer.
    fn quota(&self) -> u64;
}

/// A run over a table.
pub struct BulkRequest {
    /// The table as it came.
    pub table: Vec<u8>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Make the rows without mistakes though others have some.
    pub skip_errors: bool,
    /// Where first passwords are written (mode 600); not needed for a dry run.
    pub credentials: Option<PathBuf>,
    /// Mailboxes made in one commit, at least one.
    pub at_once: usize,
    /// Ends the run after the commit at hand.
    pub stop: Arc<AtomicBool>,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowOutcome {
    /// The mailbox was made, or would be.
    Added,
    /// It is there already, just so.
    Unchanged,
    /// It was not made.
    Failed,
    /// The run was stopped before it.
    NotReached,
}

/// One row of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowReport {
    /// Line in the file, from 1.
    pub line: u64,
    /// The address as it stands there.
    pub address: String,
    /// What became of it.
    pub outcome: RowOutcome,
    /// The column at fault.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub column: String,
    /// What is wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// What to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

/// What a run did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BulkReport {
    /// Whether it was only looked at.
    pub dry_run: bool,
    /// Whether it was stopped before its end.
    pub stopped: bool,
    /// Mailboxes made, or that would be.
    pub added: usize,
    /// Mailboxes that were there already.
    pub unchanged: usize,
    /// Rows with mistakes.
    pub failed: usize,
    /// Rows that were not come to.
    pub not_reached: usize,
    /// Every row that was not done, or all of them in a dry run with mistakes.
    pub rows: Vec<RowReport>,
}

/// A row that can be made.
#[derive(Clone)]
struct Plan {
    line: u64,
    mailbox: NewMailbox,
    operators: Vec<String>,
}

fn report(line: u64, address: &str, outcome: RowOutcome) -> RowReport {
    RowReport {
        line,
        address: address.to_owned(),
        outcome,
        column: String::new(),
        problem: String::new(),
        remedy: String::new(),
    }
}

fn failed(line: u64, address: &str, column: &str, error: &Error) -> RowReport {
    let (problem, remedy) = error.problem_and_remedy();
    RowReport { column: column.to_owned(), problem, remedy, ..report(line, address, RowOutcome::Failed) }
}

/// What a spreadsheet does not take for a formula, whatever stood in the table that came.
fn inert(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

impl BulkReport {
    fn note(&mut self, row: RowReport) {
        match row.outcome {
            RowOutcome::Added => self.added += 1,
            RowOutcome::Unchanged => self.unchanged += 1,
            RowOutcome::Failed => self.failed += 1,
            RowOutcome::NotReached => self.not_reached += 1,
        }
        self.rows.push(row);
    }

    /// The rows that were not done, as a table.
    pub fn to_csv(&self) -> String {
        let mut out = csv::Writer::from_writer(Vec::new());
        // Writing to memory cannot fail, and what cannot be written is not left out silently: it ends the table.
        let _ = out.write_record(["line", "address", "outcome", "column", "problem", "remedy"]);
        for row in self.rows.iter().filter(|row| matches!(row.outcome, RowOutcome::Failed | RowOutcome::NotReached)) {
            let outcome = if row.outcome == RowOutcome::Failed { "failed" } else { "not-reached" };
            let (line, address) = (row.line.to_string(), inert(&row.address));
            let (column, problem) = (inert(&row.column), inert(&row.problem));
            let _ = out.write_record([&line, &address, outcome, &column, &problem, &row.remedy]);
        }
        String::from_utf8(out.into_inner().unwrap_or_default()).unwrap_or_default()
    }
}

impl Provisioning {
    /// Makes the mailboxes of a table. `progress` is told rows done and all rows.
    pub async fn add_mailboxes(
        &self,
        actor: &Actor,
        request: BulkRequest,
        catalogue: &dyn Catalogue,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<BulkReport, Error> {
        let mut report = BulkReport { dry_run: request.dry_run, ..BulkReport::default() };
        let plans = self.plan(actor, &request.table, catalogue, &mut report).await?;
        let total = plans.len();
        if request.dry_run || (report.failed > 0 && !request.skip_errors) {
            let outcome = if request.dry_run { RowOutcome::Added } else { RowOutcome::NotReached };
            for plan in plans {
                report.note(self::report(plan.line, &plan.mailbox.address.to_string(), outcome));
            }
            report.rows.sort_by_key(|row| row.line);
            return Ok(report);
        }
        let path = request.credentials.ok_or_else(|| {
            Error::invalid("first passwords", "there is no file for them", "name one with --credentials FILE")
        })?;
        let mut credentials = if total > 0 { Some(Credentials::open(&path)?) } else { None };
        let mut done = 0;
        for batch in plans.chunks(request.at_once.max(1)) {
            if request.stop.load(Ordering::Relaxed) {
                report.stopped = true;
                for plan in batch {
                    report.note(self::report(plan.line, &plan.mailbox.address.to_string(), RowOutcome::NotReached));
                }
                continue;
            }
            if let Some(credentials) = &mut credentials {
                self.make_batch(actor, batch, credentials, &mut report).await?;
            }
            done += batch.len();
            progress(done, total);
        }
        report.rows.sort_by_key(|row| row.line);
        Ok(report)
    }

    /// Reads the table and holds it against the store; mistakes and what is there already go to the report.
    async fn plan(
        &self,
        actor: &Actor,
        table: &[u8],
        catalogue: &dyn Catalogue,
        report: &mut BulkReport,
    ) -> Result<Vec<Plan>, Error> {
        let table = Table::read(table)?;
        let mut wanted = Vec::new();
        let mut first_lines: BTreeMap<String, u64> = BTreeMap::new();
        for mistake in table.mistakes {
            report.note(RowReport {
                line: mistake.line,
                address: mistake.address,
                outcome: RowOutcome::Failed,
                column: mistake.column,
                problem: mistake.problem,
                remedy: mistake.remedy,
            });
        }
        for row in table.rows {
            let address = row.address.to_string();
            if let Some(before) = first_lines.get(&row.address.key()) {
                let error = Error::invalid("address", format!("it stands in line {before} too"), "keep one of them");
                report.note(failed(row.line, &address, "address", &error));
                continue;
            }
            first_lines.insert(row.address.key(), row.line);
            match row.mailbox(catalogue) {
                Ok(mailbox) => wanted.push(Plan { line: row.line, mailbox, operators: row.operators }),
                Err((column, error)) => report.note(failed(row.line, &address, &column, &error)),
            }
        }
        let actor = actor.clone();
        let held = self.store().read(move |reader| {
            let mut plans = Vec::new();
            let mut rows = Vec::new();
            let mut more: BTreeMap<String, u64> = BTreeMap::new();
            for plan in wanted {
                match against(reader, &actor, &plan, &mut more)? {
                    Held::ToMake => plans.push(plan),
                    Held::Report(row) => rows.push(row),
                }
            }
            Ok((plans, rows))
        });
        let (plans, rows) = held.await?;
        rows.into_iter().for_each(|row| report.note(row));
        Ok(plans)
    }

    async fn make_batch(
        &self,
        actor: &Actor,
        batch: &[Plan],
        credentials: &mut Credentials,
        report: &mut BulkReport,
    ) -> Result<(), Error> {
        let now = sigillo_store::commit::now();
        let ends = self.first_ends(now);
        let logins = || batch.iter().flat_map(Plan::logins);
        for (login, mailbox) in logins() {
            credentials.want(&login, &mailbox, ends, now);
        }
        credentials.write()?;
        let hashed = hash_all(logins().map(|(login, _)| credentials.of(&login)).collect()).await?;
        let ready: Vec<Ready> = batch
            .iter()
            .scan(hashed.into_iter().zip(logins()), |hashed, plan| {
                let own: Vec<_> = hashed.take(plan.logins().count()).map(|(one, (login, _))| (login, one)).collect();
                Some(Ready { plan: plan.clone(), credentials: own })
            })
            .collect();
        for outcome in self.make_ready(actor, ready).await? {
            report.note(outcome);
        }
        Ok(())
    }

    /// All in one commit; one by one where that fails, so that one row does not take the others with it.
    async fn make_ready(&self, actor: &Actor, ready: Vec<Ready>) -> Result<Vec<RowReport>, Error> {
        let (own, rows) = (actor.clone(), ready.clone());
        let together = self.commit(move |tx| {
            let mut reports = Vec::with_capacity(rows.len());
            for row in &rows {
                row.make(tx, &own)??;
                reports.push(report(row.plan.line, &row.plan.mailbox.address.to_string(), RowOutcome::Added));
            }
            Ok(reports)
        });
        if let Ok(reports) = together.await {
            return Ok(reports);
        }
        let mut reports = Vec::with_capacity(ready.len());
        for row in ready {
            let (own, line, address) = (actor.clone(), row.plan.line, row.plan.mailbox.address.to_string());
            reports.push(match self.commit(move |tx| row.make(tx, &own)).await {
                Ok(Ok(())) => report(line, &address, RowOutcome::Added),
                Ok(Err(error)) | Err(error) => failed(line, &address, "address", &error),
            });
        }
        Ok(reports)
    }
}

impl Plan {
    /// The logins to be made, each with its mailbox.
    fn logins(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let key = self.mailbox.address.key();
        let operators = self.operators.iter().map({
            let key = key.clone();
            move |login| (login.clone(), key.clone())
        });
        std::iter::once((key.clone(), key)).chain(operators)
    }
}

/// A row whose passwords are hashed.
#[derive(Clone)]
struct Ready {
    plan: Plan,
    /// Login, and its password's stored form with its end.
    credentials: Vec<(String, (String, u64))>,
}

impl Ready {
    fn make(&self, tx: &mut Tx<'_>, actor: &Actor) -> Result<Result<(), Error>, Error> {
        let subject = Subject::Mailbox(self.plan.mailbox.address.key());
        perform(tx, actor, Operation::MailboxAdd, &subject, |tx| {
            let mut details = Vec::new();
            for (index, (login, (credential, expires))) in self.credentials.iter().enumerate() {
                if index == 0 {
                    details = make(tx, &self.plan.mailbox, credential.clone(), Some(*expires))?;
                    continue;
                }
                tx.add_user(&NewUser {
                    login: login.clone(),
                    account: subject.name().to_owned(),
                    role: UserRole::Operator,
                    credential: credential.clone(),
                    initial: true,
                    expires: Some(*expires),
                })?;
                details.push(detail("operator", login));
            }
            details.push(detail("line", self.plan.line));
            Ok(((), details))
        })
    }
}

/// The stored forms of first passwords: each processor works through its share. One task for each password would have
/// them on ever new threads, each of which keeps the memory of its computation.
async fn hash_all(passwords: Vec<(String, u64)>) -> Result<Vec<(String, u64)>, Error> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let share = passwords.len().div_ceil(processors).max(1);
    let shares = passwords.chunks(share).map(<[(String, u64)]>::to_vec);
    let tasks: Vec<_> = shares
        .map(|share| {
            tokio::task::spawn_blocking(move || {
                let hash = |(password, ends): &(String, u64)| Ok((passwords::hash_first(password)?, *ends));
                share.iter().map(hash).collect::<Result<Vec<_>, Error>>()
            })
        })
        .collect();
    let mut hashed = Vec::with_capacity(passwords.len());
    for task in tasks {
        hashed.extend(task.await.map_err(|error| Error::Store(StoreError::Stopped(error.to_string())))??);
    }
    Ok(hashed)
}

enum Held {
    ToMake,
    Report(RowReport),
}

/// A row beside what is there.
fn against(
    reader: &Reader<'_>,
    actor: &Actor,
    plan: &Plan,
    more: &mut BTreeMap<String, u64>,
) -> Result<Held, StoreError> {
    let new = &plan.mailbox;
    let (key, address) = (new.address.key(), new.address.to_string());
    let fail = |column: &str, error: Error| Ok(Held::Report(failed(plan.line, &address, column, &error)));
    if let Some(missing) = missing_domain(reader, actor, new.address.domain().as_str())? {
        return fail("address", missing);
    }
    if let Err(refusal) = permitted(reader, actor, Operation::MailboxAdd, &Subject::Mailbox(key.clone()))? {
        return fail("address", refusal);
    }
    if let Some(there) = reader.account(&key)? {
        let mut differences = Vec::new();
        let mut differs = |column: &str, is: String, wanted: String| {
            if is != wanted {
                differences.push(format!("{column} is {is}, here {wanted}"));
            }
        };
        differs("kind", there.kind.as_str().into(), new.kind.as_str().into());
        differs("quota", there.quota.to_string(), new.quota.to_string());
        differs("offer", there.offer.unwrap_or_default(), new.offer.clone().unwrap_or_default());
        for (name, value) in &new.settings {
            differs(&format!("set:{name}"), reader.account_setting(&key, name)?.unwrap_or_default(), value.clone());
        }
        for login in &plan.operators {
            if reader.user(login)?.is_none_or(|user| user.account != key) {
                differences.push(format!("{login} is not one of its users"));
            }
        }
        if differences.is_empty() {
            return Ok(Held::Report(report(plan.line, &address, RowOutcome::Unchanged)));
        }
        let error = Error::invalid(
            "address",
            format!("the mailbox is there and is not the same: {}", differences.join("; ")),
            "change it with `sigillo mailbox …` or `sigillo user …`, or take the row out",
        );
        return fail("address", error);
    }
    let customer = reader.customer_of_domain(new.address.domain().as_str())?.unwrap_or_default();
    let before = more.entry(customer).or_default();
    if let Some(obstacle) = obstacle(reader, new, *before)? {
        return fail("address", obstacle);
    }
    if let Some(user) = reader.user(&key)? {
        let error = Error::invalid("address", format!("it is a login of {}", user.account), "take another address");
        return fail("address", error);
    }
    for login in &plan.operators {
        if let Some(user) = reader.user(login)? {
            let error = Error::invalid(login, format!("it is a login of {}", user.account), "take another login");
            return fail("operators", error);
        }
    }
    *before += 1;
    Ok(Held::ToMake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_carries_no_formula_into_a_spreadsheet() {
        let mut report = BulkReport::default();
        let error = Error::invalid("address", "'=x' is no address", "write one");
        report.note(failed(7, "=HYPERLINK(\"https://a.example\")", "address", &error));
        let csv = report.to_csv();
        assert!(csv.contains("7,\"'=HYPERLINK(") && csv.contains(",'=x' is no address,"), "{csv}");
    }
}
