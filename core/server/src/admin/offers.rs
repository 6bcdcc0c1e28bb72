//! `mailbox offers` and `mailbox offer`: the profiles by which mailboxes are made.

use serde_json::json;
use sigillo_policy::MailboxSettings;
use sigillo_provisioning::Operation;
use sigillo_store::{Kind, StoreError};

use super::office::{Office, mailbox as parse};
use super::{CommandError, say, say_json, settings};
use crate::config::{Config, Offer};

/// Prints every offer.
pub fn list(config: &Config, json: bool) -> Result<(), CommandError> {
    let offers = config.all_offers();
    if json {
        return say_json(&offers);
    }
    for (name, offer) in &offers {
        let kinds: Vec<&str> = offer.kinds.iter().map(|kind| kind.as_str()).collect();
        let sends = offer.daily_sends.map_or_else(String::new, |sends| format!(", {sends} recipients a day"));
        let settings: String = offer.settings.iter().map(|(name, value)| format!(", {name} {value}")).collect();
        say(&format!(
            "{name:<16} {}: {} GB{sends}{settings}; {}",
            kinds.join(" or "),
            offer.mailbox_gb,
            offer.description
        ))?;
    }
    Ok(())
}

/// The offer of a name.
pub fn find(config: &Config, name: &str) -> Result<(String, Offer), CommandError> {
    let mut offers = config.all_offers();
    match offers.remove(name) {
        Some(offer) => Ok((name.to_owned(), offer)),
        None => {
            let names: Vec<String> = offers.into_keys().collect();
            Err(CommandError::Usage(format!("no offer '{name}'; there are: {}", names.join(", "))))
        }
    }
}

/// What a mailbox becomes: as asked, if the offer has it.
pub fn kind(chosen: Option<&(String, Offer)>, asked: Option<Kind>) -> Result<Kind, CommandError> {
    match (chosen, asked) {
        (None, asked) => Ok(asked.unwrap_or(Kind::Individual)),
        (Some((name, offer)), Some(asked)) if !offer.kinds.contains(&asked) => {
            let kinds: Vec<&str> = offer.kinds.iter().map(|kind| kind.as_str()).collect();
            let words =
                format!("offer '{name}' is for mailboxes that are {}, not {}", kinds.join(" or "), asked.as_str());
            Err(CommandError::Usage(words))
        }
        (Some((_, offer)), asked) => Ok(asked.or(offer.kinds.first().copied()).unwrap_or(Kind::Individual)),
    }
}

/// The settings that an offer gives, checked as the plugins declare them. What no plugin declares is said and left out:
/// nothing would come of it.
pub fn settings(offer: &Offer, declared: &MailboxSettings) -> Result<Vec<(String, String)>, CommandError> {
    let mut given = Vec::new();
    for (name, value) in &offer.settings {
        match declared.get(name) {
            Some((_, setting)) => {
                let value = setting.check(value);
                let value = value.map_err(|why| CommandError::Usage(format!("the offer's {name} must be {why}")))?;
                given.push((name.clone(), value));
            }
            None => eprintln!("note: {name} {value} of the offer is not set: no plugin here declares it"),
        }
    }
    Ok(given)
}

/// Gives a mailbox another offer.
pub async fn apply(config: &Config, office: &Office, address: &str, name: &str) -> Result<(), CommandError> {
    let key = parse(address)?.key();
    let (name, offer) = find(config, name)?;
    let given = settings(&offer, &settings::declared(config)?)?;
    let said = json!({ "mailbox": key, "offer": name });
    let offers = config.all_offers();
    office
        .provisioning
        .change(&office.actor, Operation::MailboxOffer, &parse(address)?, move |tx, key| {
            let account = tx.reader().account(key)?;
            let account = account.ok_or_else(|| StoreError::NotFound(format!("mailbox {key}")))?;
            let kind = match offer.kinds.contains(&account.kind) {
                true => account.kind,
                // An individual mailbox may grow into a multi-user one; nothing of it is lost by that.
                false => *offer.kinds.first().unwrap_or(&account.kind),
            };
            if account.used > offer.quota() {
                return Err(StoreError::Invalid(format!(
                    "{key} holds {} octets, more than the {} of offer '{name}'",
                    account.used,
                    offer.quota()
                ))
                .into());
            }
            tx.set_kind(key, kind)?;
            tx.set_offer(key, &name)?;
            tx.set_quota(key, offer.quota())?;
            tx.set_daily_sends(key, offer.daily_sends)?;
            given.iter().try_for_each(|(name, value)| tx.set_account_setting(key, name, value))?;
            // To take a setting away may end a service with copies that still wait for it: that is said, not done.
            let before = account.offer.as_ref().and_then(|before| offers.get(before));
            for (setting, value) in before.iter().flat_map(|before| &before.settings) {
                let stays = !given.iter().any(|(other, _)| other == setting);
                if stays && tx.reader().account_setting(key, setting)?.as_ref() == Some(value) {
                    eprintln!(
                        "note: {setting} {value} of the offer before stays: sigillo mailbox unset {key} {setting}"
                    );
                }
            }
            Ok(vec![
                ("offer-before".to_owned(), account.offer.unwrap_or_default()),
                ("offer".to_owned(), name),
                ("kind".to_owned(), kind.as_str().to_owned()),
            ])
        })
        .await?;
    say(&format!(
        "{} has offer {}",
        said["mailbox"].as_str().unwrap_or_default(),
        said["offer"].as_str().unwrap_or_default()
    ))
}
