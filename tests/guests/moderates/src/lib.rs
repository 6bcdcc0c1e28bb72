//! Suspends the mailbox that the settings name (`{"mailbox":"ADDRESS"}`), and says in the log what was refiled.

wit_bindgen::generate!({
    inline: "
        package guest:moderates;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
            export sigillo:mail/refiled@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:moderates/guest",
    generate_all,
});

use exports::sigillo::mail::{access, lifecycle, refiled};
use sigillo::mail::passage::{Delivery, Transaction};
use sigillo::mail::types::{Failure, Reply, Verdict};
use sigillo::mail::{accounts, log, settings};

struct Moderates;

impl lifecycle::Guest for Moderates {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

impl access::Guest for Moderates {
    fn run(transaction: &Transaction) -> Result<Verdict, Failure> {
        let settings = settings::get();
        let mailbox = settings.split('"').nth(3).unwrap_or_default();
        // `many` and `lines` are mistakes of this plugin's.
        let (times, reason) = match mailbox {
            "many" => (17, "burst".to_owned()),
            "lines" => (1, "two\r\nlines".to_owned()),
            _ => (1, format!("{} sent too much", transaction.id())),
        };
        for _ in 0..times {
            if let Err(error) = accounts::suspend(mailbox, &reason) {
                let text = format!("{error:?}").chars().filter(|c| (' '..='~').contains(c)).collect();
                return Ok(Verdict::Reject(Reply { code: 550, enhanced: "5.0.0".into(), text }));
            }
        }
        Ok(Verdict::Continue)
    }
}

impl refiled::Guest for Moderates {
    fn run(delivery: &Delivery) -> Result<Verdict, Failure> {
        if delivery.file_into("INBOX").is_ok() || delivery.prepend_header("X-Seen", b"yes").is_ok() {
            return Err(Failure::Permanent("a refiled message was changed".into()));
        }
        let place = |name| delivery.property(name).unwrap_or_default();
        let (from, to) = (place("refiled.from"), place("refiled.to"));
        let (mailbox, status, size) = (delivery.recipient(), delivery.status(), delivery.message().size());
        log::log(log::Level::Info, &format!("{mailbox} {status} {size} octets from {from} to {to}"));
        Ok(Verdict::Continue)
    }
}

export!(Moderates);
