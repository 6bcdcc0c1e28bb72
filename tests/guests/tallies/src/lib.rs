//! Counts how deliveries to other servers ended, under one key for each end: those that end at the same moment read the
//! same number, and all but one of them must run anew.

wit_bindgen::generate!({
    inline: "
        package guest:tallies;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/outcome@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:tallies/guest",
    generate_all,
});

use exports::sigillo::mail::{lifecycle, outcome};
use sigillo::mail::passage::Delivery;
use sigillo::mail::state;
use sigillo::mail::types::{Error, Failure, Verdict};

struct Tallies;

impl lifecycle::Guest for Tallies {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

impl outcome::Guest for Tallies {
    fn run(delivery: &Delivery) -> Result<Verdict, Failure> {
        count(&delivery.status()).map_err(|error| Failure::Permanent(format!("{error:?}")))?;
        Ok(Verdict::Continue)
    }
}

fn count(status: &str) -> Result<(), Error> {
    let before = state::get(status)?.and_then(|value| String::from_utf8(value).ok()?.parse::<u64>().ok());
    state::set(status, (before.unwrap_or(0) + 1).to_string().as_bytes(), 1)
}

export!(Tallies);
