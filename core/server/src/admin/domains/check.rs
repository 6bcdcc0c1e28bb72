//! `domain check`: what the world must say of a domain that is ours (DOM-05), and of one that is not any more (DOM-08).

use serde_json::json;
use sigillo_delivery::Router;
use sigillo_store::DomainClass;

use super::super::office::{Office, domain as parse};
use super::super::{CommandError, say, say_json};
use crate::config::Config;
use crate::index::Index;

/// What is known of a domain.
struct Known {
    /// Certified, ordinary, or not ours.
    here: Option<DomainClass>,
    /// Names of its MX records; why not if they cannot be read.
    exchangers: Result<Vec<String>, String>,
    /// Names that they should have.
    expected: Vec<String>,
    /// Whose the index of providers says it is.
    provider: Option<String>,
    /// The name under which this provider is in it.
    own: Option<String>,
}

impl Known {
    fn findings(&self) -> Vec<String> {
        self.of_mail().into_iter().chain(self.of_index()).collect()
    }

    fn of_mail(&self) -> Option<String> {
        let wanted = self.expected.join(" or ");
        let exchangers = match &self.exchangers {
            Ok(exchangers) => exchangers,
            Err(problem) => return Some(format!("the MX records cannot be read: {problem}")),
        };
        let others: Vec<&str> =
            exchangers.iter().filter(|host| !self.expected.contains(host)).map(String::as_str).collect();
        let all = others.len() == exchangers.len();
        let others = others.join(", ");
        match self.here {
            None if !exchangers.is_empty() && !all => {
                Some("its MX record names this server, whose domain it is not: mail for it is refused".into())
            }
            None => None,
            Some(_) if exchangers.is_empty() => Some(format!("it has no MX record; one must name {wanted}")),
            Some(_) if all => Some(format!("its mail goes to {others}; its MX record must name {wanted}")),
            Some(_) if !others.is_empty() => {
                Some(format!("a part of its mail may go to {others}; take that MX record out"))
            }
            Some(_) => None,
        }
    }

    fn of_index(&self) -> Option<String> {
        match (&self.provider, self.here) {
            (None, Some(DomainClass::Certified)) => {
                Some("it is certified here and not in the index of providers; publish it (sigillo index export)".into())
            }
            (Some(provider), Some(DomainClass::Certified)) if self.own.as_ref().is_some_and(|own| own != provider) => {
                Some(format!("the index of providers has it as a domain of {provider}"))
            }
            (Some(provider), Some(DomainClass::Ordinary)) => {
                Some(format!("the index of providers has it as a domain of {provider}, and here it is not certified"))
            }
            (Some(provider), None) if self.own.as_ref() == Some(provider) => Some(
                "the index of providers still has it as ours; publish what is ours now (sigillo index export)".into(),
            ),
            _ => None,
        }
    }
}

pub async fn check(config: &Config, office: &Office, name: &str, as_json: bool) -> Result<(), CommandError> {
    let name = parse(name)?;
    let here = match office.provisioning.domain(&office.actor, &name).await {
        Ok(domain) => Some(domain.class),
        Err(sigillo_provisioning::Error::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let lower = |names: Vec<String>| names.iter().map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>();
    let found = Router::new(Vec::new()).mail_exchangers(&name).await;
    let exchangers = match found {
        Ok(found) => Ok(lower(found.into_iter().map(|(_, host)| host).collect())),
        Err(failure) => Err(failure.detail.clone().unwrap_or_else(|| failure.to_string())),
    };
    let expected = match config.provisioning.mx.as_slice() {
        [] => vec![config.hostname.to_ascii_lowercase()],
        names => lower(names.to_vec()),
    };
    let index = Index::open(config)?;
    let known = Known {
        here,
        exchangers,
        expected,
        provider: index.directory().find_by_domain(name.as_str()).map(|provider| provider.name.clone()),
        own: config.trust.own.as_ref().map(|own| own.provider_name.clone()),
    };
    let findings = known.findings();
    if as_json {
        say_json(&json!({
            "domain": name, "class": known.here, "mx": known.exchangers.as_ref().ok(), "mx-expected": known.expected,
            "provider": known.provider, "findings": findings, "good": findings.is_empty(),
        }))?;
    } else {
        let class = known.here.map_or("not a domain of this server", DomainClass::as_str);
        let exchangers = known.exchangers.as_ref().map(|names| names.join(", ")).unwrap_or_default();
        say(&format!("{name}: {class}"))?;
        say(&format!("    MX: {}", if exchangers.is_empty() { "none" } else { &exchangers }))?;
        say(&format!("    index of providers: {}", known.provider.as_deref().unwrap_or("not there")))?;
        findings.iter().try_for_each(|finding| say(&format!("FOUND: {finding}")))?;
    }
    if findings.is_empty() { Ok(()) } else { Err(CommandError::Found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(here: Option<DomainClass>, mx: &[&str], provider: Option<&str>) -> String {
        let known = Known {
            here,
            exchangers: Ok(mx.iter().map(|name| (*name).to_owned()).collect()),
            expected: vec!["mx.alfa.example".into(), "mx2.alfa.example".into()],
            provider: provider.map(str::to_owned),
            own: Some("Alfa PEC".into()),
        };
        known.findings().join("; ")
    }

    const CERTIFIED: Option<DomainClass> = Some(DomainClass::Certified);

    #[test]
    fn dom_05_the_mail_of_a_domain_must_come_here() {
        assert_eq!(known(CERTIFIED, &["mx.alfa.example", "mx2.alfa.example"], Some("Alfa PEC")), "");
        assert!(known(CERTIFIED, &[], Some("Alfa PEC")).contains("no MX record; one must name mx.alfa.example or mx2"));
        assert!(known(CERTIFIED, &["mx.other.example"], Some("Alfa PEC")).contains("goes to mx.other.example"));
        let part = known(CERTIFIED, &["mx.alfa.example", "mx.other.example"], Some("Alfa PEC"));
        assert!(part.contains("a part of its mail may go to mx.other.example"), "{part}");
        let exchangers = Err("no answer".into());
        let dark = Known { here: CERTIFIED, exchangers, expected: Vec::new(), provider: None, own: None };
        assert!(dark.findings()[0].contains("cannot be read: no answer"));
    }

    #[test]
    fn dom_05_a_certified_domain_is_in_the_index_as_ours() {
        assert!(known(CERTIFIED, &["mx.alfa.example"], None).contains("not in the index of providers"));
        assert!(known(CERTIFIED, &["mx.alfa.example"], Some("Beta PEC")).contains("a domain of Beta PEC"));
        assert_eq!(known(Some(DomainClass::Ordinary), &["mx.alfa.example"], None), "");
    }

    #[test]
    fn dom_08_what_is_left_of_a_domain_that_is_not_ours_any_more_is_told() {
        assert_eq!(known(None, &[], None), "");
        assert_eq!(known(None, &["mx.other.example"], Some("Beta PEC")), "", "it went to another provider");
        assert!(known(None, &["mx.alfa.example"], None).contains("mail for it is refused"));
        assert!(known(None, &[], Some("Alfa PEC")).contains("still has it as ours"));
        assert!(
            known(Some(DomainClass::Ordinary), &["mx.alfa.example"], Some("Alfa PEC"))
                .contains("here it is not certified")
        );
    }
}
