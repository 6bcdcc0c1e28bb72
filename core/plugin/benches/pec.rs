//! What a chain costs that signs: the shipped plugin with real keys, from a user's message over another server to the
//! mailbox, each receipt on its way back included; beside it, how fast the library signs on the same machine.
//!
//! `cargo bench -p sigillo-plugin --bench pec` prints messages per second of one core: for the access point alone (from
//! submission to acceptance receipt and signed envelope), and for the whole walk, whose other half are verifications. The
//! bar, for the access point, is 70 % of what `openssl speed` says of RSA 2048 divided by the signatures of a message. Both are counted in processor time, so that
//! other work on the machine does not decide.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[path = "../tests/golden/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use server::{Running, World};
use sigillo_mail::Rope;
use sigillo_mail::rope::NoSource;
use sigillo_mail::structure::Structure;
use sigillo_plugin::{Arrival, ChainRun, Outcome, Passage, Services};
use sigillo_policy::{Facts, Stage};

/// Messages that only warm up.
const WARM_UP: usize = 50;
/// Messages that are measured.
const MESSAGES: usize = 1_000;
/// Signatures that are measured.
const SIGNATURES: usize = 1_000;
/// 2026-03-02T09:15:00Z.
const INSTANT_MS: u64 = 1_772_442_900_000;
/// Share of the library's own figure that is asked for, percent.
const BAR: f64 = 70.0;
const SENDER: &str = "ada@pec.alfa.example";
const RECIPIENT: &str = "bruno@pec.beta.example";

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/pec");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::read(&folder);
        let (alfa, beta) = (world.start("alfa").await, world.start("beta").await);
        for running in [&alfa, &beta] {
            running.server.set_now(INSTANT_MS);
        }
        let (library, ours) = (openssl_signatures(), signatures(&alfa).await);
        println!("openssl speed rsa2048:   {library:8.0} signatures/s");
        println!("detached CMS over 4 KiB: {ours:8.0} signatures/s");
        for size in [4 * 1024, 100 * 1024] {
            measure(&alfa, &beta, size, library).await;
        }
    });
}

/// `rsa 2048 bits 0.000512s 0.000015s 1952.0 66300.0`: the last but one is signatures per second of processor time.
fn openssl_signatures() -> f64 {
    let output = Command::new("openssl").args(["speed", "-seconds", "3", "rsa2048"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.trim_start().starts_with("rsa 2048 bits")).unwrap();
    line.split_whitespace().rev().nth(1).unwrap().parse().unwrap()
}

async fn signatures(running: &Running) -> f64 {
    let content = Rope::from_bytes(vec![b'x'; 4096]);
    let began = ThreadTime::now();
    for _ in 0..SIGNATURES {
        running.server.sign("provider", &content).await.unwrap();
    }
    SIGNATURES as f64 / began.elapsed().as_secs_f64()
}

async fn measure(alfa: &Running, beta: &Running, size: usize, library: f64) {
    let message = message(size);
    let (mut cpu, mut wall, mut signed, mut access) = (Duration::ZERO, Duration::ZERO, 0, (Duration::ZERO, 0));
    for number in 0..WARM_UP + MESSAGES {
        let before = alfa.server.signatures() + beta.server.signatures();
        let (began, clock) = (ThreadTime::now(), Instant::now());
        let first = walk(alfa, beta, &message, number).await;
        if number >= WARM_UP {
            (cpu, wall) = (cpu + began.elapsed(), wall + clock.elapsed());
            access = (access.0 + first.0, access.1 + first.1);
            signed += alfa.server.signatures() + beta.server.signatures() - before;
        }
        if number % 100 == 0 {
            alfa.server.forget();
            beta.server.forget();
        }
    }
    let kib = size / 1024;
    let (rate, each) = (MESSAGES as f64 / access.0.as_secs_f64(), access.1 as f64 / MESSAGES as f64);
    println!(
        "{kib:4} KiB, access point: {rate:6.1} messages/s of processor time; {each:.1} signatures each; {:.0} % of openssl's \
         {:.1} (bar {BAR:.0} %)",
        100.0 * rate * each / library,
        library / each
    );
    let (rate, each) = (MESSAGES as f64 / cpu.as_secs_f64(), signed as f64 / MESSAGES as f64);
    let share = 100.0 * rate * each / library;
    println!(
        "{kib:4} KiB, whole walk:   {rate:6.1} messages/s of processor time, {:6.1} by the clock; {each:.1} signatures each; \
         {share:.0} % of openssl's {:.1}",
        MESSAGES as f64 / wall.as_secs_f64(),
        library / each
    );
}

fn message(size: usize) -> Vec<u8> {
    let mut text = format!(
        "From: Ada <{SENDER}>\r\nTo: Bruno <{RECIPIENT}>\r\nSubject: a message\r\nDate: Mon, 2 Mar 2026 10:14:58 +0100\r\n\
         Message-ID: <1@client.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    );
    while text.len() < size {
        text.push_str("The quick brown fox jumps over the lazy dog, and then does so again.\r\n");
    }
    text.into_bytes()
}

/// One message from the sender to the mailbox, and what it makes back to the sender. Returns processor time and signatures
/// of the access point.
async fn walk(alfa: &Running, beta: &Running, message: &[u8], number: usize) -> (Duration, u64) {
    let original = Rope::from_bytes(message.to_vec());
    let (began, before) = (ThreadTime::now(), alfa.server.signatures());
    let run =
        step(alfa, Stage::Access, transaction(number, "a", Arrival::Submission, SENDER, RECIPIENT, original)).await;
    let access = (began.elapsed(), alfa.server.signatures() - before);
    let envelope = run.message.clone();
    back(alfa, &run, number, "b").await;
    let run = step(beta, Stage::Reception, transaction(number, "c", Arrival::Relay, SENDER, RECIPIENT, envelope)).await;
    let envelope = run.message.clone();
    back(alfa, &run, number, "d").await;
    let run = step(beta, Stage::Delivery, delivery(number, envelope)).await;
    back(alfa, &run, number, "e").await;
    access
}

/// What a step queued arrives.
async fn back(at: &Running, run: &ChainRun, number: usize, word: &str) {
    for submission in run.change_sets.iter().flat_map(|changes| &changes.submissions) {
        let (from, to) = (submission.reverse_path.to_string(), submission.recipients[0].to_string());
        let arrival = if from.ends_with("alfa.example") { Arrival::Internal } else { Arrival::Relay };
        let passage = transaction(number, word, arrival, &from, &to, submission.content.clone());
        step(at, Stage::Reception, passage).await;
    }
}

async fn step(at: &Running, stage: Stage, passage: Passage) -> ChainRun {
    let run = at.engine.run(stage, &Facts::new(), passage).await;
    assert_eq!(run.outcome, Outcome::Continue, "{:?}", run.steps);
    for changes in &run.change_sets {
        at.server.commit(changes);
    }
    run
}

fn transaction(number: usize, word: &str, arrival: Arrival, from: &str, to: &str, message: Rope) -> Passage {
    // As the server has it: the bytes of a step's message lie together again once they are stored.
    let message = Rope::from_bytes(message.to_bytes(&NoSource).unwrap());
    Passage::Transaction {
        id: format!("{number}.{word}"),
        arrival,
        identity: (arrival == Arrival::Submission).then(|| from.to_owned()),
        reverse_path: from.to_owned(),
        recipients: vec![to.to_owned()],
        structure: Arc::new(Structure::parse(&message, &NoSource).unwrap()),
        message,
        properties: BTreeMap::new(),
    }
}

fn delivery(number: usize, message: Rope) -> Passage {
    let message = Rope::from_bytes(message.to_bytes(&NoSource).unwrap());
    Passage::Delivery {
        id: format!("{number}.delivery"),
        reverse_path: SENDER.to_owned(),
        recipient: RECIPIENT.to_owned(),
        structure: Arc::new(Structure::parse(&message, &NoSource).unwrap()),
        message,
        attempt: 1,
        status: "present".to_owned(),
        properties: BTreeMap::new(),
    }
}
