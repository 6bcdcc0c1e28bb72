//! What was learned: a weight for each place, and how many lessons there were.
//!
//! A message is rated by the weights of its features together (logistic regression); a lesson moves those weights as far
//! as the rating was wrong, and not at all where it was right already. Weights are whole numbers, so that the same
//! lessons in the same order give the same model on every machine. They are parted into shards, each a value of `state`.

use std::collections::BTreeMap;

/// Places of the model.
pub const PLACES: u32 = 1 << 19;
/// Places of one shard: two octets each make 64 KiB, the largest value of `state`.
pub const SHARD: u32 = 1 << 15;
/// Shards.
pub const SHARDS: u32 = PLACES / SHARD;
/// Lessons after which what was learned before begins to count less.
pub const LESSONS_MAX: u32 = 20_000;
/// Parts of a weight of one.
const UNIT: f64 = 2048.0;
/// How far a lesson moves the weights. Measured: `examples/figures.rs`.
const STEP: f64 = 10.0;
/// A rating that is not further from the truth than this teaches nothing.
const CLOSE: f64 = 0.05;
/// From the sum of weights to the logarithm of the odds. Measured: `examples/figures.rs`.
const SCALE: f64 = 2.5;

/// What a message was, in the eyes of its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Wanted.
    Ham,
    /// Not wanted.
    Spam,
}

impl Class {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Class::Ham => "ham",
            Class::Spam => "spam",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Class> {
        [Class::Ham, Class::Spam].into_iter().find(|class| class.word() == word)
    }
}

/// How many lessons there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// With unwanted messages.
    pub spam: u32,
    /// With wanted ones.
    pub ham: u32,
}

impl Totals {
    /// As it is kept.
    pub fn write(self) -> Vec<u8> {
        format!("{} {}", self.spam, self.ham).into_bytes()
    }

    /// What [`Totals::write`] wrote; nothing was learned where it cannot be read.
    pub fn read(value: &[u8]) -> Totals {
        let text = std::str::from_utf8(value).unwrap_or_default();
        let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or(0));
        Totals { spam: numbers.next().unwrap_or(0), ham: numbers.next().unwrap_or(0) }
    }

    /// Whether there were enough lessons of both kinds to say anything.
    pub fn suffice(self, minimum: u32) -> bool {
        self.spam.min(self.ham) >= minimum
    }
}

/// A part of the model, or all of it: the shards that were loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    /// How many lessons there were.
    pub totals: Totals,
    shards: BTreeMap<u32, Vec<i16>>,
}

impl Model {
    /// Nothing is loaded yet.
    pub fn of(totals: Totals) -> Model {
        Model { totals, shards: BTreeMap::new() }
    }

    /// Which shards these features need, in order.
    pub fn shards_of(features: &[u32]) -> Vec<u32> {
        let mut shards: Vec<u32> = features.iter().map(|feature| feature / SHARD).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// Takes a shard as it was kept; one that is not there, or of another length, is empty.
    pub fn load(&mut self, shard: u32, value: Option<&[u8]>) {
        let value = value.filter(|value| value.len() == SHARD as usize * 2).unwrap_or_default();
        let mut weights: Vec<i16> = value.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        weights.resize(SHARD as usize, 0);
        self.shards.insert(shard, weights);
    }

    /// The loaded shards as they are kept.
    pub fn shards(&self) -> impl Iterator<Item = (u32, Vec<u8>)> {
        self.shards.iter().map(|(shard, weights)| (*shard, weights.iter().flat_map(|w| w.to_le_bytes()).collect()))
    }

    /// The sum of the weights, long messages no stronger than short ones.
    fn sum(&self, features: &[u32]) -> f64 {
        let weight = |feature: &u32| {
            let shard = self.shards.get(&(feature / SHARD))?;
            shard.get((feature % SHARD) as usize).map(|weight| i64::from(*weight))
        };
        let sum: i64 = features.iter().filter_map(weight).sum();
        sum as f64 / UNIT / length(features)
    }

    /// The logarithm of the odds that a message with these features is unwanted.
    pub fn log_odds(&self, features: &[u32]) -> f64 {
        SCALE * self.sum(features)
    }

    /// One lesson.
    pub fn learn(&mut self, features: &[u32], class: Class) {
        let (truth, total) = match class {
            Class::Ham => (0.0, &mut self.totals.ham),
            Class::Spam => (1.0, &mut self.totals.spam),
        };
        *total = total.saturating_add(1);
        let wrong = truth - 1.0 / (1.0 + (-self.sum(features)).exp());
        if wrong.abs() < CLOSE {
            return;
        }
        let move_by = (STEP * wrong / length(features) * UNIT).round() as i32;
        for feature in features {
            let Some(shard) = self.shards.get_mut(&(feature / SHARD)) else { continue };
            let Some(weight) = shard.get_mut((feature % SHARD) as usize) else { continue };
            *weight = (i32::from(*weight) + move_by).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        }
    }

    /// Lessons as a batch: in the order of their names, so that it does not matter in which they came. Needs every shard
    /// loaded, for what was learned long ago counts less in the end.
    pub fn learn_batch(&mut self, lessons: &BTreeMap<String, (Class, Vec<u32>)>) {
        for (class, features) in lessons.values() {
            self.learn(features, *class);
        }
        if self.totals.spam.saturating_add(self.totals.ham) > LESSONS_MAX {
            self.totals = Totals { spam: self.totals.spam / 2, ham: self.totals.ham / 2 };
            self.shards.values_mut().flatten().for_each(|weight| *weight -= *weight / 4);
        }
    }
}

fn length(features: &[u32]) -> f64 {
    (features.len().max(1) as f64).sqrt()
}
