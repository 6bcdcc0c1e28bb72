//! `mailbox set`, `unset` and `settings`: what plugins ask of a mailbox by name, as their manifests declare it.

use clap::ValueEnum;
use serde_json::json;
use sigillo_policy::{Diagnostic, MailboxSettings, SetBy};
use sigillo_provisioning::{Operation, Subject};
use sigillo_store::{Reader, StoreError};

use super::office::{Office, mailbox as parse};
use super::{CommandError, say, say_json};
use crate::check;
use crate::config::Config;

/// On whose behalf a setting is changed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum As {
    /// The customer's administrator: everything.
    Administrator,
    /// The user of the mailbox: what is left to users.
    User,
}

/// What the plugins of a server declare.
pub fn declared(config: &Config) -> Result<MailboxSettings, CommandError> {
    let (manifests, found) = sigillo_plugin::manifests(&config.path(&config.plugins_dir));
    let errors: Vec<Diagnostic> = found.into_iter().filter(Diagnostic::is_error).collect();
    if !errors.is_empty() {
        return Err(CommandError::Other(check::print(&errors)));
    }
    MailboxSettings::of(&manifests).map_err(CommandError::Other)
}

/// Sets `name`, if it is declared, `by` may change it, and what it needs is so.
pub async fn set(
    office: &Office,
    declared: MailboxSettings,
    address: &str,
    name: String,
    value: &str,
    by: As,
) -> Result<(), CommandError> {
    let key = parse(address)?.key();
    let setting = known(&declared, &name)?;
    may_change(&name, setting.by, by)?;
    let value = setting.check(value).map_err(|why| CommandError::Usage(format!("{name} is {why}")))?;
    let said = format!("{key}: {name} is {value}");
    let mailbox = parse(address)?;
    let (needing, wanted) = (name.clone(), key.clone());
    // What it needs is told before it is asked whether it may be changed; the change itself asks again.
    office
        .provisioning
        .store()
        .read(move |reader| {
            must_exist(reader, &wanted)?;
            needs(reader, &declared, &wanted, &needing)
        })
        .await?;
    office.provisioning.set_setting(&office.actor, by == As::User, &mailbox, &name, Some(&value)).await?;
    say(&said)
}

/// Takes a setting away. One that no plugin declares any more can be taken away too.
pub async fn unset(
    office: &Office,
    declared: MailboxSettings,
    address: &str,
    name: String,
    by: As,
) -> Result<(), CommandError> {
    let key = parse(address)?.key();
    if let Some((_, setting)) = declared.get(&name) {
        may_change(&name, setting.by, by)?;
    } else if by == As::User {
        known(&declared, &name)?;
    }
    let said = format!("{key}: {name} is not set");
    office.provisioning.set_setting(&office.actor, by == As::User, &parse(address)?, &name, None).await?;
    say(&said)
}

/// Prints every setting with what holds, what was chosen, and who may change it.
pub async fn list(office: &Office, declared: MailboxSettings, address: &str, json: bool) -> Result<(), CommandError> {
    let key = parse(address)?.key();
    office.provisioning.may(&office.actor, Operation::MailboxShow, Subject::Mailbox(key.clone())).await?;
    let rows = office.provisioning.store().read(move |reader| rows(reader, &declared, &key)).await?;
    if json {
        return say_json(&rows);
    }
    for row in &rows {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let holds = match (row["value"].as_str(), row["ignored"].as_str()) {
            (Some(value), None) => value.to_owned(),
            (None, None) => "(not set)".to_owned(),
            (value, Some(why)) => {
                format!("{} ('{}' has no effect: {why})", value.unwrap_or("(not set)"), text("chosen"))
            }
        };
        say(&format!("{:<24} {holds}", text("name")))?;
        let possible = format!("{:<24}   {}: {}; {}", "", text("by"), text("form"), text("description"));
        say(possible.trim_end_matches("; "))?;
    }
    Ok(())
}

fn rows(reader: &Reader<'_>, declared: &MailboxSettings, key: &str) -> Result<Vec<serde_json::Value>, StoreError> {
    must_exist(reader, key)?;
    let chosen = reader.account_settings(key)?;
    let mut kept = |name: &str| reader.account_setting(key, name);
    let mut rows = Vec::new();
    for (name, plugin, setting) in declared.iter() {
        let mine = chosen.iter().find(|(chosen, _)| chosen == name).map(|(_, value)| value.clone());
        let needs = setting.needs.as_ref().map(|(other, value)| format!("{other}={value}"));
        let ignored = match &mine {
            None => None,
            Some(_) if !declared.needs_are_met(setting, &mut kept)? => {
                needs.as_ref().map(|needs| format!("it needs {needs}"))
            }
            Some(value) => setting.check(value).err().map(|why| format!("it must be {why}")),
        };
        rows.push(json!({
            "name": name,
            "value": declared.effective(name, &mut kept)?,
            "chosen": mine,
            "ignored": ignored,
            "default": setting.default,
            "by": setting.by.as_str(),
            "needs": needs,
            "form": setting.form(),
            "plugin": plugin,
            "description": setting.description,
        }));
    }
    for (name, value) in chosen.iter().filter(|(name, _)| declared.get(name).is_none()) {
        let description = "no plugin here declares it";
        rows.push(json!({ "name": name, "value": value, "chosen": value, "by": "administrator",
            "form": "", "description": description }));
    }
    Ok(rows)
}

fn known<'a>(declared: &'a MailboxSettings, name: &str) -> Result<&'a sigillo_policy::MailboxSetting, CommandError> {
    let found = declared.get(name).map(|(_, setting)| setting);
    found.ok_or_else(|| {
        CommandError::Usage(format!("no plugin declares a setting '{name}'; {}", declared.suggestion(name)))
    })
}

fn may_change(name: &str, who: SetBy, by: As) -> Result<(), CommandError> {
    match (who, by) {
        (SetBy::Administrator, As::User) => {
            Err(CommandError::Other(format!("{name} is the administrator's to change, not a user's")))
        }
        _ => Ok(()),
    }
}

fn needs(reader: &Reader<'_>, declared: &MailboxSettings, key: &str, name: &str) -> Result<(), StoreError> {
    let Some((_, setting)) = declared.get(name) else { return Ok(()) };
    let mut kept = |name: &str| reader.account_setting(key, name);
    match &setting.needs {
        Some((other, value)) if !declared.needs_are_met(setting, &mut kept)? => {
            let now = declared.effective(other, &mut kept)?.unwrap_or_else(|| "not set".into());
            Err(StoreError::Invalid(format!("{name} needs {other} to be {value}, and it is {now}")))
        }
        _ => Ok(()),
    }
}

fn must_exist(reader: &Reader<'_>, key: &str) -> Result<(), StoreError> {
    match reader.account(key)? {
        Some(_) => Ok(()),
        None => Err(StoreError::NotFound(format!("mailbox {key}"))),
    }
}
