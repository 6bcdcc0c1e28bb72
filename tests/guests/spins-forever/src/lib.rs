//! Never comes back: not from a message, and not from `configure` either where its settings say so.

wit_bindgen::generate!({
    inline: "
        package guest:spins-forever;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:spins-forever/guest",
    generate_all,
});

use exports::sigillo::mail::{access, lifecycle};
use sigillo::mail::passage::Transaction;
use sigillo::mail::settings;
use sigillo::mail::types::{Failure, Verdict};

struct Spins;

impl lifecycle::Guest for Spins {
    fn configure() -> Result<(), String> {
        if settings::get().contains("configure") {
            spin();
        }
        Ok(())
    }
}

impl access::Guest for Spins {
    fn run(_: &Transaction) -> Result<Verdict, Failure> {
        spin()
    }
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

export!(Spins);
