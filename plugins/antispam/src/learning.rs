//! Lessons: messages that users move into and out of Junk (`refiled`), and those that an operator shows (`operation`).
//!
//! | key | value | written when |
//! |---|---|---|
//! | `learned/MESSAGE` | `spam` or `ham`: what was last taught of a message | a lesson is taken |
//! | `taught/MAILBOX` | the day, and how many lessons its user gave in it | a user's lesson is taken |
//! | `lesson/MESSAGE` | the class and the places of its words | the same; removed when it is learned |
//! | `model/NN`, `model/totals` | weights, how many lessons | lessons are learned, some at a time |
//! | wake-up `learn/INSTANT` | | a lesson is taken |
//!
//! A message is known by the places of its words: the same text is one lesson, however often it comes, and nothing of it
//! is kept but those places. Of one mailbox only so many lessons a day are taken: what one user thinks is unwanted is so
//! for all, and nobody shall decide it alone.

use std::collections::BTreeMap;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::certified;
use crate::host::{Error, Host};
use crate::model::{Class, Model, SHARDS, Totals};
use crate::settings::Settings;
use crate::words;

/// Days that the model is kept after its last lesson.
const MODEL_DAYS: u32 = 3650;
/// Days in which a message is not learned twice.
const LEARNED_DAYS: u32 = 180;
/// Days that a lesson waits at most.
const LESSON_DAYS: u32 = 30;
/// Days that the count of a mailbox's lessons is kept.
const TAUGHT_DAYS: u32 = 2;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// Lessons of one batch.
const BATCH: usize = 200;
/// How the keys of wake-ups begin.
pub const WAKE: &str = "learn/";

/// What came of a lesson.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It will be learned.
    Lesson,
    /// It was learned before.
    Known,
    /// It is certified mail, or has no words.
    Nothing,
}

impl Taken {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Taken::Lesson => "taken",
            Taken::Known => "known",
            Taken::Nothing => "nothing to learn",
        }
    }
}

/// The `refiled` stage.
pub fn refiled<H: Host>(host: &H, settings: &Settings) -> Result<(), Error> {
    let place = |name: &str| host.property(name).unwrap_or_default();
    let class = match (place("refiled.from").as_str(), place("refiled.to").as_str()) {
        (_, "junk") => Class::Spam,
        // Who empties the folder says nothing about what is in it.
        ("junk", "trash") => return Ok(()),
        ("junk", _) => Class::Ham,
        _ => return Ok(()),
    };
    let teacher = host.facts().recipients.first().map(|mailbox| mailbox.to_lowercase()).unwrap_or_default();
    let (key, today) = (format!("taught/{teacher}"), host.now() / DAY_MS);
    let taught = host.get(&key)?.as_deref().and_then(count).filter(|(day, _)| *day == today).map_or(0, |(_, n)| n);
    if taught >= settings.lessons_per_day || take(host, settings, class)? != Taken::Lesson {
        return Ok(());
    }
    host.set(&key, format!("{today} {}", taught + 1).as_bytes(), TAUGHT_DAYS)
}

/// A day and how many lessons were taken in it.
fn count(value: &[u8]) -> Option<(u64, u32)> {
    let (day, lessons) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    Some((day.parse().ok()?, lessons.parse().ok()?))
}

/// Takes the message in hand as a lesson.
pub fn take<H: Host>(host: &H, settings: &Settings, class: Class) -> Result<Taken, Error> {
    let Some(octets) = certified::content(host, words::LOOKED_AT)? else { return Ok(Taken::Nothing) };
    let features = words::features(&octets);
    if features.is_empty() {
        return Ok(Taken::Nothing);
    }
    let name = name(&features);
    let learned = format!("learned/{name}");
    if host.get(&learned)?.as_deref() == Some(class.word().as_bytes()) {
        return Ok(Taken::Known);
    }
    host.set(&learned, class.word().as_bytes(), LEARNED_DAYS)?;
    host.set(&format!("lesson/{name}"), &write(class, &features), LESSON_DAYS)?;
    let every = settings.learn_every * 1000;
    let at = (host.now() / every + 1) * every;
    // A wake-up of its own for each span: one that is moved on and on would never come.
    host.wake(&format!("{WAKE}{at}"), at)?;
    Ok(Taken::Lesson)
}

/// The `timer` stage: learns what waits.
pub fn learn<H: Host>(host: &H) -> Result<(), Error> {
    let keys = host.keys("lesson/", None)?;
    let mut lessons = BTreeMap::new();
    for key in keys.iter().take(BATCH) {
        if let Some(lesson) = host.get(key)?.as_deref().and_then(read) {
            lessons.insert(key.clone(), lesson);
        }
        host.delete(key)?;
    }
    if keys.len() > BATCH {
        host.wake(&format!("{WAKE}more"), host.now() + 1)?;
    }
    if lessons.is_empty() {
        return Ok(());
    }
    let mut model = Model::of(totals(host)?);
    let mut before = Vec::new();
    for shard in 0..SHARDS {
        let value = host.get(&shard_key(shard))?;
        model.load(shard, value.as_deref());
        before.push(value);
    }
    model.learn_batch(&lessons);
    for (shard, value) in model.shards() {
        if before.get(shard as usize).is_none_or(|before| before.as_ref() != Some(&value)) {
            host.set(&shard_key(shard), &value, MODEL_DAYS)?;
        }
    }
    host.set("model/totals", &model.totals.write(), MODEL_DAYS)
}

/// How many lessons there were.
pub fn totals<H: Host>(host: &H) -> Result<Totals, Error> {
    Ok(host.get("model/totals")?.map_or_else(Totals::default, |value| Totals::read(&value)))
}

/// Where a shard is kept.
pub fn shard_key(shard: u32) -> String {
    format!("model/{shard:02}")
}

fn name(features: &[u32]) -> String {
    let mut hasher = SipHasher13::new();
    for feature in features {
        hasher.write(&feature.to_le_bytes());
    }
    format!("{:032x}", hasher.finish128().as_u128())
}

fn write(class: Class, features: &[u32]) -> Vec<u8> {
    let places = features.iter().flat_map(|feature| feature.to_le_bytes());
    std::iter::once(class as u8).chain(places).collect()
}

fn read(value: &[u8]) -> Option<(Class, Vec<u32>)> {
    let (class, places) = value.split_first()?;
    let class = match class {
        0 => Class::Ham,
        1 => Class::Spam,
        _ => return None,
    };
    Some((class, places.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lesson_is_kept_as_places() {
        let features = vec![1, 70_000, 500_000];
        assert_eq!(read(&write(Class::Spam, &features)), Some((Class::Spam, features.clone())));
        assert_eq!(read(&write(Class::Ham, &[])), Some((Class::Ham, vec![])));
        assert_eq!((read(b""), read(b"\x07")), (None, None));
        assert_ne!(name(&features), name(&features[1..]));
    }
}
