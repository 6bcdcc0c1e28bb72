//! Bringing messages from elsewhere into a mailbox (MIG-01).
//!
//! Only who holds the store writes message bytes, so that a command beside a running server sends them to it; both end
//! here. Which messages came is known from the store: a run that was interrupted anywhere is run again.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sigillo_store::imports::{Import, Imported};

use crate::act::{Provisioning, detail};
use crate::actor::Actor;
use crate::error::Error;
use crate::mailboxes::existing;
use crate::maildir::Problem;
use crate::permissions::{Operation, Subject};

/// What became of a message, in the words of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placed {
    /// It is in the mailbox now.
    Filed,
    /// It was brought before.
    Before,
    /// There is no room for it.
    Full,
}

/// What a run brought.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImportReport {
    /// Whether it was only looked at.
    pub dry_run: bool,
    /// Whether it was stopped before its end.
    pub stopped: bool,
    /// Folders that were looked into.
    pub folders: u64,
    /// Messages brought, or that would be.
    pub filed: u64,
    /// Their octets there.
    pub octets: u64,
    /// Messages brought before.
    pub before: u64,
    /// What was not brought, and why.
    pub problems: Vec<Problem>,
}

impl Provisioning {
    /// Whether messages may be brought into a mailbox; a record says that it begins.
    pub async fn begin_import(&self, actor: &Actor, address: &str, from: &str) -> Result<(), Error> {
        let (address, from) = (address.to_ascii_lowercase(), from.to_owned());
        self.act(actor, Operation::MailboxImport, Subject::Mailbox(address.clone()), move |tx| {
            existing(&tx.reader(), &address)?;
            Ok(((), vec![detail("import", "begun"), detail("from", from)]))
        })
        .await
    }

    /// A record of what was brought.
    pub async fn end_import(&self, actor: &Actor, address: &str, report: &ImportReport) -> Result<(), Error> {
        let details = vec![
            detail("import", if report.stopped { "stopped" } else { "ended" }),
            detail("filed", report.filed),
            detail("before", report.before),
            detail("not-brought", report.problems.len()),
        ];
        let subject = Subject::Mailbox(address.to_ascii_lowercase());
        self.act(actor, Operation::MailboxImport, subject, move |_| Ok(((), details))).await
    }

    /// Names of a folder that were brought before.
    pub async fn brought(&self, address: &str, folder: &str) -> Result<BTreeSet<String>, Error> {
        let (address, folder) = (address.to_ascii_lowercase(), folder.to_owned());
        Ok(self.store().read(move |reader| reader.imported(&address, &folder)).await?)
    }

    /// Files messages in one commit, in order.
    pub async fn place(&self, address: &str, messages: Vec<Import>) -> Result<Vec<Placed>, Error> {
        let address = address.to_ascii_lowercase();
        self.commit(move |tx| {
            existing(&tx.reader(), &address)?;
            let mut placed = Vec::with_capacity(messages.len());
            for message in &messages {
                placed.push(match tx.import(&address, message)? {
                    Imported::Filed(_) => Placed::Filed,
                    Imported::Before => Placed::Before,
                    Imported::Full => Placed::Full,
                });
            }
            Ok(placed)
        })
        .await
    }
}
