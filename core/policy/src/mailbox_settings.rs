//! What can be set for a mailbox: declared by the plugins that read it, in the manifest under `mailbox-settings`.
//!
//! ```yaml
//! mailbox-settings:
//!   forwarding: { by: administrator, words: [denied, allowed], description: … }   # the first word is the default
//!   forward-to: { by: user, needs: forwarding=allowed, type: addresses, max: 2, description: … }
//! ```

use std::collections::BTreeMap;

use sigillo_mail::Mailbox;

use crate::diagnostic::Report;
use crate::manifest::{Manifests, is_identifier};
use crate::yaml::{Map, Node, Value};

/// Longest value of a setting, octets. Ours: words, addresses and short texts.
pub const VALUE_MAX: usize = 1024;
/// Most words or addresses in a value. Ours.
const ITEMS_MAX: u64 = 100;

/// Who may choose a value, or ask for an operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SetBy {
    /// The customer's administrator of certified mail alone (ADM-10).
    #[default]
    Administrator,
    /// The user of the mailbox, too.
    User,
}

impl SetBy {
    pub(crate) const WORDS: [(&'static str, SetBy); 2] =
        [("administrator", SetBy::Administrator), ("user", SetBy::User)];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            SetBy::Administrator => "administrator",
            SetBy::User => "user",
        }
    }
}

/// What a value looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingValue {
    /// One of these words, or up to `max` of them with commas between.
    Words {
        /// The words.
        words: Vec<String>,
        /// How many may stand together.
        max: usize,
    },
    /// Up to `max` addresses with commas between.
    Addresses {
        /// How many.
        max: usize,
    },
    /// A line of at most `max` octets.
    Text {
        /// Octets.
        max: usize,
    },
    /// A whole number.
    Count {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
        /// The only ones, if not empty.
        choices: Vec<u64>,
    },
}

/// One thing that can be set for a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxSetting {
    /// Who may choose.
    pub by: SetBy,
    /// What a value looks like.
    pub value: SettingValue,
    /// What holds where nothing is chosen; none if the plugin's own configuration says it.
    pub default: Option<String>,
    /// Another setting of the same plugin and the value that it must have: otherwise what is chosen here has no effect.
    pub needs: Option<(String, String)>,
    /// For people.
    pub description: String,
}

impl MailboxSetting {
    /// The value in the form in which it is kept, or what is wrong with it.
    pub fn check(&self, value: &str) -> Result<String, String> {
        if value.len() > VALUE_MAX || value.chars().any(char::is_control) {
            return Err(format!("a value is one line of at most {VALUE_MAX} octets"));
        }
        match &self.value {
            SettingValue::Words { words, max } => {
                let chosen = items(value);
                if let Some(unknown) = chosen.iter().find(|word| !words.iter().any(|known| known == *word)) {
                    return Err(format!("{}, not '{unknown}'", words.join(" or ")));
                }
                within(&chosen, *max, "word", "words")
            }
            SettingValue::Addresses { max } => {
                let addresses: Result<Vec<String>, String> = items(value)
                    .into_iter()
                    .map(|text| match text.parse::<Mailbox>() {
                        Ok(address) => Ok(address.to_string()),
                        Err(error) => {
                            Err(format!("an address such as ada@alfa.example, and '{text}' is none: {error}"))
                        }
                    })
                    .collect();
                within(&addresses?, *max, "address", "addresses")
            }
            SettingValue::Text { max } if value.len() > *max => Err(format!("a text of at most {max} octets")),
            SettingValue::Text { .. } => Ok(value.to_owned()),
            SettingValue::Count { min, max, choices } => match value.parse::<u64>() {
                Ok(number) if !choices.is_empty() && !choices.contains(&number) => {
                    let words: Vec<String> = choices.iter().map(u64::to_string).collect();
                    Err(format!("{}, not {number}", words.join(" or ")))
                }
                Ok(number) if (*min..=*max).contains(&number) => Ok(number.to_string()),
                _ => Err(format!("a whole number from {min} to {max}, not '{value}'")),
            },
        }
    }

    /// What a value looks like, in words.
    pub fn form(&self) -> String {
        match &self.value {
            SettingValue::Words { words, max: 1 } => words.join(" | "),
            SettingValue::Words { words, max } => format!("{} (up to {max}, with commas)", words.join(" | ")),
            SettingValue::Addresses { max: 1 } => "an address".into(),
            SettingValue::Addresses { max } => format!("up to {max} addresses, with commas"),
            SettingValue::Text { max } => format!("text of up to {max} octets"),
            SettingValue::Count { choices, min, max } if choices.is_empty() => format!("{min} to {max}"),
            SettingValue::Count { choices, .. } => choices.iter().map(u64::to_string).collect::<Vec<_>>().join(" | "),
        }
    }
}

fn items(value: &str) -> Vec<&str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

fn within<T: AsRef<str> + PartialEq>(items: &[T], max: usize, what: &str, many: &str) -> Result<String, String> {
    if items.is_empty() {
        return Err(format!("at least one {what}; `mailbox unset` takes the setting away"));
    }
    if items.len() > max {
        return Err(format!("at most {max} {}, and these are {}", if max == 1 { what } else { many }, items.len()));
    }
    if items.iter().enumerate().any(|(index, item)| items[..index].contains(item)) {
        return Err(format!("the same {what} stands there twice"));
    }
    Ok(items.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(","))
}

/// All settings of the plugins of a server, by name.
#[derive(Debug, Clone, Default)]
pub struct MailboxSettings(BTreeMap<String, (String, MailboxSetting)>);

impl MailboxSettings {
    /// Of these manifests; a name that two plugins declare is an error in words.
    pub fn of(manifests: &Manifests) -> Result<MailboxSettings, String> {
        let mut all: BTreeMap<String, (String, MailboxSetting)> = BTreeMap::new();
        for (plugin, manifest) in manifests {
            for (name, setting) in &manifest.mailbox_settings {
                if let Some((other, _)) = all.insert(name.clone(), (plugin.clone(), setting.clone())) {
                    return Err(format!(
                        "mailbox setting '{name}' is declared by both plugin '{other}' and '{plugin}'"
                    ));
                }
            }
        }
        Ok(MailboxSettings(all))
    }

    /// The setting of a name, with the plugin that declares it.
    pub fn get(&self, name: &str) -> Option<(&str, &MailboxSetting)> {
        self.0.get(name).map(|(plugin, setting)| (plugin.as_str(), setting))
    }

    /// Every setting: its name, its plugin, what it is.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &MailboxSetting)> {
        self.0.iter().map(|(name, (plugin, setting))| (name.as_str(), plugin.as_str(), setting))
    }

    /// What a name that nobody declares may have been meant for.
    pub fn suggestion(&self, name: &str) -> String {
        match self.0.is_empty() {
            true => "no plugin declares any (is plugins-dir right?)".into(),
            false => crate::diagnostic::suggestion(name, self.0.keys().map(String::as_str)),
        }
    }

    /// What holds for a mailbox whose own values `kept` gives: what was chosen, where it may be chosen and still fits, or
    /// the default. Names that nobody declares hold as they are kept.
    pub fn effective<E>(
        &self,
        name: &str,
        kept: &mut dyn FnMut(&str) -> Result<Option<String>, E>,
    ) -> Result<Option<String>, E> {
        let Some((_, setting)) = self.0.get(name) else { return kept(name) };
        if !self.needs_are_met(setting, kept)? {
            return Ok(setting.default.clone());
        }
        // A value from before its declaration became stricter has no effect.
        let chosen = kept(name)?.filter(|value| setting.check(value).is_ok());
        Ok(chosen.or_else(|| setting.default.clone()))
    }

    /// Whether what a setting needs is so.
    pub fn needs_are_met<E>(
        &self,
        setting: &MailboxSetting,
        kept: &mut dyn FnMut(&str) -> Result<Option<String>, E>,
    ) -> Result<bool, E> {
        match &setting.needs {
            None => Ok(true),
            Some((other, wanted)) => Ok(self.effective(other, kept)?.as_deref() == Some(wanted)),
        }
    }
}

/// Reads `mailbox-settings`.
pub(crate) fn read(node: &Node, report: &mut Report) -> BTreeMap<String, MailboxSetting> {
    let mut settings = BTreeMap::new();
    for entry in node.entries("'mailbox-settings'", report) {
        if !is_identifier(&entry.key) {
            let help = "use 1 to 64 lower-case letters, digits and '-', beginning with a letter";
            report.error_with_help(entry.position, "E207", format!("'{}' is no name for a setting", entry.key), help);
            continue;
        }
        let Some(map) = Map::of(&entry.node, "a setting", report).map(|map| map.at(entry.position)) else { continue };
        if let Some(setting) = read_one(map, report) {
            settings.insert(entry.key.clone(), setting);
        }
    }
    check_needs(node, &settings, report);
    settings
}

/// What is needed must be there, take that value, and need nothing that leads back.
fn check_needs(node: &Node, settings: &BTreeMap<String, MailboxSetting>, report: &mut Report) {
    for (name, setting) in settings {
        let Some((other, value)) = &setting.needs else { continue };
        let wrong = match settings.get(other) {
            None => Some(format!("'{name}' needs '{other}', which is not among these settings")),
            Some(needed) => match needed.check(value) {
                Err(why) => Some(format!("'{name}' needs '{other}={value}', which cannot be: {why}")),
                Ok(_) => {
                    let mut steps = 0;
                    let mut next = Some(other);
                    while let Some(at) = next.filter(|_| steps <= settings.len()) {
                        steps += 1;
                        next = settings.get(at).and_then(|s| s.needs.as_ref()).map(|(other, _)| other);
                    }
                    (steps > settings.len()).then(|| format!("what '{name}' needs leads back to itself"))
                }
            },
        };
        if let Some(wrong) = wrong {
            report.error(node.position, "E306", wrong);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Words,
    Addresses,
    Text,
    Count,
}

const KINDS: [(&str, Kind); 4] =
    [("words", Kind::Words), ("addresses", Kind::Addresses), ("text", Kind::Text), ("count", Kind::Count)];

fn read_one(mut map: Map<'_>, report: &mut Report) -> Option<MailboxSetting> {
    let by = map.require("by", report).and_then(|node| node.word("'by'", &SetBy::WORDS, report));
    let words = map.get("words");
    // Words alone say the type.
    let kind = match (map.get("type"), words) {
        (None, Some(_)) => Some(Kind::Words),
        (None, None) => {
            report.error(map.position(), "E202", "a setting has a 'type', or 'words' that it may be");
            None
        }
        (Some(node), _) => node.word("type", &KINDS, report),
    };
    let max = map.get("max").and_then(|node| node.integer(1..=u64::from(u32::MAX), report));
    let min = map.get("min").and_then(|node| node.integer(0..=u64::from(u32::MAX), report));
    let value = kind.and_then(|kind| match kind {
        Kind::Words => {
            let Some(words) = words else {
                report.error(map.position(), "E202", "a setting of type 'words' has no 'words'");
                return None;
            };
            let words = read_words(words, report);
            (!words.is_empty()).then(|| SettingValue::Words { words, max: max.unwrap_or(1).min(ITEMS_MAX) as usize })
        }
        Kind::Addresses => Some(SettingValue::Addresses { max: max.unwrap_or(1).min(ITEMS_MAX) as usize }),
        Kind::Text => Some(SettingValue::Text { max: max.map_or(VALUE_MAX, |max| (max as usize).min(VALUE_MAX)) }),
        Kind::Count => {
            let choices = words.map(|node| read_numbers(node, report)).unwrap_or_default();
            Some(SettingValue::Count { min: min.unwrap_or(0), max: max.unwrap_or(u64::from(u32::MAX)), choices })
        }
    });
    let needs = map.get("needs").and_then(|node| read_needs(node, report));
    let default = map.get("default").and_then(|node| scalar(node, report).map(|text| (node.position, text)));
    let description = map.require("description", report).and_then(|node| node.name(report));
    map.finish(report);
    let mut setting =
        MailboxSetting { by: by?, value: value?, default: None, needs, description: description?.to_owned() };
    setting.default = match default {
        // The configuration of the plugin says what holds.
        Some((_, text)) if text == "none" => None,
        Some((at, text)) => match setting.check(&text) {
            Ok(value) => Some(value),
            Err(why) => {
                report.error(at, "E205", format!("the default does not fit: it must be {why}"));
                None
            }
        },
        None => match &setting.value {
            SettingValue::Words { words, .. } => words.first().cloned(),
            SettingValue::Count { choices, .. } => choices.first().map(u64::to_string),
            _ => None,
        },
    };
    Some(setting)
}

fn read_words(node: &Node, report: &mut Report) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for item in node.list("'words'", report) {
        let Some(word) = scalar(item, report) else { continue };
        if word.is_empty() || word.contains(',') || word.trim() != word {
            report.error(item.position, "E207", format!("'{word}' cannot be a word: no commas, no blanks around it"));
        } else if words.contains(&word) {
            report.error(item.position, "E208", "the same word stands twice");
        } else {
            words.push(word);
        }
    }
    words
}

fn read_numbers(node: &Node, report: &mut Report) -> Vec<u64> {
    let items = node.list("'words'", report);
    items.iter().filter_map(|item| item.integer(0..=u64::from(u32::MAX), report)).collect()
}

/// A word, which may look like a number.
fn scalar(node: &Node, report: &mut Report) -> Option<String> {
    match &node.value {
        Value::Integer(number) => Some(number.to_string()),
        _ => node.text(report).map(str::to_owned),
    }
}

/// `name=value`.
fn read_needs(node: &Node, report: &mut Report) -> Option<(String, String)> {
    let text = node.text(report)?;
    let found = text.split_once('=').filter(|(name, value)| is_identifier(name) && !value.is_empty());
    if found.is_none() {
        report.error_with_help(node.position, "E207", format!("'{text}' is no need"), "write SETTING=VALUE");
    }
    found.map(|(name, value)| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests;
