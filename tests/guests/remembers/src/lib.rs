//! Looks in its memory, old and new, for what it left there the time before: slots of memory are used again, and a
//! message must not show in another one's.

wit_bindgen::generate!({
    inline: "
        package guest:remembers;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:remembers/guest",
    generate_all,
});

use std::sync::atomic::{AtomicU32, Ordering};

use exports::sigillo::mail::{access, lifecycle};
use sigillo::mail::passage::Transaction;
use sigillo::mail::types::{Failure, Reply, Verdict};

/// Octets of a page of WebAssembly.
const PAGE: usize = 64 * 1024;
/// Pages that are asked for beyond what the guest has: more than the host keeps resident, and fewer.
const PAGES: usize = 96;
/// What is left behind.
const TRACE: u64 = 0x7365_6372_6574_2121;

static RUNS: AtomicU32 = AtomicU32::new(0);

struct Remembers;

impl lifecycle::Guest for Remembers {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

impl access::Guest for Remembers {
    fn run(_: &Transaction) -> Result<Verdict, Failure> {
        let runs = RUNS.fetch_add(1, Ordering::Relaxed) + 1;
        let traces = (0..PAGES).filter(|_| page_has_trace()).count();
        let text = format!("runs: {runs}, pages with a trace: {traces}");
        Ok(Verdict::Reject(Reply { code: 550, enhanced: "5.0.0".into(), text }))
    }
}

/// Takes a new page, looks for the trace at every word, and leaves it there.
#[cfg(target_arch = "wasm32")]
fn page_has_trace() -> bool {
    let page = core::arch::wasm32::memory_grow::<0>(1);
    if page == usize::MAX {
        return false;
    }
    // SAFETY: the page is new and nobody else's; WebAssembly defines its octets.
    let words = unsafe { std::slice::from_raw_parts_mut((page * PAGE) as *mut u64, PAGE / 8) };
    let found = words.iter().any(|word| *word != 0);
    words.fill(std::hint::black_box(TRACE));
    found
}

#[cfg(not(target_arch = "wasm32"))]
fn page_has_trace() -> bool {
    false
}

export!(Remembers);
