//! Records changes of every kind, as many of them as its settings say, then traps: none of them may remain.
//! Or it calls itself until the stack is full, where its settings say so.

wit_bindgen::generate!({
    inline: "
        package guest:traps;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
            export sigillo:mail/timer@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:traps/guest",
    generate_all,
});

use exports::sigillo::mail::{access, lifecycle, timer};
use sigillo::mail::content::Content;
use sigillo::mail::passage::Transaction;
use sigillo::mail::types::{Error, Failure, Verdict};
use sigillo::mail::{evidence, settings, state, submit, timers};

struct Traps;

impl lifecycle::Guest for Traps {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

impl access::Guest for Traps {
    fn run(transaction: &Transaction) -> Result<Verdict, Failure> {
        if settings::get().contains("recurse") {
            return Ok(Verdict::Discard(recurse(1).to_string()));
        }
        for change in CHANGES.iter().take(changes_before_the_trap()) {
            if let Err(error) = change(transaction) {
                return Ok(Verdict::Discard(format!("{error:?}")));
            }
        }
        trap()
    }
}

impl timer::Guest for Traps {
    fn run(_: String, _: Vec<u8>) -> Result<(), Failure> {
        trap()
    }
}

/// One change of every kind.
const CHANGES: [fn(&Transaction) -> Result<(), Error>; 6] = [
    |transaction| transaction.prepend_header("X-Half", b"applied"),
    |transaction| transaction.replace_content(&note()?),
    |_| submit::submit("one", "", &["ada@alfa.example".into()], &note()?).map(drop),
    |_| state::set("half", b"applied", 30),
    |_| timers::set("half", 1, b"applied"),
    |_| {
        evidence::append(&evidence::Event {
            message_id: "half".into(),
            kind: "half".into(),
            sender: String::new(),
            recipients: vec![],
            subject: String::new(),
            related: vec![],
            details: vec![],
        })
    },
];

/// Without an end, and not so that the compiler makes a loop of it.
#[expect(unconditional_recursion, reason = "that is the misbehaviour")]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 16]);
    recurse(depth + 1) + frame[depth as usize % 16]
}

fn note() -> Result<Content, Error> {
    let note = Content::new();
    note.append(b"Subject: half\r\n\r\napplied\r\n")?;
    Ok(note)
}

/// The settings are `{"changes":N}`.
fn changes_before_the_trap() -> usize {
    settings::get().chars().find_map(|c| c.to_digit(10)).unwrap_or(0) as usize
}

#[cfg(target_arch = "wasm32")]
fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(not(target_arch = "wasm32"))]
fn trap() -> ! {
    std::process::abort()
}

export!(Traps);
