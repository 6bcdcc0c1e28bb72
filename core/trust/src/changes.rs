//! What differs between two editions of the index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::directory::{Directory, Provider};
use crate::edition::IndexError;

/// What differs. Names of second environments are `NAME / UNIT`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Providers that are new.
    pub providers_added: Vec<String>,
    /// Providers that are gone.
    pub providers_removed: Vec<String>,
    /// Providers with other certificates or another `mailReceipt`.
    pub providers_changed: Vec<String>,
    /// Domains that are new.
    pub domains_added: Vec<Arc<str>>,
    /// Domains that are gone.
    pub domains_removed: Vec<Arc<str>>,
    /// Domains of another provider than before, with that one's name.
    pub domains_moved: Vec<(Arc<str>, String)>,
    /// How many providers and domains there were.
    before: (usize, usize),
}

/// How an entry is named: it is the one record of its provider, or of an environment of it ([PEC §4.5.7]).
pub fn entry_name(provider: &Provider) -> String {
    match &provider.unit {
        None => provider.name.clone(),
        Some(unit) => format!("{} / {unit}", provider.name),
    }
}

fn by_name(directory: &Directory) -> BTreeMap<String, &Provider> {
    directory.providers().iter().map(|provider| (entry_name(provider).to_lowercase(), provider)).collect()
}

fn by_domain(directory: &Directory) -> BTreeMap<&Arc<str>, &Provider> {
    let of = |provider| move |domain| (domain, provider);
    directory.providers().iter().flat_map(|provider| provider.managed_domains.iter().map(of(provider))).collect()
}

impl Changes {
    /// From `old` to `new`.
    pub fn between(old: &Directory, new: &Directory) -> Changes {
        let (old_names, new_names) = (by_name(old), by_name(new));
        let (old_domains, new_domains) = (by_domain(old), by_domain(new));
        let mut changes = Changes { before: (old_names.len(), old_domains.len()), ..Changes::default() };
        for (name, provider) in &new_names {
            match old_names.get(name) {
                None => changes.providers_added.push(entry_name(provider)),
                Some(before) if !same_identity(before, provider) => {
                    changes.providers_changed.push(entry_name(provider));
                }
                Some(_) => {}
            }
        }
        let gone = old_names.iter().filter(|(name, _)| !new_names.contains_key(*name));
        changes.providers_removed = gone.map(|(_, provider)| entry_name(provider)).collect();
        for (domain, provider) in &new_domains {
            match old_domains.get(domain) {
                None => changes.domains_added.push((*domain).clone()),
                Some(before) if entry_name(before) != entry_name(provider) => {
                    changes.domains_moved.push(((*domain).clone(), entry_name(provider)));
                }
                Some(_) => {}
            }
        }
        let gone = old_domains.keys().filter(|domain| !new_domains.contains_key(*domain));
        changes.domains_removed = gone.map(|domain| (*domain).clone()).collect();
        changes
    }

    /// Whether nothing differs that anybody could notice.
    pub fn is_empty(&self) -> bool {
        Changes { before: (0, 0), ..self.clone() } == Changes::default()
    }

    /// Refuses losses of more than `limit` in a hundred.
    pub(crate) fn check_losses(&self, limit: u8) -> Result<(), IndexError> {
        let (providers, domains) = self.before;
        let losses =
            [("providers", self.providers_removed.len(), providers), ("domains", self.domains_removed.len(), domains)];
        match losses.into_iter().find(|(_, lost, of)| lost * 100 > usize::from(limit) * of) {
            Some((what, lost, of)) => Err(IndexError::Shrunk { what, lost, of, limit }),
            None => Ok(()),
        }
    }

    /// `modifyTimestamp` of the entries that have one in both: name, before, now.
    pub(crate) fn dates(old: &Directory, new: &Directory) -> Vec<(String, u64, u64)> {
        let old = by_name(old);
        let both = by_name(new)
            .into_iter()
            .filter_map(|(name, provider)| Some((entry_name(provider), old.get(&name)?.modified?, provider.modified?)));
        both.collect()
    }
}

/// Same certificates, in any order, and the same `mailReceipt`.
fn same_identity(a: &Provider, b: &Provider) -> bool {
    let set = |provider: &Provider| provider.certificates.iter().cloned().collect::<BTreeSet<_>>();
    a.mail_receipt.eq_ignore_ascii_case(&b.mail_receipt) && set(a) == set(b)
}
