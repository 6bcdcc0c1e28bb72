//! This provider in the index: the entry it publishes ([PEC §4.5.6]), and whether the index in use says the same.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use sigillo_store::{Domain, DomainClass, Store, StoreError};
use sigillo_trust::changes::entry_name;
use sigillo_trust::{Directory, Provider};

use super::settings::OwnSettings;
use super::source::certificates;
use crate::config::{Config, ConfigError};
use crate::server::Server;

/// Warnings printed at most: an index that is not ours at all would give one for each domain.
const WARNINGS_MAX: usize = 20;

/// The entries to publish: the main environment, or the second one that this server is, and those published with it.
/// `certified` are the certified domains of this server.
pub fn entries(config: &Config, own: &OwnSettings, certified: &[String]) -> Result<Directory, ConfigError> {
    let elsewhere: BTreeSet<String> =
        own.environments.iter().flat_map(|other| &other.domains).map(|domain| domain.to_ascii_lowercase()).collect();
    let here = certified.iter().map(|domain| domain.to_ascii_lowercase()).filter(|domain| !elsewhere.contains(domain));
    let mut files = own.certificates.clone();
    // All of a key's certificates: what the next one signs must count from its first message on.
    let keys = config.keys.get(&own.key).into_iter().flat_map(|entries| &entries.0);
    files.splice(0..0, keys.map(|key| key.certificate.clone()));
    let main = Provider {
        name: own.provider_name.clone(),
        unit: own.provider_unit.clone(),
        mail_receipt: own.mail_receipt.clone(),
        managed_domains: here.map(Arc::from).collect(),
        certificates: ders(config, &files)?,
        location_url: own.location_url.clone(),
        description: own.description.clone(),
        modified: None,
    };
    let mut providers = vec![main];
    for other in &own.environments {
        providers.push(Provider {
            name: own.provider_name.clone(),
            unit: Some(other.provider_unit.clone()),
            mail_receipt: other.mail_receipt.clone(),
            managed_domains: other.domains.iter().map(|domain| Arc::from(domain.to_ascii_lowercase())).collect(),
            certificates: ders(config, &other.certificates)?,
            location_url: None, // PEC §4.5.6: that of the main environment counts
            description: other.description.clone(),
            modified: None,
        });
    }
    Directory::from_providers(providers).map_err(|error| ConfigError(format!("trust.own: {error}")))
}

/// The first certificate of each file, once: the rest of a file is its chain.
fn ders(config: &Config, files: &[PathBuf]) -> Result<Vec<Vec<u8>>, ConfigError> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for file in files {
        let first = certificates(&config.path(file))?.into_iter().next().map(|der| der.as_ref().to_vec());
        found.extend(first.filter(|der| !found.contains(der)));
    }
    Ok(found)
}

/// What of ours the index in use does not say, or says otherwise; each in a sentence.
pub fn differences(config: &Config, directory: &Directory, certified: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for domain in certified {
        match (directory.find_by_domain(domain), &config.trust.own) {
            (None, _) => found.push(format!(
                "{domain} is certified here and is not in the index of providers: to everybody else its mail is ordinary"
            )),
            (Some(provider), Some(own)) if !provider.name.eq_ignore_ascii_case(&own.provider_name) => {
                found.push(format!("{domain} is certified here, and in the index of providers it is of {}", provider.name));
            }
            _ => {}
        }
    }
    if let Some(own) = &config.trust.own {
        match entries(config, own, certified) {
            Ok(entries) => entries.providers().iter().for_each(|entry| compare(entry, directory, &mut found)),
            Err(error) => found.push(error.to_string()),
        }
    }
    if found.len() > WARNINGS_MAX {
        let more = found.len() - WARNINGS_MAX;
        found.truncate(WARNINGS_MAX);
        found.push(format!("and {more} more differences between the index of providers and this server"));
    }
    found
}

fn compare(entry: &Provider, directory: &Directory, found: &mut Vec<String>) {
    let name = entry_name(entry);
    let same = |other: &&Provider| entry_name(other).eq_ignore_ascii_case(&name);
    let Some(theirs) = directory.providers().iter().find(same) else {
        found.push(format!("the index of providers has no entry '{name}' (trust.own)"));
        return;
    };
    if !theirs.mail_receipt.eq_ignore_ascii_case(&entry.mail_receipt) {
        found.push(format!(
            "mailReceipt of '{name}' is {} in the index, {} here",
            theirs.mail_receipt, entry.mail_receipt
        ));
    }
    if theirs.location_url != entry.location_url && entry.location_url.is_some() {
        let other = theirs.location_url.as_deref().unwrap_or("missing");
        found.push(format!("LDIFLocationURL of '{name}' is {other} in the index"));
    }
    for (hash, der) in entry.certificate_hashes().zip(&entry.certificates) {
        if !theirs.certificates.contains(der) {
            found.push(format!("certificate {hash} of '{name}' is not in the index: what it signs counts for nothing"));
        }
    }
    for domain in theirs.managed_domains.iter().filter(|domain| !entry.manages(domain)) {
        found.push(format!("the index says that '{name}' manages {domain}, which is not certified here"));
    }
}

/// The certified domains of a store.
pub async fn certified(store: &Store) -> Result<Vec<String>, StoreError> {
    Ok(only_certified(store.read(|r| r.domains()).await?))
}

/// Names of the certified ones.
pub fn only_certified(domains: Vec<Domain>) -> Vec<String> {
    domains.into_iter().filter(|domain| domain.class == DomainClass::Certified).map(|domain| domain.name).collect()
}

/// Says in the log what differs.
pub async fn warn(server: &Server) {
    match certified(server.store()).await {
        Ok(domains) => {
            for difference in differences(server.config(), &server.directory(), &domains) {
                tracing::warn!("{difference}");
            }
        }
        Err(error) => tracing::error!(%error, "the domains cannot be held against the index of providers"),
    }
}
