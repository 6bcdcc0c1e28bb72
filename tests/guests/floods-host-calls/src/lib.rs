//! Calls the host without end: for a field of the header, or, where its settings say so, to read or to write.

wit_bindgen::generate!({
    inline: "
        package guest:floods-host-calls;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:floods-host-calls/guest",
    generate_all,
});

use exports::sigillo::mail::{access, lifecycle};
use sigillo::mail::content::Content;
use sigillo::mail::passage::Transaction;
use sigillo::mail::settings;
use sigillo::mail::types::{Failure, Verdict};

struct Floods;

impl lifecycle::Guest for Floods {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

impl access::Guest for Floods {
    fn run(transaction: &Transaction) -> Result<Verdict, Failure> {
        let settings = settings::get();
        let (reads, writes) = (settings.contains("reads"), settings.contains("writes"));
        let message = transaction.message();
        let content = Content::new();
        let block = vec![b'a'; 1 << 16];
        loop {
            match () {
                () if reads => drop(message.read(0, u32::MAX)),
                () if writes => drop(content.append(&block)),
                () => drop(message.header("Subject", 0)),
            }
        }
    }
}

export!(Floods);
