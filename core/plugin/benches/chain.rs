//! What a chain of plugins costs: six, each in a fresh instance, each with ten header look-ups and one header edit.
//!
//! `cargo bench -p sigillo-plugin` prints the median and the 99th percentile per message. The bar is a median of at
//! most 100 µs and a 99th percentile of at most 300 µs on an idle machine.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use sigillo_plugin::{Engine, Outcome};
use sigillo_policy::{Facts, Stage};

/// Messages that only warm up the pool and the caches.
const WARM_UP: usize = 2_000;
/// Messages that are measured.
const MESSAGES: usize = 20_000;
const PLUGINS: [usize; 3] = [0, 1, 6];

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for plugins in PLUGINS {
        let (engine, _) = runtime.block_on(common::load(&policy(plugins)));
        let mut figures = runtime.block_on(measure(&engine, plugins));
        report(plugins, &mut figures);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (engine, _) = runtime.block_on(common::load(&policy(6)));
    println!("6 plugins, {threads} threads: {:.0} messages/s", throughput(engine, threads));
}

fn policy(plugins: usize) -> String {
    let declared: String = (0..plugins).map(|n| format!("  null-{n}: {{ component: null@0.1 }}\n")).collect();
    let steps: String = (0..plugins).map(|n| format!("      - {{ plugin: null-{n}, on-failure: defer }}\n")).collect();
    match plugins {
        0 => "apiVersion: sigillo/v1\nkind: Policy\nchains: []\n".into(),
        _ => format!(
            "apiVersion: sigillo/v1\nkind: Policy\nplugins:\n{declared}chains:\n  - name: access\n    stage: access\n    \
             steps:\n{steps}"
        ),
    }
}

/// 4 KiB with a usual header.
fn message() -> String {
    let received = "Received: from a.example (a.example [192.0.2.1]) by b.example with ESMTPS id 1;\r\n\tMon, 1 Jan 2024 \
                    00:00:00 +0000\r\n";
    let header = "From: Ada <ada@alfa.example>\r\nTo: Bruno <bruno@beta.example>\r\nSubject: a message\r\nDate: Mon, 1 Jan \
                  2024 00:00:00 +0000\r\nMessage-ID: <1@alfa.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; \
                  charset=utf-8\r\n\r\n";
    let mut text = format!("{}{header}", received.repeat(4));
    while text.len() < 4096 {
        text.push_str("The quick brown fox jumps over the lazy dog, and then does so again.\r\n");
    }
    text
}

/// Time on the clock and of the processor, by message.
async fn measure(engine: &Engine, plugins: usize) -> [Vec<Duration>; 2] {
    let (facts, passage) = (Facts::new(), common::submission(message()));
    let mut figures = [Vec::with_capacity(MESSAGES), Vec::with_capacity(MESSAGES)];
    for number in 0..WARM_UP + MESSAGES {
        let passage = passage.clone();
        let (wall, cpu) = (Instant::now(), ThreadTime::now());
        let run = engine.run(Stage::Access, &facts, passage).await;
        let took = [wall.elapsed(), cpu.elapsed()];
        assert_eq!((run.outcome, run.steps.len()), (Outcome::Continue, plugins));
        if number >= WARM_UP {
            figures.iter_mut().zip(took).for_each(|(figures, time)| figures.push(time));
        }
    }
    figures
}

fn report(plugins: usize, figures: &mut [Vec<Duration>; 2]) {
    for (name, times) in ["latency", "cpu"].iter().zip(figures) {
        times.sort();
        let at = |share: usize| times[times.len() * share / 1000].as_nanos() as f64 / 1000.0;
        println!(
            "{plugins} plugins, {name:7}: median {:6.1} µs, p99 {:6.1} µs, p99.9 {:6.1} µs",
            at(500),
            at(990),
            at(999)
        );
    }
}

fn throughput(engine: Arc<Engine>, threads: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap();
    let began = Instant::now();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..threads * 4 {
            let engine = engine.clone();
            tasks.spawn(async move {
                let (facts, passage) = (Facts::new(), common::submission(message()));
                for _ in 0..MESSAGES / (threads * 4) {
                    engine.run(Stage::Access, &facts, passage.clone()).await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    });
    MESSAGES as f64 / began.elapsed().as_secs_f64()
}
