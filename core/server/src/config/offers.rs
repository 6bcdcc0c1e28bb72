//! Offers: named profiles by which mailboxes are made (QUO-01 to QUO-04).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sigillo_store::Kind;

use super::Config;

/// Octets of a gigabyte of storage.
pub const GIGABYTE: u64 = 1024 * 1024 * 1024;
/// Largest mailbox, gigabytes. Ours: what 64 bits of octets and their sums hold with room to spare.
const GIGABYTES_MAX: u64 = 1 << 20;

/// One offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Offer {
    /// For people.
    pub description: String,
    /// What its mailboxes may be, the first if nothing is said.
    pub kinds: Vec<Kind>,
    /// Gigabytes (1024³ octets) of the mailbox.
    pub mailbox_gb: u64,
    /// Recipients that a mailbox may send to in a day; without it there is no limit (BOX-14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_sends: Option<u64>,
    /// Settings of the plugins, by name, that its mailboxes begin with: sizes of archive and conservation, for example.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

impl Offer {
    /// Octets of the mailbox.
    pub fn quota(&self) -> u64 {
        self.mailbox_gb.saturating_mul(GIGABYTE)
    }

    fn check(&self) -> Result<(), String> {
        if self.kinds.is_empty() {
            return Err("kinds: wants at least one of individual, multi-user, application".into());
        }
        if !(1..=GIGABYTES_MAX).contains(&self.mailbox_gb) {
            return Err(format!("mailbox-gb: wants 1 to {GIGABYTES_MAX}"));
        }
        if self.daily_sends == Some(0) {
            return Err("daily-sends: wants 1 or more; leave it out where there is no limit".into());
        }
        Ok(())
    }
}

pub(super) fn check(offers: &BTreeMap<String, Offer>) -> Result<(), String> {
    offers.iter().try_for_each(|(name, offer)| {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        match !name.is_empty() && name.len() <= 64 && name.bytes().all(good) {
            true => offer.check().map_err(|problem| format!("{name}.{problem}")),
            false => Err(format!("{name}: a name has 1 to 64 lower-case letters, digits and '-'")),
        }
    })
}

/// Name, description, kind, gigabytes of mailbox, of archive and of conservation.
type BuiltIn = (&'static str, &'static str, Kind, u64, Option<u64>, Option<u64>);

/// The five of the service.
const BUILT_IN: [BuiltIn; 5] = [
    ("smart", "Individual, without archive", Kind::Individual, 1, None, None),
    ("pro", "Individual, with archive", Kind::Individual, 5, Some(5), None),
    ("plus", "Individual, with a larger archive", Kind::Individual, 5, Some(10), None),
    ("aziende", "Multi-user, with archive and conservation", Kind::MultiUser, 5, Some(5), Some(5)),
    ("aziende-plus", "Multi-user, with larger archive and conservation", Kind::MultiUser, 5, Some(10), Some(10)),
];

/// The settings of the shipped plugins by which an offer says whether there is an archive (QUO-09) or conservation
/// (QUO-10), and its gigabytes. An offer without an archive says so; conservation that a customer has bought besides is
/// left as it is.
fn settings(archive: Option<u64>, conservation: Option<u64>) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
    set("archive", if archive.is_some() { "on" } else { "off" }.to_owned());
    if let Some(size) = archive {
        set("archive-size", size.to_string());
    }
    if let Some(size) = conservation {
        set("conservation", "on".to_owned());
        set("conservation-size", size.to_string());
    }
    settings
}

fn built_in() -> impl Iterator<Item = (String, Offer)> {
    BUILT_IN.into_iter().map(|(name, description, kind, mailbox_gb, archive, conservation)| {
        let offer = Offer {
            description: description.to_owned(),
            kinds: vec![kind],
            mailbox_gb,
            daily_sends: None,
            settings: settings(archive, conservation),
        };
        (name.to_owned(), offer)
    })
}

impl Config {
    /// Every offer by name: the built-in ones, and those of the configuration, which may stand in their place.
    pub fn all_offers(&self) -> BTreeMap<String, Offer> {
        built_in().chain(self.offers.clone()).collect()
    }
}
