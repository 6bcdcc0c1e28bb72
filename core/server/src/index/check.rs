//! What `sigillo check` says of the index of providers beside what keeps a server from starting.

use sigillo_policy::{Diagnostic, Severity};
use sigillo_store::{commit::now, domains_of};
use sigillo_trust::Edition;

use super::settings::{Ldap, Source};
use super::source::Plan;
use super::{Index, own};
use crate::config::Config;

/// Age at which a copy is called old, milliseconds: two days without a good fetch, where one a day is due.
const OLD: u64 = 2 * 86_400_000;

/// Errors and warnings; nothing is fetched over the network and nothing is changed.
pub async fn findings(config: &Config) -> Vec<Diagnostic> {
    // What cannot be opened is told by whoever loads the facilities of the server.
    let Ok(index) = Index::open(config) else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(plan) = index.plan() {
        found.extend(of_source(plan, &index).await);
    }
    // Without a readable store there is nothing to compare; that is the store's own matter.
    let certified = domains_of(&config.data_dir()).map(own::only_certified).unwrap_or_default();
    let differences = own::differences(config, &index.directory(), &certified);
    found.extend(differences.into_iter().map(|difference| warning("W703", difference)));
    found
}

async fn of_source(plan: &Plan, index: &Index) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if matches!(plan.source, Source::Ldap(Ldap { tls: false, .. })) {
        let words = format!("{}: without TLS anybody on the way can write the index of providers", plan.name);
        found.push(warning("W701", words).with_help("use ldaps://"));
    }
    if plan.file().is_some() && !plan.own_file {
        let octets = plan.fetch().await;
        let problem = match octets {
            Ok(octets) => Edition::open(&octets, plan.signer.as_ref(), &plan.name, now()).err().map(|e| e.to_string()),
            Err(problem) => Some(problem),
        };
        found.extend(
            problem.map(|problem| Diagnostic::file("sigillo.yaml", "E511", format!("{}: {problem}", plan.name))),
        );
    }
    match index.edition() {
        None if plan.file().is_some() => {} // told above
        None => {
            let words = "there is no copy of the index of providers yet: the first start must reach its source";
            found.push(warning("W702", words.into()));
        }
        Some(_) if plan.file().is_none() && now().saturating_sub(index.last_success()) > OLD => {
            let words = "the copy of the index of providers was not renewed for two days";
            found.push(warning("W702", words.into()).with_help("sigillo index fetch"));
        }
        Some(_) => {}
    }
    found
}

fn warning(code: &'static str, words: String) -> Diagnostic {
    let mut warning = Diagnostic::file("sigillo.yaml", code, words);
    warning.severity = Severity::Warning;
    warning
}
