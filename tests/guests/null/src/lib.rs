//! Looks at ten header fields and adds one of some 200 octets: the measure of what a chain of plugins costs.

wit_bindgen::generate!({
    inline: "
        package guest:null;
        world guest {
            import sigillo:mail/passage@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
            export sigillo:mail/reception@0.1.0;
        }
    ",
    path: ["../../../wit"],
    generate_all,
});

use exports::sigillo::mail::{access, lifecycle, reception};
use sigillo::mail::passage::Transaction;
use sigillo::mail::types::{Failure, Verdict};

/// The fields looked up.
const FIELDS: [&str; 10] =
    ["From", "To", "Cc", "Subject", "Date", "Message-ID", "Received", "Content-Type", "Reply-To", "List-Id"];

struct Null;

impl lifecycle::Guest for Null {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

impl access::Guest for Null {
    fn run(transaction: &Transaction) -> Result<Verdict, Failure> {
        look_and_mark(transaction)
    }
}

impl reception::Guest for Null {
    fn run(transaction: &Transaction) -> Result<Verdict, Failure> {
        look_and_mark(transaction)
    }
}

fn look_and_mark(transaction: &Transaction) -> Result<Verdict, Failure> {
    let message = transaction.message();
    let octets: usize = FIELDS.iter().filter_map(|name| message.header(name, 0)).map(|value| value.len()).sum();
    let value = format!("looked at {octets} octets{}", "; nothing to see".repeat(11));
    match transaction.prepend_header("X-Null", value.as_bytes()) {
        Ok(()) => Ok(Verdict::Continue),
        Err(error) => Err(Failure::Permanent(format!("{error:?}"))),
    }
}

export!(Null);
