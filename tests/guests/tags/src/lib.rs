//! Tags data under its own key, `{"octets":N}` of them, and says in the reply what it was given.

wit_bindgen::generate!({
    inline: "
        package guest:tags;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:tags/guest",
    generate_all,
});

use exports::sigillo::mail::{access, lifecycle};
use sigillo::mail::passage::Transaction;
use sigillo::mail::types::{Failure, Reply, Verdict};
use sigillo::mail::{mac, settings};

struct Tags;

impl lifecycle::Guest for Tags {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

impl access::Guest for Tags {
    fn run(_: &Transaction) -> Result<Verdict, Failure> {
        let octets: usize = settings::get().chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
        let text = match mac::tag(&vec![b'x'; octets]) {
            Ok(tag) => tag.iter().map(|byte| format!("{byte:02x}")).collect(),
            Err(error) => format!("{error:?}"),
        };
        Ok(Verdict::Reject(Reply { code: 550, enhanced: "5.0.0".into(), text }))
    }
}

export!(Tags);
