//! Takes memory until it gets no more; how much that was, nobody hears.

wit_bindgen::generate!({
    inline: "
        package guest:eats-memory;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:eats-memory/guest",
    generate_all,
});

use exports::sigillo::mail::{access, lifecycle};
use sigillo::mail::passage::Transaction;
use sigillo::mail::types::{Failure, Verdict};

struct Eats;

impl lifecycle::Guest for Eats {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

impl access::Guest for Eats {
    fn run(_: &Transaction) -> Result<Verdict, Failure> {
        let mut eaten = Vec::new();
        loop {
            eaten.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        }
    }
}

export!(Eats);
